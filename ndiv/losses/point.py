"""Losses of one number for each step: MAE, MSE, RMSE, MAPE, SMAPE, MASE, relMSE, HuberLoss, TukeyLoss.

Contract: ``loss(y, y_hat, mask=None, y_insample=None)`` takes y, y_hat and mask of shape [B, h, n], y_insample of
shape [B, L, n], and returns a 0-d Tensor; see `ndiv.losses.base` for weights. A ratio whose denominator is 0 counts as 0,
as in neuralforecast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError, ShapeError
from .base import Loss

__all__ = ["MAE", "MAPE", "MASE", "MSE", "RMSE", "SMAPE", "HuberLoss", "TukeyLoss", "huber", "positive", "relMSE"]

_abs, _where, _minimum, _sqrt = (FUNCTIONS[n] for n in ("abs", "where", "minimum", "sqrt"))


class MAE(Loss):
    """Mean absolute error: mean |y_hat - y|.

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.MAE()(np.zeros((1, 2, 1)), np.array([[[1.0], [3.0]]])))
    2.0
    """

    def element(self, error: Any) -> Any:
        return _abs(error)


class MSE(Loss):
    """Mean squared error: mean (y_hat - y)^2."""

    def element(self, error: Any) -> Any:
        return error * error


class RMSE(MSE):
    """Root of the mean squared error. Its gradient at an error of 0 is 0.

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.RMSE()(np.zeros((1, 2, 1)), np.array([[[3.0], [3.0]]])))
    3.0
    """

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        mse = super().__call__(y, y_hat, mask)
        some, one = mse > 0, np.ones((), mse.dtype)
        return _where(some, _sqrt(_where(some, mse, one)), one - one)


def _ratio(a: Any, b: Any) -> Any:
    """a / b for b >= 0, and 0 where b is 0 (or so small that 1 / b would overflow)."""
    zero, one = b < np.finfo(b.dtype).tiny, np.ones((), b.dtype)
    return _where(zero, one - one, a / _where(zero, one, b))


class MAPE(Loss):
    """Mean absolute percentage error, as a fraction: mean |y_hat - y| / |y|; elements with y = 0 count as 0.

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.MAPE()(np.full((1, 2, 1), 4.0), np.full((1, 2, 1), 5.0)))
    0.25
    """

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        self.same_shape(y, y_hat)
        y = self.observed(y, mask)
        return self.mean(_ratio(_abs(y_hat - y), _abs(y)), mask)


class SMAPE(Loss):
    """Symmetric MAPE, from 0 to 2: 2 mean |y_hat - y| / (|y| + |y_hat|); 0 where both are 0.

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.SMAPE()(np.full((1, 2, 1), 1.0), np.full((1, 2, 1), 3.0)))
    1.0
    """

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        self.same_shape(y, y_hat)
        y = self.observed(y, mask)
        return self.mean(2.0 * _ratio(_abs(y_hat - y), _abs(y) + _abs(y_hat)), mask)


class MASE(Loss):
    """Mean absolute scaled error: |y_hat - y| over the mean |y[t] - y[t - seasonality]| of its own input window.

    Windows whose scale is 0 count as 0. Hyndman and Koehler (2006), Another look at measures of forecast accuracy.

    >>> import ndiv, numpy as np
    >>> window = np.array([0.0, 2.0, 4.0]).reshape(1, 3, 1)
    >>> float(ndiv.losses.MASE(seasonality=1)(np.full((1, 1, 1), 6.0), np.full((1, 1, 1), 5.0), y_insample=window))
    0.5
    """

    def __init__(self, seasonality: int, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        if not isinstance(seasonality, (int, np.integer)) or seasonality < 1:
            raise ConfigError(f"MASE: seasonality must be a positive whole number, not {seasonality!r}", value=seasonality,
                              hint="12 for monthly data, 24 for hourly data, 1 without a season")
        self.seasonality = int(seasonality)

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        self.same_shape(y, y_hat)
        if y_insample is None:
            raise ConfigError("MASE needs the input window", value=None, hint="give y_insample [B, L, n]")
        s = self.seasonality
        if y_insample.shape[1] <= s:
            raise ShapeError(f"MASE: a window of {y_insample.shape[1]} steps has no two values {s} steps apart",
                             value=tuple(y_insample.shape), hint="use a longer input_size or a smaller seasonality")
        scale = _abs(y_insample[:, s:] - y_insample[:, :-s]).mean(axis=1, keepdims=True)
        return self.mean(_ratio(_abs(y_hat - self.observed(y, mask)), scale), mask)


class relMSE(Loss):
    """MSE over that of a benchmark's forecast (plus 1e-5); for evaluation rather than training.

    y_benchmark [B, h, n] is the benchmark's forecast; left out, it is the last value of y_insample. Hyndman and
    Koehler (2006).
    """

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None, y_benchmark: Any = None) -> Any:
        if y_benchmark is None:
            if y_insample is None:
                raise ConfigError("relMSE needs a benchmark", value=None, hint="give y_benchmark [B, h, n] or y_insample")
            y_benchmark = FUNCTIONS["expand"](y_insample[:, -1:], tuple(y.shape))
        mse = MSE(self.horizon_weight)
        base = mse(y, y_benchmark, mask)
        return mse(y, y_hat, mask) / (base + np.asarray(1e-5, base.dtype))


def positive(owner: str, **values: float) -> None:
    """Raises `ConfigError` for arguments that must be positive and are not."""
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{owner}: {name} must be positive, not {value!r}", value=value, hint=f"give {name} > 0")


def huber(size: Any, delta: float) -> Any:
    """Huber's function of an error's size (not negative): size^2 / 2 up to delta, then a line."""
    low = _minimum(size, delta)
    return 0.5 * (low * low) + delta * (size - low)


class HuberLoss(Loss):
    """e^2 / 2 for errors up to delta, delta (|e| - delta / 2) beyond (Huber 1964).

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.HuberLoss(delta=1.0)(np.zeros((1, 2, 1)), np.array([[[1.0], [3.0]]])))
    1.5
    """

    def __init__(self, delta: float = 1.0, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        positive("HuberLoss", delta=delta)
        self.delta = delta

    def element(self, error: Any) -> Any:
        return huber(_abs(error), self.delta)


class TukeyLoss(Loss):
    """Tukey's biweight: c^2 / 6 (1 - (1 - (e / c)^2)^3) for errors up to c, c^2 / 6 beyond (Beaton and Tukey 1974).

    normalize: errors are first divided by the standard deviation of y over its horizon, plus 0.01. (neuralforecast 3.3
    leaves out the outer "1 -", so that its TukeyLoss is largest for a perfect forecast; this one is not comparable with it.)

    >>> import ndiv, numpy as np
    >>> loss = ndiv.losses.TukeyLoss(c=2.0, normalize=False)
    >>> [round(float(loss(np.zeros((1, 1, 1)), np.full((1, 1, 1), e))), 4) for e in (0.0, 1.0, 2.0, 9.0)]
    [0.0, 0.3854, 0.6667, 0.6667]
    """

    def __init__(self, c: float = 4.685, normalize: bool = True, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        positive("TukeyLoss", c=c)
        self.c = c
        self.normalize = normalize

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        self.same_shape(y, y_hat)
        y = self.observed(y, mask)
        error = (y_hat - y) * (1.0 / self.c)
        if self.normalize:
            w = np.ones(y.shape, y.dtype) if mask is None else (mask != 0).astype(y.dtype)
            n = FUNCTIONS["maximum"](w.sum(axis=1, keepdims=True), 1.0)
            centred = (y - (y * w).sum(axis=1, keepdims=True) / n) * w
            error = error / (((centred * centred).sum(axis=1, keepdims=True) / n) ** 0.5 + 1e-2)
        rest = 1.0 - _minimum(error * error, 1.0)
        return self.mean(self.c ** 2 / 6 * (1.0 - rest * rest * rest), mask)


class FunctionLoss(Loss):
    """Any differentiable function (y_hat, y) -> number, or one loss for each element, as a loss.

    >>> import ndiv, numpy as np
    >>> loss = ndiv.losses.FunctionLoss(lambda y_hat, y: ((y_hat - y) ** 4.0))
    >>> float(loss(np.zeros((1, 2, 1)), np.full((1, 2, 1), 2.0)))
    16.0
    """

    def __init__(self, function: Any, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self.function = function

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        self.same_shape(y, y_hat)
        each = self.function(y_hat, self.observed(y, mask))
        if tuple(each.shape) == tuple(y.shape):
            return self.mean(each, mask)
        if each.shape not in ((), (1,)):
            raise ShapeError(f"the loss function returned shape {list(each.shape)} for y of shape {list(y.shape)}",
                             value=tuple(each.shape), hint="return one number, or one for each element")
        return each.reshape(())

    def config(self) -> dict[str, Any]:
        raise ConfigError(f"a loss that is a function cannot be written to a file: {self.function!r}", value=self.function,
                          hint="write it as a class derived from ndiv.losses.Loss, or load the weights alone")
