"""Helpers of passes: values renamed, readers counted, fresh values named.

Contract: nothing here changes a Program in place; equations that change are made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..ir import Eqn, Program, Value

__all__ = ["Names", "finish", "readers", "resolve", "substituted"]


def resolve(v: Any, alias: dict[Value, Value]) -> Any:
    """What a value stands for, through any number of renamings."""
    while isinstance(v, Value) and v in alias:
        v = alias[v]
    return v


def substituted(e: Eqn, alias: dict[Value, Value]) -> Eqn:
    """The equation reading what its inputs stand for."""
    if not any(v in alias for v in e.reads()):
        return e
    return Eqn(e.op, [resolve(v, alias) for v in e.inputs], e.attrs, e.outputs, e.line)


def finish(program: Program, eqns: Iterable[Eqn], alias: dict[Value, Value], **parts: Any) -> Program:
    """The program with new equations, its results renamed too."""
    return program.replace(eqns=eqns, outputs=[resolve(v, alias) for v in program.outputs],
                           updates={s: resolve(v, alias) for s, v in program.updates.items()}, **parts)


def readers(program: Program) -> Counter[Value]:
    """How often each value is read, results included."""
    count: Counter[Value] = Counter(v for e in program.eqns for v in e.reads())
    count.update(program.results())
    return count


class Names:
    """Fresh values with names that a program does not use yet."""

    def __init__(self, program: Program) -> None:
        self.taken = {v.name for v in [*program.inputs, *program.states, *program.consts]}
        self.taken |= {v.name for e in program.eqns for v in e.outputs}
        self.count = 0

    def value(self, shape: Iterable[int], dtype: Any, prefix: str = "t") -> Value:
        """A new value of this shape and type."""
        while f"{prefix}{self.count}" in self.taken:
            self.count += 1
        name = f"{prefix}{self.count}"
        self.taken.add(name)
        return Value(name, shape, dtype)
