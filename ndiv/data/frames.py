"""pandas and polars long frames in, `SeriesStore` out, and forecasts back as the frame that came in.

Contract: a frame that `from_frame` accepts has unique, gap-free, finite, sorted series; one it refuses gets a coded
error that names the first culprits (id, time, row number counted from 0) and the way out. NaN or null in the target
is a missing value and no error. Columns are read through narwhals; all checks are whole-array operations.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, DataError, EmptyDataError, FeatureError, closest

from ._extras import need
from .categories import codes_of, distinct, ordered
from .frequency import Frequency, infer_freq
from .store import SeriesStore

__all__ = ["fill_gaps", "from_frame", "future_frame_values", "future_times", "to_frame"]

_FLOAT_LIMIT = float(np.finfo(np.float32).max)
_ONLY_SERIES = "series_1"  # the id given to a frame that has no id column


# -- reading columns -----------------------------------------------------------------------------------------------


class _Table:
    """A narwhals frame with checked access by column name. ``what`` names it in errors."""

    def __init__(self, df: Any, what: str = "df") -> None:
        self.what = what
        if isinstance(df, dict):
            df = need("pandas").DataFrame(df)
        self.nw = need("narwhals")
        try:
            self.frame = self.nw.from_native(df, eager_only=True)
        except TypeError:
            raise ConfigError(f"{what} must be a pandas or polars DataFrame, got {type(df).__name__}",
                              value=type(df).__name__, hint="Call .collect() on a lazy frame; use "
                              "ndiv.data.read_table(path) for a file.") from None
        except self.nw.exceptions.DuplicateError:
            names = list(df.columns)
            twice = sorted({str(c) for c in names if names.count(c) > 1})
            raise FeatureError(f"{what} has several columns named {', '.join(twice)}", value=twice,
                               hint="Rename or drop the extra ones.") from None
        self.columns = list(self.frame.columns)
        kind = self.frame.implementation
        if not (kind.is_pandas() or kind.is_polars()):
            raise ConfigError(f"{what} must be a pandas or polars DataFrame, got {type(df).__name__}",
                              value=type(df).__name__, hint="Convert it, for example with .to_pandas().")
        self.library = "polars" if kind.is_polars() else "pandas"

    def need(self, name: str, role: str) -> Any:
        if name not in self.columns:
            raise FeatureError(f"{self.what} has no {role} column {name!r}", value=name,
                               hint=closest(name, self.columns, "Columns"))
        return self.frame[name]


def _with_index(df: Any, columns: Sequence[str]) -> Any:
    """A pandas frame whose index holds the ids or times gets them back as columns."""
    names = [n for n in getattr(getattr(df, "index", None), "names", []) if n in columns and n not in df.columns]
    return df.reset_index(names) if names else df


def _few(labels: Sequence[str], count: int) -> str:
    return "; ".join(labels) + (f"; and {count - len(labels)} more" if count > len(labels) else "")


def _stamp(time: Any) -> str:
    """A time as a person writes it: no trailing zeros, midnight left out."""
    if not isinstance(time, np.datetime64):
        return str(time)
    text = str(time)
    head, _, fraction = text.partition(".")
    text = head + (f".{fraction.rstrip('0')}" if fraction.strip("0") else "")
    return text.removesuffix("T00:00:00").replace("T", " ")


def _rows_text(rows: np.ndarray) -> str:
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(str(r) for r in rows[:3])}"


def _numbers(table: _Table, name: str, role: str) -> np.ndarray:
    """A column as float64 [T], NaN where null; text is refused."""
    column = table.need(name, role)
    dtype, nw = column.dtype, table.nw
    if not (dtype.is_numeric() or dtype == nw.Boolean or dtype == nw.Object):
        return _refuse_text(table, name, role, _not_numbers(column), dtype, column)
    if dtype == nw.Object:  # pandas columns of Python objects: numbers, None and Decimal are fine
        raw = column.to_numpy()
        missing = column.is_null().to_numpy().astype(bool)
        bad = np.array([isinstance(v, (str, bytes)) for v in raw], bool) & ~missing
        values = np.full(len(raw), np.nan)
        try:
            values[~bad & ~missing] = raw[~bad & ~missing].astype(np.float64)
        except (TypeError, ValueError):
            bad |= ~missing
        if bad.any():
            return _refuse_text(table, name, role, np.flatnonzero(bad), dtype, column)
        return values
    return np.asarray(column.cast(nw.Float64).fill_null(float("nan")).to_numpy(), np.float64)


def _not_numbers(column: Any) -> np.ndarray:
    """The rows that cannot be read as numbers: one bad cell makes a whole CSV column text. All, where none stands out."""
    bad = []
    for row, value in enumerate(column.to_list()):
        try:
            float(value) if value is not None else None
        except (TypeError, ValueError):
            bad.append(row)
            if len(bad) == 3:
                break
    return np.array(bad or range(min(3, len(column))), dtype=int)


def _refuse_text(table: _Table, name: str, role: str, rows: np.ndarray, dtype: Any, column: Any) -> Any:
    samples = [repr(column[int(r)]) for r in rows[:3]]
    raise DataError(f"{table.what} column {name!r} ({role}) must hold numbers, but has type {dtype}: "
                    f"{', '.join(samples)} in {_rows_text(rows)}", value=name, rows=rows[:3].tolist(),
                    hint="Name it in cat_exog_list too if it holds categories; else convert it to numbers or leave it out."
                    if role.endswith("_exog") else "Convert it to numbers.")


def _read_times(table: _Table, time_col: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The time column as datetime64[us or ns] or int64 [T], and what is needed to give it back."""
    column, nw = table.need(time_col, "time"), table.nw
    dtype = column.dtype
    null = column.is_null().to_numpy().astype(bool)
    if null.any():
        rows = np.flatnonzero(null)
        raise DataError(f"{len(rows)} null times in {table.what} column {time_col!r}: {_rows_text(rows)}",
                        value=len(rows), rows=rows[:3].tolist(), hint="Drop or repair these rows.")
    if dtype.is_integer():
        return column.to_numpy().astype(np.int64), {"time_type": "int", "time_zone": None, "time_dtype": str(dtype)}
    origin = {"time_type": "datetime", "time_zone": None}
    if dtype == nw.Date:
        origin["time_type"] = "date"
        times = column.cast(nw.Datetime("us")).to_numpy()
    elif isinstance(dtype, nw.Datetime):
        origin["time_zone"] = dtype.time_zone
        if dtype.time_zone:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        times = column.to_numpy()
    elif dtype in (nw.String, nw.Object, nw.Categorical):
        times, origin["time_zone"] = _parse_times(table, time_col, np.asarray(column.to_list(), object))
    else:
        raise DataError(f"{table.what} column {time_col!r} must hold timestamps or integers, got {dtype}",
                        value=str(dtype), hint="Convert it, for example with pd.to_datetime or astype(int).")
    unit = "ns" if times.dtype == np.dtype("datetime64[ns]") else "us"
    return times.astype(f"datetime64[{unit}]"), origin


