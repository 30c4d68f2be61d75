"""GRU: gated recurrent units as an encoder.

Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio, "Learning Phrase Representations using RNN
Encoder-Decoder for Statistical Machine Translation", EMNLP 2014, with the reset gate after the product:
    r_t = sigmoid(W_r x_t + U_r s_{t-1});  z_t = sigmoid(W_z x_t + U_z s_{t-1})
    n_t = tanh(W_n x_t + r_t * (U_n s_{t-1}));  s_t = (1 - z_t) * n_t + z_t * s_{t-1}       (and biases)
Inputs, direct and recursive forecasts: `ndiv.models.recurrent.base`.

variant="paper": every step of the horizon is made from the last state; padding does not move the state.
variant="compat": as neuralforecast: a step of the horizon has the state of one of the last h steps, and padding counts as
    values of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import nn
from .base import RecurrentModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class GRU(RecurrentModel):
    """GRU. Arguments as those of `RNN`; encoder_activation has no effect.

    >>> import numpy as np
    >>> m = GRU(h=24, input_size=96, encoder_hidden_size=16)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    PAPER = "Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder"
    DIFFERENCES = ("direct: paper makes every step from the last state, compat from the last h states position by "
                   "position, whose first do not see the newest values; padding is skipped in paper, zeros in compat; "
                   "recursive: paper feeds the median back and reads hist at its own step, compat the mean of quantiles "
                   "and hist shifted by one")

    def __init__(self, h: int, input_size: int = -1, inference_input_size: int | None = None, h_train: int = 1,
                 encoder_n_layers: int = 2, encoder_hidden_size: int = 200, encoder_activation: str | None = None,
                 encoder_bias: bool = True, encoder_dropout: float = 0.0, context_size: int | None = None,
                 decoder_hidden_size: int = 128, decoder_layers: int = 2, decoder_activation: str | None = None,
                 recurrent: bool = False, encoder_bidirectional: bool = False, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        self.build(nn.GRU)
