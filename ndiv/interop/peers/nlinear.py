"""NLinear from neuralforecast: ``linear``, the same name here. Every array is used once."""

from __future__ import annotations

from typing import Any

import numpy as np


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    return {name: value for name, value in state.items() if name.startswith("linear.")}
