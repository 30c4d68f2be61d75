"""Mixtures of one family: component parameters [*S, K] and, where they are weighted, weights [*S, K] that sum to 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from .base import Array, Distribution, clip, log, softplus, spread
from .negative_binomial import NegativeBinomial, count_and_probability
from .normal import Normal
from .numeric import bracketed, search
from .poisson import Poisson

__all__ = ["Mixture", "NegativeBinomialMixture", "NormalMixture", "PoissonMixture"]

_where = FUNCTIONS["where"]


class Mixture(Distribution):
    """Base of mixtures: sum over k of w_k f_k(y), with w_k = 1 / K where no weights are given.

    params: those of ``COMPONENT``, and the weights, each [*S, K].
    """

    COMPONENT: type[Distribution]

    def __init__(self, *params: Any) -> None:
        super().__init__(*params)
        n = len(self.NAMES)
        self.components = self.COMPONENT(*params[:n])
        self.weights = params[n] if len(params) > n else None
        self.size = params[0].shape[-1]
        self.discrete = self.COMPONENT.discrete

    @classmethod
    def from_model(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        """scale_decouple of the components, and softmax of the weights where there are any; loc and scale [*S]."""
        n = len(cls.NAMES)
        loc, scale = (v[..., None] if getattr(v, "shape", ()) else v for v in (loc, scale))
        weights = tuple(FUNCTIONS["softmax"](r, dim=-1) for r in raw[n:])
        return (*cls.scale_decouple(raw[:n], loc, scale), *weights)

    def _average(self, each: Any) -> Any:
        return each.mean(axis=-1) if self.weights is None else (each * self.weights).sum(axis=-1)

    @property
    def mean(self) -> Any:
        return self._average(self.components.mean)

    @property
    def variance(self) -> Any:
        means = self.components.mean
        centred = means - self._average(means).reshape((*means.shape[:-1], 1))
        return self._average(self.components.variance + centred * centred)

    def log_prob(self, y: Any, over: tuple[int, ...] = (), weight: Any = None) -> Any:
        """Log-density at y [*S]. over: axes whose elements share one component, kept with length 1; weight [*S] then
        says how often each element counts there."""
        each = self.components.log_prob(y.reshape((*y.shape, 1)))
        if over:
            each = each if weight is None else each * weight.reshape((*weight.shape, 1))
            each = each.sum(axis=over, keepdims=True)
        prior = -math.log(self.size) if self.weights is None else log(clip(self.weights, 1e-30))
        return FUNCTIONS["logsumexp"](each + prior, dim=-1)

    # -- arrays; the weights are the last parameter there ---------------------------------------------------------------

    def arrays(self) -> list[Array]:
        arrays = super().arrays()
        return arrays if self.weights is not None else [*arrays, np.full(arrays[0].shape, 1 / self.size)]

    def cdf(self, y: Any) -> Array:
        *params, weights = self.arrays()
        y = np.asarray(y.data if hasattr(y, "requires_grad") else y, np.float64)[..., None]
        return self._mixed(y, params, weights)

    def _mixed(self, y: Array, params: list[Array], weights: Array) -> Array:
        shape = np.broadcast_shapes(y.shape, weights.shape)
        full = [np.broadcast_to(p, shape) for p in params]
        return np.minimum((weights * self.components._cdf(np.broadcast_to(y, shape), *full)).sum(axis=-1), 1.0)

    def quantile(self, q: Any) -> Array:
        q = np.asarray(q, dtype=np.float64)
        *params, weights = (p[..., None, :] if q.ndim else p for p in self.arrays())
        shape = np.broadcast_shapes(q.shape, weights.shape[:-1])
        p = np.array(np.broadcast_to(q, shape))
        full = np.broadcast_shapes((*shape, 1), weights.shape)
        with np.errstate(all="ignore"):
            each = self.components._quantile(np.broadcast_to(p[..., None], full).copy(),
                                             *(np.broadcast_to(v, full) for v in params))
            low, high = each.min(axis=-1), each.max(axis=-1)  # the mixture's quantile lies between its components'
            if self.discrete:
                return search(lambda k: self._mixed(k[..., None], params, weights), p, high, np.maximum(high - low, 1.0))
            return bracketed(lambda y: self._mixed(y[..., None], params, weights) - p, low, high)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        *params_k, weights = params
        shape = shape[:-1]
        u = rng.random((*shape, 1))
        chosen = np.minimum((u > np.cumsum(weights, axis=-1)).sum(axis=-1), self.size - 1)[..., None]
        picked = [np.take_along_axis(np.broadcast_to(p, (*shape, self.size)), chosen, axis=-1)[..., 0] for p in params_k]
        return self.components._draw(rng, shape, *picked)


class NormalMixture(Mixture):
    """Mixture of normal distributions, mapped as `Normal`."""

    NAMES = ("-mu", "-std")
    LEVEL = (True, False)
    COMPONENT = Normal

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        mean, width = raw
        return (mean if scale is None else mean * scale + loc), spread(width, 0.2, scale)


class PoissonMixture(Mixture):
    """Mixture of Poisson distributions; rate softplus(raw scale + loc) + 1e-3."""

    NAMES = ("-lambda",)
    LEVEL = (True,)
    COMPONENT = Poisson

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        rate = raw[0] if scale is None else raw[0] * scale + loc
        return (softplus(rate) + 1e-3,)


class NegativeBinomialMixture(Mixture):
    """Mixture of negative binomial distributions; mean softplus(raw) loc and alpha = softplus(raw) / (loc + 1).

    Where loc is not positive (a window without a scaler has 0) scale takes its place.
    """

    NAMES = ("-total_count", "-probs")
    LEVEL = (False, False)
    COMPONENT = NegativeBinomial

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        mu, alpha = softplus(raw[0]) + 1e-8, softplus(raw[1]) + 1e-8
        if loc is not None and scale is not None:
            size = _where(loc > 0, loc, scale)
            mu, alpha = mu * size, alpha / (size + 1.0)
        return count_and_probability(mu, alpha)
