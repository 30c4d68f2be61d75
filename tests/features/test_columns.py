"""Features on frames: values against what is counted by hand or by pandas, the law that the past does not know the future,
and what is said when an argument makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv import features
from ndiv.errors import ConfigError, DataError, FeatureError, NdivError
from ndiv.features import Calendar, FeatureSet, Fourier, Holidays, Lags, Rolling, available, make
from ndiv.features.base import Panel
from ndiv.features.sets import from_config
from ndiv.utils import augment_calendar_df


def hourly(n: int = 60, start: str = "2024-02-28", zone: str | None = None) -> pd.DataFrame:
    """Two series, the second one 7 rows shorter, with a missing target in each."""
    draw = np.random.default_rng(3)
    parts = [pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=rows, freq="h", tz=zone),
                           "y": draw.normal(10, 2, rows)}) for name, rows in (("a", n), ("b", n - 7))]
    df = pd.concat(parts, ignore_index=True)
    df.loc[[4, n + 5], "y"] = np.nan
    return df


ALL = ["calendar", "fourier:24:2", "trend", "lags:1,24", "rolling:5:mean,std,min,max,median,q0.9", "expanding:mean,std:12",
       "holidays:DE:1:1"]


def array(frame: Any) -> np.ndarray:
    """All columns but the first three as float64, NaN where null."""
    return np.column_stack([np.asarray(frame[c].to_numpy(), np.float64) for c in list(frame.columns)[3:]])


def test_pandas_and_polars_give_the_same_numbers_in_the_order_of_the_rows() -> None:
    df = hourly().sample(frac=1.0, random_state=1).reset_index(drop=True)
    one, ahead = make(df, "h", ALL, h=12)
    two, ahead2 = make(pl.from_pandas(df), "1h", ALL, h=12)
    assert isinstance(two, pl.DataFrame) and list(one.columns) == two.columns
    np.testing.assert_array_equal(array(one), array(two))
    np.testing.assert_array_equal(array(ahead), array(ahead2))
    sorted_ = make(df.sort_values(["unique_id", "ds"]), "h", ALL)
    assert one.sort_values(["unique_id", "ds"]).equals(sorted_)
    assert list(df.columns) == ["unique_id", "ds", "y"]


def test_lazy_frames_and_paths(tmp_path: Path) -> None:
    df = hourly()
    df.to_csv(tmp_path / "h.csv", index=False)
    want = array(make(df, "h", ["lags:1", "fourier:24"]))
    np.testing.assert_array_equal(array(make(pl.from_pandas(df).lazy(), None, ["lags:1", "fourier:24"])), want)
    np.testing.assert_array_equal(array(make(tmp_path / "h.csv", "h", ["lags:1", "fourier:24"])), want)


def test_what_is_ahead_continues_what_was() -> None:
    """The columns of the next steps are those that the longer frame has there."""
    df = hourly()
    cut = df[df.groupby("unique_id").cumcount(ascending=False) >= 12]
    ahead = make(cut, "h", [f for f in ALL if f != "trend"], h=12)[1]
    whole = make(df, "h", [f for f in ALL if f != "trend"])
    assert list(ahead.columns) == ["unique_id", "ds", *(c for c in whole.columns[3:] if c != "y_lag1" and not c.startswith("y_rol"))]
    later = whole.groupby("unique_id").tail(12)[ahead.columns]
    np.testing.assert_allclose(ahead.iloc[:, 2:].to_numpy(), later.iloc[:, 2:].to_numpy(), rtol=1e-12)


def test_history_is_what_pandas_computes() -> None:
    df = hourly()
    got = make(df, "h", ["lags:3", "rolling:5:mean,std,min,max,median,q0.9", "rolling:5:mean:2", "expanding:mean,std,max"])
    for _, rows in got.groupby("unique_id"):
        y = rows["y"].ffill()
        roll = y.rolling(5, min_periods=1)
        want = {"y_lag3": y.shift(3), "y_rolling_mean_5": roll.mean(), "y_rolling_std_5": roll.std(), "y_rolling_min_5": roll.min(),
                "y_rolling_max_5": roll.max(), "y_rolling_median_5": roll.median(), "y_rolling_q0.9_5": roll.quantile(0.9),
                "y_lag2_rolling_mean_5": roll.mean().shift(2), "y_expanding_mean": y.expanding().mean(),
                "y_expanding_std": y.expanding().std(), "y_expanding_max": y.expanding().max()}
        for name, values in want.items():
            np.testing.assert_allclose(rows[name], values, rtol=1e-9, err_msg=name)


def test_calendar_is_the_clock_of_the_time_zone() -> None:
    df = hourly(zone="America/New_York")
    got = features.calendar(df, "h", ["hour", "dayofweek", "day", "month", "week", "is_month_end"], encode="number")
    assert got["hour"].tolist() == df.ds.dt.hour.tolist()
    assert got["dayofweek"].tolist() == df.ds.dt.day_of_week.tolist()
    assert got["week"].tolist() == df.ds.dt.isocalendar().week.tolist()
    assert got["is_month_end"].tolist() == df.ds.dt.is_month_end.tolist()
    pair = features.calendar(df, "h", ["hour", "dayofyear"])
    np.testing.assert_allclose(pair["hour_sin"], np.sin(2 * np.pi * df.ds.dt.hour / 24), atol=1e-12)
    np.testing.assert_allclose(pair["dayofyear_cos"], np.cos(2 * np.pi * (df.ds.dt.day_of_year - 1) / 366), atol=1e-12)
    summer = pd.DataFrame({"ds": pd.date_range("2024-03-10", periods=4, freq="h", tz="America/New_York"), "y": 0.0})
    assert features.calendar(summer, "h", "hour", "number")["hour"].tolist() == [0, 1, 3, 4]  # 2 o'clock does not exist
    assert make(pl.from_pandas(summer), "h", Calendar("hour", "number"))["hour"].to_list() == [0, 1, 3, 4]


@pytest.mark.parametrize(("freq", "parts", "seasons"), [
    ("30s", "second minute hour dayofweek", [2880, 20160]), ("15min", "minute hour dayofweek", [96, 672]),
    ("h", "hour dayofweek month", [24, 168]), ("D", "dayofweek day month", [7, 365.25]), ("B", "dayofweek day month", [5, 260.89]),
    ("W-MON", "week", [52.18]), ("1mo", "month", [12]), ("QS", "quarter", [4])])
def test_defaults_by_frequency(freq: str, parts: str, seasons: list[float]) -> None:
    assert list(FeatureSet(Calendar(encode="number"), freq).columns) == parts.split()
    want = [f"fourier_{s:g}_1_{f}" for s in seasons for f in ("sin", "cos")]
    assert list(FeatureSet("fourier", freq).columns) == want


@pytest.mark.parametrize(("freq", "start"), [("h", "2020-03-01"), ("D", "1969-11-01"), ("MS", "2019-02-01"), ("ME", "1965-01-31"),
                                             ("B", "2020-01-01"), ("W-WED", "2020-01-01"), ("QS-FEB", "2020-02-01")])
def test_steps_are_counted_one_by_one_wherever_a_series_begins(freq: str, start: str) -> None:
    clock = pd.date_range(start, periods=25, freq=freq)
    full = features.fourier(pd.DataFrame({"ds": clock, "y": 0.0}), freq, [4, 7], k=2)
    steps = np.unwrap(np.arctan2(full["fourier_7_1_sin"], full["fourier_7_1_cos"])) * 7 / (2 * np.pi)
    np.testing.assert_allclose(np.diff(steps), 1, atol=1e-9)
    part = features.fourier(pd.DataFrame({"ds": clock[9:], "y": 0.0}), freq, [4, 7], k=2)
    np.testing.assert_array_equal(part.iloc[:, 2:].to_numpy(), full.iloc[9:, 2:].to_numpy())


def test_augment_calendar_df_gives_neuralforecasts_columns() -> None:
    """The values of three times are what neuralforecast 3.3 prints for them."""
    times = pd.Index(["2019-12-30 05:07:31", "2020-02-29 23:59:00", "2020-06-15 12:30:59"])
    df = pd.DataFrame({"ds": pd.to_datetime(times), "y": 0.0}, index=[7, 8, 9])
    seconds, names = augment_calendar_df(df, "S")
    assert names == ["minutesecond", "hourminute", "dayhour", "weekday", "monthday", "yearday"]
    assert seconds.index.tolist() == [7, 8, 9]
    want = [[31 / 59, 7 / 59, 5 / 23, 0, 29 / 30, 363 / 365], [0, 1, 1, 5 / 6, 28 / 30, 59 / 365], [1, 30 / 59, 12 / 23, 0, 14 / 30, 166 / 365]]
    np.testing.assert_allclose(seconds[names], np.array(want) - 0.5, atol=1e-12)
    weeks, names = augment_calendar_df(pl.from_pandas(df), "W")
    assert names == ["monthday", "yearweek"] and weeks["yearweek"].to_list() == pytest.approx([-0.5, 8 / 52 - 0.5, 24 / 52 - 0.5])
    assert augment_calendar_df(df, "ME")[1] == ["month"]
    with pytest.raises(ConfigError, match="knows no columns for freq='15min'"):
        augment_calendar_df(df, "15min")


def test_holidays_and_days_around_them() -> None:
    days = pd.DataFrame({"ds": pd.date_range("2023-12-24", "2024-01-02"), "y": 0.0})
    got = features.holidays(days, "D", ["US", "DE-BY"], before=1, after=1)
    names = ["holiday_US", "holiday_US_before1", "holiday_US_after1", "holiday_DE-BY"]
    on = {n: got.ds[got[n] == 1].dt.strftime("%m-%d").tolist() for n in names}
    assert on == {names[0]: ["12-25", "01-01"], names[1]: ["12-24", "12-31"], names[2]: ["12-26", "01-02"],
                  names[3]: ["12-25", "12-26", "01-01"]}
    both = pd.concat([days.assign(unique_id=k, country=c) for k, c in ((1, "US"), (2, "DE"))])
    got = features.holidays(both, "D", country_col="country")
    assert got.groupby("unique_id")["holiday"].sum().tolist() == [2, 3]
    hours = pd.DataFrame({"ds": pd.date_range("2023-12-25 03:00", periods=6, freq="h", tz="UTC").tz_convert("America/New_York"), "y": 0.0})
    assert features.holidays(hours, "h", "US")["holiday_US"].tolist() == [0, 0, 1, 1, 1, 1]  # 22:00 on the 24th comes first


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_past_does_not_know_the_future(data: Any) -> None:
    """Changing y after a cutoff changes no feature at or before it, whatever is missing; with a lag, none up to lag steps on."""
    n = data.draw(st.integers(3, 30))
    value = st.one_of(st.just(float("nan")), st.floats(-1e3, 1e3))
    y = np.array(data.draw(st.lists(value, min_size=n, max_size=n)))
    cutoff = data.draw(st.integers(0, n - 1))
    lag = data.draw(st.integers(1, 8))
    made = FeatureSet([Lags(lag), Rolling([2, 4], ["mean", "std", "median", "q0.2"]), Rolling(3, "max", lag=lag), "expanding:std,min",
                       "trend", "fourier:4"], 1)
    other = y.copy()
    other[cutoff + 1:] = np.array(data.draw(st.lists(value, min_size=n - cutoff - 1, max_size=n - cutoff - 1)))
    found = []
    for values in (y, other):
        panel = Panel(np.array(["a"]), np.array([0, n]), np.arange(n), values, made.freq)
        found.append({fill: np.column_stack([f.past(panel, fill) for f in made.features]) for fill in (False, True)})
    lags = np.array([column.lag or 0 for _, _, column in made.columns.values()])
    seen = np.arange(n)[:, None] <= cutoff + lags
    for fill in (False, True):
        np.testing.assert_array_equal(found[0][fill][seen], found[1][fill][seen])
    assert np.isfinite(found[0][True]).all()


def test_configuration_comes_back() -> None:
    by_id = Holidays({7: "US", 8: "DE"})
    for made in (FeatureSet(ALL, "h"), FeatureSet([by_id, Lags(season=24, n=2), Fourier([24, 168.5], [2, 1])], "h")):
        again = from_config(made.config(), "h")
        assert again.config() == made.config() and list(again.columns) == list(made.columns)
    assert from_config([by_id.config()], "h").features[0].by_id == {7: "US", 8: "DE"}  # type: ignore[attr-defined]
    assert available(ALL, "h", 12)["hist"] == ["y_lag1", *(f"y_rolling_{s}_5" for s in ("mean", "std", "min", "max", "median", "q0.9"))]


@pytest.mark.parametrize(("make_it", "error", "says"), [
    (lambda: Calendar("hours"), ConfigError, "Did you mean 'hour'"),
    (lambda: Calendar(encode="onehot"), ConfigError, "unknown encode"),
    (lambda: FeatureSet("calendar", 1), ConfigError, "whole numbers"),
    (lambda: FeatureSet("fourier", "YS"), ConfigError, "Give seasons"),
    (lambda: Fourier(4, k=3), ConfigError, "no harmonic 3"),
    (lambda: Fourier(1), ConfigError, "at least 2"),
    (lambda: Fourier([4, 5], k=[1, 1, 1]), ConfigError, "3 numbers k for 2 seasons"),
    (lambda: Lags(), ConfigError, "no lags"),
    (lambda: Lags(0), ConfigError, "at least 1"),
    (lambda: Rolling(3, "sum"), ConfigError, "unknown statistic"),
    (lambda: Rolling(1, "std"), ConfigError, "at least 2"),
    (lambda: Rolling(3, "q2"), ConfigError, "unknown statistic"),
    (lambda: Holidays("XX"), ConfigError, "unknown country"),
    (lambda: Holidays("us"), ConfigError, "Did you mean 'US'"),
    (lambda: Holidays("US-XX"), ConfigError, "no part"),
    (lambda: FeatureSet("holidays:US", "MS"), ConfigError, "at most a day"),
    (lambda: FeatureSet("calender", "h"), ConfigError, "Did you mean 'calendar'"),
    (lambda: FeatureSet("rolling", "h"), ConfigError, "lacks an argument"),
    (lambda: FeatureSet("trend:1", "h"), ConfigError, "cannot be read"),
    (lambda: FeatureSet(["fourier:24", "fourier:24:2"], "h"), ConfigError, "two features would make the column 'fourier_24_1_sin'"),
    (lambda: FeatureSet([3], "h"), ConfigError, "must be features"),
    (lambda: FeatureSet([], "h"), ConfigError, "no features"),
    (lambda: FeatureSet("trend", None), ConfigError, "frequency"),
    (lambda: make(hourly().assign(trend=1.0), "h", "trend"), FeatureError, "has a column 'trend'"),
    (lambda: make({"ds": [1, 2], "y": [1.0, 2.0]}, 1, "calendar:hour"), DataError, "need dates"),
    (lambda: make(hourly().drop(index=3), "h", "lags:1"), DataError, "gap"),
    (lambda: make(hourly(), "h", "lags:1", h=-1), ConfigError, "h must be whole numbers of at least 1"),
    (lambda: make(hourly().head(1), None, "lags:1"), DataError, "freq cannot be inferred"),
    (lambda: make(hourly().rename(columns={"ds": "time"}), "h", "trend"), FeatureError, "no time column 'ds'"),
    (lambda: make(hourly(), "h", Holidays({"a": "US"})), DataError, "no country of 1 series: b"),
])
def test_bad_arguments(make_it: Any, error: type[NdivError], says: str) -> None:
    with pytest.raises(error, match=says):
        make_it()
