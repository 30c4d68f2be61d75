"""The family gemm: every path against the reference, with the same bits on every path and instruction set.

Bounds: a chain of k fused multiply-adds is off by less than k rounding errors of its largest partial sum, and by about
sqrt(k) of them on random data: 4 + sqrt(k) units of 2^-24 times the sum of the absolute products hold with room to spare.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.backends import kernels, native
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops.gemm import BIAS_ACT, BIAS_ACT_BWD, GEMM
from ndiv.program.ops.record import encode

F32 = np.float32
ACTS = list(kernels.ACTS)


@pytest.fixture(autouse=True)
def best_isa():
    yield
    native.select(None)


def gemm(a, b, bias=None, addend=None, act="identity", alpha=1.0, constant=(), pre=True):
    out = np.full((*a.shape[:-1], b.shape[-1]), np.nan, F32)
    z = np.full_like(out, np.nan) if pre else None
    call_op("gemm", [a, b, bias, addend], [out, z], encode(GEMM, {"act": act, "alpha": alpha}), constant)
    return (out, z) if pre else out


def normal(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(F32)


def matrix(rows: int, cols: int, layout: str, seed: int = 0, lead: tuple[int, ...] = ()) -> np.ndarray:
    if layout == "rows":
        return normal((*lead, rows, cols), seed)
    if layout == "cols":
        return normal((*lead, cols, rows), seed).swapaxes(-1, -2)
    if layout == "flipped":
        return normal((*lead, rows, cols), seed)[..., ::-1, ::-1]
    return normal((*lead, 2 * rows, 3 * cols), seed)[..., ::2, ::3]


def check(a, b, found, bias=None, addend=None, alpha=1.0):
    wide = [None if v is None else v.astype(np.float64) for v in (a, b, bias, addend)]
    want = GEMM.reference(*wide, act="identity", alpha=alpha)[1]
    size = abs(alpha) * np.matmul(abs(wide[0]), abs(wide[1])) + sum(abs(v) for v in wide[2:] if v is not None)
    assert (abs(found - want) <= (4 + np.sqrt(a.shape[-1])) * 2.0 ** -24 * size + 1e-30).all()


def bits(x: np.ndarray) -> bytes:
    return np.ascontiguousarray(x).tobytes()


def chain(a, b):
    """a b by the path whose sums are chains whatever the shape."""
    b = np.ascontiguousarray(b)
    return gemm(np.ascontiguousarray(a), b, pre=False, constant=(1,)) if b.shape[-1] > 1 else gemm(a, b, pre=False)


def on_lanes(a, b):
    """Whether the contract of gemm sums this product on lanes, where b is not constant."""
    (m, k), n = a.shape, b.shape[1]
    return m == 1 and n > 1 and k >= 64 and a.strides[1] == b.strides[0] == 4 and b.strides[1] != 4


def lanes(a, b):
    """a b with lane l the chain over k = l, l + 16 ..., and the lanes added on the fixed tree."""
    k = -a.shape[1] % 16
    a, b = np.pad(a, ((0, 0), (0, k))), np.pad(b, ((0, k), (0, 0)))
    sums = [chain(a[:, i::16], b[i::16]) for i in range(16)]
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [sums[i] + sums[i + half] for i in range(half)]
    return sums[0]


def everywhere(run):
    """The result of ``run`` on the best instruction set, after all others gave the same bits."""
    results = []
    for isa in native.isas():
        native.select(isa)
        results.append(run())
    native.select(None)
    assert all(bits(r) == bits(results[-1]) for r in results)
    return results[-1]


SHAPES = [(1, 1, 1), (1, 40, 33), (1, 300, 64), (1, 17, 5), (1, 33, 1), (40, 1, 33), (3, 1, 1), (2, 3, 4), (5, 24, 96), (12, 32, 7),
          (13, 33, 16), (24, 31, 1), (32, 24, 50), (33, 65, 17), (49, 129, 20), (64, 16, 64), (100, 48, 12), (53, 150, 40), (260, 17, 9),
          (9, 1, 7), (10, 3, 6), (11, 5, 9), (14, 15, 8), (16, 16, 16), (22, 13, 5), (1, 700, 9), (1, 531, 3), (1, 45, 90), (1, 2, 64),
          (1, 1, 90), (21, 1, 90), (25, 520, 1)]
LAYOUTS = ["rows", "cols", "steps", "flipped"]


@pytest.mark.parametrize("la", LAYOUTS)
@pytest.mark.parametrize("lb", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_layout_has_the_bits_of_the_plainest(shape, la, lb):
    m, n, k = shape
    a, b = matrix(m, k, la), matrix(k, n, lb, 1)
    found = everywhere(lambda: gemm(a, b, pre=False))
    check(a, b, found)
    native.select("scalar")
    plain = chain(a, b)
    assert bits(found) == bits(lanes(a, b) if on_lanes(a, b) else plain)
    native.select(None)
    assert bits(gemm(a, b, pre=False, constant=(1,))) == bits(plain)


@pytest.mark.parametrize("shape", [(7, 20, 513), (60, 70, 600), (1, 50, 1100), (20, 3, 1500), (70, 130, 530)], ids=str)
@pytest.mark.parametrize("layouts", [("rows", "rows"), ("rows", "cols"), ("cols", "rows"), ("cols", "cols"), ("steps", "steps")],
                         ids="-".join)
def test_a_long_k_is_one_chain_too(shape, layouts):
    m, n, k = shape
    a, b = matrix(m, k, layouts[0]), matrix(k, n, layouts[1], 1)
    addend, bias = normal((m, n), 2), normal((n,), 3)
    whole = gemm(a, b, bias, addend, alpha=0.5)[0]
    check(a, b, whole, bias, addend, 0.5)
    plain = chain(a, b)
    assert bits(gemm(a, b, pre=False)) == bits(lanes(a, b) if on_lanes(a, b) else plain)
    assert bits(gemm(a, b, pre=False, constant=(1,))) == bits(plain)
    for i in (0, m - 1):  # one row at a time goes another way
        row = a[i:i + 1]
        assert bits(gemm(row, b, pre=False, constant=(1,))) == bits(plain[i:i + 1])
        assert bits(gemm(row, b, pre=False)) == bits(lanes(row, b) if on_lanes(row, b) else plain[i:i + 1])
    # a chain continues: with integers below 2^24 every order is exact, so blocks can be compared with NumPy's sum
    ia, ib = np.rint(a * 4).astype(F32), np.rint(b * 4).astype(F32)
    assert bits(gemm(ia, ib, pre=False)) == bits((ia.astype(np.float64) @ ib.astype(np.float64)).astype(F32))


def test_products_larger_than_a_tile():
    a, b = normal((1000, 300)), normal((300, 500), 1)
    found = gemm(a, b, pre=False)
    check(a, b, found)
    assert bits(gemm(a, np.asfortranarray(b), pre=False)) == bits(gemm(np.asfortranarray(a), b, pre=False)) == bits(found)
    assert bits(gemm(a, b, normal(500, 2), constant=(1,))[0]) == bits(found + normal(500, 2))


@given(m=st.integers(0, 40), n=st.integers(0, 70), k=st.integers(0, 40), la=st.sampled_from(LAYOUTS), lb=st.sampled_from(LAYOUTS),
       lead=st.lists(st.integers(1, 3), max_size=2), wa=st.booleans(), wb=st.booleans(), fused=st.booleans(), constant=st.booleans())
@settings(max_examples=150, deadline=None)
def test_batches(m, n, k, la, lb, lead, wa, wb, fused, constant):
    """Whatever is broadcast, each item of a batch is its own product."""
    lead = tuple(lead)
    a = matrix(m, k, la, 0, lead) if wa else np.broadcast_to(matrix(m, k, la), (*lead, m, k))
    b = matrix(k, n, lb, 1, lead) if wb else np.broadcast_to(matrix(k, n, lb, 1), (*lead, k, n))
    bias, addend = (normal((n,), 2), normal((*lead, m, n), 3)) if fused else (None, None)
    out, pre = gemm(a, b, bias, addend, constant=(1,) if constant else ())
    assert bits(out) == bits(pre)
    if out.size:
        check(a, b, out, bias, addend)
    for i in np.ndindex(*lead):
        assert bits(out[i]) == bits(gemm(a[i], b[i], bias, None if addend is None else addend[i])[0])


@pytest.mark.parametrize("shape", [(1, 900, 130), (900, 1, 130), (33, 70, 650), (300, 520, 40), (40, 900, 30), (900, 40, 30)], ids=str)
@pytest.mark.parametrize("layouts", [("rows", "rows"), ("rows", "cols"), ("cols", "rows"), ("steps", "steps")], ids="-".join)
def test_threads_change_no_bit(shape, layouts):
    m, n, k = shape
    a, b = matrix(m, k, layouts[0]), matrix(k, n, layouts[1], 1)
    bias, addend = normal((n,), 2), normal((m, n), 3)
    batch = np.stack([a[:20, :9], a[:20, 1:10], a[:20, 2:11]]) if m >= 20 else np.stack([a[:, :9]] * 3)
    weights = np.broadcast_to(b[:9], (3, 9, n))
    x = normal((900, 70), 4)

    def run():
        gx, gbias = np.empty_like(x), np.empty(70, F32)
        call_op("bias_act_bwd", [x, x, x], [gx, gbias], encode(BIAS_ACT_BWD, {"act": "silu"}))
        out, pre = gemm(a, b, bias, addend, "gelu")
        return b"".join(map(bits, (gemm(a, b, pre=False), gemm(a, b, bias, constant=(1,))[0], out, pre, gemm(batch, weights, pre=False),
                                   gemm(batch, weights, addend=np.ones((3, batch.shape[1], n), F32))[1], gx, gbias)))

    lib = native._need()
    before, results = lib.nd_threads(), set()
    try:
        for threads in (1, 2, 3, 7):
            lib.nd_set_threads(threads)
            results.add(run())
    finally:
        lib.nd_set_threads(before)
    assert len(results) == 1


@pytest.mark.parametrize("shape", [(130, 70, 2100), (90, 128, 3000), (4000, 75, 40), (4000, 64, 32)], ids=str)
@pytest.mark.parametrize("layouts", [("rows", "rows"), ("rows", "cols"), ("cols", "rows"), ("cols", "cols")], ids="-".join)
def test_factors_from_far_caches(shape, layouts):
    """What is asked for ahead, the shorter blocks of k of a weight's gradient and its tiles of columns change no bit."""
    m, n, k = shape
    a, b = matrix(m, k, layouts[0]), matrix(k, n, layouts[1], 1)
    bias, addend, plain = normal((n,), 2), normal((m, n), 3), chain(a, b)
    lib = native._need()
    before = lib.nd_threads()
    try:
        for threads in (1, 2, 3):
            lib.nd_set_threads(threads)
            assert bits(gemm(a, b, pre=False)) == bits(plain)
            out, pre = gemm(a, b, bias, addend, "relu")
            assert bits(pre) == bits((plain + addend) + bias) and bits(out) == bits(np.maximum(pre, 0))
            both = gemm(np.stack([a, -a]), np.stack([b, b]), pre=False)
            assert bits(both) == bits(np.stack([plain, gemm(-a, b, pre=False)]))
    finally:
        lib.nd_set_threads(before)


