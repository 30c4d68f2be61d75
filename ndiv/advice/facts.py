"""What data are like, as far as the choice of a model goes by it.

Contract: every number is computed from the data given; of more than `_LOOKED_AT` series the strength of seasons is that of as
many, evenly spaced. Checks of the data are those of `NeuralForecast.fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ndiv.data.frequency import Frequency
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.features.cycles import default_seasons

__all__ = ["Profile", "profile", "season_strength"]

_LOOKED_AT = 100


@dataclass(frozen=True)
class Profile:
    """Facts of the data.

    series, shortest, longest, rows   counts
    freq             step between times
    season, strength the season that explains most, in steps, and the share of the detrended values' variance that it
                     explains (0 to 1, median over series); None where no season of the frequency fits twice into a series
    missing          share of rows whose target is missing
    zeros            share of known values that are 0
    counts           whether all values are whole numbers of at least 0
    aligned          whether all series end at the same time
    futr, hist, stat columns that were named as covariates
    unused           further columns of numbers
    """

    series: int
    shortest: int
    longest: int
    rows: int
    freq: str | int
    season: int | None
    strength: float | None
    missing: float
    zeros: float
    counts: bool
    aligned: bool
    futr: tuple[str, ...] = ()
    hist: tuple[str, ...] = ()
    stat: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def intermittent(self) -> bool:
        """Whether at least three in ten values are 0."""
        return self.zeros >= 0.3

    def record(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return asdict(self)

    def __str__(self) -> str:
        lengths = f"{self.shortest}" if self.shortest == self.longest else f"{self.shortest} to {self.longest}"
        parts = [f"{self.series} series of {lengths} rows, step {self.freq}"]
        if self.season is not None:
            share = 100 * (self.strength or 0.0)
            parts.append(f"season of {self.season} steps explains {share:.0f} % of the detrended variance")
        if self.missing:
            parts.append(f"{100 * self.missing:.2g} % of the values are missing")
        if self.zeros:
            parts.append(f"{100 * self.zeros:.2g} % are 0" + (", whole numbers" if self.counts else ""))
        if not self.aligned:
            parts.append("series end at different times")
        for role, names in (("known in the future", self.futr), ("historic", self.hist), ("static", self.stat)):
            if names:
                parts.append(f"{role}: {', '.join(names)}")
        if self.unused:
            parts.append(f"columns that no role was given: {', '.join(self.unused)}")
        return "; ".join(parts)


def season_strength(y: np.ndarray, season: int) -> float:
    """The share of variance that a season explains beside a moving average of that length: max(0, 1 - var(rest) /
    var(detrended)), as in Wang, Smith and Hyndman 2006, of a classical additive decomposition. NaN is left out; 0 below two
    seasons.

    >>> round(season_strength(np.tile([0.0, 1.0, 5.0, 1.0], 10), 4), 6)
    1.0
    """
    n = len(y)
    if n < 2 * season + 1 or season < 2:
        return 0.0
    kernel = np.ones(season + 1 - season % 2)
    if season % 2 == 0:
        kernel[0] = kernel[-1] = 0.5
    known = np.isfinite(y)
    filled = np.where(known, y, 0.0)
    weight = np.convolve(known.astype(float), kernel, "valid")
    trend = np.convolve(filled, kernel, "valid") / np.where(weight > 0, weight, np.nan)
    cut = len(kernel) // 2
    rest = y[cut:n - cut] - trend
    phase = np.arange(cut, n - cut) % season
    there = np.isfinite(rest)
    if there.sum() < 2 * season or not float(np.var(rest[there])) > 1e-12 * float(np.var(filled)):
        return 0.0
    rest, phase = rest[there], phase[there]
    means = np.bincount(phase, rest, season) / np.maximum(np.bincount(phase, minlength=season), 1)
    return max(0.0, 1.0 - float(np.var(rest - means[phase]) / np.var(rest)))


def profile(store: SeriesStore, unused: Sequence[str] = ()) -> Profile:
    """The facts of a store."""
    y, known = store.y.astype(np.float64), store.mask
    values = y[known]
    season, strength = _season(store)
    last = store.times[store.offsets[1:] - 1]
    whole = bool(len(values) and (values >= 0).all() and (values == np.round(values)).all())
    return Profile(
        series=store.n_series, shortest=int(store.lengths.min()), longest=int(store.lengths.max()), rows=len(y),
        freq=store.freq, season=season, strength=strength, missing=float(np.mean(~known)),
        zeros=float(np.mean(values == 0)) if len(values) else 0.0, counts=whole, aligned=bool((last == last[0]).all()),
        futr=tuple(store.futr_names), hist=tuple(store.hist_names), stat=tuple(store.stat_names), unused=tuple(unused))


def _season(store: SeriesStore) -> tuple[int | None, float | None]:
    try:
        candidates = [round(s) for s in default_seasons(Frequency(store.freq))]
    except ConfigError:  # steps that say nothing of days
        return None, None
    looked = np.unique(np.linspace(0, store.n_series - 1, min(store.n_series, _LOOKED_AT)).round().astype(int))
    found: Mapping[int, float] = {}
    for season in candidates:
        if 2 * season + 1 <= int(np.median(store.lengths)):
            strengths = []
            for s in looked:
                rows = slice(store.offsets[s], store.offsets[s + 1])
                strengths.append(season_strength(np.where(store.mask[rows], store.y[rows].astype(np.float64), np.nan), season))
            found = {**found, season: float(np.median(strengths))}
    if not found:
        return None, None
    best = max(found, key=lambda s: found[s])
    return best, found[best]
