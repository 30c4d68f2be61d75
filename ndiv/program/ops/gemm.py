"""Plan operations of the family gemm: products with their epilogues, bias and activation; matmul and einsum become these.

Contract: a product sums over k in order in one chain of fused multiply-adds, so it has the same bits whatever its layout,
blocking and number of threads. One row alone, times a weight stored transposed that is no constant, sums 64 k and more on 16
lanes: its last bits are not those that it has among other rows. Transposed and broadcast factors are views and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd.ops.linear import _terms
from ...backends import kernels
from .record import Meta, PlanOp

ACTS = "|".join(kernels.ACTS)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MAX_RANK = 8


def _rows(x: Any) -> Any:
    return x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


# products ---------------------------------------------------------------------------------------------------------

def _gemm(a: Any, b: Any, bias: Any, addend: Any, *, act: str, alpha: float) -> tuple[Any, Any]:
    z = np.matmul(a, b)
    if alpha != 1.0:
        z *= z.dtype.type(alpha)
    if addend is not None:
        z = z + addend
    if bias is not None:
        z = z + bias
    return kernels.bias_act(_rows(z), None, act)[0].reshape(z.shape), z


def _gemm_metas(attrs: dict[str, Any], a: Meta, b: Meta, bias: Meta | None, addend: Meta | None) -> list[Meta]:
    (sa, dtype), (sb, other) = a, b
    if len(sa) != len(sb) or not 2 <= len(sa) <= MAX_RANK or sa[:-2] != sb[:-2] or sa[-1] != sb[-2]:
        raise ValueError(f"gemm multiplies [*batch, m, k] by [*batch, k, n], not {list(sa)} by {list(sb)}")
    out = (*sa[:-1], sb[-1])
    if dtype not in _FLOATS or other != dtype:
        raise ValueError(f"gemm multiplies float32 or float64 arrays of one type, not {dtype} and {other}")
    if bias is not None and bias != (out[-1:], dtype):
        raise ValueError(f"the bias of gemm is {dtype} [{out[-1]}], not {bias[1]} {list(bias[0])}")
    if addend is not None and addend != (out, dtype):
        raise ValueError(f"the addend of gemm is {dtype} {list(out)}, not {addend[1]} {list(addend[0])}")
    return [(out, dtype), (out, dtype)]


def _gemm_cost(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
    return 2.0 * float(np.prod(outs[0][0], dtype=float)) * ins[0][0][-1]


GEMM = PlanOp(
    "gemm", _gemm, _gemm_metas, {"act": ACTS, "alpha": "f"}, dense=(2, 3), inplace=(3,), spare=(1,), bound=2e-5,
    cost=_gemm_cost,
    doc="out = act(pre), pre = alpha a b + addend + bias; inputs a, b, bias or None, addend or None; outputs out, pre")


# bias and activation ----------------------------------------------------------------------------------------------

def _bias_act(x: Any, bias: Any, *, act: str) -> tuple[Any, Any]:
    pre = x if bias is None else x + bias
    return kernels.bias_act(_rows(pre), None, act)[0].reshape(x.shape), pre


def _bias_act_metas(attrs: dict[str, Any], x: Meta, bias: Meta | None) -> list[Meta]:
    if len(x[0]) < 1 or x[1] not in _FLOATS or (bias is not None and bias != (x[0][-1:], x[1])):
        raise ValueError(f"bias_act adds a float vector to the rows of x, not {bias} to {x}")
    return [x, x]


def _bias_act_bwd(g: Any, saved: Any, by: Any, *, act: str) -> tuple[Any, Any]:
    g = g if by is None else g * by
    gx, gbias = kernels.bias_act_bwd(_rows(g), _rows(g if saved is None else saved), act)
    return gx.reshape(g.shape), gbias


def _bias_act_bwd_metas(attrs: dict[str, Any], g: Meta, saved: Meta | None, by: Meta | None) -> list[Meta]:
    if saved is None and attrs["act"] != "identity":
        raise ValueError(f"bias_act_bwd needs what was saved of {attrs['act']}")
    if len(g[0]) < 1 or g[1] not in _FLOATS or saved not in (None, g) or by not in (None, g):
        raise ValueError(f"bias_act_bwd takes float arrays of one shape, not {g}, {saved} and {by}")
    return [g, (g[0][-1:], g[1])]


BIAS_ACT = PlanOp(
    "bias_act", _bias_act, _bias_act_metas, {"act": ACTS}, inplace=(0,), spare=(1,), bound=2e-6,
    cost=lambda attrs, ins, outs: 2.0 * float(np.prod(outs[0][0], dtype=float)),
    doc="out = act(pre), pre = x + bias; inputs x [*, n], bias [n] or None; outputs out, pre")
BIAS_ACT_BWD = PlanOp(
    "bias_act_bwd", _bias_act_bwd, _bias_act_bwd_metas, {"act": ACTS}, inplace=(0,), bound=1e-5,
    cost=lambda attrs, ins, outs: 3.0 * float(np.prod(outs[0][0], dtype=float)),
    doc="gx = g by act'(z), gbias = the sum of the rows of gx; saved is z or the output, as kernels.ACT_SAVES says, None for "
        "identity; by may be None")

OPS: list[PlanOp] = [GEMM, BIAS_ACT, BIAS_ACT_BWD]


# selection --------------------------------------------------------------------------------------------------------

def _plain(values: Any) -> bool:
    """Whether all are arrays of one float type."""
    return all(v is not None and v.dtype == values[0].dtype and v.dtype in _FLOATS for v in values)


def _view(b: Any, op: str, x: Any, key: str, value: tuple[int, ...]) -> Any:
    return b.apply(op, [x], {key: tuple(value)})


def _shaped(b: Any, x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == tuple(shape) else _view(b, "reshape", x, "shape", shape)


def _product(b: Any, x: Any, y: Any, out: Any) -> None:
    """out = x y, where x and y have the same batch axes, and out their product's shape or one with axes of 1 left out."""
    shape = (*x.shape[:-1], y.shape[-1])
    to = out if out.shape == shape else b.temp(shape, x.dtype)
    b.emit("gemm", [x, y, None, None], {"act": "identity", "alpha": 1.0}, [to, b.temp(shape, x.dtype)])
    if to is not out:
        b.emit("reshape", [to], {"shape": out.shape}, [out])


