"""`plot_cross_validation`: what each window of a backtest forecast, beside what happened.

Contract: one panel a series; the cutoffs are thin vertical lines; a model has one colour in all windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.errors import FeatureError, closest

from .forecasts import bands, models_of, series_of, split
from .style import MARKERS, STYLES, begin, caption, dress, finish, new_figure

__all__ = ["plot_cross_validation"]


def plot_cross_validation(cv: Any, history: Any = None, path: Any = None, *, ids: Sequence[Any] | None = None,
                          models: Sequence[str] | None = None, max_series: int = 3, max_history: int | None = None,
                          intervals: bool = True, title: str | None = None, y_label: str | None = None, theme: str = "light",
                          id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
                          cutoff_col: str = "cutoff") -> Any:
    """Draw the windows of a cross-validation.

    cv           the result of ``cross_validation`` (pandas, polars, or a dict of columns)
    history      the series; drawn before the first cutoff, ``max_history`` steps of it (default: as many as the windows cover)
    ids, models  what to draw; default: the first ``max_series`` series, all models
    intervals    whether to draw ``NAME-lo-90`` and ``NAME-hi-90`` as bands

    Returns the matplotlib ``Figure``. Raises what `plot_forecast` raises.

    >>> cv = {"unique_id": ["a"] * 4, "ds": [3, 4, 5, 6], "cutoff": [2, 2, 4, 4], "y": [1.0, 2.0, 1.0, 2.0], "m": [1.0] * 4}
    >>> len(plot_cross_validation(cv).axes)
    1
    """
    look = begin(theme, path)
    found = split(cv, "cv", (target_col,), id_col, time_col)
    past = {} if history is None else split(history, "history", (target_col,), id_col, time_col)
    chosen = series_of(ids, found, max_series)
    first = found[chosen[0]]
    if cutoff_col not in first:
        raise FeatureError(f"cv has no column of cutoffs {cutoff_col!r}", value=cutoff_col,
                           hint=closest(cutoff_col, first, "Columns"))
    names = models_of(first, models, {id_col, time_col, target_col, cutoff_col})
    figure = new_figure(11.0, 3.2 * len(chosen) + 0.9, look)
    axes = figure.subplots(len(chosen), 1, squeeze=False).reshape(-1)
    for ax, series in zip(axes, chosen, strict=True):
        own = found[series]
        clock, place = np.unique(own[time_col], return_index=True)
        y = own[target_col][place].astype(float)
        before = past.get(series)
        if before is not None:
            shown = before[time_col] < clock[0]
            shown[:max(int(shown.sum()) - (max_history or len(clock)), 0)] = False
            ax.plot(before[time_col][shown], before[target_col][shown].astype(float), color=look.grey, linewidth=1.3,
                    label="history")
            clock = np.concatenate([before[time_col][shown][-1:], clock])
            y = np.concatenate([before[target_col][shown][-1:].astype(float), y])
        ax.plot(clock, y, color=look.ink, linewidth=1.8, label="actual")
        for cutoff in np.unique(own[cutoff_col]):
            ax.axvline(cutoff, color=look.rule, linewidth=1.2, zorder=0)
            window = {name: values[own[cutoff_col] == cutoff] for name, values in own.items()}
            for m, name in enumerate(names):
                colour = look.colours[m % len(look.colours)]
                if intervals:
                    bands(ax, window, name, time_col, colour)
                short = len(window[time_col]) == 1
                ax.plot(window[time_col], window[name].astype(float), color=colour, linewidth=1.6, label=name, zorder=3,
                        linestyle=STYLES[m % len(STYLES)], marker=MARKERS[m % len(MARKERS)] if short else None, markersize=4)
        dress(ax, look, own[time_col].dtype.kind == "M", time_col if series == chosen[-1] else "", y_label or target_col,
              str(series) if len(chosen) > 1 else "")
    caption(figure, look, title, axes)
    return finish(figure, path)
