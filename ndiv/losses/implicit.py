"""IQLoss: one network for all quantiles, the quantile being an input of a small layer after the model.

Contract: the loss has weights of its own, so a model must hold it as a submodule and call `domain_map`. While training,
each element draws its own quantile and `domain_map` gives (y_hat, quantiles), both [B, h, n]; otherwise it gives y_hat
at the quantile set by `update_quantile` (0.5 at first). Dabney et al. (2018), Implicit quantile networks; Gouttes et al.
(2021), Probabilistic time series forecasting with implicit quantile networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import nn, random
from ..autograd import no_grad
from ..autograd.ops import FUNCTIONS
from ..autograd.tape import stopped
from .base import Loss
from .point import positive
from .quantile import check_quantile, pinball

__all__ = ["IQLoss", "QuantileLayer"]


class QuantileLayer(nn.Module):
    """cos(pi k tau), k = 0 ... d - 1, through two linear layers; tau [*, 1] -> [*, num_output]."""

    def __init__(self, num_output: int, cos_embedding_dim: int = 128) -> None:
        super().__init__()
        self.output_layer = nn.Sequential(nn.Linear(cos_embedding_dim, cos_embedding_dim), nn.PReLU(),
                                          nn.Linear(cos_embedding_dim, num_output))
        self.frequencies = np.pi * np.arange(cos_embedding_dim)

    def forward(self, tau: Any) -> Any:
        return self.output_layer(FUNCTIONS["cos"](tau * self.frequencies.astype(tau.dtype)))


class IQLoss(Loss, nn.Module):
    """Implicit quantile loss: the quantile loss at quantiles drawn from Beta(concentration1, concentration0).

    >>> import ndiv, numpy as np
    >>> loss = ndiv.losses.IQLoss()
    >>> loss.update_quantile([0.9]); loss.output_names
    ('_ql0.9',)
    >>> loss.eval().domain_map(ndiv.tensor(np.ones((2, 3, 1), "f4"))).shape
    (2, 3, 1)
    """

    def __init__(self, cos_embedding_dim: int = 64, concentration0: float = 1.0, concentration1: float = 1.0,
                 horizon_weight: Any = None) -> None:
        nn.Module.__init__(self)
        super().__init__(horizon_weight)
        positive("IQLoss", concentration0=concentration0, concentration1=concentration1)
        self.cos_embedding_dim = cos_embedding_dim
        self.concentration0 = concentration0
        self.concentration1 = concentration1
        self.quantile_layer = QuantileLayer(1, cos_embedding_dim)
        self.output_layer = nn.Sequential(nn.Linear(1, 1), nn.PReLU())
        self.update_quantile()

    def update_quantile(self, q: Sequence[float] = (0.5,)) -> None:
        """The quantiles of forecasts, a column each; `domain_map` gives the first."""
        self.qs = tuple(check_quantile("IQLoss", v) for v in q)
        self.q = self.qs[0]
        self.output_names = tuple(f"_ql{v}" for v in self.qs)

    def at(self, y_hat: Any, tau: Any) -> Any:
        """The model's numbers [B, h, n] turned into the quantiles tau [B, h, n]."""
        shape = (*y_hat.shape, 1)
        inner = y_hat.reshape(shape) * (1.0 + self.quantile_layer(tau.reshape(shape)))
        return self.output_layer(inner).reshape(y_hat.shape)

    def domain_map(self, y_hat: Any) -> Any:
        """While training (y_hat at drawn quantiles, these quantiles), else y_hat at the quantile of forecasts."""
        if not self.training:
            return self.at(y_hat, np.full(y_hat.shape, self.q, y_hat.dtype))
        a, b, shape, dtype = self.concentration1, self.concentration0, y_hat.shape, y_hat.dtype
        tau = random.draw(lambda rng: np.clip(rng.beta(a, b, shape), 1e-6, 1 - 1e-6).astype(dtype))
        return self.at(y_hat, tau), tau

    def forecast(self, y_hat: Any, loc: Any = None, scale: Any = None) -> np.ndarray:
        """[B, h, n, quantiles]. Several are put in order, as the network may let them cross."""
        with no_grad():
            each = [stopped(self.at(y_hat, np.full(y_hat.shape, q, y_hat.dtype))) for q in self.qs]
        if len(each) == 1:
            found: np.ndarray = each[0][..., None]
            return found
        ranks = np.argsort(np.argsort(self.qs, kind="stable"), kind="stable")
        ordered: np.ndarray = FUNCTIONS["sort"](FUNCTIONS["stack"](each, -1), -1)[0][..., ranks]
        return ordered

    def __call__(self, y: Any, y_hat: Any, mask: Any = None, y_insample: Any = None) -> Any:
        y_hat, q = y_hat if isinstance(y_hat, tuple) else (y_hat, self.q)
        self.same_shape(y, y_hat)
        return self.mean(pinball(self.observed(y, mask) - y_hat, q), mask)

    def __repr__(self) -> str:
        return Loss.__repr__(self)
