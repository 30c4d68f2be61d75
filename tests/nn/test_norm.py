"""Batch normalization layers: running statistics, modes, state, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.norm import BatchNorm1d, BatchNorm2d


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 71])).normal(3, 2, shape).astype(np.float32)


def test_training_normalizes_and_eval_uses_what_was_seen():
    layer = BatchNorm1d(3)
    for step in range(200):
        y = layer(ndiv.tensor(draw(32, 3, 4, seed=step))).numpy()
    np.testing.assert_allclose(y.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(layer.running_mean, 3, atol=0.2)
    np.testing.assert_allclose(layer.running_var, 4, atol=0.5)
    assert layer.num_batches_tracked == 200
    layer.eval()
    before = layer.state_dict()
    x = draw(1, 3, 4, seed=999)
    scale = np.sqrt(layer.running_var + 1e-5)[:, None]
    np.testing.assert_allclose(layer(ndiv.tensor(x)).numpy(), (x - layer.running_mean[:, None]) / scale, rtol=1e-4, atol=1e-5)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_momentum_none_is_the_plain_average():
    layer = BatchNorm2d(2, momentum=None)
    batches = [draw(5, 2, 3, 2, seed=k) for k in range(4)]
    for x in batches:
        layer(ndiv.tensor(x))
    np.testing.assert_allclose(layer.running_mean, np.mean([x.mean((0, 2, 3)) for x in batches], 0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, np.mean([x.var((0, 2, 3), ddof=1) for x in batches], 0), rtol=1e-5)


def test_state_has_pytorchs_names_and_round_trips():
    layer = BatchNorm1d(3)
    layer(ndiv.tensor(draw(8, 3)))
    state = layer.state_dict()
    assert set(state) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    other = BatchNorm1d(3)
    other.load_state_dict(state)
    layer(ndiv.tensor(draw(8, 3, seed=1)))  # moves its own statistics, not the copies
    np.testing.assert_array_equal(other.running_mean, state["running_mean"])
    assert other.num_batches_tracked == 1
    assert set(BatchNorm1d(3, affine=False, track_running_stats=False).state_dict()) == set()


def test_without_running_statistics_the_batch_decides_in_both_modes():
    layer, x = BatchNorm1d(3, track_running_stats=False), ndiv.tensor(draw(8, 3))
    a = layer(x).numpy()
    np.testing.assert_array_equal(layer.eval()(x).numpy(), a)


def test_weight_and_bias_are_trained():
    layer = BatchNorm1d(3)
    (layer(ndiv.tensor(draw(8, 3))) * draw(8, 3, seed=1)).sum().backward()
    assert np.abs(layer.weight.grad.numpy()).min() > 0
    np.testing.assert_allclose(layer.bias.grad.numpy(), draw(8, 3, seed=1).sum(0), rtol=1e-5)


def test_refusals():
    with pytest.raises(ConfigError):
        BatchNorm1d(0)
    with pytest.raises(ShapeError, match=r"BatchNorm1d: x has shape \[2, 4\] and the layer 3 features"):
        BatchNorm1d(3)(ndiv.tensor(draw(2, 4)))
    with pytest.raises(ShapeError, match="BatchNorm2d"):
        BatchNorm2d(3)(ndiv.tensor(draw(2, 3)))
    with pytest.raises(ShapeError, match="one value a channel"):
        BatchNorm1d(3)(ndiv.tensor(draw(1, 3)))
