"""The PlanOp record: what is known of one operation of a plan.

Contract: a plan operation is what one instruction runs. Its C form lives in ``csrc/kernels/ops/``; its meaning is
``reference`` here, which the NumPy interpreter runs and which every kernel is checked against. Primitives become plan
operations by the ``select`` rules of the same family file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["DTYPES", "Meta", "PlanOp", "decode", "encode"]

# codes of csrc/core/op.h
DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, np.dtype(np.int64): 2, np.dtype(np.int32): 3,
          np.dtype(np.bool_): 4}

Meta = tuple[tuple[int, ...], np.dtype]  # shape and dtype of an operand


@dataclass(frozen=True)
class PlanOp:
    """One operation.

    name       as in C
    reference  (*inputs, **attrs) -> array, or tuple of arrays with several outputs; inputs are NumPy arrays of any
               layout (None: absent), never written; works in float32 and float64 (what comes in, comes out)
    metas      (attrs, *metas of inputs or None) -> list of output metas (None: absent with these operands); raises
               ValueError with a reason for operands that do not fit: the checker's rule
    attrs      name -> code, in the order of the C attributes: "i" whole number, "f" float, "b" bool, "I" and "F" lists
               (their length comes first), or "a|b|c" a choice (encoded as its position)
    dense      inputs that must be contiguous: True for all, or their positions; the others take any strides. Outputs
               are always dense
    inplace    inputs whose memory an output may take over, as in C
    spare      outputs that may be absent in a plan when nobody reads them
    exact      the C kernel and the reference agree bit for bit; otherwise `bound` says how close they are, relative to the
               largest element, in float32
    cost       (attrs, in_metas, out_metas) -> flops
    """

    name: str
    reference: Callable[..., Any]
    metas: Callable[..., list[Meta]]
    attrs: dict[str, str] = field(default_factory=dict)
    dense: bool | tuple[int, ...] = True
    inplace: tuple[int, ...] = ()
    spare: tuple[int, ...] = ()
    exact: bool = False
    bound: float = 1e-6
    cost: Callable[..., float] | None = None
    doc: str = ""


def _double(value: float) -> int:
    return struct.unpack("<q", struct.pack("<d", value))[0]


def encode(op: PlanOp, attrs: dict[str, Any]) -> list[int]:
    """Attributes as the whole numbers that the C operation reads."""
    out: list[int] = []
    for name, code in op.attrs.items():
        value = attrs[name]
        if code == "i" or code == "b":
            out.append(int(value))
        elif code == "f":
            out.append(_double(float(value)))
        elif code == "I":
            out += [len(value), *map(int, value)]
        elif code == "F":
            out += [len(value), *(_double(float(v)) for v in value)]
        else:
            out.append(code.split("|").index(value))
    return out


def decode(op: PlanOp, words: Sequence[int]) -> dict[str, Any]:
    """The inverse of `encode`; raises ValueError for words that are none."""
    attrs: dict[str, Any] = {}
    at = 0

    def take() -> int:
        nonlocal at
        if at >= len(words):
            raise ValueError(f"{op.name}: attributes end early")
        at += 1
        return int(words[at - 1])

    def real(word: int) -> float:
        return struct.unpack("<d", struct.pack("<q", word))[0]

    for name, code in op.attrs.items():
        if code == "i":
            attrs[name] = take()
        elif code == "b":
            attrs[name] = bool(take())
        elif code == "f":
            attrs[name] = real(take())
        elif code in ("I", "F"):
            n = take()
            if not 0 <= n <= len(words) - at:
                raise ValueError(f"{op.name}: attribute {name} has length {n}")
            attrs[name] = tuple(take() if code == "I" else real(take()) for _ in range(n))
        else:
            choices, k = code.split("|"), take()
            if not 0 <= k < len(choices):
                raise ValueError(f"{op.name}: attribute {name} has choice {k}")
            attrs[name] = choices[k]
    if at != len(words):
        raise ValueError(f"{op.name}: {len(words) - at} attributes too many")
    return attrs
