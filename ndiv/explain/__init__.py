"""What a forecast owes to each of its inputs: attributions to lags of the target and to covariates, for every model and loss.

`ndiv.NeuralForecast.explain` is the way in from frames; `attribute` takes a batch of windows.
"""

from .attribution import METHODS, Attributions, attribute

__all__ = ["METHODS", "Attributions", "attribute"]
