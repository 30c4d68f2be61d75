"""variant="compat" gives neuralforecast's numbers from neuralforecast's weights, computed side by side."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_models import CASES, H, L, batch, load_in_order, peer_forward

from ndiv.models import get_model

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_forecast(case, seed):
    name, options = CASES[case]
    data = batch(seed)
    weights, expected = peer_forward(name, options, data)
    model = get_model(name)(h=H, input_size=L, variant="compat", **options)
    load_in_order(model, weights)
    np.testing.assert_allclose(model.eval().forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)
