"""The family data: kernels against references (bit for bit), layouts, empties, refusals; and how keys become operations."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_op import on_threads

from ndiv.autograd import get
from ndiv.autograd.ops.shape import Key
from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops import PLAN_OPS, SELECT
from ndiv.program.ops.record import encode

ISAS = native.isas()


@contextlib.contextmanager
def using(isa):
    before = native.isa()
    native.select(isa)
    try:
        yield
    finally:
        native.select(before)


def empty(meta):
    """An output full of what no operation writes."""
    return np.full(*meta[:1], 99, meta[1])


def run(name, inputs, **attrs):
    """The kernel's outputs (one: the array itself)."""
    op = PLAN_OPS[name]
    metas = op.metas(attrs, *[None if x is None else (x.shape, x.dtype) for x in inputs])
    outs = [None if m is None else empty(m) for m in metas]
    call_op(name, inputs, outs, encode(op, attrs))
    return outs[0] if len(outs) == 1 else outs


def bits(a):
    """The values as whole numbers, one for every NaN."""
    a = np.ascontiguousarray(np.atleast_1d(a))
    if a.dtype.kind == "f":
        a = np.where(a != a, a.dtype.type(1.5), a)
    return a.view(f"u{a.dtype.itemsize}")


def same(name, inputs, **attrs):
    """Kernel and reference agree on every instruction set."""
    with np.errstate(all="ignore"):
        want = PLAN_OPS[name].reference(*inputs, **attrs)
    for isa in ISAS:
        with using(isa):
            got = run(name, inputs, **attrs)
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_array_equal(bits(got), bits(want), err_msg=isa)
    return want


def numbers(shape, seed=0, dtype=np.float32):
    x = np.asarray(np.random.default_rng(seed).normal(size=shape) * 10)
    return np.asarray(x > 0 if np.dtype(dtype) == np.bool_ else x, dtype)


def layouts(shape, seed=0, dtype=np.float32):
    """The same values dense, transposed in memory, strided and turned round."""
    x = numbers(shape, seed, dtype)
    yield x
    yield np.ascontiguousarray(x.T).T
    wide = np.zeros(tuple(2 * n + 1 for n in shape), dtype)
    wide[tuple(slice(1, None, 2) for _ in shape)] = x
    yield wide[tuple(slice(1, None, 2) for _ in shape)]
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]


TYPES = (np.float32, np.float64, np.int64, np.int32, np.bool_)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_cat(dim, dtype):
    shapes = [[4, 3, 5] for _ in range(4)]
    for shape, n in zip(shapes, (2, 0, 1, 7), strict=True):
        shape[dim] = n
    for k in range(4):
        xs = [list(layouts(tuple(s), i, dtype))[k] for i, s in enumerate(shapes)]
        same("cat", xs, dim=dim)
        same("cat", xs[:1], dim=dim)


def test_cat_of_a_thousand_and_of_broadcasts():
    same("cat", [numbers((3, 1), i) for i in range(1000)], dim=1)
    same("cat", [np.broadcast_to(numbers((3, 1)), (3, 4)), np.broadcast_to(numbers((1, 1)), (3, 2))], dim=1)
    same("cat", [numbers((300, 70), 1), numbers((300, 900), 2).T.reshape(900, 300).T], dim=1)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.int64])
def test_put_slice(n, dtype):
    for start, step in ((0, 1), (2, 1), (9, -1), (8, -2), (1, 2)):
        if not 0 <= start + step * (n - 1) < 10:
            continue
        for g in layouts((2, n, 3), 1, dtype):
            same("put_slice", [g], start=(0, start, 0), step=(1, step, 1), shape=(2, 10, 3))
            same("put_slice", [g], start=(1, start, 2), step=(2, step, -1), shape=(5, 10, 4))
        for g in layouts((n,), 1, dtype):
            same("put_slice", [g], start=(start,), step=(step,), shape=(10,))
            same("put_slice", [g[:0]], start=(start,), step=(step,), shape=(10,))


