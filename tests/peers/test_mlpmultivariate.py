"""MLPMultivariate with neuralforecast's weights: its forecasts and gradients, with every set of covariates."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from panel_models import EXOG, LOSSES, same

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md

DRAW = np.random.default_rng(2)
CASES = [{"num_layers": int(DRAW.integers(1, 5)), "hidden_size": int(DRAW.integers(1, 20)),
          **{k: v for k, v in EXOG.items() if DRAW.random() < 0.5}} for _ in range(11)]
CASES.append({"num_layers": 2, "hidden_size": 7, "exclude_insample_y": True, **EXOG})


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", range(12))
def test_forecast_and_gradients(case, loss):
    same("MLPMultivariate", CASES[case], loss, case)
