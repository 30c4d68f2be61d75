"""StemGNN: series as nodes of a graph that is learned from them, and their spectra over the graph and over time.

Cao, Wang, Duan, Zhang, Zhu, Huang, Tong, Xu, Bai, Tong, Zhang, "Spectral Temporal Graph Neural Network for Multivariate
Time-series Forecasting", NeurIPS 2020, sections 3 and 4. Of the windows X [N, L] of N series:
latent correlation (section 4.1): R [N, d] are the last states of a GRU over the steps of each series,
    W = softmax(R W_Q (R W_K)' / sqrt(d)), with dropout;   A = (W + W') / 2;   D = diag(sums of A);   G = I - D^-1/2 A D^-1/2
Chebyshev polynomials of the normalized Laplacian G stand for its Fourier transform (Defferrard et al. 2016, as in the
authors' code): T_0 = I, T_1 = G, T_k = 2 G T_k-1 - T_k-2, four of them. Each of the ``n_stacks`` blocks (section 4.2) is
    S_k = spectral-sequential cell of T_k X: Fourier transform along time; real and imaginary parts, of all four k, each
          through three gated linear units (W x + b) * sigmoid(V x + c) that make ``multi_layer`` times as many of them;
          inverse transform
    Y   = sum over k S_k Theta_k                                                                [N, multi_layer L]
    forecast F = W_2 sigmoid(W_1 Y + b_1) + b_2  [N, L];   backcast B = W_3 Y + b_3  [N, L]
the next block gets X - B, and the sum of the forecasts goes through W_5 leaky_relu(W_4 F + b_4) + b_5 to the numbers. That the
gated units are linear maps of a whole spectrum, and the outer layers, are those of the authors' code, where the paper leaves
them open; so does it d, which is 32 here. The loss is that of the forecast alone: the paper's backcast loss is not added.

variant="paper": as above. The graph is that of each window, so that a forecast does not depend on what else is in the batch.
variant="compat": as neuralforecast: the GRU goes along the series, each with its window as one step, and the graph's nodes
    are its N features, with W from sums of a key and a query of each through leaky_relu; W is averaged over the batch, so
    that a forecast depends on its company; T_0 = 0; D has the sums of W, not of A; Fourier transforms are across the four
    polynomials, not along time; the next block, of two, gets sigmoid(B - W_6 X - b_6); numbers of several outputs and series
    change places. With one series, nothing of the window reaches the forecast.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...nn import GRU, Dropout, Linear, Module, ModuleList, Parameter, init
from ..arguments import check_count
from ..base import BaseModel, Batch
from ..transformers.blocks_patch import check_rates

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

ORDERS = 4  # Chebyshev polynomials T_0 .. T_3
WIDTH = 32  # d, features that a series has for its place in the graph


def two_sided(z: Any, n: int) -> tuple[Any, Any]:
    """Real and imaginary parts of all n frequencies, [.., n] each, from the n // 2 + 1 pairs of `rfft`, [.., n // 2 + 1, 2]."""
    place = np.arange(n)
    mirrored = place > n // 2
    place = np.where(mirrored, n - place, place)
    return z[..., 0][..., place], z[..., 1][..., place] * np.where(mirrored, -1.0, 1.0).astype(z.dtype)


