"""Weights of neuralforecast's Autoformer under the names of ``Autoformer(variant="compat")``.

Contract: `convert` takes its state_dict as arrays and an ndiv Autoformer with the same arguments, and returns that model's
state. Each array is used once: those of query, key and value, and of tokens and covariates, become rows and columns of one.
`decomposed` is what this file shares with FEDformer: everything but the attentions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .transformer import attention, embeddings

__all__ = ["convert", "decomposed"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out = decomposed(state, model)
    for i in range(len(model.encoder)):
        attention(out, f"encoder.{i}.attention", state, f"encoder.attn_layers.{i}.attention")
    for i in range(len(model.decoder)):
        attention(out, f"decoder.{i}.attention", state, f"decoder.layers.{i}.self_attention")
        attention(out, f"decoder.{i}.cross", state, f"decoder.layers.{i}.cross_attention", cross=True)
    return out


def decomposed(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """Embeddings, feed-forward blocks, projections of trends, normalizations. Raises `KeyError` as `convert`."""
    out: dict[str, np.ndarray] = {}
    embeddings(out, state, model)
    for part in ("weight", "bias"):
        out[f"projection.{part}"] = state[f"decoder.projection.{part}"]
        for own in ("encoder", "decoder"):
            out[f"{own}_norm.norm.{part}"] = state[f"{own}.norm.layernorm.{part}"]
    layers = (("encoder", "encoder.attn_layers", model.encoder), ("decoder", "decoder.layers", model.decoder))
    for own, theirs, made in layers:
        for i in range(len(made)):
            for name, conv in (("wide", "conv1"), ("back", "conv2")):  # convolutions of width 1
                out[f"{own}.{i}.feed_forward.{name}.weight"] = state[f"{theirs}.{i}.{conv}.weight"][:, :, 0]
    for i in range(len(model.decoder)):
        weight = state[f"decoder.layers.{i}.projection.weight"]  # [outputs, hidden, 3]
        out[f"decoder.{i}.trend.values.weight"] = weight.transpose(0, 2, 1).reshape(len(weight), -1)
    return out
