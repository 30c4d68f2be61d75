"""Windows cut out of a `SeriesStore` by index, and the loaders that choose them.

Contract: memory is O(batch) whatever the length of the series; a window is named by (series, start), where ``start``
is the first input step counted within the series. Every loader is a pure function of its arguments and the step
number, drawn from Philox keys, so training resumes at any step with the same batches. NumPy only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, HorizonError, ShapeError

from .augment import Augmenter
from .store import SeriesStore

__all__ = ["EpochLoader", "PanelIndex", "SequentialLoader", "WindowIndex", "WindowLoader", "gather", "stack_series"]

Batch = dict[str, np.ndarray]
# One Philox key is (seed, stream number): the high bits of the second word keep the three uses of a loader apart.
_WINDOW_STREAM = 1 << 62
_AUGMENT_STREAM = 3 << 61
_BLOCK = 1 << 16  # bytes of windows that are copied at a time


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64)))


def _positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}", value=value)


def _seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 63:
        raise ConfigError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed!r}", value=seed)
    return int(seed)


def gather(store: SeriesStore, series_idx: Any, starts: Any, input_size: int, h: int, *,
           history_pad: float = 0.0, lo: Any = None, hi: Any = None, out: Batch | None = None) -> Batch:
    """Cut B windows: inputs ``start : start + input_size``, targets the next ``h`` steps.

    Arguments: ``series_idx`` and ``starts`` int [B]. A start may be negative and a horizon may run past the end:
    steps outside the series hold ``history_pad`` (inputs) or 0 with mask 0. ``lo`` and ``hi`` [B] limit the targets
    within the series; outside of them targets are 0 with mask 0, so a training batch never carries validation values.
    ``out`` is a batch of before whose arrays are written over where they have the right shape: new memory costs more
    than what is copied into it.

    Returns float32 arrays ``insample_y`` [B, L, 1], ``insample_mask``, ``outsample_y`` [B, h, 1], ``outsample_mask``
    and, where the store has such covariates, ``hist_exog`` [B, L, X], ``futr_exog`` [B, L + h, F], ``stat_exog``
    [B, K], what the store's ``extras`` add, and, where its rows have weights and h > 0, ``sample_weight`` [B, 1, 1]: the mean
    weight of the targets that the window may ask. Raises `ConfigError` for a series that does not exist, `ShapeError` for
    lengths that disagree.

    >>> store = SeriesStore.from_arrays_list([[1, 2, 3, 4]])
    >>> gather(store, [0], [-1], 3, 2)["insample_y"][0, :, 0].tolist()
    [0.0, 1.0, 2.0]
    """
    _positive(input_size=input_size)
    if h < 0:
        raise ConfigError(f"h must not be negative, got {h}", value=h)
    series, start = np.asarray(series_idx, np.int64), np.asarray(starts, np.int64)
    if series.ndim != 1 or series.shape != start.shape:
        raise ShapeError(f"series_idx {series.shape} and starts {start.shape} must be one shape [B]", value=start.shape)
    if series.size and (series.min() < 0 or series.max() >= store.n_series):
        raise ConfigError(f"series_idx must lie in 0..{store.n_series - 1}", value=series)
    cut = _Cutter(store, series, start, input_size + h, out or {})
    batch = {}
    for part, first, steps in (("insample", 0, input_size), ("outsample", input_size, h)):
        batch[f"{part}_y"] = cut(f"{part}_y", store.y, first, steps)[..., None]
        batch[f"{part}_mask"] = cut(f"{part}_mask", store.mask, first, steps, ones=store.complete)[..., None]
    if lo is not None or hi is not None:
        asks = start + input_size
        below, above = asks if lo is None else np.asarray(lo), asks + h if hi is None else np.asarray(hi)
        some = np.flatnonzero((asks < below) | (asks + h > above))  # few: windows at an end of what they may ask
        if some.size:
            targets = asks[some, None] + np.arange(h)
            asked = (targets >= below[some, None]) & (targets < above[some, None])
            for name in ("outsample_y", "outsample_mask"):
                batch[name][some] *= asked[..., None]
    if store.weight is not None and h:
        batch["sample_weight"] = _window_weights(store, series, asks := start + input_size, asks + h, lo, hi)
    if history_pad:
        steps_in = start[:, None] + np.arange(input_size)
        length = (store.offsets[series + 1] - store.offsets[series])[:, None]
        batch["insample_y"][(steps_in < 0) | (steps_in >= length)] = history_pad
    if store.hist_names:
        batch["hist_exog"] = cut("hist_exog", store.hist, 0, input_size)
    if store.futr_names:
        batch["futr_exog"] = cut("futr_exog", store.futr, 0, input_size + h)
    if store.stat_names:
        batch["stat_exog"] = store.stat[series]
    for extra in store.extras:
        batch.update(extra(store, series, start, input_size, h))
    return batch


def _window_weights(store: SeriesStore, series: np.ndarray, first: np.ndarray, last: np.ndarray, lo: Any,
                    hi: Any) -> np.ndarray:
    """The mean weight of rows ``first:last`` [B] of each window that lie in its series and in ``lo:hi``, float32 [B, 1, 1]."""
    ends = store.lengths[series]
    first = np.maximum(first, 0 if lo is None else np.maximum(lo, 0))
    last = np.minimum(last, ends if hi is None else np.minimum(hi, ends))
    rows = first[:, None] + np.arange(max(int((last - first).max(initial=0)), 1))
    inside = rows < last[:, None]
    found = store.weight[np.where(inside, store.offsets[series][:, None] + rows, 0)] * inside
    means = found.sum(axis=1, dtype=np.float64) / np.maximum(inside.sum(axis=1), 1)
    return means.astype(np.float32)[:, None, None]


class _Cutter:
    """Windows of rows [T, ...] as float32 [B, steps, ...], zero outside the series.

    Windows inside their series are copied row by row out of a strided view, several times as fast as by element; only
    those that cross an end are picked element by element. Copies go by blocks that stay in the cache, since a large
    temporary array is new memory each time.
    """

    def __init__(self, store: SeriesStore, series: np.ndarray, start: np.ndarray, width: int, out: Batch) -> None:
        self.begin, self.end = store.offsets[series], store.offsets[series + 1]
        self.base, self.width, self.rows, self.out = self.begin + start, width, len(store.y), out
        self.edge = np.flatnonzero((start < 0) | (self.base + width > self.end))

    def room(self, name: str, steps: int, rest: tuple[int, ...] = ()) -> np.ndarray:
        """An array [B, steps, ...] to write to: that of the batch of before, if it fits."""
        shape, held = (len(self.base), steps, *rest), self.out.get(name)
        if held is not None and held.shape == (shape if rest else (*shape, 1)):
            return held if rest else held[..., 0]
        return np.empty(shape, np.float32)

    def __call__(self, name: str, array: np.ndarray, first: int, steps: int, ones: bool = False) -> np.ndarray:
        """Steps ``first : first + steps`` of the windows; ``ones``: the array is known to hold nothing else."""
        out = self.room(name, steps, array.shape[1:])
        if ones:
            out.fill(1)
        elif out.size and self.rows >= self.width:
            whole = np.lib.stride_tricks.as_strided(array, (self.rows - steps + 1, steps, *array.shape[1:]),
                                                    (array.strides[0], *array.strides), writeable=False)
            spots = np.clip(self.base, 0, self.rows - self.width) + first
            block = max(_BLOCK // (out[0].size * 4), 1)
            for k in range(0, len(out), block):
                out[k:k + block] = whole[spots[k:k + block]]
        if self.edge.size:
            at = self.edge
            picked = self.base[at, None] + np.arange(first, first + steps)
            inside = (picked >= self.begin[at, None]) & (picked < self.end[at, None])
            found = array[np.where(inside, picked, 0)]
            out[at] = np.where(inside.reshape(*inside.shape, *(1,) * (array.ndim - 1)), found, array.dtype.type(0))
        return out


def stack_series(batch: Batch, n_series: int) -> Batch:
    """Rows ordered window-major then series -> the layout of multivariate models.

    ``insample_y`` and the other targets [W * n, L, 1] -> [W, L, n]; ``hist_exog`` and ``futr_exog`` [W * n, L, X] ->
    [W, X, L, n]; ``stat_exog`` [W * n, K] -> [n, K]. Raises `ShapeError` when the rows are no multiple of ``n_series``.

    >>> stack_series({"insample_y": np.arange(6.0).reshape(2, 3, 1)}, 2)["insample_y"].shape
    (1, 3, 2)
    """
    out = {}
    for name, value in batch.items():
        if len(value) % n_series:
            raise ShapeError(f"{name} has {len(value)} rows, no multiple of {n_series} series", value=len(value))
        if name == "stat_exog":
            out[name] = value[:n_series]
            continue
        blocks = value.reshape(-1, n_series, *value.shape[1:])  # [W, n, L, X]
        moved = blocks.transpose(0, 3, 2, 1)  # [W, X, L, n]
        out[name] = np.ascontiguousarray(moved if name.endswith("_exog") else moved[:, 0])
    return out


class WindowIndex:
    """Which windows exist, without making them.

    A window exists when its inputs and its targets lie inside the series. ``start_padding`` also allows inputs that
    begin before the series, down to one true step; ``partial_horizon`` also allows targets that run past the end while
    at least one is inside. ``lo`` and ``hi`` (int or int [S]) restrict the targets to ``[lo, hi)``; inputs may look
    back before ``lo``. ``availability`` in [0, 1] (or a pair, inputs and targets) is the share of observed steps that
    both parts must have; 0 asks for one observed step in each.

    Windows are numbered series by series, start by start, ``step_size`` apart. Without missing values the index holds
    O(S) numbers; where a window is ruled out by missing values it also holds the numbers of those that remain.

    >>> index = WindowIndex(SeriesStore.from_arrays_list([range(6), range(4)]), input_size=2, h=2)
    >>> len(index), [a.tolist() for a in index.locate(np.arange(len(index)))]
    (4, [[0, 0, 0, 1], [0, 1, 2, 0]])
    """

    def __init__(self, store: SeriesStore, input_size: int, h: int, step_size: int = 1, start_padding: bool = False,
                 availability: float | tuple[float, float] = 0.0, lo: Any = None, hi: Any = None,
                 partial_horizon: bool = False) -> None:
        _positive(input_size=input_size, h=h, step_size=step_size)
        self.store, self.input_size, self.h, self.step_size = store, int(input_size), int(h), int(step_size)
        share = availability if isinstance(availability, (tuple, list)) else (availability, availability)
        if len(share) != 2 or not all(0.0 <= a <= 1.0 for a in share):
            raise ConfigError(f"availability must lie in [0, 1], got {availability!r}", value=availability)
        lengths = store.lengths
        self.lo = np.broadcast_to(np.asarray(0 if lo is None else lo, np.int64), lengths.shape)
        self.hi = np.minimum(lengths if hi is None else np.asarray(hi, np.int64), lengths)
        first_target = np.maximum(self.lo, 1 if start_padding else self.input_size)
        last_target = self.hi - (1 if partial_horizon else self.h)
        self.first = first_target - self.input_size
        candidates = np.maximum((last_target - first_target) // self.step_size + 1, 0)
        self._ends = np.cumsum(candidates)
        self._kept: np.ndarray | None = None
        self.counts = candidates
        if not store.mask.all() or share[0] > 0 or share[1] > 0:
            self._drop_unobserved(share)

    def _observed(self) -> tuple[np.ndarray, int]:
        """Observed values in each row [T], and how many there can be."""
        return self.store.mask, 1

    def _drop_unobserved(self, share: tuple[float, float], block: int = 1 << 16) -> None:
        """Keep the candidates with enough observed steps; temporary memory is the running count of the mask."""
        observed, most = self._observed()
        seen = np.concatenate([[0], np.cumsum(observed, dtype=np.int64)])
        need = [max(1, int(a * n * most + 1e-9)) for a, n in zip(share, (self.input_size, self.h), strict=True)]
        total = int(self._ends[-1])
        keep = np.empty(total, bool)
        for begin in range(0, total, block):
            numbers = np.arange(begin, min(begin + block, total))
            series, start = self._place(numbers)
            base, middle = self.store.offsets[series], start + self.input_size
            inputs = seen[base + middle] - seen[base + np.maximum(start, 0)]
            targets = seen[base + np.minimum(middle + self.h, self.hi[series])] - seen[base + middle]
            keep[numbers] = (inputs >= need[0]) & (targets >= need[1])
        if keep.all():
            return
        self._kept = np.flatnonzero(keep)
        self.counts = np.diff(np.searchsorted(self._kept, np.concatenate([[0], self._ends])))

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._kept is None else len(self._kept)

    @property
    def ends(self) -> np.ndarray:
        """Cumulative window counts, int64 [S]: series ``s`` owns numbers ``ends[s] - counts[s] : ends[s]``."""
        return np.cumsum(self.counts)

    def _place(self, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        series = np.searchsorted(self._ends, candidate, side="right")
        before = np.where(series > 0, self._ends[series - 1], 0)
        return series, self.first[series] + (candidate - before) * self.step_size

    def locate(self, k: Any) -> tuple[np.ndarray, np.ndarray]:
        """Window numbers [B] -> (series_idx [B], starts [B]); `ConfigError` for a number that does not exist."""
        number = np.asarray(k, np.int64)
        if number.size and (number.min() < 0 or number.max() >= len(self)):
            raise ConfigError(f"window numbers must lie in 0..{len(self) - 1}", value=k)
        return self._place(number if self._kept is None else self._kept[number])

    def gather(self, k: Any, out: Batch | None = None) -> Batch:
        """The batch of windows ``k`` [B], as `gather` returns it; targets outside ``[lo, hi)`` are masked."""
        series, starts = self.locate(k)
        return gather(self.store, series, starts, self.input_size, self.h, lo=self.lo[series], hi=self.hi[series],
                      out=out)

    def require(self) -> WindowIndex:
        """This index, or `HorizonError` (E0005) that says why there is no window."""
        if len(self):
            return self
        longest = int((self.hi - np.maximum(self.lo - self.input_size, 0)).max())
        reason = ("every window lacks observed values" if self._ends[-1]
                  else f"the longest usable series has {longest} steps, a window needs {self.input_size} + {self.h}")
        raise HorizonError(f"no windows available: {reason}", value=longest,
                           hint="Use a smaller input_size or h, set start_padding_enabled=True, or supply more data.")


class PanelIndex(WindowIndex):
    """Windows over all series at once, for multivariate models: the series are aligned on their last rows.

    Arguments as of `WindowIndex`; rows are counted from the first one of the longest series, and a shorter series begins
    later, padded and masked before that. A window exists where a window of the longest series would, with one observed
    value of any series in its inputs and in its targets, or ``availability`` of all values. ``lo`` and ``hi`` count within
    each series and limit the targets of each.

    >>> index = PanelIndex(SeriesStore.from_arrays_list([[1, 2, 3, 4], [30, 40]]), input_size=2, h=1)
    >>> len(index), index.gather([0])["insample_y"][0].tolist(), index.gather([0])["outsample_y"].tolist()
    (2, [[1.0, 0.0], [2.0, 0.0]], [[[3.0, 30.0]]])
    """

    def __init__(self, store: SeriesStore, input_size: int, h: int, step_size: int = 1, start_padding: bool = False,
                 availability: float | tuple[float, float] = 0.0, lo: Any = None, hi: Any = None,
                 partial_horizon: bool = False) -> None:
        lengths = store.lengths
        rows = int(lengths.max())
        self.panel, self.late = store, rows - lengths  # [S] rows before the first of each series
        self.own_lo = np.broadcast_to(np.asarray(0 if lo is None else lo, np.int64), lengths.shape)
        self.own_hi = np.minimum(lengths if hi is None else np.asarray(hi, np.int64), lengths)
        place = np.arange(len(store.y)) - np.repeat(store.offsets[:-1] - self.late, lengths)
        self.values = np.bincount(place[store.mask], minlength=rows)  # observed values in each row
        clock = SeriesStore(np.zeros(1, np.int64), np.array([0, rows]), np.arange(rows), np.zeros(rows), self.values > 0)
        first, last = int((self.own_lo + self.late).min()), int((self.own_hi + self.late).max())
        super().__init__(clock, input_size, h, step_size, start_padding, availability, first, last, partial_horizon)

    def _observed(self) -> tuple[np.ndarray, int]:
        return self.values, self.panel.n_series

    def gather(self, k: Any, out: Batch | None = None) -> Batch:
        """The batch of windows ``k`` [B] in the layout of `stack_series`, in new arrays."""
        _, starts = self.locate(k)
        n = self.panel.n_series
        series = np.tile(np.arange(n), len(starts))
        rows = gather(self.panel, series, np.repeat(starts, n) - self.late[series], self.input_size, self.h,
                      lo=self.own_lo[series], hi=self.own_hi[series])
        return stack_series(rows, n)


class WindowLoader:
    """Training batches as neuralforecast draws them: some series, then some of their windows.

    Step ``t`` takes ``batch_size`` series (reshuffled each epoch, those without a window left out), then up to
    ``windows_batch_size`` of their windows, uniformly without replacement; when they have fewer, all of them once.
    By default the last horizons may run past the end of the series with mask 0, as in neuralforecast. With ``panel=True``
    a window holds all series (`PanelIndex`), and ``batch_size`` does not matter. With ``keep`` the arrays of a batch are
    written over by the batch that comes ``keep`` calls later; they are read only, since a step that takes all windows there are
    takes the arrays of the one before. ``augment`` changes batches at random (see augment.py).

    Raises `HorizonError` (E0005) when there is no window at all.

    >>> loader = WindowLoader(SeriesStore.from_arrays_list([range(50)]), input_size=8, h=4, windows_batch_size=16)
    >>> loader.steps_per_epoch, loader.batch(0)["insample_y"].shape
    (1, (16, 8, 1))
    """

    def __init__(self, store: SeriesStore, input_size: int, h: int, batch_size: int = 32,
                 windows_batch_size: int = 1024, step_size: int = 1, seed: int = 1, start_padding: bool = False,
                 availability: float | tuple[float, float] = 0.0, lo: Any = None, hi: Any = None,
                 partial_horizon: bool = True, drop_last: bool = False, shuffle: bool = True, panel: bool = False,
                 keep: int | None = None, augment: Augmenter | None = None) -> None:
        _positive(batch_size=batch_size, windows_batch_size=windows_batch_size, keep=1 if keep is None else keep)
        self._kept: list[Batch | None] | None = None if keep is None else [None] * keep
        kind = PanelIndex if panel else WindowIndex
        self.index = kind(store, input_size, h, step_size, start_padding, availability, lo, hi, partial_horizon).require()
        self.batch_size, self.windows_batch_size = int(batch_size), int(windows_batch_size)
        self.seed, self.shuffle, self.augment = _seed(seed), shuffle, augment
        self._series = np.flatnonzero(self.index.counts)
        self._ends = self.index.ends
        whole, rest = divmod(len(self._series), self.batch_size)
        # A pass that would be empty keeps its one partial batch.
        self.steps_per_epoch = max(whole if drop_last else whole + (rest > 0), 1)
        self._order: tuple[int, np.ndarray] | None = None
        self._all: Batch | None = None  # the batch of every step, where a step takes all windows

    def _epoch(self, epoch: int) -> np.ndarray:
        """The order of series in one epoch; the last one is kept, which changes speed only."""
        if not self.shuffle or len(self._series) <= self.batch_size:  # a step takes all of them, in order
            return self._series
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, _generator(self.seed, epoch).permutation(self._series))
        return self._order[1]

    def numbers(self, step: int) -> np.ndarray:
        """The window numbers of one step, rising, int64 [B]."""
        if step < 0:
            raise ConfigError(f"step must not be negative, got {step}", value=step)
        epoch, place = divmod(int(step), self.steps_per_epoch)
        chosen = np.sort(self._epoch(epoch)[place * self.batch_size:(place + 1) * self.batch_size])
        counts = self.index.counts[chosen]
        ends = np.cumsum(counts)
        total, size = int(ends[-1]), self.windows_batch_size
        if total <= size:
            picks = np.arange(total)
        else:
            generator = _generator(self.seed, _WINDOW_STREAM + int(step))
            # Sorted, so that gathering walks forward through memory.
            picks = np.sort(generator.choice(total, size, replace=False, shuffle=False))
        which = np.searchsorted(ends, picks, side="right")
        return picks - ends[which] + self._ends[chosen[which]]

    def batch(self, step: int) -> Batch:
        """The batch of one step, as `gather` returns it; equal arguments give equal arrays."""
        numbers = self.numbers(step)
        if self._kept is None:
            batch = self.index.gather(numbers, None)
        elif self._all is not None:
            batch = self._all
        else:
            batch = self.index.gather(numbers, self._kept.pop(0))
            self._kept.append(batch)
            self._all = batch if len(numbers) == len(self.index) and self.augment is None else None  # which writes to it
        return batch if self.augment is None else self.augment(batch, _generator(self.seed, _AUGMENT_STREAM + int(step)))


class SequentialLoader:
    """Every window once, in order: validation and in-sample prediction; ``panel=True``: windows of all series at once.

    >>> loader = SequentialLoader(SeriesStore.from_arrays_list([range(10)]), input_size=3, h=2, batch_size=4)
    >>> [len(b["insample_y"]) for b in loader.batches()]
    [4, 2]
    """

    def __init__(self, store: SeriesStore, input_size: int, h: int, batch_size: int = 1024, step_size: int = 1,
                 start_padding: bool = False, availability: float | tuple[float, float] = 0.0, lo: Any = None,
                 hi: Any = None, partial_horizon: bool = False, panel: bool = False) -> None:
        _positive(batch_size=batch_size)
        kind = PanelIndex if panel else WindowIndex
        self.index = kind(store, input_size, h, step_size, start_padding, availability, lo, hi, partial_horizon)
        self.batch_size = int(batch_size)

    def __len__(self) -> int:
        return -(-len(self.index) // self.batch_size)

    def numbers(self) -> Iterator[np.ndarray]:
        """Window numbers of each batch; `WindowIndex.locate` gives their series and starts."""
        for begin in range(0, len(self.index), self.batch_size):
            yield np.arange(begin, min(begin + self.batch_size, len(self.index)))

    def batches(self) -> Iterator[Batch]:
        for numbers in self.numbers():
            yield self.index.gather(numbers)


class EpochLoader:
    """A shuffled pass over all windows in each epoch: the protocol of most papers. The last partial batch is kept.

    With ``aligned=True`` (every series has the same times) a batch is ``batch_size`` start positions times all series,
    rows ordered window-major then series, which `stack_series` turns into multivariate form; a start position counts
    when at least one series has a window there. The order of one epoch is held in memory, 8 bytes a window.

    >>> index = WindowIndex(SeriesStore.from_arrays_list([range(10)]), input_size=3, h=2)
    >>> loader = EpochLoader(index, batch_size=4, seed=7)
    >>> loader.steps_per_epoch, sorted(np.concatenate([loader.locate(s)[1] for s in range(2)]).tolist())
    (2, [0, 1, 2, 3, 4, 5])
    """

    def __init__(self, index: WindowIndex, batch_size: int = 32, seed: int = 1, shuffle: bool = True,
                 aligned: bool = False, drop_last: bool = False) -> None:
        _positive(batch_size=batch_size)
        self.index, self.batch_size = index.require(), int(batch_size)
        self.seed, self.shuffle, self.aligned = _seed(seed), shuffle, aligned
        self._items = np.arange(len(index)) if not aligned else self._common_starts(index)
        whole, rest = divmod(len(self._items), self.batch_size)
        self.steps_per_epoch = max(whole if drop_last else whole + (rest > 0), 1)
        self._order: tuple[int, np.ndarray] | None = None

    @staticmethod
    def _common_starts(index: WindowIndex) -> np.ndarray:
        same = (index.lo == index.lo[0]).all() and (index.hi == index.hi[0]).all()
        if not same or not index.store.is_aligned:
            raise ShapeError("aligned=True needs series with the same times and target range",
                             value=index.store.lengths[:3], hint="Cut them to a common range, or use aligned=False.")
        return np.unique(index.locate(np.arange(len(index)))[1])

    def locate(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The windows of one step: (series_idx, starts), int64 [B] each (B = windows * S when aligned)."""
        if step < 0:
            raise ConfigError(f"step must not be negative, got {step}", value=step)
        epoch, place = divmod(int(step), self.steps_per_epoch)
        items = self._items
        if self.shuffle:
            if self._order is None or self._order[0] != epoch:
                self._order = (epoch, _generator(self.seed, epoch).permutation(items))
            items = self._order[1]
        chosen = items[place * self.batch_size:(place + 1) * self.batch_size]
        if not self.aligned:
            return self.index.locate(chosen)
        n = self.index.store.n_series
        return np.tile(np.arange(n), len(chosen)), np.repeat(chosen, n)

    def batch(self, step: int) -> Batch:
        """The batch of one step, as `gather` returns it."""
        series, starts = self.locate(step)
        index = self.index
        return gather(index.store, series, starts, index.input_size, index.h, lo=index.lo[series], hi=index.hi[series])

    def batches(self, epoch: int = 0) -> Iterator[Batch]:
        """All batches of one epoch."""
        for place in range(self.steps_per_epoch):
            yield self.batch(epoch * self.steps_per_epoch + place)
