"""Plan operations of the family optim: one step of an optimizer on one parameter.

Contract: ``csrc/kernels/ops/optim.h``. The references are the optimizers' own arithmetic, on copies. ``hyper`` holds the
numbers of the step, ``control`` (norm, scale) as ``sumsq_scale`` gives it; a scale that is NaN changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backends import kernels
from .record import Meta, PlanOp

Array = np.ndarray
_F64 = np.dtype(np.float64)
ADAM = ("lr", "beta1", "beta2", "eps", "weight_decay", "bias_correction1", "bias_correction2", "sign")
SGD = ("lr", "momentum", "dampening", "weight_decay", "first", "sign")
RMSPROP = ("lr", "alpha", "eps", "weight_decay", "momentum", "sign")


def _numbers(names: tuple[str, ...], hyper: Array, control: Array | None) -> tuple[dict[str, float], float]:
    """The numbers by name, and what multiplies the gradient (NaN: nothing shall change)."""
    h = dict(zip(names, map(float, hyper), strict=True))
    return h, h.pop("sign") * (1.0 if control is None else float(control[1]))


def _scaled(g: Array, scale: float) -> Array:
    return g if scale == 1.0 else g * g.dtype.type(scale)


def _adam(vmax: bool) -> Callable[..., tuple[Array, ...]]:
    def reference(*arrays: Array, l2: bool) -> tuple[Array, ...]:
        from ...optim.adam import _amsgrad

        p, g, *state = arrays[:-2]
        h, scale = _numbers(ADAM, arrays[-2], arrays[-1])
        new = [np.array(a) for a in (p, *state)]
        if math.isnan(scale):
            return tuple(new)
        with np.errstate(all="ignore"):
            if l2:
                decay, h["weight_decay"] = h["weight_decay"], 0.0
                if decay:
                    g, scale = np.asarray(_scaled(g, scale) + p * p.dtype.type(decay)), 1.0
            update: Callable[..., None] = _amsgrad if vmax else kernels.adamw
            update(new[0], g, *new[1:], **h, grad_scale=scale)
        return tuple(new)

    return reference


def _sgd(p: Array, g: Array, b: Array | None, hyper: Array, control: Array | None,
         nesterov: bool) -> tuple[Array, Array | None]:
    h, scale = _numbers(SGD, hyper, control)
    if math.isnan(scale):
        return np.array(p), None if b is None else np.array(b)
    with np.errstate(all="ignore"):
        g = _scaled(g, scale)
        if h["weight_decay"]:
            g = g + h["weight_decay"] * p
        if b is not None:
            momentum = h["momentum"]
            if momentum:
                b = np.array(g) if h["first"] else b * momentum + (1.0 - h["dampening"]) * g
                g = g + momentum * b if nesterov else b
            else:
                b = np.array(b)
        return p - h["lr"] * g, b


def _rmsprop(p: Array, g: Array, v: Array, mean: Array | None, b: Array | None, hyper: Array, control: Array | None,
             centered: bool) -> tuple[Array | None, ...]:
    h, scale = _numbers(RMSPROP, hyper, control)
    if math.isnan(scale):
        return tuple(None if a is None else np.array(a) for a in (p, v, mean, b))
    alpha, momentum = h["alpha"], h["momentum"]
    with np.errstate(all="ignore"):
        g = _scaled(g, scale)
        if h["weight_decay"]:
            g = g + h["weight_decay"] * p
        v = spread = v * alpha + (1.0 - alpha) * (g * g)
        if centered:
            assert mean is not None
            mean = mean * alpha + (1.0 - alpha) * g
            spread = np.maximum(v - mean * mean, 0.0)
        step = g / (np.sqrt(spread) + h["eps"])
        if b is not None and momentum:
            b = step = b * momentum + step
        elif b is not None:
            b = np.array(b)
        return p - h["lr"] * step, v, mean, b


def _metas(names: tuple[str, ...], arrays: int, optional: tuple[int, ...] = (), needs: tuple[str, int] | None = None) -> Any:
    def metas(attrs: dict[str, Any], *ins: Meta | None) -> list[Meta | None]:
        if len(ins) != arrays + 2 or ins[0] is None:
            raise ValueError(f"takes {arrays} arrays, the numbers and control, not {len(ins)} operands")
        for k, meta in enumerate(ins[:arrays]):
            if meta != ins[0] and not (meta is None and k in optional):
                raise ValueError(f"operand {k} is {meta} and the parameter {ins[0]}")
        if needs is not None and bool(attrs[needs[0]]) != (ins[needs[1]] is not None):
            raise ValueError(f"operand {needs[1]} is there when {needs[0]} is set, and only then")
        if ins[arrays] != ((len(names),), _F64) or ins[arrays + 1] not in (None, ((2,), _F64)):
            raise ValueError(f"hyper is float64 [{len(names)}], control float64 [2]: {ins[arrays:]}")
        return [ins[0], *ins[2:arrays]]

    return metas


def _cost(flops: float) -> Callable[..., float]:
    def cost(attrs: dict[str, Any], ins: Sequence[Meta], outs: Sequence[Meta]) -> float:
        return flops * float(np.prod(ins[0][0], dtype=float))

    return cost


OPS: list[PlanOp] = [
    # its reference rounds after every operation, the kernel is fused
    PlanOp("adamw", _adam(False), _metas(ADAM, 4), {"l2": "b"}, inplace=(0, 2, 3), bound=2e-6, cost=_cost(16)),
    PlanOp("adamw_amsgrad", _adam(True), _metas(ADAM, 5), {"l2": "b"}, inplace=(0, 2, 3, 4), exact=True, cost=_cost(17)),
    PlanOp("sgd", _sgd, _metas(SGD, 3, (2,)), {"nesterov": "b"}, inplace=(0, 2), exact=True, cost=_cost(8)),
    PlanOp("rmsprop", _rmsprop, _metas(RMSPROP, 5, (3, 4), ("centered", 3)), {"centered": "b"}, inplace=(0, 2, 3, 4),
           exact=True, cost=_cost(16)),
]
SELECT: dict[str, Callable[..., Any]] = {}  # no primitive becomes one of these: the training step names them
