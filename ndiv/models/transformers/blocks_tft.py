"""Blocks of the Temporal Fusion Transformer: gated residual networks, variable selection, interpretable attention.

Contract: time comes first, [T, B, features], as recurrent ops take it; several networks of one size are batched products over
an axis in front, [M, rows, features]. Gated linear units, with the gate in the second half:
    GLU(x) = (W x + b) * sigmoid(V x + c)                                       (equation 5)
Gated residual networks, with a context c where there is one:
    GRN(a, c) = LayerNorm(a + GLU(W_1 act(W_2 a + W_3 c + b_2) + b_1))          (equations 2 to 4)
with dropout on what enters the gate. Equations are those of Lim et al. 2021 (see tft.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...nn import Dropout, LayerNorm, Linear, Module, Parameter, init

__all__ = ["EPS", "GRN", "Embeddings", "Gate", "GRNs", "InterpretableAttention", "VariableSelection"]

EPS = 1e-3  # of the layer normalizations, as in the authors' program


class Gate(Module):
    """Gated linear unit [*, hidden] -> [*, out]; weight [2 out, hidden] and bias [2 out], those of the sigmoid last.

    Two products, so that no array of both halves is taken apart and, in the gradient, put together.
    """

    def __init__(self, hidden: int, out: int) -> None:
        super().__init__()
        self.out = out
        self.weight = Parameter(init.fan_in_uniform((2 * out, hidden), hidden))
        self.bias = Parameter(init.fan_in_uniform((2 * out,), hidden))

    def forward(self, x: Any) -> Any:
        n, linear = self.out, FUNCTIONS["linear"]
        return linear(x, self.weight[:n], self.bias[:n]) * linear(x, self.weight[n:], self.bias[n:], "sigmoid")


class Residual(Module):
    """A gated residual network behind its first map: W_2 a + b_2 [*, hidden], what is led around it [*, out], c -> [*, out].

    ``context``: there is a c [*, hidden] that broadcasts.
    """

    def __init__(self, hidden: int, out: int, act: str, dropout: float, context: bool) -> None:
        super().__init__()
        self.act = act
        self.context = Linear(hidden, hidden, bias=False) if context else None
        self.inner = Linear(hidden, hidden)
        self.dropout = Dropout(dropout)
        self.gate = Gate(hidden, out)
        self.norm = LayerNorm(out, EPS)

    def forward(self, entered: Any, around: Any, c: Any) -> Any:
        if self.context is not None:
            entered = entered + self.context(c)
        z = self.dropout(self.inner(FUNCTIONS[self.act](entered)))
        return self.norm(self.gate(z) + around)


class GRN(Module):
    """Gated residual network [*, hidden] -> [*, hidden]."""

    def __init__(self, hidden: int, act: str, dropout: float, context: bool = False) -> None:
        super().__init__()
        self.enter = Linear(hidden, hidden)
        self.rest = Residual(hidden, hidden, act, dropout, context)

    def forward(self, a: Any, c: Any = None) -> Any:
        return self.rest(self.enter(a), a, c)


class Weighting(Module):
    """Softmax of a gated residual network of all variables of a step: weights [*, count].

    A Linear leads the count * hidden features around, as in the authors' program; the equations do not say how.
    """

    def __init__(self, count: int, hidden: int, act: str, dropout: float, context: bool) -> None:
        super().__init__()
        self.enter, self.around = Linear(count * hidden, hidden), Linear(count * hidden, count)
        self.rest = Residual(hidden, count, act, dropout, context)

    def forward(self, x: Any, each: Any, bias: Any, c: Any) -> Any:
        """x [*, C] and the variables' embeddings x @ each' + bias: each [count * hidden, C], bias [count * hidden, 1]."""
        entered, around = (FUNCTIONS["linear"](x, m.weight @ each, (m.weight @ bias).reshape(-1) + m.bias)
                           for m in (self.enter, self.around))
        return FUNCTIONS["softmax"](self.rest(entered, around, c), -1)


class GRNs(Module):
    """``count`` gated residual networks without context, one weight each: [count or 1, N, hidden] -> [count, N, hidden]."""

    def __init__(self, count: int, hidden: int, act: str, dropout: float) -> None:
        super().__init__()
        self.act = act
        for name, rows in (("enter", hidden), ("inner", hidden), ("gate", 2 * hidden)):
            setattr(self, f"{name}_weight", Parameter(init.fan_in_uniform((count, rows, hidden), hidden)))
            setattr(self, f"{name}_bias", Parameter(init.fan_in_uniform((count, 1, rows), hidden)))
        self.dropout = Dropout(dropout)
        self.norm_weight = Parameter(np.ones((count, 1, hidden), np.float32))
        self.norm_bias = Parameter(np.zeros((count, 1, hidden), np.float32))

    def forward(self, a: Any) -> Any:
        return self.rest(a @ self.enter_weight.swapaxes(-1, -2) + self.enter_bias, a)

    def rest(self, entered: Any, around: Any) -> Any:
        """What follows W_2 a + b_2, with what is led around, both [count, N, hidden]."""
        z = FUNCTIONS[self.act](entered) @ self.inner_weight.swapaxes(-1, -2) + self.inner_bias
        z, halves = self.dropout(z), (slice(0, z.shape[-1]), slice(z.shape[-1], None))
        values, gates = (z @ self.gate_weight[:, half].swapaxes(-1, -2) + self.gate_bias[:, :, half] for half in halves)
        z = values * FUNCTIONS["sigmoid"](gates) + around
        return FUNCTIONS["layer_norm"](z, eps=EPS) * self.norm_weight + self.norm_bias


class Embeddings(Module):
    """Of each variable, a vector for each of its columns and one more: xi = sum of columns times vectors + bias.

    ``widths``: how many columns each variable has. vectors [C, hidden], bias [M, hidden].
    """

    def __init__(self, widths: list[int], hidden: int) -> None:
        super().__init__()
        self.widths = widths
        self.vectors = Parameter(init.xavier_normal((sum(widths), hidden)))
        self.bias = Parameter(np.zeros((len(widths), hidden), np.float32))


class VariableSelection(Module):
    """The variables of each step, and their mean by weights of the step: [*, C], c -> [*, hidden], [*, M].

        v = softmax(GRN(xi_1 ... xi_M, c))                                          (equation 6)
        sum_j v_j GRN_j(xi_j)                                                       (equations 7 and 8)
    The embeddings xi are linear in the columns, and so is the first map of each network behind them: the two are one product,
    of [*, C] with a product of the weights.
    """

    def __init__(self, widths: list[int], hidden: int, act: str, dropout: float, weights_dropout: float, context: bool) -> None:
        super().__init__()
        self.count, self.hidden = len(widths), hidden
        self.own = np.arange(self.count)[:, None, None] == np.repeat(np.arange(self.count), widths)  # [M, 1, C]
        self.variables = GRNs(self.count, hidden, act, dropout)
        if self.count > 1:  # the weight of a single variable is 1
            self.weighting = Weighting(self.count, hidden, act, weights_dropout, context)

    def forward(self, x: Any, embeddings: Sequence[Embeddings], c: Any = None) -> tuple[Any, Any]:
        vectors, bias = (FUNCTIONS["cat"](parts) if len(parts) > 1 else parts[0]
                         for parts in ([e.vectors for e in embeddings], [e.bias for e in embeddings]))
        each = FUNCTIONS["where"](self.own, FUNCTIONS["transpose"](vectors, 0, 1), 0.0)  # [M, hidden, C]
        bias = bias.reshape(self.count, self.hidden, 1)
        rows, first = x.reshape(1, -1, x.shape[-1]), self.variables.enter_weight  # [1, N, C]
        embedded = rows @ each.swapaxes(-1, -2) + bias.swapaxes(-1, -2)  # [M, N, hidden]
        entered = rows @ (first @ each).swapaxes(-1, -2) + ((first @ bias).swapaxes(-1, -2) + self.variables.enter_bias)
        found = self.variables.rest(entered, embedded)
        shape = (*x.shape[:-1], self.hidden)
        if self.count == 1:
            return found.reshape(shape), np.ones((*x.shape[:-1], 1), x.dtype)
        v = self.weighting(x, each.reshape(-1, x.shape[-1]), bias.reshape(-1, 1), c)  # [*, M]
        by_variable = FUNCTIONS["transpose"](v.reshape(-1, self.count), 0, 1).reshape(self.count, -1, 1)
        return FUNCTIONS["sum"](found * by_variable, 0).reshape(shape), v


class InterpretableAttention(Module):
    """Heads with queries and keys of their own, and values that all share: of the last ``ahead`` steps to those not after each,
    [T, B, hidden] -> [ahead, B, hidden].

        mean_h softmax(Q W_q^h (K W_k^h)' / sqrt(d)) V W_v W_h,  d = hidden / heads         (equations 13 to 16)
    As the values are shared, the mean of what the heads give is attention by the mean of their weights.
    """

    def __init__(self, hidden: int, heads: int, ahead: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim, self.ahead, self.dropout = heads, hidden // heads, ahead, dropout
        self.query = Linear(hidden, hidden, bias=False)
        self.key_value = Linear(hidden, hidden + self.head_dim, bias=False)
        self.out = Linear(self.head_dim, hidden, bias=False)

    def forward(self, x: Any) -> Any:
        steps, ahead = x.shape[0], self.ahead
        q, (k, v) = self._split(self.query(x[-ahead:])), self._keys_values(x)
        allowed = np.tri(ahead, steps, steps - ahead, dtype=bool)
        z = FUNCTIONS["scaled_dot_product_attention"](q, k, v, allowed, self.dropout if self.training else 0.0)
        return self.out(FUNCTIONS["permute"](FUNCTIONS["mean"](z, 1), 1, 0, 2))  # [B, heads, ahead, d] -> [ahead, B, d]

    def weights(self, x: Any) -> Any:
        """The probabilities of all steps, [B, heads, T, T], to be looked at: row t says to which steps t attends."""
        return FUNCTIONS["attention_weights"](self._split(self.query(x)), self._keys_values(x)[0], is_causal=True)

    def _keys_values(self, x: Any) -> tuple[Any, Any]:
        """[B, heads, T, d] and [B, 1, T, d]"""
        kv, inner = self.key_value(x), self.heads * self.head_dim
        return self._split(kv[..., :inner]), self._split(kv[..., inner:])

    def _split(self, x: Any) -> Any:
        """[T, B, n * d] -> [B, n, T, d]"""
        return FUNCTIONS["permute"](x.reshape(*x.shape[:2], -1, self.head_dim), 1, 2, 0, 3)
