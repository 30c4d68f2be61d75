"""Windows that slide over the last axes: convolution, pooling, and resampling.

Convolution over any number of axes is one trilinear form, the sum over output places p and kernel places k of
``g[p] * w[k] * x[p * stride + k * dilation - padding]``. Its three primitives hold two of the factors and give the third
(conv: x, w; conv_grad_input: g, w; conv_grad_weight: x, g), so the gradients of each are the other two, to any order.
Interpolation between fixed sizes is a linear map, written as one product with a constant matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...errors import ConfigError, closest
from ..primitive import Bad, Primitive, Sample, register
from ..shapes import RuleBroken
from ..tape import apply
from ._declare import numbers
from .gather import SCATTER_ADD
from .linear import matmul
from .shape import PUT, Key, cat, pad, reshape, unsqueeze

PUBLIC = ["avg_pool2d", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "interpolate", "max_pool2d"]
_NDIV_INTERNAL = True
Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
CONV: Primitive  # the three share their gradients
CONV_GRAD_INPUT: Primitive
CONV_GRAD_WEIGHT: Primitive


# places -----------------------------------------------------------------------------------------------------------

def _places(size: Sequence[int], kernel: Sequence[int], stride: Ints, padding: Pairs, dilation: Ints) -> Ints:
    """How many windows fit along each axis."""
    out = []
    for i, (n, k, s, (before, after), d) in enumerate(zip(size, kernel, stride, padding, dilation, strict=True)):
        if min(k, s, d) < 1 or min(before, after) < 0:
            raise RuleBroken(f"kernel {k}, stride {s}, dilation {d} and padding {before, after} of axis {i - len(stride)}",
                             "kernel, stride and dilation are at least 1, padding at least 0")
        reach, room = d * (k - 1) + 1, n + before + after
        if room < reach:
            raise RuleBroken(f"axis {i - len(stride)} has {n} elements, {room} with padding, and the kernel reaches over "
                             f"{reach}", "use a smaller kernel_size or dilation, or more padding")
        out.append((room - reach) // s + 1)
    return tuple(out)


def _padded(x: np.ndarray, padding: Pairs, value: float = 0.0) -> np.ndarray:
    """x with ``value`` around its last axes; x itself where there is nothing to add."""
    if not any(before or after for before, after in padding):
        return x
    lead, size = x.shape[:-len(padding)], x.shape[-len(padding):]
    wide = tuple(n + before + after for n, (before, after) in zip(size, padding, strict=True))
    out = np.full((*lead, *wide), value, x.dtype)
    out[_inside(size, padding)] = x
    return out


def _inside(size: Sequence[int], padding: Pairs) -> Any:
    """Where an array of that size lies in its padded form: an index of the last axes."""
    return _last(slice(before, before + n) for n, (before, _) in zip(size, padding, strict=True))


def _last(index: Iterable[Any]) -> Any:
    """An index of the last axes."""
    return (Ellipsis, *index)


def _at(k: Ints, places: Ints, stride: Ints, dilation: Ints) -> Any:
    """The elements that kernel place k meets, one for each window: an index into the padded array."""
    return _last(slice(i * d, i * d + (p - 1) * s + 1, s)
                 for i, p, s, d in zip(k, places, stride, dilation, strict=True))


def _kernel_places(kernel: Sequence[int]) -> Iterator[Ints]:
    return np.ndindex(*kernel)


def _windows(x: np.ndarray, kernel: Ints, places: Ints, stride: Ints, dilation: Ints) -> np.ndarray:
    """All windows of a padded [B, C, *S] as a view [B, C, *kernel, *places]."""
    steps = x.strides[2:]
    return as_strided(x, (*x.shape[:2], *kernel, *places),
                      (*x.strides[:2], *(t * d for t, d in zip(steps, dilation, strict=True)),
                       *(t * s for t, s in zip(steps, stride, strict=True))), writeable=False)


# convolution ------------------------------------------------------------------------------------------------------

def _conv(x: np.ndarray, w: np.ndarray, stride: Ints, padding: Pairs, dilation: Ints, groups: int) -> np.ndarray:
    kernel = w.shape[2:]
    places = _places(x.shape[2:], kernel, stride, padding, dilation)
    x = _padded(x, padding)
    b, out = x.shape[0], w.shape[0]
    if w.shape[1] == 1:  # one input channel a group: a product of numbers, not of matrices, at each kernel place
        y = np.zeros((b, groups, out // groups, *places), np.result_type(x, w))
        taps = w.reshape(groups, out // groups, *kernel)
        for k in _kernel_places(kernel):
            part = x[_at(k, places, stride, dilation)]
            y += part[:, :, None] * taps[_last(k)].reshape(groups, -1, *(1,) * len(places))
        return y.reshape(b, out, *places)
    columns = _windows(x, kernel, places, stride, dilation).reshape(
        b, groups, w.shape[1] * math.prod(kernel), math.prod(places))  # the copy known as im2col
    return np.matmul(w.reshape(groups, out // groups, columns.shape[2]), columns).reshape(b, out, *places)


def _conv_grad_input(g: np.ndarray, w: np.ndarray, stride: Ints, padding: Pairs, dilation: Ints, groups: int,
                     size: Ints) -> np.ndarray:
    g = np.ascontiguousarray(g)  # a sum's cotangent is one number with strides 0, which no BLAS takes
    b, out, *places = g.shape
    kernel, c, n = w.shape[2:], w.shape[1], len(places)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if max(stride) == 1 and all(max(sides) <= r for sides, r in zip(padding, reach, strict=True)):
        # then it is a convolution with the kernel turned round, and gathering windows is quicker than adding them up
        turned = np.flip(w, tuple(range(2, 2 + n))).reshape(groups, out // groups, c, *kernel).swapaxes(1, 2)
        sides = tuple((r - before, r - after) for (before, after), r in zip(padding, reach, strict=True))
        return _conv(g, turned.reshape(groups * c, out // groups, *kernel), stride, sides, dilation, groups)
    wide = tuple(m + before + after for m, (before, after) in zip(size, padding, strict=True))
    total = np.zeros((b, groups * c, *wide), np.result_type(g, w))
    g = g.reshape(b, groups, out // groups, math.prod(places))
    columns = np.matmul(w.reshape(groups, out // groups, c * math.prod(kernel)).swapaxes(1, 2), g)
    columns = columns.reshape(b, groups * c, math.prod(kernel), *places)
    for j, k in enumerate(_kernel_places(kernel)):
        total[_at(k, tuple(places), stride, dilation)] += columns[:, :, j]
    return total if wide == size else np.ascontiguousarray(total[_inside(size, padding)])


def _conv_grad_weight(x: np.ndarray, g: np.ndarray, stride: Ints, padding: Pairs, dilation: Ints, groups: int,
                      kernel: Ints) -> np.ndarray:
    b, out, *places = g.shape
    n, c = len(places), x.shape[1] // groups
    x = _padded(x, padding)
    if c == 1:
        g = g.reshape(b, groups, out // groups, *places)
        taps = [np.einsum(g, [0, 1, 2, *range(3, 3 + n)], x[_at(k, tuple(places), stride, dilation)],
                          [0, 1, *range(3, 3 + n)], [1, 2]) for k in _kernel_places(kernel)]
        return np.stack(taps, -1).reshape(out, 1, *kernel)
    view = _windows(x, kernel, tuple(places), stride, dilation)
    order = (1, *range(2, 2 + n), 0, *range(2 + n, 2 + 2 * n))  # batch next to the places: both are summed over
    columns = view.transpose(order).reshape(groups, c * math.prod(kernel), b * math.prod(places))
    rows = np.ascontiguousarray(g.swapaxes(0, 1)).reshape(groups, out // groups, columns.shape[2])
    return np.matmul(rows, columns.swapaxes(1, 2)).reshape(out, c, *kernel)


# The definitions, in other ops: a sum over kernel places, each a product of matrices over the channels.

def _part(x: Any, k: Ints, places: Ints, stride: Ints, dilation: Ints, groups: int) -> Any:
    b, c = x.shape[:2]
    return reshape(x[_at(k, places, stride, dilation)], (b, groups, c // groups, math.prod(places)))


def _by_places(x: Any, w: Any, stride: Ints, padding: Pairs, dilation: Ints, groups: int) -> Any:
    kernel, out, c = tuple(w.shape[2:]), w.shape[0], w.shape[1]
    places = _places(x.shape[2:], kernel, stride, padding, dilation)
    x = pad(x, _flat(padding))
    terms = [matmul(reshape(w[_last(k)], (groups, out // groups, c)), _part(x, k, places, stride, dilation, groups))
             for k in _kernel_places(kernel)]
    return reshape(_total(terms), (x.shape[0], out, *places))


def _input_by_places(g: Any, w: Any, stride: Ints, padding: Pairs, dilation: Ints, groups: int, size: Ints) -> Any:
    (b, out), places, c = g.shape[:2], tuple(g.shape[2:]), w.shape[1]
    g = reshape(g, (b, groups, out // groups, math.prod(places)))
    wide = (b, groups * c, *(m + before + after for m, (before, after) in zip(size, padding, strict=True)))
    terms = []
    for k in _kernel_places(w.shape[2:]):
        part = matmul(reshape(w[_last(k)], (groups, out // groups, c)).swapaxes(1, 2), g)
        key = Key(_at(k, places, stride, dilation))
        terms.append(apply(PUT, (reshape(part, (b, groups * c, *places)),), {"key": key, "shape": wide}))
    return _total(terms)[_inside(size, padding)]


def _weight_by_places(x: Any, g: Any, stride: Ints, padding: Pairs, dilation: Ints, groups: int, kernel: Ints) -> Any:
    (b, out), places, c = g.shape[:2], tuple(g.shape[2:]), x.shape[1] // groups
    x = pad(x, _flat(padding))
    g = reshape(g, (b, groups, out // groups, math.prod(places)))
    terms = [reshape(matmul(g, _part(x, k, places, stride, dilation, groups).swapaxes(2, 3)).sum(0), (out, c, 1))
             for k in _kernel_places(kernel)]
    return reshape(cat(terms, dim=-1), (out, c, *kernel))


def _flat(padding: Pairs) -> list[int]:
    return [p for pair in reversed(padding) for p in pair]


def _total(terms: list[Any]) -> Any:
    out = terms[0]
    for term in terms[1:]:
        out = out + term
    return out


# Rules, gradients, samples

def _check_axes(x: Ints, w: Ints, attrs: dict[str, Any]) -> None:
    n, groups = len(attrs["stride"]), attrs["groups"]
    if len(x) != n + 2:
        raise RuleBroken(f"the input has {len(x)} axes and a convolution over {n} needs {n + 2}", "[batch, channels, ...]")
    if len(w) != n + 2:
        raise RuleBroken(f"the weight has {len(w)} axes and a convolution over {n} needs {n + 2}",
                         "[out channels, in channels / groups, ...]")
    if groups < 1 or w[0] % groups:
        raise RuleBroken(f"{w[0]} output channels do not divide into {groups} groups", "groups must divide both channels")


def _conv_rule(attrs: dict[str, Any], x: Ints, w: Ints) -> Ints:
    """[B, C, *S] [O, C / groups, *K] -> [B, O, *P], P = (S + padding - dilation (K - 1) - 1) // stride + 1"""
    _check_axes(x, w, attrs)
    if x[1] != w[1] * attrs["groups"]:
        raise RuleBroken(f"x has {x[1]} channels and the weight takes {w[1]} x {attrs['groups']} groups",
                         "they must be equal; channels are axis 1")
    return (x[0], w[0], *_places(x[2:], w[2:], attrs["stride"], attrs["padding"], attrs["dilation"]))


