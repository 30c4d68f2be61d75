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
from ...nn.cache import attend_onward
from ..arguments import check_count
from ..base import BaseModel, Batch

__all__ = ["Attention", "DecoderLayer", "Embedding", "EncoderDecoder", "EncoderLayer", "FeedForward", "FullAttention"]

WINDOW = 3  # steps that a token is made of


class Embedding(Module):
    """Tokens of a series and its covariates, [B, L, 1] and [B, L, M] -> [B, L, hidden].

    W [three steps of the series; covariates of the step] + sinusoidal positions, then dropout: a convolution over time, as
    "token embedding", and a linear map of what is known of the step. The three steps are the one before, the step itself and
    the one after, the first and the last being neighbours, where ``wrap``; else the two before and the step itself, 0 before
    the window begins. No positions are added where not ``positions``.
    """

    def __init__(self, n_marks: int, hidden: int, dropout: float, wrap: bool, positions: bool = True) -> None:
        super().__init__()
        self.wrap = wrap
        self.values = Linear(WINDOW + n_marks, hidden, bias=False)
        # each map starts as if it were alone
        self.values.weight.data[:, :WINDOW] = init.normal((hidden, WINDOW), math.sqrt(2.0 / WINDOW))
        if n_marks:
            self.values.weight.data[:, WINDOW:] = init.fan_in_uniform((hidden, n_marks), n_marks)
        self.positions: Module = PositionalEncoding(hidden, dropout) if positions else Dropout(dropout)

    def forward(self, y: Any, marks: Any) -> Any:
        length = y.shape[1]
        y = FUNCTIONS["pad"](y, (0, 0, 1, 1) if self.wrap else (0, 0, 2, 0), mode="circular" if self.wrap else "constant")
        steps = [y[:, k:k + length] for k in range(WINDOW)]
        return self.positions(self.values(FUNCTIONS["cat"](steps if marks is None else [*steps, marks], dim=2)))

    def token(self, recent: Any, marks: Any, position: Any) -> Any:
        """The token of one step [B, 1, hidden], without dropout, from its values [B, WINDOW, 1], covariates [B, 1, M] and row
        of positions; not where ``wrap``."""
        values = recent.reshape(recent.shape[0], 1, WINDOW)
        return self.values(values if marks is None else FUNCTIONS["cat"]([values, marks], dim=2)) + position


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
        if self.cross:
            return self.given(self.attend(self.queries(x), *self.keys_values(memory)))
        return self.given(self.attend(*self.projected(x)))

    def projected(self, x: Any) -> tuple[Any, Any, Any]:
        """Queries, keys and values [B, heads, L, d] of self-attention."""
        qkv, inner = self.query_key_value(x), self.heads * self.head_dim  # one product instead of three
        q, k, v = (self._split(qkv[..., i * inner:(i + 1) * inner]) for i in range(3))
        return q, k, v

    def keys_values(self, memory: Any) -> tuple[Any, Any]:
        """Keys and values [B, heads, Lk, d] of what ``cross`` attention looks at."""
        kv, inner = self.key_value(memory), self.heads * self.head_dim
        return self._split(kv[..., :inner]), self._split(kv[..., inner:])

    def queries(self, x: Any) -> Any:
        """Queries [B, heads, Lq, d] of ``cross`` attention."""
        return self._split(self.query(x))

    def given(self, x: Any) -> Any:
        """What the heads give, [B, heads, L, d], as features [B, L, hidden]."""
        return self.out(self.merged(x))

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

    def __init__(self, hidden: int, inner: int, dropout: float, act: str, bias: bool = True) -> None:
        super().__init__()
        self.wide = Linear(hidden, inner, bias, activation=act)
        self.back = Linear(inner, hidden, bias)
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
        return self.mixed_in(x, mixed, self.cross.keys_values(memory))

    def mixed_in(self, x: Any, mixed: Any, seen: tuple[Any, Any]) -> Any:
        """All that follows self-attention, which gave ``mixed``; ``seen``: keys and values of the encoder's output."""
        x = self.norm1(x + self.dropout(mixed))
        return self.fed(x, self.cross.attend(self.cross.queries(x), *seen))

    def fed(self, x: Any, found: Any) -> Any:
        """All that follows attention to the encoder's output, whose heads ``found`` that."""
        x = self.norm2(x + self.dropout(self.cross.given(found)))
        return self.norm3(x + self.dropout(self.feed_forward(x)))

    def step(self, x: Any, kept: tuple[Any, Any], filled: Any, own: tuple[Any, Any] | None,
             seen: tuple[Any, Any]) -> tuple[Any, tuple[Any, Any]]:
        """The layer's output for one token [B, 1, hidden], and ``own`` with its key and value added: those of the tokens before
        it are ``kept`` or, the latest, ``own`` (see `ndiv.nn.cache.attend_onward`). Of full attention with a causal mask; no
        probabilities are dropped."""
        q, k, v = self.attention.projected(x)
        own = (k, v) if own is None else (FUNCTIONS["cat"]([own[0], k], dim=2), FUNCTIONS["cat"]([own[1], v], dim=2))
        x = self.norm1(x + self.dropout(self.attention.given(attend_onward(q, *kept, filled, own))))
        return self.fed(x, attend_onward(self.cross.queries(x), *seen)), own


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
        self.encoder_norm: Module = LayerNorm(hidden)
        self.decoder = ModuleList(decoder)
        self.decoder_norm: Module = LayerNorm(hidden)
        self.projection = Linear(hidden, self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)  # [B, L, 1]
        if mask is not None and self.variant == "paper":
            y = y * mask
        memory = self.encoded(y, hist, futr, stat)
        start = FUNCTIONS["pad"](y[:, -self.label:], (0, 0, 0, self.h))  # [B, label + h, 1]
        return self.decoded(start, self.decoder_marks(futr, stat), memory, self.h)

    def encoded(self, y: Any, hist: Any, futr: Any, stat: Any) -> Any:
        """The encoder's output [B, L', hidden] for a window."""
        known = self.input_size
        x = self.encoder_embedding(y, self._marks(stat, None if futr is None else futr[:, :known], hist, length=known))
        for i, layer in enumerate(self.encoder):
            x = layer(x)
            if i < len(self.between):
                x = self.between[i](x)
        return self.encoder_norm(x)

    def decoded(self, values: Any, marks: Any, memory: Any, keep: int) -> Any:
        """Numbers [B, keep, outputs] of the last steps, from the decoder's values [B, T, 1] and covariates of all."""
        z = self.decoder_embedding(values, marks)
        for i, layer in enumerate(self.decoder):
            z = layer(z, memory, keep if i == len(self.decoder) - 1 and not self.keep_all else None)
        return self.projection(self.decoder_norm(z[:, -keep:]))

    def decoder_marks(self, futr: Any, stat: Any) -> Any:
        """Covariates of each of the decoder's tokens, [B, label + h, M], or None."""
        ahead = self.label + self.h
        return self._marks(stat, None if futr is None else futr[:, -ahead:], length=ahead)

    @staticmethod
    def _marks(stat: Any, *by_step: Any, length: int) -> Any:
        """Covariates of each of so many steps, [B, length, M], or None."""
        parts = [part for part in by_step if part is not None]
        if stat is not None:
            b, n = stat.shape
            parts.append(FUNCTIONS["expand"](stat.reshape(b, 1, n), (b, length, n)))
        return None if not parts else parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=2)
