"""`reconcile`: forecasts of all levels changed as little as the method asks, so that they add up.

Contract: what comes back is coherent (a series is the sum of its parts to rounding) or an error. The methods are those of
hierarchicalforecast; the checks before them, which say what is wrong with the data, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, DataError, FeatureError, closest
from ndiv.forecast.evaluation import forecast_columns

from .sums import summing

__all__ = ["METHODS", "coherence", "reconcile"]

# name -> (class of hierarchicalforecast, its arguments, whether it needs fitted values, or history, or levels)
METHODS: dict[str, tuple[str, dict[str, Any], str]] = {
    "bottom_up": ("BottomUp", {}, ""),
    "top_down": ("TopDown", {"method": "forecast_proportions"}, "tags"),
    "top_down_average": ("TopDown", {"method": "average_proportions"}, "history tags"),
    "ols": ("MinTrace", {"method": "ols"}, ""),
    "wls_struct": ("MinTrace", {"method": "wls_struct"}, ""),
    "wls_var": ("MinTrace", {"method": "wls_var"}, "fitted"),
    "mint_shrink": ("MinTrace", {"method": "mint_shrink"}, "fitted"),
    "erm": ("ERM", {"method": "closed"}, "fitted"),
}


def reconcile(df: Any, S: Any = None, tags: Mapping[str, Any] | None = None,
              method: str | Sequence[str] = "mint_shrink", *, insample: Any = None, nonnegative: bool = False,
              models: Sequence[str] | None = None, id_col: str = "unique_id", time_col: str = "ds",
              target_col: str = "y") -> Any:
    """Forecasts that add up: ``df`` with a column ``MODEL/METHOD`` for each model and method.

    df           forecasts of all series, aggregates included, as `NeuralForecast.predict` returns them
    S, tags      summing matrix and ids of each level, as `ndiv.aggregate` returns them; without S the ids must be paths such
                 as "X/a", whose beginnings are their sums (`ndiv.hierarchy.summing`)
    method       "bottom_up", "top_down" (by forecast shares), "top_down_average" (by shares in the history), "ols",
                 "wls_struct", "wls_var", "mint_shrink" (MinT), "erm", or several
    insample     history with the models' fitted values, as `NeuralForecast.predict_insample` or ``cross_validation``
                 returns them, for "wls_var", "mint_shrink" and "erm"; history alone for "top_down_average"
    nonnegative  no value below 0, for "ols", "wls_struct", "wls_var" and "mint_shrink"
    models       columns to reconcile; None: all point forecasts. Intervals stay those of ``df``, unreconciled

    Raises `ConfigError` (E0010) for an unknown method or one that lacks its insample or tags, `DataError` (E0011) for series or
    rows that are missing, `FeatureError` (E0004) for missing columns, `MissingExtraError` (E0010) without hierarchicalforecast.
    """
    methods = [method] if isinstance(method, str) else list(method)
    for name in methods:
        if name not in METHODS:
            raise ConfigError(f"unknown method {name!r}", value=name, hint=closest(name, METHODS))
        _equipped(name, insample, S is None or tags is not None, nonnegative)
    nw = need("narwhals")
    frame = nw.from_native(df, eager_only=True)
    for name, role in ((id_col, "id"), (time_col, "time")):
        if name not in frame.columns:
            raise FeatureError(f"df has no {role} column {name!r}", value=name, hint=closest(name, frame.columns, "Columns"))
    columns = forecast_columns(frame, (id_col, time_col, target_col, "cutoff")) if models is None else list(models)
    for name in columns:
        if name not in frame.columns:
            raise FeatureError(f"df has no forecasts {name!r}", value=name, hint=closest(name, frame.columns, "Columns"))
    if not columns:
        raise FeatureError("df has no column of forecasts", value=list(frame.columns))
    frame = frame.with_columns(nw.col(id_col).cast(nw.String))
    if S is None:
        S, tags = summing(frame[id_col].to_list(), like=df, id_col=id_col)
    matrix = _checked_matrix(S, id_col)
    _complete(frame, matrix, id_col, time_col, columns)
    rows, bottom = matrix[id_col].to_list(), len(matrix.columns) - 1
    kinds = tags or {"aggregates": rows[:-bottom], "bottom": rows[-bottom:]}
    past = None if insample is None else _history(insample, matrix, columns, methods, id_col, time_col, target_col)
    order = np.lexsort((frame[time_col].to_numpy(), frame[id_col].to_numpy()))
    for name in methods:
        made = _reconciled(name, frame.select([id_col, time_col, *columns]), matrix, kinds, past, nonnegative,
                           (id_col, time_col, target_col))
        theirs = np.lexsort((made[time_col].to_numpy(), made[id_col].to_numpy()))
        for column in columns:
            values = np.empty(len(frame))
            values[order] = np.asarray(made[f"{column}/{name}"].to_numpy(), np.float64)[theirs]
            frame = frame.with_columns(_series(f"{column}/{name}", values, frame))
    worst = max(coherence(frame.to_native(), matrix.to_native(), id_col=id_col, time_col=time_col,
                          models=[f"{c}/{m}" for c in columns for m in methods]).values())
    if not worst < 1e-4:
        raise ConfigError(f"the reconciled forecasts do not add up: they are {worst:.2g} of their size apart", value=worst,
                          hint="The errors of insample may not suffice for this method; try wls_struct or bottom_up.")
    return frame.to_native()


def coherence(df: Any, S: Any, *, models: Sequence[str] | None = None, id_col: str = "unique_id",
              time_col: str = "ds") -> dict[str, float]:
    """How far forecasts are from adding up: for each column the largest difference between a series and the sum of its bottom
    series, divided by the largest absolute forecast.

    >>> import pandas as pd
    >>> S, _ = summing(["X", "X/a", "X/b"])
    >>> df = pd.DataFrame({"unique_id": ["X", "X/a", "X/b"], "ds": 1, "NHITS": [4.0, 1.0, 2.0]})
    >>> coherence(df, S)
    {'NHITS': 0.25}
    """
    nw = need("narwhals")
    frame = nw.from_native(df, eager_only=True).with_columns(nw.col(id_col).cast(nw.String))
    matrix = _checked_matrix(S, id_col)
    columns = list(models) if models is not None else forecast_columns(frame, (id_col, time_col, "y", "cutoff"))
    _complete(frame, matrix, id_col, time_col, columns)
    rows = matrix[id_col].to_list()
    place = {name: k for k, name in enumerate(rows)}
    series = np.array([place[i] for i in frame[id_col].to_list()])
    order = np.lexsort((frame[time_col].to_numpy(), series))
    sums = _numbers(matrix, id_col)
    found = {}
    for column in columns:
        values = np.asarray(frame[column].to_numpy(), np.float64)[order].reshape(len(rows), -1)
        apart = np.abs(values - sums @ values[-sums.shape[1]:]).max()
        found[column] = float(apart / max(np.abs(values).max(), 1e-300))
    return found


# -- checks --------------------------------------------------------------------------------------------------------


def _equipped(name: str, insample: Any, levels: bool, nonnegative: bool) -> None:
    """Refuse a method that lacks what it needs."""
    wants = METHODS[name][2]
    if insample is None and ("fitted" in wants or "history" in wants):
        what = "the models' fitted values" if "fitted" in wants else "the history"
        raise ConfigError(f"the method {name!r} needs {what}", value=name,
                          hint="Pass insample=nf.predict_insample(), or use wls_struct, ols or bottom_up, which need none.")
    if "tags" in wants and not levels:
        raise ConfigError(f"the method {name!r} needs tags", value=name, hint="Pass those that ndiv.aggregate returns.")
    if nonnegative and METHODS[name][0] != "MinTrace":
        raise ConfigError(f"the method {name!r} knows no nonnegative", value=name,
                          hint="ols, wls_struct, wls_var and mint_shrink do.")


def _checked_matrix(S: Any, id_col: str) -> Any:
    """The summing matrix as a narwhals frame with text ids; its last rows must be the bottom series themselves."""
    nw = need("narwhals")
    matrix = nw.from_native(S, eager_only=True)
    if id_col not in matrix.columns:
        raise FeatureError(f"S has no id column {id_col!r}", value=id_col, hint="S is what ndiv.aggregate returns.")
    matrix = matrix.with_columns(nw.col(id_col).cast(nw.String))
    bottom = [c for c in matrix.columns if c != id_col]
    last, count = matrix[id_col].to_list()[-len(bottom):], len(bottom)
    if last != bottom or not np.array_equal(_numbers(matrix, id_col)[-count:], np.eye(count)):
        raise DataError("the last rows of S are not its bottom series, in the order of its columns", value=last[:3],
                        hint="Use S as ndiv.aggregate or ndiv.hierarchy.summing returns it.")
    return matrix


def _numbers(matrix: Any, id_col: str) -> np.ndarray:
    return np.column_stack([np.asarray(matrix[c].to_numpy(), np.float64) for c in matrix.columns if c != id_col])


def _complete(frame: Any, matrix: Any, id_col: str, time_col: str, columns: Sequence[str]) -> None:
    """Refuse forecasts that lack series, hold others, miss times, or hold NaN."""
    ids, wanted = frame[id_col].to_list(), matrix[id_col].to_list()
    for extra, what in ((sorted(set(wanted) - set(ids)), "lacks"), (sorted(set(ids) - set(wanted)), "holds, and S does not,")):
        if extra:
            raise DataError(f"df {what} {len(extra)} series: {', '.join(extra[:3])}", value=extra[:3],
                            hint="Forecast every series of S, aggregates included, and no other.")
    times = [str(t) for t in frame[time_col].to_list()]
    pairs = set(zip(ids, times, strict=True))
    if len(pairs) < len(ids):
        raise DataError("df holds a series twice at the same time", value=len(ids) - len(pairs),
                        hint="Reconcile one cutoff at a time.")
    if len(pairs) != len(wanted) * len(set(times)):
        lost = next((i, t) for i in wanted for t in sorted(set(times)) if (i, t) not in pairs)
        raise DataError(f"the series do not have the same times: {lost[0]} has no forecast at {lost[1]}", value=lost,
                        hint="Sums need all their parts: forecast from the same last time.")
    for column in columns:
        bad = np.flatnonzero(~np.isfinite(np.asarray(frame[column].to_numpy(), np.float64)))
        if len(bad):
            raise DataError(f"{column} is missing or not finite for {ids[bad[0]]} at {times[bad[0]]}", value=len(bad))


def _history(insample: Any, matrix: Any, columns: Sequence[str], methods: Sequence[str], id_col: str, time_col: str,
             target_col: str) -> Any:
    """The history and fitted values, a row for each series and time that all series have: of several windows the latest."""
    nw = need("narwhals")
    past = nw.from_native(insample, eager_only=True).with_columns(nw.col(id_col).cast(nw.String))
    fitted = list(columns) if any("fitted" in METHODS[m][2] for m in methods) else []
    for name in [target_col, *fitted]:
        if name not in past.columns:
            raise FeatureError(f"insample has no column {name!r}", value=name,
                               hint="Pass what predict_insample or cross_validation of the same models returns.")
    lost = sorted(set(matrix[id_col].to_list()) - set(past[id_col].to_list()))
    if lost:
        raise DataError(f"insample lacks {len(lost)} series: {', '.join(lost[:3])}", value=lost[:3])
    order = [id_col, time_col] + (["cutoff"] if "cutoff" in past.columns else [])
    kept = past.sort(order).unique([id_col, time_col], keep="last", maintain_order=True)
    values = np.column_stack([np.asarray(kept[c].to_numpy(), np.float64) for c in [target_col, *fitted]])
    kept = kept.filter(np.isfinite(values).all(axis=1).tolist())
    shared = kept[time_col].value_counts(name="series").filter(nw.col("series") == len(matrix))[time_col]
    if len(shared) < 2:
        raise DataError("insample has fewer than two times at which every series has a target and fitted values",
                        value=len(shared))
    return kept.filter(nw.col(time_col).is_in(shared.to_list())).select([id_col, time_col, target_col, *fitted])


# -- the call ------------------------------------------------------------------------------------------------------


def _reconciled(name: str, frame: Any, matrix: Any, tags: Mapping[str, Any], past: Any, nonnegative: bool,
                names: tuple[str, str, str]) -> Any:
    """(id, time, MODEL/NAME ...) as a narwhals frame."""
    nw, id_col, time_col, target_col = need("narwhals"), *names
    library = need("hierarchicalforecast.methods", "hierarchy")
    cls, options, wants = METHODS[name]
    method = getattr(library, cls)(**options, **({"nonnegative": True} if nonnegative else {}))
    core = need("hierarchicalforecast.core", "hierarchy").HierarchicalReconciliation([method])
    try:
        made = core.reconcile(
            Y_hat_df=frame.to_native(), S_df=matrix.to_native(), Y_df=past.to_native() if wants and past is not None else None,
            tags={k: np.array([str(i) for i in v], dtype=object) for k, v in tags.items()}, id_col=id_col, time_col=time_col,
            target_col=target_col)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, np.linalg.LinAlgError) as error:
        raise ConfigError(f"hierarchicalforecast could not reconcile by {name!r}: {' '.join(str(error).split())}",
                          value=name) from error
    made = nw.from_native(made, eager_only=True)
    before = set(frame.columns)
    columns = [c for c in frame.columns if c not in (id_col, time_col)]
    suffixed = {c: next(m for m in made.columns if m.startswith(f"{c}/") and m not in before) for c in columns}
    return made.rename({theirs: f"{own}/{name}" for own, theirs in suffixed.items()})


def _series(name: str, values: np.ndarray, frame: Any) -> Any:
    """A column of the frame's library, with its index where that has one."""
    nw = need("narwhals")
    if frame.implementation.is_pandas():
        pd = need("pandas")
        return nw.from_native(pd.Series(values, index=frame.to_native().index, name=name), series_only=True)
    return nw.new_series(name, values, backend=frame.implementation)
