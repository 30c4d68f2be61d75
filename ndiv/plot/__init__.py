"""Plots: forecasts, backtests, residuals, learning curves, decompositions, attributions, coverage.

Contract: every function returns a matplotlib ``Figure``, writes it where ``path`` says (png, svg, pdf), and draws in
``theme="light"`` or ``"dark"``. matplotlib is imported inside the functions, and nothing global is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .attributions import plot_attributions as plot_attributions
    from .coverage import plot_coverage as plot_coverage
    from .decompositions import plot_decomposition as plot_decomposition
    from .forecasts import plot_forecast as plot_forecast
    from .learning import plot_learning as plot_learning
    from .residuals import plot_residuals as plot_residuals
    from .style import check_path as check_path
    from .windows import plot_cross_validation as plot_cross_validation

_HOME = {"check_path": "style", "plot_attributions": "attributions", "plot_coverage": "coverage",
         "plot_cross_validation": "windows", "plot_decomposition": "decompositions", "plot_forecast": "forecasts",
         "plot_learning": "learning", "plot_residuals": "residuals"}

__all__ = ["check_path", "plot_attributions", "plot_coverage", "plot_cross_validation", "plot_decomposition", "plot_forecast",
           "plot_learning", "plot_residuals"]

__getattr__, __dir__ = lazy(__name__, _HOME)
