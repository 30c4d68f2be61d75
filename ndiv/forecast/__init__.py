"""Forecasting on frames: train models on many series, forecast, backtest, save.

Contract: importing this package imports NumPy and the standard library, nothing else; names are loaded on first use,
pandas and polars only when a frame arrives.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core import NeuralForecast as NeuralForecast
    from .coverage import coverage_report as coverage_report
    from .evaluation import evaluate as evaluate
    from .explaining import Explanations as Explanations

_HOME = {"Explanations": "explaining", "NeuralForecast": "core", "coverage_report": "coverage", "evaluate": "evaluation"}

__all__ = ["Explanations", "NeuralForecast", "coverage_report", "evaluate"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
