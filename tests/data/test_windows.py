"""Windows and loaders against naive loops: gathering, which windows exist, what each loader draws, memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.data import EpochLoader, SequentialLoader, SeriesStore, WindowIndex, WindowLoader, gather, stack_series
from ndiv.errors import ConfigError, HorizonError, ShapeError


def make_store(lengths, missing=0.0, seed=0, exog=True):
    rng = np.random.default_rng(seed)
    total = int(np.sum(lengths))
    mask = rng.random(total) >= missing
    return SeriesStore(np.arange(len(lengths)), np.concatenate([[0], np.cumsum(lengths)]), np.arange(total),
                       np.where(mask, rng.normal(size=total), 0), mask,
                       rng.normal(size=(total, 2)) if exog else None, rng.normal(size=(total, 1)) if exog else None,
                       rng.normal(size=(len(lengths), 3)) if exog else None,
                       ["a", "b"] if exog else [], ["f"] if exog else [], ["s", "t", "u"] if exog else [])


def naive(store, s, start, input_size, h, lo=0, hi=10**9):
    """One window, one step at a time."""
    first, last = store.offsets[s], store.offsets[s + 1]
    out = {"insample_y": np.zeros((input_size, 1)), "insample_mask": np.zeros((input_size, 1)),
           "outsample_y": np.zeros((h, 1)), "outsample_mask": np.zeros((h, 1)),
           "hist_exog": np.zeros((input_size, 2)), "futr_exog": np.zeros((input_size + h, 1)),
           "stat_exog": store.stat[s]}
    for k in range(input_size + h):
        t = start + k
        if not 0 <= t < last - first:
            continue
        out["futr_exog"][k] = store.futr[first + t]
        if k < input_size:
            out["hist_exog"][k] = store.hist[first + t]
            out["insample_y"][k], out["insample_mask"][k] = store.y[first + t], store.mask[first + t]
        elif lo <= t < hi:
            out["outsample_y"][k - input_size] = store.y[first + t]
            out["outsample_mask"][k - input_size] = store.mask[first + t]
    return out


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 6), st.integers(0, 4), st.data())
def test_gather_equals_loops(lengths, input_size, h, data):
    store = make_store(lengths, missing=data.draw(st.sampled_from([0.0, 0.2])))
    n = data.draw(st.integers(1, 5))
    series = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=n, max_size=n))
    starts = data.draw(st.lists(st.integers(-8, 14), min_size=n, max_size=n))
    lo, hi = np.full(n, data.draw(st.integers(0, 5))), np.full(n, data.draw(st.integers(3, 14)))
    used = None
    if data.draw(st.booleans()):  # a batch of before, whose arrays are written over
        used = gather(store, series[::-1], starts, input_size, h)
        if data.draw(st.booleans()):  # of another size: left alone
            used = gather(store, series[:1], starts[:1], input_size + 1, h + 1)
    batch = gather(store, series, starts, input_size, h, lo=lo, hi=hi, out=used)
    for b in range(n):
        for name, value in naive(store, series[b], starts[b], input_size, h, lo[b], hi[b]).items():
            assert batch[name].dtype == np.float32
            np.testing.assert_array_equal(batch[name][b], value.astype(np.float32), err_msg=name)


def test_gather_leaves_out_absent_features_and_pads_history():
    store = make_store([4], exog=False)
    batch = gather(store, [0], [-2], 3, 1, history_pad=7.0)
    assert set(batch) == {"insample_y", "insample_mask", "outsample_y", "outsample_mask"}
    assert batch["insample_y"][0, :2, 0].tolist() == [7.0, 7.0] and batch["insample_mask"].sum() == 1


@pytest.mark.parametrize(("series", "starts", "error"), [([5], [0], ConfigError), ([0, 0], [0], ShapeError)])
def test_gather_refuses(series, starts, error):
    with pytest.raises(error):
        gather(make_store([4]), series, starts, 2, 1)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3),
       st.booleans(), st.booleans(), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.4]), st.integers(0, 6),
       st.one_of(st.none(), st.integers(1, 15)))
def test_index_equals_enumeration(lengths, size, h, step, padding, partial, share, missing, lo, hi):
    store = make_store(lengths, missing=missing)
    index = WindowIndex(store, size, h, step, padding, share, lo, hi, partial)
    expected = []
    for s, length in enumerate(lengths):
        end = length if hi is None else min(hi, length)
        first = max(lo, 1 if padding else size)
        for target in range(first, (end - 1 if partial else end - h) + 1, step):
            window = naive(store, s, target - size, size, h, lo, end)
            if window["insample_mask"].sum() >= max(1, int(share * size)) and \
                    window["outsample_mask"].sum() >= max(1, int(share * h)):
                expected.append((s, target - size))
    assert len(index) == len(expected) == index.counts.sum()
    series, starts = index.locate(np.arange(len(index)))
    assert list(zip(series.tolist(), starts.tolist(), strict=True)) == expected
    if len(index):
        steps = starts[:, None] + size + np.arange(h)
        seen = index.gather(np.arange(len(index)))["outsample_mask"][..., 0] > 0
        assert (steps[seen] >= lo).all() and (hi is None or (steps[seen] < hi).all())


def test_index_names_the_reason_when_empty():
    with pytest.raises(HorizonError, match=r"longest usable series has 5 steps, a window needs 4 \+ 3"):
        WindowIndex(make_store([5, 3]), 4, 3).require()
    store = SeriesStore.from_arrays_list([[np.nan] * 20])
    with pytest.raises(HorizonError, match="lacks observed values"):
        WindowIndex(store, 4, 3).require()


@pytest.mark.parametrize("bad", [{"input_size": 0}, {"h": 0}, {"step_size": 0}, {"availability": 1.5},
                                 {"input_size": 2.5}])
def test_index_refuses(bad):
    with pytest.raises(ConfigError):
        WindowIndex(make_store([9]), **{"input_size": 2, "h": 1, **bad})


def test_splits_do_not_share_targets():
    store = make_store([30, 25])
    parts = store.split(val_size=6, test_size=5)
    seen = []
    for lo, hi in parts.values():
        index = WindowIndex(store, 4, 3, lo=lo, hi=hi, partial_horizon=True)
        series, starts = index.locate(np.arange(len(index)))
        mask = index.gather(np.arange(len(index)))["outsample_mask"][..., 0] > 0
        steps = (starts[:, None] + 4 + np.arange(3)) + 1000 * series[:, None]
        seen.append(set(steps[mask].tolist()))
    assert not seen[0] & seen[1] and not seen[1] & seen[2] and not seen[0] & seen[2]
    assert len(seen[0] | seen[1] | seen[2]) == 30 + 25 - 2 * 4
    with pytest.raises(HorizonError, match=r"1 .* rows"):
        store.split(20, 5)


def flat(batches):
    """Batches as a sorted list of windows, to compare as multisets."""
    return sorted(tuple(row) for b in batches
                  for row in np.concatenate([b["insample_y"], b["outsample_y"]], axis=1)[..., 0].tolist())


@pytest.mark.parametrize("drop", [False, True])
def test_window_loader_semantics(drop):
    store = make_store([40, 3, 50, 60, 45, 2])
    loader = WindowLoader(store, 8, 4, batch_size=3, windows_batch_size=20, seed=3, drop_last=drop)
    assert loader.steps_per_epoch == (1 if drop else 2)  # two series are too short to count
    other = WindowLoader(store, 8, 4, batch_size=3, windows_batch_size=20, seed=4, drop_last=drop)
    for step in range(6):
        numbers = loader.numbers(step)
        assert len(numbers) == 20 and len(set(numbers.tolist())) == 20
        series, _ = loader.index.locate(numbers)
        assert len(set(series.tolist())) <= 3
    assert any((loader.numbers(s) != other.numbers(s)).any() for s in range(3))


def test_window_loader_takes_all_windows_once_when_few():
    store = make_store([12, 13])
    loader = WindowLoader(store, 8, 4, windows_batch_size=1024)
    assert loader.numbers(0).tolist() == list(range(len(loader.index)))
    # Targets may run past the end, one step at least being known: 4 and 5 starts.
    assert loader.index.counts.tolist() == [4, 5]
    assert (loader.batch(0)["outsample_mask"][:, 0] == 1).all()


def test_batches_are_pure_functions_of_the_step():
    store = make_store([60] * 7, missing=0.1)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make = [lambda: WindowLoader(store, 8, 4, batch_size=2, windows_batch_size=16, seed=5),
            lambda: EpochLoader(WindowIndex(store, 8, 4), 16, seed=5),
            lambda: EpochLoader(WindowIndex(store, 8, 4, start_padding=True), 4, seed=5)]
    for build in make:
        once, again = build(), build()
        first = [once.batch(s) for s in range(9)]
        for step in (7, 0, 8, 3):  # another order, another object
            for name, value in again.batch(step).items():
                np.testing.assert_array_equal(value, first[step][name])
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("exog", [False, True])
def test_a_loader_may_write_over_the_batch_before(exog):
    store = make_store([60] * 3, missing=0.1, exog=exog)
    fresh, kept = WindowLoader(store, 8, 4, windows_batch_size=16), WindowLoader(store, 8, 4, windows_batch_size=16, keep=2)
    batches = [kept.batch(step) for step in range(6)]
    for step in (4, 5):
        for name, value in fresh.batch(step).items():
            np.testing.assert_array_equal(value, batches[step][name])
            if name != "stat_exog":
                assert np.shares_memory(batches[step][name], batches[step - 2][name])
                assert not np.shares_memory(batches[step][name], batches[step - 1][name])
    with pytest.raises(ConfigError, match="keep"):
        WindowLoader(store, 8, 4, keep=0)


def test_a_step_of_all_windows_takes_the_arrays_of_the_one_before():
    store = make_store([40, 25], missing=0.1)
    fresh, kept = WindowLoader(store, 8, 4), WindowLoader(store, 8, 4, keep=1)
    for step in range(3):
        batch = kept.batch(step)
        assert batch is kept.batch(step + 1)
        for name, value in fresh.batch(step).items():
            np.testing.assert_array_equal(value, batch[name])
    fewer = WindowLoader(store, 8, 4, batch_size=1, keep=1)  # all windows of one series, and then of the other
    assert {len(fewer.batch(step)["insample_y"]) for step in range(2)} == set(fewer.index.counts)
    np.testing.assert_array_equal(fewer.batch(3)["insample_y"], WindowLoader(store, 8, 4, batch_size=1).batch(3)["insample_y"])


def test_draws_are_uniform():
    loader = WindowLoader(make_store([30]), 4, 1, windows_batch_size=5, seed=1)
    counts = np.zeros(len(loader.index))
    for step in range(4000):
        counts[loader.numbers(step)] += 1
    expected = 4000 * 5 / len(counts)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_passes_cover_each_window_once(size):
    store = make_store([40, 9, 33], missing=0.3)
    index = WindowIndex(store, 6, 3, step_size=2)
    whole = flat([index.gather(np.arange(len(index)))])
    loader = SequentialLoader(store, 6, 3, batch_size=size, step_size=2)
    assert flat(loader.batches()) == whole and len(list(loader.batches())) == len(loader)
    epochs = EpochLoader(index, size, seed=2)
    assert flat(epochs.batches(0)) == whole and flat(epochs.batches(1)) == whole
    if size == 7:
        assert (epochs.batch(0)["insample_y"] != epochs.batch(epochs.steps_per_epoch)["insample_y"]).any()


def test_aligned_epochs_order_rows_by_window_then_series():
    values = np.arange(60.0).reshape(20, 3)
    store = SeriesStore.from_matrix(values, ["a", "b", "c"])
    loader = EpochLoader(WindowIndex(store, 5, 2), 4, seed=1, aligned=True)
    assert loader.steps_per_epoch == 4  # 14 start positions
    seen = []
    for batch in loader.batches():
        stacked = stack_series(batch, 3)
        assert stacked["insample_y"].shape[1:] == (5, 3) and stacked["outsample_y"].shape[1:] == (2, 3)
        for window, target in zip(stacked["insample_y"], stacked["outsample_y"], strict=True):
            start = int(window[0, 0] // 3)
            np.testing.assert_array_equal(np.concatenate([window, target]), values[start:start + 7])
            seen.append(start)
    assert sorted(seen) == list(range(14))
    with pytest.raises(ShapeError, match="same times"):
        EpochLoader(WindowIndex(make_store([20, 21]), 5, 2), aligned=True)


def test_stack_series_layout_of_covariates():
    store = make_store([10, 10])
    batch = gather(store, [0, 1, 0, 1], [0, 0, 2, 2], 4, 2)
    out = stack_series(batch, 2)
    assert out["hist_exog"].shape == (2, 2, 4, 2) and out["futr_exog"].shape == (2, 1, 6, 2)
    np.testing.assert_array_equal(out["hist_exog"][1, :, :, 1], batch["hist_exog"][3].T)
    np.testing.assert_array_equal(out["stat_exog"], store.stat)
    with pytest.raises(ShapeError):
        stack_series(batch, 3)


def test_memory_is_that_of_a_batch():
    store = SeriesStore.from_arrays_list([np.arange(1_000_000.0)])
    tracemalloc.start()
    loader = WindowLoader(store, 96, 24, windows_batch_size=1024)
    for step in range(3):
        loader.batch(step)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Without an index by number the windows alone would take 480 MB.
    assert peak < 8e6
