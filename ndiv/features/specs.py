"""Features as text, for the command line: ``calendar``, ``fourier:24:2``, ``rolling:24,168:mean,std``.

Contract: ``NAME:FIRST:SECOND ...`` gives a feature's arguments in their order, commas make lists; what cannot be read raises
`ConfigError` (E0010) with an example of that feature.
"""

from __future__ import annotations

import importlib
from typing import Any

from ndiv.errors import ConfigError, closest

from .base import Feature

__all__ = ["EXAMPLES", "KINDS", "parse"]

# class of each name, its module, and an example with every argument that text can give
KINDS = {"calendar": ("Calendar", "dates"), "fourier": ("Fourier", "cycles"), "trend": ("Trend", "cycles"),
         "lags": ("Lags", "history"), "rolling": ("Rolling", "history"), "expanding": ("Expanding", "history"),
         "holidays": ("Holidays", "days_off")}
EXAMPLES = {"calendar": "calendar:hour,dayofweek:number", "fourier": "fourier:24,168:2", "trend": "trend", "lags": "lags:1,24",
            "rolling": "rolling:24:mean,std:0", "expanding": "expanding:mean:0", "holidays": "holidays:US,DE:1:1"}
_MOST = {"calendar": 2, "fourier": 2, "trend": 0, "lags": 1, "rolling": 3, "expanding": 2, "holidays": 3}
_SINGLE = {("calendar", 1), ("rolling", 2), ("expanding", 1), ("holidays", 1), ("holidays", 2)}  # arguments that are no lists


def kind(name: str) -> Any:
    """The class of a feature by its name in lower case."""
    cls, module = KINDS[name]
    return getattr(importlib.import_module(f"ndiv.features.{module}"), cls)


def parse(text: str) -> Feature:
    """The feature that ``text`` describes.

    >>> parse("rolling:24:mean,q0.9")
    Rolling(windows=[24], stats=['mean', 'q0.9'], lag=0)
    """
    name, *parts = text.strip().split(":")
    name = name.strip().lower()
    if name not in KINDS:
        raise ConfigError(f"unknown feature {name!r}", value=name, hint=closest(name, KINDS))
    if len(parts) > _MOST[name] or any(not p.strip() for p in parts):
        raise ConfigError(f"feature {text!r} cannot be read", value=text, hint=f"For example {EXAMPLES[name]}.")
    arguments = []
    for k, part in enumerate(parts):
        values = [_value(v.strip()) for v in part.split(",")]
        arguments.append(values[0] if (name, k) in _SINGLE and len(values) == 1 else values)
    try:
        made: Feature = kind(name)(*arguments)
    except TypeError:
        raise ConfigError(f"feature {text!r} lacks an argument", value=text, hint=f"For example {EXAMPLES[name]}.") from None
    return made


def _value(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
