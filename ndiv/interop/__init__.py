"""Trained models of other libraries as ndiv models: `from_neuralforecast`.

Contract: importing this package imports nothing else; PyTorch is never imported, and nothing from a file is executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .neuralforecast import from_neuralforecast as from_neuralforecast

__all__ = ["from_neuralforecast"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import neuralforecast

    return getattr(neuralforecast, name)


def __dir__() -> list[str]:
    return sorted(__all__)
