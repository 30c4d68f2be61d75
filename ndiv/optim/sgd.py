"""Stochastic gradient descent, with momentum of two kinds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ConfigError
from .optimizer import Group, Optimizer, Work, in_range, scaled

__all__ = ["SGD"]


class SGD(Optimizer):
    """p <- p - lr b, where b <- momentum b + (1 - dampening) g; g includes the L2 penalty weight_decay p.

    The first b is g itself. With ``nesterov`` the step is g + momentum b in the place of b (Sutskever et al. 2013, in
    PyTorch's form).

    params        Tensors or parameter groups
    lr            learning rate
    momentum      share of the last step's b that is kept; 0: none is held
    dampening     share of the gradient that momentum leaves out
    weight_decay  L2 penalty, added to the gradient
    nesterov      needs momentum > 0 and dampening 0
    maximize      climb instead of descend

    >>> import ndiv, numpy as np
    >>> p = ndiv.nn.Parameter(np.array([1.0, -2.0]))
    >>> opt = ndiv.optim.SGD([p], lr=0.25)
    >>> (p * p).sum().backward(); opt.step(); p.numpy()
    array([ 0.5, -1. ])
    """

    ARRAYS = frozenset({"momentum"})

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
                 weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                                  "nesterov": nesterov, "maximize": maximize})

    def check(self, group: Group) -> None:
        in_range("SGD", "momentum", group["momentum"])
        in_range("SGD", "weight_decay", group["weight_decay"])
        if group["nesterov"] and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ConfigError(f"SGD: nesterov needs momentum > 0 and dampening 0, not {group['momentum']!r} and "
                              f"{group['dampening']!r}", value=group["momentum"], hint="momentum=0.9, dampening=0")

    def plan(self, group: Group) -> tuple[str, dict[str, Any], tuple[str | None, ...]]:
        return "sgd", {"nesterov": bool(group["nesterov"])}, ("momentum" if group["momentum"] else None,)

    def numbers(self, group: Group, count: int) -> tuple[float, ...]:
        return (group["lr"], group["momentum"], group["dampening"], group["weight_decay"], float(count == 1),
                -1.0 if group["maximize"] else 1.0)

    def update(self, group: Group, work: list[Work], scale: float) -> None:
        lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        for p, g, state, _ in work:
            g = scaled(g, scale)
            if decay:
                g = g + decay * p
            if momentum:
                b = state.get("momentum")
                if b is None:
                    b = state["momentum"] = np.array(g, p.dtype)
                else:
                    b *= momentum
                    b += (1.0 - group["dampening"]) * g
                g = g + momentum * b if group["nesterov"] else b
            p -= lr * g
