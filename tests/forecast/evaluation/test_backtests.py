"""Backtests: the baselines by hand, the same forecasts as cross_validation, scores, times and the printed table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv import NeuralForecast, backtest, evaluate
from ndiv.data import SeriesStore
from ndiv.errors import ConfigError
from ndiv.forecast.evaluation.baselines import naive, season_of, seasonal_naive
from ndiv.losses import MQLoss


@pytest.mark.parametrize(("unit", "count", "season"), [("h", 1, 24), ("m", 15, 96), ("D", 1, 7), ("D", 7, 52), ("M", 1, 12),
                                                       ("M", 3, 4), ("Y", 1, 1), ("s", 1, 1), ("h", 5, 1)])
def test_seasons(unit: str, count: int, season: int) -> None:
    times = np.datetime64("2020", unit) + np.arange(30) * np.timedelta64(count, unit)
    assert season_of(times.astype("datetime64[ns]")) == season


def test_baselines_step_over_gaps() -> None:
    gap = float("nan")
    store = SeriesStore.from_arrays_list([[1, 2, 3, 4, gap, 6, gap, 9], [gap, gap, 5, 6]])
    ends = np.array([[7, 8], [2, 3]])
    assert naive(store, ends, 2)[:, :, 0].tolist()[0] == [6.0, 9.0]
    assert np.array_equal(naive(store, ends, 1)[1, :, 0], [gap, 5.0], equal_nan=True)
    # season 3 before row 7: rows 4, 5, 6; the gaps are as one season earlier, rows 1 and 3
    assert seasonal_naive(store, ends, 4, 3)[0, 0].tolist() == [2.0, 6.0, 4.0, 2.0]
    # less than a season: the last known value
    assert seasonal_naive(store, ends, 2, 3)[1, 1].tolist() == [5.0, 5.0]


def test_backtest(df: pd.DataFrame, small: Any, like: Any) -> None:
    def models() -> list[Any]:
        return [small("NLinear", loss=MQLoss(level=[80])), small("NLinear"), small("DLinear")]

    found = backtest(models(), like(df), "D" if like(df) is df else None, n_windows=2)
    assert found.models == ["NLinear-median", "NLinear1", "DLinear", "Naive", "SeasonalNaive"]
    assert type(found.frame) is type(found.scores) is type(found.history) is type(like(df))
    assert (found.season, found.h, found.windows) == (7, 4, 2)
    plain = NeuralForecast(models(), found.nf.freq).cross_validation(like(df), n_windows=2, step_size=4)
    for name in plain.columns:
        assert np.array_equal(np.asarray(plain[name]), np.asarray(found.frame[name])) or name == "y"
    frame = pd.DataFrame({c: np.asarray(found.frame[c]) for c in found.frame.columns})
    y = df.set_index(["unique_id", "ds"]).y
    assert [y[key] for key in zip(frame.unique_id, frame.cutoff, strict=True)] == pytest.approx(frame.Naive.tolist())
    back = frame.ds - pd.Timedelta(days=7)
    assert [y[key] for key in zip(frame.unique_id, back, strict=True)] == pytest.approx(frame.SeasonalNaive.tolist())
    assert found.scores["metric"].to_list() == ["mae", "rmse", "smape", "mase", "crps", "coverage_level80"]
    assert set(found.seconds) == {"NLinear-median", "NLinear1", "DLinear"}
    mae = evaluate(found.frame, "mae", by="all")
    assert found.scores["DLinear"].to_list()[0] == pytest.approx(mae["DLinear"].to_list()[0])
    text = str(found).splitlines()
    assert text[0] == "2 series, 2 windows of 4 steps, season 7; means over the series"
    assert text[1].split() == ["model", "mae", "rmse", "smape", "mase", "crps", "coverage_level80", "seconds"]
    assert [line.split()[0] for line in text[2:]] == found.models
    assert found.evaluate("owa", by="all")["SeasonalNaive"].to_list() == pytest.approx([1.0])
    assert len(found.compare(baseline="Naive").frame) == 4
    assert len(found.nf.predict()) == 8


def test_backtest_of_a_forecaster_and_other_columns(df: pd.DataFrame, small: Any) -> None:
    renamed = df.rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"})
    nf = NeuralForecast([small("NLinear")], "D", local_scaler_type="standard")
    found = backtest(nf, renamed, test_size=8, season=1, metrics=["mae"], id_col="shop", time_col="day", target_col="sales")
    assert found.nf is nf
    assert nf.scaler is not None
    assert found.models == ["NLinear", "Naive"]
    assert found.windows == 2
    assert found.scores["metric"].tolist() == ["mae"]


def test_refused(df: pd.DataFrame, small: Any) -> None:
    with pytest.raises(ConfigError, match="season must be"):
        backtest(small("NLinear"), df, "D", season=0)
    with pytest.raises(ConfigError, match="called Naive, as the baseline"):
        backtest(small("NLinear", alias="Naive"), df, "D", n_windows=1)
