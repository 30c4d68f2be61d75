"""Fourier transforms of real series (rfft, irfft), and arithmetic on the complex numbers that they give.

Contract: tensors are real, so a complex array of shape S is a real array of shape [*S, 2] that holds the real and the
imaginary part side by side (PyTorch's ``view_as_real``). ``dim`` counts the axes of S, without the pair. Both
transforms are linear, and each is the gradient of the other up to the weight of a bin: a bin stands for itself and
its mirror image and so counts twice, but for bin 0 and, when n is even, bin n / 2, which are their own mirror images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ShapeError
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken, broadcast, normalize_dims
from ..tape import apply
from ._declare import numbers
from .elementwise import maximum
from .linear import matmul
from .shape import cat, narrow, transpose, unsqueeze

PUBLIC = ["complex_abs", "complex_conj", "complex_mul", "irfft", "rfft"]
_NDIV_INTERNAL = True
IRFFT: Primitive  # each transform is the gradient of the other


def _pairs(z: np.ndarray, dtype: Any) -> np.ndarray:
    """A complex array as pairs of its real dtype."""
    out = np.empty((*z.shape, 2), dtype)
    out[..., 0], out[..., 1] = z.real, z.imag
    return out


def _rfft(x: np.ndarray, n: int, dim: int) -> np.ndarray:
    if np.iscomplexobj(x):  # a linear map of the real and the imaginary part, for the complex step
        return _rfft(x.real, n, dim) + 1j * _rfft(x.imag, n, dim)
    return _pairs(np.fft.rfft(x, n, dim), np.result_type(x.dtype, np.float32))


def _irfft(x: np.ndarray, n: int, dim: int) -> np.ndarray:
    if np.iscomplexobj(x):
        return _irfft(x.real, n, dim) + 1j * _irfft(x.imag, n, dim)
    z = np.empty(x.shape[:-1], np.result_type(x.dtype, np.complex64))
    z.real, z.imag = x[..., 0], x[..., 1]
    return np.fft.irfft(z, n, dim).astype(z.real.dtype, copy=False)  # NumPy 1 transforms in double precision only


def _angles(n: int) -> np.ndarray:
    """[n, n // 2 + 1]: 2 pi k t / n in radians, from k t reduced modulo n so that long series lose no digits."""
    return (2.0 * math.pi / n) * (np.outer(np.arange(n), np.arange(n // 2 + 1)) % n)


def _weights(n: int) -> np.ndarray:
    """How many of the n bins of the full transform each of the n // 2 + 1 stands for: 2, but for its own mirror images."""
    w = np.full(n // 2 + 1, 2.0)
    w[0] = 1.0
    if n % 2 == 0:
        w[-1] = 1.0
    return w


def _along(w: np.ndarray, like: Any, dim: int) -> np.ndarray:
    """A row of bin weights, shaped to multiply pairs along dim, in their dtype."""
    return w.reshape((-1,) + (1,) * (len(like.shape) - 1 - dim % (len(like.shape) - 1))).astype(like.dtype)


def _fit(x: Any, size: int, dim: int) -> Any:
    """Axis dim cut, or filled with zeros at its end, to ``size``."""
    have = x.shape[dim]
    if have > size:
        return narrow(x, dim, 0, size)
    if have < size:
        return cat([x, np.zeros((*x.shape[:dim], size - have, *x.shape[dim + 1:]), x.dtype)], dim=dim)
    return x


def _rfft_sums(x: Any, n: int, dim: int) -> Any:
    """The definition: X_k = sum over t of x_t exp(-2 pi i k t / n), as two products with constant matrices."""
    x = transpose(_fit(x, n, dim), dim, -1)
    angles = _angles(n)
    parts = [matmul(x, table.astype(x.dtype)) for table in (np.cos(angles), -np.sin(angles))]
    return cat([unsqueeze(transpose(p, dim, -1), -1) for p in parts], dim=-1)


def _irfft_sums(x: Any, n: int, dim: int) -> Any:
    """The definition: x_t = 1 / n times the sum over k of w_k (Re X_k cos(2 pi k t / n) - Im X_k sin(2 pi k t / n))."""
    x = _fit(x, n // 2 + 1, dim)
    re, im = transpose(x[..., 0], dim, -1), transpose(x[..., 1], dim, -1)
    angles, w = _angles(n).T, (_weights(n) / n)[:, None]
    y = matmul(re, (w * np.cos(angles)).astype(x.dtype)) - matmul(im, (w * np.sin(angles)).astype(x.dtype))
    return transpose(y, dim, -1)


def _rfft_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A] -> A with n // 2 + 1 bins in axis dim, and a last axis (real, imaginary); n at least 1"""
    if not x:
        raise RuleBroken("a transform needs an axis and x has none", "give at least one")
    (d,) = normalize_dims(attrs["dim"], len(x))
    _length(attrs["n"])
    return (*x[:d], attrs["n"] // 2 + 1, *x[d + 1:], 2)


def _irfft_rule(attrs: dict[str, Any], x: tuple[int, ...]) -> tuple[int, ...]:
    """[*A, 2] -> A with n values in axis dim of A; n at least 1"""
    if len(x) < 2 or x[-1] != 2:
        raise RuleBroken(f"x has shape {list(x)} and should end in a bin axis and a pair (real, imaginary)",
                         "give what rfft gave")
    (d,) = normalize_dims(attrs["dim"], len(x) - 1)
    _length(attrs["n"])
    if not x[d]:
        raise RuleBroken("there are no bins", "give at least one")
    return (*x[:d], attrs["n"], *x[d + 1:-1])


def _length(n: int) -> None:
    if n < 1:
        raise RuleBroken(f"the transform's length n is {n}", "n is at least 1")


def _rfft_vjp(g: Any, y: Any, x: Any, n: int, dim: int) -> Any:
    # the sum over bins of Re(G_k exp(2 pi i k t / n)) is irfft's sum without its weights and its 1 / n
    return _fit(apply(IRFFT, (g * _along(n / _weights(n), g, dim),), {"n": n, "dim": dim}), x.shape[dim], dim)


def _irfft_vjp(g: Any, y: Any, x: Any, n: int, dim: int) -> Any:
    spectrum = apply(RFFT, (g,), {"n": n, "dim": dim})
    return _fit(spectrum * _along(_weights(n) / n, spectrum, dim), x.shape[dim], dim)


def _flops(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
    n = attrs["n"]
    rows = float(np.prod(ins[0], dtype=float)) / max(ins[0][attrs["dim"]], 1)
    return 2.5 * n * math.log2(max(n, 2)) * rows  # half of a complex transform's 5 n log2 n


def _rfft_samples() -> list[Sample]:
    return [Sample((numbers((3, 8)),), {"n": 8, "dim": 1}, "contiguous"),
            Sample((numbers((2, 7, 3)),), {"n": 7, "dim": 1}, "contiguous"),
            Sample((numbers((2, 9)),), {"n": 6, "dim": 1}, "contiguous"),  # cut
            Sample((numbers((2, 4)),), {"n": 7, "dim": 1}, "contiguous"),  # filled
            Sample((numbers((3,)),), {"n": 1, "dim": 0}, "contiguous"),
            Sample((numbers((3,)),), {"n": 2, "dim": 0}, "contiguous"),
            Sample((numbers((4, 6)).T[::2],), {"n": 3, "dim": 0}, "strided"),
            Sample((np.broadcast_to(numbers((1, 5)), (2, 5)),), {"n": 5, "dim": 1}, "broadcast"),
            Sample((numbers((0, 4)),), {"n": 4, "dim": 1}, "empty")]


def _irfft_samples() -> list[Sample]:
    return [Sample((numbers((3, 5, 2)),), {"n": 8, "dim": 1}, "contiguous"),
            Sample((numbers((2, 4, 3, 2)),), {"n": 7, "dim": 1}, "contiguous"),
            Sample((numbers((2, 6, 2)),), {"n": 5, "dim": 1}, "contiguous"),  # cut
            Sample((numbers((2, 3, 2)),), {"n": 10, "dim": 1}, "contiguous"),  # filled
            Sample((numbers((2, 2)),), {"n": 1, "dim": 0}, "contiguous"),
            Sample((numbers((2, 2)),), {"n": 2, "dim": 0}, "contiguous"),
            Sample((numbers((2, 4, 6)).T[::2],), {"n": 5, "dim": 0}, "strided"),
            Sample((np.broadcast_to(numbers((1, 3, 2)), (2, 3, 2)),), {"n": 4, "dim": 1}, "broadcast"),
            Sample((numbers((0, 3, 2)),), {"n": 4, "dim": 1}, "empty")]


RFFT = register(Primitive(
    "rfft", ("x",), _rfft_rule, ref=_rfft, attrs={"n": 1, "dim": 0}, linear=True, decompose=_rfft_sums, bound="compute",
    onnx="DFT", vjp=(_rfft_vjp,), strict=True, cost=_flops, samples=_rfft_samples,
    bad=lambda: [Bad((np.ones((2, 3)),), "dim 4 is not an axis", {"n": 3, "dim": 4}),
                 Bad((np.ones((2, 3)),), "length n is 0", {"n": 0, "dim": 1}),
                 Bad((np.ones(()),), "x has none", {"n": 1, "dim": 0})]))

IRFFT = register(Primitive(
    "irfft", ("x",), _irfft_rule, ref=_irfft, attrs={"n": 1, "dim": 0}, linear=True, decompose=_irfft_sums, bound="compute",
    vjp=(_irfft_vjp,), strict=True, cost=_flops, samples=_irfft_samples,
    bad=lambda: [Bad((np.ones((2, 3)),), "a pair (real, imaginary)", {"n": 3, "dim": 0}),
                 Bad((np.ones((2, 3, 2)),), "length n is 0", {"n": 0, "dim": 1}),
                 Bad((np.ones((2, 0, 2)),), "no bins", {"n": 3, "dim": 1})]))


def _axis(x: Any, dim: int, spare: int) -> int:
    """dim as a non-negative axis of the complex shape; what is no axis is left for the rule to refuse."""
    n = len(x.shape) - spare
    return dim % n if -n <= dim < n else dim


def rfft(x: Any, n: int | None = None, dim: int = -1) -> Any:
    """Discrete Fourier transform of real x along dim: X_k = sum over t of x_t exp(-2 pi i k t / n), k = 0 .. n // 2.

    x [*A] -> A with n // 2 + 1 bins in axis dim, and a last axis of length 2, (real, imaginary). The axis is cut or
    filled with zeros to length n where n is given. Not scaled; `irfft` has the 1 / n. ShapeError (E0002) if dim is no
    axis or n < 1.

    >>> import ndiv, numpy as np
    >>> ndiv.rfft(np.array([1.0, 0.0, -1.0, 0.0]))  # one cycle: bin 1 of 0, 1, 2
    array([[0., 0.],
           [2., 0.],
           [0., 0.]])
    """
    d = _axis(x, dim, 0)
    if n is None:
        n = x.shape[d] if -len(x.shape) <= d < len(x.shape) else 1
    return apply(RFFT, (x,), {"n": int(n), "dim": d})


def irfft(x: Any, n: int | None = None, dim: int = -1) -> Any:
    """The real series of length n whose `rfft` is x: [*A, 2] -> A with n values in axis dim of A.

    n is 2 (bins - 1) if not given: say n for series of odd length. Bins are cut or filled with zeros to n // 2 + 1.
    The imaginary parts of bin 0, and of bin n / 2 for even n, belong to no real series and are not read. ShapeError
    (E0002) if x does not end in pairs, dim is no axis, or n < 1.

    >>> import ndiv, numpy as np
    >>> ndiv.irfft(ndiv.rfft(np.array([1.0, 2.0, 4.0])), n=3)
    array([1., 2., 4.])
    """
    d = _axis(x, dim, 1)
    if n is None:
        n = 2 * (x.shape[d] - 1) if 0 <= d < len(x.shape) - 1 else 1
    return apply(IRFFT, (x,), {"n": int(n), "dim": d})


# arithmetic on pairs ----------------------------------------------------------------------------------------------

def _mul(a: Any, b: Any) -> Any:
    ar, ai, br, bi = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    return cat([unsqueeze(ar * br - ai * bi, -1), unsqueeze(ar * bi + ai * br, -1)], dim=-1)


def _mul_rule(attrs: dict[str, Any], a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """[*A, 2] [*B, 2] -> [broadcast(*A, *B), 2]"""
    for name, s in (("a", a), ("b", b)):
        _is_pairs(name, s)
    return (*broadcast(a[:-1], b[:-1]), 2)


def _abs_rule(attrs: dict[str, Any], a: tuple[int, ...]) -> tuple[int, ...]:
    """[*A, 2] -> [*A]"""
    _is_pairs("a", a)
    return a[:-1]


def _is_pairs(name: str, shape: tuple[int, ...]) -> None:
    if not shape or shape[-1] != 2:
        raise RuleBroken(f"{name} has shape {list(shape)} and should end in a pair (real, imaginary)",
                         "stack the parts in a last axis of length 2")


def _abs(a: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(a):
        return np.sqrt(a[..., 0] * a[..., 0] + a[..., 1] * a[..., 1])
    return np.hypot(a[..., 0], a[..., 1])


COMPLEX_MUL = register(Primitive(
    "complex_mul", ("a", "b"), _mul_rule, decompose=_mul, saves="ab", strict=True,
    vjp=(lambda g, y, a, b: complex_mul(g, complex_conj(b)), lambda g, y, a, b: complex_mul(g, complex_conj(a))),
    cost=lambda attrs, ins, outs: 3.0 * float(np.prod(outs[0], dtype=float)),
    samples=lambda: [Sample((numbers((3, 4, 2)), numbers((3, 4, 2), seed=1)), {}, "contiguous"),
                     Sample((numbers((3, 1, 2)), numbers((2, 1, 4, 2), seed=1)), {}, "broadcast"),
                     Sample((numbers((2, 4, 6)).T[::2], numbers((4, 2), seed=1)), {}, "strided"),
                     Sample((numbers((0, 2)), numbers((2,), seed=1)), {}, "empty")],
    bad=lambda: [Bad((np.ones((2, 3)), np.ones((2, 2))), "a has shape [2, 3]"),
                 Bad((np.ones((3, 2)), np.ones((4, 2))), "do not broadcast")]))

COMPLEX_ABS = register(Primitive(
    "complex_abs", ("a",), _abs_rule, ref=_abs, saves=("a", "out"), kinks="a == 0", strict=True, onnx="ReduceL2",
    vjp=(lambda g, y, a: unsqueeze(g, -1) * (a / unsqueeze(maximum(y, np.finfo(y.dtype).tiny), -1)),),
    cost=lambda attrs, ins, outs: 4.0 * float(np.prod(outs[0], dtype=float)),
    samples=lambda: [Sample((numbers((3, 4, 2)),), {}, "contiguous"), Sample((numbers((2, 4, 6)).T[::2],), {}, "strided"),
                     Sample((np.broadcast_to(numbers((1, 3, 2)), (2, 3, 2)),), {}, "broadcast"),
                     Sample((numbers((0, 2)),), {}, "empty"), Sample((numbers((2,)),), {}, "contiguous")],
    bad=lambda: [Bad((np.ones((2, 3)),), "a has shape [2, 3]")]))


def complex_mul(a: Any, b: Any) -> Any:
    """Complex product of pairs (real, imaginary) in the last axis; the other axes broadcast.

    >>> import ndiv, numpy as np
    >>> ndiv.complex_mul(np.array([0.0, 1.0]), np.array([0.0, 1.0]))  # i * i
    array([-1.,  0.])
    """
    return apply(COMPLEX_MUL, (a, b))


def complex_conj(a: Any) -> Any:
    """Complex conjugate of pairs: the imaginary part's sign turned.

    >>> import ndiv, numpy as np
    >>> ndiv.complex_conj(np.array([1.0, 2.0]))
    array([ 1., -2.])
    """
    if not a.shape or a.shape[-1] != 2:
        raise ShapeError(f"complex_conj: a has shape {list(a.shape)}", value=a.shape,
                         hint="it ends in an axis of length 2, (real, imaginary)")
    return a * np.array([1.0, -1.0], a.dtype)


def complex_abs(a: Any) -> Any:
    """Absolute value of pairs: [*A, 2] -> [*A]; gradient 0 at 0.

    >>> import ndiv, numpy as np
    >>> ndiv.complex_abs(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([5., 0.])
    """
    return apply(COMPLEX_ABS, (a,))
