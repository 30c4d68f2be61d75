"""One door for data: frames and paths in, a checked `SeriesStore` out.

Contract: every check of the data happens here (in `ndiv.data.from_frame`); nothing behind it looks at a frame again.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.frames import from_frame
from ndiv.data.readers import read_table
from ndiv.data.store import SeriesStore

__all__ = ["ColumnNames", "as_frame", "exact_target", "read_store"]


@dataclass(frozen=True)
class ColumnNames:
    """How the frame names its ids, times and target."""

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"


def as_frame(df: Any, names: ColumnNames) -> Any:
    """``df`` itself, or the table in the CSV or Parquet file whose path it is."""
    return read_table(df, **asdict(names)) if isinstance(df, (str, os.PathLike)) else df


def read_store(df: Any, freq: Any, names: ColumnNames, exog: dict[str, list[str]], static_df: Any = None, *,
               tell_unused: bool = False) -> SeriesStore:
    """The checked store of a frame or path, with the covariates ``exog`` by role.

    ``tell_unused``: warn once about columns that nothing reads. Raises what `ndiv.data.from_frame` and
    `ndiv.data.read_table` raise.
    """
    frame = as_frame(df, names)
    store = from_frame(frame, freq, **asdict(names), hist_exog=exog["hist"], futr_exog=exog["futr"],
                       stat_exog=exog["stat"], static_df=static_df, cat_exog=exog["cat"])
    if tell_unused:
        known = {*asdict(names).values(), "available_mask", *exog["hist"], *exog["futr"]}
        unused = [str(c) for c in getattr(frame, "columns", frame) if c not in known]
        if unused:
            warnings.warn(f"columns that no model uses: {', '.join(unused)}; name them in futr_exog_list or "
                          "hist_exog_list of a model to use them", stacklevel=3)
    return store


def exact_target(df: Any, store: SeriesStore, names: ColumnNames) -> np.ndarray:
    """The target as the frame holds it, float64 [T] in the order of ``store``, NaN where missing.

    The store keeps float32, which is enough to train on but would show 123456789 as 123456792 beside a forecast.
    """
    nw, pd = need("narwhals"), need("pandas")
    frame = nw.from_native(pd.DataFrame(df) if isinstance(df, dict) else df, eager_only=True)
    values = frame[names.target_col].to_numpy()
    if values.dtype.kind not in "fiub":  # numbers and None as Python objects
        values = np.array([np.nan if v is None or v is pd.NA else float(v) for v in values.tolist()])
    if names.id_col in frame.columns:
        owner = pd.Index(store.ids).get_indexer(pd.Index(frame[names.id_col].to_numpy(), dtype=store.ids.dtype))
    else:
        owner = np.zeros(len(frame), np.int64)
    clock = frame[names.time_col].to_numpy()
    if clock.dtype.kind not in "Miu":  # text, or times with a zone
        clock = pd.to_datetime(pd.Series(clock, dtype=object), utc=True).to_numpy()
    # Series are unique and sorted in the store, so ranking the frame's rows the same way aligns the two.
    return np.where(store.mask, values[np.lexsort((clock, owner))].astype(np.float64), np.nan)
