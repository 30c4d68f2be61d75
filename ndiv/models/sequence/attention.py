"""How a decoder's states look at those of an encoder: three kinds of attention behind one interface.

Contract: `prepared(memory [B, L, E])` is what is computed once for a window, arrays whose first axis is B;
`forward(s [B, T, H], prepared, allowed)` gives the contexts of T states [B, T, size]. ``allowed`` [B, L] says which
steps of the memory count, None: all; the memory is 0 at the others, and where none counts the softmax gives 0.
``before``: the decoder attends with its state of the step before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...nn import Linear, Module

__all__ = ["ATTENTIONS", "Additive", "Attention", "General", "MultiHead"]

_attend, _permute, _where = (FUNCTIONS[n] for n in ("scaled_dot_product_attention", "permute", "where"))


class Attention(Module):
    """Base of the three; see the top of this file."""

    before = False
    size: int

    def prepared(self, memory: Any) -> tuple[Any, ...]:
        raise NotImplementedError


class MultiHead(Attention):
    """Vaswani et al. 2017, section 3.2.2: W_o [softmax(q_i k_i' / sqrt(d)) v_i]_i with q = W_q s, k and v = W_kv e.

    W_kv holds keys above values, each of n_head parts. states is a multiple of n_head, d = states / n_head.
    """

    def __init__(self, states: int, memory: int, n_head: int) -> None:
        super().__init__()
        self.n_head, self.size = n_head, states
        self.query = Linear(states, states)
        self.key_value = Linear(memory, 2 * states)
        self.out = Linear(states, states)

    def _heads(self, x: Any) -> Any:
        """[B, T, H] -> [B, heads, T, d]"""
        b, t, n = x.shape
        return _permute(x.reshape(b, t, self.n_head, n // self.n_head), (0, 2, 1, 3))

    def prepared(self, memory: Any) -> tuple[Any, ...]:
        both = self.key_value(memory)
        return self._heads(both[..., :self.size]), self._heads(both[..., self.size:])

    def forward(self, s: Any, prepared: tuple[Any, ...], allowed: Any) -> Any:
        keys, values = prepared
        mask = None if allowed is None else allowed.reshape(allowed.shape[0], 1, 1, allowed.shape[1])
        found = _attend(self._heads(self.query(s)), keys, values, mask)
        return self.out(_permute(found, (0, 2, 1, 3)).reshape(s.shape[0], s.shape[1], self.size))


class General(Attention):
    """Luong et al. 2015, section 3.1, "general": softmax(s' W_a e) e."""

    def __init__(self, states: int, memory: int, n_head: int) -> None:
        super().__init__()
        self.size = memory
        self.score = Linear(states, memory, bias=False)

    def prepared(self, memory: Any) -> tuple[Any, ...]:
        return (memory,)

    def forward(self, s: Any, prepared: tuple[Any, ...], allowed: Any) -> Any:
        memory, = prepared
        mask = None if allowed is None else allowed.reshape(allowed.shape[0], 1, allowed.shape[1])
        return _attend(self.score(s), memory, memory, mask, scale=1.0)


class Additive(Attention):
    """Bahdanau et al. 2015, appendix A.1.2: softmax(v' tanh(W_a s + U_a e)) e, with s of the step before."""

    before = True

    def __init__(self, states: int, memory: int, n_head: int) -> None:
        super().__init__()
        self.size = memory
        self.state = Linear(states, states)
        self.memory = Linear(memory, states, bias=False)
        self.score = Linear(states, 1, bias=False)

    def prepared(self, memory: Any) -> tuple[Any, ...]:
        return self.memory(memory), memory

    def forward(self, s: Any, prepared: tuple[Any, ...], allowed: Any) -> Any:
        keys, memory = prepared
        b, t, n = s.shape
        length = keys.shape[1]
        summed = self.state(s).reshape(b, t, 1, n) + keys.reshape(b, 1, length, n)
        scores = self.score(FUNCTIONS["tanh"](summed)).reshape(b, t, length)
        if allowed is not None:  # where nothing counts all weights are equal, and the memory there is 0
            scores = _where(allowed.reshape(b, 1, length), scores, np.full((), -1e9, scores.dtype))
        return FUNCTIONS["softmax"](scores, dim=-1) @ memory


ATTENTIONS: dict[str, type[Any]] = {"multihead": MultiHead, "luong": General, "bahdanau": Additive}
