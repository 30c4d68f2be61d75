"""BiTCN: one temporal convolutional network looks back over the window, another ahead over the known covariates.

Sprangers, Schelter, de Rijke, "Parameter-efficient deep probabilistic forecasting", International Journal of Forecasting
39, 2023, and the code published with it. Cell i, with dilation 2^i, on its state s and the sum o of outputs [B, C, T]:
    z = dropout(gelu(conv(s)));  (ds, do) = conv1x1(z);  s <- s + ds;  o <- o + do
The backward network runs over value and covariates of the window, causal; the forward one over the future covariates of
window and horizon, each step seeing later ones only. There are as many cells as their receptive field needs to span it.
The published model forecasts one step after another; here, as in neuralforecast (by the first author), the outputs over
the window are mapped to the horizon at once, joined by the forward outputs of each step, and mapped to the loss's numbers.

variant="paper": cells as published: both convolutions weight-normalized, 4 C channels inside, and the forward network's
    convolution apart for each channel.
variant="compat": as neuralforecast: no weight normalization, C channels inside, full convolutions in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...nn import CausalConv1d, Conv1d, Dropout, Linear, Module, ModuleList
from ...nn.layers import _positive
from ...nn.utils import weight_norm
from ..base import BaseModel, Batch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

_KERNEL = 2


def _cells(steps: int) -> int:
    """How many cells with dilations 1, 2, 4, ... see ``steps`` steps: the least n with 2^n >= steps."""
    return (steps - 1).bit_length()


class TCNCell(Module):
    """State and sum of outputs, [B, C, T] each, to the same after one cell; the first cell gets no sum."""

    def __init__(self, width: int, dilation: int, direction: str, dropout: float, paper: bool) -> None:
        super().__init__()
        inner = 4 * width if paper else width
        groups = width if paper and direction == "forward" else 1
        self.conv1: Module = CausalConv1d(width, inner, _KERNEL, dilation, groups, direction=direction)
        self.conv2: Module = Conv1d(inner, 2 * width, 1)
        if paper:
            self.conv1, self.conv2 = weight_norm(self.conv1), weight_norm(self.conv2)
        self.dropout = Dropout(dropout)
        self.width = width

    def forward(self, state: Any, out: Any) -> tuple[Any, Any]:
        z = self.conv2(self.dropout(FUNCTIONS["gelu"](self.conv1(state))))
        new = z[:, self.width:]
        return state + z[:, :self.width], new if out is None else out + new


class BiTCN(BaseModel):
    """BiTCN.

    hidden_size   channels of both networks
    dropout       after each layer

    >>> import numpy as np
    >>> m = BiTCN(h=24, input_size=96)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    PAPER = "Sprangers, Schelter & de Rijke 2023, Parameter-efficient deep probabilistic forecasting"
    DIFFERENCES = ("paper: weight normalization, 4 x hidden_size channels inside each cell, the forward network's "
                   "convolution apart for each channel, as in the authors' code, and missing values masked; compat has "
                   "none of these")

    def __init__(self, h: int, input_size: int = -1, hidden_size: int = 16, dropout: float = 0.5,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        _positive("BiTCN", hidden_size=hidden_size)
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"BiTCN: dropout must be in [0, 1), not {dropout!r}", value=dropout, hint="0.1 is common")
        futr, steps, paper = self.futr_exog_size, self.input_size, self.variant == "paper"
        if steps < 2:
            raise ConfigError(f"BiTCN: input_size {steps} leaves nothing to look back over", value=steps,
                              hint="give input_size >= 2")
        self.lin_hist = Linear(1 + self.hist_exog_size + self.stat_exog_size + futr, hidden_size)
        self.net_bwd = ModuleList(TCNCell(hidden_size, 2**i, "backward", dropout, paper) for i in range(_cells(steps)))
        if futr:
            self.lin_futr = Linear(futr, hidden_size)
            self.net_fwd = ModuleList(TCNCell(hidden_size, 2**i, "forward", dropout, paper)
                                      for i in range(_cells(steps + self.h)))
        self.dropout = Dropout(dropout)
        self.temporal1, self.temporal2 = Linear(steps, hidden_size, activation="gelu"), Linear(hidden_size, self.h)
        self.out = Linear((3 if futr else 1) * hidden_size, self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        b, length = y.shape[:2]
        cat, permute = FUNCTIONS["cat"], FUNCTIONS["permute"]
        if mask is not None and self.variant == "paper":
            y = y * mask
        parts = [y] if hist is None else [y, hist]
        if stat is not None:
            parts.append(FUNCTIONS["expand"](stat.reshape(b, 1, -1), (b, length, stat.shape[1])))
        if futr is not None:
            parts.append(futr[:, :length])
        x = self._outputs(self.lin_hist, self.net_bwd, parts[0] if len(parts) == 1 else cat(parts, dim=2))  # [B, C, L]
        if futr is not None:
            ahead = self._outputs(self.lin_futr, self.net_fwd, futr)  # [B, C, L + h]
            x = cat([x, ahead[:, :, :length]], dim=1)  # [B, 2 C, L]
        x = self.temporal2(self.dropout(self.temporal1(x)))  # [B, C or 2 C, h]
        if futr is not None:
            x = cat([x, ahead[:, :, length:]], dim=1)  # [B, 3 C, h]
        return self.out(permute(x, 0, 2, 1))

    def _outputs(self, enter: Module, net: ModuleList, x: Any) -> Any:
        """The cells' summed outputs [B, C, T] for x [B, T, features]."""
        state, out = FUNCTIONS["permute"](self.dropout(enter(x)), 0, 2, 1), None
        for cell in net:
            state, out = cell(state, out)
        return out
