"""Folders: what is read, what is mapped, and what is refused."""

from __future__ import annotations

import json
import mmap

import numpy as np
import pytest
from language_files import figure, write_folder
from safetensors.numpy import save_file

from ndiv.errors import ConfigError, FileError
from ndiv.language import load


@pytest.fixture
def folder(tmp_path):
    config, weights, _ = figure("llama 3")
    return write_folder(tmp_path / "model", config, weights)


def states(model, found):
    return model.hidden_states(found["x"], found["mask"]).numpy() * found["mask"][..., None]


def rewrite(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def is_mapped(a):
    while a is not None and not isinstance(a, mmap.mmap):
        a = getattr(a, "base", None)
    return a is not None


@pytest.mark.parametrize("case, prefix, head", [("gpt2 1", "transformer.", "lm_head.weight"), ("llama 3", "model.", "lm_head.weight"),
                                                ("bert 0", "bert.", "cls.predictions.bias")])
def test_weights_saved_with_a_head(case, prefix, head, tmp_path):
    config, weights, found = figure(case)
    more = {head: np.zeros(3, np.float32), prefix + "h.0.attn.bias": np.ones((4, 4), np.uint8)}
    model = load(write_folder(tmp_path / "a", config, {**{prefix + k: v for k, v in weights.items()}, **more}))
    np.testing.assert_allclose(states(model, found), found["hidden"], atol=1e-5 * np.abs(found["hidden"]).max())
    assert model.fingerprint == load(write_folder(tmp_path / "b", config, weights)).fingerprint


def test_old_names_of_normalization(tmp_path):
    config, weights, found = figure("bert 7")
    weights = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in weights.items()}
    model = load(write_folder(tmp_path / "model", config, weights))
    np.testing.assert_allclose(states(model, found), found["hidden"], atol=1e-5 * np.abs(found["hidden"]).max())


def test_parts(tmp_path):
    config, weights, _ = figure("gpt2 1")
    whole = load(write_folder(tmp_path / "whole", config, weights))
    folder, names = tmp_path / "parts", sorted(weights)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    where = {name: f"model-{i % 3 + 1:05d}-of-00003.safetensors" for i, name in enumerate(names)}
    for part in set(where.values()):
        save_file({k: np.ascontiguousarray(weights[k]) for k in names if where[k] == part}, str(folder / part))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert load(folder).fingerprint == whole.fingerprint
    for broken, words in [({**where, names[0]: "../whole/model.safetensors"}, "no safetensors file of the folder"),
                          ({**where, names[0]: "other.safetensors"}, "no safetensors file of the folder"),
                          ({**where, "wte.more": where[names[0]]}, "wte.more, which is not in"), ([], "no weight_map"),
                          ({names[0]: 3}, "no weight_map")]:
        index.write_text(json.dumps({"weight_map": broken}))
        with pytest.raises(FileError, match=words):
            load(folder)


@pytest.mark.parametrize("dtype, bound", [(np.float16, 1e-2), (np.float64, 1e-5)])
def test_other_types_are_converted(dtype, bound, tmp_path):
    config, weights, found = figure("llama 3")
    model = load(write_folder(tmp_path / "model", config, {k: v.astype(dtype) for k, v in weights.items()}))
    np.testing.assert_array_equal(model.embeddings.data, weights["embed_tokens.weight"].astype(dtype).astype(np.float32))
    np.testing.assert_allclose(states(model, found), found["hidden"], atol=bound * np.abs(found["hidden"]).max())


def test_bfloat16(tmp_path):
    """Written by hand: NumPy has no such type."""
    config, weights, _ = figure("gpt2 3")
    cut = {k: (np.ascontiguousarray(v).view(np.uint32) >> 16).astype("<u2") for k, v in weights.items()}
    header, data = {}, b""
    for k, v in cut.items():
        header[k] = {"dtype": "BF16", "shape": list(v.shape), "data_offsets": [len(data), len(data) + v.nbytes]}
        data += v.tobytes()
    text = json.dumps(header).encode()
    folder = write_folder(tmp_path / "model", config, {})
    for spaces in (0, 1):  # the header's length decides where values lie, aligned or not
        body = text + b" " * (-len(text) % 8 + spaces)
        (folder / "model.safetensors").write_bytes(len(body).to_bytes(8, "little") + body + data)
        for name, v in zip(["embeddings", "positions"], ["wte.weight", "wpe.weight"], strict=True):
            expected = (cut[v].astype(np.uint32) << 16).view(np.float32)
            np.testing.assert_array_equal(getattr(load(folder), name).data, expected)


