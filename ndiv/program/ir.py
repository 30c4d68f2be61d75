"""Value, Eqn, Program: the tape as typed, single-assignment text.

Contract: a Program says what is computed and nothing of where or how. Every value is defined once, before it is read;
equations name primitives (`ndiv.autograd.primitive.REGISTRY`) or, after selection, plan operations
(`ndiv.program.ops.PLAN_OPS`). Text and Program are the same thing: ``Program.parse(str(p), p.arrays())`` is ``p`` again,
and `hash` is the hash of the text. Arrays (constants, and index arrays inside attributes) stand in the text by the
hash of their contents.

    program "NLinear.forward"
    input %insample_y : f32[32, 96, 1]
    state %linear.weight : f32[24, 96]
    const %c0 : f32[] = 0.5
    %1 : f32[32, 1, 1] = getitem(%insample_y) {key=[:, -1:]}    ; models/base.py:12
    output %1
    update %linear.weight = %7
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..autograd.ops.shape import Key
from ..errors import FileError

__all__ = ["Eqn", "Program", "Value", "array_hash", "dtype_name", "dtype_of"]

Shape = tuple[int, ...]
_SHORT = {"f32": "float32", "f64": "float64", "i64": "int64", "i32": "int32", "u32": "uint32", "u64": "uint64", "b8": "bool",
          "c64": "complex64", "c128": "complex128", "i8": "int8", "u8": "uint8", "i16": "int16", "u16": "uint16",
          "f16": "float16"}
_NAMES = {np.dtype(long): short for short, long in _SHORT.items()}


def dtype_name(dtype: Any) -> str:
    """The short name of a dtype in programs: f32, i64, b8 ..."""
    return _NAMES[np.dtype(dtype)]


def dtype_of(name: str) -> np.dtype:
    """The dtype behind a short name; ValueError when there is none."""
    if name not in _SHORT:
        raise ValueError(f"unknown type {name!r}")
    return np.dtype(_SHORT[name])


class Value:
    """One array of a program: name, shape, dtype. Two values are the same only when they are the same object."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, name: str, shape: Iterable[int], dtype: Any) -> None:
        self.name = name
        self.shape: Shape = tuple(int(s) for s in shape)
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def meta(self) -> tuple[Shape, np.dtype]:
        return self.shape, self.dtype

    def __repr__(self) -> str:
        return f"%{self.name} : {dtype_name(self.dtype)}{list(self.shape)}"


Operand = Value | int | float | bool | None


class Eqn:
    """outputs = op(inputs) {attrs}. Inputs are values, plain numbers, or None (absent); ``line`` is the source line; through
    one with ``stop`` no gradient flows (it was recorded under ``no_grad``)."""

    __slots__ = ("attrs", "inputs", "line", "op", "outputs", "stop")

    def __init__(self, op: str, inputs: Iterable[Any], attrs: dict[str, Any], outputs: Iterable[Value], line: str = "",
                 stop: bool = False) -> None:
        self.op = op
        self.inputs: tuple[Any, ...] = tuple(inputs)
        self.attrs = attrs
        self.outputs: tuple[Value, ...] = tuple(outputs)
        self.line = line
        self.stop = stop

    def reads(self) -> Iterator[Value]:
        """The values among the inputs."""
        return (v for v in self.inputs if isinstance(v, Value))

    def __repr__(self) -> str:
        return _eqn_text(self)


