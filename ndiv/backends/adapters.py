"""Where kernels meet primitives: shapes folded to rows and columns, and back.

Contract: `bind(True)` puts the native kernels in the place of the references of the primitives that name them;
`bind(False)` puts the references back. An adapter hands anything but float32 arrays in C order to the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bind"]


def _plain(*arrays: Any) -> bool:
    return all(type(a) is np.ndarray and a.dtype == np.float32 and a.flags.c_contiguous and a.size for a in arrays)


def _rows(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def bind(native: bool) -> None:
    """Choose what the primitives with kernels run."""
    from ..autograd.primitive import REGISTRY

    for name, make in _ADAPTERS.items():
        prim = REGISTRY.get(name)
        if prim is not None:
            reference: Any = prim.ref
            prim.run = make(reference) if native else reference


def _bias_act(reference: Any) -> Any:
    from . import kernel
    from .native import ACTS

    run = kernel("bias_act")

    def adapter(x: Any, bias: Any, act: str) -> Any:
        if act not in ACTS or not _plain(x, bias):
            return reference(x, bias, act)
        out, saved = run(_rows(x), bias, act)
        return out.reshape(x.shape), saved.reshape(x.shape)

    return adapter


def _bias_act_bwd(reference: Any) -> Any:
    from . import kernel
    from .native import ACTS

    run = kernel("bias_act_bwd")

    def adapter(g: Any, saved: Any, act: str) -> Any:
        if act not in ACTS or not _plain(g, saved):
            return reference(g, saved, act)
        gx, gbias = run(_rows(g), _rows(saved), act)
        return gx.reshape(g.shape), gbias

    return adapter


def _layer_norm(reference: Any) -> Any:
    from . import kernel

    run = kernel("layer_norm")

    def adapter(x: Any, weight: Any, bias: Any, eps: float) -> Any:
        if not _plain(x, weight, bias):
            return reference(x, weight, bias, eps)
        out, mu, rstd = run(_rows(x), weight, bias, eps)
        side = (*x.shape[:-1], 1)
        return out.reshape(x.shape), mu.reshape(side), rstd.reshape(side)

    return adapter


def _layer_norm_bwd(reference: Any) -> Any:
    from . import kernel

    run = kernel("layer_norm_bwd")

    def adapter(g: Any, x: Any, weight: Any, mu: Any, rstd: Any, eps: float) -> Any:
        if not _plain(g, x, weight, mu, rstd):
            return reference(g, x, weight, mu, rstd, eps)
        gx, gw, gb = run(_rows(g), _rows(x), weight, mu.reshape(-1), rstd.reshape(-1))
        return gx.reshape(x.shape), gw, gb

    return adapter


def _dropout(reference: Any) -> Any:
    from . import kernel

    run = kernel("dropout")

    def adapter(x: Any, p: float, key: int, stream: int) -> Any:
        return run(x, p, key, stream) if _plain(x) else reference(x, p, key, stream)

    return adapter


_ADAPTERS = {"bias_act": _bias_act, "bias_act_bwd": _bias_act_bwd, "layer_norm": _layer_norm,
             "layer_norm_bwd": _layer_norm_bwd, "dropout": _dropout}
