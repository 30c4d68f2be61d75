"""Reductions and what runs along one axis: sum, mean, amax, prod, cumsum, argmax, sort, topk, softmax and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import normalize_dims, reduced
from ..tape import apply, stopped
from ._declare import numbers
from .elementwise import exp, log, sqrt, where
from .gather import gather
from .shape import cat, expand, flip, reshape

PUBLIC = ("amax amin argmax argmin cumsum log_softmax logsumexp mean prod softmax sort std sum topk var").split()
_NDIV_INTERNAL = True
_add_reduce: Any = np.add.reduce  # np.sum without its layers of dispatch


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
    if not g.shape and isinstance(g, (np.ndarray, np.generic)):
        g = np.asarray(g)
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
    "sum", ("x",), _rule, ref=lambda x, dim, keepdim: _add_reduce(x, axis=dim, keepdims=keepdim),
    attrs={"dim": None, "keepdim": False}, linear=True, batch="reduce", onnx="ReduceSum",
    vjp=(lambda g, y, x, dim, keepdim: _spread(g, x, dim, keepdim),), samples=_samples, bad=_bad,
    cost=lambda attrs, ins, outs: float(np.prod(ins[0], dtype=float))))

def _mean_ref(x: np.ndarray, dim: Any, keepdim: bool) -> np.ndarray:
    n = _count(np.shape(x), dim)
    # an empty mean is nan by definition; dividing by hand keeps NumPy's warning out of it
    total = _add_reduce(x, axis=dim, keepdims=keepdim)
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


def _samples_with_ties() -> list[Sample]:
    x = np.round(numbers((3, 4)))
    return [*_samples(), Sample((x,), {"dim": 1, "keepdim": False}, "tie")]


def _pick(g: Any, y: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    hit = (stopped(x) == stopped(_spread(y, x, dim, keepdim))).astype(x.dtype)
    return _spread(g, x, dim, keepdim) * (hit / sum(hit, dim, True))


AMAX = register(Primitive(
    "amax", ("x",), _rule, ref=lambda x, dim, keepdim: np.max(x, axis=dim, keepdims=keepdim),
    attrs={"dim": None, "keepdim": False}, saves=("x", "out"), analytic=False, kinks="ties", batch="reduce",
    onnx="ReduceMax", vjp=(_pick,), samples=_samples_with_ties, bad=_bad))

AMIN = register(Primitive(
    "amin", ("x",), _rule, ref=lambda x, dim, keepdim: np.min(x, axis=dim, keepdims=keepdim),
    attrs={"dim": None, "keepdim": False}, saves=("x", "out"), analytic=False, kinks="ties", batch="reduce",
    onnx="ReduceMin", vjp=(_pick,), samples=_samples_with_ties, bad=_bad))


def largest(x: Any, dim: int) -> Any:
    """The largest value along dim, kept as an axis, or 0 where it is not finite: a shift that carries no gradient."""
    x = stopped(x)
    if isinstance(x, np.ndarray):
        top = np.max(x.real, axis=dim, keepdims=True, initial=-np.inf)
        return np.where(np.isfinite(top), top, 0).astype(x.real.dtype)
    top = amax(x, dim, True)
    return where(top - top == 0, top, 0.0).astype(x.dtype)


def _softmax(x: Any, dim: int) -> Any:
    e = exp(x - largest(x, dim))
    return e / sum(e, dim=dim, keepdim=True)


def _same(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> [*A], dim an axis of A"""
    normalize_dims(attrs["dim"], len(x))
    return x


def _softmax_samples() -> list[Sample]:
    return [Sample((numbers((3, 4)),), {"dim": -1}, "contiguous"), Sample((numbers((4, 6)).T[::2],), {"dim": 0}, "strided"),
            Sample((np.broadcast_to(numbers((1, 3)), (2, 3)),), {"dim": 1}, "broadcast"),
            Sample((numbers((0, 3)),), {"dim": 1}, "empty"), Sample((numbers(()),), {"dim": 0}, "0-d")]


