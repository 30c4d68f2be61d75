"""Warnings that point at the user's own line, however deep in the package they arise.

Contract: `tell` issues one UserWarning, placed at the innermost caller that is no part of ndiv.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

__all__ = ["tell"]

_HERE = str(Path(__file__).resolve().parents[1])


def tell(message: str) -> None:
    """Warn of something that the user did not ask for."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
