"""Shape rules: parsing, inference, and the error that a broken rule gives.

Contract: a rule is text such as ``"[*B, m, k] [*C, k, n] -> [broadcast(*B, *C), m, n]"`` (``*X`` binds any
number of axes, a name binds one, a number must match), or a function ``(attrs, *shapes) -> shape`` that raises
`RuleBroken`. `infer` gives output shapes; `explain` turns any failure into a `ShapeError` that names the op, its
arguments with shapes and types, the rule, what broke it, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError

if TYPE_CHECKING:
    from .primitive import Primitive

__all__ = ["RuleBroken", "broadcast", "explain", "infer", "normalize_dims", "parse_rule", "reduced"]

Shape = tuple[int, ...]


class RuleBroken(Exception):
    """Raised inside shape rules; carries what broke, and optionally what to do."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


@cache
def parse_rule(rule: str) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """(input patterns, output patterns), each a tuple of axis tokens.

    >>> parse_rule("[*B, m] -> [*B]")
    ((('*B', 'm'),), (('*B',),))
    """
    left, right = rule.split("->")

    def patterns(text: str) -> tuple[tuple[str, ...], ...]:
        groups = re.findall(r"\[([^\]]*)\]", text)
        return tuple(tuple(t.strip() for t in re.findall(r"broadcast\([^)]*\)|[^,\s]+", g)) for g in groups)

    return patterns(left), patterns(right)


def broadcast(*shapes: Shape) -> Shape:
    """NumPy's broadcast of shapes, or `RuleBroken` that names the two sizes."""
    out: list[int] = []
    for axis in range(-max((len(s) for s in shapes), default=0), 0):
        size = 1
        for s in shapes:
            n = s[axis] if -axis <= len(s) else 1
            if n != 1 and size != 1 and n != size:
                raise RuleBroken(f"axis {axis} has sizes {size} and {n}, which do not broadcast",
                                 "sizes must be equal, or one of them 1")
            size = n if size == 1 else size
        out.append(size)
    return tuple(out)


def _bind(pattern: tuple[str, ...], shape: Shape, arg: str, bound: dict[str, Any], seen: dict[str, str]) -> None:
    stars = [i for i, t in enumerate(pattern) if t.startswith("*")]
    fixed = len(pattern) - len(stars)
    if len(shape) < fixed or (not stars and len(shape) != fixed):
        want = f"at least {fixed}" if stars else f"{fixed}"
        raise RuleBroken(f"{arg} needs {want} axes and has {len(shape)}", "reshape or unsqueeze it")
    if stars:
        i = stars[0]
        tail = fixed - i
        split = len(shape) - tail
        name = pattern[i][1:]
        value: Any = shape[i:split]
        if name in bound and bound[name] != value:
            raise RuleBroken(f"*{name} is {bound[name]} in {seen[name]} and {value} in {arg}")
        bound[name], seen[name] = value, arg
        pairs = list(zip(pattern[:i] + pattern[i + 1:], shape[:i] + shape[split:], strict=True))
    else:
        pairs = list(zip(pattern, shape, strict=True))
    for token, size in pairs:
        if token.isdigit():
            if int(token) != size:
                raise RuleBroken(f"an axis of {arg} must be {token} and is {size}")
        elif token in bound:
            if bound[token] != size:
                raise RuleBroken(f"{token} is {bound[token]} in {seen[token]} and {size} in {arg}")
        else:
            bound[token], seen[token] = size, arg


def infer(prim: Primitive, shapes: Sequence[Shape], attrs: dict[str, Any]) -> tuple[Shape, ...]:
    """Output shapes of ``prim`` for these input shapes (raises `RuleBroken`).

    >>> from ndiv.autograd import get
    >>> infer(get("matmul"), [(5, 3, 4), (4, 2)], {})
    ((5, 3, 2),)
    """
    if callable(prim.rule):
        out = prim.rule(attrs, *shapes)
        return out if out and isinstance(out[0], tuple) else (out,)
    ins, outs = parse_rule(prim.rule)
    if len(ins) != len(shapes):
        raise RuleBroken(f"takes {len(ins)} arguments and got {len(shapes)}")
    bound: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for pattern, shape, arg in zip(ins, shapes, prim.args, strict=True):
        _bind(pattern, tuple(shape), arg, bound, seen)

    def build(pattern: tuple[str, ...]) -> Shape:
        out: list[int] = []
        for token in pattern:
            if token.startswith("broadcast("):
                out += broadcast(*(bound[n] for n in re.findall(r"\*(\w+)", token)))
            elif token.startswith("*"):
                out += bound[token[1:]]
            else:
                out.append(int(token) if token.isdigit() else bound[token])
        return tuple(out)

    return tuple(build(p) for p in outs)


def normalize_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """Axes as sorted non-negative ints; None means all."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    out = []
    for d in dims:
        if not -ndim <= d < max(ndim, 1):
            raise RuleBroken(f"dim {d} is not an axis of an array with {ndim} axes",
                             f"use {-ndim} to {ndim - 1}" if ndim else "a 0-d array has no axes")
        out.append(int(d) % ndim if ndim else 0)
    if len(set(out)) != len(out):
        raise RuleBroken(f"dim {dim} names an axis twice")
    return tuple(sorted(out))


def reduced(shape: Shape, dim: Any, keepdim: bool) -> Shape:
    """Shape after a reduction over ``dim``."""
    dims = normalize_dims(dim, len(shape))
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def explain(prim: Primitive, arrays: Sequence[Any], attrs: dict[str, Any], cause: Exception | None) -> ShapeError:
    """The `ShapeError` for a call that failed: op, arguments, shapes, types, rule, reason and hint."""
    names = list(prim.args) if not prim.variadic else [f"{prim.args[0][1:]}[{i}]" for i in range(len(arrays))]
    shapes = [tuple(np.shape(a)) for a in arrays]
    given = []
    for name, a, s in zip(names, arrays, shapes, strict=False):
        kind = getattr(a, "dtype", type(a).__name__)
        given.append(f"{name}: {kind}{list(s)}" if s or isinstance(a, np.ndarray) else f"{name}: {a!r}")
    extra = "".join(f", {k}={v!r}" for k, v in attrs.items() if v is not None)
    rule = prim.rule if isinstance(prim.rule, str) else (prim.rule.__doc__ or prim.rule.__name__).strip()
    why, hint = (str(cause) if cause else "the arguments do not fit"), ""
    odd = [n for n, a in zip(names, arrays, strict=False)
           if getattr(a, "dtype", None) is not None and a.dtype.kind not in "fciub"]
    if odd:
        why, hint = f"{odd[0]} does not hold numbers", "convert it to a float array first"
    else:
        try:
            infer(prim, shapes, attrs)
        except RuleBroken as broken:
            why, hint = str(broken), broken.hint
        except Exception as other:  # a rule that fails on nonsense must not hide the first cause
            why = why or str(other)
    return ShapeError(f"{prim.name}({', '.join(given)}{extra}): {why}. Rule: {rule}.", value=shapes,
                      hint=hint or "check the shapes against the rule", op=prim.name, shapes=shapes, rule=rule)
