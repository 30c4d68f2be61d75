"""Learning-rate schedules: pure functions of the step, so that resuming needs no state of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigError, closest

__all__ = ["SCHEDULERS", "StepLR", "scheduler"]


class StepLR:
    """The base rate times gamma for every ``step_size`` steps done.

    >>> StepLR(step_size=10, gamma=0.5)(base_lr=0.1, step=25)
    0.025
    """

    def __init__(self, step_size: int, gamma: float = 0.5) -> None:
        if step_size < 1:
            raise ConfigError(f"StepLR: step_size must be at least 1, not {step_size!r}", value=step_size, hint="count steps")
        self.step_size, self.gamma = step_size, gamma

    def __call__(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma ** (step // self.step_size)


SCHEDULERS: dict[str, Callable[..., Any]] = {"StepLR": StepLR}


def scheduler(kind: Any, **kwargs: Any) -> Callable[[float, int], float]:
    """A schedule by name, or any callable (base_lr, step) -> lr as it is."""
    if callable(kind) and not isinstance(kind, type):
        return kind
    if isinstance(kind, type):
        return kind(**kwargs)
    if kind not in SCHEDULERS:
        raise ConfigError(f"unknown lr_scheduler {kind!r}", value=kind, hint=closest(kind, SCHEDULERS))
    return SCHEDULERS[kind](**kwargs)