def _parse_times(table: _Table, time_col: str, raw: np.ndarray) -> tuple[np.ndarray, str | None]:
    pd = need("pandas")
    try:
        parsed = pd.DatetimeIndex(pd.to_datetime(raw, format="ISO8601", errors="coerce"))
        bad = np.flatnonzero(parsed.isna())
    except (ValueError, TypeError):  # mixed time zones and the like
        parsed, bad = None, np.arange(len(raw))
    if bad.size:
        samples = ", ".join(repr(v) for v in raw[bad[:3]])
        raise DataError(f"{table.what} column {time_col!r} holds text that is no ISO date: {samples} in "
                        f"{_rows_text(bad)}", value=raw[bad[0]], rows=bad[:3].tolist(),
                        hint="Write times as 2020-01-31 or 2020-01-31 13:00, or parse them with pd.to_datetime.")
    zone = str(parsed.tz) if parsed.tz is not None else None
    return (parsed.tz_convert("UTC").tz_localize(None) if zone else parsed).to_numpy(), zone


def _read_ids(table: _Table, id_col: str) -> tuple[np.ndarray, np.ndarray]:
    """(codes int64 [T], distinct ids in rising order [S])."""
    column = table.frame[id_col]
    null = column.is_null()
    if null.any():
        rows = np.flatnonzero(null.to_numpy())
        raise DataError(f"{len(rows)} null ids in {table.what} column {id_col!r}: {_rows_text(rows)}", value=len(rows),
                        rows=rows[:3].tolist(), hint="Give every row an id, or drop these rows.")
    if column.dtype in (table.nw.Categorical, table.nw.Enum):
        column = table.nw.from_native(column.to_native().astype(object), series_only=True) \
            if table.library == "pandas" else column.cast(table.nw.String)
    # Only the first row of each run of equal ids becomes a Python object; sorted frames have as many runs as series.
    if column.dtype.is_numeric():
        values = column.to_numpy()  # compared here, since shifting large integers would make them floats
        new = np.append(True, values[1:] != values[:-1])
        head_ids = values[new]
    else:
        changes = (column != column.shift(1)).fill_null(True)
        new = changes.to_numpy().astype(bool)
        head_ids = column.filter(changes).to_numpy()
    heads = np.flatnonzero(new)
    try:
        codes, ids = need("pandas").factorize(head_ids, sort=True)
    except TypeError:
        kinds = sorted({type(i).__name__ for i in head_ids.tolist()})
        raise DataError(f"{table.what} column {id_col!r} mixes types that have no order: {', '.join(kinds)}",
                        value=kinds, hint="Convert the ids to text.") from None
    lengths = np.diff(np.append(heads, len(column)))
    return np.repeat(codes, lengths), np.asarray(ids)


