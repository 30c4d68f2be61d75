"""Plan operations of the family pool: windows over the last axis, and over one or two axes with padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._primitive import like
from .record import PlanOp

_LINE = {"kernel": "i", "stride": "i"}
_WINDOWS = {"kernel": "I", "stride": "I", "padding": "I"}

OPS: list[PlanOp] = [
    like("max_pool1d", attrs={**_LINE, "ceil_mode": "b"}, exact=True, doc="the largest of each window"),
    like("max_pool1d_bwd", attrs={**_LINE, "ceil_mode": "b"}, exact=True, doc="g to the first largest of its window"),
    like("avg_pool1d", attrs=_LINE, exact=True, doc="the mean of each window of the last axis"),
    like("avg_unpool1d", attrs={**_LINE, "size": "i"}, exact=True, doc="g / kernel over its window"),
    like("max_pool", attrs={**_WINDOWS, "dilation": "I", "ceil_mode": "b"}, integer=(1,), exact=True,
         doc="(values, places) of the largest in each window of the last one or two axes"),
    like("avg_pool", attrs={**_WINDOWS, "ceil_mode": "b", "count_include_pad": "b"}, exact=True,
         doc="the mean of each window of the last one or two axes"),
]


def _windows(name: str, more: tuple[str, ...]) -> Callable[..., Any]:
    """Over one or two axes; over more the decomposition serves."""
    def rule(b: Any, inputs: Any, attrs: dict[str, Any], outputs: Any) -> Any:
        if len(attrs["kernel"]) > 2:
            return False
        return b.emit(name, inputs, {k: attrs[k] for k in ("kernel", "stride", "padding", *more)}, outputs)

    return rule


SELECT: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys(("max_pool1d", "max_pool1d_bwd", "avg_pool1d", "avg_unpool1d")),
    "max_pool": _windows("max_pool", ("dilation", "ceil_mode")),
    "avg_pool": _windows("avg_pool", ("ceil_mode", "count_include_pad")),
}
