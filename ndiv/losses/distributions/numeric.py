"""Distribution functions and their inverses in NumPy, float64, elementwise and without gradient.

Contract: arguments broadcast; results are float64 arrays. The regularised incomplete functions have relative errors near
1e-13 for parameters up to 1e6 (power series and continued fractions with saddle-point prefactors after Loader, 2000,
Fast and accurate computation of binomial probabilities); inverses are solved to the last bits by bracketing (Chandrupatla
1997, A new hybrid quadratic/bisection algorithm), so they hold wherever the distribution function does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd.ops.special import HALF_LOG_2PI, SQRT_HALF, erfc, lgamma

__all__ = ["beta_cdf", "gamma_cdf", "invert", "normal_cdf", "normal_quantile", "search"]

Array = np.ndarray
_TINY = 1e-300
_MOST = 100_000  # terms of a series or fraction; about 6 sqrt(parameter) are needed
_CLOSE = 1e-15  # a factor this near 1 ends a fraction: rounding alone keeps it from coming nearer than some 5e-16


def normal_cdf(x: Any) -> Array:
    """Distribution function of the standard normal distribution, relatively accurate in the left tail."""
    return 0.5 * np.asarray(erfc(-SQRT_HALF * np.asarray(x, dtype=np.float64)))


def normal_quantile(p: Any) -> Array:
    """Its inverse: a rational first guess (Abramowitz and Stegun 1964, 26.2.23), then Halley's steps.

    >>> round(float(normal_quantile(0.975)), 6)
    1.959964
    """
    p = np.asarray(p, dtype=np.float64)
    lower = np.clip(np.minimum(p, 1 - p), _TINY, 0.5)
    t = np.sqrt(-2 * np.log(lower))
    x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t
    for _ in range(3):
        step = (normal_cdf(x) - lower) / (np.exp(-0.5 * x * x - HALF_LOG_2PI) + _TINY)
        x = x - step / (1 + 0.5 * x * step)
    x = np.where(p == 0.5, 0.0, np.where(p > 0.5, -x, x))
    return np.where(p <= 0, -np.inf, np.where(p >= 1, np.inf, x))


def _stirling_error(z: Array) -> Array:
    """lgamma(z) less Stirling's formula (z - 1/2) log z - z + log(2 pi) / 2."""
    w = np.maximum(z, 10.0)
    r = 1 / (w * w)
    series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * (691 / 360360 - r / 156)))))) / w
    s = np.minimum(z, 10.0)
    return np.where(z >= 10, series, lgamma(s) - ((s - 0.5) * np.log(s) - s + HALF_LOG_2PI))


def _gap(u: Array, ratio: Array) -> Array:
    """u - log(1 + u), where ratio = 1 + u is given too, since it may be small."""
    return u - np.where(u < -0.5, np.log(ratio), np.log1p(u))


def gamma_cdf(a: Any, x: Any) -> tuple[Array, Array]:
    """Regularised incomplete gamma functions (P(a, x), Q(a, x)), a > 0, x >= 0 (DLMF 8.7.1 and 8.9.2)."""
    a, x = np.broadcast_arrays(*np.atleast_1d(np.asarray(a, np.float64), np.asarray(x, np.float64)))
    with np.errstate(all="ignore"):
        x = np.clip(x, 0, 1e300)
        factor = np.sqrt(a / (2 * np.pi)) * np.exp(-_stirling_error(a) - a * _gap((x - a) / a, x / a))  # x^a e^-x / Gamma(a)
        factor = np.where(x > 0, factor, 0.0)
        small = x < a + 1
        low, high = np.zeros(x.shape), np.zeros(x.shape)
        low[small] = factor[small] * _gamma_series(a[small], x[small])
        high[~small] = factor[~small] * _gamma_fraction(a[~small], x[~small])
    low = np.where(small, np.minimum(low, 1.0), 1 - high)
    return low, np.where(small, 1 - low, high)


def _gamma_series(a: Array, x: Array) -> Array:
    """sum over n of x^n / (a (a + 1) ... (a + n))"""

    def step(n: int, state: list[Array], given: list[Array]) -> tuple[list[Array], Array]:
        term, total = state
        term = term * (given[1] / (given[0] + n))
        total = total + term
        return [term, total], term > total * 1e-17

    return _converge(step, [1 / a, 1 / a], [a, x])


def _gamma_fraction(a: Array, x: Array) -> Array:
    """Legendre's continued fraction, by the modified Lentz algorithm."""

    def step(n: int, state: list[Array], given: list[Array]) -> tuple[list[Array], Array]:
        c, d, h = state
        b = given[1] + (2 * n + 1 - given[0])
        state, change = _lentz(-n * (n - given[0]), b, c, d, h)
        return state, np.abs(change - 1) > _CLOSE

    b = x + 1 - a
    d = 1 / np.where(b == 0, _TINY, b)
    return _converge(step, [np.full(x.shape, 1 / _TINY), d, d], [a, x])


def _lentz(numerator: Array, b: Any, c: Array, d: Array, h: Array) -> tuple[list[Array], Array]:
    """One step of a continued fraction with partial numerator and denominator b; and the factor that it moved by."""
    d = numerator * d + b
    d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
    c = b + numerator / c
    c = np.where(np.abs(c) < _TINY, _TINY, c)
    change = d * c
    return [c, d, h * change], change


