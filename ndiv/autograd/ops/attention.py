"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1), with its fused backward as a primitive of its own.

Contract: softmax(scale q k' + mask) v over the last two axes, where a query that may attend to nothing gives zeros. What
is kept for backward is q, k, v, the output and, for each query, the log of the sum of the exponentials of its scores;
the probabilities are worked out again from these (Dao et al. 2022, algorithm 4), so that no [Lq, Lk] array outlives
the call. The decompositions, in ndiv ops, are the definition; the references do the same in place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ConfigError, ShapeError
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken, broadcast
from ..tape import apply
from ..tensor import Tensor
from ._declare import numbers
from .elementwise import exp, log, where
from .random import DROPOUT
from .reduce import largest, sum
from .shape import expand

PUBLIC = ["attention_weights", "scaled_dot_product_attention"]
_NDIV_INTERNAL = True
ATTENTION_BWD: Primitive

# what both primitives know besides their arrays; bias_grad says that the additive mask needs a gradient
ATTRS = {"is_causal": False, "scale": 1.0, "dropout_p": 0.0, "seed": 0, "stream": 0, "bias_grad": False}


# the definition, in ndiv ops --------------------------------------------------------------------------------------

def _scores(q: Any, k: Any, mask: Any, is_causal: bool, scale: float) -> Any:
    """[*, Lq, Lk]: scale q k', minus infinity where q may not attend to k. A boolean mask says where it may."""
    s = (q * scale) @ k.swapaxes(-1, -2)
    if is_causal:
        s = where(np.tri(*s.shape[-2:], dtype=bool), s, -math.inf)
    if mask is True:
        return s
    return where(mask, s, -math.inf) if mask.dtype.kind == "b" else s + mask


def _exponentials(s: Any) -> tuple[Any, Any, Any]:
    """(exp(s - top), its sum over the last axis or 1 where that is 0, top); top is finite and carries no gradient."""
    top = largest(s, -1)
    e = exp(s - top)
    z = sum(e, -1, True)
    return e, where(z == 0, 1.0, z), top


def _drop(p: Any, dropout_p: float, seed: int, stream: int) -> Any:
    if not dropout_p:
        return p
    attrs = {"p": dropout_p, "key": seed, "stream": stream}
    if isinstance(p, np.ndarray) and np.iscomplexobj(p):  # kernels know real numbers only
        return DROPOUT.ref(p, **attrs)  # type: ignore[misc]
    return apply(DROPOUT, (p,), attrs)


def _attention(q: Any, k: Any, v: Any, mask: Any, is_causal: bool, scale: float, dropout_p: float, seed: int, stream: int,
               bias_grad: bool) -> tuple[Any, Any]:
    e, z, top = _exponentials(_scores(q, k, mask, is_causal, scale))
    return _drop(e / z, dropout_p, seed, stream) @ v, log(z) + top


def _score_gradient(g: Any, q: Any, k: Any, v: Any, mask: Any, lse: Any, delta: Any, is_causal: bool, scale: float,
                    dropout_p: float, seed: int, stream: int) -> tuple[Any, Any]:
    """(probabilities, gradient of the scores): p (dp - delta) where dp = drop(g v')."""
    p = exp(_scores(q, k, mask, is_causal, scale) - lse)
    return p, p * (_drop(g @ v.swapaxes(-1, -2), dropout_p, seed, stream) - delta)


def _attention_bwd(g: Any, q: Any, k: Any, v: Any, mask: Any, lse: Any, delta: Any, is_causal: bool, scale: float,
                   dropout_p: float, seed: int, stream: int) -> tuple[Any, Any, Any]:
    p, ds = _score_gradient(g, q, k, v, mask, lse, delta, is_causal, scale, dropout_p, seed, stream)
    ds = ds * scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, _drop(p, dropout_p, seed, stream).swapaxes(-1, -2) @ g


def _vjp(g: Any, outs: Any, q: Any, k: Any, v: Any, mask: Any, bias_grad: bool, **attrs: Any) -> Any:
    g_out, g_lse = g
    out, lse = outs
    if g_out is None:  # only the second output was used: derivatives of the gradient of value reach no other
        g_out = np.zeros(out.shape, out.dtype)
    delta = sum(g_out * out, -1, True)  # each query's mean of dp under p, without the [Lq, Lk] arrays
    if g_lse is not None:
        delta = delta - g_lse
    g_mask = _score_gradient(g_out, q, k, v, mask, lse, delta, **attrs)[1] if bias_grad else None
    return (*apply(ATTENTION_BWD, (g_out, q, k, v, mask, lse, delta), attrs), g_mask)


# rules, costs, samples --------------------------------------------------------------------------------------------

def _full(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], mask: tuple[int, ...]) -> tuple[int, ...]:
    """[*lead, Lq, Lk]: shape of the scores."""
    for name, s in (("query", q), ("key", k), ("value", v)):
        if len(s) < 2:
            raise RuleBroken(f"{name} needs at least 2 axes and has {len(s)}", "its last two are positions and features")
    if q[-1] != k[-1]:
        raise RuleBroken(f"d is {q[-1]} in query and {k[-1]} in key", "both have the same number of features")
    if k[-2] != v[-2]:
        raise RuleBroken(f"Lk is {k[-2]} in key and {v[-2]} in value", "each key has one value")
    own = (q[-2], k[-2])
    full = broadcast(mask, (*broadcast(q[:-2], k[:-2]), *own))
    if full[-2:] != own:
        raise RuleBroken(f"mask has shape {list(mask)} and the scores end in {list(own)}", "it broadcasts to [*, Lq, Lk]")
    if broadcast(v[:-2], full[:-2]) != full[:-2]:
        raise RuleBroken(f"value has leading axes {list(v[:-2])} and the scores {list(full[:-2])}", "expand query or key")
    return full


