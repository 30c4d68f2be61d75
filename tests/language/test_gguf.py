"""GGUF: models, metadata, and files that are damaged or written to do harm."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from language_files import (
    BF16,
    CASES,
    F16,
    F32,
    Q8_0,
    figure,
    gguf_bytes,
    gguf_model,
    stored,
    text,
    write_folder,
    write_gguf,
)

from ndiv.errors import ConfigError, FileError, NdivError
from ndiv.language import Backbone, load
from ndiv.language.gguf import read_header

NOT_IN_METADATA = ("gpt2 1", "gpt2 3", "bert 7", "llama 3")  # activations other than the usual one, scaling of scores


@pytest.fixture
def model():
    """(metadata, tensors) of a small LLaMA."""
    metadata, arrays = gguf_model(*figure("llama 3")[:2])
    return metadata, {name: (a.shape, F32, stored(a, F32)) for name, a in arrays.items()}


@pytest.mark.parametrize("case", ["llama 2", "llama 4", "llama 8"])
def test_hidden_states_are_the_reference_s(case, tmp_path):
    """Whose pairs of features lie side by side in the file: with biases, grouped queries, two kinds of stretched frequencies."""
    config, weights, found = figure(case)
    b = load(write_gguf(tmp_path / "model.gguf", config, weights))
    hidden = b.hidden_states(found["x"], found["mask"]).numpy() * found["mask"][..., None]
    np.testing.assert_allclose(hidden, found["hidden"], rtol=0, atol=1e-5 * np.abs(found["hidden"]).max())


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_the_folder(case, tmp_path):
    config, weights, _ = figure(case)
    folder = load(write_folder(tmp_path / "folder", config, weights))
    file = load(write_gguf(tmp_path / "model.gguf", config, weights))
    for (name, p), (other, q) in zip(folder.named_parameters(), file.named_parameters(), strict=True):
        assert name == other
        np.testing.assert_array_equal(p.data, q.data)
    sizes = {f: v if isinstance(v, str) else pytest.approx(v, rel=1e-6) for f, v in vars(folder.sizes).items()}
    different = {f for f, v in sizes.items() if getattr(file.sizes, f) != v}
    assert different <= {"activation", "scale", "scale_by_layer"}
    assert bool(different) == (case in NOT_IN_METADATA)


@pytest.mark.parametrize("kind, bound", [(F16, 2e-3), (BF16, 1e-2), (Q8_0, 2e-2)])
def test_formats_in_a_model(kind, bound, tmp_path):
    b = Backbone.from_config("llama", width=32, num_heads=4, kv_heads=2, num_layers=2, inner=64, vocabulary_size=20)
    config = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "max_position_embeddings": 64,
              "rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    ours = {"embeddings": "embed_tokens.weight", "query.": "self_attn.q_proj.", "key.": "self_attn.k_proj.",
            "value.": "self_attn.v_proj.", "out.": "self_attn.o_proj.", "gate.": "mlp.gate_proj.", "up.": "mlp.up_proj.",
            "down.": "mlp.down_proj.", "norm1.": "input_layernorm.", "norm2.": "post_attention_layernorm."}
    weights = {}
    for name, p in b.named_parameters():
        for old, new in ours.items():
            name = name.replace(old, new)
        weights[name] = p.data
    found = load(write_gguf(tmp_path / "model.gguf", config, weights, kind))
    x = np.random.default_rng(0).standard_normal((2, 9, 32)).astype(np.float32)
    expected = b(x).numpy()
    error = np.abs(found(x).numpy() - expected).max() / np.abs(expected).max()
    assert 1e-6 < error < bound


def test_frequencies_of_longer_contexts(tmp_path, model):
    metadata, tensors = model
    half = metadata["llama.attention.key_length"] // 2
    divisors = np.arange(1, half + 1, dtype=np.float32)
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes(metadata, {**tensors, "rope_freqs.weight": ((half,), F32, divisors.tobytes())}))
    assert load(file).sizes.divisors == tuple(divisors.tolist())
    file.write_bytes(gguf_bytes(metadata, {**tensors, "rope_freqs.weight": ((half + 1,), F32, bytes(4 * half + 4))}))
    with pytest.raises(FileError, match="rope_freqs"):
        load(file)


def test_the_first_layers_alone(tmp_path):
    config, weights, found = figure("llama 3")
    config["hidden_act"] = "silu"
    file = write_gguf(tmp_path / "a", config, weights)
    part = load(file, num_layers=1)
    folder = load(write_folder(tmp_path / "folder", config, weights), num_layers=1)
    np.testing.assert_array_equal(part(found["x"]).numpy(), folder(found["x"]).numpy())
    with pytest.raises(ConfigError, match="the model has 2"):
        load(file, num_layers=9)


def test_alignment_and_versions(tmp_path, model):
    metadata, tensors = model
    file = tmp_path / "m.gguf"
    for alignment, version in [(8, 3), (64, 2), (32, 3)]:
        file.write_bytes(gguf_bytes({**metadata, "general.alignment": alignment}, tensors, alignment, version))
        b = load(file)
        np.testing.assert_array_equal(b.embeddings.data.tobytes(), tensors["token_embd.weight"][2])
    for version in (1, 4, 3 << 24):
        file.write_bytes(gguf_bytes(metadata, tensors, version=version))
        with pytest.raises(FileError, match="GGUF of version"):
            load(file)


def test_metadata_of_every_type(tmp_path):
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 5)
    head += text("a") + struct.pack("<Id", 12, 0.25) + text("b") + struct.pack("<Iq", 11, -3)
    head += text("c") + struct.pack("<IIQ", 9, 5, 3) + struct.pack("<3i", -1, 0, 7)
    head += text("d") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("é")
    head += text("e") + struct.pack("<I?", 7, True)
    file = tmp_path / "m"
    file.write_bytes(head)
    found = read_header(file).metadata
    assert (found["a"], found["b"], found["c"].tolist(), found["d"], found["e"]) == (0.25, -3, [-1, 0, 7], ["x", "é"], True)


# refusals ---------------------------------------------------------------------------------------------------------


def test_every_truncation_is_refused(tmp_path, model):
    whole = gguf_bytes(*model)
    file = tmp_path / "m.gguf"
    ends = [*range(0, 200, 3), *range(200, len(whole), 97), len(whole) - 1]
    for end in ends:
        file.write_bytes(whole[:end])
        with pytest.raises(FileError) as caught:
            load(file)
        assert caught.value.code == "E0006" and caught.value.hint


def test_random_damage_gives_an_error_of_its_class_or_a_model(tmp_path, model):
    """Bytes of the header changed: no other error, and no more memory than some times the file's size."""
    whole = gguf_bytes(*model)
    start = len(whole) - sum(len(raw) + (-len(raw) % 32) for _, _, raw in model[1].values())
    rng = np.random.default_rng(0)
    file, refused, most = tmp_path / "m.gguf", 0, 0
    tracemalloc.start()
    for _ in range(250):
        damaged = bytearray(whole)
        for at in rng.integers(0, start, rng.integers(1, 4)):
            damaged[at] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        file.write_bytes(damaged)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            load(file)
        except NdivError as error:
            assert error.code == "E0006", error
            refused += 1
        most = max(most, tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    assert 100 < refused < 250
    assert most < 20 * len(whole) + 200_000


@pytest.mark.parametrize("head, words", [
    (struct.pack("<IQQ", 3, 1 << 60, 0), "tensors do not fit"), (struct.pack("<IQQ", 3, 0, 1 << 60), "entries of metadata do not fit"),
    (struct.pack("<IQQQ", 3, 0, 1, 1 << 62), "it ends within the name"),
    (struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 10, 1 << 61), "a do not fit"),
    (struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 1 << 61), "a do not fit"),
    (struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 1), "unknown type 9"),
    (struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 77), "unknown type 77"),
    (struct.pack("<IQQ", 3, 0, 2) + (text("a") + struct.pack("<IB", 0, 1)) * 2, "two entries are named a"),
    (struct.pack("<IQQ", 3, 0, 1) + text(b"\xff\xfe") + struct.pack("<IB", 0, 1), "is no text"),
    (struct.pack("<IQQ", 3, 0, 1) + text("general.alignment") + struct.pack("<II", 4, 0), "general.alignment is 0"),
    (struct.pack("<IQQ", 3, 1, 0) + text("t") + struct.pack("<I", 1 << 30), "has 1073741824 axes")])
