"""Elementwise programs in symbolic form, and their bytecode: what fusion works with.

Contract: a program is a list of `Step`s over references, ``("in", i)`` an input, ``("const", v)`` a number, ``("step", j)``
the result of an earlier step, and a list of references that come out. `assemble` gives the attributes of the plan operation
``vm`` (without equal steps, unused ones, and x * 1 and the like), `disassemble` takes them apart again. Programs may be
concatenated freely: no rewrite here changes a bit of a result.

Types: a comparison gives truth, an input its own type, everything else the float type of the inputs (float64 if one of them
is). The steps in `CASTS` change the type of a result; read by later steps, they give what would be read back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .record import DTYPES

__all__ = ["CASTS", "COMPARISONS", "Emitter", "LIMITS", "OPCODES", "OPERANDS", "Step", "Symbol", "TooLarge", "assemble",
           "disassemble"]

# name -> operands, in the order of the opcodes' numbers: csrc/kernels/ops/vm_ops.def
OPERANDS = {
    "store": 1, "mov": 1, "neg": 1, "abs": 1, "sign": 1, "trunc": 1, "sqrt": 1, "rsqrt": 1, "relu": 1, "exp": 1, "expm1": 1,
    "log": 1, "log1p": 1, "sin": 1, "cos": 1, "tanh": 1, "sigmoid": 1, "softplus": 1, "silu": 1, "erf": 1, "erfc": 1, "gelu": 1,
    "gelu_tanh": 1, "lgamma": 1, "digamma": 1, "add": 2, "sub": 2, "mul": 2, "div": 2, "pow": 2, "maximum": 2, "minimum": 2,
    "gt": 2, "ge": 2, "lt": 2, "le": 2, "eq": 2, "ne": 2, "where": 3}
OPCODES = {name: number for number, name in enumerate(OPERANDS)}
COMPARISONS = frozenset(("gt", "ge", "lt", "le", "eq", "ne"))  # their results are 0 or 1
CASTS: dict[str, np.dtype] = {
    "as_f32": np.dtype(np.float32), "as_f64": np.dtype(np.float64), "as_i64": np.dtype(np.int64),
    "as_i32": np.dtype(np.int32), "as_bool": np.dtype(np.bool_)}
LIMITS = {"inputs": 24, "outputs": 8, "registers": 32, "constants": 64, "instructions": 512}
_NAMES = list(OPERANDS)
_INPUT, _CONSTANT, _WORDS = 64, 128, 5  # operands in the code; words an instruction
_OWN_TYPE = 5  # in a store, in the place of a dtype: the type that the value has by itself
_CAST_OF = {DTYPES[dtype]: name for name, dtype in CASTS.items()}

Ref = tuple[str, Any]


class TooLarge(ValueError):
    """A program that does not fit into one operation: too many inputs, outputs, constants, live values or steps."""


@dataclass(frozen=True)
class Step:
    """One operation on inputs, numbers and earlier results."""

    op: str
    operands: tuple[Ref, ...]


def _key(ref: Ref) -> Ref:
    """A reference that is equal only to the same one: constants by their bits."""
    return ("const", struct.pack("<d", ref[1])) if ref[0] == "const" else ref


class Emitter:
    """Builds an expression step by step; also the maths namespace in which a primitive's ``expr`` runs on symbols."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._known: dict[Any, Ref] = {}

    def emit(self, op: str, *operands: Any) -> Symbol:
        """The result of an operation on symbols, references and numbers."""
        if op == "store" or OPERANDS.get(op, 1) != len(operands):
            raise ValueError(f"{op} does not take {len(operands)} operands")
        return Symbol(self, self._emit(op, [self.ref(x) for x in operands]))

    def ref(self, x: Any) -> Ref:
        """What a symbol, reference or number stands for."""
        if isinstance(x, Symbol):
            return x.ref
        if isinstance(x, tuple):
            return x
        return "const", float(x)

    def symbol(self, ref: Any) -> Symbol:
        """A reference or number, to calculate with."""
        return Symbol(self, self.ref(ref))

    def _emit(self, op: str, operands: list[Ref]) -> Ref:
        op, operands = self._simpler(op, operands)
        if op == "mov":
            return operands[0]
        key = (op, *map(_key, operands))
        if key not in self._known:
            self.steps.append(Step(op, tuple(operands)))
            self._known[key] = "step", len(self.steps) - 1
        return self._known[key]

    def _read(self, ref: Ref) -> Ref:
        """What reading a result gives: a cast to truth or whole numbers is calculated, one between floats is nothing."""
        op = self.op_of(ref)
        if op is None or op not in CASTS:
            return ref
        source = self.steps[ref[1]].operands[0]
        if CASTS[op].kind == "f":
            return source
        if CASTS[op].kind == "b":
            return source if self.op_of(source) in COMPARISONS else self._emit("ne", [source, ("const", 0.0)])
        return self._emit("trunc", [source])

    def _simpler(self, op: str, operands: list[Ref]) -> tuple[str, list[Ref]]:
        """An operation that gives the same bits for less; mov where that is an operand as it is."""
        operands = [self._read(x) for x in operands]
        number = operands[-1][1] if operands[-1][0] == "const" else None
        if (op in ("mul", "div") and number == 1) or (op == "sub" and number == 0):
            return "mov", operands[:1]
        if op == "mul" and operands[0] == ("const", 1.0):
            return "mov", operands[1:]
        if op == "maximum" and number == 0:
            return "relu", operands[:1]
        if op == "div" and operands[0] == ("const", 1.0) and self.op_of(operands[1]) == "sqrt":
            return "rsqrt", list(self.steps[operands[1][1]].operands)
        if op == "pow" and number in (-2, -1, 0.5, 1, 2, 3):
            return self._power(operands[0], number)
        return op, operands

    def _power(self, x: Ref, exponent: float) -> tuple[str, list[Ref]]:
        """The powers that NumPy too writes as products, quotients and roots."""
        if exponent == 1 or exponent == 0.5:
            return "mov" if exponent == 1 else "sqrt", [x]
        base = self._emit("div", [("const", 1.0), x]) if exponent < 0 else x
        if exponent == -1:
            return "mov", [base]
        square = base if exponent == -2 else self._emit("mul", [base, base])
        return ("mov", [square]) if exponent == 2 else ("mul", [square, base])

    def op_of(self, ref: Ref) -> str | None:
        """The operation behind a reference, if it is a step."""
        return self.steps[ref[1]].op if ref[0] == "step" else None

    def cast(self, x: Any, dtype: Any) -> Symbol:
        """x as the type of a result."""
        return self.emit(_CAST_OF[DTYPES[np.dtype(dtype)]], x)

    def replay(self, steps: Iterable[Step], outputs: Iterable[Ref]) -> list[Ref]:
        """The outputs of a program, its steps emitted anew."""
        done: list[Ref] = []

        def look(ref: Ref) -> Ref:
            return done[ref[1]] if ref[0] == "step" else ref

        for step in steps:
            done.append(self._emit(step.op, [look(x) for x in step.operands]))
        return [look(x) for x in outputs]

    def needed(self, outputs: Iterable[Ref]) -> tuple[list[Step], list[Ref]]:
        """The steps that these outputs need, and the outputs as references into them."""
        outputs = list(outputs)
        keep: set[int] = set()
        todo = [r[1] for r in outputs if r[0] == "step"]
        while todo:
            j = todo.pop()
            if j not in keep:
                keep.add(j)
                todo += [r[1] for r in self.steps[j].operands if r[0] == "step"]
        place: dict[int, Ref] = {j: ("step", k) for k, j in enumerate(sorted(keep))}

        def moved(ref: Ref) -> Ref:
            return place[ref[1]] if ref[0] == "step" else ref

        steps = [Step(self.steps[j].op, tuple(map(moved, self.steps[j].operands))) for j in sorted(keep)]
        return steps, [moved(r) for r in outputs]

    # the maths namespace of `ndiv.autograd.primitive` -----------------------------------------------------------------

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        if name in OPERANDS or name in CASTS:
            return lambda *operands: self.emit(name, *operands)
        raise AttributeError(name)


