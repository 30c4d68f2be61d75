"""Plan operations of the family spectral: the Fourier transforms of real series. Complex numbers are pairs.

Each is the primitive of its name; ``dim`` counts from the front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._primitive import like
from .record import PlanOp

_ATTRS = {"n": "i", "dim": "i"}

OPS: list[PlanOp] = [
    like("rfft", attrs=_ATTRS, dense=(), bound=2e-6, doc="n values along dim to n // 2 + 1 bins"),
    like("irfft", attrs=_ATTRS, dense=(), bound=2e-6, doc="bins along dim to n values"),
]


def _forward(name: str, spare: int) -> Callable[..., Any]:
    def rule(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
        return b.emit(name, inputs, {"n": attrs["n"], "dim": attrs["dim"] % (len(inputs[0].shape) - spare)}, outputs)

    return rule


SELECT: dict[str, Callable[..., Any]] = {"rfft": _forward("rfft", 0), "irfft": _forward("irfft", 1)}
