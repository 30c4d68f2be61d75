"""GGUF files, the format of llama.cpp: metadata, tensors (often quantized) and the tokenizer in one file.

    "GGUF", version, number of tensors, number of entries
    entries       name, type, value
    tensors       name, axes (the fastest first), format, offset
    data          from the next multiple of the alignment on

Contract: every length and offset is compared with the file's size before anything of that length is made, and tensors may not
overlap, so that what is allocated is bounded by the file's size; a file that breaks a rule is `FileError` (E0006). Weights are
float32 in memory: those that are stored so are mapped, others are converted (`quantized`). Names and orders of the weights are
brought to those of the architectures' own checkpoints.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, closest
from .backbone import Backbone, architectures
from .loading import limited
from .parts import Tensors
from .quantized import FORMATS, dequantized
from .tokenizing import from_metadata

__all__ = ["MAGIC", "NAMES", "read_gguf", "read_header"]

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_KINDS = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
          30: "BF16"}
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_AXES = 4

# names of weights: GGUF's -> the checkpoints'
_BLOCK = r"blk\.(\d+)\."
NAMES: dict[str, dict[str, str]] = {
    "llama": {
        "token_embd": "embed_tokens", "output_norm": "norm", _BLOCK + "attn_norm": r"layers.\1.input_layernorm",
        _BLOCK + "attn_q": r"layers.\1.self_attn.q_proj", _BLOCK + "attn_k": r"layers.\1.self_attn.k_proj",
        _BLOCK + "attn_v": r"layers.\1.self_attn.v_proj", _BLOCK + "attn_output": r"layers.\1.self_attn.o_proj",
        _BLOCK + "ffn_norm": r"layers.\1.post_attention_layernorm", _BLOCK + "ffn_gate": r"layers.\1.mlp.gate_proj",
        _BLOCK + "ffn_up": r"layers.\1.mlp.up_proj", _BLOCK + "ffn_down": r"layers.\1.mlp.down_proj"},
    "gpt2": {
        "token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f", _BLOCK + "attn_norm": r"h.\1.ln_1",
        _BLOCK + "attn_qkv": r"h.\1.attn.c_attn", _BLOCK + "attn_output": r"h.\1.attn.c_proj",
        _BLOCK + "ffn_norm": r"h.\1.ln_2", _BLOCK + "ffn_up": r"h.\1.mlp.c_fc", _BLOCK + "ffn_down": r"h.\1.mlp.c_proj"},
    "bert": {
        "token_embd": "embeddings.word_embeddings", "position_embd": "embeddings.position_embeddings",
        "token_types": "embeddings.token_type_embeddings", "token_embd_norm": "embeddings.LayerNorm",
        _BLOCK + "attn_q": r"encoder.layer.\1.attention.self.query", _BLOCK + "attn_k": r"encoder.layer.\1.attention.self.key",
        _BLOCK + "attn_v": r"encoder.layer.\1.attention.self.value",
        _BLOCK + "attn_output": r"encoder.layer.\1.attention.output.dense",
        _BLOCK + "attn_output_norm": r"encoder.layer.\1.attention.output.LayerNorm",
        _BLOCK + "ffn_up": r"encoder.layer.\1.intermediate.dense", _BLOCK + "ffn_down": r"encoder.layer.\1.output.dense",
        _BLOCK + "layer_output_norm": r"encoder.layer.\1.output.LayerNorm"},
}
_MATRIX = {"gpt2": re.compile(r".*\.(c_attn|c_proj|c_fc)\.weight")}  # [out, in] here, [in, out] in the checkpoints
_PAIRED = re.compile(r".*\.self_attn\.([qk])_proj\.(weight|bias)")


@dataclass(frozen=True)
class Place:
    """Where a tensor is: format, shape (the slowest axis first), and the offset and number of its bytes."""

    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class Header:
    """What stands before the data: metadata by name, tensors by GGUF's names, and the whole file's bytes."""

    file: Path
    metadata: dict[str, Any]
    tensors: dict[str, Place]
    raw: np.ndarray


# reading ----------------------------------------------------------------------------------------------------------


class _Reader:
    """Takes values from the beginning of the file; every length is checked against what is left."""

    def __init__(self, file: Path, raw: np.ndarray) -> None:
        self.file, self.raw, self.at = file, raw.data, 0

    def broken(self, what: str, value: Any = None) -> FileError:
        return FileError(f"{self.file} is damaged: {what}", value=value, hint="download or copy it again")

    def take(self, count: int, what: str) -> memoryview:
        if count > len(self.raw) - self.at:
            raise self.broken(f"it ends within {what}", count)
        self.at += count
        return self.raw[self.at - count:self.at]

    def number(self, code: str, what: str) -> Any:
        code = "<" + code
        return struct.unpack(code, self.take(struct.calcsize(code), what))[0]

    def count(self, least: int, what: str) -> int:
        """A number of things of at least so many bytes each."""
        found: int = self.number("Q", what)
        if found * least > len(self.raw) - self.at:
            raise self.broken(f"{found} {what} do not fit into it", found)
        return found

    def text(self, what: str) -> str:
        body = bytes(self.take(self.number("Q", what), what))
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise self.broken(f"{what} is no text") from None

    def value(self, what: str) -> Any:
        kind = self.number("I", what)
        if kind == _ARRAY:
            kind = self.number("I", what)
            if kind == _STRING:
                return [self.text(what) for _ in range(self.count(8, what))]
            if kind in _NUMBERS:
                dtype = np.dtype("<" + _NUMBERS[kind])
                n = self.count(dtype.itemsize, what)
                return np.frombuffer(self.take(n * dtype.itemsize, what), dtype)
        elif kind == _STRING:
            return self.text(what)
        elif kind in _NUMBERS:
            return self.number(_NUMBERS[kind], what)
        raise self.broken(f"{what} is of the unknown type {kind}", kind)


def read_header(file: Path) -> Header:
    """Metadata and table of tensors of a GGUF file, checked; the data stay on disk, mapped."""
    if file.stat().st_size < 24:
        raise FileError(f"{file} is too short for a GGUF file", value=file.stat().st_size, hint="download or copy it again")
    raw = np.memmap(file, np.uint8, "c")  # private pages, never written back
    r = _Reader(file, raw)
    if bytes(r.take(4, "the header")) != MAGIC:
        raise FileError(f"{file} is no GGUF file", value=bytes(raw[:4]), hint="give a .gguf file, or a model's folder")
    version = r.number("I", "the header")
    if version not in _VERSIONS:
        raise FileError(f"{file} is GGUF of version {version}", value=version, hint=f"versions {_VERSIONS} are read")
    n_tensors = r.number("Q", "the header")
    metadata: dict[str, Any] = {}
    for _ in range(r.count(13, "entries of metadata")):  # length, type and one byte
        name = r.text("the name of an entry")
        if name in metadata:
            raise r.broken(f"two entries are named {name}", name)
        metadata[name] = r.value(name)
    if n_tensors * 32 > len(raw) - r.at:  # length, axes, one size, format, offset
        raise r.broken(f"{n_tensors} tensors do not fit into it", n_tensors)
    return Header(file, metadata, _table(r, n_tensors, metadata), raw)


def _table(r: _Reader, count: int, metadata: dict[str, Any]) -> dict[str, Place]:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise r.broken(f"general.alignment is {alignment!r}", alignment)
    found: dict[str, tuple[int, tuple[int, ...], int]] = {}
    for _ in range(count):
        name = r.text("the name of a tensor")
        axes = r.number("I", name)
        if name in found or not 1 <= axes <= _AXES:
            raise r.broken(f"{name} has {axes} axes, or is there twice", name)
        shape = tuple(r.number("Q", name) for _ in range(axes))[::-1]
        found[name] = r.number("I", name), shape, r.number("Q", name)
    start = -(-r.at // alignment) * alignment
    places = {name: _place(r, name, kind, shape, offset, start, alignment) for name, (kind, shape, offset) in found.items()}
    end = 0
    for place in sorted(places.values(), key=lambda p: p.offset):
        if place.offset < end:
            raise r.broken("tensors overlap", place.offset)
        end = place.offset + place.size
    return places


def _place(r: _Reader, name: str, kind: int, shape: tuple[int, ...], offset: int, start: int, alignment: int) -> Place:
    if kind not in _KINDS:
        raise FileError(f"{r.file}: {name} is stored in ggml's format {kind}, which is not read", value=kind,
                        hint=f"the formats {', '.join(FORMATS)} are")
    elements, size = FORMATS[_KINDS[kind]]
    if 0 in shape or shape[-1] % elements:
        raise r.broken(f"{name} has shape {list(shape)}, and blocks of {elements}", shape)
    size *= math.prod(shape) // elements
    if offset % alignment or start + offset + size > len(r.raw):
        raise r.broken(f"{name} lies outside of it", offset)
    return Place(_KINDS[kind], shape, start + offset, size)


# models -----------------------------------------------------------------------------------------------------------


class _Facts:
    """Metadata of the architecture, checked as it is read."""

    def __init__(self, header: Header, kind: str) -> None:
        self.header, self.kind = header, kind

    def wrong(self, name: str, hint: str) -> FileError:
        value = self.header.metadata.get(f"{self.kind}.{name}")
        return FileError(f"{self.header.file}: {self.kind}.{name} is {value!r}", value=value, hint=hint)

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.header.metadata.get(f"{self.kind}.{name}", default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, "it should be a positive whole number")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.header.metadata.get(f"{self.kind}.{name}", default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "it should be a number")
        return float(value)

    def rows(self, name: str) -> int:
        """Length of a table of embeddings."""
        if name not in self.header.tensors:
            raise FileError(f"{self.header.file} has no tensor {name}", value=name, hint="the file is not complete")
        return self.header.tensors[name].shape[0]

    def common(self) -> dict[str, Any]:
        return {"width": self.whole("embedding_length"), "num_layers": self.whole("block_count"),
                "num_heads": self.whole("attention.head_count"), "inner": self.whole("feed_forward_length"),
                "vocabulary_size": self.rows("token_embd.weight")}


def _llama(f: _Facts) -> dict[str, Any]:
    found = f.common()
    heads = found["num_heads"]
    head_dim = f.whole("attention.key_length", max(found["width"] // heads, 1))
    if f.whole("attention.value_length", head_dim) != head_dim:
        raise f.wrong("attention.value_length", f"only that of the keys, {head_dim}, can be run")
    if f.whole("rope.dimension_count", head_dim) != head_dim:
        raise f.wrong("rope.dimension_count", f"only all {head_dim} features of a head can be rotated")
    if str(f.header.metadata.get("llama.expert_count", 0)) != "0":
        raise f.wrong("expert_count", "mixtures of experts cannot be run")
    divisors: tuple[float, ...] = ()
    scaling = str(f.header.metadata.get("llama.rope.scaling.type", "none"))  # an array is no name either
    if scaling == "linear":
        divisors = (f.number("rope.scaling.factor"),)
    elif scaling != "none":
        raise f.wrong("rope.scaling.type", "only none and linear can be run")
    if "rope_freqs.weight" in f.header.tensors:  # of Llama 3.1 and later
        shape = f.header.tensors["rope_freqs.weight"].shape
        if shape != (head_dim // 2,):
            raise FileError(f"{f.header.file}: rope_freqs.weight has shape {list(shape)}", value=shape,
                            hint=f"it should have one number for each of {head_dim // 2} pairs of features")
        divisors = tuple(map(float, _array(f.header, "rope_freqs.weight")))
    return {**found, "max_positions": f.whole("context_length"), "eps": f.number("attention.layer_norm_rms_epsilon"),
            "kv_heads": f.whole("attention.head_count_kv", heads), "head_dim": head_dim,
            "theta": f.number("rope.freq_base", 10000.0), "divisors": divisors,
            "attention_bias": "blk.0.attn_q.bias" in f.header.tensors, "mlp_bias": "blk.0.ffn_up.bias" in f.header.tensors}


def _gpt2(f: _Facts) -> dict[str, Any]:
    return {**f.common(), "max_positions": f.rows("position_embd.weight"), "eps": f.number("attention.layer_norm_epsilon")}


def _bert(f: _Facts) -> dict[str, Any]:
    return {**f.common(), "max_positions": f.rows("position_embd.weight"), "eps": f.number("attention.layer_norm_epsilon"),
            "token_types": f.rows("token_types.weight")}


_SIZES: dict[str, Callable[[_Facts], dict[str, Any]]] = {"llama": _llama, "gpt2": _gpt2, "bert": _bert}


def read_gguf(file: Path, num_layers: int | None) -> Backbone:
    """The model in a GGUF file, or its first layers."""
    header = read_header(file)
    kind = header.metadata.get("general.architecture")
    if not isinstance(kind, str) or kind not in _SIZES:
        raise FileError(f"{file} holds the architecture {kind!r}", value=kind, hint=closest(kind, _SIZES))
    sizes = limited(architectures()[kind].sizes_type, _SIZES[kind](_Facts(header, kind)), num_layers, str(file))
    names = {_name(name, kind): name for name in header.tensors}

    def read(name: str) -> np.ndarray:
        a = _array(header, names[name])
        paired = _PAIRED.fullmatch(name) if kind == "llama" else None
        if paired:
            return _halved(a, sizes.num_heads if paired[1] == "q" else sizes.keys)
        return np.ascontiguousarray(a.T) if kind in _MATRIX and _MATRIX[kind].fullmatch(name) else a

    shapes = {name: header.tensors[old].shape for name, old in names.items()}
    for name in shapes:
        if kind in _MATRIX and _MATRIX[kind].fullmatch(name):
            shapes[name] = shapes[name][::-1]
    model: Backbone = architectures()[kind](sizes, Tensors(str(file), shapes, read),
                                            from_metadata(header.metadata, str(file)))
    return model


def _name(name: str, kind: str) -> str:
    """A weight's name in the architecture's own checkpoints; the same where it has none there."""
    stem, dot, last = name.rpartition(".")
    for old, new in NAMES[kind].items():
        found = re.fullmatch(old, stem)
        if found:
            return found.expand(new) + dot + last
    return name


def _array(header: Header, name: str) -> np.ndarray:
    """A tensor's values: mapped where they are float32, else converted."""
    place = header.tensors[name]
    raw = header.raw[place.offset:place.offset + place.size].view(np.ndarray)
    if place.kind == "F32":
        stored = raw.view("<f4")
        if stored.flags.aligned and stored.dtype.isnative:
            return stored.reshape(place.shape)
    return dequantized(raw, place.kind).reshape(place.shape)


def _halved(a: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a projection whose pairs of features lie side by side, with the pairs' first features in a head's first half."""
    rows = a.reshape(heads, -1, 2, *a.shape[1:])
    return np.ascontiguousarray(np.swapaxes(rows, 1, 2)).reshape(a.shape)
