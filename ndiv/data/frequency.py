"""Frequencies: one reading of integers, pandas offset aliases and polars durations.

Contract: `Frequency(freq).shift(times, n)` moves NumPy times by ``n`` steps; steps of fixed length are one addition,
those of the calendar (months, business days, week anchors) are done by pandas or polars through utilsforecast, on
distinct times only. A string of digits and a lower-case polars unit ("1h", "15m", "1mo") is a polars duration wherever
the two libraries differ; everything else is a pandas alias. Aliases that pandas has renamed ("M", "H") are understood.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, DataError

from ._extras import need

__all__ = ["Frequency", "infer_freq"]

_POLARS = re.compile(r"(\d+)(ns|us|ms|s|mo|m|h|d|w|q|y)")
_COMPOUND = re.compile(r"(?:\d+(?:ns|us|ms|s|m|h|d|w)){2,}")  # "1h30m": of units of fixed length only
_FIXED = {unit: np.timedelta64(1, unit) for unit in ("ns", "us", "ms", "s", "m", "h")}
_FIXED |= {"d": 24 * _FIXED["h"], "w": 168 * _FIXED["h"]}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
# pandas 2.2 renamed these; both directions are tried, so old tutorials and old pandas work alike.
_RENAMED = {"M": "ME", "Q": "QE", "Y": "YE", "A": "YE", "AS": "YS", "BM": "BME", "BQ": "BQE", "BY": "BYE", "BA": "BYE",
            "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "N": "ns", "BH": "bh", "SM": "SME"}
_TO_POLARS = {"ns": "ns", "us": "us", "ms": "ms", "s": "s", "min": "m", "h": "h", "D": "d", "W": "w", "MS": "mo",
              "ME": "mo", "QS": "q", "QE": "q", "YS": "y", "YE": "y"}
_HINT = "Valid: a pandas alias ('h', 'D', 'W-MON', 'MS', '15min', 'B'), a polars duration ('1h', '1d', '1mo'), or a " \
        "whole number for integer times."


@lru_cache(maxsize=64)  # every forecast asks
def _pandas_offset(alias: str) -> Any:
    """The pandas offset of an alias, or None when pandas knows no such alias."""
    to_offset = need("pandas").tseries.frequencies.to_offset
    parts = re.fullmatch(r"(\d*)([A-Za-z]+)(-\w+)?", alias)
    tries = [alias]
    if parts:
        count, name, anchor = parts.group(1), parts.group(2), parts.group(3) or ""
        backward = [old for old, new in _RENAMED.items() if new == name]
        tries += [f"{count}{other}{anchor}" for other in [_RENAMED.get(name), *backward] if other]
    for text in tries:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a deprecated spelling is tried under its other name first
                return to_offset(text)
        except (ValueError, Warning):
            continue
    return None


class Frequency:
    """The step between two times.

    Arguments: ``freq``, a whole number, a string or a pandas offset; ``time_zone``, in which calendar steps count.
    Raises `ConfigError` (E0010) for anything else, and for steps that are not positive.

    >>> Frequency("15min").shift(np.array(["2020-01-01"], "datetime64[m]"), 2).astype(str).tolist()
    ['2020-01-01T00:30']
    """

    def __init__(self, freq: Any, time_zone: str | None = None) -> None:
        self.time_zone = time_zone
        self.fixed: np.timedelta64 | int | None = None
        self._offset: Any = None  # what utilsforecast is given for a calendar step
        if isinstance(freq, (int, np.integer)) and not isinstance(freq, bool):
            self.freq: str | int = int(freq)
            self.fixed = int(freq)
        elif isinstance(freq, str):
            self.freq = freq
            self._read(freq)
        elif hasattr(freq, "freqstr"):
            self.freq = str(freq.freqstr)
            self._read(str(freq.freqstr))
        else:
            raise ConfigError(f"freq must be a string or a whole number, got {freq!r}", value=freq, hint=_HINT)
        positive = self.fixed > self.fixed * 0 if self.fixed is not None else getattr(self._offset, "n", 1) > 0
        if not positive:
            raise ConfigError(f"freq must be positive, got {freq!r}", value=freq, hint=_HINT)

    def _read(self, text: str) -> None:
        polars = _POLARS.fullmatch(text)
        if polars:
            count, unit = int(polars.group(1)), polars.group(2)
            if unit in _FIXED and not (unit in "dw" and self.time_zone):
                self.fixed = count * _FIXED[unit]
            elif count == 0:
                self.fixed = 0
            else:
                # Only months keep month ends in utilsforecast, so quarters and years are counted in months.
                self._offset = f"{count * _MONTHS[unit]}mo" if unit in _MONTHS else text
            return
        if _COMPOUND.fullmatch(text):
            if self.time_zone and re.search("[dw]", text):
                raise ConfigError(f"freq {text!r} adds days of the calendar and hours of the clock, which differ where clocks "
                                  "change", value=text, hint="Pass hours alone, such as '36h', or convert the times to UTC.")
            self.fixed = sum((int(n) * _FIXED[u] for n, u in _POLARS.findall(text)), np.timedelta64(0, "ns"))
            return
        offset = _pandas_offset(text)
        if offset is None:
            raise ConfigError(f"unknown freq {text!r}", value=text, hint=_HINT)
        pd = need("pandas")
        if isinstance(offset, pd.offsets.Day):
            # a day in a time zone keeps the clock; pandas 2 counts 24 hours for "D", so it is spelt in calendar terms
            if self.time_zone:
                self._offset = pd.DateOffset(days=offset.n)
            else:
                self.fixed = np.timedelta64(24 * offset.n, "h")
        elif isinstance(offset, pd.offsets.Tick):
            self.fixed = pd.Timedelta(offset).to_timedelta64()
        else:
            self._offset = offset

    @property
    def is_number(self) -> bool:
        """True for integer times."""
        return isinstance(self.freq, int)

    def check(self, times: np.ndarray) -> None:
        """`DataError` (E0011) when the kind of times and the kind of frequency differ."""
        if self.is_number == (times.dtype.kind == "M"):
            have = "timestamps" if self.is_number else "integers"
            use = "a string such as 'h' or '1h'" if self.is_number else "a whole number"
            raise DataError(f"freq is {self.freq!r} but the times are {have}, such as {times[:1].tolist()}",
                            value=self.freq, hint=f"Pass {use} as freq, or freq=None to infer it.")

    def shift(self, times: np.ndarray, n: int = 1) -> np.ndarray:
        """``times`` moved by ``n`` steps, same shape and type."""
        if self.fixed is not None:
            return (times + n * self.fixed).astype(times.dtype, copy=False)
        if n == 0:  # some offsets of pandas know no 0 steps
            return times.copy()
        distinct, back = np.unique(times, return_inverse=True)
        offset_times = need("utilsforecast.processing").offset_times
        if isinstance(self._offset, str):
            pl = need("polars", extra="polars")
            series = pl.Series("ds", distinct.astype("datetime64[us]"))
            if self.time_zone:
                series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(self.time_zone)
            moved = offset_times(series, self._offset, n)
            if self.time_zone:
                moved = moved.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            result = moved.to_numpy()
        else:
            index = need("pandas").DatetimeIndex(distinct)
            if self.time_zone:
                index = index.tz_localize("UTC").tz_convert(self.time_zone)
            moved = offset_times(index, self._offset, n)
            if self.time_zone:
                moved = moved.tz_convert("UTC").tz_localize(None)
            result = moved.to_numpy()
        return result.astype(times.dtype)[back].reshape(times.shape)

    def alias(self, library: str) -> str | int:
        """The spelling that "pandas" or "polars" understands; `ConfigError` when that library has none.

        >>> Frequency("15min").alias("polars"), Frequency(2).alias("pandas")
        ('15m', 2)
        """
        if isinstance(self.freq, int):
            return self.freq
        polars = _POLARS.fullmatch(self.freq) or _COMPOUND.fullmatch(self.freq)
        if library == "polars":
            found = self.freq if polars else _polars_alias(self._name())
        elif not polars:
            found = self._name()
        else:
            pd = need("pandas")
            found = None if self.fixed is None else pd.tseries.frequencies.to_offset(pd.Timedelta(self.fixed)).freqstr
        if found is None:
            raise ConfigError(f"freq {self.freq!r} has no equivalent in {library}", value=self.freq, hint=_HINT)
        return found

    def _name(self) -> str:
        offset = _pandas_offset(str(self.freq))
        return str(offset.freqstr)


def _polars_alias(alias: str) -> str | None:
    parts = re.fullmatch(r"(\d*)([A-Za-z]+)(-\w+)?", alias)
    unit = _TO_POLARS.get(_RENAMED.get(parts.group(2), parts.group(2))) if parts else None
    return f"{parts.group(1) or 1}{unit}" if parts and unit else None


def infer_freq(times: np.ndarray, offsets: np.ndarray, library: str = "pandas",
               time_zone: str | None = None) -> str | int | None:
    """The frequency that explains most steps of the longest series, or None when too little is known.

    ``times`` [T] rise strictly within each series, ``offsets`` [S + 1]. The answer is spelled for ``library``.

    >>> infer_freq(np.array([0, 2, 4, 9]), np.array([0, 4]))
    2
    """
    longest = int(np.argmax(np.diff(offsets)))
    clock = times[offsets[longest]:offsets[longest + 1]][:2000]
    if len(clock) < 2:
        return None
    gaps, counts = np.unique(np.diff(clock), return_counts=True)
    common = gaps[np.argmax(counts)]
    if times.dtype.kind != "M":
        return int(common)
    pd = need("pandas")
    found: list[str] = []  # the first of equally good ones wins, so calendar names come before multiples of hours
    index = pd.DatetimeIndex(clock)
    if time_zone:
        index = index.tz_localize("UTC").tz_convert(time_zone)
    # Gaps blind pandas to the whole, so shorter stretches are tried as well.
    for size in sorted({len(clock), *(n for n in (3, 4, 6, 12, 40) if n < len(clock))}, reverse=True):
        for begin in (0, (len(clock) - size) // 2, len(clock) - size):
            if size < 3:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pandas announces that it will return an offset
                guess = pd.infer_freq(index[begin:begin + size])
            if guess is not None:
                found.append(getattr(guess, "freqstr", guess))
    # Two times a month apart could be 31 days or one month: fixed steps of up to a week are trusted, longer ones not.
    days, rest = divmod(common, np.timedelta64(1, "D"))
    if common <= np.timedelta64(7, "D"):
        found.append(pd.tseries.frequencies.to_offset(pd.Timedelta(common)).freqstr if rest else f"{days}D")
    elif np.timedelta64(13, "D") <= common <= np.timedelta64(17, "D"):
        found += ["SMS", "SME"]  # twice a month, which pandas does not infer
    if not found:
        return None

    def explained(alias: str) -> int:
        return int((Frequency(alias, time_zone).shift(clock[:-1]) == clock[1:]).sum())

    best = max(dict.fromkeys(found), key=explained)
    if explained(best) * 2 < len(clock) - 1:
        return None
    return (_polars_alias(best) or best) if library == "polars" else best
