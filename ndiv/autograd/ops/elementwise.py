"""Elementwise ops: one scalar expression each, and gradients one line each.

The expression runs on arrays (reference), on complex numbers (derivative checks), and later on symbols (plan
bytecode, C, CUDA and ONNX text), so it uses only arithmetic and the maths namespace ``m``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Bad, Primitive, Sample, register
from ..tape import apply, stopped
from ._declare import ELEMENTWISE3, binary, elementwise_cost, mismatch_bad, numbers, text_bad, unary, unary_samples

PUBLIC = ("abs add clip cos div elu eq exp expm1 ge gt le leaky_relu log log1p lt maximum minimum mul ne "
          "neg pow relu rsqrt selu sigmoid sign silu sin softplus sqrt sub tanh where").split()
_NDIV_INTERNAL = True
eq: Any
cos: Any  # gradient rules name ops that are declared further down
log: Any
sign: Any

ADD, add = binary("add", "a + b, broadcast.", expr=lambda m, a, b: a + b, ref=np.add, linear=True, onnx="Add",
                  vjp=(lambda g, y, a, b: g, lambda g, y, a, b: g))
SUB, sub = binary("sub", "a - b, broadcast.", expr=lambda m, a, b: a - b, ref=np.subtract, linear=True, onnx="Sub",
                  vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g))
MUL, mul = binary("mul", "a * b, broadcast.", expr=lambda m, a, b: a * b, ref=np.multiply, saves="ab", onnx="Mul",
                  vjp=(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a))
DIV, div = binary("div", "a / b, broadcast.", expr=lambda m, a, b: a / b, ref=np.divide, saves=("b", "out"),
                  lo2=0.5, hi2=2.0, onnx="Div",
                  vjp=(lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b))
POW, pow = binary("pow", "a ** b for positive a (or a whole-number constant b).", expr=lambda m, a, b: a ** b,
                  saves=("a", "b", "out"), lo=0.5, hi=2.0, flops=20, domain="positive a", onnx="Pow",
                  vjp=(lambda g, y, a, b: g * b * a ** (b - 1), lambda g, y, a, b: g * y * log(a)))
MAXIMUM, maximum = binary("maximum", "The larger of a and b; at a tie the gradient is shared equally.",
                          expr=lambda m, a, b: m.maximum(a, b), ref=np.maximum, saves="ab", analytic=False,
                          kinks="a == b", onnx="Max",
                          vjp=(lambda g, y, a, b: g * _share(a, b), lambda g, y, a, b: g * _share(b, a)))
MINIMUM, minimum = binary("minimum", "The smaller of a and b; at a tie the gradient is shared equally.",
                          expr=lambda m, a, b: m.minimum(a, b), ref=np.minimum, saves="ab", analytic=False,
                          kinks="a == b", onnx="Min",
                          vjp=(lambda g, y, a, b: g * _share(b, a), lambda g, y, a, b: g * _share(a, b)))
# a tie is a kink: whatever is shared there must lie between the slopes on its two sides
_two_arrays = MAXIMUM.samples
MAXIMUM.samples = MINIMUM.samples = lambda: [
    *_two_arrays(), Sample((numbers((2, 4)), np.where(np.eye(2, 4), numbers((2, 4), seed=1), numbers((2, 4)))), {}, "tie")]

NEG, neg = unary("neg", "-x.", expr=lambda m, x: -x, ref=np.negative, linear=True, onnx="Neg",
                 vjp=(lambda g, y, x: -g,))
EXP, exp = unary("exp", "e to the x.", expr=lambda m, x: m.exp(x), ref=np.exp, saves=("out",), flops=10, onnx="Exp",
                 vjp=(lambda g, y, x: g * y,))
LOG, log = unary("log", "Natural logarithm.", expr=lambda m, x: m.log(x), saves="x", lo=0.5, hi=3.0, flops=10,
                 domain="positive", onnx="Log", vjp=(lambda g, y, x: g / x,))
LOG1P, log1p = unary("log1p", "log(1 + x), accurate near 0.", expr=lambda m, x: m.log1p(x), saves="x", lo=-0.5,
                     hi=3.0, flops=10, domain="> -1", vjp=(lambda g, y, x: g / (1 + x),))
EXPM1, expm1 = unary("expm1", "exp(x) - 1, accurate near 0.", expr=lambda m, x: m.expm1(x), saves=("out",), flops=10,
                     vjp=(lambda g, y, x: g * (y + 1),))
SQRT, sqrt = unary("sqrt", "Square root.", expr=lambda m, x: m.sqrt(x), saves=("out",), lo=0.5, hi=3.0,
                   domain="positive", onnx="Sqrt", vjp=(lambda g, y, x: g * 0.5 / y,))
RSQRT, rsqrt = unary("rsqrt", "1 / sqrt(x).", expr=lambda m, x: 1 / m.sqrt(x), saves=("x", "out"), lo=0.5, hi=3.0,
                     flops=2, domain="positive", vjp=(lambda g, y, x: g * -0.5 * y / x,))
TANH, tanh = unary("tanh", "Hyperbolic tangent.", expr=lambda m, x: m.tanh(x), ref=np.tanh, saves=("out",), flops=12,
                   onnx="Tanh", vjp=(lambda g, y, x: g * (1 - y * y),))
SIGMOID, sigmoid = unary("sigmoid", "1 / (1 + exp(-x)).", expr=lambda m, x: m.sigmoid(x), saves=("out",), flops=12,
                         onnx="Sigmoid", vjp=(lambda g, y, x: g * y * (1 - y),))
SOFTPLUS, softplus = unary("softplus", "log(1 + exp(x)).", expr=lambda m, x: m.softplus(x), saves="x", flops=22,
                           onnx="Softplus", vjp=(lambda g, y, x: g * sigmoid(x),))
SILU, silu = unary("silu", "x * sigmoid(x), also called swish.", expr=lambda m, x: x * m.sigmoid(x), saves=("x", "out"),
                   flops=13, vjp=(lambda g, y, x: g * (sigmoid(x) * (1 - y) + y),))
SIN, sin = unary("sin", "Sine of x in radians.", expr=lambda m, x: m.sin(x), saves="x", flops=10, onnx="Sin",
                 vjp=(lambda g, y, x: g * cos(x),))
COS, cos = unary("cos", "Cosine of x in radians.", expr=lambda m, x: m.cos(x), saves="x", flops=10, onnx="Cos",
                 vjp=(lambda g, y, x: -g * sin(x),))
ABS, abs = unary("abs", "Absolute value; gradient 0 at 0.", expr=lambda m, x: m.abs(x), ref=np.abs, saves="x",
                 analytic=False, kinks="x == 0", onnx="Abs", vjp=(lambda g, y, x: g * sign(x),))
SIGN, sign = unary("sign", "-1, 0 or 1; gradient 0.", expr=lambda m, x: m.sign(x), ref=np.sign, analytic=False,
                   kinks="x == 0", onnx="Sign", vjp=(None,))
RELU, relu = unary("relu", "max(x, 0); gradient 0 at 0.", expr=lambda m, x: m.maximum(x, 0), saves=("out",),
                   analytic=False, kinks="x == 0", onnx="Relu", vjp=(lambda g, y, x: g * (y > 0),))


def _share(a: Any, b: Any) -> Any:
    """1 where a > b, one half where they are equal, 0 elsewhere."""
    return where(a > b, 1.0, where(a == b, 0.5, 0.0)).astype(a.dtype if hasattr(a, "dtype") else b.dtype)


LEAKY_RELU = register(Primitive(
    "leaky_relu", ("x",), "[*A] -> [*A]", expr=lambda m, x, negative_slope: m.where(x > 0, x, negative_slope * x),
    attrs={"negative_slope": 0.01}, saves="x", analytic=False, kinks="x == 0", onnx="LeakyRelu",
    vjp=(lambda g, y, x, negative_slope: where(x > 0, g, negative_slope * g),),
    samples=unary_samples(negative_slope=0.1), bad=text_bad(), cost=elementwise_cost(2)))

ELU = register(Primitive(
    "elu", ("x",), "[*A] -> [*A]",
    expr=lambda m, x, alpha, scale: scale * m.where(x > 0, x, alpha * m.expm1(m.minimum(x, 0))),
    attrs={"alpha": 1.0, "scale": 1.0}, saves=("x", "out"), analytic=False, kinks="x == 0", onnx="Elu",
    vjp=(lambda g, y, x, alpha, scale: g * where(x > 0, scale, y + alpha * scale),),
    samples=unary_samples(alpha=0.7, scale=1.3), bad=text_bad(), cost=elementwise_cost(12)))

WHERE = register(Primitive(
    "where", ("condition", "a", "b"), ELEMENTWISE3, expr=lambda m, c, a, b: m.where(c, a, b), ref=np.where,
    saves=("condition",), onnx="Where",
    vjp=(None, lambda g, y, c, a, b: where(c, g, 0.0), lambda g, y, c, a, b: where(c, 0.0, g)),
    samples=lambda: [Sample((numbers((3, 4)) > 0, numbers((3, 4), seed=1), numbers((4,), seed=2)), {}, "broadcast"),
                     Sample((numbers((3, 4)) > 0, numbers((3, 4), seed=1), 0.5), {}, "number"),
                     Sample((np.array(True), numbers((), seed=1), numbers((), seed=2)), {}, "0-d"),
                     Sample((numbers((0, 2)) > 0, numbers((0, 2)), numbers((2,))), {}, "empty")],
    bad=lambda: [Bad((np.ones((2, 3), bool), np.ones((2, 4)), np.ones((2, 3))), "do not broadcast")]))

CLIP = register(Primitive(
    "clip", ("x",), "[*A] -> [*A]", ref=lambda x, min, max: np.clip(x, min, max), attrs={"min": None, "max": None},
    saves="x", analytic=False, kinks="x == min or x == max", onnx="Clip",
    vjp=(lambda g, y, x, min, max: g * _inside(x, min, max),),
    samples=lambda: [*unary_samples(min=-0.7, max=0.9)(), Sample((numbers((3, 4)),), {"min": None, "max": 0.9}, "one end")],
    bad=text_bad(), cost=elementwise_cost(2)))


def _inside(x: Any, low: Any, high: Any) -> Any:
    x, keep = stopped(x), 1.0
    if low is not None:
        keep = (x >= low).astype(x.dtype)
    if high is not None:
        keep = (x <= high).astype(x.dtype) * keep
    return keep


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, else negative_slope * x."""
    return apply(LEAKY_RELU, (x,), {"negative_slope": negative_slope})


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, else alpha * (exp(x) - 1)."""
    return apply(ELU, (x,), {"alpha": alpha, "scale": 1.0})


def selu(x: Any) -> Any:
    """Self-normalizing ELU (Klambauer et al. 2017): scale 1.0507, alpha 1.6733."""
    return apply(ELU, (x,), {"alpha": 1.6732632423543772, "scale": 1.0507009873554805})


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where condition holds, else b; all three broadcast."""
    return apply(WHERE, (condition, a, b))


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """x limited to [min, max]; gradient 1 inside and on the border, 0 outside."""
    return apply(CLIP, (x,), {"min": min, "max": max})


