"""Folders in the layout of the Hugging Face hub: config.json, weights in safetensors, tokenizer.json.

Contract: nothing that a file holds is executed. Sizes come from config.json and are compared with the shapes in the headers of
the weights before any weight is read; ``safetensors`` checks these headers against the files' lengths. Weights that are stored
as float32 are mapped, not read: their pages are shared with the file and come in when they are used. All that is not as it
should be is `FileError` (E0006); pickled weights (.bin) are refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, closest
from .backbone import Backbone, architectures
from .llama import llama3_divisors
from .loading import limited
from .parts import Tensors
from .tokenizing import from_folder

__all__ = ["read_folder"]

_JSON_LIMIT = 1 << 26  # bytes of config.json or of an index
_MOST_FEATURES = 1 << 16  # of a head, where something is made for each before a weight has been seen
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
# before the names of weights where a head (of a language model, a classifier) was saved with the model
_PREFIXES = {"gpt2": "transformer.", "llama": "model.", "bert": "bert."}
# older checkpoints of BERT name the two vectors of a normalization so
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclass(frozen=True)
class _Place:
    """Where a tensor's bytes are."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


class _Config:
    """config.json, with checks as it is read."""

    def __init__(self, file: Path, values: Any) -> None:
        self.file, self.values = file, values
        if not isinstance(values, dict):
            raise FileError(f"{file} is not a configuration", value=str(file), hint="it holds one JSON object")

    def wrong(self, name: str, hint: str) -> FileError:
        value = self.values.get(name)
        return FileError(f"{self.file}: {name} is {value!r}", value=value, hint=hint)

    def whole(self, name: str, default: int | None = None) -> int:
        """A positive whole number."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, "it should be a positive whole number")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "it should be a number")
        return float(value)

    def only(self, name: str, expected: Any) -> None:
        """Refuse another value than the one that the architecture here is written for."""
        if self.values.get(name, expected) != expected:
            raise self.wrong(name, f"only {expected!r} can be run")


def _gpt2(c: _Config) -> dict[str, Any]:
    c.only("add_cross_attention", False)
    width = c.whole("n_embd", 768)
    return {"width": width, "num_layers": c.whole("n_layer", 12), "num_heads": c.whole("n_head", 12),
            "inner": c.whole("n_inner", 4 * width), "vocabulary_size": c.whole("vocab_size", 50257),
            "max_positions": c.whole("n_positions", 1024), "activation": c.values.get("activation_function", "gelu_new"),
            "eps": c.number("layer_norm_epsilon", 1e-5), "scale": bool(c.values.get("scale_attn_weights", True)),
            "scale_by_layer": bool(c.values.get("scale_attn_by_inverse_layer_idx", False))}


def _llama(c: _Config) -> dict[str, Any]:
    c.only("pretraining_tp", 1)
    heads = c.whole("num_attention_heads", 32)
    return {"width": c.whole("hidden_size", 4096), "num_layers": c.whole("num_hidden_layers", 32), "num_heads": heads,
            "inner": c.whole("intermediate_size", 11008), "vocabulary_size": c.whole("vocab_size", 32000),
            "max_positions": c.whole("max_position_embeddings", 2048), "activation": c.values.get("hidden_act", "silu"),
            "eps": c.number("rms_norm_eps", 1e-6), "kv_heads": c.whole("num_key_value_heads", heads),
            "head_dim": c.whole("head_dim", 0) or None, "attention_bias": bool(c.values.get("attention_bias", False)),
            "mlp_bias": bool(c.values.get("mlp_bias", False)), **_rotations(c)}


def _rotations(c: _Config) -> dict[str, Any]:
    """What config.json says of positions: in one place since transformers 5, in two before."""
    name = "rope_parameters" if c.values.get("rope_parameters") is not None else "rope_scaling"
    found = c.values.get(name) or {}
    part = _Config(c.file, found)
    theta = part.number("rope_theta", c.number("rope_theta", 10000.0))
    part.only("partial_rotary_factor", 1.0)
    kind = found.get("rope_type", found.get("type", "default"))
    if kind == "default":
        return {"theta": theta}
    if kind == "linear":
        return {"theta": theta, "divisors": (part.number("factor"),)}
    if kind == "llama3":
        dim = c.whole("head_dim", max(c.whole("hidden_size", 4096) // c.whole("num_attention_heads", 32), 1))
        if dim > _MOST_FEATURES:
            raise c.wrong("head_dim", f"heads have at most {_MOST_FEATURES} features")
        return {"theta": theta, "divisors": llama3_divisors(
            theta, dim // 2, part.number("factor"), part.number("low_freq_factor"), part.number("high_freq_factor"),
            part.whole("original_max_position_embeddings"))}
    raise c.wrong(name, "only the kinds default, linear and llama3 can be run")


def _bert(c: _Config) -> dict[str, Any]:
    c.only("position_embedding_type", "absolute")
    c.only("is_decoder", False)
    c.only("add_cross_attention", False)
    return {"width": c.whole("hidden_size", 768), "num_layers": c.whole("num_hidden_layers", 12),
            "num_heads": c.whole("num_attention_heads", 12), "inner": c.whole("intermediate_size", 3072),
            "vocabulary_size": c.whole("vocab_size", 30522), "max_positions": c.whole("max_position_embeddings", 512),
            "activation": c.values.get("hidden_act", "gelu"), "eps": c.number("layer_norm_eps", 1e-12),
            "token_types": c.whole("type_vocab_size", 2)}


_SIZES = {"gpt2": _gpt2, "llama": _llama, "bert": _bert}


def read_folder(folder: Path, num_layers: int | None) -> Backbone:
    """The model in a folder, or its first layers."""
    if not (folder / "config.json").is_file():
        raise FileError(f"{folder} has no config.json", value=str(folder),
                        hint="give the folder that holds config.json and model.safetensors")
    config = _Config(folder / "config.json", _json(folder / "config.json"))
    kind = config.values.get("model_type")
    if not isinstance(kind, str) or kind not in _SIZES:
        raise FileError(f"{config.file}: model_type is {kind!r}", value=kind, hint=closest(kind, _SIZES))
    sizes = limited(architectures()[kind].sizes_type, _SIZES[kind](config), num_layers, str(config.file))
    places = {_name(name, kind): place for name, place in _places(folder).items()}
    w = Tensors(str(folder), {name: p.shape for name, p in places.items()}, lambda name: _array(places[name]))
    file = folder / "tokenizer.json"
    pad = _padding(config.values, sizes.vocabulary_size)
    model: Backbone = architectures()[kind](sizes, w, from_folder(file, pad) if file.is_file() else None)
    return model


def _padding(values: dict[str, Any], vocabulary_size: int) -> int:
    """The token that fills up shorter texts. GPT-2 has none of its own: then it is the end of a text, as is usual, since a
    prompt of TimeLLM is read with its padding in ``compat``."""
    for name in ("pad_token_id", "eos_token_id"):
        found = values.get(name)
        found = found[0] if isinstance(found, list) and found else found
        if isinstance(found, int) and 0 <= found < vocabulary_size:
            return found
    return 0


def _name(name: str, kind: str) -> str:
    """A weight's name, as the architectures know it."""
    name = name.removeprefix(_PREFIXES[kind])
    for old, new in _RENAMED.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


