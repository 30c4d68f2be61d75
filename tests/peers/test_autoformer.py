"""Autoformer with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_transformers import LOSSES, draw, same

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, loss):
    same("Autoformer", draw("Autoformer", seed), loss, seed)


def test_a_long_window():
    """As long as in practice, where rounding of transforms has room."""
    same("Autoformer", {**draw("Autoformer", 1), "input_size": 336, "h": 96, "hidden_size": 32, "n_head": 4}, "point", 0)


@pytest.mark.parametrize("seed", range(6))
def test_while_training(seed):
    """By the delays of the batch; dropout draws other numbers there and here, so it is off."""
    same("Autoformer", {**draw("Autoformer", seed), "dropout": 0.0}, "point", seed, train=True)
