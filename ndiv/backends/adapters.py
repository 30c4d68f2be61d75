"""Where kernels meet primitives: shapes folded to rows and columns, and back.

Contract: `bind(fast)` puts the kernels of the table ``fast`` in the place of the references of the primitives that name
them, and each function of ``ops`` in the place of the primitive of its name; `bind({})` puts the references back. An
adapter hands anything but arrays of one of the backend's types to the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .kernels import ACTS

__all__ = ["bind"]

Table = dict[str, Callable[..., Any]]
_dtypes: tuple[Any, ...] = ()  # what the kernels in force take


def _rows(x: Any) -> Any:
    """An array as C-contiguous [rows, cols]; None for anything that the kernels do not take."""
    if type(x) is not np.ndarray or x.dtype not in _dtypes or not x.size:
        return None
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1]) if x.ndim else None


def _flat(x: Any, like: Any) -> bool:
    return type(x) is np.ndarray and x.dtype is like.dtype and x.flags.c_contiguous


def bind(fast: Table, dtypes: tuple[Any, ...] = (), ops: Table | None = None) -> None:
    """Choose what the primitives with kernels run, for arrays of these types."""
    global _dtypes
    from ..autograd.primitive import REGISTRY

    _dtypes = dtypes
    for name in _bound:
        prim = REGISTRY[name]
        prim.run = prim.fast or prim.ref  # type: ignore[assignment]
    _bound.clear()
    for name, make in _ADAPTERS.items():
        if name in fast and name in REGISTRY:
            _put(REGISTRY[name], make, fast[name])
    for name, run in (ops or {}).items():
        _put(REGISTRY[name], _recurrent if "lengths" in REGISTRY[name].args else _elementwise, run)


def _put(prim: Any, make: Callable[..., Any], run: Any) -> None:
    prim.run = make(prim.fast or prim.ref, run)
    _bound.append(prim.name)


_bound: list[str] = []


def _bias_act(reference: Any, run: Any) -> Any:
    def adapter(x: Any, bias: Any, act: str) -> Any:
        rows = _rows(x)
        if rows is None or not _flat(bias, x) or act not in ACTS:
            return reference(x, bias, act)
        out, saved = run(rows, bias, act)
        return (out, saved) if x.ndim == 2 else (out.reshape(x.shape), saved.reshape(x.shape))

    return adapter


def _bias_act_bwd(reference: Any, run: Any) -> Any:
    def adapter(g: Any, saved: Any, act: str) -> Any:
        rows, kept = _rows(g), _rows(saved)
        if rows is None or kept is None or kept.dtype is not rows.dtype or act not in ACTS:
            return reference(g, saved, act)
        gx, gbias = run(rows, kept, act)
        return gx if g.ndim == 2 else gx.reshape(g.shape), gbias

    return adapter


def _layer_norm(reference: Any, run: Any) -> Any:
    def adapter(x: Any, weight: Any, bias: Any, eps: float) -> Any:
        rows = _rows(x)
        if rows is None or not _flat(weight, x) or not _flat(bias, x):
            return reference(x, weight, bias, eps)
        out, mu, rstd = run(rows, weight, bias, eps)
        side = (*x.shape[:-1], 1)
        return out.reshape(x.shape), mu.reshape(side), rstd.reshape(side)

    return adapter


def _layer_norm_bwd(reference: Any, run: Any) -> Any:
    def adapter(g: Any, x: Any, weight: Any, mu: Any, rstd: Any, eps: float) -> Any:
        rows, xs = _rows(g), _rows(x)
        if rows is None or xs is None or not (g.dtype is x.dtype and _flat(weight, x) and _flat(mu, x) and _flat(rstd, x)):
            return reference(g, x, weight, mu, rstd, eps)
        gx, gw, gb = run(rows, xs, weight, mu.reshape(-1), rstd.reshape(-1))
        return gx.reshape(x.shape), gw, gb

    return adapter


def _dropout(reference: Any, run: Any) -> Any:
    def adapter(x: Any, p: float, key: int, stream: int) -> Any:
        if type(x) is np.ndarray and x.dtype in _dtypes and x.flags.c_contiguous and x.size:
            return run(x, p, key, stream)
        return reference(x, p, key, stream)

    return adapter


def _elementwise(reference: Any, run: Any) -> Any:
    """Arrays of one type, shape and contiguous layout, on which a loop can run; broadcasting is NumPy's."""

    def adapter(*args: Any, **attrs: Any) -> Any:
        x = args[0]
        if type(x) is np.ndarray and x.dtype in _dtypes and x.flags.c_contiguous and x.ndim and all(
                _flat(a, x) and a.shape == x.shape for a in args[1:]):
            return run(*args, **attrs)
        return reference(*args, **attrs)

    return adapter


def _recurrent(reference: Any, run: Any) -> Any:
    def adapter(*args: Any, **attrs: Any) -> Any:
        known = all(a.dtype in _dtypes for a in args if isinstance(a, np.ndarray) and a.dtype.kind not in "iu")
        return (run if known else reference)(*args, **attrs)

    return adapter


_ADAPTERS = {"bias_act": _bias_act, "bias_act_bwd": _bias_act_bwd, "layer_norm": _layer_norm,
             "layer_norm_bwd": _layer_norm_bwd, "dropout": _dropout}
