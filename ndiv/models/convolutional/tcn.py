"""TCN: residual blocks of dilated causal convolutions; the latest state forecasts all steps.

Bai, Kolter, Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling", 2018
(arXiv:1803.01271). Block i, with dilation d_i, on x [B, C, L]:
    z <- dropout(relu(conv_d(x)));  z <- dropout(relu(conv_d(z)))    causal, weight-normalized, whole channels dropped
    x <- relu(residual(x) + z)              residual: the identity, or a 1x1 convolution where widths differ (section 3.4)
The paper's network ends where its task's output begins. Here the state of the latest step gives a context for each step
of the horizon; with the future covariates of its step, an MLP turns it into the forecast.

variant="paper": as above. Without ``dilations`` they double from 1 (section 3.3) until the receptive field is the window.
variant="compat": as neuralforecast: one convolution a dilation, without residuals, weight normalization or dropout;
    dilations 1 to 16 whatever the window; a linear map over time turns the L states into h; context_size is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...autograd.ops.linear import ACTIVATIONS
from ...errors import ConfigError
from ...nn import CausalConv1d, Conv1d, Dropout1d, Linear, Module, ModuleList, activation
from ...nn.layers import _positive
from ...nn.utils import weight_norm
from ..base import BaseModel, Batch
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

_COMPAT_DILATIONS = (1, 2, 4, 8, 16)


def _covering(input_size: int, kernel: int) -> list[int]:
    """Dilations 1, 2, 4, ... of blocks with two convolutions each; the last makes the receptive field the window."""
    left = (input_size - 1) // (2 * max(kernel - 1, 1))  # what the dilations may add up to
    found: list[int] = []
    while left > 0:
        found.append(min(2 ** len(found), left))
        left -= found[-1]
    return found or [1]


class ResidualBlock(Module):
    """Figure 1(b) of the paper: [B, C_in, >= history(last)] -> the latest ``last`` states [B, C, last]."""

    def __init__(self, c_in: int, c_out: int, kernel: int, dilation: int, act: str, dropout: float) -> None:
        super().__init__()
        self.act = act
        self.conv1 = weight_norm(CausalConv1d(c_in, c_out, kernel, dilation))
        self.conv2 = weight_norm(CausalConv1d(c_out, c_out, kernel, dilation))
        self.dropout = Dropout1d(dropout)
        self.residual = Conv1d(c_in, c_out, 1) if c_in != c_out else None
        self.reach = 2 * dilation * (kernel - 1)

    def forward(self, x: Any, last: int) -> Any:
        act = ACTIVATIONS[self.act]
        middle = min(last + self.reach // 2, x.shape[-1])  # no states before the window: there the padding is
        z = self.dropout(act(self.conv1(x, middle)))
        z = self.dropout(act(self.conv2(z, last)))
        x = x[:, :, -last:]
        return act((x if self.residual is None else self.residual(x)) + z)


class TCN(BaseModel):
    """TCN.

    inference_input_size    for familiarity: None or input_size; forecasts always see input_size steps
    kernel_size             of all convolutions
    dilations               one for each block (compat: convolution); None: until the window is covered (compat: 1 to 16)
    encoder_hidden_size     channels
    encoder_activation      "ReLU", "Tanh", "GELU", "SELU", "Softplus", ...
    context_size            width of the context for each step of the horizon (compat: not used)
    decoder_hidden_size     width of the decoder's hidden layers
    decoder_layers          layers of the decoder; 1: a linear map
    decoder_activation      as encoder_activation; None: ReLU
    dropout                 of whole channels after each convolution; None: 0.2, the published code's (compat: 0, and no other)

    >>> import numpy as np
    >>> m = TCN(h=24, input_size=96, encoder_hidden_size=16)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    >>> m.dilations, m.receptive_field
    ([1, 2, 4, 8, 16, 16], 95)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    PAPER = ("Bai, Kolter & Koltun 2018, An Empirical Evaluation of Generic Convolutional and Recurrent Networks for "
             "Sequence Modeling")
    DIFFERENCES = ("paper: residual blocks of two weight-normalized causal convolutions with channel dropout, dilations "
                   "that cover the window, forecast from the latest state; compat: one plain convolution a dilation, a "
                   "linear map over time, context_size unused")
    DEFAULTS = {"windows_batch_size": 128, "scaler_type": "robust"}

    def __init__(self, h: int, input_size: int = -1, inference_input_size: int | None = None, kernel_size: int = 2,
                 dilations: Sequence[int] | None = None, encoder_hidden_size: int = 128, encoder_activation: str = "ReLU",
                 context_size: int = 10, decoder_hidden_size: int = 128, decoder_layers: int = 2,
                 decoder_activation: str | None = None, dropout: float | None = None,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        compat = self.variant == "compat"
        _positive("TCN", kernel_size=kernel_size, encoder_hidden_size=encoder_hidden_size, context_size=context_size,
                  decoder_hidden_size=decoder_hidden_size, decoder_layers=decoder_layers)
        self._check(inference_input_size, dilations, dropout)
        if dilations is None:
            dilations = _COMPAT_DILATIONS if compat else _covering(self.input_size, kernel_size)
        self.dilations = list(dilations)
        self.act, width = activation(encoder_activation), encoder_hidden_size
        futr = self.futr_exog_size
        widths = [1 + self.hist_exog_size + self.stat_exog_size + futr, *[width] * len(self.dilations)]
        if compat:
            self.convs = ModuleList(CausalConv1d(c, width, kernel_size, d)
                                    for c, d in zip(widths[:-1], self.dilations, strict=True))
            self.context = Linear(self.input_size, self.h)
        else:
            self.blocks = ModuleList(
                ResidualBlock(c, width, kernel_size, d, self.act, 0.2 if dropout is None else dropout)
                for c, d in zip(widths[:-1], self.dilations, strict=True))
            self.context = Linear(width, self.h * context_size)
        self.receptive_field = 1 + sum(self.dilations) * (kernel_size - 1) * (1 if compat else 2)
        act = activation("ReLU" if decoder_activation is None else decoder_activation)
        sizes = [(width if compat else context_size) + futr, *[decoder_hidden_size] * (decoder_layers - 1)]
        layers = [Linear(a, b, activation=act) for a, b in pairwise(sizes)]
        self.decoder = ModuleList([*layers, Linear(sizes[-1], self.n_out)])

    def _check(self, inference: Any, dilations: Any, dropout: Any) -> None:
        if inference not in (None, -1, 0, self.input_size):  # as in neuralforecast, below 1 stands for input_size
            raise ConfigError(f"TCN: inference_input_size {inference!r} is not input_size {self.input_size}", value=inference,
                              hint="leave it out; forecasts see as many steps as training does")
        if dilations is not None and (isinstance(dilations, (str, int)) or not dilations
                                      or not all(isinstance(d, int) and d >= 1 for d in dilations)):
            raise ConfigError(f"TCN: dilations must hold positive whole numbers, not {dilations!r}", value=dilations,
                              hint="for example [1, 2, 4, 8], or None to cover the window")
        if dropout is not None and not 0.0 <= dropout < 1.0:
            raise ConfigError(f"TCN: dropout must be in [0, 1), not {dropout!r}", value=dropout, hint="0.2 is common")
        if dropout and self.variant == "compat":
            raise ConfigError(f"TCN: variant='compat' has no dropout, and dropout is {dropout!r}", value=dropout,
                              hint="use variant='paper', or leave dropout out")

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        if mask is not None and self.variant != "compat":
            y = y * mask
        x = self.features(y, hist, futr, stat)  # [B, C_in, L]
        if self.variant == "compat":
            for conv in self.convs:
                x = ACTIVATIONS[self.act](conv(x))
            context = FUNCTIONS["permute"](self.context(x), 0, 2, 1)  # [B, C, L] -> [B, h, C]
        else:
            for block, last in zip(self.blocks, self._needed(), strict=True):
                x = block(x, last)
            context = self.contexts(x[:, :, 0])
        return self.decode(context, None if futr is None else futr[:, self.input_size:])

    def features(self, y: Any, hist: Any, futr: Any, stat: Any) -> Any:
        """[B, L, 1], [B, L, X], [B, >= L, F], [B, S] -> all that is known of each step, [B, 1 + X + S + F, L]."""
        b, length = y.shape[:2]
        parts = [y]
        if hist is not None:
            parts.append(hist)
        if stat is not None:
            parts.append(FUNCTIONS["expand"](stat.reshape(b, 1, -1), (b, length, stat.shape[1])))
        if futr is not None:
            parts.append(futr[:, :length])
        return FUNCTIONS["permute"](parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=2), 0, 2, 1)

    def contexts(self, state: Any) -> Any:
        """The latest state [B, C] -> a context for each step of the horizon, [B, h, context]."""
        return self.context(state).reshape(state.shape[0], self.h, -1)

    def decode(self, context: Any, futr: Any) -> Any:
        """Contexts [B, h, C] and future covariates [B, h, F] -> [B, h, outputs]."""
        out = context if futr is None else FUNCTIONS["cat"]([context, futr], dim=2)
        for layer in self.decoder:
            out = layer(out)
        return out

    def _needed(self) -> list[int]:
        """How many of the latest states each block must give, so that the last one gives one."""
        found = [1]
        for block in list(self.blocks)[:0:-1]:
            found.insert(0, min(found[0] + block.reach, self.input_size))
        return found

    def stream(self, batch: Batch) -> Stream:
        """A forecaster that takes one value at a time, in a time that does not depend on how many there were.

        ``batch`` holds the windows to start from (as for `forecast`; covariates and mask as the model needs them). Its
        statistics scale the values that follow, too. Forecasts equal those of `forecast` on the latest input_size values
        if scaler_type is "identity", and those of a scaler with the first windows' statistics if not.

        Raises `ConfigError` (E0010) where no such stream exists: for variant="compat", whose states all move when the
        window does, and where the receptive field exceeds the window, whose beginning then shows in every forecast.

        >>> import numpy as np
        >>> m = TCN(h=2, input_size=8, encoder_hidden_size=4, scaler_type="identity")
        >>> y = np.sin(np.arange(9, dtype=np.float32)).reshape(1, 9, 1)
        >>> s = m.stream({"insample_y": y[:, :8]})
        >>> s.push(y[:, 8, 0])
        >>> bool(np.allclose(s.forecast(), m.forecast({"insample_y": y[:, 1:]}), atol=1e-6))
        True
        """
        return Stream(self, batch)
