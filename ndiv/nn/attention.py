"""Attention layers: MultiheadAttention, TransformerEncoderLayer, TransformerDecoderLayer (Vaswani et al. 2017).

Names, argument order, shapes, initial values and the sense of masks follow PyTorch: in these layers a boolean mask is
True where attention is *not* allowed, which is the opposite of `ndiv.scaled_dot_product_attention`. One difference:
a query that may attend to nothing gives zeros before the output projection, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops.attention import attention_weights, scaled_dot_product_attention
from ..autograd.ops.elementwise import relu, where
from ..autograd.ops.linear import linear
from ..autograd.ops.random import dropout as drop
from ..autograd.ops.reduce import mean
from ..autograd.ops.shape import permute, reshape
from ..autograd.ops.special import gelu
from ..errors import ConfigError, ShapeError, closest
from . import init
from .layers import Dropout, LayerNorm, Linear, _positive
from .module import Module, Parameter

__all__ = ["MultiheadAttention", "TransformerDecoderLayer", "TransformerEncoderLayer"]

_NDIV_INTERNAL = True
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "gelu": gelu}


def _xavier(rows: int, columns: int) -> Parameter:
    """Uniform with variance 2 / (rows + columns) (Glorot and Bengio 2010)."""
    bound = math.sqrt(6.0 / (rows + columns))
    return Parameter(init.uniform((rows, columns), -bound, bound))


class MultiheadAttention(Module):
    """num_heads attentions side by side, each over embed_dim / num_heads features (Vaswani et al. 2017, section 3.2.2).

    embed_dim     features of the query and of the output; a multiple of num_heads
    dropout       probability with which an attention probability is dropped while training
    bias          whether the projections have one
    kdim, vdim    features of key and value, if not embed_dim
    batch_first   arrays are [N, L, E]; else [L, N, E]. Without a batch they are [L, E] in both cases

    Weights are named as in PyTorch: in_proj_weight [3E, E] (or q_proj_weight, k_proj_weight and v_proj_weight where
    kdim or vdim is given and differs), in_proj_bias [3E], out_proj.weight, out_proj.bias.

    >>> import ndiv, numpy as np
    >>> x = ndiv.tensor(np.ones((2, 5, 8), np.float32))  # [N, L, E]
    >>> y, weights = ndiv.nn.attention.MultiheadAttention(8, 4, batch_first=True)(x, x, x)
    >>> y.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False) -> None:
        super().__init__()
        _positive("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        _positive("MultiheadAttention", kdim=self.kdim, vdim=self.vdim)
        if embed_dim % num_heads:
            raise ConfigError(f"MultiheadAttention: embed_dim {embed_dim} is not a multiple of num_heads {num_heads}",
                              value=(embed_dim, num_heads), hint="each head takes an equal share of the features")
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"MultiheadAttention: dropout must be in [0, 1), not {dropout!r}", value=dropout,
                              hint="0.1 is common")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.head_dim = embed_dim // num_heads
        self.packed = self.kdim == embed_dim and self.vdim == embed_dim
        if self.packed:
            self.in_proj_weight = _xavier(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight = _xavier(embed_dim, embed_dim)
            self.k_proj_weight = _xavier(embed_dim, self.kdim)
            self.v_proj_weight = _xavier(embed_dim, self.vdim)
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, np.float32)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        if self.out_proj.bias is not None:
            self.out_proj.bias = Parameter(np.zeros(embed_dim, np.float32))

    def forward(self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
                attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Any, Any]:
        """(output, attention weights or None).

        query [N, L, E], key [N, S, kdim], value [N, S, vdim] where batch_first -> output [N, L, E], weights [N, L, S]
        (mean over the heads), or [N, num_heads, L, S] where not average_attn_weights.
        key_padding_mask   [N, S]: True for keys to leave out, or numbers that are added to their scores
        attn_mask          [L, S] or [N * num_heads, L, S]: True where attention is not allowed, or numbers to add
        need_weights       False gives None in place of the weights, and takes less time and memory
        is_causal          query i attends to keys 0 to i only; no attn_mask is needed for that
        """
        single = len(query.shape) == 2
        if len(query.shape) not in (2, 3) or not len(query.shape) == len(key.shape) == len(value.shape):
            shapes = [list(x.shape) for x in (query, key, value)]
            raise ShapeError(f"MultiheadAttention: query, key and value have shapes {shapes}", value=shapes,
                             hint="all are [L, E], or all have a batch: [N, L, E] with batch_first, else [L, N, E]")
        q, k, v = (self._batched(x) for x in self._projected(query, key, value))  # [N, H, L, d]
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = drop(attention_weights(q, k, mask, is_causal), p, self.training)
            out = weights @ v
            weights = mean(weights, 1) if average_attn_weights else weights
        else:
            out = scaled_dot_product_attention(q, k, v, mask, p, is_causal)
        length = out.shape[2]
        order = (0, 2, 1, 3) if self.batch_first or single else (2, 0, 1, 3)
        out = permute(out, order)
        out = self.out_proj(reshape(out, (*out.shape[:2], self.embed_dim)))
        if single:
            return reshape(out, (length, self.embed_dim)), None if weights is None else weights[0]
        return out, weights

    def _projected(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        e = self.embed_dim
        if self.packed and query is key and key is value:  # one product instead of three
            y = linear(query, self.in_proj_weight, self.in_proj_bias)
            return y[..., :e], y[..., e:2 * e], y[..., 2 * e:]
        parts = [slice(0, e), slice(e, 2 * e), slice(2 * e, 3 * e)]
        weights = ([self.in_proj_weight[s] for s in parts] if self.packed
                   else [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight])
        biases = [None if self.in_proj_bias is None else self.in_proj_bias[s] for s in parts]
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
        return q, k, v

    def _batched(self, x: Any) -> Any:
        """Heads apart: [N, L, E], [L, N, E] or [L, E] -> [N, H, L, d]."""
        if len(x.shape) == 2:
            x = reshape(x, (1, *x.shape))
            order = (0, 2, 1, 3)
        else:
            order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        return permute(reshape(x, (*x.shape[:2], self.num_heads, self.head_dim)), order)

    def _mask(self, attn_mask: Any, key_padding_mask: Any, q: Any, k: Any) -> Any:
        """Both masks as one for `scaled_dot_product_attention`: booleans that allow, or numbers to add."""
        n, h, length, _ = q.shape
        size = k.shape[2]
        masks = []
        if attn_mask is not None:
            attn_mask = attn_mask if isinstance(attn_mask, Tensor) else np.asarray(attn_mask)
            if attn_mask.shape not in ((length, size), (n * h, length, size)):
                raise ShapeError(f"MultiheadAttention: attn_mask has shape {list(attn_mask.shape)}", value=attn_mask.shape,
                                 hint=f"it is {[length, size]}, or {[n * h, length, size]} with a mask for each head")
            masks.append(attn_mask if len(attn_mask.shape) == 2 else reshape(attn_mask, (n, h, length, size)))
        if key_padding_mask is not None:
            padding = key_padding_mask if isinstance(key_padding_mask, Tensor) else np.asarray(key_padding_mask)
            if padding.shape not in ((n, size), (size,) if n == 1 else (n, size)):
                raise ShapeError(f"MultiheadAttention: key_padding_mask has shape {list(padding.shape)}",
                                 value=padding.shape, hint=f"it is {[n, size]}: one entry for each key")
            masks.append(reshape(padding, (n, 1, 1, size)))
        if not masks:
            return None
        if all(m.dtype.kind == "b" for m in masks):
            blocked = masks[0] if len(masks) == 1 else where(masks[0], True, masks[1])
            return where(blocked, False, True)
        added = [where(m, -math.inf, np.zeros((), q.dtype)) if m.dtype.kind == "b" else m for m in masks]
        return added[0] if len(added) == 1 else added[0] + added[1]

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}, dropout={self.dropout}, batch_first={self.batch_first}"


