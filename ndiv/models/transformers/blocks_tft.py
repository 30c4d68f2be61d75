"""Blocks of the Temporal Fusion Transformer: gated residual networks, variable selection, interpretable attention.

Contract: time comes first, [T, B, features], as recurrent ops take it; parameters of several networks of one size have an axis
in front, [M, ...]. Gated linear units, with the gate in the second half:
    GLU(x) = (W x + b) * sigmoid(V x + c)                                       (equation 5)
Gated residual networks, with a context c where there is one:
    GRN(a, c) = LayerNorm(a + GLU(W_1 act(W_2 a + W_3 c + b_2) + b_1))          (equations 2 to 4)
with dropout on what enters the gate. Equations are those of Lim et al. 2021 (see tft.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """A gated residual network without its first map: what that map reads, its weight and bias, what is led around the network
    [*, out], c -> [*, out].

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

    def forward(self, a: Any, weight: Any, bias: Any, around: Any, c: Any) -> Any:
        linear = FUNCTIONS["linear"]
        if self.context is None:
            z = linear(a, weight, bias, self.act)
        else:
            z = FUNCTIONS[self.act](linear(a, weight, bias) + self.context(c))
        return self.norm(self.gate(self.dropout(self.inner(z))) + around)


class GRN(Module):
    """Gated residual network [*, hidden] -> [*, hidden]."""

    def __init__(self, hidden: int, act: str, dropout: float, context: bool = False) -> None:
        super().__init__()
        self.enter = Linear(hidden, hidden)
        self.rest = Residual(hidden, hidden, act, dropout, context)

    def forward(self, a: Any, c: Any = None) -> Any:
        return self.rest(a, self.enter.weight, self.enter.bias, a, c)


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
        (weight, b), around = ((m.weight @ each, (m.weight @ bias).reshape(-1) + m.bias) for m in (self.enter, self.around))
        return FUNCTIONS["softmax"](self.rest(x, weight, b, FUNCTIONS["linear"](x, *around), c), -1)


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
        """All of them, as batched products: for a few rows."""
        z = a @ self.enter_weight.swapaxes(-1, -2) + self.enter_bias
        z = FUNCTIONS[self.act](z) @ self.inner_weight.swapaxes(-1, -2) + self.inner_bias
        z, halves = self.dropout(z), (slice(0, z.shape[-1]), slice(z.shape[-1], None))
        values, gates = (z @ self.gate_weight[:, half].swapaxes(-1, -2) + self.gate_bias[:, :, half] for half in halves)
        z = values * FUNCTIONS["sigmoid"](gates) + a
        return FUNCTIONS["layer_norm"](z, eps=EPS) * self.norm_weight + self.norm_bias

    def one(self, k: int, x: Any, vectors: Any, bias: Any, lead: tuple[int, ...]) -> Any:
        """The k-th, of x @ vectors + bias: x [*, C], vectors [C, hidden], bias [hidden] -> [*, hidden].

        The axes in front are ``lead``, or 1 where x is the same along one. Then everything is worked out once for it, up to
        dropout, which draws for each element.
        """
        linear, turned = FUNCTIONS["linear"], FUNCTIONS["transpose"](vectors, 0, 1)
        first = row(self.enter_weight, k)
        z = linear(x, first @ turned, (first @ bias.reshape(-1, 1)).reshape(-1) + row(self.enter_bias, k).reshape(-1), self.act)
        z = linear(z, row(self.inner_weight, k), row(self.inner_bias, k).reshape(-1))
        if self.dropout.training and self.dropout.p > 0.0:
            z = self.dropout(FUNCTIONS["expand"](z, (*lead, z.shape[-1])))
        n, weight, b = z.shape[-1], row(self.gate_weight, k), row(self.gate_bias, k).reshape(-1)
        z = linear(z, weight[:n], b[:n]) * linear(z, weight[n:], b[n:], "sigmoid") + linear(x, turned, bias)
        return FUNCTIONS["layer_norm"](z, row(self.norm_weight, k).reshape(-1), row(self.norm_bias, k).reshape(-1), EPS)


def row(x: Any, k: int) -> Any:
    """x[k], by a slice: the gradients of several are then put side by side, and not added up."""
    return x[k:k + 1].reshape(x.shape[1:])


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
    """The variables of each step, and their mean by weights of the step: c -> [*, hidden], [*, M].

        v = softmax(GRN(xi_1 ... xi_M, c))                                          (equation 6)
        sum_j v_j GRN_j(xi_j)                                                       (equations 7 and 8)
    The embeddings xi are linear in the columns, and so is the first map of each network behind them: the two are one product,
    with a product of the weights. Columns come in parts [*, C], each with all columns of its variables; a part whose axes in
    front are 1 is the same along these, and so is what is made of it alone.
    """

    def __init__(self, widths: list[int], hidden: int, act: str, dropout: float, weights_dropout: float, context: bool) -> None:
        super().__init__()
        self.count, self.hidden, self.widths = len(widths), hidden, widths
        self.own = np.arange(self.count)[:, None, None] == np.repeat(np.arange(self.count), widths)  # [M, 1, C]
        self.variables = GRNs(self.count, hidden, act, dropout)
        if self.count > 1:  # the weight of a single variable is 1
            self.weighting = Weighting(self.count, hidden, act, weights_dropout, context)

    def forward(self, parts: Sequence[Any], embeddings: Sequence[Embeddings], lead: tuple[int, ...],
                c: Any = None) -> tuple[Any, Any]:
        cat, expand = FUNCTIONS["cat"], FUNCTIONS["expand"]
        vectors, bias = (cat(found) if len(found) > 1 else found[0]
                         for found in ([e.vectors for e in embeddings], [e.bias for e in embeddings]))
        found, at = [], 0
        for k, (x, width) in enumerate(zip(self.columns(parts), self.widths, strict=True)):
            found.append(self.variables.one(k, x, vectors[at:at + width], row(bias, k), lead))
            at += width
        if self.count == 1:
            return expand(found[0], (*lead, self.hidden)), np.ones((*lead, 1), parts[0].dtype)
        each = FUNCTIONS["where"](self.own, FUNCTIONS["transpose"](vectors, 0, 1), 0.0).reshape(-1, len(vectors))
        together = cat([expand(x, (*lead, x.shape[-1])) for x in parts], dim=-1)
        v = self.weighting(together, each, bias.reshape(-1, 1), c)  # [*, M]
        total = found[0] * v[..., :1]
        for k in range(1, self.count):
            total = total + found[k] * v[..., k:k + 1]
        return total, v

    def columns(self, parts: Sequence[Any]) -> Iterator[Any]:
        """Those of each variable."""
        widths = iter(self.widths)
        for x in parts:
            at = 0
            while at < x.shape[-1]:
                width = next(widths)
                yield x[..., at:at + width]
                at += width


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
