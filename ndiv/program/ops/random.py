"""Plan operations of the family random.

Contract: ``csrc/kernels/ops/random.h``. Numbers come from a counter; key and stream are data, so that a plan run again
draws anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backends import kernels
from .record import Meta, PlanOp

_ALL = 0xFFFFFFFFFFFFFFFF


def _dropout(x: np.ndarray, rng: np.ndarray, p: float, offset: int) -> np.ndarray:
    return kernels.dropout(x, p, int(rng[0]) & _ALL, (int(rng[1]) + offset) & _ALL)


def _dropout_metas(attrs: dict[str, Any], x: Meta, rng: Meta) -> list[Meta]:
    if not 0.0 <= attrs["p"] <= 1.0 or x[1].kind != "f":
        raise ValueError(f"p is {attrs['p']}, which is no probability, or x holds no floats but {x[1]}")
    if rng != ((2,), np.dtype(np.int64)):
        raise ValueError(f"rng is int64 [2], not {rng}")
    return [x]


def _cost(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
    return 20.0 * float(np.prod(outs[0][0], dtype=float))  # ten rounds for four numbers


OPS: list[PlanOp] = [
    PlanOp("dropout", _dropout, _dropout_metas, {"p": "f", "offset": "i"}, inplace=(0,), exact=True, cost=_cost),
]


def _select_dropout(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
    (x,) = inputs
    if x.dtype.kind != "f":
        return False
    b.emit("dropout", [x, b.rng(attrs["key"])], {"p": attrs["p"], "offset": attrs["stream"]}, outputs)
    return True


SELECT: dict[str, Callable[..., Any]] = {"dropout": _select_dropout}
