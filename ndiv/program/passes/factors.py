"""Factors: a gradient times an array, read by one bias_act_bwd only, is multiplied there, in the block that it works on.

The pattern is the gradient of a gated linear unit, each factor of which is a linear layer: the product would be written and
read once more. The result has the same bits, since both multiply first.
"""

from __future__ import annotations

from ..ir import Eqn, Program, Value
from ..ops.vm_code import disassemble
from .rewrite import readers
from .select import is_view

__all__ = ["factors"]


def factors(program: Program) -> Program:
    """The program with products absorbed into the bias_act_bwd behind them."""
    made = {v: e for e in program.eqns for v in e.outputs}
    reads = readers(program)
    absorbed: set[int] = set()
    new: dict[int, Eqn] = {}
    for e in program.eqns:
        if e.op != "bias_act_bwd" or e.inputs[2] is not None:
            continue
        g, saved, _ = e.inputs
        product = made.get(g) if isinstance(g, Value) and reads[g] == 1 else None
        pair = None if product is None else pair_of("mul", product, made)
        if pair is not None:
            absorbed.add(id(product))
            new[id(e)] = Eqn(e.op, [pair[0], saved, pair[1]], e.attrs, e.outputs, e.line)
    return program.replace(eqns=[new.get(id(e), e) for e in program.eqns if id(e) not in absorbed])


def pair_of(op: str, e: Eqn, made: dict[Value, Eqn]) -> tuple[Value, Value] | None:
    """The two arrays to which the equation applies this operation and no other, both as dense as its result."""
    if e.op != "vm" or len(e.inputs) != 2 or len(e.outputs) != 1:
        return None
    steps, outputs = disassemble(e.attrs)
    if [s.op for s in steps] != [op] or set(steps[0].operands) != {("in", 0), ("in", 1)} or outputs != [("step", 0)]:
        return None
    for v in e.inputs:
        maker = made.get(v)
        if v.meta != e.outputs[0].meta or (maker is not None and is_view(maker) and maker.op != "reshape"):
            return None
    x, y = e.inputs
    return x, y
