"""TiDE beside neuralforecast's: forecasts and gradients from the same weights, over every argument of the architecture."""

from __future__ import annotations

import numpy as np
import pytest

from ndiv import losses
from ndiv.interop.peers.tide import convert
from ndiv.models import get_model

peers = pytest.importorskip("neuralforecast.models")  # the folder has its own environment; see README.md

import torch  # noqa: E402
from neuralforecast.losses import pytorch as peer_losses  # noqa: E402

LOSSES = {"MAE": (losses.MAE, peer_losses.MAE), "MQLoss": (lambda: losses.MQLoss(level=[80]), lambda: peer_losses.MQLoss(level=[80])),
          "Normal": (lambda: losses.DistributionLoss("Normal"), lambda: peer_losses.DistributionLoss("Normal")),
          "StudentT": (lambda: losses.DistributionLoss("StudentT"), lambda: peer_losses.DistributionLoss("StudentT"))}
COVARIATES = [(), ("futr",), ("hist",), ("stat",), ("futr", "hist"), ("futr", "hist", "stat")]


def configuration(seed):
    draw = np.random.default_rng(seed)

    def pick(*values):
        return values[draw.integers(len(values))]

    options = {"h": pick(1, 3, 6), "input_size": pick(4, 12, 20), "hidden_size": pick(1, 5, 16), "decoder_output_dim": pick(1, 4, 7),
               "temporal_decoder_dim": pick(1, 6), "dropout": pick(0.0, 0.3), "num_encoder_layers": pick(1, 2, 3),
               "num_decoder_layers": pick(1, 2, 3), "temporal_width": pick(1, 2, 4)}
    options |= {f"{kind}_exog_list": [f"{kind}{i}" for i in range(pick(1, 2))] for kind in COVARIATES[seed % len(COVARIATES)]}
    return options, draw


@pytest.mark.parametrize("layernorm", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, loss, layernorm):
    options, draw = configuration(seed)
    own, other = LOSSES[loss]
    torch.manual_seed(seed)
    peer = peers.TiDE(**options, layernorm=layernorm, loss=other(), max_steps=1).eval()
    with torch.no_grad():
        for p in peer.parameters():  # biases and norms start at 0 and 1, which would hide a mistake
            p += 0.1 * torch.randn(p.shape)
    model = get_model("TiDE")(**options, layernorm=layernorm, loss=own(), variant="compat").eval()
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

    # what normalizes one or two numbers divides rounding by rounding, so that gradients through it are compared in float64
    if layernorm:
        peer, model = peer.double(), model.astype(np.float64)
        data = {k: v.astype(np.float64) for k, v in data.items()}
        batch = {k: None if v is None else v.double() for k, v in batch.items()}
        expected, got = peer(batch), model.forward(data)
    direction = draw.normal(size=wanted.shape)
    (expected * torch.tensor(direction, dtype=expected.dtype)).sum().backward()
    (got * direction.astype(got.dtype)).sum().backward()
    gradients = convert({k: (torch.zeros_like(p) if p.grad is None else p.grad).numpy() for k, p in peer.named_parameters()}, model)
    mine = {k: np.asarray(getattr(p.grad, "data", p.grad)) for k, p in model.named_parameters()}
    assert gradients.keys() == mine.keys()
    largest = max(np.abs(g).max() for g in gradients.values())
    for name, wanted in gradients.items():
        # the bound's second part is for gradients that are 0 but for rounding
        assert np.abs(mine[name] - wanted).max() <= max(1e-4 * np.abs(wanted).max(), 1e-6 * largest), name
