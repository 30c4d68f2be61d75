"""Covariates known ahead: what futr_df must hold, and what is said when it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.errors import DataError, FeatureError


@pytest.fixture
def fitted(small: Any, wide_df: pd.DataFrame) -> NeuralForecast:
    models = [small("MLP", futr_exog_list=["x"]), small("NHITS", hist_exog_list=["x"]), small()]
    return NeuralForecast(models, freq="D").fit(wide_df)


@pytest.fixture
def ahead(fitted: NeuralForecast) -> pd.DataFrame:
    return fitted.make_future_dataframe().assign(x=np.arange(8.0))


def test_future_rows(fitted: NeuralForecast) -> None:
    rows = fitted.make_future_dataframe()
    assert list(rows.columns) == ["unique_id", "ds"]
    assert rows["ds"].iloc[[0, 3, 4]].astype(str).tolist() == ["2020-01-31", "2020-02-03", "2020-01-28"]


def test_future_rows_of_another_horizon(fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    more = fitted.make_future_dataframe(h=6)
    assert len(more) == len(fitted.make_future_dataframe()) // 4 * 6
    assert len(fitted.get_missing_future(ahead, h=6)) == len(more) - len(ahead)
    assert len(fitted.get_missing_future(ahead, h=2)) == 0


def test_covariates_reach_the_model_that_lists_them(fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    one = fitted.predict(futr_df=ahead)
    two = fitted.predict(futr_df=ahead.assign(x=ahead.x + (ahead.unique_id == "b")))
    same = one.unique_id == "a"
    assert one[same].equals(two[same])
    assert (one.loc[~same, "MLP"] != two.loc[~same, "MLP"]).all()
    assert one[["NHITS", "NLinear"]].equals(two[["NHITS", "NLinear"]])


def test_order_of_rows_and_kind_of_frame_do_not_matter(fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    want = fitted.predict(futr_df=ahead)
    text = ahead.assign(ds=ahead.ds.dt.strftime("%Y-%m-%d"))
    for other in (ahead.sample(frac=1.0, random_state=1), pl.from_pandas(ahead), text, ahead.set_index("unique_id"),
                  pl.from_pandas(ahead).with_columns(pl.col("ds").cast(pl.Date))):
        assert fitted.predict(futr_df=other).equals(want)


def test_futr_df_missing(fitted: NeuralForecast) -> None:
    with pytest.raises(FeatureError, match=r"E0004.*futr_df is missing.*x.*make_future_dataframe"):
        fitted.predict()


def test_column_missing(fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    with pytest.raises(FeatureError, match=r"no column 'x'.*X"):
        fitted.predict(futr_df=ahead.rename(columns={"x": "X"}))
    with pytest.raises(FeatureError, match="no id column"):
        fitted.predict(futr_df=ahead.drop(columns="unique_id"))
    with pytest.raises(FeatureError, match="no time column"):
        fitted.predict(futr_df=ahead.drop(columns="ds"))


def test_rows_missing(fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    part = ahead.drop(index=[2, 7])
    with pytest.raises(FeatureError, match=r"lacks 2 of 8 rows with x; the first: unique_id a, ds 2020-02-02\.") as caught:
        fitted.predict(futr_df=part)
    assert caught.value.value == ("a", "2020-02-02")
    lost = fitted.get_missing_future(part)
    assert lost.equals(ahead.loc[[2, 7], ["unique_id", "ds"]].reset_index(drop=True))
    assert len(fitted.get_missing_future(ahead)) == 0


def test_unneeded_rows_are_counted(fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    more = pd.concat([ahead, ahead.head(3).assign(unique_id="c")])
    with pytest.warns(UserWarning, match="3 rows of futr_df are not needed") as caught:
        fitted.predict(futr_df=more)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("change", "text"), [
    (lambda f: f.assign(x=f.x.where(f.index != 3)), "missing or infinite"),
    (lambda f: f.assign(x="high"), "'high'"),
    (lambda f: pd.concat([f, f.head(1)]), "duplicate"),
])
def test_bad_future_values(change: Any, text: str, fitted: NeuralForecast, ahead: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=text):
        fitted.predict(futr_df=change(ahead))


def test_ids_of_another_type_are_named(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df.assign(unique_id=df.unique_id.map({"a": 1, "b": 2})))
    with pytest.raises(DataError, match="ids such as 'a', df 1"):
        nf.get_missing_future(df[["unique_id", "ds"]])


def test_static_covariates(small: Any, df: pd.DataFrame, like: Any) -> None:
    static = pd.DataFrame({"unique_id": ["b", "a"], "size": [3.0, 1.0]})
    nf = NeuralForecast([small("MLP", stat_exog_list=["size"])], freq="D").fit(like(df), like(static))
    one = nf.predict()
    two = nf.predict(like(df), static_df=like(static.assign(size=[9.0, 1.0])))
    moved = np.asarray(one["MLP"]) != np.asarray(two["MLP"])
    assert moved.tolist() == [False] * 4 + [True] * 4
    with pytest.raises(FeatureError, match="needs static_df"):
        nf.predict(like(df))
    with pytest.raises(DataError, match=r"1 ids of df are not in static_df: b"):
        nf.predict(like(df), static_df=like(static.tail(1)))
