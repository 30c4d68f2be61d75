"""`plot_coverage`: how often what happened lay below each quantile, or inside each interval, beside how often it should have.

Contract: on the diagonal a model is calibrated; the grey band is where 95 % of calibrated models would lie, if errors did not
depend on each other (they do, so that the true band is wider).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import FeatureError, closest
from ndiv.forecast.evaluation.columns import forecast_columns, forecasts_of

from .style import MARKERS, STYLES, begin, caption, dress, finish, new_figure

__all__ = ["plot_coverage"]


def plot_coverage(cv: Any, path: Any = None, *, models: Sequence[str] | None = None, title: str | None = None,
                  theme: str = "light", id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
                  cutoff_col: str = "cutoff") -> Any:
    """Draw the observed coverage of intervals against the nominal one, over all rows of a backtest.

    Returns the matplotlib ``Figure``. Raises `FeatureError` (E0004) where no model has intervals, `FileError` (E0006).

    >>> import pandas as pd
    >>> cv = pd.DataFrame({"unique_id": "a", "ds": [1, 2], "y": [0.0, 3.0], "m": 1.0, "m-lo-80": -1.0, "m-hi-80": 2.0})
    >>> plot_coverage(cv).axes[0].get_lines()[-1].get_ydata().tolist()
    [50.0]
    """
    look = begin(theme, path)
    frame = need("narwhals").from_native(cv, eager_only=True)
    if target_col not in frame.columns:
        raise FeatureError(f"cv has no column {target_col!r}", value=target_col,
                           hint=closest(target_col, frame.columns, "Columns"))
    points = forecast_columns(frame, (id_col, time_col, target_col, cutoff_col)) if models is None else list(models)
    found = [f for f in forecasts_of(frame.columns, points) if f.levels]
    if not found:
        raise FeatureError("cv has no columns of intervals, such as NHITS-lo-90 and NHITS-hi-90", value=frame.columns,
                           hint="They come from a model with a quantile or distribution loss, or from prediction intervals.")
    y = frame[target_col].to_numpy().astype(float)
    n = max(int(np.isfinite(y).sum()), 1)
    figure = new_figure(5.6, 5.4, look)
    ax = figure.subplots()
    share = np.linspace(0, 100, 101)
    spread = 1.96 * np.sqrt(share * (100 - share) / n)
    ax.fill_between(share, np.maximum(share - spread, 0), np.minimum(share + spread, 100), color=look.rule, alpha=0.6,
                    linewidth=0, label=f"95 % of what chance gives, {n} rows")
    ax.plot([0, 100], [0, 100], color=look.grey, linewidth=1.2, label="calibrated")
    for k, forecast in enumerate(found):
        levels = sorted(forecast.levels)
        inside = []
        for level in levels:
            low, high = (frame[name].to_numpy().astype(float) for name in forecast.levels[level])
            known = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
            inside.append(100 * float(np.mean((y >= low)[known] & (y <= high)[known])) if known.any() else np.nan)
        ax.plot(levels, np.array(inside), color=look.colours[k % len(look.colours)], linestyle=STYLES[k % len(STYLES)],
                marker=MARKERS[k % len(MARKERS)], markersize=7, linewidth=1.6, label=forecast.point.removesuffix("-median"))
    dress(ax, look, None, "nominal coverage (%)", "observed coverage (%)")
    ax.set_xlim(0, 101)
    ax.set_ylim(0, 101)
    ax.set_aspect("equal")
    ax.grid(axis="x", color=look.rule, linewidth=0.6)
    caption(figure, look, title, [ax], ncols=2)
    return finish(figure, path)
