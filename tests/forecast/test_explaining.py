"""Explanations of forecasts: complete where they promise it, exact for linear models, the same for a series alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv.errors import ConfigError
from ndiv.losses import GMM, DistributionLoss, MQLoss


def pandas_of(frame: Any) -> pd.DataFrame:
    return frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame.to_dict(as_series=False))


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "occlusion", "shapley"])
@pytest.mark.parametrize("scaler", [None, "minmax"])
def test_linear_models_are_explained_exactly(method: str, scaler: Any, small: Any, ready: Any, like: Any,
                                             df: pd.DataFrame) -> None:
    model = small("NLinear", scaler_type="standard")
    nf = ready([model], like(df), scaler)
    found = nf.explain(method=method, n_samples=3, n_steps=4)
    frame, sums = pandas_of(found.frame), pandas_of(found.additivity)
    assert isinstance(found.frame, type(nf.predict()))
    assert list(frame.columns)[:9] == ["unique_id", "ds", "output", "step", "kind", "feature", "source", "lag", "attribution"]
    total = frame.groupby(["unique_id", "ds"])["attribution"].sum().to_numpy()
    np.testing.assert_allclose(total, sums["attributed"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sums["forecast"], pandas_of(nf.predict())["NLinear"], rtol=1e-5)
    size = np.abs(sums["forecast"]).max()
    assert np.abs(sums["gap"]).max() < 2e-5 * size, "the difference of forecasts in float32"
    # the weights themselves: y_k = last + sum_j W_kj (x_j - last), in units of which one is a standard deviation
    one = frame[(frame["unique_id"] == "a") & (frame["step"] == 2)].set_index("lag")["attribution"]
    last = pandas_of(df)[lambda d: d["unique_id"] == "a"]["y"].to_numpy()[-8:]
    weight = model.linear.weight.numpy()[1].astype(float)
    slope = weight.copy()
    slope[-1] += 1 - weight.sum()
    np.testing.assert_allclose(one[list(range(8, 0, -1))], slope * (last - last.mean()), rtol=1e-4, atol=2e-5 * size)


CASES = [("MLP", {"loss": MQLoss(level=[80])}, 2), ("NHITS", {"loss": DistributionLoss("StudentT", level=[80])}, 3),
         ("GRU", {"recurrent": True, "loss": DistributionLoss("Normal")}, 0), ("DeepAR", {}, 0),
         ("Transformer", {"decoding": "autoregressive", "loss": GMM(2, level=[80])}, 3), ("PatchTST", {}, 0), ("DeepNPTS", {}, 0)]


@pytest.mark.parametrize(("name", "options", "output"), CASES, ids=[c[0] for c in CASES])
def test_integrated_gradients_and_shapley_add_up(name: str, options: Any, output: int, small: Any, ready: Any,
                                                 df: pd.DataFrame) -> None:
    nf = ready([small(name, **options)], df)
    for method, tolerance in (("integrated_gradients", 0.02), ("shapley", 0.0)):
        found = nf.explain(horizons=[0, 3], outputs=[output], series=["b"], method=method, n_samples=2, n_steps=100)
        each, sums = found.frame, found.additivity
        gross = each.groupby("step")["attribution"].apply(lambda v: v.abs().sum()).to_numpy()
        # of integrated gradients the error of the rule at the kinks of ReLU; of all, forecasts are rounded to float32
        assert (np.abs(sums["gap"]) < tolerance * gross + 1e-5 * np.abs(sums["forecast"])).all()
        assert set(each["step"]) == {1, 4}
        assert gross.min() > 0


def test_every_covariate_has_its_share(small: Any, ready: Any, wide_df: pd.DataFrame) -> None:
    df = wide_df.assign(day=wide_df["ds"].dt.day_name())
    static = pd.DataFrame({"unique_id": ["a", "b"], "size": [1.5, -2.0]})
    model = small("TFT", futr_exog_list=["x", "day"], hist_exog_list=["x"], stat_exog_list=["size"], cat_exog_list=["day"])
    nf = ready([model], df, static_df=static)
    ahead = nf.make_future_dataframe()
    ahead = ahead.assign(x=0.5, day=ahead["ds"].dt.day_name())
    frames = {m: nf.explain(futr_df=ahead, horizons=[1], method=m, n_samples=4).frame
              for m in ("integrated_gradients", "shapley")}
    for found in frames.values():
        parts = found.groupby(["kind", "feature"])["attribution"].apply(lambda v: v.abs().sum())
        assert set(parts.index) == {("target", "y"), ("hist", "x"), ("futr", "x"), ("futr", "day"), ("stat", "size")}
        assert (parts > 0).all()
        lags = found[found["feature"] == "day"]["lag"]
        assert (lags.min(), lags.max()) == (-3, 8)
        assert found[found["kind"] == "stat"]["lag"].isna().all()
    # at this step the forecast turns sharply on the way from the baseline: points are what the gap is for want of
    gaps = [np.abs(nf.explain(futr_df=ahead, series=["b"], horizons=[2], n_steps=n).additivity["gap"]).max() for n in (50, 400)]
    assert gaps[1] < 1e-4
    assert gaps[1] < gaps[0]
    sampled = frames["shapley"]
    assert (sampled["std_error"] >= 0).all()
    assert sampled["std_error"].max() > 0


def test_multivariate_models_name_the_sources(small: Any, ready: Any, like: Any, df: pd.DataFrame) -> None:
    nf = ready([small("TSMixer")], like(df.groupby("unique_id").tail(20)), "standard")
    forecasts, arrays = nf.explain(series=["b"], horizons=[0, 1], explainer="IntegratedGradients")
    assert pandas_of(forecasts)["unique_id"].unique().tolist() == ["b"]
    assert arrays["TSMixer"]["insample"].shape == (1, 2, 1, 1, 2, 8, 2)
    frame = pandas_of(nf.explain(series=["b"], horizons=[0, 1]).frame)
    assert set(frame["source"]) == {"a", "b"}
    assert set(frame["unique_id"]) == {"b"}
    np.testing.assert_allclose(frame[frame["step"] == 2]["attribution"].sum(), arrays["TSMixer"]["insample"][0, 1].sum())


def test_a_series_has_the_same_explanation_alone(small: Any, ready: Any, df: pd.DataFrame) -> None:
    nf = ready([small("MLP")], df)
    for method in ("integrated_gradients", "shapley"):
        whole = nf.explain(method=method, n_samples=2).frame
        alone = nf.explain(method=method, n_samples=2, df=df[df["unique_id"] == "b"]).frame
        np.testing.assert_array_equal(whole[whole["unique_id"] == "b"]["attribution"], alone["attribution"])


def test_short_series_owe_nothing_to_what_was_before_them(small: Any, ready: Any, df: pd.DataFrame) -> None:
    nf = ready([small("MLP", scaler_type="standard")], df)
    found = nf.explain(df=df[df["unique_id"] == "a"].tail(5), method="occlusion").frame
    assert found["lag"].max() == 5


def test_arrays_are_laid_out_as_neuralforecasts(small: Any, ready: Any, wide_df: pd.DataFrame) -> None:
    nf = ready([small("MLP", hist_exog_list=["x"], loss=MQLoss(level=[80]))], wide_df)
    forecasts, arrays = nf.explain(outputs=[0, 2], horizons=[1], explainer="InputXGradient")
    found = arrays["MLP"]
    assert list(forecasts.columns) == ["unique_id", "ds", "MLP-median", "MLP-hi-80"]
    assert found["insample"].shape == (2, 1, 1, 2, 8, 2)
    assert found["hist_exog"].shape == (2, 1, 1, 2, 1, 8)
    assert found["baseline_predictions"].shape == (2, 1, 1, 2)
    assert found["futr_exog"] is None
    assert found["stat_exog"] is None


@pytest.mark.parametrize(("asked", "message"), [({"method": "gradient"}, "unknown method"),
                                                ({"baseline": "median"}, "unknown baseline"), ({"horizons": [4]}, "from 0 to 3"),
                                                ({"outputs": [1]}, "from 0 to 0"),
                                                ({"series": ["c"]}, "no series 'c'"), ({"n_samples": 0}, "n_samples")])
def test_bad_requests_are_refused(asked: Any, message: str, small: Any, ready: Any, df: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=message):
        ready([small()], df).explain(**asked)


def test_quantiles_of_counts_have_no_gradient(small: Any, ready: Any, df: pd.DataFrame) -> None:
    nf = ready([small("MLP", loss=DistributionLoss("Poisson", level=[80]))], df)
    with pytest.raises(ConfigError, match="goes up in steps"):
        nf.explain(outputs=[2])
    assert len(nf.explain(outputs=[2], method="occlusion").frame)
