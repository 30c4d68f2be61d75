"""NHITS from neuralforecast: each block is one list there, linear layers with activations and dropout between them.

Contract: the linear layers of ``blocks.k.layers``, in order, are the hidden layers and, last, ``theta``. Every array is
used once.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for k, block in enumerate(model.blocks):
        prefix = f"blocks.{k}.layers."
        places = sorted({int(name[len(prefix):].partition(".")[0]) for name in state if name.startswith(prefix)})
        names = [*(f"layers.{i}" for i in range(len(block.layers))), "theta"]
        for place, name in zip(places, names, strict=True):
            for kind in ("weight", "bias"):
                out[f"blocks.{k}.{name}.{kind}"] = state[f"{prefix}{place}.{kind}"]
    return out
