"""Learning-rate range test (Smith 2017, section 3.3): raise the rate step by step and watch the loss.

Contract: the model's weights and optimizer are put back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .. import random

__all__ = ["RateSweep", "find_lr"]


@dataclass
class RateSweep:
    """rates and smoothed losses of the sweep; ``suggestion`` is the rate at which the loss fell fastest."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_lr(model: Any, loader: Any, low: float = 1e-6, high: float = 1.0, steps: int = 100, smooth: float = 0.9,
            seed: int = 1) -> RateSweep:
    """Train with the rate growing from low to high until the loss is four times its least; suggest a rate.

    >>> import ndiv, numpy as np
    >>> from ndiv.data import SeriesStore, WindowLoader
    >>> loader = WindowLoader(SeriesStore.from_arrays_list([np.sin(np.arange(80.0))]), input_size=8, h=2)
    >>> 1e-6 < ndiv.training.find_lr(ndiv.models.NLinear(h=2, input_size=8), loader).suggestion < 1
    True
    """
    weights, before = model.state_dict(), model._optimizer
    model._optimizer = None
    rates: list[float] = []
    losses: list[float] = []
    average, best = 0.0, math.inf
    try:
        for i in range(steps):
            rate = low * (high / low) ** (i / max(steps - 1, 1))
            model.optimizer.lr = rate
            with random.fork(seed, i << 20):
                loss = model.train_step(loader.batch(i))
            if not math.isfinite(loss):
                break
            average = smooth * average + (1 - smooth) * loss
            value = average / (1 - smooth ** (i + 1))
            if value > 4 * best:
                break
            best = min(best, value)
            rates.append(rate)
            losses.append(value)
    finally:
        model.load_state_dict(weights)
        model._optimizer = before
    slopes = [b - a for a, b in pairwise(losses)]
    at = min(range(len(slopes)), key=slopes.__getitem__) if slopes else 0
    return RateSweep(rates, losses, rates[at] if rates else low)
