"""Events: which of them a window sees, at which times, and how a frame of them is read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.data.event_frames import CATEGORY, NUMBER, events_from_frame
from ndiv.data.events import Events, EventWindows
from ndiv.data.store import SeriesStore
from ndiv.data.windows import gather
from ndiv.errors import DataError, FeatureError, ShapeError
from ndiv.forecast.columns import cut, head

BEGIN = np.datetime64("2024-01-31", "us")


def hourly(lengths=(30, 12), ids=("a", "b")):
    times = np.concatenate([BEGIN + np.arange(n) * np.timedelta64(3600, "s") for n in lengths])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    y = np.arange(sum(lengths), dtype=np.float32)
    return SeriesStore(np.array(ids, object), offsets, times, y, np.ones(len(y), bool), freq="h")


def events_at(hours, ids=None, store=None):
    """Events with the number 1, 2, ... at so many hours after the beginning."""
    df = pd.DataFrame({"unique_id": ids or ["a"] * len(hours), "n": np.arange(1.0, len(hours) + 1),
                       "ds": BEGIN + np.round(np.array(hours) * 3600e6).astype("timedelta64[us]")})
    return events_from_frame(df, store or hourly(), {"n": NUMBER})


def seen(windows, store, series, start, length=6, h=3):
    """(number, time) of each event in a window."""
    found = windows(store, np.array([series]), np.array([start]), length, h)
    on = found["event_mask"][0] > 0
    assert not found["event_values"][0][~on].any()
    assert not found["event_times"][0][~on].any()
    return list(zip(found["event_values"][0, on, 0].tolist(), found["event_times"][0, on].tolist(), strict=True))


def test_a_window_sees_what_happened_from_its_first_row_to_its_last():
    store, events = hourly(), events_at([3.99, 4, 6.5, 9, 9.0001, 12, 12.01])
    assert seen(EventWindows(events, 5), store, 0, 4) == [(2.0, -5.0), (3.0, -2.5), (4.0, 0.0)]
    ahead = seen(EventWindows(events, 5, ahead=True), store, 0, 4)
    assert [n for n, _ in ahead] == [2.0, 3.0, 4.0, 5.0, 6.0]
    np.testing.assert_allclose([t for _, t in ahead], [-5, -2.5, 0, 1e-4, 3], atol=1e-6)
    assert seen(EventWindows(events, 5), store, 1, 4) == []  # of another series


def test_events_after_the_end_of_a_series_are_seen_when_they_are_announced():
    store, events = hourly(), events_at([28, 29.5, 31.5, 32, 32.5])
    assert seen(EventWindows(events, 5), store, 0, 24) == [(1.0, -1.0)]
    assert seen(EventWindows(events, 5, ahead=True), store, 0, 24) == [(1.0, -1.0), (2.0, 0.5), (3.0, 2.5), (4.0, 3.0)]
    monthly = SeriesStore(np.array(["a"], object), np.array([0, 3]), np.array(["2024-01-01", "2024-02-01", "2024-03-01"],
                          "datetime64[us]"), np.zeros(3, np.float32), np.ones(3, bool), freq="MS")
    later = events_from_frame({"unique_id": ["a"], "ds": ["2024-04-16"], "n": [1.0]}, monthly, {"n": NUMBER})
    assert seen(EventWindows(later, 5, ahead=True), monthly, 0, 0, length=3, h=2) == [(1.0, 1.5)]  # April has 30 days


def test_windows_that_begin_before_their_series():
    assert seen(EventWindows(events_at([-1, 0, 2]), 5), hourly(), 0, -4, length=6) == [(2.0, -1.0)]
    assert seen(EventWindows(events_at([0]), 5), hourly(), 0, -9, length=6) == []  # and end before it


def test_of_too_many_the_latest_are_taken_and_that_is_said():
    windows = EventWindows(events_at([1, 2, 3, 4]), 2)
    with pytest.warns(UserWarning, match=r"1 of 1 windows hold more than max_events=2 events \(up to 4\)"):
        assert seen(windows, hourly(), 0, 0) == [(3.0, -2.0), (4.0, -1.0)]
    assert seen(windows, hourly(), 0, 0) == [(3.0, -2.0), (4.0, -1.0)]  # once


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-40, 400), max_size=25), st.integers(-5, 26), st.integers(1, 8), st.integers(0, 4), st.booleans(),
       st.integers(0, 1))
def test_against_one_event_after_the_other(tenths, start, length, h, ahead, common):
    """In tenths of an hour; a common event is one of every series."""
    store = hourly()
    df = {"ds": BEGIN + np.array(tenths, np.int64) * np.timedelta64(360, "s"), "n": np.arange(1.0, len(tenths) + 1)}
    frame = pd.DataFrame(df if common else {"unique_id": ["ab"[k % 2] for k in range(len(tenths))], **df})
    windows = EventWindows(events_from_frame(frame, store, {"n": NUMBER}), 30, ahead)
    for s in (0, 1):
        first, last = max(start, 0), start + length - 1
        wanted = sorted(((t / 10 - last, k + 1.0) for k, t in enumerate(tenths) if (common or k % 2 == s)
                         and first <= t / 10 <= last + (h if ahead else 0) and t / 10 <= store.lengths[s] - 1 + (h if ahead else 0)))
        found = seen(windows, store, s, start, length, h)
        np.testing.assert_allclose(sorted(t for _, t in found), [t for t, _ in wanted], atol=1e-5)
        assert sorted(n for n, _ in found) == sorted(n for _, n in wanted)


@pytest.mark.parametrize("ahead", [False, True])
def test_nothing_that_comes_later_changes_a_window(ahead):
    """Events after what a window may see, moved or taken away, leave its batch as it is, to the bit."""
    draw = np.random.default_rng(0)
    hours, store = np.sort(draw.uniform(0, 29, 40)), hourly()
    for start in range(20):
        limit = start + 5 + (3 if ahead else 0)
        few = hours[hours <= limit]
        moved = np.concatenate([few, draw.uniform(limit + 1e-5, 29.5, 7)])
        batches = [EventWindows(events_at(h), 50, ahead)(store, np.array([0]), np.array([start]), 6, 3) for h in (hours, few, moved)]
        for other in batches[1:]:
            for key, value in batches[0].items():
                np.testing.assert_array_equal(value, other[key])


def test_series_that_are_chosen_and_cut_keep_their_events():
    store, events = hourly(), events_at([3, 5, 8, 3], ids=["a", "b", "a", "a"])
    windows = EventWindows(events, 5)
    whole = seen(windows, store, 0, 3)
    assert whole == [(1.0, -5.0), (4.0, -5.0), (3.0, 0.0)]  # two at one time
    assert seen(windows, store.select([1, 0]), 1, 3) == whole
    assert seen(windows, head(store, np.array([9, 9])), 0, 3) == whole
    many = cut(store, np.array([0, 1, 0]), np.array([3, 3, 1]), np.array([9, 9, 8]))  # ids come twice
    assert [seen(windows, many, s, 0) for s in range(3)] == [whole, [(2.0, -3.0)], [(1.0, -3.0), (4.0, -3.0)]]


def test_gather_adds_what_the_store_carries():
    from dataclasses import replace

    store = replace(hourly(), extras=(EventWindows(events_at([4]), 2),))
    batch = gather(store, [0, 1], [0, 0], 6, 3)
    assert batch["event_values"].shape == (2, 2, 1)
    assert batch["event_mask"].tolist() == [[1, 0], [0, 0]]
    assert all(v.dtype == np.float32 for v in batch.values())


# -- frames --------------------------------------------------------------------------------------------------------


COLUMNS = {"unique_id": ["b", "a", "a"], "ds": pd.to_datetime(["2024-01-31 02:00", "2024-01-31 05:30", "2024-01-31 01:00"]),
           "kind": ["sale", "fair", None], "size": [1, 2, 3], "text": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}
KINDS = {"size": NUMBER, "text": 2, "kind": CATEGORY}


@pytest.mark.parametrize("library", ["pandas", "polars", "dict", "polars array"])
def test_frames(library):
    frame = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "dict": dict,
             "polars array": lambda c: pl.DataFrame(c).with_columns(pl.col("text").cast(pl.Array(pl.Float32, 2)))}[library](COLUMNS)
    events = events_from_frame(frame, hourly(), KINDS)
    assert events.ids.tolist() == ["a", "b"]
    assert events.offsets.tolist() == [0, 2, 3]
    assert events.values.tolist() == [[3, 5, 6, 0], [2, 3, 4, 1], [1, 1, 2, 2]]
    assert events.categories == {"kind": ["fair", "sale"]}
    assert events.times.dtype == hourly().times.dtype
    assert events.select(["kind", "text"]).values.tolist() == [[0, 5, 6], [1, 3, 4], [2, 1, 2]]


def test_an_empty_frame_and_events_of_every_series():
    frame = pd.DataFrame(COLUMNS)
    none = events_from_frame(frame.iloc[:0], hourly(), KINDS)
    assert len(none) == 0
    assert none.values.shape == (0, 4)
    assert seen(EventWindows(none, 3), hourly(), 0, 2) == []
    common = events_from_frame(frame.drop(columns="unique_id"), hourly(), {"size": NUMBER})
    assert [seen(EventWindows(common, 3), hourly(), s, 0) for s in (0, 1)] == [[(3.0, -4.0), (1.0, -3.0)]] * 2
    assert len(events_from_frame(frame.drop(columns="unique_id").iloc[:0], hourly(), KINDS)) == 0


def test_what_is_finer_than_the_clock_of_the_series_is_never_seen_early():
    store = hourly()
    frame = pd.DataFrame({"unique_id": ["a"], "ds": [pd.Timestamp("2024-01-31 05:00:00.000000001")], "n": [1.0]})
    windows = EventWindows(events_from_frame(frame, store, {"n": NUMBER}), 2)
    assert seen(windows, store, 0, 0) == []  # it ends at 5:00
    assert len(seen(windows, store, 0, 1)) == 1


@pytest.mark.parametrize("change, kind, text", [
    ({"size": None}, FeatureError, "events_df has no event_list column 'size'"), ({"ds": None}, FeatureError, "no time column 'ds'"),
    ({"size": ["x", 2, 3]}, DataError, "must hold numbers"), ({"size": [1.0, np.nan, 3]}, DataError, "1 missing or infinite .*a at"),
    ({"text": [[1.0, 2.0], [3.0], [5.0, 6.0]]}, DataError, r"vectors of 2 numbers; row 1 holds shape \[1\]"),
    ({"text": [[1.0, 2.0], "x", [5.0, 6.0]]}, DataError, "row 1 holds 'x'"), ({"kind": [0.5, 1, 2]}, DataError, "no category"),
    ({"ds": [1, 2, 3]}, DataError, "holds int64, df holds datetime64"), ({"unique_id": ["x", "y", "z"]}, DataError, "none of the ids"),
    ({"unique_id": [1, 2, 3]}, DataError, "none of the ids"), ({"unique_id": ["a", None, "b"]}, DataError, "null ids"),
    ({"ds": pd.to_datetime(["2024-01-31"] * 3, utc=True)}, DataError, "with a time zone, df holds"),
])
def test_what_is_refused(change, kind, text):
    frame = pd.DataFrame({k: v for k, v in {**COLUMNS, **change}.items() if v is not None})
    with pytest.raises(kind, match=text):
        events_from_frame(frame, hourly(), KINDS)


def test_arrays_that_do_not_fit():
    with pytest.raises(ShapeError, match="values of events"):
        Events(np.array(["a"]), np.array([0, 1]), np.array([1]), np.ones((2, 1)), ["n"], [1])
    with pytest.raises(ShapeError, match="offsets of events"):
        Events(np.array(["a"]), np.array([0, 2]), np.array([1]), np.ones((1, 1)), ["n"], [1])


@pytest.mark.parametrize("common", [False, True])
def test_a_store_is_saved_with_its_events(common):
    from dataclasses import replace

    store = hourly()
    frame = pd.DataFrame(COLUMNS).drop(columns=["unique_id"] if common else [])
    arrays, meta = replace(store, events=events_from_frame(frame, store, KINDS)).to_arrays()
    again = SeriesStore.from_arrays(arrays, meta)
    for s in (0, 1):
        both = [EventWindows(x.events, 3)(x, np.array([s]), np.array([0]), 6, 2) for x in (replace(store, events=again.events), again)]
        want = EventWindows(events_from_frame(frame, store, KINDS), 3)(store, np.array([s]), np.array([0]), 6, 2)
        for found in both:
            for key, value in want.items():
                np.testing.assert_array_equal(found[key], value)
