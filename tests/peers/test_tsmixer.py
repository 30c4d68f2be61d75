"""TSMixer with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from panel_models import LOSSES, same

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md

DRAW = np.random.default_rng(1)
CASES = [{"n_block": int(DRAW.integers(1, 4)), "ff_dim": int(DRAW.integers(1, 12)), "dropout": float(DRAW.uniform(0, 0.9)),
          "revin": bool(DRAW.random() < 0.7)} for _ in range(12)]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", range(12))
def test_forecast_and_gradients(case, loss):
    same("TSMixer", CASES[case], loss, case)


@pytest.mark.parametrize("case", range(6))
def test_while_training(case):
    """By the statistics of the batch; dropout draws other numbers there and here, so it is off."""
    same("TSMixer", {**CASES[case], "dropout": 0.0}, "point", case, train=True)
