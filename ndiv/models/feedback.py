"""What a model that forecasts step after step reads of its own forecast.

Contract: `fed_back` turns a step's numbers into the next step's value, in the units of the input: a point as it is, of
quantiles the median (their mean where there is none), of a distribution the mean. In ``compat`` of quantiles always the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import BaseModel, Batch

__all__ = ["as_input", "fed_back"]


def as_input(model: BaseModel, y: Any) -> Any:
    """y in the window's units as the model's input."""
    return y * model.revin_weight + model.revin_bias if model.scaler.name == "revin" else y


def fed_back(model: BaseModel, out: Any, units: Batch) -> Any:
    """The model's numbers of a step [B, 1, outputs] as the next step's y [B, 1, 1], in the units of the input.

    units: the window's ``loc`` and ``scale`` [B, 1, 1], where it has been scaled.
    """
    loss: Any = model.loss
    loc, scale, y = units.get("loc"), units.get("scale"), model._unaffine(out)
    if loss.is_distribution_output:
        known = (np.zeros((1, 1, 1), y.dtype), np.ones((1, 1, 1), y.dtype)) if loc is None else (loc, scale)
        y = loss.distribution(loss.scale_decouple(loss.domain_map(y), *known)).mean  # in the units of the data
        if loc is not None:
            y = model.scaler.transform(y, loc, scale)
    else:
        y = loss.domain_map(y)
        y = y[0] if isinstance(y, tuple) else y  # an implicit quantile loss that draws its quantiles gives them too
        if y.ndim == 4:
            names = model.output_names
            median = model.variant == "paper" and "-median" in names
            y = loss.in_order(y)[..., names.index("-median")] if median else y.mean(axis=-1)
    y = as_input(model, y)
    # neuralforecast leaves y out while it trains, and not where it feeds it back
    return y * 0.0 if model.arguments["exclude_insample_y"] and model.variant == "paper" else y
