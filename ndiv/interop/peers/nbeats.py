"""NBEATS and NBEATSx: neuralforecast's weights under ndiv's names.

Contract: `convert` takes a state_dict of the peer's model and the ndiv model of the same arguments (variant="compat"), and
gives all weights of the latter by name. Unused arrays: ``blocks.*.basis.*``, which are tables that follow from the arguments;
the copies of a block, or of an activation's slope, that state_dict lists again where it is shared; and whatever does not
begin with ``blocks.`` (buffers of losses).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ConfigError

__all__ = ["convert"]


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """Weights by ndiv's names. Raises `ConfigError` (E0010) where the peer's blocks are not those of ``model``.

    Source of the layout: blocks.{i}.layers is a sequence of Linear, then (Linear, activation, dropout) for each pair of
    mlp_units, then the Linear of the coefficients.

    >>> import numpy as np
    >>> from ndiv.models import NBEATS
    >>> m = NBEATS(h=2, input_size=3, stack_types=["identity"], n_blocks=[1], mlp_units=[[4, 4]], variant="compat")
    >>> peer = {f"blocks.0.layers.{k}.{n}": np.zeros((o, i) if n == "weight" else o, np.float32)
    ...         for k, o, i in ((0, 4, 3), (1, 4, 4), (3, 5, 4)) for n in ("weight", "bias")}
    >>> sorted(convert(peer, m)) == sorted(m.state_dict())
    True
    """
    blocks = list(model.blocks)
    peers = {int(name.split(".")[1]) for name in state if name.startswith("blocks.")}
    if peers != set(range(len(blocks))):
        raise ConfigError(f"{type(model).__name__}: the weights are of {len(peers)} blocks and the model has {len(blocks)}",
                          value=len(peers), hint="use the stack_types and n_blocks of the model that the weights come from")
    found: dict[str, np.ndarray] = {}
    for i, block in enumerate(blocks):
        if block in blocks[:i]:  # shared with the block before
            continue
        prefix = f"blocks.{i}.layers."
        places = sorted({int(name.split(".")[3]) for name in state if name.startswith(prefix)})
        linear = [k for k in places if state[f"{prefix}{k}.weight"].ndim == 2]
        if len(linear) != len(block.layers) + 1:
            raise ConfigError(f"{type(model).__name__}: block {i} has {len(linear)} layers in the weights and "
                              f"{len(block.layers) + 1} in the model", value=len(linear),
                              hint="use the mlp_units of the model that the weights come from")
        for k, name in zip(linear, [*(f"layers.{n}" for n in range(len(block.layers))), "theta"], strict=True):
            for part in ("weight", "bias"):
                found[f"blocks.{i}.{name}.{part}"] = state[f"{prefix}{k}.{part}"]
        slopes = [k for k in places if k not in linear]
        if block.prelu is not None and slopes:
            found[f"blocks.{i}.prelu.weight"] = state[f"{prefix}{slopes[0]}.weight"]
    return found
