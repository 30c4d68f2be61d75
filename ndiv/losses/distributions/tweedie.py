"""The Tweedie distribution: log_mu, for a fixed power rho between 1 and 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.ops.special import lgamma as log_gamma
from ...errors import ConfigError
from .base import Array, Distribution, check_support, clip, exp, log, softplus
from .numeric import bracketed, gamma_cdf, normal_cdf, normal_quantile

__all__ = ["Tweedie"]

# From this expected number of events on, the saddle-point formula takes the place of the sum over their number.
MANY_EVENTS = 50.0


class Tweedie(Distribution):
    """A Poisson number of gamma amounts: probability at 0 and a density above; variance mean^rho (Tweedie 1984).

    `log_prob` leaves out the term that depends on y and rho alone, as neuralforecast does: it differs from the
    log-density by the same number for all means. `cdf` and `quantile` sum over the number of events; where more than 50 are
    expected they use Lugannani and Rice's (1980) saddle-point formula, which there is within 2e-4 of the probability.

    From a model: log_mu = softplus(raw) + log(loc), in [1e-9, 37].
    """

    NAMES = ("-log_mu",)
    LEVEL = (False,)
    SUPPORT = (0, np.inf, False)

    def __init__(self, *params: Any, rho: float = 1.5) -> None:
        super().__init__(*params)
        if not 1 < rho < 2:
            raise ConfigError(f"Tweedie: rho must lie between 1 and 2, not {rho!r}", value=rho, hint="1.5 is common")
        self.rho = float(rho)

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        log_mu = clip(softplus(raw[0]), 1e-9, 37.0)
        if loc is not None and scale is not None:
            log_mu = log_mu + log(clip(loc, 1e-9))
        return (clip(log_mu, 1e-9, 37.0),)

    @property
    def mean(self) -> Any:
        return exp(self.params[0])

    @property
    def variance(self) -> Any:
        return exp(self.rho * self.params[0])

    def log_prob(self, y: Any) -> Any:
        check_support(Tweedie, y)
        log_mu, rho = self.params[0], self.rho
        return y * exp((1 - rho) * log_mu) / (1 - rho) - exp((2 - rho) * log_mu) / (2 - rho)

    def _events(self, log_mu: Array) -> tuple[Array, float, Array]:
        """Expected number of events, shape and rate of the gamma amounts."""
        rho = self.rho
        return np.exp((2 - rho) * log_mu) / (2 - rho), (2 - rho) / (rho - 1), np.exp((1 - rho) * log_mu) / (rho - 1)

    def _cdf(self, y: Array, *params: Array) -> Array:
        events, shape, rate = self._events(params[0])
        out = np.zeros(y.shape)
        few = (events < MANY_EVENTS) & (y >= 0)
        many = (events >= MANY_EVENTS) & (y >= 0)
        out[few] = _sum_over_events(events[few], shape, rate[few] * y[few])
        out[many] = _saddle_point(events[many], shape, rate[many] * y[many])
        return out

    def _quantile(self, p: Array, *params: Array) -> Array:
        log_mu = params[0]
        events, _, _ = self._events(log_mu)
        mean, sd = np.exp(log_mu), np.exp(0.5 * self.rho * log_mu)
        out = np.zeros(p.shape)
        some = p > np.exp(-events)
        if some.any():
            target, mu = p[some], log_mu[some]
            high = mean[some] + sd[some] * (np.maximum(normal_quantile(target), 0) + 3)
            for _ in range(60):
                short = self._cdf(high, mu) < target
                if not short.any():
                    break
                high = np.where(short, 2 * high, high)
            out[some] = bracketed(lambda y: self._cdf(y, mu) - target, np.zeros(high.shape), high)
        return out

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        events, amount, rate = self._events(params[0])
        n = rng.poisson(events, shape)
        return np.where(n > 0, rng.gamma(np.maximum(n, 1) * amount, 1 / rate), 0.0)


def _sum_over_events(events: Array, shape: float, x: Array) -> Array:
    """exp(-events) + sum over n >= 1 of Poisson(n; events) P(n shape, x)."""
    total = np.exp(-events)
    if not events.size:
        return total
    top = float(events.max())
    n = np.arange(1.0, np.ceil(top + 9 * np.sqrt(top) + 20))
    weight = np.exp(n * np.log(events[..., None]) - events[..., None] - log_gamma(n + 1))
    live = weight > 1e-17
    part = np.zeros(weight.shape)
    part[live] = gamma_cdf(np.broadcast_to(n * shape, weight.shape)[live], np.broadcast_to(x[..., None], weight.shape)[live])[0]
    return np.minimum(total + (weight * part).sum(axis=-1), 1.0)


def _saddle_point(events: Array, shape: float, x: Array) -> Array:
    """P(Y <= y) from the cumulants events ((1 - t)^-shape - 1), t in units of the rate, x = rate y."""
    x = np.maximum(x, 1e-12)
    base = (x / (events * shape)) ** (1 / (shape + 1))  # 1 / (1 - t) at the saddle point
    t = 1 - 1 / base
    cumulant = events * (base ** shape - 1)
    w = np.sign(t) * np.sqrt(np.maximum(2 * (t * x - cumulant), 0))
    u = t * np.sqrt(events * shape * (shape + 1) * base ** (shape + 2))
    near = np.abs(t) < 1e-4  # both terms have a pole at the mean; their sum has the third cumulant there
    skew = (shape + 2) / np.sqrt(events * shape * (shape + 1))
    safe_w, safe_u = np.where(near, 1.0, w), np.where(near, 1.0, u)
    correction = np.where(near, skew / 6, 1 / safe_w - 1 / safe_u)
    return np.clip(normal_cdf(w) + np.exp(-0.5 * w * w) / np.sqrt(2 * np.pi) * correction, 0, 1)
