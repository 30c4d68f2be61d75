"""Losses: what training minimizes. Names and arguments follow neuralforecast; `ndiv.losses.base` has the contract."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError, closest
from .base import Loss
from .distribution import GMM, NBMM, PMM, DistributionLoss
from .empirical import RPS
from .implicit import IQLoss
from .point import MAE, MAPE, MASE, MSE, RMSE, SMAPE, FunctionLoss, HuberLoss, TukeyLoss, relMSE
from .quantile import HuberMQLoss, HuberQLoss, MQLoss, QuantileLoss

sMAPE = SMAPE

__all__ = [
    "GMM", "LOSSES", "MAE", "MAPE", "MASE", "MSE", "NBMM", "PMM", "RMSE", "RPS", "SMAPE", "DistributionLoss",
    "FunctionLoss", "HuberLoss", "HuberMQLoss", "HuberQLoss", "IQLoss", "Loss", "MQLoss", "QuantileLoss",
    "TukeyLoss", "from_config", "relMSE", "sMAPE",
]
LOSSES: dict[str, type[Loss]] = {
    loss.__name__: loss for loss in (MAE, MSE, RMSE, MAPE, SMAPE, MASE, relMSE, HuberLoss, TukeyLoss, QuantileLoss, HuberQLoss,
                                     MQLoss, HuberMQLoss, IQLoss, DistributionLoss, GMM, PMM, NBMM)}
OF_ONE_MODEL: dict[str, type[Loss]] = {"RPS": RPS}  # what only a model of that kind can be trained by


def from_config(config: dict[str, Any]) -> Loss:
    """The loss that `Loss.config` described."""
    options = dict(config)
    name = options.pop("loss")
    known = {**LOSSES, **OF_ONE_MODEL}
    if name not in known:
        raise ConfigError(f"unknown loss {name!r}", value=name, hint=closest(name, known))
    return known[name](**options)
