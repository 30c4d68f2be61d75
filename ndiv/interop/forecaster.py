"""A described neuralforecast forecaster as an `ndiv.NeuralForecast`: models, frequency, columns, scalers, series.

Contract: it forecasts the same numbers from the same frame. neuralforecast scales covariates with ``local_scaler_type`` too,
and gives a frame passed to predict statistics of its own; `ColumnScaler` does both. Training again goes by ndiv's rules.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..data._extras import need
from ..data.frequency import Frequency
from ..errors import FileError, NdivError
from ..forecast import NeuralForecast
from ..forecast.columns import exog_names
from ..forecast.reading import ColumnNames, read_store
from ..forecast.scaling import ColumnScaler
from .description import Forecaster, Named
from .translate import build

__all__ = ["build_forecaster"]


def build_forecaster(described: Forecaster, replace: dict[str, Any]) -> NeuralForecast:
    """The ndiv forecaster of a description."""
    if described.intervals:
        warnings.warn("prediction_intervals have no counterpart; forecasts come without conformal intervals", stacklevel=4)
    nf = NeuralForecast([build(m, replace) for m in described.models], described.freq, described.local_scaler_type)
    nf.columns = ColumnNames(*described.columns)
    words = _vocabulary(described.vocabulary)
    for model in nf.models:
        model.categories.update((name, words[name]) for name in model.cat_exog_list if name in words)
        _check_tables(model)
    if not described.fitted:
        for model in nf.models:
            model.fitted = False
        return nf
    nf.fitted_freq = Frequency(described.freq).freq
    if described.local_scaler_type is not None or described.local_static_scaler_type is not None:
        nf.scaler = ColumnScaler(described.local_scaler_type, described.local_static_scaler_type)
    if described.data is not None:
        nf.dataset = _series(described, nf)
    return nf


def _series(described: Forecaster, nf: NeuralForecast) -> Any:
    """The series of fit in their own units, or None where ndiv does not take them; the scaler keeps their statistics."""
    pd, names, data, words = need("pandas"), nf.columns, described.data, _vocabulary(described.vocabulary)
    assert data is not None
    scaler = nf.scaler if isinstance(nf.scaler, ColumnScaler) else None
    offsets = np.asarray(data["indptr"], np.int64)
    values = np.asarray(data["temporal"], np.float32)
    columns, ids, times = list(data["temporal_cols"]), np.asarray(data["uids"]), data["ds"]
    counted = offsets.ndim == 1 and len(offsets) > 1 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
    if not counted or values.shape != (offsets[-1], len(columns)) or len(ids) != len(offsets) - 1:
        raise FileError("the stored series do not have the shape that their columns say", value=values.shape,
                        hint="save the models again")
    if isinstance(times, Named):
        times = pd.DatetimeIndex(times.arguments["utc"]).tz_localize("UTC").tz_convert(times.name)
    frame = pd.DataFrame({names.id_col: np.repeat(ids, np.diff(offsets)), names.time_col: times})
    statistics = _statistics(described.scalers, described.local_scaler_type, len(ids))
    for k, column in enumerate(columns):
        found = values[:, k]
        if scaler is not None and column in statistics:
            found = scaler.unscaled(found, offsets, statistics[column])
        frame[column] = _values(found, words[column]) if column in words else found
    if "available_mask" in columns:
        frame[names.target_col] = frame[names.target_col].where(frame.pop("available_mask") > 0)
    static = None
    own = _statistics(described.static_scalers, described.local_static_scaler_type, 1)
    if data.get("static") is not None:
        static = pd.DataFrame({names.id_col: ids})
        for k, column in enumerate(data["static_cols"]):
            found = np.asarray(data["static"], np.float32)[:, k]
            found = scaler.unscaled_static(found, own[column]) if scaler is not None and column in own else found
            static[column] = _values(found, words[column]) if column in words else found
    try:
        store = read_store(frame, nf.fitted_freq, names, exog_names(nf.models), static)
    except NdivError as error:  # neuralforecast takes series with gaps, for one
        warnings.warn(f"the stored series break a rule of ndiv and were left out, so predict needs df: {error.message}",
                      stacklevel=5)
        return None
    if scaler is not None:
        wanted = {"": names.target_col, **{n: n for n in (*store.hist_names, *store.futr_names)}}
        scaler.keep(store, {key: statistics[name] for key, name in wanted.items() if name in statistics},
                    {name: own[name] for name in store.stat_names if name in own})
    return store


def _vocabulary(found: dict[str, Any]) -> dict[str, list[Any]]:
    """The values behind the codes 1, 2, ... of each column of categories."""
    words: dict[str, list[Any]] = {}
    for column, codes in found.items():
        values = sorted(codes, key=codes.__getitem__)
        whole = [int(v) if isinstance(v, float) and v == int(v) else v for v in values]
        numbered = [codes[v] for v in values] == list(range(1, len(values) + 1))
        if not numbered or not all(isinstance(v, (str, bool, int)) for v in whole):
            raise FileError(f"the categories of {column!r} are not numbered from 1", value=column, hint="save the models again")
        words[str(column)] = whole
    return words


def _check_tables(model: Any) -> None:
    """A table must have a row for each category; code 0 and the codes that are too large would both be unseen ones."""
    for name, n in model.categorical_cardinalities.items():
        known = len(model.categories.get(name, ()))
        if known > n:
            raise FileError(f"{name!r} has {known} categories and its table in {type(model).__name__} {n}", value=n,
                            hint="save the models again")


def _values(codes: np.ndarray, words: list[Any]) -> np.ndarray:
    """The categories that codes stand for; None for 0."""
    places = codes.astype(np.int64)
    if places.size and (places.min() < 0 or places.max() > len(words)):
        raise FileError(f"the stored series hold the code {places.max()} of {len(words)} categories", value=int(places.max()),
                        hint="save the models again")
    return np.array([None, *words], object)[places]


def _statistics(scalers: dict[str, Named], name: str | None, groups: int) -> dict[str, np.ndarray]:
    """The statistics [groups, 2] of each column, checked, since what reads them does not look at their shape."""
    found = {column: np.asarray(scaler.arguments["stats_"], np.float32) for column, scaler in scalers.items()}
    if any(values.shape != (groups, 2) for values in found.values()):
        raise FileError("the scalers do not have one row of statistics for each series", value=sorted(found),
                        hint="save the models again")
    return found if name is not None else {}
