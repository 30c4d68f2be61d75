"""Dead code: equations and constants whose values nobody reads."""

from __future__ import annotations

from ..ir import Program, Value

__all__ = ["dce"]


def dce(program: Program) -> Program:
    """The program without equations that no result depends on. Inputs and states stay: they are the signature."""
    needed: set[Value] = set(program.results())
    kept = []
    for e in reversed(program.eqns):
        if any(v in needed for v in e.outputs):
            kept.append(e)
            needed.update(e.reads())
    return program.replace(eqns=kept[::-1], consts={v: a for v, a in program.consts.items() if v in needed})
