"""How good forecasts are: metrics, comparisons with a significance test, backtests beside baselines, residuals.

Contract: importing this imports the standard library only; each name comes from the module that holds it when it is
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .backtests import Backtest as Backtest
    from .backtests import backtest as backtest
    from .comparison import Comparison as Comparison
    from .comparison import compare as compare
    from .comparison import diebold_mariano as diebold_mariano
    from .metrics import METRICS as METRICS
    from .residuals import ResidualDiagnostics as ResidualDiagnostics
    from .residuals import diagnose_residuals as diagnose_residuals
    from .scores import evaluate as evaluate
    from .scores import forecast_columns as forecast_columns

_HOME = {name: module for module, names in {
    "backtests": "Backtest backtest", "comparison": "Comparison compare diebold_mariano", "metrics": "METRICS",
    "residuals": "ResidualDiagnostics diagnose_residuals", "scores": "evaluate forecast_columns",
    }.items() for name in names.split()}

__all__ = ["METRICS", "Backtest", "Comparison", "ResidualDiagnostics", "backtest", "compare", "diagnose_residuals",
           "diebold_mariano", "evaluate", "forecast_columns"]

__getattr__, __dir__ = lazy(__name__, _HOME)
