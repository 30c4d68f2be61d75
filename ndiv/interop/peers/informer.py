"""Weights of neuralforecast's Informer under the names of ``Informer(variant="compat")``.

Contract: as for the Transformer (`ndiv.interop.peers.transformer`), whose layers these are, and distilling between them:
``encoder.conv_layers.I`` with its convolution and batch normalization, running statistics included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .transformer import layers

__all__ = ["convert"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out = layers(state, model)
    for i in range(len(model.between)):
        theirs = f"encoder.conv_layers.{i}"
        for part in ("weight", "bias"):
            out[f"between.{i}.conv.{part}"] = state[f"{theirs}.downConv.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            out[f"between.{i}.norm.{part}"] = state[f"{theirs}.norm.{part}"]
    return out
