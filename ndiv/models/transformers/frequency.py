"""Attention among a few frequencies of a sequence: FEDformer's blocks FEB-f and FEA-f (Zhou et al. 2022, section 3.3).

Contract: a spectrum is a real array [B, 2, M, features] of the real and imaginary parts of M chosen bins of the discrete
Fourier transform; `spectrum` and `series` go there and back by products with the M rows of the transform that are needed, so
that time and memory grow as L M: M is bounded by the argument ``modes``. Chosen bins are a buffer: they are saved with the
weights, and plans follow them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...nn import Linear, Module, Parameter, init
from ...random import generator

__all__ = ["FourierAttention", "FourierBlock", "ModeProduct", "chosen_modes", "scaled", "series", "spectrum"]


def chosen_modes(length: int, modes: int, random: bool, draw: Any = None) -> np.ndarray:
    """Bins [M] of a transform of ``length`` steps, in order: ``modes`` of the first half of all bins, or as many as there are;
    the lowest or, where ``random``, any. ``draw`` is a generator with the method ``shuffle``, if not ndiv's.

    >>> chosen_modes(10, 3, False).tolist(), len(chosen_modes(96, 64, True))
    ([0, 1, 2], 48)
    """
    every = list(range(max(length // 2, 1)))
    if random:
        (generator() if draw is None else draw).shuffle(every)
    return np.array(sorted(every[:modes]), np.int64)


def _waves(modes: Any, length: int, dtype: Any) -> tuple[Any, Any]:
    """(cosines, sines) of each mode, [M, L]. The angle is reduced to one turn in whole numbers, where float32 is exact."""
    turns = modes.astype(dtype).reshape(-1, 1) * np.arange(length).astype(dtype)  # in steps of 1 / L of a turn
    whole = (turns * (1.0 / length)).astype(np.int64).astype(dtype)
    angle = (turns - whole * float(length)) * (2.0 * math.pi / length)
    return FUNCTIONS["cos"](angle), FUNCTIONS["sin"](angle)


def spectrum(x: Any, modes: Any) -> Any:
    """The bins ``modes`` [M] of x [B, L, features]: [B, 2, M, features]."""
    b, length, features = x.shape
    cos, sin = _waves(modes, length, x.dtype)
    return FUNCTIONS["matmul"](FUNCTIONS["cat"]([cos, -sin], dim=0), x).reshape(b, 2, -1, features)


def series(z: Any, modes: Any, length: int) -> Any:
    """The sequence [B, L, features] that has the bins z [B, 2, M, features], and zeros elsewhere."""
    b, _, count, features = z.shape
    cos, sin = _waves(modes, length, z.dtype)
    # a bin stands for its mirror image too, but for the first and that of half the length
    bins = modes.astype(z.dtype).reshape(-1, 1)
    alone = bins * (bins * 2.0 - float(length)) == 0.0
    weight = FUNCTIONS["where"](alone, np.array(1.0 / length, z.dtype), np.array(2.0 / length, z.dtype))
    waves = FUNCTIONS["cat"]([cos * weight, -(sin * weight)], dim=0)  # [2 M, L]
    return FUNCTIONS["matmul"](FUNCTIONS["transpose"](waves, 0, 1), z.reshape(b, 2 * count, features))


class ModeProduct(Module):
    """Each mode's features times a complex matrix of its own, head by head: [B, 2, M, inputs] -> [B, 2, M, outputs].

    weight [M, heads, inputs / heads, 2, outputs / heads], its real and imaginary parts uniform from 0 to 1 / (inputs * outputs)
    at first. A spectrum of fewer modes uses those of the first ones.
    """

    def __init__(self, modes: int, heads: int, inputs: int, outputs: int) -> None:
        super().__init__()
        shape = (modes, heads, inputs // heads, 2, outputs // heads)
        self.weight = Parameter(init.uniform(shape, 0.0, 1.0 / (inputs * outputs)))

    def forward(self, z: Any) -> Any:
        b, _, count, _ = z.shape
        _, heads, each, _, made = self.weight.shape
        weight = self.weight if count == self.weight.shape[0] else self.weight[:count]
        p = FUNCTIONS["einsum"]("bcmhe,mheof->mhbcof", z.reshape(b, 2, count, heads, each), weight)
        re = p[:, :, :, 0, 0] - p[:, :, :, 1, 1]  # [M, heads, B, outputs / heads]
        im = p[:, :, :, 0, 1] + p[:, :, :, 1, 0]
        both = FUNCTIONS["stack"]([re, im], dim=0)
        return both.permute(3, 0, 1, 2, 4).reshape(b, 2, count, heads * made)


def _tanh(re: Any, im: Any) -> tuple[Any, Any]:
    """The hyperbolic tangent of complex numbers, from that of the real part and sine and cosine of the imaginary one."""
    t, s, c = FUNCTIONS["tanh"](re), FUNCTIONS["sin"](im), FUNCTIONS["cos"](im)
    below = c * c + t * t * s * s
    return t / below, s * c * (1.0 - t * t) / below


def attended(q: Any, k: Any, v: Any, heads: int, split: bool) -> Any:
    """tanh(Q K') V of complex Q [B, 2, M, features], K and V [B, 2, N, features], head by head: [B, 2, M, features].

    The tangent is that of complex numbers or, where ``split``, of real and imaginary parts, which is bounded.
    """
    b, _, m, features = q.shape
    n = k.shape[2]

    def parted(x: Any) -> Any:
        return x.reshape(b, 2, x.shape[2], heads, -1)

    p = FUNCTIONS["einsum"]("bcmhe,bdnhe->bhcmdn", parted(q), parted(k))
    re, im = p[:, :, 0, :, 0] - p[:, :, 1, :, 1], p[:, :, 0, :, 1] + p[:, :, 1, :, 0]  # [B, heads, M, N]
    re, im = (FUNCTIONS["tanh"](re), FUNCTIONS["tanh"](im)) if split else _tanh(re, im)
    rows = [FUNCTIONS["cat"](part, dim=3) for part in ([re, -im], [im, re])]  # of the real matrix that multiplies the same
    scores = FUNCTIONS["cat"](rows, dim=2)  # [B, heads, 2 M, 2 N]
    out = FUNCTIONS["einsum"]("bhpq,bqhe->bphe", scores, v.reshape(b, 2 * n, heads, -1))
    return out.reshape(b, 2, m, features)


def scaled(q: Any, k: Any, v: Any, length: int, length_memory: int, heads: int) -> Any:
    """`attended` of the spectra of sequences of these lengths, [B, 2, M, features].

    Queries' and keys' transforms are divided by the root of their lengths and their products by that of a head's features, so
    that scores do not grow with any of these; values' by their length and multiplied by that of the queries, so that a wave
    keeps its height; and what is added up by the number of keys.
    """
    of_scores = 1.0 / math.sqrt(length * length_memory * (q.shape[3] // heads))
    return attended(q * of_scores, k, v, heads, split=True) * (length / (length_memory * k.shape[2]))


def mixed(x: Any) -> Any:
    """[B, L, features] as neuralforecast hands it on: laid out as [B, features, L], and read as [B, L, features]."""
    return FUNCTIONS["transpose"](x, 1, 2).reshape(*x.shape)


class FourierBlock(Module):
    """FEB-f: chosen modes of x, each times a matrix of its own; (x [B, L, hidden], memory) -> [B, L, hidden], memory unused.

    Layers of ``compat`` share ``product``, put the modes in order at the lowest frequencies, and mix features and steps.
    """

    def __init__(self, hidden: int, heads: int, modes: np.ndarray, product: ModeProduct, compat: bool) -> None:
        super().__init__()
        inner = hidden // heads * heads
        self.query, self.out = Linear(hidden, inner), Linear(inner, hidden)
        self.product, self.compat = product, compat
        self.register_buffer("modes", modes)

    def forward(self, x: Any, memory: Any) -> Any:
        modes = self.modes
        z = self.product(spectrum(self.query(x), modes))
        if not self.compat:
            return self.out(series(z, modes, x.shape[1]))
        return self.out(mixed(series(z, np.arange(z.shape[2]), x.shape[1])))


class FourierAttention(Module):
    """FEA-f: attention of chosen modes of x to those of the memory, (x [B, L, hidden], memory [B, S, hidden]) -> that of x.

    Scores and sums are scaled as `scaled` says. In ``compat``, where a ``product`` is given, they are not, values are the keys,
    a further matrix for each mode follows, divided by hidden^2, and features and steps are mixed.
    """

    def __init__(self, hidden: int, heads: int, modes: np.ndarray, modes_memory: np.ndarray,
                 product: ModeProduct | None) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1.0 / hidden**2
        inner = hidden // heads * heads
        self.query, self.key = Linear(hidden, inner), Linear(hidden, inner)
        self.value: Any = Linear(hidden, inner) if product is None else None
        self.out = Linear(inner, hidden)
        self.product = product
        self.register_buffer("modes", modes)
        self.register_buffer("modes_memory", modes_memory)

    def forward(self, x: Any, memory: Any) -> Any:
        length = x.shape[1]
        q, k = spectrum(self.query(x), self.modes), spectrum(self.key(memory), self.modes_memory)
        if self.product is not None:
            z = self.product(attended(q, k, k, self.heads, split=False)) * self.scale
            return self.out(mixed(series(z, self.modes, length)))
        v = spectrum(self.value(memory), self.modes_memory)
        return self.out(series(scaled(q, k, v, length, memory.shape[1], self.heads), self.modes, length))
