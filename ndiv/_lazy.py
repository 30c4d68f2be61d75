"""Names of a package that are imported when they are first used.

Contract: imports the standard library alone. A package says in a dict which of its modules holds each public name:

    _HOME = {"Ensemble": "forecaster"}
    __all__ = ["Ensemble"]
    __getattr__, __dir__ = lazy(__name__, _HOME)
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, home: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions ``__getattr__`` and ``__dir__`` of a package whose public names are the keys of ``home``, each in the
    module of the package that the value names.

    >>> get, names = lazy("ndiv.data", {"SeriesStore": "store"})
    >>> get("SeriesStore").__name__, names()
    ('SeriesStore', ['SeriesStore'])
    """

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(home)
