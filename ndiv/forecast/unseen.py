"""What a forecast meets and training has not: `warn_unseen` counts the categories that models do not know.

Contract: one warning for each column, with the number of values, and the first of them by name. Counted is what the forecast
looks at: the last steps of each series, the steps ahead, static values, and the events that the last windows see. Missing
values are not counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.data.events import EventWindows
from ndiv.data.store import SeriesStore

__all__ = ["warn_unseen"]


def warn_unseen(models: Sequence[Any], store: SeriesStore, futr: np.ndarray | None) -> None:
    """Warn of categories in the store and in futr [S, h, F] that the first model that reads their column was not trained on."""
    for name, values in store.categories.items():
        readers = [m for m in models if name in m.cat_exog_list and name in m.categories]
        if readers:
            steps = max(m.input_size for m in readers)
            _tell(readers[0], name, values, np.concatenate([c.reshape(-1) for c in _read(store, futr, name, steps)]))
    for name, values in (store.events.categories if store.events is not None else {}).items():
        for m in [m for m in models if name in getattr(m, "event_cat_list", ())][:1]:
            windows = EventWindows(store.events.select([name]), m.max_events, m.events_known_ahead)  # type: ignore[union-attr]
            seen = windows(store, np.arange(store.n_series), store.lengths - m.input_size, m.input_size, m.h)
            _tell(m, name, values, seen["event_values"][seen["event_mask"] > 0, 0])


def _tell(reader: Any, name: str, values: list[Any], codes: np.ndarray) -> None:
    """Warn of those of a column's codes that stand for values which the model ``reader`` does not know."""
    known = set(reader.categories.get(name, ()))
    unseen = np.array([False, *(v not in known for v in values)])
    codes = codes.astype(np.int64)
    bad = codes[unseen[codes]]
    if bad.size:
        first = ", ".join(repr(values[c - 1]) for c in dict.fromkeys(bad[:1000].tolist()))
        what = "the row that was trained for unseen values" if reader.variant == "paper" else "the mean of the known ones"
        warnings.warn(f"{bad.size} of {codes.size} values of {name!r} were not in the training data, and {what} stands for "
                      f"them: {first if len(first) < 80 else first[:80] + ' ...'}", stacklevel=4)


def _read(store: SeriesStore, futr: np.ndarray | None, name: str, steps: int) -> list[np.ndarray]:
    """The codes of a column that a forecast from the last ``steps`` rows looks at."""
    found = []
    late = np.repeat(store.offsets[1:], store.lengths) - np.arange(len(store.y)) <= steps
    for kind in ("hist", "futr"):
        names = getattr(store, f"{kind}_names")
        if name in names:
            found.append(getattr(store, kind)[late, names.index(name)])
    if name in store.futr_names and futr is not None:
        found.append(futr[:, :, store.futr_names.index(name)])
    if name in store.stat_names:
        found.append(store.stat[:, store.stat_names.index(name)])
    return found
