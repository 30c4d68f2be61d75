"""Recording: Node, the recording modes, `apply`, and Tape (a view of what was recorded).

Contract: `apply` is the only door through which an op runs on Tensors. Bare arrays in, bare array out, at no
cost; that is how gradient rules and decompositions, written in ndiv ops, run on plain NumPy in backward. Nodes
hold their parents, so a graph lives exactly as long as its outputs; a monotone number gives the linear order.
"""

from __future__ import annotations

import itertools
import linecache
import sys
import threading
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from .. import random
from . import shapes as _shapes
from .primitive import REGISTRY, Primitive
from .thin import Thin

__all__ = ["Node", "Tape", "apply", "enable_grad", "is_grad_enabled", "no_grad", "stopped", "trace"]

_sequence = itertools.count(1)
ndarray = np.ndarray


class _Mode(threading.local):
    """Per-thread recording mode: off, grad (save what backward needs), or all (record every op).

    values: with all, every value is kept; without, what backward needs and what no op made
    thin: what runs ops when the record is wanted and not what it computes, or None
    journal: a list to which every recorded node is added, or None.
    """

    grad = True
    all = False
    values = True
    thin: Thin | None = None
    journal: list[Node] | None = None


_mode = _Mode()


class Node:
    """One recorded op.

    parents[i]  Node or leaf Tensor that produced input i, or None when no gradient flows there
    slots[i]    which output of that parent (0 but for ops with several outputs)
    inputs[i]   the array or constant, when saved; else its shape as a tuple
    out         output array(s), when saved; else None
    metas       (shape, dtype) of each output
    where       (code object, instruction) of the call, turned into file and line only when asked for; or the line itself
    segment     the checkpoint that can fill in what was saved, or None
    """

    __slots__ = ("attrs", "inputs", "metas", "needs", "out", "parents", "prim", "segment", "seq", "slots", "where")

    def __init__(self, prim: Primitive, attrs: dict[str, Any], parents: tuple[Any, ...], slots: tuple[int, ...] | None,
                 inputs: tuple[Any, ...], out: Any, metas: Any, seq: int, where: Any, needs: bool) -> None:
        self.prim = prim
        self.attrs = attrs
        self.parents = parents
        self.slots = slots
        self.inputs = inputs
        self.out = out
        self.metas = metas
        self.seq = seq
        self.where = where
        self.needs = needs
        self.segment: Any = None

    @property
    def line(self) -> str:
        """``file:line`` of the call that recorded this node."""
        if self.where is None or type(self.where) is str:
            return self.where or ""
        code, lasti = self.where
        number = code.co_firstlineno
        for start, end, n in code.co_lines():
            if start <= lasti < end and n is not None:
                number = n
        return f"{code.co_filename}:{number}"

    def __repr__(self) -> str:
        return f"<{self.prim.name} #{self.seq}>"


from .tensor import Tensor  # noqa: E402  (Tensor is sugar; it needs Node's neighbours, not Node)

_EMPTY: dict[str, Any] = {}


def apply(prim: Primitive, inputs: Sequence[Any], attrs: dict[str, Any] = _EMPTY) -> Any:
    """Run ``prim`` on Tensors, arrays and numbers; record it when a gradient may flow (or when tracing)."""
    arrays = []
    tensors = needs = False
    for x in inputs:
        if isinstance(x, Tensor):
            tensors = True
            if x.requires_grad:
                needs = True
            arrays.append(x.data)
        else:
            arrays.append(x)
    if not tensors:
        return prim.run(*arrays, **attrs)
    if prim.strict:
        try:
            _shapes.infer(prim, [np.shape(a) for a in arrays], attrs)
        except _shapes.RuleBroken as broken:
            raise _shapes.explain(prim, arrays, attrs, broken) from None
    mode = _mode
    try:
        out = prim.run(*arrays, **attrs) if mode.thin is None else mode.thin.run(prim, arrays, attrs)
    except (ValueError, TypeError, IndexError, AttributeError, _shapes.RuleBroken) as cause:
        raise _shapes.explain(prim, arrays, attrs, cause) from cause
    needs = needs and mode.grad and (prim.vjp is not None or prim.decompose is not None)
    if not needs and not mode.all:
        if prim.n_out == 1:
            return Tensor(out if type(out) is ndarray and out.ndim else _scalar(out, arrays))
        return tuple(Tensor(np.asarray(o)) for o in out)
    return _record(prim, inputs, arrays, attrs, out, needs)


