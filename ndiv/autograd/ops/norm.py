"""Normalization: layer_norm over the last axis, batch_norm over all but the channel axis; backward fused in each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ShapeError, TraceBreak
from ...random import is_traced
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken
from ..tape import apply, stopped
from ..tensor import Tensor
from ._declare import numbers
from .elementwise import rsqrt, sqrt
from .reduce import mean, sum
from .shape import reshape

PUBLIC = ["batch_norm", "layer_norm"]
_NDIV_INTERNAL = True


def _stats(x: Any, eps: float) -> tuple[Any, Any, Any]:
    mu = mean(x, -1, True)
    centred = x - mu
    rstd = rsqrt(mean(centred * centred, -1, True) + eps)
    return centred * rstd, mu, rstd


def _layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    xhat, mu, rstd = _stats(x, eps)
    return xhat * weight + bias, mu, rstd


def _layer_norm_bwd(g: Any, x: Any, weight: Any, mu: Any, rstd: Any, eps: float) -> tuple[Any, Any, Any]:
    # mu and rstd are worked out again from x, so that derivatives of this gradient are complete
    xhat, _, r = _stats(x, eps)
    gw = g * weight
    gx = r * (gw - mean(gw, -1, True) - xhat * mean(gw * xhat, -1, True))
    n = x.shape[-1]
    return gx, sum(reshape(g * xhat, (-1, n)), 0), sum(reshape(g, (-1, n)), 0)


def _rule(attrs: dict[str, Any], x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...]) -> Any:
    """[*B, n] [n] [n] -> [*B, n] [*B, 1] [*B, 1]"""
    if not x:
        raise RuleBroken("layer_norm needs an axis", "give at least one")
    for name, s in (("weight", weight), ("bias", bias)):
        if s != x[-1:]:
            raise RuleBroken(f"{name} has shape {list(s)} and the last axis of x is {x[-1]}", "they must be equal")
    return x, (*x[:-1], 1), (*x[:-1], 1)


def _vjp(g: Any, out: Any, x: Any, weight: Any, bias: Any, eps: float) -> Any:
    _, mu, rstd = (o.detach() if isinstance(o, Tensor) else o for o in out)
    return apply(LAYER_NORM_BWD, (g[0], x, weight, mu, rstd), {"eps": eps})


def _samples() -> list[Sample]:
    w, b = numbers((4,), 0.5, 1.5, 1), numbers((4,), seed=2)
    return [Sample((numbers((3, 4)), w, b), {"eps": 1e-5}, "contiguous"),
            Sample((numbers((2, 3, 4)), w, b), {"eps": 1e-5}, "batched"),
            Sample((numbers((4, 6)).T[::2], w, b), {"eps": 1e-3}, "strided"),
            Sample((np.broadcast_to(numbers((1, 4)), (2, 4)), w, b), {"eps": 1e-5}, "broadcast"),
            Sample((numbers((0, 4)), w, b), {"eps": 1e-5}, "empty")]


def _bwd_samples() -> list[Sample]:
    out = []
    for s in _samples():
        x, w, _ = s.inputs
        _, mu, rstd = _layer_norm(np.asarray(x), w, np.zeros(4), **s.attrs)
        out.append(Sample((numbers(x.shape, seed=3), x, w, mu, rstd), s.attrs, s.tag))
    return out


LAYER_NORM = register(Primitive(
    "layer_norm", ("x", "weight", "bias"), _rule, decompose=_layer_norm, attrs={"eps": 1e-5}, saves=("x", "weight", "out"),
    n_out=3, n_diff=1, vjp=_vjp, kernels=("layer_norm",), onnx="LayerNormalization", strict=True, samples=_samples,
    cost=lambda attrs, ins, outs: 8.0 * float(np.prod(ins[0], dtype=float)),
    bad=lambda: [Bad((np.ones((2, 3)), np.ones(4), np.ones(3)), "weight has shape [4]", {"eps": 1e-5})]))

LAYER_NORM_BWD = register(Primitive(
    "layer_norm_bwd", ("g", "x", "weight", "mu", "rstd"), "[*B, n] [*B, n] [n] [*B, 1] [*B, 1] -> [*B, n] [n] [n]",
    decompose=_layer_norm_bwd, attrs={"eps": 1e-5}, n_out=3, kernels=("layer_norm_bwd",), strict=True, batch="reduce",
    samples=_bwd_samples, cost=lambda attrs, ins, outs: 12.0 * float(np.prod(ins[0], dtype=float)),
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((2, 4)), np.ones(3), np.ones((2, 1)), np.ones((2, 1))),
                     "n is 3 in g and 4 in x", {"eps": 1e-5})]))


def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis (Ba et al. 2016); weight and bias [n].

    >>> import ndiv, numpy as np
    >>> abs(float(ndiv.layer_norm(np.array([[1.0, 2.0, 3.0]])).sum())) < 1e-12
    True
    """
    n = x.shape[-1:]
    weight = np.ones(n, x.dtype) if weight is None else weight
    bias = np.zeros(n, x.dtype) if bias is None else bias
    return apply(LAYER_NORM, (x, weight, bias), {"eps": eps})[0]


