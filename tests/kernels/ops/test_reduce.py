"""The family reduce: kernels against references, every order of axes and layout, the same bits everywhere, refusals."""

import contextlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_op import on_threads

from ndiv.autograd import get
from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.optim.clip import clip_scale
from ndiv.program.ops import PLAN_OPS, SELECT
from ndiv.program.ops.record import encode

ISAS = native.isas()
EPS = 2.0**-24


@contextlib.contextmanager
def using(isa):
    before = native.isa()
    native.select(isa)
    try:
        yield
    finally:
        native.select(before)


def run(name, inputs, **attrs):
    op = PLAN_OPS[name]
    ((shape, dtype),) = op.metas(attrs, *[None if x is None else (x.shape, x.dtype) for x in inputs])
    out = np.full(shape, 99, dtype)
    call_op(name, inputs, [out], encode(op, attrs))
    return out


def everywhere(name, inputs, **attrs):
    """The outputs, which are the same on every instruction set."""
    outs = []
    for isa in ISAS:
        with using(isa):
            outs.append(run(name, inputs, **attrs))
    for isa, out in zip(ISAS, outs, strict=True):
        np.testing.assert_array_equal(out, outs[0], err_msg=isa)  # NaNs count as equal
    return outs[0]


def check(name, x, dims, keepdim=False):
    """A kernel against the sum (product, extreme) in double; as close as 16 lanes and blocks of 64 can be."""
    got = everywhere(name, [x], dims=dims, keepdim=keepdim)
    with np.errstate(all="ignore"):
        want = PLAN_OPS[name].reference(x.astype(np.float64), dims, keepdim)
        size = PLAN_OPS[name].reference(abs(x.astype(np.float64)), dims, keepdim)
    assert got.shape == want.shape and got.dtype == np.float32
    if name in ("amax", "amin"):
        np.testing.assert_array_equal(got, want)
        return got
    count = math.prod(x.shape[d] for d in dims)
    terms = count if name == "prod" else 2 + min(count, 32) + min(count / 64, 16) + count / 1024 / 16
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite].astype(np.float32))
    np.testing.assert_array_less(abs(got - want)[finite], (terms * EPS * size)[finite] + 2.0**-126)  # subnormals are flushed
    return got


def numbers(shape, seed=0, around=0.0):
    return np.asarray(np.random.default_rng(seed).normal(size=shape) + around, np.float32)


def layouts(x):
    """The same values dense, in every other order of memory, strided, turned round and spread out."""
    yield x
    for order in list(itertools.permutations(range(x.ndim)))[1:]:
        back = np.argsort(order)
        yield np.ascontiguousarray(x.transpose(order)).transpose(back)
    wide = np.zeros(tuple(2 * n + 1 for n in x.shape), np.float32)
    wide[tuple(slice(1, None, 2) for _ in x.shape)] = x
    yield wide[tuple(slice(1, None, 2) for _ in x.shape)]
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]


ALL = ["sum", "mean", "prod", "amax", "amin"]


def subsets(rank):
    return [s for k in range(rank + 1) for s in itertools.combinations(range(rank), k)]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(5,), (3, 70), (70, 3), (4, 5, 6), (2, 33, 17), (3, 1, 65)], ids=str)
def test_every_set_of_axes_in_every_layout(name, shape):
    for x in layouts(numbers(shape, 1, 0.5 if name == "prod" else 0.0)):
        for dims in subsets(len(shape)):
            check(name, x, dims, keepdim=len(dims) == 1)


@pytest.mark.parametrize("name", ALL)
def test_four_axes(name):
    x = numbers((3, 2, 5, 4), 2, 0.5)
    for dims in subsets(4):
        check(name, x, dims)
        check(name, x.transpose(2, 0, 3, 1), dims, True)


