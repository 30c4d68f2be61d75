"""Forecasts longer than a model's horizon: block after block, each fed with paths drawn from the one before.

Contract: `longer` gives the columns of `quantiles.layout` for any number of steps. The first block is the model's own forecast.
A point loss feeds its forecast back. Where the loss is probabilistic, `PATHS` paths of each series are drawn from the block's
quantiles and fed back; the next block's distribution is the mixture of what the paths give: its mean the mean of theirs, its
quantiles those of `PARTS` stratified values of each. So uncertainty grows as the model says, and a longer horizon changes no
step of a shorter one. A series has the same paths alone and among others: they follow from the model's seed, the series' id and
the block.

Steps of a block depend on each other by a Gaussian copula with correlation rho^|i - j|. rho is that of the normal scores of the
series' last `WINDOWS` blocks in forecasts of them by the model, drawn to 1/2 as if by `PRIOR` more steps (of a model that was
trained on them, whose errors are smaller there; their correlation is what is used).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv import random
from ndiv.data.ahead import future_times
from ndiv.data.store import SeriesStore
from ndiv.losses.distributions.numeric import normal_quantile

from .columns import cut
from .quantiles import Column, kind, read, support_points

__all__ = ["PATHS", "appended", "at_scores", "longer"]

PATHS, PARTS, WINDOWS, PRIOR = 100, 8, 8, 4.0
_AT_ONCE = 1 << 22  # input values of paths side by side: 16 MiB


def longer(model: Any, columns: Sequence[Column], store: SeriesStore, futr: np.ndarray | None, hist: np.ndarray | None,
           steps: int) -> np.ndarray:
    """The columns for ``steps`` after the end of each series: float64 [S, steps, columns].

    store   with the model's covariates only; ``futr`` [S, blocks * h, F] theirs ahead, ``hist`` [S, (blocks - 1) * h, X] what
            the historic ones are ahead, None: as in the last row
    """
    parts = 1 if kind(model) == "point" else PATHS
    size = store.n_series if model.MULTIVARIATE else max(_AT_ONCE // (parts * _back(model)), 1)
    found = []
    for begin in range(0, store.n_series, size):
        some = slice(begin, begin + size)
        index = np.arange(store.n_series)[some]
        lengths = store.lengths[index]
        # models look no further back than that, so that paths need not carry the rest
        past = cut(store, index, np.maximum(lengths - _back(model), 0), lengths)
        ahead = _Blocks(model, list(columns), past, None if futr is None else futr[some], None if hist is None else hist[some])
        if parts > 1:
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
        h, count = self.model.h, self.store.n_series
        store, found = self.store, []
        for block in range(blocks):
            copies = 1 if block == 0 else paths
            futr = None if self.futr is None else np.repeat(self.futr[:, block * h:(block + 1) * h], copies, axis=0)
            own = tuple(dict.fromkeys((*self.asked, *(self.grid if paths > 1 and (block or blocks > 1) else ()))))
            others, quantiles = read(self.model, own, store, futr)
            grid = quantiles[..., [own.index(q) for q in self.grid]] if paths > 1 and blocks > 1 else quantiles
            if block == 0:
                found.append(self._first(others, quantiles, own))
            else:
                found.append(self._mixed(others.reshape(count, copies, h, -1), grid.reshape(count, copies, h, -1), block))
            if block + 1 < blocks:
                values = others[..., 0] if paths == 1 else self._drawn(grid, block, paths)
                if block == 0 and paths > 1:
                    store = cut(store, np.repeat(np.arange(count), paths), np.zeros(count * paths, np.int64),
                                np.repeat(store.lengths, paths))
                store = self._with(store, values, block, paths)
        return np.concatenate(found, axis=1)

    def _first(self, others: np.ndarray, quantiles: np.ndarray, own: tuple[float, ...]) -> np.ndarray:
        return np.stack([quantiles[..., own.index(what)] if isinstance(what, float) else others[..., what]
                         for _, what in self.columns], axis=-1)

    def _mixed(self, others: np.ndarray, grid: np.ndarray, block: int) -> np.ndarray:
        """[S, N, h, *] of each path -> [S, h, columns] of all."""
        if grid.shape[-1] == 0:  # one path
            return others[:, 0]
        count, paths, h = grid.shape[:3]
        out = np.empty((count, h, len(self.columns)))
        for s in range(count):
            shift = self._generator(s, block, "mix").random((paths, 1, 1))
            places = (np.arange(PARTS) + shift) / PARTS  # of each path one value from each part of its distribution
            values = self._values(grid[s], normal_quantile(np.broadcast_to(places, (paths, h, PARTS))))
            pool = np.quantile(values.transpose(1, 0, 2).reshape(h, -1), self.asked, axis=1) if self.asked else None
            k = 0
            for c, what in enumerate(self.later):
                if isinstance(what, float):
                    assert pool is not None
                    out[s, :, c], k = pool[k], k + 1
                else:
                    out[s, :, c] = others[s, :, :, what].mean(axis=0)
        return out

    def _drawn(self, grid: np.ndarray, block: int, paths: int) -> np.ndarray:
        """Paths of a block [S * N, h], from its quantiles, [S, h, Q] of the first block and [S * N, h, Q] of later ones."""
        h = self.model.h
        noise = np.stack([self._generator(s, block, "path").standard_normal((paths, h)) for s in range(self.store.n_series)])
        scores = np.empty_like(noise)
        scores[..., 0] = noise[..., 0]
        rho = self.rho[:, None]
        for t in range(1, h):
            scores[..., t] = rho * scores[..., t - 1] + np.sqrt(1 - rho * rho) * noise[..., t]
        grid = np.repeat(grid, paths, axis=0) if block == 0 else grid
        return self._values(grid, scores.reshape(-1, h, 1))[..., 0]

    def _values(self, grid: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """`at_scores`, not beyond what the loss gives any probability."""
        values = at_scores(self.grid, grid, scores)
        family = getattr(self.model.loss, "family", None)
        if family is None:
            return values if kind(self.model) != "weighted" else np.clip(values, grid[..., :1], grid[..., -1:])
        return np.clip(values, *getattr(family, "COMPONENT", family).SUPPORT[:2])

    def _generator(self, s: int, block: int, use: str) -> np.random.Generator:
        name = f"{use} {block} {self.store.ids[s]}".encode()
        return random.generator_at(self.model.random_seed & 0xFFFFFFFFFFFFFFFF, (1 << 63) | zlib.crc32(name))

    def _with(self, store: SeriesStore, values: np.ndarray, block: int, paths: int) -> SeriesStore:
        h = self.model.h
        futr = None if self.futr is None else np.repeat(self.futr[:, block * h:(block + 1) * h], paths, axis=0)
        hist = None if self.hist is None else np.repeat(self.hist[:, block * h:(block + 1) * h], paths, axis=0)
        store = appended(store, values, futr, hist)
        first = np.maximum(store.lengths - _back(self.model), 0)
        return cut(store, np.arange(store.n_series), first, store.lengths)


def at_scores(quantiles: tuple[float, ...], values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """values [..., Q] at ascending quantiles, read at normal scores [..., n]: linear between, the outermost slopes beyond."""
    at = normal_quantile(np.asarray(quantiles))
    if len(at) == 1:
        return np.broadcast_to(values, scores.shape)
    values = np.sort(values, axis=-1)
    right = np.clip(np.searchsorted(at, scores), 1, len(at) - 1)
    low, high = (np.take_along_axis(values, i, axis=-1) for i in (right - 1, right))
    found: np.ndarray = low + (high - low) * ((scores - at[right - 1]) / (at[right] - at[right - 1]))
    return found


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
        scores = _scores(quantiles, values, store.y[rows].astype(np.float64))
        scores[~store.mask[rows]] = 0.0
        both = store.mask[rows][:, 1:] & store.mask[rows][:, :-1]
        product[some] += (scores[:, 1:] * scores[:, :-1]).sum(axis=1)
        square[some] += (0.5 * (scores[:, 1:] ** 2 + scores[:, :-1] ** 2) * both).sum(axis=1)
    return np.clip(product / square, 0.0, 0.99)


def _scores(quantiles: tuple[float, ...], values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Normal scores of y [S, h] in distributions given by quantiles [S, h, Q], between -3 and 3."""
    at = normal_quantile(np.asarray(quantiles))
    values = np.sort(values, axis=-1)
    right = np.clip((values < y[..., None]).sum(axis=-1, keepdims=True), 1, len(at) - 1)
    low, high = (np.take_along_axis(values, i, axis=-1)[..., 0] for i in (right - 1, right))
    right = right[..., 0]
    width = np.where(high > low, high - low, np.inf)  # a value beside equal quantiles is at the lower of them
    return np.clip(at[right - 1] + (y - low) / width * (at[right] - at[right - 1]), -3.0, 3.0)


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

