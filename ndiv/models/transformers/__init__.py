"""Models built on attention."""
