"""The gamma distribution: concentration, rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import (
    Array,
    Distribution,
    above_zero,
    check_support,
    lgamma,
    log,
    log1p,
    log_gamma_scaled,
    maximum,
    narrow,
    relative_spread,
    where,
    wide,
)
from .numeric import gamma_cdf, invert, normal_quantile

__all__ = ["Gamma"]


class Gamma(Distribution):
    """rate^k y^(k-1) exp(-rate y) / Gamma(k), k = concentration.

    From a model: the mean, near raw scale + loc and positive, and the coefficient of variation 1 / sqrt(k).
    """

    NAMES = ("-concentration", "-rate")
    LEVEL = (True, False)
    SUPPORT = (0, np.inf, True)
    FILL = 1.0

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        mean = above_zero(raw[0], loc, scale)
        variation = relative_spread(raw[1], mean, scale)
        concentration = 1.0 / (variation * variation)
        return concentration, concentration / mean

    @property
    def mean(self) -> Any:
        return self.params[0] / self.params[1]

    @property
    def variance(self) -> Any:
        return self.mean / self.params[1]

    def log_prob(self, y: Any) -> Any:
        check_support(Gamma, y)
        y, k, rate = wide(y, *self.params)
        off = (rate * y - k) / k  # from the mean; log(1 + off) - off is all that a large k multiplies
        near = log1p(maximum(off, -0.5))
        deviance = where(off > -0.5, near, log(rate * y / k)) - off
        return narrow(k * deviance - log_gamma_scaled(k) - log(y), self.params[0])

    def _cdf(self, y: Array, *params: Array) -> Array:
        k, rate = params
        return gamma_cdf(k, np.maximum(y, 0) * rate)[0].reshape(y.shape)

    def _quantile(self, p: Array, *params: Array) -> Array:
        k, rate = params
        # over log(y rate), from Wilson and Hilferty's guess, or from the power law near 0
        cube = 1 - 1 / (9 * k) + normal_quantile(p) / (3 * np.sqrt(k))
        power = (np.log(np.maximum(p, 1e-300)) + lgamma(k + 1)) / k
        guess = np.where(cube > 0.3, np.log(k) + 3 * np.log(np.maximum(cube, 0.3)), np.minimum(power, np.log(k)))
        t = invert(lambda t: gamma_cdf(k, np.exp(np.clip(t, -745, 709)))[0].reshape(p.shape), p, np.maximum(guess, -745),
                   0.1 / np.sqrt(k) + 1e-3)
        return np.exp(t) / rate

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        k, rate = params
        return np.maximum(rng.gamma(k, 1 / rate, shape), 1e-300)
