"""The NumPy backend: each native kernel's meaning, in a few lines of NumPy.

Contract: these references define what the kernels of ``csrc/kernels.def`` compute; ``native.py`` offers the same names
and signatures, and the tests hold it to these functions run in float64. They take any floating dtype and layout, keep
the dtype, and emit no floating-point warnings: inf and NaN are results here. Only NumPy and the standard library are
used.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

__all__ = ["ACTS", "ACT_SAVES", "UNARY", "adamw", "bias_act", "bias_act_bwd", "dropout", "layer_norm", "layer_norm_bwd",
           "philox_u32", "sumsq", "unary"]

Array = np.ndarray
F = TypeVar("F", bound=Callable[..., Any])

# The codes are ND_ACT_* and ND_FN_* of csrc/include/ndiv.h.
ACTS = {"identity": 0, "relu": 1, "leaky_relu": 2, "elu": 3, "tanh": 4, "sigmoid": 5, "silu": 6, "softplus": 7,
        "gelu": 8, "gelu_tanh": 9, "selu": 10}
UNARY = {"exp": 0, "expm1": 1, "log1p": 2, "tanh": 3, "sigmoid": 4, "erf": 5}

# What the backward pass of each activation reads: the forward output, or the value before the activation, x + bias.
ACT_SAVES = {"identity": "out", "relu": "out", "leaky_relu": "out", "elu": "out", "tanh": "out", "sigmoid": "out",
             "silu": "pre", "softplus": "pre", "gelu": "pre", "gelu_tanh": "pre", "selu": "out"}

LEAKY_SLOPE = 0.01
SELU_LAMBDA, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
GELU_A = 2.0 * math.sqrt(2.0 / math.pi)
GELU_B = 0.044715 * GELU_A

# Chebyshev series in y = (z - 2) / (z + 2) of (z + 2) exp(z^2) erfc(z) for z >= 0, by csrc/tools/fit_coefficients.py.
_ERFCX = (
    1.1540674772329393,
    -0.710873842540997,
    0.13019031765757305,
    -0.007342284791673278,
    -0.002225689486705265,
    0.0003215165983075616,
    6.556063148346275e-05,
    -1.088488329101003e-05,
    -3.0309331106342944e-06,
    2.8595216362339915e-07,
    1.6469217654839158e-07,
    2.5925693704628913e-09,
    -8.309443262028966e-09,
    -1.269411655671288e-09,
    2.8641645424623467e-10,
    1.2320780210503104e-10,
    4.122427711707188e-12,
    -7.142986297113603e-12,
    -1.717284568253033e-12,
    1.229120044863615e-13,
    1.4837451499455636e-13,
    2.5790085344773685e-14,
    -4.717453123460608e-15,
    -3.1458704128094886e-15,
    -4.556600422469922e-16,
    1.2624571513624886e-16,
    7.183246240564745e-17,
    1.0098389553426005e-17,
)
_ERFCX_TERMS = {np.dtype(np.float32): 12, np.dtype(np.float16): 8}


def _quiet(function: F) -> F:
    """``function`` without floating-point warnings."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return run  # type: ignore[return-value]


# elementary functions -----------------------------------------------------------------------------------------------

def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), written so that nothing overflows: the numerator is 1 for x >= 0."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def _sigmoid_pair(x: Array) -> tuple[Array, Array]:
    """sigmoid(x), and 1 - sigmoid(x) = sigmoid(-x) without cancellation."""
    r = 1 / (1 + np.exp(-np.abs(x)))
    return np.exp(np.minimum(x, 0)) * r, np.exp(np.minimum(-x, 0)) * r


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erfcx(z: Array) -> Array:
    """exp(z^2) erfc(z) for z >= 0: Clenshaw's recurrence on the series above."""
    r = 1 / (z + 2)
    y2 = 2 * (1 - 4 * r)
    b1: Any = 0.0
    b2: Any = 0.0
    for c in reversed(_ERFCX[1:_ERFCX_TERMS.get(z.dtype, len(_ERFCX))]):
        b1, b2 = y2 * b1 - b2 + c, b1
    return r * (0.5 * y2 * b1 - b2 + _ERFCX[0])


def _erf(x: Array) -> Array:
    """erf: the Maclaurin series below 1, where 1 - erfc would cancel, and 1 - erfc above."""
    z = np.abs(x)
    z2 = np.where(z < 1, z * z, 0)
    series = np.zeros_like(z2)
    for k in reversed(range(20)):
        series = series * z2 + (-1) ** k / (math.factorial(k) * (2 * k + 1))
    far = np.clip(z, 1, 10)
    large = 1 - np.exp(-far * far) * _erfcx(far)
    y = np.where(z < 1, 2 / math.sqrt(math.pi) * z * series, large)
    return np.copysign(np.where(np.isnan(x), x, y), x).astype(x.dtype, copy=False)


