"""iTransformer: a transformer encoder whose tokens are whole series.

Liu, Hu, Zhang, Wu, Wang, Ma, Long, "iTransformer: Inverted Transformers Are Effective for Time Series Forecasting", ICLR
2024, section 3.1. The window of each of the N series, normalized to mean 0 and standard deviation 1 (Liu et al. 2022,
Non-stationary Transformers), is one token; attention is across series, and no position is encoded, since the steps are in
the token's features:
    h = W_e x + b_e                                          x [N, L] -> h [N, D]
then ``e_layers`` times
    h <- norm(h + attention(h));   h <- norm(h + W_2 gelu(W_1 h + b_1) + b_2)
with layer normalization, which is of each series by itself; after the last layer another norm, and a linear projection
D -> h * outputs of each series, whose numbers are put back in units. Covariates that are known in the future are further
tokens, one for each covariate and series, of all L + h steps through an embedding of their own.

variant="paper": as above. Mean and standard deviation are of the observed steps, and a missing one stands at the mean. The
    numbers of several outputs stay with their series, and of a distribution's parameters the location alone is put back in
    units.
variant="compat": as neuralforecast: statistics count missing steps as zeros, all parameters of a distribution are put
    back in units, and with several quantiles (or the parameters of mixtures) and series the projection gives numbers output
    by output where the loss reads them series by series, so that they change places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...nn import Dropout, LayerNorm, Linear, ModuleList, RevIN, TransformerEncoderLayer
from ..arguments import check_count
from ..base import BaseModel, Batch
from .blocks_patch import check_heads, check_rates, in_units

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class iTransformer(BaseModel):
    """iTransformer.

    n_series            series; None: as many as fit is given
    hidden_size         D, features of a series
    n_heads             heads of attention; hidden_size is a multiple of it
    e_layers            layers of the encoder
    d_layers, factor    without effect, as in neuralforecast: there is no decoder, and attention is full
    d_ff                width of the feed-forward layers
    dropout             on embeddings, probabilities of attention and in the layers; at least 0 and less than 1
    use_norm            normalize each window, and put its mean and standard deviation back

    >>> import numpy as np
    >>> m = iTransformer(h=24, input_size=96, n_series=7, hidden_size=16, d_ff=32)
    >>> m.forward({"insample_y": np.zeros((32, 96, 7), np.float32)}).shape
    (32, 24, 7)
    """

    MULTIVARIATE = True
    EXOGENOUS_FUTR = True
    LONG_HORIZON = True
    DEFAULTS = {"windows_batch_size": 32, "inference_windows_batch_size": 32}
    PAPER = "Liu et al. 2024, iTransformer: Inverted Transformers Are Effective for Time Series Forecasting"
    DIFFERENCES = ("paper normalizes by observed steps, keeps the numbers of several outputs with their series, and puts "
                   "only a distribution's location back in units; compat counts missing steps as zeros, puts all parameters "
                   "back in units, and lets quantiles and mixture parameters of several series change places")

    def __init__(self, h: int, input_size: int = -1, n_series: int | None = None, hidden_size: int = 512, n_heads: int = 8,
                 e_layers: int = 2, d_layers: int = 1, d_ff: int = 2048, factor: int = 1, dropout: float = 0.1,
                 use_norm: bool = True, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("iTransformer", hidden_size=hidden_size, n_heads=n_heads, e_layers=e_layers, d_layers=d_layers,
                    d_ff=d_ff, factor=factor)
        check_rates("iTransformer", dropout=dropout)
        check_heads("iTransformer", hidden_size, n_heads)
        self.norm = RevIN(self.n_series, affine=False) if use_norm else None
        self.embed = Linear(self.input_size, hidden_size)
        self.futr_embed = Linear(self.input_size + self.h, hidden_size) if self.futr_exog_list else None
        self.dropout = Dropout(dropout)
        self.layers = ModuleList(TransformerEncoderLayer(hidden_size, n_heads, d_ff, dropout, "gelu", batch_first=True)
                                 for _ in range(e_layers))
        self.last_norm = LayerNorm(hidden_size)
        self.out = Linear(hidden_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, mask, _, futr, _ = self.inputs(batch)  # [B, L, N], futr [B, F, L + h, N]
        if self.norm is not None:
            y = self.norm.norm(y, None if self.variant == "compat" else mask)
        x = self.dropout(self.embed(FUNCTIONS["transpose"](y, 1, 2)))  # [B, N, D]
        if self.futr_embed is not None:
            known = FUNCTIONS["permute"](futr, 0, 3, 1, 2).reshape(y.shape[0], -1, self.input_size + self.h)
            x = FUNCTIONS["cat"]([x, self.dropout(self.futr_embed(known))], dim=1)  # [B, N + N * F, D]
        for layer in self.layers:
            x = layer(x)
        z = FUNCTIONS["transpose"](self.out(self.last_norm(x[:, :self.n_series])), 1, 2)  # [B, h * outputs, N]
        each = in_units(self, self.norm, z)  # [B, h, outputs, N]
        if self.variant == "compat":
            return each.reshape(-1, self.h, self.n_out * self.n_series)
        return self.numbers(FUNCTIONS["transpose"](each, 2, 3))
