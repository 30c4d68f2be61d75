"""Bad input on the command line: exit status 2, one line on stderr with the code and the culprit, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv.cli import main

FIT = ["--model", "NLinear", "--h", "4", "--input-size", "8", "--set", "max_steps=2", "--freq", "D"]


def good() -> pd.DataFrame:
    return pd.DataFrame({"unique_id": "shop", "ds": pd.date_range("2020-01-01", periods=20).strftime("%Y-%m-%d"),
                         "y": np.arange(20.0)})


def cell(column: str, row: int, value: Any) -> pd.DataFrame:
    frame = good().astype(object)
    frame.loc[row, column] = value
    return frame


FRAMES: dict[str, tuple[pd.DataFrame, str, list[str]]] = {
    "duplicate times": (pd.concat([good(), good().iloc[[3]]]), "E0011", ["duplicate", "shop", "2020-01-04"]),
    "a gap": (good().drop(index=10), "E0011", ["gap", "shop", "2020-01-11"]),
    "weekly data": (good().assign(ds=pd.date_range("2020-01-01", periods=20, freq="7D")), "E0011", ["freq='D'"]),
    "no time": (cell("ds", 4, None), "E0011", ["null time", "row 4"]),
    "no id": (cell("unique_id", 4, None), "E0011", ["null id", "row 4"]),
    "text in y": (cell("y", 4, "many"), "E0011", ["'y'", "numbers", "many", "row 4"]),
    "infinite y": (cell("y", 4, "inf"), "E0011", ["infinite", "shop", "row 4"]),
    "no target column": (good().rename(columns={"y": "sales"}), "E0004", ["'y'", "sales"]),
    "no time column": (good().rename(columns={"ds": "clock"}), "E0006", ["no column of times", "clock"]),
    "no rows": (good().head(0), "E0003", ["no rows"]),
    "short series": (good().head(6), "E0005", ["shop"]),
}


def one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The only line that a refused command writes."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("ndiv: [E00")
    return err


@pytest.mark.parametrize("case", FRAMES)
def test_bad_files_at_fit(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, code, words = FRAMES[case]
    frame.to_csv(tmp_path / "data.csv", index=False)
    text = one_line(["fit", str(tmp_path / "data.csv"), *FIT, "--out", str(tmp_path / "m")], capsys)
    assert f"[{code}]" in text
    assert [w for w in words if w not in text] == []
    assert not (tmp_path / "m").exists()


def test_missing_values_are_fine(tmp_path: Path) -> None:
    cell("y", 4, None).to_csv(tmp_path / "data.csv", index=False)
    assert main(["fit", str(tmp_path / "data.csv"), *FIT, "--out", str(tmp_path / "m")]) == 0


OPTIONS: dict[str, tuple[list[str], str, list[str]]] = {
    "misspelt argument": (["--set", "max_step=3"], "E0010", ["'max_step'", "Did you mean 'max_steps'"]),
    "h = 0": (["--h", "0"], "E0010", ["h must be", "not 0"]),
    "h as text": (["--h", "many"], "E0010", ["--h", "'many'"]),
    "unknown scaler": (["--set", "scaler_type=standrad"], "E0010", ["'standrad'", "Did you mean 'standard'"]),
    "unknown series scaler": (["--local-scaler", "robst"], "E0010", ["'robst'", "Did you mean 'robust'"]),
    "unknown model": (["--model", "NLiner"], "E0010", ["'NLiner'", "Did you mean 'NLinear'"]),
    "unknown frequency": (["--freq", "dayly"], "E0010", ["'dayly'"]),
    "freq of the wrong kind": (["--freq", "1"], "E0011", ["freq is 1", "timestamps"]),
    "setting without value": (["--set", "max_steps"], "E0010", ["'max_steps'", "key=value"]),
    "unknown option": (["--horizon", "4"], "E0010", ["--horizon", "ndiv fit --help"]),
    "covariate that the model does not take": (["--set", 'futr_exog_list=["x"]'], "E0010", ["NLinear", "NHITS"]),
    "missing statics": (["--static", "nowhere.csv"], "E0006", ["nowhere.csv"]),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options_at_fit(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra, code, words = OPTIONS[case]
    good().to_csv(tmp_path / "data.csv", index=False)
    text = one_line(["fit", str(tmp_path / "data.csv"), *FIT, "--out", str(tmp_path / "m"), *extra], capsys)
    assert f"[{code}]" in text
    assert [w for w in words if w not in text] == []


@pytest.mark.parametrize(("argv", "code", "words"), [
    (["fit"], "E0010", ["FILE", "--h", "--out"]),
    (["fit", "nowhere.csv", "--h", "4", "--out", "m"], "E0006", ["nowhere.csv"]),
    (["predict"], "E0010", ["DIR"]),
    (["predict", "nowhere"], "E0006", ["nowhere"]),
    (["predict", "nowhere", "--out", "f.xlsx"], "E0010", ["f.xlsx", ".csv"]),
    (["predict", "nowhere", "--out", "no/such/f.csv"], "E0006", ["no/such/f.csv"]),
    (["evaluate", "nowhere.csv", "b.csv"], "E0006", ["nowhere.csv"]),
    (["evalute"], "E0010", ["'evalute'", "Did you mean 'evaluate'"]),
    (["--verison"], "E0010", ["--verison"]),
    (["demo", "--steps", "-1"], "E0010", ["max_steps"]),
    (["demo", "--steps", "1", "--out", "a.xyz"], "E0010", ["a.xyz"]),
    (["info", "extra"], "E0010", ["extra"]),
], ids=lambda v: " ".join(v) if isinstance(v, list) else str(v))
def test_bad_commands(argv: list[str], code: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = one_line(argv, capsys)
    assert f"[{code}]" in text
    assert [w for w in words if w not in text] == []


def test_exit_status_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"not a table")
    done = subprocess.run([sys.executable, "-m", "ndiv", "fit", "data.parquet", *FIT, "--out", "m"], capture_output=True,
                          text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("ndiv: [E0006] data.parquet")


def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """`ndiv ... | head -1` leaves no traceback."""
    reader = subprocess.Popen([sys.executable, "-m", "ndiv", "models", "--json"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.close()
    assert reader.stderr.read() == b""
    reader.stderr.close()
    assert reader.wait(timeout=60) == 0
