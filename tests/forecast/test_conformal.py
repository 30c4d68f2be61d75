"""Conformal intervals: coverage under exchangeability, neuralforecast's numbers, calibration with and without a second fit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv import NeuralForecast
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, DataError, EmptyDataError, FeatureError, HorizonError
from ndiv.forecast import coverage_report
from ndiv.forecast.asked import Asked, ask
from ndiv.forecast.conformal import Calibration, conformal_quantile
from ndiv.losses import DistributionLoss, MQLoss
from ndiv.utils import PredictionIntervals


def asked_for(level: list[float]) -> Asked:
    found = ask(level)
    assert found is not None
    return found


def bounds(errors: np.ndarray, level: list[float], base: np.ndarray, **how: Any) -> np.ndarray:
    """Of one model with point errors [S, W, h] around base [S, h]."""
    store = SeriesStore.from_arrays_list([[0.0]] * len(base))
    scores = Calibration(PredictionIntervals(**how), np.arange(len(errors)), {"m": errors[..., None].astype(np.float32)}, {"m": ()})
    return scores.bounds("m", store, base[..., None], asked_for(level))


@settings(max_examples=20, deadline=None)
@given(st.integers(9, 40), st.sampled_from([0.5, 0.8, 0.9]), st.integers(0, 10**6))
def test_exchangeable_errors_are_covered_as_promised(n: int, level: float, seed: int) -> None:
    """Of n + 1 exchangeable scores the last is at most the k-th smallest of the others with probability k / (n + 1), whatever
    their distribution: exactly, over all places of the last one."""
    scores = np.random.default_rng(seed).standard_cauchy(n + 1)
    others = np.stack([np.delete(scores, i) for i in range(n + 1)])
    inside = scores <= conformal_quantile(others, level)
    assert inside.sum() == np.ceil(round((n + 1) * level, 9))
    assert level <= inside.mean() + 1e-12 <= level + 1 / (n + 1) + 1e-9


@pytest.mark.parametrize(("scores", "by_step"), [("per_series", True), ("per_series", False), ("pooled", True)])
def test_coverage_on_exchangeable_windows(scores: str, by_step: bool) -> None:
    """Errors of series of different scale that grow with the step: the last window lies inside as often as promised."""
    rng = np.random.default_rng(5)
    scale = np.exp(rng.normal(size=(300, 1, 1)))
    errors = rng.laplace(size=(300, 21, 4)) * scale * (np.arange(1, 5) if by_step else 1)
    found = bounds(errors[:, :20], [90], np.zeros((300, 4)), n_windows=20, method="cqr", scores=scores, by_step=by_step)
    inside = (errors[:, 20] >= found[..., 0]) & (errors[:, 20] <= found[..., 1])
    assert 0.88 < inside.mean() < 0.935  # 19 of 21 scores are 90.5 %; 1,200 values are known to 1 %


def test_numbers_are_neuralforecasts() -> None:
    """Its formulas, from the same scores: quantiles of forecast -+ |e|, and forecast -+ quantiles of |e|."""
    rng = np.random.default_rng(0)
    errors, base = rng.normal(size=(3, 7, 4)).astype(np.float32), rng.normal(size=(3, 4)) + 10
    sizes = np.abs(errors).transpose(1, 0, 2)
    cuts = [0.05, 0.1, 0.9, 0.95]
    wanted = np.quantile(np.concatenate([base - sizes, base + sizes]), cuts, axis=0)
    got = bounds(errors, [80, 90], base, method="conformal_distribution", n_windows=7)
    np.testing.assert_allclose(np.moveaxis(got, -1, 0), wanted, rtol=1e-6)
    q = np.quantile(sizes, cuts, axis=0)
    wanted = np.stack([base - q[3], base - q[2], base + q[2], base + q[3]])
    got = bounds(errors, [80, 90], base, method="conformal_error", n_windows=7)
    np.testing.assert_allclose(np.moveaxis(got, -1, 0), wanted, rtol=1e-6)


def test_quantiles_are_moved_by_what_lay_beyond_them() -> None:
    """Romano et al. (2019): max(lo - y, y - hi), its corrected quantile added on both sides, negative where too wide."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(1, 60, 2))
    quantiles, told = (0.05, 0.5, 0.95), np.array([-3.0, 0.0, 3.0])  # far too wide
    errors = (y[..., None] - told).astype(np.float32)
    scores = Calibration(PredictionIntervals(method="cqr"), np.arange(1), {"m": errors}, {"m": quantiles})
    store = SeriesStore.from_arrays_list([[0.0]])
    got = scores.bounds("m", store, np.broadcast_to(told, (1, 2, 3)), asked_for([90]))
    q = np.sort(np.maximum(told[0] - y, y - told[2]), axis=1)[0, 54]  # the 55th of 60: ceil(61 * 0.9)
    np.testing.assert_allclose(got[0], np.stack([told[0] - q, told[2] + q], axis=-1), rtol=1e-5)
    assert (q < 0).all()
    one = ask(quantiles=[0.05, 0.95])
    assert one is not None
    got = scores.bounds("m", store, np.broadcast_to(told, (1, 2, 3)), one)
    upper = np.sort(y - told[2], axis=1)[0, 57]  # the 58th: ceil(61 * 0.95)
    np.testing.assert_allclose(got[0, :, 1], told[2] + upper, rtol=1e-5)


