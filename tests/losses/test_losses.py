"""Losses of one number a step, and what all losses share: weights, masks, configuration, the contract with models."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError, ShapeError

draw = np.random.default_rng(0)
y, y_hat = draw.normal(size=(4, 3, 2)), draw.normal(size=(4, 3, 2))
y_insample = draw.normal(size=(4, 9, 2))
mask = (draw.uniform(size=(4, 3, 2)) > 0.4).astype(float)
mask[0, 0, 0] = 1
scale = np.abs(y_insample[:, 2:] - y_insample[:, :-2]).mean(axis=1, keepdims=True)


def huber(e, delta):
    return np.where(np.abs(e) <= delta, e ** 2 / 2, delta * (np.abs(e) - delta / 2))


def tukey(e, c):
    return np.where(np.abs(e) <= c, c ** 2 / 6 * (1 - (1 - (e / c) ** 2) ** 3), c ** 2 / 6)


# name -> (loss, its elements by definition)
POINT = {
    "MAE": (losses.MAE, {}, lambda e: np.abs(e)),
    "MSE": (losses.MSE, {}, lambda e: e ** 2),
    "MAPE": (losses.MAPE, {}, lambda e: np.abs(e) / np.abs(y)),
    "SMAPE": (losses.SMAPE, {}, lambda e: 2 * np.abs(e) / (np.abs(y) + np.abs(y_hat))),
    "MASE": (losses.MASE, {"seasonality": 2}, lambda e: np.abs(e) / scale),
    "HuberLoss": (losses.HuberLoss, {"delta": 0.7}, lambda e: huber(e, 0.7)),
    "TukeyLoss": (losses.TukeyLoss, {"c": 1.3, "normalize": False}, lambda e: tukey(e, 1.3)),
    "QuantileLoss": (losses.QuantileLoss, {"q": 0.3}, lambda e: np.where(e < 0, -0.3 * e, 0.7 * e)),
    "HuberQLoss": (losses.HuberQLoss, {"q": 0.3, "delta": 0.5}, lambda e: np.where(e < 0, 0.3, 0.7) * huber(e, 0.5)),
}
# arguments with which each loss can be made
EXAMPLES = {**{name: options for name, (_, options, _) in POINT.items()}, "RMSE": {}, "relMSE": {}, "MQLoss": {"level": [80]},
            "HuberMQLoss": {"quantiles": [0.1, 0.6], "delta": 0.5}, "IQLoss": {"cos_embedding_dim": 8},
            "DistributionLoss": {"distribution": "StudentT", "return_params": True}, "GMM": {"n_components": 2},
            "PMM": {"n_components": 2, "weighted": True}, "NBMM": {"quantiles": [0.9, 0.5]}}


def average(each, w):
    return (each * w).sum() / w.sum()


@pytest.mark.parametrize("name", POINT)
def test_values_masks_and_weights(name):
    kind, options, definition = POINT[name]
    each = definition(y_hat - y)
    more = {"y_insample": y_insample}
    assert float(kind(**options)(y, y_hat, **more)) == pytest.approx(each.mean())
    assert float(kind(**options)(y, y_hat, mask, **more)) == pytest.approx(average(each, mask))
    w = np.broadcast_to(np.array([1.0, 2.0, 0.0])[None, :, None], y.shape)
    weighted = kind(**options, horizon_weight=w[0, :, 0])
    assert float(weighted(y, y_hat, **more)) == pytest.approx(average(each, w))
    assert float(weighted(y, y_hat, mask, **more)) == pytest.approx(average(each, w * mask))
    per_window = np.arange(4.0)[:, None, None] * mask
    assert float(kind(**options)(y, y_hat, per_window, **more)) == pytest.approx(average(each, per_window))


@pytest.mark.parametrize("name", [*POINT, "RMSE", "relMSE"])
def test_gradients(name):
    kind = losses.LOSSES[name]
    for m in (None, mask):
        assert ndiv.gradcheck(lambda t, m=m: kind(**EXAMPLES[name])(y, t, m, y_insample), y_hat)


@pytest.mark.parametrize("name", [*POINT, "RMSE", "relMSE"])
def test_missing_targets_do_not_reach_the_loss_or_its_gradient(name):
    loss = losses.LOSSES[name](**EXAMPLES[name])
    holes = np.where(mask > 0, y, np.nan)
    t, u = (ndiv.tensor(y_hat, requires_grad=True) for _ in range(2))
    a, b = loss(holes, t, mask, y_insample), loss(y, u, mask, y_insample)
    a.backward()
    b.backward()
    assert float(a) == pytest.approx(float(b))
    np.testing.assert_allclose(t.grad.numpy(), u.grad.numpy())
    assert not t.grad.numpy()[mask == 0].any()


@pytest.mark.parametrize("name", [*POINT, "RMSE", "relMSE"])
def test_a_perfect_forecast_costs_nothing_and_nothing_is_nan(name):
    loss = losses.LOSSES[name](**EXAMPLES[name])
    flat = np.zeros_like(y_insample)
    for target in (np.zeros_like(y), y, 1e6 * y, 1e-12 * y):
        t = ndiv.tensor(target.astype(np.float32), requires_grad=True)
        value = loss(target.astype(np.float32), t, None, flat.astype(np.float32))
        value.backward()
        assert value.dtype == np.float32
        assert float(value) == 0
        assert np.isfinite(t.grad.numpy()).all()


@pytest.mark.parametrize("name", [*POINT, "RMSE"])
def test_nothing_observed_is_a_loss_of_zero_not_nan(name):
    t = ndiv.tensor(y_hat, requires_grad=True)
    value = losses.LOSSES[name](**EXAMPLES[name])(y, t, np.zeros_like(y), y_insample)
    value.backward()
    assert float(value) == 0
    assert not t.grad.numpy().any()


def test_zero_denominators_count_as_zero():
    target = np.array([[[0.0], [2.0]]])
    forecast = np.array([[[5.0], [3.0]]])
    assert float(losses.MAPE()(target, forecast)) == 0.25
    assert float(losses.SMAPE()(np.zeros_like(target), np.zeros_like(target))) == 0
    assert float(losses.SMAPE()(target, forecast)) == pytest.approx((2 + 2 / 5) / 2)
    assert float(losses.MASE(1)(target, forecast, y_insample=np.ones((1, 4, 1)))) == 0


def test_rmse_is_the_root_of_mse():
    for m in (None, mask):
        assert float(losses.RMSE()(y, y_hat, m)) ** 2 == pytest.approx(float(losses.MSE()(y, y_hat, m)))


def test_relmse():
    ratio = float(losses.MSE()(y, y_hat, mask)) / (float(losses.MSE()(y, np.ones_like(y), mask)) + 1e-5)
    assert float(losses.relMSE()(y, y_hat, mask, y_benchmark=np.ones_like(y))) == pytest.approx(ratio)
    naive = np.repeat(y_insample[:, -1:], 3, axis=1)
    assert float(losses.relMSE()(y, naive, y_insample=y_insample)) == pytest.approx(1, rel=1e-4)
    with pytest.raises(ConfigError, match="benchmark"):
        losses.relMSE()(y, y_hat)


def test_tukey_normalizes_by_the_spread_of_each_window():
    for m in (None, mask):
        w = np.ones_like(y) if m is None else m
        n = np.maximum(w.sum(axis=1, keepdims=True), 1)
        centre = (y * w).sum(axis=1, keepdims=True) / n
        sd = np.sqrt((w * (y - centre) ** 2).sum(axis=1, keepdims=True) / n) + 0.01
        assert float(losses.TukeyLoss()(y, y_hat, m)) == pytest.approx(average(tukey((y_hat - y) / sd, 4.685), w))
    far = losses.TukeyLoss(c=2.0, normalize=False)
    assert float(far(y, y + 100)) == float(far(y, y - 1000)) == pytest.approx(4 / 6)


def test_mase_needs_its_window():
    with pytest.raises(ConfigError, match="input window"):
        losses.MASE(1)(y, y_hat)
    with pytest.raises(ShapeError, match="9 steps apart"):
        losses.MASE(9)(y, y_hat, y_insample=y_insample)
    for wrong in (0, 1.5, -1):
        with pytest.raises(ConfigError, match="seasonality"):
            losses.MASE(wrong)


targets = arrays(np.float64, (2, 3, 1), elements=st.floats(-100, 100))


@given(targets, targets, st.sampled_from(["MAE", "MSE", "RMSE", "SMAPE", "HuberLoss"]))
def test_symmetric_losses(a, b, name):
    loss = losses.LOSSES[name]()
    assert float(loss(a, b)) == pytest.approx(float(loss(b, a)))
    assert float(loss(-a, -b)) == pytest.approx(float(loss(a, b)))
    assert float(loss(a, b)) >= 0


@given(targets, targets, st.floats(0.1, 50))
def test_units_of_measure(a, b, k):
    """Relative losses do not see the unit; MAE and RMSE grow with it, MSE with its square."""
    a, b = np.round(a, 6), np.round(b, 6)  # no squares or ratios beyond float64
    for name, power in (("MAE", 1), ("RMSE", 1), ("MSE", 2), ("SMAPE", 0), ("MAPE", 0)):
        loss = losses.LOSSES[name]()
        assert float(loss(k * a, k * b)) == pytest.approx(k ** power * float(loss(a, b)), rel=1e-9, abs=1e-200)


@given(targets, targets)
def test_huber_between_its_limits(a, b):
    assert float(losses.HuberLoss(1e6)(a, b)) == pytest.approx(float(losses.MSE()(a, b)) / 2)
    small = 1e-6
    assert float(losses.HuberLoss(small)(a, b)) == pytest.approx(small * float(losses.MAE()(a, b)), abs=small ** 2)


@given(st.floats(0.1, 10), targets, targets)
def test_a_constant_mask_or_weight_changes_nothing(w, a, b):
    for name in ("MAE", "RMSE", "SMAPE"):
        plain = float(losses.LOSSES[name]()(a, b))
        assert float(losses.LOSSES[name]()(a, b, np.full_like(a, w))) == pytest.approx(plain)
        assert float(losses.LOSSES[name](horizon_weight=[w] * 3)(a, b)) == pytest.approx(plain)


def test_shapes_and_weights_are_checked():
    with pytest.raises(ShapeError, match="y_hat"):
        losses.MAE()(y, y_hat[:, :2])
    with pytest.raises(ShapeError, match="horizon"):
        losses.MAE(horizon_weight=[1, 2])(y, y_hat)
    for wrong in ([-1, 2], [0, 0]):
        with pytest.raises(ConfigError, match="non-negative"):
            losses.MAE(horizon_weight=wrong)
    for bad in (lambda: losses.HuberLoss(0), lambda: losses.TukeyLoss(c=-1), lambda: losses.HuberQLoss(0.5, 0)):
        with pytest.raises(ConfigError, match="positive"):
            bad()


def test_masks_may_be_tensors_booleans_or_narrow():
    expected = float(losses.MAE()(y, y_hat, mask))
    assert float(losses.MAE()(y, y_hat, mask > 0)) == pytest.approx(expected)
    assert float(losses.MAE()(ndiv.tensor(y), ndiv.tensor(y_hat), ndiv.tensor(mask))) == pytest.approx(expected)
    one = mask[:, :, :1]
    assert float(losses.MAE()(y, y_hat, one)) == pytest.approx(float(losses.MAE()(y, y_hat, np.repeat(one, 2, 2))))


@pytest.mark.parametrize("name", losses.LOSSES)
def test_config_round_trip(name):
    for weight in (None, [1, 2, 3]):
        loss = losses.LOSSES[name](**EXAMPLES[name], horizon_weight=weight)
        config = loss.config()
        again = losses.from_config(config)
        assert type(again) is type(loss)
        assert again.config() == config
        assert repr(again) == repr(loss)
        assert (again.output_names, again.outputsize) == (loss.output_names, loss.outputsize)
        if weight is not None:
            np.testing.assert_array_equal(again.horizon_weight, weight)


def test_unknown_loss_is_refused():
    with pytest.raises(ConfigError, match="MSE"):
        losses.from_config({"loss": "MSEE"})


@pytest.mark.parametrize("name", losses.LOSSES)
def test_contract_with_models(name):
    """Every loss: h steps of n * outputsize numbers in, a 0-d loss and len(output_names) columns out."""
    loss = losses.LOSSES[name](**EXAMPLES[name])
    n = 2
    positive = np.abs(y).round() if name in ("PMM", "NBMM") else y
    raw = ndiv.tensor(draw.normal(size=(4, 3, n * loss.outputsize)).astype(np.float32), requires_grad=True)
    loc, width = np.full((4, 1, n), 3, np.float32), np.full((4, 1, n), 2, np.float32)
    value = loss.objective(positive.astype(np.float32), raw, mask.astype(np.float32), y_insample.astype(np.float32), loc, width)
    value.backward()
    assert value.shape == ()
    assert value.dtype == np.float32
    assert raw.grad.shape == raw.shape
    forecast = loss.forecast(raw, loc, width)
    assert isinstance(forecast, np.ndarray)
    assert forecast.shape == (4, 3, n, len(loss.output_names))
    assert forecast.dtype == np.float32
    assert loss.level_mask(n).shape == (n * loss.outputsize,)
    assert list(inspect.signature(loss.__call__).parameters)[:4] == ["y", "y_hat", "mask", "y_insample"]
