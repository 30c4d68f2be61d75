"""Linear algebra: matmul in every broadcast form, and linear (matmul + bias + activation, fused where possible)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.kernels import ACT_SAVES
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken, broadcast
from ..tape import apply
from ._declare import numbers
from .elementwise import add, elu, exp, leaky_relu, relu, selu, sigmoid, silu, softplus, tanh, where
from .reduce import sum
from .shape import expand, reshape, transpose, unsqueeze
from .special import erf, gelu

PUBLIC = ["bias_act", "einsum", "linear", "matmul"]
_NDIV_INTERNAL = True


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if b.ndim == 2 and a.ndim > 2:  # one large product instead of a loop of small ones
        return np.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
    return np.matmul(a, b)


def _grad_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if len(b.shape) == 1:
        return unsqueeze(g, -1) * b
    if len(a.shape) == 1:
        return matmul(b, unsqueeze(g, -1))[..., 0]
    return g @ b.swapaxes(-1, -2)


def _grad_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if len(a.shape) == 1:
        return unsqueeze(a, -1) * unsqueeze(g, -2) if len(b.shape) > 1 else a * g
    if len(b.shape) == 1:
        return unsqueeze(g, -1) * a
    if len(b.shape) == 2 and len(a.shape) > 2:
        a, g = a.reshape((-1, a.shape[-1])), g.reshape((-1, g.shape[-1]))
    if type(b) is np.ndarray and b.ndim == 2 and b.flags.f_contiguous and not b.flags.c_contiguous:
        return (g.swapaxes(0, 1) @ a).swapaxes(0, 1)  # laid out as b is: the gradient of a weight whose transpose b is
    return a.swapaxes(-1, -2) @ g


def _matmul_rule(attrs: dict[str, Any], a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """[*B, m, k] [*C, k, n] -> [broadcast(*B, *C), m, n]; a 1-D argument stands for a row or a column"""
    if not a or not b:
        raise RuleBroken("matmul needs at least one axis on each side", "use * to multiply by a number")
    row, col = len(a) == 1, len(b) == 1
    aa, bb = ((1, *a) if row else a), ((*b, 1) if col else b)
    if aa[-1] != bb[-2]:
        raise RuleBroken(f"k is {aa[-1]} in a and {bb[-2]} in b",
                         "transpose one of them" if len(b) > 1 and aa[-1] == bb[-1] else "the inner sizes must be equal")
    out = (*broadcast(aa[:-2], bb[:-2]), aa[-2], bb[-1])
    if col:
        out = out[:-1]
    if row:
        out = (*out[:-2], out[-1]) if not col else out[:-1]
    return out


def _matmul_cost(attrs: Any, ins: Any, outs: Any) -> float:
    return 2.0 * float(np.prod(outs[0], dtype=float)) * ins[0][-1]


MATMUL = register(Primitive(
    "matmul", ("a", "b"), _matmul_rule, ref=_matmul, saves="ab", bound="compute", onnx="MatMul", cost=_matmul_cost,
    vjp=(_grad_a, _grad_b), batch="map",
    samples=lambda: [Sample((numbers(s), numbers(t, seed=1)), {}, tag) for s, t, tag in [
        ((3, 4), (4, 2), "contiguous"), ((5, 3, 4), (4, 2), "broadcast"), ((5, 3, 4), (5, 4, 2), "batched"),
        ((2, 1, 3, 4), (5, 4, 2), "broadcast"), ((4,), (4, 2), "vector"), ((3, 4), (4,), "vector"), ((4,), (4,), "vector"),
        ((4,), (5, 4, 2), "vector"), ((5, 3, 4), (4,), "vector"), ((0, 4), (4, 2), "empty"), ((3, 0), (0, 2), "empty")]]
        + [Sample((numbers((4, 6)).T[::2], numbers((2, 4), seed=1).T), {}, "strided")],
    bad=lambda: [Bad((np.ones((3, 4)), np.ones((5, 2))), "k is 4 in a and 5 in b"),
                 Bad((np.ones((2, 3, 4)), np.ones((3, 4, 2))), "do not broadcast"),
                 Bad((np.ones(()), np.ones((5, 2))), "at least one axis")]))


def matmul(a: Any, b: Any) -> Any:
    """Matrix product of the last two axes; leading axes broadcast, 1-D arguments are a row or a column.

    >>> import ndiv, numpy as np
    >>> ndiv.matmul(np.ones((5, 3, 4)), np.ones((4, 2))).shape
    (5, 3, 2)
    """
    return apply(MATMUL, (a, b))


# einsum -----------------------------------------------------------------------------------------------------------

def _terms(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """Operand subscripts and result subscripts, with any ellipsis spelt out in capitals that are not used."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(ndims):
        raise RuleBroken(f"{equation!r} names {len(parts)} operands and {len(ndims)} were given", "one for each comma")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in text]
    most = ""
    out = []
    for part, ndim in zip(parts, ndims, strict=True):
        if "..." in part:
            n = ndim - len(part) + 3
            letters = "".join(free[:n][::-1])
            most = letters if len(letters) > len(most) else most
            part = part.replace("...", letters)
        if len(part) != ndim:
            raise RuleBroken(f"{part!r} names {len(part)} axes and its operand has {ndim}", "one letter for each axis")
        if len(set(part)) != len(part):
            raise RuleBroken(f"{part!r} names an axis twice in one operand", "diagonals are not supported; index them out")
        out.append(part)
    if arrow:
        right = right.replace("...", most)
    else:
        joined = "".join(out)
        right = most + "".join(sorted(c for c in set(joined) - set(most) if joined.count(c) == 1))
    return out, right


