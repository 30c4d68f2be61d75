"""How a forecast is read off a model whose decoder feeds itself back: greedy, by paths that are drawn, by beam search.

Contract: a subclass has ``decoder`` (`AttentionDecoder`), ``decoding``, ``beam_width``, ``codebook`` and defines
`_read(scaled batch)`, what its decoder begins with. Greedy decoding is the model's forward; the other two take the
steps of many paths of each window side by side (`Walk`). A window's paths and beams do not depend on which others are
in the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import random
from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ..arguments import check_count
from ..base import Batch, last_observed
from ..probabilistic.paths import PathModel, in_parts, resting
from ..recurrent.steps import StepwiseModel
from . import beam

_transpose = FUNCTIONS["transpose"]
_FEW = 5  # rows from which on a step of a recurrent layer has the same bits in any batch (ndiv.program.ops.recurrent)
Array = np.ndarray


class Reading(NamedTuple):
    """What the decoder begins with.

    prepared  the memory as the attention takes it; allowed [B, L]: its steps that count, None: all
    state     (h, c) [layers, B, H]
    last      the window's last value [B, 1, 1], as the decoder reads it
    ahead     known covariates of the horizon [B, h, *], None without
    """

    prepared: tuple[Any, ...]
    allowed: Any
    state: tuple[Any, Any]
    last: Any
    ahead: Any


class Walk:
    """``width`` paths of each window of a batch, taken one step of the decoder at a time.

    y     what the next step reads, [B, width], in the units of the network
    level the last observed value of each window, [B, 1], and its loc and scale [B, 1, 1], in the units of the data
    """

    def __init__(self, model: DecodingModel, batch: Batch, width: int) -> None:
        self.model, self.width = model, width
        last, ahead, h, c, loc, scale, allowed, *memory = model._by_rows("_encoded", batch)
        self.windows = len(last)
        self.y = np.repeat(last[:, :, 0], width, axis=1)
        y, mask = np.asarray(batch["insample_y"]), batch.get("insample_mask")
        self.level = last_observed(y if mask is None else np.where(mask != 0, y, np.zeros((), y.dtype)), mask)[:, :, 0]
        self.ahead, self.loc, self.scale = ahead, loc, scale
        self.memory = {f"memory{i}": m for i, m in enumerate(memory)}
        if allowed is not None:
            self.memory["allowed"] = allowed
        self.h, self.c = (np.repeat(v, width, axis=0) for v in (h, c))  # [B * width, layers, H]
        self.steps = 0

    def step(self) -> tuple[Array, tuple[Array, ...]]:
        """(numbers [B, width, outputs], the distributions' parameters [B, width, 1, ...]) of the next value of each path."""
        rows = self.windows * self.width
        x = self.y.reshape(rows, 1, 1)
        if self.ahead is not None:
            known = np.repeat(self.ahead[:, self.steps:self.steps + 1], self.width, axis=0)
            x = np.concatenate([x, known], axis=2)
        numbers, self.h, self.c = self.model._by_rows("_cell", {"x": x, "h": self.h, "c": self.c, **self.memory})
        self.steps += 1
        numbers = numbers.reshape(self.windows, self.width, -1)
        loss: Any = self.model.loss
        return numbers, tuple(loss.scale_decouple(loss.domain_map(numbers), self.loc, self.scale))

    def go(self, values: Array, parents: Array | None = None) -> None:
        """On to the next step with these values [B, width] in the units of the data; parents [B, width]: the paths that they
        go on from, None: each from its own."""
        if parents is not None:
            at = (np.arange(self.windows)[:, None] * self.width + parents).reshape(-1)
            self.h, self.c = self.h[at], self.c[at]
        self.y = self.model.entered(values[..., None], self.loc, self.scale)[..., 0]


class DecodingModel(PathModel, StepwiseModel):
    """Base of models with three ways of decoding; see the top of this file."""

    decoder: Any
    decoding: str
    beam_width: int
    codebook: Array

    def _read(self, batch: Batch) -> Reading:
        """What the decoder begins with, of a scaled batch."""
        raise NotImplementedError

    @property
    def sampled(self) -> bool:
        return self.decoding == "sample"

    # -- steps of many paths -----------------------------------------------------------------------------------------

    def _by_rows(self, name: str, batch: Batch) -> Any:
        """A method's results by a plan, all with rows as their first axis. Fewer rows than `_FEW` are taken several times."""
        rows = len(next(iter(batch.values())))
        times = -(-_FEW // rows)
        if times == 1:
            return self._planned(name, batch, 0)
        found = self._planned(name, {k: np.concatenate([v] * times) for k, v in batch.items()}, 0)
        return tuple(None if v is None else v[:len(v) // times] for v in found)

    def _encoded(self, batch: Batch) -> tuple[Any, ...]:
        """(last, ahead, h, c, loc, scale, allowed, *prepared) of windows; states are [B, layers, H]."""
        scaled, loc, scale = self.scale(batch)
        read = self._read(scaled)
        if loc is None:
            loc, scale = read.last * 0.0, read.last * 0.0 + 1.0
        h, c = (_transpose(v, 0, 1) for v in read.state)
        return (read.last, read.ahead, h, c, loc, scale, read.allowed, *read.prepared)

    def _cell(self, batch: Batch) -> tuple[Any, ...]:
        """(numbers [N, 1, outputs], h, c) one step on, for x [N, 1, *], states [N, layers, H] and the memory of B windows."""
        prepared = tuple(batch[k] for k in sorted(k for k in batch if k.startswith("memory")))
        state = (_transpose(batch["h"], 0, 1), _transpose(batch["c"], 0, 1))
        numbers, (h, c) = self.decoder(batch["x"], state, prepared, batch.get("allowed"))
        return (self._unaffine(numbers), _transpose(h, 0, 1), _transpose(c, 0, 1))

    # -- paths and beams -----------------------------------------------------------------------------------------------

    def _some_paths(self, batch: Batch, n: int, seed: int, streams: list[int]) -> Array:
        walk = Walk(self, batch, n)
        found = np.empty((walk.windows, n, self.h), walk.y.dtype)
        for s in range(self.h):
            found[:, :, s] = self.drawn(walk.step()[1], seed, [first + s for first in streams])
            walk.go(found[:, :, s])
        return found

    def beams(self, batch: Batch, beam_width: int | None = None) -> tuple[Array, Array]:
        """(paths [B, beam_width, h] in the units of the data, their log-likelihoods [B, beam_width]), the best first.

        batch as for `forecast`; beam_width is the model's where it is not given. What is searched is defined in
        `ndiv.models.sequence.beam`. Where there are fewer different paths than beams, the rest has log-likelihood minus
        infinity and values NaN.

        Raises `ConfigError` (E0010) where the loss is no distribution, or beam_width no number from 1 to that of the
        increments.

        >>> import ndiv, numpy as np
        >>> m = ndiv.models.LSTMAttention(h=3, input_size=8, lstm_hidden_size=8, loss=ndiv.losses.DistributionLoss("Normal"))
        >>> paths, likelihood = m.beams({"insample_y": np.arange(16, dtype=np.float32).reshape(2, 8, 1)}, beam_width=4)
        >>> paths.shape, bool((np.diff(likelihood) <= 0).all())
        ((2, 4, 3), True)
        """
        width = self.beam_width if beam_width is None else beam_width
        self._searchable(width)
        with resting(self):
            parts = [self._search(part, width) for _, part in in_parts(batch, width)]
        paths, scores = (np.concatenate(v) for v in zip(*[(p, s) for p, _, s, _ in parts], strict=True))
        return np.where(np.isfinite(scores)[..., None], paths, np.nan).astype(paths.dtype), scores

    def _searchable(self, width: Any) -> None:
        name = type(self).__name__
        check_count(name, beam_width=width)
        if width > len(self.codebook):
            raise ConfigError(f"{name}: beam_width={width} is more than the {len(self.codebook)} increments", value=width,
                              hint=f"give at most {len(self.codebook)}, or more increments")
        if not self.loss.is_distribution_output:
            raise ConfigError(f"{name}: {self.loss!r} is no distribution, so paths have no likelihood", value=self.loss,
                              hint="give loss=DistributionLoss('StudentT')")

    def _search(self, batch: Batch, width: int) -> tuple[Array, Array, Array, Walk]:
        """(paths [B, W, h], the numbers [B, h, outputs] that the best path was chosen by, scores [B, W], the walk)."""
        loss: Any = self.loss
        support = getattr(loss.family, "COMPONENT", loss.family).SUPPORT
        walk = Walk(self, batch, width)
        sigma = beam.spread(np.asarray(batch["insample_y"]), batch.get("insample_mask"))
        values = np.repeat(walk.level, width, axis=1)
        scores = np.where(np.arange(width) == 0, 0.0, -np.inf) * np.ones((walk.windows, 1))  # one beam to begin with
        history: list[tuple[Array, Array, Array]] = []
        for _ in range(self.h):
            numbers, params = walk.step()
            distribution = loss.distribution(params)
            options, repeated = beam.candidates(values, sigma, self.codebook, support, distribution.discrete)
            each = np.asarray(distribution.log_prob(options), np.float64)
            scores, parents, values = beam.best(np.where(repeated, -np.inf, scores[..., None] + each), options)
            history.append((parents, values, numbers))
            walk.go(values, parents)
        return (*_followed_back(history), scores, walk)

    def _forecast(self, batch: Batch, after: int) -> Array:
        """[B, h, n, columns]. Of beam search: the best path, and beside it what the distribution of each step gives after the
        values of that path before it."""
        if self.decoding != "beam" or random.is_traced():
            return super()._forecast(batch, after)
        loss: Any = self.loss
        found = []
        with resting(self):
            for _, part in in_parts(batch, self.beam_width):
                paths, numbers, _, walk = self._search(part, self.beam_width)
                columns = loss.forecast(numbers, walk.loc, walk.scale)
                columns[:, :, 0, 0] = paths[:, 0]
                found.append(columns)
        return np.concatenate(found)


def _followed_back(history: list[tuple[Array, Array, Array]]) -> tuple[Array, Array]:
    """(paths [B, W, h], numbers [B, h, outputs] before each value of the best) from (parents, values, numbers) of each step."""
    b, width = history[-1][0].shape
    rows, at = np.arange(b)[:, None], np.tile(np.arange(width), (b, 1))
    paths, seen = [], []
    for parents, values, numbers in reversed(history):
        paths.append(values[rows, at])
        at = parents[rows, at]
        seen.append(numbers[rows[:, 0], at[:, 0]])
    return np.stack(paths[::-1], axis=-1), np.stack(seen[::-1], axis=1)
