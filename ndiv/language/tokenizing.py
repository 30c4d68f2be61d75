"""From texts to the numbers of their tokens, by the package ``tokenizers`` (the extra ``language``), imported when first used.

Contract: a `Tokenizer` takes texts and the most tokens of each, and returns a list of ids for each text and the id to pad with.
Special tokens are those that the model's own files ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data._extras import need
from ..errors import FileError

__all__ = ["Bytes", "Tokenizer", "from_folder", "from_metadata", "packaged"]

Tokenizer = Callable[[list[str], "int | None"], tuple[list[list[int]], int]]


class Bytes:
    """Each byte of the UTF-8 text is a token, modulo the vocabulary: for models with random weights, which know no words.

    >>> Bytes(100)(["ab", "d"], 1)
    ([[97], [0]], 0)
    """

    def __init__(self, vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size

    def __call__(self, texts: list[str], max_length: int | None) -> tuple[list[list[int]], int]:
        return [[b % self.vocabulary_size for b in text.encode()[:max_length]] for text in texts], 0


def packaged(tokenizer: Any, pad: int) -> Tokenizer:
    """A ``tokenizers.Tokenizer`` as a `Tokenizer`; its own settings for padding and cutting do not count."""
    tokenizer.no_padding()

    def encode(texts: list[str], max_length: int | None) -> tuple[list[list[int]], int]:
        if max_length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(int(max_length))
        return [e.ids for e in tokenizer.encode_batch(texts)], pad

    return encode


def from_folder(file: Path, pad: int) -> Callable[[], Tokenizer]:
    """What reads a tokenizer.json when it is first needed; FileError (E0006) where it is none."""

    def make() -> Tokenizer:
        package = need("tokenizers", "language")
        try:
            return packaged(package.Tokenizer.from_file(str(file)), pad)
        except Exception as error:  # the package raises nothing more special
            raise FileError(f"{file} is not a tokenizer that can be read: {error}", value=str(file),
                            hint="it should be the tokenizer.json that the model was published with") from None

    return make


# GGUF -------------------------------------------------------------------------------------------------------------

# how texts are split before pairs are merged, by the names of llama.cpp: single digits first, then GPT-2's own pattern
_SPLITS = {"gpt-2": False, "smollm": True}
_CONTROL, _USER = 3, 4  # kinds of tokens that are never split


def from_metadata(metadata: dict[str, Any], where: str) -> Callable[[], Tokenizer]:
    """What builds the tokenizer of a GGUF file when it is first needed: byte-level BPE, as of GPT-2.

    FileError (E0006) where the metadata hold another kind of tokenizer, or do not fit together.
    """

    def make() -> Tokenizer:
        package = need("tokenizers", "language")
        try:
            return _bytes_bpe(package, metadata, where)
        except FileError:
            raise
        except Exception as error:  # what the package makes of odd pairs, and odd types in the metadata
            raise FileError(f"{where} has no tokenizer that can be used: {type(error).__name__} {error}", value=where,
                            hint="pass ids of your own to embed, or load the model's folder") from None

    return make


def _bytes_bpe(package: Any, metadata: dict[str, Any], where: str) -> Tokenizer:
    def fact(name: str, default: Any = None) -> Any:
        return metadata.get(f"tokenizer.ggml.{name}", default)

    def refused(what: str, value: Any) -> FileError:
        return FileError(f"{where}: {what}", value=value, hint="pass ids of your own to embed, or load the model's folder")

    kind = fact("model")
    if kind != "gpt2":
        raise refused(f"its tokenizer is of the kind {kind!r}, and only 'gpt2' (byte-level BPE) is built", kind)
    split = fact("pre", "gpt-2" if metadata.get("general.architecture") == "gpt2" else None)
    if split not in _SPLITS:
        raise refused(f"texts are split as {split!r}, and only {', '.join(_SPLITS)} are known", split)
    tokens, kinds = fact("tokens"), fact("token_type", ())
    merges = [tuple(pair.split(" ")) for pair in fact("merges", ())]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens) or any(len(pair) != 2 for pair in merges):
        raise refused("tokens repeat, or merges are not of two tokens", len(tokens))
    built = package.Tokenizer(package.models.BPE(vocab=vocabulary, merges=merges))
    before = [package.pre_tokenizers.Digits(individual_digits=True)] if _SPLITS[split] else []
    before.append(package.pre_tokenizers.ByteLevel(add_prefix_space=False))
    built.pre_tokenizer = package.pre_tokenizers.Sequence(before)
    whole = [(package.AddedToken(token, normalized=False, special=kind == _CONTROL), kind)
             for token, kind in zip(tokens, kinds, strict=False) if kind in (_CONTROL, _USER)]
    built.add_special_tokens([token for token, kind in whole if kind == _CONTROL])
    built.add_tokens([token for token, kind in whole if kind == _USER])
    ends = {name: tokens[fact(f"{name}_token_id")] for name in ("bos", "eos") if fact(f"add_{name}_token", False)}
    if ends:
        template = [*([ends["bos"]] if "bos" in ends else []), "$A", *([ends["eos"]] if "eos" in ends else [])]
        built.post_processor = package.processors.TemplateProcessing(
            single=template, special_tokens=[(token, vocabulary[token]) for token in ends.values()])
    pad = fact("padding_token_id", 0)
    return packaged(built, pad if 0 <= pad < len(tokens) else 0)
