"""Memory planning: one arena for all temporaries of a plan.

Contract: `place` gives every buffer an offset so that buffers that are alive at the same time never overlap. Placement is
greedy, best fit, in several orders, the largest first among them (Pisarchyk & Lee 2020); the best is kept and, where it is
more than a hundredth above its lower bound, the most bytes that are alive at once, improved by moving what sticks out.
Buffers that may take over the memory of a dying input share one offset. The arena is reported beside its bound.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ALIGN", "Arena", "Buffer", "aligned", "place"]

ALIGN = 64  # bytes: a cache line, and the widest register


@dataclass
class Buffer:
    """What must be placed: size in bytes, first and last instruction at which it is alive."""

    key: Hashable
    size: int
    first: int
    last: int
    members: list[Hashable] = field(default_factory=list)


@dataclass
class Arena:
    """Offsets by key, the arena's size, and the most bytes alive at once."""

    offsets: dict[Hashable, int]
    size: int
    bound: int


def aligned(size: int) -> int:
    """The bytes that a buffer of this size takes."""
    return max((size + ALIGN - 1) // ALIGN * ALIGN, ALIGN)


def place(buffers: Sequence[Buffer]) -> Arena:
    """Offsets for all buffers and their members: the best of several greedy orders, improved where it is more than a hundredth
    above the bound.

    >>> place([Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2), Buffer("c", 64, 2, 3)]).size
    128
    """
    if not buffers:
        return Arena({}, 0, 0)
    bound = _bound(buffers)
    sizes = [aligned(b.size) for b in buffers]
    near = [[j for j, other in enumerate(buffers) if other is not b and other.first <= b.last and b.first <= other.last]
            for b in buffers]
    best: tuple[int, list[int]] | None = None
    for key in _ORDERS:
        order = sorted(range(len(buffers)), key=lambda i: key(buffers[i]))
        starts = [-1] * len(buffers)
        size = _greedy(order, sizes, near, starts)
        if best is None or size < best[0]:
            best, chosen = (size, starts), order
        if size == bound:
            break
    assert best is not None
    if best[0] > _ENOUGH * bound and len(buffers) <= _MOST:
        best = _improved(best, chosen, sizes, near, _ENOUGH * bound)
    return Arena({key: at for b, at in zip(buffers, best[1], strict=True) for key in (b.key, *b.members)}, best[0], bound)


_ORDERS: list[Callable[[Buffer], Any]] = [
    lambda b: (-aligned(b.size), b.first - b.last, b.first), lambda b: (b.first - b.last, -aligned(b.size), b.first),
    lambda b: (-aligned(b.size) * (b.last - b.first + 1), b.first), lambda b: (b.first, -aligned(b.size)),
    lambda b: (-b.last, -aligned(b.size))]
_TRIES, _MOST = 200, 400  # attempts to improve; programs with more buffers than this are near their bound anyway
_ENOUGH = 1.01  # of the bound: the last hundredth took nine tenths of the time of placing


def _greedy(order: Sequence[int], sizes: Sequence[int], near: Sequence[Sequence[int]], starts: list[int],
            since: int = 0) -> int:
    """The size of the arena where every buffer, from place ``since`` of the order on, goes into the smallest gap among those
    alive with it (``near``), or to the end; ``starts`` holds the offsets of those before it, and receives the others."""
    for i in order[since:]:
        starts[i] = -1
    for i in order[since:]:
        size, at, start, least = sizes[i], 0, -1, sys.maxsize
        for j in sorted([j for j in near[i] if starts[j] >= 0], key=starts.__getitem__):
            gap, end = starts[j] - at, starts[j] + sizes[j]
            if size <= gap < least:
                start, least = at, gap
            if end > at:  # not max(): this line runs millions of times
                at = end
        starts[i] = at if start < 0 else start
    return max(map(int.__add__, starts, sizes))


def _improved(best: tuple[int, list[int]], order: list[int], sizes: Sequence[int], near: Sequence[Sequence[int]],
              enough: float) -> tuple[int, list[int]]:
    """The buffer that sticks out furthest is placed earlier, again and again; always the same moves."""
    size, starts = best[0], list(best[1])
    state = 1
    for _ in range(_TRIES):
        last = next(p for p, i in enumerate(order) if starts[i] + sizes[i] == size)
        state = (state * 1103515245 + 12345) % (1 << 31)  # a generator of its own: plans must not depend on anything else
        to = (state >> 8) % (last + 1)
        order = [*order[:to], order[last], *order[to:last], *order[last + 1:]]
        size = _greedy(order, sizes, near, starts, to)
        if size < best[0]:
            best = size, list(starts)
            if size <= enough:
                break
    return best


def _bound(buffers: Sequence[Buffer]) -> int:
    change: dict[int, int] = {}
    for b in buffers:
        change[b.first] = change.get(b.first, 0) + aligned(b.size)
        change[b.last + 1] = change.get(b.last + 1, 0) - aligned(b.size)
    most = alive = 0
    for at in sorted(change):
        alive += change[at]
        most = max(most, alive)
    return most
