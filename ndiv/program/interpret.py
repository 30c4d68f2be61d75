"""The NumPy plan interpreter: the oracle of the C executor, and the engine where no compiler was at hand.

Contract: it reads the same bytes as the executor and runs each operation's reference on views of one arena. It is not made
to be fast; it is made to be obviously right. Slots are NumPy arrays in the order of the plan's slots.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import FileError, OutOfMemoryError, ShapeError
from .ops import PLAN_OPS
from .ops.record import decode
from .plan import ARENA, SLOT, Instruction, Plan, PlanValue, parse

__all__ = ["Interpreter"]


class Interpreter:
    """A plan's bytes, ready to run on NumPy.

    >>> from ndiv.program.plan import Plan, assemble
    >>> Interpreter(assemble(Plan([], [], [], 0))).run([])
    """

    def __init__(self, raw: bytes) -> None:
        self.plan: Plan = parse(raw)
        self.own = threading.local()  # an arena for each thread, so that threads may share an interpreter
        self.steps: list[tuple[Instruction, Callable[..., Any] | None, dict[str, Any]]] = []
        for i in self.plan.instructions:
            if i.op == "scan":
                if len(i.attrs) != 2 or not 0 <= i.attrs[0] <= 1 << 32 or not 0 <= i.attrs[1] <= len(self.plan.instructions):
                    raise FileError("the plan is broken: a loop without a body", value=i.attrs, hint="export the model again")
                self.steps.append((i, None, {}))
                continue
            if i.op not in PLAN_OPS:
                raise FileError(f"the plan uses the operation {i.op!r}, which this version does not have", value=i.op,
                                hint="use the version of ndiv that wrote it, or a newer one")
            try:
                attrs = decode(PLAN_OPS[i.op], i.attrs)
                self.check(i, attrs)
            except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as cause:
                raise FileError(f"the plan is broken at {i.op}: {cause}", value=i.op, hint="export the model again") from None
            self.steps.append((i, PLAN_OPS[i.op].reference, attrs))

    def check(self, i: Instruction, attrs: dict[str, Any]) -> None:
        """ValueError where the operands of an instruction do not fit its operation, or it writes what must not change."""
        values = self.plan.values

        def meta(v: int | None) -> Any:
            return None if v is None else (values[v].shape, values[v].dtype)

        expected = PLAN_OPS[i.op].metas(attrs, *map(meta, i.inputs))
        if len(expected) != len(i.outputs):
            raise ValueError(f"{len(i.outputs)} outputs in the place of {len(expected)}")
        for v, want in zip(i.outputs, expected, strict=True):
            if v is None:
                continue
            if want is None or (tuple(want[0]), np.dtype(want[1])) != meta(v):
                raise ValueError(f"an output is {meta(v)} and should be {want}")
            if values[v].region == SLOT and self.plan.slots[values[v].slot].kind in ("input", "constant"):
                raise ValueError("it writes an input or a constant")

    def run(self, slots: Sequence[np.ndarray]) -> None:
        """Run all instructions; outputs and states are written in place."""
        self.profile(slots, None)

    def profile(self, slots: Sequence[np.ndarray], nanoseconds: np.ndarray | None) -> None:
        """As `run`, adding the time of each instruction to ``nanoseconds`` (int64)."""
        clock = time.perf_counter_ns
        memory = [_bytes(a) for a in slots]
        for k, (a, slot) in enumerate(zip(memory, self.plan.slots, strict=True)):
            if a.size < slot.nbytes:
                raise ShapeError(f"slot {k} has {a.size} bytes and the plan needs {slot.nbytes}", value=a.size)
        at = 0
        with np.errstate(all="ignore"):
            while at < len(self.steps):
                instruction, reference, _ = self.steps[at]
                at += 1
                steps, count = (1, 1) if reference is not None else instruction.attrs
                begin = at - 1 if reference is not None else at
                for t in range(steps):
                    for k in range(begin, begin + count):
                        inner, function, numbers = self.steps[k]
                        assert function is not None
                        started = clock()
                        self.step(inner, function, numbers, memory, t)
                        if nanoseconds is not None:
                            nanoseconds[k] += clock() - started
                at = begin + count

    def step(self, i: Instruction, reference: Callable[..., Any], attrs: dict[str, Any], memory: list[np.ndarray],
             t: int) -> None:
        """One instruction, in iteration ``t`` of the loop around it."""
        inputs = [None if v is None else self.array(self.plan.values[v], memory, t) for v in i.inputs]
        try:
            result = reference(*inputs, **attrs)
        except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as cause:
            raise ShapeError(f"the plan failed at {i.op}: {cause}", value=i.op,
                             hint="an index or a number in its inputs is out of range") from None
        results = result if isinstance(result, tuple) else (result,)
        fresh = [np.array(r, copy=True) if r is not None else None for r in results]  # a view of what is overwritten below
        for v, r in zip(i.outputs, fresh, strict=True):
            if v is not None and r is not None:
                out = self.array(self.plan.values[v], memory, t)
                out[...] = r.reshape(out.shape)

    @property
    def arena(self) -> np.ndarray:
        """This thread's arena."""
        if not hasattr(self.own, "arena"):
            try:
                self.own.arena = np.zeros(self.plan.arena, np.uint8)
            except MemoryError:
                raise OutOfMemoryError(f"the plan needs {self.plan.arena:,} bytes for its temporaries", value=self.plan.arena,
                                       hint="use a smaller batch") from None
        return self.own.arena

    def array(self, v: PlanValue, memory: list[np.ndarray], t: int) -> np.ndarray:
        """The view that a value is."""
        base = self.arena if v.region == ARENA else memory[v.slot]
        if 0 in v.shape:
            return np.empty(v.shape, v.dtype)
        item = v.dtype.itemsize
        at = v.offset + v.step * t
        low = at + sum(min(s * (d - 1), 0) for d, s in zip(v.shape, v.strides, strict=True)) * item
        high = at + sum(max(s * (d - 1), 0) for d, s in zip(v.shape, v.strides, strict=True)) * item + item
        flat = base[low:high].view(v.dtype)
        return as_strided(flat[(at - low) // item:], v.shape, [s * item for s in v.strides])


def _bytes(a: np.ndarray) -> np.ndarray:
    if not a.flags.c_contiguous:
        raise ShapeError("slots must be C-contiguous", value=a.strides, hint="use numpy.ascontiguousarray")
    return a.reshape(-1).view(np.uint8) if a.size else np.empty(0, np.uint8)
