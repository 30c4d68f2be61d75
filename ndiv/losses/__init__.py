"""Losses: what training minimizes. Names and arguments follow neuralforecast."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError, closest
from .point import MAE, MSE, Loss

__all__ = ["LOSSES", "MAE", "MSE", "Loss", "from_config"]
LOSSES: dict[str, type[Loss]] = {"MAE": MAE, "MSE": MSE}


def from_config(config: dict[str, Any]) -> Loss:
    """The loss that `Loss.config` described."""
    options = dict(config)
    name = options.pop("loss")
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}", value=name, hint=closest(name, LOSSES))
    return LOSSES[name](**options)
