"""Attention, forward and backward, at the sizes of forecasting models and at long sequences; and its peak memory."""

from __future__ import annotations

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops.attention import ATTENTION
from ndiv.program.ops.record import encode

# batch, heads, length, features of a head
SHAPES = {"patchtst": (32, 16, 12, 16), "itransformer": (32, 8, 7, 64), "windows96": (32, 8, 96, 16),
          "windows720": (4, 4, 720, 64), "long2048": (1, 4, 2048, 64)}


class Attention:
    """Heads lie between time and features, as projections leave them."""

    params = [sorted(SHAPES), [False, True]]
    param_names = ["shape", "is_causal"]

    def setup(self, shape: str, is_causal: bool) -> None:
        if not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        b, h, n, d = SHAPES[shape]
        rng = np.random.default_rng(0)
        self.q, self.k, self.v, self.g = (rng.standard_normal((b, n, h, d), dtype=np.float32).swapaxes(1, 2) for _ in range(4))
        self.out, self.lse = np.empty((b, h, n, d), np.float32), np.empty((b, h, n, 1), np.float32)
        self.grads = [np.empty((b, h, n, d), np.float32) for _ in range(3)]
        self.words = encode(ATTENTION, {"is_causal": is_causal, "scale": d**-0.5, "dropout_p": 0.0, "stream": 0})
        self.time_forward(shape, is_causal)
        self.delta = np.sum(self.g * self.out, -1, keepdims=True)

    def time_forward(self, shape: str, is_causal: bool) -> None:
        call_op("attention", [self.q, self.k, self.v, None, None], [self.out, self.lse], self.words)

    def time_backward(self, shape: str, is_causal: bool) -> None:
        call_op("attention_bwd", [self.g, self.q, self.k, self.v, None, self.lse, self.delta, None], self.grads, self.words)

    def peakmem_both(self, shape: str, is_causal: bool) -> None:
        self.time_forward(shape, is_causal)
        self.time_backward(shape, is_causal)
