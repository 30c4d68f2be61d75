"""Products of which few elements are read: (A B)[.., rows, columns] becomes ``picks``, which computes those alone.

So attention that looks at a sample of keys for each query (Informer's measure) takes time and memory of the sample, not of
all scores. Every element is the same sum in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import Eqn, Program, Value
from ..ops.data_keys import parts_of
from .rewrite import Names, readers

__all__ = ["pick_products"]

_WORTH = 6  # a chain for itself costs about as much as so many elements of a product


def _columns(e: Eqn, shape: tuple[int, ...]) -> np.ndarray | None:
    """The index [m, u] of a key that names u columns of each row of a matrix [.., m, n]; None of other keys."""
    parts = parts_of(e.attrs["key"].key, len(shape))
    if parts is None or len(parts) != len(shape) or len(shape) < 2 or any(p != slice(None) for p in parts[:-2]):
        return None
    rows, index = parts[-2:]
    if not (isinstance(rows, np.ndarray) and isinstance(index, np.ndarray)) or index.ndim != 2:
        return None
    m = shape[-2]
    if index.shape[0] != m or m < 2 or rows.shape != (m, 1) or (rows[:, 0] != np.arange(m)).any():
        return None
    return index.astype(np.int64)


def pick_products(program: Program) -> Program:
    """The program with products that are read by `getitem` alone, in few places, reduced to these."""
    made = {e.outputs[0]: e for e in program.eqns if e.op == "matmul"}
    reads = readers(program)
    names = Names(program)
    consts: dict[Value, Any] = dict(program.consts)
    eqns: list[Eqn] = []
    for e in program.eqns:
        x = e.inputs[0] if e.op == "getitem" else None
        product = made.get(x) if isinstance(x, Value) and reads[x] == 1 else None
        if product is None or not isinstance(x, Value):
            eqns.append(e)
            continue
        a, b = product.inputs
        index = _columns(e, x.shape)
        if (index is None or not (isinstance(a, Value) and isinstance(b, Value)) or a.shape[:-2] != b.shape[:-2]
                or {a.dtype, b.dtype} != {np.dtype(np.float32)} or index.shape[1] * _WORTH > x.shape[-1]):
            eqns.append(e)
            continue
        where = names.value(index.shape, index.dtype, "c")
        consts[where] = index
        eqns.append(Eqn("picks", [a, b, where], {}, e.outputs, e.line))
    return program.replace(eqns=eqns, consts=consts)
