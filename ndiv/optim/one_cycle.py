"""The one-cycle schedule: up to a peak, down far below the start, with momentum the other way round."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigError, closest
from .optimizer import Optimizer
from .schedule import Schedule, fraction, whole

__all__ = ["OneCycleLR"]

_SHAPES = ("cos", "linear")


class OneCycleLR(Schedule):
    """Up from peak / div_factor to the peak, then down to peak / div_factor / final_div_factor (Smith & Topin 2018).

    max_lr            the peak; None: the base rate
    total_steps       steps in all, or give ``epochs`` and ``steps_per_epoch``
    pct_start         share of the steps that go up
    anneal_strategy   "cos" (half a wave) or "linear"
    cycle_momentum    when it drives an optimizer, momentum (or the first of betas) goes from ``max_momentum`` down to
                      ``base_momentum`` and back; as a function of the step it gives the rate alone
    three_phase       come down to the start as fast as it went up, and then to the end

    Raises `ConfigError` (E0010) for values out of range and for a step after ``total_steps``.

    >>> cycle = OneCycleLR(max_lr=1.0, total_steps=11, pct_start=0.5, div_factor=10, anneal_strategy="linear")
    >>> [round(cycle(0.0, step), 3) for step in (0, 2, 4, 5, 10)]
    [0.1, 0.5, 0.9, 0.909, 0.0]
    """

    def __init__(self, max_lr: float | None = None, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
                 cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95,
                 div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False) -> None:
        owner = "OneCycleLR"
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ConfigError(f"{owner}: total_steps must be given", value=total_steps,
                              hint="the number of training steps, or epochs and steps_per_epoch")
        if total_steps is None:
            total_steps = whole(owner, "epochs", epochs) * whole(owner, "steps_per_epoch", steps_per_epoch)
        self.total_steps, self.epochs, self.steps_per_epoch = whole(owner, "total_steps", total_steps), epochs, steps_per_epoch
        if anneal_strategy not in _SHAPES:
            raise ConfigError(f"{owner}: unknown anneal_strategy {anneal_strategy!r}", value=anneal_strategy,
                              hint=closest(anneal_strategy, _SHAPES))
        self.max_lr = None if max_lr is None else fraction(owner, "max_lr", max_lr)
        self.pct_start, self.anneal_strategy = fraction(owner, "pct_start", pct_start, 0.0, 1.0), anneal_strategy
        self.cycle_momentum, self.three_phase = bool(cycle_momentum), bool(three_phase)
        self.base_momentum = fraction(owner, "base_momentum", base_momentum, 0.0, 1.0)
        self.max_momentum = fraction(owner, "max_momentum", max_momentum, 0.0, 1.0)
        self.div_factor = fraction(owner, "div_factor", div_factor, 1.0)
        self.final_div_factor = fraction(owner, "final_div_factor", final_div_factor, 1.0)

    def __call__(self, base_lr: float, step: float) -> float:
        peak = base_lr if self.max_lr is None else self.max_lr
        start = peak / self.div_factor
        return self._between((start, peak, start, start / self.final_div_factor) if self.three_phase
                             else (start, peak, start / self.final_div_factor), step)

    def momentum(self, step: float) -> float:
        """The momentum (or first beta) of a step."""
        high, low = self.max_momentum, self.base_momentum
        return self._between((high, low, high, high) if self.three_phase else (high, low, high), step)

    def _between(self, values: tuple[float, ...], step: float) -> float:
        """The value at ``step`` on the way through ``values``, each phase ending where PyTorch's does."""
        total = self.total_steps
        if step > total:
            raise ConfigError(f"OneCycleLR: step {step} is after total_steps={total}", value=step,
                              hint="give total_steps=max_steps")
        up = self.pct_start * total
        ends = [up - 1, *([2 * up - 2] if self.three_phase else []), total - 1]
        begin, k = 0.0, 0
        while step > ends[k] and k < len(ends) - 1:
            begin, k = ends[k], k + 1
        share = min((step - begin) / (ends[k] - begin), 1.0) if ends[k] != begin else 1.0
        if self.anneal_strategy == "linear":
            return values[k] + (values[k + 1] - values[k]) * share
        return values[k + 1] + (values[k] - values[k + 1]) * (1.0 + math.cos(math.pi * share)) / 2.0

    def apply(self, optimizer: Optimizer, base_lrs: list[float], step: float) -> None:
        super().apply(optimizer, base_lrs, step)
        if self.cycle_momentum:
            for group in optimizer.param_groups:
                self._set_momentum(group, self.momentum(step))

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if "betas" in group:
            group["betas"] = (value, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = value
        else:
            raise ConfigError("OneCycleLR: this optimizer has neither momentum nor betas to cycle", value=sorted(group),
                              hint="pass cycle_momentum=False")
