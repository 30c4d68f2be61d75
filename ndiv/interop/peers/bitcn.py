"""Weights of neuralforecast's BiTCN under ndiv's names.

Contract: `convert` takes its state_dict as arrays and an ndiv BiTCN with variant="compat" and the same arguments, and
returns that model's state. Each array is used once; "loss.*" and "valid_loss.*" are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]

_COMMON = ("revin_weight", "revin_bias", "loss", "valid_loss", *(f"{kind}_categories" for kind in ("hist", "futr", "stat")))
_NAMES = {"temporal1": "temporal_lin1", "temporal2": "temporal_lin2", "out": "output_lin"}


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out: dict[str, np.ndarray] = {}
    for name in model.state_dict():
        head, _, tail = name.partition(".")
        if head in _COMMON:
            continue
        out[name] = state[f"{_NAMES.get(head, head)}.{tail}"]
    return out
