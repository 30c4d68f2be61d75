"""Matrix products of forecasting models: the plan operation gemm, called alone. See compare/gemm_table.py for the peers."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op

# m, n, k, layout: N row-major, T stored transposed
SHAPES = {"layer": (32, 512, 512, "NT"), "layer_dx": (32, 512, 512, "NN"), "layer_dw": (512, 512, 32, "TN"),
          "one_row": (1, 512, 512, "NN"), "one_row_weight": (1, 512, 512, "NT"), "lstm_input": (16000, 512, 128, "NT"),
          "lstm_dw": (512, 128, 16000, "TN"), "square": (512, 512, 512, "NN")}
ONE = struct.unpack("<q", struct.pack("<d", 1.0))[0]


def operand(rows: int, cols: int, layout: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((cols, rows), dtype=np.float32).T if layout == "T" else rng.standard_normal(
        (rows, cols), dtype=np.float32)


class Gemm:
    """One product, plain and with bias and gelu."""

    params = [sorted(SHAPES)]
    param_names = ["shape"]

    def setup(self, shape: str) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        m, n, k, layout = SHAPES[shape]
        self.a, self.b = operand(m, k, layout[0]), operand(k, n, layout[1])
        self.bias, self.out = np.zeros(n, np.float32), np.empty((m, n), np.float32)

    def time_plain(self, shape: str) -> None:
        call_op("gemm", [self.a, self.b, None, None], [self.out, None], [0, ONE])

    def time_gelu(self, shape: str) -> None:
        call_op("gemm", [self.a, self.b, self.bias, None], [self.out, None], [8, ONE])


class Attention:
    """Batches of small products: scores and weighted values."""

    def setup(self) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")
        rng = np.random.default_rng(0)
        self.q, self.v = (rng.standard_normal((128, 96, 64), dtype=np.float32) for _ in range(2))
        self.p, self.out = np.ones((128, 96, 96), np.float32), np.empty((128, 96, 64), np.float32)

    def time_scores(self) -> None:
        call_op("gemm", [self.q, self.v.swapaxes(1, 2), None, None], [self.p, None], [0, ONE])

    def time_values(self) -> None:
        call_op("gemm", [self.p, self.v, None, None], [self.out, None], [0, ONE])


class BiasAct:
    """bias_act and bias_act_bwd on rows of a wide layer."""

    params: list[Any] = [[0, 4, 8]]
    param_names = ["act"]

    def setup(self, act: int) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")
        self.x, self.out = np.ones((2048, 256), np.float32), np.empty((2048, 256), np.float32)
        self.bias = np.zeros(256, np.float32)

    def time_forward(self, act: int) -> None:
        call_op("bias_act", [self.x, self.bias], [self.out, None], [act])

    def time_backward(self, act: int) -> None:
        call_op("bias_act_bwd", [self.x, self.x, None], [self.out, self.bias], [act])
