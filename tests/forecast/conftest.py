"""Small frames and small models, so that a test takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import small as sizes

from ndiv.models import get_model


def small_model(name: str = "NLinear", **options: Any) -> Any:
    """A model of that name that trains in milliseconds."""
    return get_model(name)(**{"h": 4, "input_size": 8, "max_steps": 3, "windows_batch_size": 16, **sizes.small(name, 8), **options})


def long_frame(n: int = 30, ids: tuple[Any, ...] = ("a", "b")) -> pd.DataFrame:
    """Daily series of ``n`` and ``n - 3`` rows and so on, with a covariate ``x`` and a missing target value each."""
    parts = []
    for k, name in enumerate(ids):
        rows = n - 3 * k
        step = np.arange(rows)
        y = 10.0 * (k + 1) + np.sin(step / 2) + 0.1 * step
        y[5] = np.nan
        parts.append(pd.DataFrame({"unique_id": name, "ds": pd.date_range("2020-01-01", periods=rows), "y": y,
                                   "x": np.cos(step / 3)}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def df() -> pd.DataFrame:
    return long_frame()[["unique_id", "ds", "y"]]


@pytest.fixture
def wide_df() -> pd.DataFrame:
    """With the covariate ``x``."""
    return long_frame()


@pytest.fixture
def small() -> Callable[..., Any]:
    return small_model


def ready_forecaster(models: list[Any], frame: Any, scaler: str | None = None, **options: Any) -> Any:
    """As `NeuralForecast(models, "D").fit(frame)` leaves it, with random weights in place of trained ones: in no time."""
    from ndiv import NeuralForecast
    from ndiv.forecast.columns import exog_names, view
    from ndiv.forecast.reading import read_store

    nf = NeuralForecast(models, freq="D", local_scaler_type=scaler)
    store = read_store(frame, "D", nf.columns, exog_names(models), **options)
    for k, model in enumerate(models):
        if model.MULTIVARIATE:
            model._sized_for(store)
            model.series_ids = store.ids
        if model.cat_exog_list:
            model.adopted(view(store, model), learn_from=store.lengths)
        sizes.shaken(model, k)
        model.fitted = True
    if scaler is not None:
        from ndiv.forecast.scaling import LocalScaler

        nf.scaler = LocalScaler(scaler).fit(store)
    nf.dataset, nf.fitted_freq = store, store.freq
    return nf


@pytest.fixture
def ready() -> Callable[..., Any]:
    return ready_forecaster


@pytest.fixture(params=["pandas", "polars"])
def like(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    """Turns a pandas frame into the library under test."""
    return (lambda frame: frame) if request.param == "pandas" else pl.from_pandas


def numbers(frame: Any) -> np.ndarray:
    """All columns but the first two as float64 [rows, columns]."""
    return np.column_stack([np.asarray(frame[c], np.float64) for c in list(frame.columns)[2:]])


@pytest.fixture
def values() -> Callable[[Any], np.ndarray]:
    return numbers
