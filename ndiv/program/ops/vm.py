"""Plan operations of the family vm: every elementwise primitive is one operation, a short program on each element.

Contract: ``vm`` runs the code that `ndiv.program.ops.vm_code` writes; its inputs broadcast to the shape of its outputs.
`compile_expression` gives a primitive as steps: from the primitive's own ``expr`` where it has one, else from `EXPRESSIONS`.
The reference runs the code on whole arrays, in float64 where any input is float64 and else in float32; C runs it in float32.
Whole numbers are exact up to 2^24 (a copy or cast is exact always).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...autograd.ops import special
from ...autograd.primitive import REGISTRY, NumpyMath
from ...backends import kernels
from .record import DTYPES, Meta, PlanOp
from .vm_code import CASTS, COMPARISONS, LIMITS, Emitter, Ref, Step, TooLarge, assemble, disassemble

__all__ = ["COPY", "EXPRESSIONS", "LIMITS", "OPS", "SELECT", "Step", "TooLarge", "assemble", "compile_expression", "copy_attrs",
           "disassemble", "result_types"]

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


# primitives as expressions --------------------------------------------------------------------------------------------

def _comparison(name: str) -> Callable[..., Any]:
    return lambda m, a, b: m.emit(name, a, b)


def _function(name: str) -> Callable[..., Any]:
    return lambda m, x: m.emit(name, x)


def _clip(m: Emitter, x: Any, min: Any = None, max: Any = None) -> Any:
    if min is not None:
        x = m.maximum(x, min)
    return x if max is None else m.minimum(x, max)


def _gelu(m: Emitter, x: Any, approximate: str = "none") -> Any:
    return m.emit("gelu_tanh" if approximate == "tanh" else "gelu", x)


def _polygamma(m: Emitter, x: Any, n: int) -> Any:
    """For positive x: (x + k)^-(n + 1) summed up to k = 8 + n, then Euler and Maclaurin. NaN elsewhere."""
    if n == 0:
        return m.digamma(x)
    power, steps = n + 1, 9 + n + 1
    total = _whole_power(1.0 / x, power)
    for k in range(1, steps):
        total = total + _whole_power(1.0 / (x + float(k)), power)
    r = 1.0 / (x + float(steps))
    low = _whole_power(r, n)
    total = total + low * (1.0 / n) + low * r * 0.5
    square, term, weight = r * r, low * r * r, power / 2.0
    for j, b in enumerate(special._BERNOULLI[:6], 1):
        total = total + term * (b * weight)
        term = term * square
        weight *= (power + 2 * j - 1) * (power + 2 * j) / ((2 * j + 1) * (2 * j + 2))
    return m.where(x > 0.0, total * float((-1) ** (n + 1) * math.factorial(n)), math.nan)


def _whole_power(x: Any, n: int) -> Any:
    """x^n by repeated squaring."""
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        x, n = x * x, n >> 1
    return result


def _complex_abs(m: Emitter, re: Any, im: Any) -> Any:
    """sqrt(re^2 + im^2) without overflow in between."""
    a, b = m.abs(re), m.abs(im)
    large, small = m.maximum(a, b), m.minimum(a, b)
    ratio = small / large
    return m.where(m.gt(small, 0.0), large * m.sqrt(ratio * ratio + 1.0), large)


# primitive -> function(emitter, *symbols, **attrs), for those without an expr or with a better form than it
EXPRESSIONS: dict[str, Callable[..., Any]] = {
    **{name: _comparison(name) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
    **{name: _function(name) for name in ("erf", "erfc", "lgamma", "digamma", "silu")},
    "cast": lambda m, x, dtype: x, "clip": _clip, "gelu": _gelu, "polygamma": _polygamma,
}


def expression_of(name: str) -> Callable[..., Any] | None:
    """The function (emitter, *symbols, **attrs) of an elementwise primitive; None for any other."""
    if name in EXPRESSIONS:
        return EXPRESSIONS[name]
    prim = REGISTRY.get(name)
    return None if prim is None else prim.expr


def compile_expression(name: str, attrs: dict[str, Any], operands: Sequence[Any]) -> tuple[list[Step], list[Ref]]:
    """The steps and the output of a primitive on operands: references like ("in", 0), or numbers."""
    emitter = Emitter()
    function = expression_of(name)
    if function is None:
        raise ValueError(f"{name} is not elementwise")
    result = function(emitter, *[emitter.symbol(x) for x in operands], **attrs)
    return emitter.needed([emitter.ref(result)])


def result_types(steps: Sequence[Step], outputs: Sequence[Ref], inputs: Sequence[np.dtype]) -> list[np.dtype]:
    """The types of a program's results for these types of inputs."""
    found: list[np.dtype] = []
    for kind, i in outputs:
        op = steps[i].op if kind == "step" else ""
        own = inputs[i] if kind == "in" else np.dtype(np.bool_) if op in COMPARISONS else F64 if F64 in inputs else F32
        found.append(CASTS.get(op, own))
    return found


