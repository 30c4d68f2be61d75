"""How much each row counts in training: a column of weights, or weights that fall with age.

Contract: weights are finite, none is negative and not all are 0, or `DataError` (E0011) names the first culprits. A window
weighs the mean of the weights of its targets, as in neuralforecast (targets after the end of a series left out, so that equal
weights are no weights); see `ndiv.data.gather`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, DataError

from .store import SeriesStore

__all__ = ["WEIGHT_COLUMN", "check_weights", "decaying", "is_decay", "with_decay"]

WEIGHT_COLUMN = "sample_weight"  # used without being asked for, as in neuralforecast


def is_decay(weight: Any) -> bool:
    """Whether ``sample_weight`` is a rule, not the name of a column."""
    return isinstance(weight, str) and (weight == "linear" or weight.startswith("exponential:"))


def with_decay(store: SeriesStore, rule: str) -> SeriesStore:
    """The store with weights that fall with the age of a row, counted back from the end of its series.

    "linear": 1 for the last row, falling to 1 / n for the first one of the longest series, of n rows. "exponential:0.99":
    0.99 to the power of the age. Raises `ConfigError` (E0010) for another rule.

    >>> with_decay(SeriesStore.from_arrays_list([[5, 5, 5, 5], [5, 5]]), "linear").weight.tolist()
    [0.25, 0.5, 0.75, 1.0, 0.75, 1.0]
    """
    return replace(store, weight=decaying(rule, store.lengths))


def decaying(rule: str, lengths: np.ndarray) -> np.ndarray:
    """The weights of `with_decay` for series of these lengths, float32 [T]."""
    ends = np.cumsum(lengths)
    age = np.repeat(ends, lengths) - 1 - np.arange(ends[-1])
    if rule == "linear":
        return (1.0 - age / lengths.max()).astype(np.float32)
    try:
        base = float(rule.removeprefix("exponential:"))
    except ValueError:
        base = math.nan
    if not 0.0 < base <= 1.0:
        raise ConfigError(f"sample_weight={rule!r} is no rule", value=rule,
                          hint="Give 'linear', 'exponential:0.99' (a number above 0 and up to 1), or the name of a column.")
    return np.power(base, age.astype(np.float64)).astype(np.float32)


def check_weights(values: np.ndarray, what: str) -> None:
    """Refuse weights [T] that are all 0; the others are refused row by row."""
    if not (values > 0).any():
        raise DataError(f"{what} is 0 in all {len(values)} rows, so that nothing would be learned", value=0,
                        hint="Give some rows a positive weight, or leave the weights out.")
