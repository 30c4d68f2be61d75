"""Files: CSV (also .gz) and Parquet tables of series, and matrices for benchmarks.

Contract: `read_table` answers a long frame (unique_id, ds, y) whatever the layout of the file; `read_matrix` and
`air_passengers` need NumPy alone. A file that is missing or is not what it claims raises `FileError` (E0006) with its
path; a file without rows raises `EmptyDataError` (E0003).
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ndiv.errors import ConfigError, EmptyDataError, FeatureError, FileError, closest

from ._extras import need

__all__ = ["air_passengers", "read_matrix", "read_table"]

_SAMPLES = Path(__file__).parent / "samples"
_TIME_NAMES = ("ds", "date", "datetime", "time", "timestamp")
_LAYOUTS = ("long", "wide", "rows")
_MISSING = {"", "na", "nan", "null", "none"}


def _path(path: Any) -> Path:
    found = Path(path)
    if found.is_dir() and parquet_files(found):
        return found
    if not found.is_file():
        what = "is a folder" if found.is_dir() else "does not exist"
        raise FileError(f"{found} {what}", value=str(found),
                        hint="Pass the path of a CSV (.csv, .csv.gz) or Parquet file, or of a folder of Parquet files.")
    return found


# -- tables --------------------------------------------------------------------------------------------------------


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files below a folder, sorted; names that begin with a dot or underscore are left out, as Spark's marks."""
    return [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in (".parquet", ".pq") and f.is_file()
            and not any(part.startswith((".", "_")) for part in f.relative_to(folder).parts)]


def dataset_of(path: Path) -> Any:
    """A Parquet file or folder as a dataset of pyarrow; folders named key=value become columns."""
    need("pyarrow", extra="parquet")
    ds = need("pyarrow.dataset", extra="parquet")
    keys = ds.partitioning(flavor="hive")
    try:
        return ds.dataset(str(path), format="parquet", partitioning=keys if path.is_dir() else None)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise FileError(f"{path} is not readable as Parquet: {_first_line(error)}", value=str(path)) from None


def _load(path: Path) -> Any:
    """The file as a pandas frame, or `FileError`."""
    pd = need("pandas")
    name = path.name.lower()
    if path.is_dir() or name.endswith((".parquet", ".pq")):
        need("pyarrow", extra="parquet")
        try:
            return dataset_of(path).to_table().to_pandas() if path.is_dir() else pd.read_parquet(path)
        except FileError:
            raise
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these
            raise FileError(f"{path} is not readable as Parquet: {_first_line(error)}", value=str(path)) from None
    if name.removesuffix(".gz").endswith((".csv", ".txt")):
        try:
            return pd.read_csv(path, **exact_csv())
        except pd.errors.EmptyDataError:
            raise EmptyDataError(f"{path} has no rows", value=str(path)) from None
        except (OSError, EOFError, ValueError, zlib.error) as error:  # parser and Unicode errors are ValueErrors
            raise FileError(f"{path} is not a readable CSV file: {_first_line(error)}", value=str(path)) from None
    raise FileError(f"{path} has an unknown suffix", value=str(path), hint="Valid: .csv, .csv.gz, .parquet.")


