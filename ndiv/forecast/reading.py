"""One door for data: frames and paths in, a checked `SeriesStore` out.

Contract: every check of the data happens here (in `ndiv.data.from_frame`); nothing behind it looks at a frame again.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

from ndiv.data.frames import from_frame
from ndiv.data.readers import read_table
from ndiv.data.store import SeriesStore

__all__ = ["ColumnNames", "as_frame", "read_store"]


@dataclass(frozen=True)
class ColumnNames:
    """How the frame names its ids, times and target."""

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"


def as_frame(df: Any, names: ColumnNames) -> Any:
    """``df`` itself, or the table in the CSV or Parquet file whose path it is."""
    if isinstance(df, (str, os.PathLike)):
        return read_table(df, id_col=names.id_col, time_col=names.time_col, target_col=names.target_col)
    return df


def read_store(df: Any, freq: Any, names: ColumnNames, exog: dict[str, list[str]], static_df: Any = None, *,
               tell_unused: bool = False) -> SeriesStore:
    """The checked store of a frame or path, with the covariates ``exog`` by role.

    ``tell_unused``: warn once about columns that nothing reads. Raises what `ndiv.data.from_frame` and
    `ndiv.data.read_table` raise.
    """
    frame = as_frame(df, names)
    store = from_frame(frame, freq, id_col=names.id_col, time_col=names.time_col, target_col=names.target_col,
                       hist_exog=exog["hist"], futr_exog=exog["futr"], stat_exog=exog["stat"], static_df=static_df)
    if tell_unused:
        known = {names.id_col, names.time_col, names.target_col, "available_mask", *exog["hist"], *exog["futr"]}
        unused = [str(c) for c in frame if c not in known]
        if unused:
            warnings.warn(f"columns that no model uses: {', '.join(unused)}; name them in futr_exog_list or "
                          "hist_exog_list of a model to use them", stacklevel=3)
    return store
