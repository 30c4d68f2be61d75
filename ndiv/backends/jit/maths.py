"""Elementary functions on single float64 numbers, in arithmetic that a compiler can turn into vector instructions.

Contract: the limits at inf, NaN for NaN, the sign of zero kept. ``c`` is FULL or SHORT: within a few units of the last
place of float64, but for results that are subnormal there, or within 1e-8 of the value. Choices are written as
conditional expressions without calls in their branches, which become selections; loops over coefficients have constant
lengths and are unrolled.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..kernels import _ERFCX, GELU_A, GELU_B, LEAKY_SLOPE, SELU_ALPHA, SELU_LAMBDA
from . import inline, overload

_MAGIC = 1.5 * 2.0**52  # x + MAGIC - MAGIC rounds x to a whole number, which then sits in the low bits of x + MAGIC
_MAGIC_BITS = np.int64(0x4338000000000000)
_LOG2_E = 1.0 / math.log(2.0)
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")
_ROOT_HALF_BITS = np.float64(math.sqrt(0.5)).view(np.int64)
_SHIFT = np.int64(52)
_ONE_BITS = np.int64(1023 << 52)
_ROOT_HALF, _INV_ROOT_2PI = math.sqrt(0.5), 1.0 / math.sqrt(2.0 * math.pi)
_SELU_SLOPE = SELU_LAMBDA * SELU_ALPHA


def _powers(chebyshev: tuple[float, ...]) -> tuple[float, ...]:
    """Coefficients of the powers, highest first, of a Chebyshev series; exact but for their own rounding."""
    size = len(chebyshev)
    total, now, after = [Fraction(0)] * size, [Fraction(0)] * size, [Fraction(0)] * size
    now[0], after[1] = Fraction(1), Fraction(1)
    for c in chebyshev:
        total = [t + Fraction(c) * n for t, n in zip(total, now, strict=True)]
        now, after = after, [2 * a - n for a, n in zip([Fraction(0), *after[:-1]], now, strict=True)]
    return tuple(map(float, reversed(total)))


class Series(NamedTuple):
    """Coefficients of polynomials, highest first; long ones in two parts, short enough to be unrolled."""

    exp: tuple[float, ...]  # (e^r - 1) / r
    log: tuple[float, ...]  # (log((1 + s) / (1 - s)) / s - 2) / s^2, in s^2
    erf_high: tuple[float, ...]  # erf(x) / x, in x^2; ten terms in the other part
    erf_low: tuple[float, ...]
    erfcx_high: tuple[float, ...]  # (z + 2) exp(z^2) erfc(z), in (z - 2) / (z + 2); two halves
    erfcx_low: tuple[float, ...]


def _series(exp: int, log: int, erf: int, erfcx: int) -> Series:
    """With that many terms."""
    powers = _powers(_ERFCX[:erfcx])
    maclaurin = tuple(2.0 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(erf))[::-1]
    return Series(tuple(1.0 / math.factorial(k) for k in range(exp, 0, -1)),
                  tuple(2.0 / (2 * k + 1) for k in range(log, 0, -1)), maclaurin[:-10], maclaurin[-10:],
                  powers[:erfcx // 2], powers[erfcx // 2:])


# What functions take as ``c``: how precise they are. SHORT is for results that are rounded to float32.
FULL, SHORT = _series(13, 11, 20, 28), _series(8, 5, 11, 12)
PRECISE = {"erf", "exp", "expm1", "log", "log1p", "sigmoid", "softplus", "tanh"}  # of an op's expression, those that take it


def precision(out: Any) -> Any:
    """FULL or SHORT, as the type of the array ``out`` asks for; known when a loop is compiled."""
    return SHORT if out.dtype == np.float32 else FULL


@overload(precision)
def _precision(out: Any) -> Any:
    def short(out: Any) -> Any:
        return SHORT

    def full(out: Any) -> Any:
        return FULL

    return short if str(out.dtype) == "float32" else full



@inline
def poly(x: Any, coefficients: Any) -> Any:
    y = coefficients[0]
    for k in range(1, len(coefficients)):
        y = y * x + coefficients[k]
    return y


@inline
def pow2(n: Any) -> Any:
    """2^n for a whole number n from -1022 to 1023."""
    bits = np.float64(n + _MAGIC).view(np.int64)
    return np.int64((bits << _SHIFT) + _ONE_BITS).view(np.float64)


@inline
def reduced(x: Any) -> Any:
    """(n, r) of x = n log(2) + r, with |r| at most log(2) / 2."""
    n = (x * _LOG2_E + _MAGIC) - _MAGIC
    return n, (x - n * _LN2_HIGH) - n * _LN2_LOW


@inline
def exp(x: Any, c: Any) -> Any:
    low, high = (-700.0, 700.0) if len(c.exp) < 10 else (-746.0, 710.0)
    b = x if x > low else low
    b = b if b < high else high
    n, r = reduced(b)
    y = 1.0 + r * poly(r, c.exp)
    if len(c.exp) < 10:  # what is not 0 nor inf in float32 is far from the ends of float64
        y = y * pow2(n)
    else:
        half = (0.5 * n + _MAGIC) - _MAGIC  # in two factors, so that neither overflows where the result does not
        y = y * pow2(half) * pow2(n - half)
    return y if x == x else x


@inline
def expm1(x: Any, c: Any) -> Any:
    b = x if x > -40.0 else -40.0
    b = b if b < 710.0 else 710.0
    n, r = reduced(b)
    s = pow2(n - 1.0)
    y = 2.0 * (s * (r * poly(r, c.exp)) + (s - 0.5))
    y = y if x == x else x
    return y if x != 0.0 else x


@inline
def log_sum(u: Any, rest: Any, c: Any) -> Any:
    """log(u + rest) for a normal u > 0 and a rest far below it."""
    bits = np.float64(u).view(np.int64)
    k = ((bits - _ROOT_HALF_BITS + (np.int64(1024) << _SHIFT)) >> _SHIFT) - np.int64(1024)
    m = np.int64(bits - (k << _SHIFT)).view(np.float64)
    n = np.int64(k + _MAGIC_BITS).view(np.float64) - _MAGIC
    f = m - 1.0
    s = f / (2.0 + f)
    z, square = s * s, 0.5 * f * f
    tail = s * (square + z * poly(z, c.log)) + (n * _LN2_LOW + rest / u)
    return n * _LN2_HIGH + (f - (square - tail))


@inline
def log(x: Any, c: Any) -> Any:
    tiny = x < 2.0**-1022
    y = log_sum(x * 2.0**54 if tiny else x, 0.0, c) - (54.0 * math.log(2.0) if tiny else 0.0)
    y = y if x < math.inf else x
    y = y if x != 0.0 else -math.inf
    return math.nan if x < 0.0 else y


@inline
def log1p(x: Any, c: Any) -> Any:
    u = 1.0 + x
    y = log_sum(u, x - (u - 1.0) if x < 1.0 else 1.0 - (u - x), c)
    y = y if x < math.inf else x
    y = y if x != -1.0 else -math.inf
    y = y if x != 0.0 else x
    return math.nan if x < -1.0 else y


@inline
def tanh(x: Any, c: Any) -> Any:
    e = expm1(-2.0 * abs(x), c)
    return math.copysign(e / (2.0 + e), x)


@inline
def sigmoid(x: Any, c: Any) -> Any:
    e = exp(-abs(x), c)
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@inline
def softplus(x: Any, c: Any) -> Any:
    return maximum(x, 0.0) + log1p(exp(-abs(x), c), c)


@inline
def maximum(a: Any, b: Any) -> Any:
    """The larger one; NaN where either is."""
    larger = a if a > b else b
    return larger if a == a else a


@inline
def minimum(a: Any, b: Any) -> Any:
    """The smaller one; NaN where either is."""
    smaller = a if a < b else b
    return smaller if a == a else a


@inline
def sign(x: Any) -> Any:
    y = (1.0 if x > 0.0 else 0.0) - (1.0 if x < 0.0 else 0.0)
    return y if x == x else x


@inline
def sqrt(x: Any) -> Any:
    return math.sqrt(x)


@inline
def sin(x: Any) -> Any:
    return math.sin(x)


@inline
def cos(x: Any) -> Any:
    return math.cos(x)


@inline
def erfcx(z: Any, c: Any) -> Any:
    """exp(z^2) erfc(z) for z >= 0: the reference's series, by powers, in two parts that are short enough to be unrolled."""
    r = 1.0 / (z + 2.0)
    y = 1.0 - 4.0 * r
    y2 = y * y
    y6 = y2 * y2 * y2
    return r * (poly(y, c.erfcx_high) * (y6 if len(c.erfcx_low) == 6 else y6 * y6 * y2) + poly(y, c.erfcx_low))


