"""Weights of neuralforecast's TimesNet under the names of ``TimesNet(variant="compat")``.

Contract: `convert` takes its state_dict as arrays and an ndiv TimesNet with the same arguments, and returns that model's state.
Each array is used once: those of tokens and covariates become columns of one, biases of a block's kernels rows of one. Not used
is ``enc_embedding.position_embedding.pe``, the sinusoidal positions, which follow from the sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    tokens = state["enc_embedding.value_embedding.tokenConv.weight"][:, 0]  # [hidden, 1, 3]
    covariates = model.embedding.values.in_features > tokens.shape[1]
    marks = [state["enc_embedding.temporal_embedding.embed.weight"]] if covariates else []
    out = {"embedding.values.weight": np.concatenate([tokens, *marks], 1)}
    for other, own in (("predict_linear", "stretch"), ("layer_norm", "norm"), ("projection", "projection")):
        for part in ("weight", "bias"):
            out[f"{own}.{part}"] = state[f"{other}.{part}"]
    for i, block in enumerate(model.blocks):
        for at, own in ((0, "wide"), (2, "back")):
            theirs = f"model.{i}.conv.{at}.kernels"
            sides = getattr(block, own).sides
            for j, side in enumerate(sides):  # [out, in, rows, columns]
                out[f"blocks.{i}.{own}.kernel{side}"] = state[f"{theirs}.{j}.weight"].transpose(2, 1, 3, 0)
            out[f"blocks.{i}.{own}.bias"] = np.stack([state[f"{theirs}.{j}.bias"] for j in range(len(sides))])
    return out