def test_headers_that_lie(head, words, tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" + head + bytes(64))
    with pytest.raises(FileError, match=words):
        load(file)


def test_tables_that_lie(tmp_path, model):
    metadata, tensors = model
    file = tmp_path / "m.gguf"

    def refused(words, changed=None, **facts):
        file.write_bytes(gguf_bytes({**metadata, **facts}, {**tensors, **(changed or {})}))
        with pytest.raises(FileError, match=words):
            load(file)

    shape, _, raw = tensors["token_embd.weight"]
    refused("ggml's format 10, which is not read", {"token_embd.weight": (shape, 10, raw)})
    refused("blocks of 32", {"token_embd.weight": (shape, Q8_0, raw)})
    refused("blocks of 1", {"token_embd.weight": ((0, 8), F32, raw)})
    refused("lies outside", {"more": ((1 << 40, 1 << 20), F32, b"")})
    refused("lies outside", {"more": ((1 << 62, 1 << 62, 4), F32, b"")})
    refused("tensors overlap", {"blk.0.attn_q.weight": ((1, 64), F32, raw[:32])})
    refused("has shape", {"token_embd.weight": (shape[::-1], F32, raw)})
    refused("holds the architecture 'mamba'", **{"general.architecture": "mamba"})
    refused("holds the architecture", **{"general.architecture": ["llama"]})
    for name, value, words in [("embedding_length", 0, "embedding_length is 0"), ("embedding_length", "8", "is '8'"),
                               ("attention.head_count", 3, "not a multiple"), ("attention.head_count", 8, "has shape"),
                               ("attention.head_count_kv", [1, 2], "head_count_kv is"),
                               ("rope.dimension_count", 2, "rope.dimension_count is 2"), ("attention.value_length", 3, "value_length is 3"),
                               ("rope.scaling.type", "yarn", "'yarn'"), ("rope.scaling.type", [1, 2], "can be run"),
                               ("expert_count", 8, "mixtures of experts"),
                               ("expert_count", [1, 2], "mixtures of experts"),
                               ("attention.layer_norm_rms_epsilon", 2.0, "eps must be"), ("block_count", 3, "has no tensor layers.2"),
                               ("context_length", True, "context_length is True")]:
        refused(words, **{f"llama.{name}": value})


def test_files_that_are_something_else(tmp_path):
    file = tmp_path / "model.gguf"
    for body, words in [(b"", "too short"), (b"GGUF", "too short"), (bytes(100), "no GGUF file"), (b"PK\x03\x04" + bytes(50), "no GGUF file")]:
        file.write_bytes(body)
        with pytest.raises(FileError, match=words):
            load(file)
