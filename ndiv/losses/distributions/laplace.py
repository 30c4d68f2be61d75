"""The Laplace distribution: loc, scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import Array, absolute, log
from .normal import Normal

__all__ = ["Laplace"]


class Laplace(Normal):
    """exp(-|y - loc| / scale) / (2 scale). The model's numbers are mapped as those of `Normal`."""

    @property
    def variance(self) -> Any:
        return 2.0 * self.params[1] * self.params[1]

    def log_prob(self, y: Any) -> Any:
        loc, scale = self.params
        return -absolute(y - loc) / scale - log(scale) - math.log(2)

    def _cdf(self, y: Array, *params: Array) -> Array:
        loc, scale = params
        z = (y - loc) / scale
        half = 0.5 * np.exp(-np.abs(z))
        return np.where(z < 0, half, 1 - half)

    def _quantile(self, p: Array, *params: Array) -> Array:
        loc, scale = params
        lower = np.minimum(p, 1 - p)
        return loc + scale * np.sign(0.5 - p) * np.log(2 * lower)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return rng.laplace(params[0], params[1], shape)


