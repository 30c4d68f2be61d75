"""Columns of categories in frames: codes and vocabularies, from both libraries and every type, and what is refused."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.data import SeriesStore, categories, from_frame
from ndiv.data.categories import codes_of, distinct, ordered, whole_numbers
from ndiv.data.frames import future_frame_values
from ndiv.errors import DataError, FeatureError


def frame(values, **more):
    n = len(values)
    return pd.DataFrame({"unique_id": "a", "ds": np.arange(n), "y": np.arange(n, dtype=float), "kind": values, **more})


def read(df, **options):
    store = from_frame(df, 1, **{"hist_exog": ["kind"], "cat_exog": ["kind"], **options})
    return store.hist[:, 0].tolist(), store.categories["kind"]


TEXT = ["b", "a", None, "b"]
NUMBERS = [10, 9, 10, -1]
CASES = {
    "text": (frame(TEXT), [2, 1, 0, 2], ["a", "b"]),
    "objects": (frame(np.array(TEXT, object)), [2, 1, 0, 2], ["a", "b"]),
    "pandas strings": (frame(pd.array(TEXT, "string")), [2, 1, 0, 2], ["a", "b"]),
    "pandas categories": (frame(pd.Categorical(TEXT, ["z", "b", "a"])), [2, 1, 0, 2], ["a", "b"]),
    "categories of numbers": (frame(pd.Categorical(NUMBERS)), [3, 2, 3, 1], [-1, 9, 10]),
    "numbers": (frame(NUMBERS), [3, 2, 3, 1], [-1, 9, 10]),
    "small numbers": (frame(np.array(NUMBERS, np.int8)), [3, 2, 3, 1], [-1, 9, 10]),
    "floats": (frame([10.0, np.nan, 10.0, 3.0]), [2, 0, 2, 1], [3, 10]),
    "nullable": (frame(pd.array([10, None, 10, 3], "Int64")), [2, 0, 2, 1], [3, 10]),
    "booleans": (frame([True, False, True, True]), [2, 1, 2, 2], [False, True]),
    "nullable booleans": (frame(pd.array([True, None, False, True], "boolean")), [2, 0, 1, 2], [False, True]),
    "mixed numbers": (frame(np.array([True, 2, 3.0, None], object)), [1, 2, 3, 0], [True, 2, 3]),
    "none": (frame([None] * 4), [0] * 4, []),
    "polars text": (pl.from_pandas(frame(TEXT)), [2, 1, 0, 2], ["a", "b"]),
    "polars categories": (pl.from_pandas(frame(TEXT)).with_columns(pl.col("kind").cast(pl.Categorical)), [2, 1, 0, 2], ["a", "b"]),
    "polars enum": (pl.from_pandas(frame(TEXT)).with_columns(pl.col("kind").cast(pl.Enum(["b", "a"]))), [2, 1, 0, 2], ["a", "b"]),
    "polars numbers": (pl.from_pandas(frame(NUMBERS)).with_columns(pl.col("kind").cast(pl.UInt8, strict=False)), [2, 1, 2, 0], [9, 10]),
    "polars booleans": (pl.from_pandas(frame([True, False, True, True])), [2, 1, 2, 2], [False, True]),
}


@pytest.mark.parametrize("case", CASES)
def test_types(case):
    df, codes, values = CASES[case]
    found, words = read(df)
    assert (found, words) == (codes, values)
    assert [type(w) for w in words] == [type(v) for v in values]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["x", "yy", "z", "", "ü", None]), min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_that_of_categories_matters(values, shuffle):
    df = frame(values)
    names = sorted({v for v in values if v is not None})
    shuffle.shuffle(names)
    other = df.assign(kind=pd.Categorical(values, names)).sample(frac=1, random_state=shuffle.randint(0, 99))
    assert read(other) == read(df) == read(pl.from_pandas(df))
    codes, words = read(df)
    assert [words[int(c) - 1] if c else None for c in codes] == values


def test_one_vocabulary_for_a_name():
    """A column of the frame and a static one of the same name share it; other columns are numbers as before."""
    df, static = frame(["b", "a", "b"], x=[1.0, 2.0, 3.0]), pd.DataFrame({"unique_id": ["a", "q"], "kind": ["c", "d"], "size": [3, 4]})
    store = from_frame(df, 1, futr_exog=["x", "kind"], stat_exog=["size", "kind"], cat_exog=["kind"], static_df=static)
    assert store.categories == {"kind": ["a", "b", "c", "d"]}
    assert (store.futr.tolist(), store.stat.tolist()) == ([[1, 2], [2, 1], [3, 2]], [[3, 3]])
    again = SeriesStore.from_arrays(*store.to_arrays())
    assert again.categories == store.categories
    assert from_frame(df, 1, hist_exog=["x"]).categories == {}


def test_the_future_adds_to_the_vocabulary():
    futr = pd.DataFrame({"unique_id": "a", "ds": [5, 4, 3], "kind": ["new", None, "a"], "x": [1.0, 2.0, 3.0]})
    words = {"kind": ["a", "b"]}
    values, unused = future_frame_values(futr, np.array(["a"]), np.array([[4, 5]]), ["kind", "x"], categories=words)
    assert (values.tolist(), unused, words) == ([[[0, 2], [3, 1]]], 1, {"kind": ["a", "b", "new"]})


BAD = {
    "fractions": ([1.0, 2.5, 3.0], r"column 'kind' \(hist_exog\) holds 2.5, which is no category, in row 1", 2.5),
    "infinity": ([1.0, 2.0, np.inf], "holds inf, which is no category, in row 2", np.inf),
    "days": ([datetime.date(2020, 1, 1)] * 3, "which is no category, in row 0", datetime.date(2020, 1, 1)),
    "decimals": ([decimal.Decimal("0.5")] * 3, "which is no category", decimal.Decimal("0.5")),
    "mixture": (["a", 1, "b"], "mixes text and numbers, such as 'a' and 1", ["a", 1]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_category(case):
    values, words, value = BAD[case]
    with pytest.raises(DataError, match=f"E0011.*{words}") as caught:
        read(frame(np.array(values, object) if case != "fractions" else values))
    assert caught.value.value == value
    assert "text" in caught.value.hint


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text_that_no_list_names(library):
    df = frame(TEXT) if library == "pandas" else pl.from_pandas(frame(TEXT))
    with pytest.raises(DataError, match=r"E0011.*df column 'kind' \(futr_exog\) must hold numbers.*cat_exog_list") as caught:
        from_frame(df, 1, futr_exog=["kind"])
    assert caught.value.value == "kind"
    with pytest.raises(FeatureError, match="'kinf'"):
        read(df, hist_exog=["kinf"], cat_exog=["kinf"])
    with pytest.raises(FeatureError, match="'kind', which is in none of hist_exog, futr_exog and stat_exog"):
        from_frame(df, 1, cat_exog=["kind"])
    static = pd.DataFrame({"unique_id": ["a"], "kind": ["x"]})
    with pytest.raises(DataError, match=r"static_df column 'kind' \(stat_exog\).*cat_exog_list"):
        from_frame(df, 1, stat_exog=["kind"], static_df=static)


def test_parts(monkeypatch):
    places, values = distinct(np.array([np.str_("b"), "a", None, float("nan")], object), "kind")
    assert (places.tolist(), values) == ([0, 1, -1, -1], ["b", "a"])
    assert [type(v) for v in values] == [str, str]
    words = ["a"]
    np.testing.assert_array_equal(codes_of(places, values, words), np.float32([2, 1, 0, 0]))
    assert words == ["a", "b"]
    assert whole_numbers(np.float32([3, -1, 3]), "x") == [-1, 3]
    monkeypatch.setattr(categories, "MOST", 3)
    assert ordered("ab", "kind") == ["a", "b"]
    with pytest.raises(DataError, match=r"kind has 3 different values.*that many are no categories") as caught:
        ordered("abc", "kind")
    assert caught.value.value == 3