def _input_rule(attrs: dict[str, Any], g: Ints, w: Ints) -> Ints:
    """[B, O, *P] [O, C / groups, *K] -> [B, C, *size]; P as conv has it for that size"""
    _check_axes(g, w, attrs)
    if g[1] != w[0]:
        raise RuleBroken(f"g has {g[1]} channels and the weight {w[0]}", "they must be equal; channels are axis 1")
    places = _places(attrs["size"], w[2:], attrs["stride"], attrs["padding"], attrs["dilation"])
    if g[2:] != places:
        raise RuleBroken(f"g has {list(g[2:])} places and size {list(attrs['size'])} gives {list(places)}",
                         "give the size of the convolution's input")
    return (g[0], w[1] * attrs["groups"], *attrs["size"])


def _weight_rule(attrs: dict[str, Any], x: Ints, g: Ints) -> Ints:
    """[B, C, *S] [B, O, *P] -> [O, C / groups, *kernel]; P as conv has it for that kernel"""
    groups = attrs["groups"]
    if len(x) != len(g) or len(x) != len(attrs["kernel"]) + 2 or x[0] != g[0]:
        raise RuleBroken(f"x has shape {list(x)} and g {list(g)}", "both are [batch, channels, ...], with one batch")
    if x[1] % groups or g[1] % groups:
        raise RuleBroken(f"{x[1]} and {g[1]} channels do not divide into {groups} groups", "groups must divide both")
    places = _places(x[2:], attrs["kernel"], attrs["stride"], attrs["padding"], attrs["dilation"])
    if g[2:] != places:
        raise RuleBroken(f"g has {list(g[2:])} places and the kernel gives {list(places)}", "give the gradient of conv")
    return (g[1], x[1] // groups, *attrs["kernel"])


def _to_input(g: Any, w: Any, size: Ints, **attrs: Any) -> Any:
    return apply(CONV_GRAD_INPUT, (g, w), {**attrs, "size": tuple(size)})


def _to_weight(x: Any, g: Any, kernel: Ints, **attrs: Any) -> Any:
    return apply(CONV_GRAD_WEIGHT, (x, g), {**attrs, "kernel": tuple(kernel)})


def _to_output(x: Any, w: Any, **attrs: Any) -> Any:
    return apply(CONV, (x, w), attrs)


def _setting(stride: Ints = (1,), padding: Pairs | None = None, dilation: Ints | None = None,
             groups: int = 1) -> dict[str, Any]:
    n = len(stride)
    return {"stride": stride, "padding": padding or ((0, 0),) * n, "dilation": dilation or (1,) * n, "groups": groups}


def _cases() -> list[tuple[np.ndarray, np.ndarray, dict[str, Any], str]]:
    """(x, w, attributes, tag): every branch, over one and two axes."""
    def case(x: Ints, w: Ints, tag: str, **setting: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any], str]:
        return numbers(x), numbers(w, seed=1), _setting(**setting), tag

    return [
        case((2, 3, 7), (4, 3, 3), "contiguous"),
        case((2, 4, 9), (6, 2, 2), "batched", stride=(2,), padding=((1, 2),), dilation=(2,), groups=2),
        case((2, 3, 6), (6, 1, 3), "batched", padding=((2, 0),), groups=3),
        case((2, 2, 5, 4), (3, 2, 2, 3), "contiguous", stride=(2, 1), padding=((0, 1), (1, 1))),
        case((1, 4, 5, 5), (4, 2, 3, 1), "batched", stride=(1, 2), dilation=(2, 1), groups=2),
        case((1, 2, 4, 4), (2, 1, 2, 2), "batched", stride=(3, 2), groups=2),
        case((0, 3, 5), (2, 3, 2), "empty"),
        (numbers((7, 3, 4)).T[::2], numbers((3, 3, 4), seed=1).T, _setting(), "strided"),
    ]


