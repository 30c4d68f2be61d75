"""Folding: equations of constants are computed now, and those that change nothing disappear.

Contract: only rewrites that give the same bits: x * 1 and x / 1, casts and views that keep their input, views of views.
x + 0 is not among them (it turns -0 into 0). A constant is folded only when the result is small, or no larger than what
it is made of; views of constants stay views.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.ops.shape import Key
from ...autograd.primitive import REGISTRY
from ..ir import Eqn, Program, Value
from ..ops import plan_op
from .rewrite import Names, finish, substituted

__all__ = ["fold"]

VIEWS = {"reshape", "permute", "expand", "getitem"}
RANDOM = {"dropout"}
_SMALL = 4096  # elements


def fold(program: Program) -> Program:
    """The program without equations of constants, and without those that change nothing."""
    alias: dict[Value, Value] = {}
    made: dict[Value, Eqn] = {}
    consts = dict(program.consts)
    names = Names(program)
    eqns: list[Eqn] = []
    for raw in program.eqns:
        e = _shorter(substituted(raw, alias), made)
        same = _unchanged(e)
        if same is not None:
            alias[e.outputs[0]] = same
            continue
        arrays = _evaluated(e, consts)
        if arrays is not None:
            for v, a in zip(e.outputs, arrays, strict=True):
                new = names.value(v.shape, v.dtype, "c")
                consts[new] = a
                alias[v] = new
            continue
        made.update((v, e) for v in e.outputs)
        eqns.append(e)
    return finish(program, eqns, alias, consts=consts)


def _unchanged(e: Eqn) -> Value | None:
    """The input that the equation gives back as it is."""
    x = e.inputs[0] if e.inputs else None
    if len(e.outputs) != 1:
        return None
    out = e.outputs[0]
    if e.op in ("mul", "div"):
        for this, other in ((e.inputs[0], e.inputs[1]), (e.inputs[1], e.inputs[0])):
            if isinstance(this, Value) and this.meta == out.meta and not isinstance(other, Value) and other == 1:
                return this
            if e.op == "div":
                break
        return None
    if not isinstance(x, Value) or x.meta != out.meta:
        return None
    if e.op in ("reshape", "expand", "cast"):
        return x
    if e.op == "permute" and tuple(d % max(x.ndim, 1) for d in e.attrs["dims"]) == tuple(range(x.ndim)):
        return x
    if e.op == "getitem" and all(isinstance(p, slice) and p.indices(n) == (0, n, 1) for p, n in zip(
            _parts(e.attrs["key"]), x.shape, strict=False)):
        return x
    return None


def _parts(key: Key) -> tuple[Any, ...]:
    return key.key if isinstance(key.key, tuple) else (key.key,)


def _shorter(e: Eqn, made: dict[Value, Eqn]) -> Eqn:
    """A view of a view as one view."""
    x = e.inputs[0] if e.inputs else None
    before = made.get(x) if isinstance(x, Value) else None
    if before is None or before.op != e.op:
        return e
    if e.op in ("reshape", "expand"):
        return Eqn(e.op, before.inputs, {"shape": e.outputs[0].shape}, e.outputs, e.line)
    if e.op == "permute":
        n = max(len(e.attrs["dims"]), 1)
        dims = tuple(before.attrs["dims"][d % n] % n for d in e.attrs["dims"])
        return Eqn(e.op, before.inputs, {"dims": dims}, e.outputs, e.line)
    return e


def _evaluated(e: Eqn, consts: dict[Value, np.ndarray]) -> list[np.ndarray] | None:
    """The arrays of the outputs, when all inputs are constants and it is worth it."""
    if e.op in VIEWS or e.op in RANDOM or not all(v in consts for v in e.reads()):
        return None
    size = sum(v.size for v in e.outputs)
    if size > max(_SMALL, sum(v.size for v in e.reads())):
        return None
    inputs = [consts[v] if isinstance(v, Value) else v for v in e.inputs]
    with np.errstate(all="ignore"):
        op = plan_op(e.op, e.attrs)
        out = op.reference(*inputs, **e.attrs) if op is not None else REGISTRY[e.op].run(*inputs, **e.attrs)
    outs = out if isinstance(out, tuple) else (out,)
    return [np.ascontiguousarray(np.asarray(a).astype(v.dtype, copy=False)).reshape(v.shape)
            for a, v in zip(outs, e.outputs, strict=True)]
