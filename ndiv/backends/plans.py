"""Plans on the native executor.

Contract: `NativePlan` takes plan bytes (csrc/core/plan.h has the format) and one entry per slot: arrays for constants,
None elsewhere. Bytes that are no valid plan are a FileError (E0006) that names the reason and the instruction; loading
checks everything, so bytes from strangers are safe to load and run. Arrays must be C-contiguous and have exactly the
dtype and the size of their slot (the shape is the plan's), and no two may share memory. `run` releases the GIL; several
threads may run one plan at once, each with its own outputs, but then no two with the same states.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FileError, NdivError, OutOfMemoryError, ShapeError
from . import native, threadpool

__all__ = ["NativePlan"]

INPUT, OUTPUT, STATE, CONSTANT = range(4)
_KINDS = ("input", "output", "state", "constant")
_DTYPES = tuple(np.dtype(t) for t in (np.float32, np.float64, np.int64, np.int32, np.bool_))
_MEMORY, _PLAN = -5, -6  # ND_EMEMORY, ND_EPLAN

Array = np.ndarray


class NativePlan:
    """A loaded plan.

    slots         (kind, dtype, bytes) of each slot; kinds are INPUT, OUTPUT, STATE, CONSTANT
    instructions  how many there are, "scan" included
    """

    def __init__(self, data: bytes, constants: Sequence[Array | None] = ()) -> None:
        lib = native._need()
        threadpool.configure()
        ffi = self._ffi = native._ffi
        self._lib, self._call, self._from_buffer = lib, lib.nd_plan_run, ffi.from_buffer
        self._chars = ffi.typeof("char[]")
        data = bytes(data)
        described = _describe(data)
        self.slots, self.instructions = described or ([], 0)
        self._bound: dict[int, Any] = {}  # slot -> a view that keeps its memory alive
        for i, (kind, _, _) in enumerate(self.slots):
            if kind == CONSTANT:
                self._bound[i] = self._view(i, constants[i] if i < len(constants) else None)
        self._renew()
        (table, where), out = self._new_table(), ffi.new("nd_plan **")
        # where the slots cannot be told, C will find that and never look at the table
        status = lib.nd_plan_load(ffi.from_buffer(data), len(data), table if described else ffi.NULL, out, where)
        if status:
            raise self._error(status, where[0])
        self._plan = ffi.gc(out[0], lib.nd_plan_free)

    def bind(self, slot: int, array: Array) -> None:
        """Give a slot its memory for all later runs; a reference to ``array`` is kept."""
        if self.slots[slot][0] == CONSTANT:
            raise ShapeError(f"slot {slot} is a constant: its array was given when the plan was loaded", value=slot)
        self._bound[slot] = self._view(slot, array)
        self._renew()

    def run(self, slots: Sequence[Array | None]) -> None:
        """Run it. ``slots`` has one entry per slot; those of constants and of bound slots are not looked at."""
        tables = self._tables
        try:
            table, where = tables.pop()
        except IndexError:  # other threads have them all
            table, where = self._new_table()
        views = []  # they keep the memory alive until the call is over
        from_buffer, chars = self._from_buffer, self._chars
        for i, dtype, size, writable in self._open:
            a = slots[i]
            if a is None or (a.dtype is not dtype and a.dtype != dtype) or a.nbytes != size:
                raise self._misfit(i, a)
            try:
                table[i] = view = from_buffer(chars, a, writable)
            except (BufferError, ValueError, TypeError):
                raise self._misfit(i, a) from None
            views.append(view)
        status = self._call(self._plan, table, where)
        if status:
            raise self._error(status, where[0])
        tables.append((table, where))

    def profile(self, slots: Sequence[Array | None], nanoseconds: Array) -> None:
        """As `run`, adding the time that each instruction took to ``nanoseconds`` (int64, one entry an instruction)."""
        if nanoseconds.dtype != np.int64 or nanoseconds.shape != (self.instructions,):
            raise ShapeError(f"nanoseconds is not int64 of shape [{self.instructions}]", value=nanoseconds.shape)
        times = self._from_buffer("int64_t[]", nanoseconds, True)
        table, where = self._new_table()
        views = {i: self._view(i, slots[i]) for i, *_ in self._open}
        for i, view in views.items():
            table[i] = view
        status = self._lib.nd_plan_profile(self._plan, table, times, where)
        if status:
            raise self._error(status, where[0])

    def memory(self) -> dict[str, int]:
        """Bytes: the arena, scratch memory, packed constants, and all that the plan holds now."""
        return {name: self._lib.nd_plan_bytes(self._plan, i)
                for i, name in enumerate(("arena", "scratch", "packed", "total"))}

    def _renew(self) -> None:
        """After a change of what is bound: the slots that runs give, and fresh tables (one for each thread inside)."""
        self._open = [(i, dtype, size, kind != INPUT) for i, (kind, dtype, size) in enumerate(self.slots)
                      if i not in self._bound]
        self._tables: list[tuple[Any, Any]] = []

    def _new_table(self) -> tuple[Any, Any]:
        """Addresses by slot with the bound ones set, and a place for the instruction at fault."""
        table = self._ffi.new("void *[]", len(self.slots) + 1)
        for i, view in self._bound.items():
            table[i] = view
        return table, self._ffi.new("int64_t *")

    def _view(self, slot: int, a: Array | None) -> Any:
        """The memory of an array that fits the slot."""
        kind, dtype, size = self.slots[slot]
        if a is None or a.dtype != dtype or a.nbytes != size:
            raise self._misfit(slot, a)
        try:
            return self._from_buffer(self._chars, a, kind in (OUTPUT, STATE))
        except (BufferError, ValueError, TypeError):
            raise self._misfit(slot, a) from None

    def _misfit(self, slot: int, a: Array | None) -> ShapeError:
        kind, dtype, size = self.slots[slot]
        name = f"slot {slot} ({_KINDS[kind]})"
        if a is None:
            return ShapeError(f"{name} has no array")
        if a.dtype != dtype or a.nbytes != size:
            return ShapeError(f"{name} needs {size} bytes of {dtype}, not {a.nbytes} of {a.dtype}", value=a.shape)
        return ShapeError(f"{name} needs an array that is C-contiguous{'' if kind in (INPUT, CONSTANT) else ' and writable'}",
                          value=a.strides)

    def _error(self, status: int, where: int) -> NdivError:
        reason = self._ffi.string(self._lib.nd_plan_why()).decode()
        at = f"instruction {where}: " if where >= 0 else ""
        if status == _MEMORY:
            return OutOfMemoryError(reason)
        if status == _PLAN:
            return FileError(f"not a valid plan: {at}{reason}", value=where)
        return ShapeError(f"the plan failed: {at}{reason}", value=status, instruction=where)


def _describe(data: bytes) -> tuple[list[tuple[int, np.dtype, int]], int] | None:
    """Slots and number of instructions, or None where the bytes are damaged or unknown numbers are in them."""
    if len(data) < 64 or zlib.crc32(memoryview(data)[64:]) != int.from_bytes(data[24:32], "little"):
        return None
    n_ops, n_slots, _, n_instr = struct.unpack_from("<4I", data, 40)
    start, end = 64 + 32 * n_ops, 64 + 32 * n_ops + 16 * n_slots
    if end > len(data):
        return None
    slots = list(struct.iter_unpack("<IIQ", data[start:end]))
    if any(kind >= len(_KINDS) or dtype >= len(_DTYPES) for kind, dtype, _ in slots):
        return None
    return [(kind, _DTYPES[dtype], size) for kind, dtype, size in slots], n_instr
