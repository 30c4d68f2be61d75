"""AdamW and Adam.

Contract: one fused kernel call a parameter, ``adamw``, whose NumPy reference is `ndiv.backends.kernels.adamw`; the
AMSGrad variant, which has no kernel, is written out here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backends import kernel
from ..errors import ConfigError
from .optimizer import Group, Optimizer, Work, in_range, scaled

__all__ = ["Adam", "AdamW"]


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2; PyTorch's order of operations).

    params        Tensors or parameter groups
    lr            learning rate
    betas         decay of the running means of the gradient and of its square
    eps           added to the root of the latter
    weight_decay  fraction of the weight, times lr, that is taken away at each step
    amsgrad       divide by the largest mean square so far (Reddi, Kale & Kumar 2018)
    maximize      climb instead of descend

    >>> import ndiv, numpy as np
    >>> p = ndiv.nn.Parameter(np.ones(2, np.float32))
    >>> opt = ndiv.optim.AdamW([p], lr=0.1)
    >>> (p * p).sum().backward(); opt.step(); bool((p.numpy() < 1).all())
    True
    """

    ARRAYS = frozenset({"m", "v", "vmax"})
    decoupled = True

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                                  "maximize": maximize})

    def check(self, group: Group) -> None:
        owner = type(self).__name__
        betas = group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2 or not all(0.0 <= b < 1.0 for b in betas):
            raise ConfigError(f"{owner}: betas must be two numbers in [0, 1), not {betas!r}", value=betas,
                              hint="(0.9, 0.999) is common")
        group["betas"] = tuple(map(float, betas))
        in_range(owner, "eps", group["eps"])
        in_range(owner, "weight_decay", group["weight_decay"])

    def plan(self, group: Group) -> tuple[str, dict[str, Any], tuple[str | None, ...]]:
        l2 = not self.decoupled and group["weight_decay"] != 0.0
        return ("adamw_amsgrad", {"l2": l2}, ("m", "v", "vmax")) if group["amsgrad"] else ("adamw", {"l2": l2}, ("m", "v"))

    def numbers(self, group: Group, count: int) -> tuple[float, ...]:
        b1, b2 = group["betas"]
        return (group["lr"], b1, b2, group["eps"], group["weight_decay"], 1.0 - b1**count, 1.0 - b2**count,
                -1.0 if group["maximize"] else 1.0)

    def update(self, group: Group, work: list[Work], scale: float) -> None:
        (b1, b2), decay = group["betas"], group["weight_decay"]
        l2, decay = (0.0, decay) if self.decoupled else (decay, 0.0)
        numbers = {"lr": group["lr"], "beta1": b1, "beta2": b2, "eps": group["eps"], "weight_decay": decay,
                   "grad_scale": 1.0 if l2 else scale}
        fused, before = kernel("adamw"), 0
        for p, g, state, count in work:
            if not state:
                state.update({name: np.zeros_like(p) for name in (("m", "v", "vmax") if group["amsgrad"] else ("m", "v"))})
            if count != before:  # parameters that were always trained together share their numbers
                numbers.update(bias_correction1=1.0 - b1**count, bias_correction2=1.0 - b2**count)
                before = count
            if l2:
                g = np.asarray(scaled(g, scale) + p * p.dtype.type(l2))
            if "vmax" in state:
                _amsgrad(p, g, state["m"], state["v"], state["vmax"], **numbers)
            else:
                fused(p, g, state["m"], state["v"], **numbers)


class Adam(AdamW):
    """Adam (Kingma & Ba 2015, algorithm 1); ``weight_decay`` is an L2 penalty, added to the gradient, as in PyTorch.

    Arguments as of `AdamW`, where the weight decay is decoupled from the gradient instead.

    >>> import ndiv, numpy as np
    >>> p = ndiv.nn.Parameter(np.ones(2, np.float32))
    >>> opt = ndiv.optim.Adam([p], lr=0.1, amsgrad=True)
    >>> (p * p).sum().backward(); opt.step(); p.numpy().round(3)
    array([0.9, 0.9], dtype=float32)
    """

    decoupled = False

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


def _amsgrad(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, vmax: np.ndarray, *, lr: float, beta1: float,
             beta2: float, eps: float, weight_decay: float, bias_correction1: float, bias_correction2: float,
             grad_scale: float) -> None:
    """`adamw` with the largest v so far in the place of v."""
    g = g * grad_scale
    p -= (lr * weight_decay) * p
    m *= beta1
    m += (1.0 - beta1) * g
    v *= beta2
    v += (1.0 - beta2) * (g * g)
    np.maximum(vmax, v, out=vmax)
    p -= (lr / bias_correction1) * (m / (np.sqrt(vmax) * (1.0 / math.sqrt(bias_correction2)) + eps))
