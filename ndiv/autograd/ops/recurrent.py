"""Recurrent layers over whole sequences: rnn, gru and lstm, each with its backward as a primitive of its own.

x [T, B, I] goes through one layer in one direction; gates are stacked along the first axis of the weights in PyTorch's
order (gru: r, z, n; lstm: i, f, g, o). What each means is its decomposition: a loop over time in other ops, and for the
backward the same loop run back (Werbos 1990). What runs does the same with one product for all inputs, arrays written in
place, and one product for each weight's gradient at the end.

``lengths`` [B] says how many steps of each sequence count. Beyond them outputs are 0 and the state stays as it is, so
the final state is that of the true last step; with ``reverse`` time runs from T - 1 to 0 and the state stays as it was
given until the sequence begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...errors import ConfigError, ShapeError, closest
from ...random import is_traced
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken
from ..tape import apply
from ..tensor import Tensor
from ._declare import numbers
from .elementwise import gt, relu, sigmoid, tanh, where
from .linear import matmul
from .reduce import sum
from .shape import cat, reshape, stack, transpose

PUBLIC = ["gru", "lstm", "rnn"]
_NDIV_INTERNAL = True
Array = np.ndarray
Arrays = Sequence[Array]


@dataclass(frozen=True)
class Cell:
    """One step of a recurrent layer. State is h, or (h, c); zx = x w_ih' + b_ih and zh = h w_hh' + b_hh are its inputs.

    gates, states   how many times H the weights have rows; how many arrays the state has
    kept            how many times H is kept of a step for backward (besides the state), 0 for none
    step            (zx, zh, state) -> (next state, kept): the definition, in ndiv ops
    back            (d of next state, kept, next state, state) -> (dzx, dzh, d of state but for zh's part), in ndiv ops
    fast, fast_back the same on arrays, into arrays that are given
    """

    gates: int
    states: int
    kept: int
    step: Callable[..., Any]
    back: Callable[..., Any]
    fast: Callable[..., Any]
    fast_back: Callable[..., Any]


def _cuts(z: Any, n: int) -> list[Any]:
    """The n blocks of the last axis."""
    h = z.shape[-1] // n
    return [z[:, i * h:(i + 1) * h] for i in range(n)]


def _half_tanh(z: Array, scale: Array, shift: Array) -> None:
    """sigmoid, as (1 + tanh(z / 2)) / 2, where scale is 1/2 and shift 1/2; tanh where they are 1 and 0. In place.

    Quicker than exp and a division; its absolute error, not its relative one, is at the rounding of 1.
    """
    z *= scale
    np.tanh(z, out=z)
    z *= scale
    z += shift


# the three cells --------------------------------------------------------------------------------------------------

def _rnn_cell(nonlinearity: str) -> Cell:
    act, slope = _NONLINEARITIES[nonlinearity]

    def step(zx: Any, zh: Any, state: Any) -> Any:
        return (act(zx + zh),), None

    def back(d: Any, kept: Any, new: Any, old: Any) -> Any:
        dz = d[0] * slope(new[0])
        return dz, dz, (None,)

    def fast(zx: Array, zh: Array, old: Arrays, new: Arrays, kept: Any) -> None:
        np.add(zx, zh, out=new[0])
        np.tanh(new[0], out=new[0]) if nonlinearity == "tanh" else np.maximum(new[0], 0, out=new[0])

    def fast_back(d: list[Array], kept: Any, new: Arrays, old: Arrays, dzx: Array, dzh: Array) -> None:
        np.multiply(d[0], slope(new[0]), out=dzx)
        d[0] = None  # type: ignore[call-overload]

    return Cell(1, 1, 0, step, back, fast, fast_back)


_NONLINEARITIES: dict[str, tuple[Any, Any]] = {
    "tanh": (tanh, lambda h: 1.0 - h * h),
    "relu": (relu, lambda h: where(h > 0, 1.0, 0.0).astype(h.dtype)),
}


def _gru_step(zx: Any, zh: Any, state: Any) -> Any:
    (xr, xz, xn), (hr, hz, hn), h = _cuts(zx, 3), _cuts(zh, 3), state[0]
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = tanh(xn + r * hn)
    return (n + z * (h - n),), cat([r, z, n, hn], dim=-1)


def _gru_back(d: Any, kept: Any, new: Any, old: Any) -> Any:
    (r, z, n, hn), h, dh = _cuts(kept, 4), old[0], d[0]
    dn = dh * (1.0 - z) * (1.0 - n * n)
    dz = dh * (h - n) * z * (1.0 - z)
    dr = dn * hn * r * (1.0 - r)
    return cat([dr, dz, dn], dim=-1), cat([dr, dz, dn * r], dim=-1), (dh * z,)


def _gru_fast(zx: Array, zh: Array, old: Arrays, new: Arrays, kept: Array) -> None:
    h = old[0].shape[1]
    half = zx.dtype.type(0.5)
    np.add(zx[:, :2 * h], zh[:, :2 * h], out=kept[:, :2 * h])
    _half_tanh(kept[:, :2 * h], half, half)
    r, z, n, hn = _cuts(kept, 4)
    hn[...] = zh[:, 2 * h:]
    np.multiply(r, hn, out=n)
    n += zx[:, 2 * h:]
    np.tanh(n, out=n)
    np.subtract(old[0], n, out=new[0])
    new[0][...] *= z
    new[0][...] += n


def _gru_fast_back(d: list[Array], kept: Array, new: Arrays, old: Arrays, dzx: Array, dzh: Array) -> None:
    (r, z, n, hn), dh, h = _cuts(kept, 4), d[0], old[0].shape[1]
    (dr, dz, dn), slope = _cuts(dzx, 3), kept[:, :2 * h]
    np.multiply(n, n, out=dn)
    np.subtract(1.0, dn, out=dn)
    dn *= dh
    np.subtract(1.0, slope, out=dzx[:, :2 * h])
    dn *= dz
    dzx[:, :2 * h] *= slope
    dr *= dn
    dr *= hn
    t = old[0] - n
    t *= dh
    dz *= t
    dzh[:, :2 * h] = dzx[:, :2 * h]
    np.multiply(dn, r, out=dzh[:, 2 * h:])
    d[0] = dh * z


def _lstm_step(zx: Any, zh: Any, state: Any) -> Any:
    zi, zf, zg, zo = _cuts(zx + zh, 4)
    i, f, g, o = sigmoid(zi), sigmoid(zf), tanh(zg), sigmoid(zo)
    c = f * state[1] + i * g
    return (o * tanh(c), c), cat([i, f, g, o], dim=-1)


def _lstm_back(d: Any, kept: Any, new: Any, old: Any) -> Any:
    (i, f, g, o), (dh, dc) = _cuts(kept, 4), d
    t = tanh(new[1])
    dc = dc + dh * o * (1.0 - t * t)
    dz = cat([dc * g * i * (1.0 - i), dc * old[1] * f * (1.0 - f), dc * i * (1.0 - g * g), dh * t * o * (1.0 - o)], dim=-1)
    return dz, dz, (None, dc * f)


def _lstm_fast(zx: Array, zh: Array, old: Arrays, new: Arrays, kept: Array) -> None:
    h, c = new
    np.add(zx, zh, out=kept)
    _half_tanh(kept, *_lstm_scale(h.shape[1], h.dtype))
    i, f, g, o = _cuts(kept, 4)
    np.multiply(i, g, out=h)
    np.multiply(f, old[1], out=c)
    c += h
    np.tanh(c, out=h)
    h *= o


@lru_cache(maxsize=64)
def _lstm_scale(h: int, dtype: Any) -> tuple[Array, Array]:
    """Scale and shift of `_half_tanh` for the columns i, f, g, o."""
    shift = np.full(4 * h, 0.5, dtype)
    scale = shift.copy()
    scale[2 * h:3 * h], shift[2 * h:3 * h] = 1.0, 0.0
    return scale, shift


def _lstm_fast_back(d: list[Array], kept: Array, new: Arrays, old: Arrays, dzx: Array, dzh: Array) -> None:
    (i, f, g, o), (di, df, dg, do), (dh, dc) = _cuts(kept, 4), _cuts(dzx, 4), d
    t = np.tanh(new[1])
    np.subtract(1.0, kept, out=dzx)
    dzx *= kept  # the slopes of i, f and o
    s = dh * t
    do *= s
    s *= t
    np.subtract(dh, s, out=s)  # dh (1 - t^2)
    s *= o
    s += dc
    di *= s
    di *= g
    df *= s
    df *= old[1]
    np.multiply(g, g, out=dg)
    np.subtract(1.0, dg, out=dg)
    dg *= i
    dg *= s
    s *= f
    d[0], d[1] = None, s  # type: ignore[call-overload]


_GRU = Cell(3, 1, 4, _gru_step, _gru_back, _gru_fast, _gru_fast_back)
_LSTM = Cell(4, 2, 4, _lstm_step, _lstm_back, _lstm_fast, _lstm_fast_back)


# the loops, as definitions ----------------------------------------------------------------------------------------

def _order(steps: int, reverse: bool) -> list[int]:
    return list(range(steps - 1, -1, -1) if reverse else range(steps))


def _mask(lengths: Any, steps: int) -> Any:
    """[T, B, 1]: which steps count; None where all do. In a function that is being compiled lengths are data."""
    if isinstance(lengths, Tensor) and is_traced():
        return gt(reshape(lengths, (1, -1, 1)), np.arange(steps)[:, None, None])
    n = np.asarray(lengths.data if isinstance(lengths, Tensor) else lengths)
    return None if not n.size or n.min() >= steps else (np.arange(steps)[:, None] < n)[:, :, None]


def _unroll(cell: Cell, inputs: Sequence[Any], reverse: bool) -> tuple[list[Any], list[Any], Any]:
    """(final state, states after each step [T, B, H], what is kept of each step): the loop over time in ndiv ops."""
    x, state, (w_ih, w_hh, b_ih, b_hh, lengths) = inputs[0], tuple(inputs[1:1 + cell.states]), inputs[1 + cell.states:]
    steps = x.shape[0]
    mask = _mask(lengths, steps)
    if mask is not None:
        x = where(mask, x, 0.0)
    history: list[Any] = [None] * steps
    kept: list[Any] = [None] * steps
    zx = matmul(x, transpose(w_ih, 0, 1)) + b_ih
    for t in _order(steps, reverse):
        new, kept[t] = cell.step(zx[t], matmul(state[0], transpose(w_hh, 0, 1)) + b_hh, state)
        state = new if mask is None else tuple(where(mask[t], a, b) for a, b in zip(new, state, strict=True))
        history[t] = state
    return (list(state), [stack([s[k] for s in history]) for k in range(cell.states)],
            stack(kept) if cell.kept else None)


def _forward(cell: Cell, inputs: Sequence[Any], reverse: bool) -> tuple[Any, ...]:
    """(y, final state ..., kept, c of each step): the outputs of the primitives."""
    state, history, kept = _unroll(cell, inputs, reverse)
    mask = _mask(inputs[-1], inputs[0].shape[0])
    y = history[0] if mask is None else where(mask, history[0], 0.0)
    return (y, *state, *((kept,) if cell.kept else ()), *history[1:])


def _backward(cell: Cell, args: Sequence[Any], reverse: bool) -> tuple[Any, ...]:
    """Gradients of x, the initial state, w_ih, w_hh, b_ih and b_hh: the loop run back, in ndiv ops."""
    n = cell.states
    gy, d, inputs = args[0], list(args[1:1 + n]), args[1 + n:7 + 2 * n]
    x, start, (w_ih, w_hh, _, _, lengths) = inputs[0], inputs[1:1 + n], inputs[1 + n:]
    steps, batch = x.shape[:2]
    # the states are worked out again from the inputs, so that derivatives of this gradient are complete
    _, history, kept = _unroll(cell, inputs, reverse)
    mask = _mask(lengths, steps)
    dzx, dzh, before = [None] * steps, [None] * steps, [None] * steps
    order = _order(steps, reverse)
    for at in reversed(range(steps)):
        t = order[at]
        new, old = [s[t] for s in history], [s[order[at - 1]] for s in history] if at else list(start)
        zx, zh, direct = cell.back([d[0] + gy[t], *d[1:]], kept[t] if cell.kept else None, new, old)
        if mask is not None:
            zx, zh = where(mask[t], zx, 0.0), where(mask[t], zh, 0.0)
        dzx[t], dzh[t], before[t] = zx, zh, old[0]
        through = matmul(zh, w_hh)
        fresh = [through if direct[0] is None else direct[0] + through, *direct[1:]]
        d = fresh if mask is None else [where(mask[t], a, b) for a, b in zip(fresh, d, strict=True)]
    if mask is not None:
        x = where(mask, x, 0.0)
    zx, zh = stack(dzx), stack(dzh)
    rows = steps * batch
    zx2, zh2 = reshape(zx, (rows, zx.shape[2])), reshape(zh, (rows, zh.shape[2]))
    return (matmul(zx, w_ih), *d, matmul(transpose(zx2, 0, 1), reshape(x, (rows, x.shape[2]))),
            matmul(transpose(zh2, 0, 1), reshape(stack(before), (rows, w_hh.shape[1]))), sum(zx2, 0), sum(zh2, 0))


# the loops, as they run -------------------------------------------------------------------------------------------

def _one_type(arrays: Sequence[Array]) -> list[Array]:
    dtype = np.result_type(*arrays)
    return [np.asarray(a, dtype) for a in arrays]


def _fast_forward(cell: Cell, inputs: Sequence[Any], reverse: bool) -> tuple[Array, ...]:
    n = cell.states
    x, *given = _one_type(inputs[:-1])
    state, (w_ih, w_hh, b_ih, b_hh) = given[:n], given[n:]
    (steps, batch, features), h = x.shape, w_hh.shape[1]
    mask = _mask(inputs[-1], steps)
    if mask is not None:
        x = np.where(mask, x, x.dtype.type(0))
    zx = np.matmul(x.reshape(steps * batch, features), w_ih.T).reshape(steps, batch, w_ih.shape[0])
    joint = cell.gates != 3  # b_hh may join b_ih where nothing comes between (in a gru, r does)
    zx += b_ih + b_hh if joint else b_ih
    zh = np.empty((batch, w_hh.shape[0]), x.dtype)
    history = [np.empty((steps, batch, h), x.dtype) for _ in range(n)]
    kept = zx if cell.kept == cell.gates else np.empty((steps, batch, cell.kept * h), x.dtype)  # in place where they fit
    w = w_hh.T if steps < 8 else np.ascontiguousarray(w_hh.T)  # a product with a transposed view can be much slower
    for t in _order(steps, reverse):
        np.matmul(state[0], w, out=zh)
        if not joint:
            zh += b_hh
        new = [s[t] for s in history]
        cell.fast(zx[t], zh, state, new, kept[t])
        if mask is not None:
            for a, b in zip(new, state, strict=True):
                np.copyto(a, b, where=~mask[t])
        state = new
    y = history[0] if mask is None else np.where(mask, history[0], x.dtype.type(0))
    return (y, *(s.copy() for s in state), *((kept,) if cell.kept else ()), *history[1:])


def _before(y: Array, start: Array, mask: Array | None, reverse: bool) -> Array:
    """The h that each step started from, [T, B, H]; where a step does not count, anything."""
    out = np.empty_like(y)
    if reverse:
        out[-1], out[:-1] = start, y[1:]
        if mask is not None:
            np.copyto(out[:-1], start, where=~mask[1:])
    else:
        out[0], out[1:] = start, y[:-1]
    return out


def _fast_backward(cell: Cell, args: Sequence[Any], reverse: bool) -> tuple[Array, ...]:
    n = cell.states
    gy, *given = _one_type(args[:6 + 2 * n])
    d, x, start, (w_ih, w_hh, _, _) = given[:n], given[n], given[1 + n:1 + 2 * n], given[1 + 2 * n:]
    lengths, y, *saved = args[6 + 2 * n:]
    kept, cells = (saved[0] if cell.kept else None), saved[1:]
    (steps, batch, features), dtype = x.shape, x.dtype
    mask = _mask(lengths, steps)
    dzx = np.empty((steps, batch, w_ih.shape[0]), dtype)
    dzh = np.empty_like(dzx) if cell.gates == 3 else dzx  # the two differ in a gru only
    before, order = _before(y, start[0], mask, reverse), _order(steps, reverse)
    for at in reversed(range(steps)):
        t = order[at]
        old = [before[t], *(s[order[at - 1]] if at else s0 for s, s0 in zip(cells, start[1:], strict=True))]
        fresh = [d[0] + gy[t], *d[1:]]
        cell.fast_back(fresh, kept[t] if kept is not None else None, [y[t], *(s[t] for s in cells)], old, dzx[t], dzh[t])
        if mask is not None:
            for z in (dzx, dzh) if dzh is not dzx else (dzx,):
                z[t] *= mask[t]
        through = np.matmul(dzh[t], w_hh)
        if fresh[0] is not None:
            through += fresh[0]
        fresh[0] = through
        d = fresh if mask is None else [np.where(mask[t], a, b) for a, b in zip(fresh, d, strict=True)]
    if mask is not None:
        x = np.where(mask, x, dtype.type(0))
    zx2, zh2 = dzx.reshape(-1, dzx.shape[2]), dzh.reshape(-1, dzh.shape[2])
    db = zx2.sum(0)
    return (np.matmul(zx2, w_ih).reshape(x.shape), *(np.ascontiguousarray(v) for v in d),
            np.matmul(zx2.T, x.reshape(-1, features)), np.matmul(zh2.T, before.reshape(-1, before.shape[2])),
            db, db.copy() if dzh is dzx else zh2.sum(0))


# rules, samples, declarations -------------------------------------------------------------------------------------

Shape = tuple[int, ...]


def _shapes_of(cell: Cell, inputs: Sequence[Shape]) -> tuple[int, int, int]:
    """(T, B, H) of x, the initial state, w_ih, w_hh, b_ih, b_hh and lengths that fit together, or `RuleBroken`."""
    x, state, (w_ih, w_hh, b_ih, b_hh, lengths) = inputs[0], inputs[1:1 + cell.states], inputs[1 + cell.states:]
    if len(x) != 3 or not x[0]:
        raise RuleBroken(f"x has shape {list(x)}", "give [time, batch, features], with at least one step")
    if len(w_hh) != 2 or w_hh[0] != cell.gates * w_hh[1]:
        raise RuleBroken(f"w_hh has shape {list(w_hh)}", f"give [{cell.gates} H, H]")
    h = w_hh[1]
    for name, shape, wanted in [("w_ih", w_ih, (w_hh[0], x[2])), ("b_ih", b_ih, w_hh[:1]), ("b_hh", b_hh, w_hh[:1]),
                                ("lengths", lengths, x[1:2]), *zip(("h0", "c0"), state, [(x[1], h)] * 2)]:  # noqa: B905
        if tuple(shape) != wanted:
            raise RuleBroken(f"{name} has shape {list(shape)} and must be {list(wanted)}", "see the rule for what each holds")
    return x[0], x[1], h


def _outputs(cell: Cell, t: int, b: int, h: int) -> tuple[Shape, ...]:
    state: tuple[Shape, ...] = ((b, h),) * cell.states
    return ((t, b, h), *state, *(((t, b, cell.kept * h),) if cell.kept else ()), *((t, b, h),) * (cell.states - 1))


def _rules(cell: Cell) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(attrs: dict[str, Any], *inputs: Shape) -> Any:
        t, b, h = _shapes_of(cell, inputs)
        return _outputs(cell, t, b, h)

    def backward(attrs: dict[str, Any], *args: Shape) -> Any:
        n = cell.states
        inputs = args[1 + n:7 + 2 * n]
        made = _outputs(cell, *_shapes_of(cell, inputs))
        for name, got, wanted in zip(("gy", "gh", "gc"), args[:1 + n], made[:1 + n], strict=False):
            if got != wanted:
                raise RuleBroken(f"{name} has shape {list(got)} and must be {list(wanted)}", "give the outputs' gradients")
        return inputs[:-1]

    c0, c = (" [B, H]", " [B, H] [T, B, 4 H] [T, B, H]") if cell.states == 2 else ("", " [T, B, 4 H]" if cell.kept else "")
    g = f"{cell.gates} H" if cell.gates > 1 else "H"
    weights = f"[{g}, I] [{g}, H] [{g}] [{g}]"
    forward.__doc__ = f"[T, B, I] [B, H]{c0} {weights} [B] -> [T, B, H] [B, H]{c}"
    backward.__doc__ = ("gradients of y and the final state, then the layer's arguments and results -> "
                        f"[T, B, I] [B, H]{c0} {weights}")
    return forward, backward


def _flops(cell: Cell, factor: float) -> Callable[..., float]:
    def cost(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
        x, w_hh = (ins[0], ins[2 + cell.states]) if factor == 1 else (ins[1 + cell.states], ins[3 + 2 * cell.states])
        rows = float(x[0] * x[1])
        return factor * rows * w_hh[0] * (2.0 * (x[2] + w_hh[1]) + 15.0)

    return cost


def _declare(name: str, cell_of: Callable[..., Cell], attrs: dict[str, Any], onnx: str,
             analytic: bool = True) -> tuple[Primitive, Primitive]:
    """The primitives of a layer, forward and backward."""
    cell = cell_of(**attrs)
    n = cell.states
    states, finals = ("h0", "c0")[:n], ("gh", "gc")[:n]
    weights = ("w_ih", "w_hh", "b_ih", "b_hh")
    rule, back_rule = _rules(cell)

    def split(kw: dict[str, Any]) -> tuple[Cell, bool]:
        return cell_of(**{k: v for k, v in kw.items() if k != "reverse"}), kw["reverse"]

    def vjp(g: Any, out: Any, *inputs: Any, **kw: Any) -> Any:
        held = [o.detach() if isinstance(o, Tensor) else o for o in out]
        given = [np.zeros(o.shape, o.dtype) if gi is None else gi for gi, o in zip(g[:1 + n], held, strict=False)]
        return (*apply(backward, (*given, *inputs, held[0], *held[1 + n:]), kw), None)

    def samples() -> list[Sample]:
        variants = [dict(attrs, nonlinearity=k) for k in _NONLINEARITIES] if "nonlinearity" in attrs else [attrs]
        return [Sample(inputs, {**kw, "reverse": reverse}, tag) for kw in variants
                for inputs, reverse, tag in _cases(cell)]

    def back_samples() -> list[Sample]:
        out = []
        for s in samples():
            this, reverse = split(s.attrs)
            y, *rest = _forward(this, s.inputs, reverse)
            gs = [numbers(o.shape, seed=20 + i) for i, o in enumerate([y, *rest[:n]])]
            out.append(Sample((*gs, *s.inputs, y, *rest[n:]), s.attrs, s.tag))
        return out

    def bad() -> list[Bad]:
        inputs = list(_cases(cell)[0][0])
        inputs[1 + n] = np.ones((2, 2))
        return [Bad(tuple(inputs), "w_ih has shape [2, 2]", {**attrs, "reverse": False})]

    def back_bad() -> list[Bad]:
        s = back_samples()[0]
        return [Bad((np.ones((1, 1, 1)), *s.inputs[1:]), "gy has shape [1, 1, 1]", s.attrs)]

    forward = register(Primitive(
        name, ("x", *states, *weights, "lengths"), rule, attrs={**attrs, "reverse": False},
        decompose=lambda *inputs, **kw: _forward(split(kw)[0], inputs, kw["reverse"]),
        saves=("x", *states, *weights, "lengths", "out"), n_out=2 * n + (cell.kept > 0), n_diff=1 + n, vjp=vjp, onnx=onnx,
        analytic=analytic, kinks="" if analytic else "those of relu", bound="compute", batch="mix", strict=True,
        cost=_flops(cell, 1), samples=samples, bad=bad))
    backward = register(Primitive(
        f"{name}_bwd", ("gy", *finals, "x", *states, *weights, "lengths", "y", *("kept", "cells")[:n + (cell.kept > 0) - 1]),
        back_rule, attrs={**attrs, "reverse": False},
        decompose=lambda *args, **kw: _backward(split(kw)[0], args, kw["reverse"]), n_out=5 + n,
        analytic=analytic, kinks="" if analytic else "those of relu", bound="compute", batch="mix", strict=True,
        cost=_flops(cell, 2), samples=back_samples, bad=back_bad))
    # what runs in the place of the loops in ndiv ops, which stay the references
    forward.fast = forward.run = lambda *inputs, **kw: _fast_forward(split(kw)[0], inputs, kw["reverse"])
    backward.fast = backward.run = lambda *args, **kw: _fast_backward(split(kw)[0], args, kw["reverse"])
    return forward, backward


def _cases(cell: Cell) -> list[tuple[tuple[Any, ...], bool, str]]:
    """(inputs, reverse, tag): whole and of several lengths, in both directions, strided, empty, one step."""
    def case(t: int, b: int, tag: str, lengths: list[int] | None = None, reverse: bool = False) -> Any:
        i, h = 3, 2
        x = numbers((b, t, i)).swapaxes(0, 1) if tag == "strided" else numbers((t, b, i))
        state = [numbers((b, h), -1, 1, seed=1 + k) for k in range(cell.states)]
        rows = cell.gates * h
        weights = [numbers(s, -1, 1, 3 + k) for k, s in enumerate([(rows, i), (rows, h), (rows,), (rows,)])]
        return (x, *state, *weights, np.array([t] * b if lengths is None else lengths, np.int64)), reverse, tag

    return [case(4, 2, "contiguous"), case(3, 2, "contiguous", reverse=True), case(4, 3, "batched", [2, 4, 1]),
            case(4, 3, "batched", [3, 1, 4], reverse=True), case(3, 2, "strided"), case(3, 0, "empty"), case(1, 2, "batched")]


RNN, RNN_BWD = _declare("rnn", _rnn_cell, {"nonlinearity": "tanh"}, "RNN", analytic=False)
GRU, GRU_BWD = _declare("gru", lambda: _GRU, {}, "GRU")
LSTM, LSTM_BWD = _declare("lstm", lambda: _LSTM, {}, "LSTM")


# the public functions ---------------------------------------------------------------------------------------------

def _arguments(name: str, x: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
               lengths: Any) -> tuple[Any, ...]:
    """All inputs of a primitive, with what was left out: zeros for state and biases, T for lengths."""
    if len(x.shape) != 3:
        raise ShapeError(f"{name}: x has shape {list(x.shape)}", value=x.shape, hint="give [time, batch, features]")
    steps, batch = x.shape[:2]
    rows, h = w_hh.shape[0], w_hh.shape[-1]
    state = [np.zeros((batch, h), x.dtype) if s is None else s for s in states]
    biases = [np.zeros(rows, x.dtype) if b is None else b for b in (b_ih, b_hh)]
    if lengths is None:
        return (x, *state, w_ih, w_hh, *biases, np.full(batch, steps))
    known = not (isinstance(lengths, Tensor) and is_traced())  # else they are looked at when the plan runs
    n: Any = np.asarray(lengths.data if isinstance(lengths, Tensor) else lengths) if known else lengths
    if n.dtype.kind not in "iu" or n.shape != (batch,) or (known and n.size and (n.min() < 0 or n.max() > steps)):
        raise ShapeError(f"{name}: lengths must be {batch} whole numbers from 0 to {steps}, one for each sequence",
                         value=n.tolist() if known else n.shape, hint="give how many steps of each sequence count")
    return (x, *state, w_ih, w_hh, *biases, n)


def rnn(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, lengths: Any = None,
        nonlinearity: str = "tanh", reverse: bool = False) -> tuple[Any, Any]:
    """(y [T, B, H], final h [B, H]) of h' = act(w_ih x + b_ih + w_hh h + b_hh) over x [T, B, I] (Elman 1990).

    w_ih [H, I], w_hh [H, H], biases [H], act tanh or relu; h0 [B, H], zeros when None; lengths [B], T when None.

    >>> import ndiv, numpy as np
    >>> y, h = ndiv.rnn(np.ones((5, 2, 3)), None, np.ones((4, 3)), np.ones((4, 4)))
    >>> y.shape, h.shape
    ((5, 2, 4), (2, 4))
    """
    if nonlinearity not in _NONLINEARITIES:
        raise ConfigError(f"rnn: unknown nonlinearity {nonlinearity!r}", value=nonlinearity,
                          hint=closest(nonlinearity, _NONLINEARITIES))
    y, h = apply(RNN, _arguments("rnn", x, (h0,), w_ih, w_hh, b_ih, b_hh, lengths),
                 {"nonlinearity": nonlinearity, "reverse": reverse})
    return y, h


def gru(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, lengths: Any = None,
        reverse: bool = False) -> tuple[Any, Any]:
    """(y [T, B, H], final h [B, H]) of a gated recurrent unit (Cho et al. 2014, with the reset gate as in PyTorch).

    r = sigmoid(xr + hr), z = sigmoid(xz + hz), n = tanh(xn + r hn), h' = (1 - z) n + z h, where the rows of
    w_ih x + b_ih are xr, xz, xn and those of w_hh h + b_hh are hr, hz, hn. w_ih [3 H, I], w_hh [3 H, H], biases [3 H].

    >>> import ndiv, numpy as np
    >>> y, h = ndiv.gru(np.ones((5, 2, 3)), None, np.ones((12, 3)), np.ones((12, 4)), lengths=[5, 2])
    >>> float(abs(y[2:, 1]).sum()), bool((y[1, 1] == h[1]).all())
    (0.0, True)
    """
    y, h, _ = apply(GRU, _arguments("gru", x, (h0,), w_ih, w_hh, b_ih, b_hh, lengths), {"reverse": reverse})
    return y, h


def lstm(x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, lengths: Any = None,
         reverse: bool = False) -> tuple[Any, Any, Any]:
    """(y [T, B, H], final h [B, H], final c [B, H]) of a long short-term memory (Hochreiter and Schmidhuber 1997).

    i, f, o = sigmoid and g = tanh of the rows of w_ih x + b_ih + w_hh h + b_hh (order i, f, g, o), c' = f c + i g,
    h' = o tanh(c'). w_ih [4 H, I], w_hh [4 H, H], biases [4 H]; h0 and c0 [B, H], zeros when None; lengths [B].

    >>> import ndiv, numpy as np
    >>> y, h, c = ndiv.lstm(np.ones((5, 2, 3)), None, None, np.ones((16, 3)), np.ones((16, 4)))
    >>> y.shape, bool((y[-1] == h).all())
    ((5, 2, 4), True)
    """
    y, h, c, _, _ = apply(LSTM, _arguments("lstm", x, (h0, c0), w_ih, w_hh, b_ih, b_hh, lengths), {"reverse": reverse})
    return y, h, c