@inline
def erf(x: Any, c: Any) -> Any:
    z = abs(x)
    low = z if z < 1.0 else 0.0
    far = z if z > 1.0 else 1.0
    far = far if far < 10.0 else 10.0
    large = 1.0 - exp(-far * far, c) * erfcx(far, c)
    s = low * low
    s5 = s * s * s * s * s
    series = low * (poly(s, c.erf_high) * (s5 * s5) + poly(s, c.erf_low))
    y = series if z < 1.0 else large
    return math.copysign(y, x) if x == x else x


@inline
def normal(x: Any, c: Any) -> Any:
    """The standard normal distribution function and exp(-x^2 / 2)."""
    a = abs(x)
    bell = exp(-0.5 * a * a, c)
    near = a if a < 50.0 else 50.0
    q = 0.5 * bell * erfcx(near * _ROOT_HALF, c)
    y = q if x < 0.0 else 1.0 - q
    return (y if x == x else x), bell


@inline
def gated(x: Any, weight: Any) -> Any:
    """x weight, where the weight is 0 at -inf and so shall be the product."""
    return maximum(x, -1000.0) * weight


@inline
def sigmoid_pair(x: Any, c: Any) -> Any:
    """sigmoid(x), and 1 - sigmoid(x) without cancellation."""
    e = exp(-abs(x), c)
    r = 1.0 / (1.0 + e)
    return (r, e * r) if x >= 0.0 else (e * r, r)


