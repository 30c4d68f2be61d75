"""neuralforecast's TSMixer: its arrays by the names of ndiv's TSMixer (``variant="compat"``, same arguments).

Contract: `convert` uses every array of the architecture once; the weights of the instance normalization lose their two axes
of length 1. Unused: buffers of the losses (``loss.*``, ``valid_loss.*``). Raises `KeyError` for an array that it does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]

_PARTS = {"temporal_mixer.temporal_norm": "time.norm", "temporal_mixer.temporal_lin": "time.linear",
          "feature_mixer.feature_norm": "feature.norm", "feature_mixer.feature_lin_1": "feature.wide",
          "feature_mixer.feature_lin_2": "feature.back"}


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model`` (an `ndiv.models.TSMixer` with the same arguments) from neuralforecast's."""
    found = {}
    for name, array in state.items():
        if name.startswith(("loss.", "valid_loss.")):
            continue
        if name in ("norm.affine_weight", "norm.affine_bias"):
            found[name] = array.reshape(model.n_series)
        elif name in ("out.weight", "out.bias"):
            found[name] = array
        else:
            stack, layer, mixer, part, leaf = name.split(".")
            if stack != "mixing_layers" or f"{mixer}.{part}" not in _PARTS:
                raise KeyError(name)
            found[f"mixing.{layer}.{_PARTS[f'{mixer}.{part}']}.{leaf}"] = array
    return found
