"""Where boxes and lines go: layered layout of a directed graph whose nodes may be groups with a graph inside.

Contract: `place` works on one `Group`. Groups are placed from the inside out, so a group is one box to what surrounds
it; a line that crosses its border does so at a port. Layers follow the longest path (sources sit right above their first
reader), order within a layer comes from barycentres (Sugiyama, Tagawa & Toda 1981), and all lines of one source share
their way. Coordinates are relative to the group's top left corner, y downwards.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Box", "Group", "place"]

GAP_X, GAP_Y, PAD, HEAD = 18.0, 30.0, 16.0, 26.0
LANE = 12.0  # width kept free for a line that passes a layer
Net = Any  # the key of the node that a line starts from


@dataclass(eq=False)
class Box:
    """Something with a size and a place: a node, or a `Group`. ``x``, ``y``: its top left corner in its group."""

    key: Any
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    data: Any = None
    source: bool = False  # may sink to just above its first reader
    layer: int = 0  # from 1; row 0 is for the lines that come from outside
    inlets: dict[Net, float] = field(default_factory=dict)  # where lines enter at the top, from the left edge
    outlets: dict[Net, float] = field(default_factory=dict)

    def inlet(self, net: Net) -> float:
        return self.inlets.get(net, self.width / 2)

    def outlet(self, net: Net) -> float:
        return self.outlets.get(net, self.width / 2)


@dataclass(eq=False)
class Group(Box):
    """A box with a graph inside. ``lines``: pieces ((x, y), (x, y), straight down?, ends in an arrow?) of its lines."""

    title: str = ""
    boxes: list[Box] = field(default_factory=list)
    lines: list[tuple[tuple[float, float], tuple[float, float], bool, bool]] = field(default_factory=list)

    def keys(self) -> set[Any]:
        """The nodes inside, at any depth."""
        return {k for b in self.boxes for k in (b.keys() if isinstance(b, Group) else (b.key,))}


def place(group: Group, edges: list[tuple[Net, Any]], framed: bool = True) -> None:
    """Give every box inside ``group`` its place, and the group its size. edges: (source key, target key), all of them.

    >>> g = Group(None, boxes=[Box("a", 40, 20), Box("b", 40, 20)])
    >>> place(g, [("a", "b")], framed=False)
    >>> [(box.key, box.layer) for box in g.boxes], len(g.lines)
    ([('a', 1), ('b', 2)], 1)
    """
    for box in group.boxes:
        if isinstance(box, Group):
            place(box, edges)
    links, ports_in, ports_out = _links(group, edges)
    _layers(group.boxes, links)
    depth = max((b.layer for b in group.boxes), default=-1) + 1
    rows = _rows(group.boxes, links, ports_in, ports_out, depth)
    _order(rows, links)
    _across(rows, links)
    _down(group, rows, links, framed)


@dataclass(eq=False)
class _Link:
    """One line at one level, from box to box; through ``stops`` in the layers between. A port is a `Box` without size."""

    net: Net
    start: Box
    end: Box
    stops: list[Box] = field(default_factory=list)


def _links(group: Group, edges: list[tuple[Net, Any]]) -> tuple[list[_Link], dict[Net, Box], dict[Net, Box]]:
    owner: dict[Any, Box] = {}
    for box in group.boxes:
        for key in box.keys() if isinstance(box, Group) else (box.key,):
            owner[key] = box
    links: dict[Any, _Link] = {}
    ports_in: dict[Net, Box] = {}
    ports_out: dict[Net, Box] = {}
    for net, target in edges:
        start, end = owner.get(net), owner.get(target)
        if start is end:  # inside one of the boxes, or outside this group altogether
            continue
        if start is None:
            start = ports_in.setdefault(net, Box(("in", net)))
        if end is None:
            end = ports_out.setdefault(net, Box(("out", net)))
        links.setdefault((net, id(start), id(end)), _Link(net, start, end))
    return list(links.values()), ports_in, ports_out


def _layers(boxes: list[Box], links: list[_Link]) -> None:
    """Longest path from the top; then sources go down to just above their first reader."""
    inside = {id(b) for b in boxes}
    after: dict[int, list[Box]] = defaultdict(list)
    waiting: dict[int, int] = defaultdict(int)
    for link in links:
        if id(link.start) in inside and id(link.end) in inside:
            after[id(link.start)].append(link.end)
            waiting[id(link.end)] += 1
    for box in boxes:
        box.layer = 0
    ready = [b for b in boxes if not waiting[id(b)]]
    while ready:
        box = ready.pop()
        for follower in after[id(box)]:
            follower.layer = max(follower.layer, box.layer + 1)
            waiting[id(follower)] -= 1
            if not waiting[id(follower)]:
                ready.append(follower)
    for box in boxes:
        if box.source and after[id(box)]:
            box.layer = min(f.layer for f in after[id(box)]) - 1
    shift = min((b.layer for b in boxes), default=0)
    for box in boxes:
        box.layer -= shift


def _rows(boxes: list[Box], links: list[_Link], ports_in: dict[Net, Box], ports_out: dict[Net, Box],
          depth: int) -> list[list[Box]]:
    """Layers of boxes, ports and the stops of long lines; row 0 and the last one hold the ports."""
    rows: list[list[Box]] = [[] for _ in range(depth + 2)]
    for box in boxes:
        box.layer += 1
        rows[box.layer].append(box)
    for port in ports_in.values():
        rows[0].append(port)
    for port in ports_out.values():
        port.layer = depth + 1
        rows[-1].append(port)
    shared: dict[tuple[int, Net, int], Box] = {}
    for link in links:
        for layer in range(link.start.layer + 1, link.end.layer):
            at = (id(link.start), link.net, layer)
            if at not in shared:
                shared[at] = Box(None, LANE, 0.0, layer=layer)
                rows[layer].append(shared[at])
            link.stops.append(shared[at])
    return rows


def _steps(links: list[_Link]) -> list[tuple[Box, Box, Net]]:
    """Every line cut into pieces from one layer to the next."""
    steps = {}
    for link in links:
        way = [link.start, *link.stops, link.end]
        for a, b in itertools.pairwise(way):
            steps[id(a), id(b), link.net] = (a, b, link.net)
    return list(steps.values())


def _order(rows: list[list[Box]], links: list[_Link]) -> None:
    """Order within rows by the mean place of neighbours, downwards and upwards in turn; the best order is kept."""
    above: dict[int, list[Box]] = defaultdict(list)
    below: dict[int, list[Box]] = defaultdict(list)
    for a, b, _ in _steps(links):
        above[id(b)].append(a)
        below[id(a)].append(b)
    place_of: dict[int, float] = {}

    def number() -> None:
        for row in rows:
            for i, box in enumerate(row):
                place_of[id(box)] = i - (len(row) - 1) / 2

    def crossings() -> int:
        total = 0
        for row in rows:
            pairs = sorted((place_of[id(a)], place_of[id(b)]) for a in row for b in below[id(a)])
            total += sum(p[1] > q[1] for i, p in enumerate(pairs) for q in pairs[i + 1:] if q[0] > p[0])
        return total

    number()
    best, kept = crossings(), [list(row) for row in rows]
    for sweep in range(8):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            row.sort(key=lambda b: (sum(place_of[id(n)] for n in near[id(b)]) / len(near[id(b)])
                                    if near[id(b)] else place_of[id(b)]))
            number()
        now = crossings()
        if now < best:
            best, kept = now, [list(row) for row in rows]
    for row, order in zip(rows, kept, strict=True):
        row[:] = order


def _across(rows: list[list[Box]], links: list[_Link]) -> None:
    """x of every box: near its neighbours, in the order of its row, without overlap."""
    # neighbour, where it joins, where I join, how much I care: readers do not follow their sources, but sources them
    near: dict[int, list[tuple[Box, float, float, float]]] = defaultdict(list)
    for a, b, net in _steps(links):
        near[id(a)].append((b, b.inlet(net), a.outlet(net), 1.0))
        near[id(b)].append((a, a.outlet(net), b.inlet(net), 1e-3 if a.source else 1.0))
    for row in rows:
        at = 0.0
        for box in row:
            box.x = at
            at += box.width + GAP_X
    for turn in range(40):
        for row in rows if turn % 2 else list(reversed(rows)):
            wish = []
            for box in row:
                pulls = [(care * (n.x + there - here), care) for n, there, here, care in near[id(box)]]
                wish.append(sum(p for p, _ in pulls) / sum(c for _, c in pulls) if pulls else box.x)
            _settle(row, wish)
    left = min((b.x for row in rows for b in row), default=0.0)
    for row in rows:
        for box in row:
            box.x -= left


def _settle(row: list[Box], wish: list[float]) -> None:
    """Places as near to the wishes as the order allows: blocks that collide take their weighted mean (isotonic
    regression). Sources give way, and long lines insist on going straight."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    offset, offsets = 0.0, []
    for box in row:
        offsets.append(offset)
        offset += box.width + GAP_X
    for box, w, o in zip(row, wish, offsets, strict=True):
        mean, weight, count = w - o, 1e-3 if box.source else 3.0 if box.key is None else 1.0, 1
        while blocks and blocks[-1][0] > mean:
            m, v, n = blocks.pop()
            mean, weight, count = (mean * weight + m * v) / (weight + v), weight + v, count + n
        blocks.append((mean, weight, count))
    starts = [mean for mean, _, count in blocks for _ in range(count)]
    for box, start, o in zip(row, starts, offsets, strict=True):
        box.x = start + o