def _converge(step: Callable[..., Any], state: list[Array], given: list[Array]) -> Array:
    """The last array of ``state`` after as many steps as each element needs; elements that are done are left out."""
    result = np.zeros(given[0].shape)
    at = np.arange(given[0].size)
    for n in range(1, _MOST):
        state, moving = step(n, state, given)
        if n % 8 == 0 or at.size < 64:
            going = int(np.count_nonzero(moving))
            if 2 * going <= at.size:
                result[at[~moving]] = state[-1][~moving]
                at, state, given = at[moving], [v[moving] for v in state], [v[moving] for v in given]
                if not going:
                    break
    result[at] = state[-1]
    return result


def beta_cdf(a: Any, b: Any, x: Any, y: Any) -> tuple[Array, Array]:
    """Regularised incomplete beta functions (I_x(a, b), I_y(b, a)), where y = 1 - x is given too, since it may be small."""
    a, b, x, y = np.broadcast_arrays(*np.atleast_1d(*(np.asarray(v, np.float64) for v in (a, b, x, y))))
    with np.errstate(all="ignore"):
        d = b * x - a * y
        n = a + b
        log_factor = _stirling_error(n) - _stirling_error(a) - _stirling_error(b)
        factor = np.exp(log_factor - a * _gap(d / a, n * x / a) - b * _gap(-d / b, n * y / b))
        factor = factor * np.sqrt(a / (2 * np.pi) * (b / n))  # x^a y^b / B(a, b)
        swap = x * (n + 2) > a + 1
        p, q = np.where(swap, b, a), np.where(swap, a, b)
        v, w = np.where(swap, y, x), np.where(swap, x, y)
        part = np.where((v > 0) & (w > 0), factor / p * _beta_fraction(*(z.ravel() for z in (p, q, v))).reshape(v.shape), 0.0)
    part = np.clip(part, 0, 1)
    return np.where(swap, 1 - part, part), np.where(swap, part, 1 - part)


def _beta_fraction(a: Array, b: Array, x: Array) -> Array:
    """The continued fraction of I_x(a, b) (DLMF 8.17.22), by the modified Lentz algorithm."""

    def step(m: int, state: list[Array], given: list[Array]) -> tuple[list[Array], Array]:
        p, q, v = given
        middle = p + 2 * m
        state, _ = _lentz(m * (q - m) * v / ((middle - 1) * middle), 1, *state)
        state, change = _lentz(-(p + m) * (p + q + m) * v / (middle * (middle + 1)), 1, *state)
        return state, np.abs(change - 1) > _CLOSE

    d = 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
    return _converge(step, [np.ones(x.shape), d, d], [a, b, x])


def invert(cdf: Callable[[Array], Array], p: Array, guess: Array, step: Any = 1.0) -> Array:
    """t with cdf(t) = p for an increasing cdf on the whole line, elementwise; ``guess`` and p have the result's shape."""
    guess = np.array(np.broadcast_to(guess, p.shape), dtype=np.float64)
    low, high = guess - step, guess + step
    width = np.broadcast_to(np.asarray(step, np.float64), p.shape).copy()
    for _ in range(60):
        below, above = cdf(low) > p, cdf(high) < p
        if not below.any() and not above.any():
            break
        width = width * 2
        low, high = np.where(above, high, low), np.where(below, low, high)
        low, high = np.where(below, low - width, low), np.where(above, high + width, high)
    return bracketed(lambda t: cdf(t) - p, low, high)


def bracketed(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """A root of an increasing f between low and high, elementwise: inverse quadratic steps where safe, else halves."""
    a, b = np.asarray(high, np.float64), np.asarray(low, np.float64)
    fa, fb = f(a), f(b)
    c, fc = a, fa
    t = np.full(a.shape, 0.5)
    with np.errstate(all="ignore"):
        for _ in range(200):
            x = a + t * (b - a)
            fx = f(x)
            same = np.sign(fx) == np.sign(fa)
            c, fc = np.where(same, a, b), np.where(same, fa, fb)
            b, fb = np.where(same, b, a), np.where(same, fb, fa)
            a, fa = x, fx
            best = np.where(np.abs(fa) < np.abs(fb), a, b)
            limit = (4e-16 * np.abs(best) + 1e-300) / np.abs(b - a)
            done = (limit > 0.5) | (fa == 0) | (fb == 0) | (a == b)
            if done.all():
                break
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            safe = (phi * phi < xi) & ((1 - phi) ** 2 < 1 - xi)
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
            t = np.where(safe & np.isfinite(t), t, 0.5)
            t = np.where(done, 0.0, np.clip(t, limit, 1 - limit))
    return np.where(np.abs(fa) < np.abs(fb), a, b)


def search(cdf: Callable[[Array], Array], p: Array, guess: Array, step: Any) -> Array:
    """The smallest whole number k >= 0 with cdf(k) >= p, elementwise; cdf may fall short of p by its rounding."""
    p = p * (1 - 1e-13)
    high = np.maximum(np.floor(np.broadcast_to(guess, p.shape)), 0.0)
    width = np.maximum(np.floor(np.broadcast_to(step, p.shape)), 1.0)
    low = high - width
    for _ in range(60):
        short, long = cdf(high) < p, (low >= 0) & (cdf(np.maximum(low, 0)) >= p)
        if not short.any() and not long.any():
            break
        width = width * 2
        low, high = np.where(short, high, low), np.where(long, low, high)
        low, high = np.where(long, low - width, low), np.where(short, high + width, high)
    low = np.maximum(low, -1.0)
    for _ in range(math.ceil(math.log2(max(float(np.max(high - low, initial=2.0)), 2.0))) + 1):
        middle = np.floor((low + high) / 2)
        enough = (cdf(np.maximum(middle, 0)) >= p) & (middle >= 0)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