def _record(prim: Primitive, inputs: Sequence[Any], arrays: list[Any], attrs: dict[str, Any], out: Any,
            needs: bool) -> Any:
    mode = _mode
    keep_all = mode.all
    keep_values = keep_all and mode.values
    parents: list[Any] = []
    slots: list[int] | None = None
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and (x.requires_grad or keep_all):
            node = x.node
            if node is None:
                parents.append(x)
            else:
                parents.append(node)
                if x.slot:
                    slots = slots or [0] * len(inputs)
                    slots[i] = x.slot
        else:
            parents.append(None)
    if keep_values:
        saved = tuple(arrays)
    elif keep_all:
        kept = needs and (prim.save_args if not prim.variadic else [prim.saves] * len(arrays))
        saved = tuple([a if parent is None or type(a) is not ndarray or (kept and kept[i]) else a.shape
                       for i, (a, parent) in enumerate(zip(arrays, parents, strict=True))])
    elif prim.variadic:
        saved = tuple(arrays) if prim.saves else tuple([np.shape(a) for a in arrays])
    else:
        saved = tuple([a if keep or type(a) is not ndarray else a.shape
                       for a, keep in zip(arrays, prim.save_args, strict=True)])
    frame = sys._getframe(2)
    while frame.f_back is not None and "_NDIV_INTERNAL" in frame.f_globals:  # the caller of ops and layers
        frame = frame.f_back
    where = (frame.f_code, frame.f_lasti)
    keep_out = prim.save_out or keep_values
    if prim.n_out == 1:
        if type(out) is not ndarray or not out.ndim:
            out = _scalar(out, arrays)
        node = Node(prim, attrs, tuple(parents), tuple(slots) if slots else None, saved, out if keep_out else None,
                    ((out.shape, out.dtype),), next(_sequence), where, needs)
        if mode.journal is not None:
            mode.journal.append(node)
        return Tensor(out, needs, node)
    outs = tuple(np.asarray(o) for o in out)
    node = Node(prim, attrs, tuple(parents), tuple(slots) if slots else None, saved, outs if keep_out else None,
                tuple((o.shape, o.dtype) for o in outs), next(_sequence), where, needs)
    if mode.journal is not None:
        mode.journal.append(node)
    return tuple(Tensor(o, needs and i < prim.n_diff, node, i) for i, o in enumerate(outs))


def _scalar(out: Any, arrays: Sequence[Any]) -> np.ndarray:
    """A NumPy scalar as a 0-d array, in the type of the arrays it came from (NumPy 1 would widen it)."""
    value = np.asarray(out)
    if value.dtype == np.float64:
        kinds = {a.dtype for a in arrays if isinstance(a, (ndarray, np.generic)) and a.dtype.kind == "f"}
        if kinds == {np.dtype(np.float32)}:
            return value.astype(np.float32)
    return value