def _select_matmul(b: Any, inputs: Any, attrs: Any, outputs: Any) -> Any:
    x, y = inputs
    if not _plain(inputs):
        return False
    if x.ndim == 1:
        x = _shaped(b, x, (1, *x.shape))
    if y.ndim == 1:
        y = _shaped(b, y, (*y.shape, 1))
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    if len(batch) + 2 > MAX_RANK:
        return False
    x, y = (v if v.shape[:-2] == batch else _view(b, "expand", v, "shape", (*batch, *v.shape[-2:])) for v in (x, y))
    _product(b, x, y, outputs[0])
    return None


def _select_bias_act(b: Any, inputs: Any, attrs: Any, outputs: Any) -> Any:
    if not _plain([v for v in inputs if v is not None]):
        return False
    out, saved = outputs
    if kernels.ACT_SAVES[attrs["act"]] == "pre":
        b.emit("bias_act", inputs, attrs, [out, saved])
    else:
        b.emit("bias_act", inputs, attrs, [out, b.temp(out.shape, out.dtype)])
        b.emit("reshape", [out], {"shape": out.shape}, [saved])
    return None


def _select_bias_act_bwd(b: Any, inputs: Any, attrs: Any, outputs: Any) -> Any:
    if not _plain(inputs):
        return False
    g, saved = inputs
    b.emit("bias_act_bwd", [g, None if attrs["act"] == "identity" else saved, None], attrs, outputs)
    return None


def _without(b: Any, x: Any, letters: str, drop: set[str], op: str) -> tuple[Any, str]:
    """x without the axes in drop: of length 1 (op reshape), or summed (op sum)."""
    at = tuple(i for i, c in enumerate(letters) if c in drop)
    if at:
        kept = tuple(n for i, n in enumerate(x.shape) if i not in at)
        x = _shaped(b, x, kept) if op == "reshape" else b.apply("sum", [x], {"dim": at, "keepdim": False})
    return x, "".join(c for c in letters if c not in drop)


