"""Every error that ndiv raises on purpose.

Contract: each class derives from `NdivError`, carries a stable ``code`` (E0001 ... E0012), and is data first:
``value`` is the offending value, ``hint`` says what to do, ``context`` holds the rest (op, shapes, ids ...).
Each class also derives from the built-in exception that a caller would expect, so ``except ValueError`` works.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "CODES", "ArgumentError", "ConfigError", "DataError", "DeviceError", "EmptyDataError", "FeatureError", "FileError",
    "FileExists", "HorizonError", "MissingExtraError", "NdivError", "NonFiniteError", "NotFittedError",
    "OutOfMemoryError", "ShapeError", "TraceBreak", "closest",
]


class NdivError(Exception):
    """Base of all. ``str(error)`` is one line: ``[code] message (got VALUE). Hint: ...``."""

    code = "E0000"

    def __init__(self, message: str, *, value: Any = None, hint: str | None = None, **context: Any) -> None:
        self.message = message
        self.value = value
        self.hint = hint
        self.context = context
        super().__init__(message)

    def __str__(self) -> str:
        text = f"[{self.code}] {self.message}"
        if not self.hint:
            return text
        return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'} Hint: {self.hint}"


class NotFittedError(NdivError, ValueError):
    """A forecast was asked of a model that has not been trained."""

    code = "E0001"


class ShapeError(NdivError, ValueError):
    """Shapes or types of an operation's arguments break its rule."""

    code = "E0002"


class EmptyDataError(NdivError, ValueError):
    """There is no data where some is needed."""

    code = "E0003"


class FeatureError(NdivError, ValueError):
    """A column or covariate is missing, unknown, or not supported by the model."""

    code = "E0004"


class HorizonError(NdivError, ValueError):
    """The input window or the horizon does not fit the data or the model."""

    code = "E0005"


class FileError(NdivError, OSError):
    """A file could not be read or written, or is not what it claims to be."""

    code = "E0006"


class FileExists(FileError, FileExistsError):
    """A file or folder would be overwritten and ``overwrite`` was not given."""


class DeviceError(NdivError, RuntimeError):
    """A device, backend or instruction set is not available here."""

    code = "E0007"


class OutOfMemoryError(NdivError, MemoryError):
    """An allocation failed."""

    code = "E0008"


class NonFiniteError(NdivError, FloatingPointError):
    """A loss or gradient became NaN or infinite."""

    code = "E0009"


class ConfigError(NdivError, ValueError):
    """An argument's value is not valid."""

    code = "E0010"


class ArgumentError(ConfigError, TypeError):
    """An argument's name is not known."""


class MissingExtraError(ConfigError, ImportError):
    """An optional package that is needed here is not installed."""


class DataError(NdivError, ValueError):
    """The data break a rule: duplicates, gaps, nulls, infinities, text, or a frequency that disagrees."""

    code = "E0011"


class TraceBreak(NdivError, RuntimeError):
    """A function does not compute the same program for all data, so it cannot be compiled."""

    code = "E0012"


CODES: dict[str, str] = {
    cls.code: (cls.__doc__ or "").split("\n")[0]
    for cls in (NotFittedError, ShapeError, EmptyDataError, FeatureError, HorizonError, FileError, DeviceError,
                OutOfMemoryError, NonFiniteError, ConfigError, DataError, TraceBreak)
}


def closest(name: Any, options: Iterable[Any], label: str = "Valid") -> str:
    """A hint that names the nearest valid choice, and all of them.

    >>> closest("standrad", ["standard", "robust"])
    "Did you mean 'standard'? Valid: robust, standard."
    """
    names = sorted(str(o) for o in options)
    near = difflib.get_close_matches(str(name), names, n=1)
    first = f"Did you mean '{near[0]}'? " if near else ""
    return f"{first}{label}: {', '.join(names)}."
