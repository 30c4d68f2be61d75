"""Backends: which implementation of a kernel runs.

numpy   `kernels.py`, the references: they define what each kernel means, and run anywhere
native  `native.py`, the C extension: float32, contiguous; anything else falls to the reference

Contract: `kernel(name)` gives the one in force. `activate` puts the kernels of the chosen backend in the place of the
references of the primitives that name them. NDIV_BACKEND=numpy|native chooses; NDIV_ISA picks the instruction set;
NDIV_CHECK=1 runs the reference beside every native call and compares.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError, DeviceError, NdivError, closest
from . import kernels as kernels
from . import native as native

__all__ = ["BACKENDS", "ENVIRONMENT", "activate", "current", "info", "kernel"]

BACKENDS = ("native", "numpy")
ENVIRONMENT = {
    "NDIV_BACKEND": "native or numpy (default: native where the extension was built)",
    "NDIV_ISA": "instruction set of the native kernels (default: the widest that this machine has)",
    "NDIV_CHECK": "1: run the reference beside every native kernel and compare",
    "NDIV_NUM_THREADS": "threads of native plans",
    "NDIV_CBLAS": "BLAS library for very large products in native plans",
}
_current: str | None = None


def current() -> str:
    """The backend in force: "native" or "numpy"."""
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
    """The function of that name: the native one for float32 arrays, else the reference."""
    current()
    return _TABLE[name]


_TABLE: dict[str, Callable[..., Any]] = {}
NAMES = ("sumsq", "adamw", "bias_act", "bias_act_bwd", "layer_norm", "layer_norm_bwd", "dropout")


def _fits(args: tuple[Any, ...]) -> bool:
    return all(a.dtype == np.float32 and a.flags.c_contiguous for a in args if isinstance(a, np.ndarray))


def _install() -> None:
    from .adapters import bind

    fast: dict[str, Callable[..., Any]] = {}
    for name in NAMES:
        reference = getattr(kernels, name)
        if _current == "numpy":
            _TABLE[name] = reference
            continue
        fast[name] = getattr(native, name)
        if os.environ.get("NDIV_CHECK") == "1":
            fast[name] = _checked(name, fast[name], reference)

        def either(*args: Any, _fast: Any = fast[name], _reference: Any = reference, **kwargs: Any) -> Any:
            return (_fast if _fits(args) else _reference)(*args, **kwargs)

        _TABLE[name] = either
    bind(fast)


def info() -> dict[str, Any]:
    """What is installed and which backend runs: versions, backend, instruction sets, environment variables.

    >>> import ndiv
    >>> sorted(ndiv.info())[:2]
    ['backend', 'environment']
    """
    import platform

    from .._version import __version__

    return {
        "ndiv": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "backend": current(),
        "native": "built" if native.available() else f"not available: {native.why_not()}",
        "isa": native.isa() if native.available() else None,
        "isas": native.isas() if native.available() else [],
        "environment": {k: os.environ.get(k) for k in ENVIRONMENT},
    }
