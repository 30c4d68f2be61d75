"""Forecasts of the past equal those made one cutoff at a time, whatever the lengths of the series and the kind of model."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.errors import ConfigError, HorizonError, NotFittedError


def one_by_one(nf: NeuralForecast, df: pd.DataFrame, step: int, **ahead: Any) -> pd.DataFrame:
    """The same rows, by one call of `predict` for each cutoff of each series."""
    parts = []
    for _, rows in df.groupby("unique_id"):
        rows = rows.reset_index(drop=True)
        for end in range(len(rows) - nf.h, 0, -step):
            later = rows.iloc[end:end + nf.h]
            found = nf.predict(rows.iloc[:end], futr_df=later[["unique_id", "ds", "x"]] if ahead else None)
            parts.append(found.assign(cutoff=rows["ds"].iloc[end - 1], y=later["y"].to_numpy(np.float32)))
    return pd.concat(parts).sort_values(["unique_id", "cutoff", "ds"], ignore_index=True)


@pytest.mark.parametrize(("name", "options"), [("NLinear", {}), ("MLP", {"scaler_type": "standard"}),
                                               ("GRU", {"recurrent": True, "inference_input_size": 12})])
def test_equals_one_cutoff_at_a_time(name: str, options: Any, small: Any, like: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small(name, **options)], freq="D", local_scaler_type="standard").fit(like(df))
    found = nf.predict_insample(step_size=9)
    assert list(found.columns) == ["unique_id", "ds", "cutoff", name, "y"]
    assert isinstance(found, type(like(df)))
    rows = pd.DataFrame(found.to_dict(as_series=False)) if isinstance(found, pl.DataFrame) else found
    fitted = NeuralForecast([small(name, **options)], freq="D", local_scaler_type="standard").fit(df)
    wanted = one_by_one(fitted, df, 9)
    assert rows[["unique_id", "ds", "cutoff"]].equals(wanted[["unique_id", "ds", "cutoff"]])
    np.testing.assert_allclose(rows[name], wanted[name], rtol=1e-5)
    np.testing.assert_array_equal(rows["y"].astype(float), wanted["y"].astype(float))
    assert rows.groupby("unique_id")["cutoff"].nunique().to_dict() == {"a": 3, "b": 3}


def test_covariates_and_quantiles(small: Any, wide_df: pd.DataFrame) -> None:
    from ndiv.losses import MQLoss

    model = small("MLP", futr_exog_list=["x"], hist_exog_list=["x"], loss=MQLoss(level=[80]))
    nf = NeuralForecast([model], freq="D").fit(wide_df)
    found = nf.predict_insample(step_size=7)
    wanted = one_by_one(nf, wide_df, 7, futr=True)
    assert list(found.columns)[3:] == ["MLP-median", "MLP-lo-80", "MLP-hi-80", "y"]
    np.testing.assert_allclose(found[["MLP-median", "MLP-lo-80"]], wanted[["MLP-median", "MLP-lo-80"]], rtol=1e-5)


def test_multivariate_models_with_series_of_unequal_lengths(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small("TSMixer"), small("NLinear")], freq="D")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the series end at different times
        nf.fit(df)
        found = nf.predict_insample(step_size=4)
        sizes = df.groupby("unique_id").size()
        for back in (4, 8, 20):  # rows after the cutoff, of both series
            past = pd.concat([rows.iloc[:sizes[name] - back] for name, rows in df.groupby("unique_id")])
            wanted = nf.predict(past)
            last = past.groupby("unique_id")["ds"].max()
            rows = pd.concat([found[(found["unique_id"] == k) & (found["cutoff"] == t)] for k, t in last.items()])
            np.testing.assert_allclose(rows[["TSMixer", "NLinear"]], wanted[["TSMixer", "NLinear"]], rtol=1e-5)
    assert found.groupby("unique_id")["cutoff"].nunique().to_dict() == {"a": 7, "b": 6}


def test_imported_rules_of_scaling_use_the_whole_series(small: Any, df: pd.DataFrame) -> None:
    from ndiv.forecast.scaling import ColumnScaler

    nf = NeuralForecast([small()], freq="D", local_scaler_type="standard").fit(df)
    wanted = nf.predict_insample(step_size=6)
    nf.scaler = ColumnScaler("standard", None)  # statistics of the series at hand, which is what fit used above
    np.testing.assert_allclose(nf.predict_insample(step_size=6)["NLinear"], wanted["NLinear"], rtol=1e-4)


def test_short_series_are_named_and_left_out(small: Any, df: pd.DataFrame) -> None:
    frame = df.groupby("unique_id").tail(27).iloc[:31]  # "b" has four rows
    nf = NeuralForecast([small(start_padding_enabled=True)], freq="D").fit(frame)
    with pytest.warns(UserWarning, match="1 series have no h=4 rows with one before them and are left out: b"):
        assert set(nf.predict_insample()["unique_id"]) == {"a"}
    nf.dataset = nf.dataset.select([1])  # type: ignore[union-attr]
    with pytest.raises(HorizonError, match="no series has h=4 rows"):
        nf.predict_insample()


@pytest.mark.parametrize("step", [0, 1.5, True])
def test_bad_steps_are_refused(step: Any, small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], freq="D")
    with pytest.raises(NotFittedError):
        nf.predict_insample()
    with pytest.raises(ConfigError, match="step_size"):
        nf.fit(df).predict_insample(step)
