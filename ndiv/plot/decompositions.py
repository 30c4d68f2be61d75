"""`plot_decomposition`: the parts whose sum a forecast is, one panel each, on one clock.

Contract: the first panel is the sum; every other is one part, with zero marked, since parts may be negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.errors import ConfigError, FeatureError, closest

from .forecasts import split
from .style import begin, caption, dress, finish, new_figure

__all__ = ["plot_decomposition"]


def plot_decomposition(frame: Any, path: Any = None, *, series: Any = None, output: str | None = None,
                       title: str | None = None, y_label: str = "value", theme: str = "light", id_col: str = "unique_id",
                       time_col: str = "ds") -> Any:
    """Draw the result of ``NeuralForecast.decompose``.

    frame   id, time, "output" (the forecast's column), "part", "value"
    series, output   which to draw; default: the first

    Returns the matplotlib ``Figure``. Raises `FeatureError` (E0004), `ConfigError` (E0010), `FileError` (E0006).

    >>> parts = {"unique_id": ["a"] * 4, "ds": [1, 1, 2, 2], "output": ["m"] * 4, "part": ["trend", "season"] * 2,
    ...          "value": [1.0, 0.5, 1.1, -0.5]}
    >>> [ax.get_title(loc="left") for ax in plot_decomposition(parts).axes]
    ['sum', 'trend', 'season']
    """
    look = begin(theme, path)
    found = split(frame, "frame", ("part", "value"), id_col, time_col)
    series = next(iter(found)) if series is None else series
    if series not in found:
        raise ConfigError(f"frame has no series {series!r}", value=series, hint=closest(series, list(found)[:20], "Series"))
    own = found[series]
    if "output" in own:
        names = list(dict.fromkeys(own["output"].tolist()))
        output = names[0] if output is None else output
        if output not in names:
            raise FeatureError(f"frame has no output {output!r}", value=output, hint=closest(output, names, "Outputs"))
        own = {name: values[own["output"] == output] for name, values in own.items()}
    clock, place = np.unique(own[time_col], return_inverse=True)
    parts = list(dict.fromkeys(own["part"].tolist()))
    values = {part: own["value"][own["part"] == part].astype(float) for part in parts}
    whole = np.bincount(place, own["value"].astype(float))
    figure = new_figure(9.5, 1.7 * (len(parts) + 1) + 0.7, look)
    axes = figure.subplots(len(parts) + 1, 1, sharex=True, squeeze=False).reshape(-1)
    for k, (ax, (name, line)) in enumerate(zip(axes, {"sum": whole, **values}.items(), strict=True)):
        if k:
            ax.axhline(0, color=look.grey, linewidth=0.8)
        ax.plot(clock, line, color=look.ink if k == 0 else look.colours[(k - 1) % len(look.colours)], linewidth=1.8,
                marker="o" if len(clock) <= 40 else None, markersize=3)
        dress(ax, look, clock.dtype.kind == "M", time_col if k == len(parts) else "", y_label, name)
        ax.tick_params(labelbottom=k == len(parts))
    caption(figure, look, title if title is not None else ", ".join(str(v) for v in (series, output) if v is not None))
    return finish(figure, path)
