"""Optional packages, imported only where they are used.

Contract: `need(name, extra)` returns the imported module or raises `MissingExtraError` (E0010) whose hint is the pip line.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ndiv.errors import MissingExtraError

__all__ = ["need"]


def need(name: str, extra: str = "forecast") -> ModuleType:
    """Import an optional module such as ``"pandas"`` or ``"coreforecast.scalers"``.

    >>> need("json").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        # An ImportError from inside an installed package is its own fault and must not be hidden.
        if getattr(error, "name", None) not in (name, name.partition(".")[0]):
            raise
        raise MissingExtraError(f"this needs the package '{name.partition('.')[0]}', which is not installed", value=name,
                          hint=f'pip install "ndiv[{extra}]"') from None
