"""Are one model's forecasts better than another's, or was it luck? The test of Diebold and Mariano (1995).

Contract: what is tested is d[t], the mean over all forecasts of time t of the first model's loss less the second's. Forecasts
of up to h steps that are as good as can be have errors that depend on each other up to lag h - 1, so that many
autocovariances go into the variance of the mean of d. The statistic has the correction for small samples of Harvey,
Leybourne and Newbold (1997) and is compared with Student's t of n - 1 degrees of freedom.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, ShapeError, closest

from .columns import forecast_columns, opened

__all__ = ["LOSSES", "Comparison", "compare", "diebold_mariano"]

LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mae": lambda y, f: np.abs(y - f),
    "mse": lambda y, f: (y - f) ** 2,
    "mape": lambda y, f: np.abs(y - f) / np.where(y == 0, np.nan, np.abs(y)),
    "smape": lambda y, f: np.where(y == f, 0.0, np.abs(y - f)) / np.where(y == f, 1.0, np.abs(y) + np.abs(f)),
}
ENOUGH = 20  # horizons of times; with 4 of them and h = 12 a true hypothesis is refused 16 times of 100, not 5
_ALTERNATIVES = ("two-sided", "less", "greater")


def diebold_mariano(d: Any, h: int = 1, alternative: str = "two-sided") -> tuple[np.ndarray, np.ndarray]:
    """(statistic, p-value) of differences of losses in order of time, [..., n]; the answer has the leading shape.

    h            horizon: autocovariances up to lag h - 1 count. With n <= h there is no test, and both are NaN
    alternative  "two-sided"; "less": the mean of d is below 0, the first model better; "greater": the second

    The autocovariances have equal weights; where their sum is not positive, which equal weights allow, Bartlett's falling ones
    (Newey and West 1987). Differences that are all 0 give (0, 1). Raises `ConfigError` (E0010), `ShapeError` (E0002), and
    `MissingExtraError` without SciPy.

    >>> statistic, p = diebold_mariano([1.0, 2.0, 3.0, 2.0])
    >>> round(float(statistic), 4), round(float(p), 4)
    (4.899, 0.0163)
    """
    d = np.asarray(d, np.float64)
    if d.ndim == 0 or d.shape[-1] < 1:
        raise ShapeError(f"d must have at least one time, got the shape {d.shape}", value=d.shape)
    if isinstance(h, bool) or not isinstance(h, (int, np.integer)) or h < 1:
        raise ConfigError(f"h must be a whole number of at least 1, got {h!r}", value=h)
    if alternative not in _ALTERNATIVES:
        raise ConfigError(f"unknown alternative {alternative!r}", value=alternative, hint=closest(alternative, _ALTERNATIVES))
    n = d.shape[-1]
    nothing = np.full(d.shape[:-1], np.nan)
    if n <= max(h, 1):
        return nothing, nothing.copy()
    mean = d.mean(-1)
    centred = d - mean[..., None]
    covariances = np.stack([(centred[..., k:] * centred[..., :n - k]).sum(-1) / n for k in range(h)], axis=-1)
    variance = covariances[..., 0] + 2 * covariances[..., 1:].sum(-1)
    bartlett = covariances[..., 0] + 2 * (covariances[..., 1:] * (1 - np.arange(1, h) / h)).sum(-1)
    variance = np.where(variance > 0, variance, bartlett) / n
    factor = np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where((d == 0).all(-1), 0.0, factor * mean / np.sqrt(variance))
    t = need("scipy.stats", extra="diagnostics").t
    if alternative == "two-sided":
        p = 2 * t.sf(np.abs(statistic), n - 1)
    else:
        p = t.cdf(statistic, n - 1) if alternative == "less" else t.sf(statistic, n - 1)
    return statistic, np.asarray(p)


@dataclass
class Comparison:
    """The answer of `compare`. ``frame``: one row a pair of models (and series); ``metric``, ``h``, ``alpha`` as tested.

    Columns: model_a, model_b, loss_a, loss_b (means), difference (a less b), n (times), statistic, p_value, and p_adjusted
    (Holm: for all pairs of a series together).
    """

    frame: Any
    metric: str
    h: int
    alternative: str
    alpha: float

    def __str__(self) -> str:
        rows = need("narwhals").from_native(self.frame, eager_only=True).rows(named=True)
        first = next(iter(rows[0]))
        lines = [f"Diebold-Mariano test of {self.metric}: horizon {self.h}, {self.alternative}, significant below "
                 f"{self.alpha:g} (Holm)"]
        if min(row["n"] for row in rows) < ENOUGH * self.h:
            lines.append(f"  (fewer than {ENOUGH} horizons of times: the test finds differences too often; take p as a "
                         "hint, or more windows)")
        return "\n".join(lines + [("  " if first == "model_a" else f"  {row[first]}: ") + self.sentence(row) for row in rows])

    __repr__ = __str__

    def sentence(self, row: dict[str, Any]) -> str:
        """One row in words."""
        a, b, p = row["model_a"], row["model_b"], row["p_adjusted"]
        losses = f"{row['loss_a']:.4g} against {row['loss_b']:.4g}"
        if p is None or not np.isfinite(p):
            return f"{a} and {b} ({losses}): not tested, {row['n']} times are too few for the horizon {self.h}"
        if p >= self.alpha:
            return f"{a} and {b} ({losses}): no difference that luck would not explain ({_p(p)})"
        if row["difference"] < 0:
            return f"{a} is better than {b} ({losses}; {_p(p)})"
        return f"{b} is better than {a} ({row['loss_b']:.4g} against {row['loss_a']:.4g}; {_p(p)})"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def compare(cv: Any, metric: str | Callable[[np.ndarray, np.ndarray], np.ndarray] = "mae", *,
            models: Sequence[str] | None = None, baseline: str | None = None, by: str = "all", h: int | None = None,
            alternative: str = "two-sided", alpha: float = 0.05, id_col: str = "unique_id", time_col: str = "ds",
            target_col: str = "y", cutoff_col: str = "cutoff") -> Comparison:
    """Test whether models differ in accuracy (Diebold-Mariano), on a result of ``cross_validation``.

    metric       "mae", "mse", "mape", "smape", or a function of (y, forecast) arrays that gives the loss of each row
    models       forecast columns (default: all); every pair is tested, or with ``baseline`` each of them against that column
    by           "all": one test over all series, of their mean loss at each time, which allows for series that err together;
                 "series": one a series
    h            horizon; default: the longest forecast of cv
    alternative  "two-sided", "less" (model_a is better), "greater" (model_b is)
    alpha        level of significance that the sentences use

    Series of different times are joined by their order from the end. Returns a `Comparison`; its ``frame`` is of cv's kind.
    Raises `FeatureError` (E0004), `ConfigError` (E0010), `EmptyDataError` (E0003) without two models or without rows.

    >>> import numpy as np, pandas as pd
    >>> y = np.sin(np.arange(40.0))
    >>> cv = pd.DataFrame({"unique_id": "a", "ds": range(40), "cutoff": range(-1, 39), "y": y, "good": y + 0.1, "bad": y + y})
    >>> print(compare(cv))  # doctest: +ELLIPSIS
    Diebold-Mariano test of mae: horizon 1, two-sided, significant below 0.05 (Holm)
      good is better than bad (0.1 against 0.63...; p < 0.0001)
    """
    nw = need("narwhals")
    names = (id_col, time_col, target_col, cutoff_col)
    frame = opened(cv, "cv", names)
    points = forecast_columns(frame, names) if models is None else list(models)
    for name in [*points, *([baseline] if baseline else [])]:
        if name not in frame.columns:
            raise FeatureError(f"cv has no column of forecasts {name!r}", value=name,
                               hint=closest(name, forecast_columns(frame, names), "Columns"))
    pairs = [(m, baseline) for m in points if m != baseline] if baseline else list(itertools.combinations(points, 2))
    if not pairs:
        raise EmptyDataError("cv has no two models to compare", value=points, hint="Pass a frame of two columns of forecasts.")
    if by not in ("all", "series"):
        raise ConfigError(f"unknown by={by!r}", value=by, hint=closest(by, ("all", "series")))
    label, loss = _loss(metric)
    every = list(dict.fromkeys(name for pair in pairs for name in pair))
    losses, series, times, longest = _losses(frame, every, loss, names)
    horizon = longest if h is None else h
    rows: list[dict[str, Any]] = []
    for name, table in _tables(losses, series, times, by):
        rows += _tested(name if by == "series" else None, table, every, pairs, horizon, alternative, id_col)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return Comparison(nw.from_dict(columns, backend=frame.implementation).to_native(), label, horizon, alternative, alpha)


def _loss(metric: Any) -> tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    if callable(metric):
        return getattr(metric, "__name__", "loss"), metric
    if metric == "rmse":
        raise ConfigError("rmse is no mean of losses, so it cannot be tested", value=metric,
                          hint="Pass 'mse': the order of two models is the same.")
    if metric not in LOSSES:
        raise ConfigError(f"unknown metric {metric!r}", value=metric, hint=closest(metric, LOSSES))
    return metric, LOSSES[metric]


def _losses(frame: Any, models: list[str], loss: Any, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Losses float64 [rows, models], the id and time of each row, and the most steps of one forecast; only rows in which
    every model has a loss."""
    id_col, time_col, target_col, cutoff_col = names
    y = frame[target_col].to_numpy().astype(np.float64)
    values = np.column_stack([loss(y, frame[m].to_numpy().astype(np.float64)) for m in models])
    if values.shape != (len(y), len(models)):
        raise ShapeError(f"metric gave the shape {values.shape}, not one loss a row", value=values.shape)
    keys = [id_col, *([cutoff_col] if cutoff_col in frame.columns else [])]
    longest = int(frame.group_by(*keys).agg(need("narwhals").len().alias("n"))["n"].max() or 1) if len(frame) else 1
    if cutoff_col not in keys:
        longest = longest if frame[time_col].n_unique() > 1 else 1
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        raise EmptyDataError("cv has no row in which the target and all forecasts are known", value=0)
    return values[known], frame[id_col].to_numpy()[known], frame[time_col].to_numpy()[known], longest


