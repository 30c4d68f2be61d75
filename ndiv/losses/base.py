"""The contract between a loss and a model.

A model gives ``outputsize`` numbers for each step and series, y_hat [B, h, n * outputsize]. The loss says what they mean:

outputsize              how many numbers for each step
output_names            suffix of each column of a forecast ("" for the forecast itself)
is_distribution_output  the loss works in the units of the data, not in those of the scaled window
is_by_parameter         the n * outputsize numbers are those of the first parameter for all series, then of the second;
                        else those of the first series, then of the second
level_mask(n)           which of the n * outputsize numbers a model may add a level to
domain_map(y_hat)       the model's numbers as the loss takes them: [B, h, n], [B, h, n, quantiles], or parameters
loss(y, y_hat, mask=None, y_insample=None)
                        the loss, a 0-d Tensor; y_hat as domain_map gives it. Losses without weights of their own
                        also take the model's numbers as they are.

Two methods do all of it, so that a model need not know which loss it has:

objective(y, y_hat, mask, y_insample, loc, scale)
                        what training minimizes, from the model's numbers. y and y_insample are in the scaled units
                        of y_hat, or, where is_distribution_output, y is in the units of the data; loc and scale
                        [B, 1, n] are those of the window's scaler, 0 and 1 without one.
forecast(y_hat, loc, scale)
                        an array [B, h, n, len(output_names)], in the units of y_hat, or of the data where
                        is_distribution_output

Weights: mask [B, h, n] (0 leaves an element out, whatever its value; any other number weighs it) times
horizon_weight [h]. A loss is sum(weight * element) / sum(weight), and 0 where nothing has weight.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..autograd.tape import stopped
from ..errors import ConfigError, ShapeError

__all__ = ["Loss"]

_where = FUNCTIONS["where"]


class Loss:
    """Base of losses. horizon_weight: one non-negative number for each step of the horizon, or None."""

    outputsize: int = 1
    output_names: tuple[str, ...] = ("",)
    is_distribution_output = False
    is_by_parameter = False

    def __init__(self, horizon_weight: Any = None) -> None:
        self.horizon_weight = None if horizon_weight is None else np.asarray(horizon_weight, dtype=np.float32).ravel()
        if self.horizon_weight is not None and (not np.all(self.horizon_weight >= 0) or not self.horizon_weight.sum() > 0):
            raise ConfigError(f"{type(self).__name__}: horizon_weight must be non-negative and not all zero",
                              value=horizon_weight, hint="give one weight for each step")

    # -- weights ---------------------------------------------------------------------------------------------------

    def weights(self, y: Any, mask: Any) -> Any:
        """[B, h, n] weights of y's type: the mask, times the horizon weights scaled to mean 1."""
        w = np.ones(y.shape, dtype=y.dtype) if mask is None else mask
        if w.dtype != y.dtype:
            w = w.astype(y.dtype)
        if self.horizon_weight is not None:
            if len(self.horizon_weight) != y.shape[1]:
                raise ShapeError(f"{type(self).__name__}: {len(self.horizon_weight)} horizon weights for a horizon of "
                                 f"{y.shape[1]}", value=len(self.horizon_weight), hint="give h of them")
            hw = self.horizon_weight / self.horizon_weight.mean()
            w = w * hw.astype(y.dtype)[None, :, None]
        return w if w.shape == y.shape else FUNCTIONS["expand"](w, tuple(y.shape))

    def mean(self, each: Any, mask: Any) -> Any:
        """Weighted mean of the losses of the elements, [B, h, n]."""
        if mask is None and self.horizon_weight is None:
            return each.mean()
        w = self.weights(each, mask)
        total = w.sum()
        some = total > 0
        one = np.ones((), each.dtype)  # not 1.0, which NumPy 1 would take for float64 beside a 0-d array
        return (each * w).sum() * _where(some, one / _where(some, total, one), one - one)

    def observed(self, y: Any, mask: Any, fill: float = 0.0) -> Any:
        """y with what has no weight replaced, so that no NaN of it can reach a sum."""
        return y if mask is None else _where(mask != 0, y, np.asarray(fill, y.dtype))

    def same_shape(self, y: Any, y_hat: Any) -> None:
        """Raises `ShapeError` where a point forecast does not have y's shape."""
        if tuple(y.shape) != tuple(y_hat.shape):
            raise ShapeError(f"{type(self).__name__}: y has shape {list(y.shape)} and y_hat {list(y_hat.shape)}",
                             value=tuple(y_hat.shape), hint="they must be equal")

    def check_targets(self, y: Any, mask: Any = None) -> None:
        """Raises `DataError` (E0011) for observed targets that the loss is not made for; in a plan nothing checks them."""

    # -- the loss --------------------------------------------------------------------------------------------------

    def element(self, error: Any) -> Any:
        """The loss of one error y_hat - y, elementwise."""
        raise NotImplementedError

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        self.same_shape(y, y_hat)
        return self.mean(self.element(y_hat - self.observed(y, mask)), mask)

    def domain_map(self, y_hat: Any) -> Any:
        """The model's numbers [B, h, n * outputsize] as the loss takes them."""
        return y_hat

    def level_mask(self, n_series: int = 1) -> np.ndarray:
        """[n * outputsize] float32: 1 where the model's number is a forecast of the level, to which it may add one."""
        return np.ones(n_series * self.outputsize, np.float32)

    # -- for models ------------------------------------------------------------------------------------------------

    def objective(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None, loc: Any = None,
                  scale: Any = None) -> Any:
        """What training minimizes, from the model's numbers y_hat [B, h, n * outputsize]; see the top of this file."""
        return self(y, self.domain_map(y_hat), mask, y_insample)

    def forecast(self, y_hat: Any, loc: Any = None, scale: Any = None) -> np.ndarray:
        """The columns ``output_names`` of a forecast, [B, h, n, columns], without gradient."""
        values = self.domain_map(y_hat)
        values = stopped(values)
        return values[..., None] if values.ndim == 3 else values

    # -- configuration ---------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Class name and arguments, JSON-able; `ndiv.losses.from_config` makes the loss again.

        An argument is the attribute of its name, or of its name after "_" where that attribute says something else.
        """
        out: dict[str, Any] = {"loss": type(self).__name__}
        for name in list(inspect.signature(type(self).__init__).parameters)[1:]:
            value = vars(self)[f"_{name}"] if f"_{name}" in vars(self) else getattr(self, name)
            out[name] = value.tolist() if isinstance(value, np.ndarray) else list(value) if isinstance(value, tuple) else value
        return out

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self).__init__).parameters
        given = {k: v for k, v in self.config().items() if k != "loss" and v != parameters[k].default}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"
