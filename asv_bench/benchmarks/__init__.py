"""Benchmarks of ndiv for asv. Each is small; a figure means something beside another one from the same run."""
