"""Gradient checkpointing: values inside a function are dropped after it ran, and worked out again in backward.

Contract: the nodes that the function recorded stay in the graph, with their parents, but without the arrays they had
saved. When backward first reaches one of them, the function runs again on the same inputs and the same random
numbers, and the arrays are taken from the new nodes, which must be the same ops in the same order. So checkpoints
nest in any model, reach parameters that the function closes over, and allow derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import random
from ..errors import ShapeError
from .tape import Node, _mode, enable_grad

__all__ = ["checkpoint"]


class Segment:
    """The nodes of one checkpointed call, and how to fill them again. Those of a checkpoint inside it are that one's."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], state: tuple[int, int], nodes: list[Node]) -> None:
        self.f, self.args, self.state, self.nodes = f, args, state, nodes
        self.full = False
        self.strip()

    def strip(self) -> None:
        """Drop the saved arrays, keeping their shapes."""
        for node in self.nodes:
            node.inputs = tuple(getattr(v, "shape", v) for v in node.inputs)
            node.out = None
        self.full = False

    def fill(self) -> None:
        """Run the function again and take over what its nodes saved."""
        outside = random.get_state()
        random.set_state(self.state)
        try:
            with enable_grad():
                again = _own(_journal(self.f, self.args)[1])
        finally:
            random.set_state(outside)
        if [(n.prim, n.metas) for n in again] != [(n.prim, n.metas) for n in self.nodes]:
            raise ShapeError("a checkpointed function recorded other ops when it ran again", value=len(again),
                             hint="it must depend on its arguments alone, not on state that changes")
        for node, new in zip(self.nodes, again, strict=True):
            node.inputs, node.out, node.attrs = new.inputs, new.out, new.attrs
        self.full = True


def _journal(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, list[Node]]:
    """f(*args) and the nodes that it recorded, in order."""
    before = _mode.journal
    nodes: list[Node] = []
    _mode.journal = nodes
    try:
        return f(*args), nodes
    finally:
        _mode.journal = before
        if before is not None:
            before.extend(nodes)


def checkpoint(f: Callable[..., Any], *args: Any) -> Any:
    """f(*args), keeping none of the values inside for backward; they are computed again there.

    Memory falls from all of f's intermediate values to its inputs; time grows by one more run of f.

    >>> import ndiv, numpy as np
    >>> x = ndiv.tensor(np.array([0.5]), requires_grad=True)
    >>> ndiv.checkpoint(lambda t: t.tanh().exp(), x).sum().backward()
    >>> bool(abs(x.grad.item() - np.exp(np.tanh(0.5)) * (1 - np.tanh(0.5) ** 2)) < 1e-12)
    True
    """
    if not _mode.grad or _mode.all:
        return f(*args)
    state = random.get_state()
    out, nodes = _journal(f, args)
    own = _own(nodes)
    if own:
        segment = Segment(f, args, state, own)
        for node in own:
            node.segment = segment
    return out


def _own(nodes: list[Node]) -> list[Node]:
    """The nodes that no inner checkpoint looks after."""
    return [n for n in nodes if n.segment is None]
