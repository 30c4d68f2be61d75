"""Advice: reasons are the facts that they say they are, refusals hold, and what is printed to be run runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ndiv
from ndiv.advice import advise
from ndiv.advice.adviser import GOALS
from ndiv.advice.facts import season_strength
from ndiv.advice.measure import SETTING, accuracy, measured, weights
from ndiv.cli import main
from ndiv.errors import ConfigError, DataError
from ndiv.models import capabilities, get_model, list_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["pandas", "polars"])
def like(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    return (lambda frame: frame) if request.param == "pandas" else pl.from_pandas


def daily(n: int = 120, ids: tuple[str, ...] = ("a", "b"), **columns: Any) -> pd.DataFrame:
    step = np.arange(n)
    return pd.concat([pd.DataFrame({"unique_id": i, "ds": pd.date_range("2024-01-01", periods=n),
                                    "y": 10.0 * k + np.sin(2 * np.pi * step / 7), **columns}) for k, i in enumerate(ids)],
                     ignore_index=True)


# -- facts ---------------------------------------------------------------------------------------------------------


def test_measured_errors_are_those_of_the_document() -> None:
    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert accuracy(page) == {k: measured()[k] for k in ("etth1", "m4")}
    assert {"NHITS", "DLinear", "TSMixer"} <= set(measured()["etth1"])
    assert all("96" in table for table in measured()["etth1"].values())
    assert set(measured()["cost"]) == set(list_models()) - {"TimeLLM"}


def test_counted_weights_are_those_of_the_models() -> None:
    for name in ("NLinear", "DLinear", "BiTCN"):
        model = get_model(name)(h=SETTING["h"], input_size=SETTING["input_size"])
        assert weights(model) == measured()["cost"][name]["parameters"]


@given(st.integers(2, 12), st.integers(0, 100), st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_strength_of_seasons(season: int, seed: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    n = 30 * season
    pattern = np.tile(draw.normal(size=season), 30)
    y = share * (pattern - pattern.mean()) + (1 - share) * draw.normal(size=n) + 0.3 * np.arange(n)
    found = season_strength(y, season)
    assert 0.0 <= found <= 1.0
    assert season_strength(7.0 * y - 3.0, season) == pytest.approx(found, abs=1e-6)  # whatever the unit
    if share == 1.0 and np.ptp(pattern) > 1e-3:
        assert found > 0.999


def test_facts_of_the_data(like: Any) -> None:
    frame = daily(price=1.0, shelf=2.0)
    frame.loc[3, "y"] = np.nan
    facts = advise(like(frame), h=5, hist_exog=["price"]).profile
    assert (facts.series, facts.shortest, facts.season, facts.hist, facts.unused) == (2, 120, 7, ("price",), ("shelf",))
    assert facts.strength > 0.99
    assert facts.missing == pytest.approx(1 / 240)
    counts = daily().assign(y=np.tile([0.0, 0.0, 3.0], 80))
    facts = advise(like(counts), h=5).profile
    assert (facts.counts, facts.intermittent, round(facts.zeros, 3)) == (True, True, 0.667)
    assert any("NegativeBinomial" in r for c in advise(like(counts), h=5).recommended for r in c.reasons)


# -- advice --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", list(GOALS))
def test_every_goal_ranks_by_what_it_says(goal: str, like: Any) -> None:
    advice = advise(like(daily(400)), goal, h=12, top=40)
    names = [c.model for c in advice.recommended]
    assert sorted([*names, *advice.refused, *advice.unranked]) == list_models()  # every model is accounted for
    assert all(c.reasons for c in advice.recommended)
    fitting = [n for c in advice.recommended if not any("are many" in r for r in c.reasons) for n in [c.model]]
    assert names[:len(fitting)] == fitting  # what is too large for the data comes last
    key = {"accuracy": lambda n: measured()["etth1"][n]["96"]["mse"], "speed": lambda n: measured()["cost"][n]["step_ms"],
           "memory": lambda n: measured()["cost"][n]["parameters"]}.get(goal)
    if key:
        assert fitting == sorted(fitting, key=lambda n: (key(n), n))
    facts = {n: capabilities(n) for n in names}
    assert goal != "intervals" or all(f["probabilistic"] for f in facts.values())
    assert goal != "horizon" or all(f["long_horizon"] for f in facts.values())
    assert goal != "covariates" or all(f["futr_exog"] or f["hist_exog"] or f["stat_exog"] for f in facts.values())
    assert goal != "interpretability" or {"TFT", "NBEATS", "DLinear"} <= set(names)


def test_covariates_decide(like: Any) -> None:
    advice = advise(like(daily(price=1.0)), "accuracy", h=5, futr_exog=["price"])
    assert {c.model for c in advice.recommended} <= {n for n in list_models() if capabilities(n)["futr_exog"]}
    assert advice.refused["NLinear"] == "takes no covariates that are known in the future"
    assert advice.recommended[0].settings["futr_exog_list"] == ["price"]


def test_refusals(like: Any) -> None:
    short = advise(like(daily(6)), h=5)
    assert not short.recommended
    assert (short.command, short.snippet) == ("", "")
    assert "6 rows" in short.refused["NHITS"]
    assert "no model can be advised" in str(short)
    one = advise(like(daily(ids=("a",))), h=5)
    assert "there is one" in one.refused["TSMixer"]
    uneven = pd.concat([daily(ids=("a",)), daily(100, ids=("b",))])
    assert "end at different times" in advise(like(uneven), h=5).refused["iTransformer"]
    assert "patches of 16 steps" in advise(like(daily(20)), h=5).refused["PatchTST"]
    assert "language model" in one.refused["TimeLLM"]
    for options, error in (({"goal": "fame"}, ConfigError), ({"h": 0}, ConfigError), ({"top": 0}, ConfigError)):
        with pytest.raises(error):
            advise(like(daily()), **{"h": 5, **options})
    with pytest.raises(DataError):
        advise(like(pd.concat([daily(), daily()])), h=5)


def test_what_is_refused_cannot_be_trained_and_what_is_advised_can() -> None:
    frame = daily(14, ids=("a",))
    advice = advise(frame, h=4)
    for name in ("TSMixer", "PatchTST"):
        assert name in advice.refused
    chosen = advise(frame, "memory", h=4, top=2).recommended
    models = [get_model(c.model)(**{**c.settings, "max_steps": 2}) for c in chosen]
    ndiv.NeuralForecast(models, "D").cross_validation(frame, n_windows=1)  # with room to validate


def test_commands_and_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    daily(60).rename(columns={"y": "sales"}).to_csv("in put.csv", index=False)
    assert main(["advise", "in put.csv", "--h", "4", "--goal", "memory", "--target-col", "sales", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    line = shlex.split(found["command"].replace("max_steps=500", "max_steps=2"))
    assert main(line[1:]) == 0
    assert main(["predict", line[line.index("--out") + 1]]) == 0
    advice = advise("in put.csv", "intervals", h=4, target_col="sales", top=2)
    assert "loss=MQLoss" in advise("in put.csv", "intervals", h=4, target_col="sales").command  # MQLoss has a name in a shell
    scope: dict[str, Any] = {}
    assert "DistributionLoss('StudentT', level=[80, 90])" in advice.snippet
    exec(advice.snippet.replace("max_steps=500", "max_steps=2, trajectory_samples=5", 1).replace("max_steps=500", "max_steps=2"), scope)
    assert sum(c.endswith("-lo-90") for c in scope["forecasts"].columns) == 2
    assert main(["advise", "in put.csv", "--h", "4", "--target-col", "sales", "--python"]) == 0
    assert "NeuralForecast" in capsys.readouterr().out
    assert main(["advise", "in put.csv", "--h", "4", "--target-col", "sales", "--goal", "fame"]) == 2
