"""Conformal intervals beside neuralforecast's own functions, from the same scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ndiv.data.store import SeriesStore
from ndiv.forecast.asked import ask
from ndiv.forecast.conformal import Calibration
from ndiv.utils import PredictionIntervals

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md
from neuralforecast.utils import get_prediction_interval_method


@pytest.mark.parametrize("method", ["conformal_distribution", "conformal_error"])
def test_levels_are_the_same_numbers_in_the_same_columns(method):
    rng = np.random.default_rng(0)
    series, windows, h = 5, 4, 6
    errors = rng.normal(size=(series, windows, h)).astype(np.float32)
    base = rng.normal(size=(series, h)) * 3 + 10
    scores = pd.DataFrame({"m": np.abs(errors.astype(np.float64)).ravel()})
    theirs, columns = get_prediction_interval_method(method)(
        base.reshape(-1, 1), scores, model="m", cs_n_windows=windows, n_series=series, horizon=h, level=[80, 90])
    asked = ask([80, 90])
    ours = Calibration(PredictionIntervals(windows, method), np.arange(series), {"m": errors[..., None]}, {"m": ()}).bounds(
        "m", SeriesStore.from_arrays_list([[0.0]] * series), base[..., None], asked)
    assert columns == [f"m{suffix}" for suffix in asked.suffixes]
    np.testing.assert_allclose(ours, theirs[:, 1:].reshape(series, h, 4), rtol=1e-12)
