"""Features on frames: `calendar`, `fourier`, `trend`, `holidays`, `lags`, `rolling`, `expanding`, and `make` for any of them.

Contract: a frame goes in and the same kind of frame, rows in the same order, comes out with columns added; with ``h`` also
the frame of the next ``h`` times of each series with those of its columns that are known there. What cannot be known yet is
null (NaN in pandas). Features of times alone need no target and take frames with gaps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.ahead import future_times
from ndiv.data.checks import refuse_duplicates
from ndiv.data.frames import ids_of, read_frame
from ndiv.data.frequency import Frequency, infer_freq
from ndiv.data.inputs import long_frame
from ndiv.data.output import to_frame
from ndiv.data.tables import Table, read_times, with_index
from ndiv.errors import DataError, EmptyDataError, FeatureError

from .base import Feature, KnownFeature, Panel, whole
from .sets import FeatureSet

__all__ = ["calendar", "expanding", "fourier", "holidays", "lags", "make", "rolling", "trend"]


def calendar(df: Any, freq: Any, parts: Any = None, encode: str = "cyclic", h: int = 0, **columns: str) -> Any:
    """``df`` with the columns of `ndiv.features.Calendar`; ``h`` and ``columns`` as of `make`.

    >>> calendar({"ds": ["2020-01-31 23:00"]}, "h", ["hour", "month"], encode="number").iloc[0, 1:].tolist()
    [23.0, 1.0]
    """
    from .dates import Calendar

    return make(df, freq, Calendar(parts, encode), h, **columns)


def fourier(df: Any, freq: Any, seasons: Any = None, k: Any = 1, h: int = 0, **columns: str) -> Any:
    """``df`` with the columns of `ndiv.features.Fourier`; ``h`` and ``columns`` as of `make`.

    >>> fourier({"ds": [0, 1], "y": [1.0, 2.0]}, 1, 4)["fourier_4_1_sin"].tolist()
    [0.0, 1.0]
    """
    from .cycles import Fourier

    return make(df, freq, Fourier(seasons, k), h, **columns)


def trend(df: Any, freq: Any, h: int = 0, **columns: str) -> Any:
    """``df`` with a column ``trend``, 0 at its first time and 1 at its last; ``h`` and ``columns`` as of `make`.

    >>> trend({"ds": [10, 11, 12], "y": [1.0, 2.0, 3.0]}, 1)["trend"].tolist()
    [0.0, 0.5, 1.0]
    """
    from .cycles import Trend

    return make(df, freq, Trend(), h, **columns)


def holidays(df: Any, freq: Any, country: Any = None, before: int = 0, after: int = 0, h: int = 0, *,
             country_col: str | None = None, **columns: str) -> Any:
    """``df`` with the columns of `ndiv.features.Holidays`; ``h`` and ``columns`` as of `make`.

    ``country_col``: instead of ``country``, a column of ``df`` with the country of each series.

    >>> holidays({"ds": ["2020-07-03", "2020-07-04"], "y": [1.0, 2.0]}, "D", "US")["holiday_US"].tolist()
    [1.0, 1.0]
    """
    from .days_off import Holidays

    if country_col is not None:
        df, id_col = long_frame(df, **columns), columns.get("id_col", "unique_id")
        frame = need("narwhals").from_native(df, eager_only=True)
        for name in (country_col, id_col):
            if name not in frame.columns:
                raise FeatureError(f"df has no column {name!r}", value=name, hint=f"Columns: {', '.join(frame.columns)}.")
        country = dict(zip(frame[id_col].to_list(), frame[country_col].to_list(), strict=True))
    return make(df, freq, Holidays(country, before, after), h, **columns)


def lags(df: Any, freq: Any, lags: Any = None, season: int | None = None, n: int = 1, h: int = 0, **columns: str) -> Any:
    """``df`` with the columns of `ndiv.features.Lags`; ``h`` and ``columns`` as of `make`.

    >>> lags({"ds": [1, 2, 3], "y": [1.0, 2.0, 3.0]}, 1, 2)["y_lag2"].tolist()
    [nan, nan, 1.0]
    """
    from .history import Lags

    return make(df, freq, Lags(lags, season, n), h, **columns)


def rolling(df: Any, freq: Any, windows: Any, stats: Any = "mean", lag: int = 0, h: int = 0, **columns: str) -> Any:
    """``df`` with the columns of `ndiv.features.Rolling`; ``h`` and ``columns`` as of `make`.

    >>> rolling({"ds": [1, 2, 3], "y": [1.0, 2.0, 4.0]}, 1, 2)["y_rolling_mean_2"].tolist()
    [1.0, 1.5, 3.0]
    """
    from .history import Rolling

    return make(df, freq, Rolling(windows, stats, lag), h, **columns)


def expanding(df: Any, freq: Any, stats: Any = "mean", lag: int = 0, h: int = 0, **columns: str) -> Any:
    """``df`` with the columns of `ndiv.features.Expanding`; ``h`` and ``columns`` as of `make`.

    >>> expanding({"ds": [1, 2, 3], "y": [1.0, 3.0, 2.0]}, 1, "max")["y_expanding_max"].tolist()
    [1.0, 3.0, 3.0]
    """
    from .history import Expanding

    return make(df, freq, Expanding(stats, lag), h, **columns)


def make(df: Any, freq: Any, features: Any, h: int = 0, *, id_col: str = "unique_id", time_col: str = "ds",
         target_col: str = "y") -> Any:
    """``df`` with the columns of some features; with ``h`` > 0 also the frame of the next ``h`` times of each series, with the
    columns that are known there.

    df        pandas or polars, rows in any order; or what else `NeuralForecast.fit` takes: a path, a dict of columns, arrays
    freq      as of `NeuralForecast`, or None to infer it
    features  as of `NeuralForecast`: a feature, a list, text such as "calendar:hour"

    Raises what `ndiv.data.from_frame` raises where a feature needs the target, `FeatureError` (E0004) for a column that is
    there already.

    >>> past, future = make({"ds": [1, 2, 3], "y": [1.0, 2.0, 4.0]}, 1, ["lags:1,2", "trend"], h=2)
    >>> past.columns.tolist(), future["y_lag2"].tolist()
    (['ds', 'y', 'y_lag1', 'y_lag2', 'trend'], [2.0, 4.0])
    """
    if h != 0:
        whole("make", "h", h)
    names = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
    df = long_frame(df, **names)
    if freq is None:
        freq = inferred(df, **names)
    made = FeatureSet(features, freq)
    made.refuse_columns(list(getattr(df, "columns", ())))
    panel, rows, origin = _panel(df, freq, made.features, **names)
    for feature in made.features:
        feature.learn(panel)
    found: dict[str, np.ndarray] = {}
    for feature in made.features:
        own = [column.name for column in feature.columns(made.freq)]
        found.update(zip(own, feature.past(panel).T, strict=True))
    back = np.empty_like(rows)
    back[rows] = np.arange(len(rows))
    past = with_columns(df, {name: values[back] for name, values in found.items()})
    return past if h == 0 else (past, _future(made, panel, h, origin))


def _panel(df: Any, freq: Any, features: list[Feature], id_col: str, time_col: str,
           target_col: str) -> tuple[Panel, np.ndarray, dict[str, Any]]:
    """(the frame's series, the frame's row of each of their rows, what `to_frame` needs)."""
    codes, ids, times, origin = _keys(df, id_col, time_col)
    rows = np.lexsort((times, codes))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))])
    y = np.full(len(times), np.nan)
    if not all(isinstance(feature, KnownFeature) for feature in features):
        y = read_frame(df, freq, id_col=id_col, time_col=time_col, target_col=target_col)[1]  # which checks the series
    return Panel(ids, offsets, times[rows], y, Frequency(freq, origin["time_zone"])), rows, origin


def _keys(df: Any, id_col: str, time_col: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """(codes [T] that count the ids in rising order, ids [S], times [T], what `to_frame` needs) of the rows in their order."""
    table = Table(with_index(df, (id_col, time_col)))
    if not len(table.frame):
        raise EmptyDataError("df has no rows", value=0, hint="Check the filter or the file that produced it.")
    ids, codes = ids_of(table, id_col)
    times, origin = read_times(table, time_col)
    return codes, ids, times, {**origin, "library": table.library, "id_col": id_col, "time_col": time_col}


def inferred(df: Any, id_col: str, time_col: str, target_col: str) -> Any:
    """The frequency of a frame's series; `DataError` (E0011) where its times do not tell."""
    codes, ids, times, origin = _keys(df, id_col, time_col)
    rows = np.lexsort((times, codes))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))])
    refuse_duplicates(times[rows], codes[rows], ids, rows, "df", id_col, time_col)
    found = infer_freq(times[rows], offsets, origin["library"], origin["time_zone"])
    if found is None:
        raise DataError("freq cannot be inferred from these times", value=None, hint="Pass freq, for example 'D', '1mo' or 1.")
    return found


