"""Events: what happened, or will, at times of its own beside the rows of a series; and which of them a window sees.

Contract: `Events` holds them by the ids of their series, at absolute times, so that it stays right when the series of a store
are cut, sorted or chosen. `EventWindows` cuts those of a batch. A window sees an event that is not before its first row (within
the series) and not after its last one: an event between the last row and the next is not seen, so nothing that came after a
forecast can be in it. With ``ahead`` events up to the end of the horizon are seen too; only what was announced may be given
then. Times in a batch are in steps from the window's last row, fractions included: -2.5, 0, 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.errors import ShapeError

if TYPE_CHECKING:
    from .store import SeriesStore

__all__ = ["EventWindows", "Events"]

Batch = dict[str, np.ndarray]


@dataclass
class Events:
    """N events of O series. F numbers each: columns side by side, a column of vectors taking ``sizes`` of them.

    Attributes: ``ids`` [O], the series that have events; ``offsets`` int64 [O + 1]; ``times`` [N], rising within a series,
    of the store's type; ``values`` float32 [N, F]; ``names`` and ``sizes`` of the columns; ``categories``: of columns that
    hold codes, the values that 1, 2, ... stand for (0: missing). ``common``: one list of events, which concerns every series;
    ids are empty then.

    Raises `ShapeError` (E0002) when lengths disagree.

    >>> events = Events(np.array(["a"]), np.array([0, 2]), np.array([3, 5]), np.ones((2, 1)), ["price"], [1])
    >>> len(events), events.select(["price"]).values.shape
    (2, (2, 1))
    """

    ids: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    values: np.ndarray
    names: list[str]
    sizes: list[int]
    categories: dict[str, list[Any]] = field(default_factory=dict)
    common: bool = False

    def __post_init__(self) -> None:
        self.ids, self.offsets = np.asarray(self.ids), np.asarray(self.offsets, np.int64)
        self.values = np.ascontiguousarray(self.values, np.float32)
        wanted = (len(self.times), sum(self.sizes))
        if self.values.shape != wanted:
            raise ShapeError(f"values of events have shape {self.values.shape}, expected {wanted}", value=self.values.shape)
        owners = 1 if self.common else len(self.ids)
        if self.offsets.shape != (owners + 1,) or self.offsets[-1] != len(self.times):
            raise ShapeError(f"offsets of events must rise from 0 to {len(self.times)}, {owners + 1} of them",
                             value=self.offsets.shape)

    def __len__(self) -> int:
        return len(self.times)

    def column(self, name: str) -> np.ndarray:
        """A column's numbers [N, size]."""
        k = self.names.index(name)
        begin = sum(self.sizes[:k])
        return self.values[:, begin:begin + self.sizes[k]]

    def select(self, names: Sequence[str]) -> Events:
        """The events with these columns only, in this order."""
        columns = [self.column(n) for n in names]
        return replace(self, names=list(names), sizes=[c.shape[1] for c in columns],
                       values=np.concatenate(columns, axis=1) if columns else self.values[:, :0],
                       categories={n: v for n, v in self.categories.items() if n in names})

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Plain arrays and JSON-able metadata; ids and the type of times are left to who saves the series."""
        times = self.times.view(np.int64) if self.times.dtype.kind == "M" else self.times.astype(np.int64)
        return ({"event_offsets": self.offsets, "event_times": times, "event_values": self.values},
                {"names": self.names, "sizes": self.sizes, "categories": self.categories, "common": self.common})

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], meta: dict[str, Any], ids: np.ndarray, kind: np.dtype[Any]) -> Events:
        """The inverse of `to_arrays`; ``kind``: the type of times."""
        times = np.asarray(arrays["event_times"]).view(np.int64)
        return cls(ids, arrays["event_offsets"], times.view(kind) if kind.kind == "M" else times.astype(kind),
                   arrays["event_values"], list(meta["names"]), list(meta["sizes"]),
                   {name: list(values) for name, values in meta["categories"].items()}, bool(meta["common"]))


@dataclass
class _Placed:
    """The events within reach of the series of one store, sorted by series and time; M of them."""

    rows: np.ndarray  # [M] in `Events`
    at: np.ndarray  # float64 [M] in rows of the series, fractions included
    below: np.ndarray  # int64 [M] series * stride + the last row at or before the event; rising
    above: np.ndarray  # int64 [M] series * stride + the first row at or after it; rising
    stride: int


class EventWindows:
    """A function (store, series [B], starts [B], input_size, h) -> the events of a batch of windows.

    ``event_values`` float32 [B, most, F], ``event_times`` [B, most] in steps from the window's last row, ``event_mask``
    [B, most], 1 where there is one. Of more than ``most`` the latest are taken; a warning says so when it happens first.

    >>> from ndiv.data.store import SeriesStore
    >>> store = SeriesStore.from_arrays_list([range(9)], ids=["a"])
    >>> events = Events(np.array(["a"]), np.array([0, 3]), np.array([1, 3, 5]), np.array([[7.0], [8.0], [9.0]]), ["price"], [1])
    >>> found = EventWindows(events, most=2)(store, np.array([0]), np.array([0]), 4, 2)
    >>> found["event_times"].tolist(), found["event_mask"].tolist()
    ([[-2.0, 0.0]], [[1.0, 1.0]])
    >>> EventWindows(events, most=2, ahead=True)(store, np.array([0]), np.array([0]), 4, 2)["event_times"].tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, events: Events, most: int, ahead: bool = False) -> None:
        self.events, self.most, self.ahead = events, most, ahead
        self._known: tuple[Any, int, _Placed] | None = None  # of the store that was met last
        self._warned = False

    def __call__(self, store: SeriesStore, series: np.ndarray, starts: np.ndarray, input_size: int, h: int) -> Batch:
        placed = self.placed(store, h)
        last = starts + input_size - 1
        seen = np.minimum(last + (h if self.ahead else 0), placed.stride - 1)
        begin = np.searchsorted(placed.below, series * placed.stride + np.maximum(starts, 0), side="left")
        end = np.searchsorted(placed.above, series * placed.stride + np.maximum(seen, -1), side="right")
        count = np.maximum(end - begin, 0)
        if (count > self.most).any() and not self._warned:
            self._warned = True
            warnings.warn(f"{int((count > self.most).sum())} of {len(count)} windows hold more than max_events={self.most} "
                          f"events (up to {count.max()}); the latest {self.most} are taken", stacklevel=2)
        taken = np.minimum(count, self.most)
        slots = np.arange(self.most)
        there = slots < taken[:, None]
        at = np.where(there, (end - taken)[:, None] + slots, 0)
        shape = (len(series), self.most)
        if not len(placed.rows):
            return {"event_values": np.zeros((*shape, self.events.values.shape[1]), np.float32),
                    "event_times": np.zeros(shape, np.float32), "event_mask": np.zeros(shape, np.float32)}
        times = np.where(there, placed.at[at] - last[:, None], 0.0).astype(np.float32)
        values = np.where(there[..., None], self.events.values[placed.rows[at]], np.float32(0))
        return {"event_values": values, "event_times": times, "event_mask": there.astype(np.float32)}

    def placed(self, store: SeriesStore, h: int) -> _Placed:
        """Where the events stand in the rows of the store's series; worked out once for each store."""
        if self._known is None or self._known[0] is not store or self._known[1] != h:
            self._known = (store, h, self._place(store, h))
        return self._known[2]

    def _place(self, store: SeriesStore, h: int) -> _Placed:
        e, ids = self.events, store.ids.tolist()
        owner = dict.fromkeys(ids, 0) if e.common else {key: k for k, key in enumerate(e.ids.tolist())}
        stride = int(store.lengths.max()) + h + 1
        ahead = _ahead(store, h) if self.ahead and h else None
        parts: list[tuple[np.ndarray, np.ndarray, int]] = []
        for s, key in enumerate(ids):
            k = owner.get(key)
            if k is None or e.offsets[k] == e.offsets[k + 1]:
                continue
            clock = store.times[store.offsets[s]:store.offsets[s + 1]]
            if ahead is not None:
                clock = np.concatenate([clock, ahead[s]])
            times = e.times[e.offsets[k]:e.offsets[k + 1]]
            first, end = np.searchsorted(times, clock[0], "left"), np.searchsorted(times, clock[-1], "right")
            if end > first:
                parts.append((np.arange(e.offsets[k] + first, e.offsets[k] + end), _positions(clock, times[first:end]), s))
        none = np.zeros(0, np.int64)
        rows = np.concatenate([p[0] for p in parts]) if parts else none
        at = np.concatenate([p[1] for p in parts]) if parts else none.astype(float)
        series = np.repeat([p[2] for p in parts], [len(p[0]) for p in parts]) if parts else none
        below, above = np.floor(at).astype(np.int64), np.ceil(at).astype(np.int64)
        return _Placed(rows, at, series * stride + below, series * stride + above, stride)


def _positions(clock: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Rows of ``times``, which lie within ``clock``: whole at a row's own time, in between strictly between the two rows."""
    ticks, wanted = clock.astype(np.int64), times.astype(clock.dtype).astype(np.int64)
    k = np.searchsorted(ticks, wanted, "left")  # the first row at or after each
    before = np.maximum(k - 1, 0)
    step = np.maximum(ticks[k] - ticks[before], 1)
    # rounding may not carry an event onto a row: it would be seen before it happened
    share = np.clip((wanted - ticks[before]) / step, 1e-6, 1 - 1e-6)
    return np.where(ticks[k] == wanted, k, before + share)


def _ahead(store: SeriesStore, h: int) -> np.ndarray:
    """The ``h`` times after the end of each series, [S, h]."""
    from .ahead import future_times

    return future_times(store.last_times, store.freq, h, store.origin.get("time_zone"))
