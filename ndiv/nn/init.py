"""Initial weights, drawn from ndiv's own counter."""

from __future__ import annotations

import math

import numpy as np

from .. import random

__all__ = ["fan_in_uniform", "normal", "uniform"]


def uniform(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """float32 values uniform in [low, high)."""
    return random.generator().uniform(low, high, shape).astype(np.float32)


def normal(shape: tuple[int, ...], std: float = 1.0) -> np.ndarray:
    """float32 values, normal with mean 0."""
    return (random.generator().standard_normal(shape) * std).astype(np.float32)


def fan_in_uniform(shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """Uniform within 1 / sqrt(fan_in) of 0: PyTorch's default for linear and convolution layers (He et al. 2015)."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
    return uniform(shape, -bound, bound)
