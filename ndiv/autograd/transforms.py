"""Derivatives as functions: grad, value_and_grad, vjp, jvp, hessian.

Contract: they take functions of Tensors that return Tensors, and accept arrays or Tensors as arguments. Results are
Tensors; with ``create_graph=True`` they can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import random
from ..errors import ShapeError
from .backward import pull
from .tape import enable_grad, stopped
from .tensor import Tensor, tensor

__all__ = ["grad", "hessian", "jvp", "value_and_grad", "vjp"]


def _leaf(value: Any) -> Tensor:
    """A Tensor that the function may be differentiated by; Tensors already in a graph stay connected."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            return value
        if not random.is_traced():
            return Tensor(value.data, True)
        leaf: Tensor = stopped(value)  # in a trace it stays the value that it is
        leaf.requires_grad = leaf.node.needs = True
        return leaf
    return tensor(value, requires_grad=True)


def _run(f: Callable[..., Any], args: tuple[Any, ...], argnums: tuple[int, ...]) -> tuple[Any, list[Tensor]]:
    leaves = [_leaf(args[i]) for i in argnums]
    full = list(args)
    for i, leaf in zip(argnums, leaves, strict=True):
        full[i] = leaf
    with enable_grad():
        return f(*full), leaves


def _nums(argnums: int | tuple[int, ...]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def _wrap(g: Any, like: Tensor) -> Tensor:
    if g is None:
        return Tensor(np.zeros_like(like.data))
    return g if isinstance(g, Tensor) else Tensor(np.asarray(g))


def value_and_grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, create_graph: bool = False) -> Callable[..., Any]:
    """A function that returns f's value and its gradient by argument ``argnums``; f returns one number.

    >>> import ndiv, numpy as np
    >>> value, g = ndiv.value_and_grad(lambda x: (x * x).sum())(np.array([3.0]))
    >>> value.item(), g.numpy()
    (9.0, array([6.]))
    """
    nums = _nums(argnums)

    def both(*args: Any) -> Any:
        out, leaves = _run(f, args, nums)
        if not isinstance(out, Tensor) or out.data.size != 1:
            raise ShapeError(f"grad needs a function that returns one number; it returned {getattr(out, 'shape', type(out))}",
                             value=getattr(out, "shape", None), hint="sum or mean the result, or use vjp")
        if not out.requires_grad:
            gs = [Tensor(np.zeros_like(t.data)) for t in leaves]
        else:
            gs = [_wrap(g, t) for t, g in pull((out,), (None,), leaves, create_graph)]
        return out if create_graph else out.detach(), gs[0] if isinstance(argnums, int) else tuple(gs)

    return both


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, create_graph: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of f by argument ``argnums``.

    >>> import ndiv, numpy as np
    >>> ndiv.grad(lambda x: (x**3).sum())(np.array([2.0])).numpy()
    array([12.])
    """
    both = value_and_grad(f, argnums, create_graph)
    return lambda *args: both(*args)[1]


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Tensor, Callable[[Any], Any]]:
    """f(*args), and the function that carries a cotangent of it back to the arguments.

    >>> import ndiv, numpy as np
    >>> y, back = ndiv.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> back(np.array([1.0, 1.0])).numpy()
    array([2., 4.])
    """
    out, leaves = _run(f, args, tuple(range(len(args))))

    def back(g: Any) -> Any:
        gs = [_wrap(gi, t) for t, gi in pull((out,), (g,), leaves)]
        return gs[0] if len(gs) == 1 else tuple(gs)

    return out.detach(), back


def jvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """f(*primals), and its derivative along the tangents.

    Reverse mode twice: the cotangent map u -> J' u is linear, so its own transpose is J.

    >>> import ndiv, numpy as np
    >>> y, t = ndiv.jvp(lambda x: x * x, (np.array([3.0]),), (np.array([1.0]),))
    >>> y.item(), t.item()
    (9.0, 6.0)
    """
    out, leaves = _run(f, tuple(primals), tuple(range(len(primals))))
    u = Tensor(np.zeros_like(out.data), True)
    directions = [t if isinstance(t, Tensor) else Tensor(np.asarray(t, dtype=p.data.dtype))
                  for t, p in zip(tangents, leaves, strict=True)]
    for t, p in zip(directions, leaves, strict=True):
        if t.shape != p.shape:
            raise ShapeError(f"jvp: a tangent has shape {list(t.shape)} and its primal {list(p.shape)}", value=t.shape,
                             hint="they must be equal")
    if not out.requires_grad:
        return out.detach(), Tensor(np.zeros_like(out.data))
    pulled = [(t, g) for t, (_, g) in zip(directions, pull((out,), (u,), leaves, True), strict=True) if g is not None]
    with enable_grad():
        total = sum((g * t).sum() for t, g in pulled)
    if not isinstance(total, Tensor) or not total.requires_grad:
        return out.detach(), Tensor(np.zeros_like(out.data))
    return out.detach(), _wrap(pull((total,), (None,), (u,))[0][1], u)


def hessian(f: Callable[..., Any]) -> Callable[[Any], Tensor]:
    """A function that returns the matrix of second derivatives of f, of shape [*x.shape, *x.shape].

    >>> import ndiv, numpy as np
    >>> ndiv.hessian(lambda x: x[0] * x[0] * x[1])(np.array([2.0, 3.0])).numpy()
    array([[6., 4.],
           [4., 0.]])
    """
    def matrix(x: Any) -> Tensor:
        leaf = _leaf(x)
        out, _ = _run(f, (leaf,), (0,))
        rows = np.zeros((leaf.data.size, *leaf.shape), leaf.data.dtype)
        g = pull((out,), (None,), (leaf,), True)[0][1] if out.requires_grad else None
        if isinstance(g, Tensor) and g.requires_grad:
            for i in range(leaf.data.size):
                seed = np.zeros(leaf.data.size, leaf.data.dtype)
                seed[i] = 1.0
                row = pull((g,), (seed.reshape(leaf.shape),), (leaf,))[0][1]
                if row is not None:
                    rows[i] = row
        return Tensor(rows.reshape(*leaf.shape, *leaf.shape))

    return matrix
