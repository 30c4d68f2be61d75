"""The Numba backend beside the references and the C kernels: fused kernels, expressions of ops, recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.autograd import REGISTRY
from ndiv.backends import kernels, native, numba

MODULES = {"native": native, "numba": numba, "numpy": kernels}
SHAPES = {"small": (32, 64), "large": (512, 256)}
LAYERS = {"narrow": (96, 8, 1, 16), "wide": (48, 32, 16, 128)}  # steps, batch, inputs, hidden


def needs(backend: str) -> None:
    if backend != "numpy" and not MODULES[backend].available():  # type: ignore[attr-defined]
        raise NotImplementedError(f"{backend} is not here")  # asv's way to leave a case out


class Kernels:
    """What native and numba both have. Numba compiles in setup."""

    params = [sorted(MODULES), sorted(SHAPES)]
    param_names = ["backend", "shape"]

    def setup(self, backend: str, shape: str) -> None:
        needs(backend)
        self.k: Any = MODULES[backend]
        rng = np.random.default_rng(0)
        self.x, self.g, *self.state = (rng.standard_normal(SHAPES[shape], dtype=np.float32) ** 2 for _ in range(5))
        self.a, self.b = (rng.standard_normal(SHAPES[shape][1], dtype=np.float32) for _ in range(2))
        self.saved = self.k.bias_act(self.x, self.b, "gelu")[1]
        _, self.mean, self.rstd = self.k.layer_norm(self.x, self.a, self.b, 1e-5)
        for name in dir(self):
            if name.startswith("time_"):
                getattr(self, name)(backend, shape)

    def time_bias_tanh(self, backend: str, shape: str) -> None:
        self.k.bias_act(self.x, self.b, "tanh")

    def time_bias_gelu(self, backend: str, shape: str) -> None:
        self.k.bias_act(self.x, self.b, "gelu")

    def time_bias_gelu_backward(self, backend: str, shape: str) -> None:
        self.k.bias_act_bwd(self.g, self.saved, "gelu")

    def time_layer_norm(self, backend: str, shape: str) -> None:
        self.k.layer_norm(self.x, self.a, self.b, 1e-5)

    def time_layer_norm_backward(self, backend: str, shape: str) -> None:
        self.k.layer_norm_bwd(self.g, self.x, self.a, self.mean, self.rstd)

    def time_adamw(self, backend: str, shape: str) -> None:
        self.k.adamw(self.x, self.g, self.state[0], self.state[1], lr=1e-3, weight_decay=1e-2)

    def time_sumsq(self, backend: str, shape: str) -> None:
        self.k.sumsq(self.x)

    def time_dropout(self, backend: str, shape: str) -> None:
        self.k.dropout(self.x, 0.1, 7, 3)


class Expressions:
    """Ops whose reference goes over memory several times, as one loop."""

    params = [["numba", "numpy"], ["elu", "leaky_relu", "rsqrt", "sigmoid", "silu", "softplus"]]
    param_names = ["backend", "op"]

    def setup(self, backend: str, op: str) -> None:
        needs(backend)
        prim = REGISTRY[op]
        self.run: Any = numba.elementwise(op) if backend == "numba" else prim.ref
        self.attrs = prim.attrs
        self.x = np.random.default_rng(0).random((512, 256), dtype=np.float32)
        self.time_op(backend, op)

    def time_op(self, backend: str, op: str) -> None:
        self.run(self.x, **self.attrs)


class Recurrent:
    """A layer over a whole sequence, forward and backward."""

    params = [["numba", "numpy"], ["rnn", "gru", "lstm"], sorted(LAYERS)]
    param_names = ["backend", "layer", "size"]

    def setup(self, backend: str, layer: str, size: str) -> None:
        needs(backend)
        steps, batch, features, hidden = LAYERS[size]
        forward, backward = REGISTRY[layer], REGISTRY[f"{layer}_bwd"]
        self.forward, self.backward = ((numba.recurrent(p.name) if backend == "numba" else p.fast) for p in (forward, backward))
        self.attrs = forward.attrs
        rng = np.random.default_rng(0)

        def numbers(*shape: int) -> np.ndarray:
            return (rng.standard_normal(shape) * 0.2).astype(np.float32)

        states, rows = (2 if layer == "lstm" else 1), {"rnn": 1, "gru": 3, "lstm": 4}[layer] * hidden
        self.inputs = [numbers(steps, batch, features), *(numbers(batch, hidden) for _ in range(states)),
                       numbers(rows, features), numbers(rows, hidden), numbers(rows), numbers(rows), np.full(batch, steps)]
        out: Any = self.forward(*self.inputs, **self.attrs)  # type: ignore[misc]
        self.gradients = [numbers(*o.shape) for o in out[:1 + states]]
        self.saved = [out[0], *out[1 + states:]]
        self.time_backward(backend, layer, size)

    def time_forward(self, backend: str, layer: str, size: str) -> None:
        self.forward(*self.inputs, **self.attrs)  # type: ignore[misc]

    def time_backward(self, backend: str, layer: str, size: str) -> None:
        self.backward(*self.gradients, *self.inputs, *self.saved, **self.attrs)  # type: ignore[misc]
