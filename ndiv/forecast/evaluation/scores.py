"""`evaluate`: errors of forecasts, by utilsforecast wherever it has the metric, so the numbers are those that users know.

Contract: metrics by name or as functions; rows whose target is missing do not count; the result is the kind of frame
that came in, one row for each group (series, cutoff, step) and metric, one column for each model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, closest

from .columns import Forecast, forecast_columns, forecasts_of, opened
from .direction import directional_accuracy
from .metrics import metric
from .one import Call, table

__all__ = ["evaluate", "forecast_columns"]

_DEFAULT = ("mae", "rmse", "mape", "smape")
_GROUPS = ("series", "cutoff", "step")
_STATISTICS = ("mean", "median", "min", "max", "std", "sum")


def evaluate(df: Any, metrics: Sequence[str | Callable[..., Any]] | str | None = None,
             models: Sequence[str] | None = None, train_df: Any = None, *, level: Sequence[float] | float | None = None,
             seasonality: int | None = None, baseline: str | None = None, by: Sequence[str] | str | None = None,
             agg_fn: str | None = None, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
             cutoff_col: str = "cutoff") -> Any:
    """Errors of each model on each series.

    df           actual values and forecasts side by side, such as a result of ``cross_validation``; pandas or polars
    metrics      names of `ndiv.forecast.evaluation.METRICS` or functions of `utilsforecast.losses`; default mae, rmse, mape,
                 smape, and mase where ``train_df`` and ``seasonality`` are given. mape, wape (also called nd), coverage and
                 directional_accuracy are fractions of 1; smape lies in [0, 1]; crps is twice the mean quantile loss
    models       forecast columns; default: the numeric columns that are no id, time, target, cutoff, interval bound or
                 quantile
    train_df     history: scales mase, rmsse, msse, owa; gives the first direction to directional_accuracy. Where df has
                 cutoffs, rows after them do not count
    level        intervals, in percent, that coverage, winkler_score, interval_width and the quantile metrics look at;
                 default: all columns of intervals and quantiles that there are
    seasonality  season of ``train_df`` in steps
    baseline     column of forecasts that owa (M4: naive 2) and rmae are relative to
    by           what one row is for: "series", "cutoff", "step" (place in the forecast, from 1), several of them, or "all" for
                 one row a metric; default: each series and cutoff. Errors are taken within a series, over the cutoffs and
                 steps that are not named; where "series" is not named, the series are then joined
    agg_fn       "mean" (the default) or another statistic that joins the series; alone, it is by="cutoff"

    Raises `EmptyDataError` (E0003), `FeatureError` (E0004, a column or a series of train_df is missing), `ConfigError`
    (E0010, an unknown metric, or one that lacks its train_df, seasonality, baseline or intervals).

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"unique_id": 1, "ds": [1, 2], "y": [1.0, 2.0], "naive": [1.0, 4.0]})
    >>> evaluate(frame, metrics=["mae"])["naive"].tolist(), evaluate(frame, "mae", by="step")["naive"].tolist()
    ([1.0], [0.0, 2.0])
    """
    nw = need("narwhals")
    frame, columns = _checked(df, models, (id_col, time_col, target_col, cutoff_col))
    groups = _groups(by, cutoff_col in frame.columns, agg_fn)
    keys = [id_col, *([cutoff_col] if cutoff_col in frame.columns else [])]
    frame = frame.sort(*keys, time_col).with_columns(nw.col(time_col).cum_count().over(*keys).alias("step"))
    history = _history(train_df, frame, (id_col, time_col, target_col, cutoff_col))
    call = Call(id_col, time_col, target_col, cutoff_col, history, seasonality, baseline)
    target = nw.col(target_col).cast(nw.Float64)
    known = ~(target.is_null() | target.is_nan())
    chosen = _chosen(metrics, train_df is not None and seasonality is not None)
    if "directional_accuracy" in chosen:
        call.hits = directional_accuracy(frame, columns, call).filter(known)
    frame = frame.filter(known)
    if not len(frame):
        raise EmptyDataError("df has no row with a known target", value=0)
    if "cutoff" not in groups and cutoff_col in frame.columns:
        call.pool(frame)
        frame = frame.drop(cutoff_col)
    forecasts = forecasts_of(frame.columns, columns)
    levels = [float(v) for v in ([level] if isinstance(level, (int, float)) else level)] if level is not None else None
    _check_levels(forecasts, levels)
    scored = _scored(frame, forecasts, chosen, call, levels, "step" in groups)
    order = [*(k for k, g in ((id_col, "series"), (cutoff_col, "cutoff"), ("step", "step")) if g in groups), "metric"]
    if "series" not in groups:
        scored = _joined(scored, order, agg_fn or "mean")
    return table(scored, order, columns, chosen, call).to_native()


def _checked(df: Any, models: Sequence[str] | None, names: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The frame with forecasts whose gaps are null, and the names of the point forecasts."""
    nw = need("narwhals")
    frame = opened(df, "df", names)
    columns = forecast_columns(frame, names) if models is None else list(models)
    for name in columns:
        if name not in frame.columns:
            raise FeatureError(f"df has no column of forecasts {name!r}", value=name,
                               hint=closest(name, frame.columns, "Columns"))
    if not columns:
        raise FeatureError("df has no column of forecasts", value=list(frame.columns))
    # NaN is a number in polars and would spoil every mean.
    floats = [c for c in frame.columns if frame[c].dtype.is_float()]
    frame = frame.with_columns(nw.when(~nw.col(c).is_nan()).then(nw.col(c)).alias(c) for c in floats)
    for name in columns:
        if gaps := int(frame[name].null_count()):
            warnings.warn(f"{name} has no forecast in {gaps} of {len(frame)} rows, which do not count for it", stacklevel=3)
    return frame, columns