_COMPARE = {
    name: register(Primitive(
        name, ("a", "b"), "[*A] [*B] -> [broadcast(*A, *B)]", ref=ufunc, vjp=(None, None), analytic=False,
        kinks="a == b", onnx=onnx, bad=mismatch_bad(),
        decompose=None if onnx else lambda a, b: where(eq(a, b), False, True),
        samples=lambda: [Sample((numbers((3, 1)), numbers((4,), seed=1)), {}, "broadcast"),
                         Sample((numbers((0, 2)), 0.5), {}, "empty"), Sample((numbers(()), numbers((2,))), {}, "0-d")]))
    for name, ufunc, onnx in [("gt", np.greater, "Greater"), ("ge", np.greater_equal, "GreaterOrEqual"),
                              ("lt", np.less, "Less"), ("le", np.less_equal, "LessOrEqual"),
                              ("eq", np.equal, "Equal"), ("ne", np.not_equal, None)]
}


def _comparison(name: str) -> Any:
    prim = _COMPARE[name]

    def compare(a: Any, b: Any) -> Any:
        return apply(prim, (a, b))

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = f"Elementwise {name} of a and b, as booleans; no gradient."
    return compare


gt, ge, lt, le, eq, ne = (_comparison(n) for n in ("gt", "ge", "lt", "le", "eq", "ne"))

CAST = register(Primitive(
    "cast", ("x",), "[*A] -> [*A]", ref=lambda x, dtype: np.asarray(x).astype(dtype), attrs={"dtype": "float32"},
    linear=True, analytic=False, vjp=(lambda g, y, x, dtype: g,), onnx="Cast",
    samples=lambda: [Sample((numbers(s),), {"dtype": "float64"}, t)
                     for s, t in [((3, 4), "contiguous"), ((), "0-d"), ((0, 2), "empty")]]
    + [Sample((numbers((4, 6)).T[::2],), {"dtype": "float64"}, "strided")],
    bad=lambda: [Bad((np.ones(2),), "data type", {"dtype": "decimal"})]))


def cast(x: Any, dtype: Any) -> Any:
    """x converted to dtype; the gradient is converted back."""
    return apply(CAST, (x,), {"dtype": np.dtype(dtype).str})
