"""Residual diagnostics: the numbers of statsmodels, and words that fit series whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv import diagnose_residuals
from ndiv.errors import ConfigError, EmptyDataError, FeatureError


@pytest.fixture
def errors() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    noise = draw.normal(size=200)
    wave = np.zeros(200)
    for t in range(1, 200):
        wave[t] = 0.8 * wave[t - 1] + noise[t]
    return {"clean": noise, "drift": np.cumsum(draw.normal(size=200)), "wave": wave, "high": noise - 2,
            "tails": draw.standard_t(2, size=200)}


@pytest.fixture
def frame(errors: dict[str, np.ndarray]) -> pd.DataFrame:
    y = np.linspace(50, 60, 200)
    return pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020-01-01", periods=200), "y": y,
                         **{name: y - e for name, e in errors.items()}})


def found(frame: Any, model: str) -> dict[str, Any]:
    rows = pd.DataFrame({c: frame[c].to_list() for c in frame.columns})
    return rows[rows.model == model].set_index("test").to_dict("index")


def test_words_fit(frame: pd.DataFrame, like: Any) -> None:
    answer = diagnose_residuals(like(frame))
    assert type(answer.frame) is type(like(frame))
    assert not any(row["problem"] for row in found(answer.frame, "clean").values())
    drift = found(answer.frame, "drift")
    assert drift["adf"]["problem"]
    assert drift["kpss"]["problem"]
    wave = found(answer.frame, "wave")
    assert wave["ljung_box"]["problem"]
    assert not wave["adf"]["problem"]
    assert found(answer.frame, "tails")["jarque_bera"]["problem"]
    assert "too high, by " in found(answer.frame, "high")["bias"]["meaning"]
    text = str(answer)
    assert "a, clean (200 residuals):" in text
    assert "! ljung_box    p < 0.001" in text
    assert "steps: autocorrelation" not in text  # there are no cutoffs


def test_numbers_of_statsmodels(frame: pd.DataFrame, errors: dict[str, np.ndarray]) -> None:
    # here, for every process that collects tests imports this file
    from statsmodels.stats.diagnostic import acorr_ljungbox
    from statsmodels.tsa import stattools

    answer = diagnose_residuals(frame, "wave", lags=6)
    rows = found(answer.frame, "wave")
    assert rows["adf"]["p_value"] < 1e-3  # far from a unit root
    assert rows["kpss"]["statistic"] == pytest.approx(stattools.kpss(errors["wave"], nlags="auto")[0])
    assert rows["ljung_box"]["p_value"] == pytest.approx(acorr_ljungbox(errors["wave"], lags=[6])["lb_pvalue"].iloc[0], abs=1e-9)
    key = ("a", "wave")
    assert answer.residuals[key] == pytest.approx(errors["wave"])
    d = errors["wave"] - errors["wave"].mean()
    assert answer.acf[key] == pytest.approx([d[k:] @ d[:200 - k] / (d @ d) for k in range(7)])
    assert answer.pacf[key][1] == pytest.approx(answer.acf[key][1])
    theory, values = answer.qq[key]
    assert values == pytest.approx(np.sort(errors["wave"]))
    assert (np.diff(theory) > 0).all()


def test_several_forecasts_of_one_time_count_once(frame: pd.DataFrame) -> None:
    first = frame.assign(cutoff=pd.Timestamp("2019-12-31"))
    both = pd.concat([first, first.assign(cutoff=pd.Timestamp("2019-12-30"), clean=first.clean - 2)])
    answer = diagnose_residuals(both, ["clean"])
    assert answer.residuals["a", "clean"] == pytest.approx((frame.y - frame.clean).to_numpy() + 1)
    assert "up to 200 steps" in str(answer)


def test_too_few_and_all_the_same(frame: pd.DataFrame) -> None:
    frame["even"] = frame.y - 1
    rows = found(diagnose_residuals(frame, ["even"]).frame, "even")
    assert {row["meaning"] for row in rows.values()} == {"left out: the residuals are all the same"}
    assert "left out: 5 residuals are fewer than the 12" in str(diagnose_residuals(frame.head(5), ["clean"]))


def test_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(FeatureError, match="Did you mean 'clean'"):
        diagnose_residuals(frame, "cleen")
    with pytest.raises(ConfigError, match="lags"):
        diagnose_residuals(frame, lags=0)
    with pytest.raises(EmptyDataError):
        diagnose_residuals(frame.assign(y=np.nan))
    with pytest.raises(FeatureError, match="no column of forecasts"):
        diagnose_residuals(frame[["unique_id", "ds", "y"]])