def _einsum_rule(attrs: dict[str, Any], *xs: tuple[int, ...]) -> tuple[int, ...]:
    """Einstein's summation: axes with one letter have one length (or 1); letters not in the result are summed"""
    parts, right = _terms(attrs["equation"], [len(x) for x in xs])
    size: dict[str, int] = {}
    for i, (part, x) in enumerate(zip(parts, xs, strict=True)):
        for c, n in zip(part, x, strict=True):
            if size.setdefault(c, n) != n and 1 not in (n, size[c]):
                raise RuleBroken(f"axis {c!r} is {size[c]} before and {n} in operand {i}", "they must be equal")
            size[c] = n if size[c] == 1 else size[c]
    if set(right) - set(size):
        raise RuleBroken(f"{sorted(set(right) - set(size))[0]!r} is in the result and in no operand", "name it there")
    return tuple(size[c] for c in right)


def _einsum_vjp(g: Any, y: Any, *xs: Any, equation: str) -> list[Any]:
    parts, right = _terms(equation, [len(x.shape) for x in xs])
    out = []
    for i, x in enumerate(xs):
        others = [p for j, p in enumerate(parts) if j != i]
        known = set(right).union(*others) if others else set(right)
        target = "".join(c for c in parts[i] if c in known)
        gi = einsum(",".join([right, *others]) + "->" + target, g, *[v for j, v in enumerate(xs) if j != i])
        if target != parts[i]:  # axes that only this operand had were summed: spread the cotangent over them
            sizes = _sizes(gi, target, x, parts[i])
            gi = expand(reshape(gi, tuple(n if c in known else 1 for c, n in zip(parts[i], sizes, strict=True))), x.shape)
        out.append(gi)
    return out


def _sizes(gi: Any, target: str, x: Any, part: str) -> list[int]:
    at = dict(zip(target, gi.shape, strict=True))
    return [at.get(c, n) for c, n in zip(part, x.shape, strict=True)]


