"""Forecast frames as arrays: who the members are, their points and quantiles, and which row is which series and step.

Contract: a member is a point forecast column with the interval and quantile columns of the same name; `NAME` stands before
`NAME-median` where a distribution gives both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, FeatureError, closest

__all__ = ["Columns", "Rows", "find_members", "probability"]

_QUANTILE = re.compile(r"(-(?:lo|hi)-[\d.]+|_ql[\d.]+)$")


@dataclass(frozen=True)
class Columns:
    """How the frame names its ids, times, target and cutoffs."""

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"
    cutoff_col: str = "cutoff"


def probability(suffix: str) -> float:
    """The quantile that the suffix of a column stands for.

    >>> probability("-lo-90"), probability("-hi-80"), probability("_ql0.3")
    (0.05, 0.9, 0.3)
    """
    number = float(re.sub(r"^(-lo-|-hi-|_ql)", "", suffix))
    if suffix.startswith("_ql"):
        return number
    return round((100.0 - number if suffix.startswith("-lo-") else 100.0 + number) / 200.0, 12)


def find_members(frame: Any, names: Columns, models: Sequence[str] | None) -> tuple[dict[str, str], list[str]]:
    """({member: its point column}, the suffixes of quantiles that all members have) of a narwhals frame.

    Raises `FeatureError` (E0004) for a column that is not there, `ConfigError` (E0010) for fewer than two members.
    """
    for name, role in ((names.id_col, "id"), (names.time_col, "time")):
        if name not in frame.columns:
            raise FeatureError(f"the frame has no {role} column {name!r}", value=name,
                               hint=closest(name, frame.columns, "Columns"))
    others = (names.id_col, names.time_col, names.target_col, names.cutoff_col)
    points: dict[str, str] = {}
    for column in frame.columns:
        if column in others or _QUANTILE.search(column) or not frame[column].dtype.is_numeric():
            continue
        base = column.removesuffix("-median")
        if base not in points or column == base:
            points[base] = column
    if models is not None:
        unknown = [m for m in models if m not in points]
        if unknown:
            raise FeatureError(f"the frame has no forecasts of {unknown[0]!r}", value=unknown[0],
                               hint=closest(unknown[0], points, "Models"))
        points = {m: points[m] for m in models}
    if len(points) < 2:
        raise ConfigError(f"an ensemble needs the forecasts of at least two models, and the frame has {len(points)}",
                          value=list(points), hint="Pass a result of cross_validation or predict of several models.")
    each = [[c[len(m):] for c in frame.columns if c.startswith(m) and _QUANTILE.fullmatch(c[len(m):])] for m in points]
    return points, [suffix for suffix in each[0] if all(suffix in more for more in each[1:])]


class Rows:
    """The rows of a frame: which series, which window, which step of the horizon (1, 2, ...) each of them is."""

    def __init__(self, frame: Any, names: Columns) -> None:
        self.frame = frame
        self.ids = np.asarray(frame[names.id_col].to_list(), dtype=object)
        times = _sortable(frame[names.time_col])
        labels, series = need("pandas").factorize(self.ids)[::-1]
        self.labels, self.series = list(labels), series
        self.cutoff: np.ndarray | None = None
        if names.cutoff_col in frame.columns:
            self.cutoff = _sortable(frame[names.cutoff_col])
            self.window = np.unique(self.cutoff, return_inverse=True)[1].reshape(-1)
        else:
            self.window = np.zeros(len(self.ids), np.int64)
        self.times = times
        order = np.lexsort((times, self.window, series))
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(series[order]) != 0) | (np.diff(self.window[order]) != 0)
        first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        self.step = np.empty(len(order), np.int64)
        self.step[order] = np.arange(len(order)) - first + 1


def _sortable(column: Any) -> np.ndarray:
    values = column.to_numpy()
    if values.dtype == object:  # times with a zone
        values = need("pandas").to_datetime(need("pandas").Series(values, dtype=object), utc=True).to_numpy()
    return np.asarray(values)
