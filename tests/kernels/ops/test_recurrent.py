"""rnn, gru and lstm as plan operations: beside the primitives' references, over layouts, lengths, edges and bad operands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ndiv
from ndiv.backends import native, threadpool
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops.record import decode, encode
from ndiv.program.ops.recurrent import GATES, OPS, SELECT

RECORDS = {op.name: op for op in OPS}
CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("gru", None), ("lstm", None)]
# T, B, I, H: every remainder of vectors and tiles, several groups of rows and several stretches of time
SIZES = [(1, 1, 1, 1), (4, 2, 3, 2), (3, 1, 5, 16), (7, 5, 1, 20), (130, 3, 2, 8), (11, 33, 17, 70), (9, 52, 130, 130), (2, 300, 3, 5)]
F32 = np.float32


def state_count(name):
    return 2 if name == "lstm" else 1


def layer(name, t, b, i, h, lengths=None, seed=0):
    """x, state, weights, biases, lengths."""
    rng = np.random.default_rng(seed)
    rows = GATES[name] * h
    shapes = [(t, b, i), *[(b, h)] * state_count(name), (rows, i), (rows, h), (rows,), (rows,)]
    scale = [1.0] * (1 + state_count(name)) + [1 / max(i, 1) ** 0.5, 1 / max(h, 1) ** 0.5, 1.0, 1.0]
    made = [(rng.uniform(-1, 1, s) * k).astype(F32) for s, k in zip(shapes, scale, strict=True)]
    return [*made, None if lengths is None else np.asarray(lengths)]


def attributes(name, act=None, reverse=False):
    return {**({"nonlinearity": act or "tanh"} if name == "rnn" else {}), "reverse": reverse}


def fresh(name, inputs, attrs):
    """Outputs to be written, full of NaN."""
    metas = RECORDS[name].metas(attrs, *[None if a is None else (a.shape, a.dtype) for a in inputs])
    return [np.full(shape, np.nan, dtype) for shape, dtype in metas]


def run(name, inputs, attrs, constant=()):
    outputs = fresh(name, inputs, attrs)
    call_op(name, inputs, outputs, encode(RECORDS[name], attrs), constant)
    return outputs


def reference(name, inputs, attrs):
    return RECORDS[name].reference(*[a.astype(np.float64) if a is not None and a.dtype == F32 else a for a in inputs], **attrs)


def back(name, inputs, attrs, seed=5):
    """The inputs of the backward: random gradients, and what the forward kept."""
    y, *rest = run(name, inputs, attrs)
    n = state_count(name)
    rng = np.random.default_rng(seed)
    return [*[rng.uniform(-1, 1, a.shape).astype(F32) for a in (y, *rest[:n])], *inputs, y, *rest[n:]]


def assert_close(name, got, want):
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.shape == b.shape
        if a.size:
            assert np.abs(a - b).max() <= RECORDS[name].bound * np.abs(b).max() + 1e-7, (k, np.abs(a - b).max(), np.abs(b).max())


def some_lengths(t, b):
    return (np.arange(b) * 3 + t) % (t + 1)


def on_every_isa(work):
    """{isa: work()}."""
    before, results = native.isa(), {}
    try:
        for isa in native.isas():
            native.select(isa)
            results[isa] = work()
    finally:
        native.select(before)
    return results


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "act"), CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_forward_and_backward_are_the_references_on_every_instruction_set(name, act, size, reverse):
    attrs = attributes(name, act, reverse)
    for lengths in (None, some_lengths(*size[:2])):
        inputs = layer(name, *size, lengths=lengths)
        back_inputs = back(name, inputs, attrs)
        for op, given_ in ((name, inputs), (f"{name}_bwd", back_inputs)):
            results = on_every_isa(lambda op=op, given_=given_: run(op, given_, attrs))
            want = results.pop("scalar")
            assert_close(op, want, reference(op, given_, attrs))
            for isa, got in results.items():
                for k, (a, b) in enumerate(zip(got, want, strict=True)):
                    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32), err_msg=f"{op} output {k} on {isa}")


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("size", [(70, 3, 9, 40), (12, 50, 20, 33), (3, 160, 2, 70)], ids=str)
def test_bits_do_not_depend_on_the_threads(name, size):
    attrs = attributes(name)
    inputs, before, results = layer(name, *size, lengths=some_lengths(*size[:2])), threadpool.threads(), []
    try:
        for n in (1, 2, 5):
            threadpool.set_threads(n)
            args = back(name, inputs, attrs)
            results.append([*args, *run(f"{name}_bwd", args, attrs)])
    finally:
        threadpool.set_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("reverse", [False, True])
def test_weight_gradients_stay_close_over_many_steps(name, reverse):
    inputs = layer(name, 500, 8, 3, 24)
    args = back(name, inputs, attributes(name, reverse=reverse))
    got = run(f"{name}_bwd", args, attributes(name, reverse=reverse))
    assert_close(f"{name}_bwd", got, reference(f"{name}_bwd", args, attributes(name, reverse=reverse)))


def strided(a):
    """The same numbers, transposed in memory and with gaps between them."""
    if a is None or a.dtype != F32:
        return a if a is None else np.repeat(a, 3)[::3]
    base = np.full(tuple(2 * s for s in a.shape[::-1]), np.nan, F32)
    view = base.T[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("lengths", [None, [4, 0, 6]])
def test_strided_operands_give_the_bits_of_dense_ones(name, lengths):
    attrs = attributes(name, reverse=True)
    inputs = layer(name, 6, 3, 5, 19, lengths)
    for a, b in zip(run(name, inputs, attrs), run(name, [strided(a) for a in inputs], attrs), strict=True):
        np.testing.assert_array_equal(a, b)
    args = back(name, inputs, attrs)
    free = [a if k in RECORDS[f"{name}_bwd"].dense else strided(a) for k, a in enumerate(args)]
    for a, b in zip(run(f"{name}_bwd", args, attrs), run(f"{name}_bwd", free, attrs), strict=True):
        np.testing.assert_array_equal(a, b)


def fading(name, act, t=150, b=50, h=19, reverse=False):
    """The inputs of a backward whose gradients begin at four steps, in one sequence or two, and are 0 a few steps further back."""
    inputs, n = layer(name, t, b, 3, h, seed=2), state_count(name)
    inputs[2 + n] *= F32(1e-6)
    if name != "rnn":  # the gate that carries the state over
        inputs[3 + n][h:2 * h] = -40.0
    args = back(name, inputs, attributes(name, act, reverse))
    gy = np.zeros_like(args[0])
    for at, sequence in ((t - 1, 0), (t - 20, 0), (t - 20, b - 1), (60, 7), (0, 1)):
        gy[at, sequence] = args[0][at, sequence]
    return [gy, *[np.zeros_like(g) for g in args[1:1 + n]], *args[1 + n:]]


@pytest.mark.parametrize(("name", "act"), CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_steps_without_gradients_add_nothing(name, act, reverse):
    """Whole steps are 0 on the way back; which ones depends on how sequences are grouped, and so on the threads: no bit does."""
    attrs, args, before = attributes(name, act, reverse), fading(name, act, reverse=reverse), threadpool.threads()
    want = run(f"{name}_bwd", args, attrs)
    assert (want[0] == 0).all(axis=(1, 2)).sum() > 75
    assert_close(f"{name}_bwd", want, reference(f"{name}_bwd", args, attrs))
    assert not any(np.signbit(a[a == 0]).any() for a in want[1 + state_count(name):])
    try:
        for threads in (1, 2, 5):
            threadpool.set_threads(threads)
            for got in on_every_isa(lambda: run(f"{name}_bwd", args, attrs)).values():
                for a, b in zip(want, got, strict=True):
                    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))
    finally:
        threadpool.set_threads(before)


@pytest.mark.parametrize("spoilt_input", ["x", "w_ih", "w_hh", "kept"])
@pytest.mark.parametrize("name", GATES)
def test_what_is_not_finite_shows_where_gradients_are_zero(name, spoilt_input):
    """Zero times infinity is NaN, as in the formula, also in a step that no gradient reaches."""
    args, n = fading(name, None), state_count(name)
    first = 1 + n
    at = {"x": first, "w_ih": first + 1 + n, "w_hh": first + 2 + n, "kept": 7 + 2 * n + (name != "rnn")}[spoilt_input]
    args[at] = args[at].copy()
    args[at][(100, 10, 2) if args[at].ndim == 3 else (3, 2)] = np.inf
    got = run(f"{name}_bwd", args, attributes(name))
    with np.errstate(invalid="ignore"):
        want = reference(f"{name}_bwd", args, attributes(name))
    assert any(np.isnan(a).any() for a in want)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))


@pytest.mark.parametrize("name", GATES)
def test_broadcast_and_backward_views(name):
    inputs = layer(name, 5, 4, 3, 6)
    inputs[1:1 + state_count(name)] = [np.broadcast_to(F32(0.5), (4, 6))] * state_count(name)
    inputs[0] = inputs[0][::-1]
    dense = [np.ascontiguousarray(a) if a is not None else None for a in inputs]
    for a, b in zip(run(name, inputs, attributes(name)), run(name, dense, attributes(name)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", GATES)
def test_absent_biases_and_lengths_are_zeros_and_all_steps(name):
    attrs = attributes(name)
    inputs = layer(name, 5, 3, 4, 9)
    n = state_count(name)
    inputs[3 + n][:] = inputs[4 + n][:] = 0.0
    whole = [*inputs[:-1], np.full(3, 5)]
    bare = [*inputs[:3 + n], None, None, None]
    for a, b in zip(run(name, whole, attrs), run(name, bare, attrs), strict=True):
        np.testing.assert_array_equal(a, b)
    args = back(name, whole, attrs)
    less = [*args[:1 + n], *bare, *args[7 + 2 * n:]]
    want = run(f"{name}_bwd", args, attrs)
    for a, b in zip(want, run(f"{name}_bwd", less, attrs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_close(f"{name}_bwd", want, reference(f"{name}_bwd", less, attrs))


@pytest.mark.parametrize("name", GATES)
def test_absent_outputs_are_left_out(name):
    attrs = attributes(name)
    inputs = layer(name, 5, 3, 4, 9, [5, 2, 0])
    want = run(name, inputs, attrs)
    outputs = [want[0] * 0, *[None] * (len(want) - 1)]
    call_op(name, inputs, outputs, encode(RECORDS[name], attrs))
    np.testing.assert_array_equal(outputs[0], want[0])
    args = back(name, inputs, attrs)
    want = run(f"{name}_bwd", args, attrs)
    for keep in range(len(want)):
        outputs = [np.full_like(a, np.nan) if k == keep else None for k, a in enumerate(want)]
        call_op(f"{name}_bwd", args, outputs, encode(RECORDS[f"{name}_bwd"], attrs))
        np.testing.assert_array_equal(outputs[keep], want[keep])


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("size", [(3, 1, 7, 20), (4, 9, 2, 33)], ids=str)
def test_constant_weights_are_packed_once_and_give_the_same_bits(name, size):
    inputs, n = layer(name, *size), state_count(name)
    for a, b in zip(run(name, inputs, attributes(name)), run(name, inputs, attributes(name), (1 + n, 2 + n)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", GATES)
def test_empty_batch(name):
    attrs = attributes(name)
    inputs = layer(name, 3, 0, 2, 4, np.zeros(0, np.int32))
    args = back(name, inputs, attrs)
    assert_close(f"{name}_bwd", run(f"{name}_bwd", args, attrs), reference(f"{name}_bwd", args, attrs))


@pytest.mark.parametrize("name", GATES)
def test_no_features_are_as_one_that_is_zero(name):
    attrs = attributes(name)
    none, n = layer(name, 5, 2, 0, 7), state_count(name)
    one = [np.zeros((5, 2, 1), F32), *none[1:1 + n], np.zeros((GATES[name] * 7, 1), F32), *none[2 + n:]]
    for a, b in zip(run(name, none, attrs), run(name, one, attrs), strict=True):
        np.testing.assert_array_equal(a, b)
    got, want = (run(f"{name}_bwd", back(name, inputs, attrs), attrs) for inputs in (none, one))
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.size == 0 if k in (0, 1 + n) else (a == b).all()


@pytest.mark.parametrize("name", GATES)
def test_no_hidden_units(name):
    attrs = attributes(name)
    gx, *rest = run(f"{name}_bwd", back(name, layer(name, 3, 2, 4, 0), attrs), attrs)
    assert (gx == 0).all() and not any(a.size for a in rest)


@pytest.mark.parametrize("name", GATES)
def test_any_length_is_safe(name):
    inputs = layer(name, 4, 3, 2, 5, [-7, 2**62, 3])
    same = [*inputs[:-1], np.array([0, 4, 3])]
    for a, b in zip(run(name, inputs, attributes(name)), run(name, same, attributes(name)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("reverse", [False, True])
def test_steps_that_do_not_count_may_hold_anything(name, reverse):
    attrs = attributes(name, reverse=reverse)
    inputs = layer(name, 6, 2, 3, 5, [4, 0])
    dirty = [inputs[0].copy(), *inputs[1:]]
    dirty[0][4:, 0] = dirty[0][:, 1] = np.nan
    for a, b in zip(run(name, inputs, attrs), run(name, dirty, attrs), strict=True):
        np.testing.assert_array_equal(a, b)
    args, n = back(name, inputs, attrs), state_count(name)
    spoiled = [args[0].copy(), *args[1:1 + n], *dirty, *args[7 + 2 * n:]]
    spoiled[0][4:, 0] = spoiled[0][:, 1] = np.inf
    for a, b in zip(run(f"{name}_bwd", args, attrs), run(f"{name}_bwd", spoiled, attrs), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(GATES)), t=st.integers(1, 9), cut=st.integers(0, 9), b=st.integers(1, 7), i=st.integers(1, 5),
       h=st.integers(1, 40), reverse=st.booleans())
def test_two_halves_in_turn_are_the_whole(name, t, cut, b, i, h, reverse):
    cut %= t
    attrs, inputs, n = attributes(name, reverse=reverse), layer(name, t, b, i, h), state_count(name)
    y, *rest = run(name, inputs, attrs)
    if not 0 < cut < t:
        return
    x = inputs[0]
    parts = [x[cut:], x[:cut]] if reverse else [x[:cut], x[cut:]]
    first = run(name, [parts[0], *inputs[1:]], attrs)
    second = run(name, [parts[1], *first[1:1 + n], *inputs[1 + n:]], attrs)
    joined = [second[0], first[0]] if reverse else [first[0], second[0]]
    np.testing.assert_array_equal(np.concatenate(joined), y)
    for a, b_ in zip(second[1:1 + n], rest[:n], strict=True):
        np.testing.assert_array_equal(a, b_)


@pytest.mark.parametrize("name", GATES)
def test_saturated_gates_stay_finite(name):
    inputs = layer(name, 5, 2, 3, 17)
    inputs[0] *= 1e30
    args = back(name, inputs, attributes(name))
    assert all(np.isfinite(a).all() for a in run(name, inputs, attributes(name)))
    assert all(np.isfinite(a).all() for a in run(f"{name}_bwd", args, attributes(name)))


def spoilt(operands, k):
    """The operands with one that does not fit, in every way that shapes, types and layouts allow."""
    def put(a):
        return [*operands[:k], a, *operands[k + 1:]]

    a = operands[k]
    yield put(np.zeros((*a.shape, 1), a.dtype))
    yield put(np.zeros(a.shape[1:], a.dtype))
    yield put(a.astype(np.float64))
    for axis in range(a.ndim):
        shape = list(a.shape)
        shape[axis] += 1
        yield put(np.zeros(shape, a.dtype))


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_operands_that_do_not_fit_are_refused(name, backward):
    attrs = attributes(name)
    inputs = layer(name, 3, 2, 4, 5, [3, 2])
    op, inputs = (f"{name}_bwd", back(name, inputs, attrs)) if backward else (name, inputs)
    record, outputs = RECORDS[op], fresh(op, inputs, attrs)
    words = encode(record, attrs)
    n, operands = len(inputs), [*inputs, *outputs]
    call_op(op, inputs, outputs, words)
    for k in range(len(operands)):
        for bad in spoilt(operands, k):
            with pytest.raises(ShapeError):
                call_op(op, bad[:n], bad[n:], words)
    optional = {3 + state_count(name) + k + (1 + state_count(name)) * backward for k in range(3)}
    for k in set(range(n)) - optional:
        with pytest.raises(ShapeError):
            call_op(op, [None if j == k else a for j, a in enumerate(inputs)], outputs, words)
    for k in [*record.dense, *range(n, len(operands))]:
        if operands[k].ndim == 1:
            continue
        gaps = np.zeros((*operands[k].shape[:-1], 2 * operands[k].shape[-1]), F32)[..., ::2]
        bad = [*operands[:k], gaps, *operands[k + 1:]]
        with pytest.raises(ShapeError):
            call_op(op, bad[:n], bad[n:], words)
    for bad_inputs, bad_outputs in ((inputs[:-1], outputs), ([*inputs, inputs[0]], outputs), (inputs, outputs[:-1]), ([], [])):
        with pytest.raises(ShapeError):
            call_op(op, bad_inputs, bad_outputs, words)
    for bad_words in ([], words[:-1], [*words, 0], [2] * len(words), [-1] * len(words), [2**40] * len(words)):
        with pytest.raises(ShapeError):
            call_op(op, inputs, outputs, bad_words)


def vast(*shape, dense=False):
    """An array that claims a shape beyond its memory: what sees it must refuse it unread."""
    strides = [4 * int(np.prod(shape[k + 1:], dtype=object)) for k in range(len(shape))] if dense else [0] * len(shape)
    return np.lib.stride_tricks.as_strided(np.zeros(1, F32), shape, strides)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("size", [(1, 1, 2**38, 2**10), (1, 1, 1, 2**25), (1, 2**40, 1, 2**15), (0, 1, 1, 1),
                                  (1, 1, 2**41, 1), (2**41, 1, 1, 1), (1, 2**41, 1, 1)], ids=str)
def test_sizes_past_memory_are_refused(name, size):
    t, b, i, h = size
    rows, n = GATES[name] * h, state_count(name)
    inputs = [vast(t, b, i), *[vast(b, h)] * n, vast(rows, i), vast(rows, h), None, None, None]
    outputs = [vast(t, b, h, dense=True), *[None] * (2 * n - 1 + (name != "rnn"))]
    with pytest.raises(ShapeError):
        call_op(name, inputs, outputs, encode(RECORDS[name], attributes(name)))
    saved = [vast(t, b, h, dense=True), *[vast(t, b, 4 * h, dense=True)] * (name != "rnn"), *[vast(t, b, h, dense=True)] * (n - 1)]
    with pytest.raises(ShapeError):
        call_op(f"{name}_bwd", [vast(t, b, h), *[vast(b, h)] * n, *inputs, *saved], [None] * (5 + n),
                encode(RECORDS[f"{name}_bwd"], attributes(name)))


@pytest.mark.parametrize("op", RECORDS)
def test_records_refuse_what_the_operations_refuse(op):
    name = op.removesuffix("_bwd")
    attrs, inputs = attributes(name), layer(name, 3, 2, 4, 5, [3, 2])
    operands = back(name, inputs, attrs) if op != name else inputs
    for k in range(len(operands)):
        for bad in spoilt(operands, k):
            if op == name and k == 0 and bad[0].shape == (4, 2, 4):
                continue  # one more step of x fits the other inputs
            with pytest.raises(ValueError):
                RECORDS[op].metas(attrs, *[(a.shape, a.dtype) for a in bad])
    for bad in ([], operands[:-1], [*operands, operands[0]]):
        with pytest.raises(ValueError):
            RECORDS[op].metas(attrs, *[(a.shape, a.dtype) for a in bad])


def test_records_are_the_primitives():
    from ndiv.autograd.primitive import REGISTRY

    for op in RECORDS.values():
        assert (SELECT[op.name] is None) == op.name.endswith("_bwd")
        assert list(op.attrs) == list(REGISTRY[op.name].attrs)
        attrs = attributes(op.name.removesuffix("_bwd"), "relu", True)
        assert decode(op, encode(op, attrs)) == attrs
        assert op.cost is not None


@pytest.mark.parametrize("name", list(GATES))
@pytest.mark.parametrize(("t", "b", "lengths", "whole"), [
    (1, 1, None, False), (1, 4, None, False), (1, 5, None, True), (2, 1, None, True), (1, 3, [1, 0, 1], True)])
def test_a_single_step_of_few_rows_is_selected_as_products(name, t, b, lengths, whole):
    """Where all rows are there; results are those of the primitive, and so are gradients."""
    x, *state, w_ih, w_hh, b_ih, b_hh, lengths = layer(name, t, b, 3, 20, lengths)
    weights = [w_ih, w_hh, b_ih, b_hh]

    def run(x, *weights):
        y, h = getattr(ndiv, name)(x, *state, *weights, lengths)[:2]
        return y, h

    fast = ndiv.compile(run)
    for got, wanted in zip(fast(x, *weights), run(x, *weights), strict=True):
        np.testing.assert_allclose(got.numpy(), np.asarray(getattr(wanted, "data", wanted)), rtol=0, atol=2e-6)
    assert (name in [i.op for i in fast.plans[0].plan.instructions]) == whole

    def loss(x, *weights):
        return (run(ndiv.tensor(x) if isinstance(x, np.ndarray) else x, *weights)[0] ** 2).sum()

    for got, wanted in zip(ndiv.compile(ndiv.grad(loss, argnums=(0, 1, 2, 3, 4)))(x, *weights),
                           ndiv.grad(loss, argnums=(0, 1, 2, 3, 4))(x, *weights), strict=True):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=0, atol=1e-5)
