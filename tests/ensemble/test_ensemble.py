"""Ensembles: weights that are optimal, learned from the past alone, and applied to points and quantiles alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv import NeuralForecast
from ndiv.ensemble import Combination, Ensemble, combine, learn
from ndiv.ensemble.weights import inverse, ridge, ridge_strength, simplex
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, FileError, MissingExtraError, NotFittedError
from ndiv.losses import MQLoss
from ndiv.models import DLinear, NLinear


@pytest.fixture(params=["pandas", "polars"])
def like(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    return (lambda frame: frame) if request.param == "pandas" else pl.from_pandas


def cv_frame(windows: int = 4, h: int = 3, seed: int = 0) -> pd.DataFrame:
    """Two series of different scale; a is too low, b too high by as much, c is noise."""
    draw = np.random.default_rng(seed)
    parts = []
    for k, i in enumerate(("s", "t")):
        for w in range(windows):
            y = 100.0**k * (5 + draw.normal(size=h))
            noise = 100.0**k * draw.normal(size=h)
            parts.append(pd.DataFrame({"unique_id": i, "ds": pd.date_range("2024-01-01", periods=h) + pd.Timedelta(days=w * h),
                                       "cutoff": pd.Timestamp("2023-12-31") + pd.Timedelta(days=w * h), "y": y,
                                       "a": y - 100.0**k, "b": y + 100.0**k, "c": y + 5 * noise}))
    return pd.concat(parts, ignore_index=True)


# -- weights -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_simplex_weights_are_optimal(n: int, m: int, seed: int) -> None:
    """No point of the simplex is better: the gradient is nowhere lower than at the members in use."""
    errors = np.random.default_rng(seed).normal(size=(n, m)) * 10.0 ** (seed % 7 - 3)
    w = simplex(errors)
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1.0)
    gradient = errors.T @ (errors @ w)
    assert gradient[w > 1e-9].max() <= gradient.min() + 1e-7 * np.mean(errors**2) * n


@given(st.integers(0, 100), st.floats(-5, 5))
@settings(max_examples=15, deadline=None)
def test_laws_of_weights(seed: int, power: float) -> None:
    errors = np.random.default_rng(seed).normal(size=(9, 3)) + [0.5, 0.0, 1.0]
    for weigh in (simplex, inverse, lambda e: ridge(e, 0.1), lambda e: ridge(e, 0.0)):
        w = weigh(errors)
        assert w.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(weigh(errors * 10**power), w, atol=1e-6)  # whatever the unit
        np.testing.assert_allclose(weigh(errors[:, ::-1]), w[::-1], atol=1e-6)  # and the order
    np.testing.assert_allclose(ridge(errors, 1e9), 1 / 3, atol=1e-6)
    free, bound = (np.sum((errors @ w)**2) for w in (ridge(errors, 0.0), simplex(errors)))
    assert free <= bound + 1e-9  # without a penalty and a sign it can only be better


def test_models_without_errors_and_all_equal_ones() -> None:
    perfect = np.array([[0.0, 1.0], [0.0, 2.0]])
    assert simplex(perfect).round(9).tolist() == [1.0, 0.0]
    assert inverse(perfect).tolist() == [1.0, 0.0]
    for weigh in (simplex, lambda e: ridge(e, 0.0)):
        np.testing.assert_allclose(weigh(np.zeros((2, 2))), 0.5)
    np.testing.assert_allclose(ridge(np.ones((4, 2)), 0.0), 0.5)
    assert ridge_strength(perfect, np.zeros(2)) == 1.0


# -- frames --------------------------------------------------------------------------------------------------------


def test_learned_weights_undo_opposite_errors(like: Any) -> None:
    rule = learn(like(cv_frame()), models=["a", "b", "c"])
    np.testing.assert_allclose(rule.weights[None], [0.5, 0.5, 0.0], atol=0.05)
    assert rule.table.columns.tolist() == ["a", "b", "c"]
    frame = cv_frame(1, seed=5)
    joined = rule(like(frame))
    assert type(joined) is type(like(frame))
    want = frame[["a", "b", "c"]].to_numpy() @ rule.weights[None]
    np.testing.assert_allclose(np.asarray(joined["Ensemble"]), want, rtol=1e-12)


def test_groups_of_series_and_steps(like: Any) -> None:
    frame = cv_frame()
    better = frame["unique_id"].eq("t") & frame["ds"].dt.day.mod(3).eq(1)
    frame.loc[better, "a"] = frame.loc[better, "y"]
    by_step = learn(like(frame.sample(frac=1.0, random_state=1)), "inverse", by="step")  # whatever the order of rows
    assert list(by_step.weights) == [None, 1, 2, 3] or sorted(k for k in by_step.weights if k) == [1, 2, 3]
    assert by_step.weights[1][0] > by_step.weights[2][0]
    by_series = learn(like(frame), "inverse", by="series")
    assert by_series.weights["t"][0] > by_series.weights["s"][0]
    unseen = frame.assign(unique_id="new")
    np.testing.assert_allclose(np.asarray(by_series(like(unseen))["Ensemble"]),
                               frame[["a", "b", "c"]].to_numpy() @ by_series.weights[None])
    again = Combination.from_record(json.loads(json.dumps(by_step.record())))
    np.testing.assert_array_equal(np.asarray(again(like(frame))["Ensemble"]), np.asarray(by_step(like(frame))["Ensemble"]))


@pytest.mark.parametrize("method", ["weighted", "inverse", "stacked", "mean", "median"])
def test_intervals_are_combined_and_do_not_cross(method: str, like: Any) -> None:
    frame = cv_frame()
    for k, name in enumerate("abc"):
        for suffix, shift in (("-hi-80", 1.0), ("-lo-80", -1.0), ("_ql0.3", -0.4)):
            frame[f"{name}{suffix}"] = frame[name] + shift * (k + 1)
    frame["a-lo-95"] = 0.0  # not every member has it
    joined = learn(like(frame), method)(like(frame))
    added = [c for c in joined.columns if c.startswith("Ensemble")]
    assert added == ["Ensemble", "Ensemble-lo-80", "Ensemble_ql0.3", "Ensemble-hi-80"]
    low, middle, high = (np.asarray(joined[f"Ensemble{s}"]) for s in ("-lo-80", "_ql0.3", "-hi-80"))
    assert (low <= middle).all()
    assert (middle <= high).all()
    if method == "mean":
        np.testing.assert_allclose(high, frame[["a-hi-80", "b-hi-80", "c-hi-80"]].mean(axis=1))
    if method == "median":
        np.testing.assert_allclose(low, frame[["a-lo-80", "b-lo-80", "c-lo-80"]].median(axis=1))


def test_windows_are_combined_from_what_came_before(like: Any) -> None:
    frame = cv_frame()
    joined = combine(like(frame), "weighted")
    got = np.asarray(joined["Ensemble"])
    assert list(joined.columns[:-1]) == list(frame.columns)
    np.testing.assert_array_equal(np.asarray(joined["y"]), frame["y"])
    first = (frame["cutoff"] == frame["cutoff"].min()).to_numpy()
    np.testing.assert_allclose(got[first], frame.loc[first, ["a", "b", "c"]].mean(axis=1))
    last = (frame["cutoff"] == frame["cutoff"].max()).to_numpy()
    rule = learn(frame[~last])
    np.testing.assert_allclose(got[last], frame.loc[last, ["a", "b", "c"]].to_numpy() @ rule.weights[None])
    changed = frame.assign(y=frame["y"].where(~last, 0.0))  # targets of a window change nothing in it or before
    np.testing.assert_array_equal(np.asarray(combine(like(changed), "weighted")["Ensemble"]), got)


def test_refused(like: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = like(cv_frame())
    for make, error, words in (
            (lambda: learn(frame, "best"), ConfigError, "unknown method 'best'"),
            (lambda: learn(frame, by="hour"), ConfigError, "unknown by='hour'"),
            (lambda: learn(frame, "stacked", strength=-1), ConfigError, "negative"),
            (lambda: learn(frame, models=["a", "d"]), FeatureError, "no forecasts of 'd'"),
            (lambda: learn(frame, models=["a"]), ConfigError, "at least two"),
            (lambda: learn(like(cv_frame().drop(columns="y"))), FeatureError, "no target column"),
            (lambda: learn(like(cv_frame().assign(y=np.nan))), EmptyDataError, "no row has a target"),
            (lambda: learn(like(cv_frame().drop(columns="ds"))), FeatureError, "no time column"),
            (lambda: combine(like(cv_frame().drop(columns="cutoff"))), FeatureError, "no column of cutoffs"),
            (lambda: learn(frame, "mean", alias="a")(frame), ConfigError, "has a column 'a' already"),
            (lambda: learn(frame)(like(cv_frame().drop(columns="c"))), FeatureError, "no forecasts of 'c'")):
        with pytest.raises(error, match=words):
            make()
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises((MissingExtraError, ImportError)):
        learn(frame)


# -- the forecaster ------------------------------------------------------------------------------------------------


def members(**options: Any) -> list[Any]:
    return [kind(h=4, input_size=8, max_steps=3, windows_batch_size=16, **options) for kind in (NLinear, DLinear)]


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    step = np.arange(50)
    return pd.concat([pd.DataFrame({"unique_id": i, "ds": pd.date_range("2020-01-01", periods=50), "y": np.sin(step / 3) + k})
                      for k, i in enumerate("ab")], ignore_index=True)


def test_forecaster_with_intervals_saved_and_loaded(df: pd.DataFrame, like: Any, tmp_path: Path) -> None:
    ensemble = Ensemble(NeuralForecast(members(loss=MQLoss(level=[80])), "D"), "stacked", n_windows=2).fit(like(df))
    got = ensemble.predict()
    assert list(got.columns) == ["unique_id", "ds", "Ensemble", "Ensemble-lo-80", "Ensemble-hi-80"]
    beside = ensemble.predict(members=True)
    w = ensemble.weights.loc["all"].to_numpy(np.float64)
    points = np.column_stack([np.asarray(beside[c]) for c in ("NLinear-median", "DLinear-median")])
    np.testing.assert_allclose(np.asarray(got["Ensemble"]), points @ w)
    alone = NeuralForecast(members(loss=MQLoss(level=[80])), "D")
    cv = alone.cross_validation(like(df), n_windows=2, step_size=4)
    np.testing.assert_array_equal(learn(cv, "stacked").weights[None], ensemble.combination.weights[None])
    ensemble.save(tmp_path / "e")
    again = Ensemble.load(tmp_path / "e")
    np.testing.assert_array_equal(np.asarray(again.predict()["Ensemble"]), np.asarray(got["Ensemble"]))


def test_forecaster_refuses(df: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least two models"):
        Ensemble(NeuralForecast(members()[:1], "D"))
    ensemble = Ensemble(NeuralForecast(members(), "D"))
    for call in (ensemble.predict, lambda: ensemble.weights, lambda: ensemble.save(tmp_path / "x")):
        with pytest.raises(NotFittedError):
            call()
    with pytest.raises(ConfigError, match="one window is not enough"):
        Ensemble(NeuralForecast(members(), "D"), "stacked", n_windows=1)
    forecaster = NeuralForecast(members(), "D").fit(df)
    forecaster.save(tmp_path / "m")
    with pytest.raises(FileError, match="no ensemble"):
        Ensemble.load(tmp_path / "m")
    (tmp_path / "m" / "ensemble.json").write_text("{}")
    with pytest.raises(FileError, match="damaged"):
        Ensemble.load(tmp_path / "m")
    median = Ensemble(forecaster, "median").fit(df)
    pair = median.predict(members=True)
    np.testing.assert_allclose(pair["Ensemble"], pair[["NLinear", "DLinear"]].median(axis=1))
