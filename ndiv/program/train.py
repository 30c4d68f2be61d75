"""A model's training step as one plan: forward, loss, gradient, clipping and update.

Contract: `TrainStep(model)` compiles `compute_loss` for each set of batch shapes and runs it on the model's own parameters and
the optimizer's own arrays, so that a compiled step and an op-by-op step may follow one another. `TrainStep.reason` says why
a model is not compiled (then None is returned and the caller runs op by op).

A step of several batches is a plan for each shape of batch, which adds its gradients to arrays that are kept, and one that
clips and updates. So it takes the memory of one batch, however many there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tape import _sequence
from ..errors import TraceBreak
from .compiled import CACHE, _names_of
from .executable import Executable
from .grad import gradient
from .ir import Program, Value
from .passes.narrow import narrow
from .passes.select import LowerError
from .trace import Traced, trace
from .update import PlanGroup, add_to_sums, add_update

__all__ = ["TrainStep"]

_F64 = np.dtype(np.float64)


@dataclass
class _Step:
    """One compiled step: the executable, and the arrays of numbers that the optimizer's groups read."""

    executable: Executable
    hyper: list[np.ndarray]
    groups: list[tuple[dict[str, Any], list[int]]]  # a group, and the positions of its parameters that have gradients
    results: list[np.ndarray] | None = None  # loss and control, once they have a fixed place

    def __call__(self, arrays: list[np.ndarray]) -> tuple[float, float]:
        """(loss, global norm) of one step. A small step takes microseconds, so everything but the batch is bound once."""
        e = self.executable
        if e.engine != "native" or e.streams or e.hosted:
            loss, control = e([*arrays, *self.hyper])
            return float(loss), float(control[0])
        if self.results is None:
            self.results = [np.empty(shape, dtype) for _, shape, dtype in e.outputs]
            self.slots: list[Any] = list(e.bound)
            fixed = [*zip(e.inputs[len(arrays):], self.hyper, strict=True),
                     *zip([i for i, _, _ in e.outputs], self.results, strict=True)]
            for i, a in fixed:
                e.bind(i, a)
        e.bind_states()
        for i, a in zip(e.inputs, arrays, strict=False):
            self.slots[i] = a if a.flags.c_contiguous else np.ascontiguousarray(a)
        e.runner.run(self.slots)
        now = next(_sequence)
        for tensor in e.updated:
            tensor.written = now
        return self.results[0].item(), self.results[1].item(0)


def _narrow(v: Any) -> Any:
    """An array of the batch as float32 models take it."""
    a = v.data if isinstance(v, Tensor) else np.asarray(v)
    return a.astype(np.float32) if a.dtype == _F64 else a


@dataclass
class _Part:
    """The gradients of one batch of several, added to `TrainStep.sums`."""

    executable: Executable
    names: list[str]  # the parameters that have gradients


