"""Many series of unequal length in flat arrays.

Contract: series ``s`` owns rows ``offsets[s]:offsets[s + 1]`` of every temporal array; ``y`` is 0 and ``mask`` False
where a value is missing, so no NaN ever leaves this class. NumPy only. Nothing is copied that can be a view.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, DataError, EmptyDataError, HorizonError, ShapeError

from .events import Events

__all__ = ["SeriesStore"]


def _floats(values: np.ndarray | None, rows: int) -> np.ndarray:
    if values is None:
        return np.zeros((rows, 0), np.float32)
    return np.ascontiguousarray(values, dtype=np.float32)


def _mapped(array: Any) -> bool:
    """Whether an array is a view of a mapped file; NumPy drops the class on the way."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


@dataclass
class SeriesStore:
    """Series as flat arrays with offsets. S series, T rows in all, X, F and K covariates.

    Attributes: ``ids`` [S]; ``offsets`` int64 [S + 1]; ``times`` [T], datetime64 or int64; ``y`` float32 [T];
    ``mask`` bool [T]; ``hist`` [T, X], ``futr`` [T, F], ``stat`` [S, K] float32 with their name lists; ``freq``;
    ``origin``, JSON-able facts about the frame it came from (library, column names, time type); ``categories``: of columns
    that hold codes, the values that 1, 2, ... stand for (0 is a missing one); ``events`` beside the rows, if there are any;
    ``extras``: what a model wants in its batches besides, functions (store, series, starts, input_size, h) -> arrays by name;
    ``weight`` float32 [T]: how much each row counts in training, or None (all alike).

    Raises `EmptyDataError` (E0003) without rows, `ShapeError` (E0002) when lengths disagree.

    >>> store = SeriesStore.from_arrays_list([[1.0, 2.0, 3.0], [4.0, float("nan")]])
    >>> store.n_series, store.lengths.tolist(), store.mask.tolist()
    (2, [3, 2], [True, True, True, True, False])
    """

    ids: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    y: np.ndarray
    mask: np.ndarray
    hist: Any = None  # arrays once made; None stands for no such covariates
    futr: Any = None
    stat: Any = None
    hist_names: list[str] = field(default_factory=list)
    futr_names: list[str] = field(default_factory=list)
    stat_names: list[str] = field(default_factory=list)
    freq: str | int = 1
    origin: dict[str, Any] = field(default_factory=dict)
    categories: dict[str, list[Any]] = field(default_factory=dict)
    events: Events | None = None
    extras: tuple[Callable[..., dict[str, np.ndarray]], ...] = ()
    weight: Any = None

    def __post_init__(self) -> None:
        self.ids = np.asarray(self.ids)
        self.offsets = np.ascontiguousarray(self.offsets, dtype=np.int64)
        rows, series = len(self.y), len(self.ids)
        mapped = _mapped(self.y)
        self.y = np.ascontiguousarray(self.y, dtype=np.float32)
        self.mask = np.ascontiguousarray(self.mask, dtype=bool)
        # mapped arrays were cleaned when they were written, and a look at all of them would read the whole file
        if not mapped and self.mask.shape == self.y.shape and (not self.mask.all() or np.isnan(self.y).any()):
            self.mask = self.mask & ~np.isnan(self.y)
            self.y = np.where(self.mask, self.y, np.float32(0))
        self.hist, self.futr = _floats(self.hist, rows), _floats(self.futr, rows)
        self.stat = _floats(self.stat, series)
        if self.weight is not None:
            self.weight = np.ascontiguousarray(self.weight, dtype=np.float32)
        if not rows or not series:
            raise EmptyDataError("there are no rows", value=rows)
        wanted = {"offsets": (self.offsets.shape, (series + 1,)), "times": (self.times.shape, (rows,)),
                  "y": (self.y.shape, (rows,)), "mask": (self.mask.shape, (rows,)),
                  "hist": (self.hist.shape, (rows, len(self.hist_names))),
                  "futr": (self.futr.shape, (rows, len(self.futr_names))),
                  "stat": (self.stat.shape, (series, len(self.stat_names)))}
        if self.weight is not None:
            wanted["weight"] = (self.weight.shape, (rows,))
        for name, (got, want) in wanted.items():
            if got != want:
                raise ShapeError(f"{name} has shape {got}, expected {want}", value=got)
        if self.offsets[0] != 0 or self.offsets[-1] != rows or (np.diff(self.offsets) < 0).any():
            raise ShapeError(f"offsets must rise from 0 to {rows}", value=self.offsets)

    @functools.cached_property
    def complete(self) -> bool:
        """Whether no value is missing; False where only a look at a whole file would tell."""
        return not _mapped(self.mask) and bool(self.mask.all())

    # -- making one ------------------------------------------------------------------------------------------------

    @classmethod
    def from_arrays_list(cls, series: Sequence[Any], ids: Sequence[Any] | None = None,
                         freq: int = 1) -> SeriesStore:
        """One store from plain one-dimensional arrays; NaN is a missing value, infinity is `DataError` (E0011).

        >>> SeriesStore.from_arrays_list([[1, 2], [3]]).offsets.tolist()
        [0, 2, 3]
        """
        arrays = [np.asarray(s, dtype=np.float64) for s in series]
        if not arrays or not any(a.size for a in arrays):
            raise EmptyDataError("there are no values", value=len(arrays), hint="Pass at least one non-empty series.")
        for k, a in enumerate(arrays):
            if a.ndim != 1:
                raise ShapeError(f"series {k} has shape {a.shape}, expected one dimension", value=a.shape)
        names = np.arange(len(arrays)) if ids is None else np.asarray(ids)
        if len(names) != len(arrays):
            raise ShapeError(f"{len(names)} ids for {len(arrays)} series", value=len(names))
        lengths = np.array([a.size for a in arrays])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        times = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        y, mask = _clean(np.concatenate(arrays), names, offsets)
        return cls(names, offsets, times * freq, y, mask, freq=freq)

    @classmethod
    def from_matrix(cls, values: Any, names: Sequence[Any] | None = None, times: np.ndarray | None = None,
                    freq: str | int = 1) -> SeriesStore:
        """One store from ``values`` [T, n]: each column becomes one series, in column order.

        >>> SeriesStore.from_matrix([[1, 10], [2, 20]], ["a", "b"]).y.tolist()
        [1.0, 2.0, 10.0, 20.0]
        """
        matrix = np.asarray(values, dtype=np.float64)
        if matrix.ndim != 2:
            raise ShapeError(f"values has shape {matrix.shape}, expected [T, n]", value=matrix.shape)
        rows, n = matrix.shape
        if not matrix.size:
            raise EmptyDataError("values is empty", value=matrix.shape)
        ids = np.arange(n) if names is None else np.asarray(names)
        if len(ids) != n:
            raise ShapeError(f"{len(ids)} names for {n} columns", value=len(ids))
        step = freq if isinstance(freq, int) else 1
        clock = np.arange(rows) * step if times is None else np.asarray(times)
        if clock.shape != (rows,):
            raise ShapeError(f"times has shape {clock.shape}, expected {(rows,)}", value=clock.shape)
        offsets = np.arange(n + 1) * rows
        y, mask = _clean(matrix.T.reshape(-1), ids, offsets)
        return cls(ids, offsets, np.tile(clock, n), y, mask, freq=freq)

    # -- facts -----------------------------------------------------------------------------------------------------

    @property
    def n_series(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Rows per series, int64 [S]."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes held by all arrays."""
        arrays = (self.ids, self.offsets, self.times, self.y, self.mask, self.hist, self.futr, self.stat)
        return sum(a.nbytes for a in arrays)

    @property
    def last_times(self) -> np.ndarray:
        """The last time of each series [S]; `EmptyDataError` when a series has no rows."""
        if (self.lengths == 0).any():
            empty = self.ids[self.lengths == 0][:3].tolist()
            raise EmptyDataError(f"series without rows: {empty}", value=empty)
        return self.times[self.offsets[1:] - 1]

    @property
    def is_aligned(self) -> bool:
        """True when every series has the same times, as the columns of one table do."""
        lengths = self.lengths
        if (lengths != lengths[0]).any():
            return False
        clock = self.times.reshape(self.n_series, -1)
        return bool((clock == clock[0]).all())

    # -- parts -----------------------------------------------------------------------------------------------------

    def _rows(self, first: np.ndarray, last: np.ndarray) -> SeriesStore:
        """Rows ``first:last`` of each series; both are [S], counted within the series."""
        begin, lengths = self.offsets[:-1] + first, last - first
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(begin - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(self, offsets=offsets, **self.at(rows))

    def at(self, rows: Any) -> dict[str, Any]:
        """The temporal arrays at the given rows, by name: what `dataclasses.replace` needs for a part of a store."""
        return {"times": self.times[rows], "y": self.y[rows], "mask": self.mask[rows], "hist": self.hist[rows],
                "futr": self.futr[rows], "weight": None if self.weight is None else self.weight[rows]}

    def tail(self, n: int) -> SeriesStore:
        """The last ``n`` rows of each series (all of a shorter one).

        >>> SeriesStore.from_arrays_list([[1, 2, 3], [4]]).tail(2).y.tolist()
        [2.0, 3.0, 4.0]
        """
        if n < 1:
            raise ConfigError(f"n must be at least 1, got {n}", value=n)
        return self._rows(np.maximum(self.lengths - n, 0), self.lengths)

    def split(self, val_size: int = 0, test_size: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Target ranges of a split in time: ``{"train": (lo, hi), "val": ..., "test": ...}``, int64 [S] each.

        Nothing is copied: hand ``lo`` and ``hi`` to `WindowIndex` or a loader. Raises `HorizonError` (E0005) when a
        series is too short to leave a training row.

        >>> SeriesStore.from_arrays_list([range(10)]).split(2, 3)["val"]
        (array([5]), array([7]))
        """
        if val_size < 0 or test_size < 0:
            raise ConfigError(f"val_size and test_size must not be negative, got {val_size} and {test_size}",
                              value=(val_size, test_size))
        lengths, held = self.lengths, val_size + test_size
        short = np.flatnonzero(lengths <= held)
        if held and short.size:
            names = [f"{self.ids[s]} ({lengths[s]} rows)" for s in short[:3]]
            raise HorizonError(f"{short.size} series have no rows left for training after val_size={val_size} and "
                               f"test_size={test_size}: {', '.join(names)}", value=held,
                               hint="Use smaller sizes, or drop these series.")
        end = lengths - test_size
        return {"train": (np.zeros_like(lengths), end - val_size), "val": (end - val_size, end), "test": (end, lengths)}

    def select(self, series_idx: Any) -> SeriesStore:
        """The given series, in the given order; ``series_idx`` are positions or a boolean mask [S].

        >>> SeriesStore.from_arrays_list([[1, 2], [3]], ids=["a", "b"]).select([1]).ids.tolist()
        ['b']
        """
        index = np.asarray(series_idx)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        if index.size == 0:
            raise EmptyDataError("no series selected", value=series_idx)
        bad = index[(index < 0) | (index >= self.n_series)]
        if bad.size:
            raise ConfigError(f"series {bad[0]} does not exist, there are {self.n_series}", value=int(bad[0]))
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.offsets[index] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(self, ids=self.ids[index], offsets=offsets, stat=self.stat[index], **self.at(rows))

    # -- saving ----------------------------------------------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Plain arrays (no objects, no datetime64: fit for safetensors) and JSON-able metadata.

        >>> arrays, meta = SeriesStore.from_arrays_list([[1, 2]]).to_arrays()
        >>> SeriesStore.from_arrays(arrays, meta).y.tolist()
        [1.0, 2.0]
        """
        dates = self.times.dtype.kind == "M"
        arrays = {"offsets": self.offsets, "times": self.times.view(np.int64) if dates else self.times.astype(np.int64),
                  "y": self.y, "mask": self.mask, "hist": self.hist, "futr": self.futr, "stat": self.stat}
        text = self.ids.dtype.kind in "OUT"
        meta = {"ids": self.ids.tolist(), "ids_dtype": "object" if text else str(self.ids.dtype),
                "times_dtype": str(self.times.dtype), "freq": self.freq, "origin": self.origin,
                "hist_names": self.hist_names, "futr_names": self.futr_names, "stat_names": self.stat_names,
                "categories": self.categories}
        if self.weight is not None:
            arrays["weight"] = self.weight
        if self.events is not None:
            more, facts = self.events.to_arrays()
            arrays, meta = {**arrays, **more}, {**meta, "events": {**facts, "ids": self.events.ids.tolist()}}
        return arrays, meta

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> SeriesStore:
        """The inverse of `to_arrays`; raises `DataError` (E0011) when an entry is missing."""
        try:
            times = np.asarray(arrays["times"]).view(np.int64)
            kind, found = np.dtype(meta["times_dtype"]), meta.get("events")
            events = None if found is None else Events.from_arrays(arrays, found, np.array(found["ids"], object), kind)
            return cls(np.array(meta["ids"], dtype=meta["ids_dtype"]), arrays["offsets"],
                       times.view(kind) if kind.kind == "M" else times.astype(kind), arrays["y"], arrays["mask"],
                       arrays["hist"], arrays["futr"], arrays["stat"], list(meta["hist_names"]),
                       list(meta["futr_names"]), list(meta["stat_names"]), meta["freq"], dict(meta["origin"]),
                       {name: list(values) for name, values in meta.get("categories", {}).items()}, events,
                       weight=arrays.get("weight"))
        except KeyError as error:
            raise DataError(f"the saved series lack the entry {error}", value=str(error)) from None


def _clean(values: np.ndarray, ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [T] -> (float32 [T] with 0 where missing, mask [T]); infinities are refused."""
    mask = ~np.isnan(values)
    limit = float(np.finfo(np.float32).max)
    bad = np.flatnonzero(mask & ~(np.abs(values) <= limit))
    if bad.size:
        owner = np.searchsorted(offsets, bad[:3], side="right") - 1
        where = ", ".join(f"series {ids[s]} step {r - offsets[s]}" for s, r in zip(owner, bad[:3], strict=True))
        raise DataError(f"{bad.size} infinite or too large values (float32 is the limit): {where}",
                        value=values[bad[0]], hint="Replace them by NaN, which means missing, or rescale.")
    return np.where(mask, values, 0.0).astype(np.float32), mask