class Program:
    """inputs and states are read, constants hold arrays, ``updates`` writes states after everything else has run.

    inputs    values that each call brings
    states    values that live between calls (parameters, optimizer moments); bound by reference
    consts    value -> array
    eqns      in an order in which they can run
    outputs   what a call returns
    updates   state -> value that it takes at the end of a call
    """

    def __init__(self, name: str, inputs: Iterable[Value] = (), states: Iterable[Value] = (),
                 consts: dict[Value, np.ndarray] | None = None, eqns: Iterable[Eqn] = (), outputs: Iterable[Value] = (),
                 updates: dict[Value, Value] | None = None) -> None:
        self.name = name
        self.inputs = list(inputs)
        self.states = list(states)
        self.consts = dict(consts or {})
        self.eqns = list(eqns)
        self.outputs = list(outputs)
        self.updates = dict(updates or {})

    def __len__(self) -> int:
        return len(self.eqns)

    def replace(self, **parts: Any) -> Program:
        """A program with some parts exchanged; values and equations are shared, not copied."""
        fields = {k: getattr(self, k) for k in ("name", "inputs", "states", "consts", "eqns", "outputs", "updates")}
        return Program(**{**fields, **parts})

    def results(self) -> list[Value]:
        """Values that must be there at the end: outputs, and what states are updated to."""
        return [*self.outputs, *self.updates.values()]

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays that the text names, by hash."""
        found = {array_hash(a): a for a in self.consts.values() if a.ndim}
        for eqn in self.eqns:
            for value in eqn.attrs.values():
                if isinstance(value, Key):
                    parts = value.key if isinstance(value.key, tuple) else (value.key,)
                    found.update((array_hash(p), p) for p in parts if isinstance(p, np.ndarray))
        return found

    def renamed(self) -> Program:
        """The same program with values numbered in order; two programs that compute the same in the same order then
        have the same text."""
        number, new = 0, {}

        def fresh(v: Value) -> Value:
            nonlocal number
            if v not in new:
                new[v] = Value(str(number), v.shape, v.dtype)
                number += 1
            return new[v]

        for v in [*self.inputs, *self.states]:
            new[v] = Value(v.name, v.shape, v.dtype)
        for i, v in enumerate(self.consts):
            new[v] = Value(f"c{i}", v.shape, v.dtype)
        eqns = [Eqn(e.op, [new[i] if isinstance(i, Value) else i for i in e.inputs], e.attrs, [fresh(o) for o in e.outputs],
                    e.line, e.stop) for e in self.eqns]
        return Program(self.name, [new[v] for v in self.inputs], [new[v] for v in self.states],
                       {new[v]: a for v, a in self.consts.items()}, eqns, [new[v] for v in self.outputs],
                       {new[s]: new[v] for s, v in self.updates.items()})

    # -- text ------------------------------------------------------------------------------------------------------

    def text(self, lines: bool = False) -> str:
        """The text; with ``lines``, each equation with the source line that it came from."""
        out = [f"program {self.name!r}"]
        out += [f"input {v!r}" for v in self.inputs]
        out += [f"state {v!r}" for v in self.states]
        out += [f"const {v!r} = {_const_text(a)}" for v, a in self.consts.items()]
        for e in self.eqns:
            text = _eqn_text(e)
            out.append(f"{text}    ; {e.line}" if lines and e.line else text)
        out.append("output " + ", ".join(f"%{v.name}" for v in self.outputs))
        out += [f"update %{s.name} = %{v.name}" for s, v in self.updates.items()]
        return "\n".join(out) + "\n"

    def __str__(self) -> str:
        return self.text()

    @property
    def hash(self) -> str:
        """SHA-256 of the text, which holds the hashes of all constants."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, arrays: dict[str, np.ndarray] | None = None) -> Program:
        """The program of a text; ``arrays`` holds what it names by hash.

        Raises `FileError` (E0006), with the line, for text that is no program.
        """
        return _Parser(arrays or {}).parse(text)


def array_hash(a: np.ndarray) -> str:
    """A name for an array's contents: 16 hex digits over type, shape and bytes."""
    h = hashlib.sha256(f"{dtype_name(a.dtype)}{list(a.shape)}".encode())
    h.update(np.ascontiguousarray(a).tobytes())
    return h.hexdigest()[:16]


# printing -----------------------------------------------------------------------------------------------------------

def _number(value: Any) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


def _const_text(a: np.ndarray) -> str:
    return f"@{array_hash(a)}" if a.ndim else _number(a[()])


def _operand(v: Any) -> str:
    if isinstance(v, Value):
        return f"%{v.name}"
    return "_" if v is None else _number(v)


def _eqn_text(e: Eqn) -> str:
    outs = ", ".join(repr(v) for v in e.outputs)
    attrs = ", ".join(f"{k}={_attr(v)}" for k, v in sorted(e.attrs.items()))
    return f"{outs} = {e.op}({', '.join(map(_operand, e.inputs))})" + (f" {{{attrs}}}" if attrs else "")


def _attr(value: Any) -> str:
    if isinstance(value, Key):
        parts = value.key if isinstance(value.key, tuple) else (value.key,)
        return f"[{', '.join(map(_key_part, parts))}]"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        inside = ", ".join(_attr(v) for v in value)
        return f"({inside}{',' if len(value) == 1 else ''})"
    return repr(value)


