"""Point losses, masked and weighted over the horizon.

Contract: ``loss(y, y_hat, mask=None)`` takes y, y_hat and mask of shape [B, h, n] and returns a 0-d Tensor: the mean over
the elements with weight. ``outputsize`` is how many numbers the model must give for each step; ``level_output`` of
them are forecasts of the level (a model that adds a level adds it to those).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError, ShapeError

__all__ = ["Loss", "MAE", "MSE"]


class Loss:
    """Base of losses. horizon_weight: one non-negative number for each step of the horizon, or None."""

    outputsize = 1
    output_names: tuple[str, ...] = ("",)

    def __init__(self, horizon_weight: Any = None) -> None:
        self.horizon_weight = None if horizon_weight is None else np.asarray(horizon_weight, dtype=np.float32).ravel()
        if self.horizon_weight is not None and (not np.all(self.horizon_weight >= 0) or not self.horizon_weight.sum() > 0):
            raise ConfigError(f"{type(self).__name__}: horizon_weight must be non-negative and not all zero",
                              value=horizon_weight, hint="give one weight for each step")

    def weights(self, y: Any, mask: Any) -> np.ndarray:
        """[B, h, n] weights: the mask, times the horizon weights scaled to mean 1."""
        w = np.ones(y.shape, dtype=y.dtype) if mask is None else np.asarray(getattr(mask, "data", mask), dtype=y.dtype)
        if self.horizon_weight is not None:
            if len(self.horizon_weight) != y.shape[1]:
                raise ShapeError(f"{type(self).__name__}: {len(self.horizon_weight)} horizon weights for a horizon of "
                                 f"{y.shape[1]}", value=len(self.horizon_weight), hint="give h of them")
            hw = self.horizon_weight / self.horizon_weight.mean()
            w = w * hw.astype(y.dtype)[None, :, None]
        return w

    def element(self, error: Any) -> Any:
        """The loss of one error, elementwise."""
        raise NotImplementedError

    def __call__(self, y: Any, y_hat: Any, mask: Any = None) -> Any:
        if tuple(y.shape) != tuple(y_hat.shape):
            raise ShapeError(f"{type(self).__name__}: y has shape {list(y.shape)} and y_hat {list(y_hat.shape)}",
                             value=tuple(y_hat.shape), hint="they must be equal")
        each = self.element(y_hat - y)
        if mask is None and self.horizon_weight is None:
            return each.mean()
        w = self.weights(y, mask)
        total = float(w.sum())
        return (each * w).sum() * (1.0 / total if total else 0.0)

    def config(self) -> dict[str, Any]:
        """Class name and arguments, JSON-able; `ndiv.losses.from_config` makes the loss again."""
        weight = None if self.horizon_weight is None else self.horizon_weight.tolist()
        return {"loss": type(self).__name__, "horizon_weight": weight}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MAE(Loss):
    """Mean absolute error: mean |y_hat - y|.

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.MAE()(np.zeros((1, 2, 1)), np.array([[[1.0], [3.0]]])))
    2.0
    """

    def element(self, error: Any) -> Any:
        return FUNCTIONS["abs"](error)


class MSE(Loss):
    """Mean squared error: mean (y_hat - y)^2."""

    def element(self, error: Any) -> Any:
        return error * error
