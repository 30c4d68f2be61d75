"""The negative binomial distribution: total_count, probs."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Distribution, check_support, clip, log, log1p, log_beta, narrow, softplus, wide
from .numeric import beta_cdf, normal_quantile, search

__all__ = ["NegativeBinomial"]


def count_and_probability(mu: Any, alpha: Any) -> tuple[Any, Any]:
    """(total_count, probs) of mean mu and variance mu + alpha mu^2."""
    odds = mu * alpha
    return 1.0 / alpha, clip(odds / (1.0 + odds) + 1e-8, None, 1 - 1e-6)


class NegativeBinomial(Distribution):
    """Gamma(y + r) / (y! Gamma(r)) (1 - p)^r p^y for counts y, r = total_count, p = probs (PyTorch's parameters).

    From a model: mean softplus(raw) scale + loc, and alpha = 1 / r = softplus(raw) / (scale + 1).
    """

    NAMES = ("-total_count", "-logits")
    LEVEL = (True, False)
    SUPPORT = (0, np.inf, False)
    discrete = True

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        mu, alpha = softplus(raw[0]) + 1e-8, softplus(raw[1]) + 1e-8
        if scale is not None:
            mu, alpha = clip(mu * scale + loc, 1e-8), alpha / (scale + 1.0)
        return count_and_probability(mu, alpha)

    @property
    def mean(self) -> Any:
        count, probs = self.params
        return count * probs / (1.0 - probs)

    @property
    def variance(self) -> Any:
        return self.mean / (1.0 - self.params[1])

    def log_prob(self, y: Any) -> Any:
        check_support(NegativeBinomial, y)
        y, count, probs = wide(y, *self.params)
        # Gamma(y + r) / (y! Gamma(r)) = 1 / ((y + r) B(r, y + 1))
        each = count * log1p(-probs) + y * log(probs) - log_beta(count, y + 1.0) - log(y + count)
        return narrow(each, self.params[0])

    def _cdf(self, y: Array, *params: Array) -> Array:
        count, probs = params
        k = np.floor(y)
        return np.where(k < 0, 0.0, beta_cdf(count, np.maximum(k, 0) + 1, 1 - probs, probs)[0].reshape(k.shape))

    def _quantile(self, p: Array, *params: Array) -> Array:
        count, probs = params
        mean = count * probs / (1 - probs)
        sd = np.sqrt(mean / (1 - probs))
        return search(lambda k: self._cdf(k, *params), p, mean + sd * np.clip(normal_quantile(p), -9, 9), 0.5 * sd + 2)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        count, probs = params
        return rng.poisson(rng.gamma(count, probs / (1 - probs), shape))
