"""`Fourier` terms of seasons, and `Trend`: features that count steps.

Contract: known for every time. A season's phase is counted in steps from 1970 (from 0, for whole numbers), so that it is the
same in every series, in every part of one, and in the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data.frequency import Frequency
from ndiv.errors import ConfigError

from .base import Column, KnownFeature, Panel, listed, step_days, whole

__all__ = ["Fourier", "Trend", "default_seasons"]

_YEAR = 365.25  # days


def default_seasons(freq: Frequency) -> list[float]:
    """The day, week and year in steps of a frequency, those that have at least two steps; the year for days and longer only.

    >>> default_seasons(Frequency("h")), default_seasons(Frequency("B")), default_seasons(Frequency("MS"))
    ([24, 168], [5, 260.89], [12])
    """
    days = step_days(freq)
    periods = [p for p in (1.0, 7.0, _YEAR) if p / days >= 2 and (p < _YEAR or days >= 1)]
    if not periods:
        why = "whole numbers say nothing of days" if freq.is_number else "a step is a year or more"
        raise ConfigError(f"there are no default seasons for freq={freq.freq!r}: {why}", value=freq.freq,
                          hint="Give seasons, in steps, for example Fourier(seasons=[12]).")
    lengths = [p / days for p in periods]
    return [round(n) if abs(n - round(n)) < 0.05 else round(n, 2) for n in lengths]


@dataclass
class Fourier(KnownFeature):
    """Sines and cosines of seasons: ``fourier_24_1_sin``, ``fourier_24_1_cos``, ``fourier_24_2_sin`` ...

    seasons  lengths in steps, whole or not, one or a list; None: day, week and year of the frequency
    k        how many harmonics of each, or a list with one number for each season

    Raises `ConfigError` (E0010) for seasons below 2 steps, or with more harmonics than half of their steps.

    >>> [c.name for c in Fourier(24, k=2).columns(Frequency("h"))][:3]
    ['fourier_24_1_sin', 'fourier_24_1_cos', 'fourier_24_2_sin']
    """

    seasons: Any = None
    k: Any = 1

    def __post_init__(self) -> None:
        counts = listed(self.k)
        for count in counts:
            whole("Fourier", "k", count)
        if self.seasons is None:
            if len(counts) > 1:
                raise ConfigError("Fourier: a list of k needs seasons", value=self.k, hint="Give seasons=[...] too.")
            return
        self.seasons = listed(self.seasons)
        for season in self.seasons:
            if isinstance(season, bool) or not isinstance(season, (int, float, np.number)) or not 2 <= season < np.inf:
                raise ConfigError(f"Fourier: a season must be a number of at least 2 steps, got {season!r}", value=season)
        self.seasons = [s.item() if isinstance(s, np.number) else s for s in self.seasons]
        if len(counts) not in (1, len(self.seasons)):
            raise ConfigError(f"Fourier: {len(counts)} numbers k for {len(self.seasons)} seasons", value=self.k,
                              hint="Give one k, or one for each season.")
        for season, count in self._terms(self.seasons):
            if count > season / 2:
                raise ConfigError(f"Fourier: a season of {season:g} steps has no harmonic {count}", value=count,
                                  hint=f"Use k <= {int(season // 2)}.")

    def _terms(self, seasons: list[float]) -> list[tuple[float, int]]:
        counts = listed(self.k)
        return [(s, int(n)) for s, n in zip(seasons, counts * len(seasons) if len(counts) == 1 else counts, strict=True)]

    def _pairs(self, freq: Frequency) -> list[tuple[float, int]]:
        """(season, harmonic) of each pair of columns; default seasons too short for a harmonic go without it."""
        seasons = default_seasons(freq) if self.seasons is None else self.seasons
        return [(s, k) for s, count in self._terms(seasons) for k in range(1, min(count, int(s // 2)) + 1)]

    def columns(self, freq: Frequency) -> list[Column]:
        return [Column(f"fourier_{s:g}_{k}_{name}") for s, k in self._pairs(freq) for name in ("sin", "cos")]

    def at(self, panel: Panel, times: np.ndarray, owner: np.ndarray) -> np.ndarray:
        steps = panel.steps(times)
        found: list[np.ndarray] = []
        for season, k in self._pairs(panel.freq):
            turn = 2 * np.pi * np.mod(k * steps / season, 1.0)
            found += [np.sin(turn), np.cos(turn)]
        return np.stack(found, axis=1)


@dataclass
class Trend(KnownFeature):
    """A line, ``trend``: 0 at the first time of the first data that it sees, 1 at their last, and on.

    Give ``first`` and ``last``, steps from 1970 (from 0, for whole numbers), to fix it.

    >>> [c.name for c in Trend().columns(Frequency("D"))]
    ['trend']
    """

    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        if (self.first is None) != (self.last is None):
            raise ConfigError("Trend takes both first and last, or neither", value=(self.first, self.last))
        if self.first is not None and self.last is not None and self.last <= self.first:
            raise ConfigError(f"Trend: last={self.last} is not after first={self.first}", value=self.last)

    def columns(self, freq: Frequency) -> list[Column]:
        return [Column("trend")]

    def learn(self, panel: Panel) -> None:
        if self.first is None:
            ends = panel.steps(np.array([panel.times.min(), panel.times.max()]))
            self.first, self.last = int(ends[0]), max(int(ends[1]), int(ends[0]) + 1)

    def at(self, panel: Panel, times: np.ndarray, owner: np.ndarray) -> np.ndarray:
        self.learn(panel)
        assert self.first is not None and self.last is not None
        return ((panel.steps(times) - self.first) / (self.last - self.first))[:, None]
