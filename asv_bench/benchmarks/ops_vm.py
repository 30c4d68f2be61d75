"""The elementwise operation vm: single functions, a fused chain, broadcasts and copies, at the sizes of forecasting models."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops.record import encode
from ndiv.program.ops.vm import COPY, OPS
from ndiv.program.ops.vm_code import OPERANDS, Emitter, Step, assemble

SHAPES = {"small": (32, 64), "window": (32, 96, 7), "large": (2048, 256)}


class Vm:
    """One call each, through Python: the small shape shows the cost of a call from there, not of one inside a plan."""

    params = [sorted(SHAPES)]
    param_names = ["shape"]

    def setup(self, shape: str) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        rng = np.random.default_rng(0)
        dims = SHAPES[shape]
        self.x, self.y = (rng.standard_normal(dims, dtype=np.float32) for _ in range(2))
        self.row = np.broadcast_to(rng.standard_normal(dims[-1], dtype=np.float32), dims)
        self.column = np.broadcast_to(rng.standard_normal((*dims[:-1], 1), dtype=np.float32), dims)
        self.turned = rng.standard_normal(dims[::-1], dtype=np.float32).T
        self.out = np.empty(dims, np.float32)
        m = Emitter()
        a, b, c = (m.symbol(("in", i)) for i in range(3))
        self.chain = assemble(*m.needed([m.where(a > 0.0, a, 0.01 * a * b + m.tanh(c)).ref]))

    def _run(self, attrs: dict[str, Any], *inputs: np.ndarray) -> None:
        call_op("vm", inputs, [self.out], encode(OPS[0], attrs))

    def _one(self, op: str, *inputs: np.ndarray) -> None:
        self._run(assemble([Step(op, tuple(("in", i) for i in range(OPERANDS[op])))], [("step", 0)]), *inputs)

    def time_add(self, shape: str) -> None:
        self._one("add", self.x, self.y)

    def time_add_row(self, shape: str) -> None:
        self._one("add", self.x, self.row)

    def time_add_column(self, shape: str) -> None:
        self._one("add", self.x, self.column)

    def time_add_transposed(self, shape: str) -> None:
        self._one("add", self.x, self.turned)

    def time_exp(self, shape: str) -> None:
        self._one("exp", self.x)

    def time_tanh(self, shape: str) -> None:
        self._one("tanh", self.x)

    def time_gelu(self, shape: str) -> None:
        self._one("gelu", self.x)

    def time_lgamma(self, shape: str) -> None:
        self._one("lgamma", self.x)

    def time_chain(self, shape: str) -> None:
        self._run(self.chain, self.x, self.row, self.y)

    def time_copy_transposed(self, shape: str) -> None:
        self._run(COPY, self.turned)