def copy_attrs(dtype: Any = None) -> dict[str, Any]:
    """The attributes of a copy of any layout to dense memory, or of a cast to this dtype."""
    emitter = Emitter()
    source = emitter.symbol(("in", 0))
    out = source if dtype is None else emitter.cast(source, dtype)
    return assemble(*emitter.needed([out.ref]))


COPY = copy_attrs()


# the record ---------------------------------------------------------------------------------------------------------

def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: np.asarray(function(x.astype(np.float64))).astype(x.dtype)


_NUMPY: dict[str, Callable[..., Any]] = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "trunc": lambda x: np.where(np.isnan(x), 0, np.trunc(x)),
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "relu": lambda x: np.maximum(x, 0), "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin,
    "cos": np.cos, "tanh": np.tanh, "sigmoid": NumpyMath.sigmoid, "softplus": NumpyMath.softplus,
    **{name: _in_double(lambda x, name=name: kernels._act(x, name)) for name in ("silu", "gelu", "gelu_tanh")},
    **{name: _in_double(getattr(special, f"_{name}")) for name in ("erf", "erfc", "lgamma", "digamma")},
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "maximum": np.maximum,
    "minimum": np.minimum, "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal, "eq": np.equal,
    "ne": np.not_equal, "where": lambda c, a, b: np.where(c != 0, a, b),
}
_LIMITS: dict[np.dtype, Any] = {np.dtype(np.int64): (-(2.0**63), 2.0**63, np.iinfo(np.int64)),
                                np.dtype(np.int32): (-(2.0**31), 2.0**31 - 1, np.iinfo(np.int32))}


def _converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """As C converts: truth is "is not 0"; floats beyond a whole type's range give its ends, NaN gives 0."""
    if dtype.kind == "b":
        return x != 0
    if dtype not in _LIMITS or x.dtype.kind != "f":
        return x.astype(dtype)
    low, high, info = _LIMITS[dtype]
    wide = x.astype(np.float64)
    inside = (wide > low) & (wide < high)
    ends = np.where(wide >= high, info.max, np.where(wide <= low, info.min, 0)).astype(dtype)
    return np.where(inside, np.where(inside, wide, 0).astype(dtype), ends)


def _reference(*arrays: Any, code: Sequence[int], constants: Sequence[float]) -> Any:
    steps, outputs = disassemble({"code": code, "constants": constants})
    types = result_types(steps, outputs, [a.dtype for a in arrays])
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    kind: Any = np.float64 if any(a.dtype == F64 for a in arrays) else np.float32
    done: list[Any] = []

    def look(ref: Ref) -> Any:
        return arrays[ref[1]].astype(kind) if ref[0] == "in" else done[ref[1]] if ref[0] == "step" else kind(ref[1])

    with np.errstate(all="ignore"):
        for step in steps:
            if step.op in CASTS:  # from an input directly, so that whole numbers stay exact
                ref = step.operands[0]
                done.append(arrays[ref[1]] if ref[0] == "in" else look(ref))
            else:
                done.append(np.asarray(_NUMPY[step.op](*map(look, step.operands))).astype(kind, copy=False))
        results = [arrays[ref[1]] if ref[0] == "in" else np.asarray(look(ref)) for ref in outputs]
        results = [np.array(np.broadcast_to(_converted(r, d), shape)) for r, d in zip(results, types, strict=True)]
    return tuple(results) if len(results) > 1 else results[0]


