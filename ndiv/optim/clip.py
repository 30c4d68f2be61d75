"""Gradient clipping, by norm and by value.

Contract: the gradients of the parameters are replaced, never written into, since one array may be the gradient of
several leaves. Parameters without a gradient are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..autograd import Tensor
from ..backends import kernel
from ..errors import ConfigError, NonFiniteError

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_scale", "global_norm"]


def _with_grad(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    many = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p for p in many if p.grad is not None]


def global_norm(parameters: Iterable[Tensor] | Tensor, norm_type: float = 2.0) -> float:
    """The p-norm of all gradients taken together as one vector; ``norm_type`` is p > 0 or infinity. Summed in double.

    Raises `ConfigError` (E0010) for another ``norm_type``.

    >>> import ndiv
    >>> p = ndiv.tensor([3.0, -4.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> [ndiv.optim.global_norm(p, kind) for kind in (1, 2, float("inf"))]
    [14.0, 10.0, 8.0]
    """
    kind = float(norm_type)
    if not kind > 0.0:
        raise ConfigError(f"norm_type must be positive or infinite, not {norm_type!r}", value=norm_type,
                          hint="1, 2 and float('inf') are common")
    grads = [p.grad.data for p in _with_grad(parameters) if p.grad is not None]
    if kind == 2.0:
        sumsq = kernel("sumsq")
        return math.sqrt(math.fsum([sumsq(np.ascontiguousarray(g)) for g in grads]))
    if kind == math.inf:
        # np.max, unlike max(), hands a NaN on
        return float(np.max([np.max(np.abs(g), initial=0.0) for g in grads], initial=0.0))
    total = math.fsum([float(np.sum(np.abs(g).astype(np.float64) ** kind)) for g in grads])
    return float(total ** (1.0 / kind))


def clip_scale(norm: float, max_norm: float) -> float:
    """The factor that brings a norm down to ``max_norm``: min(1, max_norm / (norm + 1e-6)), as PyTorch's."""
    if not max_norm >= 0.0:
        raise ConfigError(f"max_norm must not be negative, not {max_norm!r}", value=max_norm, hint="1.0 is common")
    scale = max_norm / (norm + 1e-6)
    return 1.0 if scale > 1.0 else scale


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False) -> float:
    """Scale all gradients by one factor so that their global norm is at most ``max_norm``; returns the norm before.

    (Pascanu, Mikolov & Bengio 2013, algorithm 1.) Raises `NonFiniteError` (E0009) for a NaN or infinite norm when
    ``error_if_nonfinite``, `ConfigError` (E0010) for a negative ``max_norm`` or a ``norm_type`` that is no norm.

    >>> import ndiv
    >>> p = ndiv.tensor([3.0, -4.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> ndiv.optim.clip_grad_norm_([p], max_norm=5.0), p.grad.numpy().round(4).tolist()
    (10.0, [3.0, -4.0])
    """
    params = _with_grad(parameters)
    norm = global_norm(params, norm_type)
    scale = clip_scale(norm, max_norm)
    if error_if_nonfinite and not math.isfinite(norm):
        raise NonFiniteError(f"the gradients' norm of order {norm_type} is {norm}, so it cannot be clipped", value=norm,
                             hint="look for the first NaN or infinite loss, or pass error_if_nonfinite=False")
    if scale != 1.0:
        for p in params:
            assert p.grad is not None
            # an infinite norm gives scale 0, and 0 inf is NaN: what the caller asked for, without a warning
            with np.errstate(invalid="ignore"):
                p.grad = Tensor(np.asarray(p.grad.data * p.grad.dtype.type(scale)))
    return norm


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Bring every element of every gradient into [-clip_value, clip_value]; NaN stays NaN.

    Raises `ConfigError` (E0010) for a negative ``clip_value``.

    >>> import ndiv
    >>> p = ndiv.tensor([3.0, -0.25], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> ndiv.optim.clip_grad_value_([p], 1.0); p.grad.numpy()
    array([ 1. , -0.5], dtype=float32)
    """
    bound = float(clip_value)
    if not bound >= 0.0:
        raise ConfigError(f"clip_value must not be negative, not {clip_value!r}", value=clip_value, hint="1.0 is common")
    for p in _with_grad(parameters):
        assert p.grad is not None
        limit = p.grad.dtype.type(bound)
        p.grad = Tensor(np.asarray(np.clip(p.grad.data, -limit, limit)))
