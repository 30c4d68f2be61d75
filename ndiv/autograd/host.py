"""Python in the midst of ops: values that are made from others outside of the tape, such as the tokens of a text about them.

Contract: `host` passes no gradient. Run op by op it is a call. In a function that is being compiled its results are inputs of
the plan: before each run what they are made from is worked out op by op, and the function is called on that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .tensor import Tensor

__all__ = ["host", "hosted_by"]


class _State(threading.local):
    on_host: Any = None  # what `host` does while a function is traced for compilation


_state = _State()


def host(function: Callable[..., Any], *inputs: Any) -> tuple[Any, ...]:
    """function(*arrays), which returns a tuple of arrays, on the values of ``inputs`` (Tensors or arrays).

    Shapes and types of the results may follow from those of the inputs alone, and the function may not change what it is
    given. Random numbers may not be among what the inputs are made of: TraceBreak (E0012) in a function that is compiled.

    >>> import ndiv, numpy as np
    >>> def signs(x):
    ...     return (np.array([len(f"{v:+.0f}") for v in x.tolist()]),)
    >>> f = ndiv.compile(lambda x: x * host(signs, x * 10)[0])
    >>> f(np.array([1.0, 0.5], np.float32)).tolist(), f(np.array([0.125, 100], np.float32)).tolist()
    ([3.0, 1.0], [0.25, 500.0])
    """
    if _state.on_host is not None:
        found: tuple[Any, ...] = _state.on_host(function, inputs)
        return found
    return tuple(function(*[x.data if isinstance(x, Tensor) else x for x in inputs]))


@contextmanager
def hosted_by(instead: Callable[..., Any]) -> Iterator[None]:
    """Inside, in this thread, `host` is ``instead(function, inputs)``."""
    before = _state.on_host
    _state.on_host = instead
    try:
        yield
    finally:
        _state.on_host = before
