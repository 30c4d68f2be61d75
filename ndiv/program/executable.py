"""Executable: a plan bound to the arrays it works on, behind one call.

Contract: `Executable(program, tensors)` runs the passes, lowers, and binds states by reference: it reads and writes the very
arrays of the Tensors. The C executor runs it where the native backend is in force and the program is float32; the NumPy
interpreter runs the same bytes everywhere else. One instance may be called from several threads when it has no states
that it updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import backends, random
from ..autograd import Tensor
from ..autograd.tape import _sequence
from ..errors import ShapeError
from .interpret import Interpreter
from .ir import Program
from .lower import lower
from .passes import run_passes
from .passes.recompute import recompute
from .passes.select import RNG
from .plan import Plan
from .trace import Hosted

__all__ = ["Executable", "engine_of"]

_WIDE = {"adamw", "adamw_amsgrad", "sgd", "rmsprop", "sumsq_scale"}  # operations whose float64 operands are numbers, not data
_F64 = np.dtype(np.float64)


def engine_of(plan: Plan) -> str:
    """What runs this plan here: "native", or "numpy" for float64 data and where no extension is in force."""
    if backends.current() != "native":
        return "numpy"
    for i in plan.instructions:
        if i.op not in _WIDE and any(v is not None and plan.values[v].dtype == _F64 for v in (*i.inputs, *i.outputs)):
            return "numpy"
    return "native"


class Executable:
    """A program that runs.

    program   after all passes; ``source`` is what it was made from
    plan      what runs; ``engine`` says by whom: "native" or "numpy"
    memory    the most bytes that temporaries may take; more than that are computed again (`passes.recompute`)
    draws     inputs that are drawn before each run: name -> (function of a generator, its stream)
    hosted    inputs that Python makes of others before each run, see `trace.Hosted`
    """

    def __init__(self, program: Program, tensors: dict[str, Any] | None = None, streams: int = 0,
                 engine: str | None = None, passes: Iterable[str] | None = None, memory: int | None = None,
                 draws: dict[str, Any] | None = None, hosted: Sequence[Hosted] = ()) -> None:
        self.source = program
        self.program = run_passes(program, passes)
        if memory is not None:
            self.program = recompute(self.program, memory)
        self.plan = lower(self.program)
        self.engine = engine or engine_of(self.plan)
        self.streams = streams
        slots = self.plan.slots
        drawn = draws or {}
        self.hosted = list(hosted)
        other = {RNG, *drawn, *(name for h in self.hosted for name in h.names)}
        self.inputs = [i for i in self.plan.slots_of("input") if slots[i].name not in other]
        self.made = {slots[i].name: i for i in self.plan.slots_of("input") if slots[i].name in other}
        self.draws = [(i, *drawn[slots[i].name]) for i in self.plan.slots_of("input") if slots[i].name in drawn]
        self.rng = [i for i in self.plan.slots_of("input") if slots[i].name == RNG]
        self.outputs = [(i, slots[i].shape, slots[i].dtype) for i in self.plan.slots_of("output")]
        known = tensors or {}
        self.states = [(i, known[slots[i].name], slots[i]) for i in self.plan.slots_of("state")]
        self.updated = [known[v.name] for v in program.updates if isinstance(known.get(v.name), Tensor)]
        self.bound: list[Any] = [None] * len(slots)  # what stays the same from call to call
        self.runner: Any
        self.bind: Any
        if self.engine == "native":
            from ..backends.plans import NativePlan

            self.runner = NativePlan(self.plan.raw, [self.plan.constants.get(i) for i in range(len(slots))])
        else:
            self.runner = Interpreter(self.plan.raw)
        if self.engine == "native":
            self.bind = self.runner.bind
        else:
            self.bind = self.bound.__setitem__
            for i, a in self.plan.constants.items():
                self.bound[i] = a
        self.held: list[Any] = [None] * len(self.states)  # the arrays that the states are bound to now
        self.expected = [(i, slots[i].shape, slots[i].dtype, slots[i].name) for i in self.inputs]

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Results for these inputs, in the order of the program's inputs."""
        slots, results = self.fill(arrays)
        self.runner.run(slots)
        for tensor in self.updated:
            tensor.written = next(_sequence)
        return results

    def bind_states(self) -> None:
        """Bind the arrays that the states' Tensors hold now."""
        held = self.held
        for k, (i, tensor, slot) in enumerate(self.states):
            if tensor.data is not held[k]:
                held[k] = _array(tensor, slot)
                self.bind(i, held[k])

    def fill(self, arrays: Sequence[np.ndarray]) -> tuple[list[Any], list[np.ndarray]]:
        """One array a slot, and fresh ones for the results among them."""
        self.bind_states()
        slots = list(self.bound)
        for (i, shape, dtype, name), a in zip(self.expected, arrays, strict=True):
            if a.shape != shape or a.dtype != dtype:
                raise ShapeError(f"{self.program.name}: {name} is {a.dtype}{list(a.shape)}, and the plan was made for "
                                 f"{dtype}{list(shape)}", value=a.shape, hint="compile again for other shapes")
            slots[i] = a if a.flags.c_contiguous else np.ascontiguousarray(a)
        if self.hosted:
            known = {name: a for (_, _, _, name), a in zip(self.expected, arrays, strict=True)}
            for h in self.hosted:
                made = h(known)
                known.update(made)
                for name in made.keys() & self.made.keys():
                    slots[self.made[name]] = np.ascontiguousarray(made[name])
        if self.streams or self.rng:
            key, stream = random.get_state()
            for i in self.rng:
                slots[i] = np.array([key, stream], np.uint64).view(np.int64)
            for i, function, offset in self.draws:
                slots[i] = function(random.generator_at(key, stream + offset))
            random.set_state((key, stream + self.streams))
        results = []
        for i, shape, dtype in self.outputs:
            slots[i] = out = np.empty(shape, dtype)
            results.append(out)
        return slots, results

    def profile(self, arrays: Sequence[np.ndarray], repeats: int) -> list[float]:
        """Mean nanoseconds of each instruction over some runs. States are written as in any run."""
        times = np.zeros(len(self.plan.instructions), np.int64)
        slots, _ = self.fill(arrays)
        self.runner.profile(slots, np.zeros_like(times))  # the first run warms caches
        for _ in range(repeats):
            self.runner.profile(slots, times)
        return [float(t) / repeats for t in times]


def _array(tensor: Any, slot: Any) -> np.ndarray:
    """The array of a state, contiguous and of the shape that the plan was made for."""
    a: np.ndarray = tensor.data
    if not a.flags.c_contiguous and isinstance(tensor, Tensor):
        tensor.data = a = np.ascontiguousarray(a)
    if a.shape != slot.shape or a.dtype != slot.dtype:
        raise ShapeError(f"the state {slot.name} is {a.dtype}{list(a.shape)}, and the plan was made for "
                         f"{slot.dtype}{list(slot.shape)}", value=a.shape, hint="compile again after changing a parameter")
    return a
