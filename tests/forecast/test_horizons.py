"""Forecasts of any number of steps: slices, block recursion, paths that follow from the seed, covariates ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, FeatureError
from ndiv.forecast.recursion import appended
from ndiv.losses import GMM, MAE, DistributionLoss, IQLoss, MQLoss

LOSSES = {"point": MAE, "several": MQLoss, "distribution": lambda: DistributionLoss("Normal", level=[80]), "implicit": IQLoss}


def per_series(frame: Any, n: int) -> pd.DataFrame:
    return pd.DataFrame(frame.groupby("unique_id").head(n).reset_index(drop=True))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_longer_horizon_changes_no_step_of_a_shorter_one(loss: str, small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small(loss=LOSSES[loss]())], freq="D", local_scaler_type="standard").fit(df)
    whole = nf.predict(h=11)
    assert len(whole) == 22
    assert np.isfinite(whole.iloc[:, 2:].to_numpy()).all()
    for h in (1, 6):
        assert nf.predict(h=h).equals(per_series(whole, h))
    assert nf.predict().equals(per_series(whole, 4))


@pytest.mark.parametrize("loss", ["several", "distribution"])
def test_a_series_has_the_same_paths_alone_and_in_polars(loss: str, small: Any, df: pd.DataFrame, values: Any) -> None:
    nf = NeuralForecast([small(loss=LOSSES[loss]())], freq="D").fit(df)
    whole = nf.predict(h=10)
    alone = nf.predict(df[df.unique_id == "b"], h=10)
    np.testing.assert_allclose(values(alone), values(whole[whole.unique_id == "b"]), rtol=1e-6)
    assert np.array_equal(values(nf.predict(pl.from_pandas(df), h=10)), values(whole))
    other = NeuralForecast([small(loss=LOSSES[loss](), random_seed=9)], freq="D").fit(df)
    other.models[0].load_state_dict(nf.models[0].state_dict())
    one, two = values(other.predict(h=10))[:10], values(whole)[:10]
    assert np.array_equal(one[:4], two[:4])  # nothing is drawn for the first block
    assert not np.array_equal(one[4:], two[4:])


def test_recursion_of_a_linear_model_is_the_loop_by_hand(small: Any, df: pd.DataFrame) -> None:
    """NLinear: y_hat = W (y - y_last) + b + y_last."""
    nf = NeuralForecast([small()], freq="D").fit(df)
    weights = nf.models[0].state_dict()
    w, b = weights["linear.weight"].astype(np.float64), weights["linear.bias"].astype(np.float64)
    got = nf.predict(h=14)
    for name in ("a", "b"):
        y = df.loc[df.unique_id == name, "y"].tolist()
        while len(y) < df.unique_id.eq(name).sum() + 14:
            window = np.array(y[-8:])
            y += list(w @ (window - window[-1]) + b + window[-1])
        wanted = y[df.unique_id.eq(name).sum():][:14]
        np.testing.assert_allclose(got.loc[got.unique_id == name, "NLinear"], wanted, rtol=1e-5)


def test_uncertainty_adds_up_over_blocks(small: Any) -> None:
    """A random walk forecast by its last value and the spread of one step: after n steps the spread is sqrt(n) times that."""
    rng = np.random.default_rng(3)
    y = np.cumsum(rng.normal(size=400))
    df = pd.DataFrame({"unique_id": 1, "ds": np.arange(400), "y": y})
    model = small(h=1, input_size=4, loss=DistributionLoss("Normal"))
    nf = NeuralForecast([model], freq=1).fit(df)
    raw = float(np.log(np.expm1(1.0 - 0.2)))  # the spread is softplus(raw) + 0.2 = 1
    state = model.state_dict()
    state["linear.weight"] = np.zeros_like(state["linear.weight"])
    state["linear.bias"] = np.array([0.0, raw], np.float32)
    model.load_state_dict(state)
    out = nf.predict(h=16, level=[80])
    width = (out["NLinear-hi-80"] - out["NLinear-lo-80"]).to_numpy() / (2 * 1.2815515655)
    assert width[0] == pytest.approx(1.0, rel=1e-3)
    np.testing.assert_allclose(width, np.sqrt(np.arange(1, 17)), rtol=0.2)  # 100 paths: their spread is known to 7 %
    assert (np.diff(width[[0, 3, 8, 15]]) > 0).all()


def test_covariates_ahead(small: Any, wide_df: pd.DataFrame, like: Any) -> None:
    df = wide_df.assign(z=np.arange(len(wide_df)) % 7.0)
    model = small("MLP", futr_exog_list=["x"], hist_exog_list=["z"])
    nf = NeuralForecast([model], freq="D").fit(like(df))
    futr = pd.concat([pd.DataFrame({"unique_id": u, "ds": pd.date_range(d, periods=10), "x": np.linspace(0, 1, 10)})
                      for u, d in (("a", "2020-01-31"), ("b", "2020-01-28"))])
    out = nf.predict(futr_df=like(futr), h=10)
    assert len(out) == 20
    last = df.groupby("unique_id")["z"].last()
    repeated = nf.predict(futr_df=like(futr.assign(z=futr.unique_id.map(last))), h=10)
    assert np.array_equal(np.asarray(out["MLP"]), np.asarray(repeated["MLP"]))  # the last row is repeated where z is not given
    known = nf.predict(futr_df=like(futr.assign(z=50.0)), h=10)
    changed = np.asarray(known["MLP"]).reshape(2, 10) != np.asarray(out["MLP"]).reshape(2, 10)
    assert not changed[:, :4].any()
    assert changed[:, 4:].all()
    with pytest.raises(FeatureError, match="lacks 1 of 20 rows"):
        nf.predict(futr_df=like(futr[futr.ds < "2020-02-09"]), h=10)


def test_multivariate_and_cross_validation(small: Any, df: pd.DataFrame) -> None:
    same = df[df.unique_id == "a"]
    panel = pd.concat([same, same.assign(unique_id="b", y=same.y * 2)])
    nf = NeuralForecast([small("TSMixer", n_series=2, loss=MQLoss())], freq="D").fit(panel)
    assert nf.predict(h=9).groupby("unique_id").head(4).reset_index(drop=True).equals(nf.predict())
    cv = NeuralForecast([small()], freq="D").cross_validation(df, n_windows=2, h=6)
    assert cv.groupby(["unique_id", "cutoff"]).size().tolist() == [6] * 4
    one = NeuralForecast([small()], freq="D")
    cut = df[df.ds <= df.unique_id.map(cv.groupby("unique_id")["cutoff"].first())]
    np.testing.assert_allclose(one.fit(cut).predict(h=6)["NLinear"], cv.groupby("unique_id").head(6)["NLinear"], rtol=1e-5)


@pytest.mark.parametrize("h", [0, -1, 2.5, True, "4"])
def test_a_horizon_is_a_whole_number(h: Any, small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small()], freq="D").fit(df)
    with pytest.raises(ConfigError, match="at least 1"):
        nf.predict(h=h)


def test_rows_are_appended_to_each_series() -> None:
    store = SeriesStore.from_arrays_list([[1.0, 2.0], [5.0, 6.0, 7.0]])
    store.hist, store.hist_names = np.arange(5, dtype=np.float32)[:, None], ["z"]
    more = appended(store, np.array([[3.0, 4.0], [8.0, 9.0]]))
    assert more.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert more.times.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert more.hist[:, 0].tolist() == [0, 1, 1, 1, 2, 3, 4, 4, 4]


def test_models_that_go_step_after_step_draw_their_own_paths(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small("DeepAR", loss=DistributionLoss("Normal", level=[80]))], freq="D").fit(df)
    whole = nf.predict(h=6)
    assert nf.predict().equals(per_series(whole, 4))
    alone = nf.predict(df[df.unique_id == "b"], h=6)
    np.testing.assert_allclose(alone["DeepAR-hi-80"], whole.loc[whole.unique_id == "b", "DeepAR-hi-80"], rtol=1e-4)
    assert (whole["DeepAR-lo-80"] < whole["DeepAR-hi-80"]).all()


def test_counts_stay_counts(small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small(loss=DistributionLoss("Poisson", level=[80]))], freq="D").fit(df.assign(y=df.y.round()))
    bounds = nf.predict(h=6)[["NLinear-lo-80", "NLinear-hi-80"]].to_numpy()
    assert (bounds >= 0).all()
    assert np.isclose(bounds % 1, 0).mean() > 0.7  # but where a quantile of all paths lies between two of their values


@pytest.mark.parametrize("loss", [GMM(2, weighted=True, return_params=True), DistributionLoss("Tweedie", rho=1.2)])
def test_later_blocks_of_mixtures_and_options(loss: Any, small: Any, df: pd.DataFrame) -> None:
    nf = NeuralForecast([small(loss=loss)], freq="D").fit(df)
    whole = nf.predict(h=6)
    assert nf.predict().equals(per_series(whole, 4))
    assert np.isfinite(whole.iloc[:, 2:].to_numpy()).all()
    assert (whole["NLinear-lo-90"] <= whole["NLinear-hi-80"]).all()
