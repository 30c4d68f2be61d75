"""What every model has to beat: the last value, and the value one season ago.

Contract: a baseline sees what lies before each cutoff only, as the models do. Missing values are stepped over: the last known
one counts, and of a season the last known value at the same place in it.
"""

from __future__ import annotations

import numpy as np

from ndiv.data.store import SeriesStore

__all__ = ["naive", "season_of", "seasonal_naive"]

_DAY = 86400.0


def season_of(times: np.ndarray) -> int:
    """The usual season of a series in steps, from the step between its times: a day for hours and minutes, a week for days, a
    year for what is longer; 1 for integer times, years and anything else.

    >>> season_of(np.arange("2020-01", "2022-01", dtype="datetime64[M]")), season_of(np.arange(5))
    (12, 1)
    """
    if times.dtype.kind != "M" or len(times) < 2:
        return 1
    step = float(np.median(np.diff(times.astype("datetime64[s]").astype(np.int64))))
    if 60 <= step < _DAY and _DAY % step == 0:
        return int(_DAY / step)
    for days, season in ((1, 7), (7, 52), (30.5, 12), (91.3, 4)):
        if abs(step / _DAY / days - 1) < 0.02:
            return season
    return 1


def naive(store: SeriesStore, ends: np.ndarray, h: int) -> np.ndarray:
    """The last known value before each cutoff, float64 [S, W, h]; ``ends`` [S, W]: rows before each cutoff. NaN where there is
    none."""
    return seasonal_naive(store, ends, h, 1)


def seasonal_naive(store: SeriesStore, ends: np.ndarray, h: int, season: int) -> np.ndarray:
    """The last season before each cutoff over and over, float64 [S, W, h]; as `naive` where there is less than one season.

    >>> store = SeriesStore.from_arrays_list([[1.0, 2.0, 3.0, 4.0, 5.0]])
    >>> seasonal_naive(store, np.array([[4]]), 3, season=2)[0, 0].tolist()
    [3.0, 4.0, 3.0]
    """
    begin = store.offsets[:-1, None, None]
    end = begin + ends[:, :, None]
    out = np.full((*ends.shape, h), np.nan)
    for lag, back in ((1, np.full(h, 1)), (season, season - np.arange(h) % season)):
        place = end - back
        missing = (place >= begin) & ~store.mask[np.maximum(place, 0)]
        while missing.any():
            place = np.where(missing, place - lag, place)
            missing = (place >= begin) & ~store.mask[np.maximum(place, 0)]
        out = np.where(place >= begin, store.y[np.maximum(place, 0)].astype(np.float64), out)
    return out
