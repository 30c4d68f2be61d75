"""A frame of events in, `Events` out.

Contract: one row an event: id, time, and a column for each feature: a number, a category, or a vector of numbers (such as the
embedding of a text). Rows may come in any order and at any times, several at one time too; an id may have none, and the frame
may be empty. Without an id column the events concern every series. What is wrong is refused by column and row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ndiv.errors import DataError

from ._extras import need
from .categories import codes_of, ordered
from .checks import FLOAT_LIMIT, refuse_values
from .events import Events
from .store import SeriesStore
from .tables import Table, categories_in, few, numbers, read_ids, read_times, with_index

__all__ = ["CATEGORY", "NUMBER", "events_from_frame"]

NUMBER, CATEGORY = 0, -1  # kinds of columns; a positive kind is the length of a vector


def events_from_frame(df: Any, store: SeriesStore, kinds: Mapping[str, int], *, id_col: str = "unique_id",
                      time_col: str = "ds") -> Events:
    """The events of a frame, for the series of a store.

    ``kinds``: column -> `NUMBER`, `CATEGORY`, or the length of its vectors. Events of ids that the store lacks are kept.
    Raises `FeatureError` (E0004) for a missing column; `DataError` (E0011) for null ids or times, times of another type than
    the store's, ids of which the store has none, text or missing values where numbers belong, vectors of another length.

    >>> store = SeriesStore.from_arrays_list([range(4)], ids=["a"])
    >>> df = {"unique_id": ["a", "a"], "ds": [3, 1], "kind": ["sale", "fair"]}
    >>> events = events_from_frame(df, store, {"kind": CATEGORY})
    >>> events.times.tolist(), events.values.tolist(), events.categories
    ([1, 3], [[1.0], [2.0]], {'kind': ['fair', 'sale']})
    """
    table = Table(with_index(df, (id_col, time_col)), "events_df")
    for name in (time_col, *kinds):
        table.need(name, "time" if name == time_col else "event_list")
    rows, common = len(table.frame), id_col not in table.columns
    widths = [max(kind, 1) for kind in kinds.values()]
    if not rows:
        none: dict[str, list[Any]] = {name: [] for name, kind in kinds.items() if kind == CATEGORY}
        return Events(np.zeros(0, object), np.zeros(2 if common else 1, np.int64), store.times[:0].copy(),
                      np.zeros((0, sum(widths))), list(kinds), widths, none, common)
    codes, ids = (np.zeros(rows, np.int64), np.array(["every series"], object)) if common else read_ids(table, id_col)
    if not common and not need("pandas").Index(ids).isin(need("pandas").Index(store.ids)).any():
        theirs, own = (few([repr(i) for i in a[:3].tolist()], len(a)) for a in (ids, store.ids))
        raise DataError(f"none of the ids of events_df is in df: {theirs}; df has {own}", value=ids[:3].tolist(),
                        hint=f"Use the same type of ids in both, or leave {id_col!r} out for events of every series.")
    times = _times(table, time_col, store)
    order = np.lexsort((times, codes))
    parts: list[np.ndarray] = []
    categories: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        if kind == CATEGORY:
            places, words = categories_in(table, name, "event_list")
            categories[name] = ordered(words, f"column {name!r}")
            parts.append(codes_of(places, words, categories[name])[:, None])
            continue
        found = numbers(table, name, "event_list")[:, None] if kind == NUMBER else _vectors(table, name, kind)
        refuse_values(table, name, "event_list", ~(np.abs(found) <= FLOAT_LIMIT).all(axis=1), "missing or infinite values",
                       "Fill them, or leave these events out.", ids, codes, times)
        parts.append(found.astype(np.float32))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))])
    values = np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0))
    return Events(np.zeros(0, object) if common else ids, offsets, times[order], values[order], list(kinds), widths, categories,
                  common)


def _times(table: Table, time_col: str, store: SeriesStore) -> np.ndarray:
    """The events' times in the store's type; what is finer than that is rounded up, never to an earlier time."""
    given, origin = read_times(table, time_col)
    if given.dtype.kind != store.times.dtype.kind or bool(origin["time_zone"]) != bool(store.origin.get("time_zone")):
        theirs, own = (" with a time zone" if o.get("time_zone") else "" for o in (origin, store.origin))
        raise DataError(f"events_df column {time_col!r} holds {given.dtype}{theirs}, df holds {store.times.dtype}{own}",
                        value=str(given.dtype), hint="Use the same type of times in both.")
    times = given.astype(store.times.dtype)
    return times + (times < given).astype(np.int64)


def _vectors(table: Table, name: str, size: int) -> np.ndarray:
    """A column of vectors as float64 [N, size]."""
    rows = table.need(name, "event_list").to_list()
    found = np.empty((len(rows), size))
    for k, row in enumerate(rows):
        try:
            vector = np.asarray(row, np.float64)
        except (TypeError, ValueError):
            vector = np.zeros(())
        if vector.shape != (size,):
            what = f"shape {list(vector.shape)}" if vector.ndim else repr(row)
            raise DataError(f"events_df column {name!r} must hold vectors of {size} numbers; row {k} holds {what}", value=name,
                            rows=[k], hint=f"event_sizes={{{name!r}: {size}}} says how long they are.")
        found[k] = vector
    return found