def real_inverse(real: Any, imaginary: Any) -> Any:
    """Real part of the inverse Fourier transform of n numbers, [.., n] and [.., n] -> [.., n].

    That of the part of the spectrum that belongs to a real series: (Z_k + conj Z_-k) / 2.
    """
    n = real.shape[-1]
    place = np.arange(n // 2 + 1)
    opposite = -place % n
    parts = [(real[..., place] + real[..., opposite]) * 0.5, (imaginary[..., place] - imaginary[..., opposite]) * 0.5]
    return FUNCTIONS["irfft"](FUNCTIONS["stack"](parts, -1), n)


class GLU(Module):
    """(W x + b) * sigmoid(V x + c): [*, n_in] -> [*, n_out] (Dauphin et al. 2017); both maps are one product."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out
        self.both = Linear(n_in, 2 * n_out)

    def forward(self, x: Any) -> Any:
        z = self.both(x)
        return z[..., :self.n_out] * FUNCTIONS["sigmoid"](z[..., self.n_out:])


class Correlation(Module):
    """The graph of windows x [B, L, N]: weights W of edges, [B, N, N], rows that sum to 1 but for dropout."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.gru = GRU(1, WIDTH)
        self.query_key = Linear(WIDTH, 2 * WIDTH, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        b, steps, n = x.shape
        state = self.gru(FUNCTIONS["transpose"](x, 0, 1).reshape(steps, b * n, 1))[1]
        both = self.query_key(state.reshape(b, n, WIDTH))
        scores = both[..., :WIDTH] @ FUNCTIONS["transpose"](both[..., WIDTH:], 1, 2) * (1.0 / math.sqrt(WIDTH))
        return self.dropout(FUNCTIONS["softmax"](scores, -1))


class AlongSeries(Module):
    """neuralforecast's graph: W of the GRU's features [N, N], the mean over the batch."""

    def __init__(self, steps: int, n: int, dropout: float, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.gru = GRU(steps, n)
        self.key_query = Parameter(np.concatenate([init.xavier_uniform((n, 1), 1.414) for _ in range(2)], 1))
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        out = FUNCTIONS["permute"](self.gru(FUNCTIONS["permute"](x, 2, 0, 1))[0], 1, 2, 0)  # [B, features, series]
        both = out @ self.key_query
        scores = both[..., :1] + FUNCTIONS["transpose"](both[..., 1:], 1, 2)  # [B, features, features]
        return FUNCTIONS["mean"](self.dropout(FUNCTIONS["softmax"](FUNCTIONS["leaky_relu"](scores, self.slope), -1)), 0)


def polynomials(w: Any, compat: bool) -> Any:
    """Chebyshev polynomials of the graph's Laplacian: W [.., N, N] -> [.., ORDERS, N, N]."""
    n, dtype = w.shape[-1], w.dtype
    total, eye = FUNCTIONS["sum"], np.eye(n, dtype=dtype)
    a = (w + FUNCTIONS["transpose"](w, -1, -2)) * 0.5
    degree = total(w if compat else a, -1, True)  # [.., N, 1]
    if compat:
        scale = 1.0 / (FUNCTIONS["sqrt"](degree) + 1e-7)
        laplacian = (degree * eye - a) * scale
        first = np.zeros(w.shape, dtype)
    else:  # a node that dropout leaves alone has no edges
        scale = FUNCTIONS["where"](degree > 0, FUNCTIONS["rsqrt"](FUNCTIONS["where"](degree > 0, degree, 1.0)), 0.0)
        laplacian = a * scale
        first = np.broadcast_to(eye, w.shape)
    laplacian = laplacian * FUNCTIONS["transpose"](scale, -1, -2)
    if not compat:
        laplacian = eye - laplacian
    found = [first, laplacian]
    while len(found) < ORDERS:
        found.append(2.0 * (laplacian @ found[-1]) - found[-2])
    return FUNCTIONS["stack"](found, -3)


class StemBlock(Module):
    """One block: x [B, N, L], polynomials [.., ORDERS, N, N] -> (forecast [B, N, L], the next block's x; None of the last)."""

    def __init__(self, steps: int, multi: int, last: bool, compat: bool) -> None:
        super().__init__()
        self.steps, self.compat = steps, compat
        width = steps * multi
        sizes = [ORDERS * steps, *[ORDERS * width] * 3]
        self.real, self.imaginary = (ModuleList(GLU(a, b) for a, b in pairwise(sizes)) for _ in range(2))
        self.theta = Linear(ORDERS * width, width, bias=False)
        self.theta.weight.data[:] = init.xavier_normal((width, ORDERS * width))
        self.wide = Linear(width, width, activation="sigmoid")
        self.forecast = Linear(width, steps)
        self.backcast = None if last else Linear(width, steps)
        self.shortcut = Linear(steps, steps) if compat and not last else None

    def cell(self, x: Any, graph: Any) -> Any:
        """The spectral-sequential cell of T_k x, side by side: [B, N, ORDERS * width]."""
        b, n, steps = x.shape
        x = x.reshape(b, 1, n, steps)
        if self.compat:  # across the orders: of the polynomials, as the transform is linear
            across = FUNCTIONS["permute"](FUNCTIONS["rfft"](graph, dim=-3), -3, -2, -4, -1)
            parts = [FUNCTIONS["permute"](z, 2, 0, 1) @ x for z in two_sided(across, ORDERS)]
        else:
            parts = list(two_sided(FUNCTIONS["rfft"](graph @ x), steps))  # [B, ORDERS, N, L] each
        real, imaginary = (FUNCTIONS["permute"](z, 0, 2, 1, 3).reshape(b, n, ORDERS * steps) for z in parts)
        for on_real, on_imaginary in zip(self.real, self.imaginary, strict=True):
            real, imaginary = on_real(real), on_imaginary(imaginary)
        real, imaginary = (z.reshape(b, n, ORDERS, -1) for z in (real, imaginary))
        if not self.compat:
            return real_inverse(real, imaginary).reshape(b, n, -1)
        pairs = FUNCTIONS["stack"]([z[:, :, :ORDERS // 2 + 1] for z in (real, imaginary)], -1)
        return FUNCTIONS["irfft"](pairs, ORDERS, 2).reshape(b, n, -1)

    def forward(self, x: Any, graph: Any) -> tuple[Any, Any]:
        y = self.theta(self.cell(x, graph))
        forecast = self.forecast(self.wide(y))
        if self.backcast is None:
            return forecast, None
        if self.shortcut is None:
            return forecast, x - self.backcast(y)
        return forecast, FUNCTIONS["sigmoid"](self.backcast(y) - self.shortcut(x))


class StemGNN(BaseModel):
    """StemGNN.

    n_series      series; None: as many as fit is given
    n_stacks      blocks; neuralforecast, and compat, has two
    multi_layer   how many times as wide as the window the layers are
    dropout_rate  on the edges of the graph; at least 0 and less than 1
    leaky_rate    slope of the scores' leaky_relu in compat; paper's have none

    >>> import numpy as np
    >>> m = StemGNN(h=6, input_size=12, n_series=7, multi_layer=2)
    >>> m.forward({"insample_y": np.zeros((8, 12, 7), np.float32)}).shape
    (8, 6, 7)
    """

    MULTIVARIATE = True
    DEFAULTS = {"num_lr_decays": 3, "windows_batch_size": 32, "inference_windows_batch_size": 32, "scaler_type": "robust"}
    PAPER = "Cao et al. 2020, Spectral Temporal Graph Neural Network for Multivariate Time-series Forecasting"
    DIFFERENCES = ("paper has each window's own graph, by attention of states along time, T_0 = I, Fourier transforms along "
                   "time, X - B for the next of any number of blocks; compat averages the graph over the batch, so that a "
                   "forecast depends on its company, has T_0 = 0, transforms across the polynomials, sees nothing of a single "
                   "series, and lets quantiles and mixture parameters of several series change places")

    def __init__(self, h: int, input_size: int = -1, n_series: int | None = None, n_stacks: int = 2, multi_layer: int = 5,
                 dropout_rate: float = 0.5, leaky_rate: float = 0.2, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("StemGNN", n_stacks=n_stacks, multi_layer=multi_layer)
        check_rates("StemGNN", dropout_rate=dropout_rate)
        if isinstance(leaky_rate, bool) or not isinstance(leaky_rate, (int, float)) or not leaky_rate >= 0:
            raise ConfigError(f"StemGNN: leaky_rate must be at least 0, not {leaky_rate!r}", value=leaky_rate,
                              hint="0.2 is the default")
        self.compat = self.variant == "compat"
        if self.compat and n_stacks != 2:
            raise ConfigError(f"StemGNN: n_stacks must be 2 in variant 'compat', not {n_stacks}", value=n_stacks,
                              hint="neuralforecast has two; variant='paper' takes any number")
        steps = self.input_size
        self.correlation: Module = Correlation(dropout_rate)
        if self.compat:
            self.correlation = AlongSeries(steps, self.n_series, dropout_rate, leaky_rate)
        self.blocks = ModuleList(StemBlock(steps, multi_layer, i == n_stacks - 1, self.compat) for i in range(n_stacks))
        self.wide = Linear(steps, steps)
        self.out = Linear(steps, self.h * self.n_out)

    @property
    def mixes_windows(self) -> bool:
        """Whether the windows of a batch are forecast together: in ``compat`` the graph is the mean of those of all."""
        return self.variant == "compat"

    def forward(self, batch: Batch) -> Any:
        y, mask, *_ = self.inputs(batch)  # [B, L, N]
        if mask is not None and not self.compat:
            y = y * mask
        b, _, n = y.shape
        graph = polynomials(self.correlation(y), self.compat)
        x, total = FUNCTIONS["transpose"](y, 1, 2), 0.0
        for block in self.blocks:
            forecast, x = block(x, graph)
            total = total + forecast
        z = self.out(FUNCTIONS["leaky_relu"](self.wide(total), 0.01))  # [B, N, h * outputs]
        if self.compat:
            return FUNCTIONS["transpose"](z, 1, 2).reshape(b, self.h, self.n_out * n)
        return self.numbers(FUNCTIONS["transpose"](z.reshape(b, n, self.h, self.n_out), 1, 2))
