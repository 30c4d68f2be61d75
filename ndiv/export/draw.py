"""A tape as an SVG picture, written without extra packages: ops as boxes by family, modules as frames around them.

Contract: the text returned is a complete SVG 1.1 document without scripts, styles that need a browser, or outside
references; it reads on light and on dark paper. Each box carries its details (attributes, dtype, flops, source line) as
a tooltip. Modules are known by the parameters that their ops read: see `draw`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd.tape import Node, Tape
from ..autograd.tensor import Tensor
from .layout import Box, Group, place

__all__ = ["draw"]

# fill, border; the text on them is always dark
_COLOURS = {
    "elementwise": ("#cfe3ff", "#4a86d8"), "shape": ("#e3e6ea", "#8a94a3"), "reduce": ("#ffe0b8", "#d68a1f"),
    "linear": ("#d3f0d3", "#3f9a4a"), "index": ("#e6dcff", "#8062d6"), "conv": ("#cdeff0", "#2b97a0"),
    "norm": ("#ffd9e6", "#cf5a8c"), "random": ("#f4f0b8", "#a79a20"), "attention": ("#ffd3cc", "#d5604c"),
    "recurrent": ("#d9ecff", "#2f7fb5"), "spectral": ("#ead7f2", "#9c4fbd"), "special": ("#dfe7c4", "#7d9133"),
}
_OTHER = ("#eceff2", "#8a94a3")
_PARAMETER = ("#fff3c4", "#c79a00")
_INPUT = ("#ffffff", "#4b5563")
_INK, _DIM, _LINE, _FRAME = "#16202c", "#7a8796", "#7a8796", "#93a0af"
_FONT = "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\""
MARGIN = 20.0


def draw(tape: Tape, path: str | Path | None = None, *, names: Any = None, collapse: Iterable[str] = (),
         title: str | None = None) -> str:
    """SVG text of a tape, top to bottom; written to ``path`` when one is given.

    names     a Module, or a mapping between dotted names and tensors (``dict(model.named_parameters())``). With it,
              parameters have their names, and ops stand in a frame for their module: the module of an op is the one
              whose parameters it reads, or the innermost one that holds what comes before it and what comes after
    collapse  dotted names of modules that are drawn as a single box, such as ("blocks.0",)
    title     first line of the picture; by default the number of ops, parameters and flops

    >>> import ndiv, numpy as np
    >>> x = ndiv.tensor(np.ones((2, 3)), requires_grad=True)
    >>> draw(ndiv.Tape.of((x * 2).tanh().sum())).count("<title>")  # x, three ops, the output
    5
    """
    graph = _Graph(tape, _by_tensor(names))
    root = graph.grouped(frozenset(collapse))
    edges = graph.edges(root)
    place(root, edges, framed=False)
    text = _document(root, title if title is not None else graph.summary(), graph.families(root))
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _by_tensor(names: Any) -> dict[int, str]:
    """id(tensor) -> dotted name."""
    if names is None:
        return {}
    pairs = names.named_parameters() if hasattr(names, "named_parameters") else names.items()
    return {id(b): a if isinstance(a, str) else b for a, b in (p if isinstance(p[0], str) else p[::-1] for p in pairs)}


@cache
def _family(name: str) -> str:
    """The family in which an op is declared; "" for a user's own."""
    from ..autograd.ops import FAMILIES
    from ..autograd.primitive import Primitive

    for family in FAMILIES:
        for value in vars(family).values():
            some = value.values() if isinstance(value, dict) else (value,)
            if any(isinstance(p, Primitive) and p.name == name for p in some):
                return family.__name__.rpartition(".")[2]
    return ""


