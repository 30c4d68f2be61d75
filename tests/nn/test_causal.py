"""Causal convolution: against its definition, which inputs it sees, the latest outputs alone, whole channels dropped."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError
from ndiv.nn import CausalConv1d, Conv1d, Dropout1d
from ndiv.nn.utils import weight_norm


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 62])).normal(size=shape)


def by_definition(layer, x):
    w, y = layer.weight.numpy().astype(np.float64), np.zeros((len(x), layer.out_channels, x.shape[2]))
    (k,), (d,) = layer.kernel_size, layer.dilation
    per = layer.out_channels // layer.groups
    for o in range(layer.out_channels):
        first = o // per * (layer.in_channels // layer.groups)
        for t in range(x.shape[2]):
            for c in range(w.shape[1]):
                for j in range(k):
                    at = t - d * (k - 1 - j) if layer.direction == "backward" else t + d * j
                    if 0 <= at < x.shape[2]:
                        y[:, o, t] += w[o, c, j] * x[:, first + c, at]
    return y if layer.bias is None else y + layer.bias.numpy()[:, None]


@pytest.mark.parametrize("direction", ["backward", "forward"])
@pytest.mark.parametrize(("kernel", "dilation", "groups", "bias"), [(2, 1, 1, True), (3, 2, 2, True), (1, 1, 1, False), (2, 9, 1, True)])
def test_against_the_definition(direction, kernel, dilation, groups, bias):
    ndiv.manual_seed(0)
    layer, x = CausalConv1d(4, 6, kernel, dilation, groups, bias, direction), draw(2, 4, 7)
    expected = by_definition(layer, x)
    np.testing.assert_allclose(layer(ndiv.tensor(x.astype(np.float32))).numpy(), expected, rtol=1e-5, atol=1e-5)
    for last in range(1, 8):
        found = layer(ndiv.tensor(x.astype(np.float32)), last).numpy()
        np.testing.assert_allclose(found, expected[..., -last:], rtol=1e-5, atol=1e-5)
        if direction == "backward":
            some = ndiv.tensor(x[..., -layer.history(last):].astype(np.float32))
            np.testing.assert_array_equal(layer(some, last).numpy(), found)


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_gradients(direction):
    ndiv.manual_seed(0)
    layer = weight_norm(CausalConv1d(2, 3, 2, 2, direction=direction)).astype(np.float64)
    assert gradcheck(lambda x: layer(x, 4), draw(2, 2, 6))
    assert gradcheck(lambda x: layer(x), draw(2, 2, 6))


def test_parameters_are_those_of_a_convolution():
    ndiv.manual_seed(3)
    a = CausalConv1d(4, 6, 3, 2)
    ndiv.manual_seed(3)
    b = Conv1d(4, 6, 3, dilation=2)
    assert {n: p.tobytes() for n, p in a.state_dict().items()} == {n: p.tobytes() for n, p in b.state_dict().items()}
    assert "direction='backward'" in repr(a)


def test_refusals():
    with pytest.raises(ConfigError, match="backwards") as error:
        CausalConv1d(1, 1, 2, direction="backwards")
    assert "'backward'" in error.value.hint
    with pytest.raises(ConfigError, match="kernel_size"):
        CausalConv1d(1, 1, 0)


def test_whole_channels_are_dropped():
    ndiv.manual_seed(0)
    layer, x = Dropout1d(0.25), ndiv.tensor(draw(200, 50, 3).astype(np.float32))
    y = layer(x).numpy()
    kept = (y != 0).all(2)
    assert (kept | (y == 0).all(2)).all()
    np.testing.assert_allclose(y[kept], x.numpy()[kept] / 0.75, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 0.02
    assert layer.eval()(x) is x and Dropout1d(0.0)(x) is x


def test_a_plan_drops_other_channels_at_each_run():
    layer, x = Dropout1d(0.5), np.ones((4, 64, 3), np.float32)
    f = ndiv.compile(layer.forward)
    runs = [f(x).numpy() for _ in range(5)]
    assert all(((y == y[..., :1]).all() and 0.3 < (y != 0).mean() < 0.7) for y in runs)
    assert len({y.tobytes() for y in runs}) == 5