def _normal(x: Array) -> tuple[Array, Array]:
    """The standard normal distribution function and exp(-x^2 / 2)."""
    a = np.abs(x)
    bell = np.exp(-0.5 * a * a)
    q = 0.5 * bell * _erfcx(np.minimum(a, 50) * math.sqrt(0.5))
    return np.where(x < 0, q, 1 - q), bell


def _gelu_2u(z: Array) -> Array:
    """2 u = z (A + B z^2), so that gelu_tanh(z) = z sigmoid(2 u)."""
    return z * (GELU_A + GELU_B * (z * z))


def _gated(x: Array, weight: Array) -> Array:
    """x weight, where the weight is 0 at -inf and so shall be the product."""
    return np.maximum(x, -1000) * weight


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp, "expm1": np.expm1, "log1p": np.log1p, "tanh": np.tanh, "sigmoid": _sigmoid, "erf": _erf}


@_quiet
def unary(x: Array, fn: str, out: Array | None = None) -> Array:
    """``fn(x)`` for one of ``UNARY``."""
    y = _FUNCTIONS[fn](x)
    if out is None:
        return y
    out[...] = y
    return out


# optimizer ----------------------------------------------------------------------------------------------------------

@_quiet
def sumsq(x: Array) -> float:
    """Sum of squares of all elements, accumulated in double."""
    return float(np.square(x, dtype=np.float64).sum())


@_quiet
def adamw(p: Array, g: Array, m: Array, v: Array, *, lr: float, beta1: float = 0.9, beta2: float = 0.999,
          eps: float = 1e-8, weight_decay: float = 0.0, bias_correction1: float = 1.0, bias_correction2: float = 1.0,
          grad_scale: float = 1.0) -> None:
    """One AdamW step in place on p, m and v, in PyTorch's order (Loshchilov and Hutter, 2019, algorithm 2)."""
    g = g * grad_scale
    p -= (lr * weight_decay) * p
    m *= beta1
    m += (1.0 - beta1) * g
    v *= beta2
    v += (1.0 - beta2) * (g * g)
    denominator = np.sqrt(v) * (1.0 / math.sqrt(bias_correction2)) + eps
    p -= (lr / bias_correction1) * (m / denominator)


# bias and activation ------------------------------------------------------------------------------------------------

def _act(z: Array, act: str) -> Array:
    if act == "identity":
        return z.copy()
    if act == "relu":
        return np.maximum(z, 0)
    if act == "leaky_relu":
        return np.maximum(z, z * LEAKY_SLOPE)
    if act == "elu":
        return np.maximum(z, 0) + np.expm1(np.minimum(z, 0))  # one of the two is 0
    if act == "tanh":
        return np.tanh(z)
    if act == "sigmoid":
        return _sigmoid(z)
    if act == "silu":
        return _gated(z, _sigmoid(z))
    if act == "softplus":
        return _softplus(z)
    if act == "gelu":
        return _gated(z, _normal(z)[0])
    if act == "gelu_tanh":
        return _gated(z, _sigmoid(_gelu_2u(z)))
    return SELU_LAMBDA * np.maximum(z, 0) + SELU_LAMBDA * SELU_ALPHA * np.expm1(np.minimum(z, 0))


def _slope(s: Array, act: str) -> Array:
    """The derivative from the saved array."""
    if act == "elu":
        return np.minimum(s, 0) + 1
    if act == "tanh":
        return 1 - s * s
    if act == "sigmoid":
        return s * (1 - s)
    if act == "softplus":
        return _sigmoid(s)
    z = np.clip(s, -1000, 1000)
    if act == "silu":
        w, complement = _sigmoid_pair(z)
        return w + z * w * complement
    if act == "gelu":
        cdf, bell = _normal(z)
        return cdf + z * bell * (1 / math.sqrt(2 * math.pi))
    w, complement = _sigmoid_pair(_gelu_2u(z))
    return w + z * w * complement * (GELU_A + 3 * GELU_B * (z * z))


def _act_bwd(g: Array, s: Array, act: str) -> Array:
    if act == "identity":
        return g
    if act == "relu":
        return np.where(s > 0, g, g.dtype.type(0))
    if act == "leaky_relu":
        return np.where(s > 0, g, g * LEAKY_SLOPE)
    if act == "selu":
        return np.where(s > 0, g * SELU_LAMBDA, g * (s + SELU_LAMBDA * SELU_ALPHA))
    return g * _slope(s, act)


@_quiet
def bias_act(x: Array, bias: Array | None, act: str, out: Array | None = None) -> tuple[Array, Array]:
    """``(act(x + bias), saved)`` for x [rows, cols] and bias [cols]; saved is what ``ACT_SAVES`` says."""
    pre = x if bias is None else x + bias
    y = _act(pre, act)
    if out is not None:
        out[...] = y
        y = out
    return y, (y if ACT_SAVES[act] == "out" else pre)


