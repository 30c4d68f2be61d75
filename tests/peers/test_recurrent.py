"""RNN, LSTM and GRU beside neuralforecast's: forecasts and gradients from the same weights, direct and recursive."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from ndiv import losses
from ndiv.models import get_model

peers = pytest.importorskip("neuralforecast.models")  # the folder has its own environment; see README.md

import torch  # noqa: E402
from neuralforecast.losses import pytorch as peer_losses  # noqa: E402

LOSSES = {"MAE": (losses.MAE, peer_losses.MAE), "MQLoss": (lambda: losses.MQLoss(level=[80]), lambda: peer_losses.MQLoss(level=[80])),
          "Normal": (lambda: losses.DistributionLoss("Normal"), lambda: peer_losses.DistributionLoss("Normal")),
          "StudentT": (lambda: losses.DistributionLoss("StudentT"), lambda: peer_losses.DistributionLoss("StudentT"))}
COVARIATES = [(), ("futr",), ("hist",), ("stat",), ("futr", "hist"), ("futr", "hist", "stat")]
NAMES = ["RNN", "LSTM", "GRU"]


def configuration(seed):
    draw = np.random.default_rng(seed)

    def pick(*values):
        return values[draw.integers(len(values))]

    options = {"h": pick(1, 3, 6), "input_size": pick(4, 12, 20), "encoder_n_layers": pick(1, 2, 3), "encoder_hidden_size": pick(1, 5, 16),
               "encoder_bias": pick(True, True, False), "encoder_dropout": pick(0.0, 0.3), "decoder_hidden_size": pick(1, 4, 9),
               "decoder_layers": pick(1, 2, 3), "decoder_activation": pick(None, "Tanh", "GELU", "SELU"), "h_train": pick(1, 2, 6)}
    options |= {f"{kind}_exog_list": [f"{kind}{i}" for i in range(pick(1, 2))] for kind in COVARIATES[seed % len(COVARIATES)]}
    return options, draw


def pair(name, seed, loss, **more):
    """Both models, with the same weights; the covariates' widths, and random numbers."""
    options, draw = configuration(seed)
    options |= more
    if options.get("recurrent") and name == "LSTM":
        options["encoder_hidden_size"] += 5  # PyTorch projects to less than the width only
    own, other = LOSSES[loss]
    torch.manual_seed(seed)
    peer = getattr(peers, name)(**options, loss=other(), max_steps=1, scaler_type="identity").eval()
    model = get_model(name)(**options, loss=own(), variant="compat", scaler_type="identity").eval()
    state = {k: v.numpy() for k, v in peer.state_dict().items() if "loss" not in k and not k.startswith("scaler.")}
    converted = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert(state, model)
    assert len(converted) == len(state) == len(list(model.parameters()))
    model.load_state_dict(converted)
    return peer, model, options, draw


def windows(model, options, draw, steps, b=5):
    """Values and covariates over ``steps`` steps, float32."""
    data = {"y": draw.normal(1, 1, (b, steps, 1))}
    for kind, shape in (("futr", (b, steps)), ("hist", (b, steps)), ("stat", (b,))):
        if f"{kind}_exog_list" in options:
            data[kind] = draw.normal(size=(*shape, len(options[f"{kind}_exog_list"])))
    return {k: v.astype(np.float32) for k, v in data.items()}


def ours(model, data):
    """A batch of ndiv: the window, and what follows."""
    size = model.input_size
    found = {"insample_y": data["y"][:, :size], "outsample_y": data["y"][:, size:], "hist_exog": data.get("hist"),
             "futr_exog": data.get("futr"), "stat_exog": data.get("stat")}
    if data.get("hist") is not None:
        found["hist_exog"] = data["hist"][:, :size]
    return {k: v for k, v in found.items() if v is not None}


def theirs(peer, data):
    """A batch as neuralforecast's recursive mode cuts it: covariates one step later than values, hist 0 after the window."""
    t = {k: torch.tensor(v) for k, v in data.items()}
    hist = None
    if "hist" in t:
        hist = t["hist"].clone()
        hist[:, peer.input_size:] = 0
        hist = hist[:, 1:]
    return {"insample_y": t["y"][:, :-1], "insample_mask": torch.ones_like(t["y"][:, :-1]), "hist_exog": hist,
            "futr_exog": t["futr"][:, 1:] if "futr" in t else None, "stat_exog": t.get("stat")}


def near(got, wanted):
    wanted = wanted.detach().numpy()
    assert got.shape == wanted.shape
    assert np.abs(got.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()


def same_gradients(name, peer, model, expected, got, draw):
    """Those of a random projection, by every weight."""
    direction = draw.normal(size=got.shape).astype(np.float32)
    (expected * torch.tensor(direction)).sum().backward()
    (got * direction).sum().backward()
    state = {k: (torch.zeros_like(p) if p.grad is None else p.grad).numpy() for k, p in peer.named_parameters() if "loss" not in k}
    wanted = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert(state, model)
    mine = {k: np.zeros(p.shape, np.float32) if p.grad is None else np.asarray(getattr(p.grad, "data", p.grad))
            for k, p in model.named_parameters()}
    assert wanted.keys() == mine.keys()
    largest = max(np.abs(g).max() for g in wanted.values())
    for key, g in wanted.items():
        # the second part is for gradients that are 0 but for rounding
        assert np.abs(mine[key] - g).max() <= max(1e-4 * np.abs(g).max(), 1e-6 * largest), key


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", NAMES)
def test_direct(name, seed, loss):
    peer, model, options, draw = pair(name, seed, loss)
    data = windows(model, options, draw, model.input_size + model.h)
    batch = ours(model, data)
    tensors = dict.fromkeys(("futr_exog", "hist_exog", "stat_exog")) | {k: torch.tensor(v) for k, v in batch.items()}
    expected, got = peer(tensors), model.forward(batch)
    near(got, expected)
    same_gradients(name, peer, model, expected, got, draw)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", NAMES)
def test_recursive_training(name, seed, loss):
    """Teacher forcing over h_train steps after a window that is one longer than input_size."""
    peer, model, options, draw = pair(name, seed, loss, recurrent=True, decoder_activation=None)
    if model.h_train > model.h:
        peer, model, options, draw = pair(name, seed, loss, recurrent=True, decoder_activation=None, h_train=model.h)
    assert model.input_size == peer.input_size == options["input_size"] + 1
    data = windows(model, options, draw, model.input_size + model.h)
    got = model.teacher_forced(ours(model, data))
    peer.h = peer.h_train
    cut = {k: v if k == "stat" else v[:, :model.input_size + model.h_train] for k, v in data.items()}
    expected = peer(theirs(peer, cut))
    near(got, expected)
    same_gradients(name, peer, model, expected, got, draw)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", NAMES)
def test_recursive_forecast(name, seed, loss):
    """Each forecast is the next input: a point itself, quantiles and a distribution by their mean."""
    peer, model, options, draw = pair(name, seed, loss, recurrent=True, decoder_activation=None)
    data = windows(model, options, draw, model.input_size + model.h)
    peer.scaler.x_shift, peer.scaler.x_scale = torch.zeros(5, 1, 1, 1), torch.ones(5, 1, 1, 1)
    batch = theirs(peer, data)
    with torch.no_grad():
        expected = peer._validate_step_recurrent_batch(**batch, y_idx=0)
    near(model.forward(ours(model, data)), expected.reshape(5, model.h, -1))
