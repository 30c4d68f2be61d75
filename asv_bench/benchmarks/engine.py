"""Eager mode: what the tape adds to the same arithmetic in bare NumPy."""

from __future__ import annotations

import numpy as np

import ndiv

SHAPES = {"32x64": (32, 64), "256x256": (256, 256)}  # rows x width


def arrays(rows: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input [rows, width], weight [width, width] and bias [width], float32."""
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(shape, dtype=np.float32)  # type: ignore[return-value]
                 for shape in ((rows, width), (width, width), (width,)))


class LinearTanh:
    """One layer tanh(x W' + b), summed, forward and backward."""

    params = list(SHAPES)
    param_names = ["shape"]

    def setup(self, shape: str) -> None:
        rows, width = SHAPES[shape]
        self.x, self.w, self.b = arrays(rows, width)
        self.layer = ndiv.nn.Linear(width, width, activation="tanh")
        self.layer.load_state_dict({"weight": self.w, "bias": self.b})
        self.input = ndiv.tensor(self.x)

    def time_ndiv(self, shape: str) -> None:
        self.layer.zero_grad()
        self.layer(self.input).sum().backward()

    def time_numpy(self, shape: str) -> None:
        y = np.tanh(self.x @ self.w.T + self.b)
        g = 1.0 - y * y
        y.sum(), g.T @ self.x, g.sum(axis=0)

    def time_forward_only(self, shape: str) -> None:
        with ndiv.no_grad():
            self.layer(self.input)


class Tape:
    """Making a tape of a thousand nodes, and walking it backward."""

    def setup(self) -> None:
        self.x = ndiv.tensor(np.ones(4, np.float32), requires_grad=True)

    def time_thousand_additions(self) -> None:
        y = self.x
        for _ in range(1000):
            y = y + 1.0

    def time_thousand_additions_and_backward(self) -> None:
        y = self.x
        for _ in range(1000):
            y = y + 1.0
        y.sum().backward()


class AdamWStep:
    """One optimizer step over a million parameters in one array, and over a hundred small arrays."""

    params = ["one large", "many small"]
    param_names = ["parameters"]

    def setup(self, kind: str) -> None:
        shapes = [(1000, 1000)] if kind == "one large" else [(32, 32)] * 100
        self.parameters = [ndiv.nn.Parameter(np.ones(s, np.float32)) for s in shapes]
        for p in self.parameters:
            p.grad = ndiv.tensor(np.full(p.shape, 0.5, np.float32))
        self.optimizer = ndiv.optim.AdamW(self.parameters, lr=1e-3)

    def time_step(self, kind: str) -> None:
        self.optimizer.step()

    def time_step_with_clipping(self, kind: str) -> None:
        self.optimizer.step(max_norm=1.0)
