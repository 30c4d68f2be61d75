"""RPS: the ranked probability score of a weighted empirical distribution, for models that give weights to a window's values.

Contract: the model's numbers of a step are [B, h, 2 * points]: the values of the window in ascending order, then as many
logits, whose softmax are the values' probabilities. ``points`` is filled in by the model (`ndiv.models` DeepNPTS); models of
other kinds refuse the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..autograd.ops import FUNCTIONS
from ..autograd.tape import stopped
from ..errors import ConfigError, ShapeError
from .base import Loss
from .quantile import quantile_columns

__all__ = ["RPS"]

_relu, _where, _cumsum = FUNCTIONS["relu"], FUNCTIONS["where"], FUNCTIONS["cumsum"]


class RPS(Loss):
    """Ranked probability score: the integral over x of (F(x) - [y <= x])^2, F the distribution (Epstein 1969; CRPS).

    With values v_1 <= ... <= v_n and F_i = F(v_i) it is, exactly,
        sum_i F_i^2 |[v_i, v_i+1] below y| + (1 - F_i)^2 |[v_i, v_i+1] above y| + max(v_1 - y, 0) + max(y - v_n, 0)

    level, quantiles   columns beside the mean, as in `MQLoss`; none unless asked for
    proper             False: the score that Rangapuram et al. (2023) train with, the mean over the distinct values of the
                       quantile losses of v_i at level F_i. It is linear in F, so that what minimizes its expectation is
                       one value near the mean of y, however uncertain y is
    points             number of values; filled in by the model

    >>> import ndiv, numpy as np
    >>> y_hat = np.array([[[1.0, 2.0, 0.0, 0.0]]])  # 1 and 2, equally likely
    >>> float(ndiv.losses.RPS(points=2).objective(np.full((1, 1, 1), 1.0), y_hat))
    0.25
    """

    def __init__(self, level: Iterable[float] | None = None, quantiles: Sequence[float] | None = None, proper: bool = True,
                 points: int | None = None, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self.level = tuple(level or ())
        self._quantiles = None if quantiles is None else tuple(quantiles)
        self.quantiles: tuple[float, ...] = ()
        names: tuple[str, ...] = ()
        if self.level or quantiles is not None:
            self.quantiles, names = quantile_columns("RPS", self.level, quantiles)
        self.output_names = ("", *names)
        self.proper = bool(proper)
        self.points = points

    @property
    def outputsize(self) -> int:  # type: ignore[override]
        if self.points is None:
            raise ConfigError("RPS scores weights of a window's values, which this model does not give", value="RPS",
                              hint="DeepNPTS gives them; for other models MQLoss approximates the same score")
        return 2 * self.points

    def of_window(self, size: int) -> RPS:
        """The same loss for windows of that many values."""
        return RPS(self.level, self._quantiles, self.proper, size, self.horizon_weight)

    def domain_map(self, y_hat: Any) -> tuple[Any, Any]:
        """[B, h, 2 * points] -> values, ascending, and probabilities, [B, h, points] each"""
        if y_hat.shape[-1] != self.outputsize:
            raise ShapeError(f"RPS: {y_hat.shape[-1]} numbers a step for {self.points} values", value=tuple(y_hat.shape),
                             hint="the model gives the values and as many logits")
        return y_hat[..., :self.points], FUNCTIONS["softmax"](y_hat[..., self.points:], -1)

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        values, probabilities = y_hat if isinstance(y_hat, tuple) else self.domain_map(y_hat)
        if tuple(y.shape) != (*values.shape[:2], 1):
            raise ShapeError(f"RPS: y has shape {list(y.shape)} and the values {list(values.shape)}", value=tuple(y.shape),
                             hint="y is [B, h, 1]")
        y = self.observed(y, mask)
        each = (self._integral if self.proper else self._quantile_losses)(y, values, _cumsum(probabilities, -1))
        return self.mean(each, mask)

    def _integral(self, y: Any, values: Any, reached: Any) -> Any:
        """[B, h, 1], [B, h, n], F_i [B, h, n] -> [B, h, 1]"""
        out = _relu(values[..., :1] - y) + _relu(y - values[..., -1:])
        if values.shape[-1] == 1:
            return out
        low, high, f = values[..., :-1], values[..., 1:], reached[..., :-1]
        split = FUNCTIONS["minimum"](FUNCTIONS["maximum"](y, low), high)
        return out + (f * f * (split - low) + (1.0 - f) * (1.0 - f) * (high - split)).sum(axis=-1, keepdims=True)

    def _quantile_losses(self, y: Any, values: Any, reached: Any) -> Any:
        each = reached * _relu(y - values) + (1.0 - reached) * _relu(values - y)
        if values.shape[-1] == 1:
            return each
        last = (values[..., 1:] > values[..., :-1]).astype(values.dtype)  # of equal values the last one, with all their mass
        total = (each[..., :-1] * last).sum(axis=-1, keepdims=True) + each[..., -1:]
        return total / (last.sum(axis=-1, keepdims=True) + 1.0)

    def forecast(self, y_hat: Any, loc: Any = None, scale: Any = None) -> Any:
        """[B, h, 1, columns], without gradient: see `columns`."""
        return self.columns(stopped(y_hat))

    def columns(self, y_hat: Any) -> Any:
        """[B, h, 1, columns]: the mean, and the quantiles, each the smallest value that has at least q at or below it."""
        values, probabilities = self.domain_map(y_hat)
        columns = [(values * probabilities).sum(axis=-1, keepdims=True)]
        before = _cumsum(probabilities, -1) - probabilities
        columns += [FUNCTIONS["amax"](_where(before < q, values, values[..., :1]), -1, True) for q in self.quantiles]
        return FUNCTIONS["cat"](columns, dim=-1).reshape((*y_hat.shape[:2], 1, len(columns)))
