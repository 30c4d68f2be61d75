"""Windows over all series at once against naive loops: alignment on the last row, masks, which windows exist, loaders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.data import SequentialLoader, SeriesStore, WindowLoader
from ndiv.data.windows import PanelIndex
from ndiv.errors import HorizonError


def make_store(lengths, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    total = int(np.sum(lengths))
    mask = rng.random(total) >= missing
    return SeriesStore(np.arange(len(lengths)), np.concatenate([[0], np.cumsum(lengths)]), np.arange(total),
                       np.where(mask, rng.normal(size=total), 0), mask, rng.normal(size=(total, 2)), rng.normal(size=(total, 1)),
                       rng.normal(size=(len(lengths), 3)), ["a", "b"], ["f"], ["s", "t", "u"])


def tables(store):
    """Every array as one table of all series, ends aligned: [T, n], [T, n, X]."""
    rows, n = store.lengths.max(), store.n_series
    found = {"y": np.zeros((rows, n)), "mask": np.zeros((rows, n)), "hist": np.zeros((rows, n, 2)), "futr": np.zeros((rows, n, 1))}
    for s in range(n):
        for name, table in found.items():
            table[rows - store.lengths[s]:, s] = getattr(store, name)[store.offsets[s]:store.offsets[s + 1]]
    return found


def padded(table, start, stop):
    return np.stack([table[t] if 0 <= t < len(table) else np.zeros_like(table[0]) for t in range(start, stop)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.booleans(),
       st.booleans(), st.sampled_from([0.0, 0.4, 0.9]), st.sampled_from([0.0, 0.5]), st.integers(0, 3))
def test_windows_are_cut_from_one_table(lengths, L, h, step, start_padding, partial, availability, missing, held):
    store = make_store(lengths, missing)
    held = min(held, min(lengths) - 1)
    index = PanelIndex(store, L, h, step, start_padding, availability, hi=store.lengths - held, partial_horizon=partial)
    t = tables(store)
    rows, n, end = max(lengths), len(lengths), max(lengths) - held
    allowed = t["mask"] * (np.arange(rows) < end)[:, None]
    first = (1 if start_padding else L) - L
    wanted = []
    for start in range(first, end, step):
        if start + L + (1 if partial else h) > end:
            break
        seen = padded(t["mask"], start, start + L).sum(), padded(allowed, start + L, start + L + h).sum()
        if all(s >= max(1, int(availability * k * n + 1e-9)) for s, k in zip(seen, (L, h), strict=True)):
            wanted.append(start)
    assert index.locate(np.arange(len(index)))[1].tolist() == wanted
    if not wanted:
        with pytest.raises(HorizonError):
            index.require()
        return
    batch = index.gather(np.arange(len(index)))
    for b, start in enumerate(wanted):
        on = padded(allowed, start + L, start + L + h)
        np.testing.assert_array_equal(batch["outsample_mask"][b], on)
        np.testing.assert_allclose(batch["outsample_y"][b], padded(t["y"], start + L, start + L + h) * on, rtol=1e-6)
        np.testing.assert_allclose(batch["insample_y"][b], padded(t["y"], start, start + L), rtol=1e-6)
        np.testing.assert_array_equal(batch["insample_mask"][b], padded(t["mask"], start, start + L))
        np.testing.assert_allclose(batch["hist_exog"][b], padded(t["hist"], start, start + L).transpose(2, 0, 1), rtol=1e-6)
        np.testing.assert_allclose(batch["futr_exog"][b], padded(t["futr"], start, start + L + h).transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_array_equal(batch["stat_exog"], store.stat)
    assert all(v.dtype == np.float32 for v in batch.values())


def test_a_validation_range_is_masked_for_each_series():
    store = make_store([12, 7])
    lo, hi = store.split(3, 2)["val"]
    index = PanelIndex(store, 4, 3, lo=lo, hi=hi)
    assert index.locate(np.arange(len(index)))[1].tolist() == [3]
    found = index.gather([0])
    np.testing.assert_allclose(found["outsample_y"][0], np.stack([store.y[7:10], store.y[12 + 2:12 + 5]], axis=1))
    assert found["insample_mask"][0].sum(axis=0).tolist() == [4, 2]  # the shorter one has two rows before


def test_loaders_draw_windows_of_the_panel():
    store = make_store([30, 20, 25])
    loader = WindowLoader(store, 5, 2, batch_size=2, windows_batch_size=8, seed=3, panel=True)
    assert loader.steps_per_epoch == 1
    assert loader.batch(0)["insample_y"].shape == (8, 5, 3)
    again = WindowLoader(store, 5, 2, windows_batch_size=8, seed=3, panel=True)
    for step in range(3):
        for key, value in loader.batch(step).items():
            np.testing.assert_array_equal(value, again.batch(step)[key])
    assert not np.array_equal(loader.batch(0)["insample_y"], loader.batch(1)["insample_y"])
    parts = [b["insample_y"] for b in SequentialLoader(store, 5, 2, batch_size=10, panel=True).batches()]
    assert [len(p) for p in parts] == [10, 10, 4]
    np.testing.assert_allclose(parts[0][0, :, 0], store.y[:5])


def test_one_series_is_as_without_a_panel():
    store = make_store([25], missing=0.3)
    a = WindowLoader(store, 5, 2, windows_batch_size=8, seed=3, availability=0.5)
    b = WindowLoader(store, 5, 2, windows_batch_size=8, seed=3, availability=0.5, panel=True)
    for step in range(4):
        assert a.numbers(step).tolist() == b.numbers(step).tolist()
        np.testing.assert_array_equal(a.batch(step)["insample_y"], b.batch(step)["insample_y"])
