"""Weights of neuralforecast's TCN under ndiv's names.

Contract: `convert` takes its state_dict as arrays and an ndiv TCN with variant="compat" and the same arguments, and
returns that model's state. Each array is used once, but for "hist_encoder.tcn.I.causalconv.0.*", which are
"hist_encoder.tcn.I.conv.*" under a second name (a saved file may hold either or both), and "loss.*", "valid_loss.*".
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out: dict[str, np.ndarray] = {}
    for part in ("weight", "bias"):
        for i in range(len(model.convs)):
            name = f"hist_encoder.tcn.{i}.conv.{part}"
            out[f"convs.{i}.{part}"] = state[name if name in state else f"hist_encoder.tcn.{i}.causalconv.0.{part}"]
        out[f"context.{part}"] = state[f"context_adapter.{part}"]
        for i in range(len(model.decoder)):
            out[f"decoder.{i}.{part}"] = state[f"mlp_decoder.layers.{3 * i}.{part}"]  # activation and dropout between
    return out
