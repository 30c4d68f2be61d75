"""What the models of residual blocks share: doubly residual stacking, fixed bases, hidden layers, checks of arguments.

Doubly residual stacking (Oreshkin, Carpov, Chapados, Bengio, "N-BEATS: Neural basis expansion analysis for interpretable
time series forecasting", ICLR 2020, section 3.2): block l sees what the blocks before it left unexplained,
    x_(l+1) = x_l - backcast_l;   forecast = sum of forecast_l
A model sets ``blocks`` and ``stack_names`` (`ResidualStacks.make_blocks`) and inherits forward, `blockwise`, `decompose`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError, closest
from ...nn import ACTIVATION_NAMES, Dropout, Linear, Module, ModuleList, PReLU
from ...nn import activation as activation_op
from ..base import Batch
from ..parts import SumModel

__all__ = ["BASES", "BasisBlock", "IdentityBasis", "ResidualStacks", "TableBasis", "block_activation", "check_basis",
           "check_dropout", "check_stacks", "check_units", "fourier", "trend"]


# -- bases: rows are functions of time, [functions, length], float64 ---------------------------------------------------------

def _polynomial(length: int, n: int, compat: bool) -> np.ndarray:
    return (np.arange(length) / length) ** np.arange(n)[:, None]


def _legendre(length: int, n: int, compat: bool) -> np.ndarray:
    return np.polynomial.legendre.legvander(np.linspace(-1, 1, length), n - 1).T


def _chebyshev(length: int, n: int, compat: bool) -> np.ndarray:
    return np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, length), n - 1).T


def _changepoint(length: int, n: int, compat: bool) -> np.ndarray:
    """A constant, and ramps from evenly spaced changes of slope, the first at the beginning."""
    t = np.linspace(0, 1, length)
    if compat:  # no constant, and the last ramp begins where the window ends: it is 0
        return np.maximum(t - np.linspace(0, 1, n + 1)[1:, None], 0)
    return np.vstack([np.ones(length), np.maximum(t - np.linspace(0, 1, n)[:-1, None], 0)])


def _piecewise_linear(length: int, n: int, compat: bool) -> np.ndarray:
    """Triangles on the first n of n + 1 even knots."""
    out = np.maximum(1 - np.abs(np.linspace(0, 1, length) - np.arange(n)[:, None] / n) * n, 0)
    if compat:
        out[0] = 0
    return out


def _linear_hat(length: int, n: int, compat: bool) -> np.ndarray:
    """Triangles on n even knots."""
    return np.maximum(1 - np.abs(np.linspace(0, 1, length) - np.linspace(0, 1, n)[:, None]) * (n - 1), 0)


def _spline(length: int, n: int, compat: bool) -> np.ndarray:
    """Cubic B-splines on even knots, by the recursion of de Boor (A Practical Guide to Splines, 1978, chapter X)."""
    x = np.linspace(0, 1, length)
    knots = np.concatenate([np.zeros(3), np.linspace(0, 1, n - 2), np.ones(3)])[:, None]
    out = ((knots[:-1] <= x) & (x < knots[1:])).astype(float)
    out[n - 1, x >= 1] = 1  # the last interval has its end too
    for d in (1, 2, 3):
        first, second = knots[d:-1] - knots[:-d - 1], knots[d + 1:] - knots[1:-d]  # 0 where knots coincide
        rising = np.where(first > 0, (x - knots[:-d - 1]) / np.where(first > 0, first, 1), 0)
        falling = np.where(second > 0, (knots[d + 1:] - x) / np.where(second > 0, second, 1), 0)
        out = rising * out[:-1] + falling * out[1:]
    return out


# name: (function of length, number of functions, compat; the fewest n_basis, of which n_basis + 1 functions follow)
BASES: dict[str, tuple[Callable[[int, int, bool], np.ndarray], int]] = {
    "polynomial": (_polynomial, 0), "legendre": (_legendre, 0), "chebyshev": (_chebyshev, 0), "changepoint": (_changepoint, 1),
    "piecewise_linear": (_piecewise_linear, 1), "linear_hat": (_linear_hat, 1), "spline": (_spline, 3),
}


def trend(name: str, length: int, n_basis: int, compat: bool = False) -> np.ndarray:
    """n_basis + 1 functions of a slowly changing trend, [n_basis + 1, length] float64.

    ``compat`` gives neuralforecast's tables, in which changepoint and piecewise_linear have one function that is 0 and
    changepoint has no constant. Source: Oreshkin et al. 2020, equation 2, for "polynomial".

    >>> trend("polynomial", 4, 2)
    array([[1.    , 1.    , 1.    , 1.    ],
           [0.    , 0.25  , 0.5   , 0.75  ],
           [0.    , 0.0625, 0.25  , 0.5625]])
    """
    return BASES[name][0](length, n_basis + 1, compat)


def fourier(steps: Any, h: int, n_harmonics: int, zero_sine: bool = False) -> np.ndarray:
    """Waves that go round a whole number of 1 / n_harmonics times in h steps, [functions, len(steps)] float64.

    Rows: 1, then cosines, then sines, of k / n_harmonics rounds for k = n_harmonics, n_harmonics + 1, ... below h / 2 rounds
    (half a round a step). ``zero_sine`` puts the sine of nothing, a row of zeros, before the sines, as neuralforecast has it.
    Source: Oreshkin et al. 2020, equation 3, which is n_harmonics = 1; for an odd h it ends one frequency earlier.

    >>> fourier(np.arange(4), 4, 1).round(6) + 0.0
    array([[ 1.,  1.,  1.,  1.],
           [ 1.,  0., -1.,  0.],
           [ 0.,  1.,  0., -1.]])
    """
    rounds = np.arange(n_harmonics, n_harmonics / 2 * h) / n_harmonics
    angle = 2 * np.pi * rounds[:, None] * np.asarray(steps, float) / h
    one = np.ones((1, angle.shape[1]))
    return np.concatenate([one, np.cos(angle), *([0 * one] if zero_sine else []), np.sin(angle)])


# -- from coefficients to backcast and forecast --------------------------------------------------------------------------------

class IdentityBasis:
    """The coefficients are the backcast and the forecast: theta [B, L + h * outputs] -> [B, L], [B, h, outputs]."""

    def __init__(self, input_size: int, h: int, n_out: int) -> None:
        self.input_size, self.h, self.n_out = input_size, h, n_out
        self.n_theta = input_size + h * n_out

    def __call__(self, theta: Any, *covariates: Any) -> tuple[Any, Any]:
        return theta[:, :self.input_size], theta[:, self.input_size:].reshape(-1, self.h, self.n_out)


class TableBasis:
    """Weighted sums of fixed functions, back [p, L] and ahead [p, h]: theta [B, p + p * outputs] -> [B, L], [B, h, outputs]."""

    def __init__(self, back: np.ndarray, ahead: np.ndarray, n_out: int) -> None:
        self.back, self.ahead, self.n_out = back, ahead, n_out
        self.n_theta = len(back) * (1 + n_out)

    def __call__(self, theta: Any, *covariates: Any) -> tuple[Any, Any]:
        (p, h), b, matmul = self.ahead.shape, theta.shape[0], FUNCTIONS["matmul"]
        backcast = matmul(theta[:, :p], self.back.astype(theta.dtype))
        weights = theta[:, p:].reshape(b, p, self.n_out).permute(0, 2, 1).reshape(-1, p)  # [B * outputs, p]
        forecast = matmul(weights, self.ahead.astype(theta.dtype))
        return backcast, forecast.reshape(b, self.n_out, h).permute(0, 2, 1)


# -- blocks and stacks ---------------------------------------------------------------------------------------------------------

class BasisBlock(Module):
    """One block: residual [B, L] and covariates -> hidden layers -> theta -> backcast [B, L], forecast [B, h, outputs].

    ``size`` is the width of the flattened input. With ``bare_first`` the first hidden layer has neither activation nor dropout.
    """

    def __init__(self, size: int, units: Sequence[Sequence[int]], activation: str, dropout: float, basis: Any,
                 bare_first: bool = False) -> None:
        super().__init__()
        self.basis, self.bare_first = basis, bare_first
        self.prelu = PReLU() if activation == "prelu" else None  # one slope for the whole block
        act = "identity" if activation == "prelu" else activation
        layers = [Linear(size, units[0][0], activation="identity" if bare_first else act)]
        layers += [Linear(a, b, activation=act) for a, b in units]
        self.layers = ModuleList(layers)
        self.dropout = Dropout(dropout)
        self.theta = Linear(units[-1][1], basis.n_theta)

    def forward(self, x: Any, hist: Any = None, futr: Any = None, stat: Any = None) -> tuple[Any, Any]:
        parts = [x, *(c.reshape(x.shape[0], -1) for c in (hist, futr) if c is not None), *([] if stat is None else [stat])]
        z = x if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=1)
        for k, layer in enumerate(self.layers):
            z = layer(z)
            if k or not self.bare_first:
                z = self.dropout(z if self.prelu is None else self.prelu(z))
        backcast, forecast = self.basis(self.theta(z), hist, futr, stat)
        return backcast, forecast


class ResidualStacks(SumModel):
    """Base of the models made of stacks of residual blocks; ``blocks`` in order, ``stack_names`` the stack of each."""

    blocks: ModuleList
    stack_names: list[str]

    def make_blocks(self, stack_types: Sequence[str], n_blocks: Sequence[int], make: Callable[[int], Module],
                    shared: bool = False) -> None:
        """Set ``blocks``: make(stack) for each block, or for each stack where its blocks share their weights."""
        blocks: list[Module] = []
        self.stack_names = []
        for k, (kind, count) in enumerate(zip(stack_types, n_blocks, strict=True)):
            own = [make(k)] * count if shared else [make(k) for _ in range(count)]
            name = kind if list(stack_types).count(kind) == 1 else f"{kind} {k + 1}"
            blocks, self.stack_names = blocks + own, self.stack_names + [name] * count
        self.blocks = ModuleList(blocks)

    def blockwise(self, batch: Batch) -> list[Any]:
        """Forecast of each block, [B, h, outputs], with the level first where there is one; they add up to `forward`."""
        y, mask, *covariates = self.inputs(batch)
        x = y.reshape(-1, self.input_size)
        on = None if mask is None else mask.reshape(-1, self.input_size)
        parts: list[Any] = []
        if self.variant == "compat":
            parts.append(self.leveled(y[:, -1:]))
            x, on = x[:, ::-1], None if on is None else on[:, ::-1]
        elif on is not None:
            x = x * on
        for block in self.blocks:
            backcast, forecast = block(x, *covariates)
            x = x - backcast
            if on is not None:
                x = x * on
            parts.append(forecast)
        return parts

    def part_names(self, batch: Batch) -> list[str]:
        """Of each part of `blockwise` after the level, the name that `decompose` gives it: its stack's."""
        return self.stack_names

    def forward(self, batch: Batch) -> Any:
        total, *rest = self.blockwise(batch)
        for part in rest:
            total = total + part
        return total


