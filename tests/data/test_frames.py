"""Frames to stores and back: every bad input, both libraries, all kinds of frequency."""

import datetime as dt
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv.data import Frequency, fill_gaps, from_frame, future_frame_values, future_times, infer_freq, to_frame
from ndiv.errors import ConfigError, DataError, EmptyDataError, FeatureError

LIBRARIES = ["pandas", "polars"]


def frame(library, columns):
    return pd.DataFrame(columns) if library == "pandas" else pl.DataFrame(columns, strict=False)


def good(days=4, ids=("a", "b")):
    start = dt.datetime(2020, 1, 1)
    return {"unique_id": [i for i in ids for _ in range(days)],
            "ds": [start + dt.timedelta(days=k) for _ in ids for k in range(days)],
            "y": [float(k) for k in range(days * len(ids))]}


def changed(column, row, value):
    columns = good()
    columns[column] = list(columns[column])
    columns[column][row] = value
    return columns


def without(row):
    return {k: v[:row] + v[row + 1:] for k, v in good().items()}


def extra(values):
    return {**good(), "x": values}


# name: (columns, keyword arguments, error, code, fragments that the message must hold)
BAD = {
    "duplicate": (changed("ds", 5, dt.datetime(2020, 1, 1)), {}, DataError, "E0011",
                  ["1 duplicate times", "b at 2020-01-01", "rows 4 and 5", "drop_duplicates"]),
    "gap": (without(6), {}, DataError, "E0011", ["b misses 2020-01-03", "before row 6", "fill_gaps"]),
    "gap inferred": (without(6), {"freq": None}, DataError, "E0011", ["b misses 2020-01-03", "fill_gaps"]),
    "freq too coarse": (good(), {"freq": "W-WED"}, DataError, "E0011",
                        ["freq='W-WED' disagrees", "look like freq='", "a: 2020-01-01"]),
    "freq too fine": (good(), {"freq": "h"}, DataError, "E0011", ["freq='h' disagrees", "look like freq='", "row 1"]),
    "off the grid": (changed("ds", 7, dt.datetime(2020, 1, 4, 5)), {}, DataError, "E0011",
                     ["disagrees", "irregular", "b: 2020-01-03 to 2020-01-04 05:00:00", "row 7"]),
    "NaT": (changed("ds", 2, None), {}, DataError, "E0011", ["1 null times", "row 2"]),
    "null id": (changed("unique_id", 3, None), {}, DataError, "E0011", ["1 null ids", "row 3"]),
    "text target": ({**good(), "y": ["1", "2", "x", "4", "5", "6", "7", "8"]}, {}, DataError, "E0011",
                    ["'y'", "target", "numbers", "'x'", "row 2"]),
    "infinite": (changed("y", 6, float("inf")), {}, DataError, "E0011", ["infinite", "b at 2020-01-03 (row 6)"]),
    "too large": (changed("y", 6, -1e39), {}, DataError, "E0011", ["b at 2020-01-03 (row 6)"]),
    "no target": ({k: v for k, v in good().items() if k != "y"} | {"Y": [1.0] * 8}, {}, FeatureError, "E0004",
                  ["target column 'y'", "Columns: Y, ds, unique_id"]),
    "no time": ({"unique_id": ["a"], "dates": [1], "y": [1.0]}, {}, FeatureError, "E0004",
                ["time column 'ds'", "dates"]),
    "id misspelt": ({"uniqueid": ["a"], "ds": [1], "y": [1.0]}, {}, FeatureError, "E0004",
                    ["unique_id", "Did you mean 'uniqueid'"]),
    "empty": ({"unique_id": [], "ds": [], "y": []}, {}, EmptyDataError, "E0003", ["no rows"]),
    "unknown covariate": (extra([1.0] * 8), {"hist_exog": ["xx"]}, FeatureError, "E0004", ["'xx'", "Did you mean 'x'"]),
    "NaN covariate": (extra([1.0] * 5 + [None] + [1.0] * 2), {"futr_exog": ["x"]}, DataError, "E0011",
                      ["'x'", "b at 2020-01-02 (row 5)"]),
    "text covariate": (extra(list("pqrstuvw")), {"futr_exog": ["x"]}, DataError, "E0011", ["'x'", "'p'"]),
    "integer times": ({"unique_id": ["a", "a"], "ds": [1, 2], "y": [1.0, 2.0]}, {"freq": "D"}, DataError, "E0011",
                      ["freq is 'D'", "integers", "whole number"]),
    "integer freq": (good(), {"freq": 1}, DataError, "E0011", ["freq is 1", "timestamps"]),
    "float times": ({"unique_id": ["a", "a"], "ds": [1.0, 2.0], "y": [1.0, 2.0]}, {"freq": 1}, DataError, "E0011",
                    ["timestamps or integers", "Float64"]),
    "text times": ({"ds": ["2020-01-01", "soon"], "y": [1.0, 2.0]}, {}, DataError, "E0011", ["'soon'", "row 1"]),
    "unknown freq": (good(), {"freq": "fortnight"}, ConfigError, "E0010", ["unknown freq 'fortnight'", "Valid"]),
    "negative freq": (good(), {"freq": -1}, ConfigError, "E0010", ["positive"]),
    "freq type": (good(), {"freq": 1.5}, ConfigError, "E0010", ["1.5"]),
    "nothing to infer": ({"ds": [dt.datetime(2020, 1, 1)], "y": [1.0]}, {"freq": None}, DataError, "E0011",
                         ["cannot be inferred"]),
    "no static frame": (good(), {"stat_exog": ["s"]}, FeatureError, "E0004", ["static_df"]),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, library):
    columns, options, error, code, fragments = BAD[name]
    with pytest.raises(error) as caught:
        from_frame(frame(library, columns), **{"freq": "D", **options})
    assert type(caught.value) is error and caught.value.code == code
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("ids", "values", "fragments"), [
    (["a"], [1.0], ["1 ids of df are not in static_df", "b"]),
    (["a", "b", "b"], [1.0, 2.0, 3.0], ["more than once", "b"]),
    (["a", "b"], [1.0, None], ["'s'", "b"]),
    (["a", "b"], ["p", "q"], ["'s'", "'p'"]),
])
def test_bad_statics(ids, values, fragments, library):
    statics = frame(library, {"unique_id": ids, "s": values})
    with pytest.raises(DataError) as caught:
        from_frame(frame(library, good()), "D", stat_exog=["s"], static_df=statics)
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
def test_statics_are_joined_by_id(library):
    statics = frame(library, {"unique_id": ["z", "b", "a"], "s": [9, 2, 1]})
    store = from_frame(frame(library, good()), "D", stat_exog=["s"], static_df=statics)
    assert store.stat.tolist() == [[1.0], [2.0]]


