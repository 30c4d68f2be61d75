"""From a Python function to a Program: run it, keep what was recorded, and prove that it depends on nothing else.

Contract: `trace` runs ``f`` twice, on the data given and on other data of the same shapes, and refuses with `TraceBreak`
(E0012) unless both give the same program (the *two-trace rule*). What an argument brings is an input; Parameters and
buffers are states, bound by reference; every other array is a constant, equal in both traces. A buffer, or a leaf of no
gradient, that the function writes (`copy_`, an assignment to a buffer) is a state that the program updates.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tape, Tensor
from ..autograd.host import hosted_by
from ..autograd.primitive import REGISTRY
from ..autograd.tape import Node, apply, no_grad, stopped
from ..autograd.tape import trace as record_all
from ..errors import TraceBreak
from .ir import Eqn, Program, Value, array_hash
from .tree import flatten, unflatten

__all__ = ["Hosted", "Traced", "other_data", "program_of", "replay", "same_program", "trace"]

_NDIV_INTERNAL = True
tensor_module: Any = importlib.import_module("ndiv.autograd.tensor")  # the name in the package is the function
module_module: Any = importlib.import_module("ndiv.nn.module")


@dataclass
class Traced:
    """A traced function: the program, how its arguments and results are taken apart, and the Tensors behind its states.

    tensors  by the names of the states: what holds their ``data``, a Tensor or a `BufferState`
    first    the arguments' arrays of the first trace
    second   (arguments' arrays, results' arrays, new values of states by name) of the second trace, for checking what is
             made of the program
    streams  random streams that one run uses
    draws    inputs that no argument brings, by name: (function of a generator, its stream), see `ndiv.random.draw`
    hosted   inputs that Python makes of others, see `ndiv.autograd.host`
    """

    program: Program
    in_spec: Any
    out_spec: Any
    tensors: dict[str, Any]
    first: list[np.ndarray]
    second: tuple[list[np.ndarray], list[np.ndarray], dict[str, np.ndarray]]
    streams: int = 0
    draws: dict[str, tuple[Callable[..., np.ndarray], int]] = field(default_factory=dict)
    hosted: list[Hosted] = field(default_factory=list)


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
    return Traced(first.program, spec, first.spec, first.tensors, first_data, (other, second.results, second.updates),
                  first.streams, first.draws, first.hosted)


@dataclass
class _Run:
    program: Program
    spec: Any
    tensors: dict[str, Any]
    results: list[np.ndarray]
    updates: dict[str, np.ndarray]
    streams: int
    draws: dict[str, tuple[Callable[..., np.ndarray], int]]
    hosted: list[Hosted]


@dataclass
class Hosted:
    """Inputs ``names`` of a program: what ``function`` returns for the results of ``before``, a program of the inputs that come
    before them and of states (``tensors``)."""

    names: list[str]
    function: Callable[..., tuple[np.ndarray, ...]]
    before: Program
    tensors: dict[str, Any]

    def __call__(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs by name, for the inputs before them by name. As op by op, so that texts about them are the same."""
        p = self.before
        known: dict[Value, Any] = {**{v: arrays[v.name] for v in p.inputs}, **{v: self.tensors[v.name].data for v in p.states},
                                   **p.consts}
        replay(p.eqns, known)
        return dict(zip(self.names, self.function(*[known[v] for v in p.outputs]), strict=True))


class BufferState:
    """A module's buffer as the state of a plan: its array is looked up at each call, since assignments replace it."""

    def __init__(self, module: Any, name: str) -> None:
        self.module, self.name = module, name

    @property
    def data(self) -> np.ndarray:
        held: Any = self.module._buffers[self.name]
        if not isinstance(held, np.ndarray) or not (held.flags.c_contiguous and held.flags.writeable):
            self.module._buffers[self.name] = held = np.array(held, order="C")
        return held


