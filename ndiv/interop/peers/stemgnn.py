"""Weights of neuralforecast's StemGNN under the names of ``StemGNN(variant="compat")``.

Contract: `convert` takes its state_dict as arrays and an ndiv StemGNN with the same arguments, and returns that model's state.
Each array is used once: those of key and query, and of the left and the right side of a gated unit, become columns and rows of
one. Not used are ``stock_block.1.backcast_short_cut.*``, which forecasts do not depend on there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]

_LINEAR = {"forecast": "wide", "forecast_result": "forecast"}
_FIRST = {"backcast": "backcast", "backcast_short_cut": "shortcut"}  # of the first block alone


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out = {"correlation.key_query": np.concatenate([state["weight_key"], state["weight_query"]], 1)}
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        out[f"correlation.gru.{name}"] = state[f"GRU.{name}"]
    for i, block in enumerate(model.blocks):
        theirs = f"stock_block.{i}"
        width = block.theta.out_features
        out[f"blocks.{i}.theta.weight"] = state[f"{theirs}.weight"].reshape(-1, width).T
        for part in ("weight", "bias"):
            for other, own in (_LINEAR if i else {**_LINEAR, **_FIRST}).items():
                out[f"blocks.{i}.{own}.{part}"] = state[f"{theirs}.{other}.{part}"]
            for j in range(2 * len(block.real)):  # real and imaginary parts take turns
                sides = [state[f"{theirs}.GLUs.{j}.linear_{side}.{part}"] for side in ("left", "right")]
                out[f"blocks.{i}.{'imaginary' if j % 2 else 'real'}.{j // 2}.both.{part}"] = np.concatenate(sides)
    for other, own in (("fc.0", "wide"), ("fc.2", "out")):
        for part in ("weight", "bias"):
            out[f"{own}.{part}"] = state[f"{other}.{part}"]
    return out
