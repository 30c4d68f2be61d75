"""Pooling over the last axis: max_pool1d (a gather; its gradient one op), avg_pool1d, moving_average."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken
from ..tape import apply, stopped
from ..tensor import Tensor
from ._declare import numbers
from .gather import SCATTER_ADD, gather
from .reduce import argmax, mean
from .shape import cat, pad, stack

PUBLIC = ["avg_pool1d", "max_pool1d", "moving_average"]
_NDIV_INTERNAL = True
AVG_UNPOOL1D: Primitive  # the gradient of AVG_POOL1D, and the other way round
MAX_POOL1D_BWD: Primitive


def _pooled(n: int, kernel: int, stride: int, ceil_mode: bool) -> int:
    """PyTorch's output length: in ceil mode a last window may hang over the end, but must begin inside."""
    if n < kernel and not ceil_mode:
        raise RuleBroken(f"the last axis has {n} elements and the window {kernel}", "use a smaller kernel_size")
    out = (n - kernel + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= n:
        out -= 1
    return max(out, 1)


def _argmax(x: np.ndarray, kernel: int, stride: int, ceil_mode: bool) -> np.ndarray:
    n = x.shape[-1]
    out = _pooled(n, kernel, stride, ceil_mode)
    over = (out - 1) * stride + kernel - n
    if over > 0:
        x = np.concatenate([x, np.full((*x.shape[:-1], over), -np.inf, x.dtype)], axis=-1)
    windows = sliding_window_view(x, kernel, axis=-1)[..., ::stride, :][..., :out, :]
    return windows.argmax(-1) + np.arange(out) * stride


def _index(x: Any, kernel: int, stride: int, ceil_mode: bool) -> Any:
    x = stopped(x)
    if not isinstance(x, Tensor):
        return _argmax(x, kernel, stride, ceil_mode)
    n = x.shape[-1]  # a function that is being compiled: the places are data
    out = _pooled(n, kernel, stride, ceil_mode)
    over = (out - 1) * stride + kernel - n
    if over > 0:
        x = cat([x, np.full((*x.shape[:-1], over), -np.inf, x.dtype)], dim=-1)
    windows = [x[..., k:k + (out - 1) * stride + 1:stride] for k in range(kernel)]
    return argmax(stack(windows, -1), -1) + np.arange(out) * stride


def _max_pool(x: Any, kernel: int, stride: int, ceil_mode: bool) -> Any:
    return gather(x, -1, _index(x, kernel, stride, ceil_mode))


def _max_pool_bwd(g: Any, x: Any, kernel: int, stride: int, ceil_mode: bool) -> Any:
    index = _index(x, kernel, stride, ceil_mode)
    return apply(SCATTER_ADD, (g, index), {"dim": len(x.shape) - 1, "size": x.shape[-1]})


def _pool_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*B, n] -> [*B, windows over n]"""
    if not x:
        raise RuleBroken("pooling needs an axis", "give at least one")
    return (*x[:-1], _pooled(x[-1], attrs["kernel"], attrs["stride"], attrs.get("ceil_mode", False)))


def _pool_samples(**more: Any) -> list[Sample]:
    return [Sample((numbers((2, 7)),), {"kernel": 2, "stride": 2, **more}, "contiguous"),
            Sample((numbers((9, 4)).T[::2],), {"kernel": 3, "stride": 1, **more}, "strided"),
            Sample((numbers((0, 4)),), {"kernel": 2, "stride": 1, **more}, "empty")]


MAX_POOL1D = register(Primitive(
    "max_pool1d", ("x",), _pool_rule, decompose=_max_pool, attrs={"kernel": 2, "stride": 2, "ceil_mode": False},
    saves=("x",), analytic=False, kinks="ties in a window", onnx="MaxPool", strict=True,
    vjp=(lambda g, y, x, **attrs: apply(MAX_POOL1D_BWD, (g, x), attrs),),
    samples=lambda: _pool_samples(ceil_mode=True) + _pool_samples(ceil_mode=False),
    bad=lambda: [Bad((np.ones((2, 3)),), "the window 5", {"kernel": 5, "stride": 1, "ceil_mode": False})]))


def _max_bwd_rule(attrs: dict[str, Any], g: tuple[int, ...], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*B, windows over n] [*B, n] -> [*B, n]"""
    if g != _pool_rule(attrs, x):
        raise RuleBroken(f"g has shape {list(g)} and max_pool1d gives {list(_pool_rule(attrs, x))}",
                         "give the gradient of max_pool1d")
    return x


def _max_bwd_samples() -> list[Sample]:
    return [Sample((numbers(_pool_rule(s.attrs, s.inputs[0].shape), seed=1), *s.inputs), s.attrs, s.tag)
            for s in MAX_POOL1D.samples()]  # type: ignore[misc]


