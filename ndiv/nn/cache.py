"""Keys and values that a decoder keeps between steps, and attention to them.

Contract: a `KeyValueCache` owns one preallocated array [layers, 2, B, heads, T, d], keys and values of T places at most, and
``filled`` [T], which says what holds something. One step of a decoder attends in each layer to what is held and to itself by
`attend_onward`, and gives the keys and values of its own place, which `append` writes: nothing that was computed is computed
again, and a step takes the time of one token. Both are read whole by a plan, whose shapes are then the same at every step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.ops.elementwise import where
from ..autograd.ops.reduce import softmax
from ..autograd.ops.shape import cat
from ..errors import ConfigError, ShapeError

__all__ = ["KeyValueCache", "attend_onward"]

_NDIV_INTERNAL = True


class KeyValueCache:
    """Keys and values of up to ``length`` tokens in each of ``layers`` layers of attention.

    array   [layers, 2, batch, heads, length, features]: keys at 0, values at 1; what is not filled is 0
    filled  [length] booleans
    size    places that are filled, from the first on

    Raises `ConfigError` (E0010) for sizes that are not positive.

    >>> import numpy as np
    >>> cache = KeyValueCache(layers=2, batch=1, heads=4, length=8, features=16)
    >>> cache.append(np.ones((2, 2, 1, 4, 3, 16), np.float32))  # three tokens at once
    >>> cache.size, cache.of(0)[0].shape
    (3, (1, 4, 3, 16))
    """

    def __init__(self, layers: int, batch: int, heads: int, length: int, features: int, dtype: Any = np.float32) -> None:
        for name, value in (("layers", layers), ("batch", batch), ("heads", heads), ("length", length), ("features", features)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ConfigError(f"KeyValueCache: {name} must be a positive whole number, not {value!r}", value=value,
                                  hint=f"give {name} >= 1")
        self.array = np.zeros((layers, 2, batch, heads, length, features), dtype)
        self.filled = np.zeros(length, bool)
        self.size = 0

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, whatever is filled."""
        return self.array.nbytes + self.filled.nbytes

    def append(self, rows: np.ndarray) -> None:
        """Write the keys and values of the next n tokens, [layers, 2, batch, heads, n, features].

        Raises `ShapeError` (E0002) where they do not fit in shape, or no place is left for them.
        """
        want, end = self.array.shape, self.size + (rows.shape[4] if rows.ndim == 6 else 0)
        if rows.ndim != 6 or (*rows.shape[:4], rows.shape[5]) != (*want[:4], want[5]):
            raise ShapeError(f"KeyValueCache: rows have shape {list(rows.shape)}", value=rows.shape,
                             hint=f"it must be [{', '.join(map(str, want[:4]))}, n, {want[5]}]")
        if end > want[4]:
            raise ShapeError(f"KeyValueCache: {rows.shape[4]} tokens after {self.size} are more than its length {want[4]}",
                             value=end, hint="make it longer, or reset it")
        self.array[..., self.size:end, :] = rows
        self.filled[self.size:end] = True
        self.size = end

    def of(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """(keys, values) of one layer, each [batch, heads, size, features]; views."""
        keys, values = self.array[layer][..., :self.size, :]
        return keys, values

    def reset(self, size: int = 0) -> None:
        """Forget all but the first ``size`` tokens, to decode on from there; `ShapeError` (E0002) where fewer are held."""
        if not 0 <= size <= self.size:
            raise ShapeError(f"KeyValueCache: {self.size} tokens are held, so none can go back to {size}", value=size,
                             hint=f"give 0 to {self.size}")
        self.array[..., size:self.size, :] = 0
        self.filled[size:] = False
        self.size = size


def attend_onward(q: Any, keys: Any, values: Any, filled: Any = None, own: tuple[Any, Any] | None = None) -> Any:
    """Attention of one token to those that are kept and, where given, to others and itself: [*, 1, d] -> [*, 1, dv].

    keys [*, T, d] and values [*, T, dv] are kept, ``filled`` [T] tells which of them are there (None: all); ``own`` are keys
    [*, n, d] and values [*, n, dv] that are not kept yet, the token's own the last of them. Equal to
    `scaled_dot_product_attention` to all of them (Vaswani et al. 2017, equation 1), without joining them first. For one query,
    products of the whole take a third of the time of a kernel that goes by blocks of queries; memory is linear either way.

    >>> import numpy as np
    >>> one, kept = np.zeros((1, 2)), np.zeros((3, 2))
    >>> values, filled = np.array([[0.0], [2.0], [9.0]]), np.array([True, True, False])
    >>> attend_onward(one, kept, values, filled, (one, np.array([[4.0]])))
    array([[2.]])
    """
    q, count = q * q.shape[-1] ** -0.5, keys.shape[-2]
    scores = q @ keys.swapaxes(-1, -2)
    if filled is not None:
        scores = where(filled, scores, -np.inf)
    if own is None:
        return softmax(scores, -1) @ values
    p = softmax(cat([scores, q @ own[0].swapaxes(-1, -2)], -1), -1)
    return p[..., :count] @ values + p[..., count:] @ own[1]
