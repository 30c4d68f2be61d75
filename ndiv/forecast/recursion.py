"""Forecasts longer than a model's horizon: block after block, each fed with paths drawn from the one before.

Contract: `longer` gives the columns of `quantiles.layout` for any number of steps. The first block is the model's own forecast.
A point loss feeds its forecast back. Where the loss is probabilistic, `PATHS` paths of each series are drawn from the block's
quantiles and fed back; the next block's distribution is the mixture of what the paths give: its mean the mean of theirs, its
quantiles those of `PARTS` values of each. So uncertainty grows as the model says, and a longer horizon changes no
step of a shorter one. A series has the same paths alone and among others: they follow from the model's seed, the series' id and
the block.

A model that goes step after step draws its own paths. Of others the steps of a block depend on each other by a Gaussian copula
with correlation rho^|i - j|; rho is that of the normal scores of the series' last `WINDOWS` blocks under the model's forecasts
of them, drawn to 1/2 as if by `PRIOR` more steps. (The model may have been trained on these blocks: its errors are smaller
there, but only their correlation is used.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv import random
from ndiv.data.ahead import future_times
from ndiv.data.store import SeriesStore
from ndiv.losses.distributions.numeric import normal_cdf, normal_quantile

from .columns import cut
from .copula import at_scores, scores_of
from .quantiles import Column, kind, parameters, read, support_points
from .simulation import inference_windows, stream_of

__all__ = ["PATHS", "appended", "longer"]

PATHS, PARTS, WINDOWS, PRIOR = 100, 8, 8, 4.0
_AT_ONCE = 1 << 22  # input values of paths side by side: 16 MiB


def longer(model: Any, columns: Sequence[Column], store: SeriesStore, futr: np.ndarray | None, hist: np.ndarray | None,
           steps: int) -> np.ndarray:
    """The columns for ``steps`` after the end of each series: float64 [S, steps, columns].

    store   with the model's covariates only; ``futr`` [S, blocks * h, F] theirs ahead, ``hist`` [S, (blocks - 1) * h, X] what
            the historic ones are ahead, None: as in the last row
    """
    parts = 1 if kind(model) == "point" else PATHS
    size = store.n_series if model.MULTIVARIATE else max(_AT_ONCE // (parts * max(_back(model), PARTS * model.h)), 1)
    found = []
    for begin in range(0, store.n_series, size):
        some = slice(begin, begin + size)
        index = np.arange(store.n_series)[some]
        lengths = store.lengths[index]
        # models look no further back than that, so that paths need not carry the rest
        past = cut(store, index, np.maximum(lengths - _back(model), 0), lengths)
        ahead = _Blocks(model, list(columns), past, None if futr is None else futr[some], None if hist is None else hist[some])
        if parts > 1 and not getattr(model, "draws_paths", False):
            ahead.rho = persistence(model, cut(store, index, np.zeros_like(lengths), lengths))
        found.append(ahead.run(-(-steps // model.h), parts))
    return np.concatenate(found)[:, :steps]


class _Blocks:
    """The recursion for some series."""

    rho: np.ndarray

    def __init__(self, model: Any, columns: list[Column], store: SeriesStore, futr: np.ndarray | None,
                 hist: np.ndarray | None) -> None:
        self.model, self.columns, self.store, self.futr, self.hist = model, columns, store, futr, hist
        # what later blocks mix: of IQLoss the quantile that it is set to is one like any other
        self.later = [model.loss.q if kind(model) == "implicit" and what == 0 else what for _, what in columns]
        self.asked = [what for what in self.later if isinstance(what, float)]
        self.grid = support_points(model)

    def run(self, blocks: int, paths: int) -> np.ndarray:
        """[S, blocks * h, columns]"""
        count = self.store.n_series
        stepwise = paths > 1 and getattr(self.model, "draws_paths", False)
        store, found = self.store, []
        for block in range(blocks):
            futr = self._rows(self.futr, block, 1 if block == 0 else paths)
            columns, values = (self._by_steps if stepwise else self._by_quantiles)(store, futr, block, paths)
            found.append(columns)
            if block + 1 == blocks:
                break
            if block == 0 and paths > 1:
                store = cut(store, np.repeat(np.arange(count), paths), np.zeros(count * paths, np.int64),
                            np.repeat(store.lengths, paths))
            store = appended(store, values, self._rows(self.futr, block, paths), self._rows(self.hist, block, paths))
            store = cut(store, np.arange(store.n_series), np.maximum(store.lengths - _back(self.model), 0), store.lengths)
        return np.concatenate(found, axis=1)

    def _rows(self, values: np.ndarray | None, block: int, copies: int) -> np.ndarray | None:
        """Covariates ahead in a block, for each path."""
        h = self.model.h
        return None if values is None else np.repeat(values[:, block * h:(block + 1) * h], copies, axis=0)

    def _by_quantiles(self, store: SeriesStore, futr: np.ndarray | None, block: int,
                      paths: int) -> tuple[np.ndarray, np.ndarray]:
        """(the columns of a block, what is fed back [S * N, h]) of a model that forecasts the block at once."""
        if block and kind(self.model) == "distribution":
            return self._by_samples(store, futr, block, paths)
        own = tuple(dict.fromkeys((*self.asked, *(self.grid if paths > 1 else ()))))
        others, quantiles = read(self.model, own, store, futr)
        if paths == 1:
            return self._first(others, quantiles, own), others[..., 0]
        grid = quantiles[..., [own.index(q) for q in self.grid]]
        values = self._drawn(grid, block, paths)
        if block == 0:
            return self._first(others, quantiles, own), values
        shape = (len(self.store.ids), paths, self.model.h, -1)
        return self._mixed(others.reshape(shape), self._stratified(grid.reshape(shape), block)), values

    def _by_samples(self, store: SeriesStore, futr: np.ndarray | None, block: int,
                    paths: int) -> tuple[np.ndarray, np.ndarray]:
        """The same of a later block of a distribution, which is quicker to draw from than to ask for quantiles: `PARTS` values
        of each path and step. Of these the one is fed back whose rank is that of the path's normal score, itself a draw."""
        shape = (len(self.store.ids), paths, self.model.h)
        others, each = parameters(self.model, store, futr)
        samples = np.empty((*shape, PARTS))
        for k, key in enumerate(self.store.ids):
            with random.fork(self.model.random_seed, stream_of(f"{key} block {block} mix")):
                samples[k] = self.model.loss.sample(tuple(p[k * paths:(k + 1) * paths] for p in each), PARTS)
        samples.sort(axis=-1)
        rank = np.minimum((normal_cdf(self._scores(block, paths)) * PARTS).astype(np.int64), PARTS - 1)
        values = np.take_along_axis(samples.reshape(-1, self.model.h, PARTS), rank[..., None], axis=-1)[..., 0]
        return self._mixed(others.reshape(*shape, -1), samples), values

    def _by_steps(self, store: SeriesStore, futr: np.ndarray | None, block: int, paths: int) -> tuple[np.ndarray, np.ndarray]:
        """The same of a model that draws each value given those before it."""
        samples = self._simulated(store, futr, block, paths if block == 0 else PARTS)  # [windows, n, h]
        if block == 0:
            own = tuple(dict.fromkeys(self.asked))
            return self._first(*read(self.model, own, store, futr), own), samples.reshape(-1, self.model.h)
        shape = (len(self.store.ids), paths, self.model.h, -1)
        if any(isinstance(what, int) and what > 0 for what in self.later):  # parameters
            others = read(self.model, (), store, futr)[0]
        else:
            others = samples.mean(axis=1)[..., None]
        return self._mixed(others.reshape(shape), samples.transpose(0, 2, 1).reshape(shape)), samples[:, 0]

    def _first(self, others: np.ndarray, quantiles: np.ndarray, own: tuple[float, ...]) -> np.ndarray:
        return np.stack([quantiles[..., own.index(what)] if isinstance(what, float) else others[..., what]
                         for _, what in self.columns], axis=-1)

    def _mixed(self, others: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Other columns [S, N, h, O] and equally likely values [S, N, h, n] of each path -> [S, h, columns] of all."""
        pool = values.transpose(0, 2, 1, 3).reshape(len(values), values.shape[2], -1)
        found = dict(zip(self.asked, np.quantile(pool, self.asked, axis=-1), strict=True)) if self.asked else {}
        return np.stack([found[what] if isinstance(what, float) else others[..., what].mean(axis=1) for what in self.later],
                        axis=-1)

    def _stratified(self, grid: np.ndarray, block: int) -> np.ndarray:
        """[S, N, h, Q] -> [S, N, h, PARTS]: one value from each part of a path's distribution at each step."""
        shift = np.stack([self._generator(block, "mix", s).random((grid.shape[1], 1, 1)) for s in self.store.ids])
        scores = normal_quantile((np.arange(PARTS) + shift) / PARTS)
        return np.stack([self._values(g, np.broadcast_to(z, (*g.shape[:2], PARTS))) for g, z in zip(grid, scores, strict=True)])

    def _simulated(self, store: SeriesStore, futr: np.ndarray | None, block: int, n: int) -> np.ndarray:
        """n continuations of each window by a model that goes step after step, [windows, n, h]."""
        found = np.empty((store.n_series, n, self.model.h))
        copies = store.n_series // len(self.store.ids)
        streams = [stream_of(f"{key} block {block} path {k}") for key in self.store.ids for k in range(copies)]
        with inference_windows(self.model):
            for windows, batch in self.model.batches_ahead(store, futr):
                found[windows] = self.model.simulate(batch, n, self.model.random_seed, [streams[w] for w in windows])
        return found

    def _drawn(self, grid: np.ndarray, block: int, paths: int) -> np.ndarray:
        """Paths of a block [S * N, h], from its quantiles, [S, h, Q] of the first block and [S * N, h, Q] of later ones."""
        grid = np.repeat(grid, paths, axis=0) if block == 0 else grid
        return self._values(grid, self._scores(block, paths)[..., None])[..., 0]

    def _scores(self, block: int, paths: int) -> np.ndarray:
        """Normal scores of the values of each path, [S * N, h]."""
        h = self.model.h
        noise = np.stack([self._generator(block, "path", s).standard_normal((paths, h)) for s in self.store.ids])
        scores = np.empty_like(noise)
        scores[..., 0] = noise[..., 0]
        rho = self.rho[:, None]
        for t in range(1, h):
            scores[..., t] = rho * scores[..., t - 1] + np.sqrt(1 - rho * rho) * noise[..., t]
        return scores.reshape(-1, h)

    def _values(self, grid: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Values at normal scores, not beyond what the loss gives any probability."""
        if len(self.grid) == 1:
            return np.broadcast_to(grid, scores.shape)
        family = getattr(self.model.loss, "family", None)
        values = at_scores(np.asarray(self.grid), grid, scores,
                           support=(-np.inf, np.inf) if family is None else getattr(family, "COMPONENT", family).SUPPORT[:2])
        if family is not None and family.discrete:
            return np.rint(values)
        return values if kind(self.model) != "weighted" else np.clip(values, grid[..., :1], grid[..., -1:])

    def _generator(self, block: int, use: str, key: Any) -> np.random.Generator:
        return random.generator_at(self.model.random_seed & 0xFFFFFFFFFFFFFFFF, stream_of(f"{key} block {block} {use}"))


def _back(model: Any) -> int:
    """Rows that a forecast of the model looks at."""
    return int(getattr(model, "inference_size", model.input_size))


def persistence(model: Any, store: SeriesStore) -> np.ndarray:
    """rho of each series, [S]; see the top of the file."""
    h, count = model.h, store.n_series
    product, square = np.full(count, 0.5 * PRIOR), np.full(count, PRIOR)
    quantiles = support_points(model)
    for back in range(1, WINDOWS + 1):
        ends = store.lengths - back * h
        some = np.flatnonzero(ends >= model.input_size)
        if not some.size or len(quantiles) < 2 or (model.MULTIVARIATE and some.size < count):
            break
        past = cut(store, some, np.maximum(ends[some] - _back(model), 0), ends[some])
        rows = store.offsets[some, None] + ends[some, None] + np.arange(h)
        _, values = read(model, quantiles, past, store.futr[rows] if model.futr_exog_list else None)
        y = np.where(store.mask[rows], store.y[rows].astype(np.float64), np.nan)
        scores = np.nan_to_num(np.clip(scores_of(np.asarray(quantiles), values, y), -3.0, 3.0))
        both = store.mask[rows][:, 1:] & store.mask[rows][:, :-1]
        product[some] += (scores[:, 1:] * scores[:, :-1]).sum(axis=1)
        square[some] += (0.5 * (scores[:, 1:] ** 2 + scores[:, :-1] ** 2) * both).sum(axis=1)
    return np.clip(product / square, 0.0, 0.99)


def appended(store: SeriesStore, y: np.ndarray, futr: np.ndarray | None = None, hist: np.ndarray | None = None) -> SeriesStore:
    """The store with n more rows at the end of each series: y [S, n], futr [S, n, F], hist [S, n, X] (None: the last row's).

    >>> appended(SeriesStore.from_arrays_list([[1, 2], [5]]), np.array([[3.0], [6.0]])).y.tolist()
    [1.0, 2.0, 3.0, 5.0, 6.0]
    """
    count, n = y.shape
    lengths = store.lengths + n
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    old = np.arange(len(store.y)) + np.repeat(np.arange(count) * n, store.lengths)
    new = (offsets[1:, None] - n + np.arange(n)).reshape(-1)
    last = store.offsets[1:] - 1

    def joined(values: np.ndarray, more: np.ndarray) -> np.ndarray:
        out = np.empty((len(values) + count * n, *values.shape[1:]), values.dtype)
        out[old], out[new] = values, more.reshape(count * n, *values.shape[1:])
        return out

    times = future_times(store.last_times, store.freq, n, store.origin.get("time_zone")).astype(store.times.dtype)
    ahead: dict[str, Any] = {name: np.repeat(getattr(store, name)[last][:, None], n, axis=1) if more is None else more
                             for name, more in (("futr", futr), ("hist", hist))}
    for name, values in ahead.items():
        ahead[name] = joined(getattr(store, name), values)
    return replace(store, offsets=offsets, times=joined(store.times, times), y=joined(store.y, y),
                   mask=joined(store.mask, np.ones(y.shape, bool)),
                   **ahead)

