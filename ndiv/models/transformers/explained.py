"""What a model's weights say of a forecast: collected over windows, by names of variables, and as rank correlations.

Contract: NumPy in and out, float64. Windows are looked at op by op, without gradients and dropout, in the units that the model
scales them to; a mean over windows is the mean of all of them, however they are divided into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd import no_grad
from ...program.forward import arrays_of

if TYPE_CHECKING:
    from ..base import BaseModel, Batch

__all__ = ["by_name", "explained", "rank_correlations"]


def explained(model: BaseModel, batches: Iterable[Batch], look: Callable[[Batch], dict[str, Any]],
              average: bool) -> dict[str, np.ndarray]:
    """What ``look`` finds in each batch, scaled: arrays with an axis of windows in front, or their mean over it."""
    parts: dict[str, list[np.ndarray]] = {}
    windows, was = 0, model.training
    model.eval()
    try:
        with no_grad():
            for batch in batches:
                windows += len(batch["insample_y"])
                for key, value in look(model.scale(batch)[0]).items():
                    rows = np.asarray(arrays_of(value), np.float64)
                    if average and key in parts:
                        parts[key][0] += rows.sum(0)
                    else:
                        parts.setdefault(key, []).append(rows.sum(0) if average else rows)
    finally:
        model.train(was)
    return {key: found[0] / windows if average else np.concatenate(found) for key, found in parts.items()}


def by_name(names: Sequence[str], weights: np.ndarray | None) -> dict[str, Any]:
    """Weights [*, variables] as {name: [*]}, the sum where a name is there twice; nothing where there are no weights.

    >>> by_name(["price", "day"], np.array([0.25, 0.75]))
    {'price': 0.25, 'day': 0.75}
    """
    if weights is None:
        return {}
    found: dict[str, np.ndarray] = {}
    for k, name in enumerate(names):
        found[name] = found[name] + weights[..., k] if name in found else weights[..., k]
    return {name: v if v.ndim else float(v) for name, v in found.items()}


def rank_correlations(columns: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Spearman's rank correlation of each pair of columns [n], ties by their mean rank; NaN where a column is constant.

    >>> found = rank_correlations({"a": np.array([1.0, 2.0, 3.0]), "b": np.array([1.0, 8.0, 27.0])})
    >>> round(found["a"]["b"], 12)
    1.0
    """
    ranks = []
    for values in columns.values():
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
        ranks.append(rank - rank.mean())
    centred = np.stack(ranks)
    products = centred @ centred.T
    size = np.sqrt(np.diag(products))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a column is constant
        found = products / size[:, None] / size
    return {a: dict(zip(columns, map(float, row), strict=True)) for a, row in zip(columns, found, strict=True)}
