"""StemGNN with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from panel_models import LOSSES, same

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md


def configuration(seed):
    draw = np.random.default_rng(seed)
    return {"h": int(draw.integers(1, 6)), "input_size": int(draw.integers(1, 12)), "n_series": int(draw.integers(2, 6)),
            "multi_layer": int(draw.integers(1, 4)), "dropout_rate": float(draw.uniform(0, 0.5)),
            "leaky_rate": float(draw.uniform(0, 0.9))}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", range(12))
def test_forecast_and_gradients(case, loss):
    same("StemGNN", configuration(case), loss, case)


@pytest.mark.parametrize("case", range(4))
def test_while_training(case):
    """Dropout draws other numbers there and here, so it is off."""
    same("StemGNN", {**configuration(case), "dropout_rate": 0.0}, "point", case, train=True)
