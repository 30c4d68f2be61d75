"""Plan: verified flat bytes that the C executor and the NumPy interpreter run.

Contract: this file knows the byte format and nothing else; `lower.py` decides what goes in. The format is the one that
``csrc/core/plan.h`` states: a header with version and checksum, then names of operations, slots, values, instructions,
operands and attributes. `parse` is strict: whatever it returns lies inside the bytes and inside its regions.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FileError
from .ops.record import DTYPES

__all__ = ["ARENA", "KINDS", "SLOT", "Instruction", "Plan", "PlanValue", "Slot", "assemble", "parse"]

MAGIC, VERSION, MAX_RANK, ABSENT = b"NDIVPLAN", 1, 8, 0xFFFFFFFF
ARENA, SLOT = 0, 1
KINDS = ("input", "output", "state", "constant")
_HEADER, _SLOT, _INSTR = struct.Struct("<8sIIQQQ6I"), struct.Struct("<IIQ"), struct.Struct("<8I")
_VALUE = struct.Struct("<4I2q8q8q")
_BY_CODE: dict[int, Any] = {code: dtype for dtype, code in DTYPES.items()}


@dataclass(frozen=True)
class Slot:
    """Memory that the caller brings: its kind, dtype and size, and the name and shape that it has in the program."""

    kind: str
    dtype: np.dtype
    nbytes: int
    name: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlanValue:
    """A view of a region: the arena (slot 0) or a slot; offset and step in bytes, strides in elements."""

    region: int
    slot: int
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    step: int = 0


@dataclass(frozen=True)
class Instruction:
    """One operation on values (their numbers; None: absent), with encoded attributes."""

    op: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    attrs: tuple[int, ...]
    line: int = 0


@dataclass
class Plan:
    """A plan and what belongs to it outside its bytes.

    lines      source lines, by the numbers in the instructions
    constants  array of each constant slot, by slot number
    bound      the most bytes of temporaries alive at once; ``arena`` is what the plan takes for them
    """

    slots: list[Slot]
    values: list[PlanValue]
    instructions: list[Instruction]
    arena: int
    bound: int = 0
    lines: list[str] = field(default_factory=list)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    raw: bytes = b""

    def slots_of(self, kind: str) -> list[int]:
        """Numbers of the slots of a kind, in order."""
        return [i for i, s in enumerate(self.slots) if s.kind == kind]


def assemble(plan: Plan) -> bytes:
    """The bytes of a plan."""
    names = sorted({i.op for i in plan.instructions})
    index = {name: k for k, name in enumerate(names)}
    operands: list[int] = []
    attrs: list[int] = []
    instrs = []
    for i in plan.instructions:
        instrs.append(_INSTR.pack(index[i.op], len(i.inputs), len(i.outputs), len(operands), len(attrs), len(i.attrs),
                                  i.line, 0))
        operands += [ABSENT if v is None else v for v in (*i.inputs, *i.outputs)]
        attrs += i.attrs
    body = b"".join(n.encode().ljust(32, b"\0") for n in names)
    body += b"".join(_SLOT.pack(KINDS.index(s.kind), DTYPES[s.dtype], s.nbytes) for s in plan.slots)
    body += b"".join(_pack_value(v) for v in plan.values) + b"".join(instrs)
    body += struct.pack(f"<{len(operands)}I", *operands) + bytes(4 * (len(operands) % 2))
    body += struct.pack(f"<{len(attrs)}q", *attrs)
    head = _HEADER.pack(MAGIC, VERSION, 0, _HEADER.size + len(body), zlib.crc32(body), plan.arena, len(names),
                        len(plan.slots), len(plan.values), len(instrs), len(operands), len(attrs))
    return head + body


def _pack_value(v: PlanValue) -> bytes:
    def eight(numbers: Sequence[int]) -> tuple[int, ...]:
        return (*numbers, *(0,) * (MAX_RANK - len(numbers)))

    return _VALUE.pack(v.region, v.slot, DTYPES[v.dtype], len(v.shape), v.offset, v.step, *eight(v.shape), *eight(v.strides))


# reading ------------------------------------------------------------------------------------------------------------

class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, _HEADER.size

    def take(self, form: struct.Struct, count: int) -> list[tuple[Any, ...]]:
        size = form.size * count
        if size > len(self.raw) - self.at:
            raise ValueError("it ends early")
        part = self.raw[self.at:self.at + size]
        self.at += size
        return list(form.iter_unpack(part)) if count else []

    def pad(self) -> None:
        self.at += -self.at % 8


def parse(raw: bytes) -> Plan:
    """The plan in these bytes. Raises `FileError` (E0006) for bytes that are no valid plan."""
    try:
        return _parse(bytes(raw))
    except (ValueError, struct.error, KeyError, IndexError, UnicodeDecodeError, OverflowError) as cause:
        raise FileError(f"these bytes are no plan: {cause}", value=len(raw), hint="export the model again") from None


def _require(condition: bool, why: str) -> None:
    if not condition:
        raise ValueError(why)


def _parse(raw: bytes) -> Plan:
    _require(len(raw) >= _HEADER.size, "they are shorter than a header")
    magic, version, flags, size, checksum, arena, *counts = _HEADER.unpack_from(raw)
    _require(magic == MAGIC, "they do not begin as a plan")
    _require(version == VERSION and flags == 0, f"version {version} is not known")
    _require(size == len(raw), "the size in the header is another")
    _require(checksum == zlib.crc32(raw[_HEADER.size:]), "the checksum is another")
    _require(arena <= 1 << 40, "the arena is too large")
    n_ops, n_slots, n_values, n_instr, n_operands, n_attrs = counts
    reader = _Reader(raw)
    names = [n[0].rstrip(b"\0").decode("ascii") for n in reader.take(struct.Struct("32s"), n_ops)]
    slots = [Slot(KINDS[kind], _BY_CODE[code], nbytes) for kind, code, nbytes in reader.take(_SLOT, n_slots)]
    values = [_value(row, slots, arena) for row in reader.take(_VALUE, n_values)]
    _tight(values, arena)
    rows = reader.take(_INSTR, n_instr)
    operands = [o[0] for o in reader.take(struct.Struct("<I"), n_operands)]
    reader.pad()
    attrs = [a[0] for a in reader.take(struct.Struct("<q"), n_attrs)]
    _require(reader.at == len(raw), "bytes are left over")
    instrs = []
    for op, n_in, n_out, operand, attr, n_attr, line, zero in rows:
        _require(op < n_ops and operand + n_in + n_out <= n_operands and attr + n_attr <= n_attrs and zero == 0,
                 "an instruction reaches outside the plan")
        which = [None if o == ABSENT else o for o in operands[operand:operand + n_in + n_out]]
        _require(all(o is None or o < n_values for o in which), "an operand does not exist")
        instrs.append(Instruction(names[op], tuple(which[:n_in]), tuple(which[n_in:]), tuple(attrs[attr:attr + n_attr]), line))
    return Plan(slots, values, instrs, arena, raw=raw)


def _tight(values: list[PlanValue], arena: int) -> None:
    """The arena ends where its last value does: the header is outside the checksum."""
    inside = [v for v in values if v.region == ARENA]
    top = max((v.offset + sum(max(s * (d - 1), 0) for d, s in zip(v.shape, v.strides, strict=True)) * v.dtype.itemsize
               + v.dtype.itemsize for v in inside if 0 not in v.shape), default=0)
    top = max([top, *(v.offset for v in inside)])
    _require(any(v.step for v in inside) or arena <= (top + 63) // 64 * 64 + 64, "the arena is larger than its values")


def _value(row: tuple[Any, ...], slots: list[Slot], arena: int) -> PlanValue:
    region, slot, code, rank, offset, step, *numbers = row
    _require(region in (ARENA, SLOT) and rank <= MAX_RANK, "a value has no such region or rank")
    _require(region == ARENA or slot < len(slots), "a value lies in no slot")
    dtype = _BY_CODE[code]
    dims, strides = tuple(numbers[:rank]), tuple(numbers[MAX_RANK:MAX_RANK + rank])
    _require(all(0 <= d <= 1 << 40 for d in dims) and all(abs(s) <= 1 << 40 for s in strides), "a shape is out of range")
    room = arena if region == ARENA else slots[slot].nbytes
    low = high = offset
    if 0 not in dims:
        low += sum(min(s * (d - 1), 0) for d, s in zip(dims, strides, strict=True)) * dtype.itemsize
        high += sum(max(s * (d - 1), 0) for d, s in zip(dims, strides, strict=True)) * dtype.itemsize + dtype.itemsize
    _require(low >= 0 and high <= room and offset % dtype.itemsize == 0, "a value reaches outside its region")
    return PlanValue(region, slot, dtype, offset, dims, strides, step)
