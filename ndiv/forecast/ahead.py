"""Forecasts on stores: any number of steps, any quantiles, in the units of the data.

Contract: `forecast` gives output column -> float64 [S, steps]; each model answers with the columns of `quantiles.layout`, a
point loss besides with the conformal ones that were asked for. `covariates` reads what a ``futr_df`` says of the steps ahead.
A longer or shorter horizon and other columns beside it change no number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

from . import future
from .asked import Asked
from .columns import model_names, view
from .conformal import Calibration
from .quantiles import Column, chosen, kind, layout, read
from .recursion import longer
from .scaling import LocalScaler

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["columns_ahead", "covariates", "forecast", "whole_steps"]


def whole_steps(h: Any, default: int) -> int:
    """h itself, or the default where it is None; `ConfigError` (E0010) for what is no whole number of at least 1."""
    if h is None:
        return default
    if isinstance(h, (bool, np.bool_)) or not isinstance(h, (int, np.integer)) or h < 1:
        raise ConfigError(f"h must be a whole number of at least 1, got {h!r}", value=h)
    return int(h)


def covariates(nf: NeuralForecast, store: SeriesStore, futr_df: Any, steps: int) -> tuple[SeriesStore, Any, Any]:
    """(the store, its categories with those that only the future holds; covariates ahead [S, n, F], or None; historic ones
    [S, n, X] where ``futr_df`` has any, or None).

    n is the models' horizon, or ``steps`` where that is more, or what whole blocks of the horizon take if ``futr_df`` has it.
    Raises `FeatureError` (E0004) when rows or columns are missing.
    """
    names, fill = (nf.columns.id_col, nf.columns.time_col), nf.rules.exog_nan == "ffill"
    rows, whole = max(steps, nf.h), -(-steps // nf.h) * nf.h
    made = {} if nf.features is None else nf.features.columns
    given = [n for n in store.futr_names if n not in made]
    if (whole > rows and all(made[n][2].known(whole) for n in store.futr_names if n in made)
            and (not given or (futr_df is not None and not future.lacks(store, whole, futr_df, *names)))):
        rows = whole
    store, values = future.future_values(store, rows, futr_df, store.futr_names, *names, fill=fill, features=nf.features)
    have = [] if steps <= nf.h or futr_df is None else future.column_names(futr_df, *names)
    extra = [n for n in store.hist_names if n in have and n not in store.futr_names]
    if not extra:
        return store, values, None
    seen = replace(store, futr=store.hist[:, [store.hist_names.index(n) for n in extra]], futr_names=extra)
    known = max(steps, nf.h) if rows == whole and future.lacks(store, rows, futr_df, *names) else rows
    seen, more = future.future_values(seen, known, futr_df, extra, *names, fill=fill)
    hist = np.repeat(store.hist[store.offsets[1:] - 1][:, None], rows, axis=1)
    for k, name in enumerate(store.hist_names):
        if name in extra and more is not None:
            hist[:, :known, k] = more[:, :, extra.index(name)]
            hist[:, known:, k] = more[:, -1:, extra.index(name)]  # after the last step that is asked for
        elif name in store.futr_names and values is not None:
            hist[:, :, k] = values[:, :, store.futr_names.index(name)]
    return replace(store, categories=seen.categories), values, hist


def forecast(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None, scaler: LocalScaler | None, *,
             steps: int | None = None, asked: Asked | None = None, hist: np.ndarray | None = None,
             calibration: Calibration | None = None) -> dict[str, np.ndarray]:
    """Output column -> float64 [S, steps]; ``futr`` and ``hist`` as `covariates` gives them, for at least ``steps`` rows.

    Raises `ConfigError` (E0010) for quantiles of a model that has none.
    """
    steps = nf.h if steps is None else steps
    found: dict[str, np.ndarray] = {}
    for model, name in zip(map(chosen, nf.models), model_names(nf.models), strict=True):
        scores = None if asked is None else _scores_for(model, name, calibration)
        columns = layout(model, asked)
        if scores is None or asked is None:
            values = columns_ahead(nf, model, columns, store, futr, scaler, steps, hist)
            found.update((name + suffix, values[:, :, k]) for k, (suffix, _) in enumerate(columns))
            continue
        base = [("", q) for q in scores.quantiles[name]]
        kept = [column for column in columns if column[0] not in asked.suffixes]
        values = columns_ahead(nf, model, [*kept, *base], store, futr, scaler, steps, hist)
        found.update((name + suffix, values[:, :, k]) for k, (suffix, _) in enumerate(kept))
        bounds = scores.bounds(name, store, values[:, :, len(kept):] if base else values[:, :, :1], asked)
        if base:  # where the model's own columns have them: after the mean or median, before parameters
            params = [name + suffix for suffix, what in kept if isinstance(what, int) and what > 0]
            held = {column: found.pop(column) for column in params}
        else:
            held = {}
        found.update((name + suffix, bounds[:, :, k]) for k, suffix in enumerate(asked.suffixes))
        found.update(held)
    return found


def _scores_for(model: Any, name: str, found: Calibration | None) -> Calibration | None:
    """The calibration that a model's intervals come from; None where the model itself has them."""
    if kind(model) != "point":
        return found if found is not None and found.settings.method == "cqr" and name in found.errors else None
    if found is None:
        loss = type(model.loss).__name__
        raise ConfigError(f"{name} was trained with {loss}, which gives no intervals", value=loss,
                          hint="Three ways out: train with a loss that has quantiles, such as loss=MQLoss(level=[80, 90]) or "
                               "loss=DistributionLoss('StudentT'); calibrate in training, "
                               "fit(df, prediction_intervals=PredictionIntervals()); or calibrate the trained models on later "
                               "data, calibrate(df, PredictionIntervals()).")
    return found


