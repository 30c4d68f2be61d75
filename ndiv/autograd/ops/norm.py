"""Normalization over the last axis: layer_norm, with its fused backward as a primitive of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken
from ..tape import apply
from ..tensor import Tensor
from ._declare import numbers
from .elementwise import rsqrt
from .reduce import mean, sum
from .shape import reshape

PUBLIC = ["layer_norm"]
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