def _down(group: Group, rows: list[list[Box]], links: list[_Link], framed: bool) -> None:
    """y of every row, the group's size, its ports, and the lines."""
    pad, head = (PAD, HEAD) if framed else (0.0, 0.0)
    top: list[float] = []
    y = head if framed else 0.0
    for i, row in enumerate(rows):
        height = max((b.height for b in row), default=0.0)
        if 0 < i < len(rows) - 1:
            for box in row:
                box.y = y
                box.x += pad
            top.append(y)
            y += height + GAP_Y
    bottom = max(y - GAP_Y, 0.0) + (pad if framed else 0.0)
    group.width = max((b.x + b.width for row in rows[1:-1] for b in row), default=0.0) + pad
    group.width = max(group.width, 7.0 * len(group.title) + 2 * pad if framed else 0.0)
    group.height = bottom
    for port in (*rows[0], *rows[-1]):
        port.x = min(max(port.x + pad, pad / 2), group.width - pad / 2)
        port.y = 0.0 if port.layer == 0 else bottom
        (group.inlets if port.layer == 0 else group.outlets)[port.key[1]] = port.x
    tops = dict(zip(range(1, len(rows) - 1), top, strict=True))
    heights = {i: max((b.height for b in row), default=0.0) for i, row in enumerate(rows)}
    for a, b, net in _steps(links):
        x1, x2 = a.x + a.outlet(net), b.x + b.inlet(net)
        if a.key is None:  # a stop: straight through its layer first
            x1 = a.x + LANE / 2
            group.lines.append(((x1, tops[a.layer]), (x1, tops[a.layer] + heights[a.layer]), True, False))
        start = tops[a.layer] + heights[a.layer] if a.key is None else a.y + a.height
        end = tops[b.layer] if b.key is None else b.y
        x2 = b.x + LANE / 2 if b.key is None else x2
        arrow = b.key is not None and not isinstance(b, Group) and not _is_port(b)
        group.lines.append(((x1, start), (x2, end), False, arrow))


def _is_port(box: Box) -> bool:
    return isinstance(box.key, tuple) and len(box.key) == 2 and box.key[0] in ("in", "out")
