"""Reductions: sum, mean, amax, amin, and what is composed of them (var, softmax, logsumexp)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Bad, Primitive, Sample, register
from ..shapes import normalize_dims, reduced
from ..tape import apply
from ._declare import numbers
from .elementwise import exp, log
from .shape import expand, reshape

PUBLIC = ("amax amin logsumexp mean softmax sum var").split()
_NDIV_INTERNAL = True


def _rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> *A without dim (or with 1 there, under keepdim)"""
    return reduced(x, attrs.get("dim"), attrs.get("keepdim", False))


def _samples() -> list[Sample]:
    x = numbers((3, 4, 2))
    return [
        Sample((x,), {"dim": None, "keepdim": False}, "contiguous"),
        Sample((x.T[:, ::2],), {"dim": 1, "keepdim": False}, "strided"),
        Sample((x,), {"dim": (0, -1), "keepdim": True}, "contiguous"),
        Sample((np.broadcast_to(numbers((1, 3)), (2, 3)) + np.arange(2)[:, None],), {"dim": 0, "keepdim": False},
               "broadcast"),
        Sample((numbers((2, 0)),), {"dim": 0, "keepdim": False}, "empty"),
        Sample((numbers(()),), {"dim": None, "keepdim": False}, "0-d"),
    ]


def _bad() -> list[Bad]:
    return [Bad((np.ones((2, 3)),), "dim 5 is not an axis", {"dim": 5, "keepdim": False})]


