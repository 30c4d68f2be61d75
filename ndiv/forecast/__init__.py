"""Forecasting on frames: train models on many series, forecast, backtest, save.

Contract: importing this package imports NumPy and the standard library, nothing else; names are loaded on first use,
pandas and polars only when a frame arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .core import NeuralForecast as NeuralForecast
    from .coverage import coverage_report as coverage_report
    from .evaluation import evaluate as evaluate
    from .explaining import Explanations as Explanations

_HOME = {"Explanations": "explaining", "NeuralForecast": "core", "coverage_report": "coverage", "evaluate": "evaluation"}

__all__ = ["Explanations", "NeuralForecast", "coverage_report", "evaluate"]

__getattr__, __dir__ = lazy(__name__, _HOME)
