"""Models that choose their own settings: ``AutoNHITS``, ``AutoDLinear`` and so on, one class for each model of the registry.

Contract: the classes are made from `ndiv.models.MODELS` when first asked for; names and arguments are neuralforecast's. The
search is that of `ndiv.tuning`, on Optuna (extra "tune").
"""

from __future__ import annotations

import importlib
from typing import Any

from ..models import MODELS

_NAMES = {f"Auto{name}": name for name in MODELS}

__all__ = ["AutoModel", "list_auto", *sorted(_NAMES)]


def list_auto() -> list[str]:
    """Names of all automatic models, sorted.

    >>> "AutoNHITS" in list_auto()
    True
    """
    return sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name == "AutoModel":
        return importlib.import_module("ndiv.auto.base").AutoModel
    if name not in _NAMES:
        raise AttributeError(f"module 'ndiv.auto' has no attribute {name!r}")
    value = importlib.import_module("ndiv.auto.base").made(_NAMES[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
