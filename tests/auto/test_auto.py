"""Automatic models: all of the registry, in a forecaster like any other model, saved and loaded."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ndiv.auto
from ndiv import NeuralForecast
from ndiv.auto import AutoEventNHITS, AutoModel, AutoNHITS, AutoNLinear, AutoTSMixer, list_auto
from ndiv.errors import ArgumentError, ConfigError, NotFittedError
from ndiv.losses import MQLoss
from ndiv.models import list_models
from ndiv.training.tuning import frozen_names
from ndiv.tuning import choice

QUICK = {"input_size": [8, 12], "max_steps": 2, "windows_batch_size": 16, "learning_rate": [0.001, 0.01]}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    step = np.arange(50)
    return pd.concat([pd.DataFrame({"unique_id": i, "ds": pd.date_range("2020-01-01", periods=50), "y": np.sin(step / 3) + k,
                                    "x": np.cos(step / 5)}) for k, i in enumerate("ab")], ignore_index=True)


@pytest.fixture(scope="module")
def df(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["unique_id", "ds", "y"]]


def test_one_class_for_each_model() -> None:
    assert list_auto() == sorted(f"Auto{n}" for n in list_models())
    for name in list_auto():
        cls = getattr(ndiv.auto, name)
        assert (cls.__name__, cls.__module__, cls.MODEL) == (name, "ndiv.auto", name[4:])
        assert name[4:] in cls.__doc__
        auto = cls(h=12)
        assert (auto.h, auto.fitted, repr(auto)) == (12, False, name)
        assert "learning_rate" in auto.space
    assert list(inspect.signature(AutoTSMixer).parameters)[:2] == ["h", "n_series"]
    assert list(inspect.signature(AutoNHITS).parameters)[:7] == [
        "h", "loss", "valid_loss", "config", "search_alg", "num_samples", "time_budget"]


@pytest.fixture(scope="module")
def fitted(df: pd.DataFrame) -> NeuralForecast:
    return NeuralForecast([AutoNLinear(h=4, config=QUICK, num_samples=2, loss=MQLoss(level=[80])),
                           AutoTSMixer(h=4, config={**QUICK, "ff_dim": 4}, num_samples=1, alias="mixer")], "D").fit(df)


def test_forecasts_like_any_other_model(fitted: NeuralForecast, df: pd.DataFrame) -> None:
    got = fitted.predict()
    assert got.columns.tolist() == ["unique_id", "ds", "AutoNLinear-median", "AutoNLinear-lo-80", "AutoNLinear-hi-80", "mixer"]
    assert np.isfinite(got.iloc[:, 2:].to_numpy()).all()
    auto = fitted.models[0]
    assert auto.results.columns.tolist() == ["trial", "state", "loss", "steps", "seconds", "reason", "input_size", "learning_rate"]
    assert set(auto.best_config) == set(QUICK)
    assert auto.input_size == auto.best_config["input_size"] == auto.model.input_size
    assert auto.study.best_value == auto.best_loss


def test_saved_and_loaded(fitted: NeuralForecast, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    again = NeuralForecast.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.predict(), fitted.predict())
    for old, new in zip(fitted.models, again.models, strict=True):
        assert type(new) is type(old)
        assert repr(new) == repr(old)
        assert (new.best_config, new.best_loss, new.space) == (old.best_config, old.best_loss, old.space | new.space)
        pd.testing.assert_frame_equal(new.results, old.results)


def test_copies_and_pickles(fitted: NeuralForecast) -> None:
    auto = fitted.models[0]
    for twin in (copy.deepcopy(auto), pickle.loads(pickle.dumps(AutoNLinear(h=4, config=QUICK)))):
        assert repr(twin) == "AutoNLinear"
        assert twin.space == auto.space


def test_cross_validation_searches_before_each_cutoff(df: pd.DataFrame) -> None:
    """What comes after a cutoff changes nothing before it."""
    def run(data: pd.DataFrame) -> pd.DataFrame:
        nf = NeuralForecast([AutoNLinear(h=4, config=QUICK, num_samples=2)], "D")
        return nf.cross_validation(data, n_windows=2, step_size=4, refit=True)

    changed = df.copy()
    changed.loc[changed["ds"] > "2020-02-15", "y"] += 100.0  # the last four days
    first, second = (cv[cv["cutoff"] == cv["cutoff"].min()]["AutoNLinear"].to_numpy() for cv in (run(df), run(changed)))
    np.testing.assert_array_equal(first, second)


def test_functions_and_covariates(frame: pd.DataFrame) -> None:
    def config(trial: Any) -> dict[str, Any]:
        return {**AutoNHITS.get_default_config(h=4)(trial), "input_size": trial.suggest_categorical("L", [8, 12]), "max_steps": 2, "windows_batch_size": 16,
                "mlp_units": [[8, 8]] * 3, "futr_exog_list": ["x"]}

    auto = AutoNHITS(h=4, config=config, num_samples=2)
    assert auto.futr_exog_list == ["x"]
    futr = pd.DataFrame({"unique_id": np.repeat(["a", "b"], 4), "ds": list(pd.date_range("2020-02-20", periods=4)) * 2, "x": 0.5})
    ours = NeuralForecast([auto], "D").fit(pl.from_pandas(frame)).predict(futr_df=pl.from_pandas(futr))
    assert isinstance(ours, pl.DataFrame)
    assert isinstance(auto.results, pl.DataFrame)
    assert auto.best_config["input_size"] == auto.model.input_size


def test_covariates_may_be_searched(frame: pd.DataFrame) -> None:
    config = {**QUICK, "futr_exog_list": choice([[], ["x"]]), "mlp_units": ([8, 8], [8, 8], [8, 8])}
    auto = AutoNHITS(h=4, config=config, num_samples=3, search_alg="random", seed=2)
    assert auto.futr_exog_list == ["x"]
    NeuralForecast([auto], "D").fit(frame)
    assert sorted(set(auto.results["futr_exog_list"])) == ['["x"]', "[]"]
    assert auto.futr_exog_list == auto.best_config["futr_exog_list"]


def test_a_model_alone(df: pd.DataFrame) -> None:
    auto = AutoNLinear(h=4, config=QUICK, num_samples=1).fit(df, freq="D")
    assert auto.predict().columns.tolist() == ["unique_id", "ds", "AutoNLinear"]


def test_refused() -> None:
    for make, error, words in (
            (lambda: AutoNLinear(h=4, backend="ray"), ConfigError, "unknown backend 'ray'"),
            (lambda: AutoNLinear(h=4, config={"hiden_size": [1]}), ArgumentError, "unknown argument 'hiden_size'"),
            (lambda: AutoNLinear(h=4, config={"loss": 1}), ConfigError, "must not hold 'loss'"),
            (lambda: AutoNLinear(h=4, search_alg="tpe", sampler="tpe"), ConfigError, "two names"),
            (lambda: AutoNLinear(h=4, loss="MAEE"), ConfigError, "unknown loss")):
        with pytest.raises(error, match=words):
            make()
    auto = AutoEventNHITS(h=4)
    assert (auto.event_list, auto.MULTIVARIATE, auto.max_events) == ([], False, 32)
    with pytest.raises(ConfigError, match="no parameters before its first fit"):
        frozen_names([auto], "encoder*")
    for name in ("results", "no_such_thing"):
        with pytest.raises((NotFittedError, AttributeError)):
            getattr(auto, name)
    assert isinstance(auto, AutoModel)
