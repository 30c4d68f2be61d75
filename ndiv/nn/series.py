"""Layers of forecasting models for series [B, L, C]: RevIN, and decomposition into season and trend."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..autograd.ops.elementwise import sqrt, where
from ..autograd.ops.pool import moving_average
from ..autograd.ops.reduce import cumsum, mean, softmax, sum
from ..autograd.ops.shape import cat, expand, flip, stack, transpose, unsqueeze
from ..errors import ConfigError, ShapeError
from .layers import Linear, _positive
from .module import Module, Parameter

__all__ = ["MixtureDecomposition", "RevIN", "SeriesDecomposition"]

_NDIV_INTERNAL = True


def _series(owner: str, x: Any, channels: int | None = None) -> None:
    if len(x.shape) != 3 or (channels is not None and x.shape[2] != channels):
        raise ShapeError(f"{owner}: x has shape {list(x.shape)}", value=x.shape,
                         hint=f"it is [B, L, {'C' if channels is None else channels}]: windows, steps, series")


class RevIN(Module):
    """Reversible instance normalization (Kim et al. 2022, ICLR): each window to mean 0 and standard
    deviation 1 on its way in (`norm`), and back on its way out (`denorm`).

    num_features    C, the number of series
    eps             added to the variance
    affine          a trained weight and bias for each series (affine_weight, affine_bias) after normalization
    subtract_last   subtract the last value of the window instead of its mean

    Mean and standard deviation (of the population: divided by L) are taken of each window and series over its steps,
    and as in the authors' code no gradient flows through them. `denorm` uses those of the last `norm`; they are not
    part of the state. As in that code, denorm divides by affine_weight + eps^2.

    >>> import ndiv, numpy as np
    >>> layer, x = ndiv.nn.series.RevIN(1), ndiv.tensor(np.array([[[1.0], [3.0]]]))
    >>> z = layer.norm(x)
    >>> z.numpy().round(3).ravel().tolist(), layer.denorm(z).numpy().round(3).ravel().tolist()
    ([-1.0, 1.0], [1.0, 3.0])
    """

    mean: Any
    stdev: Any
    differentiates_statistics = False  # for explanations: gradients flow through mean and standard deviation too

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True, subtract_last: bool = False) -> None:
        super().__init__()
        _positive("RevIN", num_features=num_features)
        if not eps > 0:
            raise ConfigError(f"RevIN: eps must be positive, not {eps!r}", value=eps, hint="1e-5 is the paper's")
        self.num_features, self.eps, self.affine, self.subtract_last = num_features, eps, affine, subtract_last
        if affine:
            self.affine_weight = Parameter(np.ones(num_features, np.float32))
            self.affine_bias = Parameter(np.zeros(num_features, np.float32))
        self.mean = self.stdev = None

    def norm(self, x: Any, mask: Any = None) -> Any:
        """x [B, L, C] normalized; keeps the statistics for `denorm`.

        mask [B, L, 1] or [B, L, C] is 1 where x was observed: statistics are of these steps, and the others are taken
        to be at the mean (or at the last observed value). A window without any observation has mean 0 and variance 0.
        """
        _series("RevIN", x, self.num_features)
        mask = None if mask is None else self._observed(x, mask)
        with nullcontext() if self.differentiates_statistics else no_grad():  # traced either way
            self.mean, self.stdev = self._statistics(x, mask)
        z = (x - self.mean) / self.stdev
        if mask is not None:
            z = where(mask > 0, z, 0.0)
        return z * self.affine_weight + self.affine_bias if self.affine else z

    def denorm(self, y: Any) -> Any:
        """y [B, *, C] in the units of the windows that `norm` saw last."""
        if self.mean is None:
            raise ConfigError("RevIN: denorm before norm", hint="norm(x) takes the statistics that denorm puts back")
        if self.affine:
            y = (y - self.affine_bias) / (self.affine_weight + self.eps * self.eps)
        return y * self.stdev + self.mean

    def forward(self, x: Any, mode: str, mask: Any = None) -> Any:
        """`norm` or `denorm`, by name."""
        if mode not in ("norm", "denorm"):
            raise ConfigError(f"RevIN: unknown mode {mode!r}", value=mode, hint="'norm' or 'denorm'")
        return self.norm(x, mask) if mode == "norm" else self.denorm(x)

    def _observed(self, x: Any, mask: Any) -> Any:
        mask = (mask if hasattr(mask, "dtype") else np.asarray(mask)).astype(x.dtype)
        if len(mask.shape) != 3 or mask.shape[:2] != x.shape[:2] or mask.shape[2] not in (1, x.shape[2]):
            raise ShapeError(f"RevIN: mask has shape {list(mask.shape)} and x {list(x.shape)}", value=mask.shape,
                             hint="it is [B, L, 1] or [B, L, C]")
        return mask

    def _statistics(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """(what is subtracted, what is divided by), each [B, 1, C]."""
        if mask is None:
            centre = mean(x, 1, True)
            variance = mean((x - centre) * (x - centre), 1, True)
            last = x[:, -1:]
        else:
            x = where(mask > 0, x, 0.0)  # whatever stands where nothing was observed, NaN included, does not count
            count = sum(mask, 1, True)
            count = where(count > 0, count, 1.0)
            centre = sum(x, 1, True) / count
            off = where(mask > 0, x - centre, 0.0)
            variance = sum(off * off, 1, True) / count
            last = sum(x * _last_one(mask), 1, True)
        return (last if self.subtract_last else centre), sqrt(variance + self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.affine}, subtract_last={self.subtract_last}"


def _last_one(mask: Any) -> Any:
    """1 at the last observed step of each window, else 0."""
    on = where(mask > 0, 1.0, 0.0)
    later = flip(cumsum(flip(on, 1), 1), 1)  # observations at this step or after it
    return where(later == 1, on, 0.0).astype(mask.dtype)


class SeriesDecomposition(Module):
    """(seasonal, trend) of x [B, L, C]: the trend is a centred moving average whose ends are repeated, the rest is
    seasonal (Wu et al. 2021, Autoformer, equation 1).

    >>> import ndiv, numpy as np
    >>> seasonal, trend = ndiv.nn.series.SeriesDecomposition(3)(ndiv.tensor(np.array([[[0.0], [3.0], [0.0]]])))
    >>> seasonal.tolist(), trend.tolist()
    ([[[-1.0], [2.0], [-1.0]]], [[[1.0], [1.0], [1.0]]])
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        _positive("SeriesDecomposition", kernel_size=kernel_size)
        self.kernel_size = kernel_size

    def forward(self, x: Any) -> tuple[Any, Any]:
        _series("SeriesDecomposition", x)
        trend = _trend(x, self.kernel_size)
        return x - trend, trend

    def extra_repr(self) -> str:
        return f"{self.kernel_size}"


