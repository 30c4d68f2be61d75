"""`Calendar`: what a calendar and a clock on the wall show at each time.

Contract: known for every time; in a frame with a time zone it is that zone's clock. Parts: second, minute, hour, dayofweek
(Monday is 0), day, dayofyear, week (ISO), month, quarter, year, and is_weekend, is_month_start, is_month_end (0 or 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data.frequency import Frequency
from ndiv.errors import ConfigError, closest

from .base import Column, KnownFeature, Panel, listed, step_days

__all__ = ["Calendar"]

# first value, and how many there are: what a category may be, and one turn of the circle where no year or month says otherwise
_PARTS = {"second": (0, 60), "minute": (0, 60), "hour": (0, 24), "dayofweek": (0, 7), "day": (1, 31), "dayofyear": (1, 366),
          "week": (1, 53), "month": (1, 12), "quarter": (1, 4)}
_FLAGS = ("is_weekend", "is_month_start", "is_month_end")
_ENCODINGS = ("cyclic", "number", "category")
_WEEKS_A_YEAR = 365.25 / 7
# below how many days a step has these parts by default
_DEFAULTS = ((1 / 1440, ("second", "minute", "hour", "dayofweek")), (1 / 24, ("minute", "hour", "dayofweek")),
             (1, ("hour", "dayofweek", "month")), (6.9, ("dayofweek", "day", "month")), (27.9, ("week",)), (88, ("month",)),
             (350, ("quarter",)))


@dataclass
class Calendar(KnownFeature):
    """Parts of the date and the time of day.

    parts    which (see above), one or a list; None: those that matter at the data's frequency, such as hour, dayofweek and
             month for hours
    encode   "cyclic": two columns each, ``hour_sin`` and ``hour_cos``, so that 23 is next to 0; "number": as the clock shows
             it, ``hour`` from 0 to 23; "category": the same for models' ``cat_exog_list``. Years and flags are always numbers

    Raises `ConfigError` (E0010) for an unknown part or encoding, and where a frequency has no parts by default.

    >>> [c.name for c in Calendar(["hour", "is_weekend"]).columns(Frequency("h"))]
    ['hour_sin', 'hour_cos', 'is_weekend']
    >>> [c.name for c in Calendar(encode="number").columns(Frequency("D"))]
    ['dayofweek', 'day', 'month']
    """

    parts: Any = None
    encode: str = "cyclic"

    def __post_init__(self) -> None:
        if self.encode not in _ENCODINGS:
            raise ConfigError(f"Calendar: unknown encode {self.encode!r}", value=self.encode,
                              hint=closest(self.encode, _ENCODINGS))
        if self.parts is not None:
            self.parts = listed(self.parts)
            for part in self.parts:
                if part not in (*_PARTS, *_FLAGS, "year"):
                    raise ConfigError(f"Calendar: unknown part {part!r}", value=part,
                                      hint=closest(part, (*_PARTS, *_FLAGS, "year")))

    def _chosen(self, freq: Frequency) -> list[str]:
        if self.parts is not None:
            return list(self.parts)
        days = step_days(freq)
        found = next((parts for limit, parts in _DEFAULTS if days < limit - 1e-9), None)
        if found is None:
            why = "times are whole numbers" if freq.is_number else "a step is a year or more"
            raise ConfigError(f"Calendar has no parts for freq={freq.freq!r}: {why}", value=freq.freq,
                              hint="Name the parts, or use Fourier(seasons=[...]).")
        return list(found)

    def columns(self, freq: Frequency) -> list[Column]:
        found: list[Column] = []
        for part in self._chosen(freq):
            if part not in _PARTS or self.encode == "number":
                found.append(Column(part))
            elif self.encode == "category":
                first, count = _PARTS[part]
                found.append(Column(part, categories=tuple(range(first, first + count))))
            else:
                found += [Column(f"{part}_sin"), Column(f"{part}_cos")]
        return found

    def at(self, panel: Panel, times: np.ndarray, owner: np.ndarray) -> np.ndarray:
        clock = panel.clock(times, "calendar features")
        found: list[np.ndarray] = []
        for part in self._chosen(panel.freq):
            values = _part(clock, part)
            if part not in _PARTS or self.encode == "number":
                found.append(values)
            elif self.encode == "category":
                found.append(values - _PARTS[part][0] + 1)  # codes count from 1
            else:
                turn = 2 * np.pi * (values - _PARTS[part][0]) / _turn(clock, part)
                found += [np.sin(turn), np.cos(turn)]
        return np.stack(found, axis=1)


def _part(clock: Any, part: str) -> np.ndarray:
    if part == "week":
        return clock.isocalendar().week.to_numpy().astype(np.float64)
    if part == "is_weekend":
        return (clock.day_of_week >= 5).astype(np.float64)
    return np.asarray(getattr(clock, {"dayofweek": "day_of_week", "dayofyear": "day_of_year"}.get(part, part)), np.float64)


def _turn(clock: Any, part: str) -> Any:
    """How many values the circle has at each time: months and years differ in length."""
    if part == "day":
        return np.asarray(clock.days_in_month, np.float64)
    if part == "dayofyear":
        return 365.0 + clock.is_leap_year
    return _WEEKS_A_YEAR if part == "week" else _PARTS[part][1]
