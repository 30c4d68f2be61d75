"""Threads of native plans: how many there are, and where other libraries' tools can limit them.

Contract: the pool starts with NDIV_NUM_THREADS threads (default: the processors that this process may use, at most 64),
handed over once by `configure`, which the first plan calls. `set_threads` changes the number at any time; a plan uses at
most as many as there were when it was loaded. Where threadpoolctl is installed, `threadpool_limits` and `threadpool_info`
see the pool under the name "ndiv". Results do not depend on the number of threads.
"""

from __future__ import annotations

import os
from typing import Any

from ..errors import ConfigError
from . import native

__all__ = ["configure", "default_threads", "register", "set_threads", "threads"]

MOST = 256  # ND_MAX_THREADS of csrc/core/pool.h
_configured = False
_registered = False


def default_threads() -> int:
    """NDIV_NUM_THREADS, or the processors that this process may use, at most 64."""
    text = os.environ.get("NDIV_NUM_THREADS", "").strip()
    if not text:
        affinity = getattr(os, "sched_getaffinity", None)
        return min(len(affinity(0)) if affinity else os.cpu_count() or 1, 64)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
        raise ConfigError(f"NDIV_NUM_THREADS is {text!r}, not a number of threads", value=text, hint=f"1 to {MOST}")
    return int(text)


def configure() -> None:
    """Hand the number of threads over to the native backend, once, and register with threadpoolctl if it is there."""
    global _configured
    if not _configured:
        native._need().nd_set_threads(default_threads())
        _configured = True
        register()


def threads() -> int:
    """Threads that native plans may use; 1 without the extension."""
    if not native.available():
        return 1
    configure()
    return int(native._need().nd_threads())


def set_threads(n: int) -> None:
    """Use ``n`` threads from now on, in the whole process."""
    configure()
    if isinstance(n, bool) or not isinstance(n, int) or native._need().nd_set_threads(min(max(n, 0), MOST + 1)):
        raise ConfigError(f"cannot use {n!r} threads", value=n, hint=f"1 to {MOST}")


def register() -> bool:
    """Make threadpoolctl see the pool; False where it is not installed."""
    global _registered
    if _registered:
        return True
    try:
        import threadpoolctl
    except ImportError:
        return False

    class NdivController(threadpoolctl.LibController):
        """The pool of ndiv's plans, through the two functions that the extension exports."""

        user_api = internal_api = "ndiv"
        filename_prefixes = ("_native",)
        check_symbols = ("nd_set_threads",)

        def get_num_threads(self) -> int:
            return self._function("nd_threads")()

        def set_num_threads(self, num_threads: int) -> Any:
            return self._function("nd_set_threads")(num_threads)

        def get_version(self) -> str:
            from .._version import __version__

            return __version__

        def _function(self, name: str) -> Any:
            return getattr(self.dynlib, name)

    threadpoolctl.register(NdivController)
    _registered = True
    return True
