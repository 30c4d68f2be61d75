"""The times ahead and the covariates known for them.

Contract: `future_index` says which (id, time) rows a forecast has; `future_values` turns a ``futr_df`` into the array
[S, h, F] that models take (categories as codes of the store), or says which feature or which first row is missing
(`FeatureError`, E0004).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.ahead import future_frame_values, future_times
from ndiv.data.output import to_frame
from ndiv.data.store import SeriesStore
from ndiv.data.tables import stamp, with_index
from ndiv.errors import DataError, FeatureError, closest

if TYPE_CHECKING:
    from ndiv.features import FeatureSet

__all__ = ["column_names", "future_frame", "future_index", "future_values", "lacks", "missing_rows"]


def future_index(store: SeriesStore, h: int) -> np.ndarray:
    """The ``h`` times after the end of each series, [S, h]."""
    return future_times(store.last_times, store.freq, h, store.origin.get("time_zone"))


def future_frame(store: SeriesStore, h: int, features: FeatureSet | None = None) -> Any:
    """The (id, time) rows of a forecast as the kind of frame that the store came from, with the features known there."""
    times = future_index(store, h)
    return to_frame(store.ids, times, {} if features is None else features.shown(store, times), like=store.origin)


def missing_rows(store: SeriesStore, h: int, futr_df: Any, id_col: str, time_col: str) -> Any:
    """The rows of `future_frame` that ``futr_df`` lacks, as the same kind of frame."""
    times = future_index(store, h)
    lost = _absent(store, times, futr_df, id_col, time_col)
    ids = np.repeat(store.ids, h)
    return to_frame(ids[lost], times.reshape(-1)[lost], {}, like=store.origin)


def lacks(store: SeriesStore, h: int, futr_df: Any, id_col: str, time_col: str) -> bool:
    """Whether ``futr_df`` lacks any of the rows of `future_frame`."""
    return bool(_absent(store, future_index(store, h), futr_df, id_col, time_col).size)


def column_names(futr_df: Any, id_col: str, time_col: str) -> list[str]:
    """Its columns, and those that a pandas index holds."""
    return list(with_index(futr_df, (id_col, time_col)).columns)


def _absent(store: SeriesStore, times: np.ndarray, futr_df: Any, id_col: str, time_col: str) -> np.ndarray:
    """Positions in ``times`` [S, h], flattened, of rows that ``futr_df`` does not have."""
    pd, nw = need("pandas"), need("narwhals")
    frame = nw.from_native(with_index(futr_df, (id_col, time_col)), eager_only=True)
    if time_col not in frame.columns:
        raise FeatureError(f"futr_df has no time column {time_col!r}", value=time_col,
                           hint=closest(time_col, frame.columns, "Columns"))
    if id_col in frame.columns:
        given_ids = frame[id_col].to_list()
        try:
            owner = pd.Index(store.ids).get_indexer(pd.Index(given_ids, dtype=store.ids.dtype))
        except (ValueError, TypeError):
            raise DataError(f"futr_df column {id_col!r} holds ids such as {given_ids[0]!r}, df {store.ids.tolist()[0]!r}",
                            value=given_ids[0], hint="Use the same type of ids in both.") from None
    else:
        owner = np.zeros(len(frame), np.int64)
    if times.dtype.kind == "M":
        clock = pd.to_datetime(pd.Series(frame[time_col].to_list(), dtype=object), errors="coerce", utc=True)
        given = clock.dt.tz_localize(None).to_numpy().astype(times.dtype)
    else:
        given = frame[time_col].to_numpy()
    have = pd.MultiIndex.from_arrays([owner, given])
    series = np.repeat(np.arange(store.n_series), times.shape[1])
    wanted = pd.MultiIndex.from_arrays([series, times.reshape(-1)])
    return np.flatnonzero(~wanted.isin(have))


def future_values(store: SeriesStore, h: int, futr_df: Any, names: Sequence[str], id_col: str,
                  time_col: str, fill: bool = False,
                  features: FeatureSet | None = None) -> tuple[SeriesStore, np.ndarray | None]:
    """(the store, covariates of the forecast's rows, float32 [S, h, F] in the order of ``names``; None when that is empty).
    Categories that only the future holds are added to those of the store. ``fill``: a number that is missing is the last known
    one, in futr_df or else in the store. What ``features`` make is not looked for in futr_df.

    Raises `FeatureError` (E0004) when futr_df, a column or a row is missing, `DataError` (E0011) for duplicate rows,
    text and NaN. Rows that no forecast needs are dropped with a warning.
    """
    if not names:
        return store, None
    if features is not None:
        given = [n for n in names if n not in features.columns]
        store, values = future_values(store, h, futr_df, given, id_col, time_col, fill)
        made = features.ahead(store, future_index(store, h), [n for n in names if n in features.columns])
        if values is not None:
            made.update((n, values[:, :, k]) for k, n in enumerate(given))
        return store, np.stack([made[n] for n in names], axis=2)
    listed = ", ".join(names)
    if futr_df is None:
        raise FeatureError(f"futr_df is missing; it must hold the future values of {listed}", value=list(names),
                           hint=f"Add these columns to make_future_dataframe() and pass it as futr_df ({h} rows a series).")
    columns = list(with_index(futr_df, (id_col, time_col)).columns)
    lacking = [n for n in names if n not in columns]
    if lacking:
        raise FeatureError(f"futr_df has no column {', '.join(map(repr, lacking))}", value=lacking,
                           hint=closest(lacking[0], columns, "Columns"))
    if id_col not in columns and store.n_series > 1:
        raise FeatureError(f"futr_df has no id column {id_col!r}", value=id_col, hint=closest(id_col, columns, "Columns"))
    times = future_index(store, h)
    lost = _absent(store, times, futr_df, id_col, time_col)
    if lost.size:
        series, step = divmod(int(lost[0]), h)
        first = (str(store.ids[series]), stamp(times[series, step]))
        raise FeatureError(f"futr_df lacks {lost.size} of {times.size} rows with {listed}; the first: {id_col} "
                           f"{first[0]}, {time_col} {first[1]}", value=first, missing=int(lost.size),
                           hint="get_missing_future(futr_df) lists them, make_future_dataframe() gives all rows needed.")
    categories = {name: list(values) for name, values in store.categories.items()}
    before = store.futr[store.offsets[1:] - 1][:, [store.futr_names.index(n) for n in names]] if fill else None
    values, unused = future_frame_values(futr_df, store.ids, times, names, id_col=id_col, time_col=time_col,
                                         categories=categories, before=before)
    if unused:
        warnings.warn(f"{unused} rows of futr_df are not needed and were dropped", stacklevel=4)
    return replace(store, categories=categories), values