def _ordered(b: Any, x: Any, letters: str, order: str) -> Any:
    """x with its axes in another order."""
    return x if letters == order else _view(b, "permute", x, "dims", tuple(letters.index(c) for c in order))


def _times(b: Any, x: Any, lx: str, y: Any, ly: str) -> tuple[Any, str]:
    """The elementwise product over all letters, by broadcasting."""
    order = lx + "".join(c for c in ly if c not in lx)
    ends = []
    for v, lv in ((x, lx), (y, ly)):
        v = _ordered(b, v, lv, "".join(c for c in order if c in lv))
        size = dict(zip([c for c in order if c in lv], v.shape, strict=True))
        ends.append(_shaped(b, v, tuple(size.get(c, 1) for c in order)))
    return b.apply("mul", ends), order


def _contract(b: Any, x: Any, lx: str, y: Any, ly: str, keep: set[str], right: str) -> tuple[Any, str]:
    """Two operands as one: a gemm where either has axes of its own and some are summed, else a product and a sum."""
    both = [c for c in lx if c in ly]
    summed = "".join(c for c in both if c not in keep)
    batch = "".join(c for c in both if c in keep)
    own_x, own_y = "".join(c for c in lx if c not in ly), "".join(c for c in ly if c not in lx)
    if not (own_x or own_y) or not (summed or (own_x and own_y)) or len(batch) + 2 > MAX_RANK:
        z, letters = _times(b, x, lx, y, ly)
        return _without(b, z, letters, set(summed), "sum")
    if right == batch + own_y + own_x and own_x:  # the result as it is wanted, without a transposition
        x, lx, own_x, y, ly, own_y = y, ly, own_y, x, lx, own_x
    size = {**dict(zip(lx, x.shape, strict=True)), **dict(zip(ly, y.shape, strict=True))}

    def sizes(letters: str) -> tuple[int, ...]:
        return tuple(size[c] for c in letters)

    def volume(letters: str) -> int:
        return int(np.prod(sizes(letters), dtype=np.int64))

    left = _shaped(b, _ordered(b, x, lx, batch + own_x + summed), (*sizes(batch), volume(own_x), volume(summed)))
    other = _shaped(b, _ordered(b, y, ly, batch + summed + own_y), (*sizes(batch), volume(summed), volume(own_y)))
    z = b.apply("matmul", [left, other])
    letters = batch + own_x + own_y
    return _shaped(b, z, sizes(letters)), letters


def _select_einsum(b: Any, inputs: Any, attrs: Any, outputs: Any) -> Any:
    if not _plain(inputs):
        return False
    parts, right = _terms(attrs["equation"], [v.ndim for v in inputs])
    size: dict[str, int] = {}
    for part, v in zip(parts, inputs, strict=True):
        for c, n in zip(part, v.shape, strict=True):
            size[c] = n if size.get(c, 1) == 1 else size[c]
    terms = []
    for part, v in zip(parts, inputs, strict=True):  # an axis of 1 that is longer elsewhere only repeats the values
        short = {c for c, n in zip(part, v.shape, strict=True) if n != size[c]}
        terms.append(_without(b, v, part, short, "reshape"))
    while True:
        for i, (v, part) in enumerate(terms):  # what only one operand has and the result does not is summed first
            others = set(right).union(*(p for j, (_, p) in enumerate(terms) if j != i))
            terms[i] = _without(b, v, part, set(part) - others, "sum")
        if len(terms) == 1:
            break
        (x, lx), (y, ly), *rest = terms
        keep = set(right).union(*(p for _, p in rest))
        terms = [_contract(b, x, lx, y, ly, keep, "" if rest else right), *rest]
    v, letters = terms[0]
    b.emit("permute", [v], {"dims": tuple(letters.index(c) for c in right)}, outputs)
    return None


SELECT: dict[str, Callable[..., Any]] = {
    "matmul": _select_matmul, "bias_act": _select_bias_act, "bias_act_bwd": _select_bias_act_bwd, "einsum": _select_einsum}
