"""`Lags`, `Rolling` and `Expanding`: what the target was, and statistics of it.

Contract: the value at a time depends on targets up to that time, less the lag; a missing one counts as the one before it.
coreforecast computes the statistics. A column whose lag is at least the horizon is known for the whole horizon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.frequency import Frequency
from ndiv.errors import ConfigError, closest

from .base import Column, Feature, Panel, listed, whole

__all__ = ["Expanding", "Lags", "Rolling"]

_STATS = ("mean", "std", "min", "max", "median")
_Compute = Callable[[Any], np.ndarray]


class _History(Feature):
    def _made(self) -> list[tuple[Column, _Compute]]:
        """Each column, and what computes it, without its lag, from coreforecast's grouped array."""
        raise NotImplementedError

    def columns(self, freq: Frequency) -> list[Column]:
        return [column for column, _ in self._made()]

    def _current(self, panel: Panel) -> list[tuple[Column, np.ndarray]]:
        """Each column without its lag, float64 [T]; NaN before the first target of a series."""
        rows = np.arange(len(panel.y))
        begin = panel.offsets[:-1][panel.owner]
        last = np.maximum.accumulate(np.where(np.isnan(panel.y), -1, rows))  # the last row with a target
        known = last >= begin
        values = np.ascontiguousarray(panel.y[last[known]])
        ends = np.concatenate([[0], np.cumsum(known)])[panel.offsets]
        group = need("coreforecast.grouped_array").GroupedArray(values, ends.astype(np.int32))
        found = []
        for column, compute in self._made():
            full = np.full(len(rows), np.nan)
            if len(values):
                full[known] = compute(group)
            found.append((column, full))
        return found

    def past(self, panel: Panel, fill: bool = False) -> np.ndarray:
        rows = np.arange(len(panel.y))
        return self._picked(panel, fill, lambda column: rows - (column.lag or 0), panel.owner)

    def ahead(self, panel: Panel, times: np.ndarray, fill: bool = False) -> np.ndarray:
        series, h = times.shape
        steps = (panel.offsets[1:, None] + np.arange(h)).reshape(-1)
        found = self._picked(panel, fill, lambda column: steps - (column.lag or 0), np.repeat(np.arange(series), h))
        return found.reshape(series, h, -1)

    def _picked(self, panel: Panel, fill: bool, rows_of: Callable[[Column], np.ndarray], owner: np.ndarray) -> np.ndarray:
        begin = panel.offsets[:-1]
        found = []
        for column, current in self._current(panel):
            rows = rows_of(column)
            inside = (rows >= begin[owner]) & (rows < panel.offsets[1:][owner])
            values = np.where(inside, current[np.where(inside, rows, 0)], np.nan)
            if fill:
                # The first row of a series is known whatever is forecast, which no later one is.
                first = np.where(np.diff(panel.offsets) > 0, current[np.minimum(begin, len(current) - 1)], 0.0)
                values = np.where(np.isnan(values), np.nan_to_num(first, nan=0.0)[owner], values)
            found.append(values)
        return np.stack(found, axis=1)


@dataclass
class Lags(_History):
    """The target some steps before: ``y_lag24``.

    lags     how many steps, one or a list
    season   with ``n``: lags of 1 to n seasons, in steps; 24 and n=2 give ``y_lag24`` and ``y_lag48``

    >>> [c.name for c in Lags([1, 2], season=24).columns(Frequency("h"))]
    ['y_lag1', 'y_lag2', 'y_lag24']
    """

    lags: Any = None
    season: int | None = None
    n: int = 1

    def __post_init__(self) -> None:
        self.lags = [whole("Lags", "lags", lag) for lag in listed(self.lags)] if self.lags is not None else []
        if self.season is not None:
            season, n = whole("Lags", "season", self.season), whole("Lags", "n", self.n)
            self.lags = list(dict.fromkeys([*self.lags, *range(season, season * n + 1, season)]))
        if not self.lags:
            raise ConfigError("Lags: there are no lags", value=None, hint="Give lags, such as [1, 24], or season.")

    def _made(self) -> list[tuple[Column, _Compute]]:
        return [(Column(f"y_lag{lag}", lag, "level"), lambda group: group.data) for lag in self.lags]


@dataclass
class Rolling(_History):
    """Statistics of the last steps: ``y_rolling_mean_24``, or ``y_lag24_rolling_mean_24`` with a lag.

    windows  steps in each, one or a list; at the beginning of a series a window has what there is
    stats    "mean", "std" (of a sample, from two values), "min", "max", "median", "q0.9" (a quantile); one or a list
    lag      steps between the newest value of a window and the time that the feature is for

    Raises `ConfigError` (E0010) for an unknown statistic or sizes below 1.

    >>> [c.name for c in Rolling([24], ["mean", "q0.9"]).columns(Frequency("h"))]
    ['y_rolling_mean_24', 'y_rolling_q0.9_24']
    """

    windows: Any
    stats: Any = "mean"
    lag: int = 0

    def __post_init__(self) -> None:
        self.windows = [whole("Rolling", "windows", w) for w in listed(self.windows)]
        self.stats = [_checked(s) for s in listed(self.stats)]
        if "std" in self.stats:
            for window in self.windows:
                whole("Rolling", "windows of a standard deviation", window, 2)
        self.lag = whole("Rolling", "lag", self.lag, 0)

    def _made(self) -> list[tuple[Column, _Compute]]:
        prefix = f"y_lag{self.lag}" if self.lag else "y"
        return [(Column(f"{prefix}_rolling_{stat}_{window}", self.lag, "spread" if stat == "std" else "level"),
                 _computes("Rolling", stat, window)) for window in self.windows for stat in self.stats]


@dataclass
class Expanding(_History):
    """Statistics of all steps so far: ``y_expanding_mean``, or ``y_lag24_expanding_mean`` with a lag.

    ``stats`` and ``lag`` as of `Rolling`.

    >>> [c.name for c in Expanding("max", lag=12).columns(Frequency("MS"))]
    ['y_lag12_expanding_max']
    """

    stats: Any = "mean"
    lag: int = 0

    def __post_init__(self) -> None:
        self.stats = [_checked(s) for s in listed(self.stats)]
        self.lag = whole("Expanding", "lag", self.lag, 0)

    def _made(self) -> list[tuple[Column, _Compute]]:
        prefix = f"y_lag{self.lag}" if self.lag else "y"
        return [(Column(f"{prefix}_expanding_{stat}", self.lag, "spread" if stat == "std" else "level"),
                 _computes("Expanding", stat)) for stat in self.stats]


def _checked(stat: Any) -> str:
    if stat in _STATS:
        return str(stat)
    try:
        share = float(stat[1:]) if isinstance(stat, str) and stat.startswith("q") else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"unknown statistic {stat!r}", value=stat, hint=closest(stat, (*_STATS, "q0.9")))
    return f"q{share:g}"


def _computes(kind: str, stat: str, window: int | None = None) -> _Compute:
    """coreforecast's transform of that name, of the window that ends at each row."""
    size = {} if window is None else {"window_size": window, "min_samples": 1}
    share = {"p": 0.5 if stat == "median" else float(stat[1:])} if stat == "median" or stat.startswith("q") else {}
    name = f"{kind}{'Quantile' if share else stat.capitalize()}"

    def compute(group: Any) -> np.ndarray:
        result: np.ndarray = getattr(need("coreforecast.lag_transforms"), name)(lag=0, **share, **size).transform(group)
        return result

    return compute
