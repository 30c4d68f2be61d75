"""NeuralForecast: frames in, the same kind of frame out, with the same numbers for pandas and polars."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.errors import ConfigError, NotFittedError

NAMES = ["NLinear", "DLinear", "MLP", "NHITS"]


@pytest.mark.parametrize("name", NAMES)
def test_pandas_and_polars_give_equal_numbers(name: str, small: Any, df: pd.DataFrame, values: Any) -> None:
    one = NeuralForecast([small(name)], freq="D").fit(df).predict()
    two = NeuralForecast([small(name)], freq="1d").fit(pl.from_pandas(df)).predict()
    assert isinstance(one, pd.DataFrame)
    assert isinstance(two, pl.DataFrame)
    assert list(one.columns) == two.columns == ["unique_id", "ds", name]
    assert one["unique_id"].tolist() == two["unique_id"].to_list() == ["a"] * 4 + ["b"] * 4
    assert one["ds"].tolist() == two["ds"].to_list()
    assert one["ds"].iloc[0] == pd.Timestamp("2020-01-31")
    assert one["ds"].iloc[4] == pd.Timestamp("2020-01-28")
    assert np.isfinite(values(one)).all()
    assert np.array_equal(values(one), values(two))


def test_row_order_does_not_matter(small: Any, df: pd.DataFrame) -> None:
    shuffled = df.sample(frac=1.0, random_state=3)
    one = NeuralForecast([small()], freq="D").fit(df).predict()
    assert one.equals(NeuralForecast([small()], freq="D").fit(shuffled).predict())


def test_same_seed_same_bits_and_other_seed_other_numbers(small: Any, df: pd.DataFrame, values: Any) -> None:
    runs = [values(NeuralForecast([small("NHITS", random_seed=s)], freq="D").fit(df).predict()) for s in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_columns_follow_alias_and_repetition(small: Any, df: pd.DataFrame) -> None:
    models = [small(), small(random_seed=2), small(alias="NLinear1"), small("DLinear", alias="mine"), small(random_seed=3)]
    out = NeuralForecast(models, freq="D").fit(df).predict()
    assert list(out.columns)[2:] == ["NLinear", "NLinear2", "NLinear1", "mine", "NLinear3"]


def test_clashing_aliases_are_refused(small: Any, df: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="'ds'"):
        NeuralForecast([small(alias="ds")], freq="D").fit(df)


@pytest.mark.parametrize("scaler", ["standard", "robust", "robust-iqr", "minmax", "boxcox"])
def test_series_scaler_moves_with_the_data(scaler: str, small: Any, df: pd.DataFrame, values: Any) -> None:
    """The untrained part of a forecast is equivariant: 100 times the data, 100 times the forecast (linear scalers)."""
    one = values(NeuralForecast([small()], "D", scaler).fit(df).predict())
    assert np.isfinite(one).all()
    if scaler != "boxcox":
        big = values(NeuralForecast([small()], "D", scaler).fit(df.assign(y=df.y * 100)).predict())
        assert np.allclose(big, one * 100, rtol=2e-4)


def test_known_series_keep_their_scale_and_new_ones_get_their_own(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], "D", "standard").fit(df)
    whole = nf.predict()
    again = nf.predict(df[df.unique_id == "b"])
    assert np.allclose(again["NLinear"], whole.loc[whole.unique_id == "b", "NLinear"], rtol=1e-6)
    new = nf.predict(df.assign(unique_id=df.unique_id.map({"a": "new", "b": "other"})))
    assert new["unique_id"].unique().tolist() == ["new", "other"]
    assert np.allclose(new["NLinear"], whole["NLinear"], rtol=1e-6)  # the same history has the same statistics


def test_predict_on_other_data(small: Any, df: pd.DataFrame, like: Any, values: Any) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df)
    assert np.array_equal(values(nf.predict(like(df))), values(nf.predict()))
    short = like(pd.DataFrame({"unique_id": "z", "ds": pd.date_range("2021-03-01", periods=3), "y": [1.0, 2.0, 3.0]}))
    out = nf.predict(short)
    assert len(out) == 4
    assert pd.Timestamp(out["ds"][0]) == pd.Timestamp("2021-03-04")
    assert type(out) is type(short)


def test_fit_without_data_goes_on_with_what_is_stored(small: Any, df: pd.DataFrame, values: Any) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df)
    first = values(nf.predict())
    further = values(nf.fit().predict())
    assert not np.array_equal(first, further)
    assert np.array_equal(values(nf.fit(use_init_models=True).predict()), first)


def test_fit_from_files(small: Any, df: pd.DataFrame, tmp_path: Path, values: Any) -> None:
    df.to_csv(tmp_path / "a.csv", index=False)
    df.to_parquet(tmp_path / "a.parquet")
    want = values(NeuralForecast([small()], freq="D").fit(df).predict())
    for name in ("a.csv", "a.parquet"):
        nf = NeuralForecast([small()], freq="D").fit(tmp_path / name)
        assert np.array_equal(values(nf.predict()), want)
        assert np.array_equal(values(nf.predict(str(tmp_path / name))), want)


def test_frequency_is_inferred_and_integer_times_work(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast(small()).fit(df)
    assert nf.fitted_freq == "D"
    step = df.assign(ds=df.groupby("unique_id").cumcount() * 2)
    assert NeuralForecast([small()], freq=2).fit(step).predict()["ds"].tolist()[:4] == [60, 62, 64, 66]


def test_other_column_names(small: Any, df: pd.DataFrame) -> None:
    renamed = df.rename(columns={"unique_id": "shop", "ds": "day", "y": "sold"})
    nf = NeuralForecast([small()], freq="D").fit(renamed, id_col="shop", time_col="day", target_col="sold")
    assert list(nf.predict().columns) == ["shop", "day", "NLinear"]
    assert list(nf.predict(renamed).columns) == ["shop", "day", "NLinear"]


def test_validation_is_recorded_and_not_trained_on(small: Any, df: pd.DataFrame, values: Any) -> None:
    model = small()
    NeuralForecast([model], freq="D", local_scaler_type="standard").fit(df, val_size=4)
    assert np.isfinite(model.history[-1]["valid_loss"])
    changed = df.copy()
    tail = changed.groupby("unique_id").tail(4).index
    changed.loc[tail, "y"] *= 7
    forecasts = []
    for frame in (df, changed):
        m = small(restore_best=False)
        NeuralForecast([m], freq="D", local_scaler_type="standard").fit(frame, val_size=4)
        forecasts.append(m.state_dict()["linear.weight"])
    assert np.array_equal(*forecasts)


def test_shorter_horizon_is_a_slice(small: Any, df: pd.DataFrame, values: Any) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df)
    whole, part = nf.predict(), nf.predict(h=2)
    assert part.equals(whole.groupby("unique_id").head(2).reset_index(drop=True))
    with pytest.raises(ConfigError, match="at least 1"):
        nf.predict(h=0)


def test_unused_columns_are_named_once(small: Any, wide_df: pd.DataFrame) -> None:
    with pytest.warns(UserWarning, match="no model uses: x") as caught:
        NeuralForecast([small()], freq="D").fit(wide_df)
    assert [Path(w.filename).name for w in caught] == ["test_core.py"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NeuralForecast([small("MLP", hist_exog_list=["x"])], freq="D").fit(wide_df).predict()


def test_a_model_alone_fits_and_predicts(small: Any, df: pd.DataFrame, values: Any) -> None:
    want = values(NeuralForecast([small()], freq="D").fit(df).predict())
    assert np.array_equal(values(small().fit(df, freq="D").predict()), want)


@pytest.mark.parametrize("call", ["predict", "make_future_dataframe", "save"])
def test_before_fit(call: str, small: Any, tmp_path: Path) -> None:
    nf = NeuralForecast([small()], freq="D")
    with pytest.raises(NotFittedError, match=r"E0001.*not trained.*fit"):
        getattr(nf, call)(*([tmp_path] if call == "save" else []))
    with pytest.raises(NotFittedError, match="Pass df"):
        nf.fit()


def test_a_failed_fit_changes_nothing(small: Any, df: pd.DataFrame, values: Any) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df)
    before = nf.predict()
    with pytest.raises(ValueError, match="duplicate"):
        nf.fit(pd.concat([df, df]))
    assert nf.predict().equals(before)


def test_constructor_refuses(small: Callable[..., Any]) -> None:
    for models, text in (([], "no models"), (["NHITS"], "'NHITS'"), ([type(small())], "the class NLinear"), (None, "None"),
                         ([small(), small(h=5)], "h = 4, 5")):
        with pytest.raises(ConfigError, match=text):
            NeuralForecast(models, freq="D")
    one = small()
    with pytest.raises(ConfigError, match="twice"):
        NeuralForecast([one, one])
    with pytest.raises(ConfigError, match=r"'standrad'.*Did you mean 'standard'"):
        NeuralForecast([one], "D", "standrad")
    with pytest.raises(ConfigError, match="unknown freq 'dayly'"):
        NeuralForecast([one], "dayly")
    assert repr(NeuralForecast([one], "D")) == "NeuralForecast([NLinear], h=4, freq='D')"


def test_importing_the_package_loads_no_frame_library() -> None:
    code = ("import sys, ndiv.forecast; from ndiv import NeuralForecast, evaluate; import ndiv.plot; "
            "print([m for m in ('pandas', 'polars', 'narwhals', 'utilsforecast', 'matplotlib') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
