"""Paths out of quantiles: how the steps of a forecast depend on each other, when the model says only how each is distributed.

Contract: each step of a path has the distribution that its quantiles describe; what a method adds is which values of different
steps come together. Everything is a function of one series' own numbers and of its generator, so that a series has the same
paths alone and among others.

gaussian_copula   normal scores with the correlations R [h, h] of the scores of earlier forecasts' errors (Nelsen, An
                  Introduction to Copulas, 2006; Pinson et al., From probabilistic forecasts to statistical scenarios, 2009)
schaake_shuffle   values of each step in the ranks of as many earlier trajectories (Clark et al., The Schaake shuffle, 2004)
"""

from __future__ import annotations

import numpy as np

from ndiv.losses.distributions.numeric import normal_quantile

__all__ = ["at_scores", "correlations", "correlated", "scores_of", "shuffled"]


def at_scores(quantiles: np.ndarray, values: np.ndarray, scores: np.ndarray, discrete: bool = False,
              support: tuple[float, float] = (-np.inf, np.inf)) -> np.ndarray:
    """Values [S, h, n] of normal scores [S, h, n], from the values [S, h, Q] of the ascending ``quantiles`` [Q].

    Linear in the score between quantiles and beyond the outermost, so exact for normal distributions, and never outside
    ``support``. ``discrete``: the value of the next quantile, so that only values come that are among the forecast's.

    >>> at_scores(np.array([0.1, 0.5, 0.9]), np.array([[[8.0, 10.0, 12.0]]]), np.array([[[0.0, 1.2815515655]]])).round(6)
    array([[[10., 12.]]])
    """
    at = normal_quantile(quantiles)
    values = np.maximum.accumulate(np.asarray(values, np.float64), axis=-1)
    right = np.searchsorted(at, scores)
    if discrete:
        return np.take_along_axis(values, np.minimum(right, len(at) - 1), axis=-1)
    right = np.clip(right, 1, len(at) - 1)
    low, high = (np.take_along_axis(values, k, axis=-1) for k in (right - 1, right))
    share = (scores - at[right - 1]) / (at[right] - at[right - 1])
    return np.clip(low + (high - low) * share, *support)


def scores_of(quantiles: np.ndarray, values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Normal scores [N, h] of observations [N, h] under the quantiles [N, h, Q] of their forecasts; NaN where y is.

    >>> scores_of(np.array([0.1, 0.5, 0.9]), np.array([[[8.0, 10.0, 12.0]]]), np.array([[12.0]])).round(6)
    array([[1.281552]])
    """
    at = normal_quantile(quantiles)
    values = np.maximum.accumulate(np.asarray(values, np.float64), axis=-1)
    right = np.clip((values <= y[..., None]).sum(axis=-1), 1, len(at) - 1)
    low, high = (np.take_along_axis(values, k[..., None], axis=-1)[..., 0] for k in (right - 1, right))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(high > low, (y - low) / (high - low), 0.5)
    found = at[right - 1] + (at[right] - at[right - 1]) * share
    return np.where(np.isnan(y), np.nan, np.clip(found, -6.0, 6.0))  # an outlier shall not decide alone


def correlations(scores: np.ndarray) -> np.ndarray:
    """[h, h] correlations of the steps, from scores [W, h] of W earlier forecasts (NaN: missing).

    A weighted mean of the observed ones, with weight W / (W + h), and of those of a first-order autoregression with the
    observed lag-one correlation: few windows say little about h (h - 1) / 2 numbers. Without windows the steps are independent.

    >>> correlations(np.array([[1.0, 1.0], [-1.0, -1.0]])).round(3).tolist()
    [[1.0, 0.995], [0.995, 1.0]]
    """
    w, h = scores.shape
    z, on = np.nan_to_num(scores), np.isfinite(scores).astype(np.float64)
    if h == 1 or not on.any():
        return np.eye(h)
    both = on[:, :-1] * on[:, 1:]
    sizes = np.sqrt(((z[:, :-1] * both) ** 2).sum() * ((z[:, 1:] * both) ** 2).sum())
    rho = float(np.clip((z[:, :-1] * z[:, 1:]).sum() / sizes, -0.99, 0.99)) if sizes > 0 else 0.0
    prior = rho ** np.abs(np.arange(h)[:, None] - np.arange(h))
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = (z.T @ z) / np.sqrt((z**2).T @ on) / np.sqrt(on.T @ z**2)
    share = w / (w + h) * ((on.T @ on) / w)  # of pairs that were seen less often, less
    found = np.where(np.isfinite(seen), share * seen + (1 - share) * prior, prior)
    np.fill_diagonal(found, 1.0)
    return found


def correlated(rng: np.random.Generator, n: int, r: np.ndarray) -> np.ndarray:
    """[h, n] normal scores with correlations ``r`` [h, h]; the first of more paths are those of fewer."""
    size, axes = np.linalg.eigh(r)
    root = (axes * np.sqrt(np.clip(size, 0, None))) @ axes.T
    root /= np.sqrt((root**2).sum(axis=1, keepdims=True))  # where missing values left r not quite a correlation matrix
    return root @ rng.standard_normal((n, len(r))).T


def shuffled(rng: np.random.Generator, n: int, past: np.ndarray) -> np.ndarray:
    """[h, n] normal scores whose ranks at each step are those of n of the trajectories ``past`` [W, h], drawn without
    repetition where there are enough; ties by chance."""
    count, h = past.shape
    rows = rng.permutation(count)[:n] if count >= n else rng.integers(0, count, n)
    ties = rng.random((h, n))
    scores = np.sort(rng.standard_normal((h, n)), axis=1)
    order = np.stack([np.lexsort((ties[k], past[rows, k])) for k in range(h)])
    ranks = np.argsort(order, axis=1)
    return np.take_along_axis(scores, ranks, axis=1)
