"""Backward: cotangents flow from outputs to leaves, newest node first.

Contract: nodes run in descending sequence number and cotangents are summed in that fixed order, so two runs give the
same bits. Without ``create_graph`` the gradient rules run on bare arrays; with it they run on Tensors and are
recorded. Summing a cotangent down to a broadcast input's shape happens here, never in a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import random
from ..errors import ShapeError
from .primitive import Like, Primitive
from .tape import Node, _mode, enable_grad, nodes_behind
from .tensor import Tensor

__all__ = ["backward", "pull", "unbroadcast"]


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a cotangent down to ``shape``, undoing NumPy's broadcasting. Works on arrays and Tensors."""
    extra = len(g.shape) - len(shape)
    if extra == 1 and g.shape[1:] == shape and type(g) is np.ndarray:  # a bias: the common case, kept short
        return np.add.reduce(g, axis=0)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[extra:], strict=True)):
        raise ShapeError(f"a gradient rule gave shape {list(g.shape)} for an input of shape {list(shape)}",
                         value=tuple(g.shape),
                         hint="the rule is wrong: a cotangent has its input's shape, or one that its input broadcasts to")
    dims = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    if isinstance(g, Tensor):
        return g.sum(dim=dims).reshape(shape) if dims else g.reshape(shape)
    return (np.add.reduce(g, axis=dims) if dims else g).reshape(shape)


def backward(outputs: Sequence[Tensor], gradients: Sequence[Any], create_graph: bool = False) -> None:
    """Accumulate into ``leaf.grad`` (see `Tensor.backward`)."""
    for leaf, g in pull(outputs, gradients, None, create_graph):
        if not isinstance(g, Tensor):
            g = Tensor(g)
        leaf.grad = g if leaf.grad is None else (leaf.grad + g if create_graph else Tensor(leaf.grad.data + g.data))


def _seed(out: Tensor, gradient: Any, create_graph: bool) -> Any:
    if not out.requires_grad:
        raise ShapeError("backward() on a tensor that does not require a gradient", value=out.shape,
                         hint="create its inputs with requires_grad=True, outside no_grad()")
    if gradient is None:
        if out.data.size != 1:
            raise ShapeError(f"backward() without a gradient needs one element; this tensor has shape "
                             f"{list(out.shape)}", value=out.shape, hint="reduce it, or pass gradient= of that shape")
        gradient = np.ones(out.data.shape, out.data.dtype)
    value = gradient.data if isinstance(gradient, Tensor) else np.asarray(gradient, dtype=out.data.dtype)
    if value.shape != out.data.shape:
        raise ShapeError(f"gradient has shape {list(value.shape)} and the tensor {list(out.shape)}", value=value.shape,
                         hint="they must be equal")
    if create_graph:
        return gradient if isinstance(gradient, Tensor) else Tensor(value)
    return value


def pull(outputs: Sequence[Tensor], gradients: Sequence[Any], wanted: Sequence[Tensor] | None,
         create_graph: bool = False, stop: bool = False, watch: Any = None) -> list[tuple[Tensor, Any]]:
    """Cotangents of leaves, as (leaf, cotangent) in a fixed order.

    With ``wanted``, exactly those tensors (leaves or not), None where nothing flows; ``stop`` then keeps the walk
    from going further back than them. ``watch(node, cotangents)`` is called after each node, for diagnostics.
    """
    create_graph = create_graph or random.is_traced()  # a gradient inside a compiled function is part of its program
    cots: dict[Any, Any] = {}  # Node -> cotangent (list of them for several outputs); leaf Tensor -> cotangent
    for out, gradient in zip(outputs, gradients, strict=True):
        _add(cots, out.node if out.node is not None else out, out.slot, _seed(out, gradient, create_graph))
    targets = {(t.node if t.node is not None else t): t for t in wanted} if wanted is not None else None
    found: dict[Any, Any] = {}
    before = _mode.grad
    _mode.grad = create_graph
    try:
        border = set(targets) if targets is not None and stop else set()
        for node in reversed(nodes_behind((o.node for o in outputs), border)):
            g = cots.pop(node, None)
            if targets is not None and node in targets:
                found[node] = g if node.prim.n_out == 1 else (g or [None] * node.prim.n_out)[targets[node].slot]
            if g is None or not node.needs or node in border:
                continue
            _pull_node(node, g, cots, create_graph)
            if watch is not None:
                watch(node, cots)
            if node.segment is not None and node is node.segment.nodes[0]:
                node.segment.strip()  # the oldest of its nodes is done
    finally:
        _mode.grad = before
    if wanted is not None:
        return [(t, found.get(t.node) if t.node is not None else cots.get(t)) for t in wanted]
    return [(leaf, g) for leaf, g in cots.items() if isinstance(leaf, Tensor)]


