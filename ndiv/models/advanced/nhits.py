"""NHITS: blocks that look at the window at several rates and forecast at several resolutions.

Challu, Olivares, Oreshkin, Garza, Mergenthaler-Canseco, Dubrawski, "N-HiTS: Neural Hierarchical Interpolation for Time
Series Forecasting", AAAI 2023. Block l, on the residual x of the blocks before it:
    x_p = pool(x, k_l)                                  multi-rate sampling (equation 1)
    z = MLP(x_p);  theta_f, theta_b = linear(z)         coefficients (equation 2)
    y = interpolate(theta_f, h);  x_b = interpolate(theta_b, L)      hierarchical interpolation (equations 3, 4)
    x <- x - x_b;  forecast <- forecast + y             doubly residual stacking

variant="paper": as above; backcast and forecast are both interpolated, every hidden layer has its activation, and the
    forecast starts from zero, as in the equations.
variant="compat": as neuralforecast: the window runs backwards, the backcast is not interpolated, the first hidden
    layer has no activation, and the forecast starts from the last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError, closest
from ...nn import Dropout, Linear, Module, ModuleList
from ...nn import activation as activation_op
from .blocks import ResidualStacks, check_stacks, check_units

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

POOLING = {"MaxPool1d": "max_pool1d", "AvgPool1d": "avg_pool1d"}
INTERPOLATION = ("nearest", "linear", "cubic")


def _pooled(n: int, kernel: int) -> int:
    return -(-n // kernel)


class NHITSBlock(Module):
    """One block: [B, L] and covariates -> backcast [B, L], forecast [B, h, outputs]."""

    def __init__(self, owner: NHITS, kernel: int, downsample: int, units: Sequence[Sequence[int]], act: str) -> None:
        super().__init__()
        self.h, self.input_size, self.n_out, self.compat = owner.h, owner.input_size, owner.n_out, owner.variant == "compat"
        self.kernel, self.pool, self.mode = kernel, owner.pool, owner.mode
        past, ahead = _pooled(self.input_size, kernel), _pooled(self.input_size + self.h, kernel)
        size = past * (1 + owner.hist_exog_size) + ahead * owner.futr_exog_size + owner.stat_exog_size
        self.back = self.input_size if self.compat else max(self.input_size // downsample, 1)
        self.knots = max(self.h // downsample, 1)
        layers = [Linear(size, units[0][0], activation="identity" if self.compat else act)]
        layers += [Linear(a, b, activation=act) for a, b in units]
        self.layers = ModuleList(layers)
        self.dropout = Dropout(owner.dropout_prob_theta)
        self.theta = Linear(units[-1][1], self.back + self.knots * self.n_out)

    def forward(self, x: Any, hist: Any, futr: Any, stat: Any) -> tuple[Any, Any]:
        b, permute = x.shape[0], FUNCTIONS["permute"]
        parts = [self._sample(x)]
        # covariates are pooled along time, then flattened time-major
        parts += [permute(self._sample(permute(c, 0, 2, 1)), 0, 2, 1).reshape(b, -1) for c in (hist, futr) if c is not None]
        if stat is not None:
            parts.append(stat)
        z = parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=1)
        for layer in self.layers:
            z = self.dropout(layer(z))
        theta = self.theta(z)  # [B, back + knots * outputs]
        backcast = theta[:, :self.back]
        knots = theta[:, self.back:].reshape(b, self.n_out, self.knots)
        if not self.compat:
            backcast = FUNCTIONS["interpolate"](backcast, self.input_size, self.mode)
        return backcast, FUNCTIONS["interpolate"](knots, self.h, self.mode).permute(0, 2, 1)

    def _sample(self, x: Any) -> Any:
        """The last axis at the block's rate; a last window that is not full counts."""
        return x if self.kernel == 1 else FUNCTIONS[self.pool](x, self.kernel, self.kernel, ceil_mode=True)


class NHITS(ResidualStacks):
    """NHITS.

    stack_types             one "identity" for each stack
    n_blocks                blocks in each stack
    mlp_units               [in, out] of each hidden layer after the first, for each stack
    n_pool_kernel_size      pooling of the input, for each stack
    n_freq_downsample       steps between the knots of the forecast, for each stack
    pooling_mode            "MaxPool1d" or "AvgPool1d"
    interpolation_mode      "nearest", "linear" or "cubic"
    dropout_prob_theta      dropout after each hidden layer
    activation              "ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "Sigmoid", ...

    >>> import numpy as np
    >>> m = NHITS(h=24, input_size=96, mlp_units=[[32, 32]] * 3)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    LONG_HORIZON = True
    PAPER = "Challu et al. 2023, N-HiTS: Neural Hierarchical Interpolation for Time Series Forecasting"
    DIFFERENCES = ("paper interpolates backcast and forecast, activates every hidden layer and starts from zero, as "
                   "equations 1 to 4; compat gives blocks the window backwards, interpolates the forecast only, leaves the "
                   "first hidden layer without activation and starts from the last value")
    DEFAULTS = {"num_lr_decays": 3}

    def __init__(self, h: int, input_size: int = -1, stack_types: Sequence[str] = ("identity",) * 3,
                 n_blocks: Sequence[int] = (1, 1, 1), mlp_units: Sequence[Sequence[int]] = ((512, 512),) * 3,
                 n_pool_kernel_size: Sequence[int] = (2, 2, 1), n_freq_downsample: Sequence[int] = (4, 2, 1),
                 pooling_mode: str = "MaxPool1d", interpolation_mode: str = "linear", dropout_prob_theta: float = 0.0,
                 activation: str = "ReLU", **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        name = type(self).__name__
        check_stacks(name, stack_types, ("identity",), n_blocks=n_blocks, n_pool_kernel_size=n_pool_kernel_size,
                     n_freq_downsample=n_freq_downsample)
        check_units(name, mlp_units)
        if pooling_mode not in POOLING:
            raise ConfigError(f"{name}: unknown pooling_mode {pooling_mode!r}", value=pooling_mode,
                              hint=closest(pooling_mode, POOLING))
        if interpolation_mode not in INTERPOLATION:
            raise ConfigError(f"{name}: unknown interpolation_mode {interpolation_mode!r}", value=interpolation_mode,
                              hint=closest(interpolation_mode, INTERPOLATION))
        self.pool, self.mode, self.dropout_prob_theta = POOLING[pooling_mode], interpolation_mode, dropout_prob_theta
        act = activation_op(activation)
        self.make_blocks(stack_types, n_blocks,
                         lambda k: NHITSBlock(self, n_pool_kernel_size[k], n_freq_downsample[k], mlp_units, act))
