"""Programs as text: what is printed is parsed again, what is no program is refused, the checker finds every kind of defect."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ndiv
from ndiv.autograd.primitive import REGISTRY
from ndiv.errors import FileError
from ndiv.program.checker import ProgramError, check_program
from ndiv.program.ir import Eqn, Program, Value, array_hash
from ndiv.program.trace import trace

F = np.float32


def traced(f, *arrays):
    return trace(f, arrays, "f").program


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_primitive_is_printed_and_parsed_again(name):
    prim = REGISTRY[name]
    for sample in prim.samples():
        program = Program("one")
        operands = []
        for k, x in enumerate(sample.inputs):
            if isinstance(x, np.ndarray):
                program.inputs.append(Value(f"x{k}", x.shape, x.dtype))
                operands.append(program.inputs[-1])
            else:
                operands.append(x)
        out = prim.run(*sample.inputs, **{**prim.attrs, **sample.attrs})
        outs = [Value(str(k), np.shape(o), np.asarray(o).dtype) for k, o in enumerate(out if isinstance(out, tuple) else (out,))]
        program.eqns.append(Eqn(name, operands, {**prim.attrs, **sample.attrs}, outs))
        program.outputs = outs
        again = Program.parse(program.text(), program.arrays())
        assert again.text() == program.text() and again.hash == program.hash
        check_program(again)


def test_the_text_names_constants_by_contents():
    table = np.arange(6, dtype=F).reshape(2, 3)
    a, b = (traced(lambda x, c=c: x + c, np.ones((2, 3), F)) for c in (table, table.copy()))
    assert a.hash == b.hash and f"@{array_hash(table)}" in a.text()
    other = traced(lambda x: x + (table + 1), np.ones((2, 3), F))
    assert other.hash != a.hash
    with pytest.raises(FileError, match="missing"):
        Program.parse(a.text(), {})


def test_source_lines_are_printed_and_do_not_change_the_hash():
    p = traced(lambda x: ndiv.exp(x), np.ones(2, F))
    assert "test_ir.py:" in p.text(lines=True)
    assert Program.parse(p.text(lines=True)).hash == p.hash
    assert "test_ir.py:" in Program.parse(p.text(lines=True)).eqns[0].line


BROKEN = {
    "nothing": "%0 : f32[2] = ",
    "an unknown type": "input %x : f99[2]",
    "a value that is not there": "%0 : f32[2] = exp(%x)",
    "two definitions": "input %x : f32[2]\ninput %x : f32[2]",
    "no value": "update %a = %b",
    "code": "%0 : f32[2] = exp(__import__('os'))",
    "a call in an attribute": "input %x : f32[2]\n%0 : f32[2] = sum(%x) {dim=open('/etc/passwd')}",
    "a constant of another shape": "const %c : f32[3] = 1.0",
}


@pytest.mark.parametrize("case", BROKEN)
def test_text_that_is_no_program_is_refused_with_its_line(case):
    with pytest.raises(FileError, match=r"line \d+ is no part of a program"):
        Program.parse("program 'p'\n" + BROKEN[case])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_text_is_refused_or_is_a_program(data):
    text = traced(lambda x: (ndiv.softmax(x[:, 1:], 1) * 2.0).sum(), np.ones((2, 3), F)).text()
    at = data.draw(st.integers(0, len(text) - 1))
    mutated = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 4)):]
    with contextlib.suppress(FileError):
        check_program(Program.parse(mutated))


def value(name="v", shape=(2,), dtype=F):
    return Value(name, shape, dtype)


def test_the_checker_finds_every_defect():
    x, y = value("x"), value("y")
    exp = Eqn("exp", [x], {}, [y])
    good = Program("p", [x], eqns=[exp], outputs=[y])
    assert check_program(good) is good
    cases = {
        "before it is defined": Program("p", [], eqns=[exp], outputs=[y]),
        "is defined twice": Program("p", [x], eqns=[exp, exp], outputs=[y]),
        "never defined": Program("p", [x], outputs=[value("z")]),
        "no primitive": Program("p", [x], eqns=[Eqn("frobnicate", [x], {}, [y])], outputs=[y]),
        "other shapes": Program("p", [x], eqns=[Eqn("exp", [x], {}, [value("y", (3,))])], outputs=[]),
        "do not broadcast": Program("p", [x, value("w", (3,))], eqns=[]),
        "cannot be updated": Program("p", [x], eqns=[exp], outputs=[y], updates={x: y}),
        "holds": Program("p", consts={x: np.zeros(3, F)}),
    }
    w = cases["do not broadcast"].inputs[1]
    cases["do not broadcast"].eqns.append(Eqn("add", [x, w], {}, [y]))
    for match, program in cases.items():
        with pytest.raises(ProgramError, match=match):
            check_program(program)


def test_known_equations_are_not_checked_again_and_new_ones_are():
    x, y = value("x"), value("y")
    exp, known = Eqn("exp", [x], {}, [y]), set()
    check_program(Program("p", [x], eqns=[exp], outputs=[y]), known)
    assert known == {exp}
    broken = Eqn("exp", [y], {}, [value("z", (3,))])
    with pytest.raises(ProgramError, match="other shapes"):
        check_program(Program("p", [x], eqns=[exp, broken]), known)
    with pytest.raises(ProgramError, match="before it is defined"):
        check_program(Program("p", [], eqns=[exp]), known)
    assert known == {exp}


def test_two_names_for_one_value_are_caught():
    with pytest.raises(ProgramError, match="twice"):
        check_program(Program("p", [value("x"), value("x")]))
