"""Initial weights: makers of arrays, and PyTorch's functions that fill a Parameter in place.

Contract: all numbers come from `ndiv.random.generator` (one stream a call), are drawn in double and then rounded to the
type asked for. ``xavier_uniform(shape)`` makes an array, ``xavier_uniform_(parameter)`` fills one and returns it; the
fan of a weight [out, in, *kernel] is the number of inputs (or outputs) times the size of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tensor
from ..errors import ConfigError, closest

__all__ = ["calculate_gain", "constant", "constant_", "fan_in_uniform", "kaiming_normal", "kaiming_normal_",
           "kaiming_uniform", "kaiming_uniform_", "normal", "normal_", "ones", "ones_", "orthogonal",
           "orthogonal_", "trunc_normal", "trunc_normal_", "uniform", "uniform_", "xavier_normal",
           "xavier_normal_", "xavier_uniform", "xavier_uniform_", "zeros", "zeros_"]

Shape = Sequence[int]

# gains that keep the variance of a signal through a layer followed by that nonlinearity, as PyTorch has them
_GAINS = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0),
          "leaky_relu": math.sqrt(2.0), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation for a layer followed by ``nonlinearity``; ``param`` is leaky_relu's slope.

    Raises `ConfigError` (E0010) for a name that is not known.

    >>> round(calculate_gain("leaky_relu", 0.0) ** 2, 12), round(calculate_gain("tanh"), 4)
    (2.0, 1.6667)
    """
    if nonlinearity not in _GAINS:
        raise ConfigError(f"unknown nonlinearity {nonlinearity!r}", value=nonlinearity, hint=closest(nonlinearity, _GAINS))
    if nonlinearity != "leaky_relu":
        return _GAINS[nonlinearity]
    slope = 0.01 if param is None else float(param)
    return math.sqrt(2.0 / (1.0 + slope * slope))


def _fans(shape: Shape) -> tuple[int, int]:
    """(fan in, fan out) of a weight [out, in, *kernel]."""
    if len(shape) < 2:
        raise ConfigError(f"a shape of {list(shape)} has no fan in and fan out", value=tuple(shape),
                          hint="a weight has two axes or more; use uniform, normal or zeros for a bias")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _xavier_std(shape: Shape, gain: float) -> float:
    total = sum(_fans(shape))
    return gain * math.sqrt(2.0 / total) if total else 0.0


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    modes = ("fan_in", "fan_out")
    if mode not in modes:
        raise ConfigError(f"unknown mode {mode!r}", value=mode, hint=closest(mode, modes))
    fan = _fans(shape)[modes.index(mode)]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


# makers of arrays ---------------------------------------------------------------------------------------------------

