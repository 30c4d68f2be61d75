"""Beam search over quantized increments: what it searches, and one step of it. NumPy only.

Definitions, for a window y_1 ... y_L, in the units of the data:
    sigma      the window's root mean square increment, over its neighbours that are both observed; 1 where that is 0
    codebook   delta_1 < ... < delta_M, increments in units of sigma: the quantiles (m - 1/2) / M of
               (y_{t+1} - y_t) / sigma over windows and horizons of the training data, or given
    candidates of a beam whose last value is y: y + sigma delta_m. Those of a discrete distribution are rounded; one outside
               of the support of the distribution moves to its border, and where the border is no part of the support to a
               thousandth of sigma inside. Candidates of a beam that have become equal count once.
    score      of a beam of k values after the window: sum_j log p(y_{L+j} | y_{L+j-1}, ..., window), j = 1 ... k, p the density
               (or probability) that the model gives each value
    step       of the W M candidates of W beams the W with the highest scores; the first step has one beam. Of equal scores
               the one of the earlier beam, then of the lower increment, comes first.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from ...errors import ConfigError

__all__ = ["best", "candidates", "checked", "normal_codebook", "quantiles", "spread", "standardized"]

Array = np.ndarray
_INSIDE = 1e-3  # of sigma, or of the support where that is narrower


def checked(increments: Any) -> Array | int:
    """The codebook as given, float32 and in rising order, or how many increments it shall have; `ConfigError` (E0010)
    for fewer than two different finite ones."""
    if isinstance(increments, int) and not isinstance(increments, bool) and increments >= 2:
        return increments
    if isinstance(increments, (list, tuple)) and all(isinstance(v, (int, float)) and np.isfinite(v) for v in increments):
        found = np.unique(np.asarray(increments, np.float32))
        if len(found) == len(increments) >= 2:
            return found
    raise ConfigError(f"LSTMAttention: increments must be a number of at least 2, or a list of different numbers, "
                      f"not {increments!r}", value=increments, hint="32, or for example [-2.0, -1.0, 0.0, 1.0, 2.0]")


def _positions(count: int) -> Array:
    return (np.arange(count) + 0.5) / count


def normal_codebook(count: int) -> Array:
    """Quantiles of the standard normal distribution, [count]: the codebook where no data have been seen."""
    return np.array([NormalDist().inv_cdf(p) for p in _positions(count)], np.float32)


def spread(y: Array, mask: Array | None) -> Array:
    """sigma of windows y [B, L, 1] -> [B, 1, 1]"""
    rises, on = _rises(y, mask)
    count = np.maximum(on.sum(axis=1, keepdims=True), 1)
    found = np.sqrt((rises.astype(np.float64) ** 2).sum(axis=1, keepdims=True) / count)
    return np.where(found > 0, found, 1.0).astype(y.dtype)


def standardized(batch: dict[str, Array]) -> Array:
    """Increments of windows and horizons in units of sigma, [N]: those whose values are both observed."""
    sigma = spread(batch["insample_y"], batch.get("insample_mask"))
    y = np.concatenate([batch["insample_y"], batch["outsample_y"]], axis=1)
    masks = [batch.get(f"{part}_mask") for part in ("insample", "outsample")]
    given = [np.ones_like(batch[f"{part}_y"]) if mask is None else mask
             for part, mask in zip(("insample", "outsample"), masks, strict=True)]
    rises, on = _rises(y, np.concatenate(given, axis=1))
    return (rises / sigma)[on]


def _rises(y: Array, mask: Array | None) -> tuple[Array, Array]:
    """(increments, 0 where a value is missing; where none is), [B, L - 1, 1]"""
    on = np.ones(y[:, 1:].shape, bool) if mask is None else (mask[:, 1:] != 0) & (mask[:, :-1] != 0)
    return np.where(on, y[:, 1:] - y[:, :-1], 0).astype(y.dtype), on


def quantiles(increments: list[Array], count: int) -> Array:
    """The codebook of these increments, [count]; the normal one where there are none."""
    found = np.concatenate(increments)
    if not found.size:
        return normal_codebook(count)
    return np.quantile(found.astype(np.float64), _positions(count)).astype(np.float32)


def candidates(y: Array, sigma: Array, codebook: Array, support: tuple[float, float, bool],
               discrete: bool) -> tuple[Array, Array]:
    """(candidates, which repeat one before them), [B, W, M], from last values y [B, W] and sigma [B, 1, 1]."""
    found = y[..., None] + sigma * codebook
    if discrete:
        found = np.rint(found)
    low, high, outside = support
    if outside:
        room = _INSIDE * np.minimum(sigma, high - low)
        low, high = low + room, high - room
    found = np.clip(found, low, high).astype(y.dtype)
    repeated = np.zeros(found.shape, bool)
    repeated[..., 1:] = found[..., 1:] == found[..., :-1]  # the codebook rises, and so do they
    return found, repeated


def best(scores: Array, values: Array) -> tuple[Array, Array, Array]:
    """(scores, beams that they go on from, values) [B, W] of the W best of scores and values [B, W, M], the best first."""
    b, width, count = scores.shape
    flat = scores.reshape(b, width * count)
    chosen = np.argsort(-flat, axis=1, kind="stable")[:, :width]
    rows = np.arange(b)[:, None]
    return flat[rows, chosen], chosen // count, values.reshape(b, width * count)[rows, chosen]
