"""Verification: of every op, of the checks themselves, and of a model on its own tape.

differences.py  directional derivatives from values alone     model.py   `verify`: a model's tape, op by op and whole
ops.py          the table over the registry, and the lint      report.py  `Certificate`: table, JSON, page
mutants.py      wrong gradient rules, all of which must fail

The package can be called: ``ndiv.verify(model, batch)`` is `model.verify`. On the command line:
``python -m ndiv.verify ops | lint | mutate`` and ``ndiv check FILE``.
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _Package(types.ModuleType):
    """A package whose call is its main function, so that the name serves both as in `ndiv.verify.ops` and as here."""

    def __call__(self, model: Any, batch: Any = None, **options: Any) -> Any:
        from .model import verify

        return verify(model, batch, **options)


sys.modules[__name__].__class__ = _Package
