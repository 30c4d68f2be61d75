"""The metrics by name: utilsforecast's functions, and the few that it has not, with signatures of the same form.

Contract: a metric is a function (df, models, id_col, target_col, cutoff_col, ...) -> one row for each series (and cutoff),
one column for each model, as in `utilsforecast.losses`. Its further parameters say what it needs: ``train_df`` and
``time_col`` the history, ``seasonality`` the season, ``level`` an interval, ``q`` or ``quantiles`` columns of quantiles,
``baseline`` the forecasts that it is relative to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, closest

__all__ = ["METRICS", "metric"]

# name here -> name in utilsforecast.losses; None: a function below
_SOURCES: dict[str, str | None] = {
    **{name: name for name in ("mae", "mse", "rmse", "bias", "cfe", "mape", "smape", "nd")},
    "wape": "nd",  # two names of one sum of errors over the sum of values; the older utilsforecast knows the first
    **{name: name for name in ("mase", "msse", "rmsse", "rmae")},
    **{name: name for name in ("quantile_loss", "mqloss", "scaled_quantile_loss", "scaled_mqloss", "scaled_crps",
                               "calibration")},
    "pinball": "quantile_loss", "crps": None,
    "coverage": "coverage", "winkler_score": None, "winkler": None, "interval_width": None,
    "directional_accuracy": None, "owa": None,
}
METRICS = tuple(_SOURCES)


def metric(name: str) -> Callable[..., Any] | None:
    """The function of a name; None for "owa" and "directional_accuracy", which are made of other things than one row.

    Raises `ConfigError` (E0010) for a name that is none of `METRICS`.

    >>> metric("mae").__name__
    'mae'
    """
    if name not in _SOURCES:
        raise ConfigError(f"unknown metric {name!r}", value=name, hint=closest(name, METRICS))
    source = _SOURCES[name]
    if source is not None:
        found: Callable[..., Any] = getattr(need("utilsforecast.losses"), source)
        return found
    own: dict[str, Callable[..., Any]] = {"crps": _crps, "winkler_score": _winkler, "winkler": _winkler,
                                          "interval_width": _width}
    return own.get(name)


def _keys(df: Any, id_col: str, cutoff_col: str) -> list[str]:
    return [cutoff_col, id_col] if cutoff_col in df.columns else [id_col]


def _mean(df: Any, columns: dict[str, Any], keys: list[str]) -> Any:
    """Means of expressions by key, null where there is nothing to take one of."""
    nw = need("narwhals")
    frame = nw.from_native(df).select(*keys, *(value.alias(name) for name, value in columns.items()))
    return frame.group_by(*keys).agg(nw.all().mean()).sort(*keys).to_native()


def _crps(df: Any, models: dict[str, list[str]], quantiles: np.ndarray, id_col: str = "unique_id", target_col: str = "y",
          cutoff_col: str = "cutoff") -> Any:
    """Twice the mean quantile loss: the continuous ranked probability score, its integral being a sum over the quantiles."""
    nw = need("narwhals")
    losses = need("utilsforecast.losses").mqloss(df, models=models, quantiles=quantiles, id_col=id_col, target_col=target_col,
                                                 cutoff_col=cutoff_col)
    return nw.from_native(losses).with_columns(nw.col(name) * 2.0 for name in models).to_native()


def _winkler(df: Any, models: list[str], level: float, id_col: str = "unique_id", target_col: str = "y",
             cutoff_col: str = "cutoff") -> Any:
    """The width, plus 2 / alpha times how far outside the interval the value lies (Winkler 1972).

    Not utilsforecast's, which its older releases lack; a test holds the two together.
    """
    nw = need("narwhals")
    alpha, y, columns = (100 - level) / 100, nw.col(target_col), {}
    for name in models:
        low, high = nw.col(f"{name}-lo-{level:g}"), nw.col(f"{name}-hi-{level:g}")
        below, above = (low - y).clip(lower_bound=0.0), (y - high).clip(lower_bound=0.0)
        columns[name] = high - low + (2 / alpha) * (below + above)
    return _mean(df, columns, _keys(df, id_col, cutoff_col))


def _width(df: Any, models: list[str], level: float, id_col: str = "unique_id", target_col: str = "y",
           cutoff_col: str = "cutoff") -> Any:
    """Mean distance of the two bounds."""
    nw = need("narwhals")
    return _mean(df, {m: nw.col(f"{m}-hi-{level:g}") - nw.col(f"{m}-lo-{level:g}") for m in models},
                 _keys(df, id_col, cutoff_col))