def _conv_samples() -> list[Sample]:
    return [Sample((x, w), attrs, tag) for x, w, attrs, tag in _cases()]


def _input_samples() -> list[Sample]:
    return [Sample((numbers(_conv_rule(a, x.shape, w.shape), seed=2), w), {**a, "size": x.shape[2:]}, tag)
            for x, w, a, tag in _cases()]


def _weight_samples() -> list[Sample]:
    return [Sample((x, numbers(_conv_rule(a, x.shape, w.shape), seed=2)), {**a, "kernel": w.shape[2:]}, tag)
            for x, w, a, tag in _cases()]


def _conv_flops(attrs: dict[str, Any], batch_out: Ints, weight: Ints) -> float:
    """2 flops for each element of [B, O, *P] and each weight that it meets."""
    return 2.0 * math.prod(batch_out) * math.prod(weight[1:])


_ATTRS = _setting()

CONV = register(Primitive(
    "conv", ("x", "w"), _conv_rule, ref=_conv, decompose=_by_places, attrs=_ATTRS, saves=("x", "w"), onnx="Conv",
    bound="compute", strict=True, samples=_conv_samples, cost=lambda attrs, ins, outs: _conv_flops(attrs, outs[0], ins[1]),
    vjp=(lambda g, y, x, w, **a: _to_input(g, w, x.shape[2:], **a),
         lambda g, y, x, w, **a: _to_weight(x, g, w.shape[2:], **a)),
    bad=lambda: [Bad((np.ones((2, 3, 5)), np.ones((4, 2, 3))), "x has 3 channels", _setting()),
                 Bad((np.ones((2, 3, 5)), np.ones((4, 3, 7))), "the kernel reaches over 7", _setting()),
                 Bad((np.ones((2, 3)), np.ones((4, 3, 7))), "the input has 2 axes", _setting()),
                 Bad((np.ones((2, 3, 5)), np.ones((4, 3, 3))), "stride 0", _setting(stride=(0,))),
                 Bad((np.ones((2, 4, 5)), np.ones((3, 2, 3))), "into 2 groups", _setting(groups=2))]))

