"""A model's training step as one plan: forward, loss, gradient, clipping and update.

Contract: `TrainStep(model)` compiles `compute_loss` for each set of batch shapes and runs it on the model's own parameters and
the optimizer's own arrays, so that a compiled step and an op-by-op step may follow one another. `TrainStep.reason` says why
a model is not compiled (then None is returned and the caller runs op by op).
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
from .passes.narrow import narrow
from .passes.select import LowerError
from .trace import trace
from .update import PlanGroup, add_update

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
        if e.engine != "native" or e.streams:
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


class TrainStep:
    """Compiled training steps of one model."""

    def __init__(self, model: Any, memory: int | None = None) -> None:
        self.model = model
        self.memory = memory  # bytes for temporaries, as `ndiv.compile` takes them
        self.cache: dict[Any, _Step] = {}
        self.reason = ""

    def __call__(self, batch: dict[str, Any]) -> float | None:
        """The loss before the update, NaN where the gradient is not finite; None when the model runs op by op."""
        if self.reason or self.is_wide():
            return None
        batch = {k: _narrow(v) for k, v in batch.items() if v is not None}
        arrays = list(batch.values())
        key = (*batch, *[(a.shape, a.dtype) for a in arrays], id(self.model.optimizer), self.configuration())
        step = self.cache.get(key)
        if step is None:
            try:
                step = self.make(batch)
            except (TraceBreak, LowerError) as cause:
                self.reason = str(cause)
                return None
            if len(self.cache) >= CACHE:
                self.cache.pop(next(iter(self.cache)))
            self.cache[key] = step
        return self.run(step, arrays)

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
        model, optimizer = self.model, self.model.optimizer
        names = _names_of(model)
        traced = trace(model.compute_loss, (batch,), f"{type(model).__name__}.train_step", names)
        trained = {names[id(p)]: i for i, p in enumerate(optimizer.params) if id(p) in names}
        program = traced.program
        wrt = [v for v in program.states if v.name in trained]
        if not wrt:
            raise TraceBreak(f"the loss of {type(model).__name__} depends on no parameter", value=list(trained),
                             hint="compute it from the model's forward")
        program, found = gradient(program, program.outputs[0], wrt, (traced.first, traced.second[0]))
        program = narrow(program)
        loss, *gradients = program.outputs
        by_name = dict(zip(found, gradients, strict=True))
        groups, positions = self.groups(names, by_name)
        tensors: dict[str, Any] = dict(traced.tensors)
        for group, places in zip(groups, positions, strict=True):
            for name, i in zip(group.names, places, strict=True):
                p, state = optimizer.params[i], optimizer.state[i]
                for kind in group.arrays:
                    if kind is not None:
                        state.setdefault(kind, np.zeros_like(p.data))
                        tensors[f"{name}.{kind}"] = _Entry(state, kind)
        whole = add_update(program, loss, by_name, groups, model.arguments["gradient_clip_val"])
        executable = Executable(whole, tensors, traced.streams, memory=self.memory, draws=traced.draws)
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


class _Entry:
    """An optimizer's array, looked up at each call: loading a state replaces it."""

    def __init__(self, state: dict[str, np.ndarray], kind: str) -> None:
        self.state, self.kind = state, kind

    @property
    def data(self) -> np.ndarray:
        return self.state[self.kind]
