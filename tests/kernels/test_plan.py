"""The native executor: what it computes, what its verifier refuses, and that nothing it is given makes it crash."""

import ctypes
import ctypes.util
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ndiv.backends import threadpool
from ndiv.backends.plans import NativePlan
from ndiv.errors import FileError, ShapeError

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from plan_bytes import ABSENT, Plan  # noqa: E402

IDENTITY, RELU = 0, 1
F32 = np.float32


def chain():
    """relu(x + c) through the arena into the output: slots 0 input, 1 constant, 2 output."""
    p = Plan()
    x, c, y, t = p.slot("input", (4, 3)), p.slot("constant", (3,)), p.slot("output", (4, 3)), p.arena((4, 3))
    p.op("bias_act", [x, c], [t, None], [IDENTITY])
    p.op("bias_act", [t, None], [y, None], [RELU])
    return p


C = np.array([1, -2, 3], F32)
X = np.linspace(-4, 4, 12, dtype=F32).reshape(4, 3)


# what it computes ----------------------------------------------------------------------------------------------------

def test_chain():
    plan = NativePlan(chain().bytes(), [None, C, None])
    out = np.empty((4, 3), F32)
    plan.run([X, None, out])
    assert np.array_equal(out, np.maximum(X + C, 0))
    assert plan.instructions == 2
    assert plan.slots[1] == (3, np.dtype(F32), 12)
    memory = plan.memory()
    assert memory["arena"] == 64
    assert memory["total"] > memory["arena"] + memory["scratch"] + memory["packed"]


def test_empty_plan():
    plan = NativePlan(Plan().bytes())
    plan.run([])
    assert plan.memory()["arena"] == 0


def test_addresses_may_change_between_runs():
    plan = NativePlan(chain().bytes(), [None, C, None])
    for k in range(5):
        x, out = X * k, np.empty((4, 3), F32)
        plan.run([x, None, out])
        assert np.array_equal(out, np.maximum(x + C, 0))


def test_state_is_updated_in_place():
    p = Plan()
    s, x = p.slot("state", (2, 3)), p.slot("input", (3,))
    p.op("bias_act", [s, x], [s, None], [IDENTITY])
    plan = NativePlan(p.bytes())
    state, x = np.zeros((2, 3), F32), np.array([1, 2, 3], F32)
    plan.bind(0, state)
    for _ in range(4):
        plan.run([None, x])
    assert np.array_equal(state, np.tile(4 * x, (2, 1)))
    other = np.ones((2, 3), F32)
    plan.bind(0, other)
    plan.run([None, x])
    assert np.array_equal(other, np.tile(x + 1, (2, 1)))
    assert np.array_equal(state, np.tile(4 * x, (2, 1)))


def test_bound_memory_lives_as_long_as_the_plan():
    p = Plan()
    s, y = p.slot("state", (1000, 1000)), p.slot("output", (1000, 1000))
    p.op("bias_act", [s, None], [y, None], [IDENTITY])
    plan = NativePlan(p.bytes())
    plan.bind(0, np.full((1000, 1000), 7, F32))  # the only reference
    out = np.zeros((1000, 1000), F32)
    plan.run([None, out])
    assert (out == 7).all()


def test_scan_moves_values_and_puts_them_back():
    p = Plan()
    p.slot("input", (5, 8))
    p.slot("output", (5, 8))
    p.slot("state", (1, 8))
    row, out = p.view(1, 0, "f4", 0, (1, 8), step=32), p.view(1, 1, "f4", 128, (1, 8), step=-32)
    state, flat = p.view(1, 2, "f4", 0, (1, 8)), p.view(1, 2, "f4", 0, (8,))
    last = p.view(1, 1, "f4", 0, (1, 8))
    p.op("scan", attrs=[5, 2])
    p.op("bias_act", [row, flat], [out, None], [IDENTITY])   # rows go out in reverse, plus what came before
    p.op("bias_act", [out, None], [state, None], [IDENTITY])
    p.op("bias_act", [last, flat], [last, None], [IDENTITY])  # after the scan: the state twice
    plan = NativePlan(p.bytes())
    x = np.arange(40, dtype=F32).reshape(5, 8)
    sums = np.cumsum(x, 0)[::-1].copy()
    sums[0] *= 2
    for _ in range(3):  # the operands are where they were
        out, state = np.zeros((5, 8), F32), np.zeros((1, 8), F32)
        plan.run([x, out, state])
        assert np.array_equal(out, sums)
        assert np.array_equal(state[0], np.cumsum(x, 0)[-1])


