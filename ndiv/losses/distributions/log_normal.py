"""The log-normal distribution: loc and scale of the logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Distribution, above_zero, check_support, exp, log, relative_spread
from .normal import Normal

__all__ = ["LogNormal"]


class LogNormal(Distribution):
    """log y is normal. From a model: the median, near raw scale + loc and positive, and the scale relative to it."""

    NAMES = ("-loc", "-scale")
    LEVEL = (True, False)
    SUPPORT = (0, np.inf, True)
    FILL = 1.0

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        median = above_zero(raw[0], loc, scale)
        return log(median), relative_spread(raw[1], median, scale)

    @property
    def mean(self) -> Any:
        loc, scale = self.params
        return exp(loc + 0.5 * (scale * scale))

    @property
    def variance(self) -> Any:
        mean, scale = self.mean, self.params[1]
        return mean * mean * (exp(scale * scale) - 1.0)

    def log_prob(self, y: Any) -> Any:
        check_support(LogNormal, y)
        log_y = log(y)
        return Normal(*self.params).log_prob(log_y) - log_y

    def _cdf(self, y: Array, *params: Array) -> Array:
        log_y = np.log(np.where(y > 0, y, 1.0))
        return np.where(y > 0, Normal()._cdf(log_y, *params), 0.0)

    def _quantile(self, p: Array, *params: Array) -> Array:
        return np.exp(Normal()._quantile(p, *params))

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return rng.lognormal(params[0], params[1], shape)