@inline
def within(x: Any) -> Any:
    """x limited to +-1000."""
    return maximum(minimum(x, 1000.0), -1000.0)


# activations: act_NAME(x + bias), and back_NAME(g, saved) --------------------------------------------------------------

@inline
def act_identity(z: Any, c: Any) -> Any:
    return z


@inline
def act_relu(z: Any, c: Any) -> Any:
    return maximum(z, 0.0)


@inline
def act_leaky_relu(z: Any, c: Any) -> Any:
    return maximum(z, z * LEAKY_SLOPE)


@inline
def act_elu(z: Any, c: Any) -> Any:
    low = expm1(z, c)
    return z if z > 0.0 else low


act_tanh, act_sigmoid, act_softplus = tanh, sigmoid, softplus


@inline
def act_silu(z: Any, c: Any) -> Any:
    return gated(z, sigmoid(z, c))


@inline
def act_gelu(z: Any, c: Any) -> Any:
    return gated(z, normal(z, c)[0])


@inline
def act_gelu_tanh(z: Any, c: Any) -> Any:
    return gated(z, sigmoid(z * (GELU_A + GELU_B * (z * z)), c))


@inline
def act_selu(z: Any, c: Any) -> Any:
    low = _SELU_SLOPE * expm1(z, c)
    return SELU_LAMBDA * z if z > 0.0 else low


@inline
def back_relu(g: Any, s: Any, c: Any) -> Any:
    return g if s > 0.0 else 0.0


@inline
def back_leaky_relu(g: Any, s: Any, c: Any) -> Any:
    return g if s > 0.0 else g * LEAKY_SLOPE


@inline
def back_elu(g: Any, s: Any, c: Any) -> Any:
    return g * (minimum(s, 0.0) + 1.0)


@inline
def back_tanh(g: Any, s: Any, c: Any) -> Any:
    return g * (1.0 - s * s)


@inline
def back_sigmoid(g: Any, s: Any, c: Any) -> Any:
    return g * (s * (1.0 - s))


@inline
def back_softplus(g: Any, s: Any, c: Any) -> Any:
    return g * sigmoid(s, c)


@inline
def back_silu(g: Any, s: Any, c: Any) -> Any:
    z = within(s)
    w, rest = sigmoid_pair(z, c)
    return g * (w + z * w * rest)


@inline
def back_gelu(g: Any, s: Any, c: Any) -> Any:
    z = within(s)
    cdf, bell = normal(z, c)
    return g * (cdf + z * bell * _INV_ROOT_2PI)


@inline
def back_gelu_tanh(g: Any, s: Any, c: Any) -> Any:
    z = within(s)
    w, rest = sigmoid_pair(z * (GELU_A + GELU_B * (z * z)), c)
    return g * (w + z * w * rest * (GELU_A + 3.0 * GELU_B * (z * z)))


@inline
def back_selu(g: Any, s: Any, c: Any) -> Any:
    return g * SELU_LAMBDA if s > 0.0 else g * (s + _SELU_SLOPE)
