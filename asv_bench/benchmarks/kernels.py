"""Each fused kernel beside the NumPy reference that defines it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.backends import kernels, native

BACKENDS = {"numpy": kernels, "native": native}
SHAPES = {"small": (32, 64), "large": (2048, 256)}


class Fused:
    """bias_act and layer_norm, forward and backward, on float32 rows."""

    params = [sorted(BACKENDS), sorted(SHAPES)]
    param_names = ["backend", "shape"]

    def setup(self, backend: str, shape: str) -> None:
        if backend == "native" and not native.available():
            raise NotImplementedError("the extension was not built")  # asv's way to leave a case out
        self.k: Any = BACKENDS[backend]
        rng = np.random.default_rng(0)
        self.x, self.g = (rng.standard_normal(SHAPES[shape], dtype=np.float32) for _ in range(2))
        self.a, self.b = (rng.standard_normal(SHAPES[shape][1], dtype=np.float32) for _ in range(2))
        self.saved = self.k.bias_act(self.x, self.b, "tanh")[1]
        _, self.mean, self.rstd = self.k.layer_norm(self.x, self.a, self.b, 1e-5)

    def time_bias_tanh(self, backend: str, shape: str) -> None:
        self.k.bias_act(self.x, self.b, "tanh")

    def time_bias_relu(self, backend: str, shape: str) -> None:
        self.k.bias_act(self.x, self.b, "relu")

    def time_bias_tanh_backward(self, backend: str, shape: str) -> None:
        self.k.bias_act_bwd(self.g, self.saved, "tanh")

    def time_layer_norm(self, backend: str, shape: str) -> None:
        self.k.layer_norm(self.x, self.a, self.b, 1e-5)

    def time_layer_norm_backward(self, backend: str, shape: str) -> None:
        self.k.layer_norm_bwd(self.g, self.x, self.a, self.mean, self.rstd)

    def time_dropout(self, backend: str, shape: str) -> None:
        self.k.dropout(self.x, 0.1, 7, 3)
