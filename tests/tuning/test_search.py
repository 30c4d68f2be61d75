"""The search: repeatable, resumable, bounded in time, and not stopped by trials that fail."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ndiv
from ndiv.auto import AutoNLinear
from ndiv.cli import main
from ndiv.errors import ConfigError, FileError
from ndiv.models import NLinear
from ndiv.tuning import loguniform, tune

BASE = {"input_size": [8, 12], "max_steps": 4, "windows_batch_size": 16, "val_check_steps": 2}
SPACE = {**BASE, "learning_rate": loguniform(1e-4, 1e-1)}


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    step = np.arange(60)
    return pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020-01-01", periods=60), "y": np.sin(step / 3) + step / 30})


def rows(found: Any) -> pd.DataFrame:
    return found.results.drop(columns="seconds")


def test_interrupted_and_resumed_is_uninterrupted(df: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {**SPACE, "val_check_steps": 4}  # each report is a write to the disk
    whole = rows(tune("NLinear", df, h=4, config=config, n_trials=2))
    file = tmp_path / "s.db"
    fit, calls = NLinear.fit_store, []

    def stopped(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, *args, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(NLinear, "fit_store", stopped)
        tune("NLinear", df, h=4, config=config, n_trials=2, storage=file)
    resumed = rows(tune("NLinear", df, h=4, config=config, n_trials=2, storage=file))
    assert resumed["reason"].tolist() == ["", "interrupted", ""]
    kept = resumed.drop(index=1).drop(columns="trial").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, whole.drop(columns="trial"))
    with pytest.raises(ConfigError, match="another seed"):
        tune("NLinear", df, h=4, config=config, n_trials=2, storage=file, seed=2)
    with pytest.raises(ConfigError, match="another data"):
        tune("NLinear", df.assign(y=df["y"] + 1), h=4, config=config, n_trials=2, storage=file)
    other = rows(tune("NLinear", df, h=4, config=config, n_trials=1, seed=2))
    assert other["learning_rate"][0] != whole["learning_rate"][0]


def test_the_best_is_the_lowest_and_its_model_is_trained_with_it(df: pd.DataFrame) -> None:
    found = tune("NLinear", df, h=4, config=SPACE, n_trials=2)
    assert found.best_loss == found.results["loss"].min()
    best = found.results.loc[found.results["loss"].idxmin()]
    assert found.best_config["learning_rate"] == best["learning_rate"]
    alone = ndiv.NeuralForecast([NLinear(h=4, **found.best_config, restore_best=False)]).fit(df)
    np.testing.assert_array_equal(found.predict()["AutoNLinear"], alone.predict()["NLinear"])


def test_refit_with_val_keeps_the_weights_that_validated_best(df: pd.DataFrame) -> None:
    config = {**BASE, "input_size": 8, "max_steps": 6, "learning_rate": [0.3]}
    last = tune("NLinear", df, h=4, config=config, n_trials=1, val_size=8)
    best = tune("NLinear", df, h=4, config=config, n_trials=1, val_size=8, refit_with_val=True)
    model = NLinear(h=4, **last.best_config)
    forecaster = ndiv.NeuralForecast([model]).fit(df, val_size=8)
    losses = [r["valid_loss"] for r in model.history]
    assert (best.best_loss, last.best_loss) == (min(losses), losses[-1])
    np.testing.assert_array_equal(best.predict()["AutoNLinear"], forecaster.predict()["NLinear"])


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")  # of NumPy, where it computes the loss that overflows
def test_failed_trials_are_recorded_and_survived(df: pd.DataFrame) -> None:
    def config(trial: Any) -> dict[str, Any]:
        return {**BASE, "input_size": trial.suggest_categorical("input_size", [8, 500, -3]),
                "gradient_clip_val": trial.suggest_categorical("clip", [1.0, None]),
                "learning_rate": trial.suggest_categorical("rate", [0.01, 1e38])}

    found = tune("NLinear", df, h=4, config=config, n_trials=8, sampler="random", seed=3).results.set_index("trial")
    failed = found[found["state"] == "failed"]
    assert failed["loss"].isna().all()
    assert failed["reason"].str.contains("shorter than input_size=500").any()
    assert failed["reason"].str.contains("input_size must be").any()
    assert failed["reason"].str.contains("not finite").any()
    assert (found[found["state"] == "complete"]["loss"].map(math.isfinite)).all()
    with pytest.raises(ConfigError, match="none of 2 trials could be trained; the first: NLinear: 1 series are shorter"):
        tune("NLinear", df, h=4, config={**BASE, "input_size": 500}, n_trials=2)


def test_pruning_stops_what_falls_behind(df: pd.DataFrame) -> None:
    config = {**BASE, "learning_rate": [0.01, 0.02, 0.03, 0.04, 0.05, 1e-7, 2e-7, 3e-7], "max_steps": 6, "input_size": 8}
    found = tune("NLinear", df, h=4, config=config, n_trials=10, sampler="random", seed=1).results
    pruned = found[found["state"] == "pruned"]
    assert len(pruned)
    assert (pruned["steps"] < 6).all()
    assert (pruned["reason"] == "others were better at this step").all()
    assert set(tune("NLinear", df, h=4, config=config, n_trials=3, pruner=None).results["state"]) == {"complete"}


def test_time_budget(df: pd.DataFrame) -> None:
    """No trial begins after it, and the one that runs stops at its next validation; the best so far is the result."""
    ended = []
    found = tune("NLinear", df, h=4, config={**BASE, "input_size": 8, "max_steps": [400, 401, 402]}, n_trials=50, pruner=None,
                 time_budget=0.05, callbacks=[lambda study, trial: ended.append(trial.number)]).results
    assert ended == found["trial"].tolist()
    assert len(found) < 50
    last = found.iloc[-1]
    assert last["state"] == "complete" or (last["reason"] == "the time was up" and last["steps"] < 400)


def test_jobs_in_parallel_train_as_one_alone(df: pd.DataFrame) -> None:
    found = tune("NLinear", df, h=4, config=SPACE, n_trials=3, n_jobs=2)
    assert sorted(found.results["trial"]) == [0, 1, 2]
    for _, trial in found.results.iterrows():
        model = NLinear(h=4, **{**BASE, "input_size": int(trial["input_size"])}, learning_rate=trial["learning_rate"],
                        restore_best=False)
        ndiv.NeuralForecast([model]).fit(df, val_size=4)
        assert model.history[-1]["valid_loss"] == pytest.approx(trial["loss"], rel=1e-6)


def test_polars_in_polars_out(df: pd.DataFrame) -> None:
    ours, theirs = (tune("NLinear", f, h=4, config=SPACE, n_trials=1) for f in (pl.from_pandas(df), df))
    assert isinstance(ours.results, pl.DataFrame)
    assert isinstance(ours.predict(), pl.DataFrame)
    assert ours.results["loss"].to_list() == theirs.results["loss"].tolist()


def test_one_line_a_trial(df: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    tune("NLinear", df, h=4, config=SPACE, n_trials=1)
    assert capsys.readouterr() == ("", "")
    tune("NLinear", df, h=4, config=SPACE, n_trials=2, verbose=True, alias="mine")
    lines = [x for x in capsys.readouterr().err.splitlines() if "search" in x]
    assert [x.partition(",")[0] for x in lines] == ["mine search 1/2 trials", "mine search 2/2 trials"]
    assert all("best loss" in x and x.endswith("left") for x in lines)


def test_command(df: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    df.to_csv(tmp_path / "d.csv", index=False)
    line = ["tune", str(tmp_path / "d.csv"), "--model", "nlinear", "--h", "4", "--trials", "1", "--set", "input_size=[8,12]",
            "--set", "max_steps=2", "--set", "windows_batch_size=16", "--set", "scaler_type=identity"]
    assert main([*line, "--set", "learning_rate=1e-4..0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    config = {"input_size": [8, 12], "max_steps": 2, "windows_batch_size": 16, "scaler_type": "identity",
              "learning_rate": loguniform(1e-4, 0.1)}
    ours = tune("NLinear", tmp_path / "d.csv", h=4, config={**AutoNLinear.get_default_config(h=4), **config}, n_trials=1)
    assert (found["best_loss"], found["best_config"]) == (ours.best_loss, ours.best_config)
    for bad, words in (("learning_rate=0.1..1e-4", "no number from 0.1"), ("rate=1..2", "unknown argument 'rate'")):
        assert main([*line, "--set", bad]) == 2
        assert words in capsys.readouterr().err


def test_refused(df: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.db").write_text("not a database, but long enough to look like a file of something else\n" * 20)
    for options, error, words in (
            ({"n_trials": 0}, ConfigError, "num_samples"), ({"time_budget": -1}, ConfigError, "time_budget"),
            ({"sampler": "tpf"}, ConfigError, "unknown sampler"), ({"pruner": "x"}, ConfigError, "unknown pruner"),
            ({"config": {"hidden": [1]}}, ConfigError, "unknown argument 'hidden'"),
            ({"config": {"h": 4}}, ConfigError, "must not hold 'h'"), ({"config": 3}, ConfigError, "dict of ranges"),
            ({"storage": tmp_path / "no.db"}, FileError, "could not be used"),
            ({"storage": tmp_path / "nowhere" / "s.db"}, FileError, "does not exist")):
        with pytest.raises(error, match=words):
            tune("NLinear", df, h=4, **{"config": SPACE, "n_trials": 1, **options})
    with pytest.raises(ConfigError, match="horizon"):
        tune("NLinear", df)
    with pytest.raises(ConfigError, match="makes the models itself"):
        tune(NLinear(h=4), df)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="optuna"):
        tune(AutoNLinear(h=4, config=SPACE, num_samples=1), df)
