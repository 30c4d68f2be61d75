"""Clipping and the optimizer's step, added to a Program that computes a loss and its gradients.

Contract: the result is one training step: inputs are the batch and one array of numbers for each parameter group (learning
rate, betas, ... , which may change from step to step), states are parameters and moments, and the outputs are the loss and
``control`` = (global norm, scale of the gradients). Where the loss or the norm is not finite the scale is NaN and no state
changes: the finite test lives in the program. `add_to_sums` is for steps of several batches: the gradients go to states of
their own, which a later update reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ir import Eqn, Program, Value
from .ops import PLAN_OPS

__all__ = ["PlanGroup", "add_to_sums", "add_update"]


@dataclass
class PlanGroup:
    """A parameter group of an optimizer: its plan operation, that one's attributes, the names of the arrays kept for each
    parameter (None: not used), how many numbers it reads, and the names of the parameters."""

    op: str
    attrs: dict[str, Any]
    arrays: tuple[str | None, ...]
    numbers: int
    names: list[str]


def add_update(program: Program, loss: Value, gradients: dict[str, Value], groups: Sequence[PlanGroup],
               max_norm: float | None) -> Program:
    """The program of a training step.

    gradients: by the name of the parameter. groups: one record for each parameter group of the optimizer.
    """
    states = {v.name: v for v in program.states}
    control = Value("control", (2,), np.float64)
    eqns = [*program.eqns, Eqn("sumsq_scale", [loss, *gradients.values()], {"max_norm": -1.0 if max_norm is None else max_norm},
                               [control], "gradient norm")]
    inputs, new_states, updates = list(program.inputs), list(program.states), dict(program.updates)
    for j, group in enumerate(groups):
        hyper = Value(f"hyper{j}", (group.numbers,), np.float64)
        inputs.append(hyper)
        for name in group.names:
            if name not in gradients:
                continue
            p = states[name]
            moments = [kind if kind is None else Value(f"{name}.{kind}", p.shape, p.dtype) for kind in group.arrays]
            kept = [p, *(v for v in moments if v is not None)]
            new_states += kept[1:]
            outs = [Value(f"{v.name}.new", v.shape, v.dtype) for v in kept]
            eqns.append(Eqn(group.op, [p, gradients[name], *moments, hyper, control],
                            {k: group.attrs[k] for k in PLAN_OPS[group.op].attrs}, outs, "optimizer"))
            updates.update(zip(kept, outs, strict=True))
    return program.replace(inputs=inputs, states=new_states, eqns=eqns, outputs=[loss, control], updates=updates)


def add_to_sums(program: Program, loss: Value, gradients: dict[str, Value]) -> Program:
    """The program that adds its gradients (by the name of the parameter) to states ``NAME.sum``; its output is the loss."""
    sums = {name: Value(f"{name}.sum", g.shape, g.dtype) for name, g in gradients.items()}
    new = {name: Value(f"{name}.sum.new", g.shape, g.dtype) for name, g in gradients.items()}
    eqns = [*program.eqns, *(Eqn("add", [sums[n], g], {}, [new[n]], "sum of gradients") for n, g in gradients.items())]
    updates = {**program.updates, **{sums[n]: new[n] for n in gradients}}
    return program.replace(states=[*program.states, *sums.values()], eqns=eqns, outputs=[loss], updates=updates)
