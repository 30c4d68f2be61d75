"""Quantile losses: QuantileLoss, MQLoss, and their Huber forms HuberQLoss and HuberMQLoss.

Contract: the losses of several quantiles take y [B, h, n] and y_hat [B, h, n, quantiles], or the model's numbers
[B, h, n * quantiles] in that order, or one forecast [B, h, n] for all quantiles. They are sums over the quantiles, as
neuralforecast computes them; divide by their number for the average.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError, ShapeError
from .base import Loss
from .point import huber, positive

__all__ = ["HuberMQLoss", "HuberQLoss", "MQLoss", "QuantileLoss", "check_quantile", "quantile_columns"]

_relu = FUNCTIONS["relu"]
LEVEL = (80, 90)


def check_quantile(owner: str, q: Any) -> float:
    """q itself. Raises `ConfigError` unless 0 < q < 1."""
    if not isinstance(q, (int, float, np.number)) or not 0 < q < 1:
        raise ConfigError(f"{owner}: a quantile lies between 0 and 1, not {q!r}", value=q, hint="0.5 is the median")
    return float(q)


def quantile_columns(owner: str, level: Iterable[float] | None, quantiles: Iterable[float] | None) -> tuple[
        tuple[float, ...], tuple[str, ...]]:
    """Quantiles and their column suffixes, as neuralforecast orders and names them.

    From levels: the median, then the bounds of the central intervals in increasing order. From quantiles: as given.

    >>> quantile_columns("example", [80, 90], None)
    ((0.5, 0.05, 0.1, 0.9, 0.95), ('-median', '-lo-90', '-lo-80', '-hi-80', '-hi-90'))
    >>> quantile_columns("example", None, [0.1, 0.5])
    ((0.1, 0.5), ('-lo-80.0', '-median'))
    """
    if quantiles is not None:
        qs = [check_quantile(owner, q) for q in dict.fromkeys(quantiles)]
        names = ["-median" if q == 0.5 else f"-lo-{float(np.round(100 - 200 * q, 2))}" if q < 0.5
                 else f"-hi-{float(np.round(100 - 200 * (1 - q), 2))}" for q in qs]
    else:
        levels = list(dict.fromkeys(level or ()))
        for value in levels:
            if not isinstance(value, (int, float, np.number)) or not 0 < value < 100:
                raise ConfigError(f"{owner}: a level lies between 0 and 100, not {value!r}", value=value,
                                  hint="90 is the central interval that holds 90 % of the probability")
        bounds = [((50 - v / 2) / 100, f"-lo-{v}") for v in levels] + [((50 + v / 2) / 100, f"-hi-{v}") for v in levels]
        bounds.sort(key=lambda pair: pair[0])
        qs, names = [0.5, *(q for q, _ in bounds)], ["-median", *(n for _, n in bounds)]
    if not qs:
        raise ConfigError(f"{owner}: no quantile is asked for", value=quantiles, hint="give level=[80, 90]")
    return tuple(qs), tuple(names)


def pinball(error: Any, q: Any) -> Any:
    """The quantile loss of y - y_hat: q e where e > 0, (q - 1) e elsewhere."""
    return error * q + _relu(-error)


class QuantileLoss(Loss):
    """Quantile (pinball) loss; what minimizes it is the q-quantile (Koenker and Bassett 1978).

    >>> import ndiv, numpy as np
    >>> float(ndiv.losses.QuantileLoss(0.9)(np.full((1, 1, 1), 10.0), np.zeros((1, 1, 1))))
    9.0
    """

    def __init__(self, q: float, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self.q = check_quantile(type(self).__name__, q)
        self.output_names = (f"_ql{q}",)

    def element(self, error: Any) -> Any:
        return pinball(-error, self.q)


class HuberQLoss(Loss):
    """Quantile loss with Huber's function in place of the error's size: q huber(e) where e = y - y_hat > 0, else (1 - q)."""

    def __init__(self, q: float, delta: float = 1.0, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self.q = check_quantile("HuberQLoss", q)
        positive("HuberQLoss", delta=delta)
        self.delta = delta
        self.output_names = (f"_q{q}_d{delta}",)

    def element(self, error: Any) -> Any:
        return self.q * huber(_relu(-error), self.delta) + (1 - self.q) * huber(_relu(error), self.delta)


class MQLoss(Loss):
    """Quantile losses of several quantiles, summed. Times 2 over their number it approximates the CRPS.

    level         central intervals in per cent, [80, 90]; the median comes with them
    quantiles     the quantiles themselves, in place of level
    non_crossing  a forecast's quantiles are put in order, which never adds to the loss (Chernozhukov, Fernandez-Val and
                  Galichon 2010, Econometrica 78, proposition 4); training sees them as they are. Models in ``compat``, as
                  neuralforecast, leave them as they are

    >>> import ndiv, numpy as np
    >>> loss = ndiv.losses.MQLoss(level=[80])
    >>> loss.output_names
    ('-median', '-lo-80', '-hi-80')
    >>> loss.forecast(np.array([[[3.0, 1.0, 2.0]]])).tolist()
    [[[[2.0, 1.0, 3.0]]]]
    """

    def __init__(self, level: Sequence[float] = LEVEL, quantiles: Sequence[float] | None = None,
                 horizon_weight: Any = None, non_crossing: bool = True) -> None:
        super().__init__(horizon_weight)
        self.non_crossing = bool(non_crossing)
        self.level = tuple(level or ())
        self.quantiles, self.output_names = quantile_columns(type(self).__name__, level, quantiles)
        self._quantiles = None if quantiles is None else self.quantiles
        self.outputsize = len(self.quantiles)

    def domain_map(self, y_hat: Any) -> Any:
        """[B, h, n * quantiles] -> [B, h, n, quantiles]"""
        return y_hat.reshape((*y_hat.shape[:2], -1, self.outputsize))

    def forecast(self, y_hat: Any, loc: Any = None, scale: Any = None) -> Any:
        return self.in_order(super().forecast(y_hat))

    def in_order(self, values: Any) -> Any:
        """[..., quantiles] put in order where ``non_crossing`` asks for it."""
        if not self.non_crossing or self.outputsize == 1:
            return values
        ranks = np.argsort(np.argsort(self.quantiles))  # the place of each column's quantile among all of them
        return FUNCTIONS["sort"](values, -1)[0][..., ranks]

    def element(self, error: Any) -> Any:
        return pinball(-error, np.asarray(self.quantiles, error.dtype))

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        shape = tuple(y.shape)
        if len(y_hat.shape) == 3:
            y_hat = (y_hat.reshape((*shape, 1)) if tuple(y_hat.shape) == shape
                     else self.domain_map(y_hat) if tuple(y_hat.shape) == (*shape[:2], shape[2] * self.outputsize) else y_hat)
        if tuple(y_hat.shape) not in ((*shape, 1), (*shape, self.outputsize)):
            raise ShapeError(f"{type(self).__name__}: y has shape {list(shape)} and y_hat {list(y_hat.shape)}",
                             value=tuple(y_hat.shape), hint=f"y_hat must be [B, h, n, {self.outputsize}]")
        error = y_hat - self.observed(y, mask).reshape((*shape, 1))
        return self.mean(self.element(error).sum(axis=-1), mask)


class HuberMQLoss(MQLoss):
    """MQLoss with Huber's function of q e (e = y - y_hat > 0) and of (1 - q) e in place of these sizes themselves."""

    def __init__(self, level: Sequence[float] = LEVEL, quantiles: Sequence[float] | None = None, delta: float = 1.0,
                 horizon_weight: Any = None, non_crossing: bool = True) -> None:
        super().__init__(level, quantiles, horizon_weight, non_crossing)
        positive("HuberMQLoss", delta=delta)
        self.delta = delta

    def element(self, error: Any) -> Any:
        q = np.asarray(self.quantiles, error.dtype)
        return huber(_relu(-error) * q, self.delta) + huber(_relu(error) * (1 - q), self.delta)
