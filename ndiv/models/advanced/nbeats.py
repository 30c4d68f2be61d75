"""NBEATS: stacks of fully connected blocks, each of which explains a part of the window and forecasts its continuation.

Oreshkin, Carpov, Chapados, Bengio, "N-BEATS: Neural basis expansion analysis for interpretable time series forecasting", ICLR
2020. Block l, on the residual x_l of the blocks before it:
    z = FC_4(FC_3(FC_2(FC_1(x_l))));  theta_b, theta_f = linear(z)        coefficients (equation 1)
    backcast = V_b theta_b;  y_l = V_f theta_f                            basis
    x_(l+1) = x_l - backcast;  forecast = sum of y_l                      doubly residual stacking (section 3.2)
Stack types: "identity" learns V (the generic architecture: V and theta's linear map are one matrix here, and have its
bias); "trend" has slow functions, in the paper polynomials of t = [0, ..., h - 1] / h (equation 2); "seasonality" has
cosines and sines (equation 3). The paper's interpretable model: stack_types=["trend", "seasonality"], n_blocks=[3, 3],
n_basis=2 or 3, n_harmonics=1, shared_weights=True. Linear maps to theta have a bias, as in the authors' code.

variant="paper": as above. The waves of backcast and forecast are on one axis of time (t = 0 is the first step of the
    forecast), there is no sine of frequency 0, and no trend basis has a function that is 0 everywhere.
variant="compat": as neuralforecast: the window runs backwards, the first hidden layer has no activation, the forecast
    starts from the last value, and the bases have those empty functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError
from ..arguments import check_count
from .blocks import (
    BasisBlock,
    IdentityBasis,
    ResidualStacks,
    TableBasis,
    block_activation,
    check_basis,
    check_dropout,
    check_stacks,
    check_units,
    fourier,
    trend,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

STACKS = ("identity", "trend", "seasonality")


class NBEATS(ResidualStacks):
    """NBEATS.

    n_harmonics             waves of the seasonality stacks go round in steps of 1 / n_harmonics in h; 1 is the paper's
    n_polynomials           for familiarity: replaced by n_basis, and without effect
    n_basis                 degree of the trend stacks: they have n_basis + 1 functions
    basis                   "polynomial", "legendre", "chebyshev", "changepoint", "piecewise_linear", "linear_hat", "spline"
    stack_types             "identity", "trend" or "seasonality", for each stack
    n_blocks                blocks in each stack
    mlp_units               [in, out] of each hidden layer after the first, in every block
    dropout_prob_theta      dropout after each hidden layer that has an activation
    activation              "ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "PReLU", "Sigmoid", ...
    shared_weights          the blocks of a stack have the same weights

    >>> import numpy as np
    >>> m = NBEATS(h=24, input_size=96, mlp_units=[[32, 32]] * 3)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    PAPER = "Oreshkin et al. 2020, N-BEATS: Neural basis expansion analysis for interpretable time series forecasting"
    DIFFERENCES = ("paper: equations 1 to 3: forward window, every hidden layer activated, forecast from zero, waves of "
                   "backcast and forecast on one axis of time, no basis function that is 0 everywhere; compat: backward "
                   "window, first layer without activation, forecast from the last value, and those empty functions")
    DEFAULTS = {"num_lr_decays": 3}

    def __init__(self, h: int, input_size: int = -1, n_harmonics: int = 2, n_polynomials: int | None = None, n_basis: int = 2,
                 basis: str = "polynomial", stack_types: Sequence[str] = STACKS, n_blocks: Sequence[int] = (1, 1, 1),
                 mlp_units: Sequence[Sequence[int]] = ((512, 512),) * 3, dropout_prob_theta: float = 0.0,
                 activation: str = "ReLU", shared_weights: bool = False, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        if n_polynomials is not None:
            warnings.warn(f"NBEATS: n_polynomials={n_polynomials!r} has no effect; give n_basis", FutureWarning, stacklevel=3)
        check_stacks("NBEATS", stack_types, STACKS, n_blocks=n_blocks)
        check_units("NBEATS", mlp_units)
        check_dropout("NBEATS", dropout_prob_theta)
        check_basis("NBEATS", basis, n_basis)
        check_count("NBEATS", n_harmonics=n_harmonics)
        act = block_activation("NBEATS", activation)
        compat = self.variant == "compat"

        def make(stack: int) -> BasisBlock:
            made = basis_of("NBEATS", stack_types[stack], self, n_harmonics, basis, n_basis)
            return BasisBlock(self.input_size, mlp_units, act, dropout_prob_theta, made, bare_first=compat)

        self.make_blocks(stack_types, n_blocks, make, shared_weights)


def basis_of(name: str, kind: str, model: Any, n_harmonics: int, basis: str, n_basis: int) -> Any:
    """The basis of an "identity", "trend" or "seasonality" stack of a model with that window, horizon, loss and variant."""
    size, h, n_out, compat = model.input_size, model.h, model.n_out, model.variant == "compat"
    if kind == "identity":
        return IdentityBasis(size, h, n_out)
    if h == 1:
        raise ConfigError(f"{name}: a {kind!r} stack needs h of at least 2, and h is 1", value=h,
                          hint="stack_types=['identity'], n_blocks=[1]")
    if kind == "trend":
        return TableBasis(trend(basis, size, n_basis, compat), trend(basis, h, n_basis, compat), n_out)
    # compat counts the backward window's steps from 0 down, so that its last value and the first forecast are both at 0
    back = -np.arange(size) if compat else np.arange(size) - size
    return TableBasis(fourier(back, h, n_harmonics, compat), fourier(np.arange(h), h, n_harmonics, compat), n_out)
