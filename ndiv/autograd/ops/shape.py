"""Ops that move values without changing them: reshape, permute, expand, cat, stack, getitem, flip, pad."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...errors import ConfigError, ShapeError, closest
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken, broadcast, normalize_dims
from ..tape import apply
from ..tensor import Tensor
from ._declare import numbers
from .elementwise import where

PUBLIC = ("cat chunk expand flatten flip getitem masked_fill narrow pad permute repeat reshape roll split squeeze stack "
          "transpose unfold unsqueeze").split()
_NDIV_INTERNAL = True
PUT: Primitive  # the gradient of GETITEM


def _ints(shape: Any) -> tuple[int, ...]:
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    return tuple(int(s) for s in shape)


def _free(attrs: Any, ins: Any, outs: Any) -> float:
    return 0.0


# reshape ----------------------------------------------------------------------------------------------------------

def _reshape_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> shape, with as many elements; one -1 is worked out"""
    shape = list(attrs["shape"])
    n = int(np.prod(x))
    known = int(np.prod([s for s in shape if s != -1]))
    if -1 in shape:
        if shape.count(-1) > 1 or (known == 0 and n != 0) or (known and n % known):
            raise RuleBroken(f"{list(x)} has {n} elements, which {shape} cannot hold", "leave one -1 to be worked out")
        shape[shape.index(-1)] = n // known if known else 0
    elif known != n:
        raise RuleBroken(f"{list(x)} has {n} elements and {shape} holds {known}", "the products must be equal")
    return tuple(shape)


RESHAPE = register(Primitive(
    "reshape", ("x",), _reshape_rule, ref=lambda x, shape: np.reshape(x, shape), attrs={"shape": ()}, linear=True,
    view=True, onnx="Reshape", cost=_free, vjp=(lambda g, y, x, shape: reshape(g, x.shape),),
    samples=lambda: [Sample((numbers((3, 4)),), {"shape": (2, -1)}, "contiguous"),
                     Sample((numbers((4, 6)).T[::2],), {"shape": (12,)}, "strided"),
                     Sample((np.broadcast_to(numbers((1, 3)), (2, 3)),), {"shape": (3, 2)}, "broadcast"),
                     Sample((numbers((0, 3)),), {"shape": (3, 0)}, "empty"), Sample((numbers(()),), {"shape": (1, 1)}, "0-d")],
    bad=lambda: [Bad((np.ones((2, 3)),), "holds 4", {"shape": (2, 2)})]))


def reshape(x: Any, *shape: Any) -> Any:
    """The same values in another shape; one -1 is worked out.

    >>> import ndiv, numpy as np
    >>> ndiv.reshape(np.arange(6.0), 2, -1).shape
    (2, 3)
    """
    return apply(RESHAPE, (x,), {"shape": _ints(shape)})


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes start_dim to end_dim joined into one."""
    n = len(x.shape)
    a, b = start_dim % n, end_dim % n
    return reshape(x, (*x.shape[:a], -1, *x.shape[b + 1:]))


def squeeze(x: Any, dim: int | None = None) -> Any:
    """Without axes of length 1 (or only axis dim, if its length is 1)."""
    n = len(x.shape)
    drop = {i for i, s in enumerate(x.shape) if s == 1 and (dim is None or i == dim % n)}
    return reshape(x, tuple(s for i, s in enumerate(x.shape) if i not in drop))


def unsqueeze(x: Any, dim: int) -> Any:
    """With a new axis of length 1 at dim."""
    at = dim % (len(x.shape) + 1)
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


# permute ----------------------------------------------------------------------------------------------------------

def _permute_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> A in the order dims, which names each axis once"""
    dims = attrs["dims"]
    if len(dims) != len(x) or {d % max(len(x), 1) for d in dims} != set(range(len(x))):
        raise RuleBroken(f"dims {list(dims)} is no order of {len(x)} axes", "name each axis once")
    return tuple(x[d] for d in dims)


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort([d % len(dims) for d in dims])) if dims else ()