def test_other_objects_and_repeated_columns():
    with pytest.raises(ConfigError, match="DataFrame"):
        from_frame([1, 2, 3], "D")
    assert from_frame(pl.DataFrame(good()).lazy(), "D").origin["library"] == "polars"
    twice = pd.DataFrame(good())
    twice.columns = ["unique_id", "ds", "ds"]
    with pytest.raises(FeatureError, match="ds"):
        from_frame(twice, "D")


def same(a, b):
    for name in ("offsets", "y", "mask", "hist", "futr", "stat"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.ids.tolist() == b.ids.tolist()
    np.testing.assert_array_equal(a.times.astype("datetime64[us]"), b.times.astype("datetime64[us]"))


def test_libraries_agree_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    columns = good(9, ("c", "a", "b"))
    columns["x"], columns["f"] = rng.normal(size=27), rng.normal(size=27)
    columns["y"][4] = None
    options = {"hist_exog": ["x"], "futr_exog": ["f"]}
    base = from_frame(frame("pandas", columns), "D", **options)
    assert base.ids.tolist() == ["a", "b", "c"] and not base.mask[18 + 4] and base.y[18 + 4] == 0
    order = rng.permutation(27)
    for library in LIBRARIES:
        for freq in ("D", "1d", None):
            same(base, from_frame(frame(library, columns), freq, **options))
        same(base, from_frame(frame(library, {k: [v[i] for i in order] for k, v in columns.items()}), "D", **options))


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_series_without_id_text_times_and_names(library):
    columns = {"when": ["2020-01-02", "2020-01-01"], "sales": [2, 1]}
    store = from_frame(frame(library, columns), "D", time_col="when", target_col="sales")
    assert store.n_series == 1 and store.y.tolist() == [1.0, 2.0] and store.origin["target_col"] == "sales"


@pytest.mark.parametrize("kind", ["category", "nullable", "object", "index", "big integers", "dates", "mask"])
def test_kinds_of_pandas_columns(kind):
    df = pd.DataFrame(good())
    expected = from_frame(df, "D")
    if kind == "category":
        df["unique_id"] = df["unique_id"].astype("category")
    elif kind == "nullable":
        df["y"] = df["y"].astype("Float64")
        df["unique_id"] = df["unique_id"].astype("string")
    elif kind == "object":
        df["y"] = df["y"].astype(object)
    elif kind == "index":
        df = df.set_index("unique_id")
    elif kind == "dates":
        df["ds"] = df["ds"].dt.date
    elif kind == "big integers":  # equal when seen as float64
        df["unique_id"] = np.repeat(np.array([2**60, 2**60 + 1]), 4)
        assert from_frame(df, "D").lengths.tolist() == [4, 4]
        return
    elif kind == "mask":
        df["available_mask"] = [1, 0, 1, 1, 1, 1, 1, 1]
        assert from_frame(df, "D").mask.tolist() == [True, False] + [True] * 6
        return
    same(expected, from_frame(df, "D"))


FREQS = ["h", "D", "W-MON", "W", "MS", "ME", "QS", "QE", "YS", "15min", "B", "2D", "s"]


@pytest.mark.parametrize("freq", FREQS)
def test_pandas_frequencies(freq):
    times = pd.date_range("2019-12-30", periods=30, freq=freq)
    df = pd.DataFrame({"ds": times[:24], "y": np.arange(24.0)})
    store = from_frame(df, freq)
    ahead = future_times(store.last_times, freq, 6)
    np.testing.assert_array_equal(ahead[0], times[24:].to_numpy().astype(ahead.dtype))
    inferred = from_frame(df, None)
    np.testing.assert_array_equal(future_times(inferred.last_times, inferred.freq, 6), ahead)
    with pytest.raises(DataError) as caught:
        from_frame(df.drop(index=10), freq)
    assert "misses" in str(caught.value) and "before row 10" in str(caught.value), str(caught.value)


@pytest.mark.parametrize(("freq", "alias"), [("1h", "h"), ("1d", "D"), ("1w", "W-MON"), ("1mo", "MS"), ("1mo", "ME"),
                                             ("1q", "QS"), ("3mo", "QE"), ("1y", "YS"), ("15m", "15min"),
                                             ("30s", "30s")])
def test_polars_frequencies(freq, alias):
    times = pd.date_range("2019-12-30", periods=30, freq=alias).to_numpy().astype("datetime64[us]")
    df = pl.DataFrame({"ds": times[:24], "y": np.arange(24.0)})
    store = from_frame(df, freq)
    np.testing.assert_array_equal(future_times(store.last_times, freq, 6)[0], times[24:])
    np.testing.assert_array_equal(from_frame(df, alias).y, store.y)
    inferred = from_frame(df, None)
    np.testing.assert_array_equal(future_times(inferred.last_times, inferred.freq, 6)[0], times[24:])
    with pytest.raises(DataError, match="misses"):
        from_frame(pl.concat([df[:10], df[11:]]), freq)


def test_old_aliases_and_integers():
    month_ends = np.array(["2020-01-31"], "datetime64[us]")
    assert (Frequency("M").shift(month_ends) == Frequency("ME").shift(month_ends)).all()
    assert (Frequency("H").shift(month_ends) == Frequency("h").shift(month_ends)).all()
    assert from_frame({"ds": [10, 20, 30], "y": [1, 2, 3]}, None).freq == 10
    assert infer_freq(np.arange(1), np.array([0, 1])) is None
    assert Frequency("MS").alias("polars") == "1mo" and Frequency("1h").alias("pandas") == "h"
    with pytest.raises(ConfigError, match="no equivalent"):
        Frequency("B").alias("polars")


def test_time_zones_keep_the_clock():
    times = pd.date_range("2020-03-27", periods=6, freq="D", tz="Europe/Berlin")  # summer time begins on the 29th
    store = from_frame(pd.DataFrame({"ds": times[:4], "y": range(4)}), "D")
    ahead = future_times(store.last_times, "D", 2, store.origin["time_zone"])
    out = to_frame(store.ids, ahead, {"m": np.zeros((1, 2))}, store.origin)
    assert list(out["ds"]) == list(times[4:])
    polars = from_frame(pl.DataFrame({"ds": times[:4].tz_localize(None), "y": range(4)}).with_columns(
        pl.col("ds").dt.replace_time_zone("Europe/Berlin")), "1d")
    np.testing.assert_array_equal(polars.times, store.times.astype(polars.times.dtype))


@pytest.mark.parametrize("library", LIBRARIES)
def test_fill_gaps_makes_the_frame_acceptable(library):
    df = frame(library, without(6))
    filled = fill_gaps(df, "D" if library == "pandas" else "1d")
    store = from_frame(filled, "D")
    assert store.lengths.tolist() == [4, 4] and store.mask.tolist() == [True] * 6 + [False, True]
    assert len(fill_gaps(df, "D")) == 8  # either spelling


@pytest.mark.parametrize("library", LIBRARIES)
def test_to_frame_gives_back_the_library_and_types(library):
    days = [dt.date(2020, 1, 1), dt.date(2020, 1, 2)]
    df = frame(library, {"id": [1, 1, 2, 2], "t": days * 2, "y": [1.0, 2, 3, 4]})
    store = from_frame(df, "D", id_col="id", time_col="t")
    ahead = future_times(store.last_times, "D", 2)
    for like in (store.origin, df):
        out = to_frame(store.ids, ahead, {"NHITS": np.arange(4.0).reshape(2, 2)}, like, id_col="id", time_col="t")
        assert isinstance(out, type(df)) and list(out.columns) == ["id", "t", "NHITS"] and len(out) == 4
        assert out["id"].to_list() == [1, 1, 2, 2] and out["NHITS"].to_list() == [0.0, 1.0, 2.0, 3.0]
    if library == "polars":
        assert to_frame(store.ids, ahead, {}, store.origin)["t"].dtype == pl.Date
    with pytest.raises(ConfigError, match="values"):
        to_frame(store.ids, ahead, {"m": np.zeros(3)})


@pytest.mark.parametrize("library", LIBRARIES)
def test_future_values(library):
    store = from_frame(frame(library, good()), "D")
    ahead = future_times(store.last_times, "D", 2)
    futr = {"unique_id": ["b", "a", "a", "b", "z"], "ds": [dt.datetime(2020, 1, d) for d in (6, 5, 6, 5, 5)],
            "x": [4.0, 1.0, 2.0, 3.0, None]}
    values, unused = future_frame_values(frame(library, futr), store.ids, ahead, ["x"])
    assert values[..., 0].tolist() == [[1.0, 2.0], [3.0, 4.0]] and unused == 1
    for columns, fragment in [({k: v[1:] for k, v in futr.items()}, "b at 2020-01-06"),
                              ({k: v + v[:1] for k, v in futr.items()}, "rows 0 and 5"),
                              ({**futr, "x": [4.0, None, 2.0, 3.0, 0.0]}, "a at 2020-01-05 (row 1)")]:
        with pytest.raises(DataError) as caught:
            future_frame_values(frame(library, columns), store.ids, ahead, ["x"])
        assert fragment in str(caught.value), str(caught.value)
    with pytest.raises(FeatureError, match="futr_df"):
        future_frame_values(frame(library, futr), store.ids, ahead, ["xx"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_ten_thousand_series_are_checked_quickly(library):
    n, length = 10_000, 100
    columns = {"unique_id": np.repeat([f"id_{k:05d}" for k in range(n)], length),
               "ds": np.tile(pd.date_range("2000-01-01", periods=length, freq="D").to_numpy(), n),
               "y": np.zeros(n * length)}
    df = frame(library, columns)
    best = np.inf
    for _ in range(3):
        begin = time.process_time()
        store = from_frame(df, "D")
        best = min(best, time.process_time() - begin)
    assert store.n_series == n and best < 1.0
