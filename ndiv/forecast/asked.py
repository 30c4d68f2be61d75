"""What ``level=`` and ``quantiles=`` ask for.

Contract: `ask` checks both and gives the quantiles in ascending order with neuralforecast's column suffixes: level=[80, 90] is
``-lo-90 -lo-80 -hi-80 -hi-90``, quantiles=[0.1] is ``_ql0.1``. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.errors import ConfigError

from .telling import tell

__all__ = ["Asked", "ask"]


@dataclass(frozen=True)
class Asked:
    """``quantiles`` in ascending order with the ``suffixes`` of their columns; ``central``: they are the bounds of central
    intervals, the first with the last, the second with the last but one, and so on."""

    quantiles: tuple[float, ...]
    suffixes: tuple[str, ...]
    central: bool


def ask(level: Any = None, quantiles: Any = None) -> Asked | None:
    """What was asked for; None where it is nothing.

    Raises `ConfigError` (E0010) for both at once, an empty list, a level outside (0, 100), a quantile outside (0, 1). Warns of
    what is given twice, and keeps one.

    >>> ask([80, 90]).suffixes
    ('-lo-90', '-lo-80', '-hi-80', '-hi-90')
    >>> ask(quantiles=[0.9, 0.1])
    Asked(quantiles=(0.1, 0.9), suffixes=('_ql0.1', '_ql0.9'), central=False)
    """
    if level is None and quantiles is None:
        return None
    if level is not None and quantiles is not None:
        raise ConfigError("level and quantiles are both given", value=(level, quantiles),
                          hint="level=[80] is quantiles=[0.1, 0.9] under other column names; pass one of them.")
    if level is not None:
        levels = _numbers("level", level, 100)
        bounds = [(_rounded((50 - v / 2) / 100), f"-lo-{_text(v)}") for v in reversed(levels)]
        bounds += [(_rounded((50 + v / 2) / 100), f"-hi-{_text(v)}") for v in levels]
        return Asked(tuple(q for q, _ in bounds), tuple(name for _, name in bounds), True)
    found = _numbers("quantiles", quantiles, 1)
    return Asked(tuple(float(q) for q in found), tuple(f"_ql{_text(q)}" for q in found), False)


def _numbers(name: str, values: Any, below: int) -> list[Any]:
    """Ascending, each once."""
    several = isinstance(values, (Sequence, np.ndarray, set, frozenset)) and not isinstance(values, str)
    given = list(values) if several else [values]
    if not given:
        raise ConfigError(f"{name} is empty", value=values,
                          hint="Pass for example " + ("level=[80, 90]." if below > 1 else "quantiles=[0.5]."))
    for v in given:
        if isinstance(v, (bool, np.bool_)) or not isinstance(v, (int, float, np.number)) or not 0 < v < below:
            raise ConfigError(f"{name} must be numbers between 0 and {below}, got {v!r}", value=v,
                              hint="90 is the central 90 % interval." if below > 1 else "0.5 is the median.")
    found = sorted(set(given))
    if len(found) < len(given):
        twice = next(v for v in found if given.count(v) > 1)
        tell(f"{name} holds {twice} more than once; it is answered once")
    return found


def _text(v: Any) -> str:
    """A number as neuralforecast writes it into a column's name: 80.0 is 80."""
    return f"{float(v):.10g}"


def _rounded(q: float) -> float:
    return round(q, 12)  # (50 - 95 / 2) / 100 shall be 0.025