def _activation(owner: str, activation: Any) -> Callable[[Any], Any]:
    if callable(activation):
        return activation
    if activation not in _ACTIVATIONS:
        raise ConfigError(f"{owner}: unknown activation {activation!r}", value=activation,
                          hint=closest(activation, _ACTIVATIONS))
    return _ACTIVATIONS[activation]


class _TransformerLayer(Module):
    """What the two layers share: the options, and the feed-forward block."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: str | Callable[[Any], Any] = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False) -> None:
        super().__init__()
        _positive(type(self).__name__, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        self.activation = _activation(type(self).__name__, activation)
        self.norm_first = norm_first
        attentions = ("self_attn", *self._more_attentions)
        for name in attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first))
        self.linear1 = Linear(d_model, dim_feedforward)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model)
        blocks = range(1, len(attentions) + 2)
        for i in blocks:
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps))
        for i in blocks:
            setattr(self, f"dropout{i}", Dropout(dropout))

    _more_attentions: tuple[str, ...] = ()

    def _attend(self, name: str, x: Any, memory: Any, mask: Any, padding: Any, is_causal: bool) -> Any:
        return getattr(self, name)(x, memory, memory, padding, False, mask, is_causal=is_causal)[0]

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _chain(self, x: Any, blocks: list[Callable[[Any], Any]]) -> Any:
        """Each block with its residual, dropout and normalization: after it, or before it where norm_first."""
        for i, block in enumerate(blocks, 1):
            norm, dropout = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
            x = x + dropout(block(norm(x))) if self.norm_first else norm(x + dropout(block(x)))
        return x


class TransformerEncoderLayer(_TransformerLayer):
    """Self-attention and a feed-forward block, each with residual, dropout and layer normalization.

    Normalization comes after each block (Vaswani et al. 2017), or before it where norm_first (Xiong et al. 2020).
    ``activation`` is "relu", "gelu" or a function. Weights are named as in PyTorch.

    >>> import ndiv, numpy as np
    >>> layer = ndiv.nn.attention.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> layer(ndiv.tensor(np.ones((3, 5, 8), np.float32))).shape
    (3, 5, 8)
    """

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """src [N, L, d_model] where batch_first, else [L, N, d_model] -> the same shape; masks as in MultiheadAttention."""
        return self._chain(src, [
            lambda x: self._attend("self_attn", x, x, src_mask, src_key_padding_mask, is_causal), self._feed_forward])


class TransformerDecoderLayer(_TransformerLayer):
    """Self-attention, attention to the encoder's output, and a feed-forward block; see `TransformerEncoderLayer`.

    >>> import ndiv, numpy as np
    >>> layer = ndiv.nn.attention.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> tgt, memory = (ndiv.tensor(np.ones((3, n, 8), np.float32)) for n in (4, 6))
    >>> layer(tgt, memory, tgt_is_causal=True).shape
    (3, 4, 8)
    """

    _more_attentions = ("multihead_attn",)

    def forward(self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, tgt_key_padding_mask: Any = None,
                memory_key_padding_mask: Any = None, tgt_is_causal: bool = False, memory_is_causal: bool = False) -> Any:
        """tgt [N, T, d_model], memory [N, S, d_model] where batch_first -> [N, T, d_model]."""
        return self._chain(tgt, [
            lambda x: self._attend("self_attn", x, x, tgt_mask, tgt_key_padding_mask, tgt_is_causal),
            lambda x: self._attend("multihead_attn", x, memory, memory_mask, memory_key_padding_mask, memory_is_causal),
            self._feed_forward])
