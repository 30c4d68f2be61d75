"""Forecasts of the past: one from each cutoff of the stored series, by the models as they are now.

Contract: a forecast reads the rows up to its cutoff (and the covariates known in advance of the rows after it), so that it
equals, to the bit, what `predict` makes of the series cut off there. Weights and the statistics of ``local_scaler_type`` come
from the whole training data: these are residuals of the fit, not an evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.output import to_frame
from ndiv.data.scalers import series_scaler
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, HorizonError

from .columns import cut

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["at_cutoffs", "cutoffs", "insample", "reach"]

_VALUES_AT_ONCE = 1 << 22  # input values that are forecast from together: 16 MiB


def insample(nf: NeuralForecast, store: SeriesStore, step_size: int, **asked: Any) -> Any:
    """Frame of id, time, cutoff, forecasts, target; rows by series, then cutoff, then time."""
    if isinstance(step_size, bool) or not isinstance(step_size, (int, np.integer)) or step_size < 1:
        raise ConfigError(f"step_size must be a whole number of at least 1, got {step_size!r}", value=step_size)
    series, ends = cutoffs(store, nf.h, int(step_size))
    columns = at_cutoffs(nf, store, series, ends, nf.models, lambda *given: nf.forecast(*given, **asked))
    rows = (store.offsets[series] + ends)[:, None] + np.arange(nf.h)  # [N, h]
    truth = np.where(store.mask[rows], store.y[rows].astype(np.float64), np.nan)
    last = np.broadcast_to(store.times[rows[:, :1] - 1], rows.shape)
    frame = to_frame(store.ids[series], store.times[rows], {**columns, nf.columns.target_col: truth}, like=store.origin)
    cutoff = to_frame(store.ids[series], last, {}, like=store.origin)[nf.columns.time_col]
    order = [nf.columns.id_col, nf.columns.time_col, "cutoff", *columns, nf.columns.target_col]
    if store.origin.get("library") == "polars":  # null is what missing means there
        return frame.with_columns(cutoff.alias("cutoff"), frame[nf.columns.target_col].fill_nan(None)).select(order)
    return frame.assign(cutoff=cutoff)[order]


def cutoffs(store: SeriesStore, h: int, step: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(series [N], rows before the cutoff [N]) of every forecast: the last window of a series ends with it, the others are
    ``step`` rows apart, the first has a row before it. ``most``: that many of each series, the last ones.

    Warns of series that are too short for any; `HorizonError` (E0005) where all are.

    >>> store = SeriesStore.from_arrays_list([range(6), range(4)])
    >>> [a.tolist() for a in cutoffs(store, 2, 2)]
    [[0, 0, 1], [2, 4, 2]]
    """
    counts = np.maximum((store.lengths - h - 1) // step + 1, 0)
    short = np.flatnonzero(counts == 0)
    if short.size:
        named = ", ".join(f"{store.ids[s]} ({store.lengths[s]} rows)" for s in short[:3])
        if short.size == store.n_series:
            raise HorizonError(f"no series has h={h} rows and one before them: {named}", value=int(store.lengths.max()),
                               hint="predict forecasts what comes after the series.")
        warnings.warn(f"{short.size} series have no h={h} rows with one before them and are left out: {named}", stacklevel=4)
    if most is not None:
        counts = np.minimum(counts, most)
    series = np.repeat(np.arange(store.n_series), counts)
    back = np.concatenate([np.arange(c - 1, -1, -1) for c in counts]) * step  # rows after the window
    return series, store.lengths[series] - h - back


def reach(nf: NeuralForecast) -> int:
    """Rows that a forecast looks back, at most."""
    length = max(getattr(m, "inference_size", m.input_size) for m in nf.models)
    return int(length + series_scaler(nf.local_scaler_type)[1])  # differences look a period further back


def at_cutoffs(nf: NeuralForecast, store: SeriesStore, series: np.ndarray, ends: np.ndarray, models: Sequence[Any],
               make: Callable[..., dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What ``make(store, futr [N, h, F], scaler)`` finds for these models at the cutoffs, name -> [N, ...]: of many series and
    cutoffs at a time, what is known at each being a series of its own."""
    back = reach(nf)
    parts: list[dict[str, np.ndarray]] = []
    kept: list[np.ndarray] = []  # of each part, the numbers of the forecasts that it holds
    some_at_once = _panels if any(m.MULTIVARIATE for m in models) else _rows
    for at, last, number in some_at_once(store, series, ends, max(_VALUES_AT_ONCE // back, 1)):
        begin = np.maximum(last, 0)
        past = cut(store, at, np.maximum(begin - back, 0), begin)
        found = make(past, _known(store, at, last, nf.h), None if nf.scaler is None else nf.scaler.among(store, past, at))
        some = number >= 0
        parts.append({name: values[some] for name, values in found.items()})
        kept.append(number[some])
    order = np.argsort(np.concatenate(kept), kind="stable")
    return {name: np.concatenate([p[name] for p in parts])[order] for name in parts[0]}


def _rows(store: SeriesStore, series: np.ndarray, ends: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """(series, rows before the cutoff, number of the forecast), some at a time."""
    for k in range(0, len(series), size):
        some = slice(k, k + size)
        yield series[some], ends[some], np.arange(len(series))[some]


def _panels(store: SeriesStore, series: np.ndarray, ends: np.ndarray,
            size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """The same for models of all series at once: cutoffs are counted from the end, and a series that has not begun there is
    empty; the number of a forecast that was not asked for is -1."""
    back = (store.lengths[series] - ends).astype(np.int64)
    after = np.unique(back)
    number = np.full((store.n_series, len(after)), -1)
    number[series, np.searchsorted(after, back)] = np.arange(len(series))
    many = max(size // store.n_series, 1)
    for k in range(0, len(after), many):
        some = after[k:k + many]
        at = np.repeat(np.arange(store.n_series), len(some))
        yield at, store.lengths[at] - np.tile(some, store.n_series), number[:, k:k + many].reshape(-1)


def _known(store: SeriesStore, series: np.ndarray, ends: np.ndarray, h: int) -> np.ndarray | None:
    """Covariates known in advance of the rows after each cutoff, [N, h, F], None without; 0 before a series begins."""
    if not store.futr_names:
        return None
    steps = ends[:, None] + np.arange(h)
    found = store.futr[np.maximum(store.offsets[series][:, None] + steps, 0)]
    return np.where((steps >= 0)[:, :, None], found, np.float32(0))
