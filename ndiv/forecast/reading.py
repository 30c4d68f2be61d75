"""One door for data: frames and paths in, a checked `SeriesStore` out.

Contract: every check of the data happens here (in `ndiv.data.from_frame`); nothing behind it looks at a frame again.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.frames import AS_THEY_ARE, read_frame
from ndiv.data.readers import read_table
from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore

from .telling import tell

if TYPE_CHECKING:
    from ndiv.features import FeatureSet

__all__ = ["ColumnNames", "as_frame", "read_store", "read_with_target"]


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
               tell_unused: bool = False, rules: DataRules = AS_THEY_ARE, features: FeatureSet | None = None) -> SeriesStore:
    """The checked store of a frame or path, with the covariates ``exog`` by role, some of which ``features`` may make.

    ``tell_unused``: warn once about columns that nothing reads. Raises what `ndiv.data.from_frame` and
    `ndiv.data.read_table` raise.
    """
    return read_with_target(df, freq, names, exog, static_df, tell_unused=tell_unused, rules=rules, features=features)[0]


def read_with_target(df: Any, freq: Any, names: ColumnNames, exog: dict[str, list[str]], static_df: Any = None, *,
                     tell_unused: bool = False, rules: DataRules = AS_THEY_ARE,
                     features: FeatureSet | None = None) -> tuple[SeriesStore, np.ndarray]:
    """`read_store`, and the target as the frame holds it: float64 [T], NaN where missing."""
    frame, asked = as_frame(df, names), exog
    if features is not None:
        features.refuse_columns(list(getattr(frame, "columns", frame)))
        exog = features.from_data(asked)
    found = read_frame(frame, freq, **asdict(names), hist_exog=exog["hist"], futr_exog=exog["futr"], stat_exog=exog["stat"],
                       static_df=static_df, cat_exog=exog["cat"], rules=rules)
    if tell_unused:
        known = {*asdict(names).values(), "available_mask", *exog["hist"], *exog["futr"]}
        unused = [str(c) for c in getattr(frame, "columns", frame) if c not in known]
        if unused:
            tell(f"columns that no model uses: {', '.join(unused)}; name them in futr_exog_list or hist_exog_list of a model "
                 "to use them")
    return found if features is None else (features.apply(found[0], asked), found[1])
