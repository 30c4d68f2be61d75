"""Addends: a product that is only added to another array takes it up while its tile is at hand.

The pattern is the gradient of what two layers read: the sum of two products, one of which becomes the addend of the other. The
result has the same bits, since a sum of two numbers has no order. Runs after `fuse`: sums that are part of longer elementwise
programs cost nothing more there. Products of small items keep their own paths.
"""

from __future__ import annotations

from ..ir import Eqn, Program, Value
from .factors import pair_of
from .rewrite import readers

__all__ = ["addends"]

_LARGE = 1 << 16  # elements: what is smaller stays in near caches


def addends(program: Program) -> Program:
    """The program with sums absorbed into the products before them."""
    at = {v: k for k, e in enumerate(program.eqns) for v in e.outputs}
    made = {v: e for e in program.eqns for v in e.outputs}
    reads = readers(program)
    absorbed: set[int] = set()
    new: dict[int, Eqn] = {}
    for e in program.eqns:
        pair = pair_of("add", e, made) if e.outputs[0].size >= _LARGE else None
        products = [v for v in pair or () if _is_free(made.get(v), v, reads) and id(made[v]) not in absorbed]
        if pair is None or not products:
            continue
        last = max(products, key=at.__getitem__)
        product, other = made[last], pair[0] if last is pair[1] else pair[1]
        absorbed.add(id(product))
        outputs = [e.outputs[0], product.outputs[1]]
        new[id(e)] = Eqn("gemm", [*product.inputs[:3], other], product.attrs, outputs, e.line)
    return program.replace(eqns=[new.get(id(e), e) for e in program.eqns if id(e) not in absorbed])


def _is_free(e: Eqn | None, v: Value, reads: dict[Value, int]) -> bool:
    """Whether the value is a bare product that nobody else reads."""
    return (e is not None and e.op == "gemm" and v is e.outputs[0] and reads[v] == 1 and not reads[e.outputs[1]]
            and e.inputs[2] is None and e.inputs[3] is None and e.attrs["act"] == "identity")
