"""Backends: which implementation of a kernel runs.

numpy   `kernels.py`, the references: they define what each kernel means, and run anywhere
native  `native.py`, the C extension: float32, contiguous; anything else falls to the reference
numba   `numba.py`, compiled in the process by Numba, an extra: float32 and float64; never chosen unless asked for

Contract: `kernel(name)` gives the one in force. `activate` puts the kernels of the chosen backend in the place of the
references of the primitives that name them. NDIV_BACKEND=numpy|native|numba chooses; NDIV_ISA picks the instruction set
of native; NDIV_CHECK=1 runs the reference beside every call of the other two's kernels and compares.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError, DeviceError, NdivError, closest
from . import kernels as kernels
from . import native as native
from . import numba as numba

__all__ = ["BACKENDS", "ENVIRONMENT", "activate", "current", "info", "kernel"]

BACKENDS = ("native", "numpy", "numba")
ENVIRONMENT = {
    "NDIV_BACKEND": "native, numpy or numba (default: native where the extension was built)",
    "NDIV_ISA": "instruction set of the native kernels (default: the widest that this machine has)",
    "NDIV_CHECK": "1: run the reference beside every kernel of the other backends and compare",
    "NDIV_NUM_THREADS": "threads of native plans (default: the processors that this process may use)",
}
_current: str | None = None


def current() -> str:
    """The backend in force: "native", "numpy" or "numba"."""
    if _current is None:
        activate(os.environ.get("NDIV_BACKEND") or None)
    assert _current is not None
    return _current


def activate(name: str | None = None) -> str:
    """Choose the backend (None: the best that is here) and install its kernels; returns its name."""
    global _current
    if name is not None and name not in BACKENDS:
        raise ConfigError(f"unknown backend {name!r}", value=name, hint=closest(name, BACKENDS))
    if name == "native" and not native.available():
        raise DeviceError(f"the native backend is not available: {native.why_not()}", value=name,
                          hint="install a C compiler and reinstall ndiv, or leave NDIV_BACKEND unset")
    if name == "numba":
        numba.need()
    wanted = os.environ.get("NDIV_ISA")
    # a processor without fused multiply-add emulates it in the scalar kernels, which NumPy outruns by far
    slow = native.available() and native.isa() == "scalar" and not wanted
    _current = name or ("native" if native.available() and not slow else "numpy")
    if _current == "native" and wanted:
        native.select(wanted)
    _install()
    return _current


def _checked(name: str, fast: Callable[..., Any], reference: Callable[..., Any]) -> Callable[..., Any]:
    """The fast kernel, compared with its reference on every call (NDIV_CHECK=1)."""

    def both(*args: Any, **kwargs: Any) -> Any:
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        expected, got = reference(*copies, **kwargs), fast(*args, **kwargs)
        pairs = zip(args, copies, strict=True) if expected is None else zip(*(
            (r if isinstance(r, tuple) else (r,)) for r in (got, expected)), strict=True)
        for a, b in pairs:
            if not np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True):
                raise NdivError(f"kernel {name} disagrees with its reference by {np.nanmax(np.abs(np.subtract(a, b)))}",
                                hint="please report this, with the output of ndiv.info()")
        return got

    return both


def kernel(name: str) -> Callable[..., Any]:
    """The function of that name: the backend's for arrays that it takes, else the reference."""
    current()
    return _TABLE[name]


_TABLE: dict[str, Callable[..., Any]] = {}
NAMES = ("sumsq", "adamw", "bias_act", "bias_act_bwd", "layer_norm", "layer_norm_bwd", "dropout")
DTYPES = {"native": (np.dtype(np.float32),), "numba": numba.DTYPES}  # what the kernels take


def _fits(args: tuple[Any, ...], dtypes: tuple[Any, ...]) -> bool:
    """Whether all arrays are contiguous, and of one of these types."""
    arrays = [a for a in args if isinstance(a, np.ndarray)]
    dtype = arrays[0].dtype
    return dtype in dtypes and all(a.dtype == dtype and a.flags.c_contiguous for a in arrays)


def _install() -> None:
    from .adapters import bind

    if _current == "numpy":
        _TABLE.update({name: getattr(kernels, name) for name in NAMES})
        bind({})
        return
    module: Any = native if _current == "native" else numba
    dtypes = DTYPES[_current or ""]
    fast: dict[str, Callable[..., Any]] = {}
    for name in NAMES:
        reference = getattr(kernels, name)
        fast[name] = getattr(module, name)
        if os.environ.get("NDIV_CHECK") == "1":
            fast[name] = _checked(name, fast[name], reference)

        def either(*args: Any, _fast: Any = fast[name], _reference: Any = reference, **kwargs: Any) -> Any:
            return (_fast if _fits(args, dtypes) else _reference)(*args, **kwargs)

        _TABLE[name] = either
    bind(fast, dtypes, numba.ops() if _current == "numba" else None)


def info() -> dict[str, Any]:
    """What is installed and which backend runs: versions, backend, instruction sets, environment variables.

    >>> import ndiv
    >>> sorted(ndiv.info())[:2]
    ['backend', 'environment']
    """
    import platform

    from .._version import __version__
    from .threadpool import threads

    return {
        "ndiv": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "backend": current(),
        "native": "built" if native.available() else f"not available: {native.why_not()}",
        "isa": native.isa() if native.available() else None,
        "isas": native.isas() if native.available() else [],
        "threads": threads(),
        "numba": numba.version() or f"not available: {numba.why_not()}",
        "environment": {k: os.environ.get(k) for k in ENVIRONMENT},
    }