def _groups(by: Sequence[str] | str | None, cutoffs: bool, agg_fn: str | None) -> tuple[str, ...]:
    if by is None:
        return (*(("series",) if agg_fn is None else ()), *(("cutoff",) if cutoffs else ()))
    if by == "all":
        return ()
    found = (by,) if isinstance(by, str) else tuple(by)
    for name in found:
        if name not in _GROUPS:
            raise ConfigError(f"unknown by={name!r}", value=name, hint=closest(name, (*_GROUPS, "all")))
    if "cutoff" in found and not cutoffs:
        raise FeatureError("by='cutoff' needs a column of cutoffs, which df has not", value="cutoff",
                           hint="Pass the result of cross_validation, or the column's name as cutoff_col.")
    return found


def _history(train_df: Any, frame: Any, names: tuple[str, ...]) -> Any:
    if train_df is None:
        return None
    nw = need("narwhals")
    history = opened(train_df, "train_df", names)
    id_col, _, target_col, _ = names
    lost = sorted(set(frame[id_col].to_list()) - set(history[id_col].to_list()))
    if lost:
        raise FeatureError(f"train_df lacks {len(lost)} series: {', '.join(map(str, lost[:3]))}", value=lost[:3],
                           hint="Pass the history of every series that is evaluated.")
    y = nw.col(target_col).cast(nw.Float64)
    return history.with_columns(nw.when(~y.is_nan()).then(y).alias(target_col))  # NaN is a number in polars


def _chosen(metrics: Any, scaled: bool) -> dict[str, Callable[..., Any] | None]:
    """Label -> function, in order; of "owa" and "directional_accuracy" None."""
    if metrics is None:
        metrics = [*_DEFAULT, "mase"] if scaled else _DEFAULT
    found: dict[str, Callable[..., Any] | None] = {}
    for item in [metrics] if isinstance(metrics, str) or callable(metrics) else metrics:
        if callable(item):
            found[getattr(getattr(item, "func", item), "__name__", str(item))] = item
        else:
            found[item] = metric(item)
    return found


def _check_levels(forecasts: list[Forecast], levels: list[float] | None) -> None:
    have = sorted({level for f in forecasts for level in f.levels})
    for level in levels or ():
        if level not in have:
            raise FeatureError(f"df has no intervals of level {level:g}", value=level,
                               hint=f"Levels: {', '.join(f'{v:g}' for v in have)}." if have else
                               "Columns such as NHITS-lo-90 and NHITS-hi-90 come from a quantile or distribution loss.")


def _scored(frame: Any, forecasts: list[Forecast], chosen: dict[str, Any], call: Call, levels: list[float] | None,
            steps: bool) -> Any:
    """One row for each key (with its step) and metric, as a narwhals frame."""
    nw = need("narwhals")
    parts = []
    functions = dict(chosen)
    if "owa" in functions:  # made of two others, once the series are joined
        call.need_baseline("owa", frame.columns)
        hidden = {f"owa:{name}": metric(name) for name in ("smape", "mase")}
        names = [f.point for f in forecasts]
        forecasts = forecasts if call.baseline in names else [*forecasts, Forecast(str(call.baseline))]
        functions = {**{n: f for n, f in functions.items() if n != "owa"}, **hidden}
    for step in sorted(set(frame["step"].to_list())) if steps else [None]:
        some = frame if step is None else frame.filter(nw.col("step") == step)
        for label, function in functions.items():
            for name, result in call.run(some, label, function, forecasts, levels, step):
                shown = result.with_columns(nw.lit(name).alias("metric"))
                parts.append(shown if step is None else shown.with_columns(nw.lit(step).alias("step")))
    return nw.concat(parts, how="diagonal")


def _joined(scored: Any, order: list[str], how: str) -> Any:
    """One statistic over the series, the groups in the order in which they came."""
    nw = need("narwhals")
    values = [c for c in scored.columns if scored[c].dtype.is_float()]
    place = scored.select(*order).unique(subset=order, keep="first", maintain_order=True)
    if how not in _STATISTICS:
        raise ConfigError(f"unknown agg_fn {how!r}", value=how, hint=closest(how, _STATISTICS))
    groups = scored.group_by(*order).agg(getattr(nw.col(c), how)() for c in values)
    return place.join(groups, on=order, how="left")
