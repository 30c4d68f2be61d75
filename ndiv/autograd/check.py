"""Verification of gradients: of one op on a sample or on what a tape recorded, and of any function.

Contract: a rule is compared with the derivative of the reference itself, in float64, on random directions u and
cotangents v: v . (J u) against (J' v) . u. J u comes from the complex step where the op is analytic (exact to
rounding), else from Richardson's extrapolation of central differences; an output that lies on a kink has two slopes,
and there the rule must give one between them. Order 2 does the same to the rule: its derivative, through create_graph,
against the complex step or differences run through the rule on bare arrays. Nothing here is tuned per op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import random
from ..errors import NdivError, ShapeError
from ..verify.differences import Derivative, complex_step, directional, richardson
from . import shapes as _shapes
from .backward import pull
from .primitive import REGISTRY, Primitive, Sample
from .tape import Node, Tape, apply, enable_grad, trace
from .tensor import Tensor

__all__ = ["ANALYTIC_TOLERANCE", "RICHARDSON_TOLERANCE", "GradReport", "OpReport", "check_bad", "check_node",
           "check_primitive", "check_sample", "complex_step", "gradcheck", "gradgradcheck", "richardson"]

ANALYTIC_TOLERANCE = 1e-14
RICHARDSON_TOLERANCE = 1e-9
MOST_KINKS = 16  # outputs on a kink that are looked at one by one
KINK_MARGIN = 1e-6  # one-sided slopes are known less well than derivatives
VALUE_TOLERANCE = 1e-12  # of what runs against the reference, relative to the largest value


@dataclass
class OpReport:
    """How one op fared on one sample. ``error`` is relative to the sum of the magnitudes that were added.

    ``kinks`` counts outputs where the function has a corner: there the rule must give a slope between the two.
    """

    op: str
    tag: str
    method: str
    error: float
    tolerance: float
    faults: list[str] = field(default_factory=list)
    order: int = 1
    kinks: int = 0

    def __bool__(self) -> bool:
        return not self.faults and self.error <= self.tolerance

    def __str__(self) -> str:
        order = f" order {self.order}" if self.order > 1 else ""
        left_out = f", {self.kinks} outputs on kinks" if self.kinks else ""
        return (f"{self.op} [{self.tag}]{order} {self.method}: {self.error:.1e} (bound {self.tolerance:.0e}{left_out}) "
                f"{'; '.join(self.faults)}").rstrip()


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _direction(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[99, seed])).uniform(-1, 1, shape)


class _Op:
    """One op at one point: as a function of its free inputs, and as recorded for backward."""

    def __init__(self, prim: Primitive, sample: Sample, free: Sequence[int]) -> None:
        self.prim, self.sample, self.free = prim, sample, free
        self.xs = [np.array(sample.inputs[i], dtype=np.float64) for i in free]

    def inputs(self, values: Sequence[Any]) -> list[Any]:
        args = [x.astype(np.float64) if _is_float(x) else x for x in self.sample.inputs]
        for i, v in zip(self.free, values, strict=True):
            args[i] = v
        return args

    def forward(self, *values: np.ndarray) -> list[np.ndarray]:
        """The reference, differentiable outputs only."""
        out = self.prim.ref(*self.inputs(values), **self.sample.attrs)  # type: ignore[misc]
        return [np.asarray(o) for o in (out if self.prim.n_out != 1 else (out,))[:self.prim.n_diff]]

    def record(self, values: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """(free inputs as leaves, outputs), recorded."""
        leaves = [v if isinstance(v, Tensor) else Tensor(v, True) for v in values]
        with enable_grad():
            args = self.inputs(leaves)
            out = apply(self.prim, args if leaves else [Tensor(a) if isinstance(a, np.ndarray) else a for a in args],
                        self.sample.attrs)
        return leaves, list(out) if self.prim.n_out != 1 else [out]

    def pullback(self, *values: np.ndarray) -> list[np.ndarray | None]:
        """The gradient rule on bare arrays, as a function of cotangents and free inputs."""
        gs, xs = values[:self.prim.n_diff], values[self.prim.n_diff:]
        leaves, outs = self.record(list(xs))
        return [g for _, g in pull(outs[:self.prim.n_diff], gs, leaves)]


def check_sample(prim: Primitive, sample: Sample, seed: int = 0, order: int = 1,
                 free: Sequence[int] | None = None) -> OpReport:
    """Value, shape and gradient of one op on one sample; with ``order=2``, the gradient of its gradient.

    ``free`` lists the arguments to differentiate by; by default all float arrays that have a rule.

    >>> from ndiv.autograd import get
    >>> bool(check_sample(get("exp"), Sample((np.ones(3),)), order=2))
    True
    """
    if free is None:
        free = [i for i, x in enumerate(sample.inputs) if _is_float(x) and _differentiable(prim, i)]
    op = _Op(prim, sample, free)
    before = [np.array(x) for x in sample.inputs]
    leaves, outs = op.record(op.xs)
    faults = _plain_faults(op, outs)
    report = OpReport(prim.name, sample.tag, "complex step" if prim.analytic else "Richardson", 0.0,
                      ANALYTIC_TOLERANCE if prim.analytic else RICHARDSON_TOLERANCE, faults, order)
    if not free or not outs[0].requires_grad:
        report.method = "no gradient"
    elif order == 1:
        _compare(report, op.forward, op.xs, lambda vs: [g for _, g in pull(outs[:prim.n_diff], vs, leaves)], seed)
    else:
        _second_order(report, op, seed)
    for x, old in zip(sample.inputs, before, strict=True):
        if not np.array_equal(np.asarray(x), old, equal_nan=old.dtype.kind in "fc"):
            faults.append("an input was changed")
    return report


def _plain_faults(op: _Op, outs: Sequence[Tensor]) -> list[str]:
    """What is wrong with shapes and values."""
    faults = []
    prim, sample = op.prim, op.sample
    expected = _shapes.infer(prim, [np.shape(x) for x in sample.inputs], sample.attrs)
    for o, shape in zip(outs, expected, strict=True):
        if o.shape != tuple(shape):
            faults.append(f"shape {o.shape} but the rule says {tuple(shape)}")
    for o, value in zip(outs, op.forward(*op.xs), strict=False):
        off = np.abs(np.subtract(o.data, value, dtype=np.float64)) if o.data.dtype.kind == "f" else o.data != value
        if np.max(off, initial=0) > VALUE_TOLERANCE * np.max(np.abs(value), initial=0):
            faults.append(f"what runs differs from the reference by {np.max(off):.1e}")
    return faults


def _second_order(report: OpReport, op: _Op, seed: int) -> None:
    prim = op.prim
    _, outs = op.record(op.xs)
    gs = [_direction(o.shape, seed + 201 + i) for i, o in enumerate(outs[:prim.n_diff])]
    present = [g is not None for g in op.pullback(*gs, *op.xs)]

    def chosen(gradients: Sequence[Any]) -> list[Any]:
        return [g for g, there in zip(gradients, present, strict=True) if there]

    cotangents = [Tensor(g, True) for g in gs]
    leaves, outs = op.record(op.xs)
    with enable_grad():
        pulled = chosen([g for _, g in pull(outs[:prim.n_diff], cotangents, leaves, create_graph=True)])

    def back(vs: Sequence[np.ndarray]) -> list[Any]:
        pairs = [(t, v) for t, v in zip(pulled, vs, strict=True) if isinstance(t, Tensor) and t.requires_grad]
        if not pairs:
            return [None] * (len(cotangents) + len(leaves))
        return [g for _, g in pull([t for t, _ in pairs], [v for _, v in pairs], [*cotangents, *leaves])]

    _compare(report, lambda *values: [np.asarray(g) for g in chosen(op.pullback(*values))], [*gs, *op.xs], back, seed)


def _compare(report: OpReport, f: Callable[..., Sequence[np.ndarray]], xs: Sequence[np.ndarray],
             back: Callable[[Sequence[np.ndarray]], Sequence[Any]], seed: int) -> None:
    """v . (J u) against (J' v) . u, into the report."""
    us = [_direction(x.shape, seed + 7 * i) for i, x in enumerate(xs)]
    numeric = directional(f, xs, us) if report.method == "Richardson" else None
    ju = numeric.value if numeric is not None else complex_step(f, xs, us)
    vs = [_direction(j.shape, seed + 101 + i) for i, j in enumerate(ju)]
    if numeric is not None and numeric.kinks:
        _on_kinks(report, numeric, us, back)
        vs, ju = ([np.where(k, 0.0, a) for a, k in zip(arrays, numeric.kink, strict=True)] for arrays in (vs, ju))
    forward = backward = size = 0.0
    for v, j in zip(vs, ju, strict=True):
        forward += float(np.sum(v * j))
        size += float(np.sum(np.abs(v * j)))
    for g, u, x in zip(back(vs), us, xs, strict=True):
        g = np.zeros_like(x) if g is None else g
        if g.shape != x.shape:
            report.faults.append(f"gradient has shape {g.shape}, input {x.shape}")
            continue
        backward += float(np.sum(g * u))
        size += float(np.sum(np.abs(g * u)))
    error = abs(forward - backward) / size if size else 0.0
    report.error = error if np.isfinite(error) else np.inf


def _on_kinks(report: OpReport, numeric: Derivative, us: Sequence[np.ndarray],
              back: Callable[[Sequence[np.ndarray]], Sequence[Any]]) -> None:
    """Where an output has two slopes along u, the rule must give one between them; looked at one output at a time."""
    report.kinks = numeric.kinks
    for i, mask in enumerate(numeric.kink):
        for index in list(zip(*np.nonzero(np.atleast_1d(mask)), strict=True))[:MOST_KINKS]:
            place = tuple(int(k) for k in index) if mask.ndim else ()
            vs = [np.zeros_like(j) for j in numeric.value]
            vs[i][place] = 1.0
            slope = sum(float(np.sum(g * u)) for g, u in zip(back(vs), us, strict=True) if g is not None)
            ends = sorted(float(side[i][place]) for side in (numeric.left, numeric.right))
            margin = KINK_MARGIN * max(abs(ends[0]), abs(ends[1]))
            if not ends[0] - margin <= slope <= ends[1] + margin:
                report.faults.append(f"at a kink of output {list(place)} the slopes are {ends[0]:.6g} and {ends[1]:.6g}, "
                                     f"and the rule gives {slope:.6g}")


def _differentiable(prim: Primitive, i: int) -> bool:
    if prim.vjp is None or callable(prim.vjp):
        return prim.vjp is not None or prim.decompose is not None
    return prim.vjp[0 if prim.variadic else i] is not None


def check_primitive(name: str, order: int = 1) -> list[OpReport]:
    """Every sample of one op."""
    prim = REGISTRY[name]
    return [check_sample(prim, s, order=order) for s in (prim.samples() if prim.samples else [])]


def check_node(node: Node, seed: int = 0, order: int = 1) -> OpReport:
    """One recorded op on the inputs that the tape holds (recorded under `trace`), by the arguments that have gradients."""
    free = [i for i, (p, x) in enumerate(zip(node.parents, node.inputs, strict=True))
            if p is not None and (p.needs if isinstance(p, Node) else p.requires_grad) and _is_float(x)
            and _differentiable(node.prim, i)]
    return check_sample(node.prim, Sample(node.inputs, node.attrs, node.line), seed, order, free)


def check_bad(name: str) -> list[str]:
    """What is wrong with how an op refuses its bad cases; empty when all is well."""
    prim, wrong = REGISTRY[name], []
    cases = prim.bad() if prim.bad else []
    if not cases:
        return [f"{name} has no bad case"]
    for case in cases:
        try:
            apply(prim, [Tensor(x) if isinstance(x, np.ndarray) else x for x in case.inputs], case.attrs)
        except ShapeError as error:
            text = str(error)
            if case.match not in text:
                wrong.append(f"{name}: expected {case.match!r} in {text!r}")
            wrong += [f"{name}: {what} missing in {text!r}" for what in (name, "Rule:", "Hint:") if what not in text]
        except NdivError as error:
            wrong.append(f"{name}: raised {type(error).__name__} instead of ShapeError")
        else:
            wrong.append(f"{name}: accepted a bad case")
    return wrong


# functions --------------------------------------------------------------------------------------------------------

@dataclass
class GradReport:
    """Result of `gradcheck`: truthy when every element of every gradient agrees.

    worst     largest relative error
    where     (input number, element index) of it
    message   what failed, or "" when nothing did
    op, line  the op at fault and the line that called it, when one was found
    kinks     elements where the function has a corner, with the slopes on both sides; the recorded gradient lies
              between them, which is all that can be asked there
    """

    worst: float
    where: tuple[int, tuple[int, ...]]
    message: str = ""
    op: str = ""
    line: str = ""
    kinks: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.message

    def __str__(self) -> str:
        place = f"input {self.where[0]}{list(self.where[1])}"
        corners = f"; kinks: {', '.join(self.kinks)}" if self.kinks else ""
        return (self.message or f"gradients agree; worst relative error {self.worst:.1e} at {place}") + corners


def gradcheck(f: Callable[..., Tensor], inputs: Any, tolerance: float = 1e-6, order: int = 1) -> GradReport:
    """Compare f's gradients with Richardson differences, element by element, in float64; ``order=2``: theirs too.

    f takes and returns Tensors; ``inputs`` is one array or Tensor, or several. All outputs are projected on one random
    direction. When an element disagrees, each op that f recorded is checked on its own, and the one at fault is named
    with its source line. At a kink (abs at 0) the differences from the left and from the right settle on different
    slopes; a gradient between them is accepted and listed, one outside is wrong.

    >>> import ndiv, numpy as np
    >>> print(ndiv.gradcheck(lambda x: (x.abs() * 2).sum(), np.array([0.0, -1.2])).kinks)
    ['input 0[0]: slopes -2.0 and 2.0, gradient 0.0']
    """
    many = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    arrays = [np.array(x.data if isinstance(x, Tensor) else x, dtype=np.float64) for x in many]
    first, again = (_run(f, [Tensor(x) for x in arrays]) for _ in range(2))
    if isinstance(first, Tensor) and not np.array_equal(first.data, again.data, equal_nan=True):
        return GradReport(np.inf, (0, ()), "the function gives different results for the same inputs")
    report = _gradcheck(f, arrays, tolerance, 1)
    level = 1
    if report and order > 1:
        level, kinks = 2, report.kinks
        report = _gradcheck(_gradient_of(f), arrays, tolerance, 2)
        report.kinks = kinks + report.kinks
        report.message = report.message and f"gradient of the gradient: {report.message}"
    if report.message and np.isfinite(report.worst):
        _name_culprit(report, culprits(f, arrays, level))
    return report


def gradgradcheck(f: Callable[..., Tensor], inputs: Any, tolerance: float = 1e-6) -> GradReport:
    """`gradcheck` of f and of its gradient.

    >>> import ndiv, numpy as np
    >>> bool(gradgradcheck(lambda x: (x.tanh() * x).sum(), np.array([0.3, -1.2])))
    True
    """
    return gradcheck(f, inputs, tolerance, order=2)


def _gradcheck(f: Callable[..., Any], arrays: list[np.ndarray], tolerance: float, order: int) -> GradReport:
    leaves = [Tensor(x, True) for x in arrays]
    out = _run(f, leaves)
    if not isinstance(out, Tensor) or (order == 1 and not out.requires_grad):
        return GradReport(np.inf, (0, ()), "the function's result does not depend on its inputs through recorded ops")
    v = _weights(out.shape)
    grads: list[Any] = [g for _, g in pull((out,), (v,), leaves)] if out.requires_grad else [None] * len(leaves)
    report = GradReport(0.0, (0, ()))
    for k, (g, x) in enumerate(zip(grads, arrays, strict=True)):
        g = np.zeros_like(x) if g is None else g
        scale = max(float(np.max(np.abs(g), initial=0.0)), 1e-3)
        for index in np.ndindex(x.shape):
            slope, left, right, kink = _slope(f, arrays, v, k, index)
            value = float(g[index])
            if kink:
                report.kinks.append(f"input {k}{list(index)}: slopes {left:.6} and {right:.6}, gradient {value:.6}")
                slope = min(max(value, min(left, right)), max(left, right))  # the nearest value that is right
            error = abs(slope - value) / scale
            if error > report.worst or not np.isfinite(error):
                report.worst, report.where = (error if np.isfinite(error) else np.inf), (k, index)
                if error > tolerance or not np.isfinite(error):
                    what = f"the slopes at this kink are {left:.6} and {right:.6}" if kink else f"differences give {slope:.6}"
                    report.message = (f"input {k}, element {list(index)}: gradient {value:.6}, {what} "
                                      f"(relative error {error:.1e}, bound {tolerance:.0e})")
    return report


def _run(f: Callable[..., Any], args: Sequence[Any]) -> Any:
    """f, drawing the same random numbers every time."""
    with random.fork(17), enable_grad():
        return f(*args)


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    """What the outputs are multiplied with before they are added: 1 for a single number."""
    return _direction(shape, 5) if shape else np.ones(())


def _slope(f: Callable[..., Any], arrays: list[np.ndarray], v: np.ndarray, k: int,
           index: tuple[int, ...]) -> tuple[float, float, float, bool]:
    """Derivative of v . f by one element, from values: (slope, from the left, from the right, is it a kink)."""
    def along(value: np.ndarray) -> list[np.ndarray]:
        out = _run(f, [Tensor(value if j == k else a) for j, a in enumerate(arrays)])
        return [np.sum(v * out.data)]

    unit = max(1.0, abs(float(arrays[k][index])))
    u = np.zeros_like(arrays[k])
    u[index] = unit
    d = directional(along, [arrays[k]], [u])
    slope, left, right = (float(part[0]) / unit for part in (d.value, d.left, d.right))
    return slope, left, right, bool(d.kink[0])


def _gradient_of(f: Callable[..., Any]) -> Callable[..., Tensor]:
    """The gradient of f as a function: its elements, projected on a random direction."""
    def gradient(*args: Tensor) -> Tensor:
        leaves = [a if a.requires_grad else Tensor(a.data, True) for a in args]
        out = f(*leaves)
        if not out.requires_grad:
            return Tensor(np.zeros(()))
        pulled = pull((out,), (Tensor(_weights(out.shape)),), leaves, create_graph=True)
        parts = [(g * _direction(g.shape, 31 + k)).sum() for k, (_, g) in enumerate(pulled) if g is not None]
        return sum(parts[1:], parts[0])

    return gradient


def culprits(f: Callable[..., Any], arrays: Sequence[np.ndarray], order: int = 1) -> list[OpReport]:
    """The ops that f records and whose own gradients are wrong on what they were given, worst first."""
    with trace():
        out = _run(f, [Tensor(x, True) for x in arrays])
    reports = [check_node(node, order=level) for node in Tape.of(out) if node.needs for level in range(1, order + 1)]
    wrong = [r for r in reports if not r]
    return sorted(wrong, key=lambda r: -r.error / r.tolerance)


def _name_culprit(report: GradReport, found: list[OpReport]) -> None:
    if found:
        report.op, report.line = found[0].op, found[0].tag
        report.message += f"; the op at fault is {found[0].op}, called at {found[0].tag}"
    else:
        report.message += ("; each recorded op agrees on its own, so a value has left the tape between them "
                           "(detach(), numpy(), or Python arithmetic on .data)")
