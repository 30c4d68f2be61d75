"""Convolutions of series that are folded into tables, each by a period of its own (TimesNet's 2D variations).

A fold of T steps by a period p is a table of ceil(T / p) rows of p steps, the last row filled up with zeros, and
`Inception` is the mean of convolutions of it with kernels of 1, 3, .., 2 n - 1 rows and columns, zeros around the table.
That mean is one convolution, with the mean of the kernels, each with zeros around it.

Contract: no table is ever made, since its shape depends on the data. Step t of a series stands in row t // p and column
t % p, so that the tap (i, j) of a kernel reads step t + i p + j, if that row and that column exist. `Folds` holds the
places that taps read, for every period, as whole numbers that are constants; what is chosen by data is a row of them.
A convolution is then: gather the rows of taps around each step, one matrix product that gives a number for each column of
taps, gather these columns and add them. Series in a batch share nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...nn import Module, Parameter, init

__all__ = ["Folds", "Inception"]


class Folds:
    """Where the taps of a convolution stand in ``steps`` steps, folded by each of ``periods``, up to ``reach`` rows and columns
    away.

    of [periods]                      which of the distinct folds belongs to each period
    width                             M, the steps of the longest fold, filled up
    rows [folds, (M + 1) * K]         for each step, and one that does not exist: the steps in the same column of the K = 2
                                      reach + 1 rows around it; M where there is none
    first                             the same for a series that is not filled up yet: ``steps`` stands for no step
    columns [folds, M * K]            for each step: the K places around it in its row, in an array [M + 1, K] whose element
                                      (t, j) is meant for the step j - reach before t; one in the row M where there is none

    >>> f = Folds(5, [2, 5], 1)  # 5 steps fold into 3 rows of 2, and into one row of 5
    >>> f.width, f.of.tolist(), f.rows.reshape(2, 7, 3)[0, 2].tolist(), f.rows.reshape(2, 7, 3)[1, 2].tolist()
    (6, [0, 1], [0, 2, 4], [6, 2, 6])
    """

    def __init__(self, steps: int, periods: Any, reach: int) -> None:
        distinct, of = np.unique(np.asarray(periods, np.int64), return_inverse=True)
        self.steps, self.of = steps, of.reshape(-1).astype(np.int64)
        p = distinct[:, None, None]
        length = -(-steps // p) * p
        self.width = int(length.max())
        offset = np.arange(-reach, reach + 1)
        self.taps = len(offset)
        step = np.arange(self.width + 1)[:, None]
        there = step + offset * p  # [folds, M + 1, K]
        inside = (step < length) & (there >= 0)
        self.rows = self._flat(np.where(inside & (there < length), there, self.width))
        self.first = self._flat(np.where(inside & (there < steps), there, steps))
        step = step[:-1]
        column = step % p + offset
        place = (step + offset) * self.taps + (offset + reach)
        self.columns = self._flat(np.where((step < length) & (column >= 0) & (column < p), place,
                                           self.width * self.taps + offset + reach))

    @staticmethod
    def _flat(table: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(table.reshape(len(table), -1), np.int64)


def _rows(x: Any, places: Any) -> Any:
    """Of x [S, n, C] the rows at places [S, m]: [S, m, C]."""
    s, n, c = x.shape
    flat = (places + np.arange(s)[:, None] * n).reshape(-1)
    return FUNCTIONS["embedding"](flat, x.reshape(s * n, c)).reshape(s, -1, c)


class Inception(Module):
    """The mean of n_kernels convolutions, with 1, 3, .., 2 n_kernels - 1 rows and columns, of folded series.

    kernel1, kernel3, .. [rows, in, columns, out]; bias [n_kernels, out]. Weights start normal with standard deviation
    sqrt(2 / (out rows columns)) (He et al. 2015, by fan out), biases at 0.
    """

    def __init__(self, n_in: int, n_out: int, n_kernels: int) -> None:
        super().__init__()
        self.n_in, self.n_out, self.n_kernels = n_in, n_out, n_kernels
        for side in self.sides:
            setattr(self, f"kernel{side}", Parameter(init.normal((side, n_in, side, n_out), math.sqrt(2.0 / n_out) / side)))
        self.bias = Parameter(init.zeros((n_kernels, n_out)))

    @property
    def sides(self) -> range:
        """How many rows and columns the kernels have."""
        return range(1, 2 * self.n_kernels, 2)

    def weight(self) -> Any:
        """The mean kernel [K * in, K * out], K = 2 n_kernels - 1: by rows of taps and inputs, columns of taps and outputs."""
        largest: Any = None
        for side in self.sides:
            edge = self.n_kernels - 1 - side // 2
            kernel = FUNCTIONS["pad"](getattr(self, f"kernel{side}"), (0, 0, edge, edge, 0, 0, edge, edge))
            largest = kernel if largest is None else largest + kernel
        taps = 2 * self.n_kernels - 1
        return largest.reshape(taps * self.n_in, taps * self.n_out) * (1.0 / self.n_kernels)

    def forward(self, x: Any, rows: Any, columns: Any) -> Any:
        """x [S, n, in] of S series whose last step is zeros, the places [S, (M + 1) K] and [S, m K] of `Folds`: [S, m, out]."""
        taps = 2 * self.n_kernels - 1
        around = _rows(x, rows).reshape(x.shape[0], -1, taps * self.n_in)  # [S, M + 1, K in]
        by_column = (around @ self.weight()).reshape(x.shape[0], -1, self.n_out)  # [S, (M + 1) K, out]
        found = _rows(by_column, columns).reshape(x.shape[0], -1, taps, self.n_out)
        return FUNCTIONS["sum"](found, 2) + FUNCTIONS["mean"](self.bias, 0)
