"""Reading columns of pandas and polars frames, checked: numbers, times, ids, categories.

Contract: a `Table` is a frame of either library with access by column name; each reader below gives plain arrays in the order
of the frame's rows, or raises a coded error that names the column and the first rows (counted from 0) that are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, DataError, FeatureError, closest

from ._extras import need
from .categories import distinct
from .inputs import eager

__all__ = ["Table", "categories_in", "few", "numbers", "read_ids", "read_times", "rows_text", "stamp", "with_index"]


_SMALL = 4096  # rows up to which ids are looked at as Python objects
_CLOCKS = (np.dtype("datetime64[us]"), np.dtype("datetime64[ns]"))


class Table:
    """A frame, pandas or polars alike (through narwhals). ``what`` names it in errors, rows are counted from
    ``first_row``, which is not 0 for a later chunk of a file."""

    def __init__(self, df: Any, what: str = "df", first_row: int = 0) -> None:
        self.what, self.first_row = what, first_row
        df = eager(df)
        self.nw = need("narwhals")
        try:
            self.frame = self.nw.from_native(df, eager_only=True)
        except TypeError:
            raise ConfigError(f"{what} must be a pandas or polars DataFrame, got {type(df).__name__}",
                              value=type(df).__name__, hint="Convert it, for example to a dict of columns.") from None
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
        self._read: dict[str, Any] = {}

    def check(self, name: str, role: str) -> None:
        """`FeatureError` (E0004) with the nearest name where there is no such column."""
        if name not in self.columns:
            hint = closest(name, self.columns, "Columns")
            near = _other_name(name, role, self.columns) if "Did you mean" not in hint else None
            if near is not None:
                hint = f"Did you mean {near!r}? Pass {role}_col={near!r}, or rename it. {hint}"
            raise FeatureError(f"{self.what} has no {role} column {name!r}", value=name, hint=hint)

    def need(self, name: str, role: str) -> Any:
        """The column, or `FeatureError` (E0004) with the nearest name."""
        self.check(name, role)
        found = self._read.get(name)
        if found is None:  # looking one up takes as long as reading a hundred rows of it
            found = self._read[name] = self.frame[name]
        return found

    def plain(self, name: str) -> np.ndarray | None:
        """A pandas column of a NumPy type as it is, without what it takes to find out about other types; else None."""
        if self.library != "pandas":
            return None
        native = self.frame.to_native()[name]
        return native.to_numpy() if isinstance(native.dtype, np.dtype) else None


_USUAL = {"id": ("unique_id", "id", "item_id", "series_id", "series"), "target": ("y", "value", "target", "sales"),
          "time": ("ds", "date", "datetime", "timestamp", "time")}


def _other_name(name: str, role: str, columns: Sequence[str]) -> str | None:
    """A column that is likely to be the id, time or target under another name: written in another case, or a usual name."""
    lower = {str(c).lower(): str(c) for c in reversed(columns)}
    return next((lower[n] for n in (name.lower(), *_USUAL.get(role, ())) if n in lower), None) if role in _USUAL else None


def with_index(df: Any, columns: Sequence[str]) -> Any:
    """A pandas frame whose index holds the ids or times gets them back as columns."""
    names = [n for n in getattr(getattr(df, "index", None), "names", []) if n in columns and n not in df.columns]
    return df.reset_index(names) if names else df


def few(labels: Sequence[str], count: int) -> str:
    """The first labels of ``count``, for a message."""
    return "; ".join(labels) + (f"; and {count - len(labels)} more" if count > len(labels) else "")


def stamp(time: Any) -> str:
    """A time as a person writes it: no trailing zeros, midnight left out."""
    if not isinstance(time, np.datetime64):
        return str(time)
    text = str(time)
    head, _, fraction = text.partition(".")
    text = head + (f".{fraction.rstrip('0')}" if fraction.strip("0") else "")
    return text.removesuffix("T00:00:00").replace("T", " ")


def rows_text(rows: np.ndarray) -> str:
    """Rows for a message: row 3; rows 3, 4, 5."""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(str(r) for r in rows[:3])}"


def numbers(table: Table, name: str, role: str) -> np.ndarray:
    """A column as float64 [T], NaN where null; text is refused."""
    table.check(name, role)
    raw = table.plain(name)
    if raw is not None and raw.dtype.kind in "fiu":
        return raw.astype(np.float64)
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


def _refuse_text(table: Table, name: str, role: str, rows: np.ndarray, dtype: Any, column: Any) -> Any:
    samples = [repr(column[int(r)]) for r in rows[:3]]
    raise DataError(f"{table.what} column {name!r} ({role}) must hold numbers, but has type {dtype}: "
                    f"{', '.join(samples)} in {rows_text(rows + table.first_row)}", value=name,
                    rows=(rows[:3] + table.first_row).tolist(),
                    hint="Name it in cat_exog_list too if it holds categories; else convert it to numbers or leave it out."
                    if role.endswith("_exog") else "Convert it to numbers.")


def read_times(table: Table, time_col: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The time column as datetime64[us or ns] or int64 [T], and what is needed to give it back."""
    table.check(time_col, "time")
    raw = table.plain(time_col)
    if raw is not None and raw.dtype in _CLOCKS and not np.isnat(raw).any():
        return raw.copy(), {"time_type": "datetime", "time_zone": None}
    column, nw = table.need(time_col, "time"), table.nw
    dtype = column.dtype
    null = column.is_null().to_numpy().astype(bool)
    if null.any():
        rows = np.flatnonzero(null)
        raise DataError(f"{len(rows)} null times in {table.what} column {time_col!r}: {rows_text(rows + table.first_row)}",
                        value=len(rows), rows=(rows[:3] + table.first_row).tolist(), hint="Drop or repair these rows.")
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
    elif dtype == nw.Unknown and getattr(column.to_native().dtype, "tz", None) is not None:
        # narwhals does not read zones of pandas whose names are more than letters and a stroke, such as America/New_York
        native = column.to_native()
        origin["time_zone"] = str(native.dtype.tz)
        times = native.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    else:
        raise DataError(f"{table.what} column {time_col!r} must hold timestamps or integers, got {dtype}",
                        value=str(dtype), hint="Convert it, for example with pd.to_datetime or astype(int).")
    unit = "ns" if times.dtype == np.dtype("datetime64[ns]") else "us"
    return times.astype(f"datetime64[{unit}]"), origin


