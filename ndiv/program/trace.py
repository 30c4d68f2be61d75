"""From a Python function to a Program: run it, keep what was recorded, and prove that it depends on nothing else.

Contract: `trace` runs ``f`` twice, on the data given and on other data of the same shapes, and refuses with `TraceBreak`
(E0012) unless both give the same program (the *two-trace rule*). What an argument brings is an input; Parameters and
buffers are states, bound by reference; every other array is a constant, equal in both traces.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tape, Tensor
from ..autograd.primitive import REGISTRY
from ..autograd.tape import Node, apply
from ..autograd.tape import trace as record_all
from ..errors import TraceBreak
from .ir import Eqn, Program, Value, array_hash
from .tree import flatten, unflatten

__all__ = ["Traced", "other_data", "program_of", "replay", "same_program", "trace"]

_NDIV_INTERNAL = True
tensor_module: Any = importlib.import_module("ndiv.autograd.tensor")  # the name in the package is the function


@dataclass
class Traced:
    """A traced function: the program, how its arguments and results are taken apart, and the Tensors behind its states.

    tensors  by the names of the states
    second   (arguments' arrays, results' arrays) of the second trace, for checking what is made of the program
    streams  random streams that one run uses
    """

    program: Program
    in_spec: Any
    out_spec: Any
    tensors: dict[str, Tensor]
    second: tuple[list[np.ndarray], list[np.ndarray]]
    streams: int = 0


def trace(f: Callable[..., Any], args: tuple[Any, ...], name: str = "", names: dict[int, str] | None = None) -> Traced:
    """The program of ``f(*args)``. ``names``: id of a Tensor -> the name of its state.

    >>> import ndiv, numpy as np
    >>> print(trace(lambda x: (x * 2).sum(), (np.ones(3, np.float32),), "twice").program, end="")
    program 'twice'
    input %x0 : f32[3]
    %0 : f32[3] = mul(%x0, 2)
    %1 : f32[] = sum(%0) {dim=None, keepdim=False}
    output %1
    """
    leaves, spec = flatten(args)
    paths = [path for path, _ in leaves]
    first_data = [np.asarray(a.data if isinstance(a, Tensor) else a) for _, a in leaves]
    label = name or getattr(f, "__name__", "program")
    first = _once(f, spec, paths, first_data, label, names)
    other = [other_data(a, seed) for seed, a in enumerate(first_data)]
    second = _once(f, spec, paths, other, label, names)
    same_program(first.program, second.program)
    if first.spec != second.spec or first.streams != second.streams:
        raise TraceBreak("the structure of the results depends on the data", value=str(second.spec))
    values = [np.asarray(t.data if isinstance(t, Tensor) else t) for t in second.results]
    return Traced(first.program, spec, first.spec, first.tensors, (other, values), first.streams)


@dataclass
class _Run:
    program: Program
    spec: Any
    tensors: dict[str, Tensor]
    results: list[Any]
    streams: int


def _once(f: Callable[..., Any], spec: Any, paths: list[str], data: list[np.ndarray], name: str,
          names: dict[int, str] | None) -> _Run:
    inputs = [Tensor(a) for a in data]
    mine = {id(t) for t in inputs} | set(names or {})

    def read(t: Tensor) -> None:
        if random.is_traced() and (t.node is not None or id(t) in mine):  # other threads read what they like
            raise TraceBreak("a function that is being compiled reads the value of a tensor", value=t.shape,
                             hint="use ndiv.where in the place of a Python choice; see docs/errors.md, E0012")

    outer = tensor_module.on_read
    tensor_module.on_read = read
    try:
        with random.traced(), record_all(), np.errstate(all="ignore"):
            results = f(*unflatten(spec, inputs))
            streams = random.get_state()[1]
    finally:
        tensor_module.on_read = outer
    found, out_spec = flatten(results)
    outs = [t for _, t in found]
    program, tensors = program_of(name, list(zip(paths, inputs, strict=True)), outs, names)
    return _Run(program, out_spec, tensors, outs, streams)


def program_of(name: str, inputs: Iterable[tuple[str, Tensor]], outputs: Iterable[Any],
               names: dict[int, str] | None = None) -> tuple[Program, dict[str, Tensor]]:
    """The program behind recorded outputs, and the Tensor of each state."""
    return _Extraction(name, names or {}).run(inputs, list(outputs))


class _Extraction:
    """Nodes to equations."""

    def __init__(self, name: str, names: dict[int, str]) -> None:
        self.program = Program(name)
        self.names = names
        self.values: dict[Any, Value] = {}  # (id of node, slot), or id of a leaf or array
        self.tensors: dict[str, Tensor] = {}
        self.alive: list[Any] = []  # what ids belong to
        self.count = itertools.count()

    def run(self, inputs: Iterable[tuple[str, Tensor]], outputs: list[Any]) -> tuple[Program, dict[str, Tensor]]:
        p = self.program
        for path, t in inputs:
            value = Value(path, t.shape, t.dtype)
            self.values[id(t)] = value
            p.inputs.append(value)
        self.taken = {v.name for v in p.inputs}
        for node in Tape.of(*[t for t in outputs if isinstance(t, Tensor)]):
            p.eqns.append(self.eqn(node))
        p.outputs = [self.operand(t, t.node, t.slot) if isinstance(t, Tensor) and t.node is not None
                     else self.leaf(t) for t in outputs]
        return p, self.tensors

    def eqn(self, node: Node) -> Eqn:
        inputs: list[Any] = []
        for i, (parent, value) in enumerate(zip(node.parents, node.inputs, strict=True)):
            if isinstance(parent, Node):
                inputs.append(self.values[id(parent), node.slots[i] if node.slots else 0])
            elif parent is not None:
                inputs.append(self.leaf(parent))
            elif value is None or isinstance(value, (bool, int, float)):
                inputs.append(value)
            else:
                inputs.append(self.constant(np.asarray(value)))
        outs = []
        for slot, (shape, dtype) in enumerate(node.metas):
            out = Value(str(next(self.count)), shape, dtype)
            self.values[id(node), slot] = out
            outs.append(out)
        self.alive.append(node)
        return Eqn(node.prim.name, inputs, dict(node.attrs), outs, _place(node.line))

    def operand(self, t: Any, node: Node, slot: int) -> Value:
        return self.values[id(node), slot]

    def leaf(self, t: Any) -> Value:
        """A Tensor that no op made, or an array."""
        if not isinstance(t, Tensor):
            return self.constant(np.asarray(t))
        if id(t) in self.values:
            return self.values[id(t)]
        if not t.requires_grad and id(t) not in self.names:
            return self.constant(t.data)
        name = self.names.get(id(t)) or t.name or f"p{len(self.program.states)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        value = Value(name, t.shape, t.dtype)
        self.values[id(t)] = value
        self.tensors[name] = t
        self.program.states.append(value)
        self.alive.append(t)
        return value

    def constant(self, a: np.ndarray) -> Value:
        key = ("constant", array_hash(a))
        if key not in self.values:
            self.values[key] = Value(f"c{len(self.program.consts)}", a.shape, a.dtype)
            self.program.consts[self.values[key]] = a.copy()
        return self.values[key]


def _place(line: str) -> str:
    """The last two parts of a path, with the line."""
    return "/".join(line.split("/")[-2:])


def other_data(a: np.ndarray, seed: int) -> np.ndarray:
    """Other values of the same kind: the elements in another order and, for real numbers, scaled; masks of zeros and ones
    with some of them turned, so that "all present" is no longer true."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 77]))
    if a.dtype.kind == "b" or (a.size and np.isin(a, (0, 1)).all()):
        turned = rng.random(a.shape) < 0.3
        return np.where(turned, 1 - a.astype(np.float64), a).astype(a.dtype)
    b = rng.permutation(a.reshape(-1)).reshape(a.shape)
    if a.dtype.kind == "f" and not (np.isfinite(a).all() and (a == np.round(a)).all()):
        b = (b * rng.uniform(0.8, 1.2, a.shape)).astype(a.dtype)
    return b


