"""neuralforecast's iTransformer: its arrays by the names of ndiv's iTransformer (``variant="compat"``, same arguments).

Contract: `convert` uses every array of the architecture once. Weights of queries, keys and values are put into one, and
convolutions of one step are linear maps. Unused: buffers of the losses (``loss.*``, ``valid_loss.*``). Raises `KeyError`
for an array that it does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]

_WHOLE = {"enc_embedding.value_embedding": "embed", "futr_embedding": "futr_embed", "encoder.norm": "last_norm",
          "projector": "out"}
_LAYER = "encoder.attn_layers."
_PARTS = {"attention.out_projection": "self_attn.out_proj", "conv1": "linear1", "conv2": "linear2", "norm1": "norm1",
          "norm2": "norm2"}
_PACKED = ("attention.query_projection", "attention.key_projection", "attention.value_projection")


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model`` (an `ndiv.models.iTransformer` with the same arguments) from neuralforecast's."""
    found = {}
    for name, array in state.items():
        if name.startswith(("loss.", "valid_loss.")):
            continue
        part, _, leaf = name.rpartition(".")
        if part in _WHOLE:
            found[f"{_WHOLE[part]}.{leaf}"] = array
        elif part.startswith(_LAYER):
            layer, _, part = part.removeprefix(_LAYER).partition(".")
            if part == _PACKED[0]:
                parts = [state[f"{_LAYER}{layer}.{p}.{leaf}"] for p in _PACKED]
                found[f"layers.{layer}.self_attn.in_proj_{leaf}"] = np.concatenate(parts)
            elif part not in _PACKED:
                found[f"layers.{layer}.{_PARTS[part]}.{leaf}"] = array[..., 0] if array.ndim == 3 else array
        else:
            raise KeyError(name)
    return found
