"""`validate` refuses what fit refuses, and says all of it at once; `ndiv validate` ends with status 2 there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv.cli import main
from ndiv.data import DataRules, from_frame, validate
from ndiv.errors import NdivError


def good(rows: int = 20) -> pd.DataFrame:
    step = np.arange(rows)
    return pd.concat([pd.DataFrame({"unique_id": k, "ds": pd.date_range("2020-01-01", periods=rows), "y": np.sin(step) + n,
                                    "x": np.cos(step)}) for n, k in enumerate("ab")], ignore_index=True)


def put(frame, column, row, value):
    values = frame[column].astype(object)
    values.iloc[row] = value
    return frame.assign(**{column: values})


SPOILED = {
    "nothing": lambda f: f, "shuffled": lambda f: f.sample(frac=1, random_state=0), "missing y": lambda f: put(f, "y", 3, np.nan),
    "duplicates": lambda f: pd.concat([f, f.iloc[[3, 4]]], ignore_index=True), "gaps": lambda f: f.drop(index=[7, 8, 30]),
    "null id": lambda f: put(f, "unique_id", 5, None), "null time": lambda f: f.assign(ds=f.ds.where(f.index != 5)),
    "text y": lambda f: f.assign(y=["x" if k == 4 else str(v) for k, v in enumerate(f.y)]), "inf y": lambda f: put(f, "y", 2, np.inf),
    "inf x": lambda f: put(f, "x", 2, -np.inf), "nan x": lambda f: put(f, "x", 2, np.nan), "nan first x": lambda f: put(f, "x", 20, np.nan),
    "weekly": lambda f: f.assign(ds=f.ds.iloc[0] + (f.ds - f.ds.iloc[0]) * 7), "no y": lambda f: f.rename(columns={"y": "Y"}),
    "no id": lambda f: f.rename(columns={"unique_id": "uniqueid"}), "no rows": lambda f: f[:0], "text ds": lambda f: f.assign(ds="soon"),
    "number ds": lambda f: f.assign(ds=f.groupby("unique_id").cumcount()), "float ds": lambda f: f.assign(ds=1.5),
    "irregular": lambda f: put(f, "ds", 9, pd.Timestamp("2020-01-09 12:00")).assign(ds=lambda g: pd.to_datetime(g.ds)),
}


@pytest.mark.parametrize("rules", [DataRules(), DataRules("last", "mask", exog_nan="ffill")], ids=["raise", "repair"])
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("case", SPOILED)
def test_it_refuses_what_reading_refuses(case, library, rules):
    frame = SPOILED[case](good())
    frame = frame if library == "pandas" else pl.from_pandas(frame)
    report = validate(frame, "D", hist_exog=["x"], rules=rules)
    try:
        from_frame(frame, "D", hist_exog=["x"], rules=rules)
        error = None
    except NdivError as caught:
        error = caught
    assert report.ok == (error is None), str(report)
    if error is not None:
        assert error.code in [f.code for f in report.findings if f.level == "refused"]
    assert json.loads(report.to_json())["ok"] is report.ok


def test_all_is_said_at_once():
    bad = good()
    bad = put(put(put(bad, "y", 2, np.inf), "unique_id", 11, None), "x", 3, np.nan).drop(index=[30])
    bad = pd.concat([bad, bad.iloc[[3]]], ignore_index=True)
    short = pd.DataFrame({"unique_id": ["c"] * 3, "ds": pd.date_range("2020-01-01", periods=3), "y": 7.0, "x": 0.0, "kind": "k"})
    report = validate(pd.concat([bad, short], ignore_index=True), "D", h=4, input_size=8, hist_exog=["x"])
    kinds = {f.kind for f in report.findings if f.level == "refused"}
    assert kinds == {"ids", "infinities", "covariates", "duplicates", "gaps", "short"}
    text = str(report)
    for word in ("3 series, 43 rows", "c (3 rows)", "rows 11", "a at 2020-01-03 (row 2)", "b misses 2020-01-11", "'kind' holds no numbers",
                 "1 series are constant: c", "1 series end before", "short_series='pad'", "for 6 reasons"):
        assert word in text
    mended = validate(bad[bad.unique_id.notna()].assign(y=lambda f: f.y.where(f.y != np.inf)), "D", hist_exog=["x"],
                      rules=DataRules("last", "mask", exog_nan="ffill"))
    assert mended.ok and {f.kind for f in mended.findings if f.level == "repaired"} == {"covariates", "duplicates", "gaps"}


def test_statics():
    frame = good()
    assert not validate(frame, "D", stat_exog=["size"]).ok
    assert validate(frame, "D", stat_exog=["size"], static_df=pd.DataFrame({"unique_id": ["a", "b"], "size": [1, 2]})).ok
    assert not validate(frame, "D", stat_exog=["size"], static_df=pd.DataFrame({"unique_id": ["a"], "size": [1]})).ok
    kinds = pd.DataFrame({"unique_id": ["a", "b"], "size": ["s", "m"]})
    assert not validate(frame, "D", stat_exog=["size"], static_df=kinds).ok
    assert validate(frame, "D", stat_exog=["size"], static_df=kinds, cat_exog=["size"]).ok


def test_command(tmp_path, capsys):
    good()[["unique_id", "ds", "y"]].to_csv(tmp_path / "good.csv", index=False)
    assert main(["validate", str(tmp_path / "good.csv"), "--h", "4", "--input-size", "8"]) == 0
    assert "2 series, 40 rows" in capsys.readouterr().out
    good().drop(index=[4]).to_csv(tmp_path / "bad.csv", index=False)
    command = ["validate", str(tmp_path / "bad.csv"), "--freq", "D", "--hist-exog", "x", "--json"]
    assert main(command) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and found["freq"] == "D" and [f["kind"] for f in found["findings"]] == ["gaps"]
    assert main([*command, "--fill-gaps", "mask", "--exog-nan", "ffill"]) == 0
    capsys.readouterr()
    assert main(["validate", str(tmp_path / "none.csv")]) == 2
    assert "E0006" in capsys.readouterr().err
