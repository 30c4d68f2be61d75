"""RNN, LSTM and GRU from neuralforecast: what their three files share.

Contract: ``hist_encoder.*`` are PyTorch's names of a recurrent layer, which ``encoder`` has too; the linear layers of
``mlp_decoder.layers.k`` (with activations and dropout between them), in order, are ``decoder``; ``upsample_sequence`` is
``upsample`` and ``proj`` is ``head``. Every array is used once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_PREFIXES = {"hist_encoder.": "encoder.", "upsample_sequence.": "upsample.", "proj.": "head."}
_DECODER = "mlp_decoder.layers."


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    places = sorted({int(name[len(_DECODER):].partition(".")[0]) for name in state if name.startswith(_DECODER)})
    prefixes = {**_PREFIXES, **{f"{_DECODER}{place}.": f"decoder.{k}." for k, place in enumerate(places)}}
    return {to + name[len(prefix):]: value for name, value in state.items()
            for prefix, to in prefixes.items() if name.startswith(prefix)}
