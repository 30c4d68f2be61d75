"""Errors of forecasts: the numbers of utilsforecast, by name, on both kinds of frame."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from utilsforecast import losses
from utilsforecast.evaluation import evaluate as utils_evaluate

from ndiv import evaluate
from ndiv.errors import ConfigError, DataError, EmptyDataError, FeatureError


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
    for wrong, text in ((None, "df is no frame but NoneType"), (cv.assign(y="x"), "holds something other than numbers")):
        with pytest.raises(DataError, match=text):
            evaluate(wrong)
    with pytest.raises(EmptyDataError, match="known target"):
        evaluate(cv.tail(1))


# -- all metrics ---------------------------------------------------------------------------------------------------


def windows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three overlapping windows of two series, and the whole series: (cv, train_df)."""
    draw, parts, past = np.random.default_rng(0), [], []
    times = pd.date_range("2020-01-01", periods=40)
    for name in "ab":
        y = np.cumsum(draw.normal(size=40)) + 20
        past.append(pd.DataFrame({"unique_id": name, "ds": times, "y": y}))
        for cutoff in (30, 34, 36):
            part = past[-1].iloc[cutoff:cutoff + 4].assign(cutoff=times[cutoff - 1])
            part["m"] = part.y + draw.normal(size=4)
            for level in (80, 90):
                part[f"m-lo-{level}"], part[f"m-hi-{level}"] = part.m - level / 60, part.m + level / 70
            parts.append(part.assign(naive=y[cutoff - 1]))
    return pd.concat(parts, ignore_index=True), pd.concat(past, ignore_index=True)


def test_numbers_of_utilsforecast(like: Any) -> None:
    cv, train = map(like, windows())
    plain = [losses.mae, losses.mse, losses.rmse, losses.bias, losses.cfe, losses.mape, losses.smape, losses.nd, losses.wape]
    levelled = [losses.coverage, losses.winkler_score, losses.quantile_loss, losses.mqloss, losses.scaled_crps, losses.calibration]
    scaled = [functools.partial(f, seasonality=2) for f in (losses.mase, losses.msse, losses.rmsse)]
    want = utils_evaluate(cv, [*plain, *levelled, *scaled], models=["m"], level=[80, 90], train_df=train)
    names = [f.__name__ for f in (*plain, *levelled)] + ["mase", "msse", "rmsse"]
    got = evaluate(cv, names, ["m"], train, level=[80, 90], seasonality=2)
    table = {tuple(row[:3]): row[3] for row in np.asarray(want)}
    mine = {tuple(row[:3]): row[3] for row in np.asarray(got)}
    assert mine.keys() == table.keys()
    assert all(mine[key] == pytest.approx(table[key], rel=1e-12) for key in table)


def test_own_metrics_by_hand(like: Any) -> None:
    frame = like(pd.DataFrame({"unique_id": "a", "ds": [3, 4, 5], "y": [1.0, 3.0, 2.0], "m": [2.0, 3.5, 3.0],
                               "m-lo-80": [0.0, 3.5, 2.5], "m-hi-80": [2.0, 4.5, 3.5], "n": [2.0, 2.0, 2.0]}))
    past = like(pd.DataFrame({"unique_id": "a", "ds": [0, 1, 2], "y": [2.0, np.nan, 0.5]}))
    ask = ["crps", "interval_width", "winkler", "directional_accuracy", "owa", "rmae"]
    out = evaluate(frame, ask, train_df=past, seasonality=2, baseline="n", by="all")
    found = dict(zip(out["metric"].to_list(), out["m"].to_list(), strict=True))
    # pinball at 0.1: 0.1 * 1, 0.9 * 0.5, 0.9 * 0.5; at 0.9: 0.1 * 1, 0.1 * 1.5, 0.1 * 1.5
    assert found["crps"] == pytest.approx(2 * (0.1 + 0.45 + 0.45 + 0.1 + 0.15 + 0.15) / 6)
    assert found["interval_width_level80"] == pytest.approx(4 / 3)
    assert found["winkler_level80"] == pytest.approx((2 + (1 + 10 * 0.5) + (1 + 10 * 0.5)) / 3)
    assert found["directional_accuracy"] == 1.0  # up from 0.5, up, down, as in the series
    # sMAPE 1/3, 0.5/6.5, 1/5 against 1/3, 1/5, 0; MASE's scale is the same for both
    smape = (1 / 3 + 0.5 / 6.5 + 1 / 5) / (1 / 3 + 1 / 5)
    assert found["owa"] == pytest.approx((smape + 2.5 / 2) / 2)
    assert found["rmae"] == pytest.approx(2.5 / 2)
    assert evaluate(frame, "directional_accuracy")["n"].to_list() == [0.0]  # says "no change", twice


