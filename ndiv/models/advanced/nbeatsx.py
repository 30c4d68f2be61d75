"""NBEATSx: NBEATS whose blocks see covariates, with a stack that explains the series by them.

Olivares, Challu, Marcjasz, Weron, Dubrawski, "Neural basis expansion analysis with exogenous variables: Forecasting
electricity prices with NBEATSx", International Journal of Forecasting 39, 2023. Block l, on the residual x_l:
    z = FC(x_l, X);  theta_b, theta_f = linear(z)                          coefficients (equation 1)
    backcast = V_b theta_b;  y_l = V_f theta_f                             basis
    x_(l+1) = x_l - backcast;  forecast = sum of y_l                       doubly residual stacking
Stack types: those of NBEATS (see nbeats.py; trend is polynomial), and "exogenous", whose basis are the covariates
themselves, V = X: each forecast is a weighted sum of the covariates of its step, with weights for each window. The
convolutional encoder of X in the paper's generic model is not here, and not in neuralforecast.

variant="paper": as above. Each output of the loss has its own weights in an exogenous stack, and covariates known in the
    past only are part of its backcast.
variant="compat": as neuralforecast, in addition to what nbeats.py lists: all outputs share the forecast of an exogenous
    stack, its backcast has the known-future and static covariates only, and runs forward while the window runs backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ..arguments import check_count
from .blocks import BasisBlock, ResidualStacks, block_activation, check_dropout, check_stacks, check_units
from .nbeats import basis_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

STACKS = ("identity", "trend", "seasonality", "exogenous")


class ExogenousBasis:
    """Weighted sums of the covariates: theta [B, p + q * outputs] -> backcast [B, L], forecast [B, h, outputs].

    p covariates have a past and q have a future. neuralforecast's theta has the forecast's weights, once, before the
    backcast's.
    """

    def __init__(self, model: NBEATSx) -> None:
        self.length, self.h, self.n_out, self.compat = model.input_size, model.h, model.n_out, model.variant == "compat"
        ahead, past = model.futr_exog_size + model.stat_exog_size, model.hist_exog_size
        if not ahead:
            raise ConfigError("NBEATSx: an 'exogenous' stack needs covariates that are known in the future, or static ones",
                              value="exogenous", hint="name columns in futr_exog_list or stat_exog_list, or leave it out")
        self.ahead, self.back = ahead, ahead if self.compat else ahead + past
        self.n_theta = self.back + self.ahead * (1 if self.compat else self.n_out)

    def __call__(self, theta: Any, hist: Any, futr: Any, stat: Any) -> tuple[Any, Any]:
        b, matmul = theta.shape[0], FUNCTIONS["matmul"]
        if self.compat:
            ahead, back = theta[:, :self.ahead], theta[:, self.ahead:]
        else:
            back, ahead = theta[:, :self.back], theta[:, self.back:]
        past, future = ([], []) if futr is None else ([futr[:, :-self.h]], [futr[:, -self.h:]])
        if hist is not None and not self.compat:
            past.append(hist)
        if stat is not None:  # the same at every step
            for parts, steps in ((past, self.length), (future, self.h)):
                parts.append(FUNCTIONS["expand"](stat.reshape(b, 1, -1), (b, steps, stat.shape[1])))
        backcast = matmul(_joined(past), back.reshape(b, -1, 1)).reshape(b, -1)  # [B, L, p] [B, p, 1]
        forecast = matmul(_joined(future), ahead.reshape(b, self.ahead, -1))  # [B, h, q] [B, q, 1 or outputs]
        if forecast.shape[2] != self.n_out:
            forecast = FUNCTIONS["expand"](forecast, (b, self.h, self.n_out))
        return backcast, forecast


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=2)


class NBEATSx(ResidualStacks):
    """NBEATSx.

    n_harmonics             waves of the seasonality stacks go round in steps of 1 / n_harmonics in h; 1 is the paper's
    n_polynomials           degree of the trend stacks
    stack_types             "identity", "trend", "seasonality" or "exogenous", for each stack
    n_blocks                blocks in each stack
    mlp_units               [in, out] of each hidden layer after the first, in every block
    dropout_prob_theta      dropout after each hidden layer that has an activation
    activation              "ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "PReLU", "Sigmoid", ...
    shared_weights          the blocks of a stack have the same weights

    >>> import numpy as np
    >>> m = NBEATSx(h=24, input_size=96, mlp_units=[[32, 32]] * 3, futr_exog_list=["holiday"],
    ...             stack_types=["trend", "exogenous"], n_blocks=[1, 1])
    >>> m.forward({"insample_y": np.zeros((8, 96, 1), np.float32), "futr_exog": np.zeros((8, 120, 1), np.float32)}).shape
    (8, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    PAPER = "Olivares et al. 2023, Neural basis expansion analysis with exogenous variables: NBEATSx"
    DIFFERENCES = ("as NBEATS; in an exogenous stack paper gives each output its own weights, lets historic covariates "
                   "into the backcast, and runs covariates and window in the same direction; compat has one forecast for "
                   "all outputs, no historic covariates in the basis, and covariates forward against a backward window")
    DEFAULTS = {"num_lr_decays": 3}

    def __init__(self, h: int, input_size: int = -1, n_harmonics: int = 2, n_polynomials: int = 2,
                 stack_types: Sequence[str] = STACKS[:3], n_blocks: Sequence[int] = (1, 1, 1),
                 mlp_units: Sequence[Sequence[int]] = ((512, 512),) * 3, dropout_prob_theta: float = 0.0,
                 activation: str = "ReLU", shared_weights: bool = False, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_stacks("NBEATSx", stack_types, STACKS, n_blocks=n_blocks)
        check_units("NBEATSx", mlp_units)
        check_dropout("NBEATSx", dropout_prob_theta)
        check_count("NBEATSx", n_harmonics=n_harmonics)
        check_count("NBEATSx", 0, n_polynomials=n_polynomials)
        act = block_activation("NBEATSx", activation)
        compat = self.variant == "compat"
        size = (self.input_size * (1 + self.hist_exog_size) + (self.input_size + self.h) * self.futr_exog_size
                + self.stat_exog_size)

        def make(stack: int) -> BasisBlock:
            kind = stack_types[stack]
            basis = (ExogenousBasis(self) if kind == "exogenous"
                     else basis_of("NBEATSx", kind, self, n_harmonics, "polynomial", n_polynomials))
            return BasisBlock(size, mlp_units, act, dropout_prob_theta, basis, bare_first=compat)

        self.make_blocks(stack_types, n_blocks, make, shared_weights)
