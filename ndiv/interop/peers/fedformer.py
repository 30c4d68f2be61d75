"""Weights of neuralforecast's FEDformer under the names of ``FEDformer(variant="compat")``.

Contract: `convert` takes its state_dict as arrays (complex ones as such) and an ndiv FEDformer with the same arguments, and
returns that model's state. neuralforecast does not save which modes it chose: it draws them again, from the seed. The
model has drawn the same ones, by its random_seed; where ``state`` holds others, as ``....inner_correlation.index`` (or
``index_q`` and ``index_kv`` of the attention to the encoder's output), those are taken. `modes_of` reads them off a live
model of neuralforecast.

Not used are the projections of keys and values of attention to oneself, and of values of the attention to the
encoder's output, which take no part there; and the complex weights of all layers but the first, which are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .autoformer import decomposed

__all__ = ["convert", "modes_of"]

_CORE = "inner_correlation"


def convert(state: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out, own = decomposed(state, model), model.state_dict()
    for i in range(len(model.encoder)):
        _block(out, f"encoder.{i}.attention", state, f"encoder.attn_layers.{i}.attention", own)
    for i in range(len(model.decoder)):
        theirs = f"decoder.layers.{i}"
        _block(out, f"decoder.{i}.attention", state, f"{theirs}.self_attention", own)
        _block(out, f"decoder.{i}.cross", state, f"{theirs}.cross_attention", own)
    return out


def _block(out: dict[str, np.ndarray], at: str, state: dict[str, np.ndarray], theirs: str, own: dict[str, np.ndarray]) -> None:
    for name in ("query", "key", "out"):
        for part in ("weight", "bias"):
            if f"{at}.{name}.{part}" in own:
                out[f"{at}.{name}.{part}"] = state[f"{theirs}.{name}_projection.{part}"]
    if f"{at}.product.weight" in own:
        w = state[f"{theirs}.{_CORE}.weights1"].transpose(3, 0, 1, 2)  # [modes, heads, inputs, outputs]
        out[f"{at}.product.weight"] = np.stack([w.real, w.imag], axis=3)
    names = {"modes": "index"} if f"{at}.modes_memory" not in own else {"modes": "index_q", "modes_memory": "index_kv"}
    for name, index in names.items():
        drawn = own[f"{at}.{name}"]
        out[f"{at}.{name}"] = np.asarray(state.get(f"{theirs}.{_CORE}.{index}", drawn), drawn.dtype).reshape(drawn.shape)


def modes_of(model: Any) -> dict[str, np.ndarray]:
    """The chosen modes of a model of neuralforecast, under the names by which `convert` takes them."""
    found = {}
    for name, module in model.named_modules():
        for index in ("index", "index_q", "index_kv"):
            if name.endswith(_CORE) and hasattr(module, index):
                found[f"{name}.{index}"] = np.array(getattr(module, index))
    # one module serves all layers, and is named once
    for i in range(len(model.decoder.layers)):
        for kind in ("self", "cross"):
            found.update({k.replace("layers.0.", f"layers.{i}."): v for k, v in found.items() if f"layers.0.{kind}" in k})
    for i in range(len(model.encoder.attn_layers)):
        found.update({k.replace("attn_layers.0.", f"attn_layers.{i}."): v for k, v in found.items() if "attn_layers.0." in k})
    return found
