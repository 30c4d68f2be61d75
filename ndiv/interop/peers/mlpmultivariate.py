"""neuralforecast's MLPMultivariate: its arrays by the names of ndiv's (any variant, both compute the same).

Contract: `convert` uses every array of the architecture once. Unused: buffers of the losses (``loss.*``, ``valid_loss.*``).
Raises `KeyError` for an array that it does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model`` (an `ndiv.models.MLPMultivariate` with the same arguments) from neuralforecast's."""
    names = {n for k in range(len(model.mlp)) for n in (f"mlp.{k}.weight", f"mlp.{k}.bias")} | {"out.weight", "out.bias"}
    found = {}
    for name, array in state.items():
        if name.startswith(("loss.", "valid_loss.")):
            continue
        if name not in names:
            raise KeyError(name)
        found[name] = array
    return found
