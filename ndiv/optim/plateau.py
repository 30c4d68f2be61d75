"""The schedule that watches a metric: the one that needs a state besides the step.

Contract: the state is what `observe` has seen, five numbers, saved and restored by ``state_dict``; given them, the rate
is again a pure function of the base rate.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigError, closest
from .schedule import Schedule, fraction, whole

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Schedule):
    """The rate times ``factor`` whenever the metric has not got better for more than ``patience`` checks.

    mode            "min": smaller is better; "max": larger is
    threshold       how much better counts: a share of the best ("rel") or a difference ("abs"), by ``threshold_mode``
    cooldown        checks after a reduction that are not held against it
    min_lr          no rate below this
    eps             reductions of less than this are not made

    Driving an optimizer, ``step(metric)`` after each check is PyTorch's scheduler. As a function of the step, call
    ``observe(metric)`` after each check; between checks the rate is constant.

    >>> plateau = ReduceLROnPlateau(factor=0.5, patience=1)
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     plateau.observe(loss)
    >>> plateau(base_lr=0.1, step=4)
    0.05
    """

    STATE = ("best", "num_bad_epochs", "cooldown_counter", "reductions")

    def __init__(self, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: float = 0.0, eps: float = 1e-8) -> None:
        owner = "ReduceLROnPlateau"
        for name, value, valid in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
            if value not in valid:
                raise ConfigError(f"{owner}: unknown {name} {value!r}", value=value, hint=closest(value, valid))
        if not fraction(owner, "factor", factor) < 1.0:
            raise ConfigError(f"{owner}: factor must be below 1, not {factor!r}", value=factor, hint="0.1 is common")
        self.mode, self.threshold_mode, self.factor = mode, threshold_mode, float(factor)
        self.patience, self.cooldown = whole(owner, "patience", patience, 0), whole(owner, "cooldown", cooldown, 0)
        self.threshold, self.min_lr = fraction(owner, "threshold", threshold), fraction(owner, "min_lr", min_lr)
        self.eps = fraction(owner, "eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.reductions = 0

    def __call__(self, base_lr: float, step: float = 0) -> float:
        lr = base_lr
        for _ in range(self.reductions):
            lower = max(lr * self.factor, self.min_lr)
            if lr - lower <= self.eps:
                break
            lr = lower
        return lr

    def observe(self, metric: Any) -> None:
        """Take note of a metric, and reduce the rate if it is time. A NaN is never better."""
        current = float(metric)
        if self._better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.reductions += 1
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        bound = self.best
        if not math.isinf(bound):
            bound += sign * self.threshold * (bound if self.threshold_mode == "rel" else 1.0)
        return sign * value > sign * bound

    def step(self, metrics: Any = None) -> None:
        """`observe` the metric and set the optimizer's rates."""
        optimizer = self._driven()
        if metrics is None:
            raise ConfigError("ReduceLROnPlateau: step() needs the metric that it watches", value=None,
                              hint="schedule.step(validation_loss)")
        self.observe(metrics)
        self.last_epoch += 1
        self.apply(optimizer, self.base_lrs, self.last_epoch)
