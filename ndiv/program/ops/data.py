"""Plan operations of the family data: joining, placing, picking by whole numbers, running sums and sorting.

Contract: ``csrc/kernels/ops/data*.h``. Nothing is computed but sums in a fixed order, so kernels and references agree bit
for bit. How `getitem` and `put` become these operations is in ``data_keys.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...autograd.primitive import get
from .data_keys import select_getitem, select_put
from .record import Meta, PlanOp

_I64 = np.dtype(np.int64)
MOST_INPUTS = 1000  # a call has at most 1,024 operands


def _axis(dim: int, shape: tuple[int, ...]) -> int:
    if not 0 <= dim < len(shape):
        raise ValueError(f"dim {dim} is no axis of {shape}")
    return dim


# cat, put_slice, fill ---------------------------------------------------------------------------------------------------

def _cat(*xs: np.ndarray, dim: int) -> np.ndarray:
    return np.concatenate(xs, axis=dim)


def _cat_metas(attrs: dict[str, Any], *xs: Meta) -> list[Meta]:
    first, dtype = xs[0]
    dim = _axis(attrs["dim"], first)
    rest = (*first[:dim], *first[dim + 1:])
    if any(len(s) != len(first) or (*s[:dim], *s[dim + 1:]) != rest or t != dtype for s, t in xs):
        raise ValueError(f"{xs} differ in more than axis {dim}")
    return [((*first[:dim], sum(s[dim] for s, _ in xs), *first[dim + 1:]), dtype)]


def _put_slice(g: np.ndarray, start: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    out[np.ix_(*(a + s * np.arange(n) for a, s, n in zip(start, step, g.shape, strict=True)))] = g
    return out


def _put_slice_metas(attrs: dict[str, Any], g: Meta) -> list[Meta]:
    shape = tuple(attrs["shape"])
    for n, a, s, size in zip(g[0], attrs["start"], attrs["step"], shape, strict=True):
        last = a + s * (n - 1)
        if n and not (0 <= a < size and 0 <= last < size and (s or n == 1)):
            raise ValueError(f"{n} elements from {a} in steps of {s} leave an axis of {size}")
    return [(shape, g[1])]


def _fill(shape: tuple[int, ...], value: float, dtype: str) -> np.ndarray:
    return np.full(shape, value, dtype)


def _fill_metas(attrs: dict[str, Any]) -> list[Meta]:
    return [(tuple(attrs["shape"]), np.dtype(attrs["dtype"]))]


# by index ---------------------------------------------------------------------------------------------------------------

def _places(index: np.ndarray, n: int, run: int) -> np.ndarray:
    """[m, run] places for a flat index into an axis of n."""
    first = np.where(index < 0, index + n, index).reshape(-1)
    if first.size and (first.min() < 0 or first.max() > n - run):
        raise IndexError(f"an index leaves an axis of {n} elements")
    return first[:, None] + np.arange(run)


def _take(x: np.ndarray, index: np.ndarray, n: int, inner: int, run: int, shape: tuple[int, ...]) -> np.ndarray:
    return x.reshape(-1 if x.size else 0, n, inner)[:, _places(index, n, run)].reshape(shape)


def _take_add(g: np.ndarray, index: np.ndarray, n: int, inner: int, run: int, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    places = _places(index, n, run)
    table = out.reshape(-1 if out.size else 0, n, inner)
    spot: Any = (slice(None), places)
    np.add.at(table, spot, g.reshape(len(table), *places.shape, inner))
    return out


def _taken(attrs: dict[str, Any], table: tuple[int, ...], index: Meta) -> int:
    """How many elements take copies out of a table of this shape."""
    n, inner, run, size = attrs["n"], attrs["inner"], attrs["run"], math.prod(table)
    if run < 1 or n < 0 or inner < 0 or index[1] != _I64 or (size and (n * inner == 0 or size % (n * inner))):
        raise ValueError(f"{table} is not made of [{n}, {inner}], run {run} is below 1, or the index is {index[1]}, not int64")
    return size // (n * inner) * math.prod(index[0]) * run * inner if size else 0


def _take_metas(attrs: dict[str, Any], x: Meta, index: Meta) -> list[Meta]:
    shape = tuple(attrs["shape"])
    if math.prod(shape) != _taken(attrs, x[0], index):
        raise ValueError(f"{shape} does not hold what {index[0]} takes of {x[0]}")
    return [(shape, x[1])]


def _take_add_metas(attrs: dict[str, Any], g: Meta, index: Meta) -> list[Meta]:
    shape = tuple(attrs["shape"])
    if math.prod(g[0]) != _taken(attrs, shape, index) or g[1].kind != "f":
        raise ValueError(f"{g} is not what {index[0]} takes of {shape}")
    return [(shape, g[1])]


def _gather(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    return np.take_along_axis(x, index, dim)


def _along(attrs: dict[str, Any], table: tuple[int, ...], index: Meta) -> None:
    dim = _axis(attrs["dim"], table)
    shape = index[0]
    if len(shape) != len(table) or (*shape[:dim], *shape[dim + 1:]) != (*table[:dim], *table[dim + 1:]) or index[1] != _I64:
        raise ValueError(f"{index} and {table} differ in more than axis {dim}, or the index is not int64")


def _gather_metas(attrs: dict[str, Any], x: Meta, index: Meta) -> list[Meta]:
    _along(attrs, x[0], index)
    return [(index[0], x[1])]


def _scatter_add(g: np.ndarray, index: np.ndarray, dim: int, size: int) -> np.ndarray:
    ref = get("scatter_add").ref
    assert ref is not None
    return ref(g, index, dim, size)


def _scatter_metas(attrs: dict[str, Any], g: Meta, index: Meta) -> list[Meta]:
    _along(attrs, g[0], index)
    dim, size = attrs["dim"], attrs["size"]
    if g[0] != index[0] or size < 0 or g[1].kind != "f":
        raise ValueError(f"g {g} and index {index} have different shapes, or size {size} is negative")
    return [((*g[0][:dim], size, *g[0][dim + 1:]), g[1])]


# along one axis ---------------------------------------------------------------------------------------------------------

def _cumsum(x: np.ndarray, dim: int) -> np.ndarray:
    return np.cumsum(x, axis=dim)


def _cumsum_metas(attrs: dict[str, Any], x: Meta) -> list[Meta]:
    _axis(attrs["dim"], x[0])
    if x[1].kind != "f":
        raise ValueError(f"adds floats, not {x[1]}")
    return [x]


def _picks(a: np.ndarray, b: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.matmul(a, b)[..., np.arange(len(index))[:, None], index]


def _picks_metas(attrs: dict[str, Any], a: Meta, b: Meta, index: Meta) -> list[Meta]:
    if len(a[0]) != len(b[0]) or len(a[0]) < 2 or a[0][:-2] != b[0][:-2] or a[0][-1] != b[0][-2] or a[1] != b[1]:
        raise ValueError(f"picks multiplies [*batch, m, k] by [*batch, k, n], not {a} by {b}")
    if len(index[0]) != 2 or index[0][0] != a[0][-2] or index[1] != _I64 or a[1].kind != "f":
        raise ValueError(f"picks takes floats and int64 [{a[0][-2]}, u], not {a[1]} and {index}")
    return [((*a[0][:-1], index[0][1]), a[1])]


def _argsort(x: np.ndarray, dim: int) -> np.ndarray:
    return np.argsort(x, axis=dim, kind="stable")


def _argsort_metas(attrs: dict[str, Any], x: Meta) -> list[Meta]:
    return [(_cumsum_metas(attrs, x)[0][0], _I64)]


def _ones(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
    return float(math.prod(ins[0][0]))


def _sorting(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
    return 4.0 * float(math.prod(ins[0][0])) * math.log2(2 + ins[0][0][attrs["dim"]])


def _moves(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
    return 0.0


def _products(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
    return 2.0 * math.prod(outs[0][0]) * ins[0][0][-1]


_NAMES = "float32|float64|int64|int32|bool"  # in the order of csrc/core/op.h
_TAKE = {"n": "i", "inner": "i", "run": "i", "shape": "I"}

OPS: list[PlanOp] = [
    PlanOp("cat", _cat, _cat_metas, {"dim": "i"}, dense=(), exact=True, cost=_moves),
    PlanOp("put_slice", _put_slice, _put_slice_metas, {"start": "I", "step": "I", "shape": "I"}, dense=(), exact=True,
           cost=_moves),
    PlanOp("fill", _fill, _fill_metas, {"shape": "I", "value": "f", "dtype": _NAMES}, exact=True, cost=_moves),
    PlanOp("take", _take, _take_metas, _TAKE, exact=True, cost=_moves),
    PlanOp("take_add", _take_add, _take_add_metas, _TAKE, exact=True, cost=_ones),
    PlanOp("gather", _gather, _gather_metas, {"dim": "i"}, exact=True, cost=_moves),
    PlanOp("scatter_add", _scatter_add, _scatter_metas, {"dim": "i", "size": "i"}, exact=True, cost=_ones),
    PlanOp("cumsum", _cumsum, _cumsum_metas, {"dim": "i"}, dense=(), exact=True, cost=_ones),
    PlanOp("argsort", _argsort, _argsort_metas, {"dim": "i"}, exact=True, cost=_sorting),
    PlanOp("picks", _picks, _picks_metas, dense=(2,), bound=2e-5, cost=_products,
           doc="elements of a product, for each row those that its row of the index names: see `ndiv.program.passes.picks`"),
]


def _select_cat(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
    dim = attrs["dim"] % len(outputs[0].shape)
    if any(x.dtype != outputs[0].dtype for x in inputs):
        return False
    parts = list(inputs)
    while len(parts) > MOST_INPUTS:
        joined = []
        for i in range(0, len(parts), MOST_INPUTS):
            some = parts[i:i + MOST_INPUTS]
            shape = (*some[0].shape[:dim], sum(x.shape[dim] for x in some), *some[0].shape[dim + 1:])
            joined.append(b.temp(shape, outputs[0].dtype))
            b.emit("cat", some, {"dim": dim}, joined[-1:])
        parts = joined
    b.emit("cat", parts, {"dim": dim}, outputs)
    return True


def _rows(b: Any, index: Any, dim: int) -> Any:
    """The numbers [m] of an index [m, d] that names whole rows of a matrix, each number repeated d times; None of others.

    So `embedding` picks rows by numbers that are known only when the plan runs.
    """
    if dim != 0 or len(index.shape) != 2:
        return None
    e = next((e for e in reversed(b.eqns) if index in e.outputs), None)
    if e is None or e.op != "expand" or e.inputs[0].shape != (index.shape[0], 1):
        return None
    rows = b.temp(index.shape[:1], _I64)
    b.emit("reshape", [e.inputs[0]], {"shape": rows.shape}, [rows])
    return rows


def _select_along(name: str) -> Callable[..., Any]:
    """A primitive with the operation's name, whose dim may be negative."""

    def rule(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
        x = inputs[0]
        if not x.shape or (name != "gather" and x.dtype.kind != "f") or any(i.dtype != _I64 for i in inputs[1:]):
            return False
        rows = _rows(b, inputs[1], attrs["dim"] % len(x.shape)) if len(inputs) == 2 else None
        if rows is not None:
            table = x if name == "gather" else outputs[0]
            b.emit("take" if name == "gather" else "take_add", [x, rows],
                   {"n": table.shape[0], "inner": table.shape[1], "run": 1, "shape": outputs[0].shape}, outputs)
            return True
        b.emit(name, list(inputs), {**attrs, "dim": attrs["dim"] % len(x.shape)}, outputs)
        return True

    return rule


SELECT: dict[str, Callable[..., Any]] = {
    "cat": _select_cat, "getitem": select_getitem, "put": select_put,
    **{name: _select_along(name) for name in ("gather", "scatter_add", "cumsum", "argsort")}}
