"""Attention among multiwavelet coefficients: FEDformer's blocks FEB-w and FEA-w (Zhou et al. 2022, section 3.4).

Multiwavelets (Alpert 1993; Gupta, Xiao, Bogdan 2021, "Multiwavelet-based Operator Learning for Differential Equations"): the
scaling functions phi_0, ..., phi_{k-1} are the normalized Legendre polynomials on [0, 1], and the coefficients s of a level and
those of the next, coarser one are related by an orthogonal matrix of 2k rows, the same at all levels:
    [s; d] at level n + 1, step t  =  [H0 H1; G0 G1] [s(2t); s(2t + 1)] at level n
    H0_ij = 1/sqrt(2) integral of phi_i(x / 2) phi_j(x);  H1_ij = 1/sqrt(2) integral of phi_i((x + 1) / 2) phi_j(x)
s holds what is smooth at this scale and d what is lost by that; G0, G1 span what H0, H1 do not. A sequence is given as k
coefficients of several channels at each step by a linear map.
    FEB-w: at each level  U_d = A(d) + B(s),  U_s = C(d)  by FEB-f's products A, B, C of all levels; at the coarsest  s <- T s
    FEA-w: at each level  U_d = FEA-f(d) + FEA-f(s),  U_s = FEA-f(d);  at the coarsest  s <- FEA-f(s)
    back from the coarsest: s(2t), s(2t + 1) = [H0 H1; G0 G1]' [s + U_s; U_d]
Contract: coefficients are [B, N, k, channels] with the channels innermost, so that two steps lie side by side as the 2k rows of
the matrix. FEB-f and FEA-f keep the lowest frequencies here, since levels of all lengths share their products. A sequence is
continued by its beginning to a length that can be halved as often as there are levels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...nn import Linear, Module, Parameter, init
from .frequency import ModeProduct, scaled, series, spectrum

__all__ = ["LEVELS", "ORDER", "WaveletAttention", "WaveletBlock", "filters"]

ORDER = 8  # k, as in the authors' code
LEVELS = 3  # at most


@lru_cache(maxsize=4)
def filters(order: int) -> np.ndarray:
    """[H0 H1; G0 G1], orthogonal, [2 order, 2 order] in float64. The rows of G are what Gram and Schmidt's process makes of the
    scaling functions of the first half.

    >>> filters(1).round(3).tolist()
    [[0.707, 0.707], [0.707, -0.707]]
    """
    x, w = np.polynomial.legendre.leggauss(order)  # exact for products of these polynomials
    x, w = (x + 1.0) / 2.0, w / 2.0

    def phi(at: np.ndarray) -> np.ndarray:
        return np.polynomial.legendre.legvander(2.0 * at - 1.0, order - 1).T * np.sqrt(2.0 * np.arange(order) + 1.0)[:, None]

    smooth = np.concatenate([phi(half) * w @ phi(x).T for half in (x / 2.0, (x + 1.0) / 2.0)], axis=1) / math.sqrt(2.0)
    q, r = np.linalg.qr(np.concatenate([smooth.T, np.eye(2 * order, order)], axis=1))
    return (q * np.where(np.diag(r) < 0, -1.0, 1.0)).T


def levels_of(*lengths: int) -> int:
    """How often all of these lengths are halved: `LEVELS`, or until one step would be left."""
    return min(LEVELS, int(math.log2(min(lengths))))


def continued(x: Any, levels: int) -> Any:
    """x [B, L, features] with its beginning at its end, to a multiple of 2^levels steps."""
    more = -x.shape[1] % 2**levels
    return x if not more else FUNCTIONS["cat"]([x, x[:, :more]], dim=1)


def halved(x: Any, order: int) -> Any:
    """One level: [B, N, order * channels] -> [B, N / 2, 2 * order * channels], s and then d."""
    b, n, features = x.shape
    pairs = x.reshape(b * n // 2, 2 * order, features // order)
    return FUNCTIONS["matmul"](filters(order).astype(x.dtype), pairs).reshape(b, n // 2, 2 * features)


def doubled(s: Any, d: Any, order: int) -> Any:
    """The inverse of `halved`: twice [B, N, order * channels] -> [B, 2 N, order * channels]."""
    b, n, features = s.shape
    pairs = FUNCTIONS["cat"]([s, d], dim=2).reshape(b * n, 2 * order, features // order)
    return FUNCTIONS["matmul"](filters(order).T.astype(s.dtype), pairs).reshape(b, 2 * n, features)


def lowest(n: int, modes: int) -> np.ndarray:
    """The lowest bins of n steps."""
    return np.arange(min(modes, n // 2 + 1))


def width_for(hidden: int, heads: int) -> int:
    """Features of all coefficients of a step: at least hidden, and the same whole number of channels in each head."""
    return ORDER * heads * -(-hidden // (ORDER * heads))


class WaveletBlock(Module):
    """FEB-w: (x [B, L, hidden], memory) -> [B, L, hidden], memory unused; the channels of a head mix, with all their orders."""

    def __init__(self, hidden: int, heads: int, modes: int, length: int) -> None:
        super().__init__()
        width = width_for(hidden, heads)
        self.heads, self.levels = heads, levels_of(length)
        count = len(lowest(-(-length // 2**self.levels) * 2**self.levels // 2, modes))
        self.query, self.out = Linear(hidden, width), Linear(width, hidden)
        if self.levels:
            self.fine = ModeProduct(count, heads, 2 * width, width)  # B and A, from s and d
            self.coarse = ModeProduct(count, heads, width, width)  # C, from d
        self.matrix = Parameter(init.fan_in_uniform((ORDER, ORDER), ORDER))  # T
        self.bias = Parameter(init.fan_in_uniform((ORDER, 1), ORDER))

    def forward(self, x: Any, memory: Any) -> Any:
        length = x.shape[1]
        s, parts = continued(self.query(x), self.levels), []
        for _ in range(self.levels):
            both = halved(s, ORDER)
            half = both.shape[2] // 2
            s = both[:, :, :half]
            parts.append(self._kernels(both))
        b, n, width = s.shape
        s = FUNCTIONS["matmul"](self.matrix, s.reshape(b, n, ORDER, -1)) + self.bias
        s = s.reshape(b, n, width)
        for u_s, u_d in reversed(parts):
            s = doubled(s + u_s, u_d, ORDER)
        return self.out(s[:, :length])

    def _kernels(self, both: Any) -> tuple[Any, Any]:
        """(U_s, U_d) of [s; d], [B, N, 2 * width]."""
        n, width = both.shape[1], both.shape[2] // 2
        modes = lowest(n, self.fine.weight.shape[0])
        z = self._by_head(spectrum(both, modes), 2 * ORDER)  # [B, 2, M, 2 * width]
        b, _, m, _ = z.shape
        of_d = z.reshape(b, 2, m, self.heads, 2, -1)[:, :, :, :, 1].reshape(b, 2, m, width)
        made = FUNCTIONS["cat"]([self.coarse(of_d), self.fine(z)], dim=3)
        made = made.reshape(b, 2, m, 2, self.heads, ORDER, -1).permute(0, 1, 2, 3, 5, 4, 6).reshape(b, 2, m, 2 * width)
        u = series(made, modes, n)
        return u[:, :, :width], u[:, :, width:]

    def _by_head(self, z: Any, rows: int) -> Any:
        """[B, 2, M, rows * channels] with the channels of each head together, and all rows of them."""
        b, _, m, features = z.shape
        return z.reshape(b, 2, m, rows, self.heads, -1).permute(0, 1, 2, 4, 3, 5).reshape(b, 2, m, features)


class WaveletAttention(Module):
    """FEA-w: (x [B, L, hidden], memory [B, S, hidden]) -> [B, L, hidden]; each order's coefficients are a head."""

    def __init__(self, hidden: int, heads: int, modes: int) -> None:
        super().__init__()
        width = width_for(hidden, heads)
        self.modes = modes
        self.query, self.key, self.value = Linear(hidden, width), Linear(hidden, width), Linear(hidden, width)
        self.out = Linear(width, hidden)

    def forward(self, x: Any, memory: Any) -> Any:
        length, levels = x.shape[1], levels_of(x.shape[1], memory.shape[1])
        q, k, v = (continued(part, levels) for part in (self.query(x), self.key(memory), self.value(memory)))
        width, found = q.shape[2], []
        for _ in range(levels):
            q, k, v = (halved(part, ORDER) for part in (q, k, v))
            found.append(self._attended(q, k, v, 2 * ORDER))  # of s and of d
            q, k, v = (part[:, :, :width] for part in (q, k, v))
        s = self._attended(q, k, v, ORDER)
        for u in reversed(found):
            of_s, of_d = u[:, :, :width], u[:, :, width:]
            s = doubled(s + of_d, of_s + of_d, ORDER)
        return self.out(s[:, :length])

    def _attended(self, q: Any, k: Any, v: Any, heads: int) -> Any:
        """FEA-f of the lowest modes, [B, N, features]."""
        n, other = q.shape[1], k.shape[1]
        modes, modes_memory = lowest(n, self.modes), lowest(other, self.modes)
        k, v = spectrum(k, modes_memory), spectrum(v, modes_memory)
        return series(scaled(spectrum(q, modes), k, v, n, other, heads), modes, n)