# -- checks --------------------------------------------------------------------------------------------------------


def _refuse_values(table: _Table, name: str, role: str, bad: np.ndarray, what: str, hint: str, ids: np.ndarray,
                   codes: np.ndarray, times: np.ndarray) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        culprits = [f"{ids[codes[r]]!s} at {_stamp(times[r])} (row {r})" for r in rows[:3]]
        raise DataError(f"{rows.size} {what} in {table.what} column {name!r} ({role}): {_few(culprits, rows.size)}",
                        value=name, hint=hint, rows=rows[:3].tolist(), ids=[ids[codes[r]] for r in rows[:3]])


def _refuse_duplicates(times: np.ndarray, codes: np.ndarray, ids: np.ndarray, rows: np.ndarray, what: str, id_col: str,
                       time_col: str) -> None:
    """``times`` and ``codes`` are sorted; ``rows`` are their places in the frame."""
    twice = np.flatnonzero((codes[1:] == codes[:-1]) & (times[1:] == times[:-1]))
    if twice.size:
        culprits = [f"{ids[codes[k]]!s} at {_stamp(times[k])} (rows {min(rows[k:k + 2])} and {max(rows[k:k + 2])})"
                    for k in twice[:3]]
        raise DataError(f"{twice.size} duplicate times in {what}: {_few(culprits, twice.size)}", value=twice.size,
                        rows=rows[twice[:3] + 1].tolist(), ids=[ids[codes[k]] for k in twice[:3]],
                        hint=f"Keep one row for each ({id_col}, {time_col}): pandas df.drop_duplicates([{id_col!r}, "
                             f"{time_col!r}]), polars df.unique([{id_col!r}, {time_col!r}]).")


