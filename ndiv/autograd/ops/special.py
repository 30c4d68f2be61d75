"""Special functions: erf, erfc, lgamma, digamma, polygamma, and gelu, which is made of erf.

NumPy only. The references work in float64 (or complex128, for the complex step) whatever the input's type, and round
once at the end. Relative error in float64 for positive arguments: below 4e-15 (docstrings say where it is not).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends import kernels
from ...errors import ConfigError
from ..primitive import Bad, Primitive, Sample, register
from ..tape import apply
from ._declare import elementwise_cost, numbers, text_bad, unary_samples
from .elementwise import exp, log, sigmoid, tanh

PUBLIC = ("digamma erf erfc gelu lgamma polygamma").split()
_NDIV_INTERNAL = True
POLYGAMMA: Primitive  # its own gradient

EULER_GAMMA = 0.5772156649015329
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
SQRT_HALF = math.sqrt(0.5)

# zeta(k) - 1 for k = 2 ... 29: the Taylor coefficients of lgamma at 2 (Abramowitz and Stegun 1964, 6.1.33)
_ZETA_M1 = (
    0.6449340668482264, 0.2020569031595943, 0.08232323371113819, 0.03692775514336993, 0.01734306198444914,
    0.008349277381922827, 0.00407735619794434, 0.0020083928260822143, 0.0009945751278180853, 0.0004941886041194645,
    0.0002460865533080483, 0.00012271334757848915, 6.124813505870483e-05, 3.058823630702049e-05, 1.528225940865187e-05,
    7.637197637899763e-06, 3.81729326499984e-06, 1.908212716553939e-06, 9.539620338727962e-07, 4.769329867878064e-07,
    2.38450502727733e-07, 1.1921992596531106e-07, 5.960818905125948e-08, 2.980350351465228e-08, 1.4901554828365043e-08,
    7.45071178983543e-09, 3.725334024788457e-09, 1.862659723513049e-09)
_LGAMMA_AT_2 = (1 - EULER_GAMMA, *((-1) ** k * z / k for k, z in enumerate(_ZETA_M1, 2)))
_DIGAMMA_AT_2 = (1 - EULER_GAMMA, *((-1) ** k * z for k, z in enumerate(_ZETA_M1, 2)))
# Bernoulli numbers B2, B4, ... B20
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
_STIRLING = tuple(b / (2 * j * (2 * j - 1)) for j, b in enumerate(_BERNOULLI[:8], 1))
_ASYMPTOTIC = tuple(-b / (2 * j) for j, b in enumerate(_BERNOULLI[:8], 1))
# digamma's positive root, as a sum of two doubles, and its Taylor coefficients there
_ROOT = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA_AT_ROOT = (
    0.9676722454476212, -0.4427631689835921, 0.258499760955651, -0.16394270544240652, 0.10782405069126237,
    -0.07219956125645471, 0.04880428816414311, -0.03316112647484736, 0.022597648232218104, -0.01542476590494896,
    0.010538791616612175, -0.007204534386356869, 0.004926781395729853, -0.003369801655439328, 0.002305126326734928,
    -0.0015769367714301972, 0.0010788252019162967, -0.0007380709389960052, 0.000504953265834602,
    -0.0003454680251063077, 0.00023635601564027053, -0.00016170622091974803)
_ERF_SERIES = tuple(2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(22))


# references ---------------------------------------------------------------------------------------------------------

def _wide(function: Any) -> Any:
    """A reference that computes in float64 or complex128, without warnings, and rounds to the input's type."""

    def run(x: Any, **attrs: Any) -> Any:
        x = np.asarray(x)
        kind = x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)
        with np.errstate(all="ignore"):
            y = function(x.astype(np.complex128 if kind.kind == "c" else np.float64, copy=False), **attrs)
            return y.astype(kind, copy=False)

    return run


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    y = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        y = y * x + c
    return y


