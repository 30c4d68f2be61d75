"""BERT: an encoder in which every token sees every other, with normalization after each block.

J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding,
NAACL 2019 (layers as in Vaswani et al. 2017):

    x = norm(words + positions + token type)
    x = norm(x + attention(x));  x = norm(x + W2 gelu(W1 x))      in each layer

Contract: weights are named as in its checkpoints. All tokens are of the first type, as in a text of one part. The pooler and
the heads of pretraining are not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..nn import Module, ModuleList
from .backbone import Backbone
from .parts import ACTIVATIONS, LayerNorm, Linear, Sizes, Tensors, attend, heads_apart
from .tokenizing import Tokenizer

__all__ = ["Bert", "BertSizes"]


@dataclass(frozen=True)
class BertSizes(Sizes):
    """``token_types``: rows of the table of types, of which the first is used."""

    eps: float = 1e-12
    token_types: int = 2

    def check(self) -> None:
        super().check()
        self.positive("token_types")


class _Layer(Module):
    """[B, T, width] -> [B, T, width]"""

    def __init__(self, w: Tensors, sizes: BertSizes) -> None:
        super().__init__()
        n, eps = sizes.width, sizes.eps
        self.heads = sizes.num_heads
        self.query = Linear(w.under("attention.self.query."), n, n)
        self.key = Linear(w.under("attention.self.key."), n, n)
        self.value = Linear(w.under("attention.self.value."), n, n)
        self.out = Linear(w.under("attention.output.dense."), n, n)
        self.norm1 = LayerNorm(w.under("attention.output.LayerNorm."), n, eps)
        self.wide = Linear(w.under("intermediate.dense."), n, sizes.inner, activation=ACTIVATIONS[sizes.activation])
        self.back = Linear(w.under("output.dense."), sizes.inner, n)
        self.norm2 = LayerNorm(w.under("output.LayerNorm."), n, eps)

    def forward(self, x: Any, allowed: Any) -> Any:
        q, k, v = (heads_apart(part(x), self.heads) for part in (self.query, self.key, self.value))
        x = self.norm1(x + self.out(attend(q, k, v, allowed, False)))
        return self.norm2(x + self.back(self.wide(x)))


class Bert(Backbone):
    """BERT of any size; see `Backbone`."""

    kind = "bert"
    sizes_type = BertSizes

    def __init__(self, sizes: BertSizes, w: Tensors, tokenizer: Callable[[], Tokenizer] | None = None) -> None:
        super().__init__(sizes, tokenizer)
        n, table = sizes.width, w.under("embeddings.")
        self.embeddings = table("word_embeddings.weight", sizes.vocabulary_size, n)
        self.positions = table("position_embeddings.weight", sizes.max_positions, n)
        self.types = table("token_type_embeddings.weight", sizes.token_types, n)
        self.norm = LayerNorm(table.under("LayerNorm."), n, sizes.eps)
        self.layers = ModuleList(_Layer(w.under(f"encoder.layer.{i}."), sizes) for i in range(sizes.num_layers))

    def run(self, x: Any, allowed: Any) -> Any:
        x = self.norm(x + (self.positions[:x.shape[1]] + self.types[0]))
        for layer in self.layers:
            x = layer(x, allowed)
        return x
