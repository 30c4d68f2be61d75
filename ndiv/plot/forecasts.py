"""`plot_forecast`: series, their forecasts with intervals and, where known, what happened; and how plots read frames.

Contract: one panel a series; history and actual values in ink, forecasts in colour over their bands, which are darker where
they are narrower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, closest

from .style import MARKERS, STYLES, Theme, begin, caption, dress, finish, new_figure

__all__ = ["bands", "models_of", "plot_forecast", "series_of", "split"]

_INTERVAL = re.compile(r"^(?P<model>.+)-(?P<side>lo|hi)-(?P<level>[\d.]+)$")


def plot_forecast(history: Any, forecasts: Any, actual: Any = None, path: Any = None, *, ids: Sequence[Any] | None = None,
                  models: Sequence[str] | None = None, max_history: int | None = None, max_series: int = 6,
                  title: str | None = None, y_label: str | None = None, theme: str = "light", id_col: str = "unique_id",
                  time_col: str = "ds", target_col: str = "y") -> Any:
    """Draw series, their forecasts and, where known, what happened; one panel a series.

    history, actual  long frames (pandas, polars, or a dict of columns) with id, time and target
    forecasts        id, time and one column for each model; ``NAME-lo-90`` and ``NAME-hi-90`` are drawn as a band
    path             file to write (png, svg, pdf); None: only return the figure
    ids              series to draw (default: the first ``max_series``)
    theme            "light" or "dark"
    max_history      steps of history to show (default: four times the forecast, so that the forecast stays legible)

    Returns the matplotlib ``Figure``. Raises `ConfigError` (E0010, matplotlib is not installed, or an unknown id),
    `FeatureError` (E0004, a missing column), `EmptyDataError` (E0003), `FileError` (E0006).

    >>> past = {"unique_id": ["a"] * 3, "ds": [1, 2, 3], "y": [1.0, 2.0, 3.0]}
    >>> len(plot_forecast(past, {"unique_id": ["a"], "ds": [4], "NHITS": [4.0]}).axes)
    1
    """
    look = begin(theme, path)
    past = split(history, "history", (target_col,), id_col, time_col)
    ahead = split(forecasts, "forecasts", (), id_col, time_col)
    known = {} if actual is None else split(actual, "actual", (target_col,), id_col, time_col)
    chosen = series_of(ids, ahead, max_series)
    names = models_of(ahead[chosen[0]], models, {id_col, time_col, target_col, "cutoff"})

    columns = 1 if len(chosen) == 1 else 2
    rows = -(-len(chosen) // columns)
    figure = new_figure(9.0 if columns == 1 else 12.0, 4.6 if rows == 1 else 3.1 * rows + 0.6, look)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for k, (ax, series) in enumerate(zip(axes, chosen, strict=False)):
        before = past.get(series)
        _panel(ax, before, ahead[series], known.get(series), names, target_col, time_col, max_history,
               40 if columns == 1 else 14, look)
        dress(ax, look, ahead[series][time_col].dtype.kind == "M", time_col if k + columns >= len(chosen) else "",
              (y_label or target_col) if k % columns == 0 else "", str(series) if len(chosen) > 1 else "")
    for ax in axes[len(chosen):]:
        ax.set_visible(False)
    caption(figure, look, title, axes)
    return finish(figure, path)


# -- data ----------------------------------------------------------------------------------------------------------


def split(frame: Any, what: str, needed: Sequence[str], id_col: str, time_col: str) -> dict[Any, dict[str, np.ndarray]]:
    """id -> columns of that series, sorted by time."""
    if isinstance(frame, dict):
        columns = {str(name): np.asarray(values) for name, values in frame.items()}
    else:
        table = need("narwhals").from_native(frame, eager_only=True)
        columns = {name: table[name].to_numpy() for name in table.columns}
    for name in (id_col, time_col, *needed):
        if name not in columns:
            raise FeatureError(f"{what} has no column {name!r}", value=name, hint=closest(name, columns, "Columns"))
    if not len(columns[time_col]):
        raise EmptyDataError(f"{what} has no rows", value=0)
    found: dict[Any, list[int]] = {}
    for row, series in enumerate(columns[id_col].tolist()):
        found.setdefault(series, []).append(row)
    parts = {}
    for series, rows in found.items():
        order = np.array(rows)[np.argsort(columns[time_col][rows], kind="stable")]
        parts[series] = {name: values[order] for name, values in columns.items()}
    return parts


def series_of(ids: Sequence[Any] | None, ahead: dict[Any, Any], limit: int) -> list[Any]:
    """The series to draw: those asked for, which must be there, or the first ``limit``."""
    if ids is None:
        return list(ahead)[:max(limit, 1)]
    unknown = [i for i in ids if i not in ahead]
    if unknown or not len(ids):
        raise ConfigError(f"forecasts has no series {unknown[0]!r}" if unknown else "ids is empty", value=unknown,
                          hint=closest(unknown[0] if unknown else "", list(ahead)[:20], "Series"))
    return list(ids)


def models_of(columns: dict[str, np.ndarray], models: Sequence[str] | None, others: set[str]) -> list[str]:
    """The columns of point forecasts to draw: those asked for, which must be there, or all numeric ones."""
    numeric = [n for n, v in columns.items() if n not in others and v.dtype.kind in "fiu" and not _INTERVAL.match(n)]
    for name in models or ():
        if name not in columns:
            raise FeatureError(f"forecasts has no column {name!r}", value=name, hint=closest(name, numeric, "Columns"))
    found = list(models) if models is not None else numeric
    if not found:
        raise FeatureError("forecasts has no column of forecasts", value=sorted(columns))
    return found


# -- drawing -------------------------------------------------------------------------------------------------------


def _panel(ax: Any, before: dict[str, np.ndarray] | None, ahead: dict[str, np.ndarray],
           after: dict[str, np.ndarray] | None, names: Sequence[str], target: str, time: str,
           max_history: int | None, dots: int, look: Theme) -> None:
    """One series: history and actual in ink, forecasts in colour over their bands."""
    few = len(ahead[time]) <= dots  # markers on more points than that are noise
    if before is not None:
        shown = slice(-(max_history or max(4 * len(ahead[time]), 30)), None)
        ax.plot(before[time][shown], before[target][shown].astype(float), color=look.grey, linewidth=1.4, label="history")
        # The time up to which the forecast knew the series.
        ax.axvline(before[time][-1], color=look.rule, linewidth=1.2, zorder=0)
    if after is not None:
        clock, values = after[time], after[target].astype(float)
        if before is not None:  # joined to the history, so that the line does not break
            clock = np.concatenate([before[time][-1:], clock])
            values = np.concatenate([before[target][-1:].astype(float), values])
        ax.plot(clock, values, color=look.ink, linewidth=2.0, label="actual")
    for k, name in enumerate(names):
        colour = look.colours[k % len(look.colours)]
        bands(ax, ahead, name, time, colour)
        ax.plot(ahead[time], ahead[name].astype(float), color=colour, linewidth=1.7, linestyle=STYLES[k % len(STYLES)],
                marker=MARKERS[k % len(MARKERS)] if few else None, markersize=4, label=name, zorder=3)


def bands(ax: Any, ahead: dict[str, np.ndarray], name: str, time: str, colour: str) -> None:
    """The intervals of one model, the narrower the darker."""
    found = [_INTERVAL.match(c) for c in ahead]
    base = name.removesuffix("-median")
    levels = {m["level"] for m in found if m and m["model"] == base}
    for k, level in enumerate(sorted(levels, key=float, reverse=True)):
        low, high = ahead.get(f"{base}-lo-{level}"), ahead.get(f"{base}-hi-{level}")
        if low is not None and high is not None:
            ax.fill_between(ahead[time], low.astype(float), high.astype(float), color=colour, alpha=0.15 + 0.12 * k,
                            linewidth=0, label=f"{base} {level}%")
