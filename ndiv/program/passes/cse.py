"""Common subexpressions: equations that compute the same are computed once."""

from __future__ import annotations

from typing import Any

from ..ir import Eqn, Program, Value, _attr
from .rewrite import finish, substituted

__all__ = ["cse"]


def cse(program: Program) -> Program:
    """The program with each (op, inputs, attributes) once. Random ops are safe: their stream is an attribute."""
    seen: dict[Any, Eqn] = {}
    alias: dict[Value, Value] = {}
    eqns = []
    for raw in program.eqns:
        e = substituted(raw, alias)
        inputs = tuple(v if isinstance(v, Value) else repr(v) for v in e.inputs)
        key = (e.op, inputs, tuple(sorted((k, _attr(a)) for k, a in e.attrs.items())))
        first = seen.setdefault(key, e)
        if first is e:
            eqns.append(e)
        else:
            alias.update(zip(e.outputs, first.outputs, strict=True))
    return finish(program, eqns, alias)
