"""Fusion: neighbouring elementwise operations become one register program over the elements.

Contract: an operation is merged into a reader that walks the same elements (its result has the reader's shape, or the same
elements in another shape), when every other reader comes later; its result is then kept as a second output. Constants of
one element move into the code. The merged program runs the same scalar operations, so no bit changes.
"""

from __future__ import annotations

from ..ir import Eqn, Program, Value
from ..ops.vm_code import Ref, Step, assemble, disassemble
from .rewrite import Names, finish
from .select import is_view

__all__ = ["fuse"]


def fuse(program: Program) -> Program:
    """The program with elementwise operations merged."""
    return _Fusion(program).run()


class _Fusion:
    """The equations by position; a merged one leaves a gap, and ``before`` holds views that a position needs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.eqns: list[Eqn | None] = list(program.eqns)
        self.before: dict[int, list[Eqn]] = {}
        self.names = Names(program)
        self.results = set(program.results())
        self.numbers = self.known_numbers()
        self.maker: dict[Value, int] = {}
        self.readers: dict[Value, set[int]] = {}

    def known_numbers(self) -> dict[Value, float]:
        """Constants of one element, seen through views."""
        found = {v: float(a.reshape(-1)[0]) for v, a in self.program.consts.items()
                 if a.size == 1 and a.dtype.kind in "fb"}
        for e in self.program.eqns:
            if is_view(e) and e.inputs[0] in found:
                found[e.outputs[0]] = found[e.inputs[0]]
        return found

    def run(self) -> Program:
        for at, e in enumerate(self.eqns):
            for v in e.outputs if e is not None else ():
                self.maker[v] = at
            if e is not None and e.op == "vm":
                e = self.eqns[at] = self.with_numbers(e)
            for v in e.reads() if e is not None else ():
                self.readers.setdefault(v, set()).add(at)
        for at, e in enumerate(self.eqns):
            while e is not None and e.op == "vm" and self.absorb(at):
                e = self.eqns[at]  # gone when it moved up to its producer
        eqns = [x for at, e in enumerate(self.eqns) for x in (*self.before.get(at, ()), e) if x is not None]
        return finish(self.program, eqns, {})

    def with_numbers(self, e: Eqn) -> Eqn:
        """Inputs that hold one known number as numbers in the code, as long as one array is left to give the shape."""
        keep = [v for v in e.inputs if v not in self.numbers]
        shape = e.outputs[0].shape
        if len(keep) == len(e.inputs) or not any(v.shape == shape for v in keep):
            return e
        operands = [("in", keep.index(v)) if v not in self.numbers else ("const", self.numbers[v]) for v in e.inputs]
        steps, results = joined([], e, operands)
        return Eqn("vm", keep, assemble(steps, results), e.outputs, e.line)

    def absorb(self, at: int) -> bool:
        """Merge one producer into the operation at this position, if there is one that fits."""
        e = self.eqns[at]
        assert e is not None
        for v in dict.fromkeys(e.reads()):
            made = self.maker.get(v)
            producer = self.eqns[made] if made is not None else None
            if producer is None or made is None or v not in producer.outputs or v.shape != e.outputs[0].shape:
                continue  # (a view put before an operation is made there, but not by it)
            if producer.op == "vm" and self.merge(made, producer, e, at):
                return True
            if producer.op == "reshape" and self.merge_through(made, producer, e, at):
                return True
        return False

    def kept(self, producer: Eqn, at: int) -> list[Value] | None:
        """Outputs of the producer that others need too; None where one of them comes before ``at``."""
        kept = []
        for out in producer.outputs:
            others = self.readers.get(out, set()) - {at}
            if any(other < at for other in others):
                return None
            if others or out in self.results:
                kept.append(out)
        return kept

    def merge(self, made: int, p: Eqn, e: Eqn, at: int) -> bool:
        """e with p inside it."""
        kept = self.kept(p, at)
        if kept is not None:
            return self.replace(made, p, list(p.inputs), list(p.outputs), kept, e, at)
        if any(self.maker.get(x, -1) >= made for x in e.reads() if x not in p.outputs):
            return False
        kept = [out for out in p.outputs if out in self.results or self.readers.get(out, set()) - {at}]
        return self.replace(made, p, list(p.inputs), list(p.outputs), kept, e, at, made)

    def merge_through(self, view: int, reshape: Eqn, e: Eqn, at: int) -> bool:
        """e with the operation behind a reshape inside it: every array that it reads is then reshaped in its place."""
        inner, outer = reshape.inputs[0], reshape.outputs[0]
        made = self.maker.get(inner)
        p = self.eqns[made] if made is not None else None
        if (p is None or made is None or p.op != "vm" or len(p.outputs) != 1 or inner in self.results or outer in self.results
                or self.readers[inner] != {view} or self.readers[outer] != {at}):
            return False
        views: list[Eqn] = []
        inputs: list[Value] = []
        for x in p.inputs:
            if x.ndim == 0:
                inputs.append(x)
                continue
            maker = self.maker.get(x)
            source = self.eqns[maker] if maker is not None else None
            if x.shape != inner.shape or (source is not None and is_view(source)):  # it may not be dense: a copy would follow
                return False
            y = self.names.value(outer.shape, x.dtype)
            views.append(Eqn("reshape", [x], {"shape": outer.shape}, [y], e.line))
            inputs.append(y)
        if not self.replace(made, p, inputs, [outer], [], e, at):
            return False
        self.eqns[view] = None
        for v in views:
            self.before.setdefault(at, []).append(v)
            self.maker[v.outputs[0]] = at
            self.readers.setdefault(v.inputs[0], set()).discard(made)
            self.readers[v.inputs[0]].add(at)
        return True

    def replace(self, made: int, p: Eqn, inputs: list[Value], results: list[Value], kept: list[Value], e: Eqn, at: int,
                to: int | None = None) -> bool:
        """Put the merged operation in e's place, or at ``to``: p reads ``inputs``, and e knows p's outputs as ``results``."""
        together = list(dict.fromkeys([*inputs, *(x for x in e.inputs if x not in results)]))
        if not together:
            return False
        steps, first = joined([], p, [("in", together.index(x)) for x in inputs])
        operands = [first[results.index(x)] if x in results else ("in", together.index(x)) for x in e.inputs]
        steps, second = joined(steps, e, operands)
        outputs = [*second, *(first[list(p.outputs).index(v)] for v in kept)]
        try:
            new = Eqn("vm", together, assemble(steps, outputs), [*e.outputs, *kept], e.line)
        except ValueError:  # too many inputs, outputs or registers
            return False
        place = at if to is None else to
        self.eqns[made] = self.eqns[at] = None
        self.eqns[place] = new
        for x in p.inputs:
            self.readers.get(x, set()).discard(made)
        for x in e.inputs:
            self.readers.get(x, set()).discard(at)
        for x in together:
            self.readers.setdefault(x, set()).add(place)
        for v in new.outputs:
            self.maker[v] = place
        return True


def joined(steps: list[Step], e: Eqn, operands: list[Ref]) -> tuple[list[Step], list[Ref]]:
    """The steps with those of an operation on these operands after them, and what it gives."""
    shift = len(steps)
    own, outputs = disassemble(e.attrs)

    def moved(ref: Ref) -> Ref:
        return operands[ref[1]] if ref[0] == "in" else ("step", ref[1] + shift) if ref[0] == "step" else ref

    return [*steps, *(Step(s.op, tuple(map(moved, s.operands))) for s in own)], [moved(ref) for ref in outputs]
