"""Errors of forecasts, by utilsforecast, so the numbers are those that users know.

Contract: metrics by name or as functions; rows whose target is missing do not count; the result is the kind of frame
that came in, one row for each series (and cutoff) and metric, one column for each model.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, closest

__all__ = ["METRICS", "evaluate", "forecast_columns"]

METRICS = ("mae", "mse", "rmse", "mape", "smape", "mase", "rmsse", "msse", "bias", "nd")
_DEFAULT = ("mae", "rmse", "mape", "smape")
_INTERVAL = re.compile(r"-(lo|hi)-[\d.]+$|_ql[\d.]+$")


def evaluate(df: Any, metrics: Sequence[str | Callable[..., Any]] | str | None = None,
             models: Sequence[str] | None = None, train_df: Any = None, *, seasonality: int | None = None,
             level: list[int] | None = None, agg_fn: str | None = None, id_col: str = "unique_id", time_col: str = "ds",
             target_col: str = "y", cutoff_col: str = "cutoff") -> Any:
    """Errors of each model on each series.

    df           actual values and forecasts side by side, such as a result of ``cross_validation``; pandas or polars
    metrics      names ("mae", "mse", "rmse", "mape", "smape", "mase", "rmsse", "msse", "bias", "nd") or functions of
                 `utilsforecast.losses`; default mae, rmse, mape, smape, and mase where ``train_df`` and
                 ``seasonality`` are given. mape is a fraction of 1; smape lies in [0, 1]
    models       forecast columns; default: the numeric columns that are no id, time, target, cutoff, interval bound or
                 quantile
    train_df     history that scales mase, rmsse and msse; ``seasonality``: its season in steps
    agg_fn       "mean" or another statistic that joins the series; None keeps one row for each

    Raises `EmptyDataError` (E0003), `FeatureError` (E0004, a column or a series of train_df is missing), `ConfigError`
    (E0010, an unknown metric, or one that lacks its train_df or seasonality).

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"unique_id": 1, "ds": [1, 2], "y": [1.0, 2.0], "naive": [1.0, 4.0]})
    >>> evaluate(frame, metrics=["mae"])["naive"].tolist()
    [1.0]
    """
    nw = need("narwhals")
    frame = nw.from_native(df, eager_only=True)
    for name, role in ((id_col, "id"), (time_col, "time"), (target_col, "target")):
        if name not in frame.columns:
            raise FeatureError(f"df has no {role} column {name!r}", value=name, hint=closest(name, frame.columns, "Columns"))
    columns = forecast_columns(frame, (id_col, time_col, target_col, cutoff_col)) if models is None else list(models)
    for name in columns:
        if name not in frame.columns:
            raise FeatureError(f"df has no column of forecasts {name!r}", value=name,
                               hint=closest(name, frame.columns, "Columns"))
    if not columns:
        raise FeatureError("df has no column of forecasts", value=list(frame.columns))
    target = nw.col(target_col).cast(nw.Float64)
    frame = frame.filter(~(target.is_null() | target.is_nan()))
    if not len(frame):
        raise EmptyDataError("df has no row with a known target", value=0)
    functions = _functions(metrics, train_df is not None, seasonality)
    if train_df is not None:
        history = nw.from_native(train_df, eager_only=True)
        lost = sorted(set(frame[id_col].to_list()) - set(history[id_col].to_list()))
        if lost:
            raise FeatureError(f"train_df lacks {len(lost)} series: {', '.join(map(str, lost[:3]))}", value=lost[:3],
                               hint="Pass the history of every series that is evaluated.")
    return need("utilsforecast.evaluation").evaluate(
        frame.to_native(), metrics=functions, models=columns, train_df=train_df, level=level, id_col=id_col,
        time_col=time_col, target_col=target_col, cutoff_col=cutoff_col, agg_fn=agg_fn)


def forecast_columns(frame: Any, others: Sequence[str]) -> list[str]:
    """Numeric columns of a narwhals frame that are point forecasts."""
    return [c for c in frame.columns if c not in others and not _INTERVAL.search(c) and frame[c].dtype.is_numeric()]


def _functions(metrics: Sequence[str | Callable[..., Any]] | str | None, trained: bool,
               seasonality: int | None) -> list[Callable[..., Any]]:
    losses = need("utilsforecast.losses")
    if metrics is None:
        metrics = [*_DEFAULT, "mase"] if trained and seasonality is not None else _DEFAULT
    found = []
    for metric in [metrics] if isinstance(metrics, str) or callable(metrics) else metrics:
        if not callable(metric) and metric not in METRICS:
            raise ConfigError(f"unknown metric {metric!r}", value=metric, hint=closest(metric, METRICS))
        function = metric if callable(metric) else getattr(losses, metric)
        wanted = inspect.signature(function).parameters
        name = getattr(function, "__name__", str(metric))
        if "train_df" in wanted and not trained:
            raise ConfigError(f"the metric {name} needs train_df", value=name, hint="Pass the history as train_df.")
        season = wanted.get("seasonality")
        if season is not None and season.default is season.empty:
            if seasonality is None:
                raise ConfigError(f"the metric {name} needs seasonality", value=name,
                                  hint="Pass the season in steps: 12 for months, 24 for hours, 1 for none.")
            function = functools.partial(function, seasonality=seasonality)  # named by its .func
        found.append(function)
    return found