def uniform(shape: Shape, low: float = 0.0, high: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Values uniform between low and high."""
    return random.generator().uniform(low, high, tuple(shape)).astype(dtype)


def normal(shape: Shape, std: float = 1.0, mean: float = 0.0, dtype: Any = np.float32) -> np.ndarray:
    """Normal values."""
    return np.asarray(random.generator().standard_normal(tuple(shape)) * std + mean).astype(dtype)


def constant(shape: Shape, value: float, dtype: Any = np.float32) -> np.ndarray:
    """One value everywhere."""
    return np.full(tuple(shape), value, dtype)


def zeros(shape: Shape, dtype: Any = np.float32) -> np.ndarray:
    """Zeros."""
    return constant(shape, 0.0, dtype)


def ones(shape: Shape, dtype: Any = np.float32) -> np.ndarray:
    """Ones."""
    return constant(shape, 1.0, dtype)


def fan_in_uniform(shape: Shape, fan_in: int, dtype: Any = np.float32) -> np.ndarray:
    """Uniform within 1 / sqrt(fan_in) of 0: PyTorch's default for linear and convolution layers (He et al. 2015)."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
    return uniform(shape, -bound, bound, dtype)


def xavier_uniform(shape: Shape, gain: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Uniform, with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16).

    >>> bool(abs(xavier_uniform((30, 20))).max() <= (6 / 50) ** 0.5)
    True
    """
    bound = math.sqrt(3.0) * _xavier_std(shape, gain)
    return uniform(shape, -bound, bound, dtype)


def xavier_normal(shape: Shape, gain: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Normal, with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal(shape, _xavier_std(shape, gain), dtype=dtype)


def kaiming_uniform(shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    dtype: Any = np.float32) -> np.ndarray:
    """Uniform, with standard deviation gain / sqrt(fan) (He et al. 2015, equations 10 and 14).

    a             slope of leaky_relu for negative values
    mode          "fan_in" keeps the variance forward, "fan_out" backward
    nonlinearity  what follows the layer; see `calculate_gain`
    """
    bound = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, -bound, bound, dtype)


def kaiming_normal(shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                   dtype: Any = np.float32) -> np.ndarray:
    """Normal, with the standard deviation of `kaiming_uniform`."""
    return normal(shape, _kaiming_std(shape, a, mode, nonlinearity), dtype=dtype)


def orthogonal(shape: Shape, gain: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """gain times a random matrix [first axis, the rest] with orthonormal rows or columns, whichever are fewer.

    Uniform over such matrices: the Q of a normal matrix, with the signs of R's diagonal (Saxe et al. 2014; Mezzadri 2007).

    >>> w = orthogonal((3, 5), dtype="float64")
    >>> (w @ w.T).round(6) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    if 0 in _fans(shape):
        return zeros(shape, dtype)
    rows, cols = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(random.generator().standard_normal((max(rows, cols), min(rows, cols))))
    q = q * np.copysign(1.0, np.diagonal(r))
    return np.asarray(gain * (q if rows >= cols else q.T)).reshape(tuple(shape)).astype(dtype)


def trunc_normal(shape: Shape, std: float = 1.0, mean: float = 0.0, a: float = -2.0, b: float = 2.0,
                 dtype: Any = np.float32) -> np.ndarray:
    """Normal values given that they lie in [a, b], however far out that is (in the units of the values, not of std).

    >>> values = trunc_normal((1000,), std=0.5, a=-0.5, b=1.0)
    >>> bool(values.min() >= -0.5 and values.max() <= 1.0)
    True
    """
    if not (std > 0.0 and a < b):
        raise ConfigError(f"trunc_normal needs std > 0 and a < b, not std={std!r}, a={a!r}, b={b!r}", value=(std, a, b),
                          hint="a=-2 std, b=2 std are common")
    low, high = (a - mean) / std, (b - mean) / std
    flip = high < 0.0  # the left tail is the right one, mirrored
    if flip:
        low, high = -high, -low
    draw = random.generator()
    values = np.empty(math.prod(shape))
    todo = np.arange(values.size)
    while todo.size:
        x, keep = _propose(draw, low, high, todo.size)
        values[todo[keep]] = x[keep]
        todo = todo[~keep]
    values = mean + std * (-values if flip else values)
    return np.clip(values, a, b).reshape(tuple(shape)).astype(dtype)  # clip: rounding only


def _propose(draw: np.random.Generator, low: float, high: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n proposals, and which of them to keep so that those are normal in [low, high], high >= 0 (Robert 1995).

    A tail is proposed from an exponential, a wide interval around 0 from the normal itself, a narrow one from the uniform.
    """
    if low > 0.0:
        rate = (low + math.sqrt(low * low + 4.0)) / 2.0
        x = low - np.log1p(draw.uniform(size=n) * math.expm1(-rate * (high - low))) / rate
        return x, draw.uniform(size=n) <= np.exp(-0.5 * (x - rate) ** 2)
    if high - low > math.sqrt(2.0 * math.pi):
        x = draw.standard_normal(n)
        return x, (x >= low) & (x <= high)
    x = draw.uniform(low, high, n)
    return x, draw.uniform(size=n) <= np.exp(-0.5 * x * x)


# in place -----------------------------------------------------------------------------------------------------------

def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Fill with values uniform between a and b; returns the tensor, as all of these do."""
    return tensor.copy_(uniform(tensor.shape, a, b, tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill with normal values.

    >>> import ndiv
    >>> ndiv.nn.init.normal_(ndiv.nn.Linear(3, 2).weight, std=0.02).shape
    (2, 3)
    """
    return tensor.copy_(normal(tensor.shape, std, mean, tensor.dtype))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    return tensor.copy_(constant(tensor.shape, val, tensor.dtype))


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill as `xavier_uniform`."""
    return tensor.copy_(xavier_uniform(tensor.shape, gain, tensor.dtype))


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill as `xavier_normal`."""
    return tensor.copy_(xavier_normal(tensor.shape, gain, tensor.dtype))


def kaiming_uniform_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Fill as `kaiming_uniform`."""
    return tensor.copy_(kaiming_uniform(tensor.shape, a, mode, nonlinearity, tensor.dtype))


def kaiming_normal_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Fill as `kaiming_normal`."""
    return tensor.copy_(kaiming_normal(tensor.shape, a, mode, nonlinearity, tensor.dtype))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill as `orthogonal`."""
    return tensor.copy_(orthogonal(tensor.shape, gain, tensor.dtype))


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Fill as `trunc_normal`."""
    return tensor.copy_(trunc_normal(tensor.shape, std, mean, a, b, tensor.dtype))
