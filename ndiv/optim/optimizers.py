"""Optimizers: AdamW (fused kernel per parameter) and its base.

Contract: `step` reads ``p.grad`` and writes ``p.data`` in place (stamping ``p.written``). State is plain arrays, saved
and restored exactly. ``max_norm`` clips by global norm inside the same pass, without touching the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tape import _sequence
from ..backends import kernel
from ..errors import ConfigError

__all__ = ["AdamW", "Optimizer", "clip_grad_norm_", "global_norm"]


def global_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients taken together."""
    sumsq = kernel("sumsq")
    return math.sqrt(math.fsum(sumsq(np.ascontiguousarray(p.grad.data)) for p in parameters if p.grad is not None))


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients so that their global norm is at most max_norm; returns the norm before."""
    params = [p for p in parameters if p.grad is not None]
    norm = global_norm(params)
    if norm > max_norm:
        scale = max_norm / (norm + 1e-6)
        for p in params:
            assert p.grad is not None
            p.grad = Tensor(p.grad.data * p.grad.dtype.type(scale))
    return norm


class Optimizer:
    """Base: parameters, a learning rate, a step count, and the state's saving."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ConfigError(f"{type(self).__name__}: no parameters to train", value=0, hint="pass model.parameters()")
        if not lr >= 0.0:
            raise ConfigError(f"{type(self).__name__}: lr must not be negative, not {lr!r}", value=lr, hint="1e-3 is common")
        self.lr = lr
        self.steps = 0

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None

    def step(self, max_norm: float | None = None) -> None:
        raise NotImplementedError

    def arrays(self) -> dict[str, list[np.ndarray]]:
        """The state's arrays, by name, one for each parameter."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on exactly: arrays copied, numbers as they are."""
        state: dict[str, Any] = {"steps": self.steps, "lr": self.lr}
        for name, arrays in self.arrays().items():
            state.update((f"{name}.{i}", a.copy()) for i, a in enumerate(arrays))
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, arrays in self.arrays().items():
            for i, a in enumerate(arrays):
                a[...] = state[f"{name}.{i}"]
        self.steps, self.lr = int(state["steps"]), float(state["lr"])


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2; PyTorch's order of operations).

    >>> import ndiv, numpy as np
    >>> p = ndiv.nn.Parameter(np.ones(2, np.float32))
    >>> opt = ndiv.optim.AdamW([p], lr=0.1)
    >>> (p * p).sum().backward(); opt.step(); bool((p.numpy() < 1).all())
    True
    """

    decoupled = True

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2) -> None:
        super().__init__(params, lr)
        if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
            raise ConfigError(f"AdamW: betas must be in [0, 1), not {betas!r}", value=betas, hint="(0.9, 0.999) is common")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.m = [np.zeros_like(p.data) for p in self.params]
        self.v = [np.zeros_like(p.data) for p in self.params]

    def arrays(self) -> dict[str, list[np.ndarray]]:
        return {"m": self.m, "v": self.v}

    def step(self, max_norm: float | None = None) -> None:
        """One update; with ``max_norm``, as if the gradients had first been clipped to that global norm."""
        self.steps += 1
        b1, b2 = self.betas
        c1, c2 = 1.0 - b1**self.steps, 1.0 - b2**self.steps
        scale = 1.0
        if max_norm is not None:
            norm = global_norm(self.params)
            if norm > max_norm:
                scale = max_norm / (norm + 1e-6)
        adamw = kernel("adamw")
        for p, m, v in zip(self.params, self.m, self.v, strict=True):
            if p.grad is None:
                continue
            g = p.grad.data
            if not g.flags.c_contiguous:
                g = np.ascontiguousarray(g)
            adamw(p.data, g, m, v, lr=self.lr, beta1=b1, beta2=b2, eps=self.eps, weight_decay=self.weight_decay,
                  bias_correction1=c1, bias_correction2=c2, grad_scale=scale)
            p.written = next(_sequence)


class Adam(AdamW):
    """Adam (Kingma & Ba 2015): AdamW without weight decay."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        super().__init__(params, lr, betas, eps, weight_decay=0.0)
