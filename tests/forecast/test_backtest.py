"""Cross-validation: the right rows, the right cutoffs, and nothing known from after a cutoff."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.errors import ConfigError, HorizonError, NotFittedError
from ndiv.forecast import backtest
from ndiv.forecast.backtest import plan
from ndiv.utils import PredictionIntervals


def test_rows_and_actual_values(small: Any, df: pd.DataFrame, like: Any) -> None:
    exact = df.assign(y=df.y + 123456789.0)
    cv = NeuralForecast([small(), small("DLinear")], freq="D").cross_validation(like(exact.sample(frac=1, random_state=0)),
                                                                               n_windows=2, step_size=3)
    assert list(cv.columns) == ["unique_id", "ds", "cutoff", "y", "NLinear", "DLinear"]
    frame = cv.to_pandas() if isinstance(cv, pl.DataFrame) else cv
    assert len(frame) == 2 * 2 * 4
    a = frame[frame.unique_id == "a"]
    assert a.cutoff.astype(str).tolist() == ["2020-01-23"] * 4 + ["2020-01-26"] * 4
    assert ((a.ds - a.cutoff).dt.days == [1, 2, 3, 4] * 2).all()
    truth = frame.merge(exact, on=["unique_id", "ds"], suffixes=("", "_true"))
    assert len(truth) == len(frame)
    assert (truth.y == truth.y_true).all()  # float64, as in the frame


@pytest.mark.parametrize("change", [
    lambda f: f.assign(ds=f.ds.dt.strftime("%Y-%m-%d")),
    lambda f: f.assign(ds=f.ds.dt.tz_localize("Europe/Berlin")),
    lambda f: f.assign(unique_id=f.unique_id.astype("category")),
    lambda f: f.assign(y=f.y.astype("Float64")),
    lambda f: f.assign(y=f.y.astype(object).where(f.y.notna(), None)),
], ids=["text times", "time zone", "categories", "nullable", "objects"])
def test_columns_of_every_kind(change: Any, small: Any, df: pd.DataFrame, like: Any) -> None:
    want = NeuralForecast([small()], freq="D").cross_validation(df)
    cv = NeuralForecast([small()]).cross_validation(like(change(df.iloc[::-1])))
    assert np.array_equal(cv["y"], want["y"])
    assert np.array_equal(cv["NLinear"], want["NLinear"])
    assert (cv["ds"] - cv["cutoff"]).to_list() == (want["ds"] - want["cutoff"]).to_list()


def test_default_steps_are_those_of_neuralforecast_and_none_means_h(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], freq="D")
    assert nf.cross_validation(df, n_windows=2).cutoff.nunique() == 4  # two series that end on different days
    days = nf.cross_validation(df, n_windows=2, step_size=None).groupby("unique_id").cutoff.unique()["a"]
    assert (days[1] - days[0]).days == 4


def test_one_window_equals_fit_and_predict(small: Any, df: pd.DataFrame) -> None:
    cv = NeuralForecast([small("NHITS")], "D", "standard").cross_validation(df)
    known = known_until(df, 4)
    forecast = NeuralForecast([small("NHITS")], "D", "standard").fit(known).predict()
    assert np.array_equal(cv["NHITS"], forecast["NHITS"])


@pytest.mark.parametrize("refit", [False, True, 2])
def test_nothing_after_a_cutoff_matters(refit: bool | int, small: Any, df: pd.DataFrame) -> None:
    """The first window's forecasts stay the same when everything after its cutoff changes."""
    changed = df.copy()
    changed.loc[df.groupby("unique_id").tail(8).index, "y"] = -1e4
    out = [NeuralForecast([small("MLP")], "D", "standard").cross_validation(f, n_windows=3, step_size=2, refit=refit)
           for f in (df, changed)]
    first = out[0].groupby("unique_id").cutoff.transform("min") == out[0].cutoff
    assert np.array_equal(out[0].loc[first, "MLP"], out[1].loc[first, "MLP"])
    assert not np.array_equal(out[0].loc[~first, "MLP"], out[1].loc[~first, "MLP"])


def test_models_that_were_trained_before_start_anew(small: Any, df: pd.DataFrame) -> None:
    fresh = NeuralForecast([small()], "D").cross_validation(df)
    assert NeuralForecast([small()], "D").fit(df).cross_validation(df).equals(fresh)
    nf = NeuralForecast([small()], "D").fit(df)
    stored = nf.cross_validation()
    assert np.array_equal(stored["NLinear"], fresh["NLinear"])


