"""Any quantile of a model's forecast, by what its loss knows.

Contract: `layout` names the columns that a model answers with; `read` computes them. From distributions (and weighted values,
RPS) in closed form; from losses of several quantiles by interpolation between the trained ones, linear in the normal score of
the probability, so exact where the forecast is normal, and never outside them; from implicit quantiles (IQLoss) in the same way
between those that the network gives at `GRID`, put in order. Quantiles of one forecast never cross, and none depends on which
others are asked for. A point loss has none: see conformal.py.
"""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np

from ndiv import losses
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.losses.distribution import _Likelihood
from ndiv.losses.distributions.numeric import normal_quantile
from ndiv.losses.empirical import RPS
from ndiv.models.base import BaseModel

from .asked import Asked

__all__ = ["GRID", "chosen", "interpolate", "kind", "layout", "parameters", "read", "support_points"]

# where a distribution is looked at for paths and scores
GRID = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995)

Column = tuple[str, Any]  # suffix, and a quantile (float) or the place (int) among the other columns: mean, parameters, ...


def chosen(model: Any) -> Any:
    """The model itself, or the one that an automatic model has found."""
    found = model.__dict__.get("model")
    return found if isinstance(found, BaseModel) else model


def kind(model: Any) -> str:
    """"distribution", "weighted" (RPS), "implicit" (IQLoss), "several" (MQLoss and its like) or "point"."""
    loss = model.loss
    if isinstance(loss, _Likelihood):
        return "distribution"
    if isinstance(loss, RPS):
        return "weighted"
    if isinstance(loss, losses.IQLoss):
        return "implicit"
    return "several" if isinstance(loss, losses.MQLoss) else "point"


def layout(model: Any, asked: Asked | None) -> list[Column]:
    """The columns of a model's forecast. Of a point loss they are without what was asked for.

    Raises `ConfigError` (E0010) for quantiles outside those that the loss of several quantiles was trained for.
    """
    loss, names, what = model.loss, list(model.output_names), kind(model)
    if what == "point":
        return [(name, k) for k, name in enumerate(names)]
    more = [] if asked is None else list(zip(asked.suffixes, asked.quantiles, strict=True))
    if what in ("distribution", "weighted"):
        own = list(zip(names[1:], loss.quantiles, strict=False)) if asked is None else more
        params = names[1 + len(loss.quantiles):]
        return [("", 0), *own, *((name, 1 + k) for k, name in enumerate(params))]
    trained: list[Column] = [(names[0], 0)] if what == "implicit" else list(zip(names, loss.quantiles, strict=True))
    if asked is None:
        return trained
    if what == "several":
        _inside(model, asked)
        trained = [(name, q) for name, q in trained if q == 0.5]
    return [*((name, q) for name, q in trained if name not in asked.suffixes), *more]


def support_points(model: Any) -> tuple[float, ...]:
    """The ascending quantiles that stand for the whole distribution of a forecast."""
    return tuple(sorted(float(q) for q in model.loss.quantiles)) if kind(model) == "several" else GRID


def _inside(model: Any, asked: Asked) -> None:
    low, high = min(model.loss.quantiles), max(model.loss.quantiles)
    out = [q for q in asked.quantiles if not low - 1e-9 <= q <= high + 1e-9]
    if out:
        wanted = round(100 * max(1 - 2 * min(asked.quantiles), 2 * max(asked.quantiles) - 1), 6)
        raise ConfigError(f"{model!r} was trained for the quantiles {low:g} to {high:g} by {type(model.loss).__name__}, and "
                          f"{out[0]:g} lies outside", value=out[0],
                          hint=f"train it with {type(model.loss).__name__}(level=[{wanted:g}]), or with a distribution, "
                               "which has every quantile: DistributionLoss('StudentT').")


