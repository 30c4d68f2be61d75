"""DeepNPTS beside neuralforecast's: forecasts and gradients from the same weights, over every argument of the architecture."""

from __future__ import annotations

import numpy as np
import pytest

from ndiv import losses
from ndiv.interop.peers.deepnpts import convert
from ndiv.models import get_model

peers = pytest.importorskip("neuralforecast.models")  # the folder has its own environment; see README.md

import torch  # noqa: E402
from neuralforecast.losses import pytorch as peer_losses  # noqa: E402

COVARIATES = [(), ("futr",), ("hist",), ("stat",), ("futr", "hist"), ("futr", "hist", "stat")]


def configuration(seed):
    draw = np.random.default_rng(seed)

    def pick(*values):
        return values[draw.integers(len(values))]

    options = {"h": pick(1, 3, 6), "input_size": pick(1, 4, 12, 20), "hidden_size": pick(1, 5, 16), "batch_norm": pick(False, True),
               "dropout": pick(0.0, 0.3), "n_layers": pick(1, 2, 3)}
    options |= {f"{kind}_exog_list": [f"{kind}{i}" for i in range(pick(1, 2))] for kind in COVARIATES[seed % len(COVARIATES)]}
    return options, draw


@pytest.mark.parametrize("training", [False, True])  # True: batch normalization by the batch, and without dropout
@pytest.mark.parametrize("loss", ["MAE", "MSE"])  # neuralforecast's takes point losses only
@pytest.mark.parametrize("seed", range(18))
def test_forecast_and_gradients(seed, loss, training):
    options, draw = configuration(seed)
    options["dropout"] *= not training
    torch.manual_seed(seed)
    peer = peers.DeepNPTS(**options, loss=getattr(peer_losses, loss)(), max_steps=1).train(training)
    with torch.no_grad():
        for p in [*peer.parameters(), *(b for n, b in peer.named_buffers() if "running" in n)]:
            p += 0.1 * torch.rand(p.shape)  # what starts at 0 and 1 would hide a mistake
    model = get_model("DeepNPTS")(**options, loss=getattr(losses, loss)(), variant="compat").train(training)
    h, length, b = model.h, model.input_size, 5
    data = {"insample_y": draw.normal(2, 1, (b, length, 1)), "insample_mask": np.ones((b, length, 1))}
    for kind, shape in (("futr", (b, length + h)), ("hist", (b, length)), ("stat", (b,))):
        if f"{kind}_exog_list" in options:
            data[f"{kind}_exog"] = draw.normal(size=(*shape, len(options[f"{kind}_exog_list"])))
    data = {k: v.astype(np.float32) for k, v in data.items()}
    batch = dict.fromkeys(("futr_exog", "hist_exog", "stat_exog")) | {k: torch.tensor(v) for k, v in data.items()}

    model.load_state_dict(convert({k: v.numpy() for k, v in peer.state_dict().items()}, model))
    expected, got = peer(batch), model.forward(data)
    wanted = expected.detach().numpy()
    assert got.shape == wanted.shape
    assert np.abs(got.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()

    direction = draw.normal(size=wanted.shape).astype(np.float32)
    (expected * torch.tensor(direction)).sum().backward()
    (got * direction).sum().backward()
    buffers = [n for n, _ in peer.named_buffers()]
    gradients = convert({k: p.grad.numpy() for k, p in peer.named_parameters()} | {k: np.zeros(1) for k in buffers}, model)
    mine = {k: np.asarray(getattr(p.grad, "data", p.grad)) for k, p in model.named_parameters()}
    assert set(mine) <= set(gradients)
    largest = max(np.abs(g).max() for g in gradients.values())
    for name, found in mine.items():
        # the bound's second part is for gradients that are 0 but for rounding, as those before a normalization are
        bound = max(1e-4 * np.abs(gradients[name]).max(), 1e-6 * largest)
        assert np.abs(found - gradients[name]).max() <= bound, name
