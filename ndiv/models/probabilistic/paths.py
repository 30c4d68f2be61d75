"""Forecasts made of paths: each value of a path is drawn from the model's distribution and fed back.

Contract: a subclass says by `sampled` whether its forecasts are made of paths, by `draws_paths` whether it can make any, and
defines `_some_paths`, which draws the values of a step by `drawn` and feeds them back by `entered`. The random numbers of a
window follow from the seed, from where the window rises (or from the streams that `simulate` is given), and from the step: not
from which others are in the batch, nor from the units of the data.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ... import random
from ...autograd import Tensor, no_grad
from ...errors import ConfigError
from ..base import BaseModel, Batch
from ..feedback import as_input

__all__ = ["PathModel", "resting"]

_ROWS = 4096  # of paths that run side by side: their states stay in cache
_DRAWS = 1 << 32  # streams between two windows; those of initial weights and dropout lie below
_KEYS = ("insample_y", "insample_mask", "hist_exog", "futr_exog", "stat_exog")


@contextmanager
def resting(model: BaseModel) -> Iterator[None]:
    """Inside, the model runs without dropout and without gradients."""
    was = model.training
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        model.train(was)


def in_parts(batch: Batch, width: int) -> Iterator[tuple[int, Batch]]:
    """(first window, what forecasts need of so many windows that they have `_ROWS` paths, ``width`` each)."""
    given = {k: batch[k] for k in _KEYS if batch.get(k) is not None}
    at_once = max(1, _ROWS // width)
    for b in range(0, len(given["insample_y"]), at_once):
        yield b, {k: v[b:b + at_once] for k, v in given.items()}


class PathModel(BaseModel):
    """Base of the models that draw paths; see the top of this file."""

    trajectory_samples: int = 100
    rows_of_a_path: int = 1  # how much more memory a path needs than a state of a recurrent layer

    @property
    def sampled(self) -> bool:
        """Whether forecasts are made of paths."""
        return False

    @property
    def draws_paths(self) -> bool:
        """Whether `simulate` can: each value of a path is drawn given those before it."""
        return bool(self.loss.is_distribution_output)

    def _some_paths(self, batch: Batch, n: int, seed: int, streams: list[int]) -> np.ndarray:
        """[B, n, h] in the units of the data; step s of window i is drawn on stream ``streams[i] + s``."""
        raise NotImplementedError

    def drawn(self, params: Sequence[Any], seed: int, streams: list[int]) -> np.ndarray:
        """[B, n] draws, one from each distribution of params [B, n, 1, ...], a window's from its own stream."""
        loss: Any = self.loss
        found = []
        for i, stream in enumerate(streams):
            with random.fork(seed, stream):
                found.append(loss.sample(tuple(p[i] for p in params), 1)[:, 0, 0])
        return np.stack(found)

    def drawn_from(self, numbers: Any, loc: Any, scale: Any, seed: int, streams: list[int]) -> np.ndarray:
        """[B, n] draws from the model's numbers [B * n, 1, outputs] of a step; loc and scale [B * n, 1, 1] or None."""
        loss: Any = self.loss
        known = (np.zeros((1, 1, 1), numbers.dtype), np.ones((1, 1, 1), numbers.dtype)) if loc is None else (loc, scale)
        params = [p.data if isinstance(p, Tensor) else p
                  for p in loss.scale_decouple(loss.domain_map(self._unaffine(numbers)), *known)]
        return self.drawn([p[:, 0].reshape(len(streams), -1, *p.shape[2:]) for p in params], seed, streams)

    def entered(self, values: np.ndarray, loc: Any, scale: Any) -> np.ndarray:
        """Values [N, 1, 1] in the units of the data as the network reads them; loc and scale are those of their windows."""
        z = as_input(self, values if loc is None else self.scaler.transform(values, loc, scale))
        z = z.data if isinstance(z, Tensor) else z
        return z * 0 if self.arguments["exclude_insample_y"] else z

    def _forecast(self, batch: Batch, after: int) -> np.ndarray:
        """[B, h, n, columns]; mean and quantiles of paths where it is `sampled`."""
        loss: Any = self.loss
        if not self.sampled or random.is_traced():
            return super()._forecast(batch, after)
        paths = self._paths(batch, self.trajectory_samples, self.random_seed, False)
        # Weibull's positions: a new path is below the k-th of n with probability k / (n + 1)
        quantiles = np.quantile(paths, loss.quantiles, axis=1, method="weibull")  # [Q, B, h]
        found = [paths.mean(axis=1, dtype=np.float64)[..., None], np.moveaxis(quantiles, 0, -1)]
        if loss.return_params:  # those that the means before give
            found.append(super()._forecast(batch, after)[:, :, 0][..., 1 + len(loss.quantiles):])
        return np.concatenate(found, axis=-1).astype(paths.dtype)[:, :, None]

    def simulate(self, batch: Batch, n_paths: int | None = None, seed: int | None = None,
                 streams: list[int] | None = None) -> np.ndarray:
        """Paths drawn from the model, [B, n_paths, h], in the units of the data.

        batch as for `forecast`; n_paths is trajectory_samples where it is not given, seed random_seed. The same seed
        gives the same paths; paths and series are independent of each other, given the windows. Any variant samples.
        streams [B]: the first stream of random numbers of each window, h of them; None: by where it rises and its row.

        Raises `ConfigError` (E0010) where the loss is no distribution, the model forecasts all steps at once, or n_paths is
        not positive.

        >>> import ndiv, numpy as np
        >>> m = ndiv.models.DeepAR(h=4, input_size=8, lstm_hidden_size=8)
        >>> paths = m.simulate({"insample_y": np.ones((2, 8, 1), np.float32)}, n_paths=5, seed=3)
        >>> paths.shape, bool((paths == m.simulate({"insample_y": np.ones((2, 8, 1), np.float32)}, 5, 3)).all())
        ((2, 5, 4), True)
        """
        name = type(self).__name__
        n = self.trajectory_samples if n_paths is None else n_paths
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ConfigError(f"{name}: n_paths must be a whole number of at least 1, not {n!r}", value=n,
                              hint="100 is common")
        if not self.loss.is_distribution_output:
            raise ConfigError(f"{name}: {self.loss!r} is no distribution, so there is nothing to draw from",
                              value=self.loss, hint="give loss=DistributionLoss('StudentT')")
        if not self.draws_paths:
            raise ConfigError(f"{name} forecasts all steps at once: no value is drawn given those before it", value=name,
                              hint="NeuralForecast.simulate makes paths of any model; recurrent=True and "
                              "decoding='autoregressive' are models that go step after step")
        return self._paths(batch, int(n), self.random_seed if seed is None else seed, True, streams)

    def _paths(self, batch: Batch, n: int, seed: int, independent: bool, streams: list[int] | None = None) -> np.ndarray:
        """[B, n, h]. Streams follow from seed, window, step, and where equal windows shall be independent, the row."""
        if streams is None:
            streams = _streams(batch["insample_y"], batch.get("insample_mask"), independent)
        with resting(self):
            return np.concatenate([self._some_paths(part, n, seed, streams[b:b + len(part["insample_y"])])
                                   for b, part in in_parts(batch, n * self.rows_of_a_path)])


def _streams(y: Any, mask: Any, rows: bool) -> list[int]:
    """The first stream of each window, by where it rises: other units do not change that, nor what is missing.
    ``rows``: and by its row."""
    y, mask = (None if v is None else v.data if isinstance(v, Tensor) else np.asarray(v) for v in (y, mask))
    rises = y[:, 1:, 0] > y[:, :-1, 0]
    if mask is not None:
        rises &= (mask[:, 1:, 0] != 0) & (mask[:, :-1, 0] != 0)
    packed = np.packbits(rises, axis=1)
    found = (zlib.crc32(b.tobytes() + (i.to_bytes(4, "little") if rows else b"")) for i, b in enumerate(packed))
    return [_DRAWS * (1 + (v >> 1)) for v in found]