def _spread(g: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    """A reduced cotangent, broadcast back over the reduced axes."""
    if type(g) is np.ndarray and g.size == 1 and g.ndim == 0:
        return np.ndarray(x.shape, g.dtype, g, 0, (0,) * len(x.shape))  # broadcast_to, six times as quick
    if not keepdim and len(x.shape):
        dims = normalize_dims(dim, len(x.shape))
        g = reshape(g, tuple(1 if i in dims else n for i, n in enumerate(x.shape)))
    return expand(g, x.shape)


def _count(shape: tuple[int, ...], dim: Any) -> int:
    n = 1
    for i in normalize_dims(dim, len(shape)):
        n *= shape[i] if shape else 1
    return n


SUM = register(Primitive(
    "sum", ("x",), _rule, ref=lambda x, dim, keepdim: np.add.reduce(x, axis=dim, keepdims=keepdim),
    attrs={"dim": None, "keepdim": False}, linear=True, batch="reduce", onnx="ReduceSum",
    vjp=(lambda g, y, x, dim, keepdim: _spread(g, x, dim, keepdim),), samples=_samples, bad=_bad,
    cost=lambda attrs, ins, outs: float(np.prod(ins[0], dtype=float))))

def _mean_ref(x: np.ndarray, dim: Any, keepdim: bool) -> np.ndarray:
    n = _count(np.shape(x), dim)
    # an empty mean is nan by definition; dividing by hand keeps NumPy's warning out of it
    total = np.add.reduce(x, axis=dim, keepdims=keepdim)
    return total * (1.0 / n) if n else np.full_like(total, np.nan)


MEAN = register(Primitive(
    "mean", ("x",), _rule, ref=_mean_ref, attrs={"dim": None, "keepdim": False}, linear=True, batch="reduce",
    onnx="ReduceMean",
    vjp=(lambda g, y, x, dim, keepdim: _spread(g * (1.0 / max(_count(x.shape, dim), 1)), x, dim, keepdim),),
    samples=_samples, bad=_bad, cost=lambda attrs, ins, outs: float(np.prod(ins[0], dtype=float))))


def _dims(dim: Any, keepdim: bool, axis: Any, keepdims: Any) -> dict[str, Any]:
    dim = axis if axis is not None else dim
    return {"dim": tuple(dim) if isinstance(dim, list) else dim, "keepdim": bool(keepdim if keepdims is None else keepdims)}


def sum(x: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Sum over dim (an axis, several, or None for all)."""
    return apply(SUM, (x,), _dims(dim, keepdim, axis, keepdims))


def mean(x: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Arithmetic mean over dim."""
    return apply(MEAN, (x,), _dims(dim, keepdim, axis, keepdims))


def _pick(g: Any, y: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    hit = x == _spread(y, x, dim, keepdim)
    hit = hit if isinstance(hit, np.ndarray) else hit.data
    share = hit / np.sum(hit, axis=dim, keepdims=True)
    return _spread(g, x, dim, keepdim) * share.astype(x.dtype)


AMAX = register(Primitive(
    "amax", ("x",), _rule, ref=lambda x, dim, keepdim: np.max(x, axis=dim, keepdims=keepdim),
    attrs={"dim": None, "keepdim": False}, saves=("x", "out"), analytic=False, kinks="ties", batch="reduce",
    onnx="ReduceMax", vjp=(_pick,), samples=_samples, bad=_bad))

AMIN = register(Primitive(
    "amin", ("x",), _rule, ref=lambda x, dim, keepdim: np.min(x, axis=dim, keepdims=keepdim),
    attrs={"dim": None, "keepdim": False}, saves=("x", "out"), analytic=False, kinks="ties", batch="reduce",
    onnx="ReduceMin", vjp=(_pick,), samples=_samples, bad=_bad))


def _softmax(x: Any, dim: int) -> Any:
    top = np.max(x if isinstance(x, np.ndarray) else x.data, axis=dim, keepdims=True, initial=-np.inf)
    e = exp(x - np.where(np.isfinite(top), top, 0).real.astype(x.dtype))
    return e / sum(e, dim=dim, keepdim=True)


def _same(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> [*A], dim an axis of A"""
    normalize_dims(attrs["dim"], len(x))
    return x


SOFTMAX = register(Primitive(
    "softmax", ("x",), _same, decompose=_softmax, attrs={"dim": -1}, saves=("out",), onnx="Softmax",
    vjp=(lambda g, y, x, dim: y * (g - sum(g * y, dim=dim, keepdim=True)),), batch="map",
    samples=lambda: [Sample((numbers((3, 4)),), {"dim": -1}, "contiguous"),
                     Sample((numbers((4, 6)).T[::2],), {"dim": 0}, "strided"),
                     Sample((np.broadcast_to(numbers((1, 3)), (2, 3)),), {"dim": 1}, "broadcast"),
                     Sample((numbers((0, 3)),), {"dim": 1}, "empty"), Sample((numbers(()),), {"dim": 0}, "0-d")],
    bad=lambda: [Bad((np.ones((2, 3)),), "dim 4 is not an axis", {"dim": 4})], strict=True,
    cost=lambda attrs, ins, outs: 13.0 * float(np.prod(ins[0], dtype=float))))


def amax(x: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Largest value over dim; ties share the gradient equally."""
    return apply(AMAX, (x,), _dims(dim, keepdim, axis, keepdims))


def amin(x: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """Smallest value over dim; ties share the gradient equally."""
    return apply(AMIN, (x,), _dims(dim, keepdim, axis, keepdims))


def var(x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, axis: Any = None,
        keepdims: bool | None = None) -> Any:
    """Variance over dim, with n - 1 in the denominator when unbiased (PyTorch's default)."""
    where = _dims(dim, keepdim, axis, keepdims)
    centred = x - mean(x, where["dim"], True)
    n = _count(x.shape, where["dim"])
    return sum(centred * centred, where["dim"], where["keepdim"]) * (1.0 / max(n - (1 if unbiased else 0), 1))


def softmax(x: Any, dim: int = -1, *, axis: int | None = None) -> Any:
    """exp(x) over its sum along dim, shifted by the maximum so that nothing overflows."""
    return apply(SOFTMAX, (x,), {"dim": dim if axis is None else axis})


def logsumexp(x: Any, dim: Any = -1, keepdim: bool = False) -> Any:
    """log of the sum of exp(x) over dim, shifted by the maximum."""
    top = np.max(x if isinstance(x, np.ndarray) else x.data, axis=dim, keepdims=True)
    y = log(sum(exp(x - top), dim=dim, keepdim=True)) + top
    return y if keepdim else reshape(y, reduced(x.shape, dim, False))
