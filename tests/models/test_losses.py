"""Every model with every loss: training lowers it, forecasts have the columns that the loss names, in the data's units."""

from __future__ import annotations

import numpy as np
import pytest
from small import sampled, small

import ndiv
from ndiv import losses
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.models import get_model, list_models

H, L = 3, 10
COUNTS = np.random.default_rng(0).poisson(20, (16, L + H, 1)).astype(np.float32)

CASES = {
    **{name: (lambda cls=losses.LOSSES[name]: cls()) for name in ("MSE", "RMSE", "MAPE", "SMAPE", "relMSE", "HuberLoss", "TukeyLoss", "IQLoss",
                                                                  "MQLoss", "HuberMQLoss", "GMM", "PMM", "NBMM") if name != "relMSE"},
    "MASE": lambda: losses.MASE(seasonality=2), "QuantileLoss": lambda: losses.QuantileLoss(0.8),
    "HuberQLoss": lambda: losses.HuberQLoss(0.8), "MQLoss-levels": lambda: losses.MQLoss(level=[80, 95]),
    **{d: (lambda d=d: losses.DistributionLoss(d, level=[80])) for d in ("Normal", "StudentT", "Poisson", "NegativeBinomial", "Gamma",
                                                                        "LogNormal", "Laplace", "Weibull", "Tweedie")},
    "function": lambda: lambda y_hat, y: ndiv.softplus((y_hat - y) * 2.0) - (y_hat - y),
}

RATES = {"TFT": 3e-3}  # at 1e-2 its loss falls too, with leaps on the way (TukeyLoss: 0.85, 0.57 after 60 steps, 0.91 after 66)


def batch():
    return {"insample_y": COUNTS[:, :L], "insample_mask": np.ones_like(COUNTS[:, :L]), "outsample_y": COUNTS[:, L:],
            "outsample_mask": np.ones_like(COUNTS[:, L:])}


@pytest.mark.parametrize("name, case", sampled(list_models(), CASES, every=10))
def test_training_and_forecast(name, case):
    scaler = "standard" if case not in ("MAPE", "SMAPE") else "identity"
    m = get_model(name)(h=H, input_size=L, loss=CASES[case](), scaler_type=scaler, learning_rate=RATES.get(name, 1e-2), gradient_clip_val=10.0,
                        **small(name))
    data = batch()
    if case == "MASE":
        assert np.isfinite(m.train_step(data))

    def judged():
        """The training loss, of the same quantiles each time where a loss draws them."""
        found = []
        for k in range(5):
            with ndiv.random.fork(k):
                found.append(float(m.compute_loss(data).data))
        return np.mean(found)

    first = judged()
    for _ in range(66):
        m.train_step(data)
    assert judged() < first
    out = m.forecast(data)
    assert out.shape == (16, H, len(m.output_names)) and np.isfinite(out).all()
    if scaler == "standard":
        assert 5 < np.median(out) < 60, "not in the units of the data"
    assert np.isfinite(m.validation_loss([data]))


@pytest.mark.parametrize("loss", [lambda: losses.MQLoss(level=[80]), lambda: losses.DistributionLoss("Normal", level=[80])])
def test_a_point_loss_can_validate_a_probabilistic_model(loss):
    store = SeriesStore.from_arrays_list([np.sin(np.arange(80.0) / 3) + 3])
    m = get_model("NLinear")(h=H, input_size=L, loss=loss(), valid_loss=losses.MAE(), max_steps=20, val_check_steps=5)
    m.fit_store(store, val_size=12, verbose=False)
    assert all(np.isfinite(r["valid_loss"]) for r in m.history)


def test_intervals_are_ordered_and_named_on_frames():
    df = ndiv.utils.AirPassengersDF
    m = get_model("NLinear")(h=12, input_size=24, loss=losses.DistributionLoss("StudentT", level=[80, 90]), max_steps=50,
                             scaler_type="standard", learning_rate=1e-3)
    out = ndiv.NeuralForecast([m], freq="ME").fit(df, verbose=False).predict()
    names = ["NLinear", "NLinear-median", "NLinear-lo-90", "NLinear-lo-80", "NLinear-hi-80", "NLinear-hi-90"]
    assert list(out.columns) == ["unique_id", "ds", *names]
    for a, b in [("lo-90", "lo-80"), ("lo-80", "hi-80"), ("hi-80", "hi-90")]:
        assert (out[f"NLinear-{a}"] < out[f"NLinear-{b}"]).all()


def test_only_the_location_gets_the_level():
    y = np.full((2, L, 1), 50.0, np.float32)
    for variant, scale_moves in (("paper", False), ("compat", True)):
        m = get_model("NLinear")(h=H, input_size=L, loss=losses.DistributionLoss("Normal"), variant=variant)
        a, b = m.forward({"insample_y": y}).numpy(), m.forward({"insample_y": y + 10}).numpy()
        np.testing.assert_allclose(b[..., 0] - a[..., 0], 10, rtol=1e-4)
        assert np.allclose(b[..., 1] - a[..., 1], 10 if scale_moves else 0, atol=1e-4)


def test_losses_by_name_need_their_arguments():
    for name in ("MASE", "QuantileLoss", "DistributionLoss"):
        with pytest.raises(ConfigError, match="needs arguments"):
            get_model("NLinear")(h=H, input_size=L, loss=name)


def test_a_function_as_loss_cannot_be_saved():
    m = get_model("NLinear")(h=H, input_size=L, loss=lambda a, b: (a - b) * (a - b))
    with pytest.raises(ConfigError, match="cannot be written"):
        m.config()
    bad = get_model("NLinear")(h=H, input_size=L, loss=lambda a, b: (a - b)[:, 0])
    with pytest.raises(ndiv.NdivError, match="one number"):
        bad.train_step(batch())
