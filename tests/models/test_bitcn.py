"""BiTCN: the published cells in NumPy, which way each network looks, and refusals."""

from __future__ import annotations

from math import erf

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError
from ndiv.models import BiTCN
from ndiv.models.convolutional.bitcn import _cells

H, L, C = 3, 11, 4
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s", "t"]}


def small(**options):
    return BiTCN(**{"h": H, "input_size": L, "hidden_size": C, "dropout": 0.0, **options})


def batch(b=3, seed=0):
    draw = np.random.default_rng(seed)
    full = {"insample_y": draw.normal(size=(b, L, 1)), "insample_mask": np.ones((b, L, 1)), "hist_exog": draw.normal(size=(b, L, 1)),
            "futr_exog": draw.normal(size=(b, L + H, 2)), "stat_exog": draw.normal(size=(b, 2))}
    return {k: v.astype(np.float32) for k, v in full.items()}


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def published(m, data):
    """The published cells, and the map to the horizon, in float64."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    linear = lambda x, name: x @ w[f"{name}.weight"].T + w[f"{name}.bias"]  # noqa: E731

    def kernel(name):
        v = w[f"{name}.weight_v"]
        return w[f"{name}.weight_g"] * v / np.sqrt((v ** 2).sum((1, 2), keepdims=True))

    def network(x, net, step):  # x [B, T, C]; step -1 looks back, 1 ahead
        total, steps = 0.0, x.shape[1]
        for i in range(len(getattr(m, net))):
            a, b = kernel(f"{net}.{i}.conv1"), kernel(f"{net}.{i}.conv2")[:, :, 0]
            if step == 1:  # each channel by itself: 4 outputs from one input
                a = np.stack([np.eye(C)[o // 4] * a[o].T for o in range(4 * C)]).transpose(0, 2, 1)  # [4 C, C, 2]
            z = np.zeros((*x.shape[:2], 4 * C)) + w[f"{net}.{i}.conv1.bias"]
            for t in range(steps):
                near, far = (1, 0) if step == -1 else (0, 1)
                z[:, t] += x[:, t] @ a[:, :, near].T
                if 0 <= t + step * 2**i < steps:
                    z[:, t] += x[:, t + step * 2**i] @ a[:, :, far].T
            z = gelu(z) @ b.T + w[f"{net}.{i}.conv2.bias"]
            x, total = x + z[..., :C], total + z[..., C:]
        return total

    x = np.concatenate([data["insample_y"] * data["insample_mask"], data["hist_exog"], np.repeat(data["stat_exog"][:, None], L, 1),
                        data["futr_exog"][:, :L]], 2)
    back = network(linear(x, "lin_hist"), "net_bwd", -1)
    ahead = network(linear(data["futr_exog"], "lin_futr"), "net_fwd", 1)
    joined = np.concatenate([back, ahead[:, :L]], 2).swapaxes(1, 2)  # [B, 2 C, L]
    joined = linear(gelu(linear(joined, "temporal1")), "temporal2").swapaxes(1, 2)  # [B, h, 2 C]
    return linear(np.concatenate([joined, ahead[:, L:]], 2), "out")


def test_paper_is_the_published_network():
    m, data = small(**EXOG), batch()
    data["insample_mask"][0, 3:6] = 0
    np.testing.assert_allclose(m.eval().forward(data).numpy(), published(m, data), rtol=2e-5, atol=2e-6)


def test_as_many_cells_as_steps_need():
    assert [_cells(n) for n in (2, 3, 4, 5, 8, 9, 96, 120)] == [1, 2, 2, 3, 3, 4, 7, 7]
    m = small(**EXOG)
    assert len(m.net_bwd) == 4 and len(m.net_fwd) == 4


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_which_way_the_networks_look(variant):
    m = small(variant=variant, **EXOG).astype(np.float64).eval()
    x = np.random.default_rng(0).normal(size=(1, L + H, 2))
    for net, enter, later in ((m.net_fwd, m.lin_futr, False), (m.net_bwd, ndiv.nn.Linear(2, C).astype(np.float64), True)):
        base = m._outputs(enter, net, ndiv.tensor(x)).numpy()
        for t in range(L + H):
            other = x.copy()
            other[:, t] += 1
            moved = (m._outputs(enter, net, ndiv.tensor(other)).numpy() != base).any((0, 1))
            side = np.arange(L + H) >= t if later else np.arange(L + H) <= t
            assert (moved <= side).all() and moved[t]
    whole = ndiv.tensor(x[:, :L, :1], requires_grad=True)
    small(variant=variant).astype(np.float64).eval().forward({"insample_y": whole}).sum().backward()
    assert (whole.grad.numpy() != 0).all()


def test_only_known_covariates_make_a_forward_network():
    names = {k.split(".")[0] for k in small().state_dict()}
    assert names == {"lin_hist", "net_bwd", "temporal1", "temporal2", "out"}


def test_missing_values_are_masked():
    m, data = small(**EXOG), batch()
    data["insample_mask"][:, 5:9] = 0
    other = {**data, "insample_y": data["insample_y"] + 100 * (1 - data["insample_mask"])}
    np.testing.assert_array_equal(m.forecast(data), m.forecast(other))


@pytest.mark.parametrize(("options", "text"), [({"hidden_size": 0}, "hidden_size"), ({"dropout": 1.0}, "dropout"),
                                               ({"dropout": -0.1}, "dropout"), ({"input_size": 1}, "input_size 1")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        small(**options)
    assert error.value.code == "E0010" and error.value.hint