def test_float32_is_mapped_and_the_file_is_left_alone(folder):
    before = (folder / "model.safetensors").read_bytes()
    model = load(folder)
    assert all(is_mapped(p.data) for p in model.parameters())
    model.embeddings.data[:] = 7.0
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_first_layers_alone(folder):
    model, whole = load(folder, num_layers=1), load(str(folder))
    assert (model.num_layers, len(model.layers), whole.num_layers) == (1, 1, 2)
    assert model.fingerprint != whole.fingerprint
    x = np.random.default_rng(0).standard_normal((1, 5, 8)).astype(np.float32)
    inner = []
    whole.layers[0].register_forward_hook(lambda m, args, out: inner.append(out))
    whole(x)
    np.testing.assert_array_equal(model(x).numpy(), whole.norm(inner[0]).numpy())
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="num_layers must be"):
            load(folder, num_layers=wrong)
    with pytest.raises(ConfigError, match="num_layers is 3 and the model has 2"):
        load(folder, num_layers=3)


def test_old_and_new_words_for_rotations(tmp_path):
    config, weights, _ = figure("llama 4")
    new = load(write_folder(tmp_path / "new", config, weights))
    rope = config.pop("rope_parameters")
    old = load(write_folder(tmp_path / "old", {**config, "rope_theta": rope["rope_theta"],
                                               "rope_scaling": {"type": "linear", "factor": 3.0}}, weights))
    assert new.sizes == old.sizes and new.sizes.divisors == (3.0,)


# refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes, words", [
    ({"model_type": "t5"}, "model_type is 't5'"), ({"model_type": None}, "model_type is None"), ({"model_type": ["a"]}, "model_type is"),
    ({"hidden_size": "8"}, "hidden_size is '8'"), ({"hidden_size": 12}, "has shape"), ({"num_hidden_layers": 3}, "has no tensor layers.2"),
    ({"num_hidden_layers": 10**15}, "has no tensor layers.2"), ({"num_attention_heads": 3}, "not a multiple of kv_heads"),
    ({"vocab_size": True}, "vocab_size is True"), ({"head_dim": 10**12}, "has shape"), ({"hidden_act": "gelo"}, "unknown activation"),
    ({"hidden_act": []}, "unknown activation"), ({"rms_norm_eps": "x"}, "rms_norm_eps is 'x'"), ({"rope_parameters": 3}, "not a configuration"),
    ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_parameters is"),
    ({"rope_parameters": {"rope_type": "linear"}}, "factor is None"),
    ({"rope_parameters": {"rope_type": "linear", "factor": 0}}, "divisors"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
    ({"head_dim": 10**12, "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
      "high_freq_factor": 4.0, "original_max_position_embeddings": 8}}, "head_dim is")])
def test_configurations_that_are_refused(folder, changes, words):
    rewrite(folder, **changes)
    with pytest.raises(FileError, match=words) as caught:
        load(folder)
    assert caught.value.hint and caught.value.code == "E0006"


@pytest.mark.parametrize("case, changes", [("bert 0", {"position_embedding_type": "relative_key"}), ("bert 0", {"is_decoder": True}),
                                           ("gpt2 1", {"add_cross_attention": True})])
def test_other_forms_of_the_architectures(case, changes, tmp_path):
    config, weights, _ = figure(case)
    with pytest.raises(FileError, match="can be run"):
        load(write_folder(tmp_path / "model", {**config, **changes}, weights))


def test_folders_that_hold_no_model(folder, tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"has no config\.json"):
        load(tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileError, match=r"has no model\.safetensors"):
        load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(FileError, match="pickles, which can run code"):
        load(folder)
    for damaged in (weights[:-1], weights[:100], b"", b"\xff" * 50, weights + b"x"):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(FileError, match="not a safetensors file"):
            load(folder)
    (folder / "model.safetensors").write_bytes(weights)
    load(folder)
    for text, words in [("{", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[]", "not a configuration")]:
        (folder / "config.json").write_text(text)
        with pytest.raises(FileError, match=words):
            load(folder)


def test_whole_numbers_are_no_weights(tmp_path):
    config, weights, _ = figure("gpt2 3")
    folder = write_folder(tmp_path / "model", config, {**weights, "wte.weight": weights["wte.weight"].astype(np.int32)})
    with pytest.raises(FileError, match="a weight of type I32"):
        load(folder)
