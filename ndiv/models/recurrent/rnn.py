"""RNN: Elman's recurrent network as an encoder.

Elman, "Finding Structure in Time", Cognitive Science 14, 1990:
    s_t = act(W_ih x_t + b_ih + W_hh s_{t-1} + b_hh)
Inputs, direct and recursive forecasts: `ndiv.models.recurrent.base`.

variant="paper": every step of the horizon is made from the last state; padding does not move the state;
    encoder_activation is the encoder's.
variant="compat": as neuralforecast: a step of the horizon has the state of one of the last h steps, padding counts as
    values of 0, and encoder_activation is not passed on, so that it is always tanh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import nn
from ...errors import ConfigError, closest
from .base import RecurrentModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class RNN(RecurrentModel):
    """RNN.

    inference_input_size    length of the window that a recursive forecast begins with; None: input_size
    h_train                 steps of the training loss in recursive mode
    encoder_n_layers        layers
    encoder_hidden_size     width of the state
    encoder_activation      "tanh" or "relu"
    encoder_bias            whether the encoder has biases
    encoder_dropout         dropout between the encoder's layers
    context_size            for familiarity: without effect, as in neuralforecast
    decoder_hidden_size     width of the decoder's hidden layers (direct mode)
    decoder_layers          its layers, the last of them linear (direct mode)
    decoder_activation      its activation, None: "ReLU" (direct mode)
    recurrent               True: recursive, False: direct
    encoder_bidirectional   whether a second encoder runs back in time (direct mode)

    >>> import numpy as np
    >>> m = RNN(h=24, input_size=96, encoder_hidden_size=16)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    PAPER = "Elman 1990, Finding Structure in Time"
    DIFFERENCES = ("direct: paper makes every step from the last state, compat from the last h states position by "
                   "position, whose first do not see the newest values; padding is skipped in paper, zeros in compat; "
                   "recursive: paper feeds the median back and reads hist at its own step, compat the mean of quantiles "
                   "and hist shifted by one; encoder_activation is used in paper, always tanh in compat")
    USED = ("encoder_activation",)

    def __init__(self, h: int, input_size: int = -1, inference_input_size: int | None = None, h_train: int = 1,
                 encoder_n_layers: int = 2, encoder_hidden_size: int = 128, encoder_activation: str = "tanh",
                 encoder_bias: bool = True, encoder_dropout: float = 0.0, context_size: int | None = None,
                 decoder_hidden_size: int = 128, decoder_layers: int = 2, decoder_activation: str | None = None,
                 recurrent: bool = False, encoder_bidirectional: bool = False, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        if encoder_activation not in ("tanh", "relu"):
            raise ConfigError(f"RNN: unknown encoder_activation {encoder_activation!r}", value=encoder_activation,
                              hint=closest(encoder_activation, ("tanh", "relu")))
        act = "tanh" if self.variant == "compat" else encoder_activation

        def encoder(size: int, hidden: int, **options: Any) -> nn.Module:
            return nn.RNN(size, hidden, nonlinearity=act, **options)

        self.build(encoder)