def _erf(x: np.ndarray) -> np.ndarray:
    z = np.where(x.real < 0, -x, x)
    low = z.real < 1
    s = np.where(low, z, 0)
    far = np.where(low, 1, np.where(z.real > 10, 10, z))
    y = np.where(low, s * _horner(_ERF_SERIES, s * s), 1 - np.exp(-far * far) * kernels._erfcx(far))
    y = np.where(np.isnan(z), z, y)
    return np.where(x.real < 0, -y, y)


def _erfc(x: np.ndarray) -> np.ndarray:
    z = np.where(x.real < 0, -x, x)
    far = np.where(z.real < 0.5, 0.5, np.where(z.real > 30, 30, z))
    # exp(-z^2) keeps its relative accuracy when z^2 is split into an exact square and a small rest
    near = far.real.astype(np.float32).astype(np.float64)
    bell = np.exp(-near * near) * np.exp(-(far - near) * (far + near))
    tail = bell * kernels._erfcx(far)
    y = np.where(z.real < 0.5, 1 - _erf(x), np.where(x.real < 0, 2 - tail, tail))
    return np.where(np.isnan(z), z, y)


def _sinpi(x: np.ndarray) -> np.ndarray:
    """sin(pi x) up to its sign, accurate near whole numbers."""
    return np.sin(np.pi * (x - np.round(x.real)))