# -- files ---------------------------------------------------------------------------------------------------------


def _json(file: Path) -> Any:
    if file.stat().st_size > _JSON_LIMIT:
        raise FileError(f"{file} is too large for what it should hold", value=file.stat().st_size)
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise FileError(f"{file} is not JSON", value=str(file), hint="copy it again") from None


def _places(folder: Path) -> dict[str, _Place]:
    """Every tensor of a folder, by its name there."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return _header(folder / "model.safetensors")
    if index.is_file():
        return _sharded(folder, index)
    if any(f.suffix in _PICKLES for f in folder.iterdir()):
        raise FileError(f"{folder} holds its weights as pickles, which can run code and are not read", value=str(folder),
                        hint="save them as safetensors: transformers' save_pretrained does so")
    raise FileError(f"{folder} has no model.safetensors", value=str(folder),
                    hint="give the folder that holds config.json and model.safetensors")


def _sharded(folder: Path, index: Path) -> dict[str, _Place]:
    whole = _json(index)
    files = whole.get("weight_map") if isinstance(whole, dict) else None
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        raise FileError(f"{index} has no weight_map", value=str(index), hint="copy it again")
    found: dict[str, _Place] = {}
    for part in _distinct(files.values()):
        if Path(part).name != part or not part.endswith(".safetensors") or not (folder / part).is_file():
            raise FileError(f"{index} names {part!r}, which is no safetensors file of the folder", value=part,
                            hint="copy all parts into one folder")
        found.update((name, place) for name, place in _header(folder / part).items() if files.get(name) == part)
    missing = sorted(files.keys() - found.keys())
    if missing:
        raise FileError(f"{index} names {missing[0]}, which is not in {files[missing[0]]}", value=missing[0],
                        hint="copy all parts again")
    return found


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _header(file: Path) -> dict[str, _Place]:
    """The tensors of one safetensors file. The package checks the header; where the bytes lie it does not tell."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(file), framework="np"):
            pass
        with file.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            header = json.loads(raw.read(size))
        header.pop("__metadata__", None)
        return {name: _Place(file, facts["dtype"], tuple(facts["shape"]), 8 + size + facts["data_offsets"][0])
                for name, facts in header.items()}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{file} is not a safetensors file that can be read: {error}", value=str(file),
                        hint="copy it again") from None


def _array(place: _Place) -> np.ndarray:
    """The values as float32: mapped where they are stored so, else converted."""
    if place.dtype not in _DTYPES:
        raise FileError(f"{place.file} holds a weight of type {place.dtype}", value=place.dtype,
                        hint=f"weights are {', '.join(_DTYPES)}")
    # private pages: writable for a plan, which asks for that of a state, and never written back
    stored = np.memmap(place.file, _DTYPES[place.dtype], "c", place.offset, place.shape)
    if place.dtype == "F32" and stored.flags.aligned and stored.dtype.isnative:
        return stored.view(np.ndarray)
    if place.dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.array(stored, np.float32)
