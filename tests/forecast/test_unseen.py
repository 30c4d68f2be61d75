"""Categories from frame to forecast: both libraries, unseen values, saved forecasters, rolling evaluation, bad lists."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.errors import ConfigError, DataError

LISTS = {"futr_exog_list": ["kind"], "hist_exog_list": ["day"], "stat_exog_list": ["region"], "cat_exog_list": ["day", "kind", "region"]}
STATIC = pd.DataFrame({"unique_id": ["a", "b"], "region": ["n", "s"]})


def frame(rows=30, seed=0):
    draw = np.random.default_rng(seed)
    parts = [pd.DataFrame({"unique_id": name, "ds": pd.date_range("2020-01-01", periods=rows), "y": 5.0 * k + draw.normal(size=rows),
                           "kind": draw.choice(["fair", "none", "sale"], rows), "day": np.arange(rows) % 7})
             for k, name in enumerate("ab")]
    return pd.concat(parts, ignore_index=True)


def future(rows=30):
    return frame(rows + 4, 1).groupby("unique_id").tail(4)[["unique_id", "ds", "kind"]].reset_index(drop=True)


@pytest.fixture
def nf(small):
    return NeuralForecast([small("MLP", **LISTS), small("MLPMultivariate", **LISTS)], freq="D").fit(frame(), STATIC, verbose=False)


def numbers(df):
    return np.column_stack([np.asarray(df[m]) for m in ("MLP", "MLPMultivariate")])


def test_both_libraries_and_any_order_give_the_same(nf, small):
    expected = numbers(nf.predict(futr_df=future()))
    ways = [(pl.from_pandas(frame()), pl.from_pandas(STATIC), pl.from_pandas(future())),
            (frame().sample(frac=1, random_state=0), STATIC[::-1], future().sample(frac=1, random_state=1)),
            (frame().assign(kind=lambda d: pd.Categorical(d["kind"], ["sale", "x", "none", "fair"])), STATIC, future())]
    for df, static, futr in ways:
        other = NeuralForecast([small("MLP", **LISTS), small("MLPMultivariate", **LISTS)], freq="D").fit(df, static, verbose=False)
        assert other.models[0].categories == nf.models[0].categories
        np.testing.assert_allclose(numbers(other.predict(futr_df=futr)), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(numbers(nf.predict(df, static, futr)), expected, rtol=1e-5, atol=1e-6)


def test_names_of_categories_do_not_matter(nf, small):
    """Other names in the same order of the alphabet: the same tables, the same forecasts."""
    names = {"fair": "A", "none": "B", "sale": "C"}
    rename = lambda d: d.assign(kind=d["kind"].map(names))  # noqa: E731
    other = NeuralForecast([small("MLP", **LISTS), small("MLPMultivariate", **LISTS)], freq="D").fit(rename(frame()), STATIC, verbose=False)
    np.testing.assert_array_equal(numbers(other.predict(futr_df=rename(future()))), numbers(nf.predict(futr_df=future())))


def test_unseen_values_are_counted_and_alike(nf):
    futr = future()
    futr.loc[[0, 2, 5], "kind"] = ["new", "newer", "new"]
    with pytest.warns(UserWarning) as caught:
        found = numbers(nf.predict(futr_df=futr))
    assert [str(w.message) for w in caught] == [
        "3 of 24 values of 'kind' were not in the training data, and the row that was trained for unseen values stands for them: "
        "'new', 'newer'"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is missing is no surprise
        missing = numbers(nf.predict(futr_df=futr.assign(kind=futr["kind"].where(~futr["kind"].str.startswith("new")))))
    np.testing.assert_allclose(found, missing, rtol=1e-5, atol=1e-6)
    with pytest.warns(UserWarning, match=r"2 of 2 values of 'region'.*'x', 'y'"):
        nf.predict(frame(), STATIC.assign(region=["x", "y"]), future())
    df = frame(40)
    df.loc[3, "day"] = 99  # before the window
    futr = future(40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nf.predict(df, STATIC, futr)
    df.loc[39, "day"] = 99
    with pytest.warns(UserWarning, match=r"1 of 16 values of 'day'.*: 99"):
        nf.predict(df, STATIC, futr)


@pytest.mark.parametrize("save_dataset", [True, False])
def test_saved_and_read(nf, tmp_path, save_dataset):
    expected = numbers(nf.predict(futr_df=future()))
    nf.save(tmp_path / "nf", save_dataset=save_dataset)
    again = NeuralForecast.load(tmp_path / "nf")
    assert again.models[0].categories == {"day": [0, 1, 2, 3, 4, 5, 6], "kind": ["fair", "none", "sale"], "region": ["n", "s"]}
    data = (None, None) if save_dataset else (frame(), STATIC)
    np.testing.assert_array_equal(numbers(again.predict(*data, future())), expected)
    again.fit(*((frame(), STATIC) if not save_dataset else (None,)), use_init_models=True, verbose=False)
    np.testing.assert_array_equal(numbers(again.predict(futr_df=future())), expected)


def test_evaluation_knows_nothing_of_what_comes(small):
    """A category that only rows after the cutoff have is unseen, whatever its name."""
    df = frame()
    df.loc[[28, 58], "kind"] = "late"
    model = small("MLP", **LISTS)
    nf = NeuralForecast([model], freq="D")
    found = nf.cross_validation(df, STATIC, n_windows=1, verbose=False)
    assert model.categories["kind"] == ["fair", "none", "sale"]
    df.loc[[28, 58], "kind"] = "another"
    pd.testing.assert_frame_equal(nf.cross_validation(df, STATIC, n_windows=1, verbose=False), found)
    refit = nf.cross_validation(df, STATIC, n_windows=2, step_size=1, refit=True, verbose=False)
    assert np.isfinite(refit["MLP"]).all()


def test_models_must_agree_on_what_a_column_holds(small):
    numeric = {"hist_exog_list": ["day"]}
    with pytest.raises(ConfigError, match=r"E0010.*'day' holds categories for some models and numbers for NLinear1|MLP"):
        NeuralForecast([small("MLP", **LISTS), small("MLP", **numeric)], freq="D").fit(frame(), STATIC, verbose=False)
    with pytest.raises(ConfigError, match=r"categorical_cardinalities\['kind'\] is 2, and the training data have 3"):
        small("MLP", **LISTS, categorical_cardinalities={"kind": 2}).fit(frame(), "D", static_df=STATIC, verbose=False)
    with pytest.raises(DataError, match=r"'kind' \(futr_exog\) must hold numbers.*cat_exog_list"):
        small("MLP", futr_exog_list=["kind"]).fit(frame(), "D", verbose=False)
    with pytest.raises(DataError, match=r"holds 0\.5, which is no category"):
        small("MLP", **LISTS).fit(frame().assign(day=0.5), "D", static_df=STATIC, verbose=False)
