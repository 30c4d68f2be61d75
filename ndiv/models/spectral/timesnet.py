"""TimesNet: a series folded by its strongest periods into tables, and 2D convolutions of these.

Wu, Hu, Liu, Zhou, Wang, Long, "TimesNet: Temporal 2D-Variation Modeling for General Time Series Analysis", ICLR 2023,
sections 3.1 and 3.2. The window, normalized to mean 0 and standard deviation 1 (Liu et al. 2022, Non-stationary
Transformers), becomes tokens, which a linear map along time stretches from L to T = L + h steps: X [T, D]. Its periods are
(equation 1)
    A = mean over features |FFT(X)|;   f_1 .. f_k = the frequencies in 1 .. T // 2 with the largest A;   p_i = ceil(T / f_i)
and each of the ``encoder_layers`` blocks, with periods of its own input, is (equations 2 to 6)
    X_i = fold X by p_i: a table of rows of p_i steps, D features deep, filled up with zeros
    X_i <- Inception(GELU(Inception(X_i))), unfolded, cut to T steps          see `ndiv.models.spectral.folds`
    X <- norm(X + sum over i softmax(A_f1 .. A_fk)_i X_i)
with one layer normalization for all blocks. A linear map of the last h steps gives the numbers, which are put back in units.
Covariates known in the future join the tokens of the window; those of the horizon are not used (as in the authors' code).

variant="paper": as above. Mean and standard deviation are of the observed steps, and a missing one stands at the mean; of
    a distribution's parameters the location alone is put back in units. Periods are those of each window: a forecast does
    not depend on what else is in the batch.
variant="compat": as neuralforecast: windows are not normalized, p_i = T // f_i, and all windows of a batch are folded by the
    frequencies of the largest mean of their A, so that a forecast depends on its company.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...autograd.tape import stopped
from ...errors import ConfigError
from ...nn import LayerNorm, Linear, Module, ModuleList
from ..arguments import check_count
from ..base import BaseModel, Batch
from ..transformers.blocks_patch import check_rates
from ..transformers.layers import Embedding
from .folds import Folds, Inception

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

EPSILON = 1e-5  # added to the variance of a window


class TimesBlock(Module):
    """What the k strongest periods of x [B, T, hidden] have to add to it: [B, T, hidden]."""

    def __init__(self, folds: Folds, hidden: int, inner: int, top_k: int, n_kernels: int, compat: bool) -> None:
        super().__init__()
        self.folds, self.top_k, self.compat = folds, top_k, compat
        self.wide = Inception(hidden, inner, n_kernels)
        self.back = Inception(inner, hidden, n_kernels)

    def periods(self, x: Any) -> tuple[Any, Any]:
        """(which of the frequencies 1 .. T // 2 are strongest, counted from 0 [B, k]; their amplitudes [B, k])."""
        amplitude = FUNCTIONS["mean"](FUNCTIONS["complex_abs"](FUNCTIONS["rfft"](x, dim=1)), -1)[:, 1:]
        strength = stopped(amplitude)
        if self.compat:
            strength = FUNCTIONS["mean"](strength, 0, True)
        top = FUNCTIONS["topk"](strength, self.top_k, -1)[1]
        if self.compat:
            top = FUNCTIONS["expand"](top, (x.shape[0], self.top_k))
        return top, FUNCTIONS["gather"](amplitude, 1, top)

    def forward(self, x: Any) -> Any:
        b, steps, _ = x.shape
        folds, lookup = self.folds, FUNCTIONS["embedding"]
        top, amplitude = self.periods(x)
        share = FUNCTIONS["softmax"](amplitude, 1)
        total, x = 0.0, FUNCTIONS["pad"](x, (0, 0, 0, 1))  # a step of zeros, for taps outside of a table
        for i in range(self.top_k):  # one after the other: what the taps read is many times as large as x
            fold = lookup(top[:, i], folds.of[:, None]).reshape(-1)  # [B]
            first, rows, columns = (lookup(fold, table) for table in (folds.first, folds.rows, folds.columns))
            z = FUNCTIONS["pad"](FUNCTIONS["gelu"](self.wide(x, first, columns)), (0, 0, 0, 1))
            z = self.back(z, rows, columns[:, :steps * folds.taps])  # [B, T, hidden]
            total = total + z * share[:, i].reshape(b, 1, 1)
        return total


class TimesNet(BaseModel):
    """TimesNet.

    hidden_size       D, features of a step
    dropout           on the tokens; at least 0 and less than 1
    conv_hidden_size  features between the two convolutions of a block
    top_k             k, periods of a block; at most (input_size + h) // 2
    num_kernels       kernels of a convolution, the largest with 2 num_kernels - 1 rows and columns
    encoder_layers    blocks

    >>> import numpy as np
    >>> m = TimesNet(h=24, input_size=96, hidden_size=8, conv_hidden_size=8, num_kernels=2)
    >>> m.forward({"insample_y": np.zeros((4, 96, 1), np.float32)}).shape
    (4, 24, 1)
    """

    EXOGENOUS_FUTR = True
    LONG_HORIZON = True
    DEFAULTS = {"learning_rate": 1e-4, "windows_batch_size": 64, "inference_windows_batch_size": 256, "scaler_type": "standard"}
    PAPER = "Wu et al. 2023, TimesNet: Temporal 2D-Variation Modeling for General Time Series Analysis"
    DIFFERENCES = ("paper folds each window by its own periods, ceil(T / f), and normalizes it by its observed steps; compat "
                   "folds all windows of a batch by the strongest frequencies of their mean, T // f, so that a forecast "
                   "depends on its company, and does not normalize")

    def __init__(self, h: int, input_size: int = -1, hidden_size: int = 64, dropout: float = 0.1, conv_hidden_size: int = 64,
                 top_k: int = 5, num_kernels: int = 6, encoder_layers: int = 2, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("TimesNet", hidden_size=hidden_size, conv_hidden_size=conv_hidden_size, top_k=top_k,
                    num_kernels=num_kernels, encoder_layers=encoder_layers)
        check_rates("TimesNet", dropout=dropout)
        steps = self.input_size + self.h
        if top_k > steps // 2:
            raise ConfigError(f"TimesNet: top_k {top_k} is more than the {steps // 2} frequencies of {steps} steps",
                              value=top_k, hint=f"give at most {steps // 2}, half of input_size + h")
        compat = self.variant == "compat"
        frequency = np.arange(1, steps // 2 + 1)
        folds = Folds(steps, steps // frequency if compat else -(-steps // frequency), num_kernels - 1)
        self.embedding = Embedding(self.futr_exog_size, hidden_size, dropout, True)
        self.stretch = Linear(self.input_size, steps)
        self.blocks = ModuleList(TimesBlock(folds, hidden_size, conv_hidden_size, top_k, num_kernels, compat)
                                 for _ in range(encoder_layers))
        self.norm = LayerNorm(hidden_size)
        self.projection = Linear(hidden_size, self.n_out)

    @property
    def mixes_windows(self) -> bool:
        """Whether the windows of a batch are forecast together: in ``compat`` the periods are those of all."""
        return self.variant == "compat"

    def forward(self, batch: Batch) -> Any:
        y, mask, _, futr, _ = self.inputs(batch)  # [B, L, 1]
        mean, deviation = self._units(y, mask)
        if mean is not None:
            y = (y - mean) / deviation
            if mask is not None:
                y = FUNCTIONS["where"](mask > 0, y, 0.0)
        x = self.embedding(y, None if futr is None else futr[:, :self.input_size])
        x = FUNCTIONS["transpose"](self.stretch(FUNCTIONS["transpose"](x, 1, 2)), 1, 2)  # [B, T, D]
        for block in self.blocks:
            x = self.norm(block(x) + x)
        out = self.projection(x[:, -self.h:])  # [B, h, outputs]
        if mean is None:
            return out
        restored = out * deviation + mean
        level = self.loss.level_mask()
        return restored if level.all() else FUNCTIONS["where"](level.reshape(1, 1, -1) > 0, restored, out)

    def _units(self, y: Any, mask: Any) -> tuple[Any, Any]:
        """Mean and standard deviation of the observed steps of each window, [B, 1, 1]; None where windows stay as they are."""
        if self.variant == "compat" or self.arguments["exclude_insample_y"]:
            return None, None
        average, total = FUNCTIONS["mean"], FUNCTIONS["sum"]
        if mask is None:
            mean = average(y, 1, True)
            variance = average((y - mean) * (y - mean), 1, True)
        else:
            count = FUNCTIONS["maximum"](total(mask, 1, True), 1.0)
            mean = total(FUNCTIONS["where"](mask > 0, y, 0.0), 1, True) / count
            off = FUNCTIONS["where"](mask > 0, y - mean, 0.0)
            variance = total(off * off, 1, True) / count
        return mean, FUNCTIONS["sqrt"](variance + EPSILON)
