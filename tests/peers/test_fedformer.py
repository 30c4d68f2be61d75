"""FEDformer with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_transformers import LOSSES, arrays_of, batch, draw, ours, peer_forward, peer_of, same

from ndiv.interop.peers.fedformer import convert, modes_of

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, loss):
    same("FEDformer", draw("FEDformer", seed), loss, seed)


def test_a_long_window():
    """As long as in practice: modes are chosen among many, and rounding of angles has room."""
    same("FEDformer", {**draw("FEDformer", 1), "input_size": 336, "h": 96, "hidden_size": 32, "modes": 64, "mode_select": "random"},
         "point", 0)


@pytest.mark.parametrize("random_seed", [1, 7])
def test_modes_are_drawn_as_there_or_taken_from_there(random_seed):
    options = {**draw("FEDformer", 1), "input_size": 60, "modes": 4, "mode_select": "random", "encoder_layers": 2, "decoder_layers": 2}
    peer = peer_of("FEDformer", {**options, "random_seed": random_seed}, "point")
    state, modes, data = arrays_of(peer), modes_of(peer), batch(options, 0)
    same_seed = ours("FEDformer", {**options, "random_seed": random_seed}, "point")
    other_seed = ours("FEDformer", {**options, "random_seed": random_seed + 1}, "point").eval()
    drawn, given = convert(state, same_seed), convert({**state, **modes}, other_seed)
    kept = [k for k in drawn if "modes" in k]
    assert len(kept) == 2 + 2 * 3 and len(modes) == len(kept)
    for key in kept:
        np.testing.assert_array_equal(drawn[key], given[key])
    assert any((drawn[key] != other_seed.state_dict()[key]).any() for key in kept)
    other_seed.load_state_dict(given)
    wanted = peer_forward(peer, data).detach().numpy()
    np.testing.assert_allclose(other_seed.forward(data).numpy(), wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())
