"""`ndiv bench accuracy` through its entry: what it prints, writes and refuses."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ndiv
from ndiv.bench import accuracy, cli, settings
from ndiv.bench.published import published


def bench(*words: object) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(["accuracy", *map(str, words)]))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with few, large steps."""
    tiny = settings.Setting(48, 5e-3, "for this test", batch_size=1024, epochs=2)
    monkeypatch.setattr(settings, "SETTINGS", {"NLinear": {0: tiny}, "DLinear": {0: tiny}})


def test_a_run_prints_and_writes_the_same_figures(quick: None, folder: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert bench("--data", folder, "--models", "nlinear,DLinear", "--h", 96, 8, "--seeds", 1, 2, "--max-epochs", 1,
                 "--json", out) == 0
    text = capsys.readouterr()
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [(r["model"], r["h"], r["seed"]) for r in report["runs"]] == [
        (m, h, s) for m in ("NLinear", "DLinear") for h in (96, 8) for s in (1, 2)]
    for r in report["runs"]:
        assert f"{r['mse']:.4f} | {r['mae']:.4f} | {r['valid_mse']:.4f}" in text.out
        assert r["windows"] == 2880 - r["h"] + 1
        assert r["epochs"] == r["best_epoch"] == len(r["history"]) == 1
        assert r["input_size"] == r["setting"]["input_size"] == 48
        assert 0 <= r["test_seconds"] <= r["seconds"]
    assert report["runs"][0]["parameters"] == 48 * 96 + 96
    first = report["summary"][0]
    assert first["mse"] == pytest.approx((report["runs"][0]["mse"] + report["runs"][1]["mse"]) / 2)
    assert first["seeds"] == [1, 2]
    assert ".374/.394 (L336, paper)" in text.out
    assert report["protocol"]["test_windows"] == {"96": 2785, "8": 2873}
    assert report["environment"]["ndiv"] == ndiv.__version__
    assert [b["windows"] for b in report["baselines"]] == [2785, 2785, 2873, 2873]
    assert "differ from the known figures" in text.err  # the table is a generated one, and the command notices


def test_the_lookback_can_be_asked_for(quick: None, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert bench("--data", folder, "--models", "NLinear", "--input-size", 24, "--max-epochs", 1, "--ot", "--json", out) == 0
    run = json.loads(out.read_text(encoding="utf-8"))["runs"][0]
    assert run["input_size"] == 24
    assert run["columns"] == ["OT"]
    assert run["setting"]["source"] == "for this test; L as asked for"


def test_baselines_alone_train_nothing(folder: Path, capsys: pytest.CaptureFixture[str],
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "fit", lambda *a, **k: pytest.fail("trained"))
    assert bench("--data", folder / "ETTh1.csv.gz", "--baselines", "--h", 96, 336) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 2 + 4
    assert lines[0].split("|")[1].strip() == "baseline"


def test_select_compares_by_validation_loss_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CANDIDATES", {"NLinear": [{"learning_rate": 5e-3}, {"learning_rate": 1e-5}]})
    scored: list[Any] = []
    monkeypatch.setattr(accuracy, "score", lambda *a: scored.append(a))
    out = tmp_path / "out.json"
    assert bench("--data", folder, "--models", "NLinear", "--h", 8, "--select", "--max-epochs", 1, "--json", out) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [s["setting"]["learning_rate"] for s in report["selection"]] == [5e-3, 1e-5]
    assert report["selection"][0]["valid_mse"] < report["selection"][1]["valid_mse"]
    assert report["runs"] == report["baselines"] == scored == []
    assert "MAE" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "code", "said"), [
    (["--data", "absent.csv"], "E0006", "absent.csv"),
    (["--data", "DATA", "--dataset", "ETTm7"], "E0010", "ETTm7"),
    (["--data", "DATA", "--models", "NLinaer"], "E0010", "Did you mean 'NLinear'"),
    (["--data", "DATA", "--models", ","], "E0010", "no model"),
    (["--data", "DATA", "--h", "0"], "E0010", "--h"),
    (["--data", "DATA", "--input-size", "0"], "E0010", "--input-size"),
    (["--data", "DATA", "--max-epochs", "-1"], "E0010", "--max-epochs"),
    (["--data", "DATA", "--models", "NLinear", "--input-size", "9000"], "E0005", "9000"),
    (["--data", "DATA", "--json", "absent/out.json"], "E0006", "absent/out.json"),
])
def test_bad_input_is_one_line_and_status_two(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch, words: list[str], code: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_baselines", lambda *a: [])
    assert bench(*[str(folder) if w == "DATA" else w for w in words]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert code in message
    assert said in message


def test_a_word_that_is_not_an_option_is_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        bench("--data", "x", "--h", "many")
    assert stop.value.code == 2


def test_the_module_runs_as_a_command(folder: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(ndiv.__file__).parent.parent)}
    command = [sys.executable, "-m", "ndiv.bench", "accuracy"]
    done = subprocess.run([*command, "--data", str(folder), "--baselines"], capture_output=True, text=True, env=env,
                          timeout=60, check=False)
    assert done.returncode == 0
    assert "seasonal naive 24" in done.stdout
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, env=env, timeout=60, check=False)
    assert helped.returncode == 0
    assert "example:" in helped.stdout


def test_published_figures_have_their_source() -> None:
    assert published("NLinear", 96) == ".374/.394 (L336, paper), .385/.403 (TFB)"
    assert published("DLinear", 192).count("(") == 3
    assert published("MLP", 96) == published("NLinear", 100) == "-"
