"""The native backend: thin wrappers over the C extension ``ndiv.backends._native``.

Contract: the names, signatures and meanings of ``kernels.py``, for C-contiguous float32 arrays only; anything else is a
ShapeError (E0002) before C is entered. Nothing is loaded until the first call. The extension may be missing:
``available()`` says whether it is there and ``why_not()`` why it is not. Calls release the GIL and may run in parallel.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from ..errors import ConfigError, DeviceError, ShapeError, closest
from .kernels import ACT_SAVES, ACTS, UNARY

__all__ = ["ACTS", "ACT_SAVES", "UNARY", "adamw", "available", "bias_act", "bias_act_bwd", "dropout", "isa", "isas",
           "layer_norm", "layer_norm_bwd", "philox_u32", "select", "sumsq", "unary", "why_not"]

ISAS = ("scalar", "avx2", "avx512", "neon")
ABI_VERSION = 1  # ND_ABI_VERSION of csrc/include/ndiv.h
_F32 = np.dtype(np.float32)
_STATUS = {-1: "a required array is missing", -2: "a size is not valid", -3: "a number is outside its range",
           -4: "the instruction set is not available"}
_MASK64 = 0xFFFFFFFFFFFFFFFF

Array = np.ndarray
_lib: Any = None
_ffi: Any = None
_from_buffer: Any = None
_floats: Any = None
_problem: str | None = None


def _load() -> bool:
    """Loads the extension once; True when it is there."""
    global _lib, _ffi, _from_buffer, _floats, _problem
    if _lib is not None:
        return True
    if _problem is not None:
        return False
    try:
        from . import _native  # type: ignore[attr-defined]
    except ImportError as error:
        _problem = f"the extension ndiv.backends._native cannot be imported: {error}"
        return False
    if _native.lib.nd_abi_version() != ABI_VERSION:
        _problem = "the extension ndiv.backends._native is of another version of ndiv"
        return False
    _ffi, _from_buffer, _floats = _native.ffi, _native.ffi.from_buffer, _native.ffi.typeof("float[]")
    _lib = _native.lib
    return True


def _need() -> Any:
    """The library, or E0007."""
    if not _load():
        raise DeviceError(f"the native kernels are not available: {_problem}",
                          hint="reinstall ndiv where a C compiler is at hand, or use NDIV_BACKEND=numpy")
    return _lib


def available() -> bool:
    """Whether the extension can be used here."""
    return _load()


def why_not() -> str | None:
    """Why the extension cannot be used; None when it can."""
    return None if _load() else _problem


def isas() -> list[str]:
    """The instruction sets that this machine can run, slowest first."""
    return [name for name in ISAS if _lib.nd_isa_available(name.encode())] if _load() else []


def isa() -> str:
    """The instruction set in use."""
    return _ffi.string(_need().nd_isa_current()).decode()


def select(name: str | None) -> None:
    """Use this instruction set from now on, in the whole process; None: the best one."""
    lib = _need()
    if lib.nd_isa_select(_ffi.NULL if name is None else str(name).encode()):
        raise DeviceError(f"instruction set {name!r} is not available on this machine", value=name,
                          hint=closest(name, isas(), "Available"))


# from arrays to addresses -------------------------------------------------------------------------------------------

def _in(a: Array, name: str) -> Any:
    """The address of a float32 C-contiguous array, kept alive by the returned object."""
    if a.dtype is not _F32 and a.dtype != _F32:
        raise ShapeError(f"{name} has dtype {a.dtype}; the native kernels take float32", value=a.dtype)
    try:
        return _from_buffer(_floats, a)
    except (BufferError, ValueError, TypeError):
        raise ShapeError(f"{name} is not C-contiguous", value=getattr(a, "strides", None),
                         hint="use numpy.ascontiguousarray") from None


def _out(a: Array, name: str) -> Any:
    """As ``_in``, for an array that the kernel writes."""
    if not a.flags.writeable:
        raise ShapeError(f"{name} is read-only")
    return _in(a, name)


def _same(a: Array, name: str, shape: tuple[int, ...]) -> Any:
    """The address of an input that must have this shape."""
    if a.shape != shape:
        raise ShapeError(f"{name} has shape {list(a.shape)}, not {list(shape)}", value=a.shape)
    return _in(a, name)


def _matrix(a: Array, name: str) -> tuple[int, int]:
    if a.ndim != 2:
        raise ShapeError(f"{name} has shape {list(a.shape)}, not [rows, cols]", value=a.shape)
    return a.shape


def _fail(kernel: str, status: int) -> NoReturn:
    raise ShapeError(f"{kernel}: {_STATUS.get(status, f'status {status}')}", value=status)


def _code(table: dict[str, int], name: str, what: str) -> int:
    try:
        return table[name]
    except KeyError:
        raise ConfigError(f"unknown {what} {name!r}", value=name, hint=closest(name, table)) from None


# kernels, in the order of kernels.py --------------------------------------------------------------------------------

def unary(x: Array, fn: str, out: Array | None = None) -> Array:
    """As ``kernels.unary``."""
    lib = _lib or _need()
    if out is None:
        out = np.empty(x.shape, _F32)
    elif out.shape != x.shape:
        raise ShapeError(f"out has shape {list(out.shape)}, not {list(x.shape)}", value=out.shape)
    status = lib.nd_unary_f32(x.size, _code(UNARY, fn, "function"), _in(x, "x"), _out(out, "out"))
    if status:
        _fail("unary", status)
    return out


def sumsq(x: Array) -> float:
    """As ``kernels.sumsq``."""
    lib = _lib or _need()
    total = _ffi.new("double *")
    status = lib.nd_sumsq_f32(x.size, _in(x, "x"), total)
    if status:
        _fail("sumsq", status)
    return total[0]


def adamw(p: Array, g: Array, m: Array, v: Array, *, lr: float, beta1: float = 0.9, beta2: float = 0.999,
          eps: float = 1e-8, weight_decay: float = 0.0, bias_correction1: float = 1.0, bias_correction2: float = 1.0,
          grad_scale: float = 1.0) -> None:
    """As ``kernels.adamw``."""
    lib = _lib or _need()
    shape = p.shape
    if m.shape != shape or v.shape != shape:
        raise ShapeError(f"m has shape {list(m.shape)} and v {list(v.shape)}, not {list(shape)}", value=m.shape)
    status = lib.nd_adamw_f32(p.size, _out(p, "p"), _same(g, "g", shape), _out(m, "m"), _out(v, "v"), lr, beta1, beta2,
                              eps, weight_decay, bias_correction1, bias_correction2, grad_scale)
    if status:
        _fail("adamw", status)


def bias_act(x: Array, bias: Array | None, act: str, out: Array | None = None) -> tuple[Array, Array]:
    """As ``kernels.bias_act``."""
    lib = _lib or _need()
    rows, cols = _matrix(x, "x")
    code = _code(ACTS, act, "activation")
    if out is None:
        out = np.empty((rows, cols), _F32)
    elif out.shape != x.shape:
        raise ShapeError(f"out has shape {list(out.shape)}, not {list(x.shape)}", value=out.shape)
    saved, null = out, _ffi.NULL
    pre = null
    if ACT_SAVES[act] == "pre":
        saved = x
        if bias is not None or out is x:
            saved = np.empty((rows, cols), _F32)
            pre = _from_buffer(_floats, saved)
    status = lib.nd_bias_act_f32(rows, cols, _in(x, "x"), null if bias is None else _same(bias, "bias", (cols,)), code,
                                 _out(out, "out"), pre)
    if status:
        _fail("bias_act", status)
    return out, saved


def bias_act_bwd(g: Array, saved: Array, act: str, need_bias: bool = True) -> tuple[Array, Array | None]:
    """As ``kernels.bias_act_bwd``."""
    lib = _lib or _need()
    rows, cols = _matrix(g, "g")
    code = _code(ACTS, act, "activation")
    gx = g if code == 0 else np.empty((rows, cols), _F32)
    gbias = np.empty(cols, _F32) if need_bias else None
    status = lib.nd_bias_act_bwd_f32(
        rows, cols, _in(g, "g"), _same(saved, "saved", (rows, cols)), code, _from_buffer(_floats, gx),
        _ffi.NULL if gbias is None else _from_buffer(_floats, gbias))
    if status:
        _fail("bias_act_bwd", status)
    return gx, gbias


def layer_norm(x: Array, gamma: Array | None, beta: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """As ``kernels.layer_norm``."""
    lib = _lib or _need()
    rows, cols = _matrix(x, "x")
    out, mean, rstd = np.empty((rows, cols), _F32), np.empty(rows, _F32), np.empty(rows, _F32)
    null = _ffi.NULL
    status = lib.nd_layer_norm_f32(
        rows, cols, _in(x, "x"), null if gamma is None else _same(gamma, "gamma", (cols,)),
        null if beta is None else _same(beta, "beta", (cols,)), eps, _from_buffer(_floats, out),
        _from_buffer(_floats, mean), _from_buffer(_floats, rstd))
    if status:
        _fail("layer_norm", status)
    return out, mean, rstd


def layer_norm_bwd(g: Array, x: Array, gamma: Array | None, mean: Array,
                   rstd: Array) -> tuple[Array, Array | None, Array | None]:
    """As ``kernels.layer_norm_bwd``."""
    lib = _lib or _need()
    rows, cols = _matrix(x, "x")
    gx = np.empty((rows, cols), _F32)
    weights = ggamma = gbeta = _ffi.NULL
    sums: tuple[Array | None, Array | None] = (None, None)
    if gamma is not None:
        weights = _same(gamma, "gamma", (cols,))
        sums = np.empty(cols, _F32), np.empty(cols, _F32)
        ggamma, gbeta = _from_buffer(_floats, sums[0]), _from_buffer(_floats, sums[1])
    status = lib.nd_layer_norm_bwd_f32(
        rows, cols, _same(g, "g", (rows, cols)), _in(x, "x"), weights, _same(mean, "mean", (rows,)),
        _same(rstd, "rstd", (rows,)), _from_buffer(_floats, gx), ggamma, gbeta)
    if status:
        _fail("layer_norm_bwd", status)
    return gx, *sums


def philox_u32(key: int, stream: int, block: int, n: int) -> Array:
    """As ``kernels.philox_u32``."""
    lib = _lib or _need()
    out = np.empty(n, np.uint32)
    status = lib.nd_philox_u32(key & _MASK64, stream & _MASK64, block & _MASK64, n, _from_buffer("uint32_t[]", out))
    if status:
        _fail("philox_u32", status)
    return out


def dropout(x: Array, p: float, key: int, stream: int) -> Array:
    """As ``kernels.dropout``."""
    lib = _lib or _need()
    out = np.empty(x.shape, _F32)
    status = lib.nd_dropout_f32(x.size, _in(x, "x"), p, key & _MASK64, stream & _MASK64, _from_buffer(_floats, out))
    if status:
        _fail("dropout", status)
    return out