def test_rows_of_a_batch_are_folded_into_one_product():
    a, w = normal((4, 5, 6, 20)), normal((30, 20), 1)
    b = np.broadcast_to(w.T, (4, 5, 20, 30))
    flat = gemm(a.reshape(120, 20), w.T, pre=False)
    assert bits(gemm(a, b, pre=False)) == bits(gemm(a, b, pre=False, constant=(1,))) == bits(flat)
    turned = np.ascontiguousarray(a.swapaxes(0, 2)).swapaxes(0, 2)  # strides that do not fold
    assert bits(gemm(turned, b, pre=False)) == bits(flat)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("shape", [(1, 37, 5), (9, 1, 5), (14, 35, 6), (20, 17, 600)], ids=str)
@pytest.mark.parametrize("layouts", [("rows", "rows"), ("cols", "cols")], ids="-".join)
def test_the_epilogue_is_the_elementwise_kernels(act, shape, layouts):
    m, n, k = shape
    a, b = matrix(m, k, layouts[0]), matrix(k, n, layouts[1], 1)
    bias, addend = normal((n,), 2), normal((m, n), 3)
    plain = gemm(a, b, pre=False)
    for use_bias, use_addend, alpha in [(1, 1, 0.3), (1, 0, 1.0), (0, 1, 1.0), (0, 0, -2.0), (0, 0, 1.0)]:
        z = plain if alpha == 1.0 else plain * F32(alpha)
        z = z + addend if use_addend else z
        z = z + bias if use_bias else z
        args = (a, b, bias if use_bias else None, addend if use_addend else None, act, alpha)
        out, pre = gemm(*args)
        assert bits(pre) == bits(z)
        alone = np.empty_like(z)
        call_op("bias_act", [z, None], [alone, None], encode(BIAS_ACT, {"act": act}))
        assert bits(out) == bits(alone)
        assert bits(gemm(*args, pre=False)) == bits(out)


