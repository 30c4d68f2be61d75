"""Selection: every primitive becomes plan operations and views.

Contract: the rules stand with the operations (``SELECT`` in `ndiv.program.ops`). A primitive without a rule, or whose rule
gives up, is lowered through its decomposition; one that has neither is a `LowerError`. Views (reshape, permute, expand,
slices) stay: `ndiv.program.lower` turns them into strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import random
from ...autograd import Tensor
from ...autograd.ops.shape import _basic
from ...autograd.primitive import REGISTRY
from ...autograd.tape import Node, Tape
from ...autograd.tape import trace as record_all
from ...errors import ConfigError
from ..ir import Eqn, Program, Value, array_hash
from ..ops import PLAN_OPS, SELECT
from .rewrite import Names

__all__ = ["Builder", "LowerError", "is_view", "select"]

_NDIV_INTERNAL = True
RNG = "rng"  # the state that random operations read: (key, first stream of this run)


class LowerError(ConfigError):
    """A primitive that no plan operation and no decomposition covers (E0010)."""


def is_view(e: Eqn) -> bool:
    """Whether the equation only looks at its input in another way."""
    return e.op in ("reshape", "permute", "expand") or (e.op == "getitem" and _basic(e.attrs["key"].key))


def select(program: Program) -> Program:
    """The program in plan operations."""
    return Builder(program).run()


class Builder:
    """What selection rules write with."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = Names(program)
        self.consts = dict(program.consts)
        self.by_hash = {array_hash(a): v for v, a in self.consts.items()}
        self.inputs = list(program.inputs)
        self.eqns: list[Eqn] = []
        self.line = ""

    def run(self) -> Program:
        """The whole program."""
        for e in self.program.eqns:
            self.line = e.line
            self.lower(e.op, e.inputs, e.attrs, e.outputs)
        return self.program.replace(eqns=self.eqns, consts=self.consts, inputs=self.inputs)

    # -- for rules -------------------------------------------------------------------------------------------------

    def emit(self, op: str, inputs: Sequence[Value | None], attrs: dict[str, Any], outputs: Sequence[Value]) -> None:
        """Define ``outputs`` by one plan operation (or view)."""
        self.eqns.append(Eqn(op, inputs, attrs, outputs, self.line))

    def temp(self, shape: Sequence[int], dtype: Any) -> Value:
        """A fresh value, to be defined by `emit`."""
        return self.names.value(shape, dtype)

    def constant(self, array: Any) -> Value:
        """The value of a constant array."""
        a = np.asarray(array)
        key = array_hash(a)
        if key not in self.by_hash:
            value = self.names.value(a.shape, a.dtype, "c")
            self.consts[value] = a
            self.by_hash[key] = value
        return self.by_hash[key]

    def rng(self, key: int = 0) -> Value:
        """(key, base stream), int64 [2], that random operations read: an input or, for a key that the function set itself,
        a constant."""
        if key:
            return self.constant(np.array([key, 0], np.uint64).view(np.int64))
        for v in self.inputs:
            if v.name == RNG:
                return v
        value = Value(RNG, (2,), np.int64)
        self.inputs.append(value)
        return value

    def apply(self, name: str, inputs: Sequence[Any], attrs: dict[str, Any] | None = None) -> Any:
        """The result(s) of a primitive, lowered in turn."""
        attrs = attrs or {}
        prim = REGISTRY[name]
        out = prim.run(*[_stand_in(v) for v in inputs], **attrs)
        outs = [self.temp(np.shape(o), np.asarray(o).dtype) for o in (out if isinstance(out, tuple) else (out,))]
        self.lower(name, inputs, attrs, outs)
        return tuple(outs) if prim.n_out != 1 else outs[0]

    # -- choosing --------------------------------------------------------------------------------------------------

    def lower(self, op: str, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Value]) -> None:
        """One equation."""
        if is_view(Eqn(op, inputs, attrs, outputs)) and isinstance(inputs[0], Value):
            self.emit(op, inputs, attrs, outputs)
            return
        if op not in REGISTRY:  # a plan operation already
            self.emit(op, inputs, attrs, outputs)
            return
        values = [self.number(v, inputs, outputs) for v in inputs]
        if op in SELECT:
            rule = SELECT[op]
            if rule is None:
                known = PLAN_OPS[op].attrs
                self.emit(op, values, {k: v for k, v in attrs.items() if k in known}, outputs)
                return
            mark = len(self.eqns)
            if rule(self, values, attrs, outputs) is not False:
                return
            del self.eqns[mark:]
        self.decompose(op, inputs, attrs, outputs)

    def number(self, v: Any, inputs: Sequence[Any], outputs: Sequence[Value]) -> Value | None:
        """A number as a constant, in the type of the arrays beside it (numbers do not widen them)."""
        if v is None or isinstance(v, Value):
            return v
        kinds = [w.dtype for w in inputs if isinstance(w, Value) and w.dtype.kind == "f"] + [
            w.dtype for w in outputs if w.dtype.kind == "f"]
        return self.constant(np.asarray(v, kinds[0] if kinds else None))

    def decompose(self, op: str, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Value]) -> None:
        """Record the decomposition once on stand-ins (plain numbers stay what they are), and lower what it recorded."""
        prim = REGISTRY[op]
        if prim.decompose is None:
            raise LowerError(f"{op} has no plan operation and no decomposition", value=op,
                             hint="this function cannot be compiled; run it op by op")
        tensors = [Tensor(_stand_in(v)) if isinstance(v, Value) else v for v in inputs]
        with random.traced(), record_all(), np.errstate(all="ignore"):
            out = prim.decompose(*tensors, **attrs)
        outs = list(out) if isinstance(out, tuple) else [out]
        known: dict[Any, Any] = {id(t): v for t, v in zip(tensors, inputs, strict=True) if isinstance(v, Value)}
        wanted: dict[Any, Value] = {}
        for t, v in zip(outs, outputs, strict=True):
            if isinstance(t, Tensor) and t.node is not None and (id(t.node), t.slot) not in wanted:
                wanted[id(t.node), t.slot] = v
        for node in Tape.of(*[t for t in outs if isinstance(t, Tensor)]):
            results = []
            for slot, (shape, dtype) in enumerate(node.metas):
                results.append(wanted.get((id(node), slot)) or self.temp(shape, dtype))
                known[id(node), slot] = results[-1]
            self.lower(node.prim.name, self._operands(node, known), node.attrs, results)
        for t, v in zip(outs, outputs, strict=True):  # results that are inputs, constants, or one another
            if not (isinstance(t, Tensor) and t.node is not None and wanted[id(t.node), t.slot] is v):
                self.emit("reshape", [self._leaf(t, known)], {"shape": v.shape}, [v])

    def _operands(self, node: Node, known: dict[Any, Any]) -> list[Any]:
        found: list[Any] = []
        for i, (parent, value) in enumerate(zip(node.parents, node.inputs, strict=True)):
            if isinstance(parent, Node):
                found.append(known[id(parent), node.slots[i] if node.slots else 0])
            elif parent is not None:
                found.append(self._leaf(parent, known))
            else:
                found.append(value if value is None or isinstance(value, (bool, int, float)) else self.constant(value))
        return found

    def _leaf(self, t: Any, known: dict[Any, Any]) -> Value:
        if isinstance(t, Tensor) and t.node is not None:
            return known[id(t.node), t.slot]
        return known.get(id(t)) or self.constant(t.data if isinstance(t, Tensor) else t)


def _stand_in(v: Any) -> Any:
    """An array of a value's shape and type, for finding out what an op gives; it takes no memory."""
    return np.broadcast_to(np.ones((), v.dtype), v.shape) if isinstance(v, Value) else v
