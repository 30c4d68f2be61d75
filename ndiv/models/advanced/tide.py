"""TiDE: an encoder and a decoder of dense residual blocks, with covariates, and a linear map past both.

Das, Kong, Leach, Mathur, Sen, Yu, "Long-term Forecasting with TiDE: Time-series Dense Encoder", TMLR 2023. With the
residual block R(x) = norm(dropout(W2 relu(W1 x + b1) + b2) + W3 x + b3) of its section 4:
    x~_t = R(x_t)                           feature projection of the covariates of each step, to temporal_width numbers
    e = Encoder([y_1:L; x~_1:L+h; a])       dense encoder, blocks one after another; a: static covariates
    g = Decoder(e), reshaped to [h, p]      dense decoder, p = decoder_output_dim
    y^_L+t = R([g_t; x~_L+t])               temporal decoder, the same for each step
    forecast = y^ + W y_1:L                 global residual connection
Covariates of the past alone are projected by a block of their own and join the encoder's input, as in neuralforecast.

variant="paper": as above. The temporal decoder's output is the forecast, in units of the series, so that it is not
    normalized, nor is any output of one number: what is normalized over one number is 0, and all of the dense path with it.
variant="compat": as neuralforecast: with layernorm=True the temporal decoder's outputs are normalized as well. With a
    point loss the forecast is then the linear map and a constant, whatever the blocks say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...nn import Dropout, LayerNorm, Linear, Module, Sequential
from ..arguments import check_count
from ..base import BaseModel, Batch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class ResidualBlock(Module):
    """One hidden layer beside a linear map: [*, n_in] -> [*, n_out] (section 4)."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, dropout: float, layernorm: bool) -> None:
        super().__init__()
        self.norm = LayerNorm(n_out) if layernorm else None
        self.hidden = Linear(n_in, n_hidden, activation="relu")
        self.out = Linear(n_hidden, n_out)
        self.skip = Linear(n_in, n_out)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        z = self.dropout(self.out(self.hidden(x))) + self.skip(x)
        return z if self.norm is None else self.norm(z)


class TiDE(BaseModel):
    """TiDE.

    hidden_size             width of the encoder and of all hidden layers but the temporal decoder's
    decoder_output_dim      numbers that the decoder gives for each step of the horizon
    temporal_decoder_dim    width of the temporal decoder's hidden layer
    dropout                 on the output of each block's hidden layer
    layernorm               normalize what blocks give out
    num_encoder_layers      blocks of the encoder
    num_decoder_layers      blocks of the decoder
    temporal_width          numbers to which the covariates of a step are projected

    >>> import numpy as np
    >>> m = TiDE(h=24, input_size=96, hidden_size=64)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    PAPER = "Das et al. 2023, Long-term Forecasting with TiDE: Time-series Dense Encoder"
    LONG_HORIZON = True
    DIFFERENCES = ("paper does not normalize the temporal decoder's output or any single number, since layer "
                   "normalization makes that 0 and removes the dense path, and masks missing inputs; compat normalizes "
                   "them, so that a point forecast is the linear skip plus a constant")

    def __init__(self, h: int, input_size: int = -1, hidden_size: int = 512, decoder_output_dim: int = 32,
                 temporal_decoder_dim: int = 128, dropout: float = 0.3, layernorm: bool = True, num_encoder_layers: int = 1,
                 num_decoder_layers: int = 1, temporal_width: int = 4, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("TiDE", hidden_size=hidden_size, decoder_output_dim=decoder_output_dim,
                    temporal_decoder_dim=temporal_decoder_dim, num_encoder_layers=num_encoder_layers,
                    num_decoder_layers=num_decoder_layers, temporal_width=temporal_width)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ConfigError(f"TiDE: dropout must be in [0, 1), not {dropout!r}", value=dropout, hint="0.3 is the default")
        if not isinstance(layernorm, bool):
            raise ConfigError(f"TiDE: layernorm must be True or False, not {layernorm!r}", value=layernorm,
                              hint="the paper chooses it for each data set")
        compat, n_hist, n_futr = self.variant == "compat", self.hist_exog_size, self.futr_exog_size

        def block(n_in: int, n_out: int, n_hidden: int = hidden_size, last: bool = False) -> ResidualBlock:
            return ResidualBlock(n_in, n_hidden, n_out, dropout, layernorm and (compat or (n_out > 1 and not last)))

        self.hist_projection: Any = block(n_hist, temporal_width) if n_hist else None
        self.futr_projection: Any = block(n_futr, temporal_width) if n_futr else None
        size = self.input_size + self.stat_exog_size
        size += temporal_width * (self.input_size * bool(n_hist) + (self.input_size + self.h) * bool(n_futr))
        self.encoder = Sequential(*(block(hidden_size if i else size, hidden_size) for i in range(num_encoder_layers)))
        self.decoder = Sequential(*(block(hidden_size, hidden_size) for _ in range(num_decoder_layers - 1)),
                                  block(hidden_size, decoder_output_dim * self.h))
        self.temporal_decoder = block(decoder_output_dim + temporal_width * bool(n_futr), self.n_out, temporal_decoder_dim,
                                      last=True)
        self.global_skip = Linear(self.input_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        b = y.shape[0]
        if mask is not None and self.variant == "paper":
            y = y * mask
        y = y.reshape(b, self.input_size)
        ahead = None
        parts = [y]
        if hist is not None:
            parts.append(self.hist_projection(hist).reshape(b, -1))  # [B, L, X] -> [B, L * width]
        if futr is not None:
            ahead = self.futr_projection(futr)  # [B, L + h, F] -> [B, L + h, width]
            parts.append(ahead.reshape(b, -1))
        if stat is not None:
            parts.append(stat)
        x = parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=1)
        g = self.decoder(self.encoder(x)).reshape(b, self.h, -1)  # [B, h, p]
        if ahead is not None:
            g = FUNCTIONS["cat"]([g, ahead[:, self.input_size:]], dim=2)
        return self.temporal_decoder(g) + self.global_skip(y).reshape(b, self.h, self.n_out)
