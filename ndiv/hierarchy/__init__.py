"""Forecasts of series that add up: sums of series, and forecasts made to agree with them, by the package hierarchicalforecast.

Contract: importing this loads the standard library only; hierarchicalforecast (extra "hierarchy") is imported where it is used.
Frames may be pandas or polars; what comes back is the kind that came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .reconciliation import coherence as coherence
    from .reconciliation import reconcile as reconcile
    from .sums import aggregate as aggregate
    from .sums import summing as summing

_HOME = {"aggregate": "sums", "summing": "sums", "coherence": "reconciliation", "reconcile": "reconciliation"}

__all__ = ["aggregate", "coherence", "reconcile", "summing"]

__getattr__, __dir__ = lazy(__name__, _HOME)
