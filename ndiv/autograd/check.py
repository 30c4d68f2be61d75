"""Verification of gradients: of one op from its own samples, and of any function.

Contract: a rule is compared with the derivative of the reference itself, in float64, on random directions u and
cotangents v: v . (J u) against (J' v) . u. J u comes from the complex step where the op is analytic (exact to
rounding), else from Richardson's extrapolation of central differences. Nothing here is tuned per op.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import NdivError, ShapeError
from . import shapes as _shapes
from .backward import pull
from .primitive import REGISTRY, Primitive, Sample
from .tape import apply, enable_grad
from .tensor import Tensor

__all__ = ["ANALYTIC_TOLERANCE", "RICHARDSON_TOLERANCE", "GradReport", "OpReport", "check_bad", "check_primitive",
           "check_sample", "gradcheck"]

ANALYTIC_TOLERANCE = 1e-14
RICHARDSON_TOLERANCE = 1e-9


@dataclass
class OpReport:
    """How one op fared on one sample. ``error`` is relative to the sum of the magnitudes that were added."""

    op: str
    tag: str
    method: str
    error: float
    tolerance: float
    faults: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.faults and self.error <= self.tolerance

    def __str__(self) -> str:
        return f"{self.op} [{self.tag}] {self.method}: {self.error:.1e} (bound {self.tolerance:.0e}) {'; '.join(self.faults)}"


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _direction(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[99, seed])).uniform(-1, 1, shape)


def complex_step(f: Callable[..., Sequence[np.ndarray]], xs: Sequence[np.ndarray],
                 us: Sequence[np.ndarray]) -> list[np.ndarray]:
    """J u by the complex step: no subtraction, so exact to rounding."""
    h = 1e-30
    return [np.imag(o) / h for o in f(*[x + 1j * h * u for x, u in zip(xs, us, strict=True)])]


def richardson(f: Callable[..., Sequence[np.ndarray]], xs: Sequence[np.ndarray], us: Sequence[np.ndarray],
               h: float = 2e-2) -> list[np.ndarray]:
    """J u by central differences at h, h/2, h/4, h/8, extrapolated to h = 0; error O(h^8)."""
    def central(step: float) -> list[np.ndarray]:
        up = f(*[x + step * u for x, u in zip(xs, us, strict=True)])
        down = f(*[x - step * u for x, u in zip(xs, us, strict=True)])
        return [(a - b) / (2 * step) for a, b in zip(up, down, strict=True)]

    rows = [central(h / 2**k) for k in range(4)]
    for order in range(1, 4):
        rows = [[(4**order * fine - coarse) / (4**order - 1) for fine, coarse in zip(b, a, strict=True)]
                for a, b in itertools.pairwise(rows)]
    return rows[0]


def check_sample(prim: Primitive, sample: Sample, seed: int = 0) -> OpReport:
    """Value, shape, type and gradient of one op on one sample."""
    faults: list[str] = []
    before = [np.array(x) for x in sample.inputs]
    free = [i for i, x in enumerate(sample.inputs) if _is_float(x) and _differentiable(prim, i)]
    xs = [np.asarray(sample.inputs[i], dtype=np.float64) for i in free]

    def f(*values: np.ndarray) -> list[np.ndarray]:
        args = list(sample.inputs)
        for i, v in zip(free, values, strict=True):
            args[i] = v
        out = prim.ref(*args, **sample.attrs)  # type: ignore[misc]
        outs = out if prim.n_out != 1 else (out,)
        return [np.asarray(o) for o in outs[:prim.n_diff]]

    args: list[Any] = list(sample.inputs)
    for i, x in zip(free, xs, strict=True):
        args[i] = Tensor(x, True)
    if not free:
        args = [Tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    with enable_grad():
        out = apply(prim, args, sample.attrs)
    outs = list(out) if prim.n_out != 1 else [out]
    expected = _shapes.infer(prim, [np.shape(x) for x in sample.inputs], sample.attrs)
    for o, shape in zip(outs, expected, strict=True):
        if o.shape != tuple(shape):
            faults.append(f"shape {o.shape} but the rule says {tuple(shape)}")
    for x, old in zip(sample.inputs, before, strict=True):
        if not np.array_equal(np.asarray(x), old, equal_nan=True):
            faults.append("an input was changed")
    method = "complex step" if prim.analytic else "Richardson"
    tolerance = ANALYTIC_TOLERANCE if prim.analytic else RICHARDSON_TOLERANCE
    if not free or not outs[0].requires_grad:
        return OpReport(prim.name, sample.tag, "no gradient", 0.0, tolerance, faults)
    us = [_direction(x.shape, seed + 7 * i) for i, x in enumerate(xs)]
    ju = (complex_step if prim.analytic else richardson)(f, xs, us)
    vs = [_direction(o.shape, seed + 101 + i) for i, o in enumerate(outs[:prim.n_diff])]
    pulled = pull(outs[:prim.n_diff], vs, [args[i] for i in free])
    forward = backward = size = 0.0
    for v, j in zip(vs, ju, strict=True):
        forward += float(np.sum(v * j))
        size += float(np.sum(np.abs(v * j)))
    for (_, g), u, x in zip(pulled, us, xs, strict=True):
        g = np.zeros_like(x) if g is None else g
        if g.shape != x.shape:
            faults.append(f"gradient has shape {g.shape}, input {x.shape}")
            continue
        backward += float(np.sum(g * u))
        size += float(np.sum(np.abs(g * u)))
    error = abs(forward - backward) / size if size else 0.0
    return OpReport(prim.name, sample.tag, method, error if np.isfinite(error) else np.inf, tolerance, faults)


def _differentiable(prim: Primitive, i: int) -> bool:
    if prim.vjp is None or callable(prim.vjp):
        return prim.vjp is not None or prim.decompose is not None
    return prim.vjp[0 if prim.variadic else i] is not None


def check_primitive(name: str) -> list[OpReport]:
    """Every sample of one op."""
    prim = REGISTRY[name]
    return [check_sample(prim, s) for s in (prim.samples() if prim.samples else [])]


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


@dataclass
class GradReport:
    """Result of `gradcheck`: truthy when every element of every gradient agrees.

    worst     largest relative error
    where     (input number, element index) of it
    message   what failed, or "" when nothing did
    """

    worst: float
    where: tuple[int, tuple[int, ...]]
    message: str = ""

    def __bool__(self) -> bool:
        return not self.message

    def __str__(self) -> str:
        place = f"input {self.where[0]}{list(self.where[1])}"
        return self.message or f"gradients agree; worst relative error {self.worst:.1e} at {place}"


def gradcheck(f: Callable[..., Tensor], inputs: Any, tolerance: float = 1e-6) -> GradReport:
    """Compare f's gradients with Richardson differences, element by element, in float64.

    f takes and returns Tensors; ``inputs`` is one array or Tensor, or several. All outputs are projected on one random
    direction.

    >>> import ndiv, numpy as np
    >>> bool(ndiv.gradcheck(lambda x: (x.tanh() * x).sum(), np.array([0.3, -1.2])))
    True
    """
    many = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    arrays = [np.array(x.data if isinstance(x, Tensor) else x, dtype=np.float64) for x in many]
    leaves = [Tensor(x, True) for x in arrays]
    with enable_grad():
        out = f(*leaves)
    if not isinstance(out, Tensor) or not out.requires_grad:
        return GradReport(np.inf, (0, ()), "the function's result does not depend on its inputs through recorded ops")
    v = _direction(out.shape, 5)
    grads = pull((out,), (v,), leaves)
    ops = [n.prim.name for n in _tape(out)]
    worst, where = 0.0, (0, ())
    for k, ((_, g), x) in enumerate(zip(grads, arrays, strict=True)):
        g = np.zeros_like(x) if g is None else g
        scale = max(float(np.max(np.abs(g), initial=0.0)), 1e-3)
        for index in np.ndindex(x.shape):
            u = np.zeros_like(x)
            u[index] = 1.0

            def along(value: np.ndarray, k: int = k) -> list[np.ndarray]:
                return [np.sum(v * f(*[Tensor(value if j == k else a) for j, a in enumerate(arrays)]).data)]

            numeric = float(richardson(along, [x], [u], h=1e-3 * max(1.0, abs(float(x[index]))))[0])
            error = abs(numeric - float(g[index])) / scale
            if error > worst or not np.isfinite(error):
                worst, where = error, (k, index)
    if worst <= tolerance:
        return GradReport(worst, where)
    return GradReport(worst, where, f"input {where[0]}, element {list(where[1])}: relative error {worst:.1e} "
                                    f"(bound {tolerance:.0e}); ops on this tape: {', '.join(dict.fromkeys(ops))}")


def _tape(out: Tensor) -> Any:
    from .tape import Tape

    return Tape.of(out)