class MixtureDecomposition(Module):
    """(seasonal, trend) as in `SeriesDecomposition`, the trend mixed from several moving averages; the shares are
    a softmax of a trained linear function of each value (MOEDecomp: Zhou et al. 2022, FEDformer, section 3.4).

    >>> import ndiv, numpy as np
    >>> seasonal, trend = ndiv.nn.series.MixtureDecomposition([3, 5])(ndiv.tensor(np.ones((2, 7, 1), np.float32)))
    >>> seasonal.shape, trend.shape
    ((2, 7, 1), (2, 7, 1))
    """

    def __init__(self, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.kernel_sizes = tuple(kernel_sizes)
        if not self.kernel_sizes:
            raise ConfigError("MixtureDecomposition: no kernel sizes", value=kernel_sizes, hint="give at least one")
        for k in self.kernel_sizes:
            _positive("MixtureDecomposition", kernel_size=k)
        self.layer = Linear(1, len(self.kernel_sizes))

    def forward(self, x: Any) -> tuple[Any, Any]:
        _series("MixtureDecomposition", x)
        trends = stack([_trend(x, k) for k in self.kernel_sizes], -1)  # [B, L, C, K]
        trend = sum(trends * softmax(self.layer(unsqueeze(x, -1)), -1), -1)
        return x - trend, trend

    def extra_repr(self) -> str:
        return f"{list(self.kernel_sizes)}"


def _trend(x: Any, kernel_size: int) -> Any:
    """The centred moving average of x [B, L, C] over its steps, their ends repeated."""
    b, length, channels = x.shape
    if channels == 1:
        return transpose(moving_average(transpose(x, 1, 2), kernel_size), 1, 2)
    # channels stay next to each other: windows of 1, 2, 4, ... steps by doubling, and of those the ones that make up the kernel
    side = (kernel_size - 1) // 2
    sums = cat([expand(x[:, :1], (b, side, channels)), x, expand(x[:, -1:], (b, kernel_size - 1 - side, channels))], dim=1)
    parts, width, start = [], 1, 0
    while True:
        if kernel_size & width:
            parts.append(sums[:, start:start + length])
            start += width
        if 2 * width > kernel_size:
            return reduce(add, parts) * (1.0 / kernel_size)
        sums, width = sums[:, :-width] + sums[:, width:], 2 * width
