"""Plan operations of the family reduce: sum, mean, prod, amax, amin, argmax, and the norm that clips gradients.

Contract: ``csrc/kernels/ops/reduce.h``. Sums agree with a sum in double to float32's rounding of a pairwise sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...autograd.primitive import get
from ...autograd.shapes import normalize_dims, reduced
from ...backends import kernels
from .record import Meta, PlanOp

_F64, _I64 = np.dtype(np.float64), np.dtype(np.int64)


def _over(name: str) -> Callable[..., np.ndarray]:
    """The primitive's reference over the axes ``dims``."""

    def reference(x: np.ndarray, dims: tuple[int, ...], keepdim: bool) -> np.ndarray:
        ref = get(name).ref
        assert ref is not None
        return np.asarray(ref(x, tuple(dims), keepdim))

    return reference


def _prod(x: np.ndarray, dims: tuple[int, ...], keepdim: bool) -> np.ndarray:
    return np.asarray(np.prod(x, axis=tuple(dims), keepdims=keepdim))


def _metas(attrs: dict[str, Any], x: Meta) -> list[Meta]:
    dims = tuple(attrs["dims"])
    if list(dims) != sorted(set(dims)) or not all(0 <= d < len(x[0]) for d in dims):
        raise ValueError(f"dims {dims} are no ascending axes of {x[0]}")
    if x[1].kind != "f":
        raise ValueError(f"reduces floats, not {x[1]}")
    return [(reduced(x[0], dims, attrs["keepdim"]), x[1])]


def _extreme_metas(attrs: dict[str, Any], x: Meta) -> list[Meta]:
    out = _metas(attrs, x)
    if math.prod(out[0][0]) and not math.prod(x[0]):
        raise ValueError(f"nothing has no largest or smallest element: {x[0]} over {attrs['dims']}")
    return out


def _argmax(x: np.ndarray, dim: int) -> np.ndarray:
    return np.asarray(np.argmax(x, axis=dim))


def _argmax_metas(attrs: dict[str, Any], x: Meta) -> list[Meta]:
    dim = attrs["dim"]
    if not 0 <= dim < len(x[0]) or x[1].kind != "f":
        raise ValueError(f"dim {dim} is no axis of {x[0]}, or {x[1]} no floats")
    shape = x[0][:dim] + x[0][dim + 1:]
    if math.prod(shape) and not x[0][dim]:
        raise ValueError(f"nothing has no largest element: {x[0]} along {dim}")
    return [(shape, _I64)]


def _sumsq_scale(loss: np.ndarray | None, *grads: np.ndarray, max_norm: float) -> np.ndarray:
    norm = math.sqrt(math.fsum([kernels.sumsq(g) for g in grads]))
    scale = 1.0 if max_norm < 0.0 else min(1.0, max_norm / (norm + 1e-6))
    if not math.isfinite(norm) or (loss is not None and not np.isfinite(loss).all()):
        scale = math.nan
    return np.array([norm, scale])


def _sumsq_metas(attrs: dict[str, Any], loss: Meta | None, *grads: Meta) -> list[Meta]:
    if loss is not None and (math.prod(loss[0]) != 1 or loss[1].kind != "f"):
        raise ValueError(f"the loss is one float, not {loss}")
    if any(g is None or g[1].kind != "f" for g in grads) or math.isnan(attrs["max_norm"]):
        raise ValueError("gradients are floats, and max_norm a number")
    return [((2,), _F64)]


def _cost(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
    return float(math.prod(ins[0][0]))


def _sumsq_cost(attrs: dict[str, Any], ins: Sequence[Meta | None], outs: Sequence[Meta]) -> float:
    return 2.0 * sum(math.prod(g[0]) for g in ins[1:] if g is not None)


_DIMS = {"dims": "I", "keepdim": "b"}

OPS: list[PlanOp] = [
    PlanOp("sum", _over("sum"), _metas, _DIMS, dense=(), cost=_cost),
    PlanOp("mean", _over("mean"), _metas, _DIMS, dense=(), cost=_cost),
    # the product of n numbers has an error of n roundings
    PlanOp("prod", _prod, _metas, _DIMS, dense=(), bound=1e-4, cost=_cost),
    PlanOp("amax", _over("amax"), _extreme_metas, _DIMS, dense=(), exact=True, cost=_cost),
    PlanOp("amin", _over("amin"), _extreme_metas, _DIMS, dense=(), exact=True, cost=_cost),
    PlanOp("argmax", _argmax, _argmax_metas, {"dim": "i"}, exact=True, cost=_cost),
    PlanOp("sumsq_scale", _sumsq_scale, _sumsq_metas, {"max_norm": "f"}, bound=1e-12, cost=_sumsq_cost),
]


def _select(name: str) -> Callable[..., Any]:
    def rule(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
        (x,) = inputs
        if x.dtype.kind != "f":
            return False
        rank = len(x.shape)
        dims = normalize_dims(attrs["dim"], rank) if rank else ()
        b.emit(name, [x], {"dims": dims, "keepdim": bool(attrs.get("keepdim", False))}, outputs)
        return True

    return rule


def _select_argmax(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
    (x,) = inputs
    if x.dtype.kind != "f" or not x.shape:
        return False
    b.emit("argmax", [x], {"dim": attrs["dim"] % len(x.shape)}, outputs)
    return True


SELECT: dict[str, Callable[..., Any]] = {name: _select(name) for name in ("sum", "mean", "prod", "amax", "amin")}
SELECT["argmax"] = _select_argmax
