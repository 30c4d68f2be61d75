"""Student's t distribution: degrees of freedom, loc, scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import Array, Distribution, log, log1p, log_gamma_rise, narrow, softplus, spread, wide
from .numeric import beta_cdf, invert, normal_quantile

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Heavier tails than the normal's. From a model: df = 3 + softplus, loc, softplus for the scale."""

    NAMES = ("-df", "-loc", "-scale")
    LEVEL = (False, True, False)

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        df, mean, width = raw
        return 3.0 + softplus(df), (mean if scale is None else mean * scale + loc), spread(width, 0.1, scale)

    @property
    def mean(self) -> Any:
        """loc; it exists for df > 1, which the map gives."""
        return self.params[1]

    @property
    def variance(self) -> Any:
        """It exists for df > 2, which the map gives."""
        df, _, scale = self.params
        return scale * scale * (df / (df - 2.0))

    def log_prob(self, y: Any) -> Any:
        like = self.params[1]
        y, df, loc, scale = wide(y, *self.params)
        z = (y - loc) / scale
        norm = log_gamma_rise(0.5 * df, 0.5) - 0.5 * log(math.pi * df) - log(scale)
        return narrow(norm - 0.5 * (df + 1.0) * log1p(z * z / df), like)

    def _cdf(self, y: Array, *params: Array) -> Array:
        df, loc, scale = params
        z = (y - loc) / scale
        square = z * z
        tail = 0.5 * beta_cdf(0.5 * df, 0.5, df / (df + square), square / (df + square))[0].reshape(z.shape)
        return np.where(z < 0, tail, 1 - tail)

    def _quantile(self, p: Array, *params: Array) -> Array:
        p, df, loc, scale = np.atleast_1d(p, *params)
        lower = np.minimum(p, 1 - p)
        t, far = self._near(lower, df)
        if far.any():
            far_df, far_lower = df[far], lower[far]
            # over asinh(t), in which even the tail of one degree of freedom is near
            t[far] = np.sinh(invert(lambda u: self._cdf(np.sinh(u), far_df, np.zeros(()), np.ones(())), far_lower,
                                    np.arcsinh(np.clip(normal_quantile(far_lower), -30, 0))))
        return loc + scale * np.where(p == 0.5, 0.0, np.where(p < 0.5, t, -t))

    def _near(self, p: Array, df: Array) -> tuple[Array, Array]:
        """Standard quantiles of p <= 0.5, and where they are not found: Halley's steps from the expansion at the normal
        quantile (Abramowitz and Stegun 1964, 26.7.5), which is poor for few degrees of freedom and far tails. A step
        cubes the error, so that one below 1e-5 is the last."""
        z = normal_quantile(p)
        s = z * z
        t = z + z * ((s + 1) / 4 + ((s * 5 + 16) * s + 3) / (96 * df) + (((s * 3 + 19) * s + 17) * s - 15) / (384 * df**2)) / df
        half = 0.5 * (df + 1)
        peak = np.exp(log_gamma_rise(0.5 * df, 0.5)) / np.sqrt(np.pi * df)
        far = np.ones(p.shape, bool)
        for _ in range(6):
            step = (self._cdf(t, df, np.zeros(()), np.ones(())) - p) / (peak * np.exp(-half * np.log1p(t * t / df)))
            step = step / (1 + step * half * t / (df + t * t))
            t = np.where(far, t - step, t)  # those that are found stay: a result does not depend on what is beside it
            far = far & ~((np.abs(step) <= 1e-5 * np.abs(t) + 1e-15) & (t <= 0))
            if not far.any():
                break
        return t, far

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        df, loc, scale = params
        return loc + scale * rng.standard_t(df, shape)