def _tables(losses: np.ndarray, series: np.ndarray, times: np.ndarray, by: str) -> list[tuple[Any, np.ndarray]]:
    """(series, losses [times, models]): means over what forecasts one time, in order of time."""
    ids, owner = np.unique(series.astype(str) if series.dtype == object else series, return_inverse=True)
    own = []
    for s in range(len(ids)):
        clock, place = np.unique(times[owner == s], return_inverse=True)
        own.append((clock, _means(losses[owner == s], place, len(clock))))
    if by == "series":
        return [(name.item() if hasattr(name, "item") else name, table) for name, (_, table) in zip(ids, own, strict=True)]
    alike = all(len(clock) == len(own[0][0]) and (clock == own[0][0]).all() for clock, _ in own)
    every = [clock for clock, _ in own]
    if not alike and len(np.unique(np.concatenate(every))) > max(map(len, every)):
        place = np.concatenate([np.arange(-len(clock), 0) for clock in every])  # from the end
    else:
        place = np.concatenate(every)
    clock, place = np.unique(place, return_inverse=True)
    return [(None, _means(np.concatenate([table for _, table in own]), place, len(clock)))]


def _means(losses: np.ndarray, place: np.ndarray, n: int) -> np.ndarray:
    sums = np.zeros((n, losses.shape[1]))
    np.add.at(sums, place, losses)
    return sums / np.bincount(place, minlength=n)[:, None]


def _tested(name: Any, table: np.ndarray, models: list[str], pairs: list[tuple[str, str]], h: int, alternative: str,
            id_col: str) -> list[dict[str, Any]]:
    """The rows of one series (or of all)."""
    of = {m: table[:, k] for k, m in enumerate(models)}
    statistic, p = diebold_mariano(np.stack([of[a] - of[b] for a, b in pairs]), h, alternative)
    adjusted = _holm(p)
    return [{**({} if name is None else {id_col: name}), "model_a": a, "model_b": b, "loss_a": float(of[a].mean()),
             "loss_b": float(of[b].mean()), "difference": float((of[a] - of[b]).mean()), "n": len(table),
             "statistic": float(statistic[k]), "p_value": float(p[k]), "p_adjusted": float(adjusted[k])}
            for k, (a, b) in enumerate(pairs)]


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down adjustment: times the number of tests that are left, never falling, at most 1."""
    order = np.argsort(p)
    rising = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(rising, 1.0)
    return out
