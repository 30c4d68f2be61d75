"""NBEATS and NBEATSx, variant="compat", beside neuralforecast's: forecasts and gradients with the same weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from nbeats_cases import CASES, batch_for, draw, loss_of, peer_forward, peer_of

import ndiv
from ndiv.interop.peers.nbeats import convert
from ndiv.models import get_model

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md
import torch


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_forecast_and_gradients(name, seed):
    options, loss = draw(name, seed)
    peer, data = peer_of(name, options, loss), batch_for(options, seed)
    model = get_model(name)(**options, loss=loss_of(ndiv.losses, loss), variant="compat").eval()
    state = peer.state_dict(keep_vars=True)
    weights = convert({k: v.detach().numpy() for k, v in state.items()}, model)
    assert set(weights) == set(model.state_dict()) and sum(v.size for v in weights.values()) == sum(
        p.numel() for n, p in peer.named_parameters() if p.requires_grad and "loss" not in n)
    model.load_state_dict(weights)

    expected, got = peer_forward(peer, data), model.forward(data)
    assert got.shape == tuple(expected.shape)
    assert np.abs(got.numpy() - expected.detach().numpy()).max() <= 2e-5 * np.abs(expected.detach().numpy()).max()

    along = np.random.default_rng(1).normal(size=got.shape).astype(np.float32)
    (expected * torch.tensor(along)).sum().backward()
    (got * along).sum().backward()
    zero = {k: np.zeros(v.shape, np.float32) for k, v in state.items()}
    wanted = convert({k: zero[k] if v.grad is None else v.grad.numpy() for k, v in state.items()}, model)
    largest = max(np.abs(v).max() for v in wanted.values())
    for key, p in model.named_parameters():
        found = p.grad.numpy()
        # an element that is rounding alone in a weight of tiny gradients is measured by the model's largest
        assert np.abs(found - wanted[key]).max() <= 1e-4 * max(np.abs(wanted[key]).max(), 1e-3 * largest), key