# batch normalization ----------------------------------------------------------------------------------------------

def _side(v: Any, x: Any) -> Any:
    """[C] in a shape that broadcasts over [B, C, *S]."""
    return reshape(v, (1, -1) + (1,) * (len(x.shape) - 2))


def _axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, len(x.shape)))


def _batch_norm(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    mu = mean(x, _axes(x))
    centred = x - _side(mu, x)
    var = mean(centred * centred, _axes(x))
    return centred * _side(rsqrt(var + eps) * weight, x) + _side(bias, x), mu, var


def _batch_norm_bwd(g: Any, x: Any, weight: Any, mu: Any, var: Any, eps: float) -> tuple[Any, Any, Any]:
    # mu and var are worked out again from x, so that derivatives of this gradient are complete
    axes, n = _axes(x), _count(x.shape)
    centred = x - _side(mean(x, axes), x)
    rstd = rsqrt(mean(centred * centred, axes) + eps)
    gbias = sum(g, axes)
    gweight = sum(g * centred, axes) * rstd
    gx = _side(rstd * weight, x) * (g - _side(gbias, x) * (1 / n) - centred * _side(gweight * rstd * (1 / n), x))
    return gx, gweight, gbias


def _batch_norm_fast(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> tuple[np.ndarray, ...]:
    axes = _axes(x)
    mu = mean(x, axes)
    y = x - _side(mu, x)
    var = mean(np.square(y), axes)
    y *= _side(rsqrt(var + eps) * weight, x)
    y += _side(bias, x)
    return y, mu, var


def _batch_norm_bwd_fast(g: np.ndarray, x: np.ndarray, weight: np.ndarray, mu: np.ndarray, var: np.ndarray,
                         eps: float) -> tuple[np.ndarray, ...]:
    axes, n = _axes(x), _count(x.shape)
    rstd = rsqrt(var + eps)
    gx = x - _side(mu, x)
    gbias = sum(g, axes)
    gweight = sum(g * gx, axes) * rstd
    gx *= _side(gweight * rstd * (-1 / n), x)
    gx += g
    gx -= _side(gbias * (1 / n), x)
    gx *= _side(rstd * weight, x)
    return gx, gweight, gbias


def _count(shape: tuple[int, ...]) -> int:
    """Values of each channel (at least 1, so that an empty batch divides by something)."""
    return max(int(np.prod(shape[:1] + shape[2:])), 1)


def _channels(x: tuple[int, ...], **vectors: tuple[int, ...]) -> None:
    if len(x) < 2:
        raise RuleBroken(f"x has {len(x)} axes", "[batch, channels, ...]")
    for name, s in vectors.items():
        if s != x[1:2]:
            raise RuleBroken(f"{name} has shape {list(s)} and x {x[1]} channels",
                             "give one number a channel; channels are axis 1")


def _batch_rule(attrs: dict[str, Any], x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...]) -> Any:
    """[B, C, *S] [C] [C] -> [B, C, *S] [C] [C]"""
    _channels(x, weight=weight, bias=bias)
    return x, x[1:2], x[1:2]


def _batch_bwd_rule(attrs: dict[str, Any], g: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...],
                    mu: tuple[int, ...], var: tuple[int, ...]) -> Any:
    """[B, C, *S] [B, C, *S] [C] [C] [C] -> [B, C, *S] [C] [C]"""
    if g != x:
        raise RuleBroken(f"g has shape {list(g)} and x {list(x)}", "they must be equal")
    _channels(x, weight=weight, mu=mu, var=var)
    return x, x[1:2], x[1:2]


def _batch_vjp(g: Any, out: Any, x: Any, weight: Any, bias: Any, eps: float) -> Any:
    _, mu, var = (o.detach() if isinstance(o, Tensor) else o for o in out)
    return apply(BATCH_NORM_BWD, (g[0], x, weight, mu, var), {"eps": eps})