class _States:
    """What a function that is being traced keeps between calls: buffers, which are Tensors as long as it runs, and leaves
    that it writes. Such a leaf stands for its new value until the trace ends."""

    def __init__(self, inputs: list[Tensor], names: dict[int, str] | None) -> None:
        self.inputs = {id(t) for t in inputs}
        self.names = dict(names or {})
        self.buffers: dict[tuple[int, str], Tensor] = {}
        self.holders: dict[int, BufferState] = {}  # id of a buffer's Tensor -> where the buffer lives
        self.written: dict[int, tuple[Tensor, np.ndarray]] = {}  # leaves, and what they held before

    def buffer(self, module: Any, name: str, *new: Any) -> Any:
        """`on_buffer` of `ndiv.nn.module`."""
        if not random.is_traced():
            return None
        key = (id(module), name)
        if key not in self.buffers:
            held = module._buffers[name]
            self.buffers[key] = t = Tensor(np.asarray(held))
            self.holders[id(t)] = BufferState(module, name)
            self.names[id(t)] = self.names.get(id(held), f"{type(module).__name__}.{name}")
        leaf = self.buffers[key]
        if new:
            leaf.copy_(new[0])
            return True
        return leaf

    def write(self, leaf: Tensor, values: Any) -> bool:
        """`on_write` of `ndiv.autograd.tensor`."""
        if not random.is_traced() or (leaf.node is not None and id(leaf) not in self.written):
            return False
        if id(leaf) in self.inputs or leaf.requires_grad:
            what = "an argument" if id(leaf) in self.inputs else "a leaf that requires a gradient"
            raise TraceBreak(f"a function that is being compiled writes {what} in place", value=leaf.shape,
                             hint="return the new values, and copy them outside of the function")
        self.written.setdefault(id(leaf), (leaf, leaf.data))
        self.names.setdefault(id(leaf), leaf.name or f"s{len(self.written)}")
        with no_grad():
            new = values if isinstance(values, Tensor) else Tensor(np.asarray(values))
            new = new if new.dtype == leaf.dtype else new.astype(leaf.dtype)
            new = stopped(new if new.shape == leaf.shape else new.expand(leaf.shape))
        leaf.data, leaf.node, leaf.slot = new.data, new.node, new.slot
        return True

    def updates(self) -> list[tuple[Tensor, Tensor]]:
        """(leaf, its new value)."""
        return [(leaf, Tensor(leaf.data, False, leaf.node, leaf.slot)) for leaf, _ in self.written.values()]

    def restore(self) -> None:
        """Leaves as they were before."""
        for leaf, data in self.written.values():
            leaf.data, leaf.node, leaf.slot = data, None, 0


def _once(f: Callable[..., Any], spec: Any, paths: list[str], data: list[np.ndarray], name: str,
          names: dict[int, str] | None) -> _Run:
    inputs = [Tensor(a) for a in data]
    mine = {id(t) for t in inputs} | set(names or {})
    states = _States(inputs, names)
    drawn: dict[str, Tensor] = {}
    draws: dict[str, tuple[Callable[..., np.ndarray], int]] = {}

    def draw(function: Callable[..., np.ndarray]) -> Tensor:
        key, stream = random.next_stream()
        path = f"drawn{len(drawn)}"
        while path in paths:
            path += "_"
        drawn[path], draws[path] = Tensor(function(random.generator_at(key, stream))), (function, stream)
        mine.add(id(drawn[path]))
        return drawn[path]

    made: dict[str, Tensor] = {}
    hosted: list[Hosted] = []

    def host(function: Callable[..., tuple[np.ndarray, ...]], sources: Sequence[Any]) -> tuple[Tensor, ...]:
        given = [*zip(paths, inputs, strict=True), *drawn.items(), *made.items()]
        before, held = program_of(name, given, list(sources), states.names)
        read_from = {v.name for v in before.outputs} | {v.name for e in before.eqns for v in e.reads()}
        if any("stream" in e.attrs for e in before.eqns) or read_from & set(drawn):
            raise TraceBreak("Python that is called in a function that is being compiled depends on random numbers",
                             hint="give `host` what comes before dropout and what is drawn")
        before.inputs = [v for v in before.inputs if v.name in read_from]
        results = [Tensor(a) for a in function(*[t.data if isinstance(t, Tensor) else t for t in sources])]
        new = [f"hosted{len(made) + k}" for k in range(len(results))]
        made.update(zip(new, results, strict=True))
        mine.update(map(id, results))
        hosted.append(Hosted(new, function, before, {k: states.holders.get(id(t), t) for k, t in held.items()}))
        return tuple(results)

    def read(t: Tensor) -> None:
        if random.is_traced() and (t.node is not None or id(t) in mine):  # other threads read what they like
            raise TraceBreak("a function that is being compiled reads the value of a tensor", value=t.shape,
                             hint="use ndiv.where in the place of a Python choice; see docs/errors.md, E0012")

    outer = tensor_module.on_read, tensor_module.on_write, module_module.on_buffer
    tensor_module.on_read, tensor_module.on_write, module_module.on_buffer = read, states.write, states.buffer
    try:
        with random.traced(draw), hosted_by(host), record_all(values=False), np.errstate(all="ignore"):
            results = f(*unflatten(spec, inputs))
            streams = random.get_state()[1]
        found, out_spec = flatten(results)
        outs = [t for _, t in found]
        updates = states.updates()
        program, tensors = program_of(name, [*zip(paths, inputs, strict=True), *drawn.items(), *made.items()], outs,
                                      states.names, updates)
        new = {v.name: t.data for v, (_, t) in zip(program.updates, updates, strict=True)}
        values = [np.asarray(t.data if isinstance(t, Tensor) else t) for t in outs]
    finally:
        tensor_module.on_read, tensor_module.on_write, module_module.on_buffer = outer
        states.restore()
    holders = {k: states.holders.get(id(t), t) for k, t in tensors.items()}
    return _Run(program, out_spec, holders, values, new, streams, draws, hosted)