def test_put_slice_of_a_number_a_whole_and_nothing():
    same("put_slice", [numbers(())], start=(), step=(), shape=())
    same("put_slice", [numbers((3, 4))], start=(0, 0), step=(1, 1), shape=(3, 4))
    same("put_slice", [numbers((3, 0))], start=(0, 0), step=(1, 1), shape=(3, 0))
    same("put_slice", [np.broadcast_to(numbers((1, 1)), (3, 5))], start=(1, 2), step=(1, 1), shape=(7, 9))
    same("put_slice", [numbers((300, 200))], start=(5, 7), step=(1, 1), shape=(310, 210))
    same("put_slice", [numbers((1, 40, 2, 150))], start=(0, 39, 1, 3), step=(1, -1, 2, 1), shape=(1, 40, 4, 500))


@pytest.mark.parametrize("dtype, value", [("float32", 0.1), ("float64", 0.1), ("int64", -7.0), ("int32", 3.0), ("bool", 1.0),
                                          ("float32", float("nan")), ("float32", float("-inf")), ("bool", 0.0)])
def test_fill(dtype, value):
    for shape in ((), (1,), (17,), (3, 0), (5, 33)):
        same("fill", [], shape=shape, value=value, dtype=dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("inner", [1, 3, 32])
@pytest.mark.parametrize("length", [1, 4])
def test_take_and_its_transpose(dtype, inner, length):
    rng = np.random.default_rng(inner)
    for outer, n, m in ((1, 9, 20), (3, 9, 5), (2, 4, 1), (2, 5, 0), (0, 5, 2)):
        index = rng.integers(-n, n - length + 1, m)
        index = np.where((index < 0) & (index + n > n - length), 0, index)
        x = numbers((outer, n, inner), 3, dtype)
        same("take", [x, index], n=n, inner=inner, run=length, shape=(outer, m, length, inner))
        if dtype is np.float32:
            g = numbers((outer, m, length, inner), 4)
            same("take_add", [g, index], n=n, inner=inner, run=length, shape=(outer * n, inner))


def test_take_shares_its_work_out():
    x, index = numbers((40, 300, 5)), np.random.default_rng(0).integers(0, 299, 500)
    out = same("take", [x, index], n=300, inner=5, run=2, shape=(40, 1000, 5))
    same("take_add", [np.ascontiguousarray(out), index], n=300, inner=5, run=2, shape=(40, 300, 5))


@pytest.mark.parametrize("bad", [5, -6, 2**62, -2**62])
def test_an_index_outside_is_refused_when_run(bad):
    index = np.array([0, bad, 1])
    for name, inputs, attrs in [
            ("take", [numbers((5, 2)), index], {"n": 5, "inner": 2, "run": 1, "shape": (3, 2)}),
            ("take_add", [numbers((3, 2)), index], {"n": 5, "inner": 2, "run": 1, "shape": (5, 2)}),
            ("gather", [numbers((5,)), index], {"dim": 0}), ("scatter_add", [numbers((3,)), index], {"dim": 0, "size": 5})]:
        with pytest.raises(ShapeError, match="status -3"):
            run(name, inputs, **attrs)
    with pytest.raises(ShapeError, match="status -3"):
        run("take", [numbers((5,)), np.array([2])], n=5, inner=1, run=4, shape=(4,))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_gather_and_scatter_add(dim, dtype):
    rng = np.random.default_rng(dim)
    for m in (0, 1, 7):
        shape = [3, 4, 5]
        n = shape[dim]
        x = numbers(shape, 1, dtype)
        shape[dim] = m
        index = rng.integers(-n, n, shape)
        same("gather", [x, index], dim=dim)
        if dtype is np.float32:
            same("scatter_add", [numbers(shape, 2), index], dim=dim, size=n)
    same("gather", [np.zeros((0, 3), dtype), np.zeros((0, 2), np.int64)], dim=1)


def test_gather_shares_its_work_out():
    index = np.random.default_rng(1).integers(0, 50, (60, 40, 50))
    same("gather", [numbers((60, 50, 50)), index], dim=1)
    same("scatter_add", [numbers((60, 40, 50)), index], dim=1, size=50)


@pytest.mark.parametrize("shape", [(7,), (1, 1), (3, 5), (4, 17, 33), (2, 40, 3), (9, 30), (0, 3), (3, 0), (2, 1, 700, 60)], ids=str)
def test_cumsum(shape):
    for x in layouts(shape):
        for dim in range(len(shape)):
            same("cumsum", [x], dim=dim)
            same("cumsum", [np.flip(x, dim)], dim=dim)


def test_cumsum_of_broadcasts_and_special_values():
    same("cumsum", [np.broadcast_to(numbers((3, 1)), (3, 20))], dim=1)
    same("cumsum", [np.array([[-0.0, -0.0, 0.0], [1, np.inf, -np.inf]], np.float32)], dim=1)
    same("cumsum", [np.array([[-0.0, -0.0, 0.0], [1, np.inf, -np.inf]], np.float32)], dim=0)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 31, 100, 511, 512, 700, 5000])
