"""Embeddings: rows of a table by number, and positions of a series, fixed (sinusoidal) or trained."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..autograd.ops.elementwise import where
from ..autograd.ops.gather import embedding
from ..autograd.ops.shape import reshape
from ..errors import ConfigError, ShapeError
from . import init
from .layers import Dropout, _positive
from .module import Module, Parameter

__all__ = ["Embedding", "LearnedPositionalEncoding", "PositionalEncoding", "sinusoidal_positions"]

_NDIV_INTERNAL = True


class Embedding(Module):
    """A trained row of embedding_dim numbers for each of num_embeddings categories; indices [*] -> [*, embedding_dim].

    weight [num_embeddings, embedding_dim], normal with mean 0 and standard deviation 1 at first. The row padding_idx
    (counted from the end where negative) is zero at first and gets no gradient.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.embedding.Embedding(10, 3)(np.array([[1, 2], [9, 0]])).shape
    (2, 2, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        _positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ConfigError(f"Embedding: padding_idx {padding_idx!r} is no row of {num_embeddings}", value=padding_idx,
                              hint=f"give {-num_embeddings} to {num_embeddings - 1}, or None")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        weight = init.normal((num_embeddings, embedding_dim))
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0.0
        self.weight = Parameter(weight)

    def forward(self, index: Any) -> Any:
        rows = embedding(index, self.weight)
        if self.padding_idx is None:
            return rows
        with no_grad():
            fixed = self.weight[self.padding_idx]
        padding = (index if hasattr(index, "dtype") else np.asarray(index)) == self.padding_idx
        return where(reshape(padding, (*padding.shape, 1)), fixed, rows)

    def extra_repr(self) -> str:
        more = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{more}"


@lru_cache(maxsize=64)
def _table(length: int, d_model: int, dtype: str) -> np.ndarray:
    pair = np.arange(d_model) // 2 * 2
    angle = np.arange(length)[:, None] / 10_000.0 ** (pair / d_model)
    table = np.where(np.arange(d_model) % 2 == 0, np.sin(angle), np.cos(angle)).astype(dtype)
    table.flags.writeable = False
    return table


def sinusoidal_positions(length: int, d_model: int, dtype: Any = np.float32) -> np.ndarray:
    """[length, d_model], read-only: sin(t / 10000^(2i / d)) in column 2i and cos of the same in column 2i + 1.

    An odd d_model ends with a sine. Source: Vaswani et al. 2017, section 3.5.

    >>> sinusoidal_positions(2, 3).round(3)
    array([[0.   , 1.   , 0.   ],
           [0.841, 0.54 , 0.002]], dtype=float32)
    """
    _positive("sinusoidal_positions", d_model=d_model)
    return _table(int(length), int(d_model), np.dtype(dtype).str)


class PositionalEncoding(Module):
    """x + sinusoidal positions, then dropout (Vaswani et al. 2017, section 3.5); x [*, L, d_model], any length L.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.embedding.PositionalEncoding(4)(ndiv.tensor(np.zeros((2, 3, 4), np.float32)))[0, 0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, d_model: int, dropout: float = 0.0) -> None:
        super().__init__()
        _positive("PositionalEncoding", d_model=d_model)
        self.d_model = d_model
        self.dropout = Dropout(dropout)

    def forward(self, x: Any, start: int = 0) -> Any:
        """``start`` is the position of x's first step."""
        length = _length("PositionalEncoding", x, self.d_model)
        return self.dropout(x + sinusoidal_positions(start + length, self.d_model, x.dtype)[start:])

    def extra_repr(self) -> str:
        return f"{self.d_model}"


class LearnedPositionalEncoding(Module):
    """x + a trained row for each position, then dropout; x [*, L, d_model], L at most max_len.

    weight [max_len, d_model], normal with mean 0 and standard deviation 0.02 at first.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.embedding.LearnedPositionalEncoding(10, 4)(ndiv.tensor(np.zeros((2, 3, 4), np.float32))).shape
    (2, 3, 4)
    """

    def __init__(self, max_len: int, d_model: int, dropout: float = 0.0) -> None:
        super().__init__()
        _positive("LearnedPositionalEncoding", max_len=max_len, d_model=d_model)
        self.max_len, self.d_model = max_len, d_model
        self.weight = Parameter(init.normal((max_len, d_model), 0.02))
        self.dropout = Dropout(dropout)

    def forward(self, x: Any, start: int = 0) -> Any:
        """``start`` is the position of x's first step."""
        length = _length("LearnedPositionalEncoding", x, self.d_model)
        if start < 0 or start + length > self.max_len:
            raise ShapeError(f"LearnedPositionalEncoding: positions {start} to {start + length - 1} of a table with "
                             f"{self.max_len}", value=(start, length), hint="make it with a larger max_len")
        return self.dropout(x + self.weight[start:start + length])

    def extra_repr(self) -> str:
        return f"{self.max_len}, {self.d_model}"


def _length(owner: str, x: Any, d_model: int) -> int:
    if len(x.shape) < 2 or x.shape[-1] != d_model:
        raise ShapeError(f"{owner}: x has shape {list(x.shape)} and d_model is {d_model}", value=x.shape,
                         hint="x is [*, L, d_model]")
    return int(x.shape[-2])
