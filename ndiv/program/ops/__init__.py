"""The operations of plans, by family; each file holds ``OPS`` (records) and ``SELECT`` (how primitives become them).

Contract: `PLAN_OPS` is the only table of plan operations, as `ndiv.autograd.primitive.REGISTRY` is of primitives.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .record import PlanOp

__all__ = ["FAMILIES", "PLAN_OPS", "SELECT", "plan_op"]

FAMILIES = ("vm", "gemm", "data", "reduce", "norm", "softmax", "pool", "conv", "recurrent", "attention", "spectral", "random",
            "optim")

PLAN_OPS: dict[str, PlanOp] = {}
SELECT: dict[str, Callable[..., Any]] = {}  # primitive name -> rule

for _family in FAMILIES:
    _module = importlib.import_module(f"{__name__}.{_family}")
    for _op in _module.OPS:
        PLAN_OPS[_op.name] = _op
    SELECT.update(_module.SELECT)


def plan_op(name: str, attrs: dict[str, Any]) -> PlanOp | None:
    """The plan operation of an equation, or None where it is a primitive: some names are both, told apart by attributes."""
    op = PLAN_OPS.get(name)
    return op if op is not None and set(op.attrs) == set(attrs) else None