@_quiet
def bias_act_bwd(g: Array, saved: Array, act: str, need_bias: bool = True) -> tuple[Array, Array | None]:
    """``(gx, gbias)`` for g [rows, cols]; gbias is the column sum of gx, or None when not needed.

    For identity gx is g itself.
    """
    gx = _act_bwd(g, saved, act)
    return gx, (gx.sum(0) if need_bias else None)


# layer normalization ------------------------------------------------------------------------------------------------

@_quiet
def layer_norm(x: Array, gamma: Array | None, beta: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """``(out, mean, rstd)`` for x [rows, cols]: out = (x - mean) rstd gamma + beta, rstd = 1 / sqrt(variance + eps)."""
    mean = x.mean(1)
    centred = x - mean[:, None]
    rstd = 1 / np.sqrt(np.square(centred).mean(1) + eps)
    out = centred * rstd[:, None]
    if gamma is not None:
        out *= gamma
    if beta is not None:
        out += beta
    return out, mean, rstd


@_quiet
def layer_norm_bwd(g: Array, x: Array, gamma: Array | None, mean: Array,
                   rstd: Array) -> tuple[Array, Array | None, Array | None]:
    """``(gx, ggamma, gbeta)``; the last two are None when gamma is."""
    n = (x - mean[:, None]) * rstd[:, None]
    h = g if gamma is None else g * gamma
    gx = rstd[:, None] * (h - h.mean(1, keepdims=True) - n * (h * n).mean(1, keepdims=True))
    return gx, *((None, None) if gamma is None else ((g * n).sum(0), g.sum(0)))


# random numbers -----------------------------------------------------------------------------------------------------

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_CHUNK = 8192  # blocks at a time, so that the six work arrays stay in cache


@_quiet
def philox_u32(key: int, stream: int, block: int, n: int) -> Array:
    """n words of Philox4x32-10: element i is word i % 4 of the block at counter (block + i // 4, stream).

    The 128-bit counter is (block, stream), each 64 bits, low word first (Salmon et al., SC 2011).

    >>> [hex(int(w)) for w in philox_u32(0, 0, 0, 2)]
    ['0x6627e8d5', '0xe169c58d']
    """
    out = np.empty(((n + 3) // 4, 4), np.uint32)
    for start in range(0, len(out), _CHUNK):
        part = out[start:start + _CHUNK]
        counters = np.arange(len(part), dtype=np.uint64) + np.uint64((block + start) & 0xFFFFFFFFFFFFFFFF)
        _philox_rounds(key, stream, counters, part)
    return out.reshape(-1)[:n]


def _philox_rounds(key: int, stream: int, counters: Array, out: Array) -> None:
    """out[i] = the four words of the block at (counters[i], stream): ten rounds on 32-bit words held in uint64."""
    c0, c1 = counters & _LOW, counters >> _HALF
    c2, c3 = np.full_like(c0, stream & 0xFFFFFFFF), np.full_like(c0, stream >> 32)
    p0, p1 = np.empty_like(c0), np.empty_like(c0)
    for r in range(10):
        np.multiply(c0, _M0, out=p0)
        np.multiply(c2, _M1, out=p1)
        # c0, c1, c2, c3 = high(p1) ^ c1 ^ key0, low(p1), high(p0) ^ c3 ^ key1, low(p0)
        np.right_shift(p1, _HALF, out=c0)
        c0 ^= c1
        c0 ^= np.uint64(((key & 0xFFFFFFFF) + r * 0x9E3779B9) & 0xFFFFFFFF)
        np.bitwise_and(p1, _LOW, out=c1)
        np.right_shift(p0, _HALF, out=c2)
        c2 ^= c3
        c2 ^= np.uint64(((key >> 32) + r * 0xBB67AE85) & 0xFFFFFFFF)
        np.bitwise_and(p0, _LOW, out=c3)
    for word, c in enumerate((c0, c1, c2, c3)):
        out[:, word] = c


@_quiet
def dropout(x: Array, p: float, key: int, stream: int) -> Array:
    """x / (1 - p) where the word of ``philox_u32(key, stream, 0, ...)`` is at least p 2^32, else 0.

    The backward pass is the same call on the gradient. p is in [0, 1]; 1 gives zeros.
    """
    if p == 1.0:
        return np.zeros(x.shape, x.dtype)
    keep = philox_u32(key, stream, 0, x.size).reshape(x.shape) >= np.uint32(p * 4294967296.0)
    return np.where(keep, x * x.dtype.type(1.0 / (1.0 - p)), x.dtype.type(0))