class _Graph:
    """What is drawn: ops, the leaves and data that they read, outputs, and the module of each."""

    def __init__(self, tape: Tape, names: dict[int, str]) -> None:
        self.names = names
        self.nodes: list[Node] = list(tape)
        self.outputs = tape.outputs
        self.boxes: dict[Any, Box] = {}
        self.links: list[tuple[Any, Any]] = []
        self.modules: dict[Any, tuple[str, ...]] = {}
        self.parameters = 0
        for node in self.nodes:
            self._op(node)
        for i, out in enumerate(self.outputs):
            key = ("output", i)
            name = out.name or ("output" if len(self.outputs) == 1 else f"output {i}")
            self.boxes[key] = _box(key, name, _shape(out.shape), _INPUT, 20, f"{name}: {out.dtype} {list(out.shape)}")
            if out.node is not None:
                self.links.append((out.node.seq, key))
        self._assign()

    def _op(self, node: Node) -> None:
        numbers = [f"{v:.4g}" for p, v in zip(node.parents, node.inputs, strict=True)
                   if p is None and isinstance(v, (int, float))]
        words = [v for v in node.attrs.values() if isinstance(v, str) and v != "identity"]
        label = " ".join([node.prim.name, *numbers, *words])
        shape, dtype = node.metas[0]
        shapes = [v if isinstance(v, tuple) else tuple(np.shape(v)) for v in node.inputs]
        flops, _ = node.prim.costs(node.attrs, shapes, [m[0] for m in node.metas], dtype.itemsize)
        attrs = ", ".join(f"{k}={v!r}" for k, v in node.attrs.items())
        tip = (f"{node.prim.name}({', '.join(str(list(s)) for s in shapes)}{', ' if attrs else ''}{attrs})\n"
               f"{dtype} {list(shape)}, {flops:,.0f} flops\n{node.line}")
        self.boxes[node.seq] = _box(node.seq, label, _shape(shape), _COLOURS.get(_family(node.prim.name), _OTHER), 6, tip)
        for i, parent in enumerate(node.parents):
            if isinstance(parent, Node):
                self.links.append((parent.seq, node.seq))
            elif isinstance(parent, Tensor):
                self._leaf(parent, node)
            elif not isinstance(node.inputs[i], (int, float)):
                value = node.inputs[i]
                key = ("data", id(value)) if isinstance(value, np.ndarray) else ("data", node.seq, i)
                if key not in self.boxes:
                    box = _box(key, "data", _shape(shapes[i]), _INPUT, 14, f"data {list(shapes[i])}: no gradient flows here")
                    box.source = True
                    self.boxes[key] = box
                self.links.append((key, node.seq))

    def _leaf(self, leaf: Tensor, node: Node) -> None:
        key = ("leaf", id(leaf))
        if key not in self.boxes:
            name = self.names.get(id(leaf)) or leaf.name
            trained = id(leaf) in self.names or type(leaf).__name__ == "Parameter"
            self.parameters += leaf.numel() if trained else 0
            short = (name or ("parameter" if trained else "input")).rpartition(".")[2]
            box = _box(key, short, _shape(leaf.shape), _PARAMETER if trained else _INPUT, 14,
                       f"{'parameter' if trained else 'input'} {name or ''} {leaf.dtype} {list(leaf.shape)}")
            box.source = True
            self.boxes[key] = box
            if id(leaf) in self.names:
                self.modules[key] = _frames(self.names[id(leaf)])
            box.data["numel"] = leaf.numel() if trained else 0
        self.links.append((key, node.seq))

    def _assign(self) -> None:
        """The module of each op: of its parameters, else the innermost that holds what is before and what is after."""
        before: dict[int, set[tuple[str, ...]]] = {}
        after: dict[int, set[tuple[str, ...]]] = {}
        own: dict[int, tuple[str, ...]] = {}
        into: dict[Any, list[Any]] = {n.seq: [] for n in self.nodes}
        outof: dict[Any, list[Any]] = {n.seq: [] for n in self.nodes}
        for a, b in self.links:
            if a in self.modules and b in into:
                own.setdefault(b, self.modules[a])
            elif a in outof and b in into:
                into[b].append(a)
                outof[a].append(b)
        for order, near, found in ((self.nodes, into, before), (self.nodes[::-1], outof, after)):
            for node in order:
                seen = {m for n in near[node.seq] for m in ({own[n]} if n in own else found[n])}
                found[node.seq] = seen
        for node in self.nodes:
            self.modules[node.seq] = own.get(node.seq) or max(
                (_common(a, b) for a in before[node.seq] for b in after[node.seq]), key=len, default=())

    def grouped(self, collapse: frozenset[str]) -> Group:
        """Boxes in nested groups: runs of ops of one module, in the order in which they ran, with what only they read.

        A run of the recorded order has no way out and back in, so that a group can stand as one box.
        """
        first: dict[Any, int] = {}
        for a, b in self.links:
            if isinstance(b, int) and a not in first and not isinstance(a, int):
                first[a] = b
        leaves: dict[int, list[Any]] = {}
        for key, reader in first.items():
            leaves.setdefault(reader, []).append(key)
        row = [(k, self.modules[n.seq]) for n in self.nodes for k in (*leaves.get(n.seq, ()), n.seq)]
        root = Group("", boxes=_nested(row, self.boxes, (), collapse))
        root.boxes += [self.boxes["output", i] for i in range(len(self.outputs))]
        return root

    def edges(self, root: Group) -> list[tuple[Any, Any]]:
        """All lines, between the boxes that are drawn (those of a collapsed module stand for what is in it)."""
        stands: dict[Any, Any] = {}

        def collect(group: Group) -> None:
            for box in group.boxes:
                if isinstance(box, Group):
                    collect(box)
                else:
                    for key in box.data.get("keys", (box.key,)):
                        stands[key] = box.key

        collect(root)
        found = {(stands[a], stands[b]): None for a, b in self.links if stands[a] != stands[b]}
        return list(found)

    def families(self, root: Group) -> list[tuple[str, tuple[str, str]]]:
        """Colours in use, for the legend."""
        used = {_family(n.prim.name) for n in self.nodes}
        rows = [(name, colours) for name, colours in _COLOURS.items() if name in used]
        return rows + [("your own", _OTHER)] * ("" in used) + [("parameter", _PARAMETER)] * bool(self.parameters)

    def summary(self) -> str:
        flops = 0.0
        for node in self.nodes:
            shapes = [v if isinstance(v, tuple) else tuple(np.shape(v)) for v in node.inputs]
            flops += node.prim.costs(node.attrs, shapes, [m[0] for m in node.metas])[0]
        trained = f", {self.parameters:,} parameters" if self.parameters else ""
        return f"{len(self.nodes)} ops{trained}, {flops:,.0f} flops"


