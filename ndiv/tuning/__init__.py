"""Search for settings on Optuna: ranges, what is tried by default for each model, and `tune`.

Contract: importing this loads the standard library only; Optuna (extra "tune") is imported when a search begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .api import Tuned as Tuned
    from .api import tune as tune
    from .ranges import Range as Range
    from .ranges import Space as Space
    from .ranges import choice as choice
    from .ranges import loguniform as loguniform
    from .ranges import qloguniform as qloguniform
    from .ranges import quniform as quniform
    from .ranges import randint as randint
    from .ranges import uniform as uniform
    from .spaces import default_space as default_space

_HOME = {"Tuned": "api", "tune": "api", "default_space": "spaces",
         **dict.fromkeys("Range Space choice loguniform qloguniform quniform randint uniform".split(), "ranges")}

__all__ = ["Range", "Space", "Tuned", "choice", "default_space", "loguniform", "qloguniform", "quniform", "randint", "tune",
           "uniform"]

__getattr__, __dir__ = lazy(__name__, _HOME)
