"""Window and series scalers: inverse of transform, hand-computed statistics, masks, constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ndiv.data import SERIES_SCALERS, WINDOW_SCALERS, SeriesScaler, SeriesStore, window_scaler
from ndiv.errors import ConfigError, DataError, NotFittedError, ShapeError


@pytest.mark.parametrize("name", WINDOW_SCALERS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_inverse_undoes_transform(name, data):
    x = data.draw(arrays(np.float64, (3, 6, 1), elements=st.floats(-100, 100)))
    mask = data.draw(arrays(np.bool_, (3, 6, 1)))
    scaler = window_scaler(name)
    loc, scale = scaler.stats(x, mask)
    assert loc.shape == scale.shape == (3, 1, 1) and loc.dtype == x.dtype
    assert np.isfinite(loc).all() and np.isfinite(scale).all() and (scale > 0).all()
    # A window is only asked about values of its own order of magnitude.
    seen = np.where(mask, x, loc)
    back = scaler.inverse(scaler.transform(seen, loc, scale), loc, scale)
    np.testing.assert_allclose(back, seen, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", WINDOW_SCALERS)
def test_masked_values_do_not_count(name):
    x = np.array([[1.0, 5.0, np.nan, 2.0, 9.0, 1e30]])
    mask = np.array([[1, 1, 0, 1, 1, 0]])
    scaler = window_scaler(name)
    for a, b in zip(scaler.stats(x, mask), scaler.stats(x[:, [0, 1, 3, 4]]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "loc", "scale"), [
    ("standard", 4.25, np.std([1, 5, 2, 9])), ("revin", 4.25, np.std([1, 5, 2, 9])),
    ("robust", 2.0, 1.0),  # lower medians: of 1 2 5 9, and of 0 1 3 7
    ("invariant", 2.0, 1.0), ("minmax", 1.0, 8.0), ("minmax1", 1.0, 8.0)])
def test_statistics_by_hand(name, loc, scale):
    got = window_scaler(name).stats(np.array([[1.0, 5.0, 2.0, 9.0]]))
    np.testing.assert_allclose([v.item() for v in got], [loc, scale + 1e-6], rtol=1e-12)


def test_robust_falls_back_to_the_deviation():
    x = np.array([[1.0, 1.0, 1.0, 9.0]])
    loc, scale = window_scaler("robust").stats(x)
    assert loc.item() == 1.0
    np.testing.assert_allclose(scale.item(), np.std(x) * 0.6744897501960817 + 1e-6)


@pytest.mark.parametrize("name", [n for n in WINDOW_SCALERS if n != "identity"])
@pytest.mark.parametrize("mask", [0, 1])
def test_constant_and_empty_windows(name, mask):
    x = np.full((2, 4), 3.0, np.float32)
    loc, scale = window_scaler(name).stats(x, np.full((2, 4), mask))
    assert loc.tolist() == [[3.0 * mask]] * 2 and loc.dtype == np.float32
    np.testing.assert_allclose(scale, 1.0, rtol=1e-5)


def test_ranges_and_names():
    x = np.array([[2.0, 3.0, 6.0]])
    for name, low, high in (("minmax", 0, 1), ("minmax1", -1, 1)):
        scaler = window_scaler(name)
        z = scaler.transform(x, *scaler.stats(x))
        np.testing.assert_allclose([z.min(), z.max()], [low, high], atol=1e-5)
    assert window_scaler(None).name == "identity"
    with pytest.raises(ConfigError, match="Did you mean 'standard'"):
        window_scaler("standrad")
    with pytest.raises(ConfigError, match="robust-iqr"):
        SeriesScaler("iqr")


@pytest.mark.parametrize("name", SERIES_SCALERS)
def test_series_scaler(name):
    rng = np.random.default_rng(0)
    series = [np.exp(rng.normal(size=40)) + 0.1, np.full(9, 5.0), np.full(4, np.nan), np.exp(rng.normal(size=30)) * 50]
    series[0][3:6] = np.nan
    store = SeriesStore.from_arrays_list(series)
    scaler = SeriesScaler(name).fit(store)
    assert np.isfinite(scaler.stats_).all()
    scaled = scaler.transform(store)
    assert np.isfinite(scaled.y).all() and (scaled.y[~store.mask] == 0).all()
    for s in (0, 1, 3):
        part = slice(store.offsets[s], store.offsets[s + 1])
        z = scaled.y[part].reshape(1, -1).astype(np.float64)
        back = scaler.inverse(z, np.array([s]))
        seen = store.mask[part]
        np.testing.assert_allclose(back[0, seen], store.y[part][seen], rtol=2e-4, atol=1e-4)
    restored = SeriesScaler.from_arrays(*scaler.to_arrays())
    np.testing.assert_array_equal(restored.transform(store).y, scaled.y)
    both = scaler.transform(store.select([3, 0]), np.array([3, 0]))
    np.testing.assert_array_equal(both.select([1]).y, scaled.select([0]).y)
    forecast = rng.normal(size=(4, 3, 2)).astype(np.float32)
    back = scaler.inverse(forecast)
    assert back.shape == (4, 3, 2) and back.dtype == np.float32 and np.isfinite(back).all()
    with pytest.raises(ShapeError):
        scaler.transform(store.select([0]))
    with pytest.raises(NotFittedError):
        SeriesScaler(name).transform(store)


def test_series_statistics_by_hand():
    store = SeriesStore.from_arrays_list([[1.0, np.nan, 5.0, 3.0, 11.0]])
    assert SeriesScaler("standard").fit(store).stats_[0].tolist() == [5.0, pytest.approx(np.std([1, 5, 3, 11]))]
    assert SeriesScaler("minmax").fit(store).stats_[0].tolist() == [1.0, 10.0]
    with pytest.raises(DataError, match="series have others: 1"):
        SeriesScaler("boxcox").fit(SeriesStore.from_arrays_list([[1.0, 2.0], [0.0, 2.0]]))
