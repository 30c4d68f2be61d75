"""Autoformer: a series is decomposed again and again, and its periods are found by auto-correlation.

Wu, Xu, Wang, Long, "Autoformer: Decomposition Transformers with Auto-Correlation for Long-Term Series Forecasting", NeurIPS
2021. Encoder and decoder of `decomposition`, whose attention is `autocorrelation`; tokens as in Informer, without positions.
Delays are chosen for each window, from the mean of its auto-correlations over heads and features, as the authors' code does
when it forecasts.

variant="paper": as above.
variant="compat": as neuralforecast, which is the authors' code. While training, all windows of a batch get the same delays,
    those of the largest mean auto-correlation over the batch, so that a window's loss depends on its company. Of a window
    of odd length the auto-correlation is transformed back as one of a step less, which moves and distorts it. One map projects
    the sum of a layer's three trends, from a step and its two neighbours, the last step of the horizon being the neighbour of
    the first of the decoder's. The level of a window is added to all parameters of a distribution, not to its location
    alone, and missing steps count as zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..arguments import check_count
from .autocorrelation import AutoCorrelation
from .decomposition import DecompositionModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class Autoformer(DecompositionModel):
    """Autoformer.

    decoder_input_size_multiplier   share of the window, from its end, that the decoder gets; above 0, at most 1
    hidden_size                     features of a token
    dropout                         on tokens and the output of each block
    factor                          c: factor * log(L) delays are followed
    n_head                          heads; hidden_size // n_head * n_head features are correlated
    conv_hidden_size                width of the feed-forward blocks
    activation                      "gelu", "relu", ... of the feed-forward blocks
    encoder_layers, decoder_layers  layers
    MovingAvg_window                steps that a trend is the mean of

    >>> import numpy as np
    >>> m = Autoformer(h=24, input_size=96, hidden_size=32)
    >>> m.forward({"insample_y": np.zeros((8, 96, 1), np.float32)}).shape
    (8, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    LONG_HORIZON = True
    PAPER = "Wu et al. 2021, Autoformer: Decomposition Transformers with Auto-Correlation for Long-Term Series Forecasting"
    DIFFERENCES = ("paper chooses the delays of each window by itself, also while training, has a map for each of a layer's "
                   "three trends, adds a window's level to a distribution's location alone and leaves out missing steps; "
                   "compat trains with delays of the whole batch, shortens auto-correlations of odd length by a step, projects "
                   "trends across the ends of the sequence, and counts missing steps as zeros")
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}

    def __init__(self, h: int, input_size: int = -1, decoder_input_size_multiplier: float = 0.5, hidden_size: int = 128,
                 dropout: float = 0.05, factor: int = 3, n_head: int = 4, conv_hidden_size: int = 32, activation: str = "gelu",
                 encoder_layers: int = 2, decoder_layers: int = 1, MovingAvg_window: int = 25,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        act = self.settle(decoder_input_size_multiplier, activation, dropout, hidden_size=hidden_size, n_head=n_head,
                          conv_hidden_size=conv_hidden_size, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        check_count("Autoformer", factor=factor)

        def correlation(cross: bool = False) -> AutoCorrelation:
            return AutoCorrelation(hidden_size, n_head, factor, self.variant == "compat", cross)

        self.compose(hidden_size, conv_hidden_size, dropout, act, MovingAvg_window,
                     (correlation() for _ in range(encoder_layers)),
                     ((correlation(), correlation(cross=True)) for _ in range(decoder_layers)))
