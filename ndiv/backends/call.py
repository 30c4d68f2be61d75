"""One plan operation by name, run by the native backend outside a plan: for tests and benchmarks.

Contract: `call_op` takes arrays of any strides, gives fresh dense outputs, and raises ShapeError (E0002) with the status
when the operation refuses its operands. Memory is not checked beyond what the operation checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from . import native

__all__ = ["call_op"]

_DTYPES = {np.dtype(t): i for i, t in enumerate((np.float32, np.float64, np.int64, np.int32, np.bool_))}


def call_op(name: str, inputs: Sequence[np.ndarray | None], outputs: Sequence[np.ndarray | None], attrs: Sequence[int] = (),
            constant: Sequence[int] = ()) -> None:
    """Run operation ``name``, writing into ``outputs``; inputs numbered in ``constant`` are marked as constants."""
    lib = native._need()
    ffi = native._ffi
    operands = [*inputs, *outputs]
    words = np.zeros((len(operands) or 1, 20), np.int64)
    data = ffi.new("void *[]", len(operands) or 1)
    for i, a in enumerate(operands):
        if a is None:
            continue
        words[i, :4] = 1, _DTYPES[a.dtype], a.ndim, int(i in constant)
        words[i, 4:4 + a.ndim] = a.shape
        words[i, 12:12 + a.ndim] = [s // a.itemsize for s in a.strides]
        data[i] = ffi.cast("void *", a.ctypes.data)
    numbers: Any = np.asarray(attrs, np.int64)
    status = lib.nd_call_op(name.encode(), len(inputs), len(outputs), ffi.from_buffer("int64_t[]", words), data,
                            len(numbers), ffi.from_buffer("int64_t[]", numbers))
    if status:
        raise ShapeError(f"{name} refused its operands with status {status}", value=status)
