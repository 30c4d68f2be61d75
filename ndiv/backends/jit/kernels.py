"""Kernels that are written by hand: sums, AdamW, layer normalization, Philox and dropout.

Contract: the meanings of `ndiv.backends.kernels`. Arrays are C-contiguous, of one type, float32 or float64, and of the
shapes that the wrappers checked. Sums are in float64, in a fixed order: rows on 4 or 8 interleaved partial sums, which
keep the adder busy without reordering by the compiler; columns one row after the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import compiled, inline

_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@inline
def total(x: Any) -> Any:
    """Sum of a vector."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = x.size - x.size % 8
    for i in range(0, whole, 8):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
        e += x[i + 4]
        f += x[i + 5]
        g += x[i + 6]
        h += x[i + 7]
    for i in range(whole, x.size):
        a += x[i]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@inline
def squares(x: Any, centre: Any) -> Any:
    """Sum of (x - centre)^2 over a vector."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = x.size - x.size % 8
    for i in range(0, whole, 8):
        a += (x[i] - centre) ** 2
        b += (x[i + 1] - centre) ** 2
        c += (x[i + 2] - centre) ** 2
        d += (x[i + 3] - centre) ** 2
        e += (x[i + 4] - centre) ** 2
        f += (x[i + 5] - centre) ** 2
        g += (x[i + 6] - centre) ** 2
        h += (x[i + 7] - centre) ** 2
    for i in range(whole, x.size):
        a += (x[i] - centre) ** 2
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@compiled
def sumsq(x: Any) -> Any:
    return squares(x, 0.0)


@compiled
def adamw(p: Any, g: Any, m: Any, v: Any, decay: Any, beta1: Any, beta2: Any, eps: Any, rate: Any, correction: Any,
          grad_scale: Any) -> None:
    """``decay`` is lr weight_decay, ``rate`` lr / bias_correction1, ``correction`` 1 / sqrt(bias_correction2)."""
    for i in range(p.size):
        gi = g[i] * grad_scale
        mi = m[i] * beta1 + (1.0 - beta1) * gi
        vi = v[i] * beta2 + (1.0 - beta2) * (gi * gi)
        m[i] = mi
        v[i] = vi
        p[i] = (p[i] - decay * p[i]) - rate * (mi / (math.sqrt(vi) * correction + eps))


@compiled
def column_sums(x: Any, out: Any) -> None:
    """Adds the rows of x to ``out``, which is float64."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]


@compiled
def layer_norm(x: Any, gamma: Any, beta: Any, eps: Any, out: Any, mean: Any, rstd: Any) -> None:
    rows, cols = x.shape
    for i in range(rows):
        mu = total(x[i]) / cols
        r = 1.0 / math.sqrt(squares(x[i], mu) / cols + eps)
        mean[i] = mu
        rstd[i] = r
        for j in range(cols):
            out[i, j] = (x[i, j] - mu) * r * gamma[j] + beta[j]


@compiled
def layer_norm_bwd(g: Any, x: Any, gamma: Any, mean: Any, rstd: Any, gx: Any, ggamma: Any, gbeta: Any) -> None:
    """``ggamma`` and ``gbeta`` are float64, zeros on entry."""
    rows, cols = x.shape
    for i in range(rows):
        mu, r = np.float64(mean[i]), np.float64(rstd[i])
        h, hn = _two_sums(g[i], x[i], gamma, mu, r)
        h, hn = h / cols, hn / cols
        for j in range(cols):
            gx[i, j] = r * (g[i, j] * np.float64(gamma[j]) - h - ((x[i, j] - mu) * r) * hn)
        for j in range(cols):
            ggamma[j] += g[i, j] * ((x[i, j] - mu) * r)
            gbeta[j] += g[i, j]


@inline
def _two_sums(g: Any, x: Any, gamma: Any, mu: Any, r: Any) -> Any:
    """Sums of h = g gamma, and of h (x - mu) r."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    an, bn, cn, dn = 0.0, 0.0, 0.0, 0.0
    whole = x.size - x.size % 4
    for j in range(0, whole, 4):
        h = g[j] * np.float64(gamma[j])
        a += h
        an += h * ((x[j] - mu) * r)
        h = g[j + 1] * np.float64(gamma[j + 1])
        b += h
        bn += h * ((x[j + 1] - mu) * r)
        h = g[j + 2] * np.float64(gamma[j + 2])
        c += h
        cn += h * ((x[j + 2] - mu) * r)
        h = g[j + 3] * np.float64(gamma[j + 3])
        d += h
        dn += h * ((x[j + 3] - mu) * r)
    for j in range(whole, x.size):
        h = g[j] * np.float64(gamma[j])
        a += h
        an += h * ((x[j] - mu) * r)
    return (a + b) + (c + d), (an + bn) + (cn + dn)


# random numbers -------------------------------------------------------------------------------------------------------

@inline
def block_of(key: Any, stream: Any, counter: Any) -> Any:
    """The four words of Philox4x32-10, in uint64."""
    c0, c1, c2, c3 = counter & _LOW, counter >> _HALF, stream & _LOW, stream >> _HALF
    k0, k1 = key & _LOW, key >> _HALF
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@compiled
def philox(key: Any, stream: Any, block: Any, out: Any) -> None:
    """``out`` [blocks, 4] uint32."""
    for i in range(out.shape[0]):
        a, b, c, d = block_of(key, stream, block + np.uint64(i))
        out[i, 0] = a
        out[i, 1] = b
        out[i, 2] = c
        out[i, 3] = d


@compiled
def dropout(x: Any, limit: Any, scale: Any, key: Any, stream: Any, out: Any) -> None:
    """``limit`` uint64: words below it drop; ``scale`` has the type of x."""
    zero = scale - scale
    whole = x.size // 4
    for i in range(whole):
        a, b, c, d = block_of(key, stream, np.uint64(i))
        k = 4 * i
        out[k] = x[k] * scale if a >= limit else zero
        out[k + 1] = x[k + 1] * scale if b >= limit else zero
        out[k + 2] = x[k + 2] * scale if c >= limit else zero
        out[k + 3] = x[k + 3] * scale if d >= limit else zero
    if 4 * whole < x.size:
        words = block_of(key, stream, np.uint64(whole))
        for k in range(4 * whole, x.size):
            out[k] = x[k] * scale if words[k - 4 * whole] >= limit else zero
