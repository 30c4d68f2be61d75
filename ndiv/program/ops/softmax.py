"""Plan operations of the family softmax: along the last axis; their gradients, which no primitive names, besides.

`softmax_bwd` and `log_softmax_bwd` are what the gradient rules of both primitives spell out in other ops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._primitive import like
from .record import Meta, PlanOp


def _last(attrs: dict[str, Any]) -> dict[str, Any]:
    return {"dim": -1}


def _softmax_bwd(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y * (g - np.sum(g * y, axis=-1, keepdims=True))


def _log_softmax_bwd(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return g - np.exp(y) * np.sum(g, axis=-1, keepdims=True)


def _bwd_metas(attrs: dict[str, Any], *inputs: Meta) -> list[Meta]:
    if len(inputs) != 2 or inputs[0] != inputs[1] or not inputs[0][0] or inputs[0][1].kind != "f":
        raise ValueError("g and y have one shape, with an axis at least, and one floating dtype")
    return [inputs[0]]


def _size(metas: list[Meta]) -> float:
    return float(np.prod(metas[0][0], dtype=float))


OPS: list[PlanOp] = [
    like("softmax", adapt=_last, inplace=(0,), bound=1e-6, doc="softmax along the last axis"),
    like("log_softmax", adapt=_last, inplace=(0,), bound=1e-6, doc="log of softmax along the last axis"),
    PlanOp("softmax_bwd", _softmax_bwd, _bwd_metas, inplace=(0, 1), bound=2e-6,
           cost=lambda attrs, ins, outs: 4.0 * _size(ins), doc="y (g - sum of g y), y = softmax(x)"),
    PlanOp("log_softmax_bwd", _log_softmax_bwd, _bwd_metas, inplace=(0, 1), bound=5e-6,
           cost=lambda attrs, ins, outs: 12.0 * _size(ins), doc="g - exp(y) (sum of g), y = log_softmax(x)"),
]


def _along(name: str) -> Callable[..., Any]:
    """Another axis is exchanged with the last, which costs a copy; a 0-d array is left to elementwise ops."""
    def rule(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
        (x,), (y,) = inputs, outputs
        rank = len(x.shape)
        if not rank:
            return False
        dim = attrs["dim"] % rank
        if dim == rank - 1:
            return b.emit(name, [x], {}, [y])
        order = [i if i not in (dim, rank - 1) else rank - 1 + dim - i for i in range(rank)]
        swapped = b.apply("permute", [x], {"dims": tuple(order)})
        result = b.temp(swapped.shape, x.dtype)
        b.emit(name, [swapped], {}, [result])
        return b.emit("permute", [result], {"dims": tuple(order)}, [y])

    return rule


SELECT: dict[str, Callable[..., Any]] = {"softmax": _along("softmax"), "log_softmax": _along("log_softmax")}