SOFTMAX = register(Primitive(
    "softmax", ("x",), _same, decompose=_softmax, attrs={"dim": -1}, saves=("out",), onnx="Softmax",
    vjp=(lambda g, y, x, dim: y * (g - sum(g * y, dim=dim, keepdim=True)),), batch="map",
    samples=_softmax_samples,
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
    over = _dims(dim, keepdim, axis, keepdims)
    centred = x - mean(x, over["dim"], True)
    n = _count(x.shape, over["dim"])
    return sum(centred * centred, over["dim"], over["keepdim"]) * (1.0 / max(n - (1 if unbiased else 0), 1))


def softmax(x: Any, dim: int = -1, *, axis: int | None = None) -> Any:
    """exp(x) over its sum along dim, shifted by the maximum so that nothing overflows."""
    return apply(SOFTMAX, (x,), {"dim": dim if axis is None else axis})


def _log_softmax(x: Any, dim: int) -> Any:
    shifted = x - largest(x, dim)
    return shifted - log(sum(exp(shifted), dim=dim, keepdim=True))


LOG_SOFTMAX = register(Primitive(
    "log_softmax", ("x",), _same, decompose=_log_softmax, attrs={"dim": -1}, saves=("out",), onnx="LogSoftmax",
    vjp=(lambda g, y, x, dim: g - exp(y) * sum(g, dim=dim, keepdim=True),), strict=True, samples=_softmax_samples,
    bad=lambda: [Bad((np.ones((2, 3)),), "dim 4 is not an axis", {"dim": 4})],
    cost=lambda attrs, ins, outs: 23.0 * float(np.prod(ins[0], dtype=float))))


def log_softmax(x: Any, dim: int = -1, *, axis: int | None = None) -> Any:
    """log of softmax along dim, without forming small numbers."""
    return apply(LOG_SOFTMAX, (x,), {"dim": dim if axis is None else axis})


def logsumexp(x: Any, dim: Any = -1, keepdim: bool = False) -> Any:
    """log of the sum of exp(x) over dim, shifted by the maximum."""
    top = amax(stopped(x), dim, True)
    y = log(sum(exp(x - top), dim=dim, keepdim=True)) + top
    return y if keepdim else reshape(y, reduced(x.shape, dim, False))


def std(x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, axis: Any = None,
        keepdims: bool | None = None) -> Any:
    """Standard deviation over dim, with n - 1 in the denominator when unbiased."""
    return sqrt(var(x, dim, unbiased, keepdim, axis=axis, keepdims=keepdims))


# along one axis ---------------------------------------------------------------------------------------------------

def _along() -> list[Sample]:
    x = np.random.Generator(np.random.Philox(key=[8, 8])).permutation(24).astype(float) / 7 - 1.6
    return [Sample((x.reshape(4, 6),), {"dim": -1}, "contiguous"), Sample((x.reshape(4, 6).T[::2],), {"dim": 0}, "strided"),
            Sample((x.reshape(2, 3, 4),), {"dim": 1}, "batched"), Sample((x[:0].reshape(0, 3),), {"dim": 1}, "empty"),
            Sample((x[:3].reshape(3, 1),), {"dim": 1}, "contiguous, one element")]


def _bad_dim() -> list[Bad]:
    return [Bad((np.ones((2, 3)),), "dim 4 is not an axis", {"dim": 4})]


CUMSUM = register(Primitive(
    "cumsum", ("x",), _same, ref=lambda x, dim: np.cumsum(x, axis=dim), attrs={"dim": -1}, linear=True, onnx="CumSum",
    vjp=(lambda g, y, x, dim: flip(cumsum(flip(g, dim), dim), dim),), samples=_along, bad=_bad_dim, strict=True))


def cumsum(x: Any, dim: int = -1, *, axis: int | None = None) -> Any:
    """Running sum along dim."""
    return apply(CUMSUM, (x,), {"dim": dim if axis is None else axis})


def _prod_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> A without dim"""
    return reduced(x, attrs["dim"], False)


def _others(x: Any, dim: int) -> Any:
    """For each element, the product of the others along dim; no division, so zeros are no trouble."""
    n = x.shape[dim]
    left: list[Any] = []
    right: list[Any] = []
    ones: Any = None
    at = [_take(x, dim, i) for i in range(n)]
    for i in range(n):
        ones = np.ones(at[i].shape, x.dtype) if ones is None else ones
        left.append(ones if i == 0 else left[-1] * at[i - 1])
    for i in reversed(range(n)):
        right.append(ones if i == n - 1 else right[-1] * at[i + 1])
    return cat([a * b for a, b in zip(left, reversed(right), strict=True)], dim=dim) if n else x


def _take(x: Any, dim: int, i: int) -> Any:
    return x[(slice(None),) * (dim % len(x.shape)) + (slice(i, i + 1),)]


PROD = register(Primitive(
    "prod", ("x",), _prod_rule, ref=lambda x, dim: np.prod(x, axis=dim), attrs={"dim": -1}, saves="x", onnx="ReduceProd",
    vjp=(lambda g, y, x, dim: _spread(g, x, dim, False) * _others(x, dim),), batch="reduce", strict=True,
    samples=_along, bad=_bad_dim))


def prod(x: Any, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None,
         keepdims: bool | None = None) -> Any:
    """Product along dim (all elements without one)."""
    where = _dims(dim, keepdim, axis, keepdims)
    if where["dim"] is None:
        y = apply(PROD, (reshape(x, (-1,)),), {"dim": 0})
        return reshape(y, (1,) * len(x.shape)) if where["keepdim"] else y
    y = apply(PROD, (x,), {"dim": where["dim"]})
    return reshape(y, reduced(x.shape, where["dim"], True)) if where["keepdim"] else y


ARGSORT = register(Primitive(
    "argsort", ("x",), _same, ref=lambda x, dim: np.argsort(x.real, axis=dim, kind="stable"), attrs={"dim": -1},
    vjp=(None,), analytic=False, kinks="ties", onnx="TopK", samples=_along, bad=_bad_dim, strict=True,
    cost=lambda attrs, ins, outs: 10.0 * float(np.prod(ins[0], dtype=float))))

ARGMAX = register(Primitive(
    "argmax", ("x",), _prod_rule, ref=lambda x, dim: np.argmax(x.real, axis=dim), attrs={"dim": -1}, vjp=(None,),
    analytic=False, kinks="ties", onnx="ArgMax", batch="reduce", bad=_bad_dim, strict=True,
    samples=lambda: [s for s in _along() if s.tag != "empty"] + [Sample((np.ones((0, 3)),), {"dim": 1}, "empty")]))


def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Index of the largest value along dim (of the flattened array without one); the first of equals. No gradient."""
    if dim is None:
        return apply(ARGMAX, (reshape(x, (-1,)),), {"dim": 0})
    y = apply(ARGMAX, (x,), {"dim": dim})
    return reshape(y, reduced(x.shape, dim, True)) if keepdim else y


def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Index of the smallest value along dim; the first of equals. No gradient."""
    return argmax(-x, dim, keepdim)


def sort(x: Any, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
    """(values, indices) in order along dim; equal values keep their order. The gradient goes to where each came from."""
    index = apply(ARGSORT, (-x if descending else x,), {"dim": dim})
    return gather(x, dim, index), index


def topk(x: Any, k: int, dim: int = -1, largest: bool = True) -> tuple[Any, Any]:
    """(values, indices) of the k largest (or smallest) along dim, in order."""
    n = x.shape[dim]
    if not 0 <= k <= n:
        raise ShapeError(f"topk: k={k} of an axis with {n} elements", value=k, hint=f"give k from 0 to {n}")
    index = apply(ARGSORT, (-x if largest else x,), {"dim": dim})
    index = index[(slice(None),) * (dim % len(x.shape)) + (slice(0, k),)]
    return gather(x, dim, index), index