def columns_ahead(nf: NeuralForecast, model: Any, columns: list[Column], store: SeriesStore, futr: np.ndarray | None,
                  scaler: LocalScaler | None, steps: int, hist: np.ndarray | None = None) -> np.ndarray:
    """The columns of one model, [S, steps, columns], in the units of the data."""
    blocks = -(-steps // model.h)
    scaled = store if scaler is None else scaler.transform(store)
    own, past = list(model.futr_exog_list or ()), list(model.hist_exog_list or ())
    if futr is not None and own:
        futr = futr if scaler is None else scaler.ahead(futr, store)
        futr = _until(futr[:, :, [store.futr_names.index(n) for n in own]], blocks * model.h)  # type: ignore[index]
    else:
        futr = None
    seen = view(scaled, model)
    if blocks == 1 and columns == layout(model, None):
        values = np.asarray(model.predict_store(seen, futr), np.float64)[:, :steps]
    elif blocks == 1:
        wanted = tuple(dict.fromkeys(what for _, what in columns if isinstance(what, float)))
        others, quantiles = read(model, wanted, seen, futr)
        values = np.stack([quantiles[..., wanted.index(what)] if isinstance(what, float) else others[..., what]
                           for _, what in columns], axis=-1)[:, :steps]
    else:
        if hist is not None and past:
            if scaler is not None:
                as_futr = replace(store, futr=store.hist, futr_names=store.hist_names, hist=None, hist_names=[])
                hist = scaler.ahead(hist, as_futr)
            hist = _until(hist[:, :, [store.hist_names.index(n) for n in past]], (blocks - 1) * model.h)  # type: ignore[index]
        values = longer(model, columns, seen, futr, hist if past else None, steps)
    return values if scaler is None else np.asarray(scaler.inverse(values, store))


def _until(values: np.ndarray, rows: int) -> np.ndarray:
    """The first rows of covariates ahead, the last one repeated where there are fewer."""
    lack = rows - values.shape[1]
    return values[:, :rows] if lack <= 0 else np.concatenate([values, np.repeat(values[:, -1:], lack, axis=1)], axis=1)
