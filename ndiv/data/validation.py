"""What is in a table of series, and what `fit` would say to it: all of it at once, not the first error alone.

Contract: `validate` raises nothing for bad data. Its `DataReport` has a finding "refused" where fit with the same rules
raises, with the words of that error; "repaired" is what the rules mend, "note" what a person should know.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ndiv.errors import NdivError

from .assemble import Rows
from .checks import FLOAT_LIMIT, find_gaps, refuse_duplicates, refuse_gaps, refuse_rows
from .frames import AS_THEY_ARE, ids_of
from .frequency import Frequency, infer_freq
from .inputs import long_frame
from .rules import DataRules
from .statics import static_table, statics
from .tables import Table, categories_in, few, numbers, read_times, stamp, with_index

__all__ = ["DataReport", "Finding", "validate"]


@dataclass(frozen=True)
class Finding:
    """One thing found: ``kind`` in a word, ``level`` "refused", "repaired" or "note", the message and the way out."""

    kind: str
    level: str
    message: str
    hint: str = ""
    code: str = ""


@dataclass
class DataReport:
    """What `validate` found; it prints as text, `to_dict` and `to_json` are for programs. ``ok``: nothing is refused."""

    series: int = 0
    rows: int = 0
    lengths: tuple[int, float, int] = (0, 0.0, 0)  # shortest, median, longest
    begin: str = ""
    end: str = ""
    freq: str | int | None = None  # the one that was given, or else found
    missing: int = 0  # target values
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not any(f.level == "refused" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {**dataclasses.asdict(self), "lengths": list(self.lengths), "ok": self.ok}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1)

    def __str__(self) -> str:
        low, median, high = self.lengths
        lines = [f"{self.rows} rows" if not self.series else
                 f"{self.series} series, {self.rows} rows: {low} to {high} in each, median {median:g}"]
        if self.begin:
            lines.append(f"{self.begin} to {self.end}, freq {self.freq}, {self.missing} missing target values")
        for f in self.findings:
            lines.append(f"{f.level:9}{f.kind:13}{f.message}")
            if f.hint:
                lines.append(f"{'':22}{f.hint}")
        refused = sum(f.level == "refused" for f in self.findings)
        lines.append("fit would take these data" if self.ok else
                     f"fit would refuse these data for {refused} reason{'s' if refused > 1 else ''}")
        return "\n".join(lines)

    def refuse(self, kind: str, call: Callable[..., Any], *args: Any, level: str = "refused", **kwargs: Any) -> Any:
        """What the call gives; None and a finding where it raises."""
        try:
            return call(*args, **kwargs)
        except NdivError as error:
            self.findings.append(Finding(kind, level, error.message, error.hint or "", error.code))
            return None

    def note(self, kind: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(kind, "note", message, hint))


def validate(df: Any, freq: Any = None, *, h: int | None = None, input_size: int | None = None, id_col: str = "unique_id",
             time_col: str = "ds", target_col: str = "y", hist_exog: Sequence[str] = (), futr_exog: Sequence[str] = (),
             stat_exog: Sequence[str] = (), static_df: Any = None, cat_exog: Sequence[str] = (),
             rules: DataRules = AS_THEY_ARE) -> DataReport:
    """A report on a table of series, in any form that `NeuralForecast.fit` takes.

    ``h`` and ``input_size`` of the models to come say which series are too short; the other arguments are those of
    `from_frame`. Raises `ConfigError` (E0010) for an unknown freq, `FileError` (E0006) for a path that cannot be read.

    >>> report = validate({"unique_id": ["a", "a", "a"], "ds": [1, 2, 2], "y": [1.0, 2.0, 3.0]}, freq=1)
    >>> report.ok, report.findings[0].message
    (False, '1 duplicate times in df: a at 2 (rows 1 and 2)')
    """
    report = DataReport()
    if freq is not None:
        Frequency(freq)
    frame = long_frame(df, id_col=id_col, time_col=time_col, target_col=target_col)
    table = report.refuse("columns", lambda: Table(with_index(frame, (id_col, time_col))))
    if table is None:
        return report
    roles = {n: r for r, names in (("hist_exog", hist_exog), ("futr_exog", futr_exog)) for n in names}
    needed = {time_col: "time", target_col: "target", **roles}
    found = [report.refuse("columns", table.need, name, role) for name, role in needed.items()]
    report.rows = len(table.frame)
    if not report.rows:
        report.findings.append(Finding("empty", "refused", "df has no rows", "Check the filter or the file.", "E0003"))
    if not report.rows or any(column is None for column in found):
        return report
    read = _read(report, table, id_col, time_col, target_col, roles, cat_exog)
    if read is None:
        return report
    rows, zone = read
    _describe_unused(report, table, {id_col, time_col, target_col, "available_mask", *roles})
    rows = _regular(report, rows, freq, zone, table.library, id_col, time_col, rules)
    _series(report, rows, h, input_size, rules)
    static = report.refuse("statics", static_table, static_df, stat_exog, id_col)
    if static is not None:
        coded = {n: report.refuse("statics", categories_in, static, n, "stat_exog") for n in stat_exog if n in cat_exog}
        if None not in coded.values():
            words = {name: list(values) for name, (_, values) in coded.items()}
            report.refuse("statics", statics, static, stat_exog, rows.ids, id_col, coded, words)
    return report


def _read(report: DataReport, table: Table, id_col: str, time_col: str, target_col: str, roles: dict[str, str],
          cat_exog: Sequence[str]) -> tuple[Rows, str | None] | None:
    """The rows whose id and time can be read, with what is no number set to NaN; None where there are none."""
    keep = np.ones(len(table.frame), bool)
    for kind, name in (("ids", id_col), ("times", time_col)):
        if name in table.columns:
            null = table.frame[name].is_null().to_numpy().astype(bool)
            keep &= ~null
            places = np.flatnonzero(null)
            if places.size:
                report.findings.append(Finding(
                    kind, "refused", f"{places.size} null {kind} in df column {name!r}: rows "
                    f"{few([str(r) for r in places[:3]], places.size)}", "Drop or repair these rows.", "E0011"))
    if not keep.any():
        return None
    part = Table(table.frame.filter(keep.tolist()).to_native())
    who = report.refuse("ids", ids_of, part, id_col)
    when = report.refuse("times", read_times, part, time_col)
    if who is None or when is None:
        return None
    (ids, codes), (times, origin), places = who, when, np.flatnonzero(keep)

    def column(name: str, role: str) -> np.ndarray:
        found = report.refuse("text", numbers, table, name, role)
        values = np.full(len(keep), np.nan) if found is None else found
        bad = np.abs(values) > FLOAT_LIMIT
        report.refuse("infinities", refuse_rows, bad[keep], name, role, "infinite or too large values",
                      "Replace them by null, which means missing, or rescale (float32 ends at 3e38)." if role == "target" else
                      "Replace them (a mean, the last known value), or leave the column out.", ids, codes, times, places, "df")
        return np.where(bad, 0.0 if role != "target" else np.nan, 0.0 if found is None else values)[keep]

    y = column(target_col, "target")
    if "available_mask" in table.columns:
        mask = report.refuse("text", numbers, table, "available_mask", "mask")
        y = y if mask is None else np.where(mask[keep] > 0, y, np.nan)
    for name in roles:
        if name in cat_exog:
            report.refuse("categories", categories_in, table, name, roles[name])
    exog = [np.zeros(len(codes)) if name in cat_exog else column(name, role) for name, role in roles.items()]
    values = np.stack(exog, axis=1).astype(np.float32) if exog else np.zeros((len(codes), 0), np.float32)
    return Rows(ids, codes, times, y, values, list(roles), list(roles.values()), np.array([n in cat_exog for n in roles], bool),
                places), origin["time_zone"]


def _describe_unused(report: DataReport, table: Table, used: set[str]) -> None:
    """Columns that no list names: text is said to be that, since a model reads it as categories only."""
    other = [name for name in table.columns if name not in used]
    text = [name for name in other if not (table.frame[name].dtype.is_numeric() or table.frame[name].dtype == table.nw.Boolean)]
    if other:
        report.note("columns", f"no list names {', '.join(map(repr, other))}"
                    + (f"; {', '.join(map(repr, text))} hold{'s' if len(text) == 1 else ''} no numbers" if text else ""),
                    "hist_exog_list, futr_exog_list and, for categories, cat_exog_list of a model name the columns it reads.")


def _regular(report: DataReport, rows: Rows, freq: Any, zone: str | None, library: str, id_col: str, time_col: str,
             rules: DataRules) -> Rows:
    """Sorted rows without doubles; what was wrong with the times and covariates is reported."""
    rows = rows.take(np.lexsort((rows.times, rows.codes)))
    report.refuse("duplicates", refuse_duplicates, rows.times, rows.codes, rows.ids, rows.rows, "df", id_col, time_col,
                  level="refused" if rules.duplicates == "raise" else "repaired")
    same = (rows.codes[1:] == rows.codes[:-1]) & (rows.times[1:] == rows.times[:-1])
    rows = rows.take(np.flatnonzero(np.append(~same, True)))
    report.begin, report.end = stamp(rows.times.min()), stamp(rows.times.max())
    report.freq = freq if freq is not None else infer_freq(rows.times, rows.offsets, library, zone)
    fill = rules.exog_nan == "ffill"
    if report.freq is None:
        report.findings.append(Finding("freq", "refused", "freq cannot be inferred from these times",
                                       "Pass freq; too few rows or irregular times say nothing.", "E0011"))
    else:
        step = Frequency(report.freq, zone)
        mend = rules.fill_gaps == "mask"

        def steps() -> np.ndarray:
            step.check(rows.times)
            return find_gaps(rows.times, rows.offsets, rows.ids, rows.rows, step, library, mend=mend)

        gaps = report.refuse("freq", steps)
        if gaps is not None and gaps.size:
            mend = mend and (fill or bool(rows.coded.all()))
            report.refuse("gaps", refuse_gaps, gaps, rows.times, rows.codes, rows.ids, rows.rows, step,
                          level="repaired" if mend else "refused")
    first = rows.offsets[rows.codes]
    for k, name in enumerate(rows.names):
        bad = np.isnan(rows.exog[:, k])
        known = np.maximum.accumulate(np.where(bad, -1, np.arange(len(bad)))) >= first
        for part, level in ((bad & known & fill, "repaired"), (bad & ~(known & fill), "refused")):
            report.refuse("covariates", refuse_rows, part, name, rows.roles[k], "missing values",
                          "exog_nan='ffill' takes the last known value; or fill them, or leave the column out.", rows.ids,
                          rows.codes, rows.times, rows.rows, "df", level=level)
    return rows


def _series(report: DataReport, rows: Rows, h: int | None, input_size: int | None, rules: DataRules) -> None:
    """Lengths, missing values, series that are constant, unknown, or too short for the models to come."""
    offsets = rows.offsets
    lengths, y = np.diff(offsets), rows.y
    report.series, report.missing = len(rows.ids), int(np.isnan(y).sum())
    report.lengths = (int(lengths.min()), float(np.median(lengths)), int(lengths.max()))

    def named(which: np.ndarray) -> str:
        found = np.flatnonzero(which)
        return few([f"{rows.ids[s]} ({lengths[s]} rows)" for s in found[:3]], len(found))

    low, high = np.fmin.reduceat(y, offsets[:-1]), np.fmax.reduceat(y, offsets[:-1])
    unknown, constant = np.isnan(low), (low == high) & (lengths > 1)
    if unknown.any():
        report.note("unknown", f"{int(unknown.sum())} series have no known target value: {named(unknown)}", "Drop them.")
    if constant.any():
        report.note("constant", f"{int(constant.sum())} series are constant: {named(constant)}",
                    "A model learns nothing from them but their level.")
    ends = rows.times[offsets[1:] - 1]
    if (ends != ends.max()).any():
        late = ends != ends.max()
        report.note("ends", f"{int(late.sum())} series end before {stamp(ends.max())}: {named(late)}",
                    "Their forecasts begin earlier; a multivariate model aligns series on their last rows.")
    if input_size is None:
        return
    short = lengths < input_size + 1
    if short.any():
        kept = rules.short_series == "pad" or (rules.short_series == "drop" and not short.all())
        report.findings.append(Finding(
            "short", "repaired" if kept else "refused", f"{int(short.sum())} series are shorter than input_size={input_size} "
            f"and one step to forecast: {named(short)}", "short_series='pad' or 'drop', or a smaller input_size.", "E0005"))
    few_windows = ~short & (lengths < input_size + (h or 1))
    if few_windows.any():
        whole = input_size + (h or 1)
        report.note("windows", f"{int(few_windows.sum())} series have fewer than input_size + h = {whole} rows, so "
                    f"their windows lack targets: {named(few_windows)}", "A smaller input_size gives them whole windows.")
