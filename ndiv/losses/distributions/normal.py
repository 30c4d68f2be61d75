"""The normal distribution: loc, scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.ops.special import HALF_LOG_2PI
from .base import Array, Distribution, log, spread
from .numeric import normal_cdf, normal_quantile

__all__ = ["Normal"]


class Normal(Distribution):
    """exp(-z^2 / 2) / (scale sqrt(2 pi)), z = (y - loc) / scale. From a model: loc, and softplus for the scale."""

    NAMES = ("-loc", "-scale")
    LEVEL = (True, False)

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        mean, width = raw
        return (mean if scale is None else mean * scale + loc), spread(width, 0.2, scale)

    @property
    def mean(self) -> Any:
        return self.params[0]

    @property
    def variance(self) -> Any:
        return self.params[1] * self.params[1]

    def log_prob(self, y: Any) -> Any:
        loc, scale = self.params
        z = (y - loc) / scale
        return -0.5 * (z * z) - log(scale) - HALF_LOG_2PI

    def _cdf(self, y: Array, *params: Array) -> Array:
        loc, scale = params
        return normal_cdf((y - loc) / scale)

    def _quantile(self, p: Array, *params: Array) -> Array:
        loc, scale = params
        return loc + scale * normal_quantile(p)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return rng.normal(params[0], params[1], shape)