def exact_csv() -> dict[str, str]:
    """Options with which pandas reads every float exactly; pandas 3 does so unasked."""
    return {} if int(need("pandas").__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _time_column(frame: Any, time_col: str) -> str | None:
    lower = {str(c).lower(): c for c in frame.columns}
    for name in (time_col.lower(), *_TIME_NAMES):
        if name in lower:
            return str(lower[name])
    first = frame.columns[0]
    kind = str(frame[first].dtype)
    if kind.startswith("datetime") or (kind in ("object", "str", "string") and _is_iso(frame[first].iloc[0])):
        return str(first)
    return None


def _is_iso(value: Any) -> bool:
    return isinstance(value, str) and re.match(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}", value) is not None


def _layout(frame: Any, time: str | None, id_col: str, target: str) -> str | None:
    columns = list(frame.columns)
    if time is not None:
        return "long" if id_col in columns or target in columns else "wide"
    numeric = [c for c in columns[1:] if str(frame[c].dtype).lower().startswith(("int", "float"))]
    return "rows" if len(columns) > 2 and len(numeric) == len(columns) - 1 else None


def read_table(path: Any, *, target: str | Sequence[str] | None = None, layout: str | None = None,
               id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y", library: str = "pandas") -> Any:
    """A long frame with ``id_col``, ``time_col`` and ``target_col`` from a CSV or Parquet file, or from a folder of
    Parquet files, plain or with sub-folders named key=value, which become columns.

    Layouts, detected unless given: "long" has one row per series and time; "wide" has a time column (first, or named
    ds, date, ...) and one column per series (ETT: ``date, HUFL, ..., OT``); "rows" has one series per row, its id first
    (M4: ``V1, V2, ...``), with times 1, 2, ... and empty cells at the end left out.
    ``target``: in a long file the column to call ``target_col``, in a wide one the column or columns to keep.
    ``library``: "pandas" or "polars".

    Raises `FileError` (E0006), `EmptyDataError` (E0003), `FeatureError` (E0004) for an unknown target, `ConfigError`.

    >>> frame = read_table(_SAMPLES / "AirPassengers.csv")
    >>> list(frame.columns), len(frame)
    (['unique_id', 'ds', 'y'], 144)
    """
    if layout is not None and layout not in _LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}", value=layout, hint=closest(layout, _LAYOUTS))
    if library not in ("pandas", "polars"):
        raise ConfigError(f"unknown library {library!r}", value=library, hint=closest(library, ["pandas", "polars"]))
    file = _path(path)
    frame = _load(file)
    if not len(frame) or not len(frame.columns):
        raise EmptyDataError(f"{file} has no rows", value=str(file))
    wanted = [] if target is None else [target] if isinstance(target, str) else list(target)
    for name in wanted:
        if name not in frame.columns:
            raise FeatureError(f"{file} has no column {name!r}", value=name,
                               hint=closest(name, frame.columns, "Columns"))
    time = _time_column(frame, time_col) if layout != "rows" else None
    if time is None and layout == "wide":
        time = str(frame.columns[0])
    long_target = wanted[0] if len(wanted) == 1 and id_col in frame.columns else target_col
    chosen = layout or _layout(frame, time, id_col, long_target)
    if chosen is None or (chosen != "rows" and time is None):
        raise FileError(f"{file} has no column of times and no layout that is known; columns: "
                        f"{', '.join(map(str, list(frame.columns)[:8]))}", value=str(file),
                        hint="Name the time column 'ds', or pass layout='long', 'wide' or 'rows'.")
    if chosen == "rows":
        columns = _melt_rows(frame)
    elif chosen == "wide":
        columns = _melt_wide(frame, str(time), wanted)
    else:
        renames = {str(time): time_col}
        if wanted:
            renames[wanted[0]] = target_col
        taken = frame.drop(columns=[new for old, new in renames.items() if old != new and new in frame.columns])
        return _finish(taken.rename(columns=renames), time_col, library)
    return _finish(need("pandas").DataFrame(dict(zip((id_col, time_col, target_col), columns, strict=True))), time_col,
                   library)


def _melt_wide(frame: Any, time: str, wanted: list[str]) -> tuple[np.ndarray, Any, np.ndarray]:
    pd = need("pandas")
    numeric = [c for c in frame.columns if str(frame[c].dtype).lower().startswith(("int", "float"))]
    names = wanted or [c for c in numeric if c != time]
    text = [c for c in names if c not in numeric]
    if text or not names:
        raise FeatureError(f"columns {text} hold no numbers" if text else f"no numeric column beside {time!r}",
                           value=text or time, hint="Name numeric columns as target.")
    values = frame[names].to_numpy(np.float64).T.reshape(-1)
    times = pd.concat([frame[time]] * len(names), ignore_index=True)
    return np.repeat(np.asarray(names, object), len(frame)), times, values


def _melt_rows(frame: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        values = frame.iloc[:, 1:].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise FeatureError(f"layout='rows' needs numbers after the first column: {_first_line(error)}") from None
    known = ~np.isnan(values)
    # Up to the last value of each row: holes inside a series stay, as missing values.
    lengths = values.shape[1] - np.argmax(known[:, ::-1], axis=1)
    lengths[~known.any(axis=1)] = 0
    inside = np.arange(values.shape[1]) < lengths[:, None]
    steps = np.broadcast_to(np.arange(1, values.shape[1] + 1), values.shape)
    return np.repeat(frame.iloc[:, 0].to_numpy(), lengths), steps[inside], values[inside]


def _finish(frame: Any, time_col: str, library: str) -> Any:
    """Text times that all read as dates become timestamps; others are left for `from_frame` to name."""
    pd = need("pandas")
    if str(frame[time_col].dtype) in ("object", "str", "string"):
        text = frame[time_col].astype("str").str.replace("/", "-", regex=False)
        for style in ("ISO8601", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
            parsed = pd.to_datetime(text, format=style, errors="coerce")
            if parsed.notna().all():
                frame = frame.assign(**{time_col: parsed})
                break
    if library == "pandas":
        return frame
    pl = need("polars", extra="polars")
    plain = {str(c): frame[c].tolist() if str(frame[c].dtype) in ("object", "str", "string", "category")
             else frame[c].to_numpy() for c in frame.columns}
    return pl.DataFrame(plain)


# -- matrices ------------------------------------------------------------------------------------------------------


def _open(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")


def _number(text: str) -> float:
    return float("nan") if text.strip().lower() in _MISSING else float(text)


def read_matrix(path: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(times [T] datetime64[s] or int64, values float64 [T, n], column names) of a wide CSV whose first column is time.

    Empty cells are NaN. NumPy and the standard library only. Raises `FileError` (E0006), `EmptyDataError` (E0003).

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = file.write_text("date,a,b\\n2020-01-01,1,2\\n2020-01-02,3,\\n")
    >>> read_matrix(file)[1].tolist()
    [[1.0, 2.0], [3.0, nan]]
    """
    file = _path(path)
    try:
        try:
            return _parse_matrix(file, None)
        except ValueError:
            # Slower, and only needed where a cell is empty or spelled NA.
            return _parse_matrix(file, _number)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        if isinstance(error, (FileError, EmptyDataError)):
            raise
        raise FileError(f"{file} is not a table of a time column and numbers: {_first_line(error)}",
                        value=str(file)) from None


def _parse_matrix(file: Path, converter: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    stamps: list[str] = []

    def numbers(lines: TextIO) -> Iterator[str]:
        for line in lines:
            stamp, comma, rest = line.rstrip("\r\n").partition(",")
            if comma:
                stamps.append(stamp.strip('" '))
                yield rest
            elif stamp.strip():
                raise ValueError(f"a line without a comma: {stamp[:40]!r}")

    with _open(file) as lines:
        header = next(csv.reader([next(lines, "")]), [])
        first = next(lines, None)
        if len(header) < 2 or first is None:
            raise EmptyDataError(f"{file} has no rows of a time column and numbers", value=str(file))

        def rows() -> Iterator[str]:
            yield from numbers(iter([first]))  # type: ignore[arg-type]
            yield from numbers(lines)

        values = np.loadtxt(rows(), delimiter=",", ndmin=2, quotechar='"', comments=None, converters=converter,
                            encoding=None)  # else NumPy 1 hands the converter bytes
    if values.shape != (len(stamps), len(header) - 1):
        raise ValueError(f"{values.shape[1]} numbers in a row, {len(header) - 1} names in the header")
    return _stamps(stamps), values, [name.strip() for name in header[1:]]


def _stamps(text: list[str]) -> np.ndarray:
    if all(t.lstrip("-").isdigit() and len(t) != 8 for t in text[:3]):
        return np.array(text, np.int64)
    try:
        return np.array(text, "datetime64[s]")
    except ValueError:
        style = "%Y/%m/%d %H:%M" if "/" in text[0] and ":" in text[0] else "%Y/%m/%d"
        return np.array([datetime.strptime(t, style) for t in text], "datetime64[s]")


def air_passengers() -> tuple[np.ndarray, np.ndarray]:
    """Monthly airline passengers 1949 to 1960 (Box and Jenkins): (month ends datetime64[D] [144], float64 [144]).

    >>> times, values = air_passengers()
    >>> str(times[0]), values[:3].tolist()
    ('1949-01-31', [112.0, 118.0, 132.0])
    """
    with open(_SAMPLES / "AirPassengers.csv", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return np.array([r["ds"] for r in rows], "datetime64[D]"), np.array([float(r["y"]) for r in rows])