def _check_steps(times: np.ndarray, offsets: np.ndarray, ids: np.ndarray, rows: np.ndarray, freq: Frequency,
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
    steps = [f"{name}: {_stamp(times[k])} to {_stamp(times[k + 1])} (row {rows[k + 1]})"
             for name, k in zip(names, wrong[:3], strict=True)]
    found = infer_freq(times, offsets, library, freq.time_zone)
    same = found is None or _same_steps(freq, found, times)
    sooner = (times[wrong + 1] < due[wrong]).any()
    off_grid = any(not _on_grid(freq, times[k], times[k + 1]) for k in wrong[:3])
    if sooner or off_grid or not same:
        guess = f"the data look like freq={found!r}" if found is not None and not same else "the steps are irregular"
        raise DataError(f"freq={freq.freq!r} disagrees with {wrong.size} of {int(inner.sum())} steps, {guess}. "
                        f"First: {_few(steps, wrong.size)}", value=freq.freq, inferred=found, ids=names,
                        rows=rows[wrong[:3] + 1].tolist(),
                        hint="Put the data on a regular grid (group or resample)." if same else f"Pass freq={found!r}.")
    spans = []
    for name, k in zip(names, wrong[:3], strict=True):
        last = freq.shift(times[k + 1:k + 2], -1)[0]
        span = _stamp(due[k]) if last == due[k] else f"{_stamp(due[k])} to {_stamp(last)}"
        spans.append(f"{name} misses {span} (before row {rows[k + 1]})")
    raise DataError(f"{wrong.size} gaps: {_few(spans, wrong.size)}", value=wrong.size, ids=names,
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


# -- public --------------------------------------------------------------------------------------------------------


def from_frame(df: Any, freq: Any = None, *, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
               hist_exog: Sequence[str] = (), futr_exog: Sequence[str] = (), stat_exog: Sequence[str] = (),
               static_df: Any = None, cat_exog: Sequence[str] = ()) -> SeriesStore:
    """A checked `SeriesStore` from a long frame: one row per series and time.

    Arguments: ``df``, pandas or polars (or a dict of columns), rows in any order; without an id column all rows are one
    series, named "series_1". ``freq``: a pandas alias, a polars duration, a whole number, or None to infer it; it is
    always verified against the data. ``hist_exog``, ``futr_exog``: columns of ``df``; ``stat_exog``: columns of
    ``static_df``, joined by id; ``cat_exog``: those of them that hold categories (text, whole numbers, booleans; missing
    ones too), which become codes, see `SeriesStore`. A column ``available_mask`` (0 or 1) marks target values to ignore.

    Raises `EmptyDataError` (E0003), `FeatureError` (E0004, a column is missing), `ConfigError` (E0010, unknown freq),
    `DataError` (E0011: duplicates, gaps, a freq that disagrees, null times or ids, text, infinities, NaN covariates,
    ids without statics).

    >>> store = from_frame({"ds": ["2020-01-02", "2020-01-01"], "y": [2.0, 1.0]}, freq="D")
    >>> store.y.tolist(), store.ids.tolist()
    ([1.0, 2.0], ['series_1'])
    """
    table = _Table(_with_index(df, (id_col, time_col)))
    if not len(table.frame):
        raise EmptyDataError("df has no rows", value=0, hint="Check the filter or the file that produced it.")
    table.need(time_col, "time"), table.need(target_col, "target")
    if id_col in table.columns:
        codes, ids = _read_ids(table, id_col)
    else:
        near = difflib.get_close_matches(id_col.lower(), [c.lower() for c in map(str, table.columns)], 1, 0.75)
        if near:
            table.need(id_col, "id")
        codes, ids = np.zeros(len(table.frame), np.int64), np.array([_ONLY_SERIES], object)
    times, origin = _read_times(table, time_col)
    step = None if freq is None else Frequency(freq, origin["time_zone"])
    if step:
        step.check(times)

    _check_listed(cat_exog, (*hist_exog, *futr_exog, *stat_exog))
    facts = (ids, codes, times)
    y = _numbers(table, target_col, "target")
    _refuse_values(table, target_col, "target", np.abs(y) > _FLOAT_LIMIT, "infinite or too large values",
                   "Replace them by null, which means missing, or rescale (float32 ends at 3e38).", *facts)
    known = ~np.isnan(y)
    if "available_mask" in table.columns:
        known &= _numbers(table, "available_mask", "mask") > 0
    coded = {name: _categories(table, name, role)
             for role, names in (("hist_exog", hist_exog), ("futr_exog", futr_exog)) for name in names if name in cat_exog}
    static, coded_static = _static_table(static_df, stat_exog, id_col), {}
    if static is not None:
        coded_static = {name: _categories(static, name, "stat_exog") for name in stat_exog if name in cat_exog}
    lists = [*coded.items(), *coded_static.items()]
    categories = {name: ordered([v for other, (_, values) in lists if other == name for v in values], f"column {name!r}")
                  for name, _ in lists}
    columns = {name: codes_of(*coded[name], categories[name]) if name in coded else _covariate(table, name, role, *facts)
               for role, names in (("hist_exog", hist_exog), ("futr_exog", futr_exog)) for name in names}

    rows = np.arange(len(y))
    later = codes[1:] - codes[:-1]
    if (later < 0).any() or ((later == 0) & (times[1:] < times[:-1])).any():
        rows = np.lexsort((times, codes))
        codes, times, y, known = codes[rows], times[rows], y[rows], known[rows]
        columns = {name: values[rows] for name, values in columns.items()}
    _refuse_duplicates(times, codes, ids, rows, "df", id_col, time_col)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))])
    if step is None:
        found = infer_freq(times, offsets, table.library, origin["time_zone"])
        if found is None:
            raise DataError("freq cannot be inferred from these times", value=None,
                            hint="Pass freq, for example 'D', '1mo' or 1; too few rows or irregular times say nothing.")
        step = Frequency(found, origin["time_zone"])
    _check_steps(times, offsets, ids, rows, step, table.library)

    def block(names: Sequence[str]) -> np.ndarray | None:
        return np.stack([columns[n] for n in names], axis=1) if names else None

    origin.update(library=table.library, id_col=id_col, time_col=time_col, target_col=target_col)
    return SeriesStore(ids, offsets, times, y, known, block(hist_exog), block(futr_exog),
                       _statics(static, stat_exog, ids, id_col, coded_static, categories), list(hist_exog), list(futr_exog),
                       list(stat_exog), step.freq, origin, categories)


