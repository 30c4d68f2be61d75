"""Which columns of a frame of forecasts belong to which model: points, bounds of intervals, quantiles.

Contract: a point forecast is a numeric column whose name does not end like a bound (``-lo-90``, ``-hi-90``) or a quantile
(``_ql0.1``). Bounds and quantiles of ``NHITS`` belong to the column ``NHITS``, or to ``NHITS-median`` where there is no such
column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ndiv.data._extras import need
from ndiv.errors import DataError, FeatureError, closest

__all__ = ["Forecast", "forecast_columns", "forecasts_of", "opened"]

_BOUND = re.compile(r"^(?P<model>.+)-(?P<side>lo|hi)-(?P<level>[\d.]+)$")
_QUANTILE = re.compile(r"^(?P<model>.+)_ql(?P<q>[\d.]+)$")


@dataclass
class Forecast:
    """One model's columns: ``point``; ``levels``: level in percent -> (low, high); ``quantiles``: probability -> column."""

    point: str
    levels: dict[float, tuple[str, str]] = field(default_factory=dict)
    quantiles: dict[float, str] = field(default_factory=dict)


def opened(df: Any, what: str, names: Sequence[str]) -> Any:
    """A frame of pandas or polars, or a dict of columns, as a narwhals frame that has the id, the time and a target of numbers.

    ``names``: of these three, and perhaps more. Raises `DataError` (E0011) for what is no frame and for a target of text,
    `FeatureError` (E0004) for a column that is missing.
    """
    nw = need("narwhals")
    if isinstance(df, dict):
        df = need("pandas").DataFrame(df)
    try:
        frame = nw.from_native(df.collect() if hasattr(df, "collect") else df, eager_only=True)
    except TypeError:
        raise DataError(f"{what} is no frame but {type(df).__name__}", value=type(df).__name__,
                        hint="Pass a frame of pandas or polars, such as the result of cross_validation.") from None
    for name, role in zip(names, ("id", "time", "target"), strict=False):
        if name not in frame.columns:
            raise FeatureError(f"{what} has no {role} column {name!r}", value=name,
                               hint=closest(name, frame.columns, "Columns"))
    target = names[2]
    if not frame[target].dtype.is_numeric():
        try:
            return frame.with_columns(nw.col(target).cast(nw.Float64))
        except Exception as error:  # each library has its own
            raise DataError(f"the target {target!r} of {what} holds something other than numbers: "
                            f"{' '.join(str(error).split())[:80]}", value=target) from None
    return frame


def forecast_columns(frame: Any, others: Sequence[str]) -> list[str]:
    """Numeric columns of a narwhals frame that are point forecasts."""
    return [c for c in frame.columns if c not in others and not _BOUND.match(c) and not _QUANTILE.match(c)
            and frame[c].dtype.is_numeric()]


def forecasts_of(columns: Sequence[str], points: Sequence[str]) -> list[Forecast]:
    """What belongs to each of the point forecasts, among all columns of the frame.

    >>> found = forecasts_of(["m", "m-lo-80", "m-hi-80.0", "m_ql0.5"], ["m"])[0]
    >>> found.levels, found.quantiles
    ({80.0: ('m-lo-80', 'm-hi-80.0')}, {0.1: 'm-lo-80', 0.5: 'm_ql0.5', 0.9: 'm-hi-80.0'})
    """
    bounds: dict[str, dict[float, dict[str, str]]] = {}
    quantiles: dict[str, dict[float, str]] = {}
    for name in columns:
        if bound := _BOUND.match(name):
            bounds.setdefault(bound["model"], {}).setdefault(float(bound["level"]), {})[bound["side"]] = name
        elif quantile := _QUANTILE.match(name):
            quantiles.setdefault(quantile["model"], {})[float(quantile["q"])] = name
    found = []
    for point in points:
        base = point.removesuffix("-median")
        if base in points and base != point:  # what is there belongs to the base
            found.append(Forecast(point))
            continue
        levels = {level: (sides["lo"], sides["hi"]) for level, sides in sorted(bounds.get(base, {}).items()) if len(sides) == 2}
        own = dict(quantiles.get(base, {}))
        if f"{base}-median" in columns:
            own.setdefault(0.5, f"{base}-median")
        for level, (low, high) in levels.items():
            own[round(0.5 - level / 200, 6)], own[round(0.5 + level / 200, 6)] = low, high
        found.append(Forecast(point, levels, dict(sorted(own.items()))))
    return found