def test_groups(like: Any) -> None:
    cv, train = windows()
    error = (cv.y - cv.m).abs()
    step = cv.groupby(["unique_id", "cutoff"]).cumcount() + 1

    def got(by: Any, metric: str, **more: Any) -> list[float]:
        return column(evaluate(like(cv), metric, ["m"], by=by, **more), metric, "m")

    assert got("step", "mae") == pytest.approx(error.groupby(step).mean().tolist())
    assert got("series", "mae") == pytest.approx(error.groupby(cv.unique_id).mean().tolist())
    assert got("cutoff", "mae") == pytest.approx(error.groupby(cv.cutoff).mean().tolist())
    assert got("all", "mae") == pytest.approx([error.mean()])
    each = (error ** 2).groupby([step, cv.unique_id]).mean() ** 0.5  # within a series, then over series
    assert got("step", "rmse") == pytest.approx(each.groupby(level=0).mean().tolist())
    assert got(["series", "step"], "rmse") == pytest.approx(each.swaplevel().sort_index().tolist())
    known = train[train.ds <= cv.cutoff.min()]
    scale = known.groupby("unique_id").y.apply(lambda y: y.diff(2).abs().mean())
    assert got("series", "mase", train_df=like(train), seasonality=2) == pytest.approx((error.groupby(cv.unique_id).mean() / scale).tolist())
    assert list(evaluate(like(cv), "mae", by=["step", "cutoff"]).columns)[:3] == ["cutoff", "step", "metric"]


def test_shuffled_rows_and_models_without_intervals(like: Any) -> None:
    cv, _ = windows()
    ask = ["mae", "coverage", "crps", "directional_accuracy"]
    one, two = (evaluate(like(frame), ask, by="step", level=90) for frame in (cv, cv.sample(frac=1, random_state=1)))
    assert np.array_equal(np.asarray(one)[:, 2:].astype(float), np.asarray(two)[:, 2:].astype(float), equal_nan=True)
    assert np.isnan(np.array(column(one, "coverage_level90", "naive"), float)).all()
    assert len(column(one, "coverage_level90", "m")) == 4


def test_missing_forecasts_are_told(like: Any) -> None:
    cv, _ = windows()
    cv.loc[0, "naive"] = np.nan
    with pytest.warns(UserWarning, match="naive has no forecast in 1 of 24 rows"):
        out = evaluate(like(cv), "mae", by="all")
    assert column(out, "mae", "naive") == pytest.approx([(cv.y - cv.naive).abs().groupby(cv.unique_id).mean().mean()])


def test_refused_groups_and_levels() -> None:
    cv, _ = windows()
    for arguments, kind, text in (
        ({"by": "steps"}, ConfigError, "Did you mean 'step'"), ({"agg_fn": "avg"}, ConfigError, "unknown agg_fn 'avg'"),
        ({"metrics": "coverage", "level": 95}, FeatureError, "level 95.*80, 90"),
        ({"metrics": "coverage", "models": ["naive"]}, FeatureError, "needs columns of intervals"),
        ({"metrics": "crps", "models": ["naive"]}, FeatureError, "needs columns of quantiles"),
        ({"metrics": "rmae"}, ConfigError, "rmae needs baseline"), ({"metrics": "owa"}, ConfigError, "owa needs baseline"),
        ({"metrics": "rmae", "baseline": "naiv"}, FeatureError, "Did you mean 'naive'"),
    ):
        with pytest.raises(kind, match=text):
            evaluate(cv, **{"metrics": "mae", **arguments})
    with pytest.raises(FeatureError, match="needs a column of cutoffs"):
        evaluate(cv.drop(columns="cutoff"), "mae", by="cutoff")