def _covariate(table: _Table, name: str, role: str, ids: np.ndarray, codes: np.ndarray,
               times: np.ndarray) -> np.ndarray:
    values = _numbers(table, name, role)
    _refuse_values(table, name, role, ~(np.abs(values) <= _FLOAT_LIMIT), "missing or infinite values",
                   "Fill them (forward fill, 0, a mean) before fitting, or leave the column out.", ids, codes, times)
    return values.astype(np.float32)


def _check_listed(cat_exog: Sequence[str], others: Sequence[str]) -> None:
    for name in cat_exog:
        if name not in others:
            raise FeatureError(f"cat_exog names {name!r}, which is in none of hist_exog, futr_exog and stat_exog", value=name,
                               hint="name it in one of them too")


def _categories(table: _Table, name: str, role: str) -> tuple[np.ndarray, list[Any]]:
    """(places [T], values) of a column of categories, as `distinct` gives them."""
    column, nw = table.need(name, role), table.nw
    what = f"{table.what} column {name!r} ({role})"
    if column.dtype in (nw.Categorical, nw.Enum) and table.library == "polars":
        column = column.cast(nw.String)
    plain = column.dtype.is_numeric() and column.dtype != nw.Decimal and not column.is_null().any()
    return distinct(column.to_numpy() if plain else np.array([*column.to_list(), None], object)[:-1], what)


def _static_table(static_df: Any, names: Sequence[str], id_col: str) -> _Table | None:
    """The frame of static covariates; None where none are asked for."""
    if not names:
        return None
    if static_df is None:
        raise FeatureError(f"stat_exog {list(names)} needs static_df", value=list(names),
                           hint=f"Pass static_df with the columns {id_col} and {', '.join(names)}.")
    table = _Table(_with_index(static_df, (id_col,)), "static_df")
    if not len(table.frame):
        raise EmptyDataError("static_df has no rows", value=0)
    table.need(id_col, "id")
    return table