def _rule(attrs: dict[str, Any], q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], mask: tuple[int, ...]) -> Any:
    """[*B, Lq, d] [*B, Lk, d] [*B, Lk, dv] [*B, Lq, Lk] -> [*B, Lq, dv] [*B, Lq, 1]; leading axes and the mask broadcast
    (those of value only to those of the scores)"""
    *lead, lq, _ = _full(q, k, v, mask)
    return (*lead, lq, v[-1]), (*lead, lq, 1)


def _bwd_rule(attrs: dict[str, Any], g: tuple[int, ...], q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...],
              mask: tuple[int, ...], lse: tuple[int, ...], delta: tuple[int, ...]) -> Any:
    """[*B, Lq, dv] [*B, Lq, d] [*B, Lk, d] [*B, Lk, dv] [*B, Lq, Lk] [*B, Lq, 1] [*B, Lq, 1] -> [*B, Lq, d] [*B, Lk, d] \
[*B, Lk, dv]; g, lse and delta have every leading axis, the others and the mask broadcast"""
    *lead, lq, lk = _full(q, k, v, mask)
    for name, s, want in (("g", g, (*lead, lq, v[-1])), ("lse", lse, (*lead, lq, 1)), ("delta", delta, (*lead, lq, 1))):
        if s != want:
            raise RuleBroken(f"{name} has shape {list(s)}", f"it should be {list(want)}")
    return (*lead, lq, q[-1]), (*lead, lk, k[-1]), (*lead, lk, v[-1])


