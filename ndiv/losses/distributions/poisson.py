"""The Poisson distribution: rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Distribution, check_support, lgamma, log, narrow, softplus, wide
from .numeric import gamma_cdf, normal_quantile, search

__all__ = ["Poisson"]


class Poisson(Distribution):
    """rate^y exp(-rate) / y! for counts y. From a model: softplus(raw scale + loc) + 1e-10."""

    NAMES = ("-loc",)
    LEVEL = (True,)
    SUPPORT = (0, np.inf, False)
    discrete = True

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        rate = raw[0] if scale is None else raw[0] * scale + loc
        return (softplus(rate) + 1e-10,)

    @property
    def mean(self) -> Any:
        return self.params[0]

    @property
    def variance(self) -> Any:
        return self.params[0]

    def log_prob(self, y: Any) -> Any:
        check_support(Poisson, y)
        y, rate = wide(y, *self.params)
        return narrow(y * log(rate) - rate - lgamma(y + 1.0), self.params[0])

    def _cdf(self, y: Array, *params: Array) -> Array:
        k = np.floor(y)
        return np.where(k < 0, 0.0, gamma_cdf(np.maximum(k, 0) + 1, params[0])[1].reshape(k.shape))

    def _quantile(self, p: Array, *params: Array) -> Array:
        sd = np.sqrt(params[0])
        guess = params[0] + sd * np.clip(normal_quantile(p), -9, 9)
        return search(lambda k: self._cdf(k, *params), p, guess, 0.5 * sd + 2)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return rng.poisson(params[0], shape)
