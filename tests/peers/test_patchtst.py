"""PatchTST with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_patchtst import LOSSES, batch, configuration, ours, peer

from ndiv.interop import from_neuralforecast
from ndiv.interop.peers.patchtst import convert

torch = pytest.importorskip("torch")  # the folder has its own environment; see README.md
pytest.importorskip("neuralforecast")


def compare(options, loss, seed, train=False):
    """Forecasts within 2e-5 of the largest element, gradients of a random projection within 1e-4."""
    other, own, data = peer(options, loss, seed), ours(options, loss), batch(options)
    taken = convert({k: v.numpy().copy() for k, v in other.state_dict().items()}, own)
    own.load_state_dict(taken)
    assert set(taken) == set(own.state_dict())
    expected = other.train(train)({k: torch.tensor(v) for k, v in data.items()})
    out = own.train(train).forward(data)
    assert out.shape == tuple(expected.shape) == (len(data["insample_y"]), own.h, own.n_out)
    wanted = expected.detach().numpy()
    assert np.abs(out.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
    projection = np.random.default_rng(seed).normal(size=wanted.shape).astype(np.float32)
    (expected * torch.tensor(projection)).sum().backward()
    (out * projection).sum().backward()
    gradients = convert({k: p.grad.numpy() for k, p in other.named_parameters() if p.grad is not None}, own)
    largest = max(np.abs(g).max() for g in gradients.values())
    for key, p in own.named_parameters():
        # a bias of keys, or before batch normalization, has no gradient but rounding: the largest of all bounds it
        off = np.abs(p.grad.numpy() - gradients.pop(key)).max()
        assert off <= 1e-4 * max(np.abs(p.grad.numpy()).max(), 1e-2 * largest), (key, off, largest)
    assert not gradients
    return own, other


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, loss):
    compare(configuration(seed), loss, seed)


@pytest.mark.parametrize("seed", range(6))
def test_while_training(seed):
    """By the statistics of the batch, which move those of before; dropout draws other numbers there and here: it is off."""
    own, other = compare({**configuration(seed), "dropout": 0.0, "head_dropout": 0.0, "attn_dropout": 0.0}, "point", seed, train=True)
    moved = convert({k: v.numpy() for k, v in other.state_dict().items()}, own)
    for key, value in own.state_dict().items():
        if "running" in key or "tracked" in key:
            np.testing.assert_allclose(value, moved[key], rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_is_taken_over_from_memory_and_from_a_file(seed, tmp_path):
    options = configuration(seed)
    other, data = peer(options, "quantiles"), batch(options)
    other.save(str(tmp_path / "one.safetensors"))
    with torch.no_grad():
        expected = other({k: torch.tensor(v) for k, v in data.items()}).numpy()
    for found in (from_neuralforecast(other), from_neuralforecast(tmp_path / "one.safetensors")):
        assert found.variant == "compat" and all(found.arguments[k] == v for k, v in options.items())
        assert np.abs(found.eval().forward(data).numpy() - expected).max() <= 2e-5 * np.abs(expected).max()
