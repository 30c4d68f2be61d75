"""Sample paths: of each step the model's own distribution, of all steps together what the method says, of a series alone the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import same_bits

from ndiv import NeuralForecast
from ndiv.errors import ConfigError, HorizonError, NotFittedError
from ndiv.forecast.copula import at_scores, correlated, correlations, scores_of, shuffled
from ndiv.losses import DistributionLoss, IQLoss, MQLoss
from ndiv.losses.distributions.numeric import normal_cdf, normal_quantile
from ndiv.utils import PredictionIntervals


def pandas_of(frame: Any) -> pd.DataFrame:
    return frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame.to_dict(as_series=False))


def check_share_below(paths: pd.DataFrame, name: str, q: float, quantile: Any) -> None:
    """Of n draws the share below the q-quantile is q within four of its standard errors, at each series and step."""
    values = paths.pivot(index=["unique_id", "ds"], columns="sample_id", values=name).to_numpy()
    share = (values < np.asarray(quantile)[:, None]).mean(axis=1)
    assert np.abs(share - q).max() < 4 * np.sqrt(q * (1 - q) / values.shape[1])


LOSSES = {"normal": lambda: DistributionLoss("Normal", level=[80]), "StudentT": lambda: DistributionLoss("StudentT", level=[80]),
          "quantiles": lambda: MQLoss(level=[80, 90])}


@pytest.mark.parametrize("method", ["gaussian_copula", "schaake_shuffle"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scaler", [None, "minmax"])
def test_each_step_has_the_models_quantiles(loss: str, method: str, scaler: Any, small: Any, ready: Any, like: Any,
                                            df: pd.DataFrame) -> None:
    nf = ready([small("MLP", loss=LOSSES[loss]())], like(df), scaler)
    n = 2000
    found = nf.simulate(n_paths=n, method=method, seed=1)
    wanted = nf.predict()
    assert isinstance(found, type(wanted))
    found, wanted = pandas_of(found), pandas_of(wanted)
    assert list(found.columns) == ["unique_id", "ds", "sample_id", "MLP"]
    assert len(found) == n * len(wanted)
    assert found.head(8)[["unique_id", "ds"]].equals(wanted[["unique_id", "ds"]])
    for q, column in ((0.1, "MLP-lo-80"), (0.5, "MLP-median"), (0.9, "MLP-hi-80")):
        check_share_below(found, "MLP", q, wanted[column])


def test_counts_stay_counts_and_implicit_quantiles_scatter(small: Any, ready: Any, df: pd.DataFrame) -> None:
    nf = ready([small("MLP", loss=DistributionLoss("Poisson", level=[80])), small("MLP", alias="implicit", loss=IQLoss())], df)
    found = nf.simulate(n_paths=50)
    assert (found["MLP"] == found["MLP"].round()).all()
    assert found["MLP"].min() >= 0
    assert found.groupby(["unique_id", "ds"])["implicit"].std().min() > 0


STEPWISE = [("GRU", {"recurrent": True, "inference_input_size": 10}), ("LSTM", {"recurrent": True, "scaler_type": "robust"}),
            ("Transformer", {"decoding": "autoregressive", "scaler_type": "standard"}), ("DeepAR", {}), ("LSTMAttention", {})]


@pytest.mark.parametrize(("name", "options"), STEPWISE, ids=[c[0] for c in STEPWISE])
def test_stepwise_models_draw_each_value_given_those_before(name: str, options: Any, small: Any, ready: Any,
                                                            df: pd.DataFrame) -> None:
    model = small(name, loss=DistributionLoss("Normal", level=[80]), **options)
    nf = ready([model], df)
    n = 1000
    paths = nf.simulate(n_paths=n, seed=5)
    at_first = paths[paths["ds"] == paths.groupby("unique_id")["ds"].transform("min")]
    if name != "DeepAR":  # whose quantiles are those of paths already
        first = nf.predict().groupby("unique_id").first()
        for q, column in ((0.1, "lo-80"), (0.5, "median"), (0.9, "hi-80")):
            check_share_below(at_first, name, q, first[f"{name}-{column}"])
    alone = nf.simulate(df=df[df["unique_id"] == "b"], n_paths=n, seed=5)
    # steps of recurrent models run op by op, and sums of BLAS depend on the batch
    wanted = paths[paths["unique_id"] == "b"][name]
    np.testing.assert_allclose(alone[name], wanted, rtol=2e-5, atol=2e-5 * wanted.abs().max())
    assert not np.allclose(nf.simulate(n_paths=n, seed=6)[name], paths[name])


def test_steps_of_a_recurrent_model_depend_on_the_draws_before(small: Any, ready: Any, df: pd.DataFrame) -> None:
    model = small("GRU", recurrent=True, loss=DistributionLoss("Normal"))
    nf = ready([model], df)
    wide = nf.simulate(n_paths=300, seed=1).query("unique_id == 'a'").pivot(index="sample_id", columns="ds", values="GRU")
    mean = model.forecast(next(b for _, b in model.batches_ahead(nf.dataset)))[0, :, 0]
    spread = wide.std().to_numpy()
    assert np.abs(wide.mean().to_numpy()[0] - mean[0]) < 4 * spread[0] / np.sqrt(300)
    assert len(np.unique(np.round(wide.to_numpy(), 9))) == wide.size


@pytest.mark.parametrize("method", ["gaussian_copula", "schaake_shuffle"])
def test_a_series_has_the_same_paths_alone_and_the_global_generator_stays(method: str, small: Any, ready: Any,
                                                                          df: pd.DataFrame) -> None:
    nf = ready([small("MLP", loss=MQLoss(level=[80]))], df)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (the generator that is to be left alone)
    whole = nf.simulate(n_paths=20, seed=3, method=method)
    alone = nf.simulate(df=df[df["unique_id"] == "b"], n_paths=20, seed=3, method=method)
    same_bits(alone["MLP"].to_numpy(), whole[whole["unique_id"] == "b"]["MLP"].to_numpy())
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_multivariate_models_and_point_losses(small: Any, ready: Any, df: pd.DataFrame) -> None:
    nf = ready([small("TSMixer", loss=MQLoss(level=[80])), small("NLinear")], df.groupby("unique_id").tail(24))
    with pytest.raises(ConfigError, match=r"NLinear forecasts a point .*calibrate it"):
        nf.simulate()
    nf.calibrate(df.groupby("unique_id").tail(24), PredictionIntervals(n_windows=4))
    found = nf.simulate(n_paths=500, seed=1)
    assert list(found.columns)[3:] == ["TSMixer", "NLinear"]
    middle = nf.predict(quantiles=[0.3, 0.7])  # two of those that paths are interpolated between
    for q in (0.3, 0.7):
        check_share_below(found, "NLinear", q, middle[f"NLinear_ql{q}"])


@pytest.mark.parametrize(("asked", "message"), [({"n_paths": 0}, "n_paths"), ({"method": "copula"}, "unknown method"),
                                                ({"seed": -1}, "seed"), ({"quantiles": [0.5]}, "two numbers"),
                                                ({"quantiles": [0.1, 1.5]}, "between 0 and 1")])
def test_bad_requests_are_refused(asked: Any, message: str, small: Any, ready: Any, df: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=message):
        ready([small("MLP", loss=DistributionLoss("Normal"))], df).simulate(**asked)


def test_models_that_say_nothing_of_their_uncertainty(small: Any, ready: Any, df: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError):
        NeuralForecast([small()], freq="D").simulate()
    with pytest.raises(ConfigError, match="a single quantile"):
        ready([small("MLP", loss=MQLoss(quantiles=[0.5]))], df).simulate()
    nf = ready([small("MLP", loss=MQLoss(level=[80]))], df)
    with pytest.raises(HorizonError, match="no past trajectory"):
        nf.simulate(df=df.groupby("unique_id").tail(3), method="schaake_shuffle")
    with pytest.raises(ConfigError, match="all steps at once"):
        small("GRU", loss=DistributionLoss("Normal")).simulate({"insample_y": np.ones((1, 8, 1), np.float32)})


# -- copulas ---------------------------------------------------------------------------------------------------------------

GRID = normal_cdf(np.arange(-2.5, 2.6, 0.5))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.floats(-50, 50), st.floats(0.1, 20))
def test_scores_and_values_are_each_others_inverse(seed: int, level: float, width: float) -> None:
    z = np.random.default_rng(seed).normal(size=(2, 3, 5))
    values = np.broadcast_to(level + width * normal_quantile(GRID), (2, 3, len(GRID)))
    y = at_scores(GRID, values, z)
    np.testing.assert_allclose(y, level + width * z, rtol=1e-6, atol=1e-6 * (abs(level) + width))
    np.testing.assert_allclose(scores_of(GRID, values, y[..., 0]), z[..., 0], atol=1e-5)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.9])
def test_correlations_of_errors_are_found_and_drawn(rho: float) -> None:
    rng = np.random.default_rng(0)
    e = rng.normal(size=(2000, 6))
    for k in range(1, 6):
        e[:, k] = rho * e[:, k - 1] + np.sqrt(1 - rho**2) * e[:, k]
    wanted = rho ** np.abs(np.arange(6)[:, None] - np.arange(6))
    found = correlations(3.0 * e)
    np.testing.assert_allclose(found, wanted, atol=0.1)  # 4 standard errors of 2,000 windows
    np.testing.assert_allclose(np.corrcoef(correlated(rng, 4000, found)), found, atol=0.07)
    few = correlations(np.where(rng.random((5, 6)) < 0.3, np.nan, e[:5]))
    assert np.abs(few).max() <= 1
    assert np.isfinite(correlated(rng, 10, few)).all()


def test_shuffled_scores_have_the_ranks_of_trajectories() -> None:
    rng = np.random.default_rng(0)
    past = rng.normal(size=(40, 3)).cumsum(axis=1)
    drawn = shuffled(np.random.default_rng(1), 40, past)
    ranks = [{tuple(row) for row in np.argsort(np.argsort(v, axis=0), axis=0)} for v in (drawn.T, past)]
    assert ranks[0] == ranks[1]
    assert shuffled(rng, 100, past).shape == (3, 100)
