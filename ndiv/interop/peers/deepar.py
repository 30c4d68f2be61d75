"""DeepAR's weights from neuralforecast.

Contract: ``convert(state, model)`` takes neuralforecast's state_dict as arrays and an ndiv DeepAR with variant="compat"
and the same arguments, and gives that model's weights by name. Every array is used once, but for those of the losses
("loss.*" and "valid_loss.*", buffers such as quantiles). There a window has ``input_size + 1`` values: for the same
forecasts give ndiv's model one more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """neuralforecast's window is one longer than its input_size says; inference_input_size says what it is."""
    return {**given, "input_size": given["inference_input_size"]}


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """Arrays of the ndiv model, by the names of its state_dict.

    ``hist_encoder.*`` is ``lstm.*``; of ``decoder.layers`` every third entry is linear, an activation and a dropout
    follow.

    >>> list(convert({"hist_encoder.bias_ih_l0": np.zeros(4), "decoder.layers.3.bias": np.zeros(1)}, None))
    ['lstm.bias_ih_l0', 'decoder.1.bias']
    """
    out = {}
    for name, array in state.items():
        part, _, rest = name.partition(".")
        if part == "hist_encoder":
            out[f"lstm.{rest}"] = array
        elif part == "decoder":
            _, at, kind = rest.split(".")
            out[f"decoder.{int(at) // 3}.{kind}"] = array
    return out
