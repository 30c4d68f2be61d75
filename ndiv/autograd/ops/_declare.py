"""How ops are declared: helpers that turn a few lines into a Primitive and its public function.

Contract: nothing here knows any particular op. Sample makers cover the layouts that every op must survive:
contiguous, strided, broadcast, empty and 0-d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..primitive import Bad, Primitive, Sample, register
from ..tape import apply

_NDIV_INTERNAL = True

ELEMENTWISE1 = "[*A] -> [*A]"
ELEMENTWISE2 = "[*A] [*B] -> [broadcast(*A, *B)]"
ELEMENTWISE3 = "[*A] [*B] [*C] -> [broadcast(*A, *B, *C)]"


def numbers(shape: tuple[int, ...], lo: float = -2.0, hi: float = 2.0, seed: int = 0) -> np.ndarray:
    """float64 values spread over (lo, hi), none on a grid point where a kink could sit."""
    return np.random.Generator(np.random.Philox(key=[seed, len(shape)])).uniform(lo, hi, shape)


def unary_samples(lo: float = -2.0, hi: float = 2.0, **attrs: Any) -> Callable[[], list[Sample]]:
    def samples() -> list[Sample]:
        return [
            Sample((numbers((3, 4), lo, hi),), attrs, "contiguous"),
            Sample((numbers((4, 6), lo, hi).T[::2],), attrs, "strided"),
            Sample((np.broadcast_to(numbers((1, 3), lo, hi), (2, 3)),), attrs, "broadcast"),
            Sample((numbers((0, 3), lo, hi),), attrs, "empty"),
            Sample((numbers((), lo, hi),), attrs, "0-d"),
        ]

    return samples


def binary_samples(lo: float = -2.0, hi: float = 2.0, lo2: float | None = None,
                   hi2: float | None = None) -> Callable[[], list[Sample]]:
    l2, h2 = lo if lo2 is None else lo2, hi if hi2 is None else hi2

    def samples() -> list[Sample]:
        return [
            Sample((numbers((3, 4), lo, hi), numbers((3, 4), l2, h2, 1)), {}, "contiguous"),
            Sample((numbers((4, 6), lo, hi).T[::2], numbers((3, 4), l2, h2, 1)), {}, "strided"),
            Sample((numbers((3, 1), lo, hi), numbers((2, 1, 4), l2, h2, 1)), {}, "broadcast"),
            Sample((numbers((0, 3), lo, hi), numbers((3,), l2, h2, 1)), {}, "empty"),
            Sample((numbers((), lo, hi), numbers((2, 2), l2, h2, 1)), {}, "0-d"),
            Sample((numbers((2, 3), lo, hi), 1.5), {}, "number"),
        ]

    return samples


def text_bad(n: int = 1) -> Callable[[], list[Bad]]:
    """The bad case of every elementwise op of one argument: text instead of numbers."""
    return lambda: [Bad((np.array(["a", "b"]),) * n, "does not hold numbers")]


def mismatch_bad(n: int = 2) -> Callable[[], list[Bad]]:
    def bad() -> list[Bad]:
        return [Bad((np.ones((2, 3)), *[np.ones((2, 4))] * (n - 1)), "do not broadcast")]

    return bad


def unary(name: str, doc: str, *, lo: float = -2.0, hi: float = 2.0, flops: float = 1, **fields: Any) -> Any:
    """Declare an elementwise op of one argument; returns (primitive, public function)."""
    prim = register(Primitive(
        name, ("x",), ELEMENTWISE1, doc=doc, samples=fields.pop("samples", unary_samples(lo, hi)), bad=text_bad(),
        cost=elementwise_cost(flops), **fields))

    def function(x: Any) -> Any:
        return apply(prim, (x,))

    return prim, _named(function, name, doc)


def binary(name: str, doc: str, *, lo: float = -2.0, hi: float = 2.0, lo2: float | None = None,
           hi2: float | None = None, flops: float = 1, **fields: Any) -> Any:
    """Declare an elementwise op of two arguments; returns (primitive, public function)."""
    prim = register(Primitive(
        name, ("a", "b"), ELEMENTWISE2, doc=doc, samples=binary_samples(lo, hi, lo2, hi2), bad=mismatch_bad(),
        cost=elementwise_cost(flops), **fields))

    def function(a: Any, b: Any) -> Any:
        return apply(prim, (a, b))

    return prim, _named(function, name, doc)


def elementwise_cost(flops: float) -> Callable[..., float]:
    def cost(attrs: Any, ins: Any, outs: Any) -> float:
        return flops * float(np.prod(outs[0], dtype=float))

    return cost


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function
