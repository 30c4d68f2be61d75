"""Convolution and pooling layers: names, shapes, padding modes, initial values, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.autograd.ops.conv import conv1d
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.conv import AvgPool1d, AvgPool2d, Conv1d, Conv2d, ConvTranspose1d, MaxPool1d, MaxPool2d


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 61])).normal(size=shape).astype(np.float32)


def test_parameters_have_pytorchs_names_and_shapes():
    shapes = {n: p.shape for n, p in Conv1d(4, 6, 3, groups=2).named_parameters()}
    assert shapes == {"weight": (6, 2, 3), "bias": (6,)}
    assert {n: p.shape for n, p in Conv2d(4, 6, (3, 2), bias=False).named_parameters()} == {"weight": (6, 4, 3, 2)}
    assert ConvTranspose1d(4, 6, 3, groups=2).weight.shape == (4, 3, 3)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [2, "same"])
def test_padding_modes_against_numpy(mode, padding):
    ndiv.manual_seed(1)
    layer = Conv1d(2, 3, 4, padding=padding, padding_mode=mode)
    x = draw(2, 2, 9)
    sides = (1, 2) if padding == "same" else (2, 2)
    numpys = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    expected = conv1d(np.pad(x, ((0, 0), (0, 0), sides), mode=numpys), layer.weight, layer.bias)
    np.testing.assert_allclose(layer(ndiv.tensor(x)).numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_padding_modes_over_two_axes():
    layer = Conv2d(2, 3, (3, 5), padding=(1, 2), padding_mode="circular")
    x = draw(2, 2, 6, 7)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)), mode="wrap")
    plain = Conv2d(2, 3, (3, 5))
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(layer(ndiv.tensor(x)).numpy(), plain(ndiv.tensor(padded)).numpy(), rtol=1e-5, atol=1e-6)


def test_a_causal_stack_does_not_look_ahead():
    """Padding on both sides, and the end cut off: how a temporal convolutional network reads the past only."""
    layer = Conv1d(1, 1, 3, padding=4, dilation=2)
    x = draw(1, 1, 12)
    later = x.copy()
    later[..., 7:] += 1
    a, b = (layer(ndiv.tensor(v)).numpy()[..., :12] for v in (x, later))
    np.testing.assert_array_equal(a[..., :7], b[..., :7])
    assert np.abs(a[..., 7:] - b[..., 7:]).min() > 0


def test_initial_values():
    ndiv.manual_seed(0)
    for layer, fan_in in [(Conv1d(8, 200, 5, groups=2), 20), (Conv2d(4, 100, 3), 36), (ConvTranspose1d(4, 200, 5), 1000)]:
        bound = 1 / np.sqrt(fan_in)
        for p in (layer.weight, layer.bias):
            assert bound * 0.9 < np.abs(p.numpy()).max() <= bound


def test_pooling_layers():
    x = ndiv.tensor(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4))
    np.testing.assert_array_equal(MaxPool2d((3, 2))(x).numpy().ravel(), [9, 11, 21, 23])
    np.testing.assert_array_equal(AvgPool2d((3, 2))(x).numpy().ravel(), [4.5, 6.5, 16.5, 18.5])
    np.testing.assert_array_equal(MaxPool1d(4, return_indices=True)(x)[1].numpy(), np.full((1, 2, 3, 1), 3))
    line = ndiv.tensor([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(AvgPool1d(2, 2, 1)(line).numpy(), [[0.5, 2.5]])
    np.testing.assert_array_equal(AvgPool1d(2, 2, 1, count_include_pad=False)(line).numpy(), [[1.0, 2.5]])
    np.testing.assert_array_equal(MaxPool1d(2, ceil_mode=True)(line).numpy(), [[2.0, 3.0]])


@pytest.mark.parametrize("make", [
    lambda: Conv1d(0, 3, 2), lambda: Conv1d(3, 4, 2, groups=2), lambda: Conv1d(4, 3, 2, groups=2), lambda: Conv1d(3, 4, 0),
    lambda: Conv1d(3, 4, (2, 2)), lambda: Conv2d(3, 4, (2, 2, 2)), lambda: Conv1d(3, 4, 2, padding=-1),
    lambda: Conv1d(3, 4, 2, padding="sane"), lambda: Conv1d(3, 4, 2, stride=2, padding="same"),
    lambda: Conv1d(3, 4, 2, padding_mode="refelct"), lambda: MaxPool1d(0), lambda: AvgPool2d((2, 2, 2))])
def test_bad_arguments(make):
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.hint


def test_a_wrong_number_of_channels_names_both():
    with pytest.raises(ShapeError, match="x has 5 channels and the weight takes 3"):
        Conv1d(3, 4, 2)(ndiv.tensor(draw(2, 5, 9)))