def same_program(first: Program, second: Program) -> None:
    """`TraceBreak`, naming the first difference, unless two traces are equal."""
    a, b = first.text(lines=True).splitlines(), second.text(lines=True).splitlines()
    for x, y in itertools.zip_longest(a, b, fillvalue=""):
        if x == y:
            continue
        if x.startswith("const "):
            name = x.split()[1]
            readers = [e for e in first.eqns if any(f"%{v.name}" == name for v in e.reads())]
            where = f"{readers[0].op}, {readers[0].line}" if readers else "the results"
            raise TraceBreak(f"an array that depends on the data entered the program as a constant, at {where}",
                             value=x, hint="compute it with ndiv functions on Tensors, so that the tape sees it")
        raise TraceBreak(f"the program depends on the data: `{x}` became `{y}`", value=x,
                         hint="the ops and their attributes must not follow from values; use ndiv.where")


# running a program again on Tensors ---------------------------------------------------------------------------------

def replay(eqns: Iterable[Eqn], known: dict[Value, Any]) -> dict[Value, Any]:
    """Run equations of primitives on Tensors (or arrays), so that they are recorded anew; adds to ``known``."""
    for e in eqns:
        prim = REGISTRY[e.op]
        out = apply(prim, [known[v] if isinstance(v, Value) else v for v in e.inputs], e.attrs)
        outs = out if isinstance(out, tuple) else (out,)
        for value, t in zip(e.outputs, outs, strict=True):
            known[value] = t
            if isinstance(t, Tensor) and t.node is not None:
                t.node.where = e.line
    return known
