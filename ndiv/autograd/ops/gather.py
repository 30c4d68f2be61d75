"""Ops that pick by integer indices: gather, scatter_add, embedding, index_put."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError
from ...random import is_traced
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken, normalize_dims
from ..tape import apply
from ..tensor import Tensor
from ._declare import numbers
from .elementwise import where
from .shape import PUT, Key, getitem, plain

PUBLIC = ["embedding", "gather", "index_put", "scatter_add"]
_NDIV_INTERNAL = True
SCATTER_ADD: Primitive  # each is the gradient of the other


def _gather_rule(attrs: dict[str, Any], x: tuple[int, ...], index: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] [*I] -> [*I]; A and I differ in axis dim only"""
    (d,) = normalize_dims(attrs["dim"], len(x))
    if len(x) != len(index) or any(p != q for i, (p, q) in enumerate(zip(x, index, strict=True)) if i != d):
        raise RuleBroken(f"x has shape {list(x)} and index {list(index)}", f"they may differ only in axis {d}")
    return index


def _scatter(g: np.ndarray, index: np.ndarray, dim: int, size: int) -> np.ndarray:
    shape = list(g.shape)
    shape[dim] = size
    out = np.zeros(shape, g.dtype)
    where = list(np.ogrid[tuple(slice(n) for n in g.shape)])
    where[dim] = index
    np.add.at(out, tuple(where), g)
    return out


def _scatter_rule(attrs: dict[str, Any], g: tuple[int, ...], index: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] [*A] -> [*A], with size elements in axis dim"""
    if g != index:
        raise RuleBroken(f"g has shape {list(g)} and index {list(index)}", "they must be equal")
    (d,) = normalize_dims(attrs["dim"], len(g))
    return (*g[:d], attrs["size"], *g[d + 1:])


_INDEX = np.array([[2, 0, 2], [1, 1, 3]])

GATHER = register(Primitive(
    "gather", ("x", "index"), _gather_rule, ref=lambda x, index, dim: np.take_along_axis(x, index, dim), attrs={"dim": -1},
    saves=("index",), batch="map", onnx="GatherElements", strict=True, cost=lambda attrs, ins, outs: 0.0,
    vjp=(lambda g, y, x, index, dim: apply(SCATTER_ADD, (g, index), {"dim": dim % len(x.shape), "size": x.shape[dim]}), None),
    samples=lambda: [Sample((numbers((2, 4)), _INDEX), {"dim": -1}, "contiguous"),
                     Sample((numbers((4, 4)).T[::2], _INDEX), {"dim": 1}, "strided"),
                     Sample((numbers((4, 3)), _INDEX), {"dim": 0}, "contiguous"),
                     Sample((numbers((0, 3)), np.zeros((0, 2), int)), {"dim": 1}, "empty")],
    bad=lambda: [Bad((np.ones((2, 3)), np.zeros((3, 3), int)), "differ only in axis 1", {"dim": 1})]))

SCATTER_ADD = register(Primitive(
    "scatter_add", ("g", "index"), _scatter_rule, ref=lambda g, index, dim, size: _scatter(g, index, dim, size),
    attrs={"dim": -1, "size": 0}, saves=("index",), batch="map", onnx="ScatterElements", strict=True,
    vjp=(lambda g, y, x, index, dim, size: gather(g, dim, index), None),
    samples=lambda: [Sample((numbers((2, 3)), _INDEX), {"dim": 1, "size": 4}, "contiguous"),
                     Sample((numbers((3, 4)).T[:2], np.zeros((2, 3), int)), {"dim": 1, "size": 4}, "strided"),
                     Sample((numbers((0, 2)), np.zeros((0, 2), int)), {"dim": 1, "size": 3}, "empty")],
    bad=lambda: [Bad((np.ones((2, 3)), np.zeros((3, 3), int)), "must be equal", {"dim": 1, "size": 3})]))


def gather(x: Any, dim: int, index: Any) -> Any:
    """x at index along dim (both have the same number of axes); differentiable in x."""
    return apply(GATHER, (x, index), {"dim": dim})


def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Any:
    """x with src added at index along dim (an index may repeat); index and src have one shape."""
    size = x.shape[dim]
    return x + apply(SCATTER_ADD, (src, index), {"dim": dim % len(x.shape), "size": size})


def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy of x with values at indices (a tuple, as in NumPy); added where accumulate, else in place of what was there.

    >>> import ndiv, numpy as np
    >>> ndiv.index_put(np.zeros(3), (np.array([0, 2]),), np.array([5.0, 7.0]))
    array([5., 0., 7.])
    """
    key = plain(indices)
    spot = np.broadcast_to(np.empty((), np.int8), x.shape)[key].shape
    if tuple(getattr(values, "shape", ())) != spot:
        values = values * np.ones(spot, x.dtype)
    placed = apply(PUT, (values,), {"key": Key(key), "shape": tuple(x.shape)})
    if accumulate:
        return x + placed
    taken = np.zeros(x.shape, bool)
    taken[key] = True
    return where(taken, placed, x)


def embedding(index: Any, weight: Any) -> Any:
    """Rows of weight [n, d] by whole numbers of any shape: [*] -> [*, d]."""
    if is_traced() and isinstance(index, Tensor):  # numbers that are known only when the plan runs
        flat = index.reshape((-1, 1)).expand((index.numel(), weight.shape[1]))
        return gather(weight, 0, flat).reshape((*index.shape, weight.shape[1]))
    index = index.data if isinstance(index, Tensor) else np.asarray(index)
    if index.dtype.kind not in "iu":
        raise ShapeError(f"embedding: indices must be whole numbers, not {index.dtype}", value=index.dtype,
                         hint="convert them with astype(int)")
    if index.size and (index.min() < 0 or index.max() >= weight.shape[0]):
        raise ShapeError(f"embedding: indices run from {index.min()} to {index.max()} and the table has {weight.shape[0]} rows",
                         value=int(index.max()), hint="indices start at 0")
    return getitem(weight, (index,))
