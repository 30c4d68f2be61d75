"""Resampling over the last axis. (Convolutions join this family.)

Interpolation between fixed sizes is a linear map, so it is written as one product with a constant matrix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...errors import ConfigError, closest
from .linear import matmul

PUBLIC = ["interpolate"]
_NDIV_INTERNAL = True


@lru_cache(maxsize=256)
def interpolation_matrix(n: int, size: int, mode: str) -> np.ndarray:
    """[n, size] float64: column j holds the weights of the n values in output j.

    Positions as in PyTorch with align_corners=False: output j sits at (j + 0.5) * n / size - 0.5. nearest takes
    floor(j * n / size); linear clamps at the ends; cubic is Keys' kernel with a = -0.75 and repeated ends.
    """
    w = np.zeros((n, size))
    j = np.arange(size)
    if mode == "nearest":
        w[np.minimum(j * n // size, n - 1), j] = 1.0
        return w
    at = (j + 0.5) * n / size - 0.5
    if mode == "linear":
        at = np.maximum(at, 0.0)
        lo = np.minimum(at.astype(int), n - 1)
        frac = at - lo
        np.add.at(w, (lo, j), 1.0 - frac)
        np.add.at(w, (np.minimum(lo + 1, n - 1), j), frac)
        return w
    if mode == "cubic":
        base = np.floor(at).astype(int)
        for k in range(-1, 3):
            t = np.abs(at - (base + k))
            a = -0.75
            near = (a + 2) * t**3 - (a + 3) * t**2 + 1
            far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            np.add.at(w, (np.clip(base + k, 0, n - 1), j), np.where(t <= 1, near, far))
        return w
    raise ConfigError(f"interpolate: unknown mode {mode!r}", value=mode, hint=closest(mode, ("nearest", "linear", "cubic")))


def interpolate(x: Any, size: int, mode: str = "linear") -> Any:
    """The last axis resampled to ``size`` values; [*, n] -> [*, size].

    >>> import ndiv, numpy as np
    >>> ndiv.interpolate(np.array([[0.0, 1.0]]), 4, mode="nearest")
    array([[0., 0., 1., 1.]])
    """
    n = x.shape[-1]
    if n == size:
        return x
    return matmul(x, interpolation_matrix(n, size, mode).astype(x.dtype))
