"""What models share that read a window step after step.

Contract: `joined` makes the input of a step, `padding` and `aligned` let a window begin at its first observed value. What such
a model reads of its own forecast is in `ndiv.models.feedback`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...autograd.tape import stopped
from ..base import BaseModel

_cat, _expand, _gather = FUNCTIONS["cat"], FUNCTIONS["expand"], FUNCTIONS["gather"]


class StepwiseModel(BaseModel):
    """Base of models that read step after step; see the top of this file."""

    def joined(self, y: Any, hist: Any, futr: Any, stat: Any) -> Any:
        """[B, T, 1], [B, T, X], [B, T, F], [B, S] -> [B, T, 1 + X + S + F]"""
        if stat is not None:
            b, s = stat.shape
            stat = _expand(stat.reshape(b, 1, s), (b, y.shape[1], s))
        parts = [v for v in (y, hist, stat, futr) if v is not None]
        return parts[0] if len(parts) == 1 else _cat(parts, dim=2)

    def padding(self, mask: Any) -> Any:
        """Steps [B] before each window's first observed value (all, where there is none); None where all count."""
        if mask is None or self.variant == "compat":
            return None
        on = stopped(mask)[:, :, 0]
        return FUNCTIONS["argmax"](_cat([on, np.ones((on.shape[0], 1), on.dtype)], dim=1), 1)

    def aligned(self, x: Any, first: Any) -> tuple[Any, Any]:
        """x [B, T, I] with each row moved to the left by its ``first`` steps, and the lengths [B] that are left."""
        if first is None:
            return x, None
        b, t, i = x.shape
        at = FUNCTIONS["minimum"](np.arange(t)[None] + first.reshape(b, 1), np.full((1, 1), t - 1))
        return _gather(x, 1, _expand(at.reshape(b, t, 1), (b, t, i))), t - first
