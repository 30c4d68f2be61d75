"""Sums of parts that lie side by side: put(a) + put(b) + ... becomes one ``cat``, where the slices tile an axis.

That is the gradient of a tensor that was split, such as the product that gives queries, keys and values at once: it is
written once instead of as zeros, copies and sums. Only the sign of a zero can differ, since -0 + 0 is 0.
"""

from __future__ import annotations

from typing import Any

from ..ir import Eqn, Program, Value
from ..ops.data_keys import slices
from .rewrite import Names, readers

__all__ = ["join_slices"]


class _Joiner:
    def __init__(self, program: Program) -> None:
        self.made = {v: e for e in program.eqns for v in e.outputs}
        self.reads = readers(program)
        self.names = Names(program)

    def terms(self, e: Eqn) -> list[Eqn] | None:
        """The puts that an addition adds up, through additions that nobody else reads; None where others are among them."""
        found: list[Eqn] = []
        for v in e.inputs:
            inner = self.made.get(v) if isinstance(v, Value) and v.shape == e.outputs[0].shape and self.reads[v] == 1 else None
            if inner is None or inner.op not in ("put", "add"):
                return None
            more = [inner] if inner.op == "put" else self.terms(inner)
            if more is None:
                return None
            found += more
        return found

    def parts(self, puts: list[Eqn]) -> tuple[int, list[Value]] | None:
        """(axis, what is put, in order along it), where the slices tile that axis and are whole in all others."""
        axis, ordered = None, []
        for e in puts:
            shape = e.outputs[0].shape
            g = e.inputs[0]
            where = slices(e.attrs["key"].key, shape)
            if where is None or not isinstance(g, Value) or g.shape != tuple(where[2]) or any(s != 1 for s in where[1]):
                return None
            cut = [d for d, n in enumerate(where[2]) if n != shape[d]]
            if len(cut) != 1 or axis not in (None, cut[0]):
                return None
            axis = cut[0]
            ordered.append((where[0][axis], g))
        ordered.sort(key=lambda item: item[0])
        at = 0
        for start, g in ordered:
            if axis is None or start != at:
                return None
            at += g.shape[axis]
        return (axis, [g for _, g in ordered]) if axis is not None and at == puts[0].outputs[0].shape[axis] else None

    def joined(self, e: Eqn, axis: int, parts: list[Value]) -> list[Eqn]:
        """The equations that define e's output. Heads that were merged into features are joined before that: so their
        transposition is part of the one copy."""
        (out,) = e.outputs
        merges = [self.made.get(g) for g in parts]
        heads = [m.inputs[0] for m in merges if m is not None and m.op == "reshape"]
        last = out.ndim - 1
        if (axis == last and len(heads) == len(parts) and all(isinstance(h, Value) and h.ndim == out.ndim + 1
                                                              and h.shape[:last] == out.shape[:last] for h in heads)
                and len({h.shape[-1] for h in heads}) == 1):
            each: Any = heads[0].shape[-1]
            whole = self.names.value((*out.shape[:last], out.shape[last] // each, each), out.dtype)
            return [Eqn("cat", heads, {"dim": last}, [whole], e.line),
                    Eqn("reshape", [whole], {"shape": out.shape}, [out], e.line)]
        return [Eqn("cat", parts, {"dim": axis}, [out], e.line)]


def join_slices(program: Program) -> Program:
    """The program with sums of neighbouring slices written as what they are."""
    joiner = _Joiner(program)
    eqns: list[Eqn] = []
    for e in program.eqns:
        puts = joiner.terms(e) if e.op == "add" else None
        found = joiner.parts(puts) if puts else None
        eqns += joiner.joined(e, *found) if found else [e]
    return program.replace(eqns=eqns)
