"""Models that forecast through a pretrained language model."""
