"""What a feature is: `Feature`, and `Panel`, the series that it is computed from.

Contract: a feature names its columns before it sees data (`Feature.columns`), computes them for the rows of a panel
(`past`) and for times after its series (`ahead`); a column's value at a time depends on targets up to that time only,
less ``lag`` steps where it has a lag. NaN stands where there is nothing to compute a value from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.frequency import Frequency
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, DataError, FeatureError

__all__ = ["Column", "Feature", "KnownFeature", "Panel", "step_days"]

_EPOCH = np.datetime64("1970-01-01", "us")


@dataclass(frozen=True)
class Column:
    """One column of a feature.

    ``lag``: how many steps old the newest target in it is; None: it depends on times alone and is known for every future.
    ``unit``: "level" (in units of the target), "spread" (in units of its differences) or "" (of its own).
    ``categories``: the values behind codes 1, 2, ...; None for numbers.
    """

    name: str
    lag: int | None = None
    unit: str = ""
    categories: tuple[Any, ...] | None = None

    def known(self, h: int) -> bool:
        """Whether its values are known for all of the next ``h`` steps."""
        return self.lag is None or self.lag >= h


@dataclass(frozen=True)
class Panel:
    """Series one after the other: S of them, T rows in all, ``offsets`` [S + 1]; ``times`` [T] in UTC or whole numbers, ``y``
    float64 [T], NaN where missing.

    >>> panel = Panel.of(SeriesStore.from_arrays_list([[1.0, 2.0], [5.0]], ids=["a", "b"]))
    >>> panel.owner.tolist(), panel.steps(panel.times).tolist()
    ([0, 0, 1], [0, 1, 0])
    """

    ids: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    y: np.ndarray
    freq: Frequency

    @classmethod
    def of(cls, store: SeriesStore) -> Panel:
        """That of a store's series."""
        zone = store.origin.get("time_zone")
        y = np.where(store.mask, store.y.astype(np.float64), np.nan)
        return cls(store.ids, store.offsets, store.times, y, Frequency(store.freq, zone))

    @property
    def owner(self) -> np.ndarray:
        """The series of each row, int64 [T]."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))

    def clock(self, times: np.ndarray, what: str) -> Any:
        """Times as a pandas DatetimeIndex on the clock of the frame's time zone; `DataError` (E0011) for whole numbers."""
        if times.dtype.kind != "M":
            raise DataError(f"{what} need dates, and the times are whole numbers, such as {times[:1].tolist()}",
                            value=str(times.dtype), hint="Convert the time column to dates, or use Fourier(seasons=[...]).")
        index = need("pandas").DatetimeIndex(times)
        zone = self.freq.time_zone
        return index.tz_localize("UTC").tz_convert(zone) if zone else index

    def steps(self, times: np.ndarray) -> np.ndarray:
        """How many steps of the frequency each time [N] is after 1970 (after 0, for whole numbers), int64 [N]."""
        if self.freq.fixed is not None:
            start = _EPOCH if times.dtype.kind == "M" else 0
            return np.floor_divide(times - start, self.freq.fixed).astype(np.int64)
        distinct, back = np.unique(times, return_inverse=True)
        # Times that follow each other step by step are counted once, from the first of them.
        breaks = np.flatnonzero(np.append(True, self.freq.shift(distinct[:-1]) != distinct[1:]))
        firsts = np.array([_count(self.freq, t) for t in distinct[breaks]], np.int64)
        within = np.arange(len(distinct)) - np.repeat(breaks, np.diff(np.append(breaks, len(distinct))))
        return (np.repeat(firsts, np.diff(np.append(breaks, len(distinct)))) + within)[back.reshape(-1)]


def _count(freq: Frequency, time: np.datetime64) -> int:
    """The least n for which 1970 plus n steps is not before ``time``: by bisection, since steps are monotone in n."""
    start = np.array([_EPOCH])
    low = high = 0
    size = 1
    while freq.shift(start, high)[0] < time:
        low, high, size = high + 1, high + size, size * 2
    size = 1
    while freq.shift(start, low)[0] >= time:  # also for times before 1970
        low, high, size = low - size, low, size * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if freq.shift(start, middle)[0] < time else (low, middle)
    return high


def step_days(freq: Frequency) -> float:
    """Mean length of a step in days; NaN for whole numbers.

    >>> step_days(Frequency("h")) * 24, step_days(Frequency("B"))
    (1.0, 1.4)
    """
    if freq.is_number:
        return float("nan")
    start = np.array(["2001-01-01"], "datetime64[us]")
    count = 20  # a whole number of weeks of business days, and enough months
    return float((freq.shift(start, count + 1)[0] - freq.shift(start, 1)[0]) / np.timedelta64(1, "D")) / count


class Feature:
    """Base of the features; each is a dataclass whose fields are what describes it."""

    def columns(self, freq: Frequency) -> list[Column]:
        """The columns that it makes for series of that frequency."""
        raise NotImplementedError

    def learn(self, panel: Panel) -> None:
        """Take from the first data what later calls need; most features need nothing."""

    def past(self, panel: Panel, fill: bool = False) -> np.ndarray:
        """float64 [T, columns]. ``fill``: no NaN; where nothing is known yet stands the series' first value, or else 0."""
        raise NotImplementedError

    def ahead(self, panel: Panel, times: np.ndarray, fill: bool = False) -> np.ndarray:
        """float64 [S, h, columns] at ``times`` [S, h], the steps after each series; columns that are not known for all of them
        hold nothing of use."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """JSON-able; `ndiv.features.sets.from_config` makes the feature again."""
        return {"feature": type(self).__name__, **{f.name: asdict(self)[f.name] for f in fields(self)}}  # type: ignore[arg-type, call-overload]


class KnownFeature(Feature):
    """One that depends on times, and on which series it is, alone."""

    def at(self, panel: Panel, times: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """float64 [N, columns] at ``times`` [N] of the series ``owner`` [N]."""
        raise NotImplementedError

    def past(self, panel: Panel, fill: bool = False) -> np.ndarray:
        return self.at(panel, panel.times, panel.owner)

    def ahead(self, panel: Panel, times: np.ndarray, fill: bool = False) -> np.ndarray:
        series, h = times.shape
        return self.at(panel, times.reshape(-1), np.repeat(np.arange(series), h)).reshape(series, h, -1)


def whole(feature: str, name: str, value: Any, least: int = 1) -> int:
    """``value`` as a whole number of at least ``least``, or `ConfigError` (E0010)."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ConfigError(f"{feature}: {name} must be whole numbers of at least {least}, got {value!r}", value=value)
    return int(value)


def listed(value: Any) -> list[Any]:
    """A list of what may be one thing or several."""
    return list(value) if isinstance(value, (list, tuple, range, np.ndarray)) else [value]


def refuse_unknown(column: Column, h: int) -> FeatureError:
    """That a column is asked for steps of which nobody knows it."""
    return FeatureError(f"{column.name!r} is known {column.lag} steps ahead and asked for {h}", value=column.name,
                        hint=f"List it in hist_exog_list, or use a lag of at least {h}.")
