"""Informer: attention of the few queries that matter, an encoder that halves its sequence, a decoder of the whole horizon.

Zhou, Zhang, Peng, Zhang, Li, Xiong, Zhang, "Informer: Beyond Efficient Transformer for Long Sequence Time-Series
Forecasting", AAAI 2021. ProbSparse attention of m queries Q to n keys K and values V (algorithm 1), with a sample K^ of
U = c ln n keys and u = c ln m:
    M = max_j(Q K^') - mean_j(Q K^')                                    how far each query is from attending alike to all
    Q- = the u queries of largest M
    S_1 = softmax(Q- K' / sqrt(d)) V at these queries;  S_0 = mean(V) at all others
so that its time and memory grow as L ln L. In the masked form, of the decoder, a query attends to keys that are not after
it, and S_0 is the mean of the values so far. Distilling between the layers of the encoder (equation 5):
    X <- MaxPool(ELU(Conv1d(X)))                                        width 3; the pool's stride 2 halves the sequence
The decoder gets the end of the window and zeros for the horizon, and gives all of it in one pass (section 3.4). Layers,
positions and feed-forward blocks are those of `Transformer`; the decoder attends to the encoder's output with all its queries.

The sample of keys is a fixed draw that depends on the lengths alone, in training and after: a forecast is the same in any batch
and in every call.

variant="paper": as above.
variant="compat": as neuralforecast: each query has a sample of its own (M's mean is the sum over it divided by n; here
    it is picked from the scores of all keys, so that memory grows as L^2); the masked S_0 is the sum of the values so
    far; what the heads give is put side by side without changing axes back, so that heads and steps mix; attention to
    the encoder's output is ProbSparse as well; distilling pads two steps at each end, so that it makes sequences longer
    by one step than halves, and normalizes the convolution's output over the batch. Its samples come from PyTorch's
    generator, so that only forecasts from the same samples are the same; with one head, its selection of a window
    includes the selections of all others in the batch, which is not followed here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...autograd.tape import stopped
from ...errors import ConfigError
from ...nn import BatchNorm1d, Conv1d, MaxPool1d, Module
from ..arguments import check_count
from .layers import Attention, DecoderLayer, EncoderDecoder, EncoderLayer, FullAttention

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


def sparse_size(factor: int, length: int) -> int:
    """c ln L as a number of queries or keys: ``factor`` times the next whole number, at least 1 and at most all.

    >>> sparse_size(3, 96), sparse_size(5, 8)
    (15, 8)
    """
    return min(max(factor * math.ceil(math.log(length)), 1), length)


def _scattered(n: int) -> np.ndarray:
    """n numbers without order, [n] (splitmix64's finalizer, Steele et al. 2014): the same with every version of NumPy."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sampled_keys(queries: int, keys: int, count: int, each: bool) -> np.ndarray:
    """Which keys the measure looks at: [count] different ones for all queries or, where ``each``, [queries, count] drawn for
    each query, with repetition."""
    if each:
        return (_scattered(queries * count) % np.uint64(keys)).astype(np.int64).reshape(queries, count)
    return np.sort(np.argsort(_scattered(keys), kind="stable")[:count])


class ProbSparseAttention(Attention):
    """Attention of the ``factor`` ln Lq queries with the most to say; the others get the mean of the values."""

    def __init__(self, hidden: int, heads: int, factor: int, compat: bool, cross: bool = False, causal: bool = False) -> None:
        super().__init__(hidden, heads, cross)
        self.factor, self.compat, self.causal = factor, compat, causal

    def merged(self, x: Any) -> Any:
        return x.reshape(x.shape[0], x.shape[2], -1) if self.compat else super().merged(x)

    def measure(self, q: Any, k: Any) -> Any:
        """M of each query, [B, heads, Lq], without gradient."""
        lq, lk = q.shape[2], k.shape[2]
        keys = sampled_keys(lq, lk, sparse_size(self.factor, lk), self.compat)
        q, k = stopped(q), stopped(k)
        if self.compat:
            scores = (q @ k.swapaxes(-1, -2))[:, :, np.arange(lq)[:, None], keys]
            return FUNCTIONS["amax"](scores, -1) - FUNCTIONS["sum"](scores, -1) * (1.0 / lk)
        scores = q @ k[:, :, keys].swapaxes(-1, -2)  # [B, heads, Lq, U]
        return FUNCTIONS["amax"](scores, -1) - FUNCTIONS["mean"](scores, -1)

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        attention = FUNCTIONS["scaled_dot_product_attention"]
        b, heads, lq, d = q.shape
        count = sparse_size(self.factor, lq)
        if count == lq:  # no query is left out
            return attention(q, k, v, is_causal=self.causal)
        top = FUNCTIONS["topk"](self.measure(q, k), count, -1)[1].reshape(b, heads, count, 1)
        place = FUNCTIONS["expand"](top, (b, heads, count, d))
        allowed = top >= np.arange(k.shape[2]) if self.causal else None  # [B, heads, u, Lk]
        found = attention(FUNCTIONS["gather"](q, 2, place), k, v, allowed)
        if self.causal:
            idle = FUNCTIONS["cumsum"](v, 2)
            if not self.compat:
                idle = idle * (1.0 / np.arange(1, lq + 1)).astype(v.dtype)[:, None]
            return FUNCTIONS["scatter_add"](idle, 2, place, found - FUNCTIONS["gather"](idle, 2, place))
        idle = FUNCTIONS["mean"](v, 2, True)
        return FUNCTIONS["scatter_add"](FUNCTIONS["expand"](idle, (b, heads, lq, d)), 2, place, found - idle)


WIDTH = 3  # of distilling's convolution and pool


class Distilling(Module):
    """Convolution, ELU and a pool of stride 2 along time: [B, L, hidden] -> [B, (L + 1) // 2, hidden]; in compat one step
    more."""

    def __init__(self, hidden: int, compat: bool) -> None:
        super().__init__()
        self.conv = Conv1d(hidden, hidden, WIDTH, padding=2 if compat else 1, padding_mode="circular")
        self.norm: Any = BatchNorm1d(hidden) if compat else None
        self.pool = MaxPool1d(WIDTH, 2, padding=1)

    def forward(self, x: Any) -> Any:
        z = self.conv(FUNCTIONS["transpose"](x, 1, 2))
        z = FUNCTIONS["elu"](z if self.norm is None else self.norm(z))
        return FUNCTIONS["transpose"](self.pool(z), 1, 2)


class Informer(EncoderDecoder):
    """Informer.

    decoder_input_size_multiplier   share of the window, from its end, that the decoder gets; above 0, at most 1
    hidden_size                     features of a token
    dropout                         on tokens and the output of each block
    factor                          c: factor * ceil(ln L) queries attend, and as many keys are sampled
    n_head                          attention heads, hidden_size // n_head features each
    conv_hidden_size                width of the feed-forward blocks
    activation                      "gelu", "relu", ... of the feed-forward blocks
    encoder_layers, decoder_layers  layers
    distil                          halve the sequence between the layers of the encoder

    >>> import numpy as np
    >>> m = Informer(h=24, input_size=96, hidden_size=32)
    >>> m.forward({"insample_y": np.zeros((8, 96, 1), np.float32)}).shape
    (8, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    LONG_HORIZON = True
    PAPER = "Zhou et al. 2021, Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting"
    DIFFERENCES = ("paper follows algorithm 1 and equation 5: one sample of keys for all queries, the mean of the values so "
                   "far where masked, all queries to the encoder's output, halves without batch normalization; compat "
                   "samples for each query, takes the sum of the values so far, is sparse towards the encoder too, mixes "
                   "heads and steps, and lengthens what it distils. Samples are fixed in both, so that forecasts repeat")
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}

    def __init__(self, h: int, input_size: int = -1, decoder_input_size_multiplier: float = 0.5, hidden_size: int = 128,
                 dropout: float = 0.05, factor: int = 3, n_head: int = 4, conv_hidden_size: int = 32, activation: str = "gelu",
                 encoder_layers: int = 2, decoder_layers: int = 1, distil: bool = True,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        act = self.settle(decoder_input_size_multiplier, activation, dropout, hidden_size=hidden_size, n_head=n_head,
                          conv_hidden_size=conv_hidden_size, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        check_count("Informer", factor=factor)
        if not isinstance(distil, bool):
            raise ConfigError(f"Informer: distil must be True or False, not {distil!r}", value=distil,
                              hint="True halves the sequence between encoder layers")
        compat, sizes = self.variant == "compat", (hidden_size, conv_hidden_size, dropout, act)
        self.keep_all = compat  # which queries are chosen depends on all of them

        def sparse(cross: bool = False, causal: bool = False) -> ProbSparseAttention:
            return ProbSparseAttention(hidden_size, n_head, factor, compat, cross, causal)

        def cross() -> Attention:
            return sparse(cross=True) if compat else FullAttention(hidden_size, n_head, dropout, cross=True)

        self.assemble(hidden_size, dropout, True, (EncoderLayer(sparse(), *sizes) for _ in range(encoder_layers)),
                      (Distilling(hidden_size, compat) for _ in range((encoder_layers - 1) * distil)),
                      (DecoderLayer(sparse(causal=True), cross(), *sizes) for _ in range(decoder_layers)))
