"""The checks that a frame of series must pass: finite values, unique times, regular steps.

Contract: each ``refuse_`` function returns nothing or raises `DataError` (E0011) that counts what is wrong, names the first
culprits (id, time, row) and says the way out. All are whole-array operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.errors import DataError

from .frequency import Frequency, infer_freq
from .tables import Table, few, numbers, stamp

__all__ = ["FLOAT_LIMIT", "covariate", "find_gaps", "refuse_duplicates", "refuse_gaps", "refuse_rows", "refuse_values"]

FLOAT_LIMIT = float(np.finfo(np.float32).max)


def refuse_values(table: Table, name: str, role: str, bad: np.ndarray, what: str, hint: str, ids: np.ndarray,
                  codes: np.ndarray, times: np.ndarray) -> None:
    """Refuse the rows ``bad`` [T] of a frame's column, named by id, time and row."""
    refuse_rows(bad, name, role, what, hint, ids, codes, times, np.arange(len(bad)) + table.first_row, table.what)


def refuse_rows(bad: np.ndarray, name: str, role: str, what: str, hint: str, ids: np.ndarray, codes: np.ndarray,
                times: np.ndarray, rows: np.ndarray, where: str) -> None:
    """The same for rows in any order; ``rows`` [T] are their places in the frame, -1 for one that was put in."""
    found = np.flatnonzero(bad)
    if found.size:
        culprits = [f"{ids[codes[r]]!s} at {stamp(times[r])} ({f'row {rows[r]}' if rows[r] >= 0 else 'put in'})"
                    for r in found[:3]]
        raise DataError(f"{found.size} {what} in {where} column {name!r} ({role}): {few(culprits, found.size)}", value=name,
                        hint=hint, rows=rows[found[:3]].tolist(), ids=[ids[codes[r]] for r in found[:3]])


def covariate(table: Table, name: str, role: str, ids: np.ndarray, codes: np.ndarray, times: np.ndarray,
              nan: bool = False) -> np.ndarray:
    """A covariate as float32 [T]; text and infinities are refused, and NaN unless ``nan``."""
    values = numbers(table, name, role)
    bad = np.abs(values) > FLOAT_LIMIT if nan else ~(np.abs(values) <= FLOAT_LIMIT)
    refuse_values(table, name, role, bad, "infinite or too large values" if nan else "missing or infinite values",
                  "Replace them (a mean, the last known value) before fitting, or leave the column out.", ids, codes, times)
    return values.astype(np.float32)


def refuse_duplicates(times: np.ndarray, codes: np.ndarray, ids: np.ndarray, rows: np.ndarray, what: str, id_col: str,
                       time_col: str) -> None:
    """``times`` and ``codes`` are sorted; ``rows`` are their places in the frame."""
    twice = np.flatnonzero((codes[1:] == codes[:-1]) & (times[1:] == times[:-1]))
    if twice.size:
        culprits = [f"{ids[codes[k]]!s} at {stamp(times[k])} (rows {min(rows[k:k + 2])} and {max(rows[k:k + 2])})"
                    for k in twice[:3]]
        hint = (f"Keep one row for each ({id_col}, {time_col}): pandas df.drop_duplicates([{id_col!r}, {time_col!r}]), polars "
                f"df.unique([{id_col!r}, {time_col!r}])" + ("; or pass duplicates='last' or 'mean'." if what == "df" else "."))
        if summer_time(times[twice]):
            hint = f"{_SUMMER.format(time_col)} Or pass duplicates='last' or 'mean'."
        raise DataError(f"{twice.size} duplicate times in {what}: {few(culprits, twice.size)}", value=twice.size,
                        rows=rows[twice[:3] + 1].tolist(), ids=[ids[codes[k]] for k in twice[:3]], hint=hint)


