"""Informer with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

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
    same("Informer", draw("Informer", seed), loss, seed)


def test_a_long_window():
    """As long as in practice, where rounding of positions has room."""
    same("Informer", {**draw("Informer", 1), "input_size": 336, "h": 96, "hidden_size": 32, "n_head": 4}, "point", 0)


@pytest.mark.parametrize("seed", range(1, 5))
def test_while_training(seed):
    """By the statistics of the batch, over two or three layers; dropout draws other numbers there and here, so it is off.

    The window is long enough that what distilling leaves of it has no equal steps, where rounding would choose the queries.
    """
    options = {**draw("Informer", seed), "input_size": 30, "dropout": 0.0, "distil": True, "encoder_layers": 2 + seed % 2}
    same("Informer", options, "point", seed, train=True)
