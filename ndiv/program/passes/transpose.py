"""Transposes absorbed into products: (A B)^T becomes B^T A^T, where the transposed factors are views.

The gradient of a layer's weight is recorded as permute(x^T g); as g^T x it comes out in the weight's own layout and
needs no copy. Every element is the same sum in the same order.
"""

from __future__ import annotations

from ..ir import Eqn, Program, Value
from .rewrite import Names, readers

__all__ = ["absorb_transposes"]


def _swaps_last(dims: tuple[int, ...]) -> bool:
    n = len(dims)
    return n >= 2 and tuple(d % n for d in dims) == (*range(n - 2), n - 1, n - 2)


def absorb_transposes(program: Program) -> Program:
    """The program with a transposed product computed in its transposed form."""
    made = {e.outputs[0]: e for e in program.eqns if e.op == "matmul"}
    reads = readers(program)
    names = Names(program)
    eqns: list[Eqn] = []
    for e in program.eqns:
        x = e.inputs[0] if e.inputs else None
        product = made.get(x) if isinstance(x, Value) else None
        if (not isinstance(x, Value) or product is None or e.op != "permute" or not _swaps_last(e.attrs["dims"])
                or reads[x] != 1):
            eqns.append(e)
            continue
        a, b = product.inputs
        if not (isinstance(a, Value) and isinstance(b, Value)) or a.ndim < 2 or b.ndim < 2:
            eqns.append(e)
            continue
        turned = []
        for v in (b, a):
            dims = (*range(v.ndim - 2), v.ndim - 1, v.ndim - 2)
            t = names.value([v.shape[d] for d in dims], v.dtype)
            eqns.append(Eqn("permute", [v], {"dims": dims}, [t], e.line))
            turned.append(t)
        eqns.append(Eqn("matmul", turned, {}, e.outputs, e.line))
    return program.replace(eqns=eqns)