@pytest.mark.parametrize("name", ["sum", "mean", "amax"])
@pytest.mark.parametrize("shape", [(1,), (15,), (16,), (17,), (63,), (64,), (65,), (127,), (2047,), (2048,), (2049,), (16384,),
                                   (16385,), (70000,), (300000,)], ids=str)
def test_rows_of_all_lengths(name, shape):
    x = numbers(shape, 3, 1.0)
    check(name, x, (0,))
    check(name, np.stack([x, -x]), (1,))
    check(name, np.repeat(x, 2)[::2], (0,))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amin"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 63, 64, 65, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("cols", [1, 2, 15, 17, 1030])
def test_columns_of_all_lengths(name, rows, cols):
    if rows * cols <= 400_000:
        check(name, numbers((rows, cols), 4) if name != "prod" else 1 + numbers((rows, cols), 4) / 100, (0,))
        check(name, numbers((2, rows, cols), 5)[:, ::-1] if name != "prod" else numbers((2, rows, 1), 5), (1,))


def test_work_that_is_shared_out():
    x = numbers((40, 60, 50), 6)
    for dims in subsets(3):
        check("sum", x, dims)
        check("amax", x, dims)
        check("mean", x.transpose(1, 2, 0), dims)
    check("sum", numbers((3000, 40), 7), (0,))
    check("amin", numbers((3000, 40), 7), (0,))


@pytest.mark.parametrize("name", ALL)
def test_broadcast_and_single_values(name):
    check(name, np.broadcast_to(numbers((3, 1), 8), (3, 40)), (1,))
    check(name, np.broadcast_to(numbers((1, 40), 8), (30, 40)), (0,))
    check(name, np.broadcast_to(np.float32(0.5), (30, 40)), (0, 1))
    check(name, numbers(()), ())
    check(name, numbers((1, 1, 1)), (0, 2), True)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)], ids=str)
def test_empty(name, shape):
    x = np.zeros(shape, np.float32)
    for dims in subsets(len(shape)):
        left = math.prod(n for i, n in enumerate(shape) if i not in dims)
        if name in ("amax", "amin") and left:
            out = np.zeros([n for i, n in enumerate(shape) if i not in dims], np.float32)
            with pytest.raises(ShapeError):
                call_op(name, [x], [out], encode(PLAN_OPS[name], {"dims": dims, "keepdim": False}))
            with pytest.raises(ValueError):
                run(name, [x], dims=dims, keepdim=False)
        else:
            out = everywhere(name, [x], dims=dims, keepdim=False)
            assert np.array_equal(out, np.full_like(out, {"prod": 1, "mean": np.nan}.get(name, 0)), equal_nan=True)


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-37, 3e38, -3e38, 1.0], np.float32)


@pytest.mark.parametrize("name", ["amax", "amin", "sum", "prod"])
def test_special_values_anywhere(name):
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 16, 40, 100, 3000):
        for value in SPECIAL:
            x = numbers((3, n))
            x[1, rng.integers(n)] = value
            with np.errstate(all="ignore"):
                for dims, layout in (((1,), x), ((0,), np.ascontiguousarray(x.T))):
                    got = everywhere(name, [layout], dims=dims, keepdim=False)
                    want = PLAN_OPS[name].reference(layout, dims, False)
                np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
                if name.startswith("am"):
                    np.testing.assert_array_equal(got, want)


def test_sums_are_as_good_as_pairwise_ones():
    """The root of the mean squared error over many sums, beside NumPy's."""
    for shape, dims in (((4000, 720), (1,)), ((4096, 500), (0,)), ((100, 20000), (1,))):
        x = np.random.default_rng(1).random(shape).astype(np.float32)
        want = x.astype(np.float64).sum(dims)
        ours = np.sqrt(np.mean((run("sum", [x], dims=dims, keepdim=False) - want) ** 2))
        theirs = np.sqrt(np.mean((x.sum(dims) - want) ** 2))
        assert ours < 2 * theirs


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_sum_may_be_split(data):
    """The sum over two axes is the sum over one of the sums over the other, whatever the layout (whole numbers: exactly)."""
    shape = data.draw(st.lists(st.integers(1, 20), min_size=2, max_size=4))
    x = np.random.default_rng(0).integers(-50, 50, shape).astype(np.float32)
    x = x.transpose(data.draw(st.permutations(range(len(shape)))))
    first, second = sorted(data.draw(st.permutations(range(len(shape))))[:2])
    both = run("sum", [x], dims=(first, second), keepdim=True)
    one = run("sum", [run("sum", [x], dims=(first,), keepdim=True)], dims=(second,), keepdim=True)
    np.testing.assert_array_equal(both, one)


