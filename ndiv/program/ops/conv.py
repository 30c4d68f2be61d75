"""Plan operations of the family conv: convolution over one or two axes, and its gradients with respect to both factors.

They are the primitives of the same names, but that padding is one flat list: before and after of each axis in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._primitive import like
from .record import PlanOp

_ATTRS = {"stride": "I", "padding": "I", "dilation": "I", "groups": "i"}
_EXTRA = {"conv": (), "conv_grad_input": ("size",), "conv_grad_weight": ("kernel",)}


def _pairs(attrs: dict[str, Any]) -> dict[str, Any]:
    """The primitive's attributes."""
    p = attrs["padding"]
    if len(p) != 2 * len(attrs["stride"]):
        raise ValueError(f"{len(p)} numbers of padding for {len(attrs['stride'])} axes")
    return {**attrs, "padding": tuple(zip(p[::2], p[1::2], strict=True))}


OPS: list[PlanOp] = [
    like(name, attrs={**_ATTRS, **dict.fromkeys(extra, "I")}, adapt=_pairs, dense=(), bound=2e-5,
         doc="over one or two axes; see the primitive")
    for name, extra in _EXTRA.items()
]


def _flat(name: str) -> Callable[..., Any]:
    """Over more than two axes the decomposition serves: a product of matrices for each place of the kernel."""
    def rule(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
        if len(attrs["stride"]) > 2:
            return False
        return b.emit(name, inputs, {**attrs, "padding": tuple(p for pair in attrs["padding"] for p in pair)}, outputs)

    return rule


SELECT: dict[str, Callable[..., Any]] = {name: _flat(name) for name in _EXTRA}
