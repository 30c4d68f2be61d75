"""Rolling-origin evaluation: cut, train, forecast, line up with what happened.

Contract: the models and scalers that forecast a window have seen rows before its cutoff only; this holds by
construction, since they are handed stores that end there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.output import to_frame
from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

from .asked import Asked
from .columns import cut, head
from .insample import reach
from .reading import ColumnNames
from .scaling import LocalScaler

if TYPE_CHECKING:
    from ndiv.utils import PredictionIntervals

    from .conformal import Calibration
    from .core import NeuralForecast

__all__ = ["backtest", "of_fitted", "past_windows", "plan", "window_frame"]

Training = tuple[np.ndarray, "LocalScaler | None", "Calibration | None"]

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
             val_size: int, refit: bool | int, verbose: bool | None, steps: int | None = None, asked: Asked | None = None,
             intervals: PredictionIntervals | None = None, rules: DataRules | None = None,
             bounds: Callable[[np.ndarray], np.ndarray] | None = None,
             ) -> tuple[Any, LocalScaler | None, Calibration | None]:
    """(frame of id, time, cutoff, target, forecasts; scaler and calibration of the last training).

    ``after``: rows after each cutoff, [W] (`plan`), for forecasts of ``steps``. ``target``: float64 [T] to show beside them;
    None: the store's own. ``asked``: their quantiles; ``intervals``: how each training is calibrated, before its first cutoff;
    ``bounds`` keeps forecasts within limits (`check_clip`).
    """
    from .calibrating import calibrated_in_training

    every = _whole("refit", refit, 0)
    store.split(val_size, int(after[0]))  # refuses series that are too short, by name
    ends = store.lengths[:, None] - after  # rows before each cutoff, [S, W]
    last: tuple[LocalScaler | None, Calibration | None] = (None, None)

    def trainings() -> Iterator[Training]:
        nonlocal last
        for begin in range(0, len(after), every or len(after)):
            stop = begin + every if every else len(after)
            known = head(store, ends[:, begin])
            scores = None if intervals is None else calibrated_in_training(nf, known, intervals, val_size, verbose, rules)
            last = nf.train(known, val_size, use_init_models=True, verbose=verbose, rules=rules), scores
            yield (ends[:, begin:stop], *last)

    frame = window_frame(nf, store, columns, target, trainings(), nf.h if steps is None else steps, asked, bounds)
    return (frame, *last)


def of_fitted(nf: NeuralForecast, store: SeriesStore, columns: ColumnNames, target: np.ndarray | None, after: np.ndarray,
              steps: int, asked: Asked | None, refit: bool | int, intervals: PredictionIntervals | None,
              bounds: Callable[[np.ndarray], np.ndarray] | None = None) -> Any:
    """The frame of `backtest` from the models as they are. `NotFittedError` (E0001); `ConfigError` (E0010) for what trains."""
    nf._check_fitted()
    if refit or intervals is not None:
        raise ConfigError("use_fitted=True trains nothing, so refit and prediction_intervals cannot be given with it",
                          value=refit or intervals, hint="Leave them out; calibrate(df) makes intervals without training.")
    store.split(0, int(after[0]))  # refuses series that are too short, by name
    ends = store.lengths[:, None] - after
    scaler = None if nf.scaler is None else nf.scaler.knowing(head(store, ends[:, 0]))
    return window_frame(nf, store, columns, target, [(ends, scaler, nf.calibration)], steps, asked, bounds)


def window_frame(nf: NeuralForecast, store: SeriesStore, columns: ColumnNames, target: np.ndarray | None,
                 trainings: Iterable[Training], steps: int, asked: Asked | None = None,
                 bounds: Callable[[np.ndarray], np.ndarray] | None = None) -> Any:
    """The frame of id, time, cutoff, target and forecasts of windows: for each training those that come after it, as (rows
    before each cutoff [S, W], scaler, calibration)."""
    length = reach(nf)
    parts: list[dict[str, np.ndarray]] = []
    cuts = []
    for ends, scaler, calibration in trainings:
        cuts.append(ends)
        rows = (store.offsets[:-1, None] + ends)[:, :, None] + np.arange(steps)
        for count, past, futr in past_windows(store, ends, rows, length):
            found = nf.forecast(past, futr, scaler, steps=steps, asked=asked, calibration=calibration)
            parts.append({name: values.reshape(store.n_series, count, steps) for name, values in found.items()})
    forecasts = {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}
    if bounds is not None:
        forecasts = {name: bounds(values) for name, values in forecasts.items()}
    rows = (store.offsets[:-1, None] + np.concatenate(cuts, axis=1))[:, :, None] + np.arange(steps)  # [S, W, steps]
    truth = np.where(store.mask, store.y.astype(np.float64), np.nan) if target is None else target
    cutoffs = np.broadcast_to(store.times[rows[:, :, :1] - 1], rows.shape)
    return _frame(store, columns, store.times[rows], cutoffs, {columns.target_col: truth[rows], **forecasts})


def past_windows(store: SeriesStore, ends: np.ndarray, rows: np.ndarray,
                 length: int) -> Iterator[tuple[int, SeriesStore, np.ndarray]]:
    """Some windows at a time: how many of each series, what precedes each cutoff [S, W] as a series of its own, and the future
    covariates of its ``rows`` [S, W, steps]."""
    series, windows = ends.shape
    size = max(_VALUES_AT_ONCE // (series * length), 1)
    for begin in range(0, windows, size):
        some = ends[:, begin:begin + size]
        count = some.shape[1]
        last = some.reshape(-1)
        past = cut(store, np.repeat(np.arange(series), count), np.maximum(last - length, 0), last)
        yield count, past, store.futr[rows[:, begin:begin + size].reshape(-1, rows.shape[2])]


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
