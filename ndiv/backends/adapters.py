"""Where kernels meet primitives: shapes folded to rows and columns, and back.

Contract: `bind(fast)` puts the native kernels of the table ``fast`` in the place of the references of the primitives that
name them; `bind({})` puts the references back. An adapter hands anything but float32 arrays to the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .kernels import ACTS

__all__ = ["bind"]

_F32 = np.dtype(np.float32)
Table = dict[str, Callable[..., Any]]


def _rows(x: Any) -> Any:
    """A float32 array as C-contiguous [rows, cols]; None for anything that the kernels do not take."""
    if type(x) is not np.ndarray or x.dtype is not _F32 or not x.size:
        return None
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1]) if x.ndim else None


def _flat(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype is _F32 and x.flags.c_contiguous


def bind(fast: Table) -> None:
    """Choose what the primitives with kernels run."""
    from ..autograd.primitive import REGISTRY

    for name, make in _ADAPTERS.items():
        prim = REGISTRY.get(name)
        if prim is not None:
            reference: Any = prim.fast or prim.ref
            prim.run = make(reference, fast[name]) if name in fast else reference


def _bias_act(reference: Any, run: Any) -> Any:
    def adapter(x: Any, bias: Any, act: str) -> Any:
        rows = _rows(x)
        if rows is None or not _flat(bias) or act not in ACTS:
            return reference(x, bias, act)
        out, saved = run(rows, bias, act)
        return (out, saved) if x.ndim == 2 else (out.reshape(x.shape), saved.reshape(x.shape))

    return adapter


def _bias_act_bwd(reference: Any, run: Any) -> Any:
    def adapter(g: Any, saved: Any, act: str) -> Any:
        rows, kept = _rows(g), _rows(saved)
        if rows is None or kept is None or act not in ACTS:
            return reference(g, saved, act)
        gx, gbias = run(rows, kept, act)
        return gx if g.ndim == 2 else gx.reshape(g.shape), gbias

    return adapter


def _layer_norm(reference: Any, run: Any) -> Any:
    def adapter(x: Any, weight: Any, bias: Any, eps: float) -> Any:
        rows = _rows(x)
        if rows is None or not _flat(weight) or not _flat(bias):
            return reference(x, weight, bias, eps)
        out, mu, rstd = run(rows, weight, bias, eps)
        side = (*x.shape[:-1], 1)
        return out.reshape(x.shape), mu.reshape(side), rstd.reshape(side)

    return adapter


def _layer_norm_bwd(reference: Any, run: Any) -> Any:
    def adapter(g: Any, x: Any, weight: Any, mu: Any, rstd: Any, eps: float) -> Any:
        rows, xs = _rows(g), _rows(x)
        if rows is None or xs is None or not (_flat(weight) and _flat(mu) and _flat(rstd)):
            return reference(g, x, weight, mu, rstd, eps)
        gx, gw, gb = run(rows, xs, weight, mu.reshape(-1), rstd.reshape(-1))
        return gx.reshape(x.shape), gw, gb

    return adapter


def _dropout(reference: Any, run: Any) -> Any:
    def adapter(x: Any, p: float, key: int, stream: int) -> Any:
        return run(x, p, key, stream) if _flat(x) and x.size else reference(x, p, key, stream)

    return adapter


_ADAPTERS = {"bias_act": _bias_act, "bias_act_bwd": _bias_act_bwd, "layer_norm": _layer_norm,
             "layer_norm_bwd": _layer_norm_bwd, "dropout": _dropout}
