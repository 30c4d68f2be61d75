"""TCN and BiTCN beside neuralforecast's, over random configurations: converted weights give its forecasts and gradients."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_models import EXOG, B, H, L, batch

import ndiv
from ndiv.models import get_model

peers = pytest.importorskip("neuralforecast.models")  # the folder has its own environment; see README.md
torch = pytest.importorskip("torch")

ACTIVATIONS = ["ReLU", "Tanh", "GELU", "SELU", "LeakyReLU", "Sigmoid", "SiLU", "ELU", "Softplus"]
LOSSES = ["point", "quantiles", "distribution"]


def losses(kind):
    """(neuralforecast's, ndiv's)"""
    from neuralforecast.losses import pytorch as theirs

    return {"point": lambda: (theirs.MAE(), ndiv.losses.MAE()),
            "quantiles": lambda: (theirs.MQLoss(level=[80, 95]), ndiv.losses.MQLoss(level=[80, 95])),
            "distribution": lambda: (theirs.DistributionLoss("StudentT", level=[80]),
                                     ndiv.losses.DistributionLoss("StudentT", level=[80]))}[kind]()


def configuration(name, seed):
    """(h, input_size, arguments), drawn over all arguments of the architecture (the peer fails with a kernel of 1)."""
    draw = np.random.default_rng([seed, 5])
    one = lambda *values: values[draw.integers(len(values))]  # noqa: E731
    options = {key: value for key, value in EXOG.items() if draw.random() < 0.5}
    if name == "TCN":
        options |= {"kernel_size": int(draw.integers(2, 6)), "dilations": [int(d) for d in draw.integers(1, 9, draw.integers(1, 5))],
                    "encoder_hidden_size": int(draw.integers(1, 20)), "encoder_activation": one(*ACTIVATIONS),
                    "context_size": int(draw.integers(1, 20)), "decoder_hidden_size": int(draw.integers(1, 20)),
                    "decoder_layers": int(draw.integers(1, 5)), "decoder_activation": one(None, *ACTIVATIONS)}
        if options["decoder_layers"] == 1:
            options["decoder_activation"] = None
    else:
        options |= {"hidden_size": int(draw.integers(1, 20)), "dropout": float(draw.random() * 0.9)}
    return int(draw.integers(1, 10)), int(draw.integers(2, 40)), options


def data(seed, h, length, options):
    """`peer_models.batch` with other lengths, and only the covariates that the model takes."""
    full = batch(seed)
    draw = np.random.default_rng([seed, 6])
    full["insample_y"] = draw.normal(size=(B, length, 1)).astype(np.float32)
    full["insample_mask"] = np.ones((B, length, 1), np.float32)
    full["hist_exog"] = draw.normal(size=(B, length, full["hist_exog"].shape[2])).astype(np.float32)
    full["futr_exog"] = draw.normal(size=(B, length + h, full["futr_exog"].shape[2])).astype(np.float32)
    return {k: v for k, v in full.items() if not k.endswith("exog") or options.get(f"{k}_list")}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["TCN", "BiTCN"])
def test_forecasts_and_gradients(name, seed, loss):
    h, length, options = configuration(name, seed)
    theirs, ours = losses(loss)
    torch.manual_seed(seed)
    peer = getattr(peers, name)(h=h, input_size=length, loss=theirs, max_steps=1, **options).eval()
    model = get_model(name)(h=h, input_size=length, loss=ours, variant="compat", **options).eval()
    convert = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert
    model.load_state_dict(convert({k: v.numpy() for k, v in peer.state_dict().items()}, model))

    given = data(seed, h, length, options)
    inputs = {k: torch.tensor(v) for k, v in given.items()}
    for key in ("hist_exog", "futr_exog", "stat_exog"):
        inputs.setdefault(key, None)
    wanted = peer(inputs)
    got = model.forward(given)
    expected = wanted.detach().numpy().reshape(got.shape)
    assert np.abs(got.numpy() - expected).max() <= 2e-5 * np.abs(expected).max()

    side = np.random.default_rng(seed).normal(size=expected.shape).astype(np.float32)  # a random projection
    (wanted.reshape(got.shape) * torch.tensor(side)).sum().backward()
    (got * ndiv.tensor(side)).sum().backward()
    grads = {n: p.grad.numpy() for n, p in peer.named_parameters() if p.grad is not None}
    grads |= {n: np.zeros(p.shape, np.float32) for n, p in peer.named_parameters() if p.grad is None}
    for key, grad in convert(grads, model).items():
        found = dict(model.named_parameters())[key].grad.numpy()
        assert np.abs(found - grad).max() <= 1e-4 * max(np.abs(grad).max(), 1e-30), key


@pytest.mark.parametrize("name", ["TCN", "BiTCN"])
def test_each_array_is_used_once(name):
    peer = getattr(peers, name)(h=H, input_size=L, max_steps=1, **EXOG)
    state = {k: np.full(v.shape, i, np.float32) for i, (k, v) in enumerate(peer.state_dict().items())
             if "causalconv" not in k and "loss" not in k}
    model = get_model(name)(h=H, input_size=L, variant="compat", **EXOG)
    found = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert(state, model)
    assert sorted(v.flat[0] for v in found.values()) == sorted(v.flat[0] for v in state.values())
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_a_file_may_name_convolutions_otherwise():
    from ndiv.interop.peers.tcn import convert

    state = {k: v.numpy() for k, v in peers.TCN(h=H, input_size=L, max_steps=1).state_dict().items()}
    model = get_model("TCN")(h=H, input_size=L, variant="compat")
    renamed = {k: v for k, v in state.items() if ".conv." not in k}
    for key, value in convert(state, model).items():
        np.testing.assert_array_equal(convert(renamed, model)[key], value)
