"""neuralforecast's PatchTST: its arrays by the names of ndiv's PatchTST (``variant="compat"``, same arguments).

Contract: `convert` uses every array of the architecture once. Weights of queries, keys and values are put into one; the head's
columns, which neuralforecast orders by feature and then patch, are ordered by patch and then feature. Unused: buffers of the
losses (``loss.*``, ``valid_loss.*``), and ``sdp_attn.scale``, a constant that follows from the shapes. Raises `KeyError`
for an array that it does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]

_WHOLE = {"model.backbone.W_pos": "positions", "model.backbone.W_P.weight": "embed.weight",
          "model.backbone.W_P.bias": "embed.bias", "model.revin_layer.affine_weight": "norm.affine_weight",
          "model.revin_layer.affine_bias": "norm.affine_bias", "model.head.linear.bias": "head.bias"}
_LAYER = "model.backbone.encoder.layers."
_PARTS = {"self_attn.to_out.0": "attention.out", "norm_attn.1": "norm1", "norm_ffn.1": "norm2", "ff.0": "wide", "ff.3": "back"}
_PACKED = ("self_attn.W_Q", "self_attn.W_K", "self_attn.W_V")


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model`` (an `ndiv.models.PatchTST` with the same arguments) from neuralforecast's."""
    found = {}
    for name, array in state.items():
        if name.startswith(("loss.", "valid_loss.")) or name.endswith("sdp_attn.scale"):
            continue
        if name in _WHOLE:
            found[_WHOLE[name]] = array
        elif name == "model.head.linear.weight":  # [h * outputs, D * P]
            by_feature = array.reshape(len(array), -1, len(model.steps))
            found["head.weight"] = by_feature.transpose(0, 2, 1).reshape(array.shape)
        elif name.startswith(_LAYER):
            layer, _, rest = name.removeprefix(_LAYER).partition(".")
            part, _, leaf = rest.rpartition(".")
            if part == _PACKED[0]:
                parts = [state[f"{_LAYER}{layer}.{p}.{leaf}"] for p in _PACKED]
                found[f"layers.{layer}.attention.qkv.{leaf}"] = np.concatenate(parts)
            elif part not in _PACKED:
                found[f"layers.{layer}.{_PARTS[part]}.{leaf}"] = array
        else:
            raise KeyError(name)
    return found