@pytest.mark.parametrize("shape", [(1, 37, 5), (9, 1, 5), (14, 35, 6), (20, 17, 600), (300, 70, 600)], ids=str)
@pytest.mark.parametrize("act", ["identity", "gelu"])
def test_the_addend_may_be_either_output(shape, act):
    m, n, k = shape
    a, b = normal((m, k)), matrix(k, n, "cols", 1)
    attrs = encode(GEMM, {"act": act, "alpha": 1.0})
    want, z = gemm(a, b, None, normal((m, n), 2), act)
    both, other = normal((m, n), 2), np.empty((m, n), F32)
    call_op("gemm", [a, b, None, both], [both, None], attrs)
    assert bits(both) == bits(want)
    both = normal((m, n), 2)
    call_op("gemm", [a, b, None, both], [both, other], attrs)
    assert bits(both) == bits(want) and bits(other) == bits(z)
    both = normal((m, n), 2)
    call_op("gemm", [a, b, None, both], [other, both], attrs)
    assert bits(other) == bits(want) and bits(both) == bits(z)


@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (0, 0), (2, 0, 4), (0, 3, 4)], ids=str)
def test_empty_outputs(shape):
    *lead, m, n = shape
    out, pre = gemm(np.ones((*lead, m, 5), F32), np.ones((*lead, 5, n), F32), np.ones(n, F32))
    assert out.size == pre.size == 0


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (20, 40), (2, 20, 40)], ids=str)
@pytest.mark.parametrize("constant", [(), (1,)], ids=["", "constant"])
def test_no_products_give_the_epilogue_of_zero(shape, constant):
    *lead, m, n = shape
    bias, addend = normal((n,)), normal(shape, 1)
    a, b = np.ones((*lead, m, 0), F32), np.ones((*lead, 0, n), F32)
    assert bits(gemm(a, b, bias, addend, "tanh", constant=constant)[1]) == bits(addend + bias)
    assert bits(gemm(a, b, pre=False, constant=constant)) == bits(np.zeros(shape, F32))
    assert bits(gemm(a.reshape(*lead, 0, m).swapaxes(-1, -2), b.reshape(*lead, n, 0).swapaxes(-1, -2), pre=False)) == bits(
        np.zeros(shape, F32))


