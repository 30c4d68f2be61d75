"""Loops that are written as text and then compiled: one for each function, activation, or expression of an op.

Contract: `unary`, `bias_act` and `bias_act_bwd` give the loop for a name; `elementwise` that for the expression of a
primitive, which is run once on symbols to see what it does. A compiler puts a scalar function into a loop only if it
knows it, and Numba's cache on disk knows functions by file and name: hence text, of which the name is a digest.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import compiled, maths

__all__ = ["bias_act", "bias_act_bwd", "elementwise", "unary"]

Loop = Callable[..., None]
_BINARY = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}
_COMPARE = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_ONE_PASS = {*_BINARY, *_COMPARE, "neg"}  # for NumPy; and so are the functions that it has under the same name


def _loop(name: str, args: str, lines: Sequence[str]) -> Loop:
    """The function of that text, compiled."""
    body = "\n".join(f"    {line}" for line in lines)
    name = f"{name}_{hashlib.sha256(f'{args}{body}'.encode()).hexdigest()[:12]}"
    space: dict[str, Any] = {"np": np, "maths": maths, "__name__": __name__}
    exec(compile(f"def {name}({args}):\n{body}\n", __file__, "exec"), space)
    return compiled(space[name])


@functools.cache
def unary(fn: str) -> Loop:
    """(x, out): one of ``kernels.UNARY`` over vectors."""
    return _loop(fn, "x, out", [
        "c = maths.precision(out)", "for i in range(x.size):", f"    out[i] = maths.{fn}(np.float64(x[i]), c)"])


@functools.cache
def bias_act(act: str, bias: bool, pre: bool) -> Loop:
    """(x, bias, out, pre), of which ``bias`` and ``pre`` only where said so; over [rows, cols]."""
    args = ["x", *["bias"] * bias, "out", *["pre"] * pre]
    return _loop(f"bias_{act}", ", ".join(args), [
        "c = maths.precision(out)", "for i in range(x.shape[0]):",
        "    for j in range(x.shape[1]):",
        f"        z = x[i, j]{' + bias[j]' if bias else ''}",
        *["        pre[i, j] = z"] * pre,
        f"        out[i, j] = maths.act_{act}(np.float64(z), c)"])


@functools.cache
def bias_act_bwd(act: str) -> Loop:
    """(g, saved, gx) over vectors."""
    return _loop(f"back_{act}", "g, saved, gx", [
        "c = maths.precision(gx)", "for i in range(g.size):",
        f"    gx[i] = maths.back_{act}(np.float64(g[i]), np.float64(saved[i]), c)"])


# expressions of primitives ------------------------------------------------------------------------------------------

class _Symbol:
    """A number that is not known yet: operations on it are written down."""

    def __init__(self, trace: _Trace, text: str) -> None:
        self.trace, self.text = trace, text

    def __neg__(self) -> _Symbol:
        return self.trace.note("neg", f"-{self.text}")


class _Trace:
    """The maths namespace of symbols; ``lines`` is what happened."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[str] = []

    def note(self, step: str, text: str) -> _Symbol:
        self.steps.append(step)
        self.lines.append(f"t{len(self.lines)} = {text}")
        return _Symbol(self, f"t{len(self.lines) - 1}")

    def __getattr__(self, name: str) -> Callable[..., _Symbol]:
        more = ["c_"] * (name in maths.PRECISE)
        return lambda *args: self.note(name, f"maths.{name}({', '.join([*map(_text, args), *more])})")

    def abs(self, x: Any) -> _Symbol:
        return self.note("abs", f"abs({_text(x)})")

    def where(self, condition: Any, a: Any, b: Any) -> _Symbol:
        return self.note("where", f"{_text(a)} if {_text(condition)} else {_text(b)}")


def _text(x: Any) -> str:
    return x.text if isinstance(x, _Symbol) else repr(float(x))


def _operator(name: str, sign: str, swap: bool) -> Callable[[_Symbol, Any], _Symbol]:
    def run(self: _Symbol, other: Any) -> _Symbol:
        a, b = (_text(other), self.text) if swap else (self.text, _text(other))
        return self.trace.note(name, f"{a} {sign} {b}")

    return run


for _name, _sign in (_BINARY | _COMPARE).items():
    setattr(_Symbol, f"__{_name}__", _operator(_name, _sign, False))
    if _name in _BINARY:
        setattr(_Symbol, f"__r{_name}__", _operator(_name, _sign, True))


@functools.cache
def elementwise(name: str) -> tuple[Loop, int]:
    """The loop (*inputs, *attributes, out) over vectors of a primitive with an expression, and how many passes over
    memory it saves: those that NumPy makes, less one."""
    from ...autograd.primitive import REGISTRY

    prim, trace = REGISTRY[name], _Trace()
    result = prim.expr(trace, *(_Symbol(trace, a) for a in prim.args),  # type: ignore[misc]
                       **{a: _Symbol(trace, a) for a in prim.attrs})
    passes = sum(1 if s in _ONE_PASS or hasattr(np, s) else 4 for s in trace.steps)
    loop = _loop(name, ", ".join([*(f"{a}_in" for a in prim.args), *prim.attrs, "out"]), [
        "c_ = maths.precision(out)", "for i in range(out.size):", *(f"    {a} = np.float64({a}_in[i])" for a in prim.args),
        *(f"    {line}" for line in trace.lines), f"    out[i] = {result.text}"])
    return loop, passes - 1
