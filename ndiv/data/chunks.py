"""Tables by pieces: chunks of a CSV file, record batches of a file or folder of Parquet; and whether a table needs it.

Contract: `chunks` yields (pandas frame of the columns asked for, number of its first row), never more than ``rows_at_once``
rows at a time; a column that the file lacks is left out, for the reader to name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ndiv.errors import EmptyDataError, FileError

from ._extras import need
from .readers import _finish, _first_line, _layout, _path, _time_column, dataset_of, exact_csv

__all__ = ["available_memory", "chunks", "is_long", "too_large"]


def chunks(path: Any, id_col: str, time_col: str, others: Sequence[str], rows_at_once: int) -> Iterator[tuple[Any, int]]:
    """The pieces of a long table, in order. Raises `FileError` (E0006) where the file is not what it claims."""
    file, wanted = _path(path), [id_col, time_col, *others]
    first = 0
    try:
        for frame in (_parquet if _is_parquet(file) else _csv)(file, id_col, time_col, wanted, rows_at_once):
            yield _finish(frame, time_col, "pandas") if time_col in frame else frame, first
            first += len(frame)
    except (OSError, EOFError, ValueError) as error:
        if hasattr(error, "code"):
            raise
        raise FileError(f"{file} is not readable: {_first_line(error)}", value=str(file)) from None


def _parquet(file: Path, id_col: str, time_col: str, wanted: list[str], rows_at_once: int) -> Iterator[Any]:
    pq, ds = need("pyarrow.parquet", extra="parquet"), need("pyarrow.dataset", extra="parquet")
    for fragment in dataset_of(file).get_fragments():
        keys = ds.get_partition_keys(fragment.partition_expression)
        with pq.ParquetFile(fragment.path) as table:
            names = _renamed(table.schema_arrow.names, time_col)
            columns = [old for old, new in names.items() if new in wanted]
            for batch in table.iter_batches(rows_at_once, columns=columns):
                frame = batch.to_pandas().rename(columns=names)
                yield frame.assign(**{name: value for name, value in keys.items() if name in wanted})


def _csv(file: Path, id_col: str, time_col: str, wanted: list[str], rows_at_once: int) -> Iterator[Any]:
    pd = need("pandas")
    try:
        header = pd.read_csv(file, nrows=0).columns
    except pd.errors.EmptyDataError:
        raise EmptyDataError(f"{file} has no rows", value=str(file)) from None
    names = _renamed(header, time_col)
    columns = [old for old, new in names.items() if new in wanted]
    whole = _whole_number_ids(file, id_col, rows_at_once) if id_col in columns else True
    kinds = {} if whole else {id_col: str}  # one type for all chunks, the one that the whole file has
    for frame in pd.read_csv(file, chunksize=rows_at_once, usecols=columns, dtype=kinds, **exact_csv()):
        yield frame.rename(columns=names)


def _whole_number_ids(file: Path, id_col: str, rows_at_once: int) -> bool:
    """Whether every id in a CSV file is a whole number; the first that is not ends the look."""
    pd = need("pandas")
    for frame in pd.read_csv(file, chunksize=rows_at_once, usecols=[id_col]):
        if not str(frame[id_col].dtype).startswith("int"):
            return False
    return True


def _renamed(header: Sequence[Any], time_col: str) -> dict[str, str]:
    """Old name -> new name, the column of times being found as `read_table` finds it."""
    pd = need("pandas")
    names = {str(c): str(c) for c in header}
    time = _time_column(pd.DataFrame(columns=list(names), index=[0], dtype=float), time_col)
    if time is not None and time_col not in names:
        names[time] = time_col
    return names


def _is_parquet(file: Path) -> bool:
    return file.is_dir() or file.name.lower().endswith((".parquet", ".pq"))


def available_memory() -> int:
    """Bytes that a process can take without swapping; a huge number where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 1 << 62


def too_large(path: Any) -> bool:
    """Whether reading a table whole would take more than half of the memory that is left.

    A frame of text ids, its checks and its store take about 5 times a CSV file, 25 times a compressed one, and 200 bytes a row
    of Parquet with 8 more for each column.
    """
    file = _path(path)
    if _is_parquet(file):
        data = dataset_of(file)
        size = data.count_rows() * (200 + 8 * len(data.schema.names))
    else:
        size = os.path.getsize(file) * (25 if file.name.lower().endswith(".gz") else 5)
    return size > available_memory() // 2


def is_long(path: Any, id_col: str, time_col: str, target_col: str) -> bool:
    """Whether a table has one row for each series and time, by its first rows; wide ones cannot be streamed."""
    file, pd = _path(path), need("pandas")
    head = dataset_of(file).head(5).to_pandas() if _is_parquet(file) else pd.read_csv(file, nrows=5)
    return _layout(head, _time_column(head, time_col), id_col, target_col) == "long"
