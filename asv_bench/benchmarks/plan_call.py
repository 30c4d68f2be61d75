"""What the benchmarks of rows, windows and transforms share: one plan operation on random operands, ready to run."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops import PLAN_OPS
from ndiv.program.ops.record import encode


class Call:
    """An operation with its operands; calling it runs it once, with what a plan would do at load.

    operands: shapes of random inputs, arrays, and None for what is absent.
    """

    def __init__(self, name: str, operands: list[Any], attrs: dict[str, Any] | None = None,
                 constant: tuple[int, ...] = ()) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        op, attrs, rng = PLAN_OPS[name], attrs or {}, np.random.default_rng(0)
        self.name, self.words, self.constant = name, encode(op, attrs), constant
        self.inputs = [x if x is None or isinstance(x, np.ndarray) else rng.standard_normal(x, dtype=np.float32)
                       for x in operands]
        metas = op.metas(attrs, *[None if a is None else (a.shape, a.dtype) for a in self.inputs])
        self.outputs = [None if m is None else np.empty(*m) for m in metas]

    def __call__(self) -> None:
        call_op(self.name, self.inputs, self.outputs, self.words, self.constant)
