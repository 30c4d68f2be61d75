"""Configurations of TimesNet for neuralforecast's beside ndiv's, which peer_transformers.py compares."""

from __future__ import annotations

from typing import Any

import numpy as np

FIGURES = {  # case: model, options, loss
    "timesnet": ("TimesNet", {"h": 3, "input_size": 8, "hidden_size": 4, "conv_hidden_size": 3, "top_k": 3, "num_kernels": 2,
                              "futr_exog_list": ["a", "b"]}, "quantiles"),
    "timesnet-deep": ("TimesNet", {"h": 5, "input_size": 8, "hidden_size": 2, "conv_hidden_size": 3, "top_k": 1, "num_kernels": 4,
                                   "encoder_layers": 1}, "point"),
}


def draw(seed: int) -> dict[str, Any]:
    """A configuration over every argument of the architecture."""
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    found = {"h": pick(1, 3, 9), "input_size": pick(5, 13, 30), "hidden_size": pick(4, 6, 8), "dropout": pick(0.0, 0.2),
             "conv_hidden_size": pick(1, 4, 9), "top_k": pick(1, 2, 5), "num_kernels": pick(1, 2, 3, 6),
             "encoder_layers": pick(1, 2, 3), "futr_exog_list": pick([], ["a"], ["a", "b"])}
    found["top_k"] = min(found["top_k"], (found["h"] + found["input_size"]) // 2)
    return found
