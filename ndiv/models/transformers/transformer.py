"""Transformer: an encoder of the window and a decoder of the horizon, all by attention.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, "Attention Is All You Need", NeurIPS 2017, as a
forecaster in one pass (Zhou et al. 2021, the Informer paper, section 3.4, where it is a baseline):
    A(Q, K, V) = softmax(Q K' / sqrt(d)) V                              scaled dot-product attention (equation 1)
    M(x, m) = [A(x W_q^i, m W_k^i, m W_v^i)]_i W_o                      multi-head attention (section 3.2.2)
    FFN(x) = W_2 act(W_1 x + b_1) + b_2                                 at each step (equation 2; GELU by default)
    PE(t, 2i) = sin(t / 10000^(2i / d)), PE(t, 2i + 1) = cos(...)       positions (section 3.5)
    encoder layer: x <- LN(x + M(x, x)); x <- LN(x + FFN(x))
    decoder layer: z <- LN(z + M_causal(z, z)); z <- LN(z + M(z, memory)); z <- LN(z + FFN(z))
    forecast = W LN(z) at the last h steps
A token is a linear map of three steps of the series and the covariates of its step; the decoder gets the end of the window
and zeros for the horizon. One normalization more follows encoder and decoder. With decoding="autoregressive" the horizon is
decoded as the paper decodes a sentence, each step from those before it, whose keys and values are kept: `autoregressive.py`.

variant="paper": as above, with the mask: a step of the decoder sees no step after it, neither by attention nor in its token,
    which is made of the step and the two before it.
variant="compat": neuralforecast's VanillaTransformer: its decoder attends without any mask, and tokens are made of a step and
    its two neighbours, the first and the last step of a sequence being neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .autoregressive import Autoregressive
from .layers import DecoderLayer, EncoderLayer, FullAttention

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class Transformer(Autoregressive):
    """Transformer.

    decoder_input_size_multiplier   share of the window, from its end, that the decoder gets; above 0, at most 1
    hidden_size                     features of a token
    dropout                         on tokens, attention probabilities and the output of each block
    n_head                          attention heads, hidden_size // n_head features each
    conv_hidden_size                width of the feed-forward blocks
    activation                      "gelu", "relu", ... of the feed-forward blocks
    encoder_layers, decoder_layers  layers
    decoding                        "one_shot": all steps at once; "autoregressive": each from the forecasts before it, trained
                                    by teacher forcing (see the top of `autoregressive.py`; variant="paper" alone)

    >>> import numpy as np
    >>> m = Transformer(h=24, input_size=96, hidden_size=32)
    >>> m.forward({"insample_y": np.zeros((8, 96, 1), np.float32)}).shape
    (8, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    LONG_HORIZON = True
    PAPER = "Vaswani et al. 2017, Attention Is All You Need"
    DIFFERENCES = ("in paper no step of the decoder sees a step after it, by attention or in its token; compat is "
                   "neuralforecast's VanillaTransformer, whose causal mask never reaches the attention and whose tokens "
                   "are made of both neighbours, the first and the last step being neighbours")
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}

    def __init__(self, h: int, input_size: int = -1, decoder_input_size_multiplier: float = 0.5, hidden_size: int = 128,
                 dropout: float = 0.05, n_head: int = 4, conv_hidden_size: int = 32, activation: str = "gelu",
                 encoder_layers: int = 2, decoder_layers: int = 1, decoding: str = "one_shot",
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        act = self.settle(decoder_input_size_multiplier, activation, dropout, hidden_size=hidden_size, n_head=n_head,
                          conv_hidden_size=conv_hidden_size, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
        self.settle_decoding(decoding)
        compat, sizes = self.variant == "compat", (hidden_size, conv_hidden_size, dropout, act)

        def attention(cross: bool = False, causal: bool = False) -> FullAttention:
            return FullAttention(hidden_size, n_head, dropout, cross, causal)

        self.assemble(hidden_size, dropout, compat, (EncoderLayer(attention(), *sizes) for _ in range(encoder_layers)), (),
                      (DecoderLayer(attention(causal=not compat), attention(cross=True), *sizes)
                       for _ in range(decoder_layers)))
