"""Values of categories, and the codes that stand for them in the float arrays of a store.

Contract: a category is text, a whole number or a boolean. A vocabulary is a list of such values; code k stands for its k-th
value, counted from 1, and code 0 for a value that is missing. `distinct` takes a column apart, `ordered` sorts values so
that a vocabulary depends on neither the order of rows nor that of a frame's categories.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ndiv.errors import DataError

from ._extras import need

__all__ = ["codes_of", "distinct", "ordered", "whole_numbers"]

MOST = 1 << 24  # categories: float32 holds each code up to here
_HINT = ("a category is text, a whole number or a boolean: convert the column to text, put its values into bins, or leave it "
         "out of cat_exog_list")


def distinct(raw: np.ndarray, what: str) -> tuple[np.ndarray, list[Any]]:
    """(places int64 [T], values): row i holds ``values[places[i]]``, -1 where it is missing. ``what`` names the column.

    raw: [T] numbers or objects. Values are Python's: str, bool, int (a float that is whole counts as one). Raises `DataError`
    (E0011) for other values, with the first row that holds one.

    >>> distinct(np.array(["b", "a", None, "b"], object), "kind")
    (array([ 0,  1, -1,  0]), ['b', 'a'])
    """
    places, found = need("pandas").factorize(raw)
    values = [_plain(v) for v in np.asarray(found).tolist()]
    for k, value in enumerate(values):
        if value is None:
            rows, bad = np.flatnonzero(places == k), np.asarray(found).tolist()[k]
            raise DataError(f"{what} holds {bad!r}, which is no category, in row {rows[0]}", value=bad, rows=rows[:3].tolist(),
                            hint=_HINT)
    texts = [isinstance(v, str) for v in values]
    if any(texts) and not all(texts):
        some = [values[texts.index(True)], values[texts.index(False)]]
        raise DataError(f"{what} mixes text and numbers, such as {some[0]!r} and {some[1]!r}", value=some,
                        hint="convert the column to text")
    return np.asarray(places, np.int64), values


def _plain(value: Any) -> Any:
    """A category as Python's type, or None for what is none."""
    if isinstance(value, (str, bool, int)):
        return str(value) if isinstance(value, str) else value
    try:
        return int(value) if np.isfinite(value) and value == int(value) else None
    except (TypeError, ValueError):
        return None


def ordered(values: Iterable[Any], what: str) -> list[Any]:
    """Different values in rising order; text after numbers. `DataError` (E0011) for more than codes can tell apart.

    >>> ordered(["b", "a", "b"], "kind"), ordered([10, 9, True], "day")
    (['a', 'b'], [True, 9, 10])
    """
    found = sorted(set(values), key=lambda v: (isinstance(v, str), v))
    if len(found) >= MOST:
        raise DataError(f"{what} has {len(found)} different values", value=len(found),
                        hint="that many are no categories: group them, or leave the column out of cat_exog_list")
    return found


def codes_of(places: np.ndarray, values: Sequence[Any], vocabulary: list[Any]) -> np.ndarray:
    """float32 codes [T] of what `distinct` gave; values that ``vocabulary`` does not hold are appended to it.

    >>> words = ["a", "b"]
    >>> codes_of(np.array([1, 0, -1]), ["c", "b"], words).tolist(), words
    ([2.0, 3.0, 0.0], ['a', 'b', 'c'])
    """
    code = {value: k for k, value in enumerate(vocabulary, 1)}
    for value in values:
        if value not in code:
            vocabulary.append(value)
            code[value] = len(vocabulary)
    return np.array([*(code[v] for v in values), 0.0], np.float32)[places]


def whole_numbers(column: np.ndarray, what: str) -> list[int]:
    """The different values of a column of whole numbers, rising. `DataError` (E0011) where one is not whole."""
    found = np.unique(column)
    bad = found[~(found == np.round(found))]
    if bad.size:
        raise DataError(f"{what} holds {bad[0]:g}, which is no category", value=float(bad[0]), hint=_HINT)
    return [int(v) for v in found]
