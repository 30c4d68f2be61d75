"""Models of one or two layers: NLinear, DLinear, MLP."""
