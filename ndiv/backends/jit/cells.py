"""One step of each recurrent layer, forward and backward, apart from its matrix products.

Contract: what ``Cell.fast`` and ``Cell.fast_back`` of `ndiv.autograd.ops.recurrent` do, on C-contiguous arrays [B, n] of
one type, float32 or float64. A row is gone through several times, with few arrays each time, as a compiler that must
allow for arrays that overlap can turn into vector instructions only loops over a few.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import compiled, inline
from .maths import maximum, precision, sigmoid, tanh


@inline
def _sigmoids(z: Any) -> None:
    p = precision(z)
    for j in range(z.size):
        z[j] = sigmoid(np.float64(z[j]), p)


@inline
def _tanhs(z: Any) -> None:
    p = precision(z)
    for j in range(z.size):
        z[j] = tanh(np.float64(z[j]), p)


@compiled
def rnn_tanh(zx: Any, zh: Any, h: Any) -> None:
    p = precision(h)
    for b in range(h.shape[0]):
        for j in range(h.shape[1]):
            h[b, j] = tanh(np.float64(zx[b, j] + zh[b, j]), p)


@compiled
def rnn_relu(zx: Any, zh: Any, h: Any) -> None:
    for b in range(h.shape[0]):
        for j in range(h.shape[1]):
            h[b, j] = maximum(np.float64(zx[b, j] + zh[b, j]), 0.0)


@compiled
def rnn_tanh_back(dh: Any, h: Any, dz: Any) -> None:
    for b in range(h.shape[0]):
        for j in range(h.shape[1]):
            dz[b, j] = dh[b, j] * (1.0 - np.float64(h[b, j]) * h[b, j])


@compiled
def rnn_relu_back(dh: Any, h: Any, dz: Any) -> None:
    for b in range(h.shape[0]):
        for j in range(h.shape[1]):
            dz[b, j] = dh[b, j] if h[b, j] > 0.0 else 0.0


@compiled
def gru(zx: Any, zh: Any, before: Any, h: Any, kept: Any) -> None:
    """kept: r, z, n, and what the product gave for n."""
    batch, n = h.shape
    for b in range(batch):
        gates, r, z = kept[b, :2 * n], kept[b, :n], kept[b, n:2 * n]
        new, product = kept[b, 2 * n:3 * n], kept[b, 3 * n:]
        x, y, old, out = zx[b], zh[b], before[b], h[b]
        for j in range(2 * n):
            gates[j] = x[j] + y[j]
        _sigmoids(gates)
        product[:] = y[2 * n:]
        x = x[2 * n:]
        for j in range(n):
            new[j] = x[j] + r[j] * product[j]
        _tanhs(new)
        for j in range(n):
            out[j] = new[j] + z[j] * (np.float64(old[j]) - new[j])


@compiled
def gru_back(dh: Any, kept: Any, before: Any, dzx: Any, dzh: Any, through: Any) -> None:
    batch, n = dh.shape
    for b in range(batch):
        r, z, new, product = kept[b, :n], kept[b, n:2 * n], kept[b, 2 * n:3 * n], kept[b, 3 * n:]
        dr, dz, dn, gate = dzx[b, :n], dzx[b, n:2 * n], dzx[b, 2 * n:], dzh[b, 2 * n:]
        d, old, direct = dh[b], before[b], through[b]
        for j in range(n):
            t = np.float64(new[j])
            dn[j] = d[j] * (1.0 - z[j]) * (1.0 - t * t)
        for j in range(n):
            u = np.float64(z[j])
            dz[j] = d[j] * (np.float64(old[j]) - new[j]) * u * (1.0 - u)
        for j in range(n):
            u = np.float64(r[j])
            dr[j] = np.float64(dn[j]) * product[j] * u * (1.0 - u)
        dzh[b, :2 * n] = dzx[b, :2 * n]
        for j in range(n):
            gate[j] = dn[j] * r[j]
        for j in range(n):
            direct[j] = d[j] * z[j]


@compiled
def lstm(z: Any, zh: Any, before: Any, h: Any, c: Any) -> None:
    """z: what the inputs gave on entry, and i, f, g, o on return."""
    p, (batch, n) = precision(h), h.shape
    for b in range(batch):
        gates, product = z[b], zh[b]
        i, f, g, o = z[b, :n], z[b, n:2 * n], z[b, 2 * n:3 * n], z[b, 3 * n:]
        old, cell, out = before[b], c[b], h[b]
        for j in range(4 * n):
            gates[j] += product[j]
        _sigmoids(z[b, :2 * n])
        _tanhs(g)
        _sigmoids(o)
        for j in range(n):
            cell[j] = np.float64(f[j]) * old[j] + np.float64(i[j]) * g[j]
        for j in range(n):
            out[j] = o[j] * tanh(np.float64(cell[j]), p)


@compiled
def lstm_back(dh: Any, dc: Any, kept: Any, c: Any, before: Any, dz: Any, through: Any) -> None:
    """``through``: the gradient of the c before."""
    p, (batch, n) = precision(dh), dh.shape
    for b in range(batch):
        i, f, g, o = kept[b, :n], kept[b, n:2 * n], kept[b, 2 * n:3 * n], kept[b, 3 * n:]
        di, df, dg, do = dz[b, :n], dz[b, n:2 * n], dz[b, 2 * n:3 * n], dz[b, 3 * n:]
        d, cell, old, direct = dh[b], c[b], before[b], through[b]
        for j in range(n):
            direct[j] = tanh(np.float64(cell[j]), p)
        for j in range(n):
            u = np.float64(o[j])
            do[j] = d[j] * direct[j] * u * (1.0 - u)
        for j in range(n):
            t = np.float64(direct[j])
            direct[j] = d[j] * o[j] * (1.0 - t * t)
        for j in range(n):
            direct[j] += dc[b, j]
        for j in range(n):
            u = np.float64(i[j])
            di[j] = direct[j] * g[j] * u * (1.0 - u)
        for j in range(n):
            u = np.float64(f[j])
            df[j] = direct[j] * old[j] * u * (1.0 - u)
        for j in range(n):
            u = np.float64(g[j])
            dg[j] = direct[j] * i[j] * (1.0 - u * u)
        for j in range(n):
            direct[j] *= f[j]
