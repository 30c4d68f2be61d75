"""Commands that look ahead with a saved folder: the same tables as the methods behind them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ndiv import NeuralForecast
from ndiv.cli import main
from ndiv.losses import MQLoss
from ndiv.models import DLinear


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    step = np.arange(30)
    frame = pd.concat([pd.DataFrame({"unique_id": k, "ds": step, "y": np.sin(step / 2) + k}) for k in (7, 8)])
    model = DLinear(h=3, input_size=6, moving_avg_window=3, loss=MQLoss(level=[80]), max_steps=2, windows_batch_size=16)
    NeuralForecast([model], freq=1).fit(frame).save(tmp_path / "model")
    return tmp_path / "model"


def test_tables_of_a_saved_folder(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nf, out = NeuralForecast.load(saved), tmp_path / "out.csv"

    def table(*argv: str) -> pd.DataFrame:
        assert main([*argv, "--out", str(out)]) == 0, capsys.readouterr().err
        return pd.read_csv(out)

    for found, wanted in (
            (table("simulate", str(saved), "--paths", "5", "--seed", "2"), nf.simulate(n_paths=5, seed=2)),
            (table("decompose", str(saved)), nf.decompose()),
            (table("insample", str(saved), "--step-size", "9"), nf.predict_insample(9)),
            (table("explain", str(saved), "--steps", "2", "--series", "8"), nf.explain(horizons=[1], series=[8]).frame),
            (table("explain", str(saved), "--method", "shapley", "--samples", "2", "--sums"),
             nf.explain(method="shapley", n_samples=2).additivity)):
        wanted.to_csv(out, index=False)
        pd.testing.assert_frame_equal(found, pd.read_csv(out))
    assert main(["explain", str(saved), "--steps", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["step"] for row in rows} == {1}


@pytest.mark.parametrize(("argv", "text"), [(["simulate", "--paths", "0"], "n_paths"), (["explain", "--steps", "4"], "from 0 to 2"),
                                            (["decompose", "--by", "layer"], "by must be"),
                                            (["explain", "--series", "9"], "no series 9"),
                                            (["insample", "--step-size", "0"], "step_size")])
def test_bad_requests_are_one_line(argv: list[str], text: str, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argv[0], str(saved), *argv[1:]]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1