class TrainStep:
    """Compiled training steps of one model."""

    def __init__(self, model: Any, memory: int | None = None) -> None:
        self.model = model
        # bytes for temporaries, as `ndiv.compile` takes them; None: what the model was told
        self.memory = model.arguments["memory_budget"] if memory is None else memory
        self.cache: dict[Any, _Step] = {}
        self.parts: dict[Any, _Part] = {}
        self.sums: dict[str, np.ndarray] = {}  # by parameter: its gradient over the batches of a step
        self.reason = ""

    def __call__(self, batch: dict[str, Any] | list[dict[str, Any]]) -> float | None:
        """The loss before the update, NaN where the gradient is not finite; None when the model runs op by op. Of several
        batches the mean."""
        if self.reason or self.is_wide():
            return None
        try:
            if not isinstance(batch, list):
                return self.single(self.checked(batch))
            batches = [self.checked(b) for b in batch]
            return self.several(batches) if len(batches) > 1 else self.single(batches[0])
        except (TraceBreak, LowerError) as cause:
            self.reason = str(cause)
            return None

    def checked(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """The batch as arrays; `DataError` for targets that the loss refuses."""
        found = {k: _narrow(v) for k, v in batch.items() if v is not None}
        if "outsample_y" in found:
            self.model.loss.check_targets(found["outsample_y"], found.get("outsample_mask"))
        return found

    def single(self, batch: dict[str, np.ndarray]) -> float:
        """One step of one batch."""
        key = (*_shapes(batch), id(self.model.optimizer), self.configuration())
        step = self.cache.get(key) or _cached(self.cache, key, lambda: self.make(batch))
        return self.run(step, list(batch.values()))

    def several(self, batches: list[dict[str, Any]]) -> float:
        """One step of several batches: the mean of their losses, and one update by the mean of their gradients."""
        share = 1.0 / len(batches)
        optimizer = self.model.optimizer
        parts = [_cached(self.parts, (*_shapes(b), share, id(optimizer)), lambda b=b: self.part(b, share)) for b in batches]
        named = {n for p in parts for n in p.names}
        update = _cached(self.cache, (frozenset(named), id(optimizer), self.configuration()), lambda: self.update(named))
        for name in named:  # nothing has run before everything is compiled
            self.sums[name].fill(0.0)
        value = 0.0
        for part, batch in zip(parts, batches, strict=True):
            value += float(part.executable(list(batch.values()))[0])
        return self.run(update, [np.array(value, np.float32)])

    def is_wide(self) -> bool:
        """Whether the model is float64: the interpreter could run that, and op by op is as fast."""
        return any(p.dtype == _F64 for p in self.model.optimizer.params)

    def configuration(self) -> Any:
        """What of the optimizer is part of the program, not a number that it reads."""
        optimizer = self.model.optimizer
        return tuple((op, tuple(sorted(attrs.items())), arrays) for op, attrs, arrays in
                     (optimizer.plan(g) or ("", {}, ()) for g in optimizer.param_groups))

    def run(self, step: _Step, arrays: list[np.ndarray]) -> float:
        """One step."""
        optimizer = self.model.optimizer
        for (group, positions), numbers in zip(step.groups, step.hyper, strict=True):
            count = optimizer.counts[positions[0]] + 1 if positions else 1
            numbers[:] = optimizer.numbers(group, count)
        value, norm = step(arrays)
        if not math.isfinite(norm):
            return value if not math.isfinite(value) else math.nan
        if math.isfinite(value):
            for _, positions in step.groups:
                for i in positions:
                    optimizer.counts[i] += 1
        return value

    def make(self, batch: dict[str, Any]) -> _Step:
        """Trace, differentiate, add the update, lower."""
        traced, program, gradients = self.differentiated(self.model.compute_loss, batch)
        return self.updating(program, program.outputs[0], gradients, traced.tensors, traced)

    def part(self, batch: dict[str, Any], share: float) -> _Part:
        """Trace, differentiate, add the gradients to the sums, lower."""
        compute, params = self.model.compute_loss, self.trained()
        traced, program, gradients = self.differentiated(lambda b: compute(b) * share, batch)
        for name in gradients:
            self.sums.setdefault(name, np.zeros_like(params[name].data))
        tensors = {**traced.tensors, **{f"{n}.sum": _Entry(self.sums, n) for n in gradients}}
        whole = add_to_sums(program, program.outputs[0], gradients)
        return _Part(Executable(whole, tensors, memory=self.memory, **_brought(traced)), list(gradients))

    def update(self, named: set[str]) -> _Step:
        """The end of a step of several batches: norm, clipping, and the update by the sums."""
        params = {n: p for n, p in self.trained().items() if n in named}
        states = {n: Value(n, p.shape, p.dtype) for n, p in params.items()}
        sums = {n: Value(f"{n}.sum", p.shape, p.dtype) for n, p in params.items()}
        loss = Value("loss", (), np.dtype(np.float32))
        program = Program(f"{type(self.model).__name__}.update", [loss], [*states.values(), *sums.values()])
        return self.updating(program, loss, sums, {**params, **{f"{n}.sum": _Entry(self.sums, n) for n in params}})

    def trained(self) -> dict[str, Any]:
        """What the optimizer trains, by name."""
        names = _names_of(self.model)
        return {names[id(p)]: p for p in self.model.optimizer.params if id(p) in names}

    def differentiated(self, f: Any, batch: dict[str, Any]) -> tuple[Traced, Program, dict[str, Value]]:
        """(trace of f, program of loss and gradients, gradients by the names of their parameters)."""
        name = type(self.model).__name__
        traced = trace(f, (batch,), f"{name}.train_step", _names_of(self.model))
        trained = self.trained()
        wrt = [v for v in traced.program.states if v.name in trained]
        if not wrt:
            raise TraceBreak(f"the loss of {name} depends on no parameter", value=list(trained),
                             hint="compute it from the model's forward")
        program, found = gradient(traced.program, traced.program.outputs[0], wrt, (traced.first, traced.second[0]))
        program = narrow(program)
        return traced, program, dict(zip(found, program.outputs[1:], strict=True))

    def updating(self, program: Program, loss: Value, gradients: dict[str, Value], known: dict[str, Any],
                 traced: Traced | None = None) -> _Step:
        """The step that a program of gradients becomes with the update after it. ``known``: its states by name."""
        model, optimizer = self.model, self.model.optimizer
        groups, positions = self.groups(_names_of(model), gradients)
        tensors: dict[str, Any] = dict(known)
        for group, places in zip(groups, positions, strict=True):
            for name, i in zip(group.names, places, strict=True):
                p, state = optimizer.params[i], optimizer.state[i]
                for kind in group.arrays:
                    if kind is not None:
                        state.setdefault(kind, np.zeros_like(p.data))
                        tensors[f"{name}.{kind}"] = _Entry(state, kind)
        whole = add_update(program, loss, gradients, groups, model.arguments["gradient_clip_val"])
        executable = Executable(whole, tensors, memory=self.memory, **_brought(traced))
        return _Step(executable, [np.zeros(g.numbers) for g in groups],
                     list(zip(optimizer.param_groups, positions, strict=True)))

    def groups(self, names: dict[int, str], gradients: dict[str, Any]) -> tuple[list[PlanGroup], list[list[int]]]:
        """The optimizer's groups as plans need them, and the positions of the parameters in each."""
        optimizer = self.model.optimizer
        groups, positions, at = [], [], 0
        for group in optimizer.param_groups:
            plan = optimizer.plan(group)
            if plan is None:
                raise TraceBreak(f"{type(optimizer).__name__} has no plan operation", value=type(optimizer).__name__,
                                 hint="define `plan` and `numbers`, or use AdamW, Adam, SGD or RMSprop")
            op, attrs, arrays = plan
            places = [at + k for k, p in enumerate(group["params"]) if names.get(id(p)) in gradients]
            at += len(group["params"])
            counts = {optimizer.counts[i] for i in places}
            if len(counts) > 1:
                raise TraceBreak("parameters of one group have had different numbers of updates", value=sorted(counts),
                                 hint="put them into groups of their own")
            groups.append(PlanGroup(op, attrs, arrays, len(optimizer.numbers(group, 1)),
                                    [names[id(optimizer.params[i])] for i in places]))
            positions.append(places)
        return groups, positions


def _brought(traced: Traced | None) -> dict[str, Any]:
    """What an executable has to know of inputs that no batch brings."""
    return {} if traced is None else {"streams": traced.streams, "draws": traced.draws, "hosted": traced.hosted}


def _shapes(batch: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """What of a batch is part of a plan's guard."""
    return (*batch, *[(a.shape, a.dtype) for a in batch.values()])


def _cached(cache: dict[Any, Any], key: Any, make: Any) -> Any:
    """The entry of a cache of `CACHE` entries, made where it is not there."""
    found = cache.get(key)
    if found is None:
        found = make()
        if len(cache) >= CACHE:
            cache.pop(next(iter(cache)))
        cache[key] = found
    return found


class _Entry:
    """An array of a dict, looked up at each call: loading an optimizer's state replaces it."""

    def __init__(self, state: dict[str, np.ndarray], kind: str) -> None:
        self.state, self.kind = state, kind

    @property
    def data(self) -> np.ndarray:
        return self.state[self.kind]
