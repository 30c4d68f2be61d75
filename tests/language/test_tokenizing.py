"""Tokenizers: of a folder's tokenizer.json, and built from the metadata of a GGUF file."""

from __future__ import annotations

import json
import sys

import pytest
from language_files import figure, write_folder, write_gguf

from ndiv.errors import ConfigError, FileError, MissingExtraError
from ndiv.language import load

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "b", "c"]
CHARACTERS = ["<s>", "<end>", "a", "b", "c", "ab", "Ġ", "Ġa", "1", "2", "12", "<u>", "Ã", "©"]  # as bytes are written in GPT-2
BPE = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": CHARACTERS[:13],
       "tokenizer.ggml.merges": ["a b", "Ġ a", "1 2"]}


@pytest.fixture
def folder(tmp_path):
    """A BERT whose tokenizer cuts to 3 tokens and pads, of itself: encode decides on both."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    config, weights, _ = figure("bert 0")
    folder = write_folder(tmp_path / "model", config, weights)
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    made.enable_truncation(3)
    made.enable_padding(length=9)
    made.save(str(folder / "tokenizer.json"))
    return folder


def gguf(tmp_path, **changes):
    config, weights, _ = figure("llama 4")
    more = {**BPE, **{f"tokenizer.ggml.{k}": v for k, v in changes.items()}}
    return load(write_gguf(tmp_path / "m.gguf", config, weights, more=more))


def rows(model, *texts, max_length=None):
    ids, mask = model.encode(list(texts), max_length)
    return [row[:int(m.sum())].tolist() for row, m in zip(ids, mask, strict=True)]


def test_a_folder_s_own_tokenizer(folder):
    model = load(folder)
    ids, mask = model.encode(["a b c a", "b", "x"])
    assert ids.tolist() == [[1, 4, 5, 6, 4, 2], [1, 5, 2, 0, 0, 0], [1, 3, 2, 0, 0, 0]]
    assert mask.tolist() == [[1] * 6, [1] * 3 + [0] * 3, [1] * 3 + [0] * 3]
    assert rows(model, "a b c a", "b", max_length=4) == [[1, 4, 5, 2], [1, 5, 2]]  # cut before the last special token
    assert rows(model, "a b c a") == [[1, 4, 5, 6, 4, 2]]
    assert model.hidden_states(model.embed(ids), mask).shape == (3, 6, 8)


@pytest.mark.parametrize("facts, token", [({"pad_token_id": 3, "eos_token_id": 2}, 3), ({"pad_token_id": None, "eos_token_id": 2}, 2),
                                          ({"eos_token_id": [6, 2]}, 6), ({"pad_token_id": 10**9}, 0), ({}, 0)])
def test_what_fills_up_shorter_texts(folder, facts, token):
    config = json.loads((folder / "config.json").read_text())
    config = {k: v for k, v in config.items() if k not in ("pad_token_id", "eos_token_id")}
    (folder / "config.json").write_text(json.dumps({**config, **facts}))
    assert load(folder).encode(["a b", "b"])[0].tolist() == [[1, 4, 5, 2], [1, 5, 2, token]]


def test_no_tokenizer(tmp_path):
    config, weights, _ = figure("gpt2 1")
    with pytest.raises(ConfigError, match="came without a tokenizer"):
        load(write_folder(tmp_path / "model", config, weights)).encode(["a"])


def test_a_tokenizer_that_is_none(folder):
    (folder / "tokenizer.json").write_text("{}")
    model = load(folder)  # the file is read when it is first needed
    with pytest.raises(FileError, match="not a tokenizer"):
        model.encode(["a"])


def test_a_tokenizer_of_another_model(folder):
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"c": 6', '"c": 99'), encoding="utf-8")
    with pytest.raises(ConfigError, match="id 99 and the model has 13 words"):
        load(folder).encode(["c"])


def test_the_package_is_needed_for_texts_alone(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    model = load(folder)
    with pytest.raises(MissingExtraError, match="'tokenizers'") as caught:
        model.encode(["a"])
    assert caught.value.hint == 'pip install "ndiv[language]"'


# GGUF -------------------------------------------------------------------------------------------------------------


def test_pairs_are_merged(tmp_path):
    assert rows(gguf(tmp_path), "abc", "a a", "12") == [[5, 4], [2, 7], [10]]
    assert rows(gguf(tmp_path), "12ab") == [[10, 5]]
    assert rows(gguf(tmp_path, pre="smollm"), "12ab") == [[8, 9, 5]]  # digits stand alone


def test_how_old_files_of_gpt2_split(tmp_path):
    """They do not say it; of other architectures nothing is assumed."""
    config, weights, _ = figure("gpt2 3")
    old = {k: v for k, v in BPE.items() if not k.endswith(".pre")}
    assert rows(load(write_gguf(tmp_path / "m.gguf", config, weights, more=old)), "12ab") == [[10, 5]]
    config, weights, _ = figure("llama 4")
    with pytest.raises(FileError, match="split as None"):
        load(write_gguf(tmp_path / "m.gguf", config, weights, more=old)).encode(["a"])


def test_special_tokens(tmp_path):
    kinds = [3, 3, *[1] * 9, 4, 1]
    model = gguf(tmp_path, token_type=kinds, bos_token_id=0, eos_token_id=1, add_bos_token=True, padding_token_id=1)
    ids, mask = model.encode(["ab<end>c<u>", "b"])
    assert ids.tolist() == [[0, 5, 1, 4, 11], [0, 3, 1, 1, 1]]
    assert mask.sum(1).tolist() == [5, 2]
    assert rows(gguf(tmp_path, bos_token_id=0, eos_token_id=1, add_bos_token=True, add_eos_token=True), "b") == [[0, 3, 1]]
    assert rows(gguf(tmp_path, bos_token_id=0), "b") == [[3]]


@pytest.mark.parametrize("changes, words", [
    ({"model": "llama"}, "of the kind 'llama'"), ({"pre": "tekken"}, "split as 'tekken'"), ({"merges": ["a b c"]}, "not of two tokens"),
    ({"tokens": ["a"] * 13}, "tokens repeat"), ({"merges": ["a z"]}, "no tokenizer that can be used"), ({"tokens": 3}, "can be used"),
    ({"add_bos_token": True}, "can be used"), ({"add_bos_token": True, "bos_token_id": 99}, "can be used")])
def test_metadata_that_make_no_tokenizer(tmp_path, changes, words):
    model = gguf(tmp_path, **changes)
    with pytest.raises(FileError, match=words) as caught:
        model.encode(["a"])
    assert caught.value.hint
