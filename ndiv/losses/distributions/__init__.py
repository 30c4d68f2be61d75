"""Distributions: log_prob and moments with gradients, sampling, distribution functions and quantiles. One file each."""

from .base import Distribution
from .bernoulli import Bernoulli
from .beta import Beta
from .gamma import Gamma
from .laplace import Laplace
from .log_normal import LogNormal
from .mixture import Mixture, NegativeBinomialMixture, NormalMixture, PoissonMixture
from .negative_binomial import NegativeBinomial
from .normal import Normal
from .poisson import Poisson
from .student_t import StudentT
from .tweedie import Tweedie
from .weibull import Weibull

__all__ = ["Bernoulli", "Beta", "DISTRIBUTIONS", "Distribution", "Gamma", "Laplace", "LogNormal", "Mixture", "NegativeBinomial",
           "NegativeBinomialMixture", "Normal", "NormalMixture", "Poisson", "PoissonMixture", "StudentT", "Tweedie", "Weibull"]

# by the name that DistributionLoss takes
DISTRIBUTIONS: dict[str, type[Distribution]] = {
    d.__name__: d for d in (Bernoulli, Beta, Gamma, Laplace, LogNormal, NegativeBinomial, Normal, Poisson, StudentT, Tweedie,
                            Weibull)}
