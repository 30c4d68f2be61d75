"""level= and quantiles=: which columns, closed forms, interpolation, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv import NeuralForecast
from ndiv.errors import ConfigError
from ndiv.forecast.asked import ask
from ndiv.forecast.quantiles import interpolate
from ndiv.losses import GMM, MAE, RPS, DistributionLoss, IQLoss, MQLoss, QuantileLoss
from ndiv.losses.distributions.numeric import normal_quantile

LEVELS = ["-lo-90", "-lo-80", "-hi-80", "-hi-90"]


def fitted(small: Any, df: pd.DataFrame, loss: Any, name: str = "NLinear") -> NeuralForecast:
    return NeuralForecast([small(name, loss=loss)], freq="D").fit(df)


@pytest.mark.parametrize(("loss", "first"), [(DistributionLoss("Normal"), [""]), (GMM(2), [""]), (MQLoss(level=[80, 90]), ["-median"]),
                                             (IQLoss(), ["_ql0.5"])])
def test_columns_are_neuralforecasts(loss: Any, first: list[str], small: Any, df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small(loss=loss)], freq="D").fit(like(df))
    out = nf.predict(level=[90, 80])
    assert list(out.columns)[2:] == [f"NLinear{s}" for s in [*first, *LEVELS]]
    out = nf.predict(quantiles=[0.9, 0.25])
    assert list(out.columns)[2:] == [f"NLinear{s}" for s in [*first, "_ql0.25", "_ql0.9"]]


@pytest.mark.parametrize("loss", ["Normal", "Poisson"])
def test_closed_form_quantiles_are_those_of_the_loss(loss: str, small: Any, df: pd.DataFrame, values: Any) -> None:
    """Asked of a model that was trained with other levels, and of one that has them from the start."""
    frame = df.assign(y=df.y.round())
    asked = fitted(small, frame, DistributionLoss(loss, level=[50])).predict(level=[80, 90])
    built = fitted(small, frame, DistributionLoss(loss, level=[80, 90])).predict()
    for name in ["", *LEVELS]:
        assert np.array_equal(asked[f"NLinear{name}"], built[f"NLinear{name}"])


def test_weighted_values_and_parameters(small: Any, df: pd.DataFrame) -> None:
    asked = fitted(small, df, RPS(), "DeepNPTS").predict(level=[80])
    built = fitted(small, df, RPS(level=[80]), "DeepNPTS").predict()
    assert np.array_equal(asked["DeepNPTS-lo-80"], built["DeepNPTS-lo-80"])
    out = fitted(small, df, DistributionLoss("Normal", return_params=True)).predict(level=[80])
    assert list(out.columns)[2:] == ["NLinear", "NLinear-lo-80", "NLinear-hi-80", "NLinear-loc", "NLinear-scale"]


def test_between_trained_quantiles_and_not_outside(small: Any, df: pd.DataFrame) -> None:
    nf = fitted(small, df, MQLoss(level=[80, 90]))
    trained, asked = nf.predict(), nf.predict(level=[80, 85])
    assert np.array_equal(asked["NLinear-lo-80"], trained["NLinear-lo-80"])
    assert (asked["NLinear-lo-85"] <= asked["NLinear-lo-80"]).all()
    assert (asked["NLinear-lo-85"] >= trained["NLinear-lo-90"]).all()
    with pytest.raises(ConfigError, match=r"0\.05 to 0\.95 by MQLoss, and 0\.005 lies outside.*level=\[99\]"):
        nf.predict(level=[80, 99])


@settings(max_examples=25)
@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True), st.floats(-5, 5), st.floats(0.1, 9))
def test_interpolation_is_exact_for_normal_forecasts(asked: list[float], loc: float, scale: float) -> None:
    known = (0.95, 0.5, 0.05, 0.2)
    got = interpolate(known, loc + scale * normal_quantile(np.array(known))[None], tuple(asked))
    np.testing.assert_allclose(got[0], loc + scale * normal_quantile(np.array(asked)), atol=1e-6 * scale)


@settings(max_examples=25)
@given(st.lists(st.floats(1, 99), min_size=2, max_size=5, unique=True), st.lists(st.floats(-3, 3), min_size=5, max_size=5))
def test_levels_are_nested(levels: list[float], values: list[float]) -> None:
    asked = ask(levels)
    assert asked is not None
    found = interpolate((0.1, 0.3, 0.5, 0.7, 0.9), np.array([values]), asked.quantiles)[0]
    assert (np.diff(found) >= 0).all()
    assert asked.suffixes[0].replace("lo", "hi") == asked.suffixes[-1]


def test_cross_validation_honours_levels_in_both_modes(small: Any, df: pd.DataFrame, like: Any) -> None:
    for refit in (False, True):
        nf = NeuralForecast([small(loss=DistributionLoss("Normal"))], freq="D")
        cv = nf.cross_validation(like(df), n_windows=2, refit=refit, level=[80])
        assert list(cv.columns)[3:] == ["y", "NLinear", "NLinear-lo-80", "NLinear-hi-80"]
        assert type(cv) is type(like(df))
    inside = nf.predict_insample(step_size=9, level=[80])
    assert list(inside.columns)[3:] == ["NLinear", "NLinear-lo-80", "NLinear-hi-80", "y"]
    cv = nf.cross_validation(df, quantiles=[0.2])
    assert list(cv.columns)[4:] == ["NLinear", "NLinear_ql0.2"]


@pytest.mark.parametrize("loss", [MAE(), QuantileLoss(0.3)])
def test_a_point_loss_names_three_ways_out(loss: Any, small: Any, df: pd.DataFrame) -> None:
    nf = fitted(small, df, loss)
    for call in (lambda: nf.predict(level=[80]), lambda: nf.predict(quantiles=[0.1]), lambda: nf.cross_validation(df, level=[80])):
        with pytest.raises(ValueError, match=r"no intervals.*MQLoss.*DistributionLoss.*fit\(df, prediction_intervals.*calibrate"):
            call()


def test_bad_requests(small: Any, df: pd.DataFrame) -> None:
    nf = fitted(small, df, DistributionLoss("Normal"))
    for options, text in (({"level": [80], "quantiles": [0.1]}, "both"), ({"level": [100]}, "between 0 and 100, got 100"),
                          ({"level": []}, "empty"), ({"quantiles": [1.5]}, "between 0 and 1, got 1.5"),
                          ({"level": ["80"]}, "got '80'"), ({"quantiles": [True]}, "got True")):
        with pytest.raises(ConfigError, match=text):
            nf.predict(**options)
    with pytest.warns(UserWarning, match="level holds 80 more than once"):
        out = nf.predict(level=[80, 80])
    assert list(out.columns)[3:] == ["NLinear-lo-80", "NLinear-hi-80"]
    assert list(nf.predict(level=97.5).columns)[3:] == ["NLinear-lo-97.5", "NLinear-hi-97.5"]
    assert list(nf.predict(level=np.array([80.0])).columns)[3:] == ["NLinear-lo-80", "NLinear-hi-80"]


def test_asking_leaves_the_model_as_it_was_and_sees_later_training(small: Any, df: pd.DataFrame) -> None:
    nf = fitted(small, df, DistributionLoss("Normal", level=[50]))
    before, asked = nf.predict(), nf.predict(level=[80])
    assert nf.predict().equals(before)
    nf.fit(df)
    again = nf.predict(level=[80])
    assert not np.array_equal(asked["NLinear-lo-80"], again["NLinear-lo-80"])
    assert np.array_equal(again["NLinear"], nf.predict()["NLinear"])
