"""`ndiv bench coverage`: every way that applies, the choice, that --select sees no test value; the real figures where the data are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndiv.bench import cli, coverage, m4
from ndiv.errors import ConfigError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
FOUND = all((REAL / f"M4-Hourly-{part}.csv.gz").is_file() for part in ("train", "test"))


def small(n: int) -> m4.Task:
    """Hourly waves with noise, of different scale."""
    rng = np.random.default_rng(3)
    whole = [10.0 ** k * (10 + np.sin(2 * np.pi * np.arange(748) / 24) + rng.normal(0, 0.2, 748)) for k in range(n)]
    return m4.Task(tuple(f"H{k + 1}" for k in range(n)), tuple(w[:-48] for w in whole), np.stack([w[-48:] for w in whole]))


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["coverage", *arguments])


def test_each_model_by_each_way_that_applies() -> None:
    task = small(4)
    ways = {name: [(r["method"], r["scores"]) for r in coverage.run(name, task, 1, max_steps=2)]
            for name in ("NLinear, MAE", "NLinear, MQLoss")}
    both = ("per_series", "pooled")
    assert ways["NLinear, MAE"] == [(m, s) for m in ("conformal_distribution", "conformal_error", "cqr") for s in both]
    assert ways["NLinear, MQLoss"] == [("the model's own", "-"), *(("cqr", s) for s in both)]
    assert coverage.CHOICE[0] in coverage.MODELS
    assert coverage.CHOICE[1] in coverage.WAYS


def test_selection_sees_no_test_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []

    def run(name: str, task: m4.Task, seed: int, max_steps: int | None) -> list[dict[str, Any]]:
        seen.append(task)
        return []

    task = small(3)
    monkeypatch.setattr(m4, "load", lambda folder: task)
    monkeypatch.setattr(coverage, "run", run)
    coverage.coverage(parsed("--data", ".", "--select", "--json", str(tmp_path / "r.json")))
    assert all(np.array_equal(t.test, np.stack([v[-48:] for v in task.train])) for t in seen)
    assert all(len(a) == len(b) - 48 for t in seen for a, b in zip(t.train, task.train, strict=True))
    assert "scored on the last 48 training values" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["select"] is True
    with pytest.raises(ConfigError, match="max-steps"):
        coverage.coverage(parsed("--data", ".", "--max-steps", "0"))


@pytest.mark.parametrize("name", [coverage.CHOICE[0]] if FOUND else [])
def test_the_choice_covers_88_to_92_per_cent_of_the_real_data(name: str) -> None:
    task = m4.load(REAL)
    record = next(r for r in coverage.run(name, task, 1, max_steps=100)
                  if (r["method"], r["scores"]) == (coverage.CHOICE[1].method, coverage.CHOICE[1].scores))
    assert 88 <= record["intervals"][1]["coverage"] <= 92