def find_gaps(times: np.ndarray, offsets: np.ndarray, ids: np.ndarray, rows: np.ndarray, freq: Frequency, library: str,
              mend: bool = False) -> np.ndarray:
    """The rows after which whole steps of ``freq`` are left out. Sorted times [T]; ``rows`` are their places in the frame.

    Raises `DataError` (E0011) for steps that are no whole number of ``freq``, or where another frequency fits the data
    better. ``mend``: the gaps will be filled, so only a frequency that explains every step counts as better.
    """
    inner = np.ones(len(times) - 1, bool)
    inner[offsets[1:-1] - 1] = False
    due = freq.shift(times[:-1])
    wrong = np.flatnonzero(inner & (times[1:] != due))
    if not wrong.size:
        return wrong
    found = infer_freq(times, offsets, library, freq.time_zone)
    same = found is None or _same_steps(freq, found, times)
    if mend and not same:
        other = Frequency(found, freq.time_zone).shift(times[:-1])
        same = bool((inner & (times[1:] != other)).any())
    sooner = (times[wrong + 1] < due[wrong]).any()
    off_grid = not sooner and any(not _on_grid(freq, times[k], times[k + 1]) for k in (wrong if mend else wrong[:3]))
    if not (sooner or off_grid or not same):
        return wrong
    owner = np.searchsorted(offsets, wrong[:3], side="right") - 1
    names = [str(ids[s]) for s in owner]
    steps = [f"{name}: {stamp(times[k])} to {stamp(times[k + 1])} (row {rows[k + 1]})"
             for name, k in zip(names, wrong[:3], strict=True)]
    guess = f"the data look like freq={found!r}" if found is not None and not same else "the steps are irregular"
    raise DataError(f"freq={freq.freq!r} disagrees with {wrong.size} of {int(inner.sum())} steps, {guess}. "
                    f"First: {few(steps, wrong.size)}", value=freq.freq, inferred=found, ids=names,
                    rows=rows[wrong[:3] + 1].tolist(),
                    hint="Put the data on a regular grid (group or resample)." if same else f"Pass freq={found!r}.")


def refuse_gaps(gaps: np.ndarray, times: np.ndarray, codes: np.ndarray, ids: np.ndarray, rows: np.ndarray,
                freq: Frequency) -> None:
    """Refuse what `find_gaps` found, naming the spans that are missing."""
    spans, names = [], [str(ids[codes[k]]) for k in gaps[:3]]
    for name, k in zip(names, gaps[:3], strict=True):
        first, last = freq.shift(times[k:k + 1])[0], freq.shift(times[k + 1:k + 2], -1)[0]
        span = stamp(first) if last == first else f"{stamp(first)} to {stamp(last)}"
        spans.append(f"{name} misses {span} (before row {rows[k + 1]})")
    hint = (f"fill_gaps='mask', or ndiv.data.fill_gaps(df, freq={freq.freq!r}), adds the missing rows with a null target, "
            "which means missing; or correct freq.")
    first = freq.shift(times[gaps])
    if freq.time_zone is None and summer_time(first) and (times[gaps + 1] - first <= np.timedelta64(1, "h")).all():
        hint = f"{_SUMMER.format('ds')} Or {hint}"
    raise DataError(f"{gaps.size} gaps: {few(spans, gaps.size)}", value=gaps.size, ids=names, rows=rows[gaps[:3] + 1].tolist(),
                    hint=hint)


_SUMMER = ("These look like local times across a change of daylight-saving time: give them their time zone, such as "
           "df['{}'].dt.tz_localize('Europe/Berlin', ambiguous='infer'), or convert them to UTC.")


def summer_time(times: np.ndarray) -> bool:
    """Whether times are all where zones change their clocks: on Sundays from 1 to 3 o'clock, in spring or autumn.

    >>> summer_time(np.array(["2024-03-31T02", "2024-10-27T02"], "datetime64[us]"))
    True
    """
    if times.dtype.kind != "M" or not times.size:
        return False
    days = times.astype("datetime64[D]")
    sunday = (days.astype(np.int64) + 3) % 7 == 6  # day 0, 1970-01-01, was a Thursday
    hour = (times - days).astype("timedelta64[h]").astype(np.int64)
    month = times.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return bool((sunday & (hour >= 1) & (hour <= 3) & np.isin(month, (3, 4, 9, 10, 11))).all())


def _same_steps(freq: Frequency, other: str | int, times: np.ndarray) -> bool:
    sample = times[:100]
    return bool((freq.shift(sample) == Frequency(other, freq.time_zone).shift(sample)).all())


def _on_grid(freq: Frequency, begin: Any, end: Any) -> bool:
    """True when ``end`` is a whole number of steps after ``begin``."""
    if freq.fixed is not None:
        return bool((end - begin) % freq.fixed == freq.fixed * 0)
    first, low, high = np.array([begin]), 1, 2
    while freq.shift(first, high)[0] < end:
        low, high = high, high * 2
    while low <= high:  # bisection: shifting is monotone in the number of steps
        middle = (low + high) // 2
        at = freq.shift(first, middle)[0]
        if at == end:
            return True
        low, high = (middle + 1, high) if at < end else (low, middle - 1)
    return False
