"""Which model for which data: what is known of the models, what the data are like, and advice with reasons.

Contract: reasons are facts: of the registry (`ndiv.models.capabilities`), of the data, and of `measured.json`, which a command
of this repository writes. Importing this loads the standard library only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adviser import Advice as Advice
    from .adviser import advise as advise
    from .facts import Profile as Profile
    from .facts import profile as profile

_HOME = {"Advice": "adviser", "advise": "adviser", "Profile": "facts", "profile": "facts"}

__all__ = ["Advice", "Profile", "advise", "profile"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
