"""Seeds. ndiv draws from counters of its own; NumPy's global generator is never touched.

Contract: the state is (key, stream), per thread. Every random op takes the next stream; the same key and stream give
the same numbers on every backend, so a run is repeated by repeating the state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import TraceBreak

__all__ = ["draw", "fork", "generator", "generator_at", "get_state", "manual_seed", "next_stream", "set_state"]


class _State(threading.local):
    key = 0
    stream = 0
    traced = False  # a function is being traced for compilation: numbers may only come from ops
    draw: Any = None  # what `draw` does meanwhile


_state = _State()


def manual_seed(seed: int) -> None:
    """Seed ndiv's random numbers in this thread (initial weights, dropout, sampling).

    >>> import ndiv, numpy as np
    >>> ndiv.manual_seed(1); a = ndiv.nn.Linear(2, 2).weight.numpy().copy()
    >>> ndiv.manual_seed(1); bool((a == ndiv.nn.Linear(2, 2).weight.numpy()).all())
    True
    """
    set_state((int(seed) & 0xFFFFFFFFFFFFFFFF, 0))


def get_state() -> tuple[int, int]:
    """(key, stream) of this thread."""
    return _state.key, _state.stream


def set_state(state: tuple[int, int]) -> None:
    """Put back what `get_state` gave."""
    _state.key, _state.stream = state


def next_stream() -> tuple[int, int]:
    """(key, stream) for one random op; advances the stream."""
    stream = _state.stream
    _state.stream = stream + 1
    return _state.key, stream


def generator() -> np.random.Generator:
    """A NumPy generator on the next stream; `TraceBreak` (E0012) in a function that is being compiled."""
    if _state.traced:
        raise TraceBreak("a function that is being compiled draws from a NumPy generator",
                         hint="its numbers would be the same in every call; use ndiv.dropout, or pass them in")
    return generator_at(*next_stream())


def generator_at(key: int, stream: int) -> np.random.Generator:
    """The NumPy generator of a stream."""
    return np.random.Generator(np.random.Philox(key=np.array([key, stream], dtype=np.uint64)))


def draw(function: Callable[[np.random.Generator], np.ndarray]) -> Any:
    """function(generator) on the next stream, for numbers that no op draws.

    In a function that is being compiled they are an input of the plan, drawn anew before each run; ``function`` may depend on
    nothing that a call brings.

    >>> with fork(0):
    ...     draw(lambda rng: rng.beta(2.0, 2.0, (2, 3))).shape
    (2, 3)
    """
    return function(generator()) if _state.draw is None else _state.draw(function)


def is_traced() -> bool:
    """Whether this thread is inside `traced`."""
    return _state.traced


@contextmanager
def traced(drawn: Callable[..., Any] | None = None) -> Iterator[None]:
    """Inside, streams count from 0 of key 0, and only ops may draw, and `draw` by ``drawn`` (see `ndiv.program.trace`)."""
    with fork(0):
        _state.traced, _state.draw = True, drawn
        try:
            yield
        finally:
            _state.traced, _state.draw = False, None


@contextmanager
def fork(seed: int, stream: int = 0) -> Iterator[None]:
    """A state of its own inside; the state outside is put back."""
    before = get_state()
    set_state((int(seed) & 0xFFFFFFFFFFFFFFFF, stream))
    try:
        yield
    finally:
        set_state(before)