@pytest.mark.parametrize("shape", [(1,), (17,), (3, 40), (40, 3), (5, 6, 33), (2, 3000), (60, 70, 30)], ids=str)
def test_argmax(shape):
    for x in (numbers(shape), np.random.default_rng(0).integers(0, 3, shape).astype(np.float32), np.zeros(shape, np.float32),
              SPECIAL[np.random.default_rng(1).integers(0, 9, shape)], np.full(shape, -np.inf, np.float32),
              np.full(shape, np.nan, np.float32)):
        for dim in range(len(shape)):
            np.testing.assert_array_equal(everywhere("argmax", [x], dim=dim), np.argmax(x, axis=dim))


def test_argmax_of_nothing():
    assert everywhere("argmax", [np.zeros((0, 3), np.float32)], dim=1).shape == (0,)
    with pytest.raises(ShapeError):
        call_op("argmax", [np.zeros((3, 0), np.float32)], [np.zeros(3, np.int64)], [1])


@pytest.mark.parametrize("max_norm", [-1.0, 0.0, 0.5, 1e9, math.inf])
def test_sumsq_scale(max_norm):
    grads = [numbers(s, i) for i, s in enumerate([(3,), (0,), (17, 5), (), (16384,), (16385,), (40000,)])]
    for loss in (None, np.float32([1.5]), np.array(2.0, np.float32)):
        for some in (grads, grads[:1], []):
            got = everywhere("sumsq_scale", [loss, *some], max_norm=max_norm)
            norm = math.sqrt(math.fsum(float(np.sum(g.astype(np.float64) ** 2)) for g in some))
            np.testing.assert_allclose(got, [norm, 1.0 if max_norm < 0 else clip_scale(norm, max_norm)], rtol=1e-14)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sumsq_scale_says_when_a_step_must_be_left_out(value):
    bad = np.array([1.0, value], np.float32)
    got = run("sumsq_scale", [None, bad], max_norm=1.0)
    assert not np.isfinite(got[0]) and np.isnan(got[1])
    got = run("sumsq_scale", [bad[1:], np.array([3.0, 4.0], np.float32)], max_norm=-1.0)
    assert got[0] == 5.0 and np.isnan(got[1])
    for part in (PLAN_OPS["sumsq_scale"].reference(None, bad, max_norm=1.0),
                 PLAN_OPS["sumsq_scale"].reference(bad[1:], bad[:1], max_norm=1.0)):
        assert np.isnan(part[1])


def test_threads_change_nothing():
    x = numbers((60, 70, 40), 9)
    rows = x.reshape(-1, 16)
    on_threads(lambda: [
        *(run(name, [a], dims=dims, keepdim=False) for name in ("sum", "mean", "amax") for dims in subsets(3)
          for a in (x, x.transpose(2, 0, 1), x[::2, ::-1])),
        *(run(name, [rows], dims=dims, keepdim=False) for name in ("sum", "amin") for dims in subsets(2)),
        run("argmax", [x], dim=0), run("argmax", [x], dim=2), run("sumsq_scale", [None, x, rows, x[0, 0]], max_norm=1.0)])