def test_profile_adds_the_time_of_each_instruction():
    plan = NativePlan(chain().bytes(), [None, C, None])
    out, times = np.zeros((4, 3), F32), np.zeros(2, np.int64)
    for _ in range(3):
        before = times.copy()
        plan.profile([X, None, out], times)
        assert (times >= before).all()
    assert np.array_equal(out, np.maximum(X + C, 0))
    assert times.sum() > 0
    with pytest.raises(ShapeError):
        plan.profile([X, None, out], np.zeros(1, np.int64))


def test_constants_are_packed_once():
    rng = np.random.default_rng(0)
    p = Plan()
    a, b, y = p.slot("input", (8, 16)), p.slot("constant", (16, 32)), p.slot("output", (8, 32))
    p.op("gemm", [a, b, None, None], [y, None], [IDENTITY, np.float64(1).view(np.int64).item()])
    weights = rng.normal(size=(16, 32)).astype(F32)
    plan = NativePlan(p.bytes(), [None, weights, None])
    assert plan.memory()["packed"] > 0
    x, out = rng.normal(size=(8, 16)).astype(F32), np.empty((8, 32), F32)
    plan.run([x, None, out])
    assert np.allclose(out, x @ weights, rtol=1e-5, atol=1e-5)


# the process around it -----------------------------------------------------------------------------------------------

def test_subnormals_are_flushed_and_the_state_is_put_back():
    x, out = np.full((4, 3), 1e-40, F32), np.ones((4, 3), F32)
    plan = NativePlan(chain().bytes(), [None, np.zeros(3, F32), None])
    plan.run([x, None, out])
    assert (out == 0).all()
    assert (x + np.zeros((4, 3), F32) == x).all()


def test_rounding_mode_of_the_process_does_not_matter():
    libm = ctypes.CDLL(ctypes.util.find_library("m") or ctypes.util.find_library("c"))
    x, c = np.full((4, 3), 1 / 3, F32), np.full(3, 1e-9, F32)
    plan = NativePlan(chain().bytes(), [None, c, None])
    expected, out, modes = np.empty((4, 3), F32), np.empty((4, 3), F32), []
    plan.run([x, None, expected])
    nearest = libm.fegetround()
    for mode in (0x400, 0x800, 0xC00, 0x400000, 0x800000, 0xC00000):  # those of x86 and of AArch64
        if libm.fesetround(mode) == 0:
            plan.run([x, None, out])
            modes.append((mode, libm.fegetround()))
            libm.fesetround(nearest)
            assert np.array_equal(out, expected)
    assert len(modes) == 3
    assert all(a == b for a, b in modes)


def heavy():
    """A plan that takes some milliseconds, and its arrays."""
    p = Plan()
    x, y, t = p.slot("input", (256, 256)), p.slot("output", (256, 256)), p.arena((256, 256))
    one = np.float64(1).view(np.int64).item()
    for _ in range(4):
        p.op("gemm", [x, x, None, None], [t, None], [IDENTITY, one])
    p.op("bias_act", [t, None], [y, None], [IDENTITY])
    x = np.random.default_rng(1).normal(size=(256, 256)).astype(F32)
    return NativePlan(p.bytes()), x, np.zeros((256, 256), F32)


def test_two_threads_run_one_plan_at_once():
    plan, x, expected = heavy()
    plan.run([x, expected])
    one = plan.memory()["total"]
    outs = [np.zeros_like(x), np.zeros_like(x)]
    barrier = threading.Barrier(2)

    def many(out):
        barrier.wait()
        for _ in range(20):
            plan.run([x, out])

    for _ in range(100):
        workers = [threading.Thread(target=many, args=(out,)) for out in outs]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        assert all(np.array_equal(out, expected) for out in outs)
        if plan.memory()["total"] > one:  # the second context: both were inside
            break
    grown = plan.memory()["total"] - one
    assert 256 * 256 * 4 < grown < 2 * one
    before = plan.memory()["total"]
    many_more = [plan.run([x, outs[0]]) for _ in range(5)]
    assert many_more == [None] * 5
    assert plan.memory()["total"] == before