def test_refit_trains_each_window_on_its_own_past(small: Any, df: pd.DataFrame) -> None:
    cv = NeuralForecast([small()], "D").cross_validation(df, n_windows=2, step_size=4, refit=True)
    known = known_until(df, 4)
    last = cv[cv.groupby("unique_id").cutoff.transform("max") == cv.cutoff]
    assert np.array_equal(last["NLinear"], NeuralForecast([small()], "D").fit(known).predict()["NLinear"])


def test_future_covariates_come_from_the_frame(small: Any, wide_df: pd.DataFrame) -> None:
    model = {"futr_exog_list": ["x"]}
    cv = NeuralForecast([small("MLP", **model)], "D").cross_validation(wide_df)
    last = wide_df.groupby("unique_id").tail(4)
    nf = NeuralForecast([small("MLP", **model)], "D").fit(wide_df.drop(index=last.index))
    assert np.array_equal(cv["MLP"], nf.predict(futr_df=last[["unique_id", "ds", "x"]])["MLP"])


def test_missing_actual_values_stay_missing(small: Any, df: pd.DataFrame, like: Any) -> None:
    cv = NeuralForecast([small()], "D").cross_validation(like(df.assign(y=df.y.where(df.index != 28))))
    missing = cv["y"].is_null() if isinstance(cv, pl.DataFrame) else cv["y"].isna()
    assert int(missing.sum()) == 1
    assert str(cv["ds"].to_list()[int(np.argmax(missing.to_numpy()))])[:10] == "2020-01-29"


def test_sizes() -> None:
    assert plan(4, 3, None).tolist() == [12, 8, 4]
    assert plan(4, None, 1, 6).tolist() == plan(4, 1, 1, 6).tolist() == plan(4, 3, 1, 6).tolist() == [6, 5, 4]
    for arguments, text in (((4, 2, 1, 6), "3 windows"), ((4, None, 3, 6), "no multiple"), ((4, None, 1, 3), "at least 4"),
                            ((4, None, 1), "n_windows")):
        with pytest.raises(ConfigError, match=text):
            plan(*arguments)


def test_windows_forecast_together_equal_windows_forecast_alone(small: Any, df: pd.DataFrame,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Series shorter than the input at the first cutoffs included; sums in another order may differ in the last bits."""
    models = [small("MLP", start_padding_enabled=True, input_size=16), small(start_padding_enabled=True)]
    nf = NeuralForecast(models, "D", "standard")
    together = nf.cross_validation(df, n_windows=None, test_size=18)
    monkeypatch.setattr(backtest, "_VALUES_AT_ONCE", 1)
    alone = nf.cross_validation(df, n_windows=None, test_size=18)
    assert len(together) == 2 * 15 * 4
    assert together.drop(columns=["MLP", "NLinear"]).equals(alone.drop(columns=["MLP", "NLinear"]))
    assert np.allclose(together[["MLP", "NLinear"]], alone[["MLP", "NLinear"]], rtol=1e-5)
    ahead = nf.predict(known_until(df, 4))
    assert np.allclose(alone.groupby("unique_id").tail(4)["MLP"], ahead["MLP"], rtol=1e-5)


def known_until(df: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The frame without the last rows of each series."""
    return df.drop(index=df.groupby("unique_id").tail(rows).index)


def test_refused(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], "D")
    for options in ({"n_windows": 0}, {"step_size": 0}, {"refit": -1}, {"n_windows": 1.5}):
        with pytest.raises(ConfigError, match="whole number"):
            nf.cross_validation(df, **options)
    with pytest.raises(HorizonError, match=r"b \(27 rows\)"):
        nf.cross_validation(df, n_windows=24)
    with pytest.raises(ConfigError, match="cutoff"):
        NeuralForecast([small(alias="cutoff")], "D").cross_validation(df)


def test_models_as_they_are_are_not_trained(small: Any, df: pd.DataFrame, like: Any) -> None:
    """``use_fitted``: each window is what `predict` gives from the rows before it, also of series that are new."""
    nf = NeuralForecast([small("NHITS")], "D", "standard")
    with pytest.raises(NotFittedError):
        nf.cross_validation(like(df), use_fitted=True)
    nf.fit(like(df))
    before = nf.predict()
    new = df.assign(unique_id=df.unique_id + " new", y=df.y * 2)
    cv = nf.cross_validation(like(new), use_fitted=True, use_init_models=False)
    forecast = nf.predict(like(known_until(new, 4)))
    assert np.array_equal(cv["NHITS"], forecast["NHITS"])
    assert nf.predict().equals(before)
    for told in ({"refit": True}, {"prediction_intervals": PredictionIntervals()}):
        with pytest.raises(ConfigError, match="trains nothing"):
            nf.cross_validation(like(df), use_fitted=True, **told)
