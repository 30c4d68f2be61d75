"""What a model computes, as text a person can act on: tape, program, plan, memory, profile.

Contract: `View` compiles once and only reads what the compiler made; nothing here is an estimate but flops and bytes, which
come from the cost records of the ops. Times are measured on this machine, in this process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tape, Tensor
from ..autograd.tape import trace as record_all
from .compiled import _names_of
from .executable import Executable
from .ir import Program
from .ops import PLAN_OPS
from .passes.narrow import narrow
from .plan import ARENA, Plan
from .trace import trace
from .train import TrainStep

__all__ = ["View", "memory_table", "plan_table", "profile_table"]

_REPEATS = 50


class View:
    """The compiled forecast or training step of a model on one batch."""

    def __init__(self, model: Any, batch: dict[str, np.ndarray], train: bool = False) -> None:
        self.model, self.batch, self.train = model, batch, train
        self.arrays: list[np.ndarray] = list(batch.values())
        if train:
            model.train()
            step = TrainStep(model).make(batch)
            self.executable = step.executable
            for (group, _), numbers in zip(step.groups, step.hyper, strict=True):
                numbers[:] = model.optimizer.numbers({**group, "lr": 0.0}, 1)
            self.arrays += step.hyper
        else:
            model.eval()
            names = _names_of(model)
            traced = trace(model.forward, (batch,), f"{type(model).__name__}.forward", names)
            self.executable = Executable(narrow(traced.program), traced.tensors, traced.streams, draws=traced.draws,
                                         hosted=traced.hosted)

    def summary(self) -> str:
        """One line for each stage."""
        e = self.executable
        plan = e.plan
        flops = sum(_flops(e.program).values())
        ratio = plan.arena / plan.bound if plan.bound else 1.0
        return "\n".join([
            f"{e.source.name}",
            f"program  {len(e.source)} equations, {len(e.source.states)} states, {len(e.source.consts)} constants, "
            f"sha256 {e.source.hash[:16]}",
            f"plan     {len(plan.instructions)} instructions, {len(plan.raw):,} bytes, {flops:,.0f} flops, run by {e.engine}",
            f"memory   arena {plan.arena:,} bytes, {ratio:.3f} of its lower bound",
            "more     --tape --program --plan --memory --profile"])

    def tape(self) -> str:
        """The recorded ops of one run."""
        inputs = {k: Tensor(v) for k, v in self.batch.items()}
        with record_all():
            out = self.model.compute_loss(inputs) if self.train else self.model.forward(inputs)
        return str(Tape.of(out))

    def program(self) -> str:
        """The program before the passes."""
        return self.executable.source.text(lines=True).rstrip("\n")

    def plan(self) -> str:
        """The instructions."""
        return plan_table(self.executable.plan)

    def memory(self) -> str:
        """The arena."""
        return memory_table(self.executable)

    def profile(self) -> str:
        """Where the time goes."""
        return profile_table(self.executable, self.arrays)


def _flops(program: Program) -> dict[int, float]:
    """Flops of each equation that a cost is known for, by position."""
    out = {}
    for k, e in enumerate(program.eqns):
        op = PLAN_OPS.get(e.op)
        if op is not None and op.cost is not None:
            metas = [v.meta if hasattr(v, "meta") else None for v in e.inputs]
            out[k] = float(op.cost(e.attrs, metas, [v.meta for v in e.outputs]))
    return out


def _aligned(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
                     .rstrip() for r in rows)


def _place(plan: Plan, number: int | None) -> str:
    if number is None:
        return "-"
    v = plan.values[number]
    where = f"@{v.offset}" if v.region == ARENA else plan.slots[v.slot].name or f"{plan.slots[v.slot].kind} {v.slot}"
    expect = 1
    dense = True
    for n, s in zip(reversed(v.shape), reversed(v.strides), strict=True):
        dense = dense and (n == 1 or s == expect)
        expect *= n
    view = "" if dense else f" strides {list(v.strides)}"
    return f"{where}{list(v.shape)}{view}"


def plan_table(plan: Plan) -> str:
    """One row an instruction: number, operation, outputs <- inputs, source line. ``@n`` is an offset in the arena."""
    rows = [("", "operation", "writes", "reads", "line")]
    for k, i in enumerate(plan.instructions):
        rows.append((str(k), i.op, ", ".join(_place(plan, v) for v in i.outputs), ", ".join(_place(plan, v) for v in i.inputs),
                     plan.lines[i.line] if i.line < len(plan.lines) else ""))
    return _aligned(rows, (0,))


def memory_table(executable: Executable) -> str:
    """Every buffer of the arena, largest first: offset, bytes, the instructions during which it is alive."""
    plan = executable.plan
    first: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], int] = {}
    size: dict[tuple[int, int], int] = {}
    names: dict[tuple[int, int], str] = {}
    current: dict[int, tuple[int, int]] = {}  # offset -> buffer that lies there now
    for k, i in enumerate(plan.instructions):
        for n in i.outputs:
            if n is not None and plan.values[n].region == ARENA:
                v = plan.values[n]
                key = (v.offset, k)
                current[v.offset] = key
                first[key] = last[key] = k
                size[key] = int(np.prod(v.shape, dtype=np.int64)) * v.dtype.itemsize
                names[key] = f"{i.op}, {plan.lines[i.line]}"
        for n in i.inputs:
            if n is not None and plan.values[n].region == ARENA:
                below = [o for o in current if o <= plan.values[n].offset]
                if below:
                    last[current[max(below)]] = k
    rows = [("offset", "bytes", "alive", "written by")]
    rows += [(str(key[0]), f"{size[key]:,}", f"{first[key]}..{last[key]}", names[key])
             for key in sorted(first, key=lambda key: (-size[key], key))]
    kinds: dict[str, int] = defaultdict(int)
    for s in plan.slots:
        kinds[s.kind] += s.nbytes
    head = [f"arena {plan.arena:,} bytes; lower bound (most bytes alive at once) {plan.bound:,}; "
            f"ratio {plan.arena / plan.bound if plan.bound else 1.0:.3f}",
            "outside the arena: " + ", ".join(f"{kind} {n:,} bytes" for kind, n in kinds.items())]
    return "\n".join(head) + "\n" + _aligned(rows, (0, 1))


def profile_table(executable: Executable, arrays: list[np.ndarray], repeats: int = _REPEATS) -> str:
    """Mean time of a run by source line and operation, most expensive first; native plans only measure each instruction."""
    times = executable.profile(arrays, repeats)
    plan = executable.plan
    total = sum(times) or 1.0
    by_line: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0])
    for i, t in zip(plan.instructions, times, strict=True):
        entry = by_line[plan.lines[i.line], i.op]
        entry[0] += t
        entry[1] += 1
    rows = [("us", "share", "instructions", "operation", "line")]
    for (line, op), (t, count) in sorted(by_line.items(), key=lambda item: -item[1][0]):
        rows.append((f"{t / 1e3:.2f}", f"{100 * t / total:.1f} %", str(count), op, line))
    return f"{total / 1e3:.1f} us in {len(times)} instructions, run by {executable.engine}\n" + _aligned(rows, (0, 1, 2))
