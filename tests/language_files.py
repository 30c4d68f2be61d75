"""Small files with language models, written for tests: folders and GGUF files of the reference's weights in figures.npz.

Contract: `figure` gives a case's configuration and arrays; `write_folder` and `write_gguf` write them as the formats say, by code
that shares nothing with the readers.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CASES = ("gpt2 1", "gpt2 3", "llama 2", "llama 3", "llama 4", "llama 8", "bert 0", "bert 7")


def figure(case: str) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(config.json, weights by name, x mask g hidden gradient)."""
    with np.load(Path(__file__).parent / "language" / "figures.npz") as file:
        facts, numbers = json.loads(str(file[f"{case}: facts"])), file[f"{case}: numbers"]
    weights, rest, at = {}, {}, 0
    for name, shape in facts["shapes"]:
        size = int(np.prod(shape))
        a = numbers[at:at + size].reshape(shape)
        at += size
        if name.startswith("weight."):
            weights[name.removeprefix("weight.")] = a
        else:
            rest[name] = a
    return facts["config"], weights, rest


def write_folder(folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, str(folder / "model.safetensors"))
    return folder


# GGUF -------------------------------------------------------------------------------------------------------------

F32, F16, Q8_0, BF16 = 0, 1, 8, 30
STRING, ARRAY = 8, 9


def text(s: str | bytes) -> bytes:
    raw = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(v: Any) -> bytes:
    """A typed value: text, bool, int (uint32), float (float32) or a list of one of these."""
    if isinstance(v, list):
        items = [value(x) for x in v]
        return struct.pack("<I", ARRAY) + (items[0][:4] if items else struct.pack("<I", STRING)) + struct.pack("<Q", len(v)) \
            + b"".join(item[4:] for item in items)
    if isinstance(v, str):
        return struct.pack("<I", STRING) + text(v)
    if isinstance(v, bool):
        return struct.pack("<I?", 7, v)
    return struct.pack("<II", 4, v) if isinstance(v, int) else struct.pack("<If", 6, v)


def stored(a: np.ndarray, kind: int) -> bytes:
    """The bytes of an array in one of the formats that are simple to write."""
    if kind == F16:
        return a.astype("<f2").tobytes()
    if kind == BF16:
        return (a.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    if kind == Q8_0:
        out = b""
        for block in a.reshape(-1, 32):
            scale = np.float16(np.abs(block).max() / 127)
            q = np.round(block / np.float32(scale)) if scale else np.zeros(32)
            out += scale.tobytes() + np.clip(q, -127, 127).astype(np.int8).tobytes()
        return out
    return a.astype("<f4").tobytes()


def gguf_bytes(metadata: dict[str, Any], tensors: dict[str, tuple[tuple[int, ...], int, bytes]], alignment: int = 32,
               version: int = 3) -> bytes:
    """A file: ``tensors`` are name -> (shape, format, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(text(name) + value(v) for name, v in metadata.items())
    data = b""
    for name, (shape, kind, raw) in tensors.items():
        data += b"\0" * (-len(data) % alignment)
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, len(data))
        data += raw
    return head + b"\0" * (-len(head) % alignment) + data


def _interleaved(a: np.ndarray, heads: int) -> np.ndarray:
    """Rows i and i + d/2 of each head side by side, row by row."""
    out, d = np.empty_like(a), len(a) // heads
    for h in range(heads):
        for i in range(d // 2):
            out[h * d + 2 * i], out[h * d + 2 * i + 1] = a[h * d + i], a[h * d + i + d // 2]
    return out


def stretched(rope: dict[str, Any], dim: int) -> np.ndarray:
    """What Llama 3.1 divides the frequency of each pair by, case by case."""
    out, short, long = [], rope["original_max_position_embeddings"] / rope["high_freq_factor"], \
        rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    for i in range(0, dim, 2):
        wave = 2 * np.pi * rope["rope_theta"] ** (i / dim)
        if wave < short:
            out.append(1.0)
        elif wave > long:
            out.append(rope["factor"])
        else:
            share = (rope["original_max_position_embeddings"] / wave - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            out.append(1 / ((1 - share) / rope["factor"] + share))
    return np.array(out, np.float32)


def gguf_model(config: dict[str, Any], weights: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(metadata, arrays by GGUF's names) of a model, as llama.cpp's converter writes them."""
    kind = config["model_type"]
    get = {"gpt2": ("n_embd", "n_layer", "n_head", "n_inner", "n_positions", "layer_norm_epsilon")}.get(
        kind, ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings",
               "rms_norm_eps" if kind == "llama" else "layer_norm_eps"))
    width, layers, heads, inner, length, eps = (config[name] for name in get)
    facts = {"embedding_length": width, "block_count": layers, "attention.head_count": heads,
             "feed_forward_length": inner or 4 * width, "context_length": length,
             "attention.layer_norm_rms_epsilon" if kind == "llama" else "attention.layer_norm_epsilon": eps}
    if kind == "llama":
        rope = config["rope_parameters"]
        facts |= {"attention.head_count_kv": config["num_key_value_heads"], "attention.key_length": config["head_dim"],
                  "attention.value_length": config["head_dim"], "rope.dimension_count": config["head_dim"],
                  "rope.freq_base": float(rope["rope_theta"])}
        if rope["rope_type"] == "linear":
            facts |= {"rope.scaling.type": "linear", "rope.scaling.factor": rope["factor"]}
    arrays = {}
    if kind == "llama" and rope["rope_type"] == "llama3":
        arrays["rope_freqs.weight"] = stretched(rope, config["head_dim"])
    for name, a in weights.items():
        new = RENAMED[kind](name)
        if kind == "gpt2" and ".c_" in name and a.ndim == 2:
            a = a.T
        if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
            a = _interleaved(a, heads if ".q_proj." in name else config["num_key_value_heads"])
        arrays[new] = np.ascontiguousarray(a)
    return {"general.architecture": kind, **{f"{kind}.{k}": v for k, v in facts.items()}}, arrays


def _renamer(pairs: dict[str, str]) -> Any:
    def rename(name: str) -> str:
        for old, new in pairs.items():
            name = name.replace(old, new)
        return name

    return rename


RENAMED = {
    "gpt2": _renamer({"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "h.": "blk.", "ln_1": "attn_norm",
                      "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
                      "mlp.c_proj": "ffn_down"}),
    "llama": _renamer({"embed_tokens": "token_embd", "layers.": "blk.", "input_layernorm": "attn_norm",
                       "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
                       "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
                       "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}),
    "bert": _renamer({"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
                      "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
                      "encoder.layer.": "blk.", "attention.self.query": "attn_q", "attention.self.key": "attn_k",
                      "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
                      "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
                      "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}),
}
_llama = RENAMED["llama"]
RENAMED["llama"] = lambda name: "output_norm.weight" if name == "norm.weight" else _llama(name)


def write_gguf(file: Path, config: dict[str, Any], weights: dict[str, np.ndarray], kind: int = F32,
               more: dict[str, Any] | None = None) -> Path:
    """A model with its matrices in one format (vectors are float32)."""
    metadata, arrays = gguf_model(config, weights)
    tensors = {}
    for name, a in arrays.items():
        own = kind if a.ndim == 2 and not (kind == Q8_0 and a.shape[1] % 32) else F32
        tensors[name] = a.shape, own, stored(a, own)
    file.write_bytes(gguf_bytes({**metadata, **(more or {})}, tensors))
    return file
