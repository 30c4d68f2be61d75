"""Attributions: how much of a forecast is owed to each number that the model has read.

Each method compares the forecast F(x) with that of a baseline F(x0) and shares out the difference:

integrated_gradients  (x_i - x0_i) times the mean of dF/dx_i on the straight way from x0 to x, by Gauss-Legendre's rule; they
                      add up to F(x) - F(x0) but for the rule's error (Sundararajan, Taly, Yan, Axiomatic attribution for
                      deep networks, ICML 2017, equation 1 and proposition 1)
input_x_gradient      (x_i - x0_i) dF/dx_i at x; adds up where F is linear
occlusion             F(x) - F(x with x0_i in the place of x_i); adds up where F is a sum of functions of one number each
shapley               the mean over random orders of what x_i adds to those before it: Shapley's value of number i, estimated
                      without bias; each order adds up exactly (Strumbelj, Kononenko, Explaining prediction models and
                      individual predictions with feature contributions, Knowledge and Information Systems 41, 2014,
                      algorithm 1)

Contract: float64; whatever adds up is said in numbers: `Attributions` has F(x), F(x0) and the sums. A window is treated by
itself, so that its attributions do not depend on which others are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, closest
from ..models.arguments import check_count
from ..random import generator_at
from .function import FEATURES, Explained

__all__ = ["METHODS", "Attributions", "attribute"]

Array = np.ndarray
METHODS = ("integrated_gradients", "input_x_gradient", "occlusion", "shapley")
_NUMBERS = 1 << 15  # of a model's input that are looked at together
_ORDERS = 1 << 62  # stream of the random orders


@dataclass
class Attributions:
    """What `attribute` found of W windows, at S steps, for the n series and O outputs that a model answers with.

    values    batch key -> [W, S, n, O, *]: the attribution of each number of that key's [W, *] (static covariates of a
              multivariate model: of [n, K])
    errors    the standard errors of sampled values, as ``values``; else empty
    forecast, baseline   F(x) and F(x0), [W, S, n, O]
    lead      steps of each window that lie before its series, [W, n]: nothing is owed to them
    """

    values: dict[str, Array]
    errors: dict[str, Array]
    forecast: Array
    baseline: Array
    lead: Array

    @property
    def attributed(self) -> Array:
        """The sum of all attributions, [W, S, n, O]."""
        found = np.zeros(self.forecast.shape)
        for v in self.values.values():
            found += v.reshape(*found.shape, -1).sum(axis=-1)
        return found

    @property
    def gap(self) -> Array:
        """F(x) - F(x0) - the sum of all attributions: 0 where they add up."""
        return self.forecast - self.baseline - self.attributed


def attribute(model: Any, batch: dict[str, Any], method: str = "integrated_gradients", *, steps: Sequence[int] | None = None,
              outputs: Sequence[int] = (0,), channels: Sequence[int] | None = None, baseline: str = "mean", n_steps: int = 50,
              n_samples: int = 25, seed: int = 0, outer: Callable[[Array, int], Array] | None = None) -> Attributions:
    """Attributions of a model's forecast of a batch, as to `forecast`.

    steps      positions in the horizon, from 0; None: all
    outputs    positions among the forecast's columns (``model.output_names``)
    channels   positions among the series that a multivariate model forecasts; None: all
    baseline   "mean": each window's mean; "last": its last value; "zero": 0 in the units of the data. Of static covariates 0,
               and of categories one that is not known
    n_steps    points of integrated gradients; n_samples: orders of sampled Shapley values, drawn with ``seed``
    outer      (values [R, S, n, O], window) -> the same in other units, elementwise: those that are explained

    Raises `ConfigError` (E0010) for an unknown method or baseline, and for the gradient of a discrete distribution's quantile.

    >>> import ndiv, numpy as np
    >>> m = ndiv.models.NLinear(h=2, input_size=4)
    >>> found = attribute(m, {"insample_y": np.array([[[1.0], [2.0], [4.0], [3.0]]], np.float32)})
    >>> found.values["insample_y"].shape, bool(np.abs(found.gap).max() < 1e-5)
    ((1, 2, 1, 1, 4, 1), True)
    """
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", value=method, hint=closest(str(method), METHODS))
    check_count("explain", n_steps=n_steps, n_samples=n_samples)
    chosen = list(range(model.h)) if steps is None else list(steps)
    was = model.training
    model.eval()
    try:
        parts = [_of_window(Explained(model, one, chosen, outputs, channels, baseline,
                                      None if outer is None else _placed(outer, w)),
                            method, n_steps, n_samples, seed) for w, one in enumerate(_windows(model, batch))]
    finally:
        model.train(was)

    def joined(which: str) -> dict[str, Array]:
        return {key: np.concatenate([getattr(p, which)[key] for p in parts]) for key in getattr(parts[0], which)}

    return Attributions(joined("values"), joined("errors"), *(np.concatenate([getattr(p, name) for p in parts])
                                                              for name in ("forecast", "baseline", "lead")))


def _placed(outer: Any, window: int) -> Callable[[Array], Array]:
    return lambda values: outer(values, window)


def _windows(model: Any, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for w in range(len(batch["insample_y"])):
        yield {k: v if v is None or (k == "stat_exog" and model.MULTIVARIATE) else v[w:w + 1] for k, v in batch.items()}


def _of_window(f: Explained, method: str, n_steps: int, n_samples: int, seed: int) -> Attributions:
    ends = {k: np.stack([f.base[k][0], f.x[k][0]]) if not _shared(f, k) else np.stack([f.base[k], f.x[k]]) for k in f.keys}
    base, forecast = (f.values({k: v[i:i + 1] for k, v in ends.items()}, np.zeros(1, np.int64)) for i in (0, 1))
    errors: dict[str, Array] = {}
    if method in ("integrated_gradients", "input_x_gradient"):
        points = ((np.ones(1), np.ones(1)) if method == "input_x_gradient" else np.polynomial.legendre.leggauss(n_steps))
        values = _by_gradients(f, *points, whole=method == "input_x_gradient")
    else:
        found, scatter = _by_variation(f, ends, method, n_samples, seed)
        values, errors = found, scatter
    return Attributions(values, errors, forecast, base, f.lead())


def _shared(f: Explained, key: str) -> bool:
    """Static covariates of a multivariate model are [n, K], without an axis of windows."""
    return key == "stat_exog" and bool(f.model.MULTIVARIATE)


# -- gradients -------------------------------------------------------------------------------------------------------------

def _by_gradients(f: Explained, nodes: Array, weights: Array, whole: bool) -> dict[str, Array]:
    """nodes and weights of a rule on [-1, 1]; ``whole``: on the one point 1."""
    t, w = (nodes, weights) if whole else ((nodes + 1) / 2, weights / 2)
    with f.embedded() as (x, base, gradients):
        one = {k: (x[k], base[k]) if _shared(f, k) else (x[k][0], base[k][0]) for k in f.keys}
        total: dict[str, Any] = dict.fromkeys(f.keys, 0.0)
        some = 1 if f.one_by_one else max(_NUMBERS // sum(v[0].size for v in one.values()), 1)
        for k in range(0, len(t), some):
            share = t[k:k + some]
            at = {key: (b + share.reshape(-1, *[1] * v.ndim) * (v.astype(np.float64) - b)).astype(v.dtype)
                  for key, (v, b) in one.items()}
            for key, g in gradients(at, np.zeros(len(share), np.int64), w[k:k + some]).items():
                total[key] = total[key] + g[:, :, :, 0]
    found = {}
    for key, (v, b) in one.items():
        each = total[key] * (v.astype(np.float64) - b)
        found[key] = _collapsed(f, key, each)[None]
    return found


def _collapsed(f: Explained, key: str, each: Array) -> Array:
    """Rows of tables [..., size] added up to one number for each covariate."""
    tables = None if key == "insample_y" else f.model.tables(FEATURES[key])
    if tables is None:
        return each
    axis = each.ndim - 1 if key == "stat_exog" or not f.model.MULTIVARIATE else each.ndim - 3
    each = np.moveaxis(each, axis, -1)
    out = np.zeros((*each.shape[:-1], len(tables.is_code)))
    out[..., np.flatnonzero(~tables.is_code)] = each[..., :tables.n_numbers]
    begin = tables.n_numbers
    for place, table in zip(tables.places, tables.tables, strict=True):
        out[..., place] = each[..., begin:begin + table.embedding_dim].sum(axis=-1)
        begin += table.embedding_dim
    return np.moveaxis(out, -1, axis)


# -- variations ------------------------------------------------------------------------------------------------------------

def _by_variation(f: Explained, ends: dict[str, Array], method: str, n_samples: int,
                  seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Of one window: occlusion, or Shapley values of ``n_samples`` orders with their standard errors."""
    flat = np.concatenate([v.reshape(2, -1) for v in ends.values()], axis=1)  # [2, P]: baseline, x
    active = np.flatnonzero(flat[0] != flat[1])
    p = len(active)

    def forecasts(there: Array) -> Array:
        """[R, S, n, O] where of the active numbers those of ``there`` [R, p] are as in x and the others as in the baseline."""
        found = []
        some = 1 if f.one_by_one else max(_NUMBERS // flat.shape[1], 1)
        for k in range(0, len(there), some):
            rows = np.repeat(flat[:1], len(there[k:k + some]), axis=0)
            rows[:, active] = np.where(there[k:k + some], flat[1, active], flat[0, active])
            given, begin = {}, 0
            for key, v in ends.items():
                size = v[0].size
                given[key] = rows[:, begin:begin + size].reshape(-1, *v.shape[1:]).astype(v.dtype)
                begin += size
            found.append(f.values(given, np.zeros(len(rows), np.int64)))
        return np.concatenate(found)

    if method == "occlusion":
        all_of = forecasts(np.ones((1, p), bool))
        each, scatter = all_of - forecasts(~np.eye(p, dtype=bool)) if p else np.zeros((0, *all_of.shape[1:])), None
    else:
        rng = generator_at(seed, _ORDERS)
        steps = []
        for _ in range(n_samples):
            rank = np.argsort(rng.permutation(p))
            path = forecasts(rank[None] < np.arange(p + 1)[:, None])  # one number more in each row
            steps.append(np.diff(path, axis=0)[rank])
        drawn = np.stack(steps)
        each = drawn.mean(axis=0)
        scatter = drawn.std(axis=0, ddof=1) / np.sqrt(n_samples) if n_samples > 1 else np.full(each.shape, np.nan)

    def placed(values: Array) -> dict[str, Array]:
        full = np.zeros((*values.shape[1:], flat.shape[1]))
        full[..., active] = np.moveaxis(values, 0, -1)
        out, begin = {}, 0
        for key, v in ends.items():
            out[key] = full[..., begin:begin + v[0].size].reshape(1, *full.shape[:-1], *v.shape[1:])
            begin += v[0].size
        return out

    return placed(each), {} if scatter is None else placed(scatter)
