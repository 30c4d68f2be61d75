"""Narrowing: float64 intermediates of a float32 program become float32.

NumPy gives float64 for a choice between two plain numbers (``where(c, 1.0, 0.5)``) and for whole-number means; kernels are
float32. The pass leaves programs alone in which any input or state is float64: there it is the data's own type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import Eqn, Program, Value

__all__ = ["narrow"]

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)


def narrow(program: Program) -> Program:
    """The program with float32 in the place of float64, unless data are float64."""
    if any(v.dtype == F64 for v in [*program.inputs, *program.states]):
        return program
    new: dict[Value, Value] = {}

    def of(v: Any) -> Any:
        if not isinstance(v, Value) or v.dtype != F64:
            return v
        if v not in new:
            new[v] = Value(v.name, v.shape, F32)
        return new[v]

    eqns = []
    for e in program.eqns:
        attrs = dict(e.attrs)
        if e.op == "cast" and np.dtype(attrs["dtype"]) == F64:
            attrs["dtype"] = F32.str
        eqns.append(Eqn(e.op, [of(v) for v in e.inputs], attrs, [of(v) for v in e.outputs], e.line))
    consts = {of(v): a.astype(F32) if a.dtype == F64 else a for v, a in program.consts.items()}
    return program.replace(eqns=eqns, consts=consts, outputs=[of(v) for v in program.outputs],
                           updates={s: of(v) for s, v in program.updates.items()})
