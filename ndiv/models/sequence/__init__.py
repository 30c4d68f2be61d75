"""Models that read one sequence and write another: an encoder, and a decoder that attends to it."""
