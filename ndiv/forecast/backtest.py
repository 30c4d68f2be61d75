"""Rolling-origin evaluation: cut, train, forecast, line up with what happened.

Contract: the models and scalers that forecast a window have seen rows before its cutoff only; this holds by
construction, since they are handed stores that end there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.frames import to_frame
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

from .columns import head
from .reading import ColumnNames
from .scaling import LocalScaler

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["backtest"]


def backtest(nf: NeuralForecast, store: SeriesStore, columns: ColumnNames, target: np.ndarray | None, *, n_windows: int,
             step_size: int | None, val_size: int, refit: bool | int,
             verbose: bool | None) -> tuple[Any, LocalScaler | None]:
    """(frame of id, time, cutoff, target, forecasts; scaler of the last training).

    ``target``: float64 [T] to show beside the forecasts; None: the store's own.
    """
    step = nf.h if step_size is None else step_size
    for name, value, least in (("n_windows", n_windows, 1), ("step_size", step, 1), ("refit", refit, 0)):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}", value=value)
    held = nf.h + step * (n_windows - 1)
    first = store.split(val_size, held)["val"][1]  # refuses series that are too short, by name
    truth = np.where(store.mask, store.y.astype(np.float64), np.nan) if target is None else target

    scaler: LocalScaler | None = None
    clocks, cutoffs, actual = [], [], []
    forecasts: dict[str, list[np.ndarray]] = {}
    for window in range(n_windows):
        known = first + window * step  # rows of each series before the cutoff, [S]
        past = head(store, known)
        if window == 0 or (refit and window % int(refit) == 0):
            scaler = nf.train(past, val_size, use_init_models=True, verbose=verbose)
        rows = (store.offsets[:-1] + known)[:, None] + np.arange(nf.h)
        for name, values in nf.forecast(past, store.futr[rows], scaler).items():
            forecasts.setdefault(name, []).append(values)
        clocks.append(store.times[rows])
        cutoffs.append(np.repeat(past.last_times[:, None], nf.h, axis=1))
        actual.append(truth[rows])

    def line_up(parts: list[np.ndarray]) -> np.ndarray:
        return np.stack(parts, axis=1).reshape(store.n_series, -1)  # [S, windows * h]: by series, then by cutoff

    values = {columns.target_col: line_up(actual), **{name: line_up(parts) for name, parts in forecasts.items()}}
    frame = to_frame(store.ids, line_up(clocks), values, like=store.origin)
    cutoff = to_frame(store.ids, line_up(cutoffs), {}, like=store.origin)[columns.time_col]
    order = [columns.id_col, columns.time_col, "cutoff", *values]
    if store.origin.get("library") == "polars":
        frame = frame.with_columns(cutoff.alias("cutoff"), frame[columns.target_col].fill_nan(None))
        return frame.select(order), scaler
    return frame.assign(cutoff=cutoff)[order], scaler