def _statics(table: _Table | None, names: Sequence[str], ids: np.ndarray, id_col: str, coded: dict[str, Any],
             categories: dict[str, list[Any]]) -> np.ndarray | None:
    """Static covariates [S, K] in the order of ``ids``; extra ids are ignored. ``coded``: columns of categories."""
    if table is None:
        return None
    codes, have = _read_ids(table, id_col)
    pd = need("pandas")
    counts = np.bincount(codes)
    if (counts > 1).any():
        twice = [str(i) for i in have[counts > 1]]
        raise DataError(f"{len(twice)} ids appear more than once in static_df: {_few(twice[:3], len(twice))}",
                        value=twice[:3], hint=f"Keep one row for each {id_col}.")
    place = pd.Index(have).get_indexer(pd.Index(ids))
    if (place < 0).any():
        lost = [str(i) for i in ids[place < 0]]
        raise DataError(f"{len(lost)} ids of df are not in static_df: {_few(lost[:3], len(lost))}", value=lost[:3],
                        hint="Add their rows to static_df, or drop these series.")
    row_of = np.empty(len(have), np.int64)
    row_of[codes] = np.arange(len(codes))
    times = np.full(len(codes), "-")
    values = np.stack([codes_of(coded[n][0], coded[n][1], categories[n]) if n in coded else
                       _covariate(table, n, "stat_exog", have, codes, times) for n in names], axis=1)
    return values[row_of[place]]


def fill_gaps(df: Any, freq: Any, *, start: Any = "per_serie", end: Any = "per_serie", id_col: str = "unique_id",
              time_col: str = "ds") -> Any:
    """The frame with a row for each missing time; its other columns are null there, which means missing in the target.

    ``start`` and ``end``: "per_serie", "global" or a time, as in utilsforecast, which does the work.

    >>> import pandas as pd
    >>> holes = pd.DataFrame({"unique_id": 1, "ds": [1, 2, 4], "y": [1.0, 2.0, 4.0]})
    >>> fill_gaps(holes, 1)["ds"].tolist()
    [1, 2, 3, 4]
    """
    table = _Table(df)
    table.need(id_col, "id"), table.need(time_col, "time")
    alias = Frequency(freq).alias(table.library)
    return need("utilsforecast.preprocessing").fill_gaps(df, freq=alias, start=start, end=end, id_col=id_col,
                                                         time_col=time_col)


def future_times(last_times: np.ndarray, freq: Any, h: int, time_zone: str | None = None) -> np.ndarray:
    """The ``h`` times after each of ``last_times`` [S], as [S, h].

    >>> future_times(np.array(["2020-01-31"], "datetime64[us]"), "ME", 2).astype("datetime64[D]").astype(str).tolist()
    [['2020-02-29', '2020-03-31']]
    """
    step = freq if isinstance(freq, Frequency) else Frequency(freq, time_zone)
    last = np.asarray(last_times)
    step.check(last)
    if step.fixed is not None:
        return (last[:, None] + np.arange(1, h + 1) * step.fixed).astype(last.dtype, copy=False)
    return np.stack([step.shift(last, n) for n in range(1, h + 1)], axis=1) if h else last[:, None][:, :0]


def future_frame_values(futr_df: Any, ids: np.ndarray, times: np.ndarray, names: Sequence[str], *,
                        id_col: str = "unique_id", time_col: str = "ds",
                        categories: dict[str, list[Any]] | None = None) -> tuple[np.ndarray, int]:
    """Future covariates aligned to forecasts: (float32 [S, h, F], number of rows of ``futr_df`` that were not used).

    Arguments: ``ids`` [S], ``times`` [S, h] (`future_times`), ``names`` the F columns; ``categories``: the values of
    columns that become codes, to which new ones are appended. Rows may come in any order.
    Raises `FeatureError` (E0004) for a missing column, `DataError` (E0011) for missing rows, duplicates, NaN, text.
    """
    table = _Table(_with_index(futr_df, (id_col, time_col)), "futr_df")
    if not len(table.frame):
        raise EmptyDataError("futr_df has no rows", value=0)
    table.need(time_col, "time")
    if id_col in table.columns:
        codes, have = _read_ids(table, id_col)
    elif len(ids) == 1:
        codes, have = np.zeros(len(table.frame), np.int64), np.asarray(ids)
    else:
        table.need(id_col, "id")
    given, _ = _read_times(table, time_col)
    if given.dtype.kind != times.dtype.kind:
        raise DataError(f"futr_df column {time_col!r} holds {given[:1].tolist()}, df holds {times[0, :1].tolist()}",
                        value=str(given.dtype), hint="Use the same type of times in both.")
    coded = categories or {}
    columns = [codes_of(*_categories(table, n, "futr_exog"), coded[n]) if n in coded else _numbers(table, n, "futr_exog")
               for n in names]
    values = np.stack(columns, axis=1)
    pd = need("pandas")
    owner = pd.Index(ids).get_indexer(pd.Index(have))[codes]
    if given.dtype.kind == "M":
        given = given.astype(times.dtype)
    order = np.lexsort((given, codes))
    _refuse_duplicates(given[order], codes[order], have, order, "futr_df", id_col, time_col)
    index = pd.MultiIndex.from_arrays([owner, given])
    series = np.repeat(np.arange(len(ids)), times.shape[1])
    rows = index.get_indexer(pd.MultiIndex.from_arrays([series, times.reshape(-1)]))  # ids unknown to df have owner -1
    lost = np.flatnonzero(rows < 0)
    if lost.size:
        culprits = [f"{ids[series[k]]!s} at {_stamp(times.reshape(-1)[k])}" for k in lost[:3]]
        raise DataError(f"futr_df lacks {lost.size} rows: {_few(culprits, lost.size)}", value=lost.size,
                        hint="make_future_dataframe() gives the rows needed, get_missing_future() those missing.")
    used = np.zeros(len(values), bool)
    used[rows] = True
    for k, name in enumerate(names):
        _refuse_values(table, name, "futr_exog", used & ~(np.abs(values[:, k]) <= _FLOAT_LIMIT),
                       "missing or infinite values", "Fill them before forecasting.", have, codes, given)
    return values[rows].astype(np.float32).reshape(*times.shape, len(names)), int((~used).sum())


