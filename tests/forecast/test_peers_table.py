"""Bad input, row by row: what neuralforecast takes silently or answers with a raw error is refused by name, or repaired as asked.

One test a row of the table in docs/howto/data.md, named after it, for pandas and for polars.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv import NeuralForecast
from ndiv.data import DataRules
from ndiv.errors import ConfigError, DataError, FeatureError, FileError, FileExists, HorizonError, NotFittedError
from ndiv.losses import DistributionLoss
from ndiv.models import NLinear


def fitted(small: Any, frame: Any, freq: Any = "D", **options: Any) -> NeuralForecast:
    return NeuralForecast([small()], freq, **options).fit(frame, verbose=False)


def rows(store: Any, series: int = 0) -> np.ndarray:
    """The target of one series, NaN where missing."""
    part = slice(store.offsets[series], store.offsets[series + 1])
    return np.where(store.mask[part], store.y[part], np.nan)


def test_duplicate_id_ds(small: Any, df: pd.DataFrame, like: Any) -> None:
    twice = pd.concat([df, df.iloc[[3, 4]].assign(y=[100.0, 200.0]), df.iloc[[3]].assign(y=np.nan)], ignore_index=True)
    with pytest.raises(DataError, match=r"3 duplicate times in df: a at 2020-01-04 \(rows 3 and 57\); .*duplicates='last'"):
        fitted(small, like(twice))
    last = fitted(small, like(twice), duplicates="last").dataset
    mean = fitted(small, like(twice), duplicates="mean").dataset
    want = df.y[:30].to_numpy()
    np.testing.assert_allclose(rows(last), np.where(np.arange(30) == 3, np.nan, np.where(np.arange(30) == 4, 200.0, want)), 1e-6)
    np.testing.assert_allclose(rows(mean)[[3, 4]], [(want[3] + 100) / 2, (want[4] + 200) / 2], 1e-6)


def test_gap_in_dates(small: Any, df: pd.DataFrame, like: Any) -> None:
    holes = df.drop(index=[10, 11, 40])
    with pytest.raises(DataError, match=r"2 gaps: a misses 2020-01-11 to 2020-01-12 .*fill_gaps='mask'"):
        fitted(small, like(holes))
    masked = fitted(small, like(holes), fill_gaps="mask")
    nulls = fitted(small, like(df.assign(y=df.y.where(~df.index.isin([10, 11, 40])))))
    np.testing.assert_array_equal(masked.dataset.mask, nulls.dataset.mask)
    np.testing.assert_array_equal(masked.dataset.times, nulls.dataset.times)
    np.testing.assert_array_equal(np.asarray(masked.predict()["NLinear"]), np.asarray(nulls.predict()["NLinear"]))


def test_freq_disagrees_with_data(small: Any, df: pd.DataFrame, like: Any) -> None:
    weekly = df.assign(ds=df.ds.iloc[0] + (df.ds - df.ds.iloc[0]) * 7)
    for rule in ("raise", "mask"):
        with pytest.raises(DataError, match=r"freq='D' disagrees with 55 of 55 steps.*Pass freq='(W-WED|1w)'"):
            fitted(small, like(weekly), fill_gaps=rule)


def test_unsorted(small: Any, df: pd.DataFrame, like: Any) -> None:
    a, b = fitted(small, like(df)), fitted(small, like(df.sample(frac=1, random_state=0)))
    np.testing.assert_array_equal(np.asarray(a.predict()["NLinear"]), np.asarray(b.predict()["NLinear"]))


@pytest.mark.parametrize("missing", [np.nan, None])
def test_nan_in_y_or_exog(missing: Any, small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small("MLP", hist_exog_list=["x"])], "D")
    bad = like(wide_df.assign(x=wide_df.x.astype(object).where(wide_df.index != 32, missing)))
    with pytest.raises(DataError, match=r"1 missing or infinite values in df column 'x' \(hist_exog\): b at 2020-01-03 \(row 32\).*"
                                        "exog_nan='ffill'"):
        nf.fit(bad, verbose=False)
    nf.fit(bad, verbose=False, exog_nan="ffill")
    assert nf.dataset is not None and nf.rules.exog_nan == "ffill"
    np.testing.assert_array_equal(nf.dataset.hist[32], nf.dataset.hist[31])
    first = like(wide_df.assign(x=wide_df.x.where(wide_df.index != 30)))
    with pytest.raises(DataError, match=r"b at 2020-01-01 \(row 30\).*nothing before"):  # not from the series before
        nf.fit(first, verbose=False)


def test_gaps_with_covariates(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small("MLP", futr_exog_list=["x"])], "D", fill_gaps="mask")
    with pytest.raises(DataError, match=r"1 missing or infinite values .*a at 2020-01-11 \(put in\).*exog_nan='ffill'"):
        nf.fit(like(wide_df.drop(index=10)), verbose=False)
    nf.fit(like(wide_df.drop(index=10)), verbose=False, exog_nan="ffill")
    assert nf.dataset is not None
    assert nf.dataset.futr[10] == nf.dataset.futr[9]


def test_inf(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(DataError, match=r"infinite.*a at 2020-01-03 \(row 2\)"):
        fitted(small, like(df.assign(y=df.y.where(df.index != 2, -np.inf))))


def with_short(df: pd.DataFrame, n: int = 5) -> pd.DataFrame:
    tiny = pd.DataFrame({"unique_id": "tiny", "ds": pd.date_range("2020-01-01", periods=n), "y": np.arange(n) + 1.0})
    return pd.concat([df, tiny], ignore_index=True)


def test_series_shorter_than_input_at_fit(small: Any, df: pd.DataFrame, like: Any) -> None:
    frame = like(with_short(df))
    with pytest.raises(HorizonError, match=r"1 series are shorter than input_size=8.*tiny \(5 rows\).*short_series='pad' or 'drop'"):
        fitted(small, frame)
    with pytest.warns(UserWarning, match=r"1 of 3 series .* dropped: tiny \(5 rows\)"):
        dropped = fitted(small, frame, short_series="drop")
    np.testing.assert_array_equal(np.asarray(dropped.predict()["NLinear"]), np.asarray(fitted(small, like(df)).predict()["NLinear"]))
    with pytest.warns(UserWarning, match=r"tiny \(5 rows, 4 windows\)"):
        padded = fitted(small, frame, short_series="pad")
    assert list(padded.predict()["unique_id"])[-4:] == ["tiny"] * 4 and len(padded.dataset.y) == len(df) + 5  # type: ignore[union-attr]
    with pytest.raises(HorizonError, match=r"leaves none"):
        fitted(small, like(df.groupby("unique_id").head(5)), short_series="drop")


def test_series_shorter_than_input_and_horizon_at_fit(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.warns(UserWarning, match=r"1 of 3 series have fewer than input_size \+ h = 12 training rows.*tiny \(10 rows, 2 windows\)"):
        fitted(small, like(with_short(df, 10)))


def test_series_shorter_than_input_at_predict(small: Any, df: pd.DataFrame, like: Any) -> None:
    nf = fitted(small, like(df))
    with pytest.warns(UserWarning, match=r"1 of 3 series are shorter than input_size=8 and are padded.*tiny \(5 rows\)") as caught:
        forecast = nf.predict(like(with_short(df)))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert np.isfinite(np.asarray(forecast["NLinear"])).all() and len(forecast) == 12
    nf.rules = DataRules(short_series="drop")
    with pytest.warns(UserWarning, match=r"dropped: tiny"):
        assert len(nf.predict(like(with_short(df)))) == 8
    nf.rules = DataRules(short_series="pad")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(nf.predict(like(with_short(df)))) == 12


def test_val_size_below_h_or_early_stop_without_validation(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(ConfigError, match=r"val_size=2 is less than h=4.*give val_size=0, or at least 4"):
        NeuralForecast([small()], "D").fit(like(df), val_size=2)
    with pytest.raises(ConfigError, match=r"early stopping needs a validation set.*val_size=4"):
        NeuralForecast([small(early_stop_patience_steps=2)], "D").fit(like(df))


def test_models_with_different_h(small: Any) -> None:
    with pytest.raises(ValueError, match=r"different horizons: h = 4, 5"):
        NeuralForecast([small(), small(h=5)], "D")


def future(nf: NeuralForecast, like: Any) -> pd.DataFrame:
    frame = nf.make_future_dataframe()
    frame = frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()
    return frame.assign(x=np.arange(len(frame)) / 10)


def test_futr_df_missing(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small("MLP", futr_exog_list=["x"])], "D").fit(like(wide_df), verbose=False)
    with pytest.raises(FeatureError, match=r"futr_df is missing.*of x"):
        nf.predict()


def test_futr_df_column_or_rows_missing_nulls_or_extra_rows(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small("MLP", futr_exog_list=["x"])], "D").fit(like(wide_df), verbose=False)
    good = future(nf, like)
    with pytest.raises(FeatureError, match=r"no column 'x'.*Columns"):
        nf.predict(futr_df=like(good.rename(columns={"x": "z"})))
    with pytest.raises(FeatureError, match=r"lacks 1 of 8 rows.*the first: unique_id b, ds 2020-01-29.*get_missing_future"):
        nf.predict(futr_df=like(good.drop(index=5)))
    for missing in (np.nan, None):  # polars keeps NaN and null apart
        with pytest.raises(DataError, match=r"1 missing or infinite values in futr_df column 'x'.*b at 2020-01-29 \(row 5\)"):
            nf.predict(futr_df=like(good.assign(x=good.x.astype(object).where(good.index != 5, missing))))
    with pytest.warns(UserWarning, match=r"4 rows of futr_df are not needed"):
        nf.predict(futr_df=like(pd.concat([good, good[:4].assign(unique_id="z")])))
    nf.rules = DataRules(exog_nan="ffill")
    filled = nf.predict(futr_df=like(good.assign(x=good.x.where(good.index != 5))))
    told = nf.predict(futr_df=like(good.assign(x=good.x.where(good.index != 5, good.x[4]))))
    np.testing.assert_array_equal(np.asarray(filled["MLP"]), np.asarray(told["MLP"]))


def test_exog_not_supported_by_model(small: Any) -> None:
    with pytest.raises(ValueError, match=r"(?s)PatchTST.*hist.*MLP"):
        small("PatchTST", hist_exog_list=["x"])


def test_hist_or_stat_column_absent(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(FeatureError, match=r"df has no hist_exog column 'x'.*Columns"):
        NeuralForecast([small("MLP", hist_exog_list=["x"])], "D").fit(like(wide_df.drop(columns="x")))
    static = like(pd.DataFrame({"unique_id": ["a", "b"], "sise": [1.0, 2.0]}))
    with pytest.raises(FeatureError, match=r"static_df has no stat_exog column 'size'.*Did you mean 'sise'"):
        NeuralForecast([small("MLP", stat_exog_list=["size"])], "D").fit(like(wide_df), static)


def test_static_df_has_other_ids(small: Any, df: pd.DataFrame, like: Any) -> None:
    def fit(ids: list[str], size: list[float]) -> NeuralForecast:
        model = NeuralForecast([small("MLP", stat_exog_list=["size"])], "D")
        return model.fit(like(df), like(pd.DataFrame({"unique_id": ids, "size": size})), verbose=False)

    with pytest.raises(DataError, match=r"1 ids of df are not in static_df: b"):
        fit(["a", "c"], [1.0, 2.0])
    more = fit(["0", "b", "aa", "a"], [9.0, 2.0, 8.0, 1.0])  # joined by id, whatever the order
    assert more.dataset is not None and more.dataset.stat[:, 0].tolist() == [1.0, 2.0]


def test_exog_strings(small: Any, df: pd.DataFrame, like: Any) -> None:
    text = df.assign(kind=["sale", "none"] * 28 + ["none"])
    for column in (text.kind, text.kind.astype("category")):
        with pytest.raises(DataError, match=r"column 'kind' \(hist_exog\) must hold numbers.*'sale'.*cat_exog_list"):
            NeuralForecast([small("MLP", hist_exog_list=["kind"])], "D").fit(like(text.assign(kind=column)))


def test_nat_in_ds_or_null_id(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(DataError, match=r"1 null times in df column 'ds': row 4"):
        fitted(small, like(df.assign(ds=df.ds.where(df.index != 4))))
    with pytest.raises(DataError, match=r"1 null ids in df column 'unique_id': row 4"):
        fitted(small, like(df.assign(unique_id=df.unique_id.where(df.index != 4))))


def test_ds_as_strings(small: Any, df: pd.DataFrame, like: Any) -> None:
    text, stamps = fitted(small, like(df.assign(ds=df.ds.dt.strftime("%Y-%m-%d")))), fitted(small, like(df))
    np.testing.assert_array_equal(np.asarray(text.predict()["NLinear"]), np.asarray(stamps.predict()["NLinear"]))
    with pytest.raises(DataError, match=r"text that is no ISO date: '01.02.20' in row 0"):
        fitted(small, like(df.assign(ds=["01.02.20", *df.ds.dt.strftime("%Y-%m-%d")[1:]])))


def test_y_non_numeric(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(DataError, match=r"column 'y' \(target\) must hold numbers, but has type .*'12,5' in row 1"):
        fitted(small, like(df.assign(y=["12,5" if k == 1 else "3" for k in range(len(df))])))


@pytest.mark.parametrize(("column", "near"), [("unique_id", "uniqueid"), ("ds", "dss"), ("y", "Y_")])
def test_missing_id_time_or_target_column(column: str, near: str, small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(FeatureError, match=rf"no (id|time|target) column '{column}'.*Columns: .*{near}"):
        fitted(small, like(df.rename(columns={column: near})))


def test_unseen_id_at_predict(small: Any, df: pd.DataFrame, like: Any) -> None:
    other = df.assign(unique_id=df.unique_id.replace("b", "c"))
    assert set(fitted(small, like(df)).predict(like(other))["unique_id"]) == {"a", "c"}
    many = NeuralForecast([small("MLPMultivariate", n_series=2)], "D").fit(like(df), verbose=False)
    with pytest.raises(DataError, match=r"MLPMultivariate was not trained on 1 of these series: c"):
        many.predict(like(other))
    with pytest.raises(DataError, match=r"1 of them are missing: b"):
        many.predict(like(df[df.unique_id == "a"]))


def test_unseen_category(small: Any, df: pd.DataFrame, like: Any) -> None:
    frame = df.assign(kind=np.where(np.arange(len(df)) % 3, "none", "sale"))
    nf = NeuralForecast([small("MLP", hist_exog_list=["kind"], cat_exog_list=["kind"])], "D").fit(like(frame), verbose=False)
    with pytest.warns(UserWarning, match=r"1 of 16 values of 'kind' were not in the training data.*'fair'"):
        nf.predict(like(frame.assign(kind=frame.kind.where(frame.index != 29, "fair"))))


def test_h_below_trained(small: Any, df: pd.DataFrame, like: Any) -> None:
    nf = fitted(small, like(df))
    np.testing.assert_array_equal(np.asarray(nf.predict(h=2)["NLinear"]).reshape(2, 2),
                                  np.asarray(nf.predict()["NLinear"]).reshape(2, 4)[:, :2])


def test_h_above_trained(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    nf = NeuralForecast([small("MLP", hist_exog_list=["x"])], "D").fit(like(wide_df), verbose=False)
    longer = np.asarray(nf.predict(h=6)["MLP"]).reshape(2, 6)  # the covariate goes on with its last value
    np.testing.assert_array_equal(longer[:, :4], np.asarray(nf.predict()["MLP"]).reshape(2, 4))
    assert np.isfinite(longer).all()
    known = nf.make_future_dataframe(h=6)
    known = (known if isinstance(known, pd.DataFrame) else known.to_pandas()).assign(x=5.0)
    told = np.asarray(nf.predict(futr_df=like(known), h=6)["MLP"]).reshape(2, 6)
    np.testing.assert_array_equal(told[:, :4], longer[:, :4])
    assert (told[:, 4:] != longer[:, 4:]).any()


def test_level_with_point_loss(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(ValueError, match=r"gives no intervals\. Hint: Three ways out:.*MQLoss.*PredictionIntervals.*calibrate"):
        fitted(small, like(df)).predict(level=[80])


def test_level_in_cross_validation_without_refit(small: Any, df: pd.DataFrame, like: Any) -> None:
    cv = NeuralForecast([small(loss=DistributionLoss("Normal"))], "D").cross_validation(like(df), level=[80], refit=False, verbose=False)
    assert {"NLinear-lo-80", "NLinear-hi-80"} <= set(cv.columns)
    assert (np.asarray(cv["NLinear-lo-80"]) < np.asarray(cv["NLinear-hi-80"])).all()


def test_predict_before_fit(small: Any) -> None:
    with pytest.raises(NotFittedError, match=r"Call fit") as caught:
        NeuralForecast([small()], "D").predict()
    assert isinstance(caught.value, ValueError)


def test_typo_in_constructor_argument() -> None:
    with pytest.raises(TypeError, match=r"'max_step'.*Did you mean 'max_steps'"):
        NLinear(h=4, input_size=8, max_step=3)
    with pytest.raises(ConfigError, match=r"unknown duplicates='first'.*Valid: last, mean, raise"):
        NeuralForecast([NLinear(h=4, input_size=8)], "D", duplicates="first")


def test_unknown_scaler(small: Any) -> None:
    with pytest.raises(ValueError, match=r"'standrad'.*Did you mean 'standard'"):
        small(scaler_type="standrad")
    with pytest.raises(ValueError, match=r"unknown local_scaler_type 'standrad'.*Did you mean 'standard'"):
        NeuralForecast([small()], "D", local_scaler_type="standrad")


def test_loss_diverges(small: Any, df: pd.DataFrame, like: Any) -> None:
    with pytest.raises(FloatingPointError, match=r"step \d+.*learning_rate"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NeuralForecast([small("MLP", learning_rate=1e30, max_steps=50)], "D").fit(like(df), verbose=False)


def test_duplicate_levels(small: Any, df: pd.DataFrame, like: Any) -> None:
    once, twice = (DistributionLoss("Normal", level=level).output_names for level in ([80, 90], [80, 90, 90]))
    assert once == twice
    nf = NeuralForecast([small(loss=DistributionLoss("Normal"))], "D").fit(like(df), verbose=False)
    with pytest.warns(UserWarning, match="80 more than once"):
        found = nf.predict(level=[80, 80])
    assert list(found.columns) == list(nf.predict(level=[80]).columns)


def test_save_into_a_folder_that_is_not_empty(small: Any, df: pd.DataFrame, like: Any, tmp_path: Any) -> None:
    nf = fitted(small, like(df), duplicates="last", fill_gaps="mask", short_series="pad", exog_nan="ffill")
    nf.save(tmp_path / "a")
    with pytest.raises(FileExists, match=r"not empty"):
        nf.save(tmp_path / "a")
    assert NeuralForecast.load(tmp_path / "a").rules == DataRules("last", "mask", "pad", "ffill")


def test_load_pickle(tmp_path: Any) -> None:
    (tmp_path / "ndiv.json").write_bytes(b"\x80\x04K\x01.")  # a pickle of 1
    with pytest.raises(FileError, match=r"not JSON"):
        NeuralForecast.load(tmp_path)


def test_rules_hold_in_predict_and_cross_validation(small: Any, df: pd.DataFrame, like: Any) -> None:
    bad = pd.concat([df.drop(index=20), df.iloc[[3]].assign(y=7.0)], ignore_index=True)
    nf = fitted(small, like(df), duplicates="last", fill_gaps="mask")
    assert len(nf.predict(like(bad))) == 8
    cv = NeuralForecast([small()], "D").cross_validation(like(bad), n_windows=3, step_size=4, verbose=False, duplicates="last",
                                                       fill_gaps="mask")
    cv = cv if isinstance(cv, pd.DataFrame) else cv.to_pandas()
    shown = cv[(cv.unique_id == "a")].set_index("ds").y
    assert np.isnan(shown[pd.Timestamp("2020-01-21")])
    assert shown.drop(pd.Timestamp("2020-01-21")).tolist() == df.y[18:30].drop(20).tolist()
    with pytest.warns(UserWarning, match=r"dropped: tiny"):
        less = NeuralForecast([small()], "D").cross_validation(like(with_short(bad)), verbose=False, duplicates="last", fill_gaps="mask",
                                                            short_series="drop")
    assert sorted(set(less["unique_id"])) == ["a", "b"]
