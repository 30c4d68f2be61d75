"""What the Numba backend compiles: scalar maths, kernels, cells of recurrent layers, and loops written from expressions.

Contract: functions here take arrays that `ndiv.backends.numba` has checked, and nothing but it calls them. They compute
in float64, whatever the arrays hold, with one rounding at the end. No call leaves for a maths library but in sin, cos and
pow, no operations are fused or reordered, so the rest gives the same bits on every machine. Each is compiled at its first
call, for the types of that call, and kept in Numba's cache on disk. Without Numba the modules can still be imported and
the functions are plain Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

try:
    import numba

    njit: Any = numba.njit
except ImportError:
    njit = None

__all__ = ["DIGEST", "compiled", "inline", "overload"]

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}


def _digest() -> str:
    """A short name for the text of this package."""
    whole = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:12]


# Numba's cache looks at the file of a function and not at those of the functions that it calls. With the digest in its
# name, nothing that was compiled from another text is ever found.
DIGEST = _digest()


def compiled(function: F) -> F:
    """``function``, compiled for the types of its first call, and kept on disk."""
    if njit is None:
        return function
    function.__qualname__ = f"{function.__name__}_{DIGEST}"
    return njit(cache=True, **OPTIONS)(function)


def inline(function: F) -> F:
    """``function``, compiled into those that call it."""
    return function if njit is None else njit(forceinline=True, **OPTIONS)(function)


def overload(function: F) -> Callable[[Callable[..., Any]], Any]:
    """Decorates what gives, for types of arguments, the implementation of ``function`` in compiled code."""
    if njit is None:
        return lambda choose: choose
    from numba.extending import overload

    return overload(function, jit_options={"forceinline": True})