class no_grad:
    """Context manager and decorator: nothing is recorded for gradients inside.

    >>> import ndiv, numpy as np
    >>> x = ndiv.tensor(np.ones(2), requires_grad=True)
    >>> with ndiv.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    _grad = False

    def __enter__(self) -> None:
        self._before = _mode.grad
        _mode.grad = self._grad

    def __exit__(self, *exc: object) -> None:
        _mode.grad = self._before

    def __call__(self, f: Any) -> Any:
        import functools

        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return f(*args, **kwargs)

        return wrapped


class enable_grad(no_grad):
    """The opposite of `no_grad`, for use inside it."""

    _grad = True


class trace:
    """Context manager: record everything, with every value kept (for verification).

    values  False: kept is what backward needs and what no op made, enough for the program of the record
    thin    runs the ops, where the record is wanted without the time and memory of what it computes
    """

    def __init__(self, values: bool = True, thin: Thin | None = None) -> None:
        self._mode = (True, values, thin)

    def __enter__(self) -> None:
        self._before = _mode.all, _mode.values, _mode.thin
        _mode.all, _mode.values, _mode.thin = self._mode

    def __exit__(self, *exc: object) -> None:
        _mode.all, _mode.values, _mode.thin = self._before


def stopped(x: Any) -> Any:
    """x as something that carries no gradient: its array or, where a function is traced for compilation, a Tensor that the
    record still knows, so that what follows from it is no constant."""
    if not isinstance(x, Tensor):
        return x
    if not random.is_traced():
        return x.data
    with no_grad():
        return apply(REGISTRY["reshape"], (x,), {"shape": x.shape})


def is_grad_enabled() -> bool:
    """Whether ops are recorded for gradients in this thread."""
    return _mode.grad


class Tape:
    """The recorded program behind some outputs, in the order in which it ran. A view: it records nothing itself.

    >>> import ndiv, numpy as np
    >>> x = ndiv.tensor(np.ones((2, 3)), requires_grad=True)
    >>> tape = ndiv.Tape.of((x * 2).sum())
    >>> [node.prim.name for node in tape]
    ['mul', 'sum']
    """

    def __init__(self, nodes: list[Node], outputs: Sequence[Tensor]) -> None:
        self.nodes = nodes
        self.outputs = tuple(outputs)

    @classmethod
    def of(cls, *outputs: Tensor) -> Tape:
        """Every node that the outputs depend on."""
        return cls(nodes_behind(t.node for t in outputs), outputs)

    def draw(self, path: Any = None, **options: Any) -> str:
        """The tape as SVG text, also written to ``path``; see `ndiv.export.draw` for the options."""
        from ..export.draw import draw

        return draw(self, path, **options)

    def __iter__(self) -> Any:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def rows(self) -> list[tuple[str, ...]]:
        """One row a node: number, op, inputs, shape, dtype, flops, bytes, source line."""
        names: dict[int, str] = {}
        rows: list[tuple[str, ...]] = []
        for node in self.nodes:
            ins, given = [], []
            for parent, value in zip(node.parents, node.inputs, strict=True):
                shape = value if isinstance(value, tuple) else tuple(np.shape(value))
                given.append(shape)
                if isinstance(parent, Node):
                    ins.append(names.get(parent.seq, "?"))
                elif parent is not None:
                    ins.append(getattr(parent, "name", None) or "leaf")
                else:
                    ins.append(repr(value) if isinstance(value, (int, float)) else "const")
            outs = [m[0] for m in node.metas]
            names[node.seq] = f"%{len(names)}"
            flops, moved = node.prim.costs(node.attrs, given, outs, node.metas[0][1].itemsize)
            shape, dtype = node.metas[0]
            rows.append((names[node.seq], node.prim.name, ", ".join(ins), str(list(shape)), str(dtype),
                         f"{flops:,.0f}", f"{moved:,.0f}", _short(node.line)))
        return rows

    def __str__(self) -> str:
        head = ("", "op", "inputs", "shape", "dtype", "flops", "bytes", "line")
        rows = [head, *self.rows()]
        widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
        right = (5, 6)
        return "\n".join("  ".join(c.rjust(w) if i in right else c.ljust(w)
                                   for i, (c, w) in enumerate(zip(r, widths, strict=True))).rstrip() for r in rows)


def _short(line: str) -> str:
    file, _, number = line.rpartition(":")
    text = linecache.getline(file, int(number)).strip() if number.isdigit() else ""
    return f"{'/'.join(file.split('/')[-2:])}:{number}  {text[:60]}".rstrip()


def nodes_behind(roots: Iterable[Node | None], border: Iterable[Any] = ()) -> list[Node]:
    """All nodes from which the roots were computed, oldest first; none older than those of ``border``."""
    stack = [n for n in roots if n is not None]  # a list, not recursion: depth does not matter
    seen = set(stack)
    edge: set[Any] = set(border)
    while stack:
        node = stack.pop()
        if node in edge:
            continue
        for parent in node.parents:
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=attrgetter("seq"))
