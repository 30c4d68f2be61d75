"""The Bernoulli distribution: logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Distribution, check_support, sigmoid, softplus

__all__ = ["Bernoulli"]


class Bernoulli(Distribution):
    """1 with probability sigmoid(logits), else 0. The model's number is the logit; loc and scale play no part."""

    NAMES = ("-logits",)
    LEVEL = (False,)
    SUPPORT = (0, 1, False)
    discrete = True

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        return (raw[0],)

    @property
    def mean(self) -> Any:
        return sigmoid(self.params[0])

    @property
    def variance(self) -> Any:
        p = sigmoid(self.params[0])
        return p * (1.0 - p)

    def log_prob(self, y: Any) -> Any:
        check_support(Bernoulli, y)
        return y * self.params[0] - softplus(self.params[0])

    def _cdf(self, y: Array, *params: Array) -> Array:
        return np.where(y < 0, 0.0, np.where(y < 1, sigmoid(-params[0]), 1.0))

    def _quantile(self, p: Array, *params: Array) -> Array:
        return (p > sigmoid(-params[0])).astype(np.float64)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return rng.random(shape) < sigmoid(params[0])
