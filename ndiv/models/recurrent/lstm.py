"""LSTM: long short-term memory as an encoder.

Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997, with the forget gate of Gers, Schmidhuber,
Cummins, "Learning to Forget", Neural Computation 12, 2000:
    i, f, o = sigmoid(W x_t + U s_{t-1});  g = tanh(W_g x_t + U_g s_{t-1});  c_t = f * c_{t-1} + i * g
    s_t = o * tanh(c_t)                                                                     (and biases)
Inputs, direct and recursive forecasts: `ndiv.models.recurrent.base`.

variant="paper": every step of the horizon is made from the last state; padding does not move the state; in recursive mode
    the state is as wide as the cell, and a Linear makes the forecast of it.
variant="compat": as neuralforecast: a step of the horizon has the state of one of the last h steps, padding counts as
    values of 0, and in recursive mode each layer's state is projected to the number of outputs (one number for a point
    loss), s_t = W_p (o * tanh(c_t)), which the forecast is (`ProjectedLSTM`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import nn
from ...autograd.ops import FUNCTIONS
from ...nn import init
from .base import RecurrentModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class ProjectedLSTM(nn.Module):
    """LSTM whose state is projected to ``proj_size`` after each step (Sak, Senior, Beaufays, Interspeech 2014).

    forward(x [B, T, I], hx=None, lengths=None) -> (y [B, T, P], (h [layers, B, P], c [layers, B, H])); lengths is not used.
    Parameters as `nn.LSTM`, but weight_hh [4 H, P], from the second layer on weight_ih [4 H, P], and weight_hr [P, H].
    Composed of ops for each step: for weights of neuralforecast, not for speed.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, bias: bool, dropout: float, batch_first: bool,
                 proj_size: int) -> None:
        super().__init__()
        self.num_layers, self.hidden_size, self.proj_size, self.bias = num_layers, hidden_size, proj_size, bias
        self.dropout = nn.Dropout(dropout)
        rows = 4 * hidden_size
        for k in range(num_layers):
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, proj_size if k else input_size),
                                                  "weight_hh": (rows, proj_size)}
            shapes.update({"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {})
            for name, shape in {**shapes, "weight_hr": (proj_size, hidden_size)}.items():
                setattr(self, f"{name}_l{k}", nn.Parameter(init.fan_in_uniform(shape, hidden_size)))

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> Any:
        linear, cat, stack = FUNCTIONS["linear"], FUNCTIONS["cat"], FUNCTIONS["stack"]
        b, n = x.shape[0], self.hidden_size
        finals: list[tuple[Any, Any]] = []
        for k in range(self.num_layers):
            w = {name: getattr(self, f"{name}_l{k}", None)
                 for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")}
            h, c = (np.zeros((b, m), x.dtype) for m in (self.proj_size, n)) if hx is None else (hx[0][k], hx[1][k])
            zx = linear(self.dropout(x) if k else x, w["weight_ih"], w["bias_ih"])  # [B, T, 4 H]
            ys = []
            for t in range(x.shape[1]):
                z = zx[:, t] + linear(h, w["weight_hh"], w["bias_hh"])
                i, f, o = (FUNCTIONS["sigmoid"](z[:, m * n:(m + 1) * n]) for m in (0, 1, 3))
                c = f * c + i * FUNCTIONS["tanh"](z[:, 2 * n:3 * n])
                h = linear(o * FUNCTIONS["tanh"](c), w["weight_hr"])  # [B, P]
                ys.append(h.reshape(b, 1, -1))
            x = ys[0] if len(ys) == 1 else cat(ys, dim=1)
            finals.append((h, c))
        return x, tuple(stack(s) for s in zip(*finals, strict=True))


class LSTM(RecurrentModel):
    """LSTM. Arguments as those of `RNN`, without encoder_activation.

    >>> import numpy as np
    >>> m = LSTM(h=24, input_size=96, encoder_hidden_size=16)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    PAPER = "Hochreiter & Schmidhuber 1997, Long Short-Term Memory"
    DIFFERENCES = ("direct: paper makes every step from the last state, compat from the last h states position by "
                   "position, whose first do not see the newest values; padding is skipped in paper, zeros in compat; "
                   "recursive: paper feeds the median back and reads hist at its own step, compat the mean of quantiles "
                   "and hist shifted by one; compat projects the state to the number of outputs")

    def __init__(self, h: int, input_size: int = -1, inference_input_size: int | None = None, h_train: int = 1,
                 encoder_n_layers: int = 2, encoder_hidden_size: int = 128, encoder_bias: bool = True,
                 encoder_dropout: float = 0.0, context_size: int | None = None, decoder_hidden_size: int = 128,
                 decoder_layers: int = 2, decoder_activation: str | None = None, recurrent: bool = False,
                 encoder_bidirectional: bool = False, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        projected = recurrent and self.variant == "compat"

        def encoder(size: int, hidden: int, **options: Any) -> nn.Module:
            if projected:
                return ProjectedLSTM(size, hidden, proj_size=self.n_out, **options)
            return nn.LSTM(size, hidden, **options)

        self.build(encoder, head=not projected)
