"""Plots of forecasts. matplotlib is imported inside the functions, and nothing global is changed.

Contract: colours stay apart for readers with colour-vision deficiency (Okabe and Ito) and each model also has its own
line style and marker, so a plot can be read in grey; saving needs no display.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, FileError, closest

__all__ = ["check_path", "plot_forecast"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", "--", "-.", (0, (1, 1.2)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INK, _GREY, _RULE = "#222222", "#6E6E6E", "#D9D9D9"
_INTERVAL = re.compile(r"^(?P<model>.+)-(?P<side>lo|hi)-(?P<level>[\d.]+)$")


def plot_forecast(history: Any, forecasts: Any, actual: Any = None, path: Any = None, *, ids: Sequence[Any] | None = None,
                  models: Sequence[str] | None = None, max_history: int | None = None, max_series: int = 6,
                  title: str | None = None, y_label: str | None = None, id_col: str = "unique_id", time_col: str = "ds",
                  target_col: str = "y") -> Any:
    """Draw series, their forecasts and, where known, what happened; one panel a series.

    history, actual  long frames (pandas, polars, or a dict of columns) with id, time and target
    forecasts        id, time and one column for each model; ``NAME-lo-90`` and ``NAME-hi-90`` are drawn as a band
    path             file to write (png, svg, pdf); None: only return the figure
    ids              series to draw (default: the first ``max_series``)
    max_history      steps of history to show (default: four times the forecast, so that the forecast stays legible)

    Returns the matplotlib ``Figure``. Raises `ConfigError` (E0010, matplotlib is not installed, or an unknown id),
    `FeatureError` (E0004, a missing column), `EmptyDataError` (E0003), `FileError` (E0006).

    >>> past = {"unique_id": ["a"] * 3, "ds": [1, 2, 3], "y": [1.0, 2.0, 3.0]}
    >>> len(plot_forecast(past, {"unique_id": ["a"], "ds": [4], "NHITS": [4.0]}).axes)
    1
    """
    need("matplotlib", extra="plot")
    if path is not None:
        check_path(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    past = _split(history, "history", (target_col,), id_col, time_col)
    ahead = _split(forecasts, "forecasts", (), id_col, time_col)
    known = {} if actual is None else _split(actual, "actual", (target_col,), id_col, time_col)
    chosen = _series(ids, ahead, max_series)
    names = _models(ahead[chosen[0]], models, {id_col, time_col, target_col, "cutoff"})

    columns = 1 if len(chosen) == 1 else 2
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(9.0 if columns == 1 else 12.0, 4.6 if rows == 1 else 3.1 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)  # drawing to memory: works without a display and leaves pyplot alone
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for k, (ax, series) in enumerate(zip(axes, chosen, strict=False)):
        before = past.get(series)
        _panel(ax, before, ahead[series], known.get(series), names, target_col, time_col, max_history,
               40 if columns == 1 else 14)
        _dress(ax, ahead[series][time_col].dtype.kind == "M")
        ax.set_ylabel((y_label or target_col) if k % columns == 0 else "", fontsize=10, color=_INK)
        ax.set_xlabel(time_col if k + columns >= len(chosen) else "", fontsize=10, color=_INK)
        if len(chosen) > 1:
            ax.set_title(str(series), loc="left", fontsize=10, color=_INK)
    for ax in axes[len(chosen):]:
        ax.set_visible(False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=_INK)
    entries = {label: handle for ax in reversed(axes) for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    # Below the panels, where it cannot cover a line.
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(len(entries), 6),
                  frameon=False, fontsize=9.5, handlelength=2.8)
    if path is not None:
        _save(figure, path)
    return figure


def check_path(path: Any) -> None:
    """Refuse a path that no plot can be written to: `ConfigError` (E0010) for its suffix, `FileError` (E0006)."""
    need("matplotlib", extra="plot")
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix.lstrip(".").lower() not in kinds:
        raise ConfigError(f"unknown kind of picture {str(path)!r}", value=str(path), hint=f"Valid: {', '.join(kinds)}.")
    if not Path(path).resolve().parent.is_dir():
        raise FileError(f"the folder of {path} does not exist", value=str(path), hint="Create it first.")


# -- data ----------------------------------------------------------------------------------------------------------


def _split(frame: Any, what: str, needed: Sequence[str], id_col: str, time_col: str) -> dict[Any, dict[str, np.ndarray]]:
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


def _series(ids: Sequence[Any] | None, ahead: dict[Any, Any], limit: int) -> list[Any]:
    if ids is None:
        return list(ahead)[:max(limit, 1)]
    unknown = [i for i in ids if i not in ahead]
    if unknown or not len(ids):
        raise ConfigError(f"forecasts has no series {unknown[0]!r}" if unknown else "ids is empty", value=unknown,
                          hint=closest(unknown[0] if unknown else "", list(ahead)[:20], "Series"))
    return list(ids)


def _models(columns: dict[str, np.ndarray], models: Sequence[str] | None, others: set[str]) -> list[str]:
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
           max_history: int | None, dots: int) -> None:
    """One series: history and actual in ink, forecasts in colour over their bands."""
    few = len(ahead[time]) <= dots  # markers on more points than that are noise
    if before is not None:
        shown = slice(-(max_history or max(4 * len(ahead[time]), 30)), None)
        ax.plot(before[time][shown], before[target][shown].astype(float), color=_GREY, linewidth=1.4, label="history")
        # The time up to which the forecast knew the series.
        ax.axvline(before[time][-1], color=_RULE, linewidth=1.2, zorder=0)
    if after is not None:
        clock, values = after[time], after[target].astype(float)
        if before is not None:  # joined to the history, so that the line does not break
            clock = np.concatenate([before[time][-1:], clock])
            values = np.concatenate([before[target][-1:].astype(float), values])
        ax.plot(clock, values, color=_INK, linewidth=2.0, label="actual")
    for k, name in enumerate(names):
        colour = _COLOURS[k % len(_COLOURS)]
        _bands(ax, ahead, name, time, colour)
        ax.plot(ahead[time], ahead[name].astype(float), color=colour, linewidth=1.7, linestyle=_STYLES[k % len(_STYLES)],
                marker=_MARKERS[k % len(_MARKERS)] if few else None, markersize=4, label=name, zorder=3)


def _bands(ax: Any, ahead: dict[str, np.ndarray], name: str, time: str, colour: str) -> None:
    found = [_INTERVAL.match(c) for c in ahead]
    base = name.removesuffix("-median")
    levels = {m["level"] for m in found if m and m["model"] == base}
    for k, level in enumerate(sorted(levels, key=float, reverse=True)):
        low, high = ahead.get(f"{base}-lo-{level}"), ahead.get(f"{base}-hi-{level}")
        if low is not None and high is not None:
            ax.fill_between(ahead[time], low.astype(float), high.astype(float), color=colour, alpha=0.15 + 0.12 * k,
                            linewidth=0, label=f"{base} {level}%")


def _dress(ax: Any, dates: bool) -> None:
    """Axes without chart junk: two thin spines, light horizontal rules, short dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_RULE)
    ax.tick_params(colors=_GREY, labelsize=9, length=3)
    ax.grid(axis="y", color=_RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.margins(x=0.01, y=0.06)
    if dates:
        locator = AutoDateLocator(minticks=4, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(6))


def _save(figure: Any, path: Any) -> None:
    try:
        figure.savefig(path, dpi=150, facecolor="white")
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror or error}", value=str(path),
                        hint="Check the folder and the free space.") from None