# -- checks of arguments: ConfigError (E0010) --------------------------------------------------------------------------------

def check_stacks(model: str, stack_types: Any, kinds: Sequence[str], **per_stack: Any) -> None:
    """Stack types that exist, and for each other argument one positive whole number a stack."""
    if not isinstance(stack_types, (list, tuple)) or not stack_types:
        raise ConfigError(f"{model}: stack_types must be a list of names, not {stack_types!r}", value=stack_types,
                          hint=f"for example stack_types={[kinds[0]]}")
    for name in stack_types:
        if name not in kinds:
            raise ConfigError(f"{model}: unknown stack type {name!r}", value=name, hint=closest(str(name), kinds))
    for name, given in per_stack.items():
        if not isinstance(given, (list, tuple)):
            raise ConfigError(f"{model}: {name} must be a list, not {given!r}", value=given,
                              hint=f"give one number for each stack: {[1] * len(stack_types)}")
        if len(given) != len(stack_types):
            raise ConfigError(f"{model}: {name} has {len(given)} entries and stack_types {len(stack_types)}", value=list(given),
                              hint="give one for each stack")
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in given):
            raise ConfigError(f"{model}: {name} must hold positive whole numbers, not {list(given)}", value=list(given),
                              hint="give numbers >= 1")


def check_units(model: str, units: Any) -> None:
    """Pairs of positive widths, each beginning with what the pair before ends with."""
    if not units or not all(isinstance(u, (list, tuple)) and len(u) == 2 and all(isinstance(w, int) and w >= 1 for w in u)
                            for u in units):
        raise ConfigError(f"{model}: mlp_units must be pairs of positive widths, not {units!r}", value=units,
                          hint="for example [[512, 512], [512, 512]]")
    for before, after in pairwise(units):
        if before[1] != after[0]:
            raise ConfigError(f"{model}: mlp_units do not chain: {list(before)} is followed by {list(after)}", value=units,
                              hint="each pair must begin with the width that the pair before ends with")


