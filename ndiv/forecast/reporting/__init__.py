"""A report of data, models, backtest, forecasts and residuals as one HTML file.

Contract: importing this imports the standard library only. The file asks nothing of the network: its style, its pictures (SVG)
and its text are in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import report as report

__all__ = ["report"]


def __getattr__(name: str) -> Any:
    if name != "report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .build import report

    globals()[name] = report
    return report
