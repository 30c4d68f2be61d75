"""Records of plan operations that mean what a primitive means: its reference and its shape rule serve again.

Contract: `like` gives the PlanOp whose ``reference`` is the primitive's own and whose ``metas`` are its rule, with all
inputs of one floating dtype. ``adapt`` turns the plan operation's attributes into the primitive's where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...autograd.primitive import REGISTRY, Primitive
from ...autograd.shapes import RuleBroken, infer
from .record import Meta, PlanOp

__all__ = ["infer_metas", "like"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _primitive(name: str) -> Primitive:
    from ...autograd import ops  # noqa: F401  (fills the registry)

    return REGISTRY[name]


def infer_metas(name: str, attrs: Mapping[str, Any], metas: tuple[Meta, ...],
                integer: tuple[int, ...] = ()) -> list[Meta]:
    """Metas of the outputs by the primitive's rule; outputs numbered in ``integer`` are int64."""
    if not metas or None in metas or metas[0][1] not in _FLOATS or any(m[1] != metas[0][1] for m in metas):
        raise ValueError(f"{name}: every input is an array, all of them float32 or all float64")
    prim = _primitive(name)
    if len(metas) != len(prim.args):
        raise ValueError(f"{name} takes {len(prim.args)} inputs and got {len(metas)}")
    try:
        shapes = infer(prim, [m[0] for m in metas], dict(attrs))
    except RuleBroken as broken:
        raise ValueError(f"{name}: {broken}") from None
    return [(s, np.dtype(np.int64) if i in integer else metas[0][1]) for i, s in enumerate(shapes)]


def like(name: str, *, attrs: dict[str, str] | None = None, adapt: Callable[[dict[str, Any]], dict[str, Any]] = dict,
         integer: tuple[int, ...] = (), **more: Any) -> PlanOp:
    """The plan operation of that name that means what the primitive of that name means."""
    def reference(*inputs: np.ndarray, **given: Any) -> Any:
        prim = _primitive(name)
        run = prim.fast or prim.ref
        assert run is not None  # every primitive has a reference
        return run(*inputs, **adapt(given))

    def metas(given: dict[str, Any], *inputs: Meta) -> list[Meta]:
        return infer_metas(name, adapt(given), inputs, integer)

    def cost(given: dict[str, Any], ins: list[Meta], outs: list[Meta]) -> float:
        return _primitive(name).costs(adapt(given), [m[0] for m in ins], [m[0] for m in outs])[0]

    return PlanOp(name, reference, metas, attrs=attrs or {}, cost=cost, **more)
