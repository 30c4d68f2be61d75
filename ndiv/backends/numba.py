"""The Numba backend: the kernels of ``kernels.py``, ops with an expression and recurrent layers, compiled in the process.

Contract: the names, signatures and meanings of ``kernels.py``, for C-contiguous arrays of one type, float32 or float64;
anything else is a ShapeError (E0002). Numba is an extra (``pip install ndiv[numba]``), imported at the first call; every
function is compiled at its own first call, and kept on disk. `available()` says whether Numba is there, without importing
it. Calls release the GIL.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError, DeviceError, ShapeError, closest
from .kernels import ACT_SAVES, ACTS, UNARY

__all__ = ["ACTS", "ACT_SAVES", "UNARY", "adamw", "available", "bias_act", "bias_act_bwd", "dropout", "elementwise",
           "layer_norm", "layer_norm_bwd", "need", "ops", "philox_u32", "recurrent", "saves_passes", "sumsq", "unary",
           "version", "why_not"]

Array = np.ndarray
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_MASK64 = 0xFFFFFFFFFFFFFFFF


def available() -> bool:
    """Whether Numba is installed."""
    spec = importlib.util.find_spec("numba")
    return spec is not None and spec.origin is not None  # without: a folder of that name on the path


def why_not() -> str | None:
    """Why the backend cannot be used; None when it can."""
    return None if available() else "Numba is not installed"


def version() -> str | None:
    """The version of Numba that is installed."""
    import importlib.metadata

    return importlib.metadata.version("numba") if available() else None


@functools.cache
def _jit() -> Any:
    """The package of what is compiled, with Numba behind it, or E0007."""
    problem = why_not()
    if problem is None:
        try:
            import numba  # noqa: F401
        except ImportError as error:  # it refuses a NumPy that it does not know
            problem = f"Numba cannot be imported: {error}"
    if problem is not None:
        raise DeviceError(f"the numba backend is not available: {problem}", value="numba",
                          hint="pip install ndiv[numba]")
    from . import jit
    from .jit import cells, kernels, loops  # noqa: F401

    return jit


def need() -> None:
    """Imports Numba; E0007 where that is not possible."""
    _jit()


# what compiled code relies on: nothing in it checks an index ----------------------------------------------------------

def _array(a: Array, name: str, dtype: Any = None, shape: tuple[int, ...] | None = None) -> Array:
    """``a``, which must be a contiguous array of floats, of this type and shape where they are given."""
    if a.dtype not in DTYPES if dtype is None else a.dtype != dtype:
        raise ShapeError(f"{name} has dtype {a.dtype}; the Numba kernels take {dtype or 'float32 or float64'}",
                         value=a.dtype)
    if shape is not None and a.shape != shape:
        raise ShapeError(f"{name} has shape {list(a.shape)}, not {list(shape)}", value=a.shape)
    if not a.flags.c_contiguous:
        raise ShapeError(f"{name} is not C-contiguous", value=a.strides, hint="use numpy.ascontiguousarray")
    return a


def _matrix(a: Array, name: str) -> Array:
    if a.ndim != 2:
        raise ShapeError(f"{name} has shape {list(a.shape)}, not [rows, cols]", value=a.shape)
    return _array(a, name)


def _out(a: Array, name: str, like: Array) -> Array:
    """An array that is written: as ``like``, and not read-only."""
    if not a.flags.writeable:
        raise ShapeError(f"{name} is read-only")
    return _array(a, name, like.dtype, like.shape)


def _known(table: Any, name: str, what: str) -> str:
    if name not in table:
        raise ConfigError(f"unknown {what} {name!r}", value=name, hint=closest(name, table))
    return name


# kernels, in the order of kernels.py --------------------------------------------------------------------------------

def unary(x: Array, fn: str, out: Array | None = None) -> Array:
    """As ``kernels.unary``."""
    _known(UNARY, fn, "function")
    _array(x, "x")
    out = np.empty_like(x) if out is None else _out(out, "out", x)
    _jit().loops.unary(fn)(x.reshape(-1), out.reshape(-1))
    return out


def sumsq(x: Array) -> float:
    """As ``kernels.sumsq``."""
    return float(_jit().kernels.sumsq(_array(x, "x").reshape(-1)))


def adamw(p: Array, g: Array, m: Array, v: Array, *, lr: float, beta1: float = 0.9, beta2: float = 0.999,
          eps: float = 1e-8, weight_decay: float = 0.0, bias_correction1: float = 1.0, bias_correction2: float = 1.0,
          grad_scale: float = 1.0) -> None:
    """As ``kernels.adamw``."""
    _out(p, "p", _array(p, "p"))
    _array(g, "g", p.dtype, p.shape)
    _out(m, "m", p)
    _out(v, "v", p)
    numbers = (lr * weight_decay, beta1, beta2, eps, lr / bias_correction1, 1.0 / math.sqrt(bias_correction2), grad_scale)
    _jit().kernels.adamw(p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), *map(float, numbers))


def bias_act(x: Array, bias: Array | None, act: str, out: Array | None = None) -> tuple[Array, Array]:
    """As ``kernels.bias_act``."""
    _matrix(x, "x")
    _known(ACTS, act, "activation")
    args = [x] if bias is None else [x, _array(bias, "bias", x.dtype, x.shape[1:])]
    out = np.empty_like(x) if out is None else _out(out, "out", x)
    args.append(out)
    saved = out
    if ACT_SAVES[act] == "pre":
        saved = x
        if bias is not None or out is x:
            saved = np.empty_like(x)
            args.append(saved)
    _jit().loops.bias_act(act, bias is not None, len(args) - (bias is not None) == 3)(*args)
    return out, saved


def bias_act_bwd(g: Array, saved: Array, act: str, need_bias: bool = True) -> tuple[Array, Array | None]:
    """As ``kernels.bias_act_bwd``."""
    _matrix(g, "g")
    _array(saved, "saved", g.dtype, g.shape)
    gx = g
    if _known(ACTS, act, "activation") != "identity":
        gx = np.empty_like(g)
        _jit().loops.bias_act_bwd(act)(g.reshape(-1), saved.reshape(-1), gx.reshape(-1))
    if not need_bias:
        return gx, None
    gbias = np.zeros(g.shape[1])
    _jit().kernels.column_sums(gx, gbias)
    return gx, gbias.astype(g.dtype, copy=False)


def layer_norm(x: Array, gamma: Array | None, beta: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """As ``kernels.layer_norm``."""
    rows, cols = _matrix(x, "x").shape
    gamma = np.ones(cols, x.dtype) if gamma is None else _array(gamma, "gamma", x.dtype, (cols,))
    beta = np.zeros(cols, x.dtype) if beta is None else _array(beta, "beta", x.dtype, (cols,))
    out, mean, rstd = np.empty_like(x), np.empty(rows, x.dtype), np.empty(rows, x.dtype)
    _jit().kernels.layer_norm(x, gamma, beta, float(eps), out, mean, rstd)
    return out, mean, rstd


def layer_norm_bwd(g: Array, x: Array, gamma: Array | None, mean: Array,
                   rstd: Array) -> tuple[Array, Array | None, Array | None]:
    """As ``kernels.layer_norm_bwd``."""
    rows, cols = _matrix(x, "x").shape
    _array(g, "g", x.dtype, x.shape)
    weights = np.ones(cols, x.dtype) if gamma is None else _array(gamma, "gamma", x.dtype, (cols,))
    for name, a in (("mean", mean), ("rstd", rstd)):
        _array(a, name, x.dtype, (rows,))
    gx, ggamma, gbeta = np.empty_like(x), np.zeros(cols), np.zeros(cols)
    _jit().kernels.layer_norm_bwd(g, x, weights, mean, rstd, gx, ggamma, gbeta)
    if gamma is None:
        return gx, None, None
    return gx, ggamma.astype(x.dtype, copy=False), gbeta.astype(x.dtype, copy=False)


def philox_u32(key: int, stream: int, block: int, n: int) -> Array:
    """As ``kernels.philox_u32``."""
    out = np.empty(((n + 3) // 4, 4), np.uint32)
    _jit().kernels.philox(*(np.uint64(k & _MASK64) for k in (key, stream, block)), out)
    return out.reshape(-1)[:n]


def dropout(x: Array, p: float, key: int, stream: int) -> Array:
    """As ``kernels.dropout``."""
    if not 0.0 <= p <= 1.0:
        raise ShapeError("dropout: a number is outside its range", value=p)
    _array(x, "x")
    if p == 1.0:
        return np.zeros_like(x)
    out = np.empty_like(x)
    _jit().kernels.dropout(x.reshape(-1), np.uint64(p * 4294967296.0), x.dtype.type(1.0 / (1.0 - p)),
                           np.uint64(key & _MASK64), np.uint64(stream & _MASK64), out.reshape(-1))
    return out


# ops of the registry ------------------------------------------------------------------------------------------------

def elementwise(name: str) -> Callable[..., Array]:
    """The op of that name, which must have an expression, for arrays of one shape and type; conditions are booleans."""
    from ..autograd.primitive import REGISTRY

    loop, _ = _jit().loops.elementwise(name)
    defaults = REGISTRY[name].attrs

    def run(*arrays: Array, **attrs: float) -> Array:
        like = arrays[-1]
        for i, a in enumerate(arrays):
            _array(a, f"input {i}", a.dtype if a.dtype == np.bool_ and i < len(arrays) - 1 else like.dtype, like.shape)
        out = np.empty_like(_array(like, "the last input"))
        loop(*(a.reshape(-1) for a in arrays), *(float(attrs.get(a, v)) for a, v in defaults.items()), out.reshape(-1))
        return out

    return run


def saves_passes(name: str) -> bool:
    """Whether NumPy goes over memory more than once for that op."""
    return bool(_jit().loops.elementwise(name)[1])


def ops() -> dict[str, Callable[..., Any]]:
    """What runs in the place of ops of the registry: expressions that NumPy needs several passes for, and recurrences."""
    from ..autograd.primitive import REGISTRY

    several = [name for name, prim in REGISTRY.items() if prim.expr is not None and saves_passes(name)]
    layers = [f"{name}{part}" for name in ("rnn", "gru", "lstm") for part in ("", "_bwd")]
    return {name: elementwise(name) for name in several} | {name: recurrent(name) for name in layers}


def recurrent(name: str) -> Callable[..., Any]:
    """What ``rnn``, ``gru``, ``lstm`` or the backward op of one of them runs: the steps of its cell are compiled.

    The products stay BLAS's, one for all inputs and one a step, so the loop over time is the reference's.
    """
    from ..autograd.ops import recurrent as layers

    layer, _, backward = name.partition("_")
    run = layers._fast_backward if backward else layers._fast_forward

    def compiled(*inputs: Any, reverse: bool, **kw: Any) -> Any:
        # the steps take contiguous arrays: the initial state and the gradients of the final one are given from outside
        return run(_cell(layer, **kw), [np.ascontiguousarray(a) for a in inputs], reverse)

    return compiled


@functools.cache
def _cell(layer: str, nonlinearity: str = "tanh") -> Any:
    """The cell of that layer with compiled steps."""
    from ..autograd.ops import recurrent as layers

    steps = _jit().cells
    if layer == "rnn":
        forward, backward = getattr(steps, f"rnn_{nonlinearity}"), getattr(steps, f"rnn_{nonlinearity}_back")

        def rnn(zx: Array, zh: Array, old: Any, new: Any, kept: Any) -> None:
            forward(zx, zh, new[0])

        def rnn_back(d: Any, kept: Any, new: Any, old: Any, dzx: Array, dzh: Array) -> None:
            backward(d[0], new[0], dzx)
            d[0] = None

        return dataclasses.replace(layers._rnn_cell(nonlinearity), fast=rnn, fast_back=rnn_back)

    def gru(zx: Array, zh: Array, old: Any, new: Any, kept: Array) -> None:
        steps.gru(zx, zh, old[0], new[0], kept)

    def gru_back(d: Any, kept: Array, new: Any, old: Any, dzx: Array, dzh: Array) -> None:
        through = np.empty_like(d[0])
        steps.gru_back(d[0], kept, old[0], dzx, dzh, through)
        d[0] = through

    def lstm(zx: Array, zh: Array, old: Any, new: Any, kept: Array) -> None:
        steps.lstm(zx, zh, old[1], new[0], new[1])  # kept is zx

    def lstm_back(d: Any, kept: Array, new: Any, old: Any, dzx: Array, dzh: Array) -> None:
        through = np.empty_like(d[1])
        steps.lstm_back(d[0], d[1], kept, new[1], old[1], dzx, through)
        d[0], d[1] = None, through

    if layer == "gru":
        return dataclasses.replace(layers._GRU, fast=gru, fast_back=gru_back)
    return dataclasses.replace(layers._LSTM, fast=lstm, fast_back=lstm_back)
