"""DeepNPTS's weights: from neuralforecast's names to those of ``DeepNPTS(variant="compat")``.

Contract: `convert` takes the state of neuralforecast's model and an ndiv model made with the same arguments, and returns
that model's state. Not used are the arrays of the loss. neuralforecast numbers the parts of one sequence, in which batch
normalization and dropout are there only where they are asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["convert"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of an ndiv DeepNPTS from that of neuralforecast's.

    >>> import numpy as np
    >>> names = [f"deepnptsnetwork.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")]
    >>> sorted(convert({name: np.zeros(1) for name in names}, None))
    ['layers.0.linear.bias', 'layers.0.linear.weight', 'out.bias', 'out.weight']
    """
    parts: dict[int, dict[str, np.ndarray]] = {}
    for name, values in state.items():
        if not name.startswith(("loss", "valid_loss")):
            _, place, kind = name.split(".")
            parts.setdefault(int(place), {})[kind] = values
    out: dict[str, np.ndarray] = {}
    layer = -1
    for index in sorted(parts):
        if "running_mean" in parts[index]:
            owner = f"layers.{layer}.norm"
        elif index == max(parts):
            owner = "out"
        else:
            layer += 1
            owner = f"layers.{layer}.linear"
        out.update((f"{owner}.{kind}", values) for kind, values in parts[index].items())
    return out
