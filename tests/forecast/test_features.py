"""Features inside a forecaster: who gets which, no futr_df for what is known by itself, no leak, saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.auto import AutoNHITS
from ndiv.errors import ConfigError, FeatureError
from ndiv.features import Calendar, Fourier, Holidays, Lags, Rolling

FEATURES = [Calendar(["dayofweek", "is_weekend"]), Fourier(7), Lags([2, 4]), Rolling(3, ["mean", "std"]), "trend", Holidays("US")]
FUTR = ["dayofweek_sin", "dayofweek_cos", "is_weekend", "fourier_7_1_sin", "fourier_7_1_cos", "y_lag4", "trend", "holiday_US"]
HIST = ["y_lag2", "y_rolling_mean_3", "y_rolling_std_3"]


def test_models_get_what_they_take_and_keep_what_they_were_told(small: Any) -> None:
    both, told, none = small("NHITS"), small("MLP", futr_exog_list=["is_weekend"], hist_exog_list=[]), small()
    past = small("BiTCN", futr_exog_list=[])
    nf = NeuralForecast([both, told, none, past], "D", features=FEATURES)
    assert (both.futr_exog_list, both.hist_exog_list) == (FUTR, HIST)
    assert (told.futr_exog_list, told.hist_exog_list) == (["is_weekend"], [])
    assert (none.futr_exog_list, none.hist_exog_list) == ([], [])
    assert (past.futr_exog_list, past.hist_exog_list) == ([], HIST)
    assert nf.features is not None and nf.features.names(4) == {"futr": FUTR, "hist": HIST}


def test_automatic_models_search_with_features(df: pd.DataFrame) -> None:
    config = {"input_size": 8, "max_steps": 2, "mlp_units": [[[8, 8]]], "windows_batch_size": 16}
    auto = AutoNHITS(h=4, num_samples=1, config=config)
    nf = NeuralForecast([auto], "D", features=FEATURES)
    assert (auto.futr_exog_list, auto.hist_exog_list) == (FUTR, HIST)
    nf.fit(df, verbose=False)
    assert auto.model.futr_exog_list == FUTR and len(nf.predict()) == 8


def test_no_futr_df_is_needed_and_own_columns_still_are(df: pd.DataFrame, wide_df: pd.DataFrame, small: Any, like: Any) -> None:
    nf = NeuralForecast([small("MLP", max_steps=2), small()], "D", features=FEATURES).fit(like(df))
    forecast = nf.predict()
    assert isinstance(forecast, type(like(df))) and len(forecast) == 8
    assert nf.predict(like(df)).equals(forecast)
    rows = nf.make_future_dataframe()
    assert list(rows.columns)[2:] == FUTR
    assert nf.predict(futr_df=rows).equals(forecast)

    mixed = NeuralForecast([small("MLP", futr_exog_list=["trend", "x", "y_lag4"])], "D", features=FEATURES).fit(like(wide_df))
    with pytest.raises(FeatureError, match=r"must hold the future values of x\. Hint"):
        mixed.predict()
    ahead = mixed.make_future_dataframe()
    ahead = ahead.assign(x=0.5) if isinstance(ahead, pd.DataFrame) else ahead.with_columns(x=pl.lit(0.5))
    store, values = mixed._windows_ahead(None, None, ahead, None)[:2]
    assert store.futr_names == ["trend", "x", "y_lag4"]
    np.testing.assert_allclose(values[:, :, 0], np.asarray(ahead["trend"]).reshape(2, 4), rtol=1e-6)  # type: ignore[index]
    np.testing.assert_array_equal(values[:, :, 1], 0.5)  # type: ignore[index]
    np.testing.assert_array_equal(values[:, :, 2], store.y.reshape(-1)[store.offsets[1:, None] - 4 + np.arange(4)])  # type: ignore[index]


def test_pandas_and_polars_forecast_the_same(df: pd.DataFrame, small: Any, values: Any) -> None:
    found = [NeuralForecast([small("MLP", max_steps=2)], freq, features=FEATURES).fit(frame).predict()
             for frame, freq in ((df, "D"), (pl.from_pandas(df), "1d"))]
    np.testing.assert_array_equal(*map(values, found))


def test_forecasts_do_not_know_what_comes_after_their_cutoff(df: pd.DataFrame, small: Any) -> None:
    changed = df.copy()
    changed.loc[changed.groupby("unique_id").cumcount(ascending=False) < 4, "y"] = 1e6
    found = []
    for frame in (df, changed):
        nf = NeuralForecast([small("MLP", max_steps=2)], "D", features=FEATURES)
        found.append(nf.cross_validation(frame, n_windows=2, step_size=1)["MLP"].to_numpy().reshape(2, 2, 4)[:, 0])
    np.testing.assert_array_equal(*found)
    assert nf.dataset is not None and nf.dataset.hist_names == HIST


def test_saved_and_loaded(df: pd.DataFrame, small: Any, tmp_path: Path) -> None:
    features = [*FEATURES[:-1], Holidays({"a": "US", "b": "DE"}), Calendar("dayofweek", "category")]
    nf = NeuralForecast([small("MLP", max_steps=2)], "D", features=features).fit(df)
    nf.save(tmp_path / "nf")
    again = NeuralForecast.load(tmp_path / "nf")
    assert again.predict().equals(nf.predict())
    longer = pd.concat([df, nf.predict().rename(columns={"MLP": "y"})])
    assert again.predict(longer).equals(nf.predict(longer))  # the trend goes on where training left it
    assert again.models[0].cat_exog_list == ["dayofweek"]


def test_categories_are_shown_as_numbers_and_read_as_codes(df: pd.DataFrame, small: Any) -> None:
    nf = NeuralForecast([small("MLP")], "D", features=Calendar("day", "category")).fit(df)
    assert nf.make_future_dataframe()["day"].tolist() == [31.0, 1.0, 2.0, 3.0, 28.0, 29.0, 30.0, 31.0]
    assert nf.dataset is not None and nf.dataset.categories["day"] == list(range(1, 32))
    assert nf.models[0].categorical_cardinalities == {"day": 30}  # of those that training has seen
    with pytest.warns(UserWarning, match="2 of .* values of 'day' were not in the training data"):
        nf.predict()


def test_refused(df: pd.DataFrame, small: Any) -> None:
    with pytest.raises(FeatureError, match=r"'y_lag2' is known 2 steps ahead and asked for 4"):
        NeuralForecast([small("MLP", futr_exog_list=["y_lag2"])], "D", features=FEATURES)
    with pytest.raises(ConfigError, match="no model uses any of the features"):
        NeuralForecast([small()], "D", features=FEATURES)
    with pytest.raises(ConfigError, match="need to know the frequency"):
        NeuralForecast([small("MLP")], features=FEATURES)
    with pytest.raises(ConfigError, match="makes categories, and MLP names it outside of"):
        NeuralForecast([small("MLP", futr_exog_list=["day"])], "D", features=Calendar("day", "category"))
    with pytest.raises(FeatureError, match="df has a column 'trend', which a feature makes too"):
        NeuralForecast([small("MLP")], "D", features="trend").fit(df.assign(trend=1.0))