@pytest.mark.parametrize("m", [1, 5, 60])
@pytest.mark.parametrize("layout", ["rows", "cols"])
def test_no_product_is_skipped(m, layout):
    a, b = np.zeros((m, 40), F32), matrix(40, 50, layout)
    b[3, 7], b[5, 9], b[6, 11] = np.inf, np.nan, -0.0
    out = everywhere(lambda: np.isnan(gemm(a, b, pre=False)))
    assert out[:, [7, 9]].all() and out.sum() == 2 * m


def test_memory_beside_the_operands_is_left_alone():
    for m, n, k in [(5, 19, 7), (1, 19, 7), (9, 1, 30), (50, 19, 7)]:
        for layout in ("rows", "cols"):
            store = np.full(m * n + 64, 7, F32)
            out = store[32:32 + m * n].reshape(m, n)
            a, b = matrix(m, k, layout), matrix(k, n, layout, 1)
            call_op("gemm", [a, b, None, None], [out, None], encode(GEMM, {"act": "identity", "alpha": 1.0}))
            assert (store[:32] == 7).all() and (store[32 + m * n:] == 7).all()


def bad_calls():
    a, b, out, one = np.ones((3, 4), F32), np.ones((4, 5), F32), np.ones((3, 5), F32), [0, struct.unpack("<q", struct.pack("<d", 1))[0]]
    wide = np.ones((3, 10), F32)[:, ::2]
    batch = [np.ones((2, 3, 4), F32), np.ones((2, 4, 5), F32), np.ones((2, 3, 5), F32)]
    yield "operands", [a, b, None], [out, None], one
    yield "outputs", [a, b, None, None], [out], one
    yield "attributes", [a, b, None, None], [out, None], [0]
    yield "act below", [a, b, None, None], [out, None], [-1, one[1]]
    yield "act above", [a, b, None, None], [out, None], [11, one[1]]
    yield "no a", [None, b, None, None], [out, None], one
    yield "no b", [a, None, None, None], [out, None], one
    yield "no out", [a, b, None, None], [None, out], one
    yield "k", [a, b[:3], None, None], [out, None], one
    yield "m", [a[:2], b, None, None], [out, None], one
    yield "n", [a, b[:, :4], None, None], [out, None], one
    yield "vectors", [a[0], b[:, 0], None, None], [out[0], None], one
    yield "ranks", [batch[0], b, None, None], [batch[2], None], one
    yield "batches", [batch[0][:1], batch[1], None, None], [batch[2], None], one
    yield "type of a", [a.astype(np.float64), b, None, None], [out, None], one
    yield "type of b", [a, b.astype(np.int32), None, None], [out, None], one
    yield "type of out", [a, b, None, None], [out.astype(np.float64), None], one
    yield "steps in out", [a, b, None, None], [wide, None], one
    yield "steps in pre", [a, b, None, None], [out, wide], one
    yield "shape of pre", [a, b, None, None], [out, np.ones((5, 3), F32)], one
    yield "length of bias", [a, b, np.ones(3, F32), None], [out, None], one
    yield "rank of bias", [a, b, np.ones((1, 5), F32), None], [out, None], one
    yield "type of bias", [a, b, np.ones(5), None], [out, None], one
    yield "steps in bias", [a, b, np.ones(10, F32)[::2], None], [out, None], one
    yield "shape of addend", [a, b, None, np.ones((1, 5), F32)], [out, None], one
    yield "steps in addend", [a, b, None, wide], [out, None], one
    yield "type of addend", [a, b, None, np.ones((3, 5))], [out, None], one