def _metas(attrs: dict[str, Any], *inputs: Meta | None) -> list[Meta]:
    present = [m for m in inputs if m is not None]
    if not present or len(present) != len(inputs) or len(inputs) > LIMITS["inputs"]:
        raise ValueError(f"vm: 1 to {LIMITS['inputs']} inputs, all present")
    for _, dtype in present:
        if dtype not in DTYPES:
            raise ValueError(f"vm: no type {dtype}")
    steps, outputs = disassemble(attrs)
    read = max((i for step in steps for kind, i in (*step.operands, *outputs) if kind == "in"), default=0)
    if read >= len(inputs):
        raise ValueError(f"vm: the code reads input {read} of {len(inputs)}")
    try:
        shape = np.broadcast_shapes(*(s for s, _ in present))
    except ValueError:
        raise ValueError(f"vm: shapes {[list(s) for s, _ in present]} do not broadcast") from None
    return [(shape, dtype) for dtype in result_types(steps, outputs, [d for _, d in present])]


_COSTS = {"exp": 10, "expm1": 10, "log": 10, "log1p": 12, "sin": 10, "cos": 10, "tanh": 12, "sigmoid": 12, "softplus": 22,
          "silu": 13, "erf": 30, "erfc": 40, "gelu": 45, "gelu_tanh": 20, "lgamma": 80, "digamma": 80, "pow": 20, "rsqrt": 2}


def _cost(attrs: dict[str, Any], ins: Any, outs: Any) -> float:
    each = sum(_COSTS.get(step.op, 1) for step in disassemble(attrs)[0])
    return float(each) * math.prod(outs[0][0])


OPS: list[PlanOp] = [PlanOp(
    "vm", _reference, _metas, {"code": "I", "constants": "F"}, dense=(), inplace=tuple(range(LIMITS["inputs"])), bound=4e-7,
    cost=_cost, doc="An elementwise program; with any strides, so also the strided copy and the cast.")]


# selection ----------------------------------------------------------------------------------------------------------

def _emit(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], function: Callable[..., Any]) -> Any:
    """One ``vm`` for function(emitter, *symbols); constants of one element become numbers in the code."""
    emitter = Emitter()
    consts = getattr(b, "consts", {})
    shape, read, symbols = outputs[0].shape, [], []
    for v in inputs:
        if v in consts and consts[v].size == 1 and consts[v].dtype.kind in "fiub":
            symbols.append(emitter.symbol(float(consts[v].reshape(-1)[0])))
        else:
            if v not in read:
                read.append(v)
            symbols.append(emitter.symbol(("in", read.index(v))))
    if not read or np.broadcast_shapes(*(v.shape for v in read)) != shape:
        read, symbols = list(inputs), [emitter.symbol(("in", i)) for i in range(len(inputs))]
    result = emitter.ref(function(emitter, *symbols))
    wanted = outputs[0].dtype
    if result_types(emitter.steps, [result], [v.dtype for v in read]) != [wanted]:
        result = emitter.cast(result, wanted).ref
    b.emit("vm", read, assemble(*emitter.needed([result])), outputs)


def _rule(name: str) -> Callable[..., Any]:
    def rule(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
        function = expression_of(name)
        assert function is not None
        return _emit(b, inputs, outputs, lambda m, *xs: function(m, *xs, **attrs))

    return rule


def _select_complex_abs(b: Any, inputs: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[Any]) -> Any:
    from ...autograd.ops.shape import Key

    parts = [b.apply("getitem", [inputs[0]], {"key": Key((Ellipsis, k))}) for k in (0, 1)]
    return _emit(b, parts, outputs, _complex_abs)


_ELEMENTWISE = ("abs add clip cast cos digamma div elu eq erf erfc exp expm1 ge gelu gt le leaky_relu lgamma log log1p "
                "lt maximum minimum mul ne neg polygamma pow relu rsqrt sigmoid sign silu sin softplus sqrt sub tanh "
                "where").split()
SELECT: dict[str, Callable[..., Any]] = {**{name: _rule(name) for name in _ELEMENTWISE}, "complex_abs": _select_complex_abs}
