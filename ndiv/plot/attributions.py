"""`plot_attributions`: what a forecast owes to each input, by feature, and by lag and step of the horizon.

Contract: the bars are mean sizes, whose sign does not count; the map has one colour for each sign, its strength the size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import EmptyDataError, FeatureError, closest

from .style import Theme, begin, caption, dress, finish, new_figure

__all__ = ["plot_attributions"]


def plot_attributions(frame: Any, path: Any = None, *, feature: str | None = None, top: int = 15, title: str | None = None,
                      unit: str | None = None, theme: str = "light") -> Any:
    """Draw attributions: bars of the mean size for each feature, where there are several, and a map of one feature, where there
    are lags and steps.

    frame    rows of "feature" and "attribution" (or "weight"), with "lag" and "step" where they exist: the frame of
             ``NeuralForecast.explain``, of one series or many, whose mean is drawn
    feature  of the map; default: the one with the largest bar among those with lags
    top      bars to draw, the others joined into one

    Returns the matplotlib ``Figure``. Raises `FeatureError` (E0004), `EmptyDataError` (E0003), `FileError` (E0006).

    >>> rows = {"feature": ["y", "y", "price"], "lag": [1, 2, 1], "step": [1, 1, 1], "attribution": [0.5, -0.1, 0.2]}
    >>> [ax.get_title(loc="left") for ax in plot_attributions(rows).axes][:2]
    ['by feature', 'attribution of y']
    """
    look = begin(theme, path)
    columns = _columns(frame)
    value = next((name for name in ("attribution", "weight") if name in columns), None)
    for name in (value or "attribution", "feature"):
        if name not in columns:
            raise FeatureError(f"frame has no column {name!r}", value=name, hint=closest(name, columns, "Columns"))
    features, sizes = columns["feature"].astype(str), columns[str(value)].astype(float)
    known = np.isfinite(sizes)
    if not known.any():
        raise EmptyDataError("frame has no attributions", value=0)
    totals = {f: float(np.abs(sizes[known & (features == f)]).mean()) for f in dict.fromkeys(features[known].tolist())}
    ranked = sorted(totals, key=totals.__getitem__, reverse=True)
    lagged = [] if not {"lag", "step"} <= set(columns) else [
        f for f in ranked if len(np.unique(_numbers(columns["lag"])[known & (features == f)])) > 1]
    if feature is not None and feature not in lagged:
        raise FeatureError(f"frame has no lags of the feature {feature!r}", value=feature,
                           hint=closest(feature, lagged, "Valid"))
    bars = min(len(ranked), top + 1)
    alone = bool(lagged) and len(ranked) == 1  # one bar says nothing
    both = bool(lagged) and not alone
    figure = new_figure(11.0 if both else 8.0, max(0.34 * bars + 1.6, 3.6), look)
    axes = figure.subplots(1, 2 if both else 1, squeeze=False, width_ratios=[1, 1.5] if both else None).reshape(-1)
    of = f" ({unit})" if unit else ""
    if not alone:
        _bars(axes[0], totals, ranked, top, look, f"mean size of the {value}{of}")
    if lagged:
        chosen = feature or lagged[0]
        rows = known & (features == chosen)
        _map(figure, axes[-1], _numbers(columns["lag"])[rows], _numbers(columns["step"])[rows], sizes[rows], look,
             f"{value}{of} of {chosen}")
    caption(figure, look, title)
    return finish(figure, path)


def _columns(frame: Any) -> dict[str, np.ndarray]:
    if isinstance(frame, dict):
        return {str(name): np.asarray(values) for name, values in frame.items()}
    table = need("narwhals").from_native(getattr(frame, "frame", frame), eager_only=True)
    return {name: table[name].to_numpy() for name in table.columns}


def _numbers(values: np.ndarray) -> np.ndarray:
    return np.array([np.nan if v is None else float(v) for v in values.tolist()])


def _bars(ax: Any, totals: dict[str, float], ranked: list[str], top: int, look: Theme, label: str) -> None:
    names, lengths = ranked[:top], [totals[f] for f in ranked[:top]]
    if len(ranked) > top:
        names.append(f"mean of {len(ranked) - top} others")
        lengths.append(float(np.mean([totals[f] for f in ranked[top:]])))
    ax.barh(np.arange(len(names))[::-1], lengths, color=look.colours[0], height=0.65)
    dress(ax, look, None, label, "", "by feature")
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", color=look.rule, linewidth=0.6)
    ax.set_yticks(np.arange(len(names))[::-1], names, fontsize=9, color=look.ink)
    ax.set_xlim(left=0)
    ax.set_ylim(len(names) - max(len(names), 4) - 0.6, len(names) - 0.4)  # few bars are not made wide


def _map(figure: Any, ax: Any, lags: np.ndarray, steps: np.ndarray, sizes: np.ndarray, look: Theme, label: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    rows, row = np.unique(steps, return_inverse=True)
    columns, column = np.unique(lags, return_inverse=True)
    flat = row * len(columns) + column
    counts = np.maximum(np.bincount(flat, minlength=len(rows) * len(columns)), 1)
    grid = (np.bincount(flat, sizes, len(rows) * len(columns)) / counts).reshape(len(rows), len(columns))
    limit = float(np.abs(grid).max()) or 1.0
    colours = LinearSegmentedColormap.from_list("signs", [look.colours[1], look.paper, look.colours[0]])
    mesh = ax.pcolormesh(columns, rows, grid, cmap=colours, vmin=-limit, vmax=limit, shading="nearest")
    dress(ax, look, False, "lag (steps before the forecast)", "step of the forecast", label)
    ax.grid(visible=False)
    ax.margins(0)
    bar = figure.colorbar(mesh, ax=ax, shrink=0.85)
    bar.ax.tick_params(colors=look.grey, labelsize=9)
    bar.outline.set_visible(False)
