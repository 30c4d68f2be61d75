"""Rows in any order in, sorted series without doubles and gaps out, by the rules that the user chose.

Contract: `assemble` gives rows sorted by series and time, exactly one frequency apart, covariates without NaN; what the
`DataRules` do not repair is refused by name. Whole-array operations on plain arrays: frames and chunks of files alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.errors import DataError

from .checks import FLOAT_LIMIT, find_gaps, refuse_duplicates, refuse_gaps, refuse_rows
from .frequency import Frequency, infer_freq
from .rules import DataRules

__all__ = ["Rows", "Source", "assemble"]


@dataclass
class Source:
    """Where rows come from, for messages and for the spelling of frequencies."""

    id_col: str = "unique_id"
    time_col: str = "ds"
    library: str = "pandas"
    time_zone: str | None = None
    what: str = "df"


@dataclass
class Rows:
    """Rows of many series. ``codes`` [T] are places in ``ids`` [S], rising ids; ``y`` float64 [T], NaN where missing; ``exog``
    float32 [T, C] with ``names`` and ``roles`` [C], codes where ``coded`` [C]; ``rows`` [T]: places in the frame, -1 for a
    row that was put in."""

    ids: np.ndarray
    codes: np.ndarray
    times: np.ndarray
    y: np.ndarray
    exog: np.ndarray
    names: list[str]
    roles: list[str]
    coded: np.ndarray
    rows: np.ndarray

    def take(self, index: Any) -> Rows:
        """Some of the rows, or all in another order."""
        return Rows(self.ids, self.codes[index], self.times[index], self.y[index], self.exog[index], self.names, self.roles,
                    self.coded, self.rows[index])

    @property
    def offsets(self) -> np.ndarray:
        """Where each series begins, int64 [S + 1], once the rows are sorted."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.codes, minlength=len(self.ids)))])


def assemble(rows: Rows, step: Frequency | None, rules: DataRules, source: Source) -> tuple[Rows, Frequency]:
    """(sorted rows as the contract says, the frequency: ``step`` or what the longest series shows).

    Raises `DataError` (E0011): duplicates, gaps, a frequency that disagrees or cannot be inferred, unknown covariates.
    """
    later = rows.codes[1:] - rows.codes[:-1]
    if (later < 0).any() or ((later == 0) & (rows.times[1:] < rows.times[:-1])).any():
        rows = rows.take(np.lexsort((rows.times, rows.codes)))  # stable: equal times stay in the frame's order
    rows = _unique(rows, rules, source)
    if step is None:
        found = infer_freq(rows.times, rows.offsets, source.library, source.time_zone)
        if found is None:
            raise DataError("freq cannot be inferred from these times", value=None,
                            hint="Pass freq, for example 'D', '1mo' or 1; too few rows or irregular times say nothing.")
        step = Frequency(found, source.time_zone)
    gaps = find_gaps(rows.times, rows.offsets, rows.ids, rows.rows, step, source.library, mend=rules.fill_gaps == "mask")
    if gaps.size and rules.fill_gaps == "raise":
        refuse_gaps(gaps, rows.times, rows.codes, rows.ids, rows.rows, step)
    if gaps.size:
        rows = _filled(rows, gaps, step)
    return _known(rows, rules, source, bool(gaps.size)), step


def _unique(rows: Rows, rules: DataRules, source: Source) -> Rows:
    """One row for each series and time."""
    same = (rows.codes[1:] == rows.codes[:-1]) & (rows.times[1:] == rows.times[:-1])
    if not same.any():
        return rows
    if rules.duplicates == "raise":
        refuse_duplicates(rows.times, rows.codes, rows.ids, rows.rows, source.what, source.id_col, source.time_col)
    last = np.flatnonzero(np.append(~same, True))
    kept = rows.take(last)
    if rules.duplicates == "mean":
        begin = np.append(0, last[:-1] + 1)
        kept.y = _means(rows.y, begin)
        for k in np.flatnonzero(~rows.coded):
            kept.exog[:, k] = _means(rows.exog[:, k].astype(np.float64), begin)
    return kept


def _means(values: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """Means of runs of values that start at ``begin``, of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    counts = np.add.reduceat(known.astype(np.int64), begin)
    sums = np.add.reduceat(np.where(known, values, 0.0), begin)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _filled(rows: Rows, gaps: np.ndarray, step: Frequency) -> Rows:
    """The rows with one for each missing time; ``gaps`` are the rows before them."""
    places, times = [], []
    at, now = gaps, step.shift(rows.times[gaps])
    while at.size:
        places.append(at)
        times.append(now)
        now = step.shift(now)
        short = now < rows.times[at + 1]
        at, now = at[short], now[short]
    where, clock = np.concatenate(places), np.concatenate(times)
    n = len(where)
    unknown = np.full((n, rows.exog.shape[1]), np.nan, np.float32)
    weight = np.array([role == "weight" for role in rows.roles], bool)
    unknown[:, weight] = rows.exog[where][:, weight]  # that of the row before, for its target is missing anyway
    merged = Rows(rows.ids, np.append(rows.codes, rows.codes[where]), np.append(rows.times, clock),
                  np.append(rows.y, np.full(n, np.nan)),
                  np.concatenate([rows.exog, unknown]), rows.names, rows.roles,
                  rows.coded, np.append(rows.rows, np.full(n, -1)))
    return merged.take(np.lexsort((merged.times, merged.codes)))


def _known(rows: Rows, rules: DataRules, source: Source, filled: bool) -> Rows:
    """The rows without a covariate that is NaN."""
    if not np.isnan(rows.exog).any():
        return rows
    exog = rows.exog.copy()
    if rules.exog_nan == "ffill":
        starts = rows.offsets[rows.codes]
        for k in range(exog.shape[1]):
            known = np.maximum.accumulate(np.where(np.isnan(exog[:, k]), -1, np.arange(len(exog))))
            exog[:, k] = np.where(known >= starts, exog[known, k], np.nan)
    exog[:, rows.coded] = np.nan_to_num(exog[:, rows.coded])  # code 0: a category that is missing
    mended = Rows(rows.ids, rows.codes, rows.times, rows.y, exog, rows.names, rows.roles, rows.coded, rows.rows)
    for k, name in enumerate(rows.names):
        hint = "Fill them (a mean, 0) before fitting, or leave the column out; exog_nan='ffill' takes the last known value."
        if rules.exog_nan == "ffill":
            hint = "exog_nan='ffill' has nothing before these rows: fill them, or leave them or the column out."
        elif filled:
            hint = "fill_gaps='mask' put rows in whose covariates nobody knows; exog_nan='ffill' takes the last known value."
        refuse_rows(~(np.abs(exog[:, k]) <= FLOAT_LIMIT), name, rows.roles[k], "missing or infinite values", hint, mended.ids,
                    mended.codes, mended.times, mended.rows, source.what)
    return mended
