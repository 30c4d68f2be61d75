"""Whatever a person has, as one long frame: paths, lazy frames, Arrow tables, dicts, arrays, a bare series.

Contract: `long_frame` answers a pandas or polars frame, the one that was given where it is one already. Arrays get ids
0, 1, ... and times 0, 1, ...; pandas stands for what has no kind of frame of its own (paths, arrays, Arrow tables).
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from ndiv.errors import ConfigError

from ._extras import need
from .readers import read_table

__all__ = ["eager", "long_frame"]


def long_frame(data: Any, *, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y") -> Any:
    """A long frame of ``data``.

    A path is read (`read_table`). A 1-D array, a list of numbers or a polars Series is one series without an id; a list of
    such, one series each; a pandas Series has its times in its index. Frames, lazy frames, Arrow tables and dicts of
    columns are taken as they are. Raises `ConfigError` (E0010) for anything else, and what `read_table` raises.

    >>> long_frame([[1.0, 2.0], [5.0]])["unique_id"].tolist()
    [0, 0, 1]
    """
    if isinstance(data, (str, os.PathLike)):
        return read_table(data, id_col=id_col, time_col=time_col, target_col=target_col)
    pd, pl = sys.modules.get("pandas"), sys.modules.get("polars")  # what is not imported cannot have been given
    if pd is not None and isinstance(data, pd.Series):
        index = data.index.to_timestamp() if isinstance(data.index, pd.PeriodIndex) else data.index
        return pd.DataFrame({time_col: index, target_col: data.to_numpy()})
    if pl is not None and isinstance(data, pl.Series):
        data = data.to_numpy()
    if isinstance(data, (list, tuple, np.ndarray)):
        many = isinstance(data, (list, tuple)) and any(np.ndim(part) for part in data)
        parts = [_one(part, k if many else None) for k, part in enumerate(data if many else [data])]
        columns = {time_col: np.concatenate([np.arange(len(part)) for part in parts]), target_col: np.concatenate(parts)}
        ids = {id_col: np.repeat(np.arange(len(parts)), [len(part) for part in parts])} if many else {}
        return need("pandas").DataFrame({**ids, **columns})
    found = eager(data)
    if not hasattr(found, "columns"):
        raise ConfigError(f"a table must be a DataFrame, a path, a dict of columns or arrays, got {type(data).__name__}",
                          value=type(data).__name__, hint="Convert it, for example to a dict of columns.")
    return found


def _one(values: Any, place: int | None) -> np.ndarray:
    """The values of one series, whose list may hold None."""
    what = "the array" if place is None else f"series {place}"
    try:
        found = np.asarray(values)
        found = found if found.dtype.kind in "fiub" else found.astype(np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{what} does not hold numbers only: {values!r:.60}", value=place,
                          hint="Pass a long frame, or one 1-D array of numbers for each series.") from None
    if found.ndim != 1:
        raise ConfigError(f"{what} has shape {found.shape}, and a series has one dimension", value=found.shape,
                          hint="Pass a list of 1-D arrays, such as list(values.T) where each column is a series.")
    return found


def eager(data: Any) -> Any:
    """Lazy frames collected, Arrow tables and dicts as pandas, periods of pandas as their first times; all else as it is."""
    pd, pl, pa = (sys.modules.get(name) for name in ("pandas", "polars", "pyarrow"))
    if pl is not None and isinstance(data, pl.LazyFrame):
        return data.collect()
    if pa is not None and isinstance(data, (pa.Table, pa.RecordBatch)):
        return data.to_pandas()
    if isinstance(data, dict):
        lengths = {name: len(column) for name, column in data.items() if np.ndim(column)}
        if len(set(lengths.values())) > 1:
            raise ConfigError(f"the columns have different lengths: {lengths}", value=lengths,
                              hint="Give each column one value for each row.")
        return need("pandas").DataFrame(data)
    if pd is not None and isinstance(data, pd.DataFrame):
        periods = [name for name, kind in data.dtypes.items() if isinstance(kind, pd.PeriodDtype)]
        return data.assign(**{name: data[name].dt.to_timestamp() for name in periods}) if periods else data
    return data
