"""FEDformer: Autoformer's decomposition, with attention among a few frequencies or wavelet coefficients.

Zhou, Ma, Wen, Wang, Sun, Jin, "FEDformer: Frequency Enhanced Decomposed Transformer for Long-term Series Forecasting",
ICML 2022. Encoder and decoder of `decomposition`. Instead of attention to itself, a layer has a frequency enhanced block, and
instead of attention to the encoder's output, frequency enhanced attention (section 3.3, F the Fourier transform):
    FEB-f(x) = F^-1(pad(select(F(x W)) R))                              R a complex matrix for each of the chosen modes
    FEA-f(q, k, v) = F^-1(pad(sigma(Q K') V))                           Q, K, V = select(F(.)), sigma = tanh
With version="Wavelets" both act on multiwavelet coefficients (section 3.4, `wavelets`).

variant="paper": as above. Each layer has its own R, and sigma is taken of real and imaginary parts: the tangent of a
    complex number has poles, near which a single score is as large as one likes.
variant="compat": as neuralforecast, which is the authors' code for version="Fourier". Encoder layers share one R, decoder
    layers one as well and one for FEA-f, which multiplies what has been attended. FEB-f puts the modes that it has chosen
    at the lowest frequencies; FEA-f takes keys for values, the tangent of complex numbers, and divides by hidden_size
    squared. What either gives has features before steps and is read as if it had steps before features, so that
    they mix. Modes of the decoder are chosen as if it had input_size // 2 + h steps, and all modes from NumPy's
    generator as ``random_seed`` sets it. There are no wavelets. The rest is as in `Autoformer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError, closest
from ...nn import Module
from ..arguments import check_count
from .decomposition import DecompositionModel
from .frequency import FourierAttention, FourierBlock, ModeProduct, chosen_modes
from .wavelets import WaveletAttention, WaveletBlock

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

VERSIONS = ("Fourier", "Wavelets")
SELECTIONS = ("random", "low")


class FEDformer(DecompositionModel):
    """FEDformer.

    decoder_input_size_multiplier   share of the window, from its end, that the decoder gets; above 0, at most 1
    version                         "Fourier" or "Wavelets"
    modes                           frequencies that are kept, at most
    mode_select                     which of them where version="Fourier": "random", as random_seed says, or "low"
    hidden_size                     features of a token
    dropout                         on tokens and the output of each block
    n_head                          heads, hidden_size // n_head features each
    conv_hidden_size                width of the feed-forward blocks
    activation                      "gelu", "relu", ... of the feed-forward blocks
    encoder_layers, decoder_layers  layers
    MovingAvg_window                steps that a trend is the mean of

    The chosen modes are part of the state: they are saved and loaded with the weights.

    >>> import numpy as np
    >>> m = FEDformer(h=24, input_size=96, hidden_size=32, modes=8)
    >>> m.forward({"insample_y": np.zeros((8, 96, 1), np.float32)}).shape
    (8, 24, 1)
    >>> len(m.state_dict()["encoder.0.attention.modes"])
    8
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    LONG_HORIZON = True
    PAPER = "Zhou et al. 2022, FEDformer: Frequency Enhanced Decomposed Transformer for Long-term Series Forecasting"
    DIFFERENCES = ("paper returns each mode to its own frequency, attends to values by bounded scores, gives each layer "
                   "matrices of its own, and has wavelets; compat moves modes to the lowest frequencies, mixes features and "
                   "steps, takes keys for values and scores that have poles, shares matrices among layers and chooses the "
                   "decoder's modes for input_size // 2 + h steps; the rest is as in Autoformer")
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}

    def __init__(self, h: int, input_size: int = -1, decoder_input_size_multiplier: float = 0.5, version: str = "Fourier",
                 modes: int = 64, mode_select: str = "random", hidden_size: int = 128, dropout: float = 0.05, n_head: int = 8,
                 conv_hidden_size: int = 32, activation: str = "gelu", encoder_layers: int = 2, decoder_layers: int = 1,
                 MovingAvg_window: int = 25, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        act = self.settle(decoder_input_size_multiplier, activation, dropout, hidden_size=hidden_size, n_head=n_head,
                          conv_hidden_size=conv_hidden_size, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        check_count("FEDformer", modes=modes)
        for name, value, known in (("version", version, VERSIONS), ("mode_select", mode_select, SELECTIONS)):
            if value not in known:
                raise ConfigError(f"FEDformer: unknown {name} {value!r}", value=value, hint=closest(str(value), known))
        if self.variant == "compat" and version != "Fourier":
            raise ConfigError(f"FEDformer: neuralforecast has no version {version!r}", value=version,
                              hint="give version='Fourier', or variant='paper'")
        build = self._compat if self.variant == "compat" else self._wavelets if version == "Wavelets" else self._fourier
        encoder, decoder = build(hidden_size, n_head, modes, mode_select == "random", encoder_layers, decoder_layers)
        self.compose(hidden_size, conv_hidden_size, dropout, act, MovingAvg_window, encoder, decoder)

    def _fourier(self, hidden: int, heads: int, modes: int, random: bool, encoders: int, decoders: int) -> Any:
        known, ahead = self.input_size, self.label + self.h

        def block(length: int) -> Module:
            chosen = chosen_modes(length, modes, random)
            inner = hidden // heads * heads
            return FourierBlock(hidden, heads, chosen, ModeProduct(len(chosen), heads, inner, inner), False)

        def attention() -> Module:
            return FourierAttention(hidden, heads, chosen_modes(ahead, modes, random), chosen_modes(known, modes, random), None)

        return [block(known) for _ in range(encoders)], [(block(ahead), attention()) for _ in range(decoders)]

    def _wavelets(self, hidden: int, heads: int, modes: int, random: bool, encoders: int, decoders: int) -> Any:
        def block(length: int) -> Module:
            return WaveletBlock(hidden, heads, modes, length)

        ahead = self.label + self.h
        return ([block(self.input_size) for _ in range(encoders)],
                [(block(ahead), WaveletAttention(hidden, heads, modes)) for _ in range(decoders)])

    def _compat(self, hidden: int, heads: int, modes: int, random: bool, encoders: int, decoders: int) -> Any:
        known, ahead = self.input_size, self.input_size // 2 + self.h
        bins = (self.label + self.h) // 2 + 1
        if max(ahead // 2, 1) > bins:
            raise ConfigError(f"FEDformer: compat's decoder has {self.label + self.h} steps and takes modes of {ahead}",
                              value=self.label, hint="give decoder_input_size_multiplier=0.5, or variant='paper'")
        draw = np.random.RandomState(self.random_seed)  # as neuralforecast seeds NumPy's before it draws them in this order
        chosen = [chosen_modes(n, modes, random, draw) for n in (known, ahead, ahead, known)]
        of_encoder, of_decoder, of_queries, of_keys = chosen
        inner = hidden // heads * heads
        shared = [ModeProduct(len(each), heads, inner, inner) for each in chosen[:3]]
        return ([FourierBlock(hidden, heads, of_encoder, shared[0], True) for _ in range(encoders)],
                [(FourierBlock(hidden, heads, of_decoder, shared[1], True),
                  FourierAttention(hidden, heads, of_queries, of_keys, shared[2])) for _ in range(decoders)])
