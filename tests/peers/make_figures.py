"""Writes tests/models/figures/*.safetensors: weights, inputs and forecasts of neuralforecast's models.

Run it where neuralforecast 3.3.0 is installed: ``python tests/peers/make_figures.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from peer_models import CASES, batch, peer_forward
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parents[1] / "models" / "figures"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for case, (name, options) in CASES.items():
        data = batch()
        weights, forecast = peer_forward(name, options, data)
        arrays = {f"weight.{i:03d}": w for i, w in enumerate(weights)}
        arrays["forecast"] = np.ascontiguousarray(forecast)
        save_file(arrays, str(FOLDER / f"{case}.safetensors"))
        print(case, forecast.shape, len(weights))
