"""Weights of other libraries by model: one `convert(state, model)` a file."""
