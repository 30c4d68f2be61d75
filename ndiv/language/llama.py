"""LLaMA: a causal decoder with rotated queries and keys, normalization by the root mean square, and a gated feed-forward block.

H. Touvron et al., LLaMA: Open and Efficient Foundation Language Models, 2023:

    x = x + attention(norm(x));  x = x + W_down (silu(W_gate norm(x)) * W_up norm(x))      in each layer
    norm(x) = x / sqrt(mean(x^2) + eps) * weight                                            (Zhang and Sennrich 2019)

Positions are rotations of queries and keys (Su et al. 2021, RoFormer): feature i and feature i + d/2 of a head are turned by
t theta^(-2i/d) at position t, slower where the context was stretched (Llama 3.1). A key and a value may serve several heads
(Ainslie et al. 2023, GQA).

Contract: weights are named as in its checkpoints, whose two halves of a head are what is rotated; files that keep the two
features of a pair side by side are reordered where they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError
from ..nn import Module, ModuleList
from .backbone import Backbone
from .parts import ACTIVATIONS, Linear, Sizes, Tensors, attend, heads_apart
from .tokenizing import Tokenizer

__all__ = ["Llama", "LlamaSizes", "llama3_divisors", "rotations"]

@dataclass(frozen=True)
class LlamaSizes(Sizes):
    """What LLaMA adds.

    kv_heads        heads of keys and values, each for num_heads / kv_heads of the queries'; None: num_heads
    head_dim        features of a head; None: width / num_heads
    theta           base of the rotations' frequencies
    divisors        of these frequencies: one for each pair of features, or one for all; () for none
    attention_bias, mlp_bias   whether the maps have biases
    """

    activation: str = "silu"
    eps: float = 1e-6
    kv_heads: int | None = None
    head_dim: int | None = None
    theta: float = 10000.0
    divisors: tuple[float, ...] = ()
    attention_bias: bool = False
    mlp_bias: bool = False

    def check(self) -> None:
        if self.kv_heads is None:
            object.__setattr__(self, "kv_heads", self.num_heads)
        if self.head_dim is None:
            super().check()
            object.__setattr__(self, "head_dim", self.width // self.num_heads)
        self.positive("kv_heads")
        self.positive("head_dim")
        if self.num_heads % self.keys:
            raise ConfigError(f"num_heads {self.num_heads} is not a multiple of kv_heads {self.keys}",
                              value=(self.num_heads, self.keys), hint="each head of keys serves as many of the queries'")
        if self.features % 2:
            raise ConfigError(f"head_dim must be even, not {self.features}", value=self.features,
                              hint="the features of a head are rotated in pairs")
        if not 0.0 < self.theta < math.inf:
            raise ConfigError(f"theta must be positive, not {self.theta!r}", value=self.theta, hint="10000 is common")
        if len(self.divisors) not in (0, 1, self.features // 2) or not all(0.0 < d < math.inf for d in self.divisors):
            raise ConfigError(f"{len(self.divisors)} divisors for {self.features // 2} pairs of features, or not all positive",
                              value=self.divisors[:4], hint="give one for each pair, one for all, or none")

    @property
    def keys(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.num_heads

    @property
    def features(self) -> int:
        """Features of a head."""
        return self.head_dim or self.width // self.num_heads


def llama3_divisors(theta: float, pairs: int, factor: float, low: float, high: float, length: int) -> tuple[float, ...]:
    """What Llama 3.1 divides its frequencies by, for contexts longer than the ``length`` that it was first trained on.

    ``factor`` for waves that turn less than ``low`` times within that length, 1 for those that turn more than ``high`` times,
    and in between what makes the frequencies' mixture of the two linear in the turns.

    >>> llama3_divisors(10000.0, 3, 8.0, 1.0, 4.0, 64)
    (1.0, 8.0, 8.0)
    """
    turns = length * theta ** (-np.arange(pairs) / pairs) / (2.0 * math.pi)
    with np.errstate(all="ignore"):  # low = high leaves nothing between; what is not finite is refused with the sizes
        kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
        return tuple(map(float, 1.0 / (kept + (1.0 - kept) / factor)))


@lru_cache(maxsize=16)
def rotations(sizes: LlamaSizes, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(cos, sin), each [length, d / 2] float32 and read-only, of positions 0, 1, ...; see `LlamaSizes`.

    >>> cos, sin = rotations(LlamaSizes(width=4, num_heads=1), 2)
    >>> cos[1].round(4), sin[0]
    (array([0.5403, 1.    ], dtype=float32), array([0., 0.], dtype=float32))
    """
    # The angle is rounded to float32, as where the model was trained: late positions would differ by more than rounding.
    d = sizes.features
    frequencies = (sizes.theta ** (-np.arange(0, d, 2) / d) / (sizes.divisors or 1.0)).astype(np.float32)
    angle = (np.arange(length, dtype=np.float32)[:, None] * frequencies).astype(np.float64)
    found = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    for table in found:
        table.flags.writeable = False
    return found


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis."""

    def __init__(self, w: Tensors, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = w("weight", width)

    def forward(self, x: Any) -> Any:
        return x * FUNCTIONS["rsqrt"](FUNCTIONS["mean"](x * x, -1, True) + self.eps) * self.weight


def _rotated(x: Any, cos: np.ndarray, sin: np.ndarray) -> Any:
    """x [B, heads, T, d] with feature i and feature i + d/2 turned by their angle at each position."""
    half = cos.shape[1]
    a, b = x[..., :half], x[..., half:]
    return FUNCTIONS["cat"]([a * cos - b * sin, b * cos + a * sin], -1)


class _Layer(Module):
    """[B, T, width] -> [B, T, width]"""

    def __init__(self, w: Tensors, sizes: LlamaSizes) -> None:
        super().__init__()
        n, self.heads, self.keys = sizes.width, sizes.num_heads, sizes.keys
        inner, outer, bias = sizes.num_heads * sizes.features, sizes.keys * sizes.features, sizes.attention_bias
        self.norm1 = RMSNorm(w.under("input_layernorm."), n, sizes.eps)
        self.query = Linear(w.under("self_attn.q_proj."), n, inner, bias)
        self.key = Linear(w.under("self_attn.k_proj."), n, outer, bias)
        self.value = Linear(w.under("self_attn.v_proj."), n, outer, bias)
        self.out = Linear(w.under("self_attn.o_proj."), inner, n, bias)
        self.norm2 = RMSNorm(w.under("post_attention_layernorm."), n, sizes.eps)
        self.gate = Linear(w.under("mlp.gate_proj."), n, sizes.inner, sizes.mlp_bias, ACTIVATIONS[sizes.activation])
        self.up = Linear(w.under("mlp.up_proj."), n, sizes.inner, sizes.mlp_bias)
        self.down = Linear(w.under("mlp.down_proj."), sizes.inner, n, sizes.mlp_bias)

    def forward(self, x: Any, allowed: Any, cos: np.ndarray, sin: np.ndarray) -> Any:
        b, t, _ = x.shape
        y = self.norm1(x)
        q = _rotated(heads_apart(self.query(y), self.heads), cos, sin)
        k = _rotated(heads_apart(self.key(y), self.keys), cos, sin)
        v = heads_apart(self.value(y), self.keys)
        if self.keys != self.heads:  # each key and value for several heads: [B, keys, heads / keys, T, d], where k and v have 1
            q = q.reshape(b, self.keys, -1, t, q.shape[3])
            k, v = (a.reshape(b, self.keys, 1, t, a.shape[3]) for a in (k, v))
            allowed = None if allowed is None else allowed.reshape(b, 1, 1, 1, t)
        x = x + self.out(attend(q, k, v, allowed, True))
        y = self.norm2(x)
        return x + self.down(self.gate(y) * self.up(y))


class Llama(Backbone):
    """LLaMA of any size; see `Backbone`."""

    kind = "llama"
    sizes_type = LlamaSizes
    sizes: LlamaSizes

    def __init__(self, sizes: LlamaSizes, w: Tensors, tokenizer: Callable[[], Tokenizer] | None = None) -> None:
        super().__init__(sizes, tokenizer)
        self.embeddings = w("embed_tokens.weight", sizes.vocabulary_size, sizes.width)
        self.layers = ModuleList(_Layer(w.under(f"layers.{i}."), sizes) for i in range(sizes.num_layers))
        self.norm = RMSNorm(w.under("norm."), sizes.width, sizes.eps)

    def run(self, x: Any, allowed: Any) -> Any:
        cos, sin = rotations(self.sizes, int(x.shape[1]))
        for layer in self.layers:
            x = layer(x, allowed, cos, sin)
        return self.norm(x)
