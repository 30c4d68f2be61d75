"""Memory planning: one arena for all temporaries of a plan.

Contract: `place` gives every buffer an offset so that buffers that are alive at the same time never overlap. Placement is
greedy, best fit, in several orders, the largest first among them (Pisarchyk & Lee 2020); the best is kept and improved by
moving what sticks out. Buffers that may take over the memory of a dying input share one offset. The arena is reported beside
its lower bound, the most bytes that are alive at once.
"""

from __future__ import annotations

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
    """Offsets for all buffers and their members: the best of several greedy orders, improved where the bound is not met.

    >>> place([Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2), Buffer("c", 64, 2, 3)]).size
    128
    """
    if not buffers:
        return Arena({}, 0, 0)
    bound = _bound(buffers)
    best: tuple[int, list[int]] | None = None
    for key in _ORDERS:
        order = sorted(buffers, key=key)
        found = _greedy(order)
        if best is None or found[0] < best[0]:
            best, chosen = found, order
        if best[0] == bound:
            break
    assert best is not None
    if best[0] > bound:
        best, chosen = _improved(best, chosen, bound)
    return Arena({key: at for b, at in zip(chosen, best[1], strict=True) for key in (b.key, *b.members)}, best[0], bound)


_ORDERS: list[Callable[[Buffer], Any]] = [
    lambda b: (-aligned(b.size), b.first - b.last, b.first), lambda b: (b.first - b.last, -aligned(b.size), b.first),
    lambda b: (-aligned(b.size) * (b.last - b.first + 1), b.first), lambda b: (b.first, -aligned(b.size)),
    lambda b: (-b.last, -aligned(b.size))]
_TRIES, _MOST = 200, 400  # attempts to improve; programs with more buffers than this are near their bound anyway


def _greedy(order: Sequence[Buffer]) -> tuple[int, list[int]]:
    """(size of the arena, offset of each): every buffer in the smallest gap among those alive with it, or at the end."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    offsets = []
    for b in order:
        size = aligned(b.size)
        at, best = 0, None
        for offset, end, _, _ in sorted(p for p in placed if p[2] <= b.last and b.first <= p[3]):
            if offset - at >= size and (best is None or offset - at < best[1]):
                best = (at, offset - at)
            at = max(at, end)
        start = at if best is None else best[0]
        placed.append((start, start + size, b.first, b.last))
        offsets.append(start)
    return max(p[1] for p in placed), offsets


def _improved(best: tuple[int, list[int]], order: list[Buffer], bound: int) -> tuple[tuple[int, list[int]], list[Buffer]]:
    """The buffer that sticks out furthest is placed earlier, again and again; always the same moves."""
    if len(order) > _MOST:
        return best, order
    state = 1
    trial = order
    for _ in range(_TRIES):
        size, offsets = _greedy(trial) if trial is not order else best
        if size < best[0]:
            best, order = (size, offsets), trial
            if size == bound:
                break
        last = max(range(len(trial)), key=lambda i: offsets[i] + aligned(trial[i].size))
        state = (state * 1103515245 + 12345) % (1 << 31)  # a generator of its own: plans must not depend on anything else
        to = (state >> 8) % (last + 1)
        trial = [*trial[:to], trial[last], *trial[to:last], *trial[last + 1:]]
    return best, order


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
