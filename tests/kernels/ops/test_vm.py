"""The operation vm: C against the NumPy reference, over layouts, types and instruction sets; and the code that it runs."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.autograd.primitive import REGISTRY
from ndiv.backends import native, threadpool
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops import PLAN_OPS
from ndiv.program.ops.record import DTYPES, decode, encode
from ndiv.program.ops.vm import COPY, SELECT, TooLarge, compile_expression, copy_attrs, expression_of
from ndiv.program.ops.vm_code import CASTS, COMPARISONS, LIMITS, OPCODES, OPERANDS, Emitter, Step, assemble, disassemble

VM = PLAN_OPS["vm"]
OPS = [name for name in OPERANDS if name != "store"]
POSITIVE = {"log", "sqrt", "rsqrt", "log1p", "pow", "lgamma", "digamma"}


def call(attrs, *inputs, out=None):
    """The results of the C operation; inputs broadcast as views. ``out`` may name arrays to write into."""
    metas = VM.metas(attrs, *((a.shape, a.dtype) for a in inputs))
    outs = out or [np.empty(s, d) for s, d in metas]
    call_op("vm", [np.broadcast_to(a, metas[0][0]) for a in inputs], outs, encode(VM, attrs))
    return outs if len(outs) > 1 else outs[0]


def reference(attrs, *inputs):
    return VM.reference(*inputs, **attrs)


def one(op):
    return assemble([Step(op, tuple(("in", i) for i in range(OPERANDS[op])))], [("step", 0)])


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 3


@pytest.fixture(params=native.isas())
def isa(request):
    native.select(request.param)
    yield request.param
    native.select(None)


def same_bits(a, b):
    nan = np.isnan(a) & np.isnan(b)
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(
        np.where(nan, 0, a).view(np.uint32), np.where(nan, 0, b).view(np.uint32))


# opcodes ------------------------------------------------------------------------------------------------------------

def test_python_and_c_hold_the_same_opcodes():
    path = Path(__file__).parents[3] / "csrc/kernels/ops/vm_ops.def"
    kinds = {"STORE": 1, "UNARY": 1, "BINARY": 2, "TERNARY": 3}
    found = re.findall(r"^VM_(\w+)\((\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [(name, kinds[kind]) for kind, name in found] == list(OPERANDS.items())
    assert list(OPCODES.values()) == list(range(len(OPERANDS)))


@pytest.mark.parametrize("op", OPS)
def test_opcode_against_float64(isa, op):
    inputs = [numbers((23, 29), seed) for seed in range(OPERANDS[op])]
    if op in POSITIVE:
        inputs[0] = np.abs(inputs[0]) + np.float32(1e-3)
    if OPERANDS[op] == 2:
        inputs[1].flat[::7] = inputs[0].flat[::7]  # ties
    got = call(one(op), *inputs)
    want = reference(one(op), *(x.astype(np.float64) for x in inputs))
    if op in COMPARISONS:
        np.testing.assert_array_equal(got, want)
    else:  # 2.5 ULP of float32, and the same of 1 beside the zeros of lgamma and digamma
        np.testing.assert_allclose(got, want, rtol=2.5 * 2.0**-23, atol=1e-9)


@pytest.mark.parametrize("op", OPS)
def test_opcode_has_the_same_bits_everywhere(op):
    bits = np.random.default_rng(3).integers(0, 2**32, (3, 20011), dtype=np.uint32)
    bits[(bits & 0x7F800000) == 0] = 0  # subnormal arguments are flushed by some instructions and moved by others
    inputs = [b.view(np.float32) for b in bits[:OPERANDS[op]]]
    inputs[0][:6] = [np.inf, -np.inf, 0.0, -0.0, np.nan, 1.0]
    small = [numbers((1031,), seed) for seed in range(OPERANDS[op])]
    results = []
    for name in native.isas():
        native.select(name)
        results.append([np.asarray(call(one(op), *x), np.float32) for x in (inputs, small)])
    native.select(None)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert same_bits(a, b), op


INF, NAN = np.inf, np.nan
SPECIAL = {
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (-1, NAN), (INF, INF), (NAN, NAN)],
    "sin": [(0, 0), (-0.0, -0.0), (INF, NAN), (NAN, NAN), (1e-37, 1e-37), (2.0**120, 0.377820109), (-(2.0**120), -0.377820109)],
    "cos": [(0, 1), (INF, NAN), (-INF, NAN), (NAN, NAN), (2.0**120, -0.925879023)],
    "erfc": [(INF, 0), (-INF, 2), (NAN, NAN), (0, 1), (-30, 2), (30, 0)],
    "lgamma": [(1, 0), (2, 0), (0, INF), (-0.0, INF), (-3, INF), (INF, INF), (-INF, INF), (NAN, NAN), (-0.5, 1.2655121)],
    "digamma": [(0, -INF), (-0.0, INF), (-2, NAN), (INF, INF), (-INF, NAN), (NAN, NAN), (-0.5, 0.03648997398)],
    "sign": [(-0.0, 0), (5, 1), (-INF, -1), (NAN, NAN)],
    "relu": [(NAN, NAN), (-1, 0), (INF, INF)],
    "trunc": [(-1.5, -1), (1.9999999, 1), (NAN, 0), (-0.5, -0.0), (INF, INF), (2.0**30, 2.0**30), (8388607.5, 8388607)],
    "rsqrt": [(0, INF), (4, 0.5), (-1, NAN), (INF, 0)],
    "silu": [(-INF, -0.0), (INF, INF), (NAN, NAN), (-1e30, -0.0)],
    "gelu": [(-INF, -0.0), (INF, INF), (NAN, NAN), (-1e30, -0.0), (0, 0)],
    "gelu_tanh": [(-INF, -0.0), (INF, INF), (NAN, NAN), (-1e30, -0.0), (0, 0)],
}


@pytest.mark.parametrize("op", SPECIAL)
def test_special_values(isa, op):
    x, want = np.array(SPECIAL[op], np.float32).T
    got = call(one(op), np.ascontiguousarray(x))
    np.testing.assert_allclose(got, want, rtol=2e-7)
    exact = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[exact]), np.signbit(want[exact]))


def test_pow_at_special_values(isa):
    values = np.array([0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 2.5, -2.5, 1e30, -1e30, 1e-30, 16777216, 16777215, -8388609,
                       8388607.5, INF, -INF, NAN], np.float32)
    a, b = (np.ascontiguousarray(x) for x in np.broadcast_arrays(values[:, None], values))
    got = call(one("pow"), a, b)
    with np.errstate(all="ignore"):
        want = np.power(a.astype(np.float64), b).astype(np.float32)
    np.testing.assert_allclose(got, want, rtol=2e-7, atol=1e-38)
    exact = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[exact]), np.signbit(want[exact]))


@pytest.mark.parametrize("op", ["maximum", "minimum", *sorted(COMPARISONS), "where"])
def test_choices_treat_nan_as_numpy_does(isa, op):
    values = np.array([0, -0.0, 1, -1, INF, -INF, NAN], np.float32)
    inputs = [np.ascontiguousarray(x) for x in np.meshgrid(*[values] * OPERANDS[op])]
    np.testing.assert_array_equal(call(one(op), *inputs), reference(one(op), *inputs))


# layouts ------------------------------------------------------------------------------------------------------------

def chain():
    """(a b + tanh(c)) where a > c else b, and a > c."""
    m = Emitter()
    a, b, c = (m.symbol(("in", i)) for i in range(3))
    larger = a > c
    return assemble(*m.needed([m.where(larger, a * b + m.tanh(c), b).ref, larger.ref]))


LAYOUTS = {
    "rows and columns": lambda: (numbers((37, 53)), numbers((53,), 1), numbers((37, 1), 2)),
    "scalar": lambda: (numbers((5, 1031)), numbers(()), numbers((1, 1), 2)),
    "long rows": lambda: (numbers((3, 5000)), numbers((5000,), 1), numbers((3, 1), 2)),
    "transposed": lambda: (numbers((130, 70)).T, numbers((70, 130), 1), numbers((70, 1), 2)),
    "transposed batches": lambda: (numbers((9, 41, 33)).transpose(0, 2, 1), numbers((33, 41), 1), numbers((41,), 2)),
    "outer axis contiguous": lambda: (numbers((40, 9, 50)).transpose(2, 1, 0), numbers((9, 40), 1), numbers((50, 1, 1), 2)),
    "negative": lambda: (numbers((60, 60))[::-1, ::-1], numbers((60,), 1)[::-1], numbers((120, 60), 2)[::-2]),
    "gaps": lambda: (numbers((40, 90))[:, 3:80:2], numbers((40, 39), 1), numbers((40, 41), 2)[:, 1:40]),
    "middle broadcast": lambda: (numbers((6, 1, 7)), numbers((50, 7), 1), numbers((6, 50, 1), 2)),
    "eight axes": lambda: (numbers((2, 3, 1, 2, 3, 1, 4, 5)), numbers((2, 1, 3, 1, 5), 1), numbers((2, 1, 1, 1, 1, 1, 1, 1), 2)),
    "no axis": lambda: (numbers(()), numbers((), 1), numbers((), 2)),
    "one element": lambda: (numbers((1, 1)), numbers((1,), 1), numbers((), 2)),
    "empty": lambda: (numbers((4, 0, 3)), numbers((3,), 1), numbers((4, 1, 1), 2)),
    **{f"{n} elements": lambda n=n: (numbers(n), numbers(n, 1), numbers(n, 2)) for n in (15, 16, 17, 1023, 1025, 2049, 70001)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(isa, layout):
    inputs = LAYOUTS[layout]()
    got, want = call(chain(), *inputs), reference(chain(), *inputs)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copy_of_any_layout_is_exact(layout):
    for x in np.broadcast_arrays(*LAYOUTS[layout]()):
        np.testing.assert_array_equal(call(COPY, x), x)


@pytest.mark.parametrize("to", CASTS.values(), ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (70, 50)])
def test_cast(dtype, to, shape):
    x = (np.random.default_rng(0).integers(-(2**40), 2**40, shape) // 2**np.arange(shape[1])).astype(dtype)
    for view in (x, x.T, x[::2, ::-1]):
        got = call(copy_attrs(to), view)
        np.testing.assert_array_equal(got, reference(copy_attrs(to), view))
        assert got.dtype == to


@pytest.mark.parametrize("to", [np.int64, np.int32, np.bool_])
def test_floats_beyond_the_whole_numbers(to):
    x = np.array([INF, -INF, NAN, 1e30, -1e30, 2.0**31, -(2.0**31), 2147483520, -0.7, 0.7], np.float32)
    for source in (x, x.astype(np.float64)):
        np.testing.assert_array_equal(call(copy_attrs(to), source), reference(copy_attrs(to), source))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_can_be_read_and_written(isa, dtype):
    m = Emitter()
    a, b = m.symbol(("in", 0)), m.symbol(("in", 1))
    y = a * 2.0 + b
    attrs = assemble(*m.needed([m.cast(y, dtype).ref, y.ref]))
    for shape in ((7, 9), (60, 45)):
        x = np.random.default_rng(0).integers(0, 2 if dtype == np.bool_ else 50, shape).astype(dtype)
        for view in (x, x.T.copy().T, x[::-1]):
            got, want = call(attrs, view, numbers(shape[1])), reference(attrs, view, numbers(shape[1]))
            np.testing.assert_allclose(got[0], want[0], rtol=3e-7)
            np.testing.assert_allclose(got[1], want[1], rtol=3e-7)


# outputs and memory ---------------------------------------------------------------------------------------------------

def test_outputs_may_take_over_inputs(isa):
    """Each output in the memory of an input, while other results still need that input."""
    m = Emitter()
    a, b = m.symbol(("in", 0)), m.symbol(("in", 1))
    total = a + b
    attrs = assemble(*m.needed([total.ref, (m.exp(total) * a - b).ref]))
    for shape in ((3000,), (40, 60)):
        x, y = numbers(shape), numbers(shape, 1)
        want = call(attrs, x.copy(), y.copy())
        for swap in (False, True):
            u, v = x.copy(), y.copy()
            got = call(attrs, u, v, out=[v, u] if swap else [u, v])
            for g, w in zip(got, want, strict=True):
                assert same_bits(g, w)


def test_outputs_may_be_inputs_and_numbers():
    attrs = assemble([], [("in", 1), ("in", 0), ("const", 2.5), ("in", 1)])
    x, y = numbers((3, 4)), np.arange(4) > 1
    got = call(attrs, x, y)
    assert [g.dtype for g in got] == [np.bool_, np.float32, np.float32, np.bool_]
    for g, w in zip(got, reference(attrs, x, y), strict=True):
        np.testing.assert_array_equal(g, w)


def test_many_inputs_outputs_and_live_values():
    m = Emitter()
    parts = [m.symbol(("in", i)) * float(i + 1) for i in range(24)]
    sums = [sum(parts[k:], parts[0]) for k in range(8)]
    attrs = assemble(*m.needed([s.ref for s in sums]))
    inputs = [numbers((65, 33), i) for i in range(24)]
    for g, w in zip(call(attrs, *inputs), reference(attrs, *inputs), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layout", ["long rows", "transposed batches", "70001 elements", "rows and columns"])
def test_the_number_of_threads_changes_no_bit(layout):
    inputs = LAYOUTS[layout]()
    m = Emitter()
    a, b, c = (m.symbol(("in", i)) for i in range(3))
    attrs = assemble(*m.needed([m.lgamma(m.gelu(a) * b + m.pow(m.abs(c), b)).ref]))
    before = threadpool.threads()
    results = []
    try:
        for count in (1, 2, 3):
            threadpool.set_threads(count)
            results.append(call(attrs, *inputs))
    finally:
        threadpool.set_threads(before)
    assert all(same_bits(results[0], r) for r in results[1:])


# laws ---------------------------------------------------------------------------------------------------------------

@st.composite
def programs(draw):
    n = draw(st.integers(1, 3))
    refs = [("in", i) for i in range(n)]
    steps = []
    names = [op for op in OPS if op not in ("mov", "lgamma", "digamma", "pow")]
    for j in range(draw(st.integers(1, 14))):
        op = draw(st.sampled_from(names))
        operand = st.sampled_from(refs) | st.sampled_from([("const", 0.5), ("const", 1.0), ("const", -2.0), ("const", 0.0)])
        steps.append(Step(op, tuple(draw(operand) for _ in range(OPERANDS[op]))))
        refs.append(("step", j))
    return n, steps, [("step", j) for j in sorted({draw(st.integers(0, len(steps) - 1)) for _ in range(3)})]


@settings(max_examples=60, deadline=None)
@given(programs(), st.sampled_from([(1,), (70,), (40, 33)]))
def test_fused_equals_unfused(program, shape):
    """One operation after the other gives the same bits as the program as a whole."""
    n, steps, outputs = program
    inputs = [numbers(shape, i) for i in range(n)]
    done = []

    def array(ref):
        value = inputs[ref[1]] if ref[0] == "in" else done[ref[1]] if ref[0] == "step" else np.float32(ref[1])
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.float32), shape))

    for step in steps:
        attrs = {"code": (OPCODES[step.op], 0, *range(64, 64 + OPERANDS[step.op]), *[0] * (3 - OPERANDS[step.op]),
                          OPCODES["store"], 0, 0, 0, 0), "constants": ()}
        y = np.empty(shape, np.float32)
        call_op("vm", [array(r) for r in step.operands], [y], encode(VM, attrs))
        done.append(y)
    attrs = assemble(steps, outputs)
    got = call(attrs, *inputs)
    for g, ref in zip(got if len(outputs) > 1 else [got], outputs, strict=True):
        assert same_bits(np.asarray(g, np.float32), done[ref[1]])
    again = assemble(*disassemble(attrs))
    assert again == attrs
    assert decode(VM, encode(VM, attrs)) == attrs


# code ---------------------------------------------------------------------------------------------------------------

def test_equal_steps_are_computed_once_and_unused_ones_not_at_all():
    x = ("in", 0)
    steps = [Step("exp", (x,)), Step("tanh", (x,)), Step("exp", (x,)), Step("mul", (("step", 2), ("const", 1.0))),
             Step("add", (("step", 0), ("step", 3)))]
    assert disassemble(assemble(steps, [("step", 4)])) == (
        [Step("exp", (x,)), Step("add", (("step", 0), ("step", 0)))], [("step", 1)])


def test_casts_between_steps_give_what_would_be_read_back():
    steps = [Step("as_bool", (("in", 0),)), Step("as_i64", (("in", 0),)), Step("add", (("step", 0), ("step", 1)))]
    x = np.array([0.0, 0.4, -1.7, 2.5], np.float32)
    np.testing.assert_array_equal(call(assemble(steps, [("step", 2)]), x), [0, 1, 0, 3])


def test_programs_that_do_not_fit_are_refused():
    with pytest.raises(TooLarge):
        assemble([Step("neg", (("in", LIMITS["inputs"]),))], [("step", 0)])
    with pytest.raises(TooLarge):
        assemble([Step("neg", (("in", 0),))], [("step", 0)] * 9)
    with pytest.raises(TooLarge, match="alive"):
        m = Emitter()
        many = [m.exp(m.symbol(("in", 0)) * float(k + 2)) for k in range(33)]
        assemble(*m.needed([sum(many[1:], many[0] * m.tanh(sum(many[::-1]))).ref]))
    with pytest.raises(TooLarge, match="constants"):
        m = Emitter()
        x = m.symbol(("in", 0))
        for k in range(65):
            x = x * (k + 1.5)
        assemble(*m.needed([x.ref]))


def test_symbols_have_no_truth_value():
    x = Emitter().symbol(("in", 0))
    with pytest.raises(TypeError, match="where"):
        bool(x > 0)


ELEMENTWISE = sorted(name for name in SELECT if expression_of(name))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_primitives_as_expressions(name):
    """The expression of a primitive against its reference on its own samples, in float32 and (interpreted) in float64."""
    prim = REGISTRY[name]
    for sample in prim.samples():
        wide = [np.asarray(a) for a in sample.inputs]
        if name == "cast" and sample.attrs["dtype"] == "float64":
            continue  # what type comes out is the caller's to say: see test_cast
        attrs = assemble(*compile_expression(name, sample.attrs, [("in", i) for i in range(len(wide))]))
        want = np.asarray(prim.ref(*wide, **sample.attrs))
        np.testing.assert_allclose(reference(attrs, *wide), want, rtol=1e-12, atol=1e-13, err_msg=sample.tag)
        if wide[0].size == 0:
            continue
        narrow = [a.astype(np.float32) if a.dtype == np.float64 else a for a in wide]
        got = call(attrs, *narrow)
        want = np.asarray(prim.ref(*(a.astype(np.float64) if a.dtype == np.float32 else a for a in narrow), **sample.attrs))
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7, err_msg=sample.tag)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, -1.0, -2.0, 0.5])
def test_powers_of_numbers(exponent):
    steps, outputs = compile_expression("pow", {}, [("in", 0), exponent])
    assert all(s.op != "pow" for s in steps)
    x = np.abs(numbers((50,))) + 0.1
    np.testing.assert_allclose(call(assemble(steps, outputs), x), x.astype(np.float64) ** exponent, rtol=3e-7)


# refusals -----------------------------------------------------------------------------------------------------------

def words(*code, constants=()):
    return [len(code), *code, len(constants), *encode(VM, {"code": (), "constants": constants})[2:]]


X = np.zeros((4, 5), np.float32)
STORE = (OPCODES["store"], 0, 0, 0, 0)
NEG = (OPCODES["neg"], 0, 64, 0, 0)
BAD = {
    "no attributes": ([X], [X.copy()], []),
    "no code": ([X], [X.copy()], [0, 0]),
    "code cut off": ([X], [X.copy()], [10, *NEG]),
    "odd length": ([X], [X.copy()], words(*NEG, *STORE, 1)),
    "attributes left over": ([X], [X.copy()], [*words(*NEG, *STORE), 7]),
    "negative length": ([X], [X.copy()], [-5, *NEG, 0]),
    "huge length": ([X], [X.copy()], [2**62, *NEG, *STORE, 0]),
    "too many constants": ([X], [X.copy()], words(*NEG, *STORE, constants=(1.0,) * 65)),
    "constants cut off": ([X], [X.copy()], [*words(*NEG, *STORE)[:-1], 3]),
    "unknown opcode": ([X], [X.copy()], words(len(OPCODES), 0, 64, 0, 0, *STORE)),
    "negative opcode": ([X], [X.copy()], words(-1, 0, 64, 0, 0, *STORE)),
    "undefined register": ([X], [X.copy()], words(OPCODES["neg"], 1, 0, 0, 0, *STORE)),
    "register 32": ([X], [X.copy()], words(OPCODES["neg"], 32, 64, 0, 0, *STORE)),
    "negative register": ([X], [X.copy()], words(OPCODES["neg"], -1, 64, 0, 0, *STORE)),
    "no such input": ([X], [X.copy()], words(OPCODES["neg"], 0, 65, 0, 0, *STORE)),
    "no such constant": ([X], [X.copy()], words(OPCODES["neg"], 0, 128, 0, 0, *STORE)),
    "operand that is not used": ([X], [X.copy()], words(OPCODES["neg"], 0, 64, 64, 0, *STORE)),
    "output not stored": ([X], [X.copy(), X.copy()], words(*NEG, *STORE)),
    "output stored twice": ([X], [X.copy()], words(*NEG, *STORE, *STORE)),
    "no such output": ([X], [X.copy()], words(*NEG, OPCODES["store"], 1, 0, 0, 0)),
    "store before an operation": ([X], [X.copy()], words(*NEG, *STORE, *NEG)),
    "store of an input among others": ([X], [X.copy()], words(*NEG, OPCODES["store"], 0, 64, 0, 0)),
    "unknown type": ([X], [X.copy()], words(*NEG, OPCODES["store"], 0, 0, 9, 0)),
    "absent input": ([None], [X.copy()], words(*NEG, *STORE)),
    "absent output": ([X], [None], words(*NEG, *STORE)),
    "no output": ([X], [], words(*NEG, *STORE)),
    "another shape": ([X[:, :4]], [X.copy()], words(*NEG, *STORE)),
    "another rank": ([X[0]], [X.copy()], words(*NEG, *STORE)),
    "strided output": ([X], [np.zeros((5, 4), np.float32).T], words(*NEG, *STORE)),
    "25 inputs": ([X] * 25, [X.copy()], words(*NEG, *STORE)),
    "9 outputs": ([X], [X.copy() for _ in range(9)], words(*NEG, *STORE)),
}


@pytest.mark.parametrize("case", BAD)
def test_refusals(case):
    inputs, outputs, attrs = BAD[case]
    with pytest.raises(ShapeError):
        call_op("vm", inputs, outputs, attrs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-2, 140), min_size=5, max_size=40), st.integers(-1, 3))
def test_random_words_never_crash(code, extra):
    """Random code is refused, or runs inside its memory."""
    code = [c % 70 if i % 5 else abs(c) % len(OPCODES) for i, c in enumerate(code[:len(code) // 5 * 5])]
    x, y = numbers((40, 30)), np.zeros((40, 32), np.float32)
    with contextlib.suppress(ShapeError):
        call_op("vm", [x, x.T.copy().T], [y[:, :30].copy()], [len(code), *code, max(extra, 0), *[0] * max(extra, 0)])


def test_metas_refuse_what_does_not_fit():
    f32 = np.dtype(np.float32)
    for metas, why in (((), "inputs"), ((((2,), np.dtype(np.int8)),), "int8"), ((((2,), f32), ((3,), f32)), "broadcast")):
        with pytest.raises(ValueError, match=why):
            VM.metas(one("neg") if len(metas) < 2 else one("add"), *metas)
    with pytest.raises(ValueError, match="reads input 1"):
        VM.metas(one("add"), ((2,), f32))
