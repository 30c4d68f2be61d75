"""Directional derivatives of functions of arrays, from values alone: the yardsticks that gradient rules are held to.

Contract: f takes float64 arrays and returns a list of arrays. `complex_step` is exact to rounding and needs an
analytic f. `directional` extrapolates central differences at several step sizes (Richardson 1911), estimates its own
error for each output element, and marks the elements that sit on a kink. Nothing here sees a gradient rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Derivative", "complex_step", "directional", "richardson"]

Function = Callable[..., Sequence[np.ndarray]]
Arrays = Sequence[np.ndarray]
EPS = float(np.finfo(np.float64).eps)
STEPS = 4  # h, h/2, h/4, h/8
# The first is best for smooth functions; each next one gets closer to a kink, or copes with a steeper function.
LEVELS = (2e-2, 1e-3, 5e-5, 2.5e-6)
SETTLED = 1e-10  # error estimate, relative to the derivatives, at which no smaller step is tried
CORNER = 1e-4  # change of the one-sided derivative, relative to it, that counts as a kink


@dataclass
class Derivative:
    """J u for each output, with an error estimate and a mask of the elements that lie on a kink.

    ``left`` and ``right`` are the one-sided slopes at a kink; beside one, bounds of what was seen on both sides.
    """

    value: list[np.ndarray]
    error: list[np.ndarray]
    kink: list[np.ndarray]
    left: list[np.ndarray]
    right: list[np.ndarray]

    @property
    def kinks(self) -> int:
        return sum(int(k.sum()) for k in self.kink)


def complex_step(f: Function, xs: Arrays, us: Arrays) -> list[np.ndarray]:
    """J u by the complex step (Squire & Trapp 1998): no subtraction, so exact to rounding.

    >>> complex_step(lambda x: [np.exp(x)], [np.zeros(1)], [np.ones(1)])
    [array([1.])]
    """
    h = 1e-30
    return [np.imag(o) / h for o in f(*[np.asarray(x + 1j * h * u) for x, u in zip(xs, us, strict=True)])]


def _ladder(f: Function, xs: Arrays, us: Arrays, h: float) -> tuple[list[Sequence[np.ndarray]], list[Sequence[np.ndarray]]]:
    """f at x + h u and at x - h u, for h, h/2, h/4 and h/8."""
    def at(step: float) -> Sequence[np.ndarray]:
        return f(*[np.asarray(x + step * u) for x, u in zip(xs, us, strict=True)])

    steps = [h / 2**k for k in range(STEPS)]
    return [at(s) for s in steps], [at(-s) for s in steps]


def _extrapolate(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The limit of central differences at h, h/2, ..., and how far the last refinement moved it."""
    finer = rows[-1]
    for order in range(1, len(rows)):
        rows = [(4**order * fine - coarse) / (4**order - 1) for coarse, fine in itertools.pairwise(rows)]
        if order == STEPS - 2:
            finer = rows[-1]  # the same limit without the largest step
    return rows[0], np.abs(rows[0] - finer)


def richardson(f: Function, xs: Arrays, us: Arrays, h: float = LEVELS[0]) -> list[np.ndarray]:
    """J u by central differences at h, h/2, h/4, h/8, extrapolated to h = 0; error O(h^8) away from kinks."""
    up, down = _ladder(f, xs, us, h)
    steps = [h / 2**k for k in range(STEPS)]
    return [_extrapolate([(a[i] - b[i]) / (2 * s) for a, b, s in zip(up, down, steps, strict=True)])[0]
            for i in range(len(up[0]))]


def _level(up: list[np.ndarray], down: list[np.ndarray], middle: np.ndarray, h: float) -> tuple[np.ndarray, ...]:
    """One output at one level: derivative, error estimate, settled?, kink?, one-sided derivatives."""
    steps = [h / 2**k for k in range(STEPS)]
    central = [(a - b) / (2 * s) for a, b, s in zip(up, down, steps, strict=True)]
    value, error = _extrapolate(central)
    error = np.where(np.isfinite(error), error, np.inf)
    size = np.abs(value)
    noise = 50 * EPS * np.maximum(np.abs(middle), np.max(np.abs(middle), initial=0.0)) / steps[-1]
    finite = size[np.isfinite(size)]
    typical = np.mean(finite) if finite.size else 0.0
    settled = np.isfinite(value) & (error <= SETTLED * (size + typical) + noise)
    # right minus left derivative is f'' h + O(h^3) for a smooth f, and tends to a constant at a kink
    gap = [(a - 2 * middle + b) / s for a, b, s in zip(up, down, steps, strict=True)]
    rest = [2 * fine - coarse for coarse, fine in itertools.pairwise(gap)]
    corner = [np.abs(c) > CORNER * (size + np.abs(c) / 2) + noise for c in rest]
    constant = np.abs(rest[-1]) > 0.5 * np.abs(rest[-2])
    kink = (corner[-1] & constant) | (~settled & np.logical_or.reduce(corner))
    # where f itself jumps, slopes grow like 1 / h: there is no derivative, and any would do
    jump = ~settled & np.logical_and.reduce(
        [np.abs(fine - 2 * coarse) < 0.1 * np.abs(fine) for coarse, fine in itertools.pairwise(central)])
    # beside a kink, not on it, the slope is one of those seen on either side; on it, both are known well
    seen = [*((a - middle) / s for a, s in zip(up, steps, strict=True)),
            *((middle - b) / s for b, s in zip(down, steps, strict=True))]
    low = np.where(settled, value - rest[-1] / 2, np.minimum.reduce(seen) - noise)
    high = np.where(settled, value + rest[-1] / 2, np.maximum.reduce(seen) + noise)
    return (value, error + noise / 50, settled, kink | jump, np.where(jump, -np.inf, low), np.where(jump, np.inf, high))


def directional(f: Function, xs: Arrays, us: Arrays, levels: Sequence[float] = LEVELS) -> Derivative:
    """J u by Richardson's extrapolation, each output element at the largest level at which it settles.

    >>> d = directional(lambda x: [np.abs(x)], [np.array([0.0, -2.0])], [np.ones(2)])
    >>> d.kink[0].tolist(), round(float(d.value[0][1]), 9)
    ([True, False], -1.0)
    """
    with np.errstate(all="ignore"):  # steps may leave the domain; a smaller level then decides
        middle = [np.asarray(o) for o in f(*xs)]
        best: list[tuple[np.ndarray, ...]] = []
        for h in levels:
            up, down = _ladder(f, xs, us, h)
            rows = [_level([u[i] for u in up], [d[i] for d in down], m, h) for i, m in enumerate(middle)]
            best = rows if not best else [_better(old, new) for old, new in zip(best, rows, strict=True)]
            if all(np.all(r[2]) for r in best):
                break
    return Derivative(*([r[i] for r in best] for i in (0, 1, 3, 4, 5)))


def _better(old: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Element by element: what settled first stays; else a kink, which shows best in small steps; else the smaller error."""
    keep = old[2] | (~new[2] & ~new[3] & (old[1] <= new[1]))
    return tuple(np.where(keep, a, b) for a, b in zip(old, new, strict=True))
