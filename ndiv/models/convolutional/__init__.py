"""Convolutional models: TCN and BiTCN."""
