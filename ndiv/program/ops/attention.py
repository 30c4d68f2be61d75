"""Plan operations of the family attention: scaled dot-product attention and its backward pass, in memory linear in length.

Contract: the meaning is that of the primitives (`ndiv.autograd.ops.attention`), whose references define it here too; an
absent mask stands for ``True``. Random numbers come from the run's state ``rng`` (key, first stream) and the attribute
``stream``, which is added to it; without dropout there is no state to read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd.ops.attention import _attention_bwd_run, _attention_run, _flops, _full
from ...autograd.shapes import RuleBroken
from .record import Meta, PlanOp

ATTRS = {"is_causal": "b", "scale": "f", "dropout_p": "f", "stream": "i"}
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_WORD = 0xFFFFFFFFFFFFFFFF


# references -------------------------------------------------------------------------------------------------------

def _numbers(rng: Any, stream: int) -> dict[str, int]:
    if rng is None:
        return {"seed": 0, "stream": 0}
    return {"seed": int(rng[0]) & _WORD, "stream": (int(rng[1]) + stream) & _WORD}


def _attention(query: Any, key: Any, value: Any, mask: Any, rng: Any, *, is_causal: bool, scale: float, dropout_p: float,
               stream: int) -> tuple[Any, Any]:
    return _attention_run(query, key, value, True if mask is None else mask, is_causal, scale, dropout_p,
                          **_numbers(rng, stream), bias_grad=False)


def _attention_bwd(g: Any, query: Any, key: Any, value: Any, mask: Any, lse: Any, delta: Any, rng: Any, *, is_causal: bool,
                   scale: float, dropout_p: float, stream: int) -> tuple[Any, Any, Any]:
    return _attention_bwd_run(g, query, key, value, True if mask is None else mask, lse, delta, is_causal, scale, dropout_p,
                              **_numbers(rng, stream))


# operands ---------------------------------------------------------------------------------------------------------

def _scores(name: str, attrs: dict[str, Any], qkv: tuple[Meta, ...], mask: Meta | None, rng: Meta | None) -> tuple[int, ...]:
    """[*lead, Lq, Lk], when the operands fit."""
    (q, dtype), (k, _), (v, _) = qkv
    if dtype not in _FLOATS or any(m[1] != dtype for m in qkv):
        raise ValueError(f"{name} takes float32 or float64 arrays of one type, not {', '.join(str(m[1]) for m in qkv)}")
    if mask is not None and mask[1] not in (dtype, np.dtype(bool)):
        raise ValueError(f"the mask of {name} is bool or {dtype}, not {mask[1]}")
    if rng != ((2,), np.dtype(np.int64)) and (rng is not None or attrs["dropout_p"]):
        raise ValueError(f"the random state of {name} is int64 [2], not {rng}")
    if not 0.0 <= attrs["dropout_p"] <= 1.0:
        raise ValueError(f"dropout_p of {name} is in [0, 1], not {attrs['dropout_p']}")
    try:
        return _full(q, k, v, () if mask is None else mask[0])
    except RuleBroken as broken:
        raise ValueError(f"{name}: {broken}") from None


def _metas(attrs: dict[str, Any], q: Meta, k: Meta, v: Meta, mask: Meta | None, rng: Meta | None) -> list[Meta]:
    *lead, lq, _ = _scores("attention", attrs, (q, k, v), mask, rng)
    return [((*lead, lq, v[0][-1]), q[1]), ((*lead, lq, 1), q[1])]


def _bwd_metas(attrs: dict[str, Any], g: Meta, q: Meta, k: Meta, v: Meta, mask: Meta | None, lse: Meta, delta: Meta,
               rng: Meta | None) -> list[Meta]:
    *lead, lq, lk = _scores("attention_bwd", attrs, (q, k, v), mask, rng)
    d, dv, dtype = q[0][-1], v[0][-1], q[1]
    for name, meta, width in (("g", g, dv), ("lse", lse, 1), ("delta", delta, 1)):
        if meta != ((*lead, lq, width), dtype):
            raise ValueError(f"{name} of attention_bwd is {dtype} {[*lead, lq, width]}, not {meta[1]} {list(meta[0])}")
    return [((*lead, lq, d), dtype), ((*lead, lk, d), dtype), ((*lead, lk, dv), dtype)]


def _cost(products: float, first: int) -> Callable[..., float]:
    flops = _flops(products)

    def cost(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
        q, k, v, mask = ins[first:first + 4]
        return flops(attrs, (q[0], k[0], v[0], () if mask is None else mask[0]), ())

    return cost


ATTENTION = PlanOp(
    "attention", _attention, _metas, ATTRS, dense=(4,), spare=(1,), bound=2e-6, cost=_cost(2.0, 0),
    doc="inputs query, key, value, mask or None, rng or None; outputs out, lse (the log of each query's sum of exponentials)")
ATTENTION_BWD = PlanOp(
    "attention_bwd", _attention_bwd, _bwd_metas, ATTRS, dense=(7,), bound=4e-6, cost=_cost(5.0, 1),
    doc="inputs g, query, key, value, mask or None, lse, delta, rng or None; outputs the gradients of query, key and value")

OPS: list[PlanOp] = [ATTENTION, ATTENTION_BWD]


# selection --------------------------------------------------------------------------------------------------------

def _mask(b: Any, mask: Any) -> Any:
    """The mask, or None where it is one number for all scores (``True`` arrives so), which changes no probability."""
    array = None if mask is None else b.consts.get(mask)
    return None if array is not None and array.ndim == 0 and array and np.isfinite(array) else mask


def _fits(inputs: Any, mask: Any) -> bool:
    """Whether the kernels know these types."""
    return (all(v.dtype == inputs[0].dtype and v.dtype in _FLOATS for v in inputs)
            and (mask is None or mask.dtype in (inputs[0].dtype, np.dtype(bool))))


def _attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    return {name: attrs[name] for name in ATTRS}


def _select(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
    query, key, value, mask = inputs
    mask = _mask(b, mask)
    if not _fits((query, key, value), mask):
        return False
    b.emit("attention", [query, key, value, mask, b.rng(attrs["seed"]) if attrs["dropout_p"] else None], _attrs(attrs), outputs)
    return True


def _select_bwd(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
    g, query, key, value, mask, lse, delta = inputs
    mask = _mask(b, mask)
    if not _fits((g, query, key, value, lse, delta), mask):
        return False
    b.emit("attention_bwd", [g, query, key, value, mask, lse, delta, b.rng(attrs["seed"]) if attrs["dropout_p"] else None],
           _attrs(attrs), outputs)
    return True


SELECT: dict[str, Callable[..., Any]] = {"scaled_dot_product_attention": _select,
                                         "scaled_dot_product_attention_bwd": _select_bwd}
