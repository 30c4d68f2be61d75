"""Bad data: each kind ends in its class and code, one line, with the culprit in it, for pandas and for polars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv import NeuralForecast
from ndiv.errors import ArgumentError, ConfigError, DataError, EmptyDataError, FeatureError, HorizonError, NdivError
from ndiv.models import NHITS, get_model


def change(frame: pd.DataFrame, column: str, row: int, value: Any) -> pd.DataFrame:
    values = frame[column].astype(object)
    values.iloc[row] = value
    return frame.assign(**{column: values})


CASES: dict[str, tuple[Any, type[NdivError], str, list[str]]] = {
    "duplicate times": (lambda f: pd.concat([f, f.iloc[[3]]], ignore_index=True), DataError, "E0011",
                        ["1 duplicate", "a at 2020-01-04", "3"]),
    "a gap": (lambda f: f.drop(index=10), DataError, "E0011", ["1 gap", "a misses 2020-01-11", "fill_gaps"]),
    "weekly data": (lambda f: f.assign(ds=f.ds.iloc[0] + (f.ds - f.ds.iloc[0]) * 7), DataError, "E0011",
                    ["freq='D' disagrees", "the data look like freq="]),
    "null time": (lambda f: f.assign(ds=f.ds.where(f.index != 4)), DataError, "E0011", ["1 null time", "'ds'", "row 4"]),
    "null id": (lambda f: f.assign(unique_id=f.unique_id.where(f.index != 4)), DataError, "E0011",
                ["1 null id", "'unique_id'", "row 4"]),
    "text in y": (lambda f: f.assign(y=["many" if k == 2 else str(v) for k, v in enumerate(f.y)]), DataError, "E0011",
                  ["'y'", "numbers"]),
    "infinite y": (lambda f: f.assign(y=f.y.where(f.index != 2, np.inf)), DataError, "E0011",
                   ["infinite", "'y'", "a at 2020-01-03", "row 2"]),
    "no target column": (lambda f: f.rename(columns={"y": "Y"}), FeatureError, "E0004", ["no target column 'y'", "Y"]),
    "no time column": (lambda f: f.rename(columns={"ds": "day"}), FeatureError, "E0004", ["no time column 'ds'", "day"]),
    "no id column": (lambda f: f.rename(columns={"unique_id": "uniqueid"}), FeatureError, "E0004",
                     ["no id column 'unique_id'", "uniqueid"]),
    "no rows": (lambda f: f.iloc[:0], EmptyDataError, "E0003", ["no rows"]),
    "short series": (lambda f: f.groupby("unique_id").head(5), HorizonError, "E0005", ["a"]),
    "boxcox of zero": (lambda f: f.assign(y=0.0), DataError, "E0011", ["boxcox", "a"]),
}


@pytest.mark.parametrize("case", CASES)
def test_fit_refuses(case: str, small: Any, df: pd.DataFrame, like: Any) -> None:
    spoil, kind, code, words = CASES[case]
    nf = NeuralForecast([small()], freq="D", local_scaler_type="boxcox" if "boxcox" in case else None)
    with pytest.raises(kind) as caught:
        nf.fit(like(spoil(df)))
    text = str(caught.value)
    assert caught.value.code == code
    assert text.startswith(f"[{code}] ")
    assert "\n" not in text
    assert [w for w in words if w not in text] == []


def test_text_among_numbers_is_found(small: Any, df: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"'many' in row 2"):
        NeuralForecast([small()], freq="D").fit(change(df, "y", 2, "many"))


def test_short_series_among_long_ones_is_named(small: Any, df: pd.DataFrame) -> None:
    few = pd.DataFrame({"unique_id": "tiny", "ds": pd.date_range("2020-01-01", periods=3), "y": 1.0})
    with pytest.raises(HorizonError, match="tiny"):
        NeuralForecast([small()], freq="D").fit(pd.concat([df, few]))


def test_the_same_checks_guard_predict(small: Any, df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small()], freq="D").fit(like(df))
    with pytest.raises(DataError, match="a misses 2020-01-11"):
        nf.predict(like(df.drop(index=10)))
    with pytest.raises(EmptyDataError):
        nf.predict(like(df.iloc[:0]))


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_target_values_are_fine(missing: Any, small: Any, df: pd.DataFrame, like: Any) -> None:
    frame = df.assign(y=df.y.where(~df.index.isin([0, 11, 12, 29]), missing))
    forecast = NeuralForecast([small(n) for n in ("NLinear", "DLinear", "MLP", "NHITS")], freq="D").fit(like(frame)).predict()
    assert np.isfinite(np.column_stack([forecast[n] for n in ("NLinear", "DLinear", "MLP", "NHITS")])).all()


@pytest.mark.parametrize("name", ["NLinear", "DLinear", "MLP", "NHITS"])
def test_constructors_refuse(name: str) -> None:
    model = get_model(name)
    with pytest.raises(ArgumentError, match=r"E0010.*'max_step'.*Did you mean 'max_steps'"):
        model(h=4, input_size=8, max_step=3)
    with pytest.raises(TypeError):
        model(h=4, input_size=8, max_step=3)
    with pytest.raises(ConfigError, match=r"E0010.*h must be.*not 0"):
        model(h=0, input_size=8)
    with pytest.raises(ConfigError, match=r"E0010.*'standrad'.*Did you mean 'standard'"):
        model(h=4, input_size=8, scaler_type="standrad")


def test_covariates_that_a_frame_lacks_or_spoils(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small("MLP", hist_exog_list=["x"])], freq="D")
    with pytest.raises(FeatureError, match="'x'"):
        nf.fit(like(wide_df.drop(columns="x")))
    with pytest.raises(DataError, match=r"'x' \(hist_exog\): b at 2020-01-03"):
        nf.fit(like(wide_df.assign(x=wide_df.x.where(wide_df.index != 32))))


def test_early_stopping_needs_validation(df: pd.DataFrame) -> None:
    model = NHITS(h=4, input_size=8, early_stop_patience_steps=2, mlp_units=[[8, 8]] * 3)
    with pytest.raises(ConfigError, match="val"):
        NeuralForecast([model], freq="D").fit(df)
