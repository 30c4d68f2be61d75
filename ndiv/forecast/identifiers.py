"""Series ids of any common type as JSON and back, without pickle.

Contract: ``decode(encode(ids))`` has the same values and the same dtype. Text, numbers and booleans are stored as they
are; dates, times, decimals and UUIDs as tagged text.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

from ndiv.errors import ConfigError

__all__ = ["decode", "encode"]

# tag: (type, from text, to text); a subclass such as pandas.Timestamp is not the type itself
_TAGGED: dict[str, tuple[type, Callable[[str], Any], Callable[[Any], str]]] = {
    "datetime": (datetime.datetime, datetime.datetime.fromisoformat, datetime.datetime.isoformat),
    "date": (datetime.date, datetime.date.fromisoformat, datetime.date.isoformat),
    "decimal": (decimal.Decimal, decimal.Decimal, str),
    "uuid": (uuid.UUID, uuid.UUID, str),
}


def encode(ids: np.ndarray) -> dict[str, Any]:
    """``{"dtype", "values"}``, ready for JSON; `ConfigError` (E0010) for an id type that has no safe text form.

    >>> encode(np.array(["a", "b"], dtype=object))
    {'dtype': 'object', 'values': ['a', 'b']}
    """
    if ids.dtype.kind in "mM":
        return {"dtype": str(ids.dtype), "values": ids.view(np.int64).tolist()}
    if ids.dtype.kind in "biufU":
        return {"dtype": str(ids.dtype), "values": ids.tolist()}
    return {"dtype": "object", "values": [_one(i) for i in ids.tolist()]}


def _one(value: Any) -> Any:
    if isinstance(value, (str, bool, int, float)):
        return value
    for tag, (kind, _, write) in _TAGGED.items():
        if type(value) is kind:
            return [tag, write(value)]
    raise ConfigError(f"series ids of type {type(value).__name__} cannot be saved", value=value,
                      hint="Convert the id column to text before fit.")


def decode(saved: dict[str, Any]) -> np.ndarray:
    """The array that `encode` was given; ValueError, TypeError or KeyError when ``saved`` is not of that form."""
    dtype, values = np.dtype(saved["dtype"]), saved["values"]
    if dtype.kind in "mM":
        return np.array(values, np.int64).view(dtype)
    if dtype.kind in "biufU":
        return np.array(values, dtype)
    if dtype != np.dtype(object):
        raise ValueError(f"ids of dtype {dtype}")
    ids = np.empty(len(values), object)
    for k, value in enumerate(values):
        ids[k] = _TAGGED[value[0]][1](value[1]) if isinstance(value, list) else value
    return ids
