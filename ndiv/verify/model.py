"""`verify`: a model's gradient, checked on the tape that the model itself records.

Contract: everything runs in float64 on a copy; the model that was given is not touched. Level 1 takes each distinct
equation of the recorded loss (same op, attributes, shapes and free inputs) and compares its gradient rule with the
derivative of its reference on the recorded values, along two random directions. Level 2 needs no tolerance: along a
random direction u of all parameters, f(p + h u) - f(p) - h g . u must fall with the square of h. That finds faults
between ops (sums, wiring, a value that left the tape), which no check of single ops can.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import random
from ..autograd import Node, Tape, Tensor, enable_grad, trace
from ..autograd.backward import pull
from ..autograd.check import check_node
from ..errors import ConfigError, NonFiniteError
from ..nn import Module
from .report import Certificate, Equation, Taylor, versions

__all__ = ["verify"]

_NDIV_INTERNAL = True
DIRECTIONS = 2  # of each equation
TRIES = ((None, 2), (4, 2), (1, 4))  # (windows of the batch, directions): with fewer windows, kinks lie further apart
START, SMALLEST, LARGEST = 2.0**-14, 2.0**-34, 2.0**-2  # steps, relative to the size of the parameters
POINTS = 4
NOISE = 500 * float(np.finfo(np.float64).eps)  # remainders below this part of the loss are rounding
STEADY = 0.04  # by how much local slopes in a window may differ for it to count as free of kinks
LINEAR = 1e-11  # remainder, relative to the step's effect, below which the loss is linear along u

Loss = Callable[[], Tensor]


def verify(model: Any, batch: Any = None, *, seed: int = 0) -> Certificate:
    """Check the gradient of a model on a batch, op by op and as a whole.

    model, batch  a Module with ``compute_loss(batch)`` (every model of ndiv), any other Module (called on the batch, or
                  on its items when it is a tuple), or a function of Tensors, with its inputs
    seed          of the random directions, and of dropout

    Returns a `Certificate`, truthy when every equation and the slope are right. Raises `ConfigError` (E0010) when
    nothing can be differentiated, `NonFiniteError` (E0009) when the loss is not finite.

    >>> import ndiv, numpy as np
    >>> certificate = verify(lambda x, w: (x @ w).tanh(), (np.ones((3, 2)), np.ones((2, 2))))
    >>> bool(certificate), certificate.equations_total, round(certificate.taylor.slope, 1)
    (True, 2, 2.0)
    """
    start = time.perf_counter()
    name, call, leaves, given = _prepare(model, batch)

    def run(data: Any) -> Any:
        with random.fork(seed), enable_grad():  # the same random numbers every time
            return call(data)

    with trace():
        out = run(given)
    if not isinstance(out, Tensor) or not out.requires_grad:
        raise ConfigError(f"verify: the loss of {name} does not depend on its parameters through recorded ops",
                          value=type(out).__name__, hint="it must be a Tensor that ndiv computed, not an array or a float")
    if not np.all(np.isfinite(out.data)):
        raise NonFiniteError(f"verify: the loss of {name} is not finite", value=out.data,
                             hint="give a batch without missing or extreme values")

    def build(windows: int | None) -> Loss | None:
        data = given if windows is None else _fewer(given, windows)
        return None if data is None and windows is not None else _projected(lambda: run(data), seed)

    nodes = list(Tape.of(out))
    value = _projected(lambda: run(given), seed)()
    return Certificate(
        model=name, parameters=sum(t.numel() for _, t in leaves), loss=float(value.data), nodes=len(nodes),
        equations_total=sum(n.needs for n in nodes), equations=_equations(nodes, seed),
        taylor=_taylor(build, leaves, seed), unreached=_unreached(value, leaves), seed=seed,
        versions=versions(), seconds=time.perf_counter() - start)


def _projected(run: Callable[[], Any], seed: int) -> Loss:
    """One number from what ``run`` gives: itself, or the sum of its product with random weights."""
    def loss() -> Tensor:
        out = run()
        if not out.shape:
            return out
        return (out * np.random.Generator(np.random.Philox(key=[97, seed])).uniform(0.5, 1.5, out.shape)).sum()

    return loss


# what is checked --------------------------------------------------------------------------------------------------

def _wide(x: Any) -> Any:
    """Floats in float64, in containers too; everything else as it is."""
    if isinstance(x, dict):
        return {k: _wide(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(_wide(v) for v in x)
    data = x.data if isinstance(x, Tensor) else x
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind == "f":
        data = np.array(data, dtype=np.float64)
    return Tensor(data) if isinstance(x, Tensor) else data


def _prepare(model: Any, batch: Any) -> tuple[str, Callable[[Any], Any], list[tuple[str, Tensor]], Any]:
    """(name, the model's loss as a function of a batch, the leaves by which it is differentiated, the batch)."""
    if isinstance(model, Module):
        name, model, given = type(model).__name__, copy.deepcopy(model).astype(np.float64), _wide(batch)
        for owner in model.modules():
            owner._buffers.update(_wide(owner._buffers))
        leaves: list[tuple[str, Tensor]] = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        call = getattr(model, "compute_loss", None) or (lambda data: model(*data) if isinstance(data, tuple) else model(data))
    elif callable(model):
        if batch is None:
            raise ConfigError("verify: a function needs its inputs", value=None, hint="call verify(f, (x, y))")
        args = [_leaf(a) for a in (batch if isinstance(batch, (list, tuple)) else (batch,))]
        leaves = [(a.name or f"input {i}", a) for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        name, call, given = getattr(model, "__name__", type(model).__name__), lambda _: model(*args), None
    else:
        raise ConfigError(f"verify needs a Module or a function, not {type(model).__name__}", value=model,
                          hint="give verify(model, batch) or verify(f, inputs)")
    if not leaves:
        raise ConfigError(f"verify: {name} has nothing to differentiate by", value=name,
                          hint="give float arrays as inputs, or a module with parameters that require gradients")
    return name, call, leaves, given


def _leaf(value: Any) -> Any:
    """A float array as a leaf with a gradient; everything else as it is."""
    wide = _wide(value)
    data = wide.data if isinstance(wide, Tensor) else wide
    return Tensor(data, True) if isinstance(data, np.ndarray) and data.dtype.kind == "f" else wide


def _unreached(value: Tensor, leaves: Sequence[tuple[str, Tensor]]) -> list[str]:
    """Parameters to which no gradient flows."""
    return [n for (n, _), (_, g) in zip(leaves, pull((value,), (None,), [t for _, t in leaves]), strict=True) if g is None]


# level 1: each equation ------------------------------------------------------------------------------------------

def _key(node: Node) -> tuple[Any, ...]:
    """What makes two equations the same: op, attributes, shapes, and by which inputs they are differentiated."""
    free = tuple(p is not None and (p.needs if isinstance(p, Node) else p.requires_grad) for p in node.parents)
    shapes = tuple(np.shape(x) if isinstance(x, np.ndarray) else x for x in node.inputs)
    return node.prim.name, _plain(node.attrs), repr(shapes), free


def _plain(value: Any) -> Any:
    """A hashable form of an attribute, in which arrays count by content."""
    if isinstance(value, dict):
        return tuple((k, _plain(v)) for k, v in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if hasattr(value, "key"):
        return _plain(value.key)
    return repr(value)


def _equations(nodes: Sequence[Node], seed: int) -> list[Equation]:
    """One row for each distinct equation through which a gradient flows, checked on its first occurrence."""
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        if node.needs:
            groups.setdefault(_key(node), []).append(node)
    rows = []
    for same in groups.values():
        node = same[0]
        reports = [check_node(node, seed + 1000 * k) for k in range(DIRECTIONS)]
        worst = max(reports, key=lambda r: (len(r.faults), r.error / r.tolerance))
        lines = list(dict.fromkeys(n.line for n in same))
        rows.append(Equation(
            op=node.prim.name, count=len(same), shapes=[list(np.shape(x)) for x in node.inputs],
            output=list(node.metas[0][0]), method=worst.method, error=worst.error, bound=worst.tolerance,
            kinks=worst.kinks, lines=lines, faults=worst.faults))
    return rows


# level 2: the whole ----------------------------------------------------------------------------------------------

def _taylor(build: Callable[[int | None], Loss | None], leaves: Sequence[tuple[str, Tensor]], seed: int) -> Taylor:
    """The slope of the Taylor remainder, in the smallest steps that neither rounding nor a kink spoils.

    Which steps are taken is decided without looking for the slope 2: from the smallest ones above rounding upwards,
    the first four whose local slopes agree with each other. A wrong gradient gives 1 there. Between kinks a loss may
    be linear along u (absolute errors of a linear model are), and the remainder is rounding; then the square of the
    loss, (f - f(p) + |f(p)|)^2 / 2, which has the gradient |f(p)| g, is measured in its place.
    """
    best = Taylor(slope=float("nan"), steps=[], remainders=[])
    attempt = 0
    for windows, directions in TRIES:
        loss = build(windows)
        if loss is None:
            continue
        for _ in range(directions):
            line = _Line(loss, leaves, seed, attempt)
            attempt += 1
            for squared in (False, True):
                found = line.window(squared)
                if found is None:
                    continue
                found.windows, found.direction, found.tries = windows, attempt - 1, attempt
                if found.steady:
                    return found
                if not best.spread <= found.spread:
                    best = found
    best.tries = attempt
    return best


class _Line:
    """The loss along one random direction of all parameters, evaluated at the steps that are asked for."""

    def __init__(self, loss: Loss, leaves: Sequence[tuple[str, Tensor]], seed: int, attempt: int) -> None:
        self.loss, self.leaves = loss, [t for _, t in leaves]
        self.start = [t.data for t in self.leaves]
        self.us = [_random(x, seed, attempt, k) for k, x in enumerate(self.start)]
        value = loss()
        pulled = pull((value,), (None,), self.leaves)
        self.base = float(value.data)
        self.slope = sum(float(np.sum(g * u)) for (_, g), u in zip(pulled, self.us, strict=True) if g is not None)
        self.values: dict[float, float] = {}

    def at(self, h: float) -> float:
        """f(p + h u)."""
        if h not in self.values:
            try:
                for t, x, u in zip(self.leaves, self.start, self.us, strict=True):
                    t.data = x + h * u
                self.values[h] = float(self.loss().data)
            finally:
                for t, x in zip(self.leaves, self.start, strict=True):
                    t.data = x
        return self.values[h]

    def remainder(self, h: float, squared: bool) -> float:
        """What is left after the linear part; 0 where that is rounding."""
        value, base, slope = self.at(h), self.base, self.slope
        if squared:
            size = abs(base) or 1.0
            value, base, slope = (value - base + size) ** 2 / 2, size**2 / 2, size * slope
        rest = abs(value - base - h * slope)
        loud = np.isfinite(rest) and rest > NOISE * max(abs(base), abs(value)) and rest > LINEAR * abs(h * slope)
        return rest if loud else 0.0

    def window(self, squared: bool) -> Taylor | None:
        """The smallest steady steps above rounding, else the steadiest; None where all is rounding."""
        h = START
        while h > SMALLEST and self.remainder(h, squared):
            h /= 2
        while h < LARGEST and not self.remainder(h, squared):
            h *= 2
        best: Taylor | None = None
        while h * 2 ** (POINTS - 1) <= LARGEST:
            hs = [h * 2**k for k in reversed(range(POINTS))]
            rs = [self.remainder(step, squared) for step in hs]
            h *= 2
            if not all(rs):
                continue
            local = [float(np.log2(a / b)) for a, b in itertools.pairwise(rs)]
            fit = float(np.polyfit(np.log2(hs), np.log2(rs), 1)[0])
            found = Taylor(slope=fit, steps=hs, remainders=rs, squared=squared, spread=max(local) - min(local))
            found.steady = found.spread <= STEADY
            if best is None or found.spread < best.spread:
                best = found
            if found.steady:
                break
        return best


def _random(x: np.ndarray, seed: int, attempt: int, k: int) -> np.ndarray:
    """A direction of the size of the values, so that a step of h changes each parameter by about that part."""
    draw = np.random.Generator(np.random.Philox(key=[seed, 1000 * attempt + k]))
    size = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    return draw.standard_normal(x.shape) * (size or 1.0)


def _fewer(batch: Any, windows: int) -> Any:
    """The first windows of a batch whose arrays all have one leading axis; None when it has none, or no more."""
    parts = list(batch.values()) if isinstance(batch, dict) else list(batch) if isinstance(batch, tuple) else [batch]
    arrays = [p for p in parts if isinstance(p, (np.ndarray, Tensor))]
    lengths = {p.shape[0] if p.shape else 0 for p in arrays}
    if len(lengths) != 1 or lengths.pop() <= windows:
        return None

    def cut(part: Any) -> Any:
        return part[:windows] if isinstance(part, (np.ndarray, Tensor)) else part

    if isinstance(batch, dict):
        return {k: cut(v) for k, v in batch.items()}
    return tuple(cut(p) for p in batch) if isinstance(batch, tuple) else cut(batch)
