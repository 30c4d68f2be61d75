"""What the benchmarks of rows, windows and transforms share: one plan operation on random operands, ready to run."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops import PLAN_OPS
from ndiv.program.ops.record import encode


class Call:
    """An operation with its operands; calling it runs it once, with what a plan would do at load."""

    def __init__(self, name: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any] | None = None,
                 constant: tuple[int, ...] = ()) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        op, attrs, rng = PLAN_OPS[name], attrs or {}, np.random.default_rng(0)
        self.name, self.words, self.constant = name, encode(op, attrs), constant
        self.inputs = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
        self.outputs = [np.empty(s, t) for s, t in op.metas(attrs, *[(a.shape, a.dtype) for a in self.inputs])]

    def __call__(self) -> None:
        call_op(self.name, self.inputs, self.outputs, self.words, self.constant)
