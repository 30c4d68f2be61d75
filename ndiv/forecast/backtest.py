"""Rolling-origin evaluation: cut, train, forecast, line up with what happened.

Contract: the models and scalers that forecast a window have seen rows before its cutoff only; this holds by
construction, since they are handed stores that end there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.output import to_frame
from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

from .columns import cut, head
from .reading import ColumnNames
from .scaling import LocalScaler

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["backtest", "plan"]

_VALUES_AT_ONCE = 1 << 22  # input values that are forecast from together: 16 MiB


def plan(h: int, n_windows: int | None, step_size: int | None, test_size: int | None = None) -> np.ndarray:
    """How many rows of each series come after the cutoff of each window, int64 [W], falling.

    Raises `ConfigError` (E0010) for sizes that are not positive or do not agree.

    >>> plan(12, 3, 6).tolist(), plan(12, None, None, test_size=36).tolist()
    ([24, 18, 12], [36, 24, 12])
    """
    step = _whole("step_size", h if step_size is None else step_size)
    if test_size is None:
        windows = _whole("n_windows", n_windows)
        return h + step * np.arange(windows - 1, -1, -1)
    size = _whole("test_size", test_size, h)
    if (size - h) % step:
        raise ConfigError(f"test_size - h = {size - h} is no multiple of step_size = {step}", value=size,
                          hint=f"Pass test_size={size - (size - h) % step}.")
    windows = (size - h) // step + 1
    if n_windows is not None and n_windows not in (1, windows):
        raise ConfigError(f"test_size={size} makes {windows} windows, not n_windows={n_windows}", value=n_windows,
                          hint="Pass one of the two.")
    return h + step * np.arange(windows - 1, -1, -1)


def _whole(name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}", value=value)
    return int(value)


def backtest(nf: NeuralForecast, store: SeriesStore, columns: ColumnNames, target: np.ndarray | None, after: np.ndarray, *,
             val_size: int, refit: bool | int, verbose: bool | None,
             rules: DataRules | None = None) -> tuple[Any, LocalScaler | None]:
    """(frame of id, time, cutoff, target, forecasts; scaler of the last training).

    ``after``: rows after each cutoff, [W] (`plan`). ``target``: float64 [T] to show beside the forecasts; None: the
    store's own.
    """
    every = _whole("refit", refit, 0)
    store.split(val_size, int(after[0]))  # refuses series that are too short, by name
    ends = store.lengths[:, None] - after  # rows before each cutoff, [S, W]
    rows = (store.offsets[:-1, None] + ends)[:, :, None] + np.arange(nf.h)  # of each forecast, [S, W, h]

    scaler: LocalScaler | None = None
    parts: list[dict[str, np.ndarray]] = []
    for begin in range(0, len(after), every or len(after)):
        stop = begin + every if every else len(after)
        scaler = nf.train(head(store, ends[:, begin]), val_size, use_init_models=True, verbose=verbose, rules=rules)
        parts += _forecasts(nf, store, ends[:, begin:stop], rows[:, begin:stop], scaler)
    forecasts = {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}

    truth = np.where(store.mask, store.y.astype(np.float64), np.nan) if target is None else target
    cutoffs = np.broadcast_to(store.times[rows[:, :, :1] - 1], rows.shape)
    shown = {columns.target_col: truth[rows], **forecasts}
    return _frame(store, columns, store.times[rows], cutoffs, shown), scaler


def _forecasts(nf: NeuralForecast, store: SeriesStore, ends: np.ndarray, rows: np.ndarray,
               scaler: LocalScaler | None) -> Iterator[dict[str, np.ndarray]]:
    """Output column -> [S, windows, h], some windows at a time: what precedes each cutoff becomes a series of its own."""
    length = max(m.input_size for m in nf.models)  # rows further back are not looked at
    series, windows = ends.shape
    size = max(_VALUES_AT_ONCE // (series * length), 1)
    for begin in range(0, windows, size):
        some = ends[:, begin:begin + size]
        count = some.shape[1]
        last = some.reshape(-1)
        past = cut(store, np.repeat(np.arange(series), count), np.maximum(last - length, 0), last)
        futr = store.futr[rows[:, begin:begin + size].reshape(-1, nf.h)]
        yield {name: values.reshape(series, count, nf.h) for name, values in nf.forecast(past, futr, scaler).items()}


def _frame(store: SeriesStore, columns: ColumnNames, times: np.ndarray, cutoffs: np.ndarray,
           shown: dict[str, np.ndarray]) -> Any:
    """Rows by series, then cutoff, then time; all arrays are [S, W, h]."""
    flat = {name: values.reshape(store.n_series, -1) for name, values in shown.items()}
    frame = to_frame(store.ids, times.reshape(store.n_series, -1), flat, like=store.origin)
    cutoff = to_frame(store.ids, cutoffs.reshape(store.n_series, -1), {}, like=store.origin)[columns.time_col]
    order = [columns.id_col, columns.time_col, "cutoff", *shown]
    if store.origin.get("library") == "polars":
        # NaN is a number in polars and would spoil every mean; null is what missing means there.
        return frame.with_columns(cutoff.alias("cutoff"), frame[columns.target_col].fill_nan(None)).select(order)
    return frame.assign(cutoff=cutoff)[order]
