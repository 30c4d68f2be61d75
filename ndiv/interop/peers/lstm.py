"""LSTM from neuralforecast; what is mapped to what: `ndiv.interop.peers.recurrent`. Every array is used once.

In recursive mode ``hist_encoder.weight_hr_l*`` projects the states, as ``encoder.weight_hr_l*`` of a compat model does.
"""

from .recurrent import convert

__all__ = ["convert"]
