"""The series store: constructors, parts, saving."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndiv.data import SeriesStore
from ndiv.errors import ConfigError, DataError, EmptyDataError, ShapeError


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), max_size=6), min_size=1, max_size=5).filter(any))
def test_round_trips(series):
    store = SeriesStore.from_arrays_list(series)
    assert store.lengths.tolist() == [len(s) for s in series]
    arrays, meta = store.to_arrays()
    assert all(a.dtype.kind in "ifb" for a in arrays.values())
    back = SeriesStore.from_arrays(arrays, json.loads(json.dumps(meta)))
    for name in ("ids", "offsets", "times", "y", "mask", "hist", "futr", "stat"):
        np.testing.assert_array_equal(getattr(back, name), getattr(store, name))
    order = list(range(store.n_series))[::-1]
    some = store.select(order)
    for k, s in enumerate(order):
        np.testing.assert_array_equal(some.y[some.offsets[k]:some.offsets[k + 1]], np.float32(series[s]))
    tail = store.tail(2)
    for k, s in enumerate(series):
        np.testing.assert_array_equal(tail.y[tail.offsets[k]:tail.offsets[k + 1]], np.float32(s[-2:]))


def test_dates_and_text_ids_round_trip():
    times = np.array(["2020-01-01", "2020-01-02"], "datetime64[us]")
    store = SeriesStore.from_matrix([[1.0, 2.0], [3.0, np.nan]], ["a", "b"], times, freq="D")
    arrays, meta = store.to_arrays()
    back = SeriesStore.from_arrays(arrays, json.loads(json.dumps(meta)))
    assert back.times.dtype == store.times.dtype and back.ids.tolist() == ["a", "b"] and back.freq == "D"
    np.testing.assert_array_equal(back.last_times, times[[1, 1]])
    assert back.is_aligned and back.mask.tolist() == [True, True, True, False] and back.y[3] == 0
    assert back.nbytes > 0


def test_refusals():
    with pytest.raises(EmptyDataError):
        SeriesStore.from_arrays_list([])
    with pytest.raises(DataError, match="series 1 step 2"):
        SeriesStore.from_arrays_list([[1.0], [1.0, 2.0, np.inf]])
    with pytest.raises(DataError, match="series b step 1"):
        SeriesStore.from_matrix([[1.0, 2.0], [3.0, 1e39]], ["a", "b"])
    with pytest.raises(ShapeError):
        SeriesStore.from_matrix([1.0, 2.0])
    with pytest.raises(ShapeError, match="offsets"):
        SeriesStore(np.arange(1), np.array([0, 1]), np.arange(2), np.zeros(2), np.ones(2, bool))
    with pytest.raises(ConfigError):
        SeriesStore.from_arrays_list([[1.0]]).select([3])
    with pytest.raises(EmptyDataError):
        SeriesStore.from_arrays_list([[1.0]]).select([False])
    arrays, meta = SeriesStore.from_arrays_list([[1.0]]).to_arrays()
    del arrays["mask"]
    with pytest.raises(DataError, match="mask"):
        SeriesStore.from_arrays(arrays, meta)
