"""How often intervals hold what they promise.

Contract: `coverage_report` reads intervals that stand beside actual values, such as a result of ``cross_validation``, and gives
by model and level the share of values inside (a value on a bound is), the mean width, and the mean Winkler score: the width,
plus 2 / a times the distance of a value outside, a = 1 - level / 100 (Winkler 1972; Gneiting and Raftery 2007), which is
smallest for the true quantiles. Rows without an actual value do not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.store import SeriesStore
from ndiv.errors import EmptyDataError, FeatureError, closest

from .asked import Asked
from .backtest import plan, window_frame
from .calibrating import room_for
from .reading import ColumnNames
from .scaling import LocalScaler

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["coverage_report", "windows_ahead"]

_LOWER = re.compile(r"^(.+)-lo-([\d.]+)$")


def coverage_report(cv: Any, level: Sequence[float] | None = None, models: Sequence[str] | None = None, *,
                    by_step: bool = False, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
                    cutoff_col: str = "cutoff") -> Any:
    """A frame of the kind of ``cv``: model, level, coverage (0 to 1), width, winkler (both in the target's units), n.

    cv       actual values beside columns ``NAME-lo-90`` and ``NAME-hi-90``; pandas or polars
    level    levels in per cent; default: all that ``cv`` has
    models   names; default: all that have intervals
    by_step  a row for each step of the horizon, counted from the rows of each id (and cutoff)

    Raises `FeatureError` (E0004) where a column is missing, `EmptyDataError` (E0003) without actual values.

    >>> import pandas as pd
    >>> cv = pd.DataFrame({"unique_id": 1, "ds": [1, 2], "y": [1.0, 5.0], "m-lo-80": 0.0, "m-hi-80": 4.0})
    >>> coverage_report(cv).values.tolist()
    [['m', 80.0, 0.5, 4.0, 9.0, 2]]
    """
    nw = need("narwhals")
    frame = nw.from_native(cv, eager_only=True)
    if target_col not in frame.columns:
        raise FeatureError(f"cv has no target column {target_col!r}", value=target_col,
                           hint=closest(target_col, frame.columns, "Columns"))
    wanted = _intervals(list(frame.columns), level, models)
    y = _numbers(frame[target_col])
    known = np.isfinite(y)
    if not known.any():
        raise EmptyDataError("cv has no row with a known target", value=0)
    keys = [c for c in (id_col, cutoff_col) if c in frame.columns]
    step = _steps(frame, keys, time_col) if by_step else np.zeros(len(y), int)
    out: dict[str, list[Any]] = {"model": [], "level": [], **({"step": []} if by_step else {}), "coverage": [], "width": [],
                                 "winkler": [], "n": []}
    for name, value, text in wanted:
        low, high = _numbers(frame[f"{name}-lo-{text}"]), _numbers(frame[f"{name}-hi-{text}"])
        for s in np.unique(step[known]):
            rows = known & (step == s)
            some, lo, hi = y[rows], low[rows], high[rows]
            outside = np.maximum(lo - some, 0) + np.maximum(some - hi, 0)
            row = {"model": name, "level": value, "step": int(s) + 1, "coverage": float(((some >= lo) & (some <= hi)).mean()),
                   "width": float((hi - lo).mean()), "winkler": float((hi - lo + 2 / (1 - value / 100) * outside).mean()),
                   "n": int(rows.sum())}
            for key, values in out.items():
                values.append(row[key])
    return nw.from_dict(out, backend=nw.get_native_namespace(frame)).to_native()


def _intervals(columns: list[str], level: Sequence[float] | None,
               models: Sequence[str] | None) -> list[tuple[str, float, str]]:
    """(model, level, the level as the columns write it), in the order of the columns and of rising levels."""
    found = [(m.group(1), float(m.group(2)), m.group(2)) for m in map(_LOWER.match, columns)
             if m and f"{m.group(1)}-hi-{m.group(2)}" in columns]
    names = list(dict.fromkeys(name for name, _, _ in found))
    for name in models or ():
        if name not in names:
            raise FeatureError(f"cv has no intervals of {name!r}", value=name, hint=closest(name, names, "Models"))
    levels = sorted({v for _, v, _ in found}) if level is None else [float(v) for v in level]
    chosen = [(name, v, text) for name in (names if models is None else models) for v in levels
              for n, have, text in found if n == name and have == v]
    if not chosen or any(not any(v == have for _, have, _ in chosen) for v in levels):
        raise FeatureError("cv has no columns NAME-lo-LEVEL and NAME-hi-LEVEL" + (f" for level={levels}" if levels else ""),
                           value=levels, hint="Pass level= to cross_validation.")
    return chosen


def _numbers(column: Any) -> np.ndarray:
    return np.array([np.nan if v is None else float(v) for v in column.to_list()])


def _steps(frame: Any, keys: list[str], time_col: str) -> np.ndarray:
    """The place of each row among those of its id and cutoff, by time, from 0."""
    pd = need("pandas")
    group = pd.DataFrame({k: frame[k].to_list() for k in keys}) if keys else pd.DataFrame(index=range(len(frame)))
    codes = group.groupby(keys, sort=False).ngroup() if keys else pd.Series(0, index=range(len(frame)))
    times = pd.Series(frame[time_col].to_list())
    return np.asarray(times.groupby(codes.to_numpy()).rank(method="first"), np.float64).astype(int) - 1


def windows_ahead(nf: NeuralForecast, store: SeriesStore, columns: ColumnNames, target: np.ndarray | None, asked: Asked,
                  scaler: LocalScaler | None, *, n_windows: int, step_size: int | None, steps: int) -> Any:
    """Actual values beside forecasts of the last windows of a store by the models as they are: the frame of a
    ``cross_validation`` without its training."""
    after = plan(steps, n_windows, step_size)
    room_for(store, int(after[0]))
    ends = store.lengths[:, None] - after
    return window_frame(nf, store, columns, target, [(ends, scaler, nf.calibration)], steps, asked)
