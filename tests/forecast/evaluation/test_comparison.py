"""The Diebold-Mariano test: numbers worked by hand, its size and power by simulation, and what a comparison says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from small import sampled

from ndiv import compare
from ndiv.errors import ConfigError, EmptyDataError, FeatureError
from ndiv.forecast.evaluation import diebold_mariano


def test_numbers_by_hand() -> None:
    # mean 2, autocovariances 4/6 and 2/6; variance of the mean (4/6 + 2 * 2/6) / 6 = 2/9; factor sqrt((6 + 1 - 4 + 2/6) / 6)
    statistic, p = diebold_mariano([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], h=2)
    assert statistic == pytest.approx(np.sqrt(10 / 18) * 2 / np.sqrt(2 / 9))
    assert statistic == pytest.approx(np.sqrt(10))
    assert p == pytest.approx(0.02503, abs=1e-5)  # Student's t of 5 degrees of freedom, two tails
    assert diebold_mariano([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], 2, "greater")[1] == pytest.approx(p / 2)
    assert diebold_mariano([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], 2, "less")[1] == pytest.approx(1 - p / 2)


def test_negative_variance_takes_falling_weights() -> None:
    d = np.array([1.0, -1.0] * 4) + 0.1  # equal weights: 1 - 2 * 7/8 < 0; Bartlett's: 1 - 7/8 = 1/8
    assert diebold_mariano(d, 2)[0] == pytest.approx(np.sqrt((8 + 1 - 4 + 2 / 8) / 8) * 0.1 / np.sqrt(1 / 8 / 8))


def test_borders() -> None:
    assert [float(v) for v in diebold_mariano(np.zeros(9))] == [0.0, 1.0]
    assert np.isnan(diebold_mariano(np.arange(4.0), h=4)).all()
    assert float(diebold_mariano(np.ones(9))[1]) == 0.0  # always one unit worse
    with pytest.raises(ConfigError, match="h must be"):
        diebold_mariano(np.ones(9), 0)
    with pytest.raises(ConfigError, match="two-sided"):
        diebold_mariano(np.ones(9), 1, "both")


@pytest.mark.parametrize(("h", "n"), sampled([1, 2, 4], [40, 100, 400]))
def test_size_and_power(h: int, n: int) -> None:
    """Of 4,000 true hypotheses about 5 % are refused, and most of those that are false by half a standard deviation."""
    draw = np.random.default_rng(h * n)
    shocks = draw.normal(size=(4000, n + h - 1))
    d = sum(shocks[:, k:n + k] for k in range(h)) / np.sqrt(h)  # depends on itself up to lag h - 1
    size = float((diebold_mariano(d, h)[1] < 0.05).mean())
    # Two standard errors of 4,000 draws are 0.007; with equal weights the test refuses too often where n / h is small.
    assert 0.04 < size < (0.06 if h == 1 else 0.1 if n / h < 30 else 0.065)
    assert float((diebold_mariano(d + 0.5 * np.sqrt(h), h)[1] < 0.05).mean()) > 0.75


@pytest.fixture
def cv() -> pd.DataFrame:
    draw, parts = np.random.default_rng(3), []
    for k, name in enumerate("ab"):
        for window in range(6):
            y = draw.normal(size=4) + 5
            parts.append(pd.DataFrame({"unique_id": name, "ds": 100 * k + 4 * window + np.arange(4), "cutoff": 4 * window - 1,
                                       "y": y, "good": y + 0.1 * draw.normal(size=4), "same": y + 0.1 * draw.normal(size=4),
                                       "bad": y + 1 + draw.normal(size=4)}))
    return pd.concat(parts, ignore_index=True)


def test_compare(cv: pd.DataFrame, like: Any) -> None:
    found = compare(like(cv))
    assert type(found.frame) is type(like(cv))
    rows = [tuple(row) for row in np.asarray(found.frame)[:, :2]]
    assert rows == [("good", "same"), ("good", "bad"), ("same", "bad")]
    assert found.h == 4
    assert found.frame["n"].to_list() == [24] * 3  # series of other times are joined by their order
    # the pooled test is that of the mean loss at each time
    d = ((cv.y - cv.good).abs() - (cv.y - cv.bad).abs()).to_numpy().reshape(2, 24).mean(0)
    statistic, p = diebold_mariano(d, 4)
    assert found.frame["statistic"].to_list()[1] == pytest.approx(float(statistic))
    assert found.frame["p_value"].to_list()[1] == pytest.approx(float(p))
    assert found.frame["p_adjusted"].to_list()[1] == pytest.approx(min(1.0, float(p) * (3 if p == min(found.frame["p_value"]) else 2)))
    text = str(found)
    assert "fewer than 20 horizons" in text
    assert "good is better than bad" in text
    assert "good and same" in text
    assert "no difference that luck would not explain" in text
    series = compare(like(cv), "mse", by="series", baseline="bad", h=1)
    assert list(series.frame.columns)[:3] == ["unique_id", "model_a", "model_b"]
    assert series.frame["unique_id"].to_list() == ["a", "a", "b", "b"]
    assert set(series.frame["model_b"].to_list()) == {"bad"}


def test_overlapping_windows_count_once(cv: pd.DataFrame) -> None:
    twice = pd.concat([cv, cv.assign(cutoff=cv.cutoff - 1)])
    assert np.allclose(compare(twice).frame["statistic"], compare(cv).frame["statistic"])


def test_own_loss_and_missing_values(cv: pd.DataFrame) -> None:
    cv.loc[0, "y"] = np.nan
    assert compare(cv, lambda y, f: (y - f) ** 2).frame["loss_a"].tolist() == pytest.approx(compare(cv, "mse").frame["loss_a"])


def test_few_times_say_so(cv: pd.DataFrame) -> None:
    assert "4 times are too few" in str(compare(cv[cv.cutoff == -1]))


def test_refused(cv: pd.DataFrame) -> None:
    for arguments, kind, text in (
        ({"metric": "rmse"}, ConfigError, "Pass 'mse'"), ({"metric": "maes"}, ConfigError, "Did you mean 'mae'"),
        ({"by": "step"}, ConfigError, "unknown by"), ({"models": ["good"]}, EmptyDataError, "no two models"),
        ({"baseline": "naive"}, FeatureError, "'naive'"), ({"target_col": "z"}, FeatureError, "no target column"),
    ):
        with pytest.raises(kind, match=text):
            compare(cv, **arguments)
    with pytest.raises(EmptyDataError, match="no row"):
        compare(cv.assign(y=np.nan))