def check_dropout(model: str, p: Any) -> None:
    """A probability below 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0.0 <= p < 1.0:
        raise ConfigError(f"{model}: dropout_prob_theta must be in [0, 1), not {p!r}", value=p, hint="0.1 is common")


def check_basis(model: str, basis: Any, n_basis: Any) -> None:
    """A name of `BASES`, and as many functions as it needs."""
    if basis not in BASES:
        raise ConfigError(f"{model}: unknown basis {basis!r}", value=basis, hint=closest(str(basis), BASES))
    low = BASES[basis][1]
    if isinstance(n_basis, bool) or not isinstance(n_basis, int) or n_basis < low:
        raise ConfigError(f"{model}: n_basis must be a whole number of at least {low} for basis={basis!r}, not {n_basis!r}",
                          value=n_basis, hint=f"give n_basis >= {low}" + (", or basis='polynomial'" if low else ""))


def block_activation(model: str, name: Any) -> str:
    """The op behind an activation's class name, "prelu" for PReLU."""
    if str(name).lower() == "prelu":
        return "prelu"
    try:
        return activation_op(name)
    except ConfigError:
        raise ConfigError(f"{model}: unknown activation {name!r}", value=name,
                          hint=closest(str(name), [*ACTIVATION_NAMES, "PReLU"])) from None
