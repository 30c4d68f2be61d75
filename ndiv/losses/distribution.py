"""Losses that fit a distribution: DistributionLoss, and the mixtures GMM, PMM and NBMM.

Contract: the loss is the negative log-likelihood of y, in the units of the data. y_hat is a tuple of parameters in these units
(from `scale_decouple`), or the model's numbers, which are then taken without loc and scale. A forecast has the mean, the
quantiles, and with ``return_params`` the parameters. Mean and quantiles are those of the distribution itself, not of
samples (neuralforecast draws ``num_samples`` of them); `sample` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError, ShapeError, closest
from .base import Loss
from .distributions import (
    DISTRIBUTIONS,
    Distribution,
    Mixture,
    NegativeBinomialMixture,
    NormalMixture,
    PoissonMixture,
    Tweedie,
)
from .distributions.base import check_support
from .quantile import LEVEL, quantile_columns

__all__ = ["GMM", "NBMM", "PMM", "DistributionLoss"]


class _Likelihood(Loss):
    """What DistributionLoss and the mixtures share; subclasses say how the model's numbers are laid out."""

    is_distribution_output = True
    family: type[Distribution]

    def _columns(self, level: Sequence[float], quantiles: Sequence[float] | None, num_samples: int,
                 return_params: bool) -> None:
        self.level = tuple(level or ())
        self._quantiles = None if quantiles is None else tuple(quantiles)
        self.quantiles, names = quantile_columns(type(self).__name__, level, self._quantiles)
        if not isinstance(num_samples, (int, np.integer)) or num_samples < 1:
            raise ConfigError(f"{type(self).__name__}: num_samples must be a positive whole number", value=num_samples,
                              hint="1000 is common")
        self.num_samples = int(num_samples)
        self.return_params = bool(return_params)
        self.output_names = ("", *names, *(self.param_names if return_params else ()))

    @property
    def param_names(self) -> tuple[str, ...]:
        """Suffixes of the parameters' columns."""
        return self.family.NAMES

    def scale_decouple(self, output: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        """Parameters in the units of the data, from what `domain_map` gave and the window's loc and scale [B, 1, n]."""
        return self.family.scale_decouple(output, loc, scale)

    def distribution(self, params: tuple[Any, ...]) -> Distribution:
        """The distribution with these parameters."""
        return self.family(*params)

    def sample(self, params: tuple[Any, ...], num_samples: int | None = None) -> np.ndarray:
        """[B, h, n, num_samples] draws from ndiv's own generator."""
        return self.distribution(params).sample(num_samples or self.num_samples)

    def _log_prob(self, distribution: Distribution, y: Any, mask: Any) -> Any:
        return distribution.log_prob(y)

    def check_targets(self, y: Any, mask: Any = None) -> None:
        family = getattr(self.family, "COMPONENT", self.family)
        if family.SUPPORT[:2] != (-np.inf, np.inf):
            check_support(family, self.observed(y, mask, family.FILL))

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        params = y_hat if isinstance(y_hat, (tuple, list)) else self.scale_decouple(self.domain_map(y_hat))
        if tuple(params[0].shape[:len(y.shape)]) != tuple(y.shape):
            raise ShapeError(f"{type(self).__name__}: y has shape {list(y.shape)} and its parameters "
                             f"{list(params[0].shape)}", value=tuple(params[0].shape), hint="they must agree")
        each = -self._log_prob(self.distribution(tuple(params)), self.observed(y, mask, self.family.FILL), mask)
        return self.mean(each if tuple(each.shape) == tuple(y.shape) else FUNCTIONS["expand"](each, tuple(y.shape)), mask)

    def objective(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None, loc: Any = None,
                  scale: Any = None) -> Any:
        return self(y, self._params(y_hat, loc, scale), mask, y_insample)

    def _params(self, y_hat: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
        """Parameters from the model's numbers; a window without a scaler has loc 0 and scale 1, as in neuralforecast."""
        loc = np.zeros((1, 1, 1), y_hat.dtype) if loc is None else loc
        scale = np.ones((1, 1, 1), y_hat.dtype) if scale is None else scale
        return self.scale_decouple(self.domain_map(y_hat), loc, scale)

    def forecast(self, y_hat: Any, loc: Any = None, scale: Any = None) -> np.ndarray:
        with no_grad():
            params = self._params(y_hat, loc, scale)
            found = self.distribution(params)
            mean = found.mean
        mean = mean.data if isinstance(mean, Tensor) else np.asarray(mean)
        columns = [mean[..., None], found.quantile(self.quantiles).astype(mean.dtype)]
        if self.return_params:
            stacked = np.stack([p.data if isinstance(p, Tensor) else p for p in params], axis=-1)
            columns.append(stacked.reshape((*mean.shape, -1)))
        return np.concatenate(columns, axis=-1)


class DistributionLoss(_Likelihood):
    """Negative log-likelihood of a distribution whose parameters the model gives (Salinas et al. 2020, DeepAR).

    distribution   Normal, StudentT, Laplace, LogNormal, Gamma, Weibull, Beta, Poisson, NegativeBinomial, Bernoulli, Tweedie
    level          central intervals of the forecast in per cent; quantiles in their place are sorted
    num_samples    number of draws of `sample`
    return_params  a forecast also has the parameters
    rho            power of Tweedie, between 1 and 2

    The model's numbers are laid out parameter by parameter: [B, h, parameters * n].

    >>> import ndiv, numpy as np
    >>> loss = ndiv.losses.DistributionLoss("Normal", level=[90])
    >>> loss.outputsize, loss.output_names
    (2, ('', '-median', '-lo-90', '-hi-90'))
    >>> round(float(loss(np.zeros((1, 1, 1)), (np.zeros((1, 1, 1)), np.ones((1, 1, 1))))), 4)
    0.9189
    """

    is_by_parameter = True

    def __init__(self, distribution: str, level: Sequence[float] = LEVEL, quantiles: Sequence[float] | None = None,
                 num_samples: int = 1000, return_params: bool = False, horizon_weight: Any = None,
                 rho: float | None = None) -> None:
        super().__init__(horizon_weight)
        if distribution not in DISTRIBUTIONS:
            raise ConfigError(f"DistributionLoss: unknown distribution {distribution!r}", value=distribution,
                              hint=closest(distribution, DISTRIBUTIONS))
        self.family = DISTRIBUTIONS[distribution]
        if rho is not None and self.family is not Tweedie:
            raise ConfigError(f"DistributionLoss: {distribution} has no rho", value=rho, hint="only Tweedie has one")
        self._distribution = distribution
        self.rho = rho
        self._options = {"rho": 1.5 if rho is None else rho} if self.family is Tweedie else {}
        self.family(np.zeros(1), **self._options)  # refuses a wrong rho now rather than in training
        self.outputsize = len(self.family.NAMES)
        self._columns(level, None if quantiles is None else sorted(quantiles), num_samples, return_params)

    def distribution(self, params: tuple[Any, ...]) -> Distribution:
        return self.family(*params, **self._options)

    def domain_map(self, y_hat: Any) -> tuple[Any, ...]:
        """[B, h, parameters * n] -> one [B, h, n] for each parameter, unconstrained"""
        n = y_hat.shape[-1] // self.outputsize
        if n * self.outputsize != y_hat.shape[-1]:
            raise ShapeError(f"DistributionLoss: {y_hat.shape[-1]} numbers for {self.outputsize} parameters",
                             value=tuple(y_hat.shape), hint="the model gives outputsize numbers for each series")
        return tuple(y_hat[..., i * n:(i + 1) * n] for i in range(self.outputsize))

    def level_mask(self, n_series: int = 1) -> np.ndarray:
        return np.repeat(np.asarray(self.family.LEVEL, np.float32), n_series)


class _MixtureLoss(_Likelihood):
    """Base of GMM, PMM and NBMM.

    n_components   number of components
    weighted       the model gives their weights too; else all are equal
    batch_correlation, horizon_correlation
                   all windows of a batch, all steps of a horizon, come from one component (GMM and PMM)

    The model's numbers are laid out series by series: [B, h, n * (parameters * n_components)]. Olivares et al. (2021),
    Probabilistic hierarchical forecasting with deep Poisson mixtures.
    """

    family: type[Mixture]

    def _set(self, n_components: int, weighted: bool, batch_correlation: bool = False,
             horizon_correlation: bool = False) -> None:
        name = type(self).__name__
        if not isinstance(n_components, (int, np.integer)) or n_components < 1:
            raise ConfigError(f"{name}: n_components must be a positive whole number, not {n_components!r}",
                              value=n_components, hint="1 to 10 are common")
        self.n_components = int(n_components)
        self.weighted = bool(weighted)
        self.batch_correlation, self.horizon_correlation = bool(batch_correlation), bool(horizon_correlation)
        self.n_outputs = len(self.family.NAMES) + self.weighted
        self.outputsize = self.n_outputs * self.n_components

    @property
    def param_names(self) -> tuple[str, ...]:
        names = (*self.family.NAMES, "-weight")[:self.n_outputs]
        return tuple(f"{name}-{k}" for k in range(1, self.n_components + 1) for name in names)

    def domain_map(self, y_hat: Any) -> tuple[Any, ...]:
        """[B, h, n * outputsize] -> one [B, h, n, n_components] for each parameter, unconstrained"""
        k = self.n_components
        values = y_hat.reshape((*y_hat.shape[:2], -1, self.outputsize))
        return tuple(values[..., i * k:(i + 1) * k] for i in range(self.n_outputs))

    def level_mask(self, n_series: int = 1) -> np.ndarray:
        each = (*self.family.LEVEL, False)[:self.n_outputs]
        return np.tile(np.repeat(np.asarray(each, np.float32), self.n_components), n_series)

    def scale_decouple(self, output: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        return self.family.from_model(output, loc, scale)

    def _log_prob(self, distribution: Any, y: Any, mask: Any) -> Any:
        over = tuple(axis for axis, shared in ((0, self.batch_correlation), (1, self.horizon_correlation)) if shared)
        return distribution.log_prob(y, over, None if mask is None or not over else (mask != 0).astype(y.dtype))


class GMM(_MixtureLoss):
    """Mixture of normal distributions; arguments as in the base class.

    >>> import ndiv
    >>> ndiv.losses.GMM(n_components=3, weighted=True).outputsize
    9
    """

    family = NormalMixture

    def __init__(self, n_components: int = 1, level: Sequence[float] = LEVEL, quantiles: Sequence[float] | None = None,
                 num_samples: int = 1000, return_params: bool = False, batch_correlation: bool = False,
                 horizon_correlation: bool = False, weighted: bool = False, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self._set(n_components, weighted, batch_correlation, horizon_correlation)
        self._columns(level, quantiles, num_samples, return_params)


class PMM(_MixtureLoss):
    """Mixture of Poisson distributions, for counts."""

    family = PoissonMixture

    def __init__(self, n_components: int = 10, level: Sequence[float] = LEVEL, quantiles: Sequence[float] | None = None,
                 num_samples: int = 1000, return_params: bool = False, batch_correlation: bool = False,
                 horizon_correlation: bool = False, weighted: bool = False, horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self._set(n_components, weighted, batch_correlation, horizon_correlation)
        self._columns(level, quantiles, num_samples, return_params)


class NBMM(_MixtureLoss):
    """Mixture of negative binomial distributions, for counts."""

    family = NegativeBinomialMixture

    def __init__(self, n_components: int = 1, level: Sequence[float] = LEVEL, quantiles: Sequence[float] | None = None,
                 num_samples: int = 1000, return_params: bool = False, weighted: bool = False,
                 horizon_weight: Any = None) -> None:
        super().__init__(horizon_weight)
        self._set(n_components, weighted)
        self._columns(level, quantiles, num_samples, return_params)
