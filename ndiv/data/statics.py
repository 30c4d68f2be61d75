"""Static covariates: one row a series, joined to the series by id.

Contract: `static_table` opens the frame, `statics` gives its columns as float32 [S, K] in the order of the series; an id that
is missing or comes twice is refused by name, ids that no series has are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.errors import DataError, EmptyDataError, FeatureError

from ._extras import need
from .categories import codes_of
from .checks import covariate
from .tables import Table, few, read_ids, with_index

__all__ = ["static_table", "statics"]


def static_table(static_df: Any, names: Sequence[str], id_col: str) -> Table | None:
    """The frame of static covariates; None where none are asked for."""
    if not names:
        return None
    if static_df is None:
        raise FeatureError(f"stat_exog {list(names)} needs static_df", value=list(names),
                           hint=f"Pass static_df with the columns {id_col} and {', '.join(names)}.")
    table = Table(with_index(static_df, (id_col,)), "static_df")
    if not len(table.frame):
        raise EmptyDataError("static_df has no rows", value=0)
    table.need(id_col, "id")
    return table


def statics(table: Table | None, names: Sequence[str], ids: np.ndarray, id_col: str, coded: dict[str, Any],
             categories: dict[str, list[Any]]) -> np.ndarray | None:
    """Static covariates [S, K] in the order of ``ids``; extra ids are ignored. ``coded``: columns of categories."""
    if table is None:
        return None
    codes, have = read_ids(table, id_col)
    pd = need("pandas")
    counts = np.bincount(codes)
    if (counts > 1).any():
        twice = [str(i) for i in have[counts > 1]]
        raise DataError(f"{len(twice)} ids appear more than once in static_df: {few(twice[:3], len(twice))}",
                        value=twice[:3], hint=f"Keep one row for each {id_col}.")
    place = pd.Index(have).get_indexer(pd.Index(ids))
    if (place < 0).any():
        lost = [str(i) for i in ids[place < 0]]
        raise DataError(f"{len(lost)} ids of df are not in static_df: {few(lost[:3], len(lost))}", value=lost[:3],
                        hint="Add their rows to static_df, or drop these series.")
    row_of = np.empty(len(have), np.int64)
    row_of[codes] = np.arange(len(codes))
    times = np.full(len(codes), "-")
    values = np.stack([codes_of(coded[n][0], coded[n][1], categories[n]) if n in coded else
                       covariate(table, n, "stat_exog", have, codes, times) for n in names], axis=1)
    return values[row_of[place]]