def _einsum_samples() -> list[Sample]:
    cases: list[tuple[str, list[tuple[int, ...]], str]] = [
        ("ij,jk->ik", [(2, 3), (3, 4)], "contiguous"), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 2)], "batched"),
        ("...i,i->...", [(2, 3, 4), (4,)], "broadcast"), ("i,j->ij", [(3,), (2,)], "contiguous"),
        ("ij->j", [(2, 3)], "contiguous"), ("ij,ij->", [(2, 3), (2, 3)], "contiguous"),
        ("ij,kl->i", [(2, 3), (2, 2)], "contiguous"), ("bi,bj,bk->ijk", [(2, 2), (2, 3), (2, 2)], "contiguous"),
        ("ij,jk", [(0, 3), (3, 2)], "empty")]
    made = [Sample(tuple(numbers(s, seed=i) for i, s in enumerate(shapes)), {"equation": e}, tag) for e, shapes, tag in cases]
    return [*made, Sample((numbers((4, 6)).T[::2], numbers((4, 2), seed=1)), {"equation": "ij,jk->ki"}, "strided")]


EINSUM = register(Primitive(
    "einsum", ("*xs",), _einsum_rule, ref=lambda *xs, equation: np.einsum(equation, *xs, optimize=len(xs) > 1),
    attrs={"equation": ""}, saves=("xs",), vjp=_einsum_vjp, bound="compute", onnx="Einsum", batch="mix", strict=True,
    samples=_einsum_samples,
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((4, 2))), "axis 'j' is 3 before and 4", {"equation": "ij,jk->ik"}),
                 Bad((np.ones((2, 3)),), "names 2 operands", {"equation": "ij,jk->ik"}),
                 Bad((np.ones((2, 2)),), "twice", {"equation": "ii->i"})]))


def einsum(equation: str, *xs: Any) -> Any:
    """Sum of products in Einstein's notation; "..." broadcasts. An axis may not repeat within one operand.

    >>> import ndiv, numpy as np
    >>> ndiv.einsum("bij,bjk->bik", np.ones((2, 3, 4)), np.ones((2, 4, 5))).shape
    (2, 3, 5)
    """
    return apply(EINSUM, xs, {"equation": equation})


# bias + activation ------------------------------------------------------------------------------------------------

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda x: x, "relu": relu, "leaky_relu": leaky_relu, "elu": elu, "tanh": tanh, "sigmoid": sigmoid,
    "silu": silu, "softplus": softplus, "selu": selu, "gelu": gelu, "gelu_tanh": lambda x: gelu(x, "tanh"),
}
# what the derivative is written in: the activation's own value, or the value before it
_FROM_OUT = {act for act in ACTIVATIONS if ACT_SAVES[act] == "out"}
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_SLOPES: dict[str, Any] = {
    "relu": lambda s: where(s > 0, 1.0, 0.0),
    "leaky_relu": lambda s: where(s > 0, 1.0, 0.01),
    "elu": lambda s: where(s > 0, 1.0, s + 1.0),
    "selu": lambda s: where(s > 0, _SELU_SCALE, s + _SELU_SCALE * _SELU_ALPHA),
    "tanh": lambda s: 1.0 - s * s,
    "sigmoid": lambda s: s * (1.0 - s),
    "softplus": sigmoid,
    "silu": lambda s: sigmoid(s) * (1.0 + s * (1.0 - sigmoid(s))),
    "gelu": lambda s: 0.5 * (1.0 + erf(s * math.sqrt(0.5))) + s * exp(s * s * -0.5) * (1.0 / math.sqrt(2.0 * math.pi)),
    "gelu_tanh": lambda s: _gelu_tanh_slope(s, tanh(math.sqrt(2.0 / math.pi) * (s + 0.044715 * s * s * s))),
}


def _gelu_tanh_slope(s: Any, t: Any) -> Any:
    return 0.5 * (1.0 + t) + 0.5 * s * (1.0 - t * t) * (math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * s * s))


def _bias_act(x: Any, bias: Any, act: str) -> tuple[Any, Any]:
    pre = add(x, bias)
    out = ACTIVATIONS[act](pre)
    return out, (out if act in _FROM_OUT else pre)


