"""Sample paths of forecasts, for every kind of model.

Contract: a model that goes step after step draws each value given those before it (`ndiv.models.probabilistic.paths`); of every
other model the quantiles of each step are put together by a copula (`copula`). The random numbers of a series follow from the
seed and its id alone, and NumPy's global generator is not touched. Where a calibration is given, it makes the quantiles of a
point forecast.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.output import to_frame
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, HorizonError, closest
from ndiv.losses.distributions.numeric import normal_cdf
from ndiv.random import generator_at

from . import quantiles as any_quantile
from .asked import Asked
from .columns import model_names, view
from .copula import at_scores, correlated, correlations, scores_of, shuffled
from .future import future_index
from .insample import at_cutoffs, cutoffs

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["METHODS", "inference_windows", "simulate", "stream_of"]

METHODS = ("gaussian_copula", "schaake_shuffle")
_WINDOWS = 64  # earlier forecasts of a series whose errors tell how steps depend on each other, at most
_SCORES = np.arange(-3.5, 3.51, 0.125)  # normal scores of the quantiles that stand for a distribution


def simulate(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None, n_paths: int, method: str | None,
             seed: int | None, grid: Any = None) -> Any:
    """Frame of id, time, sample_id, one column for each model; rows by path, then series, then time."""
    n = _checked(n_paths, method, seed)
    points = None if grid is None else _points(grid)
    columns: dict[str, np.ndarray] = {}
    for model, name in zip(nf.models, model_names(nf.models), strict=True):
        key = model.random_seed if seed is None else seed
        if method is None and getattr(model, "draws_paths", False):
            paths = _ancestral(model, store, futr, nf.scaler, n, key)
        else:
            paths = _by_copula(nf, model, name, store, futr, n, method or METHODS[0], key, points)
        columns[name] = paths.transpose(2, 0, 1).reshape(-1)  # [S, h, n] -> path, series, time
    times = future_index(store, nf.h)
    number = np.repeat(np.arange(n), times.size)
    return to_frame(np.tile(np.repeat(store.ids, nf.h), n), np.tile(times.reshape(-1), n),
                    {"sample_id": number, **columns}, like=store.origin)


def stream_of(series: Any) -> int:
    """The first of 65,536 streams of random numbers of a series, by its id; none of them is one that training draws from.

    >>> stream_of("a") == stream_of("a"), stream_of("a") == stream_of("b"), stream_of("a") >= 1 << 63
    (True, False, True)
    """
    digest = hashlib.blake2b(str(series).encode(), digest_size=6).digest()
    return (1 << 63) | (int.from_bytes(digest, "little") >> 1 << 16)


@contextmanager
def inference_windows(model: Any) -> Iterator[None]:
    """Inside, windows are as long as those of forecasts, where a recurrent model's are others than in training."""
    size = model.input_size
    model.input_size = getattr(model, "inference_size", size)
    try:
        yield
    finally:
        model.input_size = size


def _seen(model: Any, store: SeriesStore, futr: np.ndarray | None, scaler: Any) -> tuple[SeriesStore, np.ndarray | None]:
    """What the model sees of the series and of the covariates ahead [S, h, F], in its order and units."""
    own = list(model.futr_exog_list or ())
    if scaler is not None:
        store, futr = scaler.transform(store), scaler.ahead(futr, store)
    return view(store, model), None if futr is None or not own else futr[:, :, [store.futr_names.index(k) for k in own]]


def _ancestral(model: Any, store: SeriesStore, futr: np.ndarray | None, scaler: Any, n: int, seed: int) -> np.ndarray:
    """[S, h, n], each value drawn given those before it."""
    found = np.empty((store.n_series, model.h, n))
    with inference_windows(model):
        for series, batch in model.batches_ahead(*_seen(model, store, futr, scaler)):
            paths = model.simulate(batch, n, seed, [stream_of(k) for k in store.ids[series]])
            found[series] = paths.transpose(0, 2, 1)
    return found if scaler is None else scaler.inverse(found, store)


def _by_copula(nf: NeuralForecast, model: Any, name: str, store: SeriesStore, futr: np.ndarray | None, n: int, method: str,
               seed: int, points: tuple[float, ...] | None) -> np.ndarray:
    """[S, h, n]: the quantiles of each step, put together as earlier errors or trajectories were."""
    p, make = _marginals(nf, model, name, points)
    values = make(store, futr, nf.scaler)[""]
    scaler = None if any_quantile.kind(model) == "point" else nf.scaler  # conformal quantiles are in the units of the data
    own = store if scaler is None else scaler.transform(store)
    copula = method == METHODS[0]
    dependence = _correlations(nf, model, store, own, p, make) if copula else _trajectories(own, model.h)
    draw = correlated if copula else shuffled
    scores = np.stack([draw(generator_at(seed, stream_of(key)), n, known)
                       for key, known in zip(store.ids, dependence, strict=True)])
    family = getattr(model.loss, "family", None)
    if family is None:
        found = at_scores(p, values, scores)
    else:
        found = at_scores(p, values, scores, family.discrete, getattr(family, "COMPONENT", family).SUPPORT[:2])
    return found if scaler is None else scaler.inverse(found, store)  # paths add up, where quantiles would not