F, O, N = np.zeros((3, 4), np.float32), np.zeros(4, np.float32), np.zeros(2)
REFUSED = {
    "null": ("sum", [None], [O], [1, 0, 0]),
    "null out": ("sum", [F], [None], [1, 0, 0]),
    "two": ("sum", [F, F], [O], [1, 0, 0]),
    "short": ("sum", [F], [O], [1, 0]),
    "long": ("sum", [F], [O], [1, 0, 0, 0]),
    "list": ("sum", [F], [O], [2**40, 0, 0]),
    "negative list": ("sum", [F], [O], [-1, 0, 0]),
    "dim": ("sum", [F], [O], [1, 2, 0]),
    "dim below": ("mean", [F], [O], [1, -2, 0]),
    "dim far": ("mean", [F], [O], [1, 2**62, 0]),
    "twice": ("amax", [F], [O], [2, 0, 0, 0]),
    "order": ("amax", [F], [np.zeros((), np.float32)], [2, 1, 0, 0]),
    "keepdim": ("prod", [F], [O], [1, 0, 2]),
    "out": ("prod", [F], [O], [1, 1, 0]),
    "out rank": ("sum", [F], [O], [1, 0, 1]),
    "out dtype": ("sum", [F], [np.zeros(4, np.int64)], [1, 0, 0]),
    "out strided": ("sum", [F], [np.zeros(8, np.float32)[::2]], [1, 0, 0]),
    "dtype": ("sum", [F.astype(np.float64)], [O], [1, 0, 0]),
    "argmax dim": ("argmax", [F], [np.zeros(4, np.int64)], [2]),
    "argmax out": ("argmax", [F], [np.zeros(4, np.int64)], [1]),
    "argmax dtype": ("argmax", [F], [O], [0]),
    "argmax strided": ("argmax", [F.T], [np.zeros(3, np.int64)], [0]),
    "argmax 0-d": ("argmax", [np.zeros((), np.float32)], [np.zeros((), np.int64)], [0]),
    "norm nothing": ("sumsq_scale", [], [N], [0]),
    "norm loss": ("sumsq_scale", [O, F], [N], [0]),
    "norm gap": ("sumsq_scale", [None, None], [N], [0]),
    "norm dtype": ("sumsq_scale", [None, N], [N], [0]),
    "norm strided": ("sumsq_scale", [None, F.T], [N], [0]),
    "norm out": ("sumsq_scale", [None, F], [np.zeros(3)], [0]),
    "norm out null": ("sumsq_scale", [None, F], [None], [0]),
    "norm nan": ("sumsq_scale", [None, F], [N], [int(np.float64(np.nan).view(np.int64))]),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refusals(case):
    name, inputs, outputs, attrs = REFUSED[case]
    for isa in ISAS:
        with using(isa), pytest.raises(ShapeError, match="refused its operands"):
            call_op(name, inputs, outputs, attrs)


class Builder:
    """Runs what a rule emits at once; Values are arrays."""

    def emit(self, name, inputs, attrs, outputs):
        op = PLAN_OPS[name]
        assert op.metas(attrs, *[(x.shape, x.dtype) for x in inputs]) == [(o.shape, o.dtype) for o in outputs]
        call_op(name, inputs, outputs, encode(op, attrs))


@pytest.mark.parametrize("name, attrs", [
    *((n, {"dim": d, "keepdim": k}) for n in ("sum", "mean", "amax", "amin") for d in (None, 1, -1, (0, -1), (1, 0)) for k in (False, True)),
    ("prod", {"dim": -1}), ("prod", {"dim": 0}), ("argmax", {"dim": -2}), ("argmax", {"dim": 0})])
def test_rules(name, attrs):
    x = numbers((3, 4, 5))
    want = np.asarray(get(name).ref(x, **attrs))
    out = np.full_like(want, 99)
    assert SELECT[name](Builder(), [x], attrs, [out]) is not False
    np.testing.assert_allclose(out, want, rtol=3e-6, atol=1e-6)
    assert SELECT[name](Builder(), [x.astype(int)], attrs, [out]) is False
