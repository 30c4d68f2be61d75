"""``events_df``: read once, for all models that take events.

Contract: `with_events` attaches the events of a frame to a store, each column read as the models say (a number, a category, a
vector); models that take no events do not meet them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ndiv.data.event_frames import CATEGORY, NUMBER, events_from_frame
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

from .reading import ColumnNames

__all__ = ["with_events"]


def with_events(store: SeriesStore, events_df: Any, models: Sequence[Any], names: ColumnNames) -> SeriesStore:
    """The store with the events of a frame; as it is where ``events_df`` is None.

    Raises what `ndiv.data.event_frames.events_from_frame` raises, `ConfigError` (E0010) for a column that two models read
    differently. Warns of events that no model reads.
    """
    if events_df is None:
        return store
    kinds: dict[str, int] = {}
    for model in models:
        for name in getattr(model, "event_list", ()):
            kind = CATEGORY if name in model.event_cat_list else model.event_sizes[name] or NUMBER
            if kinds.setdefault(name, kind) != kind:
                raise ConfigError(f"models disagree on what the column {name!r} of events_df holds", value=name,
                                  hint="name it in event_cat_list of all models or of none, with one length in event_sizes")
    if not kinds:
        warnings.warn("no model reads events_df; EventNHITS does, with the columns in event_list", stacklevel=3)
        return store
    return replace(store, events=events_from_frame(events_df, store, kinds, id_col=names.id_col,
                                                   time_col=names.time_col))
