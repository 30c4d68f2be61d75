"""RMSprop, plain and centered, with or without momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .optimizer import Group, Optimizer, Work, in_range, scaled

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """p <- p - lr g / (sqrt(v) + eps), where v is the running mean of g^2 (Hinton 2012, lecture 6e).

    params        Tensors or parameter groups
    lr            learning rate
    alpha         decay of the running means
    eps           added to the root
    weight_decay  L2 penalty, added to the gradient
    momentum      accumulate the steps: b <- momentum b + g / (sqrt(v) + eps), p <- p - lr b
    centered      take the square of the gradient's own running mean off v (Graves 2013, equations 38-45)
    maximize      climb instead of descend

    >>> import ndiv, numpy as np
    >>> p = ndiv.nn.Parameter(np.array([1.0, -2.0]))
    >>> opt = ndiv.optim.RMSprop([p], lr=0.01)
    >>> (p * p).sum().backward(); opt.step(); p.numpy().round(6)
    array([ 0.9, -1.9])
    """

    ARRAYS = frozenset({"v", "mean", "momentum"})

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
                                  "centered": centered, "maximize": maximize})

    def check(self, group: Group) -> None:
        in_range("RMSprop", "alpha", group["alpha"], high=1.0)
        for name in ("eps", "weight_decay", "momentum"):
            in_range("RMSprop", name, group[name])

    def plan(self, group: Group) -> tuple[str, dict[str, Any], tuple[str | None, ...]]:
        return ("rmsprop", {"centered": bool(group["centered"])},
                ("v", "mean" if group["centered"] else None, "momentum" if group["momentum"] else None))

    def numbers(self, group: Group, count: int) -> tuple[float, ...]:
        return (group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"],
                -1.0 if group["maximize"] else 1.0)

    def update(self, group: Group, work: list[Work], scale: float) -> None:
        alpha, decay, momentum = group["alpha"], group["weight_decay"], group["momentum"]
        for p, g, state, _ in work:
            g = scaled(g, scale)
            if decay:
                g = g + decay * p
            v = _running(state, "v", p, alpha, (1.0 - alpha) * (g * g))
            spread = v
            if group["centered"]:
                mean = _running(state, "mean", p, alpha, (1.0 - alpha) * g)
                spread = np.maximum(v - mean * mean, 0.0)  # a variance, which rounding may carry below 0
            step = g / (np.sqrt(spread) + group["eps"])
            p -= group["lr"] * (_running(state, "momentum", p, momentum, step) if momentum else step)


def _running(state: dict[str, np.ndarray], name: str, like: np.ndarray, keep: float, new: np.ndarray) -> np.ndarray:
    """state[name] <- keep state[name] + new, from 0."""
    if name not in state:
        state[name] = np.zeros_like(like)
    out = state[name]
    out *= keep
    out += new
    return out
