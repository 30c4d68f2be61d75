"""Plan operations of the family norm: layer_norm and batch_norm over training statistics, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._primitive import like
from .record import PlanOp

_EPS = {"eps": "f"}

OPS: list[PlanOp] = [
    like("layer_norm", attrs=_EPS, inplace=(0,), bound=1e-5, doc="(out, mean, rstd) over the last axis"),
    like("layer_norm_bwd", attrs=_EPS, inplace=(0, 1), bound=1e-5, doc="(gx, gweight, gbias); eps is not read"),
    like("batch_norm", attrs=_EPS, inplace=(0,), bound=1e-5, doc="(out, mean, var) over all axes but 1"),
    like("batch_norm_bwd", attrs=_EPS, inplace=(0, 1), bound=1e-5, doc="(gx, gweight, gbias)"),
]

# each plan operation is the primitive of its name
SELECT: dict[str, Callable[..., Any] | None] = dict.fromkeys(op.name for op in OPS)
