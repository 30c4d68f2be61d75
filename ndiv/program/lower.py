"""Lowering: a selected Program becomes a Plan.

Contract: views become strides, and copies only where an operation asks for contiguous memory that is not there; results
are written straight into the caller's memory where they can be; a state that an operation updates in place is updated
in place. All temporaries get offsets in one arena (`memory.py`). Nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .ir import Eqn, Program, Value
from .layout import Layout, broadcast, dense, view
from .memory import Buffer, place
from .ops import PLAN_OPS
from .ops.record import DTYPES, encode
from .ops.vm import COPY
from .passes.select import LowerError, is_view
from .plan import ARENA, SLOT, Instruction, Plan, PlanValue, Slot, assemble

__all__ = ["Lowering", "lower"]

@dataclass
class _Step:
    """An instruction before memory is planned."""

    op: str
    inputs: list[Layout | None]
    outputs: list[Value | None]  # None: nobody reads it, and the operation can do without
    attrs: dict[str, Any]
    line: str


def lower(program: Program) -> Plan:
    """The plan of a program in plan operations and views."""
    return Lowering(program).run()


class Lowering:
    """From equations to steps (`collect`), and from steps to a plan."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.layouts: dict[Value, Layout] = {}
        self.steps: list[_Step] = []
        self.copies: dict[Layout, Layout] = {}
        self.slots: list[Slot] = []
        self.constants: dict[int, np.ndarray] = {}
        self.home: dict[Value, int] = {}  # root -> slot
        self.line = ""
        self.used = {v for e in program.eqns for v in e.reads()} | set(program.results())

    def run(self) -> Plan:
        """The plan."""
        self.collect()
        return self.assemble()

    def collect(self) -> None:
        """All steps, and the slots of what is not in the arena."""
        p = self.program
        for kind, values in (("input", p.inputs), ("state", p.states), ("constant", p.consts)):
            for v in values:
                self.home[v] = self.slot(kind, v)
                self.layouts[v] = dense(v)
        for v, array in p.consts.items():
            self.constants[self.home[v]] = np.ascontiguousarray(array)
        for e in p.eqns:
            self.line = e.line
            self.eqn(e)
        self.line = "results"
        self.results()

    def slot(self, kind: str, v: Value) -> int:
        if v.dtype not in DTYPES:
            raise LowerError(f"plans have no arrays of type {v.dtype} (%{v.name})", value=str(v.dtype),
                             hint="cast to float32, float64, int32, int64 or bool")
        self.slots.append(Slot(kind, v.dtype, v.nbytes, v.name, v.shape))
        return len(self.slots) - 1

    # -- equations -------------------------------------------------------------------------------------------------

    def eqn(self, e: Eqn) -> None:
        if is_view(e):
            x = self.layouts[e.inputs[0]]
            self.layouts[e.outputs[0]] = view(x, e) or self.checked_view(self.copy(x), e)
            return
        op = PLAN_OPS.get(e.op)
        if op is None:
            raise LowerError(f"{e.op} is no plan operation", value=e.op, hint="run the pass `select` first")
        inputs: list[Layout | None] = []
        for i, v in enumerate(e.inputs):
            if v is None:
                inputs.append(None)
                continue
            layout = self.layouts[v]
            if e.op == "vm":
                layout = broadcast(layout, e.outputs[0].shape)
            elif (op.dense is True or (op.dense and i in op.dense)) and not layout.is_dense:
                layout = self.copy(layout)
            inputs.append(layout)
        for out in e.outputs:
            self.layouts[out] = dense(out)
        metas = op.metas(e.attrs, *[None if v is None else v.meta for v in e.inputs])
        rest = iter(e.outputs)
        places = [None if meta is None else next(rest) for meta in metas]
        outputs = [None if k in op.spare and out not in self.used else out for k, out in enumerate(places)]
        self.steps.append(_Step(e.op, inputs, outputs, e.attrs, e.line))

    def checked_view(self, layout: Layout, e: Eqn) -> Layout:
        found = view(layout, e)
        assert found is not None, "a view of dense memory needs no copy"
        return found

    def copy(self, layout: Layout, into: Value | None = None) -> Layout:
        """The same elements in dense memory of their own (shared by all who ask)."""
        if into is None and layout in self.copies:
            return self.copies[layout]
        target = into or Value(f"copy{len(self.steps)}", layout.shape, layout.root.dtype)
        source = layout if into is None else Layout(layout.root, layout.offset, into.shape, layout.strides)
        self.steps.append(_Step("vm", [source], [target], COPY, self.line))
        result = dense(target)
        if into is None:
            self.copies[layout] = result
        return result

    # -- results ---------------------------------------------------------------------------------------------------

    def results(self) -> None:
        """Give outputs and updated states their homes, by copies where nothing better is possible."""
        p = self.program
        made = {out: i for i, s in enumerate(self.steps) for out in s.outputs if out is not None}
        last_read = self.last_reads()
        late: list[tuple[Layout, Value]] = []
        read_at_end = {self.layouts[v].root for v in p.outputs}
        for state, v in p.updates.items():
            layout = self.layouts[v]
            step = made.get(layout.root)
            if (step is not None and layout.whole and layout.root not in self.home and state not in read_at_end
                    and last_read.get(state, -1) <= step and self.takes_over(step, state, layout.root)):
                self.home[layout.root] = self.home[state]
            else:
                late.append((layout, state))
        for v in p.outputs:
            slot = self.slot("output", v)
            layout = self.layouts[v]
            if layout.root in made and layout.whole and layout.root not in self.home:
                self.home[layout.root] = slot
            else:
                target = Value(f"out{slot}", v.shape, v.dtype)
                self.copy(layout, target)
                self.home[target] = slot
        self.update_by_copy(late)

    def last_reads(self) -> dict[Value, int]:
        """The last step that reads each root."""
        return {layout.root: i for i, s in enumerate(self.steps) for layout in s.inputs if layout is not None}

    def takes_over(self, step: int, state: Value, root: Value) -> bool:
        """Whether the operation may write this output over the state that it reads."""
        s = self.steps[step]
        op = PLAN_OPS[s.op]
        reads = [i for i, layout in enumerate(s.inputs) if layout is not None and layout.root is state]
        return (len(reads) == 1 and reads[0] in op.inplace and s.inputs[reads[0]] == dense(state)
                and root.shape == state.shape)

    def update_by_copy(self, late: list[tuple[Layout, Value]]) -> None:
        changing = {state for _, state in late} | {s for s, v in self.program.updates.items()}
        safe = []
        for layout, state in late:  # states that take one another's values: all are read before any is written
            if layout.root in changing and layout.root in self.program.states:
                layout = self.copy(layout)
            safe.append((layout, state))
        for layout, state in safe:
            target = Value(f"new_{state.name}", state.shape, state.dtype)
            self.copy(layout, target)
            self.home[target] = self.home[state]

    # -- memory and bytes ------------------------------------------------------------------------------------------

    def assemble(self) -> Plan:
        group = self.in_place()
        first: dict[Value, int] = {}
        last: dict[Value, int] = {}
        for i, s in enumerate(self.steps):
            for root in [*(x.root for x in s.inputs if x is not None), *s.outputs]:
                if root is not None and root not in self.home:
                    leader = group.get(root, root)
                    first.setdefault(leader, i)
                    last[leader] = i
        members: dict[Value, list[Any]] = {}
        for root, leader in group.items():
            members.setdefault(leader, []).append(root)
        arena = place([Buffer(v, v.nbytes, first[v], last[v], members.get(v, [])) for v in first])
        values: dict[tuple[Any, ...], int] = {}
        table: list[PlanValue] = []

        def number(layout: Layout | None) -> int | None:
            if layout is None:
                return None
            root = layout.root
            size = root.dtype.itemsize
            region, slot, base = (SLOT, self.home[root], 0) if root in self.home else (ARENA, 0, arena.offsets[root])
            value = PlanValue(region, slot, root.dtype, base + layout.offset * size, layout.shape, layout.strides)
            key = (region, slot, root.dtype, value.offset, layout.shape, layout.strides)
            if key not in values:
                values[key] = len(table)
                table.append(value)
            return values[key]

        lines: dict[str, int] = {}
        instrs = []
        for s in self.steps:
            outs = tuple(None if o is None else number(dense(o)) for o in s.outputs)
            attrs = tuple(encode(PLAN_OPS[s.op], s.attrs))
            instrs.append(Instruction(s.op, tuple(number(x) for x in s.inputs), outs, attrs,
                                      lines.setdefault(s.line, len(lines))))
        plan = Plan(self.slots, table, instrs, arena.size, arena.bound, list(lines), self.constants)
        plan.raw = assemble(plan)
        return plan

    def in_place(self) -> dict[Value, Value]:
        """Outputs that take over the memory of an input that dies there: root -> root whose memory it is."""
        last = self.last_reads()
        group: dict[Value, Value] = {}
        for i, s in enumerate(self.steps):
            op = PLAN_OPS[s.op]
            taken: set[Value] = set()
            for out in s.outputs:
                if out is None or out in self.home:
                    continue
                for k in op.inplace:
                    x = s.inputs[k] if k < len(s.inputs) else None
                    if (x is not None and x.root not in self.home and x.root not in taken and last[x.root] == i
                            and x.whole and x.shape == out.shape and x.strides == dense(out).strides
                            and x.root.dtype == out.dtype and self.only_reader(s, x)):
                        group[out] = group.get(x.root, x.root)
                        taken.add(x.root)
                        break
        return group

    @staticmethod
    def only_reader(s: _Step, x: Layout) -> bool:
        """Whether every operand on that memory is this very view."""
        return all(y is None or y.root is not x.root or y == x for y in s.inputs)
