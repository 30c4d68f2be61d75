"""Tables by chunks: the store that reading them whole gives, to the bit, and the same refusals with the same rows."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from ndiv import NeuralForecast
from ndiv.data import DataRules, open_store, read_table, stream_table
from ndiv.data.frames import from_frame
from ndiv.errors import DataError, FeatureError, FileError, FileExists
from ndiv.models import NLinear


def table(shuffled: bool = True, text: bool = True) -> pd.DataFrame:
    """Seven series of 20 to 26 hours, with covariates, missing targets, a double and a gap."""
    draw = np.random.default_rng(3)
    parts = []
    for k in range(7):
        rows = 20 + k
        parts.append(pd.DataFrame({"unique_id": f"s{k}" if text else 10 * k, "ds": pd.date_range("2020-01-01", periods=rows, freq="h"),
                                   "y": draw.normal(size=rows) * 10 ** k, "x": draw.normal(size=rows),
                                   "kind": draw.choice(["no", "fair", "sale"], rows)}))
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[[5, 60], "y"] = np.nan
    frame = pd.concat([frame.drop(index=100), frame.iloc[[33]].assign(y=5.0)], ignore_index=True)
    return frame.sample(frac=1, random_state=1).reset_index(drop=True) if shuffled else frame


OPTIONS = {"hist_exog": ["x"], "futr_exog": ["kind"], "cat_exog": ["kind"], "stat_exog": ["size"],
           "rules": DataRules("last", "mask", exog_nan="ffill")}
STATIC = {True: pd.DataFrame({"unique_id": [f"s{k}" for k in range(6, -1, -1)], "size": np.arange(7.0)}),
          False: pd.DataFrame({"unique_id": [10 * k for k in range(6, -1, -1)], "size": np.arange(7.0)})}


def write(frame: pd.DataFrame, path, kind: str):
    if kind == "csv":
        frame.to_csv(path / "t.csv", index=False)
        return path / "t.csv"
    if kind == "parquet":
        frame.to_parquet(path / "t.parquet", index=False, row_group_size=50)
        return path / "t.parquet"
    if kind == "plain folder":
        for k in range(3):
            (path / f"part{k}").mkdir()
            frame.iloc[k * 60:(k + 1) * 60].to_parquet(path / f"part{k}" / "rows.parquet", index=False)
        return path
    frame.to_parquet(path, partition_cols=["unique_id"], index=False)
    return path


@pytest.mark.parametrize(("kind", "text", "freq"), [("csv", True, "h"), ("csv", False, None), ("parquet", True, None),
                                                    ("plain folder", False, "h"), ("hive folder", True, "h")])
def test_a_stream_is_the_table_read_whole(kind, text, freq, tmp_path):
    (tmp_path / "in").mkdir()
    path = write(table(text=text), tmp_path / "in", kind)
    whole = from_frame(read_table(path), freq, static_df=STATIC[text], **OPTIONS)
    stream_table(path, tmp_path / "out", freq, static_df=STATIC[text], rows_at_once=40, **OPTIONS)
    found = open_store(tmp_path / "out")
    assert found.ids.tolist() == whole.ids.tolist() == sorted(STATIC[text].unique_id)
    assert found.freq == whole.freq and found.categories == whole.categories == {"kind": ["fair", "no", "sale"]}
    for name in ("offsets", "times", "y", "mask", "hist", "futr", "stat"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
    assert not (tmp_path / "out" / "spill").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("spoil", [
    lambda f: pd.concat([f, f.iloc[[3]]], ignore_index=True), lambda f: f.drop(index=77), lambda f: f.assign(y=f.y.where(f.index != 90, np.inf)),
    lambda f: f.assign(unique_id=f.unique_id.where(f.index != 90)), lambda f: f.assign(x=f.x.where(f.index != 90)),
    lambda f: f.assign(ds=f.ds + (f.ds - f.ds[0]) * 23), lambda f: f.rename(columns={"y": "Y"})])
def test_what_is_refused_whole_is_refused_in_a_stream(spoil, kind, tmp_path):
    clean = table(shuffled=False).drop_duplicates(["unique_id", "ds"])
    frame = clean[~clean.unique_id.isin(["s4"])].reset_index(drop=True)
    path = write(spoil(frame), tmp_path, kind)
    with pytest.raises((DataError, FeatureError)) as whole:
        from_frame(read_table(path), "h", hist_exog=["x"])
    with pytest.raises(type(whole.value)) as stream:
        stream_table(path, tmp_path / "out", "h", hist_exog=["x"], rows_at_once=40)
    assert stream.value.value == whole.value.value
    for fact in ("rows", "ids"):
        assert stream.value.context.get(fact, [0])[0] == whole.value.context.get(fact, [0])[0]
    with pytest.raises(FileError):
        open_store(tmp_path / "out")


def test_a_forecaster_streams_what_memory_cannot_hold(tmp_path, monkeypatch):
    frame = table(shuffled=False, text=False).drop(columns=["x", "kind"])
    path = write(frame, tmp_path, "parquet")
    rules = {"duplicates": "mean", "fill_gaps": "mask"}

    def forecast(data):
        return NeuralForecast([NLinear(h=4, input_size=8, max_steps=3)], "h", **rules).fit(data, verbose=False).predict()

    whole = forecast(path)
    monkeypatch.setattr("ndiv.data.chunks.available_memory", lambda: 1000)
    monkeypatch.setattr("ndiv.data.inputs.read_table", None)  # not read whole
    pd.testing.assert_frame_equal(forecast(path), whole)
    store = stream_table(path, tmp_path / "out", "h", rules=DataRules("mean", "mask"))
    pd.testing.assert_frame_equal(forecast(store), whole)
    cv = NeuralForecast([NLinear(h=4, input_size=8, max_steps=3)], "h", **rules).cross_validation(path, verbose=False)
    assert len(cv) == 28


def test_bad_paths_and_folders(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        stream_table(tmp_path / "none.csv", tmp_path / "out")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(FileError, match="not readable"):
        stream_table(tmp_path / "bad.parquet", tmp_path / "out")
    path = write(table(), tmp_path, "csv")
    with pytest.raises(FileExists, match=re.escape("not empty")):
        stream_table(path, tmp_path)
    with pytest.raises(FeatureError, match="cat_exog names 'size'"):
        stream_table(path, tmp_path / "other", cat_exog=["size"], stat_exog=["size"])
