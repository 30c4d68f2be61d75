"""TimesNet with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_timesnet import draw
from peer_transformers import LOSSES, same

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, loss):
    same("TimesNet", draw(seed), loss, seed)


def test_a_long_window():
    """As long as in practice."""
    same("TimesNet", {**draw(1), "input_size": 96, "h": 96, "top_k": 5, "num_kernels": 6}, "point", 0)


@pytest.mark.parametrize("seed", range(4))
def test_while_training(seed):
    """Dropout draws other numbers there and here, so it is off."""
    same("TimesNet", {**draw(seed), "dropout": 0.0}, "point", seed, train=True)