def _batch_samples() -> list[Sample]:
    w, b = numbers((3,), 0.5, 1.5, 1), numbers((3,), seed=2)
    return [Sample((numbers((4, 3)), w, b), {"eps": 1e-5}, "contiguous"),
            Sample((numbers((2, 3, 4)), w, b), {"eps": 1e-3}, "batched"),
            Sample((numbers((2, 3, 2, 3)), w, b), {"eps": 1e-5}, "batched"),
            Sample((numbers((3, 8)).T[::2], w, b), {"eps": 1e-5}, "strided")]


def _batch_bwd_samples() -> list[Sample]:
    out = []
    for s in _batch_samples():
        x, w, b = s.inputs
        _, mu, var = _batch_norm(np.asarray(x), w, b, **s.attrs)
        out.append(Sample((numbers(x.shape, seed=3), x, w, mu, var), s.attrs, s.tag))
    return out


BATCH_NORM = register(Primitive(
    "batch_norm", ("x", "weight", "bias"), _batch_rule, decompose=_batch_norm, attrs={"eps": 1e-5},
    saves=("x", "weight", "out"), n_out=3, n_diff=1, vjp=_batch_vjp, batch="mix", onnx="BatchNormalization", strict=True,
    samples=_batch_samples, cost=lambda attrs, ins, outs: 7.0 * float(np.prod(ins[0], dtype=float)),
    bad=lambda: [Bad((np.ones((2, 3)), np.ones(4), np.ones(3)), "weight has shape [4]", {"eps": 1e-5}),
                 Bad((np.ones(3), np.ones(3), np.ones(3)), "x has 1 axes", {"eps": 1e-5})]))

BATCH_NORM_BWD = register(Primitive(
    "batch_norm_bwd", ("g", "x", "weight", "mu", "var"), _batch_bwd_rule, decompose=_batch_norm_bwd, attrs={"eps": 1e-5},
    n_out=3, batch="mix", strict=True, samples=_batch_bwd_samples,
    cost=lambda attrs, ins, outs: 11.0 * float(np.prod(ins[0], dtype=float)),
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((2, 4)), np.ones(4), np.ones(4), np.ones(4)), "g has shape [2, 3]",
                     {"eps": 1e-5})]))

# What runs: the same in place, with the saved statistics. The decompositions above are the references of both.
BATCH_NORM.fast = BATCH_NORM.run = _batch_norm_fast
BATCH_NORM_BWD.fast = BATCH_NORM_BWD.run = _batch_norm_bwd_fast


def batch_norm(x: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, axis 1 of x [B, C, *S] (Ioffe and Szegedy 2015).

    As PyTorch's F.batch_norm. In training (or without running statistics) mean and var, divided by n, are those of x over
    all other axes; running_mean and running_var, arrays [C], are then moved towards them in place by the fraction momentum,
    with n - 1 in the variance. Otherwise the running statistics take their places. weight and bias [C]. Training on a
    single value a channel is refused with E0002.

    >>> import ndiv, numpy as np
    >>> ndiv.batch_norm(np.array([[1.0], [3.0]]), training=True, eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    c = tuple(x.shape[1:2])
    weight = np.ones(c, x.dtype) if weight is None else weight
    bias = np.zeros(c, x.dtype) if bias is None else bias
    if not training and running_mean is not None and running_var is not None:
        mu, var = (stopped(v) if isinstance(v, Tensor) else np.asarray(v) for v in (running_mean, running_var))
        scale = weight * (1.0 / sqrt(var + eps)).astype(x.dtype)
        return x * _side(scale, x) + _side(bias - scale * mu.astype(x.dtype), x)
    n = _count(x.shape)
    if training and n < 2:
        raise ShapeError(f"batch_norm: one value a channel in x of shape {list(x.shape)} has no variance", value=x.shape,
                         hint="train on larger batches, or call eval()")
    y, mu, var = apply(BATCH_NORM, (x, weight, bias), {"eps": eps})
    if training:
        for running, now, factor in ((running_mean, mu, 1.0), (running_var, var, n / (n - 1))):
            if running is not None:
                _move(running, now, factor, momentum)
    return y


def _move(running: Any, now: Any, factor: float, momentum: Any) -> None:
    """running + momentum (now factor - running) in its place."""
    if is_traced() and isinstance(now, Tensor):
        if not isinstance(running, Tensor):
            raise TraceBreak("batch_norm moves running statistics that are arrays, which a plan cannot write",
                             hint="give them as Tensors, or use ndiv.nn.BatchNorm1d")
        running.copy_(running + momentum * (stopped(now) * factor - running))
        return
    held = running.data if isinstance(running, Tensor) else running
    held += momentum * ((now.data if isinstance(now, Tensor) else now) * factor - held)