def _flops(products: float) -> Any:
    """flops(attrs, ins, outs) of so many products of [Lq, d] with [d, Lk], and the exponentials."""
    def flops(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
        q, k, v, mask = ins[-6:-2] if len(ins) == 7 else ins
        scores = float(np.prod(_full(q, k, v, mask), dtype=float))
        return scores * (products * (q[-1] + v[-1]) + 13.0)

    return flops


def _qkv(lead: tuple[int, ...] = (), lq: int = 3, lk: int = 4, d: int = 2, dv: int = 5) -> tuple[np.ndarray, ...]:
    return numbers((*lead, lq, d)), numbers((*lead, lk, d), seed=1), numbers((*lead, lk, dv), seed=2)


def _samples() -> list[Sample]:
    base = {**ATTRS, "scale": 0.6}
    allowed = np.array([[True, True, False, True], [False] * 4, [False, False, True, False]])  # row 1 attends to nothing
    bias = np.where(allowed, numbers((3, 4), seed=3), -np.inf)
    q, k, v = _qkv()
    return [
        Sample((*_qkv(), True), base, "contiguous"), Sample((*_qkv((2, 3)), True), base, "batched"),
        Sample((numbers((2, 1, 3, 2)), numbers((2, 4, 2), seed=1), v, numbers((2, 1, 4), seed=3)),
               {**base, "bias_grad": True}, "broadcast"),
        Sample((q, k, v, allowed), base, "contiguous"), Sample((q, k, v, bias), {**base, "bias_grad": True}, "contiguous"),
        Sample((*_qkv((2,), 4, 3), True), {**base, "is_causal": True}, "batched"),
        Sample((q, k, v, numbers((3, 4), seed=3)), {**base, "is_causal": True, "bias_grad": True}, "contiguous"),
        Sample((*_qkv((2,), 3, 4), allowed), {**base, "is_causal": True}, "batched"),
        Sample((*_qkv((2,)), True), {**base, "dropout_p": 0.4, "seed": 5, "stream": 2}, "batched"),
        Sample((numbers((4, 6)).T[::2], numbers((4, 4), seed=1).T, numbers((5, 8), seed=2).T[::2], True), base, "strided"),
        Sample((*_qkv((0,)), True), base, "empty"), Sample((*_qkv((2,), lk=0), True), base, "empty")]


def _bwd_samples() -> list[Sample]:
    out = []
    for s in _samples():
        q, k, v, mask = s.inputs
        y, lse = _attention(*s.inputs, **s.attrs)
        g = numbers(y.shape, seed=4)
        attrs = {name: value for name, value in s.attrs.items() if name != "bias_grad"}
        out.append(Sample((g, q, k, v, mask, lse, np.sum(g * y, -1, keepdims=True)), attrs, s.tag))
    return out


def _bad() -> list[Bad]:
    q, k, v = _qkv((2,))
    return [Bad((q, np.ones((2, 4, 3)), v, True), "d is 2 in query and 3 in key", ATTRS),
            Bad((q, k, np.ones((2, 5, 5)), True), "Lk is 4 in key and 5 in value", ATTRS),
            Bad((q, k, np.ones((3, 4, 5)), True), "do not broadcast", ATTRS),
            Bad((q[:1], k[:1], v, True), "value has leading axes [2] and the scores [1]", ATTRS),
            Bad((q[:, :1], k, v, np.ones((3, 4))), "the scores end in [1, 4]", ATTRS),
            Bad((q[0, 0], k, v, True), "query needs at least 2 axes", ATTRS)]


# references: the same, in place -----------------------------------------------------------------------------------

def _attention_run(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: Any, is_causal: bool, scale: float, dropout_p: float,
                   seed: int, stream: int, bias_grad: bool) -> tuple[np.ndarray, np.ndarray]:
    s = _scores(q, k, mask, is_causal, scale)
    top = np.max(s.real, axis=-1, keepdims=True, initial=-math.inf)
    top[np.isneginf(top)] = 0
    s -= top
    e = np.exp(s, out=s)
    z = np.add.reduce(e, axis=-1, keepdims=True)
    z[z == 0] = 1
    out = _drop(e, dropout_p, seed, stream) @ v
    out /= z  # [Lq, dv] divisions instead of [Lq, Lk]
    return out, np.log(z) + top


def _attention_bwd_run(g: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: Any, lse: np.ndarray,
                       delta: np.ndarray, is_causal: bool, scale: float, dropout_p: float, seed: int,
                       stream: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p = _scores(q, k, mask, is_causal, scale)
    p -= lse
    np.exp(p, out=p)
    ds = _drop(g @ v.swapaxes(-1, -2), dropout_p, seed, stream)
    ds -= delta
    ds *= p
    ds *= scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, _drop(p, dropout_p, seed, stream).swapaxes(-1, -2) @ g


ATTENTION = register(Primitive(
    "scaled_dot_product_attention", ("query", "key", "value", "mask"), _rule, ref=_attention_run, decompose=_attention,
    attrs=ATTRS, saves=("query", "key", "value", "mask", "out"), n_out=2, vjp=_vjp, bound="compute", strict=True,
    cost=_flops(2.0), samples=_samples, bad=_bad))

ATTENTION_BWD = register(Primitive(
    "scaled_dot_product_attention_bwd", ("g", "query", "key", "value", "mask", "lse", "delta"), _bwd_rule,
    ref=_attention_bwd_run, decompose=_attention_bwd, attrs={n: a for n, a in ATTRS.items() if n != "bias_grad"}, n_out=3,
    bound="compute", strict=True, cost=_flops(5.0), samples=_bwd_samples,
    bad=lambda: [Bad((np.ones((2, 3, 4)), *_qkv((2,)), True, np.ones((2, 3, 1)), np.ones((2, 3, 1))),
                     "g has shape [2, 3, 4]", {n: a for n, a in ATTRS.items() if n != "bias_grad"})]))


# functions --------------------------------------------------------------------------------------------------------

def _checked(query: Any, mask: Any) -> Any:
    """The mask as the primitives take it: True for none, booleans, or numbers in the type of the scores."""
    if mask is None:
        return True
    if not isinstance(mask, (np.ndarray, Tensor)):
        mask = np.asarray(mask)
    if mask.dtype.kind == "b" or mask.dtype == query.dtype:
        return mask
    if mask.dtype.kind != "f":
        raise ShapeError(f"attn_mask holds {mask.dtype}", value=mask.dtype,
                         hint="give booleans (True: may attend), or floating-point numbers that are added to the scores")
    return mask.astype(query.dtype)


def _scale(query: Any, scale: float | None) -> float:
    return 1.0 / math.sqrt(max((1, *query.shape)[-1], 1)) if scale is None else float(scale)


def _widened(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """query with the leading axes that only value has; shapes that do not fit are left for the rule to refuse."""
    try:
        lead = broadcast(*(x.shape[:-2] for x in (query, key)), () if mask is True else mask.shape[:-2])
        every = broadcast(lead, value.shape[:-2])
    except RuleBroken:
        return query
    return query if lead == every else expand(query, (*broadcast(every, query.shape[:-2]), *query.shape[-2:]))


def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None) -> Any:
    """softmax(scale q k' + mask) v: each query's mean of the values, weighted by how well it matches their keys.

    query [*, Lq, d], key [*, Lk, d], value [*, Lk, dv] -> [*, Lq, dv]; leading axes broadcast. ``attn_mask`` broadcasts
    to [*, Lq, Lk]: booleans, True where a query may attend, or numbers that are added to the scores (a Tensor among
    these may require a gradient). ``is_causal`` lets query i attend to keys 0 to i, in addition to the mask.
    ``dropout_p`` drops probabilities: always, so pass 0 outside of training. ``scale`` is 1 / sqrt(d) if not given.
    A query that may attend to nothing gives zeros, and passes no gradient. ShapeError (E0002) if shapes do not fit,
    ConfigError (E0010) if dropout_p is not in [0, 1]. Source: Vaswani et al. 2017, equation 1.

    >>> import ndiv, numpy as np
    >>> k, v = np.eye(2), np.array([[1.0], [3.0]])
    >>> ndiv.scaled_dot_product_attention(np.zeros((1, 2)), k, v)  # matches both keys alike
    array([[2.]])
    """
    if not 0.0 <= dropout_p <= 1.0:
        raise ConfigError(f"scaled_dot_product_attention: dropout_p must be in [0, 1], not {dropout_p!r}", value=dropout_p,
                          hint="0.1 is common in training, 0.0 otherwise")
    seed = stream = 0
    if dropout_p:
        from ...random import next_stream

        seed, stream = next_stream()
    mask = _checked(query, attn_mask)
    bias_grad = isinstance(mask, Tensor) and mask.requires_grad
    query = _widened(query, key, value, mask)
    return apply(ATTENTION, (query, key, value, mask), {
        "is_causal": bool(is_causal), "scale": _scale(query, scale), "dropout_p": float(dropout_p), "seed": seed,
        "stream": stream, "bias_grad": bias_grad})[0]


def attention_weights(query: Any, key: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None) -> Any:
    """softmax(scale q k' + mask), the probabilities of `scaled_dot_product_attention`: [*, Lq, Lk], to be looked at.

    Arguments as there. Rows add up to 1, or are all 0 where a query may attend to nothing.

    >>> import ndiv, numpy as np
    >>> ndiv.attention_weights(np.zeros((2, 3)), np.ones((2, 3)), is_causal=True)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    e, z, _ = _exponentials(_scores(query, key, _checked(query, attn_mask), is_causal, _scale(query, scale)))
    return e / z
