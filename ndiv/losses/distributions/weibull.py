"""The Weibull distribution: scale, concentration."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import (
    Array,
    Distribution,
    above_zero,
    check_support,
    exp,
    lgamma,
    log,
    minimum,
    narrow,
    relative_spread,
    wide,
)

__all__ = ["Weibull"]


class Weibull(Distribution):
    """1 - exp(-(y / scale)^k) is its distribution function, k = concentration.

    From a model: the scale, near raw scale + loc and positive, and 1 / k, which is about the relative spread.
    """

    NAMES = ("-scale", "-concentration")
    LEVEL = (True, False)
    SUPPORT = (0, np.inf, True)
    FILL = 1.0

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        size = above_zero(raw[0], loc, scale)
        return size, 1.0 / relative_spread(raw[1], size, scale)

    @property
    def mean(self) -> Any:
        size, k = self.params
        return size * exp(lgamma(1.0 + 1.0 / k))

    @property
    def variance(self) -> Any:
        size, k = self.params
        mean = exp(lgamma(1.0 + 1.0 / k))
        return size * size * (exp(lgamma(1.0 + 2.0 / k)) - mean * mean)

    def log_prob(self, y: Any) -> Any:
        check_support(Weibull, y)
        y, size, k = wide(y, *self.params)
        ratio = log(y) - log(size)
        power = k * ratio
        low = minimum(power, 30.0)  # a straight line goes on where log_prob is below -1e13, so that nothing overflows
        return narrow(log(k / size) + (k - 1.0) * ratio - exp(low) * (1.0 + (power - low)), self.params[0])

    def _cdf(self, y: Array, *params: Array) -> Array:
        size, k = params
        return -np.expm1(-((np.maximum(y, 0) / size) ** k))

    def _quantile(self, p: Array, *params: Array) -> Array:
        size, k = params
        return size * (-np.log1p(-p)) ** (1 / k)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        size, k = params
        return size * np.maximum(rng.weibull(k, shape), 1e-300)
