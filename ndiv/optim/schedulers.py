"""The schedules, each a pure function of the step (see `schedule`), and the table of their names.

Formulas, names and defaults are PyTorch's; where PyTorch multiplies step by step the closed form stands here, so that
step 10,000 costs what step 1 costs and needs no history.
"""

from __future__ import annotations

import inspect
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigError, closest
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .schedule import Schedule, fraction, whole

__all__ = ["SCHEDULERS", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "MultiStepLR", "StepLR",
           "WarmupCosine", "WarmupLinear", "scheduler"]


class StepLR(Schedule):
    """The base rate times gamma for every ``step_size`` steps done.

    >>> StepLR(step_size=10, gamma=0.5)(base_lr=0.1, step=25)
    0.025
    """

    def __init__(self, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = whole("StepLR", "step_size", step_size), fraction("StepLR", "gamma", gamma)

    def __call__(self, base_lr: float, step: float) -> float:
        return base_lr * self.gamma ** (step // self.step_size)


class MultiStepLR(Schedule):
    """The base rate times gamma for every milestone reached.

    >>> [round(MultiStepLR([3, 5])(1.0, step), 9) for step in range(7)]
    [1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    """

    def __init__(self, milestones: Sequence[int], gamma: float = 0.1) -> None:
        if isinstance(milestones, str) or not isinstance(milestones, Sequence):
            raise ConfigError(f"MultiStepLR: milestones must be a list of steps, not {milestones!r}", value=milestones,
                              hint="[30, 80]")
        self.milestones = sorted(whole("MultiStepLR", "each of milestones", m, 0) for m in milestones)
        self.gamma = fraction("MultiStepLR", "gamma", gamma)

    def __call__(self, base_lr: float, step: float) -> float:
        return base_lr * self.gamma ** bisect_right(self.milestones, step)


class ExponentialLR(Schedule):
    """The base rate times gamma to the power of the step.

    >>> ExponentialLR(gamma=0.5)(1.0, 3)
    0.125
    """

    def __init__(self, gamma: float) -> None:
        self.gamma = fraction("ExponentialLR", "gamma", gamma)

    def __call__(self, base_lr: float, step: float) -> float:
        return base_lr * self.gamma**step


def _cosine(high: float, low: float, share: float) -> float:
    """Half a cosine wave from high (share 0) to low (share 1)."""
    return low + (high - low) * (1.0 + math.cos(math.pi * share)) / 2.0


class CosineAnnealingLR(Schedule):
    """Half a cosine wave from the base rate to ``eta_min`` in ``T_max`` steps, and back up in the next ``T_max``.

    Loshchilov & Hutter 2017, equation 5, without the restarts.

    >>> [round(CosineAnnealingLR(T_max=2)(1.0, step), 9) for step in range(5)]
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """

    def __init__(self, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = whole("CosineAnnealingLR", "T_max", T_max), fraction("CosineAnnealingLR", "eta_min", eta_min)

    def __call__(self, base_lr: float, step: float) -> float:
        return _cosine(base_lr, self.eta_min, step / self.T_max)


class CosineAnnealingWarmRestarts(Schedule):
    """Half a cosine wave from the base rate to ``eta_min`` in ``T_0`` steps, and again, each ``T_mult`` times as long.

    Loshchilov & Hutter 2017, equation 5. The step may be a fraction, as in ``schedule.step(epoch + batch / batches)``.

    >>> [round(CosineAnnealingWarmRestarts(T_0=2, T_mult=2)(1.0, step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(self, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        owner = "CosineAnnealingWarmRestarts"
        self.T_0, self.T_mult = whole(owner, "T_0", T_0), whole(owner, "T_mult", T_mult)
        self.eta_min = fraction(owner, "eta_min", eta_min)

    def __call__(self, base_lr: float, step: float) -> float:
        length = self.T_0
        if self.T_mult == 1:
            step %= length
        while step >= length:
            step -= length
            length *= self.T_mult
        return _cosine(base_lr, self.eta_min, step / length)


class WarmupLinear(Schedule):
    """From 0 up to the base rate in ``warmup_steps`` steps, then straight down to ``eta_min`` at ``total_steps``.

    The very first step has the rate 0; after ``total_steps`` the rate stays at ``eta_min``.

    >>> [WarmupLinear(warmup_steps=2, total_steps=6)(1.0, step) for step in range(8)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    def __init__(self, warmup_steps: int, total_steps: int, eta_min: float = 0.0) -> None:
        owner = type(self).__name__
        self.warmup_steps = whole(owner, "warmup_steps", warmup_steps, 0)
        self.total_steps = whole(owner, "total_steps", total_steps)
        if self.total_steps <= self.warmup_steps:
            raise ConfigError(f"{owner}: total_steps={total_steps} leaves nothing after warmup_steps={warmup_steps}",
                              value=total_steps, hint="total_steps counts the warm-up too")
        self.eta_min = fraction(owner, "eta_min", eta_min)

    def __call__(self, base_lr: float, step: float) -> float:
        if step < self.warmup_steps:
            return base_lr * (step / self.warmup_steps)
        share = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.decay(base_lr, min(share, 1.0))

    def decay(self, base_lr: float, share: float) -> float:
        """The rate when this share of the steps after the warm-up is done."""
        return self.eta_min + (base_lr - self.eta_min) * (1.0 - share)


class WarmupCosine(WarmupLinear):
    """`WarmupLinear` with half a cosine wave down to ``eta_min``; ``cycles`` is the number of waves (0.5: once down).

    >>> [round(WarmupCosine(warmup_steps=2, total_steps=6)(1.0, step), 3) for step in range(8)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    def __init__(self, warmup_steps: int, total_steps: int, eta_min: float = 0.0, cycles: float = 0.5) -> None:
        super().__init__(warmup_steps, total_steps, eta_min)
        self.cycles = fraction("WarmupCosine", "cycles", cycles)

    def decay(self, base_lr: float, share: float) -> float:
        return _cosine(base_lr, self.eta_min, 2.0 * self.cycles * share)


SCHEDULERS: dict[str, type[Schedule]] = {cls.__name__: cls for cls in (
    StepLR, MultiStepLR, ExponentialLR, CosineAnnealingLR, CosineAnnealingWarmRestarts, WarmupLinear, WarmupCosine, OneCycleLR,
    ReduceLROnPlateau)}


def _key(name: str) -> str:
    return name.lower().replace("lr", "")


def scheduler(kind: Any, defaults: dict[str, Any] | None = None, **kwargs: Any) -> Callable[[float, int], float]:
    """A schedule by name (of `SCHEDULERS`, in any case, with or without "LR") or class; any other callable as it is.

    defaults: values for the arguments of these names, where the schedule has them and kwargs does not give them.

    Raises `ConfigError` (E0010) for unknown names and for values that the schedule refuses.

    >>> scheduler("CosineAnnealing", T_max=10)(0.1, 10)
    0.0
    """
    if isinstance(kind, str):
        names = {_key(name): name for name in SCHEDULERS}
        if _key(kind) not in names:
            raise ConfigError(f"unknown lr_scheduler {kind!r}", value=kind, hint=closest(kind, SCHEDULERS))
        kind = SCHEDULERS[names[_key(kind)]]
    if isinstance(kind, type):
        takes = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
        return kind(**{k: v for k, v in (defaults or {}).items() if k in takes} | kwargs)
    if not callable(kind):
        raise ConfigError(f"lr_scheduler must be a name, a class or a function, not {kind!r}", value=kind,
                          hint=closest(kind, SCHEDULERS))
    if kwargs:
        raise ConfigError("lr_scheduler is a function already, and takes no further arguments", value=sorted(kwargs),
                          hint="give the class or its name, or bind the arguments with functools.partial")
    return kind