# Which place holds the largest value is known from x alone: one op, and no index array among the constants of a trace.
MAX_POOL1D_BWD = register(Primitive(
    "max_pool1d_bwd", ("g", "x"), _max_bwd_rule, decompose=_max_pool_bwd,
    attrs={"kernel": 2, "stride": 2, "ceil_mode": False}, saves=("x",), analytic=False, kinks="ties in a window",
    strict=True, vjp=(lambda u, y, g, x, **attrs: gather(u, -1, _index(x, **attrs)), None), samples=_max_bwd_samples,
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((2, 4))), "max_pool1d gives [2, 2]",
                     {"kernel": 2, "stride": 2, "ceil_mode": False})]))


def _avg_pool(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    n = _pooled(x.shape[-1], kernel, stride, False)
    total = np.zeros((*x.shape[:-1], n), x.dtype)
    for k in range(kernel):  # one add of the whole array for each place in the window
        total += x[..., k:k + (n - 1) * stride + 1:stride]
    return total * x.dtype.type(1.0 / kernel)


def _avg_unpool(g: np.ndarray, kernel: int, stride: int, size: int) -> np.ndarray:
    out = np.zeros((*g.shape[:-1], size), g.dtype)
    g = g * g.dtype.type(1.0 / kernel)
    for k in range(kernel):
        out[..., k:k + (g.shape[-1] - 1) * stride + 1:stride] += g
    return out


def _unpool_rule(attrs: dict[str, Any], g: tuple[int, ...]) -> tuple[int, ...]:
    """[*B, windows over size] -> [*B, size]"""
    if g[-1] != _pooled(attrs["size"], attrs["kernel"], attrs["stride"], False):
        raise RuleBroken(f"g has {g[-1]} windows", "give the gradient of avg_pool1d")
    return (*g[:-1], attrs["size"])


AVG_POOL1D = register(Primitive(
    "avg_pool1d", ("x",), _pool_rule, ref=_avg_pool, attrs={"kernel": 2, "stride": 2}, linear=True, onnx="AveragePool",
    vjp=(lambda g, y, x, kernel, stride: apply(
        AVG_UNPOOL1D, (g,), {"kernel": kernel, "stride": stride, "size": x.shape[-1]}),),
    samples=_pool_samples, bad=lambda: [Bad((np.ones((2, 3)),), "the window 5", {"kernel": 5, "stride": 1})],
    cost=lambda attrs, ins, outs: float(attrs["kernel"]) * float(np.prod(outs[0], dtype=float))))

AVG_UNPOOL1D = register(Primitive(
    "avg_unpool1d", ("g",), _unpool_rule, ref=_avg_unpool, attrs={"kernel": 2, "stride": 2, "size": 0}, linear=True,
    strict=True,
    vjp=(lambda g, y, x, kernel, stride, size: apply(AVG_POOL1D, (g,), {"kernel": kernel, "stride": stride}),),
    onnx="ConvTranspose",
    samples=lambda: [Sample((numbers((2, 3)),), {"kernel": 2, "stride": 2, "size": 7}, "contiguous"),
                     Sample((numbers((7, 4)).T[::2],), {"kernel": 3, "stride": 1, "size": 9}, "strided"),
                     Sample((numbers((0, 3)),), {"kernel": 2, "stride": 1, "size": 4}, "empty")],
    bad=lambda: [Bad((np.ones((2, 3)),), "3 windows", {"kernel": 2, "stride": 2, "size": 12})]))


def max_pool1d(x: Any, kernel_size: int, stride: int | None = None, ceil_mode: bool = False) -> Any:
    """Largest value in each window of the last axis; [*, n] -> [*, windows]."""
    return apply(MAX_POOL1D, (x,), {"kernel": kernel_size, "stride": stride or kernel_size, "ceil_mode": ceil_mode})


def avg_pool1d(x: Any, kernel_size: int, stride: int | None = None, ceil_mode: bool = False) -> Any:
    """Mean of each window of the last axis; in ceil mode the last window averages what there is."""
    stride = stride or kernel_size
    n = x.shape[-1]
    whole = (n - kernel_size) // stride + 1 if n >= kernel_size else 0
    start = whole * stride
    if not ceil_mode or start >= n or whole == _pooled(n, kernel_size, stride, True):
        return apply(AVG_POOL1D, (x,), {"kernel": kernel_size, "stride": stride})
    rest = mean(x[..., start:], dim=-1, keepdim=True)
    if not whole:
        return rest
    return cat([apply(AVG_POOL1D, (x,), {"kernel": kernel_size, "stride": stride}), rest], dim=-1)


def moving_average(x: Any, kernel_size: int) -> Any:
    """Centred moving average over the last axis, its ends repeated so that the length stays."""
    side = (kernel_size - 1) // 2
    return avg_pool1d(pad(x, (side, kernel_size - 1 - side), mode="replicate"), kernel_size, 1)

