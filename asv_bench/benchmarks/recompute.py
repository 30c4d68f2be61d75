"""Training steps within a byte budget: time of a step, the arena that it gets, and the time that the search takes.

Budgets are parts of what the step takes without one; a part that cannot be reached is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import ndiv
from ndiv.errors import ConfigError
from ndiv.models import get_model
from ndiv.program.train import TrainStep

PARTS = [0.25, 0.5, 0.75, 1.0]


def _array(seed: int, *shape: int) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.1).astype(np.float32)


class _Function:
    """The gradient of a function as one plan."""

    def __init__(self, f: Any, args: list[Any], memory: int | None) -> None:
        self.args = args
        self.compiled = ndiv.compile(ndiv.value_and_grad(f, tuple(range(1, len(args)))), memory=memory)

    def __call__(self) -> None:
        self.compiled(*self.args)

    @property
    def arena(self) -> int:
        return self.compiled.plans[0].plan.arena


class _Training:
    """The training step of a model, with 96 steps of input and 24 ahead."""

    def __init__(self, name: str, rows: int, memory: int | None) -> None:
        model = get_model(name)(h=24, input_size=96)
        model.train()
        y = _array(0, rows, 120, 1)
        self.batch = {"insample_y": y[:, :96], "outsample_y": y[:, 96:]}
        self.step = TrainStep(model, memory=memory)

    def __call__(self) -> None:
        self.step(self.batch)

    @property
    def arena(self) -> int:
        return next(iter(self.step.cache.values())).executable.plan.arena


def _rnn(x: Any, w: Any, u: Any) -> Any:
    h: Any = np.zeros((x.shape[0], u.shape[0]), np.float32)
    for t in range(x.shape[1]):
        h = ndiv.tanh(x[:, t] @ w + h @ u)
    return (h * h).mean()


def _blocks(x: Any, *weights: Any) -> Any:
    for q, up, down in zip(weights[::3], weights[1::3], weights[2::3], strict=True):
        y = x - x.mean(-1, True)
        x = x + ndiv.softmax(y @ q @ y.swapaxes(1, 2), 2) @ y
        x = x + ndiv.dropout(ndiv.gelu((x - x.mean(-1, True)) @ up), 0.1) @ down
    return (x * x).mean()


def case(name: str, memory: int | None = None) -> Any:
    """A step to call, compiled within ``memory`` bytes."""
    if name == "rnn, 50 steps":
        return _Function(_rnn, [_array(0, 32, 50, 8), _array(1, 8, 64), _array(2, 64, 64)], memory)
    if name == "6 blocks of attention and MLP":
        weights = [_array(k, *s) for k, s in enumerate([(64, 64), (64, 256), (256, 64)] * 6)]
        return _Function(_blocks, [_array(0, 8, 96, 64), *weights], memory)
    model, rows = name.split(", ")
    return _Training(model, int(rows), memory)


class Recompute:
    """Steps of several models, by the part of the arena that they may take."""

    params = [["NHITS, 32", "NHITS, 1024", "MLP, 32", "MLP, 1024", "6 blocks of attention and MLP", "rnn, 50 steps"], PARTS]
    param_names = ["step", "part"]
    timeout = 120

    def setup(self, name: str, part: float) -> None:
        self.step = case(name)
        self.step()
        if part < 1:
            try:
                self.step = case(name, int(part * self.step.arena))
                self.step()
            except ConfigError as cause:
                raise NotImplementedError(str(cause)) from None  # asv's way to leave a case out

    def time_step(self, name: str, part: float) -> None:
        self.step()

    def track_arena(self, name: str, part: float) -> int:
        return int(self.step.arena)

    track_arena.unit = "bytes"  # type: ignore[attr-defined]
