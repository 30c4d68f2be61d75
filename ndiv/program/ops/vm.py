"""Plan operations of the family vm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .record import PlanOp

OPS: list[PlanOp] = []
SELECT: dict[str, Callable[..., Any]] = {}
