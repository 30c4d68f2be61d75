"""What a distribution is: parameter map, log_prob, moments, sampling, distribution function and quantiles.

Contract: parameters have one shape S (or broadcast to it), as arrays or Tensors. `log_prob`, `mean` and `variance` are
written in ndiv ops and carry gradients; `sample`, `cdf` and `quantile` give arrays. `scale_decouple` turns the numbers that
a model gives into parameters in the units of the data, given the loc and scale of its window (neuralforecast's maps where
it has the distribution; its eps keeps the spread of a scaled window away from 0).

Those whose log_prob subtracts large numbers (log-gamma functions) work in float64 and round at the end; plans work in
float32 throughout, and `log_gamma_rise` and `log_beta` do not lose there what cancels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd import Tensor
from ...autograd.ops import FUNCTIONS
from ...autograd.ops import special as _special
from ...errors import DataError
from ...random import generator, is_traced

__all__ = [
    "Distribution", "above_zero", "check_support", "log_beta", "log_gamma_rise", "log_gamma_scaled", "narrow",
    "relative_spread", "spread", "values", "wide"]

absolute, clip, exp, log, log1p, maximum, minimum, sigmoid, softplus, where = (
    FUNCTIONS[n] for n in ("abs", "clip", "exp", "log", "log1p", "maximum", "minimum", "sigmoid", "softplus", "where"))
lgamma, HALF_LOG_2PI = _special.lgamma, _special.HALF_LOG_2PI
Array = np.ndarray


def values(x: Any) -> Array:
    """The numbers of a Tensor or array, as float64."""
    return np.asarray(x.data if isinstance(x, Tensor) else x, dtype=np.float64)


def wide(*xs: Any) -> list[Any]:
    """The arguments in float64, still connected to where they came from."""
    return [x if x.dtype == np.float64 else x.astype(np.float64) for x in xs]


def narrow(x: Any, like: Any) -> Any:
    """x in the type of ``like``."""
    return x if x.dtype == like.dtype else x.astype(like.dtype)


_STIRLING_FROM = 16.0


def _stirling_rest(z: Any) -> Any:
    """log Gamma(z) less Stirling's (z - 1/2) log z - z + log(2 pi) / 2, to 1e-14 for z from 16 on (Abramowitz and Stegun
    6.1.41)."""
    over = 1.0 / z
    square = over * over
    return over * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))


def log_gamma_rise(x: Any, d: Any) -> Any:
    """log Gamma(x + d) - log Gamma(x) for x, d > 0, right also where both are far larger than their difference.

    From x = 16 on by Stirling's formula, in which what they have in common is gone; plans compute in float32.
    """
    far = maximum(x, _STIRLING_FROM)
    rise = ((far - 0.5) * log1p(d / far) + d * (log(far + d) - 1.0) + (_stirling_rest(far + d) - _stirling_rest(far)))
    return where(x > _STIRLING_FROM, rise, lgamma(x + d) - lgamma(x))


def log_gamma_scaled(k: Any) -> Any:
    """log Gamma(k) - k log k + k for k > 0, which grows like -log(k) / 2; as `log_gamma_rise` without cancellation."""
    far = maximum(k, _STIRLING_FROM)
    return where(k > _STIRLING_FROM, HALF_LOG_2PI - 0.5 * log(far) + _stirling_rest(far), lgamma(k) - k * (log(k) - 1.0))


def log_beta(a: Any, b: Any) -> Any:
    """log Gamma(a) + log Gamma(b) - log Gamma(a + b) for a, b > 0."""
    low, high = minimum(a, b), maximum(a, b)
    return lgamma(low) - log_gamma_rise(high, low)


def above_zero(raw: Any, loc: Any, scale: Any) -> Any:
    """A positive level, near raw * scale + loc where that is well above 0, and never below a thousandth of scale."""
    if loc is None or scale is None:
        return softplus(raw) + 1e-3
    return (softplus(raw + loc / scale) + 1e-3) * scale


def spread(raw: Any, eps: float, scale: Any) -> Any:
    """A positive width in the units of the data: (softplus(raw) + eps) scale."""
    if scale is None:
        return clip(softplus(raw), 1e-8)
    return (softplus(raw) + eps) * scale


def relative_spread(raw: Any, level: Any, scale: Any) -> Any:
    """A width as a fraction of the level, from 0.02 to 5: that of scale where the level is far above it."""
    width = softplus(raw) + 0.1
    return clip(width if scale is None else width * (scale / (level + scale)), 0.02, 5.0)


def check_support(family: type[Distribution], y: Any) -> None:
    """Raises `DataError` (E0011) for targets outside the family's support. In a function that is being traced for compilation
    they are made up, and who runs the plan checks the true ones (`ndiv.losses.Loss.check_targets`)."""
    low, high, strict = family.SUPPORT
    v = y.data if isinstance(y, Tensor) else y
    if not v.size or is_traced():
        return
    least, most = v.min(), v.max()
    if (least <= low if strict else least < low) or (most >= high if strict else most > high):
        bad = float(least if (least <= low if strict else least < low) else most)
        border = f"({low:g}, {high:g})" if strict else f"[{low:g}, {high:g}]"
        raise DataError(f"{family.__name__} is a distribution on {border} and a target is {bad:g}", value=bad,
                        hint="use another distribution, or transform the data")


class Distribution:
    """Base of distributions; see the top of the file.

    NAMES   column suffix of each parameter
    LEVEL   whether a model may add a level to the number behind each parameter
    SUPPORT (low, high, whether both are outside) of the values that it gives a density or a probability
    FILL    a value inside the support, in place of targets without weight
    """

    NAMES: tuple[str, ...] = ()
    LEVEL: tuple[bool, ...] = ()
    SUPPORT: tuple[float, float, bool] = (-np.inf, np.inf, False)
    FILL = 0.0
    discrete = False

    def __init__(self, *params: Any) -> None:
        self.params = params

    @classmethod
    def scale_decouple(cls, raw: tuple[Any, ...], loc: Any = None, scale: Any = None) -> tuple[Any, ...]:
        """Parameters, in the units of the data, from a model's numbers."""
        raise NotImplementedError

    @property
    def mean(self) -> Any:
        raise NotImplementedError

    @property
    def variance(self) -> Any:
        raise NotImplementedError

    def log_prob(self, y: Any) -> Any:
        """Logarithm of the density (of the probability, where discrete) at y; raises `DataError` outside the support."""
        raise NotImplementedError

    def _cdf(self, y: Array, *params: Array) -> Array:
        raise NotImplementedError

    def _quantile(self, p: Array, *params: Array) -> Array:
        raise NotImplementedError

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Array) -> Array:
        """Samples by inversion, unless the distribution has a quicker way."""
        return self._quantile(rng.random(shape), *(np.broadcast_to(p, shape) for p in params))

    # -- arrays ----------------------------------------------------------------------------------------------------

    def arrays(self) -> list[Array]:
        """The parameters as float64 arrays of one shape."""
        return list(np.broadcast_arrays(*(values(p) for p in self.params)))

    def cdf(self, y: Any) -> Array:
        """Probability of at most y, elementwise, float64."""
        y = values(y)
        params = self.arrays()
        shape = np.broadcast_shapes(y.shape, params[0].shape)
        return self._cdf(np.broadcast_to(y, shape), *(np.broadcast_to(p, shape) for p in params)).reshape(shape)

    def quantile(self, q: Any) -> Array:
        """The smallest y with cdf(y) >= q, float64: shape S for one number q, [*S, Q] for Q of them.

        >>> import numpy as np
        >>> from ndiv.losses.distributions import Normal
        >>> Normal(np.zeros(2), np.ones(2)).quantile([0.5, 0.975]).round(3)
        array([[0.  , 1.96],
               [0.  , 1.96]])
        """
        q = np.asarray(q, dtype=np.float64)
        params = [p[..., None] if q.ndim else p for p in self.arrays()]
        shape = np.broadcast_shapes(q.shape, params[0].shape)
        with np.errstate(all="ignore"):
            result = self._quantile(np.array(np.broadcast_to(q, shape)), *(np.broadcast_to(p, shape) for p in params))
        return np.asarray(result).reshape(shape)

    def sample(self, num_samples: int) -> Array:
        """[*S, num_samples] independent draws from ndiv's generator, in the type of the parameters."""
        params = self.arrays()
        drawn = self._draw(generator(), (num_samples, *params[0].shape), *params)
        return np.moveaxis(np.asarray(drawn), 0, -1).astype(self.params[0].dtype)
