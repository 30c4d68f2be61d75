"""Elementwise programs in symbolic form, and their bytecode: what fusion works with.

Contract: an `Expression` is a list of `Step`s over references: ``("in", i)`` an input, ``("const", v)`` a number, ``("step",
j)`` the result of an earlier step. `Emitter` builds one (equal steps are built once, and x * 1 and the like not at all),
`assemble` gives the attributes of the plan operation ``vm``, `disassemble` takes them apart again. What an expression
computes does not depend on what it is merged with: no rewrite here changes a bit of a result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .record import DTYPES

__all__ = ["COMPARISONS", "Emitter", "Expression", "MAX_INPUTS", "MAX_OUTPUTS", "OPCODES", "OPERANDS", "Step", "TooLarge",
           "assemble", "disassemble", "merge"]

# name -> operands, in the order of the opcodes' numbers: csrc/kernels/ops/vm_ops.def
OPERANDS = {
    "store": 1, "mov": 1, "neg": 1, "abs": 1, "sign": 1, "sqrt": 1, "rsqrt": 1, "relu": 1, "exp": 1, "expm1": 1, "log": 1,
    "log1p": 1, "sin": 1, "cos": 1, "tanh": 1, "sigmoid": 1, "softplus": 1, "silu": 1, "erf": 1, "erfc": 1, "gelu": 1,
    "gelu_tanh": 1, "lgamma": 1, "digamma": 1, "add": 2, "sub": 2, "mul": 2, "div": 2, "pow": 2, "maximum": 2, "minimum": 2,
    "gt": 2, "ge": 2, "lt": 2, "le": 2, "eq": 2, "ne": 2, "where": 3}
OPCODES = {name: number for number, name in enumerate(OPERANDS)}
COMPARISONS = frozenset(("gt", "ge", "lt", "le", "eq", "ne"))  # their results are 0 or 1
_NAMES = list(OPERANDS)
MAX_INPUTS, MAX_OUTPUTS = 24, 8
_MAX_REGISTERS, _MAX_CONSTANTS, _MAX_CODE = 32, 64, 512
_INPUT, _CONSTANT, _WORDS = 64, 128, 5  # operands in the code; words an instruction
_KINDS = {code: dtype for dtype, code in DTYPES.items()}

Ref = tuple[str, Any]


class TooLarge(ValueError):
    """An expression that does not fit into one program: too many inputs, outputs, constants, live values or steps."""


@dataclass(frozen=True)
class Step:
    """One operation on earlier results."""

    op: str
    operands: tuple[Ref, ...]


@dataclass(frozen=True)
class Expression:
    """Steps, what of them comes out, and in which types (float arrays of a float64 plan are float64)."""

    n_inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[Ref, ...]
    dtypes: tuple[np.dtype, ...]


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
        if OPERANDS[op] != len(operands) or op == "store":
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
        simpler = self._simpler(op, operands)
        if isinstance(simpler, tuple):
            return simpler
        op, operands = simpler or (op, operands)
        key = (op, *map(_key, operands))
        if key not in self._known:
            self.steps.append(Step(op, tuple(operands)))
            self._known[key] = "step", len(self.steps) - 1
        return self._known[key]

    def _simpler(self, op: str, operands: list[Ref]) -> Any:
        """A reference, or (op, operands), that gives the same bits for less; None: this is as simple as it gets."""
        number = operands[-1][1] if operands[-1][0] == "const" else None
        if op == "mov" or (op in ("mul", "div") and number == 1) or (op == "sub" and number == 0):
            return operands[0]
        if op == "mul" and operands[0] == ("const", 1.0):
            return operands[1]
        if op == "maximum" and number == 0:
            return "relu", operands[:1]
        if op == "div" and operands[0] == ("const", 1.0) and self.op_of(operands[1]) == "sqrt":
            return "rsqrt", list(self.steps[operands[1][1]].operands)
        if op == "pow" and number is not None:
            return self._power(operands[0], number)
        return None

    def _power(self, x: Ref, exponent: float) -> Any:
        """The powers that NumPy too writes as products, quotients and roots."""
        if exponent == 1:
            return x
        if exponent in (2, 3):
            square = self._emit("mul", [x, x])
            return square if exponent == 2 else ("mul", [square, x])
        if exponent in (-1, -2):
            inverse = self._emit("div", [("const", 1.0), x])
            return inverse if exponent == -1 else ("mul", [inverse, inverse])
        if exponent == 0.5:
            return "sqrt", [x]
        return None

    def op_of(self, ref: Ref) -> str | None:
        """The operation behind a reference, if it is a step."""
        return self.steps[ref[1]].op if ref[0] == "step" else None

    def inline(self, part: Expression, operands: Sequence[Any]) -> list[Symbol]:
        """The outputs of an expression whose inputs are these symbols, references or numbers, before they are stored."""
        refs = [self.ref(x) for x in operands]
        done: list[Ref] = []

        def look(ref: Ref) -> Ref:
            return refs[ref[1]] if ref[0] == "in" else done[ref[1]] if ref[0] == "step" else ref

        for step in part.steps:
            done.append(self._emit(step.op, [look(x) for x in step.operands]))
        return [Symbol(self, look(ref)) for ref in part.outputs]

    def stored(self, x: Any, dtype: Any) -> Symbol:
        """What would be read back if x were stored as this dtype; ValueError for whole numbers, which are cut off there."""
        ref, kind = self.ref(x), np.dtype(dtype).kind
        if kind in "iu":
            raise ValueError("a result that becomes a whole number has to be stored")
        if kind == "b" and self.op_of(ref) not in COMPARISONS:
            ref = self._emit("ne", [ref, ("const", 0.0)])
        return Symbol(self, ref)

    def finish(self, n_inputs: int, outputs: Sequence[Any], dtypes: Sequence[Any]) -> Expression:
        """The expression of these outputs, without the steps that none of them needs."""
        refs = [self.ref(x) for x in outputs]
        needed: set[int] = set()
        todo = [r[1] for r in refs if r[0] == "step"]
        while todo:
            j = todo.pop()
            if j not in needed:
                needed.add(j)
                todo += [r[1] for r in self.steps[j].operands if r[0] == "step"]
        place = {j: ("step", k) for k, j in enumerate(sorted(needed))}

        def moved(ref: Ref) -> Ref:
            return place[ref[1]] if ref[0] == "step" else ref

        steps = tuple(Step(self.steps[j].op, tuple(map(moved, self.steps[j].operands))) for j in sorted(needed))
        return Expression(n_inputs, steps, tuple(map(moved, refs)), tuple(map(np.dtype, dtypes)))

    # the maths namespace of `ndiv.autograd.primitive` -----------------------------------------------------------------

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        if name in OPERANDS:
            return lambda *operands: self.emit(name, *operands)
        raise AttributeError(name)


class Symbol:
    """A number that is not known yet: arithmetic on it emits steps."""

    __slots__ = ("emitter", "ref")

    def __init__(self, emitter: Emitter, ref: Ref) -> None:
        self.emitter, self.ref = emitter, ref

    def __neg__(self) -> Symbol:
        return self.emitter.emit("neg", self)

    def __bool__(self) -> bool:
        raise TypeError("a symbol has no truth value: choose with where")

    __hash__ = None  # type: ignore[assignment]


def _operator(op: str, swapped: bool = False) -> Any:
    def method(self: Symbol, other: Any) -> Symbol:
        return self.emitter.emit(op, other, self) if swapped else self.emitter.emit(op, self, other)

    return method


for _name, _op in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("pow", "pow")):
    setattr(Symbol, f"__{_name}__", _operator(_op))
    setattr(Symbol, f"__r{_name}__", _operator(_op, True))
for _op in sorted(COMPARISONS):
    setattr(Symbol, f"__{_op}__", _operator(_op))


# bytecode -----------------------------------------------------------------------------------------------------------

def _last_uses(e: Expression) -> list[int]:
    """For each step the last step that reads it; outputs are read after all."""
    last = [0] * len(e.steps)
    for j, step in enumerate(e.steps):
        for kind, k in step.operands:
            if kind == "step":
                last[k] = j
    for kind, k in e.outputs:
        if kind == "step":
            last[k] = len(e.steps)
    return last


def assemble(e: Expression) -> dict[str, Any]:
    """The attributes of ``vm`` for an expression; registers are given out by liveness. Raises `TooLarge`."""
    if e.n_inputs > MAX_INPUTS or not 1 <= len(e.outputs) <= MAX_OUTPUTS:
        raise TooLarge(f"a program has at most {MAX_INPUTS} inputs and {MAX_OUTPUTS} outputs")
    constants: dict[bytes, int] = {}
    values: list[float] = []
    register: dict[int, int] = {}
    free = list(range(_MAX_REGISTERS - 1, -1, -1))
    last = _last_uses(e)
    code: list[int] = []

    def operand(ref: Ref) -> int:
        if ref[0] == "in":
            return _INPUT + ref[1]
        if ref[0] == "step":
            return register[ref[1]]
        bits = _key(ref)[1]
        if bits not in constants:
            constants[bits] = len(values)
            values.append(float(ref[1]))
        return _CONSTANT + constants[bits]

    def take() -> int:
        if not free:
            raise TooLarge(f"more than {_MAX_REGISTERS} values are alive at once")
        return free.pop()

    for j, step in enumerate(e.steps):
        read = [operand(ref) for ref in step.operands]
        for k in {ref[1] for ref in step.operands if ref[0] == "step" and last[ref[1]] == j}:
            free.append(register[k])
        free.sort(reverse=True)
        register[j] = take()
        code += [OPCODES[step.op], register[j], *read, *[0] * (3 - len(read))]
    stores: list[int] = []
    for i, (ref, dtype) in enumerate(zip(e.outputs, e.dtypes, strict=True)):
        source = operand(ref)
        if ref[0] == "in" and (e.steps or len(e.outputs) > 1):  # stores read registers (vm.h says why)
            where = take()
            code += [OPCODES["mov"], where, source, 0, 0]
            source = where
        stores += [OPCODES["store"], i, source, DTYPES[dtype], 0]
    code += stores
    if len(values) > _MAX_CONSTANTS or len(code) > _MAX_CODE * _WORDS:
        raise TooLarge(f"a program has at most {_MAX_CONSTANTS} constants and {_MAX_CODE} instructions")
    return {"code": tuple(code), "constants": tuple(values)}


def disassemble(attrs: dict[str, Any], n_inputs: int | None = None) -> Expression:
    """The expression that ``vm`` with these attributes computes. Raises ValueError for code that is none."""
    code, constants = attrs["code"], attrs["constants"]
    if len(code) % _WORDS or not code:
        raise ValueError("vm: the code is cut off")
    register: dict[int, Ref] = {}
    steps: list[Step] = []
    outputs: dict[int, tuple[Ref, np.dtype]] = {}
    top = -1

    def look(word: int) -> Ref:
        nonlocal top
        if word in register:
            return register[word]
        if _INPUT <= word < _INPUT + MAX_INPUTS:
            top = max(top, word - _INPUT)
            return "in", word - _INPUT
        if _CONSTANT <= word < _CONSTANT + len(constants):
            return "const", constants[word - _CONSTANT]
        raise ValueError(f"vm: operand {word} has no value")

    for at in range(0, len(code), _WORDS):
        number, to, *words = code[at:at + _WORDS]
        if not 0 <= number < len(_NAMES):
            raise ValueError(f"vm: unknown opcode {number}")
        op = _NAMES[number]
        if op == "store":
            if words[1] not in _KINDS or to in outputs or words[2]:
                raise ValueError("vm: a store is not valid")
            outputs[to] = look(words[0]), _KINDS[words[1]]
            continue
        if outputs or not 0 <= to < _MAX_REGISTERS or any(words[OPERANDS[op]:]):
            raise ValueError(f"vm: {op} is not valid here")
        operands = tuple(look(w) for w in words[:OPERANDS[op]])
        if op == "mov":
            register[to] = operands[0]
            continue
        steps.append(Step(op, operands))
        register[to] = "step", len(steps) - 1
    if sorted(outputs) != list(range(len(outputs))) or not outputs:
        raise ValueError("vm: an output is never stored")
    refs, dtypes = zip(*(outputs[i] for i in range(len(outputs))), strict=True)
    return Expression(top + 1 if n_inputs is None else n_inputs, tuple(steps), refs, dtypes)


def merge(n_inputs: int, parts: Sequence[tuple[Expression, Sequence[Any]]], outputs: Sequence[tuple[int, int]]) -> Expression:
    """Several expressions as one: each part comes with its operands, ``("in", i)`` of the whole, a number, or ``("out",
    part, k)``, the k-th output of an earlier part. ``outputs`` names what comes out, as (part, k)."""
    emitter = Emitter()
    results: list[list[Symbol]] = []
    for part, operands in parts:
        known = [emitter.stored(results[x[1]][x[2]], parts[x[1]][0].dtypes[x[2]]) if isinstance(x, tuple) and x[0] == "out" else x
                 for x in operands]
        results.append(emitter.inline(part, known))
    return emitter.finish(n_inputs, [results[p][k] for p, k in outputs], [parts[p][0].dtypes[k] for p, k in outputs])
