"""Whether a Program is well formed; run after every pass.

Contract: `check_program` raises `ProgramError`, naming the equation, when a value is read before it is defined or defined
twice, when an op is unknown, when operands break the op's shape rule or what the equation declares differs from what
the rule gives, or when an update does not fit its state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.primitive import REGISTRY
from ..autograd.shapes import RuleBroken, infer
from ..errors import FileError
from .ir import Eqn, Program, Value
from .ops import plan_op

__all__ = ["ProgramError", "check_program"]


class ProgramError(FileError):
    """A program breaks its own rules (E0006): a broken file, or a defect of a pass."""


def check_program(program: Program, known: set[Eqn] | None = None) -> Program:
    """The program itself, when it is well formed. Equations in ``known`` were held against their rules before; those of this
    program join them: equations do not change, and most outlive a pass."""
    known = set() if known is None else known
    defined: set[Value] = set()
    names: set[str] = set()

    def define(v: Value) -> None:
        if v in defined or v.name in names:
            raise ProgramError(f"{program.name}: %{v.name} is defined twice", value=v.name, hint="report this")
        defined.add(v)
        names.add(v.name)

    for v in [*program.inputs, *program.states, *program.consts]:
        define(v)
    for v, array in program.consts.items():
        if array.shape != v.shape or array.dtype != v.dtype:
            raise ProgramError(f"{program.name}: constant {v!r} holds {array.dtype}{list(array.shape)}", value=v.name)
    for e in program.eqns:
        for v in e.reads():
            if v not in defined:
                raise ProgramError(f"{program.name}: {e!r} reads %{v.name} before it is defined", value=v.name,
                                   hint="report this")
        if e not in known:
            _check_eqn(program, e)
            known.add(e)
        for v in e.outputs:
            define(v)
    for v in program.results():
        if v not in defined:
            raise ProgramError(f"{program.name}: the result %{v.name} is never defined", value=v.name, hint="report this")
    for s, v in program.updates.items():
        if s not in program.states or s.meta != v.meta:
            raise ProgramError(f"{program.name}: %{s.name} cannot be updated to {v!r}", value=s.name, hint="report this")
    return program


def _check_eqn(program: Program, e: Eqn) -> None:
    op = plan_op(e.op, e.attrs)
    if op is not None:
        metas = [_meta(v) for v in e.inputs]
        try:
            expected = [m for m in op.metas(e.attrs, *metas) if m is not None]
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as cause:
            if e.op not in REGISTRY:
                raise ProgramError(f"{program.name}: {e!r}: {cause}", value=e.op, hint="report this") from None
            expected = None  # a primitive of that name takes more, such as axes counted from the end
        found = [v.meta for v in e.outputs]
        if expected is not None and [(tuple(s), np.dtype(d)) for s, d in expected] != found:
            raise ProgramError(f"{program.name}: {e!r} declares {found}, and its rule gives {expected}", value=e.op,
                               hint="report this")
        if expected is not None:
            return
    prim = REGISTRY.get(e.op)
    if prim is None:
        raise ProgramError(f"{program.name}: {e.op} is no primitive and no plan operation", value=e.op, hint="report this")
    if None in e.inputs:
        return  # rules of primitives do not know absent operands
    shapes = [v.shape if isinstance(v, Value) else () for v in e.inputs]
    try:
        rule = infer(prim, shapes, e.attrs)
    except (RuleBroken, ValueError, TypeError, IndexError, KeyError) as cause:
        raise ProgramError(f"{program.name}: {e!r}: {cause}", value=e.op, hint="report this") from None
    wanted = [tuple(s) for s in rule]
    if wanted != [v.shape for v in e.outputs]:
        raise ProgramError(f"{program.name}: {e!r} declares other shapes than its rule, {wanted}", value=e.op,
                           hint="report this")


def _meta(v: Any) -> Any:
    if isinstance(v, Value):
        return v.meta
    return None if v is None else ((), np.asarray(v).dtype)