def _bias_act_bwd(g: Any, saved: Any, act: str) -> tuple[Any, Any]:
    gx = g if act == "identity" else g * _SLOPES[act](saved).astype(g.dtype)
    return gx, sum(reshape(gx, (-1, gx.shape[-1])), 0)


def _bias_act_rule(attrs: dict[str, Any], x: tuple[int, ...], bias: tuple[int, ...]) -> Any:
    """[*B, n] [n] -> [*B, n], [*B, n]"""
    if len(x) < 1 or bias != x[-1:]:
        raise RuleBroken(f"bias has shape {list(bias)} and the last axis of x {list(x[-1:])}", "they must be equal")
    return x, x


def _act_samples() -> list[Sample]:
    # shapes vary with the activation so that each layout is met, and each activation is checked
    shapes = [((3, 4), "contiguous"), ((2, 3, 4), "batched"), ((0, 4), "empty")]
    out = [Sample((numbers(s), numbers((4,), seed=1)), {"act": act}, tag) for act in ACTIVATIONS for s, tag in shapes]
    return out + [Sample((numbers((4, 6)).T[::2], numbers((8,), seed=1)[::2]), {"act": "tanh"}, "strided")]


def _bias_act_vjp(g: Any, out: Any, x: Any, bias: Any, act: str) -> tuple[Any, Any]:
    g_out, g_saved = g
    if g_saved is not None and act in _FROM_OUT:  # saved is the output itself (reached in higher orders only)
        g_out, g_saved = (g_saved if g_out is None else g_out + g_saved), None
    if g_out is None:
        return g_saved, sum(reshape(g_saved, (-1, g_saved.shape[-1])), 0)
    gx, gb = apply(BIAS_ACT_BWD, (g_out, out[1]), {"act": act})
    if g_saved is not None:
        gx, gb = gx + g_saved, gb + sum(reshape(g_saved, (-1, g_saved.shape[-1])), 0)
    return gx, gb


BIAS_ACT = register(Primitive(
    "bias_act", ("x", "bias"), _bias_act_rule, decompose=_bias_act, attrs={"act": "identity"}, saves=("out",), n_out=2,
    vjp=_bias_act_vjp, kernels=("bias_act",), strict=True, analytic=False, kinks="those of act", samples=_act_samples,
    cost=lambda attrs, ins, outs: 2.0 * float(np.prod(outs[0], dtype=float)),
    bad=lambda: [Bad((np.ones((2, 3)), np.ones(4)), "bias has shape [4]", {"act": "relu"})]))

BIAS_ACT_BWD = register(Primitive(
    "bias_act_bwd", ("g", "saved"), "[*B, n] [*B, n] -> [*B, n] [n]", decompose=_bias_act_bwd, attrs={"act": "identity"},
    n_out=2, kernels=("bias_act_bwd",), strict=True, analytic=False, kinks="those of act", batch="reduce",
    samples=lambda: [Sample((numbers(s), numbers(s, 0.1, 0.9, 1)), {"act": act}, tag) for act in ACTIVATIONS
                     for s, tag in [((3, 4), "contiguous"), ((2, 3, 4), "batched")]],
    cost=lambda attrs, ins, outs: 3.0 * float(np.prod(outs[0], dtype=float)),
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((2, 4))), "n is 3 in g and 4 in saved", {"act": "relu"})]))


def bias_act(x: Any, bias: Any, activation: str = "identity") -> Any:
    """activation(x + bias) in one pass; bias has the length of x's last axis."""
    out = apply(BIAS_ACT, (x, bias), {"act": activation})
    return out[0]


def linear(x: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    """x @ weight.T + bias, then the activation; weight [out, in], x [*, in] -> [*, out].

    >>> import ndiv, numpy as np
    >>> ndiv.linear(np.ones((2, 3)), np.ones((4, 3)), np.zeros(4), "relu").shape
    (2, 4)
    """
    y = matmul(x, transpose(weight, 0, 1))
    if bias is not None:
        return bias_act(y, bias, activation or "identity")
    return y if activation in (None, "identity") else ACTIVATIONS[activation](y)
