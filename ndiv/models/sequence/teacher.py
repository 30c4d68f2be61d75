"""Teacher forcing with a schedule: how likely the decoder reads a true value in training.

Bengio, Vinyals, Jaitly, Shazeer, "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks", NeurIPS 2015,
section 2.4. At update i = 0, 1, ..., with ratio r at the start, decay k and floor f:

    constant           r
    linear             max(f, r - k i)
    exponential        max(f, r k^i), k < 1
    inverse_sigmoid    max(f, r k / (k + exp(i / k))), k >= 1

Where no decay is given it follows from the number of steps n of training: linear reaches f after n, exponential r / 100, and
inverse_sigmoid r / 2 after n / 2 (k log k = n / 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError, closest

__all__ = ["SCHEDULES", "TeacherForcing"]

SCHEDULES = ("constant", "linear", "exponential", "inverse_sigmoid")


@dataclass(frozen=True)
class TeacherForcing:
    """One schedule; ``at(i)`` is the share of true values at update i.

    Raises `ConfigError` (E0010) for an unknown schedule, a ratio outside of [0, 1], a floor outside of [0, ratio], and a decay
    that the schedule does not have.

    >>> schedule = TeacherForcing("linear", 1.0, 0.25, 0.1, steps=1000)
    >>> [schedule.at(i) for i in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.1]
    """

    kind: str
    ratio: float = 1.0
    decay: float | None = None
    floor: float = 0.0
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ConfigError(f"teacher_forcing: unknown schedule {self.kind!r}", value=self.kind,
                              hint=closest(str(self.kind), SCHEDULES))
        self._within("teacher_forcing_ratio", self.ratio, 0.0, 1.0)
        self._within("teacher_forcing_floor", self.floor, 0.0, self.ratio)
        if self.decay is None:
            object.__setattr__(self, "decay", self._default())
            return
        if self.kind == "constant":
            raise ConfigError("teacher_forcing='constant' has no teacher_forcing_decay", value=self.decay,
                              hint=f"leave it out, or give teacher_forcing={SCHEDULES[1:]}")
        low, high = {"linear": (0.0, math.inf), "exponential": (0.0, 1.0), "inverse_sigmoid": (1.0, math.inf)}[self.kind]
        self._within("teacher_forcing_decay", self.decay, low, high)

    def _within(self, name: str, value: Any, low: float, high: float) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ConfigError(f"teacher_forcing={self.kind!r}: {name} must be a number in [{low:g}, {high:g}], not {value!r}",
                              value=value, hint=f"give {name} between {low:g} and {high:g}")

    def _default(self) -> float:
        n = max(self.steps, 1)
        if self.kind == "linear":
            return (self.ratio - self.floor) / n
        if self.kind == "exponential":
            return float(0.01 ** (1.0 / n))
        k = max(n / 2.0, 2.0)
        for _ in range(50):  # Newton's method on k log k - n / 2, which is convex and rises from k = 1 on
            k = (k + n / 2.0) / (math.log(k) + 1.0)
        return max(k, 1.0)

    @property
    def always(self) -> bool:
        """Whether the decoder reads true values alone, at every update."""
        return self.ratio == 1.0 and (self.kind == "constant" or self.floor == 1.0)

    def at(self, i: int) -> float:
        """The probability of a true value at update i."""
        k = self.decay
        assert k is not None
        if self.kind == "constant":
            return float(self.ratio)
        if self.kind == "linear":
            falling = self.ratio - k * i
        elif self.kind == "exponential":
            falling = self.ratio * k ** i
        else:
            falling = self.ratio * k / (k + math.exp(min(i / k, 700.0)))
        return float(max(self.floor, falling))
