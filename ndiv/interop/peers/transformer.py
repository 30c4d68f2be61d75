"""Weights of neuralforecast's VanillaTransformer under the names of ``Transformer(variant="compat")``.

Contract: `convert` takes its state_dict as arrays and an ndiv Transformer with the same arguments, and returns that model's
state. Each array is used once: those of query, key and value, and of tokens and covariates, become rows and columns of one.
Not used are ``*_embedding.position_embedding.pe``, the sinusoidal positions, which follow from the sizes. `layers` is what
this file shares with other models of the same encoder and decoder layers, `embeddings` and `attention` with all transformers
of this kind: each writes its part of the model's state to ``out``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["attention", "convert", "embeddings", "layers"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    return layers(state, model)


def layers(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """Embeddings, encoder and decoder layers, projection. Raises `KeyError` for a weight that the state lacks."""
    out: dict[str, np.ndarray] = {}
    embeddings(out, state, model)
    for own in ("encoder", "decoder"):
        for part in ("weight", "bias"):
            out[f"{own}_norm.{part}"] = state[f"{own}.norm.{part}"]
    for part in ("weight", "bias"):
        out[f"projection.{part}"] = state[f"decoder.projection.{part}"]
    for i in range(len(model.encoder)):
        theirs = f"encoder.attn_layers.{i}"
        attention(out, f"encoder.{i}.attention", state, f"{theirs}.attention")
        _blocks(out, f"encoder.{i}", state, theirs, 2)
    for i in range(len(model.decoder)):
        theirs = f"decoder.layers.{i}"
        attention(out, f"decoder.{i}.attention", state, f"{theirs}.self_attention")
        attention(out, f"decoder.{i}.cross", state, f"{theirs}.cross_attention", cross=True)
        _blocks(out, f"decoder.{i}", state, theirs, 3)
    return out


def embeddings(out: dict[str, np.ndarray], state: dict[str, np.ndarray], model: Any) -> None:
    """The maps of tokens and covariates."""
    for own, other in (("encoder", "enc"), ("decoder", "dec")):
        embedding = getattr(model, f"{own}_embedding").values
        tokens = state[f"{other}_embedding.value_embedding.tokenConv.weight"][:, 0]  # [hidden, 1, 3]
        marks = [state[f"{other}_embedding.temporal_embedding.embed.weight"]] if embedding.in_features > tokens.shape[1] else []
        out[f"{own}_embedding.values.weight"] = np.concatenate([tokens, *marks], 1)


def attention(out: dict[str, np.ndarray], own: str, state: dict[str, np.ndarray], theirs: str, cross: bool = False) -> None:
    """The projections of one attention."""
    for part in ("weight", "bias"):
        q, k, v = (state[f"{theirs}.{name}_projection.{part}"] for name in ("query", "key", "value"))
        if cross:
            out[f"{own}.query.{part}"], out[f"{own}.key_value.{part}"] = q, np.concatenate([k, v])
        else:
            out[f"{own}.query_key_value.{part}"] = np.concatenate([q, k, v])
        out[f"{own}.out.{part}"] = state[f"{theirs}.out_projection.{part}"]


def _blocks(out: dict[str, np.ndarray], own: str, state: dict[str, np.ndarray], theirs: str, norms: int) -> None:
    """The feed-forward block, whose convolutions have width 1, and the normalizations."""
    for name, conv in (("wide", "conv1"), ("back", "conv2")):
        out[f"{own}.feed_forward.{name}.weight"] = state[f"{theirs}.{conv}.weight"][:, :, 0]
        out[f"{own}.feed_forward.{name}.bias"] = state[f"{theirs}.{conv}.bias"]
    for i in range(1, norms + 1):
        for part in ("weight", "bias"):
            out[f"{own}.norm{i}.{part}"] = state[f"{theirs}.norm{i}.{part}"]
