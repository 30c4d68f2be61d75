"""neuralforecast's TimeLLM: its arrays by the names of ndiv's TimeLLM (``variant="compat"``, same arguments and backbone).

Contract: `convert` uses every array that is trained once. The projections of keys and values become one, the convolution over
patches a map of a patch and its neighbours, and the head's columns, ordered by feature and then patch there, are ordered by
patch and then feature. Unused: the language model (``llm.*``, and its words again as ``word_embeddings``), which ndiv's model
borrows; the words must be those of the one that it was given. Raises `KeyError` for an array that it does not know,
`ValueError` for another language model. ``UNUSED_ARGUMENTS`` change nothing there either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["UNUSED_ARGUMENTS", "convert"]

UNUSED_ARGUMENTS = ("enc_in", "dec_in", "llm_config", "llm_tokenizer", "llm_output_attention", "llm_output_hidden_states")
_WHOLE = {"mapping_layer.weight": "prototypes.weight", "output_projection.linear.bias": "head.bias",
          "reprogramming_layer.query_projection.weight": "reprogramming.query.weight",
          "reprogramming_layer.query_projection.bias": "reprogramming.query.bias",
          "reprogramming_layer.out_projection.weight": "reprogramming.out.weight",
          "reprogramming_layer.out_projection.bias": "reprogramming.out.bias"}
_KEY, _VALUE = "reprogramming_layer.key_projection.", "reprogramming_layer.value_projection."


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model`` (an `ndiv.models.TimeLLM` with the same arguments) from neuralforecast's."""
    found = {}
    for name, array in state.items():
        if name.startswith(("llm.", "loss.", "valid_loss.", _VALUE)):
            continue
        if name == "word_embeddings":
            if not np.array_equal(array, model.words.data):
                raise ValueError("llm is not the language model that it was trained with")
        elif name in _WHOLE:
            found[_WHOLE[name]] = array
        elif name == "mapping_layer.bias":
            found["prototypes.bias"] = array[:, None]
        elif name.startswith(_KEY):
            part = name.removeprefix(_KEY)
            found[f"reprogramming.key_value.{part}"] = np.concatenate([array, state[_VALUE + part]])
        elif name == "patch_embedding.value_embedding.tokenConv.weight":  # [d_model, patch_len, 3]
            found["embed.weight"] = array.transpose(0, 2, 1).reshape(len(array), -1)
        elif name == "output_projection.linear.weight":  # [h, d_ff * P]
            by_feature = array.reshape(len(array), -1, len(model.steps))
            found["head.weight"] = by_feature.transpose(0, 2, 1).reshape(array.shape)
        else:
            raise KeyError(name)
    return found
