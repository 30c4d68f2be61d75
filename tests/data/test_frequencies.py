"""Every frequency of pandas and polars: read, stepped and continued; time zones and what changes of the clock do."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.data import Frequency, from_frame, future_times, infer_freq, to_frame
from ndiv.errors import ConfigError, DataError

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
PANDAS = [
    "B", "C", "D", "W", "ME", "SME", "BME", "CBME", "MS", "SMS", "BMS", "CBMS", "QE", "BQE", "QS", "BQS", "YE", "BYE", "YS", "BYS", "h",
    "bh", "cbh", "min", "s", "ms", "us", "ns", "2D", "3h", "15min", "90s", "2W", "2MS", "3ME", "2B", "2bh", "4QS", "2SMS", "WOM-1MON",
    "WOM-3FRI", *(["LWOM-FRI"] if int(pd.__version__.split(".")[0]) >= 3 else []), "REQ-N-DEC-MON-1", "RE-N-DEC-MON", "6h30min",
    "1D12h", "24h", "1min30s", "0.5h",
    *(f"W-{d}" for d in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")),
    *(f"{p}-{m}" for p in ("QE", "YS") for m in MONTHS), *(f"{p}-{m}" for p in ("QS", "BQE", "BQS", "YE", "BYE", "BYS")
                                                              for m in ("JAN", "NOV"))]
POLARS = ["1ns", "1us", "250ms", "1s", "30s", "1m", "15m", "1h", "6h", "1d", "2d", "1w", "2w", "1mo", "2mo", "6mo", "1q", "2q", "1y",
          "2y", "1h30m", "1d12h", "3d12h4m25s", "1w2d"]
BY_HAND = {"2B", "2bh", "LWOM-FRI", "REQ-N-DEC-MON-1", "RE-N-DEC-MON", "2SMS"}  # steps that cannot be told from the times alone


def frames(clock):
    """The two kinds of frames of one series."""
    y = np.arange(len(clock), dtype=float)
    yield pd.DataFrame({"ds": clock, "y": y})
    yield pl.DataFrame({"ds": np.asarray(clock), "y": y})


@pytest.mark.parametrize("group", range(4))
def test_pandas_aliases(group):
    """A frame in each frequency is accepted, its frequency is found, and its forecast's times are those that pandas gives."""
    for alias in PANDAS[group::4]:
        times = pd.date_range("2019-12-28", periods=45, freq=alias)
        for frame in frames(times[:40]):
            for freq in (alias,) if alias in BY_HAND or isinstance(frame, pl.DataFrame) else (alias, None):
                store = from_frame(frame, freq)
                ahead = future_times(store.last_times, store.freq, 5)[0]
                np.testing.assert_array_equal(ahead, times[40:].to_numpy().astype(ahead.dtype), err_msg=f"{alias} {freq}")


@pytest.mark.parametrize("alias", POLARS)
def test_polars_durations(alias):
    for start in (datetime(2020, 1, 1), datetime(2020, 1, 31)):
        base = pl.Series([start]).cast(pl.Datetime("ns" if alias == "1ns" else "us"))
        parts = pd.Series([alias]).str.extractall(r"(\d+)(\D+)").to_numpy().tolist()
        times = np.concatenate([base.dt.offset_by("".join(f"{int(n) * k}{u}" for n, u in parts)).to_numpy() for k in range(45)])
        for frame in frames(times[:40]):
            for freq in (alias, None):
                store = from_frame(frame, freq)
                np.testing.assert_array_equal(future_times(store.last_times, store.freq, 5)[0], times[40:])


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PANDAS + POLARS), st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)), st.integers(1, 9), st.integers(0, 9))
def test_steps_add_up(alias, start, a, b):
    """From a time on the grid, a steps and then b are a + b, and times rise."""
    freq = Frequency(alias)
    first = freq.shift(np.array([start], "datetime64[us]"), 1)
    if alias in POLARS and alias[-1] in "oqy":
        first = first.astype("datetime64[M]").astype("datetime64[us]")  # a month end is kept as such by polars, which clips it
    steps = [freq.shift(first, n)[0] for n in range(a + b + 1)]
    assert all(x < y or alias in ("ns", "1ns") for x, y in pairwise(steps))
    assert freq.shift(freq.shift(first, a), b)[0] == steps[a + b]


def test_no_frequency():
    for text in ("1mo15d", "1x", "fortnight", "h1", "-1h", "0h0m"):
        with pytest.raises(ConfigError):
            Frequency(text)
    with pytest.raises(ConfigError, match="days of the calendar and hours of the clock"):
        Frequency("1d12h", "Europe/Berlin")
    assert infer_freq(np.array([3]), np.array([0, 1])) is None


ZONES = {"Europe/Berlin": ("2024-03-30", "2024-10-26"), "America/New_York": ("2024-03-09", "2024-11-02"),
         "Australia/Sydney": ("2024-04-06", "2024-10-05")}


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("zone", ZONES)
def test_hourly_and_daily_series_across_changes_of_the_clock(zone, library):
    """The history ends in the night of the change; the forecast goes on hour by hour, or at the same time of the next day."""
    for day in ZONES[zone]:
        hours = pd.date_range(pd.Timestamp(day, tz=zone) - pd.Timedelta(hours=20), periods=50, freq="h")
        days = pd.date_range(pd.Timestamp(f"{day} 08:00", tz=zone) - pd.DateOffset(days=20), periods=26, freq=pd.DateOffset(days=1))
        for times, freq in ((hours, "h"), (days, "D"), (days, "1d"), (hours, None)):
            known = len(times) - 4
            frame = pd.DataFrame({"unique_id": "a", "ds": times[:known], "y": np.arange(known) * 1.0})
            frame = frame if library == "pandas" else pl.from_pandas(frame)
            store = from_frame(frame, freq)
            ahead = future_times(store.last_times, store.freq, 4, store.origin["time_zone"])
            forecast = to_frame(store.ids, ahead, {}, like=store.origin)
            assert [pd.Timestamp(t) for t in forecast["ds"]] == list(times[known:])
            kind = forecast["ds"].dtype
            assert str(kind.tz if library == "pandas" else kind.time_zone) == zone


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_local_times_without_their_zone_are_refused_with_the_way_out(library):
    for day in ("2024-03-30", "2024-10-26"):
        local = pd.date_range(day, periods=60, freq="h", tz="Europe/Berlin").tz_localize(None)
        frame = pd.DataFrame({"ds": local, "y": 1.0})
        with pytest.raises(DataError, match="daylight-saving time: give them their time zone"):
            from_frame(frame if library == "pandas" else pl.from_pandas(frame), "h")
    mended = frame.assign(ds=frame.ds.dt.tz_localize("Europe/Berlin", ambiguous="infer"))  # as the hint says
    assert len(from_frame(mended if library == "pandas" else pl.from_pandas(mended), "h").y) == 60
    other = frame.assign(ds=pd.date_range("2024-06-01", periods=60, freq="h"))
    with pytest.raises(DataError) as caught:
        from_frame(other.drop(index=3), "h")
    assert "daylight" not in str(caught.value)