CONV_GRAD_INPUT = register(Primitive(
    "conv_grad_input", ("g", "w"), _input_rule, ref=_conv_grad_input, decompose=_input_by_places,
    attrs={**_ATTRS, "size": ()}, saves=("g", "w"), onnx="ConvTranspose", bound="compute", strict=True,
    samples=_input_samples, cost=lambda attrs, ins, outs: _conv_flops(attrs, ins[0], ins[1]),
    vjp=(lambda u, y, g, w, size, **a: _to_output(u, w, **a),
         lambda u, y, g, w, size, **a: _to_weight(u, g, w.shape[2:], **a)),
    bad=lambda: [Bad((np.ones((2, 4, 5)), np.ones((4, 3, 3))), "[5] places", {**_setting(), "size": (9,)}),
                 Bad((np.ones((2, 5, 5)), np.ones((4, 3, 3))), "g has 5 channels", {**_setting(), "size": (7,)})]))

CONV_GRAD_WEIGHT = register(Primitive(
    "conv_grad_weight", ("x", "g"), _weight_rule, ref=_conv_grad_weight, decompose=_weight_by_places,
    attrs={**_ATTRS, "kernel": ()}, saves=("x", "g"), bound="compute", batch="reduce", strict=True,
    samples=_weight_samples, cost=lambda attrs, ins, outs: _conv_flops(attrs, ins[1], outs[0]),
    vjp=(lambda v, y, x, g, kernel, **a: _to_input(g, v, x.shape[2:], **a),
         lambda v, y, x, g, kernel, **a: _to_output(x, v, **a)),
    bad=lambda: [Bad((np.ones((2, 3, 5)), np.ones((2, 4, 5))), "[5] places", {**_setting(), "kernel": (3,)}),
                 Bad((np.ones((2, 3, 5)), np.ones((3, 4, 3))), "one batch", {**_setting(), "kernel": (3,)})]))


