"""What lies after the end of the series: the times of a forecast, and future covariates aligned to them.

Contract: `future_times` steps in whole frequencies from each last time; `future_frame_values` gives float32 values for exactly
those times, or says which rows are missing, double or not numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.errors import DataError, EmptyDataError

from ._extras import need
from .categories import codes_of
from .checks import FLOAT_LIMIT, refuse_duplicates, refuse_values
from .frequency import Frequency
from .tables import Table, categories_in, few, numbers, read_ids, read_times, stamp, with_index

__all__ = ["future_frame_values", "future_times"]


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
                        id_col: str = "unique_id", time_col: str = "ds", categories: dict[str, list[Any]] | None = None,
                        before: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Future covariates aligned to forecasts: (float32 [S, h, F], number of rows of ``futr_df`` that were not used).

    Arguments: ``ids`` [S], ``times`` [S, h] (`future_times`), ``names`` the F columns; ``categories``: the values of
    columns that become codes, to which new ones are appended; ``before`` [S, F]: what was known last, from where missing
    numbers are filled forward. Rows may come in any order.
    Raises `FeatureError` (E0004) for a missing column, `DataError` (E0011) for missing rows, duplicates, NaN, text.
    """
    table = Table(with_index(futr_df, (id_col, time_col)), "futr_df")
    if not len(table.frame):
        raise EmptyDataError("futr_df has no rows", value=0)
    table.need(time_col, "time")
    if id_col in table.columns:
        codes, have = read_ids(table, id_col)
    elif len(ids) == 1:
        codes, have = np.zeros(len(table.frame), np.int64), np.asarray(ids)
    else:
        table.need(id_col, "id")
    given, _ = read_times(table, time_col)
    if given.dtype.kind != times.dtype.kind:
        raise DataError(f"futr_df column {time_col!r} holds {given[:1].tolist()}, df holds {times[0, :1].tolist()}",
                        value=str(given.dtype), hint="Use the same type of times in both.")
    coded = categories or {}
    columns = [codes_of(*categories_in(table, n, "futr_exog"), coded[n]) if n in coded else numbers(table, n, "futr_exog")
               for n in names]
    values = np.stack(columns, axis=1)
    pd = need("pandas")
    owner = pd.Index(ids).get_indexer(pd.Index(have))[codes]
    if given.dtype.kind == "M":
        given = given.astype(times.dtype)
    order = np.lexsort((given, codes))
    refuse_duplicates(given[order], codes[order], have, order, "futr_df", id_col, time_col)
    index = pd.MultiIndex.from_arrays([owner, given])
    series = np.repeat(np.arange(len(ids)), times.shape[1])
    rows = index.get_indexer(pd.MultiIndex.from_arrays([series, times.reshape(-1)]))  # ids unknown to df have owner -1
    lost = np.flatnonzero(rows < 0)
    if lost.size:
        culprits = [f"{ids[series[k]]!s} at {stamp(times.reshape(-1)[k])}" for k in lost[:3]]
        raise DataError(f"futr_df lacks {lost.size} rows: {few(culprits, lost.size)}", value=lost.size,
                        hint="make_future_dataframe() gives the rows needed, get_missing_future() those missing.")
    used = np.zeros(len(values), bool)
    used[rows] = True
    for k, name in enumerate(names):
        wrong = ~(np.abs(values[:, k]) <= FLOAT_LIMIT)
        refuse_values(table, name, "futr_exog", used & (wrong if before is None else wrong & ~np.isnan(values[:, k])),
                      "missing or infinite values", "Fill them before forecasting, or exog_nan='ffill' takes the last known "
                      "value.", have, codes, given)
    found = values[rows].astype(np.float32).reshape(*times.shape, len(names))
    for step in range(times.shape[1] if before is not None else 0):
        found[:, step] = np.where(np.isnan(found[:, step]), before if step == 0 else found[:, step - 1], found[:, step])
    return found, int((~used).sum())