def test_argsort(n):
    rng = np.random.default_rng(n)
    same("argsort", [numbers((3, n), 1)], dim=1)
    same("argsort", [rng.integers(0, 5, (n, 2, 3)).astype(np.float32)], dim=0)  # many equals
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 1.0], np.float32)
    same("argsort", [special[rng.integers(0, 9, (2, n))]], dim=1)
    same("argsort", [np.sort(numbers((n,), 2))], dim=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32), max_size=40))
def test_argsort_is_stable_and_sorts(values):
    x = np.array(values, np.float32)
    order = run("argsort", [x], dim=0)
    np.testing.assert_array_equal(order, np.argsort(x, kind="stable"))


def test_threads_change_nothing():
    index = np.random.default_rng(0).integers(0, 60, (70, 60, 40))
    x = numbers((70, 60, 40))
    on_threads(lambda: [
        run("cat", [x, x.transpose(0, 1, 2)[:, ::-1]], dim=1), run("cat", [x.T, x.T], dim=0),
        run("put_slice", [x], start=(3, 59, 1), step=(1, -1, 2), shape=(80, 60, 90)),
        run("put_slice", [x[:1]], start=(0, 5, 0), step=(1, 1, 1), shape=(1, 3000, 40)),
        run("take", [x, index[0, 0]], n=60, inner=40, run=1, shape=(70, 40, 40)),
        run("take_add", [x, index[0, :, 0] // 2], n=31, inner=40, run=1, shape=(70, 31, 40)),
        run("gather", [x, index], dim=1), run("scatter_add", [x, index], dim=1, size=60),
        run("cumsum", [x], dim=1), run("cumsum", [x], dim=2), run("argsort", [x], dim=1), run("argsort", [x.reshape(70, -1)], dim=1)])
    lib = native._need()
    index[69, 59, 39] = 60
    lib.nd_set_threads(3)
    try:
        for name, attrs in (("gather", {"dim": 1}), ("scatter_add", {"dim": 1, "size": 60})):
            with pytest.raises(ShapeError, match="status -3"):
                run(name, [x, index], **attrs)
    finally:
        lib.nd_set_threads(1)


# refusals ---------------------------------------------------------------------------------------------------------------

F = np.zeros((3, 4), np.float32)
I = np.zeros((3, 4), np.int64)
REFUSED = {
    "cat no input": ("cat", [], [F], [0]),
    "cat null": ("cat", [None], [F], [0]),
    "cat null out": ("cat", [F], [None], [0]),
    "cat dim": ("cat", [F], [F], [2]),
    "cat dim below": ("cat", [F], [F], [-1]),
    "cat attrs": ("cat", [F], [F], []),
    "cat sizes": ("cat", [F, F], [F], [0]),
    "cat too little": ("cat", [F[:1]], [F], [0]),
    "cat dtype": ("cat", [I], [F], [0]),
    "cat rank": ("cat", [F[0]], [F], [0]),
    "cat strided out": ("cat", [F], [F.T], [0]),
    "put rank": ("put_slice", [F[0]], [F], [2, 0, 0, 2, 1, 1, 2, 3, 4]),
    "put list": ("put_slice", [F], [F], [2, 0, 0, 2, 1, 1, 3, 3, 4]),
    "put length": ("put_slice", [F], [F], [2**40, 0]),
    "put shape": ("put_slice", [F], [F], [2, 0, 0, 2, 1, 1, 2, 3, 5]),
    "put start": ("put_slice", [F], [F], [2, 1, 0, 2, 1, 1, 2, 3, 4]),
    "put negative": ("put_slice", [F], [F], [2, -1, 0, 2, 1, 1, 2, 3, 4]),
    "put step": ("put_slice", [F], [F], [2, 0, 0, 2, 2, 1, 2, 3, 4]),
    "put no step": ("put_slice", [F], [F], [2, 0, 0, 2, 0, 1, 2, 3, 4]),
    "put far back": ("put_slice", [F], [F], [2, 2, 0, 2, -2**63, 1, 2, 3, 4]),
    "put far": ("put_slice", [F], [F], [2, 0, 0, 2, 2**63 - 1, 1, 2, 3, 4]),
    "put dtype": ("put_slice", [I], [F], [2, 0, 0, 2, 1, 1, 2, 3, 4]),
    "fill shape": ("fill", [], [F], [2, 3, 5, 0, 0]),
    "fill dtype": ("fill", [], [F], [2, 3, 4, 0, 1]),
    "fill short": ("fill", [], [F], [2, 3, 4, 0]),
    "fill input": ("fill", [F], [F], [2, 3, 4, 0, 0]),
    "fill range": ("fill", [], [I], [2, 3, 4, int(np.float64(1e300).view(np.int64)), 2]),
    "fill nan": ("fill", [], [I], [2, 3, 4, int(np.float64(np.nan).view(np.int64)), 2]),
    "take run": ("take", [F, I], [np.zeros(0, np.float32)], [3, 4, 0, 1, 0]),
    "take inner": ("take", [F, I[:1, :1]], [F[:1]], [3, 5, 1, 2, 1, 4]),
    "take n": ("take", [F, I[:1, :1]], [F[:1]], [0, 4, 1, 2, 1, 4]),
    "take overflow": ("take", [F, I[:1, :1]], [F[:1]], [2**62, 4, 1, 2, 1, 4]),
    "take run overflow": ("take", [F, I[:1, :0]], [F[:0]], [3, 4, 2**62, 2, 0, 4]),
    "take size": ("take", [F, I[:1, :2]], [F[:1]], [3, 4, 1, 2, 1, 4]),
    "take index": ("take", [F, I[:1, :1].astype(np.int32)], [F[:1]], [3, 4, 1, 2, 1, 4]),
    "take strided": ("take", [F.T, I[:1, :1]], [F[:1]], [3, 4, 1, 2, 1, 4]),
    "take shape": ("take", [F, I[:1, :1]], [F[:1]], [3, 4, 1, 2, 4, 1]),
    "take_add int": ("take_add", [I, I[0, :3].copy()], [I], [3, 4, 1, 2, 3, 4]),
    "gather dim": ("gather", [F, I], [F], [2]),
    "gather shape": ("gather", [F, I[:2]], [F[:2]], [1]),
    "gather out": ("gather", [F, I], [F[:2]], [0]),
    "gather rank": ("gather", [F, I[0]], [F[0]], [0]),
    "gather dtype": ("gather", [F, I], [I], [0]),
    "gather index": ("gather", [F, F], [F], [0]),
    "scatter size": ("scatter_add", [F, I], [F], [1, 5]),
    "scatter dtype": ("scatter_add", [I, I], [I], [1, 4]),
    "cumsum dim": ("cumsum", [F], [F], [2]),
    "cumsum dtype": ("cumsum", [I], [I], [0]),
    "cumsum shape": ("cumsum", [F], [F[:2]], [0]),
    "cumsum 0-d": ("cumsum", [np.zeros((), np.float32)], [np.zeros((), np.float32)], [0]),
    "argsort dtype": ("argsort", [F], [F], [0]),
    "argsort input": ("argsort", [I], [I], [0]),
    "argsort dim": ("argsort", [F], [I], [-1]),
    "argsort two": ("argsort", [F, F], [I], [0]),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refusals(case):
    name, inputs, outputs, attrs = REFUSED[case]
    for isa in ISAS:
        with using(isa), pytest.raises(ShapeError, match="refused its operands"):
            call_op(name, inputs, outputs, attrs)


# keys -------------------------------------------------------------------------------------------------------------------

class Builder:
    """Runs what a rule emits at once; Values are arrays."""

    def __init__(self):
        self.names = []

    def emit(self, name, inputs, attrs, outputs):
        self.names.append(name)
        op = PLAN_OPS[name]
        inputs = [np.ascontiguousarray(x) if op.dense is True or i in op.dense else x for i, x in enumerate(inputs)]
        metas = op.metas(attrs, *[(x.shape, x.dtype) for x in inputs])
        assert metas == [(o.shape, o.dtype) for o in outputs]
        call_op(name, inputs, outputs, encode(op, attrs))

    def temp(self, shape, dtype):
        return empty((shape, dtype))

    def constant(self, array):
        return array

    def apply(self, name, inputs, attrs):
        return get(name).ref(*inputs, **attrs)


def lowered(name, inputs, **attrs):
    want = np.asarray(get(name).ref(*inputs, **attrs))
    b, out = Builder(), empty((want.shape, want.dtype))
    assert SELECT[name](b, inputs, attrs, [out]) is not False
    np.testing.assert_array_equal(out, want)
    return b.names


I2 = np.array([[0, 2], [1, 0]])
KEYS = {
    "array": (np.array([2, 0, -1]),),
    "array alone": np.array([2, 0, -1]),
    "list": ([2, 0, 0],),
    "windows": (slice(None), slice(None), np.arange(3)[:, None] + np.arange(2)),
    "middle": (slice(None), I2),
    "middle of a part": (slice(1, 2), I2, slice(None, None, -2)),
    "ellipsis": (Ellipsis, I2),
    "new axes": (None, slice(None), I2, None),
    "two arrays": (I2, slice(None), I2),
    "number and array": (0, slice(None), I2),
    "no dimensions": (slice(None), np.array(1)),
    "truth": np.random.default_rng(0).normal(size=(3, 3, 5)) > 0,
    "truth of one axis": (slice(None), np.array([True, False, True])),
    "none taken": (np.zeros(0, int),),
    "one block": (np.array([1]), np.array([2])),
}
BASIC = {"number": 1, "negative": -1, "slice": slice(1, None), "all": (Ellipsis,), "last": (Ellipsis, -1),
         "backwards": (slice(None), slice(None, None, -2)), "new": (None, 0, slice(0, 2), None, slice(4, 0, -3)),
         "nothing": (slice(2, 2),), "one": (1, 2, 3)}


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem_by_arrays(key):
    x = numbers((3, 3, 5))
    assert lowered("getitem", [x], key=Key(KEYS[key])) == ["take"]
    spot = x[KEYS[key]]
    names = lowered("put", [numbers(spot.shape, 1)], key=Key(KEYS[key]), shape=x.shape)
    assert names == (["take_add", "put_slice"] if key == "middle of a part" else ["take_add"])


@pytest.mark.parametrize("key", BASIC, ids=str)
def test_basic_keys(key):
    x = numbers((3, 3, 5))
    assert SELECT["getitem"](Builder(), [x], {"key": Key(BASIC[key])}, [x]) is False  # a view
    assert lowered("put", [np.asarray(x[BASIC[key]])], key=Key(BASIC[key]), shape=x.shape) == ["put_slice"]


def test_windows_are_copied_in_runs():
    emitted = []

    class Spy(Builder):
        def emit(self, name, inputs, attrs, outputs):
            emitted.append((attrs["run"], inputs[1].shape))
            super().emit(name, inputs, attrs, outputs)

    x = numbers((4, 10))
    key = Key((slice(None), np.arange(0, 8, 2)[:, None] + np.arange(3)))
    out = np.empty((4, 4, 3), np.float32)
    SELECT["getitem"](Spy(), [x], {"key": key}, [out])
    rows = Key((np.array([[0, 1], [2, 3]]), slice(None)))
    SELECT["getitem"](Spy(), [x], {"key": rows}, [np.empty((2, 2, 10), np.float32)])
    assert emitted == [(3, (4,)), (2, (2,))]


@pytest.mark.parametrize("m, k, n, u", [(5, 32, 40, 6), (2, 7, 33, 17), (70, 16, 90, 40), (3, 0, 4, 2), (3, 5, 4, 0), (0, 5, 4, 2)])
@pytest.mark.parametrize("layout", ["columns", "rows", "turned"])
def test_picks_are_the_bits_of_the_product(m, k, n, u, layout):
    a, index = numbers((2, 3, m, k)), np.random.default_rng(1).integers(-n, n, (m, u))
    b = numbers((2, 3, k, n), 1) if layout == "rows" else numbers((2, 3, n, k), 1).swapaxes(2, 3)
    if layout == "turned":
        a, b = a[..., ::-1], np.ascontiguousarray(b)[:, :, ::-1]
    whole = np.empty((2, 3, m, n), np.float32)
    gemm = PLAN_OPS["gemm"]
    call_op("gemm", [a, b, None, None], [whole, None], encode(gemm, {"act": "identity", "alpha": 1.0}))
    want = whole[..., np.arange(m)[:, None], index]
    for isa in ISAS:
        with using(isa):
            on_threads(lambda: [run("picks", [a, b, index])])
            np.testing.assert_array_equal(bits(run("picks", [a, b, index])), bits(want), err_msg=isa)
    np.testing.assert_allclose(PLAN_OPS["picks"].reference(a, b, index), want, rtol=1e-4, atol=1e-4)


def test_picks_refuse_what_does_not_fit():
    a, b, index, out = numbers((2, 4, 3)), numbers((2, 3, 5)), np.zeros((4, 2), np.int64), np.empty((2, 4, 2), np.float32)
    call_op("picks", [a, b, index], [out], [])
    for bad in ([a, b, index[:3]], [a, b[:1], index], [a, b[:, :2], index], [a, b, index.astype(np.int32)],
                [a.astype(np.float64), b, index], [a, b, index + 5], [a, b, index - 6]):
        with pytest.raises(ShapeError):
            call_op("picks", bad, [out], [])
    for wrong in (out[:1], out[..., :1].copy()):
        with pytest.raises(ShapeError):
            call_op("picks", [a, b, index], [wrong], [])


def test_the_other_rules():
    x = numbers((3, 4))
    index = np.array([[2, 0, -1], [1, 1, 3], [0, 0, 0]])
    assert lowered("cat", [x, x, x], dim=-1) == ["cat"]
    assert lowered("cat", [x[:, :1]] * 2001, dim=1) == ["cat"] * 4
    assert lowered("gather", [x, index], dim=-1) == ["gather"]
    assert lowered("scatter_add", [numbers((3, 3)), index], dim=-1, size=4) == ["scatter_add"]
    assert lowered("cumsum", [x], dim=-2) == ["cumsum"]
    assert lowered("argsort", [x], dim=-1) == ["argsort"]
    assert SELECT["argsort"](Builder(), [x.astype(int)], {"dim": -1}, [x]) is False
    assert SELECT["gather"](Builder(), [x, index.astype(np.int32)], {"dim": -1}, [x]) is False
    assert SELECT["put"](Builder(), [x.astype(int)], {"key": Key(index)}, [x]) is False


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_basic_key_round_trips(data):
    """put lays down what getitem picked up, and zeros elsewhere."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    end = st.one_of(st.none(), st.integers(-5, 5))
    parts = [data.draw(st.one_of(st.integers(-n, n - 1), st.builds(slice, end, end, st.sampled_from([None, 1, 2, -1, -2, 3]))))
             for n in shape]
    x = numbers(shape)
    lowered("put", [np.asarray(x[tuple(parts)])], key=Key(tuple(parts)), shape=x.shape)
