"""``ndiv features`` and ``ndiv fit --feature``: columns in a file, and forecasts that need no other file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ndiv.cli import main
from ndiv.features import make


@pytest.fixture
def data(tmp_path: Path) -> Path:
    step = np.arange(30)
    parts = [pd.DataFrame({"unique_id": i, "ds": pd.date_range("2020-01-01", periods=30), "y": np.sin(step / 2) + k})
             for k, i in enumerate("ab")]
    pd.concat(parts, ignore_index=True).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def test_columns_are_those_of_the_library(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = ["calendar:dayofweek:number", "lags:1,7", "rolling:3:mean"]
    given = [word for spec in specs for word in ("--feature", spec)]
    out, future = tmp_path / "out.csv", tmp_path / "future.csv"
    assert main(["features", str(data), *given, "--h", "5", "--out", str(out), "--future", str(future)]) == 0
    past, ahead = make(pd.read_csv(data), "D", specs, h=5)
    pd.testing.assert_frame_equal(pd.read_csv(out).drop(columns="ds"), past.drop(columns="ds"))
    assert list(pd.read_csv(future).columns) == ["unique_id", "ds", "dayofweek", "y_lag7"]
    np.testing.assert_allclose(pd.read_csv(future)["y_lag7"], ahead["y_lag7"])
    assert main(["features", str(data), *given, "--h", "5", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"futr": ["dayofweek", "y_lag7"], "hist": ["y_lag1", "y_rolling_mean_3"]}
    assert main(["features", str(data), "--list"]) == 0
    assert capsys.readouterr().out.startswith("known 1 steps ahead: dayofweek_sin, dayofweek_cos, day_sin")
    assert main(["features", str(data), "--feature", "trend"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "unique_id,ds,y,trend"


def test_a_fit_with_features_needs_no_other_file(data: Path, tmp_path: Path) -> None:
    fit = ["fit", str(data), "--model", "NHITS", "--h", "4", "--input-size", "8", "--set", "max_steps=2", "--set", "mlp_units=[[8,8]]",
           "--freq", "D", "--feature", "calendar", "--feature", "fourier:7", "--local-scaler", "diff", "--target-transform", "asinh"]
    assert main([*fit, "--out", str(tmp_path / "model")]) == 0
    assert main(["predict", str(tmp_path / "model"), "--out", str(tmp_path / "f.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "f.csv")) == 8


@pytest.mark.parametrize(("given", "says"), [
    (["--feature", "calender"], "Did you mean 'calendar'"), (["--future", "f.csv"], "--future needs --h"),
    (["--feature", "holidays:ZZ"], "unknown country"), (["--id-col", "k"], "duplicate times"),
    (["--feature", "lags:1", "--target-col", "z"], "no target column")])
def test_bad_input_is_one_line(data: Path, given: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", str(data), *given]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
