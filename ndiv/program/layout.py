"""Layouts: where in a buffer the elements of a value lie.

Contract: a Layout is (root, offset, shape, strides), offset and strides in elements of the root, which is a value that some
operation defines, an input, a state or a constant. Views turn one layout into another without touching memory; `view`
returns None where strides cannot say it and a copy is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .ir import Eqn, Value

__all__ = ["Layout", "broadcast", "dense", "view"]

_DUMMY = np.zeros(1, np.int8)


@dataclass(frozen=True)
class Layout:
    """Elements of ``root`` at offset + index . strides."""

    root: Value
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_dense(self) -> bool:
        """Row-major without gaps, and from the first element on."""
        expect = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n == 0:
                return True
            if n != 1 and s != expect:
                return False
            expect *= n
        return True

    @property
    def whole(self) -> bool:
        """All of the root, in its order (perhaps in another shape)."""
        return self.is_dense and self.offset == 0 and int(np.prod(self.shape)) == self.root.size


def dense(v: Value) -> Layout:
    """A value's own layout."""
    return Layout(v, 0, v.shape, _row_major(v.shape))


def _shadow(layout: Layout) -> np.ndarray:
    """An array with these strides whose memory is never read."""
    return as_strided(_DUMMY, layout.shape, layout.strides, writeable=False)


def _like(layout: Layout, before: np.ndarray, after: np.ndarray) -> Layout:
    moved = after.__array_interface__["data"][0] - before.__array_interface__["data"][0] if after.size else 0
    return Layout(layout.root, layout.offset + moved, after.shape, after.strides)


def view(layout: Layout, e: Eqn) -> Layout | None:
    """The layout of a view equation's output, or None where it needs a copy."""
    shadow = _shadow(layout)
    if e.op == "reshape":
        strides = _reshaped(layout.shape, layout.strides, e.outputs[0].shape)
        return None if strides is None else Layout(layout.root, layout.offset, e.outputs[0].shape, strides)
    after = (np.transpose(shadow, e.attrs["dims"]) if e.op == "permute"
             else np.broadcast_to(shadow, e.attrs["shape"]) if e.op == "expand" else _taken(shadow, e.attrs["key"].key))
    return _like(layout, shadow, after)


def _taken(shadow: np.ndarray, key: Any) -> np.ndarray:
    """shadow[key], a view even where it is one element (without the ellipsis NumPy would copy that one out)."""
    parts = key if isinstance(key, tuple) else (key,)
    return shadow[parts if any(p is Ellipsis for p in parts) else (*parts, Ellipsis)]


def broadcast(layout: Layout, shape: tuple[int, ...]) -> Layout:
    """The layout repeated (stride 0) to a larger shape."""
    if layout.shape == shape:
        return layout
    shadow = _shadow(layout)
    return _like(layout, shadow, np.broadcast_to(shadow, shape))


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _reshaped(shape: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides of the same elements in the same order in a new shape; None where there are none.

    Old and new axes are matched in groups of equal products; inside a group the old axes must follow on one another.
    """
    if 0 in shape:
        return _row_major(new)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    out: list[int] = []
    i = j = 0
    while j < len(new):
        if new[j] == 1:
            out.append(0)
            j += 1
            continue
        first, first_new, have, want = i, j, old[i][0], new[j]
        while have != want:
            if have < want:
                i += 1
                have *= old[i][0]
            else:
                j += 1
                want *= new[j]
        if any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(first, i)):
            return None
        step, group = old[i][1], []
        for n in reversed(new[first_new:j + 1]):
            group.append(step)
            step *= n
        out += reversed(group)
        i, j = i + 1, j + 1
    return tuple(out)