def _pull_node(node: Node, g: Any, cots: dict[Any, Any], create_graph: bool) -> None:
    if node.segment is not None and not node.segment.full:
        node.segment.fill()
    prim, parents, saved = node.prim, node.parents, node.inputs
    out: Any = node.out
    if create_graph:
        inputs = [_rewrap(node, i) for i in range(len(parents))]
        if out is not None:
            out = (Tensor(out, True, node) if prim.n_out == 1
                   else tuple(Tensor(o, i < prim.n_diff, node, i) for i, o in enumerate(out)))
    else:
        inputs = [Like(v) if type(v) is tuple else v for v in saved]
    vjp: Any = prim.vjp
    each: Any = None
    if type(vjp) is not tuple:
        each = (_through_decomposition(prim, inputs, node, g, create_graph) if vjp is None
                else vjp(g, out, *inputs, **node.attrs))
    slots = node.slots
    for i, parent in enumerate(parents):
        if parent is None:
            continue
        if type(parent) is Node:
            if not parent.needs:
                continue
            dtype = parent.metas[0][1]
        else:
            if not parent.requires_grad:
                continue
            if parent.written > node.seq and type(saved[i]) is not tuple:
                raise ShapeError(f"a leaf that {prim.name} ({node.line}) had read was written in place before backward",
                                 hint="call backward() before optimizer.step() or copy_()")
            dtype = parent.data.dtype
        if each is not None:
            gi = each[i]
        else:
            rule = vjp[i]
            gi = None if rule is None else rule(g, out, *inputs, **node.attrs)
        if gi is None:
            continue
        value = saved[i]
        shape = value if type(value) is tuple else value.shape
        if gi.shape != shape:
            gi = unbroadcast(gi, shape)
        if gi.dtype is not dtype and gi.dtype != dtype:
            gi = gi.astype(dtype)
        if slots is None and (type(parent) is not Node or parent.prim.n_out == 1):
            before = cots.get(parent)
            cots[parent] = gi if before is None else before + gi
        else:
            _add(cots, parent, slots[i] if slots else 0, gi)


def _add(cots: dict[Any, Any], parent: Any, slot: int, g: Any) -> None:
    """Sum a cotangent into its place: a row of them for an op with several outputs."""
    if type(parent) is Node and parent.prim.n_out != 1:
        row = cots.setdefault(parent, [None] * parent.prim.n_out)
        row[slot] = g if row[slot] is None else row[slot] + g
        return
    before = cots.get(parent)
    cots[parent] = g if before is None else before + g


def _rewrap(node: Node, i: int) -> Any:
    """Input ``i`` of a node as a Tensor that is still connected to its producer."""
    value, parent = node.inputs[i], node.parents[i]
    if type(value) is tuple:
        return Like(value)
    if parent is None:
        return value
    if isinstance(parent, Tensor):
        return parent
    return Tensor(value, parent.needs, parent, node.slots[i] if node.slots else 0)


def _through_decomposition(prim: Primitive, inputs: Sequence[Any], node: Node, g: Any, create_graph: bool) -> list[Any]:
    """Gradient of a composite by differentiating its decomposition (its inputs are all saved for this)."""
    args = list(inputs)
    # a trace has a parent for every input; whole numbers and truth values among them carry no gradient
    wanted = [i for i, p in enumerate(node.parents) if p is not None and args[i].dtype.kind in "fc"]
    # fresh names for the inputs, so that pulling stops at them
    local = {i: args[i] * 1.0 if create_graph else Tensor(args[i], True) for i in wanted}
    for i, t in local.items():
        args[i] = t
    with enable_grad():
        outs = prim.decompose(*args, **node.attrs)  # type: ignore[misc]
    outs = outs if isinstance(outs, tuple) else (outs,)
    gs = g if prim.n_out != 1 else (g,)
    pairs = [(o, gi) for o, gi in zip(outs, gs, strict=True) if gi is not None and isinstance(o, Tensor)]
    result: list[Any] = [None] * len(inputs)
    pulled = pull([o for o, _ in pairs], [gi for _, gi in pairs], [local[i] for i in wanted],
                  create_graph, stop=True)
    for i, (_, gi) in zip(wanted, pulled, strict=True):
        result[i] = gi
    return result