def read(model: Any, quantiles: tuple[float, ...], store: SeriesStore, futr: np.ndarray | None,
         ) -> tuple[np.ndarray, np.ndarray]:
    """(other columns: mean and parameters, the point forecast, the quantile that IQLoss is set to [S, h, O]; the quantiles
    [S, h, Q]) after the end of each series, float64."""
    what = kind(model)
    if what == "point":
        return np.asarray(model.predict_store(store, futr), np.float64), np.empty((store.n_series, model.h, 0))
    if what == "several":
        values = np.asarray(model.predict_store(store, futr), np.float64)
        return values[..., :0], interpolate(model.loss.quantiles, values, quantiles)
    if what == "implicit":
        own = np.asarray(model.predict_store(store, futr), np.float64)
        if not quantiles:
            return own, own[..., :0]
        return own, interpolate(GRID, np.asarray(_asking(model, GRID).predict_store(store, futr), np.float64), quantiles)
    values = np.asarray(_asking(model, quantiles).predict_store(store, futr), np.float64)
    q = len(quantiles)
    return np.concatenate([values[..., :1], values[..., 1 + q:]], axis=-1), values[..., 1:1 + q]


def parameters(model: Any, store: SeriesStore, futr: np.ndarray | None) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """(mean and parameters [S, h, O] as `read` gives them, the parameters as the loss takes them) of a distribution."""
    loss = model.loss
    values = np.asarray(_asking(model, None).predict_store(store, futr), np.float64)
    count = getattr(loss, "n_outputs", len(loss.param_names))  # of a mixture, for each of its components
    each = values[..., 1:]
    if count < len(loss.param_names):
        each = each.reshape(*each.shape[:-1], -1, count)
    return values, tuple(each[..., k] for k in range(count))


def interpolate(known: tuple[float, ...], values: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Quantiles between known ones [..., K] -> [..., Q]: linear in the normal score. Outside, the outermost slope goes on.

    >>> z = np.array([[-1.2815515655, 0.0, 1.2815515655]])  # of the standard normal distribution, at 0.1, 0.5 and 0.9
    >>> interpolate((0.1, 0.5, 0.9), z, (0.25, 0.5)).round(3).tolist()
    [[-0.674, 0.0]]
    """
    order = np.argsort(known)
    at = normal_quantile(np.asarray(known)[order])
    values = np.sort(values[..., order], axis=-1)
    if len(at) == 1:
        return np.repeat(values, len(quantiles), axis=-1)
    wanted = normal_quantile(np.asarray(quantiles))
    right = np.clip(np.searchsorted(at, wanted), 1, len(at) - 1)
    share = (wanted - at[right - 1]) / (at[right] - at[right - 1])
    low, high = values[..., right - 1], values[..., right]
    found: np.ndarray = low + (high - low) * share
    found = np.where((share >= 0) & (share <= 1), np.clip(found, low, high), found)  # no rounding beyond what is known
    return np.where(np.abs(share) < 1e-9, low, np.where(np.abs(share - 1) < 1e-9, high, found))


# -- models that answer other quantiles --------------------------------------------------------------------------------

_KEPT = 4  # sets of quantiles whose plans are kept for a model
_clones: weakref.WeakKeyDictionary[Any, dict[tuple[float, ...] | None, Any]] = weakref.WeakKeyDictionary()


def _asking(model: Any, quantiles: tuple[float, ...] | None) -> Any:
    """The model with a loss that gives these quantiles, None: its parameters; the same weights, and plans of its own, which are
    kept."""
    kept = _clones.setdefault(model, {})
    clone = kept.get(quantiles)
    if clone is None or clone.__dict__["_asked_of"] is not model.loss:
        while len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        clone = kept[quantiles] = copy.copy(model)
        clone.__dict__["_answer"] = _telling(model.loss, quantiles)
    own = {key: clone.__dict__[key] for key in ("_plans", "_answer")}
    clone.__dict__.update(model.__dict__)  # whatever training has changed since
    clone.__dict__.update(own, loss=own["_answer"], _asked_of=model.loss, _step=None)
    if "loss" in model._modules:
        clone.__dict__["_modules"] = {**model._modules, "loss": own["_answer"]}
    return clone


def _telling(loss: Any, quantiles: tuple[float, ...] | None) -> Any:
    told = copy.copy(loss)
    if quantiles is None:
        told.__dict__.update(quantiles=(), return_params=True, output_names=("", *loss.param_names))
        return told
    if isinstance(loss, losses.IQLoss):
        told.update_quantile(quantiles)
        return told
    names = tuple(f"_ql{q:.10g}" for q in quantiles)
    told.__dict__.update(quantiles=quantiles, output_names=("", *names, *loss.output_names[1 + len(loss.quantiles):]))
    return told
