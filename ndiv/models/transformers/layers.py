"""What the encoder-decoder transformers share: embeddings, multi-head attention, encoder and decoder layers, `EncoderDecoder`.

Contract: sequences are [B, L, hidden]. An `Attention` takes (x, memory), the sequences of queries and of keys and values; what
happens between the heads is its method `attend`, which a subclass may exchange. Normalization follows each block with its
residual (Vaswani et al. 2017, section 5.4: dropout on each block's output before it is added).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError, closest
from ...nn import ACTIVATION_NAMES, Dropout, LayerNorm, Linear, Module, ModuleList, PositionalEncoding, init
from ..arguments import check_count
from ..base import BaseModel, Batch

__all__ = ["Attention", "DecoderLayer", "Embedding", "EncoderDecoder", "EncoderLayer", "FullAttention"]

WINDOW = 3  # steps that a token is made of


class Embedding(Module):
    """Tokens of a series and its covariates, [B, L, 1] and [B, L, M] -> [B, L, hidden].

    W [three steps of the series; covariates of the step] + sinusoidal positions, then dropout: a convolution over time, as
    "token embedding", and a linear map of what is known of the step. The three steps are the one before, the step itself and
    the one after, the first and the last being neighbours, where ``wrap``; else the two before and the step itself, 0 before
    the window begins.
    """

    def __init__(self, n_marks: int, hidden: int, dropout: float, wrap: bool) -> None:
        super().__init__()
        self.wrap = wrap
        self.values = Linear(WINDOW + n_marks, hidden, bias=False)
        # each map starts as if it were alone
        self.values.weight.data[:, :WINDOW] = init.normal((hidden, WINDOW), math.sqrt(2.0 / WINDOW))
        if n_marks:
            self.values.weight.data[:, WINDOW:] = init.fan_in_uniform((hidden, n_marks), n_marks)
        self.positions = PositionalEncoding(hidden, dropout)

    def forward(self, y: Any, marks: Any) -> Any:
        length = y.shape[1]
        y = FUNCTIONS["pad"](y, (0, 0, 1, 1) if self.wrap else (0, 0, 2, 0), mode="circular" if self.wrap else "constant")
        steps = [y[:, k:k + length] for k in range(WINDOW)]
        return self.positions(self.values(FUNCTIONS["cat"](steps if marks is None else [*steps, marks], dim=2)))


class Attention(Module):
    """Multi-head attention, (x [B, Lq, hidden], memory [B, Lk, hidden]) -> [B, Lq, hidden]; self-attention unless ``cross``.

    Each head has hidden // heads features. What stands between the projections is `attend`.
    """

    def __init__(self, hidden: int, heads: int, cross: bool = False) -> None:
        super().__init__()
        self.heads, self.head_dim, self.cross = heads, hidden // heads, cross
        inner = heads * self.head_dim
        if cross:
            self.query = Linear(hidden, inner)
            self.key_value = Linear(hidden, 2 * inner)
        else:
            self.query_key_value = Linear(hidden, 3 * inner)
        self.out = Linear(inner, hidden)

    def forward(self, x: Any, memory: Any) -> Any:
        inner = self.heads * self.head_dim
        if self.cross:
            q, kv = self.query(x), self.key_value(memory)
            k, v = kv[..., :inner], kv[..., inner:]
        else:  # one product instead of three
            qkv = self.query_key_value(x)
            q, k, v = (qkv[..., i * inner:(i + 1) * inner] for i in range(3))
        return self.out(self.merged(self.attend(*map(self._split, (q, k, v)))))

    def _split(self, x: Any) -> Any:
        """[B, L, heads * d] -> [B, heads, L, d]"""
        return x.reshape(*x.shape[:2], self.heads, self.head_dim).permute(0, 2, 1, 3)

    def merged(self, x: Any) -> Any:
        """[B, heads, L, d] -> [B, L, heads * d]"""
        return x.permute(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        """q [B, heads, Lq, d], k and v [B, heads, Lk, d] -> [B, heads, Lq, d]"""
        raise NotImplementedError


class FullAttention(Attention):
    """Every query attends to every key or, where ``causal``, to those that are not after it; dropout on the probabilities."""

    def __init__(self, hidden: int, heads: int, dropout: float, cross: bool = False, causal: bool = False) -> None:
        super().__init__(hidden, heads, cross)
        self.dropout, self.causal = dropout, causal

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        return FUNCTIONS["scaled_dot_product_attention"](q, k, v, None, self.dropout if self.training else 0.0, self.causal)


class FeedForward(Module):
    """Two linear maps of each step with an activation between: [B, L, hidden] -> [B, L, hidden] (section 3.3)."""

    def __init__(self, hidden: int, inner: int, dropout: float, act: str) -> None:
        super().__init__()
        self.wide = Linear(hidden, inner, activation=act)
        self.back = Linear(inner, hidden)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        return self.back(self.dropout(self.wide(x)))


class EncoderLayer(Module):
    """x <- norm(x + attention(x)); x <- norm(x + feed_forward(x)): [B, L, hidden] -> [B, L, hidden]."""

    def __init__(self, attention: Attention, hidden: int, inner: int, dropout: float, act: str) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = FeedForward(hidden, inner, dropout, act)
        self.norm1, self.norm2 = LayerNorm(hidden), LayerNorm(hidden)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = self.norm1(x + self.dropout(self.attention(x, x)))
        return self.norm2(x + self.dropout(self.feed_forward(x)))


class DecoderLayer(Module):
    """An encoder layer with attention to the encoder's output between its blocks: [B, L, hidden] -> [B, L, hidden].

    Of the last ``keep`` steps alone where that is given: of the others nothing but keys and values is needed then.
    """

    def __init__(self, attention: Attention, cross: Attention, hidden: int, inner: int, dropout: float, act: str) -> None:
        super().__init__()
        self.attention, self.cross = attention, cross
        self.feed_forward = FeedForward(hidden, inner, dropout, act)
        self.norm1, self.norm2, self.norm3 = LayerNorm(hidden), LayerNorm(hidden), LayerNorm(hidden)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any, memory: Any, keep: int | None = None) -> Any:
        mixed = self.attention(x, x)
        if keep is not None:
            x, mixed = x[:, -keep:], mixed[:, -keep:]
        x = self.norm1(x + self.dropout(mixed))
        x = self.norm2(x + self.dropout(self.cross(x, memory)))
        return self.norm3(x + self.dropout(self.feed_forward(x)))


class EncoderDecoder(BaseModel):
    """Base of the models that encode the window and decode the horizon in one pass (Zhou et al. 2021, section 3.4).

    The decoder's input is the end of the window, ``label`` steps, and a 0 for each step to forecast. Covariates of a step join
    its token: those known in the future in both, of the past in the encoder, static ones at every step.
    """

    keep_all = False  # whether the last decoder layer needs all of its queries

    def settle(self, multiplier: float, activation: str, dropout: float, **counts: int) -> str:
        """Check the arguments, set ``label``, and return the op of the activation; `ConfigError` (E0010)."""
        name = type(self).__name__
        check_count(name, **counts)
        hidden, heads = counts["hidden_size"], counts["n_head"]
        if heads > hidden:
            raise ConfigError(f"{name}: n_head {heads} is more than hidden_size {hidden}", value=heads,
                              hint=f"each head takes hidden_size // n_head features: give at most {hidden}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ConfigError(f"{name}: dropout must be in [0, 1), not {dropout!r}", value=dropout, hint="0.05 is the default")
        known = {k.lower(): op for k, op in ACTIVATION_NAMES.items()}
        if not isinstance(activation, str) or activation.lower() not in known:
            raise ConfigError(f"{name}: unknown activation {activation!r}", value=activation,
                              hint=closest(activation, ACTIVATION_NAMES))
        real = isinstance(multiplier, (int, float)) and not isinstance(multiplier, bool)
        if not real or not 0 < multiplier <= 1:
            raise ConfigError(f"{name}: decoder_input_size_multiplier must be above 0 and at most 1, not {multiplier!r}",
                              value=multiplier, hint="0.5 gives the decoder the last half of the window")
        self.label = math.ceil(self.input_size * multiplier)
        return known[activation.lower()]

    def assemble(self, hidden: int, dropout: float, wrap: bool, encoder: Iterable[Module], between: Iterable[Module],
                 decoder: Iterable[Module]) -> None:
        """Make the parts; ``between`` holds what comes after each encoder layer but the last, or nothing."""
        futr, hist, stat = self.futr_exog_size, self.hist_exog_size, self.stat_exog_size
        self.encoder_embedding = Embedding(futr + hist + stat, hidden, dropout, wrap)
        self.decoder_embedding = Embedding(futr + stat, hidden, dropout, wrap)
        self.encoder, self.between = ModuleList(encoder), ModuleList(between)
        self.encoder_norm = LayerNorm(hidden)
        self.decoder = ModuleList(decoder)
        self.decoder_norm = LayerNorm(hidden)
        self.projection = Linear(hidden, self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)  # [B, L, 1]
        if mask is not None and self.variant == "paper":
            y = y * mask
        known, ahead = self.input_size, self.label + self.h
        x = self.encoder_embedding(y, self._marks(stat, None if futr is None else futr[:, :known], hist, length=known))
        for i, layer in enumerate(self.encoder):
            x = layer(x)
            if i < len(self.between):
                x = self.between[i](x)
        memory = self.encoder_norm(x)
        start = FUNCTIONS["pad"](y[:, -self.label:], (0, 0, 0, self.h))  # [B, label + h, 1]
        z = self.decoder_embedding(start, self._marks(stat, None if futr is None else futr[:, -ahead:], length=ahead))
        for i, layer in enumerate(self.decoder):
            z = layer(z, memory, self.h if i == len(self.decoder) - 1 and not self.keep_all else None)
        return self.projection(self.decoder_norm(z[:, -self.h:]))  # [B, h, outputs]

    @staticmethod
    def _marks(stat: Any, *by_step: Any, length: int) -> Any:
        """Covariates of each of so many steps, [B, length, M], or None."""
        parts = [part for part in by_step if part is not None]
        if stat is not None:
            b, n = stat.shape
            parts.append(FUNCTIONS["expand"](stat.reshape(b, 1, n), (b, length, n)))
        return None if not parts else parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=2)