def test_errors_add_up_beyond_the_calibrated_steps() -> None:
    errors = np.tile(np.array([3.0, 4.0]), (1, 9, 1))
    got = bounds(errors, [90], np.zeros((1, 5)), n_windows=9, method="cqr")
    np.testing.assert_allclose(got[0, :, 1], [3, 4, 5, np.sqrt(32), np.sqrt(9 + 32)], rtol=1e-6)


def test_too_few_scores_are_refused(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df, val_size=12)
    nf.calibrate(None, PredictionIntervals(4, "cqr"))
    with pytest.raises(ConfigError, match=r"-lo-90 needs 9 scores and a series has 4 .*pooled.*by_step=False"):
        nf.predict(level=[80, 90])
    nf.calibrate(None, PredictionIntervals(4, "cqr", by_step=False))
    assert np.isfinite(nf.predict(level=[80, 90]).iloc[:, 2:].to_numpy()).all()
    with pytest.raises(DataError, match="1 series were not calibrated, the first: new"):
        nf.predict(df[df.unique_id == "a"].assign(unique_id="new"), level=[80])
    for bad in ({"method": "split"}, {"scores": "all"}, {"by_step": 1}, {"n_windows": 1}, {"step_size": 0}):
        with pytest.raises(ConfigError):
            PredictionIntervals(**bad)
    with pytest.raises(ConfigError, match="must be a PredictionIntervals"):
        nf.fit(df, prediction_intervals=3)
    with pytest.raises(HorizonError, match=r"2 series have no row before the windows, which cover 43 rows: a \(30 rows\)"):
        nf.calibrate(None, PredictionIntervals(40))


def test_calibration_in_training_is_of_a_model_that_has_not_seen_the_windows(small: Any, df: pd.DataFrame, like: Any,
                                                                            tmp_path: Path) -> None:
    how = PredictionIntervals(3, "conformal_error", 2)
    nf = NeuralForecast([small(), small("MLP", loss=MQLoss())], "D", "standard").fit(like(df), prediction_intervals=how)
    out = nf.predict(level=[80])
    assert list(out.columns)[2:] == ["NLinear", "NLinear-lo-80", "NLinear-hi-80", "MLP-median", "MLP-lo-80", "MLP-hi-80"]
    plain = NeuralForecast([small()], "D", "standard").fit(df)
    assert np.array_equal(np.asarray(out["NLinear"]), plain.predict()["NLinear"])  # the second fit is as if it were the only one
    cv = NeuralForecast([small()], "D", "standard").cross_validation(df, n_windows=3, step_size=2)
    error = np.abs(cv["y"] - cv["NLinear"]).to_numpy().reshape(2, 3, 4)
    half = np.nanquantile(error, 0.9, axis=1).reshape(-1)
    np.testing.assert_allclose(np.asarray(out["NLinear-hi-80"]) - np.asarray(out["NLinear"]), half, rtol=1e-4)
    nf.save(tmp_path / "m")
    again = NeuralForecast.load(tmp_path / "m")
    assert again.calibration is not None
    assert again.calibration.settings == how
    assert again.predict(level=[80]).equals(out)
    assert again.predict(level=[80], h=7).equals(nf.predict(level=[80], h=7))
    nf.fit()
    with pytest.raises(ConfigError, match="no intervals"):  # scores of other weights say nothing of these
        nf.predict(level=[80])


