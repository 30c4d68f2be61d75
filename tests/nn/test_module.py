"""Module: registration, names, state, modes."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv import nn
from ndiv.errors import ConfigError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 4, activation="relu")
        self.rest = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))
        self.register_buffer("seen", np.zeros(1))

    def forward(self, x):
        return self.rest(self.a(x))


def test_names_are_pytorchs():
    assert [n for n, _ in Net().named_parameters()] == ["a.weight", "a.bias", "rest.1.weight", "rest.1.bias"]
    assert set(Net().state_dict()) == {"a.weight", "a.bias", "rest.1.weight", "rest.1.bias", "seen"}


def test_shared_parameters_count_once():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3


def test_state_round_trip_is_exact_and_copies():
    ndiv.manual_seed(1)
    one, two = Net(), Net()
    state = one.state_dict()
    two.load_state_dict(state)
    state["a.weight"][:] = 0
    for (_, p), (_, q) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert two.a.weight.numpy().any()


def test_a_state_that_does_not_fit_changes_nothing():
    net = Net()
    before = net.state_dict()
    wrong = {**before, "a.weight": np.zeros((4, 5))}
    with pytest.raises(ConfigError, match=r"a.weight has shape \[4, 5\]"):
        net.load_state_dict(wrong)
    with pytest.raises(ConfigError, match="missing"):
        net.load_state_dict({k: v for k, v in before.items() if k != "a.bias"})
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_training_mode_reaches_dropout():
    net, x = Net(), ndiv.tensor(np.ones((64, 3), np.float32))
    net.eval()
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())
    net.train()
    assert not np.array_equal(net(x).numpy(), net(x).numpy())


def test_replacing_an_attribute_replaces_its_parameters():
    net = Net()
    net.a = nn.Linear(3, 4, bias=False)
    assert [n for n, _ in net.named_parameters()] == ["a.weight", "rest.1.weight", "rest.1.bias"]


@pytest.mark.parametrize("make", [lambda: nn.Linear(0, 3), lambda: nn.Linear(3, 2.5), lambda: nn.Dropout(1.0),
                                  lambda: nn.Dropout(-0.1), lambda: nn.LayerNorm(0), lambda: nn.activation("ReLLU")])
def test_bad_arguments(make):
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.code == "E0010"


@pytest.mark.parametrize("name", list(nn.ACTIVATION_NAMES))
def test_every_activation_has_a_module_and_a_fused_form(name):
    if name == "Linear":
        return
    module = getattr(nn, name)()
    x = ndiv.tensor(np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4))
    fused = ndiv.bias_act(x, np.zeros(4, np.float32), nn.activation(name))
    np.testing.assert_allclose(module(x).numpy(), fused.numpy(), rtol=1e-6, atol=1e-7)


def test_linear_starts_like_pytorch():
    ndiv.manual_seed(0)
    layer = nn.Linear(400, 300)
    bound = 1 / np.sqrt(400)
    for values in (layer.weight.numpy(), layer.bias.numpy()):
        assert np.abs(values).max() <= bound
        assert abs(values.std() - bound / np.sqrt(3)) < 0.1 * bound


def test_layer_norm_layer():
    x = ndiv.tensor(np.random.default_rng(0).normal(3, 2, (5, 8)).astype(np.float32))
    y = nn.LayerNorm(8)(x).numpy()
    np.testing.assert_allclose(y.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(1), 1, atol=1e-4)


def test_prelu_trains_its_slope():
    m = nn.PReLU()
    m(ndiv.tensor([-2.0, 3.0])).sum().backward()
    assert float(m.weight.grad) == -2.0
