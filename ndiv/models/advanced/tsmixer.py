"""TSMixer: layers that mix the steps of each series, then the series of each step.

Chen, Li, Yoder, Arik, Pfister, "TSMixer: An All-MLP Architecture for Time Series Forecasting", TMLR 2023, section 4 and
appendix B. On the windows X [L, N] of all series, by reversible instance normalization (Kim et al. 2022, RevIN) of each,
``n_block`` times:
    X <- X + drop(relu(W_t norm(X) + b_t))                                   time mixing: W_t [L, L], shared by the series
    X <- X + drop(W_2 drop(relu(W_1 norm(X) + b_1)) + b_2)                   feature mixing: N -> ff_dim -> N at each step
then a temporal projection [L] -> [h * outputs], shared by the series, and the normalization is undone. norm is batch
normalization of each of the N * L entries over the windows of a batch (eps 1e-3, momentum 0.01), as in the authors' code.

variant="paper": as above. Statistics of a window are of its observed steps. The numbers of several outputs stay with their
    series, and of a distribution's parameters the location alone is put back in the units of the window.
variant="compat": as neuralforecast: statistics count missing steps as zeros, all parameters of a distribution are put back
    in units, and with several quantiles (or the parameters of mixtures) and series the projection gives numbers output by
    output where the loss reads them series by series, so that they change places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...nn import BatchNorm1d, Dropout, Linear, Module, ModuleList
from ...nn.series import RevIN
from ..arguments import check_count
from ..base import BaseModel, Batch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


def _swap(x: Any) -> Any:
    """[B, L, N] <-> [B, N, L]"""
    return FUNCTIONS["transpose"](x, 1, 2)


class EntryNorm(BatchNorm1d):
    """Batch normalization of each entry of [B, entries]. A batch of one window has no variance: what was seen before stands
    in for it, so that a last batch of one does not end a run."""

    def __init__(self, entries: int) -> None:
        super().__init__(entries, eps=1e-3, momentum=0.01)

    def forward(self, x: Any) -> Any:
        if x.shape[0] > 1:
            return super().forward(x)
        return FUNCTIONS["batch_norm"](x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class TimeMixing(Module):
    """One layer along the steps of each series, and the residual: [B, L, N] -> [B, L, N]."""

    def __init__(self, n_series: int, input_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = EntryNorm(n_series * input_size)
        self.linear = Linear(input_size, input_size, activation="relu")
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        b, length, n = x.shape
        z = self.norm(_swap(x).reshape(b, n * length)).reshape(b, n, length)
        return x + self.dropout(_swap(self.linear(z)))


class FeatureMixing(Module):
    """Two layers across the series at each step, and the residual: [B, L, N] -> [B, L, N]."""

    def __init__(self, n_series: int, input_size: int, dropout: float, ff_dim: int) -> None:
        super().__init__()
        self.norm = EntryNorm(n_series * input_size)
        self.wide = Linear(n_series, ff_dim, activation="relu")
        self.back = Linear(ff_dim, n_series)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        b, length, n = x.shape
        z = self.norm(x.reshape(b, length * n)).reshape(b, length, n)
        return x + self.dropout(self.back(self.dropout(self.wide(z))))


class MixingLayer(Module):
    """Time mixing, then feature mixing: [B, L, N] -> [B, L, N]."""

    def __init__(self, n_series: int, input_size: int, dropout: float, ff_dim: int) -> None:
        super().__init__()
        self.time = TimeMixing(n_series, input_size, dropout)
        self.feature = FeatureMixing(n_series, input_size, dropout, ff_dim)

    def forward(self, x: Any) -> Any:
        return self.feature(self.time(x))


class TSMixer(BaseModel):
    """TSMixer.

    n_series   series; None: as many as fit is given
    n_block    mixing layers
    ff_dim     width of the feature mixing
    dropout    after each layer of a mixing layer, at least 0 and less than 1
    revin      normalize each window, and put its mean and standard deviation back

    >>> import numpy as np
    >>> m = TSMixer(h=24, input_size=96, n_series=7)
    >>> m.forward({"insample_y": np.zeros((32, 96, 7), np.float32)}).shape
    (32, 24, 7)
    """

    MULTIVARIATE = True
    DEFAULTS = {"windows_batch_size": 32, "inference_windows_batch_size": 32}
    PAPER = "Chen et al. 2023, TSMixer: An All-MLP Architecture for Time Series Forecasting"
    LONG_HORIZON = True
    DIFFERENCES = ("paper takes RevIN's statistics over observed steps, keeps the numbers of several outputs with their "
                   "series, and puts only a distribution's location back in units; compat counts missing steps as zeros, "
                   "puts all parameters back in units, and lets quantiles and mixture parameters of several series "
                   "change places")

    def __init__(self, h: int, input_size: int = -1, n_series: int | None = None, n_block: int = 2, ff_dim: int = 64,
                 dropout: float = 0.9, revin: bool = True, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("TSMixer", n_block=n_block, ff_dim=ff_dim)
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"TSMixer: dropout must be at least 0 and less than 1, not {dropout!r}", value=dropout,
                              hint="the paper's range is 0.1 to 0.9")
        self.norm = RevIN(self.n_series) if revin else None
        self.mixing = ModuleList(MixingLayer(self.n_series, self.input_size, dropout, ff_dim) for _ in range(n_block))
        self.out = Linear(self.input_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        x, mask, *_ = self.inputs(batch)  # [B, L, N]
        if self.norm is not None:
            x = self.norm.norm(x, None if self.variant == "compat" else mask)
        for layer in self.mixing:
            x = layer(x)
        z = self.out(_swap(x))  # [B, N, h * outputs]
        if self.variant == "compat":
            y = _swap(z)  # [B, h * outputs, N]
            y = y if self.norm is None else self.norm.denorm(y)
            return y.reshape(-1, self.h, self.n_out * self.n_series)
        y = self._in_units(_swap(z))
        each = FUNCTIONS["transpose"](y.reshape(-1, self.h, self.n_out, self.n_series), 2, 3)  # [B, h, N, outputs]
        return self.numbers(each)

    def _in_units(self, y: Any) -> Any:
        """Numbers [B, h * outputs, N] in the units of the windows, those that are no forecast of the level as they are."""
        if self.norm is None:
            return y
        restored = self.norm.denorm(y)
        level = self.loss.level_mask()
        if level.all():
            return restored
        on = level.reshape(1, 1, self.n_out, 1).astype(y.dtype)
        shape = (y.shape[0], self.h, self.n_out, self.n_series)
        both = restored.reshape(shape) * on + y.reshape(shape) * (1 - on)
        return both.reshape(tuple(y.shape))