def _marginals(nf: NeuralForecast, model: Any, name: str, points: tuple[float, ...] | None) -> tuple[np.ndarray, Any]:
    """(ascending quantiles [Q], function (store, futr, scaler) -> {"": their values [S, h, Q]}): in the model's units, but
    where they are conformal in those of the data."""
    what = any_quantile.kind(model)
    if what == "several":
        p = tuple(sorted(float(q) for q in model.loss.quantiles))
    else:
        p = points or (tuple(normal_cdf(_SCORES)) if what in ("distribution", "weighted") else any_quantile.GRID)
    calibration = getattr(nf, "calibration", None)
    if len(p) < 2 or (what == "point" and calibration is None):
        raise ConfigError(f"{name} forecasts {'a single quantile' if what == 'several' else 'a point'} "
                          f"({type(model.loss).__name__}), which says nothing of how paths scatter", value=name,
                          hint="calibrate it: fit(df, prediction_intervals=PredictionIntervals()); or train it with "
                               "DistributionLoss('StudentT') or MQLoss(level=[80, 90]).")
    asked = Asked(p, tuple(f"_ql{q:g}" for q in p), False)

    def make(store: SeriesStore, futr: np.ndarray | None, scaler: Any) -> dict[str, np.ndarray]:
        own, values = any_quantile.read(model, p, *_seen(model, store, futr, scaler))
        if what != "point" or calibration is None:
            return {"": values}
        own = own[..., :1] if scaler is None else scaler.inverse(own[..., :1], store)
        return {"": calibration.bounds(name, store, own, asked)}

    return np.array(p), make


def _correlations(nf: NeuralForecast, model: Any, store: SeriesStore, own: SeriesStore, p: np.ndarray,
                  make: Any) -> list[np.ndarray]:
    """[h, h] for each series, from its latest forecasts of what is known by now; ``own``: the series in units of quantiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of series that are too short: their steps are independent
        try:
            series, ends = cutoffs(store, model.h, 1, _WINDOWS)
        except HorizonError:
            return [np.eye(model.h)] * store.n_series
    values = at_cutoffs(nf, store, series, ends, [model], make)[""]
    rows = (store.offsets[series] + ends)[:, None] + np.arange(model.h)
    y = np.where(own.mask[rows], own.y[rows].astype(np.float64), np.nan)
    scores = scores_of(p, values, y)
    begins = np.searchsorted(series, np.arange(1, store.n_series))  # they are in the order of the series
    return [correlations(own_scores) for own_scores in np.split(scores, begins)]


def _trajectories(store: SeriesStore, h: int) -> list[np.ndarray]:
    """[W, h] of each series: all stretches of its history without missing values."""
    found = []
    for s in range(store.n_series):
        rows = slice(store.offsets[s], store.offsets[s + 1])
        y, on = store.y[rows].astype(np.float64), store.mask[rows]
        stretches = np.empty((0, h))
        if len(y) >= h:
            views = (np.lib.stride_tricks.sliding_window_view(a, h) for a in (y, on))
            stretches, whole = views
            stretches = stretches[whole.all(axis=1)]
        if not len(stretches):
            raise HorizonError(f"series {store.ids[s]} has no {h} values in a row, so no past trajectory", value=len(y),
                               hint="method='gaussian_copula' needs none.")
        found.append(stretches)
    return found


def _checked(n_paths: Any, method: str | None, seed: Any) -> int:
    for what, value, least in (("n_paths", n_paths, 1), ("seed", 0 if seed is None else seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ConfigError(f"{what} must be a whole number of at least {least}, got {value!r}", value=value,
                              hint="100 paths are common." if what == "n_paths" else "any number from 0 on.")
    if method is not None and method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", value=method,
                          hint=f"{closest(str(method), METHODS)} None: a model's own paths where it has them.")
    return int(n_paths)


def _points(grid: Any) -> tuple[float, ...]:
    from ndiv.losses.quantile import check_quantile

    several = isinstance(grid, (list, tuple, np.ndarray)) and len(grid) > 1
    if not several:
        raise ConfigError(f"quantiles must be two numbers between 0 and 1 or more, got {grid!r}", value=grid,
                          hint="None takes enough of them.")
    return tuple(sorted({check_quantile("simulate", q) for q in grid}))
