"""Recomputation: less memory for more work, until the temporaries of a plan are within a number of bytes.

Contract: `recompute` takes a program after all other passes (plan operations and views) and gives one that computes the same
bits: values that wait long for their next reader are computed again just before it. It must be the last pass, since common
subexpressions would merge the copies again. The measure is the arena that lowering plans. Every step is the one that takes
most off the bytes above 95 % of the present peak for its cost in time, so memory-bound operations go first; an input that is
gone by then either stays longer or is computed again too, whichever is better. What is done next never depends on the budget:
a smaller budget only goes further on the same way. Random operations give the same numbers again (their stream is an
attribute); an operation that reads a state is never moved behind the update of that state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np

from ...errors import ConfigError
from ..checker import check_program
from ..ir import Eqn, Program, Value
from ..layout import Layout, dense, view
from ..lower import Lowering, lower
from ..memory import aligned
from ..ops import PLAN_OPS
from ..ops.vm import COPY
from ..ops.vm_code import Ref, assemble, disassemble
from .rewrite import Names
from .select import is_view

__all__ = ["recompute"]

_NEAR = 0.95  # bytes above this part of the peak are what a step is judged by
_FLOPS_A_BYTE = 4.0  # flops that take as long as moving one byte
_START = 4096.0  # bytes that could be moved while an instruction starts
_SMALL = 8  # an input this many times smaller than what it helps to free stays rather than being computed again
_DEPTH = 24  # operations that one step may add
_TRIED = 16  # candidates that are worked out in each round before the best of them is taken; four times as many if none helps


def recompute(program: Program, budget: int) -> Program:
    """The program with values computed again so that its plan's temporaries take at most ``budget`` bytes.

    program: after all other passes. Inputs, outputs, states and constants are not part of the budget.
    Raises `ConfigError` (E0010), naming the smallest size that was reached, when that is above the budget.

    >>> import ndiv, numpy as np
    >>> from ndiv.program.passes import run_passes
    >>> from ndiv.program.trace import trace
    >>> def f(x, w):
    ...     early = ndiv.softmax(x, 1)
    ...     return early * ndiv.softmax((early.sum(1, True) * x) @ w, 1).sum()
    >>> arrays = np.ones((64, 64), np.float32), np.ones((64, 256), np.float32)
    >>> p = run_passes(trace(f, arrays, "f").program)
    >>> q = recompute(p, 90_000)
    >>> lower(p).arena, [e.op for e in p.eqns]
    (98304, ['softmax', 'sum', 'vm', 'gemm', 'softmax', 'sum', 'vm'])
    >>> lower(q).arena, [e.op for e in q.eqns]
    (81920, ['softmax', 'sum', 'vm', 'gemm', 'softmax', 'sum', 'softmax', 'vm'])
    """
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or budget < 0:
        raise ConfigError(f"memory is a number of bytes, not {budget!r}", value=budget, hint="give a whole number, or None")
    arena = lower(program).arena
    if arena <= budget:
        return program
    search = _Search(explicit_copies(program))
    reached: list[tuple[int, list[_Node]]] = []
    for peak, order in search.steps():
        reached.append((peak, order))
        if peak <= budget:
            found = search.program_of(order)
            size = lower(found).arena
            arena = min(arena, size)
            if size <= budget:
                return check_program(found)
    for peak, order in sorted(reached, key=lambda r: r[0]):
        if peak >= arena:
            break
        arena = min(arena, lower(search.program_of(order)).arena)
    raise ConfigError(f"the temporaries of {program.name} cannot be within {budget:,} bytes; {arena:,} were reached by "
                      "computing values again", value=int(budget),
                      hint=f"give memory={arena} (of a model memory_budget={arena}) or more, or a smaller batch")


def explicit_copies(program: Program) -> Program:
    """The program with the copies that lowering would insert as equations, so that they too can be computed again."""
    layouts = {v: dense(v) for v in [*program.inputs, *program.states, *program.consts]}
    names = Names(program)
    made: dict[Layout, Value] = {}
    eqns: list[Eqn] = []

    def copied(v: Value, line: str) -> Value:
        layout = layouts[v]
        if layout not in made:
            made[layout] = names.value(v.shape, v.dtype, "copy")
            eqns.append(Eqn("vm", [v], COPY, [made[layout]], line))
            layouts[made[layout]] = dense(made[layout])
        return made[layout]

    for e in program.eqns:
        inputs = list(e.inputs)
        if is_view(e):
            found = view(layouts[inputs[0]], e)
            if found is None:
                inputs[0] = copied(inputs[0], e.line)
                found = view(layouts[inputs[0]], e)
            assert found is not None, "a view of dense memory needs no copy"
            layouts[e.outputs[0]] = found
        else:
            op = PLAN_OPS[e.op]
            for i, v in enumerate(inputs):
                if v is not None and (op.dense is True or (op.dense and i in op.dense)) and not layouts[v].is_dense:
                    inputs[i] = copied(v, e.line)
            layouts.update((v, dense(v)) for v in e.outputs)
        eqns.append(e if tuple(inputs) == e.inputs else Eqn(e.op, inputs, e.attrs, e.outputs, e.line))
    return program.replace(eqns=eqns)


@dataclass(frozen=True, eq=False)
class _Node:
    """One instruction: an equation and the versions of temporaries that it reads and defines.

    A version is a number for one temporary; values computed again have other versions. -1: nothing in the arena.
    """

    eqn: Eqn | None  # None: what lowering adds at the end to bring results home
    layouts: tuple[Layout | None, ...]  # of the operands, on the values of the program that the search began with
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    spare: tuple[bool, ...]  # outputs that need no memory when nobody reads them
    takes: tuple[tuple[int, ...], ...]  # for each output, the operands whose memory it could take over
    cost: float
    keep: bool  # it writes a result
    changes: frozenset[Value] = frozenset()  # states that it writes


@dataclass
class _Life:
    """When every version is alive, and the bytes alive at each position."""

    made: dict[int, int] = field(default_factory=dict)
    reads: dict[int, list[int]] = field(default_factory=dict)  # ascending
    live: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    def last(self, v: int) -> int:
        """The last position that reads it, -1 where none does."""
        return self.reads[v][-1] if v in self.reads else -1


class _Search:
    """The way from a program to ones that need less memory."""

    def __init__(self, program: Program) -> None:
        self.program = program
        lowering = Lowering(program)
        lowering.collect()
        self.view_of = {e.outputs[0]: e for e in program.eqns if is_view(e)}
        self.value: list[Value] = []  # by version: the value that it is a version of
        self.size: list[int] = []
        self.kin: dict[Value, list[int]] = {}  # the versions of a value in the present order
        self.pinned: set[int] = set()  # read when results are brought home
        self.first = self.nodes(lowering)

    def nodes(self, lowering: Lowering) -> list[_Node]:
        """The instructions of the lowered program."""
        states = {v: slot for v, slot in lowering.home.items() if v in self.program.updates}
        state_of = {slot: v for v, slot in states.items()}
        number: dict[Value, int] = {}
        eqns: list[Eqn | None] = [e for e in self.program.eqns if not is_view(e)]
        eqns += [None] * (len(lowering.steps) - len(eqns))
        order = []
        for e, s in zip(eqns, lowering.steps, strict=True):
            outs = list(e.outputs) if e is not None else [v for v in s.outputs if v is not None]
            for v in outs:
                if v not in lowering.home:
                    number[v] = self.version(v)
            reads = tuple(-1 if x is None else number.get(x.root, -1) for x in s.inputs)
            writes = tuple(number.get(v, -1) for v in outs)
            if e is None:
                self.pinned.update(reads)
            changes = frozenset(state_of[lowering.home[v]] for v in outs if lowering.home.get(v) in state_of)
            order.append(_Node(e, tuple(s.inputs), reads, writes, _spare(e), _takes(s.op, s.inputs, outs), _cost(e),
                               any(v in lowering.home for v in outs), changes))
        return order

    def version(self, v: Value) -> int:
        self.value.append(v)
        self.size.append(aligned(v.nbytes))
        return len(self.value) - 1

    # -- the way ---------------------------------------------------------------------------------------------------

    def steps(self) -> Iterable[tuple[int, list[_Node]]]:
        """(peak, order) after each step, until no step takes anything off the peak."""
        order = self.swept(self.first)
        life = self.life(order)
        most = 4 * len(order)
        while len(order) < most:
            peak = int(life.live.max(initial=0))
            level = int(peak * _NEAR)
            while int(life.live.max(initial=0)) > level:
                found = self.best(order, life, level)
                if found is None or len(order) >= most:
                    return
                order, life = found
                yield int(life.live.max(initial=0)), order

    def best(self, order: list[_Node], life: _Life, level: int) -> tuple[list[_Node], _Life] | None:
        """The step that takes most off what is above the level, for its cost."""
        above = np.maximum(life.live - level, 0)
        total, peak = int(above.sum()), int(life.live.max())
        gaps = []
        self.kin = {}
        for v in life.made:
            self.kin.setdefault(self.value[v], []).append(v)
        for v, made in life.made.items():
            if v in self.pinned:
                continue
            before = made
            for at in life.reads.get(v, ()):
                if at > before + 1:
                    hope = int(np.minimum(above[before + 1:at], self.size[v]).sum())
                    if hope:
                        gaps.append((hope / (order[made].cost + _START), v, before, at))
                before = at
        gaps.sort(key=lambda g: (-g[0], g[1], g[2]))
        best: tuple[float, list[_Node], _Life] | None = None
        for tried, (most, v, _, at) in enumerate(gaps):
            if tried >= 4 * _TRIED or (best is not None and (most <= best[0] or tried >= _TRIED)):
                break
            gone = any(u >= 0 and life.last(u) < at for u in order[life.made[v]].reads)
            for again in (False, True) if gone else (False,):
                trial = self.with_again(order, life, v, at, again)
                if trial is None:
                    continue
                then, added = trial
                after = self.life(then)
                won = total - int(np.maximum(after.live - level, 0).sum())
                if won > 0 and int(after.live.max()) <= peak and (best is None or won / added > best[0]):
                    best = won / added, then, after
        return None if best is None else best[1:]

    def with_again(self, order: list[_Node], life: _Life, v: int, at: int, again: bool) -> tuple[list[_Node], float] | None:
        """The order with v computed again before position ``at``, and what that costs; ``again``: what it is computed from
        too, where that is gone by then."""
        new: list[_Node] = []
        name: dict[int, int] = {}  # version -> the one to read from here on

        def needed(u: int) -> int:
            if u < 0 or u in name:
                return name.get(u, u)
            if life.last(u) < at and again and self.size[u] * _SMALL > self.size[v] and len(new) < _DEPTH:
                for other in self.kin[self.value[u]]:
                    if life.made[other] < at <= life.last(other):
                        return other
                copy(life.made[u])
                return name[u]
            return u

        def copy(position: int) -> None:
            node = order[position]
            reads = tuple(needed(u) for u in node.reads)
            writes = []
            for k, w in enumerate(node.writes):
                out = node.eqn.outputs[k] if node.eqn is not None else None
                assert out is not None
                writes.append(self.version(out))
                if w >= 0:
                    name[w] = writes[-1]
            new.append(replace(node, reads=reads, writes=tuple(writes), keep=False, changes=frozenset()))

        copy(life.made[v])
        changed = frozenset().union(*(n.changes for n in order[:at]))
        if len(new) > _DEPTH or any(x is not None and x.root in changed for n in new for x in n.layouts):
            return None
        late = [n if not any(u in name for u in n.reads) else replace(n, reads=tuple(name.get(u, u) for u in n.reads))
                for n in order[at:]]
        before = sum(n.cost + _START for n in order)
        then = self.swept([*order[:at], *new, *late])
        return then, max(sum(n.cost + _START for n in then) - before, 1.0)

    def swept(self, order: Sequence[_Node]) -> list[_Node]:
        """Without instructions whose results nobody reads, and elementwise ones reduced to the results that are read."""
        read: set[int] = set()
        kept = []
        for node in reversed(order):
            wanted = [w in read for w in node.writes]
            if node.eqn is not None and not node.keep:
                if not any(wanted):
                    continue
                if node.eqn.op == "vm" and not all(wanted):
                    node = _reduced(node, wanted)
            read.update(node.reads)
            kept.append(node)
        return kept[::-1]

    # -- memory ----------------------------------------------------------------------------------------------------

    def life(self, order: Sequence[_Node]) -> _Life:
        """What lowering will find: lifetimes, with outputs that take over the memory of a dying input."""
        life = _Life()
        reads = life.reads
        for i, node in enumerate(order):
            for u in node.reads:
                if u >= 0:
                    when = reads.setdefault(u, [])
                    if not when or when[-1] != i:
                        when.append(i)
        leader: dict[int, int] = {}
        end: dict[int, int] = {}
        for i, node in enumerate(order):
            taken: set[int] = set()
            for k, w in enumerate(node.writes):
                if w < 0 or (node.spare[k] and w not in reads):
                    continue
                life.made[w] = i
                home = w
                for operand in node.takes[k]:
                    u = node.reads[operand]
                    if u >= 0 and u not in taken and reads[u][-1] == i:
                        home = leader.get(u, u)
                        taken.add(u)
                        break
                leader[w] = home
                end[home] = max(end.get(home, i), life.last(w), i)
        change = [0] * (len(order) + 1)
        for w, last in end.items():
            change[life.made[w]] += self.size[w]
            change[last + 1] -= self.size[w]
        life.live = np.fromiter(accumulate(change[:-1]), np.int64, len(order))
        return life

    # -- back to a program -----------------------------------------------------------------------------------------

    def program_of(self, order: Sequence[_Node]) -> Program:
        """The program in this order, with fresh values for what is computed again."""
        names = Names(self.program)
        eqns: list[Eqn] = []
        there: dict[tuple[Value, int], Value] = {}  # (value, version of its memory) -> what stands for it
        known: set[Value] = set()  # values that have a definition by now

        def define(v: Value) -> Value:
            new = names.value(v.shape, v.dtype) if v in known else v
            known.add(v)
            return new

        def operand(v: Value, version: int) -> Value:
            if (v, version) not in there:
                e = self.view_of.get(v)
                if e is None:
                    return v
                source = operand(e.inputs[0], version)
                there[v, version] = define(v)
                eqns.append(Eqn(e.op, [source], e.attrs, [there[v, version]], e.line))
            return there[v, version]

        for node in order:
            e = node.eqn
            if e is None:
                continue
            inputs = [None if v is None else operand(v, u) for v, u in zip(e.inputs, node.reads, strict=True)]
            outs = [define(v) for v in e.outputs]
            there.update(((v, w), out) for v, w, out in zip(e.outputs, node.writes, outs, strict=True))
            eqns.append(Eqn(e.op, inputs, e.attrs, outs, e.line))
        home = {x.root: u for n in order if n.eqn is None for x, u in zip(n.layouts, n.reads, strict=True) if x is not None}

        def result(v: Value) -> Value:
            root = v
            while root in self.view_of:
                root = self.view_of[root].inputs[0]
            return operand(v, home.get(root, -1))

        return self.program.replace(eqns=eqns, outputs=[result(v) for v in self.program.outputs],
                                    updates={s: result(v) for s, v in self.program.updates.items()})


def _spare(e: Eqn | None) -> tuple[bool, ...]:
    if e is None:
        return (False,)
    op = PLAN_OPS[e.op]
    metas = op.metas(e.attrs, *[None if v is None else v.meta for v in e.inputs])
    return tuple(k in op.spare for k, meta in enumerate(metas) if meta is not None)


def _takes(op: str, inputs: Sequence[Layout | None], outputs: Sequence[Value]) -> tuple[tuple[int, ...], ...]:
    """For each output the operands whose memory it may take over if they die there, as lowering decides it."""
    found = []
    for out in outputs:
        fits = []
        for k in PLAN_OPS[op].inplace:
            x = inputs[k] if k < len(inputs) else None
            if (x is not None and x.whole and x.shape == out.shape and x.strides == dense(out).strides
                    and x.root.dtype == out.dtype and all(y is None or y.root is not x.root or y == x for y in inputs)):
                fits.append(k)
        found.append(tuple(fits))
    return tuple(found)


def _cost(e: Eqn | None) -> float:
    """Time of an equation, in bytes that could be moved meanwhile."""
    if e is None:
        return 0.0
    op = PLAN_OPS[e.op]
    flops = op.cost(e.attrs, [None if v is None else v.meta for v in e.inputs], [v.meta for v in e.outputs]) if op.cost else 0.0
    return float(sum(v.nbytes for v in e.reads()) + sum(v.nbytes for v in e.outputs) + flops / _FLOPS_A_BYTE)


def _reduced(node: _Node, wanted: Sequence[bool]) -> _Node:
    """An elementwise instruction that gives fewer results, and reads no more than those need."""
    e = node.eqn
    assert e is not None
    steps, results = disassemble(e.attrs)
    outs = [k for k, w in enumerate(wanted) if w]
    steps, results = disassemble(assemble(steps, [results[k] for k in outs]))  # which leaves out what they do not need
    read = {ref[1] for ref in [*results, *(r for s in steps for r in s.operands)] if ref[0] == "in"}
    keep = [k for k in range(len(e.inputs)) if k in read]
    shapes = [e.inputs[k].shape for k in keep]
    if not shapes or np.broadcast_shapes(*shapes) != e.outputs[0].shape or any(v.dtype == np.float64 for v in e.reads()):
        keep = list(range(len(e.inputs)))  # the others give the shape, or the type to compute in

    def moved(ref: Ref) -> Ref:
        return ("in", keep.index(ref[1])) if ref[0] == "in" else ref

    attrs = assemble([replace(s, operands=tuple(map(moved, s.operands))) for s in steps], list(map(moved, results)))
    new = Eqn(e.op, [e.inputs[k] for k in keep], attrs, [e.outputs[k] for k in outs], e.line)
    layouts = tuple(node.layouts[k] for k in keep)
    return replace(node, eqn=new, layouts=layouts, reads=tuple(node.reads[k] for k in keep),
                   writes=tuple(node.writes[k] for k in outs), spare=tuple(node.spare[k] for k in outs),
                   takes=_takes(e.op, layouts, new.outputs), cost=_cost(new))