def test_the_interpreter_runs_on_during_a_run():
    plan, x, out = heavy()
    done = threading.Event()

    def many():
        for _ in range(20):
            plan.run([x, out])
        done.set()

    worker = threading.Thread(target=many)
    worker.start()
    count = 0
    while not done.is_set():
        count += 1
    worker.join()
    assert count > 1000


def test_same_bits_on_any_number_of_threads():
    before = threadpool.threads()
    results = []
    try:
        for n in (1, 2, 3, 8):
            threadpool.set_threads(n)
            plan, x, out = heavy()
            plan.run([x, out])
            threadpool.set_threads(9 - n)  # a plan keeps to the number it was loaded with
            plan.run([x, out])
            results.append(out)
    finally:
        threadpool.set_threads(before)
    assert all(np.array_equal(results[0], r) for r in results)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of address space is Linux's")
def test_no_memory_is_said_so():
    code = f"""if True:
        import resource, sys
        sys.path.insert(0, {str(HERE)!r})
        from ndiv.backends.plans import NativePlan
        from ndiv.errors import OutOfMemoryError
        from plan_bytes import Plan
        p = Plan()
        p.arena((1 << 36,))
        plan = NativePlan(p.bytes())
        resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
        try:
            plan.run([])
        except OutOfMemoryError as error:
            print(error, isinstance(error, MemoryError))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[E0008] there is not enough memory to run the plan True"


# what the verifier refuses -------------------------------------------------------------------------------------------

BIG = 1 << 40


def test_an_arena_that_no_value_needs_is_refused():
    p = Plan()
    p.size = 1 << 38  # the header is outside the checksum
    with pytest.raises(FileError, match="larger than its values"):
        NativePlan(p.bytes())


def refused(data, constants=(None, C, None)):
    """The message of the refusal."""
    with pytest.raises(FileError) as caught:
        NativePlan(data, constants)
    assert str(caught.value).startswith("[E0006] not a valid plan: ")
    return str(caught.value).removeprefix("[E0006] not a valid plan: ")


def test_every_cut_is_refused():
    data = chain().bytes()
    for n in range(len(data)):
        refused(data[:n])
    refused(data + b"\0")


def test_every_bit_outside_of_the_arena_size_is_checked():
    data = bytearray(chain().bytes())
    for i in range(len(data)):
        if 32 <= i < 40:
            continue  # a larger arena is as good
        data[i] ^= 1 << i % 8
        refused(bytes(data))
        data[i] ^= 1 << i % 8


@pytest.mark.parametrize(("field", "value", "reason"), [
    ("magic", b"NDIVPLAM", "these bytes do not begin as a plan does"), ("version", 2, "the plan is of another version"),
    ("flags", 1, "the plan has flags that are not known"), ("size", 1 << 63, "the size is not the one in the header"),
    ("crc", 7, "the checksum does not agree"), ("arena", BIG + 1, "the arena is too large"),
    ("arena", (1 << 64) - 8, "the arena is too large"), ("arena", 44, "a value reaches outside its region"),
    ("n", [1, 3, 5, 2, 8, 2], "the sections do not add up to the size"),
    ("n", [0xFFFFFFFF] * 6, "the sections do not add up to the size"),
    ("n", [0] * 6, "the sections do not add up to the size"),
])
def test_header(field, value, reason):
    p = chain()
    p.header[field] = value
    assert refused(p.bytes()) == reason


def change(path, value):
    """A change of one number of the plan: its list, then the positions."""
    def apply(p):
        target = getattr(p, path[0])
        for k in path[1:-1]:
            target = target[k]
        target[path[-1]] = value
    return apply


# values of chain(): 0 x (input), 1 c (constant), 2 y (output), 3 t (arena); fields: region, slot, dtype, rank, offset,
# step, dims, strides. Instructions: op, n_in, n_out, first operand, first attribute, number of attributes, line, 0.
TAMPERED = {
    "kind": (change(["slots", 0, 0], 4), "a slot's kind or dtype is not known"),
    "slot dtype": (change(["slots", 0, 1], 5), "a slot's kind or dtype is not known"),
    "slot size": (change(["slots", 0, 2], 1 << 63), "a slot's size is not valid"),
    "slot size, odd": (change(["slots", 0, 2], 49), "a slot's size is not valid"),
    "slot too small": (change(["slots", 0, 2], 44), "a value reaches outside its region"),
    "region": (change(["values", 0, 0], 2), "a value's region or slot is not known"),
    "slot": (change(["values", 0, 1], 3), "a value's region or slot is not known"),
    "slot of the arena": (change(["values", 3, 1], 1), "a value's region or slot is not known"),
    "dtype": (change(["values", 3, 2], 5), "a value's dtype or rank is not known"),
    "dtype of another slot": (change(["values", 0, 2], 3), "a value has another dtype than its slot"),
    "rank": (change(["values", 3, 3], 9), "a value's dtype or rank is not known"),
    "rank and dims": (change(["values", 3, 3], 1), "a value has dims or strides past its rank"),
    "offset below": (change(["values", 0, 4], -4), "a value reaches outside its region"),
    "offset above": (change(["values", 0, 4], 4), "a value reaches outside its region"),
    "offset far": (change(["values", 0, 4], 1 << 62), "a value's offset or step is not valid"),
    "offset aside": (change(["values", 0, 4], 2), "a value is not aligned to its elements"),
    "step far": (change(["values", 0, 5], -1 << 63), "a value's offset or step is not valid"),
    "step aside": (change(["values", 0, 5], 2), "a value is not aligned to its elements"),
    "step, no scan": (change(["values", 0, 5], 4), "instruction 0: a value with a step is used outside of a scan"),
    "dim": (change(["values", 0, 6, 0], -1), "a value's dims or strides are not valid"),
    "dim far": (change(["values", 0, 6, 0], BIG), "a value is too large"),
    "dims that overflow": (change(["values", 0, 6], [BIG] * 8), "a value is too large"),
    "broadcast that overflows": (change(["values", 0], [1, 0, 0, 2, 0, 0, [BIG, BIG], [0, 0]]), "a value is too large"),
    "empty that overflows": (change(["values", 0], [1, 0, 0, 3, 0, 0, [BIG, BIG, 0], [0, 0, 0]]), "a value is too large"),
    "stride": (change(["values", 0, 7, 0], 1 << 62), "a value's dims or strides are not valid"),
    "stride far": (change(["values", 0, 7, 0], BIG), "a value reaches outside its region"),
    "stride back": (change(["values", 0, 7, 0], -3), "a value reaches outside its region"),
    "output not dense": (change(["values", 2, 7], [1, 4]), "instruction 1: an output is not dense"),
    "operation": (change(["names", 0], "bias_akt"), "instruction 0: the operation is not known"),
    "operation's number": (change(["instr", 1, 0], 1), "instruction 1: the operation's number is out of range"),
    "name too long": (change(["names", 0], "b" * 32), "a name of an operation is empty or too long"),
    "name empty": (change(["names", 0], ""), "a name of an operation is empty or too long"),
    "name and more": (change(["names", 0], "bias_act\0x"), "a name of an operation is not padded with zeros"),
    "inputs": (change(["instr", 0, 1], 3), "instruction 1: the operands do not follow those of the instruction before"),
    "many inputs": (change(["instr", 0, 1], 0xFFFFFFFF), "instruction 0: there are too many operands"),
    "first operand": (change(["instr", 1, 3], 0), "instruction 1: the operands do not follow those of the instruction before"),
    "first attribute": (change(["instr", 1, 4], 0),
                        "instruction 1: the attributes do not follow those of the instruction before"),
    "attributes": (change(["instr", 1, 5], 0xFFFFFFFF),
                   "instruction 1: the attributes do not follow those of the instruction before"),
    "no attribute": (change(["instr", 1, 5], 0), "operands or attributes belong to no instruction"),
    "reserved": (change(["instr", 0, 7], 1), "instruction 0: a reserved field is not zero"),
    "operand": (change(["operands", 0], 4), "an operand's number is out of range"),
    "missing": (change(["operands", 0], ABSENT), "instruction 0: the operation refuses its operands: one is missing"),
    "attribute": (change(["attrs", 0], 99), "instruction 0: the operation refuses its operands: a dtype, layout, number or "
                                            "attribute is not valid"),
    "to an input": (change(["operands", 2], 0), "instruction 0: an output is in an input or a constant"),
    "to a constant": (change(["operands", 2], 1), "instruction 0: an output is in an input or a constant"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered(name):
    tamper, reason = TAMPERED[name]
    p = chain()
    NativePlan(p.bytes(), [None, C, None])
    tamper(p)
    assert refused(p.bytes()) == reason


def test_line_numbers_are_free():
    p = chain()
    p.instr[0][6] = 0xFFFFFFFF
    NativePlan(p.bytes(), [None, C, None])


@pytest.mark.parametrize(("attrs", "operands", "reason"), [
    ([5, 2], [], "a scan has more instructions than there are"), ([5, 0], [], "a scan has more instructions than there are"),
    ([5, -1], [], "a scan has more instructions than there are"), ([0, 1], [], "a scan's number of steps is not valid"),
    ([BIG + 1, 1], [], "a scan's number of steps is not valid"), ([5], [], "a scan has two attributes and no operands"),
    ([5, 1], [0], "a scan has two attributes and no operands"),
    ([1 << 40, 1], [], "instruction 1: a value leaves its region in a scan"),
    ([6, 1], [], "instruction 1: a value leaves its region in a scan"),
])
def test_scans(attrs, operands, reason):
    p = Plan()
    p.slot("input", (5, 8))
    p.slot("output", (8,))
    row, out = p.view(1, 0, "f4", 0, (1, 8), step=32), p.view(1, 1, "f4", 0, (1, 8))
    p.op("scan", operands, [], attrs)
    p.op("bias_act", [row, None], [out, None], [IDENTITY])
    assert refused(p.bytes()) == (reason if reason.startswith("inst") else f"instruction 0: {reason}")


def test_no_scan_in_a_scan():
    p = chain()
    p.names.append("scan")
    p.op("scan", attrs=[2, 2])
    p.op("scan", attrs=[2, 1])
    p.op("bias_act", [3, None], [2, None], [RELU])
    assert refused(p.bytes()) == "instruction 2: a scan is inside a scan"


def test_outputs_do_not_overlap_each_other():
    p = Plan()
    p.slot("state", (64,))
    x, a, b = (p.view(1, 0, "f4", 64 * k, (2, 4)) for k in (0, 1, 2))
    c = p.view(1, 0, "f4", 92, (2, 4))
    p.op("bias_act", [x, None], [a, b], [RELU])
    NativePlan(p.bytes())
    p.operands[-1] = c
    assert refused(p.bytes()) == "instruction 0: two outputs overlap"


views = st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(-3, 3))  # offset, length, step (elements)


@settings(max_examples=400, deadline=None)
@given(a=views, stride=st.integers(-2, 3), b=views, steps=st.integers(0, 5), inplace=st.booleans())
@example(a=(0, 4, 0), stride=1, b=(0, 4, 0), steps=0, inplace=True)
@example(a=(0, 4, 1), stride=1, b=(0, 4, 1), steps=3, inplace=True)
@example(a=(0, 1, 2), stride=1, b=(1, 1, 1), steps=3, inplace=True)
def test_extents_and_overlaps_as_counted_element_by_element(a, stride, b, steps, inplace):
    """Bounds and overlaps of one input and one output, with and without a scan: the verifier agrees with enumeration."""
    room, item = 16, 4
    (at, n, step), (to, m, out_step) = a, b
    p = Plan()
    p.size = room * item
    x = p.view(0, 0, "f4", at * item, (1, n), (1, stride), step * item)
    y = p.view(0, 0, "f4", to * item, (1, m), None, out_step * item)
    if steps:
        p.op("scan", attrs=[steps, 1])
    p.op("bias_act" if inplace else "avg_pool1d", [x, None], [y, None], [IDENTITY])

    inside, clash = steps > 0 or (step == 0 and out_step == 0), False
    for i in range(max(steps, 1)):
        reads = [at + i * step + k * stride for k in range(n)] or [at + i * step]
        writes = [to + i * out_step + k for k in range(m)] or [to + i * out_step]
        inside &= all(0 <= e < room + (n == 0) for e in reads) and all(0 <= e < room + (m == 0) for e in writes)
        if n and m:
            clash |= max(min(reads), writes[0]) <= min(max(reads), writes[-1])
    same = inplace and (at, n, step) == (to, m, out_step) and (stride == 1 or n < 2)
    try:
        NativePlan(p.bytes())
        reason = "operation refuses"
    except FileError as error:
        reason = error.message
    if not inside:
        assert "region" in reason or "outside of a scan" in reason
    elif clash and not same:
        assert "an output overlaps an input" in reason
    else:
        assert "operation refuses" in reason


# what the binding refuses --------------------------------------------------------------------------------------------

def test_arrays_that_do_not_fit():
    plan = NativePlan(chain().bytes(), [None, C, None])
    out = np.zeros((4, 3), F32)
    locked = out.copy()
    locked.flags.writeable = False
    for x, y, reason in [
        (None, out, "slot 0 (input) has no array"),
        (X.astype(np.float64), out, "slot 0 (input) needs 48 bytes of float32, not 96 of float64"),
        (X[:3], out, "slot 0 (input) needs 48 bytes of float32, not 36 of float32"),
        (X[::-1], out, "slot 0 (input) needs an array that is C-contiguous"),
        (X, out.T, "slot 2 (output) needs an array that is C-contiguous and writable"),
        (X, locked, "slot 2 (output) needs an array that is C-contiguous and writable"),
    ]:
        with pytest.raises(ShapeError) as caught:
            plan.run([x, None, y])
        assert caught.value.message == reason
        with pytest.raises(ShapeError) as caught:
            plan.profile([x, None, y], np.zeros(2, np.int64))
        assert caught.value.message == reason
    plan.run([X.reshape(2, 6), None, out])  # any shape of that size
    assert np.array_equal(out, np.maximum(X + C, 0))


def test_memory_that_is_not_aligned():
    plan = NativePlan(chain().bytes(), [None, C, None])
    raw = np.zeros(49, np.uint8)
    askew = raw[1:].view(F32) if raw.ctypes.data % 4 == 0 else raw[:-1].view(F32)
    with pytest.raises(ShapeError, match="a slot's memory is not aligned"):
        plan.run([askew, None, np.zeros((4, 3), F32)])


def test_constants_and_bindings():
    data = chain().bytes()
    for constants in ((), [None, None, None]):
        with pytest.raises(ShapeError, match=r"slot 1 \(constant\) has no array"):
            NativePlan(data, constants)
    with pytest.raises(ShapeError, match="slot 1"):
        NativePlan(data, [None, C.astype(np.float64), None])
    plan = NativePlan(data, [None, C, None])
    with pytest.raises(ShapeError, match="slot 1 is a constant"):
        plan.bind(1, C)
    with pytest.raises(ShapeError, match="slot 0"):
        plan.bind(0, C)


def test_other_bytes():
    for data in (b"", b"\0" * 64, b"NDIVPLAN" + b"\xff" * 120, bytes(range(256)) * 8):
        refused(data)


def test_random_changes_never_crash():
    """Whatever passes runs; the fuzzer in csrc/tests does this at length."""
    rng = random.Random(0)
    passed = 0
    for _ in range(3000):
        p = chain()
        for _ in range(rng.randint(1, 3)):
            table = rng.choice([p.slots, p.values, p.instr, p.operands, p.attrs])
            row = rng.randrange(len(table))
            value = rng.choice([0, 1, 2, 3, 4, 5, 8, 12, 16, 24, 32, 48, 64])
            if isinstance(table[row], int):
                table[row] = value
                continue
            column = rng.randrange(len(table[row]))
            if isinstance(table[row][column], list):
                table[row][column][rng.randrange(len(table[row][column]))] = value
            else:
                table[row][column] = value
        try:
            plan = NativePlan(p.bytes(), [np.zeros(s[2], np.uint8).view(np.dtype(F32)) if s[1] == 0 and s[2] % 4 == 0 else C
                                          for s in p.slots])
            plan.run([np.zeros(size // 4 if dtype == F32 else size // dtype.itemsize, dtype) for _, dtype, size in plan.slots])
            passed += 1
        except (FileError, ShapeError):
            continue
    assert passed > 50
