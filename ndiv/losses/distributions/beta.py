"""The beta distribution: concentration1, concentration0."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Distribution, check_support, clip, log, log1p, log_beta, narrow, sigmoid, softplus, wide
from .numeric import beta_cdf, invert

__all__ = ["Beta"]


class Beta(Distribution):
    """y^(a-1) (1 - y)^(b-1) / B(a, b) for y in (0, 1), a = concentration1, b = concentration0.

    From a model: the mean sigmoid(raw + logit(loc)) (loc taken into [0.01, 0.99]), and a + b = (softplus(raw) + 0.1) /
    scale^2 (scale taken into [0.01, 1]).
    """

    NAMES = ("-concentration1", "-concentration0")
    LEVEL = (False, False)
    SUPPORT = (0, 1, True)
    FILL = 0.5

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        centre, total = raw[0], softplus(raw[1]) + 0.1
        if loc is not None and scale is not None:
            middle = clip(loc, 0.01, 0.99)
            width = clip(scale, 0.01, 1.0)
            centre, total = centre + log(middle / (1.0 - middle)), total / (width * width)
        return sigmoid(centre) * total + 1e-3, sigmoid(-centre) * total + 1e-3

    @property
    def mean(self) -> Any:
        a, b = self.params
        return a / (a + b)

    @property
    def variance(self) -> Any:
        a, b = self.params
        total = a + b
        return a * b / (total * total * (total + 1.0))

    def log_prob(self, y: Any) -> Any:
        check_support(Beta, y)
        y, a, b = wide(y, *self.params)
        each = (a - 1.0) * log(y) + (b - 1.0) * log1p(-y) - log_beta(a, b)
        return narrow(each, self.params[0])

    def _cdf(self, y: Array, *params: Array) -> Array:
        a, b = params
        inside = np.clip(y, 0, 1)
        return np.where(y <= 0, 0.0, np.where(y >= 1, 1.0, beta_cdf(a, b, inside, 1 - inside)[0].reshape(y.shape)))

    def _quantile(self, p: Array, *params: Array) -> Array:
        a, b = params
        # over logit(y), so that both ends of (0, 1) are far away
        t = invert(lambda t: beta_cdf(a, b, sigmoid(t), sigmoid(-t))[0].reshape(p.shape), p, np.log(a / b),
                   1 / np.sqrt(np.minimum(a, b)))
        return sigmoid(t)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        return np.clip(rng.beta(params[0], params[1], shape), 1e-7, 1 - 1e-7)
