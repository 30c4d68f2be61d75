"""Plan operations rnn, gru and lstm and their backwards: whole layers, with the primitives' names and operands.

Contract: inputs, outputs and attributes are those of the primitives in ``ndiv.autograd.ops.recurrent``, whose references
these have too. Beyond them an operation takes absent biases (zeros) and lengths (all steps), and leaves out what has no
output: ``kept`` and ``cells`` where nothing goes back, any gradient that nobody asks for. Inputs may have any strides,
but for the results of the forward that the backward reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .record import Meta, PlanOp

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
_FEW = 4  # rows


def _need(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


def _layer(name: str, metas: tuple[Meta | None, ...]) -> tuple[int, int, int, int]:
    """(T, B, I, H) of x, state, weights, biases and lengths that fit together."""
    states = 1 + (name == "lstm")
    x, w_hh = metas[0], metas[2 + states]
    if x is None or w_hh is None or len(x[0]) != 3 or len(w_hh[0]) != 2 or x[1] not in FLOATS:
        raise ValueError(f"{name} needs float x [T, B, I] and w_hh [{GATES[name]} H, H]")
    (t, b, i), h = x[0], w_hh[0][1]
    rows = GATES[name] * h
    shapes = [(t, b, i), *[(b, h)] * states, (rows, i), (rows, h), (rows,), (rows,)]
    _need(t >= 1, f"{name} needs at least one step")
    for at, (got, shape) in enumerate(zip(metas, shapes, strict=False)):
        optional = at >= 3 + states
        _need((got is None and optional) or got == (shape, x[1]),
              f"{name}: operand {at} of the layer must be {x[1]} {list(shape)}")
    lengths = metas[5 + states]
    _need(lengths is None or (lengths[0] == (b,) and lengths[1] in (np.dtype(np.int64), np.dtype(np.int32))),
          f"{name}: lengths must be whole numbers [{b}]")
    return t, b, i, h


def _results(name: str, t: int, b: int, h: int, dtype: np.dtype) -> list[Meta]:
    """y, final state, kept and cells."""
    lstm = name == "lstm"
    shapes = [(t, b, h), *[(b, h)] * (1 + lstm), *[(t, b, 4 * h)] * (name != "rnn"), *[(t, b, h)] * lstm]
    return [(shape, dtype) for shape in shapes]


def _forward_metas(name: str) -> Callable[..., list[Meta]]:
    def metas(attrs: dict[str, Any], *inputs: Meta | None) -> list[Meta]:
        _need(len(inputs) == 7 + (name == "lstm"), f"{name} takes {7 + (name == 'lstm')} operands")
        t, b, _, h = _layer(name, inputs)
        return _results(name, t, b, h, inputs[0][1])  # type: ignore[index]

    return metas


def _backward_metas(name: str) -> Callable[..., list[Meta]]:
    states = 1 + (name == "lstm")

    def metas(attrs: dict[str, Any], *inputs: Meta | None) -> list[Meta]:
        layer, saved = inputs[1 + states:7 + 2 * states], inputs[7 + 2 * states:]
        _need(len(saved) == states + (name != "rnn"), f"{name}_bwd got {len(inputs)} operands")
        t, b, i, h = _layer(name, layer)
        dtype = layer[0][1]  # type: ignore[index]
        made, rows = _results(name, t, b, h, dtype), GATES[name] * h
        _need(list(inputs[:1 + states]) == made[:1 + states], f"{name}_bwd: gradients of y and of the final state do not fit")
        _need(list(saved) == [made[0], *made[1 + states:]], f"{name}_bwd: y, kept and cells do not fit")
        shapes = [(t, b, i), *[(b, h)] * states, (rows, i), (rows, h), (rows,), (rows,)]
        return [(shape, dtype) for shape in shapes]

    return metas


def _reference(name: str, before: int) -> Callable[..., Any]:
    """The primitive's reference, with zeros for absent biases and T for absent lengths; the layer begins at ``before``."""
    states = 1 + (name.startswith("lstm"))

    def reference(*inputs: Any, **attrs: Any) -> Any:
        from ...autograd.primitive import REGISTRY

        args = list(inputs)
        x, at = args[before], before + 3 + states
        for k in (at, at + 1):
            if args[k] is None:
                args[k] = np.zeros(args[at - 1].shape[0], x.dtype)
        if args[at + 2] is None:
            args[at + 2] = np.full(x.shape[1], x.shape[0])
        return REGISTRY[name].run(*args, **attrs)

    return reference


def _cost(before: int, states: int, factor: float) -> Callable[..., float]:
    def cost(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
        (t, b, i), (rows, h) = ins[before][0], ins[before + 2 + states][0]
        return factor * t * b * rows * (2.0 * (i + h) + 15.0)

    return cost


def _operations(name: str) -> list[PlanOp]:
    states, kept = 1 + (name == "lstm"), int(name != "rnn")
    attrs = {**({"nonlinearity": "tanh|relu"} if name == "rnn" else {}), "reverse": "b"}
    at = 7 + 2 * states  # of y, kept and cells
    layer = f"x, h0, {'c0, ' * (states - 1)}w_ih, w_hh, b_ih, b_hh, lengths"
    made = f"y{', kept' * kept}{', cells' * (states - 1)}"
    grads = f"gy, gh{', gc' * (states - 1)}"
    return [
        PlanOp(name, _reference(name, 0), _forward_metas(name), attrs, dense=(), spare=tuple(range(1, 2 * states + kept)),
               bound=3e-6, cost=_cost(0, states, 1),
               doc=f"({layer}) -> (y, h{', c' * (states - 1)}{made[1:]})"),
        PlanOp(f"{name}_bwd", _reference(f"{name}_bwd", 1 + states), _backward_metas(name), attrs,
               dense=tuple(range(at, at + states + kept)), spare=tuple(range(5 + states)), bound=1e-5,
               cost=_cost(1 + states, states, 2),
               doc=f"({grads}, {layer}, {made}) -> gradients of x, state, weights and biases"),
    ]


OPS: list[PlanOp] = [op for name in GATES for op in _operations(name)]


def _layer_or_step(name: str) -> Callable[..., Any]:
    """A layer as one operation, but a single step of few rows as products: an operation packs the weights first, which takes
    longer than the step, and products of few rows read them where they are."""
    def rule(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
        *layer, lengths = inputs
        steps, rows, _ = layer[0].shape
        all_there = lengths in b.consts and (b.consts[lengths] >= 1).all()
        if steps == 1 and 0 < rows <= _FEW and all_there:
            return b.decompose(name, [*layer, np.ones(rows, np.int64)], attrs, outputs)
        return b.emit(name, inputs, attrs, outputs)

    return rule


SELECT: dict[str, Callable[..., Any] | None] = {op.name: None for op in OPS} | {name: _layer_or_step(name) for name in GATES}