PERMUTE = register(Primitive(
    "permute", ("x",), _permute_rule, ref=lambda x, dims: np.transpose(x, dims), attrs={"dims": ()}, linear=True,
    view=True, onnx="Transpose", cost=_free, batch="mix", vjp=(lambda g, y, x, dims: permute(g, _inverse(dims)),),
    samples=lambda: [Sample((numbers((2, 3, 4)),), {"dims": (2, 0, 1)}, "contiguous"),
                     Sample((numbers((4, 6)).T[::2],), {"dims": (-1, 0)}, "strided"),
                     Sample((np.broadcast_to(numbers((1, 3)), (2, 3)),), {"dims": (1, 0)}, "broadcast"),
                     Sample((numbers((0, 3)),), {"dims": (1, 0)}, "empty"), Sample((numbers(()),), {"dims": ()}, "0-d")],
    bad=lambda: [Bad((np.ones((2, 3)),), "no order", {"dims": (0, 0)})], strict=True))


def permute(x: Any, *dims: Any) -> Any:
    """Axes in another order."""
    return apply(PERMUTE, (x,), {"dims": _ints(dims)})


def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Axes dim0 and dim1 exchanged."""
    dims = list(range(len(x.shape)))
    try:
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    except IndexError:
        dims = [dim0, dim1]  # let the rule say what is wrong
    return apply(PERMUTE, (x,), {"dims": tuple(dims)})


# expand -----------------------------------------------------------------------------------------------------------

def _expand_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> shape, to which A broadcasts"""
    if broadcast(x, attrs["shape"]) != attrs["shape"]:
        raise RuleBroken(f"{list(x)} does not broadcast to {list(attrs['shape'])}", "only axes of length 1 grow")
    return attrs["shape"]


EXPAND = register(Primitive(
    "expand", ("x",), _expand_rule, ref=lambda x, shape: np.broadcast_to(x, shape), attrs={"shape": ()}, linear=True,
    view=True, onnx="Expand", cost=_free, vjp=(lambda g, y, x, shape: g,),
    samples=lambda: [Sample((numbers((3, 1)),), {"shape": (2, 3, 4)}, "contiguous"),
                     Sample((numbers((4, 6)).T[::2, :1],), {"shape": (3, 2)}, "strided"),
                     Sample((numbers((1, 0)),), {"shape": (2, 0)}, "empty"), Sample((numbers(()),), {"shape": (2,)}, "0-d")],
    bad=lambda: [Bad((np.ones((2, 3)),), "do not broadcast", {"shape": (2, 4)})]))


def expand(x: Any, *shape: Any) -> Any:
    """Broadcast to shape (a view)."""
    return apply(EXPAND, (x,), {"shape": _ints(shape)})


# cat and stack ----------------------------------------------------------------------------------------------------

def _cat_rule(attrs: dict[str, Any], *xs: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] ... -> joined along dim; the other axes are equal"""
    if not xs:
        raise RuleBroken("cat of nothing", "give at least one array")
    (d,) = normalize_dims(attrs["dim"], len(xs[0]))
    for i, x in enumerate(xs):
        if len(x) != len(xs[0]) or any(p != q for j, (p, q) in enumerate(zip(x, xs[0], strict=True)) if j != d):
            raise RuleBroken(f"xs[{i}] has shape {list(x)} and xs[0] {list(xs[0])}",
                             f"they may differ only in axis {d}")
    return (*xs[0][:d], int(np.sum([x[d] for x in xs])), *xs[0][d + 1:])


def _cat_vjp(g: Any, y: Any, *xs: Any, dim: int) -> list[Any]:
    out, at = [], 0
    d = dim % len(g.shape)
    for x in xs:
        out.append(narrow(g, d, at, x.shape[d]))
        at += x.shape[d]
    return out


CAT = register(Primitive(
    "cat", ("*xs",), _cat_rule, ref=lambda *xs, dim: np.concatenate(xs, axis=dim), attrs={"dim": 0}, linear=True,
    onnx="Concat", cost=_free, vjp=_cat_vjp,
    samples=lambda: [Sample((numbers((2, 3)), numbers((4, 3), seed=1), numbers((1, 3), seed=2)), {"dim": 0}, "contiguous"),
                     Sample((numbers((3, 4)).T[::2], numbers((2, 2), seed=1)), {"dim": -1}, "strided"),
                     Sample((numbers((0, 3)), numbers((2, 3))), {"dim": 0}, "empty")],
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((2, 4))), "differ only in axis 0", {"dim": 0})]))


def cat(xs: Sequence[Any], dim: int = 0, *, axis: int | None = None) -> Any:
    """Arrays joined along an axis that they have."""
    return apply(CAT, tuple(xs), {"dim": dim if axis is None else axis})


def stack(xs: Sequence[Any], dim: int = 0, *, axis: int | None = None) -> Any:
    """Arrays of one shape joined along a new axis."""
    at = dim if axis is None else axis
    return cat([unsqueeze(x, at) for x in xs], dim=at)


# getitem ----------------------------------------------------------------------------------------------------------

class Key:
    """An index, wrapped so that it can be an attribute: hashable, printable, with arrays inside."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __repr__(self) -> str:
        return repr(self.key)


