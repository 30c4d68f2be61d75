"""The plan operations of attention on every instruction set, against the primitives' references run in float64.

Bounds: with numbers of unit size a score is good to some 1e-6, and so, relatively, is each probability; the mean of values
that these weigh is good to a few 1e-6 of the largest. Gradients are sums of such products, relative to their largest.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops.attention import ATTENTION, ATTENTION_BWD
from ndiv.program.ops.record import encode

BOUND, BOUND_BWD = 3e-6, 4e-6
RNG = np.array([2**62 + 3, 7], np.int64)


def numbers(seed, *shape, size=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * size).astype(np.float32)


def attributes(query, causal=False, p=0.0, scale=None, stream=2):
    return {"is_causal": causal, "scale": query.shape[-1]**-0.5 if scale is None else scale, "dropout_p": p, "stream": stream}


def lead_of(q, k, v, mask):
    return np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], mask.shape[:-2] if mask is not None else ())


def forward(q, k, v, mask=None, **how):
    lead, attrs = lead_of(q, k, v, mask), attributes(q, **how)
    outs = [np.full((*lead, q.shape[-2], n), np.nan, np.float32) for n in (v.shape[-1], 1)]
    call_op("attention", [q, k, v, mask, RNG if attrs["dropout_p"] else None], outs, encode(ATTENTION, attrs))
    return outs


def backward(g, q, k, v, mask, lse, delta, **how):
    lead, attrs = lead_of(q, k, v, mask), attributes(q, **how)
    outs = [np.full((*lead, *x.shape[-2:]), np.nan, np.float32) for x in (q, k, v)]
    call_op("attention_bwd", [g, q, k, v, mask, lse, delta, RNG if attrs["dropout_p"] else None], outs,
            encode(ATTENTION_BWD, attrs))
    return outs


def wide(x):
    return x.astype(np.float64) if x is not None and x.dtype == np.float32 else x


def reference(q, k, v, mask, g, **how):
    """(out, lse, gradients) in float64."""
    attrs = attributes(q, **how)
    q, k, v, mask, g = map(wide, (q, k, v, mask, g))
    out, lse = ATTENTION.reference(q, k, v, mask, RNG, **attrs)
    delta = np.sum(g * out, -1, keepdims=True)
    return out, lse, ATTENTION_BWD.reference(g, q, k, v, mask, lse, delta, RNG, **attrs)


def close(got, want, bound, name=""):
    scale = max(1.0, np.abs(want).max(initial=0))
    np.testing.assert_allclose(got, want, rtol=0, atol=bound * scale, err_msg=name)


def check(q, k, v, mask=None, **how):
    """Both operations against the reference; what they gave."""
    out, lse = forward(q, k, v, mask, **how)
    g = numbers(9, *out.shape)
    want_out, want_lse, want = reference(q, k, v, mask, g, **how)
    close(out, want_out, BOUND)
    close(lse, want_lse, BOUND)
    got = backward(g, q, k, v, mask, lse, np.sum(g * out, -1, keepdims=True), **how)
    for name, x, y in zip(("query", "key", "value"), got, want, strict=True):
        close(x, y, BOUND_BWD, name)
    return [out, lse, *got]


@pytest.fixture(params=native.isas())
def isa(request):
    before = native.isa()
    native.select(request.param)
    yield request.param
    native.select(before)


def mask_of(kind, lead, lq, lk):
    rng = np.random.default_rng(4)
    allowed = rng.random((lq, lk)) < 0.7
    if lq > 3:
        allowed[3] = False  # this query attends to nothing
    return {"none": None, "bool": allowed, "float": np.where(allowed, numbers(5, *lead, lq, lk), -np.inf).astype(np.float32),
            "keys": numbers(6, lk), "key": np.ones((1, 1), bool), "queries": allowed[:, :1],
            "columns": np.asfortranarray(numbers(7, lq, lk)), "padding": rng.random((*lead[:1], *(1,) * len(lead), lk)) < 0.8,
            }[kind]


# lead, Lq, Lk, d, dv: one tile, several, several blocks of keys; widths that are multiples of 16 and others
SMALL = [((2, 3), 12, 12, 16, 16), ((4,), 7, 7, 64, 64), ((), 1, 1, 1, 1), ((1, 2), 49, 65, 20, 5), ((2,), 5, 100, 3, 48),
         ((17,), 3, 20, 32, 80)]
LARGE = [((2,), 50, 600, 64, 64), ((1,), 130, 1100, 8, 48), ((3,), 300, 200, 16, 16), ((1, 1), 97, 1030, 20, 17)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["none", "bool", "float"])
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_small(isa, shape, kind, causal):
    lead, lq, lk, d, dv = shape
    check(numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv), mask_of(kind, lead, lq, lk),
          causal=causal)


@pytest.mark.parametrize(("causal", "kind", "p"), [(False, "none", 0.0), (True, "none", 0.0), (False, "bool", 0.3),
                                                   (True, "float", 0.1), (False, "padding", 0.0)])
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large(shape, kind, causal, p):
    lead, lq, lk, d, dv = shape
    check(numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv), mask_of(kind, lead, lq, lk),
          causal=causal, p=p)


@pytest.mark.parametrize("kind", ["keys", "key", "queries", "columns", "padding"])
def test_masks_broadcast(isa, kind):
    lead, lq, lk = (2, 3), 9, 21
    check(numbers(1, *lead, lq, 8), numbers(2, *lead, lk, 8), numbers(3, *lead, lk, 4), mask_of(kind, lead, lq, lk))


def layouts(x):
    """The same numbers in other places: axes swapped in memory, every second element, reversed, repeated."""
    spread = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 3), np.float32)
    spread[..., 1:-2:2] = x
    gaps = np.zeros((x.shape[0], 2 * x.shape[1], x.shape[2] + 5, x.shape[3] + 16), np.float32)
    gaps[:, ::2, 2:-3, 8:-8] = x
    back = np.ascontiguousarray(x[:, :, ::-1, :])[:, :, ::-1, :]
    return {"heads after time": np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2),
            "features first": np.ascontiguousarray(x.swapaxes(2, 3)).swapaxes(2, 3), "features apart": spread[..., 1:-2:2],
            "gaps": gaps[:, ::2, 2:-3, 8:-8], "backwards": back, "batch last": np.asfortranarray(x)}


@pytest.mark.parametrize("width", [16, 7])
def test_layouts_give_the_same_bits(isa, width):
    plain = [numbers(i, 2, 3, n, m) for i, (n, m) in enumerate([(10, width), (18, width), (18, width), (10, width)])]
    q, k, v, g = plain
    out, lse = forward(q, k, v)
    delta = np.sum(g * out, -1, keepdims=True)
    want = [out, lse, *backward(g, q, k, v, None, lse, delta)]
    for name in layouts(q):
        q, k, v, g = (layouts(x)[name] for x in plain)
        placed = [layouts(x)[name] for x in (lse, delta)]
        for a, b in zip([*forward(q, k, v), *backward(g, q, k, v, None, *placed)], want, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_leading_axes_broadcast(isa):
    check(numbers(1, 2, 1, 5, 8), numbers(2, 3, 6, 8), numbers(3, 6, 4))
    check(numbers(1, 5, 8), numbers(2, 6, 8), numbers(3, 6, 4), numbers(4, 2, 3, 5, 6))
    check(np.broadcast_to(numbers(1, 5, 8), (2, 5, 8)), numbers(2, 2, 6, 8), np.broadcast_to(numbers(3, 6, 4), (2, 6, 4)))


@pytest.mark.parametrize("shape", [((0,), 3, 4, 2, 5), ((2,), 0, 4, 2, 5), ((2,), 3, 0, 2, 5), ((2,), 3, 4, 0, 5),
                                   ((2,), 3, 4, 2, 0), ((0,), 0, 0, 0, 0), ((2, 0), 60, 700, 16, 16)], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_empty(isa, shape, causal):
    lead, lq, lk, d, dv = shape
    check(numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv), causal=causal, scale=1.0)


def test_a_query_without_keys_gives_zeros_and_passes_nothing(isa):
    q, k, v = numbers(1, 6, 16), numbers(2, 20, 16), numbers(3, 20, 16)
    mask = np.ones((6, 20), bool)
    mask[2], mask[:, 5] = False, False
    for m in (mask, np.where(mask, 0, -np.inf).astype(np.float32)):
        out, lse, gq, gk, gv = check(q, k, v, m)
        assert not out[2].any() and lse[2] == 0 and not gq[2].any()
        assert not gk[5].any() and not gv[5].any()


def test_masked_keys_may_hold_anything_finite(isa):
    q, k, v = numbers(1, 6, 16), numbers(2, 20, 16), numbers(3, 20, 16)
    mask = np.arange(20) < 15
    out, lse = forward(q, k, v, mask)
    k[15:], v[15:] = 1e30, -1e30
    for a, b in zip(forward(q, k, v, mask), (out, lse), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_scores_give_nan(isa):
    q, k, v = numbers(1, 6, 16), numbers(2, 40, 16), numbers(3, 40, 16)
    for at in (0, 15, 16, 39):
        bad = k.copy()
        bad[at] = np.nan
        assert np.isnan(forward(q, bad, v)[0]).all()


def test_large_scores(isa):
    q, k, v = numbers(1, 5, 16, size=40), numbers(2, 70, 16, size=40), numbers(3, 70, 16)
    out, lse = forward(q, k, v)
    want, want_lse, _ = reference(q, k, v, None, out)
    close(out, want, 2e-3)  # scores of some thousands are good to 1e-3
    close(lse, want_lse, 1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_dropout(isa, p):
    out, *_ = check(numbers(1, 2, 7, 8), numbers(2, 2, 39, 8), numbers(3, 2, 39, 8), p=p)
    assert out.any() == (p < 1)


def test_lse_may_be_absent(isa):
    q, k, v = numbers(1, 2, 7, 8), numbers(2, 2, 9, 8), numbers(3, 2, 9, 8)
    out = np.empty_like(q)
    call_op("attention", [q, k, v, None, None], [out, None], encode(ATTENTION, attributes(q)))
    np.testing.assert_array_equal(out, forward(q, k, v)[0])


@pytest.mark.parametrize(("heads", "length", "d"), [(2, 2048, 64), (8, 336, 16), (256, 12, 16), (128, 7, 64)])
def test_error_is_at_most_twice_that_of_the_naive_float32_form(heads, length, d):
    q, k, v, g = (numbers(i, heads, length, d) for i in range(4))
    attrs = attributes(q)
    want_out, _, want = reference(q, k, v, None, g)
    naive_out, naive_lse = ATTENTION.reference(q, k, v, None, None, **attrs)
    naive = ATTENTION_BWD.reference(g, q, k, v, None, naive_lse, np.sum(g * naive_out, -1, keepdims=True), None, **attrs)
    out, lse = forward(q, k, v)
    got = backward(g, q, k, v, None, lse, np.sum(g * out, -1, keepdims=True))
    for a, b, w in zip([out, *got], [naive_out, *naive], [want_out, *want], strict=True):
        assert np.abs(a - w).max() <= 2 * np.abs(b - w).max()


OTHERS = [name for name in native.isas() if name != "scalar"]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(("shape", "kind", "causal", "p"), [
    (SMALL[0], "none", False, 0.0), (SMALL[1], "bool", False, 0.0), (SMALL[3], "float", True, 0.2),
    (SMALL[5], "none", True, 0.0), (((1,), 50, 600, 8, 16), "none", False, 0.0), (((1,), 3, 1100, 5, 3), "bool", True, 0.0)])
def test_same_bits_on_every_instruction_set(other, shape, kind, causal, p):
    lead, lq, lk, d, dv = shape
    operands = [numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv), mask_of(kind, lead, lq, lk)]
    before, results = native.isa(), []
    try:
        for name in ("scalar", other):
            native.select(name)
            out, lse = forward(*operands, causal=causal, p=p)
            delta = numbers(5, *lse.shape)
            results.append([out, lse, *backward(numbers(4, *out.shape), *operands, lse, delta, causal=causal, p=p)])
    finally:
        native.select(before)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [*SMALL, LARGE[2], ((1,), 70, 512, 8, 16)], ids=str)
def test_a_mask_of_ones_changes_no_bit(isa, shape, causal):
    """Without a mask the scores of one block of keys lie transposed; with one they do not."""
    lead, lq, lk, d, dv = shape
    q, k, v = numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv)
    for a, b in zip(forward(q, k, v, causal=causal), forward(q, k, v, np.ones((), bool), causal=causal), strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize(("shape", "causal"), [(((2,), 700, 600, 16, 16), True), (((1,), 1600, 1100, 8, 24), False),
                                               (((40, 3), 30, 30, 16, 16), False)], ids=str)
def test_the_number_of_threads_does_not_show(shape, causal):
    lead, lq, lk, d, dv = shape
    q, k, v = numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv)
    lib = native._need()
    before, results = lib.nd_threads(), []
    try:
        for threads in (1, 2, 3):
            lib.nd_set_threads(threads)
            out, lse = forward(q, k, v, causal=causal)
            results.append([out, lse, *backward(numbers(4, *out.shape), q, k, v, None, lse, lse, causal=causal)])
    finally:
        lib.nd_set_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape(data):
    """Against the reference; and a mean of equal values is that value."""
    size = st.sampled_from([1, 2, 5, 15, 16, 17, 33, 48, 63, 64, 65, 96, 100, 193])
    lq, lk, d, dv = (data.draw(size) for _ in range(4))
    lead = data.draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    kind = data.draw(st.sampled_from(["none", "bool", "float", "keys", "padding"]))
    causal, p = data.draw(st.booleans()), data.draw(st.sampled_from([0.0, 0.0, 0.25]))
    q, k, v = numbers(1, *lead, lq, d), numbers(2, *lead, lk, d), numbers(3, *lead, lk, dv)
    mask = mask_of(kind, lead, lq, lk)
    check(q, k, v, mask, causal=causal, p=p)
    out, lse = forward(q, k, np.full_like(v, 3), mask, causal=causal)
    sees = np.broadcast_to(lse != 0, out.shape)
    np.testing.assert_allclose(out[sees], 3, rtol=1e-6)
    order = np.random.default_rng(0).permutation(lk)
    if not causal and kind == "none":
        close(forward(q, k[..., order, :], v[..., order, :])[0], forward(q, k, v)[0], BOUND)


Q, K, V, O, L = (np.zeros(s, np.float32) for s in [(2, 3, 4), (2, 5, 4), (2, 5, 6), (2, 3, 6), (2, 3, 1)])
GOOD_ATTRS = [0, *encode(ATTENTION, attributes(Q))[1:]]


def bits(value):
    return int(np.float64(value).view(np.int64))


def with_attr(i, value):
    return [*GOOD_ATTRS[:i], value, *GOOD_ATTRS[i + 1:]]


BAD = {
    "few inputs": ([Q, K, V, None], [O, L], GOOD_ATTRS), "no output": ([Q, K, V, None, None], [], GOOD_ATTRS),
    "no query": ([None, K, V, None, None], [O, L], GOOD_ATTRS), "no key": ([Q, None, V, None, None], [O, L], GOOD_ATTRS),
    "no value": ([Q, K, None, None, None], [O, L], GOOD_ATTRS), "no out": ([Q, K, V, None, None], [None, L], GOOD_ATTRS),
    "float64": ([Q.astype(np.float64), K, V, None, None], [O, L], GOOD_ATTRS),
    "other features": ([Q, K[..., :3], V, None, None], [O, L], GOOD_ATTRS),
    "other keys": ([Q, K, V[:, :4], None, None], [O, L], GOOD_ATTRS),
    "rank 1": ([Q[0, 0], K, V, None, None], [O, L], GOOD_ATTRS),
    "lead": ([Q[[0, 1, 1]], K, V, None, None], [O, L], GOOD_ATTRS),
    "lead too long": ([Q[None], K, V, None, None], [O, L], GOOD_ATTRS),
    "out": ([Q, K, V, None, None], [O[..., :5], L], GOOD_ATTRS),
    "out of another dtype": ([Q, K, V, None, None], [O.astype(np.int32), L], GOOD_ATTRS),
    "lse": ([Q, K, V, None, None], [O, L[0]], GOOD_ATTRS),
    "strided out": ([Q, K, V, None, None], [np.zeros((2, 3, 12), np.float32)[..., ::2], L], GOOD_ATTRS),
    "int mask": ([Q, K, V, np.zeros((3, 5), np.int64), None], [O, L], GOOD_ATTRS),
    "mask": ([Q, K, V, np.zeros((3, 4), bool), None], [O, L], GOOD_ATTRS),
    "mask lead": ([Q, K, V, np.zeros((3, 3, 5), bool), None], [O, L], GOOD_ATTRS),
    "few attributes": ([Q, K, V, None, None], [O, L], GOOD_ATTRS[:3]),
    "causal": ([Q, K, V, None, None], [O, L], with_attr(0, 2)),
    "nan scale": ([Q, K, V, None, None], [O, L], with_attr(1, bits(np.nan))),
    "endless scale": ([Q, K, V, None, None], [O, L], with_attr(1, bits(1e300))),
    "negative p": ([Q, K, V, None, RNG], [O, L], with_attr(2, bits(-0.1))),
    "large p": ([Q, K, V, None, RNG], [O, L], with_attr(2, bits(1.1))),
    "nan p": ([Q, K, V, None, RNG], [O, L], with_attr(2, bits(np.nan))),
    "no state": ([Q, K, V, None, None], [O, L], with_attr(2, bits(0.5))),
    "short state": ([Q, K, V, None, RNG[:1]], [O, L], GOOD_ATTRS),
    "int32 state": ([Q, K, V, None, RNG.astype(np.int32)], [O, L], GOOD_ATTRS),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_operands_are_refused(name):
    inputs, outputs, attrs = BAD[name]
    call_op("attention", [Q, K, V, None, None], [O, L], GOOD_ATTRS)
    with pytest.raises(ShapeError):
        call_op("attention", inputs, outputs, attrs)


def test_bad_operands_of_backward_are_refused():
    good = [O, Q, K, V, None, L, L, None, Q.copy(), K.copy(), V.copy()]
    call_op("attention_bwd", good[:8], good[8:], GOOD_ATTRS)
    for i, x in itertools.product(range(11), (None, np.zeros((2, 3, 7), np.float32), np.zeros((7, 1), np.float32), V.astype(int))):
        if i in (4, 7) and x is None:
            continue
        bad = [*good[:i], x, *good[i + 1:]]
        with pytest.raises(ShapeError):
            call_op("attention_bwd", bad[:8], bad[8:], GOOD_ATTRS)


def status_of(name, dims, attrs):
    """What preparing gives for float32 views of these dims, all strides 0; None: absent. Nothing may be run on them."""
    ffi, words = native._ffi, np.zeros((len(dims), 20), np.int64)
    for row, d in zip(words, dims, strict=True):
        if d is not None:
            row[:4] = 1, 0, len(d), 0
            row[4:4 + len(d)] = d
    data = ffi.new("void *[]", len(dims))
    numbers = np.asarray(attrs, np.int64)
    return native._need().nd_call_op(name.encode(), len(dims) - 2, 2, ffi.from_buffer("int64_t[]", words), data, len(numbers),
                                     ffi.from_buffer("int64_t[]", numbers))


@pytest.mark.parametrize(("lead", "lq", "lk", "d", "dv"), [
    ((2,), 3, 5, 2**40, 4), ((2,), 3, 5, 4, 2**40), ((2**30, 2**30), 2, 2, 4, 4), ((2,), 2**40, 2**40, 4, 4),
    ((2**40,), 2**40, 1, 1, 1), ((2**62, 4), 1, 1, 1, 1), ((2**21,) * 6, 2, 2, 1, 1)])
def test_extents_that_cannot_be_counted_are_refused(lead, lq, lk, d, dv):
    dims = [(*lead, lq, d), (*lead, lk, d), (*lead, lk, dv), None, None, (*lead, lq, dv), (*lead, lq, 1)]
    assert status_of("attention", dims, GOOD_ATTRS) == -2


@pytest.mark.parametrize("op", [ATTENTION, ATTENTION_BWD], ids=lambda op: op.name)
def test_metas_are_those_of_the_results(op):
    metas = {"q": Q, "k": K, "v": V, "mask": np.ones((3, 5), bool), "g": O, "lse": L, "delta": L}
    names = ["q", "k", "v", "mask"] if op is ATTENTION else ["g", "q", "k", "v", "mask", "lse", "delta"]
    inputs = [metas[n] for n in names]
    attrs = attributes(Q)
    want = [(o.shape, o.dtype) for o in op.reference(*inputs, None, **attrs)]
    assert op.metas(attrs, *[(x.shape, x.dtype) for x in inputs], None) == want
    with pytest.raises(ValueError, match="random state"):
        op.metas({**attrs, "dropout_p": 0.5}, *[(x.shape, x.dtype) for x in inputs], None)
    with pytest.raises(ValueError, match="attention"):
        op.metas(attrs, *[((2, 3, 9), x.dtype) if n == "k" else (x.shape, x.dtype) for n, x in zip(names, inputs, strict=True)],
                 None)