def _future(made: FeatureSet, panel: Panel, h: int, origin: dict[str, Any]) -> Any:
    times = future_times(panel.times[panel.offsets[1:] - 1], panel.freq, h)
    found: dict[str, np.ndarray] = {}
    for feature in made.features:
        columns = feature.columns(made.freq)
        if any(column.known(h) for column in columns):
            values = feature.ahead(panel, times)
            found.update((column.name, values[..., k]) for k, column in enumerate(columns) if column.known(h))
    return to_frame(panel.ids, times, found, like=origin)


def values_of(df: Any, feature: KnownFeature, freq: Any = 1, id_col: str = "unique_id", time_col: str = "ds") -> np.ndarray:
    """float64 [T, columns] of a feature of times alone for the rows of a frame, in their order."""
    codes, ids, times, origin = _keys(df, id_col, time_col)
    panel = Panel(ids, np.zeros(len(ids) + 1, np.int64), times, np.empty(0), Frequency(freq, origin["time_zone"]))
    return feature.at(panel, times, codes)


def with_columns(df: Any, found: dict[str, np.ndarray]) -> Any:
    """A copy of the frame with columns [T]; NaN is null in polars."""
    if need("narwhals").from_native(df, eager_only=True).implementation.is_polars():
        pl = need("polars", extra="polars")
        return df.with_columns([pl.Series(name, values).fill_nan(None) for name, values in found.items()])
    return df.assign(**found)
