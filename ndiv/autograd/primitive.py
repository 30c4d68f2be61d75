"""The Primitive record and the registry: the only table of ops in ndiv.

Contract: every op is one `Primitive`, declared once in `ndiv/autograd/ops/`. Whoever needs to know something of an
op (eager execution, backward, verification, costs, drawing, and later plans and export) reads it here and
nowhere else. `run` is what executes: the NumPy reference, or what the active backend offers in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Bad", "Like", "Primitive", "REGISTRY", "Sample", "get", "register"]


@dataclass(frozen=True)
class Sample:
    """One set of arguments on which an op must be right. ``tag`` names the layout or case it stands for."""

    inputs: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    tag: str = ""


@dataclass(frozen=True)
class Bad:
    """One set of arguments that must be refused with a message holding ``match``."""

    inputs: tuple[Any, ...]
    match: str
    attrs: dict[str, Any] = field(default_factory=dict)


class Like:
    """Stands for an input that backward did not save: its shape only."""

    __slots__ = ("shape",)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    @property
    def ndim(self) -> int:
        return len(self.shape)


Shape = tuple[int, ...]
Cost = tuple[float, float]


@dataclass(eq=False)
class Primitive:
    """Everything that is known of one op.

    name, args, attrs   the op, the names of its array arguments (``"*xs"`` when any number), its attributes' defaults
    rule                shape rule: a string for `shapes.parse_rule`, or a function (attrs, *shapes) -> shape(s)
    ref                 NumPy reference on arrays; must run in float64, and in complex128 where ``analytic``
    fast                quicker NumPy form of ``ref`` for real arrays, which it must agree with
    expr                elementwise ops: one scalar expression over a maths namespace; ``ref`` follows from it
    vjp                 one function (g, out, *inputs, **attrs) per argument (None: no gradient), or one function
                        that returns them all; written in ndiv ops, which work on bare arrays as on Tensors
    saves               what vjp reads: names of arguments, and "out"; other inputs reach it as `Like`
    decompose           composites: the same function written in other ops; oracle, fallback and higher orders
    n_out               number of outputs; with more than one, ``g`` and ``out`` are tuples
    n_diff              how many of them carry gradients (the rest exist for backward alone); default all
    linear              the map is linear in its inputs (jvp equals the op itself)
    analytic            the complex step applies
    kinks               where the derivative jumps (text; checks stay away from it)
    cost                (attrs, in_shapes, out_shapes) -> flops; bytes follow from the shapes
    bound               "memory" or "compute": recompute only the former in checkpoints
    view                the output shares memory with the first input
    batch               how axis 0 passes through: "map", "reduce" or "mix"
    onnx                name of the ONNX operator, or None where the decomposition is exported
    kernels             names in the native backend that may take the place of ``ref``
    strict              check the rule before running (for ops whose kernel would not notice)
    samples, bad        functions returning cases that must agree, and cases that must be refused
    """

    name: str
    args: tuple[str, ...]
    rule: str | Callable[..., Any]
    ref: Callable[..., Any] | None = None
    fast: Callable[..., Any] | None = None
    expr: Callable[..., Any] | None = None
    vjp: Sequence[Callable[..., Any] | None] | Callable[..., Any] | None = None
    saves: frozenset[str] | Iterable[str] = frozenset()
    attrs: dict[str, Any] = field(default_factory=dict)
    decompose: Callable[..., Any] | None = None
    n_out: int = 1
    n_diff: int = 0
    linear: bool = False
    analytic: bool = True
    kinks: str = ""
    domain: str = "real"
    cost: Callable[..., float] | None = None
    bound: str = "memory"
    view: bool = False
    batch: str = "map"
    onnx: str | None = None
    kernels: tuple[str, ...] = ()
    strict: bool = False
    samples: Callable[[], list[Sample]] | None = None
    bad: Callable[[], list[Bad]] | None = None
    doc: str = ""
    run: Callable[..., Any] = field(init=False, repr=False)
    save_args: tuple[bool, ...] = field(init=False, repr=False)
    save_out: bool = field(init=False, repr=False)
    variadic: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.ref is None:
            if self.expr is not None:
                self.ref = _from_expr(self.expr)
            elif self.decompose is not None:
                self.ref = self.decompose
            else:
                raise TypeError(f"primitive {self.name} has neither ref, expr nor decomposition")
        self.run = self.fast or self.ref
        self.n_diff = self.n_diff or self.n_out
        if self.vjp is None and self.decompose is not None:
            self.saves = frozenset(self.args)  # gradients go through the decomposition, which needs every input
        self.saves = frozenset(self.saves)
        if isinstance(self.vjp, list):
            self.vjp = tuple(self.vjp)
        self.variadic = self.args[0].startswith("*")
        self.save_args = tuple(a.lstrip("*") in self.saves for a in self.args)
        self.save_out = "out" in self.saves

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.args)})>"

    def costs(self, attrs: dict[str, Any], ins: Sequence[Shape], outs: Sequence[Shape], itemsize: int = 4) -> Cost:
        """(flops, bytes moved) for these shapes; an elementwise op counts one flop an element unless it says more."""
        moved = float(itemsize * (sum(map(_size, ins)) + sum(map(_size, outs))))
        if self.view:
            moved = 0.0
        if self.cost is None:
            return (0.0 if self.view else float(sum(map(_size, outs)))), moved
        return float(self.cost(attrs, ins, outs)), moved


def _size(shape: Shape) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


class NumpyMath:
    """The maths namespace in which an op's expression runs on arrays, real or complex."""

    exp, log, log1p, expm1, sqrt, tanh, sin, cos = np.exp, np.log, np.log1p, np.expm1, np.sqrt, np.tanh, np.sin, np.cos
    where, maximum, minimum, sign, abs = np.where, np.maximum, np.minimum, np.sign, np.abs

    @staticmethod
    def sigmoid(x: Any) -> Any:
        if np.iscomplexobj(x):
            return 1 / (1 + np.exp(-x))
        e = np.exp(-np.abs(x))  # never overflows, and keeps relative accuracy in the left tail
        return np.where(x >= 0, 1, e) / (1 + e)

    @staticmethod
    def softplus(x: Any) -> Any:
        if np.iscomplexobj(x):
            return np.log1p(np.exp(x))
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _from_expr(expr: Callable[..., Any]) -> Callable[..., Any]:
    def ref(*arrays: Any, **attrs: Any) -> Any:
        return expr(NumpyMath, *arrays, **attrs)

    return ref


REGISTRY: dict[str, Primitive] = {}


def register(prim: Primitive) -> Primitive:
    """Add an op to the registry; names are unique."""
    if prim.name in REGISTRY:
        raise ValueError(f"primitive {prim.name} is registered twice")
    REGISTRY[prim.name] = prim
    return prim


def get(name: str) -> Primitive:
    """The primitive of that name."""
    return REGISTRY[name]