def program_of(name: str, inputs: Iterable[tuple[str, Tensor]], outputs: Iterable[Any], names: dict[int, str] | None = None,
               updates: Sequence[tuple[Tensor, Tensor]] = ()) -> tuple[Program, dict[str, Tensor]]:
    """The program behind recorded outputs, and the Tensor of each state. ``updates``: (leaf, its new value)."""
    return _Extraction(name, names or {}).run(inputs, list(outputs), updates)


class _Extraction:
    """Nodes to equations."""

    def __init__(self, name: str, names: dict[int, str]) -> None:
        self.program = Program(name)
        self.names = names
        self.values: dict[Any, Value] = {}  # (id of node, slot), or id of a leaf or array
        self.tensors: dict[str, Tensor] = {}
        self.alive: list[Any] = []  # what ids belong to
        self.count = itertools.count()

    def run(self, inputs: Iterable[tuple[str, Tensor]], outputs: list[Any],
            updates: Sequence[tuple[Tensor, Tensor]]) -> tuple[Program, dict[str, Tensor]]:
        p = self.program
        for path, t in inputs:
            value = Value(path, t.shape, t.dtype)
            self.values[id(t)] = value
            p.inputs.append(value)
        self.taken = {v.name for v in p.inputs}
        for node in Tape.of(*[t for t in (*outputs, *(new for _, new in updates)) if isinstance(t, Tensor)]):
            p.eqns.append(self.eqn(node))
        p.outputs = [self.values[id(t.node), t.slot] if isinstance(t, Tensor) and t.node is not None else self.leaf(t)
                     for t in outputs]
        p.updates = {self.leaf(leaf): self.values[id(new.node), new.slot] for leaf, new in updates}
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
        stop = not node.needs and any(p.needs if isinstance(p, Node) else isinstance(p, Tensor) and p.requires_grad
                                      for p in node.parents)
        return Eqn(node.prim.name, inputs, dict(node.attrs), outs, _place(node.line), stop)

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
        values = [known[v] if isinstance(v, Value) else v for v in e.inputs]
        if e.stop:
            with no_grad():
                out = apply(prim, values, e.attrs)
        else:
            out = apply(prim, values, e.attrs)
        outs = out if isinstance(out, tuple) else (out,)
        for value, t in zip(e.outputs, outs, strict=True):
            known[value] = t
            if isinstance(t, Tensor) and t.node is not None:
                t.node.where = e.line
    return known
