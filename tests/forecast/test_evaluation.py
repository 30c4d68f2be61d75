"""Errors of forecasts: the numbers of utilsforecast, by name, on both kinds of frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from utilsforecast import losses

from ndiv import evaluate
from ndiv.errors import ConfigError, EmptyDataError, FeatureError


@pytest.fixture
def cv() -> pd.DataFrame:
    return pd.DataFrame({"unique_id": ["a", "a", "b", "b"], "ds": [3, 4, 3, 4], "y": [1.0, 2.0, 4.0, np.nan],
                         "one": [1.0, 4.0, 5.0, 9.0], "one-lo-90": 0.0, "one-hi-90": 9.0, "two": [0.0, 2.0, 4.0, 4.0]})


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame({"unique_id": ["a"] * 3 + ["b"] * 3, "ds": [0, 1, 2] * 2, "y": [1.0, 3.0, 5.0, 1.0, 2.0, 3.0]})


def column(frame: Any, metric: str, model: str) -> list[float]:
    return [v for m, v in zip(frame["metric"].to_list(), frame[model].to_list(), strict=True) if m == metric]


def test_known_values(cv: pd.DataFrame, like: Any) -> None:
    out = evaluate(like(cv))
    assert type(out) is type(like(cv))
    assert list(out.columns) == ["unique_id", "metric", "one", "two"]  # no bounds of intervals
    assert column(out, "mae", "one") == [1.0, 1.0]
    assert column(out, "mae", "two") == [0.5, 0.0]
    assert column(out, "rmse", "one") == pytest.approx([2**0.5, 1.0])
    assert column(out, "mape", "one") == pytest.approx([0.5, 0.25])
    assert column(out, "smape", "one") == pytest.approx([1 / 6, 1 / 9])


def test_scaled_errors(cv: pd.DataFrame, history: pd.DataFrame, like: Any) -> None:
    out = evaluate(like(cv), ["mase"], train_df=like(history), seasonality=1)
    assert column(out, "mase", "one") == pytest.approx([0.5, 1.0])
    both = evaluate(like(cv), train_df=like(history), seasonality=1, agg_fn="mean")
    assert both["metric"].to_list() == ["mae", "rmse", "mape", "smape", "mase"]
    assert column(both, "mase", "one") == pytest.approx([0.75])


def test_functions_and_names_agree(cv: pd.DataFrame) -> None:
    assert evaluate(cv, [losses.mae, losses.rmse]).equals(evaluate(cv, ["mae", "rmse"]))
    assert evaluate(cv, "mae").equals(evaluate(cv, [losses.mae]))


def test_chosen_models(cv: pd.DataFrame) -> None:
    assert list(evaluate(cv, "mae", models=["two"]).columns) == ["unique_id", "metric", "two"]


def test_refused(cv: pd.DataFrame, history: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"'maes'.*Did you mean 'mae'"):
        evaluate(cv, ["maes"])
    with pytest.raises(ConfigError, match="mase needs train_df"):
        evaluate(cv, ["mase"], seasonality=1)
    with pytest.raises(ConfigError, match="mase needs seasonality"):
        evaluate(cv, ["mase"], train_df=history)
    with pytest.raises(FeatureError, match="lacks 1 series: b"):
        evaluate(cv, ["mase"], train_df=history.head(3), seasonality=1)
    with pytest.raises(FeatureError, match="no target column 'y'"):
        evaluate(cv.drop(columns="y"))
    with pytest.raises(FeatureError, match="'three'"):
        evaluate(cv, models=["three"])
    with pytest.raises(FeatureError, match="no column of forecasts"):
        evaluate(cv[["unique_id", "ds", "y"]])
    with pytest.raises(EmptyDataError, match="known target"):
        evaluate(cv.tail(1))