def test_cross_validation_calibrates_each_training(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], freq="D")
    cv = nf.cross_validation(df, n_windows=2, step_size=2, refit=True, level=[80], prediction_intervals=PredictionIntervals(2))
    assert list(cv.columns)[4:] == ["NLinear", "NLinear-lo-80", "NLinear-hi-80"]
    first = df[df.ds <= df.unique_id.map(cv.groupby("unique_id")["cutoff"].first())]
    alone = NeuralForecast([small()], freq="D").fit(first, prediction_intervals=PredictionIntervals(2)).predict(level=[80])
    np.testing.assert_allclose(cv.groupby("unique_id").head(4)["NLinear-hi-80"], alone["NLinear-hi-80"], rtol=1e-5)


def test_calibration_of_trained_models_and_their_coverage(small: Any, df: pd.DataFrame, like: Any) -> None:
    models = [small(), small("DLinear", loss=DistributionLoss("Normal"))]
    nf = NeuralForecast(models, freq="D").fit(like(df[df.ds < "2020-01-18"]))
    before = {k: v.copy() for k, v in models[0].state_dict().items()}
    how = PredictionIntervals(4, "cqr", by_step=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nf.calibrate(like(df), how)
    assert all(np.array_equal(v, before[k]) for k, v in models[0].state_dict().items())
    out = nf.predict(like(df), level=[60, 80])
    for name in ("NLinear", "DLinear"):
        low, high = (np.asarray(out[f"{name}-{side}-80"]) for side in ("lo", "hi"))
        inner = np.asarray(out[f"{name}-lo-60"])
        assert (low <= inner).all()
        assert (low < high).all()
    with pytest.warns(UserWarning, match="windows of 2 series, the first a, reach into the rows"):
        nf.calibrate(like(df[df.ds < "2020-01-19"]), how)
    report = nf.coverage(like(df), level=[80], n_windows=2)
    assert type(report) is type(out)
    assert list(report["model"]) == ["NLinear", "DLinear"]
    assert list(report["n"]) == [16, 16]


def test_a_report_is_right_and_says_what_is_missing(like: Any) -> None:
    cv = pd.DataFrame({"unique_id": ["a"] * 4, "ds": [1, 2, 3, 4], "cutoff": [0, 0, 2, 2], "y": [1.0, 5.0, -1.0, np.nan],
                       "m": 0.0, "m-lo-80": 0.0, "m-hi-80": 4.0, "m-lo-90": -1.0, "m-hi-90": 6.0})
    found = coverage_report(like(cv))
    assert type(found) is type(like(cv))
    rows = {float(level): (c, w, s, n) for _, level, c, w, s, n in zip(*(found[k] for k in found.columns), strict=True)}
    assert rows[90.0] == (1.0, 7.0, 7.0, 3)
    assert rows[80.0] == pytest.approx((1 / 3, 4.0, 4 + 2 / 0.2 * 2 / 3, 3))
    steps = coverage_report(like(cv), level=[80], by_step=True)
    assert list(steps["step"]) == [1, 2]
    assert list(steps["coverage"]) == [0.5, 0.0]
    with pytest.raises(FeatureError, match=r"level=\[95\.0\]"):
        coverage_report(cv, level=[95])
    with pytest.raises(FeatureError, match="no intervals of 'x'"):
        coverage_report(cv, models=["x"])
    with pytest.raises(EmptyDataError):
        coverage_report(cv.assign(y=np.nan))
    assert isinstance(coverage_report(pl.from_pandas(cv)), pl.DataFrame)


def test_an_automatic_model_is_calibrated_as_what_it_finds(df: pd.DataFrame) -> None:
    from ndiv.auto import AutoNLinear

    space = {"input_size": [4, 8], "max_steps": 2, "windows_batch_size": 16}
    nf = NeuralForecast([AutoNLinear(h=4, config=space, num_samples=1)], "D").fit(df, prediction_intervals=PredictionIntervals(2))
    assert list(nf.predict(level=[80], h=6).columns)[2:] == ["AutoNLinear", "AutoNLinear-lo-80", "AutoNLinear-hi-80"]


def test_calibration_in_training_takes_the_options_of_fit(small: Any, df: pd.DataFrame) -> None:
    how = PredictionIntervals(2)
    nf = NeuralForecast([small()], freq="D").fit(df, prediction_intervals=how, max_steps=1)
    one = NeuralForecast([small(max_steps=1)], freq="D").fit(df, prediction_intervals=how)
    assert nf.predict(level=[80]).equals(one.predict(level=[80]))
    with pytest.raises(ConfigError, match="none can be frozen"):
        nf.fit(df, prediction_intervals=how, freeze="linear*")