def _parse_times(table: Table, time_col: str, raw: np.ndarray) -> tuple[np.ndarray, str | None]:
    pd = need("pandas")
    try:
        parsed = pd.DatetimeIndex(pd.to_datetime(raw, format="ISO8601", errors="coerce"))
        bad = np.flatnonzero(parsed.isna())
    except (ValueError, TypeError):  # mixed time zones and the like
        parsed, bad = None, np.arange(len(raw))
    if bad.size:
        samples = ", ".join(repr(v) for v in raw[bad[:3]])
        raise DataError(f"{table.what} column {time_col!r} holds text that is no ISO date: {samples} in "
                        f"{rows_text(bad + table.first_row)}", value=raw[bad[0]], rows=(bad[:3] + table.first_row).tolist(),
                        hint="Write times as 2020-01-31 or 2020-01-31 13:00, or parse them with pd.to_datetime.")
    zone = str(parsed.tz) if parsed.tz is not None else None
    return (parsed.tz_convert("UTC").tz_localize(None) if zone else parsed).to_numpy(), zone


def read_ids(table: Table, id_col: str) -> tuple[np.ndarray, np.ndarray]:
    """(codes int64 [T], distinct ids in rising order [S])."""
    if 0 < len(table.frame) <= _SMALL:
        values = table.frame.to_native()[id_col].to_list()
        if isinstance(values[0], str) and values.count(values[0]) == len(values):  # one series
            return np.zeros(len(values), np.int64), np.array(values[:1], object)
    column = table.need(id_col, "id")
    null = column.is_null()
    if null.any():
        rows = np.flatnonzero(null.to_numpy())
        raise DataError(f"{len(rows)} null ids in {table.what} column {id_col!r}: {rows_text(rows + table.first_row)}",
                        value=len(rows), rows=(rows[:3] + table.first_row).tolist(),
                        hint="Give every row an id, or drop these rows.")
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


def categories_in(table: Table, name: str, role: str) -> tuple[np.ndarray, list[Any]]:
    """(places [T], values) of a column of categories, as `distinct` gives them."""
    column, nw = table.need(name, role), table.nw
    what = f"{table.what} column {name!r} ({role})"
    if column.dtype in (nw.Categorical, nw.Enum) and table.library == "polars":
        column = column.cast(nw.String)
    plain = column.dtype.is_numeric() and column.dtype != nw.Decimal and not column.is_null().any()
    return distinct(column.to_numpy() if plain else np.array([*column.to_list(), None], object)[:-1], what)
