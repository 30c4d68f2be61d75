"""Scaling of series, of statics, and maps of the user: inverse(forward(y)) is y, intervals keep their order, what cannot be
undone is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv import NeuralForecast
from ndiv.data.maps import TARGET_MAPS, Differences, TargetMap
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, DataError, FileError
from ndiv.forecast.columns import head
from ndiv.forecast.scaling import LocalScaler
from ndiv.losses import MQLoss, QuantileLoss

NAMES = ["standard", "robust", "robust-iqr", "minmax", "boxcox", "log1p", "diff", "diff-3"]


@settings(max_examples=20, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES), pair=st.sampled_from([None, *TARGET_MAPS]))
def test_inverse_undoes_transform(data: Any, name: str, pair: str | None) -> None:
    """Of what comes after a history, scaled with the statistics of the history or as the differences to it. Float32 holds scaled
    values of one series; it holds y to its own rounding where the spread of the series is a fair part of its size."""
    lengths = data.draw(st.lists(st.integers(6, 12), min_size=1, max_size=3))
    h = 4
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    series = [draw.uniform(1.5, 60.0, n + h) for n in lengths]
    for y in series:
        y[1] = np.nan  # of the history
    whole = SeriesStore.from_arrays_list(series)
    before = head(whole, whole.lengths - h)
    scaler = LocalScaler(name, pair=None if pair is None else TargetMap(pair)).fit(before)
    rows = whole.offsets[1:, None] - h + np.arange(h)
    scaled = scaler.transform(whole).y[rows]
    np.testing.assert_allclose(scaler.inverse(scaled.astype(np.float64), before), whole.y[rows], rtol=2e-4)
    two = np.stack([scaled, scaled], axis=2).astype(np.float64)
    np.testing.assert_array_equal(scaler.inverse(two, before)[:, :, 1], scaler.inverse(scaled.astype(np.float64), before))


def test_differences_by_hand() -> None:
    store = SeriesStore.from_arrays_list([[1.0, 2.0, np.nan, 8.0, 16.0], [np.nan, 5.0], [np.nan]])
    scaled = Differences(2).transform(store)
    assert scaled.mask.tolist() == [False, False, False, True, False, False, False, False]
    assert scaled.y[3] == 6.0
    got = Differences(2).inverse(np.ones((3, 3)), store)
    assert got.tolist() == [[9.0, 17.0, 10.0], [6.0, 6.0, 7.0], [1.0, 1.0, 2.0]]  # a missing value: 5 is the last there is


@pytest.mark.parametrize("name", ["boxcox", "log1p", "diff-3"])
def test_forecasts_come_back_in_the_units_of_the_data(df: pd.DataFrame, small: Any, like: Any, name: str, tmp_path: Path) -> None:
    nf = NeuralForecast([small()], "D", name).fit(like(df), val_size=4)
    forecast = nf.predict()
    level = forecast["NLinear"].to_numpy().reshape(2, 4).mean(axis=1)
    assert 8 < level[0] < 18 and 16 < level[1] < 36
    nf.save(tmp_path / "nf")
    assert NeuralForecast.load(tmp_path / "nf").predict().equals(forecast)


@pytest.mark.parametrize("name", ["standard", "diff-2"])
def test_windows_of_a_backtest_are_scaled_as_a_history_is(df: pd.DataFrame, small: Any, name: str) -> None:
    nf = NeuralForecast([small()], "D", name)
    cv = nf.cross_validation(df, n_windows=1)
    past = df[df.groupby("unique_id").cumcount(ascending=False) >= 4]
    again = NeuralForecast([small()], "D", name).fit(past).predict()
    np.testing.assert_allclose(cv["NLinear"], again["NLinear"], rtol=1e-6)
    inside = nf.predict_insample(step_size=4)
    last = inside.groupby("unique_id").tail(4)["NLinear"]
    np.testing.assert_allclose(last, cv["NLinear"], rtol=1e-6)


def test_target_transform(df: pd.DataFrame, small: Any, tmp_path: Path) -> None:
    pair = (lambda y: np.sqrt(y + 1.0), lambda z: np.square(z) - 1.0)
    quantiles = small("NLinear", alias="quantiles", loss=MQLoss(level=[80]))
    nf = NeuralForecast([small(), quantiles], "D", "standard", target_transform=pair).fit(df)
    forecast = nf.predict()
    assert (forecast["quantiles-lo-80"] <= forecast["quantiles-hi-80"]).all()
    by_hand = NeuralForecast([small()], "D", "standard").fit(df.assign(y=np.sqrt(df.y + 1.0))).predict()
    np.testing.assert_allclose(forecast["NLinear"], np.square(by_hand["NLinear"]) - 1.0, rtol=1e-5)
    nf.save(tmp_path / "nf")
    with pytest.raises(FileError, match="which a file cannot hold"):
        NeuralForecast.load(tmp_path / "nf")
    assert NeuralForecast.load(tmp_path / "nf", target_transform=pair).predict().equals(forecast)
    named = NeuralForecast([small()], "D", target_transform=(np.log1p, np.expm1)).fit(df)
    named.save(tmp_path / "named")
    assert NeuralForecast.load(tmp_path / "named").predict().equals(named.predict())
    same = NeuralForecast([small()], "D", "log1p").fit(df).predict()
    np.testing.assert_allclose(named.predict()["NLinear"], same["NLinear"], rtol=1e-6)


def test_statics_are_scaled_over_all_series(df: pd.DataFrame, small: Any, like: Any) -> None:
    static = pd.DataFrame({"unique_id": ["b", "a"], "size": [300.0, 100.0], "kind": ["x", "y"]})
    model = small("MLP", stat_exog_list=["size", "kind"], cat_exog_list=["kind"])
    nf = NeuralForecast([model], "D", local_static_scaler_type="minmax").fit(like(df), like(static))
    assert nf.scaler is not None and nf.dataset is not None
    scaled = nf.scaler.transform(nf.dataset)
    assert scaled.stat[:, 0].tolist() == [0.0, 1.0]
    assert scaled.stat[:, 1].tolist() == nf.dataset.stat[:, 1].tolist()
    by_hand = NeuralForecast([small("MLP", stat_exog_list=["size", "kind"], cat_exog_list=["kind"])], "D")
    want = by_hand.fit(df, static.assign(size=(static["size"] - 100.0) / 200.0)).predict()
    np.testing.assert_array_equal(nf.predict()["MLP"], want["MLP"])
    new = static.assign(size=[200.0, 100.0])
    assert not nf.predict(like(df), like(new)).equals(nf.predict())  # with the statistics of fit, 200 is in the middle


@pytest.mark.parametrize("name", ["standard", "minmax", "log1p"])
def test_features_in_units_of_the_target_are_scaled_with_it(df: pd.DataFrame, small: Any, name: str) -> None:
    nf = NeuralForecast([small("MLP")], "D", name, features=["lags:1,4", "rolling:3:max,std"]).fit(df)
    assert nf.scaler is not None and nf.dataset is not None
    store, scaled = nf.dataset, nf.scaler.transform(nf.dataset)
    row = store.offsets[1:] - 1
    np.testing.assert_array_equal(scaled.hist[row, 0], scaled.y[row - 1])  # y_lag1
    assert scaled.hist_names == ["y_lag1", "y_rolling_max_3", "y_rolling_std_3"] and scaled.futr_names == ["y_lag4"]
    np.testing.assert_array_equal(scaled.futr[row, 0], scaled.y[row - 4])
    np.testing.assert_array_equal(scaled.hist[row, 1], np.stack([scaled.y[row - k] for k in range(3)]).max(axis=0))
    if name != "log1p":
        three = np.stack([scaled.y[row - k] for k in range(3)]).astype(np.float64)
        np.testing.assert_allclose(scaled.hist[row, 2], three.std(axis=0, ddof=1), rtol=1e-4)
    _, ahead = nf._windows_ahead(None, None, None, None)[:2]
    moved = nf.scaler.ahead(ahead, store)
    np.testing.assert_array_equal(moved[:, :, 0], scaled.y[row[:, None] - 3 + np.arange(4)])  # type: ignore[index]


def test_refused(df: pd.DataFrame, small: Any) -> None:
    def fit(**options: Any) -> NeuralForecast:
        return NeuralForecast([small()], "D", **options).fit(df)

    for options, says in (({"local_scaler_type": "log"}, "unknown local_scaler_type"), ({"local_scaler_type": "diff-0"}, "unknown"),
                          ({"local_static_scaler_type": "diff"}, "unknown local_static_scaler_type"),
                          ({"target_transform": "exp"}, "unknown target_transform"),
                          ({"target_transform": np.log}, "pair of functions"),
                          ({"target_transform": (np.log, lambda z: z[:, 0])}, "inverse failed on an array .* IndexError"),
                          ({"target_transform": (lambda y: y.sum(), np.exp)}, "forward gives shape")):
        with pytest.raises(ConfigError, match=says):
            fit(**options)
    with pytest.raises(DataError, match="must rise"):
        fit(target_transform=(lambda y: 1 / y, lambda z: 1 / z))
    with pytest.raises(DataError, match=r"inverse\(forward\("):
        fit(target_transform=(np.log, np.expm1))
    with pytest.raises(DataError, match=r"forward\(-.*\) is nan"):
        NeuralForecast([small()], "D", target_transform="log").fit(df.assign(y=df.y - 15.0))
    with pytest.raises(DataError, match="log1p needs values above -1; 1 series have others: a"):
        NeuralForecast([small()], "D", "log1p").fit(df.assign(y=df.y - 15.0))
    for loss in (MQLoss(level=[80]), QuantileLoss(0.9)):
        with pytest.raises(ConfigError, match="sums of quantiles are no quantiles"):
            NeuralForecast([small(loss=loss)], "D", "diff")
