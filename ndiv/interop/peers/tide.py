"""TiDE's weights: from neuralforecast's names to those of ``TiDE(variant="compat")``.

Contract: `convert` takes the state of neuralforecast's model and an ndiv model made with the same arguments, and returns
that model's state. Not used are the arrays of the loss, and ``hist_exog_projection.*`` where there are covariates of the
future and none of the past: neuralforecast makes that block then, for inputs of width 0, and never calls it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]

PARTS = {"hist_exog_projection": "hist_projection", "futr_exog_projection": "futr_projection", "dense_encoder": "encoder",
         "dense_decoder": "decoder", "temporal_decoder": "temporal_decoder", "global_skip": "global_skip"}
LAYERS = {"lin1": "hidden", "lin2": "out", "skip": "skip", "norm": "norm"}


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of an ndiv TiDE from that of neuralforecast's; a name that is not known stays as it is.

    >>> import numpy as np
    >>> sorted(convert({"dense_encoder.0.lin1.bias": np.zeros(3), "loss.quantiles": np.zeros(2)}, None))
    ['encoder.0.hidden.bias']
    """
    out = {}
    for name, values in state.items():
        part, *rest = name.split(".")
        unused = part == "hist_exog_projection" and not model.hist_exog_list
        if part in ("loss", "valid_loss") or unused:
            continue
        out[".".join([PARTS.get(part, part), *(LAYERS.get(key, key) for key in rest)])] = values
    return out