def _key_part(part: Any) -> str:
    if isinstance(part, slice):
        ends = [("" if p is None else str(int(p))) for p in (part.start, part.stop)]
        return f"{ends[0]}:{ends[1]}" + ("" if part.step is None else f":{int(part.step)}")
    if isinstance(part, np.ndarray):
        return f"@{array_hash(part)}"
    if part is Ellipsis:
        return "..."
    return "new" if part is None else str(int(part))


# parsing ------------------------------------------------------------------------------------------------------------

_VALUE = re.compile(r"%([^\s,()=]+) : ([a-z]+\d+)\[([\d, ]*)\]")
_EQN = re.compile(r"^(.*?) = ([a-z]\w*)\((.*?)\)(?: \{(.*)\})?$")


class _Parser:
    """One text, line by line."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.values: dict[str, Value] = {}

    def parse(self, text: str) -> Program:
        lines = text.splitlines()
        program = Program("")
        number = 0
        try:
            for raw in lines:
                number += 1
                line, _, comment = raw.partition("    ; ")
                if not line.strip():
                    continue
                word, _, rest = line.partition(" ")
                self._line(program, word, rest, line, comment)
        except (ValueError, KeyError, SyntaxError, TypeError, IndexError) as cause:
            raise FileError(f"line {number} is no part of a program: {cause}", value=lines[number - 1][:200],
                            hint="programs are written by ndiv.program; see docs/design.md for the form") from None
        return program

    def _line(self, program: Program, word: str, rest: str, line: str, comment: str) -> None:
        if word == "program":
            program.name = str(ast.literal_eval(rest))
        elif word == "input":
            program.inputs.append(self._define(rest))
        elif word == "state":
            program.states.append(self._define(rest))
        elif word == "const":
            declared, _, body = rest.partition(" = ")
            value = self._define(declared)
            program.consts[value] = self._const(value, body)
        elif word == "output":
            program.outputs = [self._get(name) for name in rest.split(", ") if name]
        elif word == "update":
            state, _, value_name = rest.partition(" = ")
            program.updates[self._get(state)] = self._get(value_name)
        else:
            program.eqns.append(self._eqn(line, comment))

    def _define(self, text: str) -> Value:
        match = _VALUE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} declares no value")
        name, kind, dims = match.groups()
        if name in self.values:
            raise ValueError(f"%{name} is defined twice")
        value = Value(name, [int(d) for d in dims.split(",") if d.strip()], dtype_of(kind))
        self.values[name] = value
        return value

    def _get(self, text: str) -> Value:
        text = text.strip()
        if not text.startswith("%") or text[1:] not in self.values:
            raise ValueError(f"{text} is not defined")
        return self.values[text[1:]]

    def _array(self, text: str) -> np.ndarray:
        if text[1:] not in self.arrays:
            raise ValueError(f"the array {text} is missing")
        return self.arrays[text[1:]]

    def _const(self, value: Value, body: str) -> np.ndarray:
        array = self._array(body) if body.startswith("@") else np.array(_plain(body), value.dtype)
        if array.shape != value.shape or array.dtype != value.dtype:
            raise ValueError(f"%{value.name} is {dtype_name(array.dtype)}{list(array.shape)} in the arrays")
        return array

    def _eqn(self, line: str, comment: str) -> Eqn:
        match = _EQN.match(line)
        if match is None:
            raise ValueError(f"{line[:80]!r} is no equation")
        outs, op, args, attrs = match.groups()
        inputs = [self._operand(a) for a in args.split(", ") if a]
        outputs = [self._define(m.group(0)) for m in _VALUE.finditer(outs)]
        if not outputs:
            raise ValueError("an equation defines at least one value")
        return Eqn(op, inputs, self._attrs(attrs or ""), outputs, comment)

    def _operand(self, text: str) -> Any:
        if text.startswith("%"):
            return self._get(text)
        return None if text == "_" else _plain(text)

    def _attrs(self, text: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for part in _split(text):
            name, _, value = part.partition("=")
            out[name] = self._key(value) if value.startswith("[") else _plain(value)
        return out

    def _key(self, text: str) -> Key:
        parts: list[Any] = []
        for p in _split(text[1:-1]):
            if p.startswith("@"):
                parts.append(self._array(p))
            elif p == "...":
                parts.append(Ellipsis)
            elif p == "new":
                parts.append(None)
            elif ":" in p:
                ends = [int(e) if e else None for e in p.split(":")]
                parts.append(slice(*ends))
            else:
                parts.append(int(p))
        return Key(tuple(parts))


def _plain(text: str) -> Any:
    special = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
    return special[text] if text in special else ast.literal_eval(text)


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return parts + ([last] if last else [])
