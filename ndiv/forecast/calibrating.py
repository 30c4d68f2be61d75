"""Calibration: forecasts of past windows and how far off they were, as the scores that `conformal` turns into intervals.

Contract: `calibrate` uses trained models as they are; `calibrated_in_training` trains copies on what precedes the windows and
leaves the models alone, so that scores are of values that training has not seen. `warn_if_seen` says where windows of
`calibrate` reach into what the models were trained on, whose errors are too small.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, HorizonError
from ndiv.models.base import BaseModel
from ndiv.utils import PredictionIntervals

from .ahead import columns_ahead
from .backtest import past_windows, plan
from .columns import head, model_names
from .conformal import Calibration
from .insample import reach
from .quantiles import Column, chosen, kind, layout, support_points
from .scaling import LocalScaler
from .telling import tell

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["calibrate", "calibrated_in_training", "checked", "room_for", "warn_if_seen"]


def checked(settings: Any) -> PredictionIntervals:
    """The settings themselves; `ConfigError` (E0010) for anything else."""
    if not isinstance(settings, PredictionIntervals):
        raise ConfigError(f"prediction_intervals must be a PredictionIntervals, got {settings!r}", value=settings,
                          hint="from ndiv.utils import PredictionIntervals; PredictionIntervals(n_windows=5)")
    return settings


def calibrate(nf: NeuralForecast, store: SeriesStore, settings: PredictionIntervals, scaler: LocalScaler | None,
              steps: int) -> Calibration:
    """The scores of the models, as they are, on the last windows of a store.

    Raises `HorizonError` (E0005) for series that are too short, `ConfigError` (E0010) where no model has scores by the method.
    """
    after = plan(steps, settings.n_windows, settings.step_size)
    room_for(store, int(after[0]))
    asked = _columns(nf, settings)
    ends = store.lengths[:, None] - after
    rows = (store.offsets[:-1, None] + ends)[:, :, None] + np.arange(steps)
    parts: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in asked}
    for count, past, futr in past_windows(store, ends, rows, reach(nf)):
        for name, model, columns in asked:
            values = columns_ahead(nf, model, columns, past, futr, scaler, steps)
            parts[name].append(values.reshape(store.n_series, count, steps, -1))
    y = np.where(store.mask, store.y.astype(np.float64), np.nan)[rows][..., None]
    errors = {name: (y - np.concatenate(found, axis=1)).astype(np.float32) for name, found in parts.items()}
    quantiles = {name: tuple(what for _, what in columns if isinstance(what, float)) for name, _, columns in asked}
    return Calibration(settings, store.ids, errors, quantiles)


def room_for(store: SeriesStore, rows: int) -> None:
    """`HorizonError` (E0005) where a series has no row before its last ``rows``, which windows cover."""
    short = np.flatnonzero(store.lengths <= rows)
    if short.size:
        named = ", ".join(f"{store.ids[s]} ({store.lengths[s]} rows)" for s in short[:3])
        raise HorizonError(f"{short.size} series have no row before the windows, which cover {rows} rows: {named}", value=rows,
                           hint="Use fewer windows or a smaller step_size, or drop these series.")


def _columns(nf: NeuralForecast, settings: PredictionIntervals) -> list[tuple[str, Any, list[Column]]]:
    """(name, model, what of its forecast is scored) of each model that has scores by the method."""
    found: list[tuple[str, Any, list[Column]]] = []
    for model, name in zip(map(chosen, nf.models), model_names(nf.models), strict=True):
        if kind(model) == "point":
            found.append((name, model, layout(model, None)[:1]))
        elif settings.method == "cqr":
            found.append((name, model, [("", q) for q in support_points(model)]))
    if not found:
        raise ConfigError(f"method={settings.method!r} is for point losses, and all models have quantiles of their own",
                          value=settings.method, hint="Calibrate these with method='cqr', or pass level= to predict as it is.")
    return found


def calibrated_in_training(nf: NeuralForecast, store: SeriesStore, settings: PredictionIntervals, val_size: int,
                           verbose: bool | None, rules: DataRules | None = None, validation: SeriesStore | None = None,
                           freeze: Any = None, **options: Any) -> Calibration:
    """Scores of copies of the models, trained from fresh weights on the rows before the windows; as many of these validate as
    ``validation`` has, where that is given. ``options``: as of `NeuralForecast.train`.

    Raises `HorizonError` (E0005) for series that are too short, `ConfigError` (E0010) where parameters are to be frozen.
    """
    if freeze is not None:
        raise ConfigError("prediction_intervals trains from fresh weights, of which none can be frozen", value=freeze,
                          hint="Fit without it, then calibrate(df, PredictionIntervals()): that takes the trained models.")
    val_size = val_size if validation is None else int(validation.lengths.min())
    after = plan(nf.h, settings.n_windows, settings.step_size)
    store.split(val_size, int(after[0]))
    twin = copy.copy(nf)
    twin.models = [_fresh(model) for model in nf.models]
    scaler = twin.train(head(store, store.lengths - after[0]), val_size, verbose=verbose, rules=rules, **options)
    return calibrate(twin, store, settings, scaler, nf.h)


def _fresh(model: Any) -> Any:
    """An untrained model of the same arguments; what it found in the data, such as the number of series, it finds again."""
    if not isinstance(model, BaseModel):  # an automatic one, which searches again
        return copy.copy(model).reset()
    arguments = dict(model.arguments)
    if model._sized:
        arguments["n_series"] = None
    return type(model)(**arguments)


def warn_if_seen(nf: NeuralForecast, store: SeriesStore, span: int) -> None:
    """Warn where the last ``span`` rows of a series begin before the end of what the models were trained on."""
    known = nf.dataset
    if known is None:
        return
    place = need("pandas").Index(known.ids).get_indexer(need("pandas").Index(store.ids))
    both = np.flatnonzero(place >= 0)
    both = both[known.lengths[place[both]] > nf.held_out]
    trained = known.times[known.offsets[1:][place[both]] - 1 - nf.held_out]
    seen = both[store.times[store.offsets[1:][both] - span] <= trained]
    if seen.size:
        tell(f"windows of {seen.size} series, the first {store.ids[seen[0]]}, reach into the rows that the models were trained "
             f"on, where errors are too small; pass later data, or fit with val_size={span} or more")
