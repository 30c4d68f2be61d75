"""What TimeLLM puts in front of its backbone: patches, text prototypes, and attention of the ones to the others.

Contract: `patch_steps` says which steps of a window make its patches, `Prototypes` and `WordMapping` give the prototypes
[V', D], and `Reprogramming` writes patches [B, P, d_m] in terms of them: [B, P, D].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import random
from ...autograd.ops import FUNCTIONS
from ...nn import Linear, Module, Parameter, init

__all__ = ["Prototypes", "Reprogramming", "WordMapping", "patch_steps"]


def patch_steps(length: int, patch_len: int, stride: int, neighbours: bool) -> np.ndarray:
    """[P, patch_len]: steps of each patch of a window that ``stride`` copies of its last value follow; ``length`` stands for
    the last value. With ``neighbours`` [P, 3 patch_len]: the patch before, the patch, the one after, the first and the last
    being neighbours.

    >>> patch_steps(5, 2, 2, False).tolist()
    [[0, 1], [2, 3], [4, 5]]
    """
    count = (length + stride - patch_len) // stride + 1
    steps = np.minimum(stride * np.arange(count)[:, None] + np.arange(patch_len), length)
    if not neighbours:
        return steps
    return np.concatenate([np.roll(steps, 1, 0), steps, np.roll(steps, -1, 0)], axis=1)


class Prototypes(Module):
    """V' text prototypes [V', D], trained themselves.

    They start as words drawn from a backbone's (embeddings [V, D]); as random numbers where there are none.
    """

    def __init__(self, count: int, width: int, words: np.ndarray | None) -> None:
        super().__init__()
        if words is None:
            self.weight = Parameter(init.normal((count, width), 1.0))
        else:
            self.weight = Parameter(words[random.generator().choice(len(words), count, replace=count > len(words))])

    def forward(self, words: Any) -> Any:
        """``words`` are not needed any more."""
        return self.weight


class WordMapping(Module):
    """V' text prototypes [V', D], each a linear map of all words [V, D]: W E + b, the same b for all features."""

    def __init__(self, count: int, vocabulary_size: int) -> None:
        super().__init__()
        self.weight = Parameter(init.fan_in_uniform((count, vocabulary_size), vocabulary_size))
        self.bias = Parameter(init.fan_in_uniform((count, 1), vocabulary_size))

    def forward(self, words: Any) -> Any:
        return FUNCTIONS["matmul"](self.weight, words) + self.bias


class Reprogramming(Module):
    """Cross-attention of patches [B, P, d_model] to prototypes [V', D], -> [B, P, D] (Jin et al. 2024, section 3.2).

    heads of d_keys features each, dropout on the probabilities.
    """

    def __init__(self, d_model: int, width: int, heads: int, d_keys: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.d_keys, self.dropout = heads, d_keys, dropout
        self.query = Linear(d_model, heads * d_keys)
        self.key_value = Linear(width, 2 * heads * d_keys)
        self.out = Linear(heads * d_keys, width)

    def keys_values(self, prototypes: Any) -> tuple[Any, Any]:
        """Keys and values, [1, heads, V', d_keys] each, of prototypes [V', D]."""
        both = self.key_value(prototypes).reshape(-1, 2, self.heads, self.d_keys)
        both = FUNCTIONS["permute"](both, 1, 2, 0, 3)
        return both[0:1], both[1:2]

    def forward(self, x: Any, keys: Any, values: Any) -> Any:
        b, patches, _ = x.shape
        # the patches of all windows are queries of one attention: they share keys and values
        q = FUNCTIONS["permute"](self.query(x).reshape(1, b * patches, self.heads, self.d_keys), 0, 2, 1, 3)
        out = FUNCTIONS["scaled_dot_product_attention"](q, keys, values, None, self.dropout if self.training else 0.0)
        return self.out(FUNCTIONS["permute"](out, 0, 2, 1, 3).reshape(b, patches, self.heads * self.d_keys))
