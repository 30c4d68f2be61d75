"""Prompts about windows, as tokens: the data set, the task, and statistics of the window (Jin et al. 2024, section 3.3).

Contract: `Prompts.tokens` is Python between ops (see `ndiv.autograd.host`). The shapes of the arrays that it returns depend on
the number of windows alone: a prompt takes ``room`` tokens at most and loses its beginning beyond that. Each text is encoded
once. `statistics` and `texts` say what a prompt holds, `wide` what the longest ones look like. Copies of a model share it.

A sequence is the prompt, the patches right behind it, and what is left of the room at the end, so that positions, and with them
hidden states, are those without any room to spare.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...errors import ConfigError
from .borrowed import Borrowed

__all__ = ["Prompts", "Statistics", "statistics"]

_KEPT = 1 << 16  # texts whose tokens are kept
_TRIED = 64  # long prompts that the room is measured by
_SPARE = 4  # tokens more than the longest of them


class Statistics(NamedTuple):
    """Of each of B windows: [B] each, lags [B, k]."""

    lowest: np.ndarray
    highest: np.ndarray
    median: np.ndarray
    rises: np.ndarray
    lags: np.ndarray


def statistics(y: np.ndarray, mask: np.ndarray | None, top_k: int, compat: bool) -> Statistics:
    """What a prompt tells of windows y [B, L]; mask [B, L] is 0 where a value is missing (0 in y), or None.

    The lags are those of the highest autocorrelation, by its Fourier transform (Wiener-Khinchin), highest first, the smaller
    first among equals. Correlation is circular, so that a lag l and L - l have the same: 1 to L / 2 are considered.

    compat: missing values count as zeros. The median of an even number of values is the lower of the two in the middle. Lags 0
    to L - 1 (L - 2 for an odd L, whose transform back is one shorter) are considered, so that 0 is always the first.

    >>> y = np.array([[0.0, 2, 0, -2, 0, 2, 0, -1]])
    >>> s = statistics(y, None, 2, False)
    >>> s.lowest.tolist(), s.median.tolist(), s.rises.tolist(), s.lags.tolist(), statistics(y, None, 2, True).lags.tolist()
    ([-2.0], [0.0], [False], [[4, 1]], [[0, 4]])
    """
    b, length = y.shape
    if compat:
        spectrum = np.abs(np.fft.rfft(y.astype(np.float64), axis=1)) ** 2
        correlation = np.fft.irfft(spectrum, axis=1)
        middle = np.sort(y, axis=1)[:, (length - 1) // 2]
        return Statistics(y.min(axis=1), y.max(axis=1), middle, np.diff(y, axis=1).sum(axis=1) > 0,
                          _highest(correlation, correlation, top_k))
    wide = np.ascontiguousarray(y, np.float64)
    seen: np.ndarray = np.ones(y.shape, bool) if mask is None else np.asarray(mask > 0)
    some: np.ndarray = np.asarray(seen.any(axis=1, keepdims=True))
    seen = np.where(some, seen, True)  # a window without any value is one of zeros
    found = np.sort(np.where(seen, wide, np.inf), axis=1)
    count = seen.sum(axis=1)
    rows = np.arange(b)
    median = (found[rows, (count - 1) // 2] + found[rows, count // 2]) / 2
    first, last = wide[rows, seen.argmax(axis=1)], wide[rows, length - 1 - seen[:, ::-1].argmax(axis=1)]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(np.where(seen, wide, 0.0), axis=1)) ** 2, n=length, axis=1)
    lags = _highest(correlation[:, 1:length // 2 + 1], correlation, top_k) + 1
    return Statistics(found[:, 0], found[rows, count - 1], median, last > first, lags)


def _highest(values: np.ndarray, whole: np.ndarray, k: int) -> np.ndarray:
    """[B, at most k]: where the highest values of each row are; those within rounding of the whole count as equal."""
    scale = np.maximum(whole.max(axis=1, keepdims=True, initial=0.0), np.finfo(np.float64).tiny)
    return np.argsort(-np.round(values / scale, 6), axis=1, kind="stable")[:, :k]


class Prompts:
    """Tokens of prompts, and where they and the patches stand in the sequences of a backbone.

    llm        the `Borrowed` backbone
    h, length  steps to forecast, and of a window
    patches    P, patches of a window
    context    what is said of the data set, or None
    top_k      lags that are named
    room       tokens of the longest prompt; None: as many as it may need
    compat     in neuralforecast's words, all numbers with all digits, and padding between a prompt and its patches up to the
               longest prompt of the batch, as a part of the text

    ConfigError (E0010) where the backbone has too few positions.
    """

    def __init__(self, llm: Borrowed, h: int, length: int, patches: int, context: str | None, top_k: int, room: int | None,
                 compat: bool) -> None:
        self.llm, self.h, self.length, self.patches = llm, h, length, patches
        self.context, self.top_k, self.compat = context, top_k, compat
        self.kept: dict[str, np.ndarray] = {}  # tokens by text
        self.pad = 0
        if room is None:
            room = max(map(len, self.encoded(self.wide()))) + _SPARE
        self.room = room
        most = llm.backbone.max_positions
        if room + patches > most:
            raise ConfigError(f"prompts of {room} tokens and {patches} patches are more than the {most} positions of llm",
                              value=room + patches,
                              hint="give a shorter prompt_prefix, fewer prompt_tokens, or a longer stride")
        if compat and room:
            ids, mask = llm.backbone.encode(["a", "a, b, c, d, e, f"])
            self.pad = int(ids[mask == 0][0])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Prompts:
        return self

    def text(self, s: Statistics, i: int) -> str:
        """The prompt of window i."""
        trend = "upward" if s.rises[i] else "downward"
        if self.compat:  # neuralforecast's text to the letter, since forecasts depend on each
            return (f"<|start_prompt|>{self.context}Task description: forecast the next {self.h} steps given the previous "
                    f"{self.length} steps information; Input statistics: min value {float(s.lowest[i])}, max value "
                    f"{float(s.highest[i])}, median value {float(s.median[i])}, the trend of input is {trend}, "
                    f"top 5 lags are : {s.lags[i].tolist()}<|<end_prompt>|>")
        context = f"Data: {self.context} " if self.context else ""
        lags = ", ".join(map(str, s.lags[i].tolist()))
        return (f"{context}Task: forecast the next {self.h} steps given the previous {self.length} steps. Input: minimum "
                f"{_short(s.lowest[i])}, maximum {_short(s.highest[i])}, median {_short(s.median[i])}, trend {trend}, "
                f"top lags {lags}.")

    def wide(self) -> list[str]:
        """Some of the longest prompts that there may be."""
        rng = np.random.Generator(np.random.Philox(0))
        size = max(2, math.ceil(math.sqrt(self.length)))  # no value lies further from the mean, in standard deviations
        numbers = -rng.uniform(0.01, 0.1, (3, _TRIED)) if self.compat else -rng.uniform(size / 2, size, (3, _TRIED))
        top = max(self.length - 1, 1)
        lags = rng.integers(max(top // 2, 1), top + 1, (_TRIED, self.top_k))
        made = Statistics(numbers[0], numbers[1], numbers[2], np.arange(_TRIED) % 2 == 0, lags)
        return [self.text(made, i) for i in range(_TRIED)]

    def encoded(self, texts: list[str]) -> list[np.ndarray]:
        """Tokens of texts, each encoded once."""
        found = {t: self.kept.get(t) for t in texts}
        new = [t for t, row in found.items() if row is None]
        if new:
            ids, mask = self.llm.backbone.encode(new)
            fresh = {t: row[:n] for t, row, n in zip(new, ids, mask.sum(axis=1).astype(int), strict=True)}
            found.update(fresh)
            self.kept = {**self.kept, **fresh} if len(self.kept) + len(fresh) <= _KEPT else fresh
        return [found[t] for t in texts]  # type: ignore[misc]

    def texts(self, y: np.ndarray, mask: np.ndarray | None = None) -> list[str]:
        """The prompts of windows y [B, L, 1], normalized, with their mask."""
        b = len(y)
        s = statistics(y.reshape(b, -1), None if mask is None else mask.reshape(b, -1), self.top_k, self.compat)
        return [self.text(s, i) for i in range(b)]

    def tokens(self, y: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """For windows y [B, L, 1] and their mask: (ids, order, places, seen), of S = room + P positions.

        ids     [B, room] int64: the prompts, padded at their end
        order   [B, S] int64: which row of all prompts and patches, [B * S], stands at a position
        places  [B, P] int64: at which of all positions, [B * S], the patches stand
        seen    [B, S] float32: 0 where nothing but what is left of the room stands
        """
        b, t, p = len(y), self.room, self.patches
        rows = [r[-t:] for r in self.encoded(self.texts(y, mask))]
        ids, n = np.full((b, t), self.pad, np.int64), np.array([[len(r)] for r in rows], np.int64)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = row
        if self.compat:
            n = np.full_like(n, n.max(initial=0))
        at, first = np.arange(t + p), np.arange(b)[:, None] * (t + p)
        order = np.where(at < n, at, np.where(at < n + p, t + at - n, at - p))
        return ids, order + first, n + np.arange(p) + first, (at < n + p).astype(np.float32)


def _short(value: Any) -> str:
    """Two digits, which is a hundredth of the window's standard deviation; no minus before a zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"
