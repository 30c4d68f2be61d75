"""Weight normalization and the vector of all parameters."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv import nn, optim
from ndiv.errors import ConfigError
from ndiv.nn.utils import parameters_to_vector, remove_weight_norm, vector_to_parameters, weight_norm


class Kernel(nn.Module):
    """A weight of any shape, read once a call."""

    def __init__(self, shape, seed=0):
        super().__init__()
        self.weight = nn.Parameter(np.random.default_rng(seed).normal(size=shape))
        self.bias = nn.Parameter(np.zeros(shape[:1]))

    def forward(self, x):
        return (self.weight * x).sum()


def lengths(v, dim):
    if dim is None:
        return np.sqrt((v**2).sum())
    return np.sqrt((v**2).sum(axis=tuple(i for i in range(v.ndim) if i != dim % v.ndim), keepdims=True))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_values_shapes_and_gradients(shape, data):
    dim = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    m = Kernel(tuple(shape))
    before, x = m.weight.numpy().copy(), np.random.default_rng(1).normal(size=shape)
    assert weight_norm(m, dim=dim) is m
    assert list(m.state_dict()) == ["bias", "weight_g", "weight_v"]
    np.testing.assert_array_equal(m.weight_v.numpy(), before)
    np.testing.assert_array_equal(m.weight_g.numpy(), lengths(before, dim))
    np.testing.assert_allclose(m.weight.numpy(), before, rtol=1e-15)
    m(x).backward()
    norm = lengths(before, dim)
    unit = before / norm
    along = x * unit  # the gradient of y = sum x w with respect to g, summed where g is shared; w to v: project and scale
    axes = tuple(range(len(shape))) if dim is None else tuple(i for i in range(len(shape)) if i != dim % len(shape))
    grad_g = along.sum(axis=axes, keepdims=dim is not None)
    np.testing.assert_allclose(m.weight_g.grad.numpy(), grad_g, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(m.weight_v.grad.numpy(), x - grad_g * unit, rtol=1e-12, atol=1e-12)  # g / ||v|| is 1 here


def test_each_call_reads_the_parameters_anew():
    layer = weight_norm(nn.Linear(4, 3)).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(5, 4))
    bias = layer.bias.numpy()
    layer.weight_v.copy_(layer.weight_v.numpy() * 7.0)  # a length that does not count
    first = layer(ndiv.tensor(x)).numpy() - bias
    layer.weight_g.copy_(layer.weight_g.numpy() * 2.0)
    np.testing.assert_allclose(layer(ndiv.tensor(x)).numpy() - bias, 2 * first, rtol=1e-12)
    np.testing.assert_allclose(lengths(layer.weight.numpy(), 0), layer.weight_g.numpy(), rtol=1e-12)


def test_derivatives_of_derivatives():
    m = weight_norm(Kernel((3, 2)))
    x = np.random.default_rng(2).normal(size=(3, 2))

    def gradient():
        m.weight_v.grad = None
        m(x).backward(create_graph=True)
        return m.weight_v.grad

    first, start, eps = gradient(), m.weight_v.numpy().copy(), 1e-5
    m.weight_v.grad = None
    (first * x).sum().backward()
    second, slopes = m.weight_v.grad.numpy(), []
    for sign in (1, -1):
        m.weight_v.copy_(start + sign * eps * x)
        slopes.append(gradient().numpy())
    # central differences: their own error is of the order of eps^2
    np.testing.assert_allclose(second, (slopes[0] - slopes[1]) / (2 * eps), rtol=1e-7, atol=1e-8)


def test_training_moves_length_and_direction():
    ndiv.manual_seed(0)
    layer = weight_norm(nn.Linear(4, 3))
    start = {k: v.copy() for k, v in layer.state_dict().items()}
    opt = optim.AdamW(layer.parameters(), lr=0.01)
    x, y = np.ones((8, 4), np.float32), np.ones((8, 3), np.float32)
    losses = []
    for _ in range(30):
        opt.zero_grad()
        loss = ((layer(ndiv.tensor(x)) - y) * (layer(ndiv.tensor(x)) - y)).mean()
        loss.backward()
        opt.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert all((layer.state_dict()[k] != v).any() for k, v in start.items())


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_on_their_own(how):
    layer = weight_norm(nn.Linear(4, 3))
    other = how(layer)
    assert type(other) is type(layer)
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())
    other.weight_g.copy_(other.weight_g.numpy() * 0)
    assert layer.weight.numpy().all()
    assert not other.weight.numpy().any()


def test_it_is_still_the_layer_it_was():
    layer = nn.Linear(4, 3)
    text = repr(layer)
    weight_norm(layer)
    assert isinstance(layer, nn.Linear)
    assert repr(layer) == text
    net = nn.Sequential(layer, nn.ReLU())
    assert [n for n, _ in net.named_parameters()] == ["0.bias", "0.weight_g", "0.weight_v"]
    other = nn.Sequential(weight_norm(nn.Linear(4, 3)), nn.ReLU())
    other.load_state_dict(net.state_dict())
    x = ndiv.tensor(np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(other(x).numpy(), net(x).numpy())


def test_recorded_lines_are_the_users():
    layer = weight_norm(nn.Linear(4, 3))
    y = layer(ndiv.tensor(np.ones((2, 4), np.float32)))
    assert {node.line.rpartition(":")[0] for node in ndiv.Tape.of(y).nodes} == {__file__}


def test_removal_restores_a_plain_parameter():
    layer = nn.Linear(4, 3).astype(np.float64)
    before, kind = layer.weight.numpy().copy(), type(layer)
    remove_weight_norm(weight_norm(layer))
    assert type(layer) is kind
    assert isinstance(layer.weight, nn.Parameter)
    assert set(layer.state_dict()) == {"weight", "bias"}
    np.testing.assert_allclose(layer.weight.numpy(), before, rtol=1e-15)
    assert layer.weight.is_leaf
    assert layer.weight.requires_grad


def test_two_weights_of_one_module():
    m = Kernel((3, 2))
    m.second = nn.Parameter(np.ones((2, 2)))
    weight_norm(weight_norm(m, "weight"), "second", dim=None)
    assert m.second_g.numel() == 1
    assert set(m.state_dict()) == {"bias", "weight_g", "weight_v", "second_g", "second_v"}
    remove_weight_norm(m, "weight")
    np.testing.assert_allclose(m.second.numpy(), 1.0)
    assert isinstance(m.weight, nn.Parameter)
    remove_weight_norm(m, "second")
    assert type(m) is Kernel


def test_frozen_parameters_stay_frozen():
    m = Kernel((3, 2))
    m.weight.requires_grad_(False)
    weight_norm(m)
    assert not m.weight_g.requires_grad
    assert not m.weight.requires_grad
    assert not remove_weight_norm(m).weight.requires_grad


def refusing(change=lambda m: None, **options):
    m = Kernel((3, 2))
    change(m)
    return weight_norm(m, **options)


@pytest.mark.parametrize(("call", "match"), [
    (lambda: weight_norm(refusing()), "normalized already"), (lambda: refusing(name="wieght"), "no parameter 'wieght'"),
    (lambda: refusing(dim=2), "2 axes"), (lambda: refusing(lambda m: m.weight.copy_(np.eye(3, 2))), "no direction"),
    (lambda: remove_weight_norm(Kernel((3, 2))), "not normalized"),
    (lambda: setattr(refusing(), "weight", nn.Parameter(np.ones((3, 2)))), "worked out"),
    (lambda: parameters_to_vector([]), "no parameters"),
    (lambda: vector_to_parameters(np.ones(3), Kernel((3, 2)).parameters()), "9 values"),
])
def test_bad_calls(call, match):
    with pytest.raises(ConfigError, match=match) as error:
        call()
    assert error.value.code == "E0010"


def test_other_missing_attributes_are_missing():
    with pytest.raises(AttributeError, match="no attribute 'height'"):
        refusing().height  # noqa: B018


def test_vector_of_parameters_there_and_back():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).astype(np.float64)
    params = list(net.parameters())
    vector = parameters_to_vector(params)
    assert vector.shape == (4 * 3 + 3 + 3 * 2 + 2,)
    weights = np.arange(float(vector.numel()))
    (vector * weights).sum().backward()
    np.testing.assert_array_equal(np.concatenate([p.grad.numpy().ravel() for p in params]), weights)
    vector_to_parameters(ndiv.tensor(weights), params)
    np.testing.assert_array_equal(parameters_to_vector(params).numpy(), weights)
    with pytest.raises(ConfigError):
        vector_to_parameters(weights[:-1], params)
    np.testing.assert_array_equal(parameters_to_vector(params).numpy(), weights)
