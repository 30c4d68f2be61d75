"""The gradient of a Program, as a Program.

Contract: the program runs again on Tensors and the gradient rules of its primitives are pulled on the record, exactly as
``backward(create_graph=True)`` does; fused backward kernels are primitives like any other. What the rules compute is
what the tape holds, so nothing here knows any op. The two-trace rule holds for gradients as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tensor
from ..autograd.backward import pull
from ..autograd.primitive import REGISTRY
from ..autograd.tape import Node, _mode
from ..autograd.tape import trace as record_all
from ..autograd.thin import SMALL, Thin, repeated
from .ir import Program, Value
from .trace import program_of, replay, same_program

__all__ = ["gradient"]

_NDIV_INTERNAL = True
FILLS = (0.625, 2.5)  # what stands for results that are not computed, in each of the two runs


def gradient(program: Program, loss: Value, wrt: Sequence[Value],
             data: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None) -> tuple[Program, list[str]]:
    """The program with d loss / d w added to its outputs for each w of ``wrt`` that the loss depends on.

    loss: a value of the program with one element. data: two sets of arrays for the inputs, whose whole numbers are taken
    (indices and lengths cannot be made up). Returns the program and the names of those w, in order.

    >>> import ndiv, numpy as np
    >>> from ndiv.program.trace import trace
    >>> p = trace(lambda x: (x * x).sum(), (np.ones(3, np.float32),), "square").program
    >>> g, names = gradient(p, p.outputs[0], p.inputs)
    >>> [e.op for e in g.eqns], names
    (['mul', 'sum', 'reshape', 'expand', 'mul', 'mul', 'add'], ['x0'])
    """
    given: Any = data or (None, None)
    metas: dict[Any, Any] = {}
    thin = [Thin(metas, fill) for fill in FILLS]
    for e in program.eqns:
        thin[0].remember(REGISTRY[e.op], e.inputs, e.attrs, e.outputs)
    first, found = _once(program, loss, wrt, 0, given[0], thin[0])
    second, _ = _once(program, loss, wrt, 1, given[1], thin[1])
    same_program(first, second)
    return first, found


def _stand_in(v: Value, seed: int) -> np.ndarray:
    """Any values of that shape and type, of two very different kinds: what is recorded may not depend on them."""
    rng = np.random.Generator(np.random.Philox(key=[seed, v.size]))
    if v.size > SMALL and v.dtype.kind in "fb":
        return repeated(FILLS[seed], v.shape, v.dtype)
    if v.dtype.kind == "f":
        return (rng.uniform(0.1, 1.0, v.shape) if seed == 0 else 10.0 * rng.standard_normal(v.shape)).astype(v.dtype)
    if v.dtype.kind == "b":
        return rng.random(v.shape) < 0.5
    return np.full(v.shape, 0, v.dtype)


def _once(program: Program, loss: Value, wrt: Sequence[Value], seed: int,
          data: Sequence[np.ndarray] | None, thin: Thin) -> tuple[Program, list[str]]:
    chosen = set(wrt)
    tensors: dict[Value, Tensor] = {v: Tensor(_stand_in(v, seed), v in chosen) for v in [*program.inputs, *program.states]}
    for v, a in zip(program.inputs, data or (), strict=False):
        if v.dtype.kind in "iu":
            tensors[v] = Tensor(a)
    known: dict[Value, Any] = {**tensors, **program.consts}
    journal = _mode.journal
    try:
        with random.traced(), record_all(values=False, thin=thin), np.errstate(all="ignore"):
            replay(program.eqns, known)
            recorded: list[Node] = []
            _mode.journal = recorded
            lines: list[tuple[int, str]] = []

            def watch(node, cots) -> None:  # type: ignore[no-untyped-def]
                lines.append((len(recorded), node.line))

            top = known[loss]
            pulled = pull([top], [np.ones(top.shape, top.dtype)], [tensors[v] for v in wrt], create_graph=True, watch=watch)
    finally:
        _mode.journal = journal
    begin = 0
    for end, line in lines:  # a rule's ops carry the line of the op that it belongs to
        for node in recorded[begin:end]:
            node.where = line
        begin = end
    pairs = [(v, g) for v, (_, g) in zip(wrt, pulled, strict=True) if g is not None]
    outputs = [known[v] for v in program.outputs] + [g for _, g in pairs]
    names = {id(tensors[v]): v.name for v in program.states}
    updates = [(tensors[s], known[v]) for s, v in program.updates.items()]
    made, _ = program_of(program.name, [(v.name, tensors[v]) for v in program.inputs], outputs, names, updates)
    _keep_states(made, program.states)
    return made, [v.name for v, _ in pairs]


def _keep_states(made: Program, states: Sequence[Value]) -> None:
    """All states of the program before, in their order, whether the gradient reads them or not."""
    known = {v.name: v for v in made.states}
    made.states = [known.get(v.name) or Value(v.name, v.shape, v.dtype) for v in states]