# The public functions

def _ints(value: Any, n: int, name: str) -> Ints:
    """One number for all axes, or one for each."""
    values = (value,) * n if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise ConfigError(f"{name} has {len(values)} numbers and there are {n} axes", value=value,
                          hint="give one number, or one for each axis")
    return tuple(int(v) for v in values)


def _padding(padding: Any, kernel: Ints, stride: Ints, dilation: Ints) -> Pairs:
    n = len(kernel)
    if padding == "valid":
        return ((0, 0),) * n
    if padding == "same":
        if max(stride) > 1:
            raise ConfigError("padding='same' needs stride 1", value=stride, hint="give the padding in numbers")
        spare = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((s // 2, s - s // 2) for s in spare)
    if isinstance(padding, str):
        raise ConfigError(f"unknown padding {padding!r}", value=padding, hint=closest(padding, ("same", "valid")))
    return tuple((p, p) for p in _ints(padding, n, "padding"))


def _with_batch(x: Any, n: int, run: Callable[[Any], Any]) -> Any:
    """run on [B, C, ...]; an input without the batch axis gets one for the time."""
    return reshape(y := run(unsqueeze(x, 0)), y.shape[1:]) if len(x.shape) == n + 1 else run(x)


def _add_bias(y: Any, bias: Any) -> Any:
    return y if bias is None else y + reshape(bias, (-1,) + (1,) * (len(y.shape) - 2))


def _convolve(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int, n: int) -> Any:
    steps, spread = _ints(stride, n, "stride"), _ints(dilation, n, "dilation")
    kernel = tuple(weight.shape[2:])
    attrs = {"stride": steps, "dilation": spread, "groups": groups,
             "padding": _padding(padding, kernel, steps, spread) if len(kernel) == n else ((0, 0),) * n}
    return _with_batch(x, n, lambda v: _add_bias(apply(CONV, (v, weight), attrs), bias))


def conv1d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlation over time, as PyTorch's F.conv1d: x [B, C, L], weight [O, C / groups, K], bias [O] -> [B, O, P].

    ``y[b, o, p] = bias[o] + sum over c, k of weight[o, c, k] * x[b, c, p * stride + k * dilation - padding]``, with zeros
    outside x. padding: whole numbers, "valid" (none) or "same" (P = L; an odd remainder goes to the end). x may lack B.

    >>> import ndiv, numpy as np
    >>> ndiv.conv1d(np.arange(4.0).reshape(1, 1, 4), np.ones((1, 1, 2)))
    array([[[1., 3., 5.]]])
    """
    return _convolve(x, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlation over two axes, as PyTorch's F.conv2d: x [B, C, H, W], weight [O, C / groups, K, L], bias [O].

    Arguments as in `conv1d`; stride, padding and dilation are one number or one for each axis.

    >>> import ndiv, numpy as np
    >>> ndiv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))[0, 0]
    array([[4., 4.],
           [4., 4.]])
    """
    return _convolve(x, weight, bias, stride, padding, dilation, groups, 2)


def _transposed(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int,
                dilation: Any, n: int) -> Any:
    steps, spread = _ints(stride, n, "stride"), _ints(dilation, n, "dilation")
    pads, extra = _ints(padding, n, "padding"), _ints(output_padding, n, "output_padding")
    if any(not 0 <= e < s for e, s in zip(extra, steps, strict=True)):
        raise ConfigError(f"output_padding {output_padding} with stride {stride}", value=output_padding,
                          hint="it chooses among the lengths that the stride leaves open, so it must be smaller")
    size = tuple((m - 1) * s - 2 * p + d * (k - 1) + e + 1 for m, s, p, d, k, e in zip(
        x.shape[-n:], steps, pads, spread, weight.shape[2:], extra, strict=False))
    attrs = {"stride": steps, "padding": tuple((p, p) for p in pads), "dilation": spread, "groups": groups, "size": size}
    return _with_batch(x, n, lambda v: _add_bias(apply(CONV_GRAD_INPUT, (v, weight), attrs), bias))


def conv_transpose1d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> Any:
    """The transpose of `conv1d` in x, which lengthens where that shortens; x [B, C, P], weight [C, O / groups, K].

    The result is [B, O, L], L = (P - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1.

    >>> import ndiv, numpy as np
    >>> ndiv.conv_transpose1d(np.ones((1, 1, 2)), np.ones((1, 1, 2)), stride=2)
    array([[[1., 1., 1., 1.]]])
    """
    return _transposed(x, weight, bias, stride, padding, output_padding, groups, dilation, 1)


def conv_transpose2d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> Any:
    """The transpose of `conv2d` in x; x [B, C, P, Q], weight [C, O / groups, K, L], arguments as `conv_transpose1d`.

    >>> import ndiv, numpy as np
    >>> ndiv.conv_transpose2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))).shape
    (1, 1, 4, 4)
    """
    return _transposed(x, weight, bias, stride, padding, output_padding, groups, dilation, 2)

# pooling ----------------------------------------------------------------------------------------------------------

def _pool_padding(size: Sequence[int], kernel: Ints, stride: Ints, padding: Ints, dilation: Ints,
                  ceil_mode: bool) -> Pairs:
    """(before, after) for each axis; in ceil mode a last window may hang over the end, but must begin before it."""
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        if not 0 <= 2 * p <= k:
            raise RuleBroken(f"padding {p} of a window of {k}", "it may be at most half the window")
        over = 0
        if ceil_mode and s > 0:
            spare = n + 2 * p - d * (k - 1) - 1
            last = -(-spare // s) * s
            over = last - spare if last < n + p else 0
        out.append((p, p + over))
    return tuple(out)


def _pool_rule(attrs: dict[str, Any], x: Ints) -> Any:
    """[*B, *S] -> [*B, *P], P windows along each of the last axes"""
    n = len(attrs["kernel"])
    if len(x) < n:
        raise RuleBroken(f"x has {len(x)} axes and pooling over {n} needs as many", "give at least that many")
    size, spread = x[len(x) - n:], attrs.get("dilation", (1,) * n)
    padding = _pool_padding(size, attrs["kernel"], attrs["stride"], attrs["padding"], spread, attrs["ceil_mode"])
    return (*x[:len(x) - n], *_places(size, attrs["kernel"], attrs["stride"], padding, spread))


def _max_rule(attrs: dict[str, Any], x: Ints) -> Any:
    """[*B, *S] -> [*B, *P], [*B, *P], P windows along each of the last axes"""
    out = _pool_rule(attrs, x)
    return out, out


def _max_pool(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints,
              ceil_mode: bool) -> tuple[np.ndarray, np.ndarray]:
    n = len(kernel)
    size = x.shape[x.ndim - n:]
    pairs = _pool_padding(size, kernel, stride, padding, dilation, ceil_mode)
    places = _places(size, kernel, stride, pairs, dilation)
    wide = _padded(x, pairs, -np.inf)
    some_nan = bool(np.isnan(wide).any())
    # which place of its window is the largest: at first the first that is not padding, so that padding never wins
    first, corner = _first_places(size, kernel, places, stride, padding, dilation)
    best = np.full((*x.shape[:x.ndim - n], *places), -np.inf, x.dtype)
    which = np.broadcast_to(first.astype(np.min_scalar_type(math.prod(kernel))), best.shape).copy()
    for j, k in enumerate(_kernel_places(kernel)):
        part = wide[_at(k, places, stride, dilation)]
        better = part > best
        if some_nan:
            better |= part != part
        np.copyto(which, which.dtype.type(j), where=better)
        np.maximum(best, part, out=best)
    steps = [math.prod(size[i + 1:]) for i in range(n)]
    offset = np.array([np.dot(np.multiply(k, dilation), steps) for k in _kernel_places(kernel)])
    return best, offset[which] + corner


def _first_places(size: Ints, kernel: Ints, places: Ints, stride: Ints, padding: Ints,
                  dilation: Ints) -> tuple[np.ndarray, np.ndarray]:
    """For each window, its first place that is not padding, and the element (numbered, maybe outside) it begins at."""
    first = corner = np.zeros((), np.int64)
    for n, k, p, s, before, d in zip(size, kernel, places, stride, padding, dilation, strict=True):
        start = np.arange(p) * s - before
        first = first[..., None] * k + np.maximum(-(start // d), 0)
        corner = corner[..., None] * n + start
    return first, corner


def _max_pool_vjp(g: Any, out: Any, x: Any, **attrs: Any) -> Any:
    n, index = len(attrs["kernel"]), out[1]
    lead, size = tuple(x.shape[:len(x.shape) - n]), tuple(x.shape[len(x.shape) - n:])
    flat = (*lead, math.prod(index.shape[len(lead):]))
    spread = apply(SCATTER_ADD, (reshape(g[0], flat), reshape(index, flat)), {"dim": len(lead), "size": math.prod(size)})
    return (reshape(spread, (*lead, *size)),)


def _pool_setting(kernel: Ints, stride: Ints | None = None, padding: Ints | None = None, ceil_mode: bool = False,
                  **more: Any) -> dict[str, Any]:
    zeros = (0,) * len(kernel)
    return {"kernel": kernel, "stride": stride or kernel, "padding": padding or zeros, "ceil_mode": ceil_mode, **more}


def _pool_samples(**more: Any) -> list[Sample]:
    def case(x: Any, tag: str, *setting: Any) -> Sample:
        attrs = {**_pool_setting(*setting), **more}
        if "dilation" in attrs:
            attrs["dilation"] = attrs["dilation"] * len(attrs["kernel"])
        return Sample((numbers(x) if isinstance(x, tuple) else x,), attrs, tag)

    return [case((2, 7), "contiguous", (2,)), case((2, 3, 9), "batched", (3,), (2,), (1,), True),
            case((2, 3, 5, 6), "contiguous", (2, 3)), case((1, 2, 6, 5), "batched", (3, 2), (2, 3), (1, 1), True),
            case(numbers((9, 4)).T[::2], "strided", (3,), (1,)), case((0, 4), "empty", (2,), (1,))]


MAX_POOL = register(Primitive(
    "max_pool", ("x",), _max_rule, ref=_max_pool, attrs=_pool_setting((2,), dilation=(1,)), saves=("out",), n_out=2,
    n_diff=1, analytic=False, kinks="ties in a window", onnx="MaxPool", strict=True, vjp=_max_pool_vjp,
    samples=lambda: _pool_samples(dilation=(1,)) + [
        Sample((numbers((2, 9)),), _pool_setting((3,), (1,), (1,), dilation=(2,)), "contiguous")],
    cost=lambda attrs, ins, outs: float(math.prod(attrs["kernel"]) * math.prod(outs[0])),
    bad=lambda: [Bad((np.ones((2, 3)),), "kernel reaches over 5", _pool_setting((5,), dilation=(1,))),
                 Bad((np.ones((2, 3)),), "at most half", _pool_setting((2,), padding=(2,), dilation=(1,))),
                 Bad((np.ones(3),), "x has 1 axes", _pool_setting((2, 2), dilation=(1, 1)))]))


def _window_sum(size: Ints, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool,
                count_include_pad: bool, dtype: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """(a kernel of ones, 1 / elements of each window, the settings of the convolution that sums windows)."""
    n = len(kernel)
    pairs = _pool_padding(size, kernel, stride, padding, (1,) * n, ceil_mode)
    places = _places(size, kernel, stride, pairs, (1,) * n)
    count = np.ones(())
    for m, k, s, p, q in zip(size, kernel, stride, padding, places, strict=True):
        start = np.arange(q) * s - p
        low, high = (-p, m + p) if count_include_pad else (0, m)  # what hangs over in ceil mode never counts
        count = count[..., None] * (np.minimum(start + k, high) - np.maximum(start, low))
    ones = np.ones((1, 1, *kernel), dtype)
    return ones, (1.0 / count).astype(dtype), _setting(stride, pairs)


def _avg_pool(x: Any, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_include_pad: bool) -> Any:
    lead, size = tuple(x.shape[:len(x.shape) - len(kernel)]), tuple(x.shape[len(x.shape) - len(kernel):])
    ones, share, attrs = _window_sum(size, kernel, stride, padding, ceil_mode, count_include_pad, x.dtype)
    total = apply(CONV, (reshape(x, (math.prod(lead), 1, *size)), ones), attrs)
    return reshape(total, (*lead, *share.shape)) * share


def _avg_pool_vjp(g: Any, y: Any, x: Any, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool,
                  count_include_pad: bool) -> Any:
    lead, size = tuple(x.shape[:len(x.shape) - len(kernel)]), tuple(x.shape[len(x.shape) - len(kernel):])
    ones, share, attrs = _window_sum(size, kernel, stride, padding, ceil_mode, count_include_pad, g.dtype)
    rows = reshape(g * share, (math.prod(lead), 1, *share.shape))
    return reshape(apply(CONV_GRAD_INPUT, (rows, ones), {**attrs, "size": size}), x.shape)


AVG_POOL = register(Primitive(
    "avg_pool", ("x",), _pool_rule, decompose=_avg_pool, attrs=_pool_setting((2,), count_include_pad=True), linear=True,
    onnx="AveragePool", strict=True, vjp=(_avg_pool_vjp,),
    samples=lambda: [s for flag in (True, False) for s in _pool_samples(count_include_pad=flag)],
    cost=lambda attrs, ins, outs: float(math.prod(attrs["kernel"]) * math.prod(outs[0])),
    bad=lambda: [Bad((np.ones((2, 3)),), "kernel reaches over 5", _pool_setting((5,), count_include_pad=True)),
                 Bad((np.ones((2, 9)),), "at most half", _pool_setting((3,), padding=(2,), count_include_pad=True))]))


def max_pool(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
             return_indices: bool = False, *, axes: int = 1) -> Any:
    """Largest value in each window of the last ``axes`` axes (and its index within them, flattened, on request)."""
    kernel = _ints(kernel_size, axes, "kernel_size")
    out = apply(MAX_POOL, (x,), {
        "kernel": kernel, "stride": _ints(kernel if stride is None else stride, axes, "stride"),
        "padding": _ints(padding, axes, "padding"), "dilation": _ints(dilation, axes, "dilation"), "ceil_mode": ceil_mode})
    return out if return_indices else out[0]


def avg_pool(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
             count_include_pad: bool = True, *, axes: int = 1) -> Any:
    """Mean of each window of the last ``axes`` axes; padding counts as zeros unless count_include_pad is False."""
    kernel = _ints(kernel_size, axes, "kernel_size")
    return apply(AVG_POOL, (x,), {
        "kernel": kernel, "stride": _ints(kernel if stride is None else stride, axes, "stride"),
        "padding": _ints(padding, axes, "padding"), "ceil_mode": ceil_mode, "count_include_pad": count_include_pad})


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """Largest value in each window of the last two axes, as PyTorch's F.max_pool2d; [*, H, W] -> [*, P, Q].

    Each size is one number or (rows, columns); stride is kernel_size unless given; padding never wins. With
    return_indices also the place of each value within its [H, W], counted row by row.

    >>> import ndiv, numpy as np
    >>> ndiv.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return max_pool(x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, axes=2)


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """Mean of each window of the last two axes, as PyTorch's F.avg_pool2d; [*, H, W] -> [*, P, Q].

    >>> import ndiv, numpy as np
    >>> ndiv.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, axes=2)


# resampling -------------------------------------------------------------------------------------------------------

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
