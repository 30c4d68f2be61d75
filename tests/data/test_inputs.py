"""Whatever a person has: the same numbers from frames, lazy frames, Arrow, dicts, arrays and files, in the kind that came in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ndiv import NeuralForecast
from ndiv.data import long_frame
from ndiv.errors import ConfigError, DataError, FeatureError, FileError
from ndiv.models import NLinear

RNG = np.random.default_rng(5)
Y = {"a": RNG.normal(size=30), "b": RNG.normal(size=27)}


def frame() -> pd.DataFrame:
    return pd.concat([pd.DataFrame({"unique_id": k, "ds": pd.date_range("2020-01-01", periods=len(y)), "y": y}) for k, y in Y.items()],
                     ignore_index=True)


def forecast(data, freq="D", **options):
    model = NLinear(h=3, input_size=6, max_steps=3, windows_batch_size=8)
    return NeuralForecast([model], freq).fit(data, verbose=False, **options).predict()


def values(found):
    return np.asarray(found["NLinear"])


def test_all_kinds_of_tables_give_the_same_numbers(tmp_path):
    df = frame()
    df.to_csv(tmp_path / "a.csv", index=False)
    df.to_csv(tmp_path / "a.csv.gz", index=False)
    df.to_parquet(tmp_path / "a.parquet")
    df.to_parquet(tmp_path / "hive", partition_cols=["unique_id"])
    (tmp_path / "plain").mkdir()
    df[:20].to_parquet(tmp_path / "plain" / "1.parquet")
    df[20:].to_parquet(tmp_path / "plain" / "2.parquet")
    (tmp_path / "plain" / "_SUCCESS").touch()
    want = forecast(df)
    kinds = {"polars": pl.from_pandas(df), "lazy": pl.from_pandas(df).lazy(), "arrow": pa.Table.from_pandas(df),
             "dict": {k: df[k].to_numpy() for k in df}, "shuffled": df.sample(frac=1, random_state=0),
             **{name: tmp_path / name for name in ("a.csv", "a.csv.gz", "a.parquet", "hive", "plain")}}
    for name, data in kinds.items():
        found = forecast(data)
        assert isinstance(found, pl.DataFrame if name in ("polars", "lazy") else pd.DataFrame), name
        np.testing.assert_array_equal(values(found), values(want), err_msg=name)
        assert list(found["unique_id"]) == list(want["unique_id"]), name
        assert [pd.Timestamp(t) for t in found["ds"]] == list(want["ds"]), name


def test_arrays_are_series_in_whole_steps():
    steps = frame().assign(ds=[*range(30), *range(27)], unique_id=frame().unique_id.map({"a": 0, "b": 1}))
    want = forecast(steps, 1)
    found = forecast(list(Y.values()), 1)
    assert found["unique_id"].tolist() == [0, 0, 0, 1, 1, 1] and found["ds"].tolist() == [30, 31, 32, 27, 28, 29]
    np.testing.assert_array_equal(values(found), values(want))
    one = forecast(steps[steps.unique_id == 0][["ds", "y"]], 1)
    for data in (Y["a"], Y["a"].tolist(), pl.Series(Y["a"]), pd.Series(Y["a"])):
        np.testing.assert_array_equal(values(forecast(data, None)), values(one))
    dated = forecast(pd.Series(Y["a"], pd.period_range("2020-01", periods=30, freq="M")), "MS")
    assert str(dated["ds"][0]) == "2022-07-01 00:00:00"
    np.testing.assert_array_equal(values(dated), values(one))
    assert np.isnan(long_frame([[1, None, 3]])["y"][1])


def test_periods_are_their_first_times():
    df = frame()
    found = forecast(df.assign(ds=df.ds.dt.to_period("D")))
    pd.testing.assert_frame_equal(found, forecast(df))


@pytest.mark.parametrize("like", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(("old", "new", "words"), [("y", "Y", "Did you mean 'Y'. Pass target_col='Y'"), ("ds", "date", "time_col='date'"),
                                                   ("y", "sales", "target_col='sales'"), ("ds", "dss", "Did you mean 'dss'")])
def test_a_column_under_another_name(like, old, new, words):
    table = {"unique_id": ["a"] * 9, "ds": np.arange(9), "y": np.arange(9.0)}
    with pytest.raises(FeatureError, match=words):
        forecast(like({new if k == old else k: v for k, v in table.items()}), 1)


def test_one_series_alone_is_that_among_a_thousand():
    many = pd.concat([pd.DataFrame({"unique_id": f"s{k}", "ds": np.arange(12), "y": np.cos(np.arange(12) * k)}) for k in range(1000)])
    nf = NeuralForecast([NLinear(h=3, input_size=6, max_steps=3)], 1).fit(many, verbose=False)
    all_of_them = nf.predict()
    for name in ("s0", "s7", "s999"):
        np.testing.assert_array_equal(values(nf.predict(many[many.unique_id == name])),
                                      values(all_of_them[all_of_them.unique_id == name]))


@pytest.mark.parametrize("bad", [np.zeros((3, 4)), [np.zeros((3, 4)), [1.0]], ["a", "b"], 7, {1, 2}, [["x"], [1.0]], {"ds": [1, 2], "y": [1.0]}])
def test_what_is_no_table_is_refused(bad):
    with pytest.raises(ConfigError):
        forecast(bad, 1)


def test_folders_without_tables(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        forecast(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(FileError, match="not readable as Parquet"):
        forecast(tmp_path)


def test_text_freq_for_arrays():
    with pytest.raises(DataError, match="freq is 'h' but the times are integers"):
        forecast([Y["a"]], "h")