@pytest.mark.parametrize("case", list(bad_calls()), ids=lambda c: c[0])
def test_what_does_not_fit_is_refused(case):
    _, inputs, outputs, attrs = case
    with pytest.raises(ShapeError):
        call_op("gemm", inputs, outputs, attrs)


@pytest.mark.parametrize("a, b, out", [
    ((1 << 30, 1 << 30, 1, 4), (1 << 30, 1 << 30, 4, 8), (1 << 30, 1 << 30, 1, 8)),  # more elements than an int64 counts
    ((1, 1 << 41), (1 << 41, 1), (1, 1)), ((1 << 41, 1), (1, 1), (1 << 41, 1)), ((-1, 2), (2, 3), (-1, 3)), ((2, -2), (-2, 3), (2, 3)),
    ((1,) * 9, (1,) * 9, (1,) * 9)], ids=str)
def test_views_that_no_array_has_are_refused(a, b, out):
    lib, ffi = native._need(), native._ffi
    words, data = np.zeros((6, 20), np.int64), ffi.new("void *[]", 6)
    for i, shape in ((0, a), (1, b), (4, out)):
        words[i, 0], words[i, 2] = 1, len(shape)
        words[i, 4:4 + min(len(shape), 8)] = shape[:8]
    attrs = ffi.new("int64_t[]", encode(GEMM, {"act": "relu", "alpha": 1.0}))
    assert lib.nd_call_op(b"gemm", 4, 2, ffi.from_buffer("int64_t[]", words), data, 2, attrs) < 0


# bias_act and its gradient ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("shape", [(5,), (3, 7), (200, 33), (2, 40, 16), (0, 4), (4, 0)], ids=str)
def test_bias_act(act, shape):
    x, bias, attrs = normal(shape), normal(shape[-1:], 1), encode(BIAS_ACT, {"act": act})

    def run(b):
        out, pre = np.empty_like(x), np.empty_like(x)
        call_op("bias_act", [x, b], [out, pre], attrs)
        return np.stack([out, pre])

    for b in (bias, None):
        out, pre = everywhere(lambda b=b: run(b))
        want = BIAS_ACT.reference(x.astype(np.float64), None if b is None else b.astype(np.float64), act=act)
        np.testing.assert_allclose(out, want[0], rtol=2e-6, atol=2e-7)
        assert bits(pre) == bits(x if b is None else x + b)
        same = x.copy()
        call_op("bias_act", [same, b], [same, None], attrs)
        assert bits(same) == bits(out)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("shape", [(5,), (3, 7), (200, 33), (2, 40, 16), (0, 4), (4, 0)], ids=str)
