"""`learn` finds how to combine models on windows of a cross-validation; a `Combination` applies it to other forecasts.

Contract: the errors of each series are divided by their root mean square over all members first, so that each counts the
same whatever its unit. Intervals and quantiles are combined by averaging quantiles, with the weights of the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, closest

from . import weights as solve
from .members import Columns, Rows, find_members, probability

__all__ = ["METHODS", "Combination", "combine", "learn"]

METHODS = ("inverse", "mean", "median", "stacked", "weighted")
GROUPS = ("series", "step")


@dataclass
class Combination:
    """How forecasts of several models become one; made by `learn`.

    method   "weighted", "inverse", "stacked", "mean" or "median"
    models   the members
    weights  [m] of each group of rows; None: of those that learning has not seen, learned on all rows
    by       what makes a group: None (all rows), "series" or "step" (of the horizon)
    alias    name of the combined column
    strength of the ridge of "stacked"
    """

    method: str
    models: list[str]
    weights: dict[Any, np.ndarray] = field(default_factory=dict)
    by: str | None = None
    alias: str = "Ensemble"
    strength: float | None = None

    def __call__(self, frame: Any, *, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
                 cutoff_col: str = "cutoff") -> Any:
        """The frame with the combined forecast as its last columns: ``alias``, and the intervals and quantiles that all
        members have. Raises `FeatureError` (E0004) where a member is missing."""
        names = Columns(id_col, time_col, target_col, cutoff_col)
        nw = need("narwhals")
        native = nw.from_native(frame, eager_only=True)
        points, suffixes = find_members(native, names, self.models)
        rows = Rows(native, names) if self.by else None
        made = {self.alias: self._joined(native, list(points.values()), rows)}
        suffixes = sorted(suffixes, key=probability)
        if suffixes:
            joined = np.stack([self._joined(native, [f"{m}{s}" for m in points], rows) for s in suffixes], axis=1)
            joined.sort(axis=1)  # negative weights could make quantiles cross
            made.update((f"{self.alias}{s}", joined[:, k]) for k, s in enumerate(suffixes))
        clash = [c for c in made if c in native.columns]
        if clash:
            raise ConfigError(f"the frame has a column {clash[0]!r} already", value=clash[0], hint="Give another alias.")
        series = [nw.new_series(name, values, backend=native.implementation) for name, values in made.items()]
        if native.implementation.is_pandas():  # whose columns are put together by their index
            return native.to_native().assign(**made)
        return native.with_columns(*series).to_native()

    def _joined(self, frame: Any, columns: list[str], rows: Rows | None) -> np.ndarray:
        values = np.column_stack([np.asarray(frame[c].to_numpy(), np.float64) for c in columns])
        if self.method == "median":
            return np.median(values, axis=1)
        if self.method == "mean":
            return np.mean(values, axis=1)
        if rows is None:
            return values @ self.weights[None]
        return np.einsum("nm,nm->n", values, self._of_rows(rows))

    def _of_rows(self, rows: Rows) -> np.ndarray:
        """The weights [N, m] of each row."""
        groups = _groups(rows, self.by)
        kinds, which = need("pandas").factorize(groups)[::-1]
        return np.stack([self.weights.get(_plain(k), self.weights[None]) for k in kinds])[which]

    @property
    def table(self) -> Any:
        """The weights as a pandas frame: a row a group, a column a model."""
        pd = need("pandas")
        shown = self.weights or {None: np.full(len(self.models), np.nan)}
        index = [("all" if key is None else key) for key in shown]
        rows = pd.Index(index, name=self.by or "rows", dtype=object)
        return pd.DataFrame(list(shown.values()), columns=self.models, index=rows)

    def record(self) -> dict[str, Any]:
        """As JSON can hold it; `from_record` makes it again."""
        return {"method": self.method, "models": self.models, "by": self.by, "alias": self.alias, "strength": self.strength,
                "weights": [[key, list(map(float, value))] for key, value in self.weights.items()]}

    @staticmethod
    def from_record(record: dict[str, Any]) -> Combination:
        """What `record` gave."""
        weights = {key: np.asarray(value, np.float64) for key, value in record["weights"]}
        return Combination(record["method"], list(record["models"]), weights, record["by"], record["alias"], record["strength"])


def learn(cv: Any, method: str = "weighted", *, models: Sequence[str] | None = None, by: str | None = None,
          strength: float | None = None, alias: str = "Ensemble", id_col: str = "unique_id", time_col: str = "ds",
          target_col: str = "y", cutoff_col: str = "cutoff") -> Combination:
    """How to combine models, learned from their forecasts beside what happened.

    cv        frame with targets and forecasts, a result of `NeuralForecast.cross_validation`; pandas or polars
    method    "weighted": weights of least squared error, none negative, sum 1; "inverse": in inverse proportion to mean
              squared errors; "stacked": ridge regression towards equal weights, sum 1, some may be negative; "mean" and
              "median" learn nothing
    models    the members; None: all with forecasts in the frame
    by        None: one set of weights; "series": one each; "step": one for each step of the horizon
    strength  of the ridge, in units of the models' mean squared error; None: chosen by leaving out one window at a time

    Raises `ConfigError` (E0010) for a method or group that is not there and fewer than two members, `FeatureError` (E0004)
    for missing columns, `EmptyDataError` (E0003) for a frame without a row to learn from, `MissingExtraError` (E0010)
    without SciPy, for "weighted".

    >>> import pandas as pd
    >>> cv = pd.DataFrame({"unique_id": "a", "ds": [1, 2], "cutoff": 0, "y": [1.0, 2.0], "low": [0.0, 1.0], "high": [2.0, 3.0]})
    >>> learn(cv).table.round(3).values.tolist()
    [[0.5, 0.5]]
    """
    _known(method, by, strength)
    names = Columns(id_col, time_col, target_col, cutoff_col)
    frame = need("narwhals").from_native(cv, eager_only=True)
    points, _ = find_members(frame, names, models)
    if method in ("mean", "median"):
        return Combination(method, list(points), alias=alias)
    if target_col not in frame.columns:
        raise FeatureError(f"the frame has no target column {target_col!r}, so there is nothing to learn from",
                           value=target_col, hint=closest(target_col, frame.columns, "Columns"))
    errors, rows, used = _errors(frame, names, list(points.values()))
    if method == "stacked" and strength is None:
        strength = solve.ridge_strength(errors, rows.window[used])
    found = {None: _weights(method, errors, strength)}
    if by is not None:
        groups = _groups(rows, by)[used]
        kinds, which = need("pandas").factorize(groups)[::-1]
        found.update((_plain(kind), _weights(method, errors[which == k], strength)) for k, kind in enumerate(kinds))
    return Combination(method, list(points), found, by, alias, strength if method == "stacked" else None)


def combine(cv: Any, method: str = "weighted", *, models: Sequence[str] | None = None, by: str | None = None,
            strength: float | None = None, alias: str = "Ensemble", id_col: str = "unique_id", time_col: str = "ds",
            target_col: str = "y", cutoff_col: str = "cutoff") -> Any:
    """A cross-validation with the ensemble as one more model, judged as fairly as the others.

    The weights of each window come from those before it, and from such rows of them alone as its cutoff knows; in the
    first window all members count the same. Arguments are those of `learn`; the result is ``cv`` with more columns.
    Raises what `learn` raises, and `FeatureError` (E0004) for a frame without cutoffs.
    """
    _known(method, by, strength)
    names = Columns(id_col, time_col, target_col, cutoff_col)
    cols = {"id_col": id_col, "time_col": time_col, "target_col": target_col, "cutoff_col": cutoff_col}
    nw = need("narwhals")
    frame = nw.from_native(cv, eager_only=True)
    points, _ = find_members(frame, names, models)
    if method in ("mean", "median"):
        return Combination(method, list(points), alias=alias)(cv, **cols)
    if cutoff_col not in frame.columns:
        raise FeatureError(f"the frame has no column of cutoffs {cutoff_col!r}", value=cutoff_col,
                           hint="Pass a result of cross_validation; to forecasts of the future apply what learn gives.")
    rows = Rows(frame, names)
    assert rows.cutoff is not None
    equal = Combination("weighted", list(points), {None: np.full(len(points), 1.0 / len(points))}, alias=alias)
    parts, taken = [], []
    for cutoff in np.unique(rows.cutoff):
        own = np.flatnonzero(rows.cutoff == cutoff)
        before = np.flatnonzero((rows.cutoff < cutoff) & (rows.times <= cutoff))
        rule = equal
        if len(before) and np.isfinite(np.asarray(frame[before][target_col].to_numpy(), np.float64)).any():
            rule = learn(frame[before].to_native(), method, models=list(points), by=by, strength=strength, alias=alias, **cols)
        parts.append(nw.from_native(rule(frame[own].to_native(), **cols), eager_only=True))
        taken.append(own)
    joined = nw.concat(parts)[np.argsort(np.concatenate(taken), kind="stable")].to_native()
    if hasattr(cv, "index"):
        joined.index = cv.index
    return joined


def _known(method: str, by: str | None, strength: float | None) -> None:
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", value=method, hint=closest(method, METHODS))
    if by is not None and by not in GROUPS:
        raise ConfigError(f"unknown by={by!r}", value=by, hint=closest(by, GROUPS))
    if strength is not None and not strength >= 0:
        raise ConfigError(f"strength must not be negative, got {strength!r}", value=strength)


def _errors(frame: Any, names: Columns, columns: list[str]) -> tuple[np.ndarray, Rows, np.ndarray]:
    """(errors [N, m] in units of their series, all rows, which of them N are)."""
    rows = Rows(frame, names)
    truth = np.asarray(frame[names.target_col].to_numpy(), np.float64)
    errors = np.column_stack([np.asarray(frame[c].to_numpy(), np.float64) for c in columns]) - truth[:, None]
    used = np.flatnonzero(np.isfinite(errors).all(axis=1))
    if not len(used):
        raise EmptyDataError("no row has a target and the forecasts of all members", value=0,
                             hint="Pass a result of cross_validation.")
    series, errors = rows.series[used], errors[used]
    squares = np.bincount(series, (errors**2).mean(axis=1), len(rows.labels)) / np.maximum(
        np.bincount(series, minlength=len(rows.labels)), 1)
    scale = np.sqrt(np.where(squares > 0, squares, 1.0))
    return errors / scale[series][:, None], rows, used


def _weights(method: str, errors: np.ndarray, strength: float | None) -> np.ndarray:
    if method == "weighted":
        return solve.simplex(errors)
    return solve.inverse(errors) if method == "inverse" else solve.ridge(errors, 1.0 if strength is None else strength)


def _groups(rows: Rows, by: str | None) -> np.ndarray:
    return rows.ids if by == "series" else rows.step


def _plain(key: Any) -> Any:
    return key.item() if isinstance(key, np.generic) else key
