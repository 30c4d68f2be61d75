"""The command line end to end: files in, files out, what is printed, and how quick and quiet it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv import NeuralForecast
from ndiv.cli import COMMANDS, main
from ndiv.models import NLinear

OWN = [name for name, (module, _) in COMMANDS.items() if module.startswith("ndiv.cli.")]
SMALL = ["--h", "4", "--input-size", "8", "--set", "max_steps=3", "--set", "windows_batch_size=16"]


@pytest.fixture
def frame() -> pd.DataFrame:
    step = np.arange(30)
    parts = [pd.DataFrame({"unique_id": i, "ds": pd.date_range("2020-01-01", periods=30), "y": np.sin(step / 2) + k})
             for k, i in enumerate("ab")]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def data(frame: pd.DataFrame, tmp_path: Path) -> Path:
    frame.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


@pytest.fixture
def saved(data: Path, tmp_path: Path) -> Path:
    assert main(["fit", str(data), "--model", "NLinear", *SMALL, "--freq", "D", "--out", str(tmp_path / "model")]) == 0
    return tmp_path / "model"


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False, **options)


# -- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_help_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"example:\n  ndiv {name}" in text
    assert COMMANDS[name][1][1:] in text


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["--help"], ["-h"]):
        assert main(argv) == 0
        text = capsys.readouterr().out
        assert [n for n in COMMANDS if f"\n  {n} " not in text] == []


def test_module_runs_and_help_imports_nothing_heavy() -> None:
    done = python("-X", "importtime", "-m", "ndiv", "--help")
    assert done.returncode == 0
    assert "usage: ndiv" in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert loaded & {"numpy", "pandas", "polars", "narwhals", "matplotlib", "safetensors"} == set()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import ndiv

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ndiv {ndiv.__version__}\n"


# -- fit and predict -----------------------------------------------------------------------------------------------


def test_fit_and_predict_equal_the_library(saved: Path, frame: pd.DataFrame, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "forecasts.csv"
    capsys.readouterr()
    assert main(["predict", str(saved), "--out", str(out)]) == 0
    assert capsys.readouterr() == ("", "")
    nf = NeuralForecast([NLinear(h=4, input_size=8, max_steps=3, windows_batch_size=16)], "D").fit(frame)
    # Python's float reads every bit back; pandas 2 rounds the last ones
    got = pd.read_csv(out, parse_dates=["ds"], dtype={"NLinear": str}).astype({"NLinear": object})
    got["NLinear"] = [float(v) for v in got["NLinear"]]
    want = nf.predict()
    assert got.columns.tolist() == ["unique_id", "ds", "NLinear"]
    assert np.array_equal(got["NLinear"], want["NLinear"])  # CSV keeps every bit
    assert got["ds"].tolist() == want["ds"].tolist()


def test_predict_to_standard_output_and_parquet(saved: Path, data: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["predict", str(saved), str(data), "--h", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unique_id,ds,NLinear"
    assert len(lines) == 5
    assert lines[1].startswith("a,2020-01-31,")
    assert main(["predict", str(saved), "--out", str(tmp_path / "f.parquet")]) == 0
    assert pd.read_parquet(tmp_path / "f.parquet")["NLinear"].round(6).tolist()[:2] == [
        round(float(line.split(",")[2]), 6) for line in lines[1:3]]


def test_fit_says_what_it_did(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", str(data), "--model", "NLinear", "--model", "DLinear", *SMALL, "--out", str(tmp_path / "m"),
                 "--set", "scaler_type=robust", "--val-size", "4", "--local-scaler", "standard"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == f"trained NLinear, DLinear on 2 series, 60 rows, freq D; saved to {tmp_path / 'm'}\n"
    assert err == ""  # the progress bar is for terminals
    assert NeuralForecast.load(tmp_path / "m").models[1].config()["scaler_type"] == "robust"
    assert main(arguments) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_warnings_are_one_line(frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame.assign(x=1.0).to_csv(tmp_path / "x.csv", index=False)
    assert main(["fit", str(tmp_path / "x.csv"), "--model", "NLinear", *SMALL, "--out", str(tmp_path / "m")]) == 0
    err = capsys.readouterr().err
    assert err.startswith("ndiv: warning: columns that no model uses: x;")
    assert err.count("\n") == 1


def test_covariates_from_files(frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame.assign(x=1.0).to_csv(tmp_path / "x.csv", index=False)
    pd.DataFrame({"unique_id": ["a", "b"], "size": [1, 2]}).to_csv(tmp_path / "static.csv", index=False)
    fit = ["fit", str(tmp_path / "x.csv"), "--model", "MLP", *SMALL, "--set", "hidden_size=8", "--out", str(tmp_path / "m"),
           "--set", 'futr_exog_list=["x"]', "--set", 'stat_exog_list=["size"]', "--static", str(tmp_path / "static.csv")]
    assert main(fit) == 0
    ahead = NeuralForecast.load(tmp_path / "m").make_future_dataframe().assign(x=2.0)
    ahead.to_csv(tmp_path / "futr.csv", index=False)
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "m"), "--futr", str(tmp_path / "futr.csv")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 9
    assert main(["predict", str(tmp_path / "m")]) == 2
    assert "E0004" in capsys.readouterr().err


def test_wide_files_and_integer_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=30, freq="h"), "north": np.arange(30.0), "south": 1.0})
    wide.to_csv(tmp_path / "wide.csv", index=False)
    fit = ["--model", "NLinear", *SMALL]
    assert main(["fit", str(tmp_path / "wide.csv"), *fit, "--freq", "h", "--out", str(tmp_path / "w")]) == 0
    assert NeuralForecast.load(tmp_path / "w").predict()["unique_id"].unique().tolist() == ["north", "south"]
    pd.DataFrame({"unique_id": 7, "ds": np.arange(30) * 5, "y": np.arange(30.0)}).to_csv(tmp_path / "i.csv", index=False)
    assert main(["fit", str(tmp_path / "i.csv"), *fit, "--freq", "5", "--out", str(tmp_path / "i")]) == 0
    assert NeuralForecast.load(tmp_path / "i").predict()["ds"].tolist() == [150, 155, 160, 165]


# -- evaluate ------------------------------------------------------------------------------------------------------


@pytest.fixture
def forecasts(frame: pd.DataFrame, tmp_path: Path) -> Path:
    both = frame.assign(one=frame.y + 1, two=frame.y)[["unique_id", "ds", "one", "two"]]
    both.tail(8).to_csv(tmp_path / "f.csv", index=False)
    return tmp_path / "f.csv"


def test_evaluate(forecasts: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(forecasts), str(data), "--metrics", "mae,rmse"]) == 0
    assert capsys.readouterr().out.split() == ["metric", "one", "two", "mae", "1", "0", "rmse", "1", "0"]
    more = ["--json", "--by-series", "--train", str(data), "--seasonality", "1"]
    assert main(["evaluate", str(forecasts), str(data), *more]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["metric"] for r in rows] == ["mae", "rmse", "mape", "smape", "mase"]
    assert rows[0] == {"unique_id": "b", "metric": "mae", "one": pytest.approx(1.0), "two": pytest.approx(0.0)}


def test_evaluate_counts_what_has_no_actual_value(forecasts: Path, frame: pd.DataFrame, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    frame.iloc[:-3].to_csv(tmp_path / "part.csv", index=False)
    assert main(["evaluate", str(forecasts), str(tmp_path / "part.csv")]) == 0
    assert capsys.readouterr().err == "ndiv: 3 of 8 forecasts have no actual value and do not count\n"
    frame.head(5).to_csv(tmp_path / "none.csv", index=False)
    assert main(["evaluate", str(forecasts), str(tmp_path / "none.csv")]) == 2
    assert "E0003" in capsys.readouterr().err
    assert main(["evaluate", str(forecasts)]) == 2
    assert "E0004" in capsys.readouterr().err


def test_evaluate_a_cross_validation(frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nf = NeuralForecast([NLinear(h=4, input_size=8, max_steps=3)], "D")
    nf.cross_validation(frame, n_windows=2).to_csv(tmp_path / "cv.csv", index=False)
    assert main(["evaluate", str(tmp_path / "cv.csv"), "--metrics", "mae"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["cutoff", "metric", "NLinear"]
    assert len(lines) == 3


# -- models and info -----------------------------------------------------------------------------------------------


def test_models_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "NHITS" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    facts = {f["model"]: f for f in json.loads(capsys.readouterr().out)}
    assert facts["NHITS"]["futr_exog"] is True
    assert facts["NLinear"]["futr_exog"] is False
    assert main(["info"]) == 0
    assert "backend" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["packages"]["pandas"] == pd.__version__


# -- demo ----------------------------------------------------------------------------------------------------------


def test_demo_runs_and_prints_the_known_errors_of_the_seasonal_naive(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--steps", "2"]) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert ["seasonal", "naive", "47.83", "50.71", "9.99%"] in lines
    assert len([line for line in lines if line and line[0].startswith("1960-")]) == 12
    assert err == ""
    assert (tmp_path / "ndiv_demo.png").read_bytes().startswith(b"\x89PNG")


def test_demo_beats_the_seasonal_naive(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--no-plot"]) == 0
    scores = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("%")}
    assert float(scores["NHITS"][1]) < 47.83
    assert float(scores["DLinear"][1]) < 47.83
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["matplotlib", "pandas"])
def test_demo_without_optional_packages(missing: str, tmp_path: Path) -> None:
    frames = ["pandas", "polars", "narwhals", "utilsforecast", "coreforecast"]
    blocked = ["matplotlib", *(frames if missing == "pandas" else [])]
    code = (f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); from ndiv.cli import main; "
            "sys.exit(main(sys.argv[1:]))")
    done = python("-c", code, "demo", "--steps", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'no plot: matplotlib is not installed (pip install "ndiv[plot]")'
    assert done.stderr == ""


# -- intervals -----------------------------------------------------------------------------------------------------


def test_fit_with_intervals_and_predict_levels_further_ahead(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "calibrated"
    assert main(["fit", str(data), "--model", "NLinear", *SMALL, "--freq", "D", "--out", str(out),
                 "--intervals", "cqr,n_windows=4,step_size=2"]) == 0
    assert main(["predict", str(out), "--level", "80", "--h", "6", "--out", str(tmp_path / "f.csv")]) == 0
    frame = pd.read_csv(tmp_path / "f.csv")
    assert list(frame.columns)[2:] == ["NLinear", "NLinear-lo-80", "NLinear-hi-80"]
    assert len(frame) == 12
    assert main(["predict", str(out), "--quantiles", "0.25", "0.75"]) == 0
    assert "NLinear_ql0.25,NLinear_ql0.75" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "message"), [("conformal", "unknown method 'conformal'"), ("cqr,windows=3", "no 'windows'"),
                                               ("cqr,n_windows=1", "at least 2")])
def test_bad_intervals(text: str, message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(data), *SMALL, "--out", str(tmp_path / "m"), "--intervals", text]) == 2
    assert message in capsys.readouterr().err


def test_levels_of_a_model_without_intervals(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["predict", str(saved), "--level", "80"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
