"""Losses: values, masks, horizon weights, gradients."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError, ShapeError

draw = np.random.default_rng(0)
y, y_hat = draw.normal(size=(4, 3, 2)), draw.normal(size=(4, 3, 2))
mask = (draw.uniform(size=(4, 3, 2)) > 0.4).astype(float)
ELEMENT = {"MAE": np.abs, "MSE": np.square}


@pytest.mark.parametrize("name", losses.LOSSES)
def test_values(name):
    each = ELEMENT[name](y_hat - y)
    loss = losses.LOSSES[name]
    assert float(loss()(y, y_hat)) == pytest.approx(each.mean())
    assert float(loss()(y, y_hat, mask)) == pytest.approx((each * mask).sum() / mask.sum())
    w = np.array([1.0, 2.0, 0.0])
    full = np.broadcast_to(w[None, :, None], y.shape)
    assert float(loss(horizon_weight=w)(y, y_hat)) == pytest.approx((each * full).sum() / full.sum())
    assert float(loss(horizon_weight=w)(y, y_hat, mask)) == pytest.approx((each * full * mask).sum() / (full * mask).sum())


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradients(name):
    assert ndiv.gradcheck(lambda t: losses.LOSSES[name]()(y, t, mask), y_hat)


def test_nothing_observed_is_a_loss_of_zero_not_nan():
    assert float(losses.MAE()(y, y_hat, np.zeros_like(y))) == 0.0


def test_shapes_and_weights_are_checked():
    with pytest.raises(ShapeError, match="y_hat"):
        losses.MAE()(y, y_hat[:, :2])
    with pytest.raises(ShapeError, match="horizon"):
        losses.MAE(horizon_weight=[1, 2])(y, y_hat)
    with pytest.raises(ConfigError, match="non-negative"):
        losses.MAE(horizon_weight=[-1, 2])


def test_config_round_trip():
    loss = losses.from_config(losses.MSE(horizon_weight=[1, 2, 3]).config())
    assert isinstance(loss, losses.MSE)
    np.testing.assert_array_equal(loss.horizon_weight, [1, 2, 3])
    with pytest.raises(ConfigError, match="MSE"):
        losses.from_config({"loss": "MSEE"})
