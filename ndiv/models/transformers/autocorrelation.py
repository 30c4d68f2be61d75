"""Auto-correlation: attention to a series' own past at the delays where it repeats itself.

Wu et al. 2021, section 3.2. Of queries Q, keys K and values V [L, D]:
    R(tau) = mean over t and features of Q(t) K(t - tau)                circular; by F(Q) conj(F(K)) (equation 8)
    tau_1, ..., tau_k = the k = c log L delays of largest R;  w = softmax(R(tau_1), ..., R(tau_k))  (equation 6)
    out(t) = sum over i of w_i V(t + tau_i)                             circular
Contract: the sum over delays is itself a circular correlation, of V with a series that is w_i at tau_i and 0 elsewhere; so
it is done by the same transforms, in O(L log L) time and O(L) memory, and needs no copy of V for each delay.
"""

from __future__ import annotations

import math
from typing import Any

from ...autograd.ops import FUNCTIONS
from ...autograd.tape import stopped
from .layers import Attention

__all__ = ["AutoCorrelation", "delays"]

TIE = 5e-6  # of the largest |R|: what float32 leaves unknown of a sum of products


def delays(factor: int, length: int) -> int:
    """k: factor * log(length) rounded down, at least 1 and at most all.

    >>> delays(3, 96), delays(1, 2), delays(9, 4)
    (13, 1, 4)
    """
    return min(max(int(factor * math.log(length)), 1), length)


class AutoCorrelation(Attention):
    """(x [B, L, hidden], memory [B, S, hidden]) -> [B, L, hidden], by the delays of each window.

    Of a memory of another length the first L steps count, or zeros follow it. All heads have the delays, since R is the mean
    over all features. ``compat``: while training, the delays are those of largest mean R over the batch; and where L is odd,
    R is transformed back as a series of L - 1 steps.
    """

    def __init__(self, hidden: int, heads: int, factor: int, compat: bool, cross: bool = False) -> None:
        super().__init__(hidden, heads, cross)
        self.factor, self.compat = factor, compat

    def forward(self, x: Any, memory: Any) -> Any:
        length, inner = x.shape[1], self.heads * self.head_dim
        rfft = FUNCTIONS["rfft"]
        if self.cross:
            q, both = rfft(self.query(x), dim=1), rfft(self.key_value(memory), length, dim=1)
            k, v = both[:, :, :inner], both[:, :, inner:]
        else:
            every = rfft(self.query_key_value(x), dim=1)  # [B, bins, 3 * inner, 2]
            q, k, v = (every[:, :, i * inner:(i + 1) * inner] for i in range(3))
        weights = self.weights(self.correlation(q, k, length), length)  # [B, L]
        turned = self.conjugates(rfft(weights, dim=1))  # [B, bins, 2, 2]
        return self.out(FUNCTIONS["irfft"](FUNCTIONS["matmul"](v, turned), length, dim=1))

    @staticmethod
    def conjugates(s: Any) -> Any:
        """[B, bins, 2] -> [B, bins, 2, 2]: the matrix by which a pair (real, imaginary) is multiplied with conj(s)."""
        re, im = s[..., :1], s[..., 1:]
        return FUNCTIONS["stack"]([s, FUNCTIONS["cat"]([-im, re], dim=-1)], dim=-1)

    def correlation(self, q: Any, k: Any, length: int) -> Any:
        """R [B, L] from the transforms of queries and keys, each [B, bins, inner, 2]."""
        p = FUNCTIONS["einsum"]("bfdc,bfde->bfce", q, k)  # real and imaginary parts of q by those of k
        product = FUNCTIONS["stack"]([p[:, :, 0, 0] + p[:, :, 1, 1], p[:, :, 1, 0] - p[:, :, 0, 1]], dim=-1)
        r = FUNCTIONS["irfft"](product, length - length % 2 if self.compat else length, dim=1)
        return r * (1.0 / q.shape[2])

    def weights(self, r: Any, length: int) -> Any:
        """w [B, L]: the softmax of R at its k largest delays, 0 at all others. Delays as good as the k-th but for rounding
        count too: a single peak repeats at no delay, and chance must not choose among those that are all alike."""
        judged = stopped(r)
        if self.compat and self.training:
            judged = FUNCTIONS["mean"](judged, 0, True)
        least = FUNCTIONS["topk"](judged, min(delays(self.factor, length), r.shape[1]), 1)[0][:, -1:]
        chosen = judged >= least - TIE * FUNCTIONS["amax"](FUNCTIONS["abs"](judged), 1, True)
        low = FUNCTIONS["where"](chosen, r, FUNCTIONS["amin"](stopped(r), 1, True))
        shares = FUNCTIONS["where"](chosen, FUNCTIONS["exp"](low - FUNCTIONS["amax"](stopped(low), 1, True)), 0.0)
        w = shares / FUNCTIONS["sum"](shares, 1, True)
        return w if r.shape[1] == length else FUNCTIONS["pad"](w, (0, 1))