def _frames(name: str) -> tuple[str, ...]:
    """The modules around a parameter, outermost first: "blocks.0.layers.1.weight" is in blocks.0 and blocks.0.layers.1.

    A list of modules ("blocks") has no frame of its own; its items have.
    """
    parts = name.split(".")[:-1]
    return tuple(".".join(parts[:i + 1]) for i in range(len(parts)) if i + 1 == len(parts) or not parts[i + 1].isdigit())


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return a[:n]


def _nested(row: Sequence[tuple[Any, tuple[str, ...]]], boxes: dict[Any, Box], path: tuple[str, ...],
            collapse: frozenset[str]) -> list[Box]:
    """The boxes of one module: its own ops, and one group (or box) for each run of a module inside."""
    out: list[Box] = []
    at = 0
    while at < len(row):
        key, module = row[at]
        if module == path:
            out.append(boxes[key])
            at += 1
            continue
        end = at
        inner = module[:len(path) + 1]
        name = inner[-1]
        while end < len(row) and row[end][1][:len(inner)] == inner:
            end += 1
        keys = [k for k, _ in row[at:end]]
        if name in collapse:
            ops = sum(isinstance(k, int) for k in keys)
            weights = sum(boxes[k].data.get("numel", 0) for k in keys)
            box = _box(("module", name, at), name, f"{ops} ops, {weights:,} parameters", ("#f3f5f8", _FRAME), 6,
                       f"module {name}: {ops} ops, {weights:,} parameters")
            box.height += 14
            box.data["keys"] = keys
            out.append(box)
        else:
            short = name[len(path[-1]) + 1:] if path else name
            out.append(Group(("group", name, at), title=short, boxes=_nested(row[at:end], boxes, inner, collapse)))
        at = end
    return out


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "scalar"


def _box(key: Any, label: str, below: str, colours: tuple[str, str], corner: float, tip: str) -> Box:
    width = max(7.6 * len(label), 6.2 * len(below), 40.0) + 22
    return Box(key, width, 42.0, data={"label": label, "below": below, "colours": colours, "corner": corner, "tip": tip})


