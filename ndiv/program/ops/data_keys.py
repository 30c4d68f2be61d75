"""How indexing becomes plan operations: NumPy's keys as slices, or as whole numbers along one axis.

Contract: `select_getitem` and `select_put` are the rules of the primitives ``getitem`` and ``put``. Basic keys of getitem
are views and not handled here. An index that is an array becomes a constant; runs of consecutive places are found, so that
windows are copied in one go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.ops.shape import Key, _basic

__all__ = ["select_getitem", "select_put"]

Shape = tuple[int, ...]


def parts_of(key: Any, rank: int) -> list[Any] | None:
    """The key with one part for each axis (and None for each new one); None when it holds truth values."""
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = [np.asarray(p) if isinstance(p, list) else p for p in parts]
    if any(isinstance(p, (bool, np.bool_)) or (isinstance(p, np.ndarray) and p.dtype.kind not in "iu") for p in parts):
        return None
    used = sum(p is not None and p is not Ellipsis for p in parts)
    at = next((i for i, p in enumerate(parts) if p is Ellipsis), len(parts))
    return [*parts[:at], *[slice(None)] * (rank - used), *parts[at + 1:]]


def slices(key: Any, shape: Shape) -> tuple[list[int], list[int], list[int]] | None:
    """(start, step, length) of a basic key in each axis; None for other keys.

    >>> slices((1, slice(None, None, -2)), (3, 5))
    ([1, 4], [1, -2], [1, 3])
    """
    parts = parts_of(key, len(shape))
    if parts is None or not _basic(tuple(parts)):
        return None
    start, step, length = [], [], []
    for part, n in zip([p for p in parts if p is not None], shape, strict=True):
        taken = range(n)[part] if isinstance(part, slice) else range(n)[int(part):][:1]
        start.append(taken.start if len(taken) else 0)
        step.append(taken.step if len(taken) > 1 else 1)
        length.append(len(taken))
    return start, step, length


def single_array(key: Any, shape: Shape) -> tuple[int, np.ndarray, tuple[Any, ...]] | None:
    """(axis, index, slices of the other axes) of a key that has one array of whole numbers, slices and new axes."""
    parts = parts_of(key, len(shape))
    if parts is None:
        return None
    real = [p for p in parts if p is not None]
    arrays = [i for i, p in enumerate(real) if isinstance(p, np.ndarray)]
    if len(arrays) != 1 or not all(isinstance(p, (slice, np.ndarray)) for p in real):
        return None
    (axis,) = arrays
    n, index = shape[axis], real[axis].astype(np.int64)
    return axis, np.where(index < 0, index + n, index), tuple(slice(None) if i == axis else p for i, p in enumerate(real))


def flat_index(key: Any, shape: Shape) -> np.ndarray:
    """The places that any key names in the flattened array."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)[key]


def with_runs(index: np.ndarray) -> tuple[np.ndarray, int]:
    """(first places, length) where the last axis counts upwards without gaps, else the index itself and 1.

    >>> with_runs(np.array([[3, 4, 5], [0, 1, 2]]))
    (array([3, 0]), 3)
    """
    run = index.shape[-1] if index.ndim else 1
    if run > 1 and index.size and (np.diff(index, axis=-1) == 1).all():
        return np.ascontiguousarray(index[..., 0]), run
    return np.ascontiguousarray(index), 1


def _flat_runs(index: np.ndarray) -> tuple[np.ndarray, int]:
    """As `with_runs`, over as many of the last axes as are consecutive in memory."""
    flat, tail = index.reshape(-1), 1
    for n in reversed(index.shape):
        longer = tail * n
        if longer > 1 and flat.size and not (np.diff(flat.reshape(-1, longer), axis=1) == 1).all():
            break
        tail = longer
    return (flat.reshape(-1, tail)[:, 0].copy(), tail) if tail > 1 and flat.size else (flat, 1)


def _split(index: np.ndarray, shape: Shape, axis: int | None) -> tuple[np.ndarray, dict[str, Any]]:
    """The index constant and attributes of take and take_add; axis None: of the flattened array."""
    first, run = _flat_runs(index) if axis is None else with_runs(index)
    n, inner = (math.prod(shape), 1) if axis is None else (shape[axis], math.prod(shape[axis + 1:]))
    return first, {"n": n, "inner": inner, "run": run}


def _whole(keys: tuple[Any, ...]) -> bool:
    return all(k == slice(None) for k in keys)


def select_getitem(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
    """The rule of ``getitem`` with index arrays: a take of runs, or of single elements."""
    (x,), (out,), key = inputs, outputs, attrs["key"].key
    if slices(key, x.shape) is not None:
        return False
    found = single_array(key, x.shape)
    if found is None:
        index, numbers = _split(flat_index(key, x.shape), x.shape, None)
    else:
        axis, places, others = found
        if not _whole(others):
            x = b.apply("getitem", [x], {"key": Key(others)})
        index, numbers = _split(places, x.shape, axis)
    b.emit("take", [x, b.constant(index)], {**numbers, "shape": out.shape}, [out])
    return True


def _put_slices(b: Any, g: Any, key: Any, out: Any) -> None:
    found = slices(key, out.shape)
    assert found is not None
    start, step, length = found
    if g.shape != tuple(length):
        g = b.apply("reshape", [g], {"shape": tuple(length)})
    b.emit("put_slice", [g], {"start": tuple(start), "step": tuple(step), "shape": tuple(out.shape)}, [out])


def select_put(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
    """The rule of ``put``: a strided write into zeros for slices, a sum into zeros for index arrays."""
    (g,), (out,), key = inputs, outputs, attrs["key"].key
    if slices(key, out.shape) is not None:
        _put_slices(b, g, key, out)
        return True
    if g.dtype.kind != "f":
        return False
    found = single_array(key, out.shape)
    if found is None:
        index, numbers = _split(flat_index(key, out.shape), out.shape, None)
        b.emit("take_add", [g, b.constant(index)], {**numbers, "shape": out.shape}, [out])
        return True
    axis, places, others = found
    inside = out
    if not _whole(others):
        starts = slices(others, out.shape)
        assert starts is not None
        inside = b.temp(tuple(starts[2]), out.dtype)
    index, numbers = _split(places, inside.shape, axis)
    b.emit("take_add", [g, b.constant(index)], {**numbers, "shape": inside.shape}, [inside])
    if inside is not out:
        _put_slices(b, inside, others, out)
    return True
