"""Epilogues: bias and activation applied by the product while its tile is still in registers.

The pattern is what a linear layer records: a product read by nothing but one bias_act. The result has the same bits, since
both run the same operations in the same order.
"""

from __future__ import annotations

from ..ir import Eqn, Program, Value
from .rewrite import readers

__all__ = ["epilogues"]


def epilogues(program: Program) -> Program:
    """The program with bias_act absorbed into the products before it."""
    made = {e.outputs[0]: e for e in program.eqns if e.op == "gemm"}
    reads = readers(program)
    absorbed: set[int] = set()
    new: dict[int, Eqn] = {}
    for e in program.eqns:
        product = made.get(e.inputs[0]) if e.op == "bias_act" and isinstance(e.inputs[0], Value) else None
        if product is None or reads[product.outputs[0]] != 1 or reads[product.outputs[1]]:
            continue
        a, b, bias, addend = product.inputs
        if bias is not None or product.attrs["act"] != "identity":
            continue
        absorbed.add(id(product))
        new[id(e)] = Eqn("gemm", [a, b, e.inputs[1], addend], {**product.attrs, "act": e.attrs["act"]}, e.outputs, e.line)
    return program.replace(eqns=[new.get(id(e), e) for e in program.eqns if id(e) not in absorbed])