# SVG --------------------------------------------------------------------------------------------------------------

def _document(root: Group, title: str, legend: Sequence[tuple[str, tuple[str, str]]]) -> str:
    keys, x = [], 0.0
    for name, (fill, border) in legend:
        keys.append(f'<rect x="{x:.0f}" y="-10" width="14" height="12" rx="3" fill="{fill}" stroke="{border}"/>'
                    f'<text x="{x + 20:.0f}" y="0" font-size="12" fill="{_DIM}">{name}</text>')
        x += 34 + 6.6 * len(name)
    width = max(root.width, x, 7.5 * len(title)) + 2 * MARGIN
    height = root.height + 2 * MARGIN + 56
    body = _group(root, (width - root.width) / 2, MARGIN + 28)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" {_FONT}>\n'
            f'<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{_LINE}"/></marker></defs>\n'
            f'<text x="{width / 2:.0f}" y="{MARGIN + 4:.0f}" font-size="14" fill="{_DIM}" text-anchor="middle">'
            f'{html.escape(title)}</text>\n{body}'
            f'<g transform="translate({(width - x) / 2:.0f} {height - MARGIN + 4:.0f})">{"".join(keys)}</g>\n</svg>\n')


def _group(group: Group, x: float, y: float) -> str:
    parts = []
    if group.title:
        length = 7.0 * len(group.title) + 14  # where a line enters, the title stands on the other side
        doors = group.inlets.values()
        left = all(at > length for at in doors) or any(at > group.width - length for at in doors)
        side, at = ("start", x + 10) if left else ("end", x + group.width - 10)
        parts.append(f'<g><title>module {html.escape(group.key[1])}</title>'
                     f'<path d="{_rounded(x, y, group.width, group.height)}" fill="{_FRAME}" fill-opacity="0.10" '
                     f'stroke="{_FRAME}" stroke-dasharray="4 3"/>'
                     f'<text x="{at:.1f}" y="{y + 17:.1f}" font-size="12" font-weight="600" fill="{_DIM}" '
                     f'text-anchor="{side}">'
                     f'{html.escape(group.title)}</text></g>\n')
    for (x1, y1), (x2, y2), straight, arrow in group.lines:
        a, b, c, d = x + x1, y + y1, x + x2, y + y2
        bend = (d - b) / 2
        way = f"M{a:.1f} {b:.1f}V{d:.1f}" if straight or abs(a - c) < 0.5 else (
            f"M{a:.1f} {b:.1f}C{a:.1f} {b + bend:.1f} {c:.1f} {d - bend:.1f} {c:.1f} {d:.1f}")
        tip = ' marker-end="url(#arrow)"' if arrow else ""
        parts.append(f'<path d="{way}" fill="none" stroke="{_LINE}" stroke-width="1.4"{tip}/>\n')
    for box in group.boxes:
        if isinstance(box, Group):
            parts.append(_group(box, x + box.x, y + box.y))
        else:
            parts.append(_node(box, x + box.x, y + box.y))
    return "".join(parts)


def _rounded(x: float, y: float, w: float, h: float) -> str:
    return f"M{x + 8:.1f} {y:.1f}h{w - 16:.1f}q8 0 8 8v{h - 16:.1f}q0 8 -8 8h{16 - w:.1f}q-8 0 -8 -8v{16 - h:.1f}q0 -8 8 -8z"


def _node(box: Box, x: float, y: float) -> str:
    d = box.data
    fill, border = d["colours"]
    middle, esc = x + box.width / 2, html.escape
    half = y + box.height / 2
    return (f'<g><title>{esc(d["tip"])}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{d["corner"]}" '
            f'fill="{fill}" stroke="{border}" stroke-width="1.5"/>'
            f'<text x="{middle:.1f}" y="{half - 3:.1f}" font-size="13" font-weight="600" fill="{_INK}" '
            f'text-anchor="middle">{esc(d["label"])}</text>'
            f'<text x="{middle:.1f}" y="{half + 13:.1f}" font-size="11" fill="{_INK}" text-anchor="middle">'
            f'{esc(d["below"])}</text></g>\n')
