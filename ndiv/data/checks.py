"""The checks that a frame of series must pass: finite values, unique times, regular steps.

Contract: each function returns nothing or raises `DataError` (E0011) that counts what is wrong, names the first culprits (id,
time, row) and says the way out. All are whole-array operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.errors import DataError

from .frequency import Frequency, infer_freq
from .tables import Table, few, numbers, stamp

__all__ = ["FLOAT_LIMIT", "check_steps", "covariate", "refuse_duplicates", "refuse_values"]

FLOAT_LIMIT = float(np.finfo(np.float32).max)


def refuse_values(table: Table, name: str, role: str, bad: np.ndarray, what: str, hint: str, ids: np.ndarray,
                   codes: np.ndarray, times: np.ndarray) -> None:
    """Refuse the rows ``bad`` [T] of a column, named by id, time and row."""
    rows = np.flatnonzero(bad)
    if rows.size:
        culprits = [f"{ids[codes[r]]!s} at {stamp(times[r])} (row {r})" for r in rows[:3]]
        raise DataError(f"{rows.size} {what} in {table.what} column {name!r} ({role}): {few(culprits, rows.size)}",
                        value=name, hint=hint, rows=rows[:3].tolist(), ids=[ids[codes[r]] for r in rows[:3]])


def covariate(table: Table, name: str, role: str, ids: np.ndarray, codes: np.ndarray,
               times: np.ndarray) -> np.ndarray:
    """A covariate as float32 [T]; text, NaN and infinities are refused."""
    values = numbers(table, name, role)
    refuse_values(table, name, role, ~(np.abs(values) <= FLOAT_LIMIT), "missing or infinite values",
                   "Fill them (forward fill, 0, a mean) before fitting, or leave the column out.", ids, codes, times)
    return values.astype(np.float32)


def refuse_duplicates(times: np.ndarray, codes: np.ndarray, ids: np.ndarray, rows: np.ndarray, what: str, id_col: str,
                       time_col: str) -> None:
    """``times`` and ``codes`` are sorted; ``rows`` are their places in the frame."""
    twice = np.flatnonzero((codes[1:] == codes[:-1]) & (times[1:] == times[:-1]))
    if twice.size:
        culprits = [f"{ids[codes[k]]!s} at {stamp(times[k])} (rows {min(rows[k:k + 2])} and {max(rows[k:k + 2])})"
                    for k in twice[:3]]
        raise DataError(f"{twice.size} duplicate times in {what}: {few(culprits, twice.size)}", value=twice.size,
                        rows=rows[twice[:3] + 1].tolist(), ids=[ids[codes[k]] for k in twice[:3]],
                        hint=f"Keep one row for each ({id_col}, {time_col}): pandas df.drop_duplicates([{id_col!r}, "
                             f"{time_col!r}]), polars df.unique([{id_col!r}, {time_col!r}]).")


def check_steps(times: np.ndarray, offsets: np.ndarray, ids: np.ndarray, rows: np.ndarray, freq: Frequency,
                 library: str) -> None:
    """Every step within a series must be one ``freq``; tells gaps from a frequency that disagrees."""
    inner = np.ones(len(times) - 1, bool)
    inner[offsets[1:-1] - 1] = False
    due = freq.shift(times[:-1])
    wrong = np.flatnonzero(inner & (times[1:] != due))
    if not wrong.size:
        return
    owner = np.searchsorted(offsets, wrong[:3], side="right") - 1
    names = [str(ids[s]) for s in owner]
    steps = [f"{name}: {stamp(times[k])} to {stamp(times[k + 1])} (row {rows[k + 1]})"
             for name, k in zip(names, wrong[:3], strict=True)]
    found = infer_freq(times, offsets, library, freq.time_zone)
    same = found is None or _same_steps(freq, found, times)
    sooner = (times[wrong + 1] < due[wrong]).any()
    off_grid = any(not _on_grid(freq, times[k], times[k + 1]) for k in wrong[:3])
    if sooner or off_grid or not same:
        guess = f"the data look like freq={found!r}" if found is not None and not same else "the steps are irregular"
        raise DataError(f"freq={freq.freq!r} disagrees with {wrong.size} of {int(inner.sum())} steps, {guess}. "
                        f"First: {few(steps, wrong.size)}", value=freq.freq, inferred=found, ids=names,
                        rows=rows[wrong[:3] + 1].tolist(),
                        hint="Put the data on a regular grid (group or resample)." if same else f"Pass freq={found!r}.")
    spans = []
    for name, k in zip(names, wrong[:3], strict=True):
        last = freq.shift(times[k + 1:k + 2], -1)[0]
        span = stamp(due[k]) if last == due[k] else f"{stamp(due[k])} to {stamp(last)}"
        spans.append(f"{name} misses {span} (before row {rows[k + 1]})")
    raise DataError(f"{wrong.size} gaps: {few(spans, wrong.size)}", value=wrong.size, ids=names,
                    rows=rows[wrong[:3] + 1].tolist(),
                    hint=f"ndiv.data.fill_gaps(df, freq={freq.freq!r}) adds the missing rows with a null target, which "
                         "means missing; or correct freq.")


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