def _getitem_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> NumPy's indexing of A by key"""
    try:
        return np.broadcast_to(np.empty(()), x)[attrs["key"].key].shape
    except IndexError as cause:
        raise RuleBroken(str(cause), "see NumPy's indexing rules") from None


def _basic(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) for p in parts)


def _put(g: np.ndarray, key: Key, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    if _basic(key.key):
        out[key.key] = g
    else:
        np.add.at(out, key.key, g)  # an element may be named twice
    return out


GETITEM = register(Primitive(
    "getitem", ("x",), _getitem_rule, ref=lambda x, key: np.asarray(x)[key.key], attrs={"key": None}, linear=True, cost=_free,
    batch="mix", onnx="Gather", vjp=(lambda g, y, x, key: apply(PUT, (g,), {"key": key, "shape": x.shape}),),
    samples=lambda: [Sample((numbers((3, 4)),), {"key": Key((slice(None), slice(1, None, 2)))}, "contiguous"),
                     Sample((numbers((4, 6)).T[::2],), {"key": Key((Ellipsis, -1))}, "strided"),
                     Sample((numbers((3, 4)),), {"key": Key((np.array([0, 2, 0]),))}, "contiguous"),
                     Sample((numbers((0, 3)),), {"key": Key((slice(None), 1))}, "empty"),
                     Sample((numbers(()),), {"key": Key((None,))}, "0-d")],
    bad=lambda: [Bad((np.ones((2, 3)),), "out of bounds", {"key": Key((0, 7))})]))


def _put_rule(attrs: dict[str, Any], g: tuple[int, ...]) -> tuple[int, ...]:
    """[*G] -> shape, zero but for the elements that key names"""
    return attrs["shape"]


PUT = register(Primitive(
    "put", ("g",), _put_rule, ref=lambda g, key, shape: _put(g, key, shape), attrs={"key": None, "shape": ()}, linear=True,
    cost=_free, batch="mix", onnx="ScatterND", vjp=(lambda g, y, x, key, shape: getitem(g, key.key),),
    samples=lambda: [Sample((numbers((3, 2)),), {"key": Key((slice(None), slice(1, None, 2))), "shape": (3, 4)}, "contiguous"),
                     Sample((numbers((3,)),), {"key": Key((np.array([0, 2, 0]),)), "shape": (3,)}, "contiguous"),
                     Sample((numbers((4, 6)).T[::2],), {"key": Key((slice(0, 3),)), "shape": (5, 4)}, "strided"),
                     Sample((numbers((0,)),), {"key": Key((slice(0, 0),)), "shape": (2,)}, "empty"),
                     Sample((numbers(()),), {"key": Key((1,)), "shape": (2,)}, "0-d")],
    bad=lambda: [Bad((np.ones(3),), "could not", {"key": Key((slice(0, 2),)), "shape": (4,)})]))


def plain(key: Any) -> Any:
    """An index with arrays in the place of its Tensors."""
    if isinstance(key, tuple):
        return tuple(plain(k) for k in key)
    return key.data if isinstance(key, Tensor) else key


def getitem(x: Any, key: Any) -> Any:
    """x[key], with NumPy's basic and fancy indices."""
    if not isinstance(key, (int, slice, np.ndarray)):
        key = plain(key)
    return apply(GETITEM, (x,), {"key": Key(key)})


def narrow(x: Any, dim: int, start: int, length: int) -> Any:
    """length elements of axis dim, from start."""
    return getitem(x, (slice(None),) * (dim % len(x.shape)) + (slice(start, start + length),))


def flip(x: Any, dims: Any) -> Any:
    """The order along dims reversed."""
    turned = normalize_dims(dims, len(x.shape))
    return getitem(x, tuple(slice(None, None, -1) if i in turned else slice(None) for i in range(len(x.shape))))


# pad --------------------------------------------------------------------------------------------------------------

def _pad_index(n: int, before: int, after: int, mode: str) -> np.ndarray:
    i = np.arange(-before, n + after)
    if mode == "replicate":
        return np.clip(i, 0, n - 1)
    if mode == "circular":
        return i % n
    return (n - 1) - np.abs((n - 1) - np.abs(i))  # reflect, for pads shorter than n


def pad(x: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Any:
    """PyTorch's pad: pairs (before, after) from the last axis backwards; constant, reflect, replicate or circular.

    >>> import ndiv, numpy as np
    >>> ndiv.pad(np.array([1.0, 2.0]), (1, 2), mode="replicate")
    array([1., 1., 2., 2., 2.])
    """
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ConfigError(f"pad: unknown mode {mode!r}", value=mode,
                          hint=closest(mode, ("constant", "reflect", "replicate", "circular")))
    for k in range(len(pad) // 2):
        before, after, axis = pad[2 * k], pad[2 * k + 1], len(x.shape) - 1 - k
        if not before and not after:
            continue
        if mode == "constant":
            fill = [np.full((*x.shape[:axis], n, *x.shape[axis + 1:]), value, x.dtype) for n in (before, after)]
            x = cat([fill[0], x, fill[1]], dim=axis)
        else:
            x = getitem(x, (slice(None),) * axis + (_pad_index(x.shape[axis], before, after, mode),))
    return x


# composed of the above -------------------------------------------------------------------------------------------

def split(x: Any, size: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Pieces of axis dim: all of one size (the last may be shorter), or of the sizes given."""
    n = x.shape[dim]
    sizes = [size] * (n // size) + ([n % size] if n % size else []) if isinstance(size, int) else list(size)
    if int(np.sum(sizes)) != n:
        raise ShapeError(f"split: sizes {sizes} do not add up to {n}", value=sizes, hint="they must cover the axis")
    ends = np.cumsum([0, *sizes])
    return tuple(narrow(x, dim, int(a), int(b - a)) for a, b in pairwise(ends))


def chunk(x: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` pieces of axis dim, of equal size but for the last."""
    return split(x, max(-(-x.shape[dim] // chunks), 1), dim)


def roll(x: Any, shifts: int, dim: int) -> Any:
    """Axis dim turned by shifts places; what falls off the end comes in at the start."""
    n = x.shape[dim]
    k = shifts % n if n else 0
    return x if not k else cat([narrow(x, dim, n - k, k), narrow(x, dim, 0, n - k)], dim=dim)


def repeat(x: Any, *sizes: Any) -> Any:
    """x laid side by side sizes[i] times along axis i (PyTorch's repeat, NumPy's tile)."""
    sizes = _ints(sizes)
    shape = (1,) * (len(sizes) - len(x.shape)) + tuple(x.shape)
    inner = tuple(s for n in shape for s in (1, n))
    outer = tuple(s for k, n in zip(sizes, shape, strict=True) for s in (k, n))
    return reshape(expand(reshape(x, inner), outer), tuple(k * n for k, n in zip(sizes, shape, strict=True)))


def unfold(x: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of ``size`` elements, ``step`` apart, along an axis: [.., n, ..] -> [.., windows, .., size].

    >>> import ndiv, numpy as np
    >>> ndiv.unfold(np.arange(5.0), 0, 3, 2)
    array([[0., 1., 2.],
           [2., 3., 4.]])
    """
    n = x.shape[dimension]
    if size > n or size < 1 or step < 1:
        raise ShapeError(f"unfold: windows of {size}, {step} apart, of an axis with {n} elements", value=(size, step),
                         hint=f"give a size from 1 to {n} and a step of at least 1")
    axis = dimension % len(x.shape)
    index = np.arange(0, n - size + 1, step)[:, None] + np.arange(size)
    windows = getitem(x, (slice(None),) * axis + (index,))  # [.., windows, size, ..]
    order = [i for i in range(len(windows.shape)) if i != axis + 1] + [axis + 1]
    return permute(windows, order)


def masked_fill(x: Any, mask: Any, value: float) -> Any:
    """x with value wherever mask is true."""
    return where(mask, x.dtype.type(value), x)
