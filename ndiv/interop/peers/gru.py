"""GRU from neuralforecast; what is mapped to what: `ndiv.interop.peers.recurrent`. Every array is used once."""

from .recurrent import convert

__all__ = ["convert"]