def _operator(op: str, swapped: bool = False) -> Any:
    def method(self: Symbol, other: Any) -> Symbol:
        return self.emitter.emit(op, other, self) if swapped else self.emitter.emit(op, self, other)

    return method


class Symbol:
    """A number that is not known yet: arithmetic on it emits steps."""

    __slots__ = ("emitter", "ref")

    def __init__(self, emitter: Emitter, ref: Ref) -> None:
        self.emitter, self.ref = emitter, ref

    __add__, __radd__ = _operator("add"), _operator("add", True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", True)
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", True)
    __pow__, __rpow__ = _operator("pow"), _operator("pow", True)
    __gt__, __ge__, __lt__, __le__ = map(_operator, ("gt", "ge", "lt", "le"))
    __eq__, __ne__ = _operator("eq"), _operator("ne")
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Symbol:
        return self.emitter.emit("neg", self)

    def __bool__(self) -> bool:
        raise TypeError("a symbol has no truth value: choose with where")


# bytecode -----------------------------------------------------------------------------------------------------------

class _Writer:
    """Gives out registers by liveness and writes instructions."""

    def __init__(self, steps: Sequence[Step], ends: Sequence[Ref]) -> None:
        self.code: list[int] = []
        self.values: list[float] = []
        self.constants: dict[bytes, int] = {}
        self.register: dict[int, int] = {}
        self.free = list(range(LIMITS["registers"]))
        self.last = {ref[1]: j for j, step in enumerate(steps) for ref in step.operands if ref[0] == "step"}
        self.last.update((ref[1], len(steps)) for ref in ends if ref[0] == "step")
        for j, step in enumerate(steps):
            read = [self.operand(ref) for ref in step.operands]
            for k in {ref[1] for ref in step.operands if ref[0] == "step" and self.last[ref[1]] == j}:
                self.free.append(self.register[k])
            self.register[j] = self.take()
            self.write(step.op, self.register[j], read)

    def write(self, op: str, to: int, words: Sequence[int]) -> None:
        self.code += [OPCODES[op], to, *words, *[0] * (3 - len(words))]

    def operand(self, ref: Ref) -> int:
        if ref[0] == "in":
            return _INPUT + ref[1]
        if ref[0] == "step":
            return self.register[ref[1]]
        bits = _key(ref)[1]
        if bits not in self.constants:
            self.constants[bits] = len(self.values)
            self.values.append(float(ref[1]))
        return _CONSTANT + self.constants[bits]

    def take(self) -> int:
        """The lowest free register, so that few blocks of memory are in use."""
        if not self.free:
            raise TooLarge(f"more than {LIMITS['registers']} values are alive at once")
        lowest = min(self.free)
        self.free.remove(lowest)
        return lowest


def assemble(steps: Iterable[Step], outputs: Iterable[Ref]) -> dict[str, Any]:
    """The attributes of ``vm`` for a program. Raises `TooLarge`, a ValueError, when it does not fit."""
    emitter = Emitter()
    steps, outputs = emitter.needed(emitter.replay(steps, outputs))
    ends, types = [], []  # what is stored, and as which type
    for ref in outputs:
        op = steps[ref[1]].op if ref[0] == "step" else None
        if op in CASTS:
            ends.append(steps[ref[1]].operands[0])
            types.append(DTYPES[CASTS[op]])
        else:
            ends.append(ref)
            types.append(_OWN_TYPE)
    steps, ends = _without_casts(steps, ends)
    inputs = [r[1] for r in [*ends, *(r for step in steps for r in step.operands)] if r[0] == "in"]
    if max(inputs, default=0) >= LIMITS["inputs"] or not 1 <= len(ends) <= LIMITS["outputs"]:
        raise TooLarge(f"a program has at most {LIMITS['inputs']} inputs and {LIMITS['outputs']} outputs")
    writer = _Writer(steps, ends)
    stores = []
    for i, (ref, kind) in enumerate(zip(ends, types, strict=True)):
        source = writer.operand(ref)
        if ref[0] == "in" and (steps or len(ends) > 1):  # among others, stores read registers (vm.h says why)
            source = writer.take()
            writer.write("mov", source, [writer.operand(ref)])
        stores.append((i, [source, kind]))
    for i, words in stores:
        writer.write("store", i, words)
    if len(writer.values) > LIMITS["constants"] or len(writer.code) > LIMITS["instructions"] * _WORDS:
        raise TooLarge(f"a program has at most {LIMITS['constants']} constants and {LIMITS['instructions']} instructions")
    return {"code": tuple(writer.code), "constants": tuple(writer.values)}


def _without_casts(steps: Sequence[Step], ends: Sequence[Ref]) -> tuple[list[Step], list[Ref]]:
    """The program without its cast steps, which nobody reads now."""
    emitter = Emitter()
    emitter.steps = list(steps)
    return emitter.needed(ends)


def disassemble(attrs: dict[str, Any]) -> tuple[list[Step], list[Ref]]:
    """The steps and outputs of ``vm`` with these attributes. Raises ValueError for code that is none."""
    code, constants = attrs["code"], attrs["constants"]
    if len(code) % _WORDS or not code:
        raise ValueError("vm: the code is cut off")
    register: dict[int, Ref] = {}
    steps: list[Step] = []
    outputs: dict[int, Ref] = {}

    def look(word: int) -> Ref:
        if word in register:
            return register[word]
        if _INPUT <= word < _INPUT + LIMITS["inputs"]:
            return "in", word - _INPUT
        if _CONSTANT <= word < _CONSTANT + len(constants):
            return "const", constants[word - _CONSTANT]
        raise ValueError(f"vm: operand {word} has no value")

    def step(op: str, operands: Iterable[Ref]) -> Ref:
        steps.append(Step(op, tuple(operands)))
        return "step", len(steps) - 1

    for at in range(0, len(code), _WORDS):
        number, to, *words = code[at:at + _WORDS]
        if not 0 <= number < len(_NAMES):
            raise ValueError(f"vm: unknown opcode {number}")
        op = _NAMES[number]
        if op == "store":
            if to in outputs or words[2] or words[1] not in (_OWN_TYPE, *_CAST_OF):
                raise ValueError("vm: a store is not valid")
            ref = look(words[0])
            outputs[to] = ref if words[1] == _OWN_TYPE else step(_CAST_OF[words[1]], [ref])
            continue
        if outputs or not 0 <= to < LIMITS["registers"] or any(words[OPERANDS[op]:]):
            raise ValueError(f"vm: {op} is not valid here")
        operands = [look(w) for w in words[:OPERANDS[op]]]
        register[to] = operands[0] if op == "mov" else step(op, operands)
    if sorted(outputs) != list(range(len(outputs))) or not outputs:
        raise ValueError("vm: an output is never stored")
    return steps, [outputs[i] for i in range(len(outputs))]
