"""Weights of models from their errors, as arrays.

Contract: errors are float64 [N, m], forecast minus truth, a column a model. All weights sum to 1, so a combination of
forecasts that are too high by a constant is too high by it, and a series keeps its level.
"""

from __future__ import annotations

import numpy as np

from ndiv.data._extras import need

__all__ = ["inverse", "ridge", "ridge_strength", "simplex"]

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)


def simplex(errors: np.ndarray) -> np.ndarray:
    """The weights w >= 0 with sum 1 of the least sum of squares |E w|^2.

    >>> simplex(np.array([[1.0, -1.0], [2.0, -2.0]])).round(6).tolist()
    [0.5, 0.5]
    """
    # |E u|^2 + c (1 - sum u)^2 over u >= 0: with u = s w and w in the simplex, its minimum over s grows with |E w|^2 and
    # with nothing else, for any c > 0. So this is exact, and no penalty that must be large.
    m = errors.shape[1]
    size = float(np.sqrt(np.mean(errors**2)) * np.sqrt(len(errors)))
    if size == 0.0:
        return np.full(m, 1.0 / m)
    root = np.linalg.qr(errors / size, mode="r")  # m rows, whatever the number of errors
    system = np.vstack([root, np.ones((1, m))])
    found = need("scipy.optimize", "ensemble").nnls(system, np.concatenate([np.zeros(len(root)), [1.0]]))[0]
    weights: np.ndarray = found / found.sum()
    return weights


def inverse(errors: np.ndarray) -> np.ndarray:
    """Weights in inverse proportion to the mean squared errors.

    >>> inverse(np.array([[1.0, 2.0]])).tolist()
    [0.8, 0.2]
    """
    squares = np.mean(errors**2, axis=0)
    if not squares.min() > 0:  # models without any error take it all
        squares = np.where(squares == 0, 0.0, np.inf)
        share: np.ndarray = (squares == 0) / max((squares == 0).sum(), 1)
        return share
    inverted = squares.min() / squares
    return inverted / inverted.sum()


def ridge(errors: np.ndarray, strength: float) -> np.ndarray:
    """Weights with sum 1, which may be negative, of the least |E w|^2 + c |w - 1/m|^2, c being ``strength`` times the mean
    of the models' sums of squares: 0 trusts the errors alone, a large one gives equal weights.

    >>> ridge(np.array([[1.0, 2.0], [1.0, -1.0]]), 1e9).round(6).tolist()
    [0.5, 0.5]
    """
    m = errors.shape[1]
    gram = errors.T @ errors
    c = strength * float(np.trace(gram)) / m
    if c == 0.0 and np.linalg.matrix_rank(gram) < m:
        c = 1e-9 * max(float(np.trace(gram)), 1e-300)
    system = np.zeros((m + 1, m + 1))  # stationary in w, and the sum
    system[:m, :m] = gram + c * np.eye(m)
    system[:m, m] = system[m, :m] = 1.0
    right = np.concatenate([np.full(m, c / m), [1.0]])
    scale = max(float(np.abs(system[:m, :m]).max()), 1e-300)
    system[:m, :m] /= scale
    right[:m] /= scale
    return np.linalg.solve(system, right)[:m]


def ridge_strength(errors: np.ndarray, window: np.ndarray) -> float:
    """The strength of the least squared error on windows that were left out of learning; 1 where there is one window only.

    window   [N], which window each row belongs to
    """
    windows = np.unique(window)
    if len(windows) < 2:
        return 1.0
    losses = [sum(float(np.sum((errors[window == w] @ ridge(errors[window != w], s))**2)) for w in windows) for s in STRENGTHS]
    return STRENGTHS[int(np.argmin(losses))]