def test_bias_act_bwd(act, shape):
    g, attrs = normal(shape), encode(BIAS_ACT_BWD, {"act": act})
    saved = np.random.default_rng(1).uniform(0.1, 0.9, shape).astype(F32)
    results = []
    for isa in native.isas():
        native.select(isa)
        gx, gbias = np.empty_like(g), np.full(shape[-1:], np.nan, F32)
        call_op("bias_act_bwd", [g, saved, None], [gx, gbias], attrs)
        results.append(bits(gx) + bits(gbias))
    assert len(set(results)) == 1
    native.select(None)
    flat = (int(np.prod(shape[:-1])), shape[-1])
    rows = native.bias_act_bwd(g.reshape(flat), saved.reshape(flat), act)
    assert bits(gx) == bits(rows[0]) and bits(gbias) == bits(rows[1])
    want = BIAS_ACT_BWD.reference(g.astype(np.float64), saved.astype(np.float64), None, act=act)
    np.testing.assert_allclose(gx, want[0], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(gbias, want[1], rtol=1e-5, atol=1e-5)
    same = g.copy()
    call_op("bias_act_bwd", [same, saved, None], [same, None], attrs)
    assert bits(same) == bits(gx)


@pytest.mark.parametrize("act", ["identity", "sigmoid", "elu"])
@pytest.mark.parametrize("shape", [(5,), (200, 33), (2, 300, 48), (0, 4)], ids=str)
def test_a_factor_of_the_gradient_is_its_product(act, shape):
    g, by, attrs = normal(shape), normal(shape, 2), encode(BIAS_ACT_BWD, {"act": act})
    saved = np.random.default_rng(1).uniform(0.1, 0.9, shape).astype(F32)
    want, wsum = np.empty_like(g), np.empty(shape[-1:], F32)
    call_op("bias_act_bwd", [g * by, saved, None], [want, wsum], attrs)

    def run():
        gx, gbias = np.empty_like(g), np.empty(shape[-1:], F32)
        call_op("bias_act_bwd", [g, saved, by], [gx, gbias], attrs)
        return np.concatenate([gx.reshape(-1), gbias])

    assert bits(everywhere(run)) == bits(want) + bits(wsum)
    wide = BIAS_ACT_BWD.reference(*(v.astype(np.float64) for v in (g, saved, by)), act=act)
    np.testing.assert_allclose(want, wide[0], rtol=2e-6, atol=1e-6)
    same = g.copy()
    call_op("bias_act_bwd", [same, None if act == "identity" else saved, by], [same, None], attrs)
    assert bits(same) == bits(want)


def test_the_gradient_of_one_row_may_be_the_memory_of_its_sum():
    g, saved, attrs = normal((9,)), normal((9,), 1), encode(BIAS_ACT_BWD, {"act": "tanh"})
    want, other = np.empty_like(g), np.empty_like(g)
    call_op("bias_act_bwd", [g, saved, None], [want, other], attrs)
    call_op("bias_act_bwd", [g, saved, None], [other, g], attrs)
    assert bits(other) == bits(want) == bits(g)


def bad_bias_calls():
    x, v = np.ones((3, 4), F32), np.ones(4, F32)
    yield "operands", "bias_act", [x], [x, None], [0]
    yield "act", "bias_act", [x, v], [x, None], [11]
    yield "no x", "bias_act", [None, v], [x, None], [0]
    yield "no out", "bias_act", [x, v], [None, x], [0]
    yield "bias", "bias_act", [x, v[:3]], [x, None], [0]
    yield "pre", "bias_act", [x, v], [x, v], [0]
    yield "layout", "bias_act", [np.ones((4, 3), F32).T, v], [x, None], [0]
    yield "type", "bias_act", [np.ones((3, 4)), v], [x, None], [0]
    yield "0-d", "bias_act", [np.ones((), F32), None], [np.ones((), F32), None], [0]
    yield "bwd operands", "bias_act_bwd", [x, x], [x, v], [0]
    yield "bwd saved", "bias_act_bwd", [x, None, None], [x, v], [1]
    yield "bwd shapes", "bias_act_bwd", [x, x[:2], None], [x, v], [0]
    yield "bwd factor", "bias_act_bwd", [x, x, v], [x, v], [0]
    yield "bwd sum", "bias_act_bwd", [x, x, None], [x, v[:3]], [0]
    yield "bwd attributes", "bias_act_bwd", [x, x, None], [x, v], []


@pytest.mark.parametrize("case", list(bad_bias_calls()), ids=lambda c: f"{c[1]} {c[0]}")
def test_bias_operands_that_do_not_fit_are_refused(case):
    _, name, inputs, outputs, attrs = case
    with pytest.raises(ShapeError):
        call_op(name, inputs, outputs, attrs)