def _down(x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """x taken down by ones until it is at most 2.5, and the factors (x - 1), (x - 2) ... (1 where none was needed)."""
    factors = []
    while np.any(x.real > 2.5):
        high = x.real > 2.5
        x = np.where(high, x - 1, x)
        factors.append(np.where(high, x, np.inf))
    return x, factors


def _near_two(u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For u in (0, 2.5]: the offset from the nearest of 0, 1, 2, and where it lies (below 0.5, below 1.5)."""
    low, middle = u.real < 0.5, u.real < 1.5
    return np.where(low, u, np.where(middle, u - 1, u - 2)), low, middle


def _lgamma(x: np.ndarray) -> np.ndarray:
    mirrored = x.real <= 0
    v = np.where(mirrored, 1 - x, x)
    big = v.real >= 10
    w = np.where(big, v, 10)
    r = 1 / w
    large = (w - 0.5) * (np.log(w) - 1) - 0.5 + HALF_LOG_2PI + r * _horner(_STIRLING, r * r)
    large = np.where(np.isinf(w), np.inf, large)
    u, factors = _down(np.where(big, 2, v))
    product = np.ones_like(u)
    for f in factors:
        product = np.where(np.isinf(f), product, product * f)
    z, low, middle = _near_two(u)
    y = z * _horner(_LGAMMA_AT_2, z)
    y = np.where(middle, y - np.log1p(z), y)
    y = np.where(low, y - np.log(np.where(low, u, 1)), y) + np.log(product)
    y = np.where(big, large, y)
    if mirrored.any():
        s = _sinpi(np.where(mirrored, x, 0.5))
        y = np.where(mirrored, np.log(np.pi / np.where(s.real < 0, -s, s)) - y, y)
        y = np.where(mirrored & np.isinf(x.real), np.inf, y)
    return np.where(np.isnan(x), x, y)


def _digamma(x: np.ndarray) -> np.ndarray:
    mirrored = x.real <= 0
    v = np.where(mirrored, 1 - x, x)
    big = v.real >= 10
    w = np.where(big, v, 10)
    r = 1 / w
    large = np.log(w) - 0.5 * r + r * r * _horner(_ASYMPTOTIC, r * r)
    u, factors = _down(np.where(big, 2, v))
    z, low, middle = _near_two(u)
    y = _horner(_DIGAMMA_AT_2, z)
    y = np.where(middle, y - 1 / np.where(low, z + 1, u), y)
    y = np.where(low, y - 1 / np.where(low, u, 1), y)
    for f in factors:
        y = y + 1 / f
    near = np.abs(v.real - _ROOT[0]) < 0.3
    if near.any():
        d = np.where(near, (v - _ROOT[0]) - _ROOT[1], 0)
        y = np.where(near, d * _horner(_DIGAMMA_AT_ROOT, d), y)
    y = np.where(big, large, y)
    if mirrored.any():
        reduced = np.pi * np.where(mirrored, x - np.round(x.real), 0.5)
        y = np.where(mirrored, y - np.pi / np.tan(reduced), y)
        pole = mirrored & (x.real == np.round(x.real))
        y = np.where(pole, np.where(x.real == 0, -np.copysign(np.inf, x.real), np.nan), y)
    return np.where(np.isnan(x), x, y)


def _hurwitz(s: int, x: Any) -> Any:
    """zeta(s, x) = sum over k >= 0 of (x + k)^-s, x > 0, by Euler and Maclaurin; arrays and Tensors alike."""
    steps = 9 + s
    total = x ** -s
    for k in range(1, steps):
        total = total + (x + k) ** -s
    r = 1.0 / (x + steps)
    total = total + r ** (s - 1) * (1 / (s - 1)) + r ** s * 0.5
    term, weight = r ** (s + 1), s / 2.0
    for j, b in enumerate(_BERNOULLI, 1):
        total = total + term * (b * weight)
        term = term * r * r
        weight *= (s + 2 * j - 1) * (s + 2 * j) / ((2 * j + 1) * (2 * j + 2))
    return total


def _polygamma_sum(x: Any, n: int) -> Any:
    return _hurwitz(n + 1, x) * float((-1) ** (n + 1) * math.factorial(n))


def _polygamma(x: np.ndarray, n: int) -> np.ndarray:
    mirrored = x.real <= 0
    v = np.where(mirrored, 1 - x, x)
    y = np.where(np.isposinf(v.real), 0, _polygamma_sum(np.where(np.isposinf(v.real), 1, v), n))
    if np.any(mirrored):
        s = _sinpi(np.where(mirrored, x, 0.5))
        y = np.where(mirrored, np.pi ** 2 / (s * s) - y if n == 1 else np.nan, y)
    return np.where(np.isnan(x), x, y)


# decompositions for positive arguments, in ndiv ops: what an export writes, and a second opinion ----------------------

def _shifted(x: Any) -> tuple[Any, Any]:
    """x (x + 1) ... (x + 7), and x + 8."""
    product = x
    for k in range(1, 8):
        product = product * (x + k)
    return product, x + 8.0


def _lgamma_positive(x: Any) -> Any:
    product, w = _shifted(x)
    r = 1.0 / w
    series = sum((r ** (2 * j + 1) * c for j, c in enumerate(_STIRLING)), 0.0)
    return (w - 0.5) * (log(w) - 1.0) + (HALF_LOG_2PI - 0.5) + series - log(product)


def _digamma_positive(x: Any) -> Any:
    w = x + 8.0
    y = log(w) - 0.5 / w + sum((w ** (-2 * j) * c for j, c in enumerate(_ASYMPTOTIC, 1)), 0.0)
    return y - sum((1.0 / (x + k) for k in range(1, 8)), 1.0 / x)


# declarations -------------------------------------------------------------------------------------------------------

ERF = register(Primitive(
    "erf", ("x",), "[*A] -> [*A]", ref=_wide(_erf), saves="x", onnx="Erf", samples=unary_samples(), bad=text_bad(),
    cost=elementwise_cost(30), vjp=(lambda g, y, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x),)))

ERFC = register(Primitive(
    "erfc", ("x",), "[*A] -> [*A]", ref=_wide(_erfc), decompose=lambda x: 1.0 - erf(x), saves="x",
    samples=unary_samples(), bad=text_bad(), cost=elementwise_cost(40),
    vjp=(lambda g, y, x: g * (-2 / math.sqrt(math.pi)) * exp(-x * x),)))

LGAMMA = register(Primitive(
    "lgamma", ("x",), "[*A] -> [*A]", ref=_wide(_lgamma), decompose=_lgamma_positive, saves="x", domain="positive",
    samples=unary_samples(0.3, 14.0), bad=text_bad(), cost=elementwise_cost(80),
    vjp=(lambda g, y, x: g * digamma(x),)))

DIGAMMA = register(Primitive(
    "digamma", ("x",), "[*A] -> [*A]", ref=_wide(_digamma), decompose=_digamma_positive, saves="x", domain="positive",
    samples=unary_samples(0.3, 14.0), bad=text_bad(), cost=elementwise_cost(80),
    vjp=(lambda g, y, x: g * polygamma(1, x),)))

POLYGAMMA = register(Primitive(
    "polygamma", ("x",), "[*A] -> [*A]", ref=_wide(_polygamma), decompose=_polygamma_sum, attrs={"n": 1}, saves="x",
    domain="positive", cost=elementwise_cost(250),
    vjp=(lambda g, y, x, n: g * polygamma(n + 1, x),),
    samples=lambda: [*unary_samples(0.3, 14.0, n=1)(), Sample((numbers((3, 4), 0.7, 5.0),), {"n": 2}, "contiguous")],
    bad=lambda: [Bad((np.array(["a"]),), "does not hold numbers", {"n": 1})]))


def erf(x: Any) -> Any:
    """Error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    >>> import numpy as np
    >>> round(float(erf(np.array(0.5))), 6)
    0.5205
    """
    return apply(ERF, (x,))


def erfc(x: Any) -> Any:
    """1 - erf(x), with full relative accuracy in the right tail."""
    return apply(ERFC, (x,))


def lgamma(x: Any) -> Any:
    """log |Gamma(x)|. Relative accuracy is lost near the roots at negative x only.

    >>> import numpy as np
    >>> round(float(lgamma(np.array(5.0))), 6)  # log(4!)
    3.178054
    """
    return apply(LGAMMA, (x,))


def digamma(x: Any) -> Any:
    """The derivative of lgamma. -inf at 0, NaN at negative whole numbers.

    Below 0, relative accuracy is lost near the roots.
    """
    return apply(DIGAMMA, (x,))


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma, (-1)^(n+1) n! zeta(n + 1, x). NaN at x <= 0 for n >= 2.

    Raises `ConfigError` unless n is a whole number from 0 to 100.
    """
    if not isinstance(n, (int, np.integer)) or not 0 <= n <= 100:
        raise ConfigError(f"polygamma: n must be a whole number from 0 to 100, not {n!r}", value=n, hint="1 is trigamma")
    return apply(POLYGAMMA, (x,), {"n": int(n)}) if n else digamma(x)


# gelu ---------------------------------------------------------------------------------------------------------------

_GELU_A, _GELU_B = math.sqrt(2 / math.pi), 0.044715


def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(_GELU_A * (x + _GELU_B * (x * x * x))))
    return 0.5 * x * erfc(-SQRT_HALF * x)


def _gelu_slope(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        s = sigmoid(2 * _GELU_A * (x + _GELU_B * (x * x * x)))
        return s + x * s * (1.0 - s) * (2 * _GELU_A * (1.0 + 3 * _GELU_B * (x * x)))
    return 0.5 * erfc(-SQRT_HALF * x) + x * exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


GELU = register(Primitive(
    "gelu", ("x",), "[*A] -> [*A]", decompose=_gelu, attrs={"approximate": "none"}, saves="x", onnx="Gelu",
    cost=elementwise_cost(45), bad=lambda: [Bad((np.array(["a"]),), "does not hold numbers", {"approximate": "none"})],
    vjp=(lambda g, y, x, approximate: g * _gelu_slope(x, approximate),),
    samples=lambda: [*unary_samples(approximate="none")(), *unary_samples(approximate="tanh")()]))


def gelu(x: Any, approximate: str = "none") -> Any:
    """x times the standard normal distribution function of x (Hendrycks and Gimpel 2016), or its tanh form.

    Raises `ConfigError` unless approximate is "none" or "tanh".
    """
    if approximate not in ("none", "tanh"):
        raise ConfigError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}", value=approximate,
                          hint="'none' is exact")
    return apply(GELU, (x,), {"approximate": approximate})
