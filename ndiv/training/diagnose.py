"""What is wrong with a training run: where a number stopped being finite, and how gradients and batches look.

Contract: nothing here changes a model; weights, random numbers and modes are put back.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tape
from ..autograd.backward import pull
from ..autograd.tape import Node, trace
from ..autograd.tensor import values

__all__ = ["Diagnosis", "GradientRow", "diagnose", "first_nonfinite", "overfit_one_batch"]


def _finite(x: Any) -> bool:
    return not isinstance(x, np.ndarray) or x.dtype.kind not in "fc" or bool(np.isfinite(x).all())


def _where(x: np.ndarray) -> str:
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
    return f"{x[index]} at {list(index)}"


def first_nonfinite(model: Any, batch: dict[str, Any], state: tuple[int, int] | None = None) -> str:
    """The first op that made NaN or infinity out of finite numbers, in forward or backward, with its source line.

    ``state`` is the random state of the step (see `ndiv.random.get_state`). Returns "" when all is finite.
    """
    for name, value in batch.items():
        if value is not None and not _finite(values(value)):
            return f"the batch: {name} holds {_where(values(value))}"
    for name, p in model.named_parameters():
        if not _finite(p.data):
            return f"the weights: {name} holds {_where(p.data)}"
    outside = random.get_state()
    if state is not None:
        random.set_state(state)
    try:
        with trace(), np.errstate(all="ignore"):
            loss = model.compute_loss(batch)
        for node in Tape.of(loss):
            outs = node.out if isinstance(node.out, tuple) else (node.out,)
            bad = [o for o in outs if not _finite(o)]
            if bad and all(_finite(v) for v in node.inputs):
                return f"{node.prim.name} gave {_where(bad[0])}, {node.line}"
        found: list[str] = []

        def watch(node: Node, cotangents: dict[Any, Any]) -> None:
            if found:
                return
            for parent in node.parents:
                g = cotangents.get(parent)
                for part in g if isinstance(g, list) else [g]:
                    if part is not None and not _finite(part):
                        found.append(f"the gradient of {node.prim.name} gave {_where(part)}, {node.line}")
                        return

        with np.errstate(all="ignore"):
            pull((loss,), (None,), None, watch=watch)
        return found[0] if found else ""
    finally:
        random.set_state(outside)


@dataclass
class GradientRow:
    """One parameter's gradient beside its values: root mean squares and their ratio."""

    name: str
    weight: float
    gradient: float
    verdict: str


@dataclass
class Diagnosis:
    """Report of `diagnose`: truthy when nothing looks wrong; ``str`` is a table."""

    loss: float
    rows: list[GradientRow]
    faults: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        width = max([len(r.name) for r in self.rows] + [9])
        lines = [f"loss {self.loss:.4g}", f"{'parameter'.ljust(width)}  rms weight  rms gradient  verdict"]
        lines += [f"{r.name.ljust(width)}  {r.weight:10.3g}  {r.gradient:12.3g}  {r.verdict}" for r in self.rows]
        return "\n".join(lines + [f"! {f}" for f in self.faults])


def _rms(x: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0


def diagnose(model: Any, batch: dict[str, Any], vanishing: float = 1e-8, exploding: float = 1e3) -> Diagnosis:
    """Gradients by parameter (vanishing, exploding, absent, not finite) and the batch's diversity.

    A gradient counts as vanishing when its root mean square is below ``vanishing`` times the largest of all, as exploding
    when above ``exploding`` times the parameter's own root mean square (or 1, if larger).

    >>> import ndiv, numpy as np
    >>> m = ndiv.models.NLinear(h=2, input_size=4)
    >>> y = np.random.default_rng(0).normal(size=(8, 6, 1)).astype("f4")
    >>> bool(ndiv.training.diagnose(m, {"insample_y": y[:, :4], "outsample_y": y[:, 4:]}))
    True
    """
    state = random.get_state()
    named = list(model.named_parameters())
    params = [p for _, p in named]
    loss = model.compute_loss(batch)
    pulled = pull((loss,), (None,), params)
    random.set_state(state)
    # the signs of an absolute error may cancel to nothing; a random cotangent of the forecast does not
    y_hat = model.forward(model.scale(batch)[0])
    random.set_state(state)
    probe = np.random.Generator(np.random.Philox(key=[1, 1])).standard_normal(y_hat.shape) / y_hat.data.size
    probed = pull((y_hat,), (probe.astype(y_hat.dtype),), params)
    sizes = [0.0 if g is None else _rms(g) for _, g in pulled]
    flow = [0.0 if g is None else _rms(g) for _, g in probed]
    top = max(sizes, default=0.0)
    rows, faults = [], []
    strongest = max(flow, default=0.0)
    for (name, p), (_, g), size, through in zip(named, pulled, sizes, flow, strict=True):
        weight = _rms(p.data)
        if g is None:
            verdict = "no gradient"
        elif not np.isfinite(size):
            verdict = "not finite"
        elif size > exploding * max(weight, 1.0):
            verdict = "exploding"
        elif size <= vanishing * top and through <= vanishing * strongest:
            verdict = "vanishing"
        else:
            verdict = "ok"
        if verdict != "ok":
            faults.append(f"{name}: {verdict} gradient" if verdict != "no gradient" else f"{name} takes no part in the loss")
        rows.append(GradientRow(name, weight, size, verdict))
    return Diagnosis(float(loss.data), rows, faults + _diversity(batch))


def _diversity(batch: dict[str, Any]) -> list[str]:
    """What is odd about the windows of a batch: constant, or the same one many times."""
    y = values(batch["insample_y"])
    faults = []
    if len(y) > 1:
        flat = y.reshape(len(y), -1)
        distinct = len(np.unique(flat, axis=0))
        if distinct < 0.5 * len(y):
            faults.append(f"the batch holds {distinct} distinct windows out of {len(y)}")
        constant = int((flat.max(1) == flat.min(1)).sum())
        if constant > 0.5 * len(y):
            faults.append(f"{constant} of {len(y)} windows are constant")
    return faults


def overfit_one_batch(model: Any, batch: dict[str, Any], steps: int = 300, learning_rate: float = 1e-2,
                      target: float = 0.01) -> tuple[bool, float]:
    """Train a copy of the model on one batch: (did the loss fall below ``target`` of its start, the ratio reached).

    A model that cannot do this has a fault in its wiring, its loss or its scaling.
    """
    twin = copy.deepcopy(model)
    twin._optimizer = None
    twin.base_lr = learning_rate
    first = last = float(twin.compute_loss(batch).data)
    for _ in range(steps):
        last = twin.train_step(batch)
    ratio = last / first if first else 0.0
    return bool(ratio <= target), float(ratio)
