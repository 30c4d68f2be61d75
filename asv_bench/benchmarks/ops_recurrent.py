"""rnn, gru and lstm as plan operations, forward and backward: training batches, and inference of one sequence."""

from __future__ import annotations

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops.record import encode
from ndiv.program.ops.recurrent import GATES, OPS

RECORDS = {op.name: op for op in OPS}
SIZES = {"train 500x32, 128": (500, 32, 128, 128), "train 500x32, 1 to 128": (500, 32, 1, 128),
         "train 96x32, 32": (96, 32, 32, 32), "one 96, 128": (96, 1, 128, 128), "one 500, 200": (500, 1, 1, 200),
         "one 96, 16": (96, 1, 8, 16)}


class Layer:
    """One layer, weights as constants in inference."""

    params = [list(GATES), list(SIZES)]
    param_names = ["cell", "size"]

    def setup(self, cell: str, size: str) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        t, b, i, h = SIZES[size]
        rng = np.random.default_rng(0)
        self.states, rows = 1 + (cell == "lstm"), GATES[cell] * h
        shapes = [(t, b, i), *[(b, h)] * self.states, (rows, i), (rows, h), (rows,), (rows,)]
        self.inputs = [*[rng.uniform(-0.1, 0.1, s).astype(np.float32) for s in shapes], None]
        self.attrs = {**({"nonlinearity": "tanh"} if cell == "rnn" else {}), "reverse": False}
        self.words = encode(RECORDS[cell], self.attrs)
        self.constant = (1 + self.states, 2 + self.states) if size.startswith("one") else ()
        made = RECORDS[cell].metas(self.attrs, *[None if a is None else (a.shape, a.dtype) for a in self.inputs])
        self.outputs = [np.empty(shape, dtype) for shape, dtype in made]
        self.grads = [np.empty_like(a) for a in self.inputs[:-1]]
        call_op(cell, self.inputs, self.outputs, self.words)
        y, *rest = self.outputs
        zeros = [np.zeros_like(a) for a in rest[:self.states]]
        self.back = [np.full_like(y, 1e-3), *zeros, *self.inputs, y, *rest[self.states:]]

    def time_forward(self, cell: str, size: str) -> None:
        call_op(cell, self.inputs, self.outputs, self.words, self.constant)

    def time_backward(self, cell: str, size: str) -> None:
        call_op(f"{cell}_bwd", self.back, self.grads, self.words)
