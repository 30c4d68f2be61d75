"""Memory planning: one arena for all temporaries of a plan.

Contract: `place` gives every buffer an offset so that buffers that are alive at the same time never overlap, and the
largest buffers are placed first, each in the lowest gap that fits (greedy by size, as in Pisarchyk & Lee 2020). Buffers
that may take over the memory of a dying input share one offset. The arena is reported beside its lower bound, the most
bytes that are alive at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

__all__ = ["ALIGN", "Arena", "Buffer", "place"]

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


def _aligned(size: int) -> int:
    return max((size + ALIGN - 1) // ALIGN * ALIGN, ALIGN)


def place(buffers: Sequence[Buffer]) -> Arena:
    """Offsets for all buffers and their members.

    >>> place([Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2), Buffer("c", 64, 2, 3)]).size
    128
    """
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    offsets: dict[Hashable, int] = {}
    order = sorted(buffers, key=lambda b: (-_aligned(b.size), -(b.last - b.first), b.first))
    for b in order:
        size = _aligned(b.size)
        at, best = 0, None
        for offset, end, _, _ in sorted(p for p in placed if p[2] <= b.last and b.first <= p[3]):
            if offset - at >= size and (best is None or offset - at < best[1]):
                best = (at, offset - at)
            at = max(at, end)
        start = at if best is None else best[0]
        placed.append((start, start + size, b.first, b.last))
        for key in [b.key, *b.members]:
            offsets[key] = start
    return Arena(offsets, max((p[1] for p in placed), default=0), _bound(buffers))


def _bound(buffers: Sequence[Buffer]) -> int:
    change: dict[int, int] = {}
    for b in buffers:
        change[b.first] = change.get(b.first, 0) + _aligned(b.size)
        change[b.last + 1] = change.get(b.last + 1, 0) - _aligned(b.size)
    most = alive = 0
    for at in sorted(change):
        alive += change[at]
        most = max(most, alive)
    return most
