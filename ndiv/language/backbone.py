"""Backbone: a pretrained language model that is run and not trained; what is in front of it may be.

Contract: all weights are `Frozen`: float32, shared with the file where its type allows, and without gradient. `hidden_states`
takes embeddings, adds positions itself, and passes gradients to the embeddings; it runs op by op and within plans. Sequences
are padded at their end, so that positions count from 0 in each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..errors import ArgumentError, ConfigError, ShapeError, closest
from ..nn import Module
from .parts import Frozen, Sizes, Tensors
from .tokenizing import Bytes, Tokenizer

__all__ = ["Backbone"]

_HASHED = 1 << 24  # elements whose bytes are hashed at a time


class Backbone(Module):
    """A frozen language model; made by `load` or, with random weights, by `Backbone.from_config`.

    kind              "gpt2", "llama" or "bert"
    width             features of an embedding and of a hidden state
    vocabulary_size   words
    num_layers        layers that are run: those of the file, or the first few of them
    max_positions     the longest sequence, in tokens
    embeddings        [vocabulary_size, width]: the words' embeddings, float32
    """

    kind: ClassVar[str] = ""
    sizes_type: ClassVar[type[Sizes]] = Sizes
    embeddings: Frozen

    def __init__(self, sizes: Sizes, tokenizer: Callable[[], Tokenizer] | None = None) -> None:
        super().__init__()
        self.sizes = sizes
        self.width, self.vocabulary_size = sizes.width, sizes.vocabulary_size
        self.num_layers, self.max_positions = sizes.num_layers, sizes.max_positions
        self._make_tokenizer = tokenizer
        self._tokenizer: Tokenizer | None = None
        self._fingerprint: str | None = None

    @staticmethod
    def from_config(kind: str, seed: int = 0, **sizes: Any) -> Backbone:
        """A backbone with random weights that follow from the seed, for tests; texts are encoded byte by byte.

        ``sizes`` are the fields of the architecture's ``sizes_type``: width, num_layers, num_heads, inner, vocabulary_size,
        max_positions and others; small values stand for what is not given. ConfigError (E0010) for what does not fit.

        >>> import numpy as np
        >>> b = Backbone.from_config("gpt2", width=8, num_layers=1)
        >>> ids, mask = b.encode(["ab", "c"])
        >>> ids.tolist(), mask.tolist(), b.hidden_states(b.embed(ids), mask).shape
        ([[97, 98], [99, 0]], [[1.0, 1.0], [1.0, 0.0]], (2, 2, 8))
        """
        known = architectures()
        if kind not in known:
            raise ConfigError(f"unknown kind of language model {kind!r}", value=kind, hint=closest(kind, known))
        names = [f.name for f in fields(known[kind].sizes_type)]
        for name in sizes:
            if name not in names:
                raise ArgumentError(f"{kind} has no size {name!r}", value=name, hint=closest(name, names))
        chosen = known[kind].sizes_type(**sizes)
        found = known[kind](chosen, _Random(seed), lambda: Bytes(chosen.vocabulary_size))
        return found

    # -- text ------------------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str], max_length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(ids int64 [B, T], mask float32 [B, T]) of B texts, with the special tokens that the model expects.

        T is the longest text's length; shorter ones are padded at their end, where the mask is 0. Texts longer than
        ``max_length`` tokens are cut there. ConfigError (E0010) where the files brought no tokenizer, or the package
        ``tokenizers`` (extra ``language``) is missing.
        """
        if isinstance(texts, str) or not all(isinstance(t, str) for t in texts) or not len(texts):
            raise ConfigError("encode takes a list of texts", value=type(texts).__name__, hint='encode(["first", "second"])')
        if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer))
                                       or max_length < 1):
            raise ConfigError(f"max_length must be a positive whole number, not {max_length!r}", value=max_length,
                              hint=f"at most max_positions, {self.max_positions}, can be run")
        if self._tokenizer is None:
            if self._make_tokenizer is None:
                raise ConfigError(f"this {self.kind} model came without a tokenizer", value=self.kind,
                                  hint="put its tokenizer.json beside config.json, or pass ids of your own to embed")
            self._tokenizer, self._make_tokenizer = self._make_tokenizer(), None
        rows, pad = self._tokenizer(list(texts), max_length)
        shape = len(rows), max(1, *map(len, rows))
        ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.float32)
        for i, row in enumerate(rows):
            ids[i, :len(row)], mask[i, :len(row)] = row, 1.0
        if ids.min() < 0 or ids.max() >= self.vocabulary_size:
            raise ConfigError(f"the tokenizer gives id {ids.max()} and the model has {self.vocabulary_size} words",
                              value=int(ids.max()), hint="tokenizer and weights are of different models")
        return ids, mask

    def embed(self, ids: Any) -> Any:
        """Embeddings of words by their numbers, without positions: ids [B, T] -> [B, T, width]."""
        return FUNCTIONS["embedding"](ids if hasattr(ids, "dtype") else np.asarray(ids), self.embeddings)

    # -- the model -------------------------------------------------------------------------------------------------

    def hidden_states(self, inputs_embeds: Any, mask: Any = None) -> Any:
        """What the last layer gives after the final normalization: [B, T, width] -> [B, T, width].

        mask   [B, T]: 1 for tokens, 0 for padding, which no token attends to; hidden states there mean nothing. None: no
               padding

        Positions count from 0 and are added here. ShapeError (E0002) where shapes do not fit or T exceeds max_positions.
        """
        shape = tuple(inputs_embeds.shape)
        if len(shape) != 3 or shape[2] != self.width:
            raise ShapeError(f"inputs_embeds has shape {list(shape)}", value=shape, hint=f"give [B, T, {self.width}]")
        if shape[1] > self.max_positions:
            raise ShapeError(f"{shape[1]} tokens, and the model has {self.max_positions} positions", value=shape[1],
                             hint="cut the text (max_length of encode), or use fewer or longer patches")
        if mask is None:
            return self.run(inputs_embeds, None)
        mask = mask if hasattr(mask, "dtype") else np.asarray(mask)
        if tuple(mask.shape) != shape[:2]:
            raise ShapeError(f"mask has shape {list(mask.shape)} and the embeddings {list(shape)}", value=tuple(mask.shape),
                             hint=f"give {list(shape[:2])}: 1 for tokens, 0 for padding")
        allowed = mask if mask.dtype.kind == "b" else mask > 0
        return self.run(inputs_embeds, allowed.reshape(shape[0], 1, 1, shape[1]))

    def forward(self, inputs_embeds: Any, mask: Any = None) -> Any:
        """`hidden_states`."""
        return self.hidden_states(inputs_embeds, mask)

    def run(self, x: Any, allowed: Any) -> Any:
        """The architecture: x [B, T, width], allowed bool [B, 1, 1, T] or None -> [B, T, width]."""
        raise NotImplementedError(f"{type(self).__name__} does not define run")

    @property
    def fingerprint(self) -> str:
        """sha256, as 64 hex digits, over the architecture and all weights that are run; worked out once.

        >>> a, b, c = (Backbone.from_config("gpt2", seed).fingerprint for seed in (0, 0, 1))
        >>> a == b, a == c
        (True, False)
        """
        if self._fingerprint is None:
            facts = {"kind": self.kind, **asdict(self.sizes)}
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
            for name, p in self.named_parameters():
                digest.update(f"{name}{list(p.shape)}".encode())
                flat = p.data.reshape(-1)
                for i in range(0, flat.size, _HASHED):
                    digest.update(np.ascontiguousarray(flat[i:i + _HASHED], "<f4").data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def extra_repr(self) -> str:
        return f"{self.kind}, width={self.width}, num_layers={self.num_layers}, vocabulary_size={self.vocabulary_size}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class _Random(Tensors):
    """Random weights of whatever shapes are asked for."""

    def __init__(self, seed: int, prefix: str = "", rng: np.random.Generator | None = None) -> None:
        super().__init__("random weights", {}, lambda name: np.zeros(0), prefix)
        self.rng = np.random.Generator(np.random.Philox(seed)) if rng is None else rng

    def under(self, prefix: str) -> Tensors:
        return _Random(0, self.prefix + prefix, self.rng)

    def __call__(self, name: str, *shape: int) -> Frozen:
        values = self.rng.standard_normal(shape, np.float32)
        if len(shape) > 1:
            return Frozen(values * np.float32(shape[-1] ** -0.5))
        return Frozen(values * np.float32(0.1) + np.float32(name == "weight"))


def architectures() -> dict[str, Any]:
    """The classes by kind."""
    from .bert import Bert
    from .gpt2 import GPT2
    from .llama import Llama

    return {c.kind: c for c in (GPT2, Llama, Bert)}