def to_frame(ids: np.ndarray, times: np.ndarray, columns: dict[str, np.ndarray], like: Any = "pandas", *,
             id_col: str = "unique_id", time_col: str = "ds") -> Any:
    """A long frame of forecasts, in the library that the input had.

    Arguments: ``ids`` [S], ``times`` [S, h], each column [S, h] (or all flat [N]); ``like``: "pandas", "polars", a
    frame, or the ``origin`` of a `SeriesStore`, which also restores column names, dates and time zones.

    >>> to_frame(np.array(["a"]), np.array([[3, 4]]), {"NHITS": np.array([[0.5, 0.25]])})["ds"].tolist()
    [3, 4]
    """
    origin = like if isinstance(like, dict) else {}
    library = origin.get("library") or (like if isinstance(like, str) else _Table(like, "like").library)
    if library not in ("pandas", "polars"):
        raise ConfigError(f"unknown frame library {library!r}", value=library,
                          hint=closest(library, ["pandas", "polars"]))
    id_col, time_col = origin.get("id_col", id_col), origin.get("time_col", time_col)
    clock = np.asarray(times)
    names = np.asarray(ids) if clock.ndim == 1 else np.repeat(np.asarray(ids), clock.shape[1])
    flat = {id_col: names, time_col: clock.reshape(-1), **{k: np.asarray(v).reshape(-1) for k, v in columns.items()}}
    wrong = [k for k, v in flat.items() if len(v) != len(flat[time_col])]
    if wrong:
        raise ConfigError(f"columns {wrong} do not have {len(flat[time_col])} values", value=wrong)
    zone = origin.get("time_zone")
    if library == "polars":
        pl = need("polars", extra="polars")
        flat[id_col] = names.tolist() if names.dtype.kind in "OUT" else names
        frame = pl.DataFrame(flat)
        if origin.get("time_type") == "date":
            frame = frame.with_columns(pl.col(time_col).cast(pl.Date))
        elif origin.get("time_type") == "int" and hasattr(pl, origin.get("time_dtype", "")):
            frame = frame.with_columns(pl.col(time_col).cast(getattr(pl, origin["time_dtype"])))
        elif zone:
            frame = frame.with_columns(pl.col(time_col).dt.replace_time_zone("UTC").dt.convert_time_zone(zone))
        return frame
    pd = need("pandas")
    flat[id_col] = names.tolist() if names.dtype.kind in "OUT" else names
    frame = pd.DataFrame(flat)
    if zone:
        frame[time_col] = frame[time_col].dt.tz_localize("UTC").dt.tz_convert(zone)
    return frame
