"""The command line from a raw file to a report: cross-validate, evaluate, fit, predict, report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ndiv.cli import main

SMALL = ["--h", "4", "--input-size", "8", "--set", "max_steps=3", "--set", "windows_batch_size=16", "--freq", "D"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    step = np.arange(40)
    parts = [pd.DataFrame({"unique_id": i, "ds": pd.date_range("2020-01-01", periods=40), "y": np.sin(step / 2) + k + 2})
             for k, i in enumerate("ab")]
    monkeypatch.chdir(tmp_path)
    pd.concat(parts, ignore_index=True).to_csv("data.csv", index=False)
    return "data.csv"


def test_from_a_raw_file_to_a_report(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["--model", "NLinear", "--model", "DLinear", *SMALL]
    assert main(["cv", data, *models, "--n-windows", "3", "--out", "cv.csv"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "2 series, 3 windows of 4 steps, season 7; means over the series"
    assert [line.split()[0] for line in out[2:]] == ["NLinear", "DLinear", "Naive", "SeasonalNaive"]
    assert main(["evaluate", "cv.csv", "--by", "step", "--metrics", "mae", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["step"] for r in rows] == [1, 2, 3, 4]
    assert main(["evaluate", "cv.csv", "--by", "all", "--compare", "SeasonalNaive"]) == 0
    assert "Diebold-Mariano test of mae" in capsys.readouterr().out
    assert main(["fit", data, *models, "--out", "model"]) == 0
    assert main(["predict", "model", "--out", "forecasts.csv"]) == 0
    capsys.readouterr()
    assert main(["report", "model", "--cv", "cv.csv", "--out", "saved.html"]) == 0
    assert capsys.readouterr().out == "report written to saved.html\n"
    text = Path("saved.html").read_text(encoding="utf-8")
    assert "SeasonalNaive" in text
    assert "Loss during training" in text
    assert main(["report", data, "--model", "NLinear", *SMALL, "--set", "loss=MQLoss", "--n-windows", "2", "--out", "raw.html"]) == 0
    text = Path("raw.html").read_text(encoding="utf-8")
    assert "Loss during training of NLinear" in text
    assert "values inside" in text


def test_json_and_parquet(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cv", data, "--model", "NLinear", *SMALL, "--n-windows", "2", "--json", "--out", "cv.parquet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["season"] == 7
    assert [m["model"] for m in found["models"]] == ["NLinear", "Naive", "SeasonalNaive"]
    assert found["models"][0]["seconds"] > 0
    assert found["models"][1]["seconds"] is None
    assert len(pd.read_parquet("cv.parquet")) == 16


@pytest.mark.parametrize(("argv", "text"), [
    (["report", "data.csv"], "--h is needed"), (["report", "data.csv", "--h", "4", "--out", "r.pdf"], "HTML"),
    (["cv", "data.csv", "--h", "4", "--out", "x.txt"], "unknown kind of output"), (["cv", "none.csv", "--h", "4"], "E0006"),
    (["cv", "data.csv", "--h", "400"], "E0005")])
def test_bad_input_is_one_line(data: str, argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
