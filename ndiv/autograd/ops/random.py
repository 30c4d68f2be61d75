"""Random ops. Numbers come from a counter: the same key and stream give the same numbers on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends import kernels
from ..primitive import Bad, Primitive, Sample, register
from ..tape import apply
from ._declare import numbers

PUBLIC = ["dropout"]
_NDIV_INTERNAL = True
DROPOUT: Primitive  # its own gradient


def _dropout(x: np.ndarray, p: float, key: int, stream: int) -> np.ndarray:
    return kernels.dropout(x, p, key, stream)


def _samples() -> list[Sample]:
    return [Sample((numbers(s) if isinstance(s, tuple) else s,), {"p": 0.4, "key": 7, "stream": 3}, tag)
            for s, tag in [((3, 4), "contiguous"), (numbers((4, 6)).T[::2], "strided"), ((0, 3), "empty"), ((), "0-d")]]


DROPOUT = register(Primitive(
    "dropout", ("x",), "[*A] -> [*A]", ref=_dropout, attrs={"p": 0.5, "key": 0, "stream": 0}, linear=True,
    analytic=False, kernels=("dropout",), onnx="Dropout",
    vjp=(lambda g, y, x, p, key, stream: apply(DROPOUT, (g,), {"p": p, "key": key, "stream": stream}),),
    samples=_samples, bad=lambda: [Bad((np.array(["a"]),), "does not hold numbers", {"p": 0.5, "key": 0, "stream": 0})]))


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """Each element set to zero with probability p, the others scaled by 1 / (1 - p); x itself when not training."""
    if not training or p == 0.0:
        return x
    from ...random import next_stream

    key, stream = next_stream()
    return apply(DROPOUT, (x,), {"p": float(p), "key": key, "stream": stream})
