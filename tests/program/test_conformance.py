"""Plan equals eager, op by op: every primitive on every one of its samples, forward and gradient, on both engines.

The largest error, relative to the largest element of a result, is at most 1e-6 in float32 (`BOUNDS` names the exceptions)
and 1e-12 in float64, which only the interpreter runs. The native executor gives the same bits on every instruction set.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import ndiv
from ndiv.autograd import REGISTRY, Tensor
from ndiv.autograd.tape import apply
from ndiv.backends import native
from ndiv.errors import TraceBreak
from ndiv.program.executable import Executable, engine_of
from ndiv.program.grad import gradient
from ndiv.program.passes.narrow import narrow
from ndiv.program.trace import trace
from ndiv.program.tree import flatten

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
BOUND = {F32: 1e-6, F64: 1e-12}

# float32, where 1e-6 is too strict: (forward, gradient, why). One rounding is 6e-8 of the element that it happens to.
CHAIN = "the rounding of each step goes through the weights of all later steps, in another order of additions"
BOUNDS = {
    "tanh": (1e-6, 4e-6, "1 - y^2 for one y near 1: the rounding of y is multiplied by 2 y^2 / (1 - y^2), here 18"),
    "rnn": (1e-6, 2e-6, CHAIN), "gru": (1e-6, 2e-6, CHAIN), "lstm": (1e-6, 2e-6, CHAIN),
    "rnn_bwd": (2e-6, 3e-6, CHAIN), "gru_bwd": (2e-6, 3e-6, CHAIN), "lstm_bwd": (2e-6, 3e-6, CHAIN),
    "scaled_dot_product_attention": (1e-6, 3e-6, "the gradient of the scores is p (dp - mean of dp): what is left of a difference"),
    "scaled_dot_product_attention_bwd": (3e-6, 3e-6, "as there; the probabilities come from exp(score - log of the sum)"),
}

CASES = [(name, k) for name, prim in sorted(REGISTRY.items()) for k in range(len(prim.samples()))]


def ids(case):
    return f"{case[0]}-{case[1]}"


@contextmanager
def using(isa):
    before = native.isa()
    native.select(isa)
    try:
        yield
    finally:
        native.select(before)


@contextmanager
def backend(name):
    before = ndiv.backends.current()
    ndiv.backends.activate(name)
    try:
        yield
    finally:
        ndiv.backends.activate(before)


def sample(name, k, dtype):
    """(primitive, inputs in this dtype, positions of the arrays among them, attributes)."""
    prim = REGISTRY[name]
    given = prim.samples()[k]
    inputs = [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in given.inputs]
    return prim, inputs, [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray)], {**prim.attrs, **given.attrs}


def called(prim, inputs, places, attrs):
    """The op as a function of its arrays; a tuple of results."""
    def op(*arrays):
        full = list(inputs)
        for i, a in zip(places, arrays, strict=True):
            full[i] = a
        out = apply(prim, full, attrs)
        return out if isinstance(out, tuple) else (out,)

    return op


def dense(arrays):
    return [np.array(a, order="C") for a in arrays]


def results(program, streams, arrays, dtype):
    """{engine: results}: the interpreter and, in float32, the executor on every instruction set, whose bits are the same."""
    from ndiv.backends.plans import NativePlan

    executable = Executable(narrow(program), {}, streams, engine="numpy")
    found = {"numpy": executable(dense(arrays))}
    plan = executable.plan
    if dtype == F32 and native.isas():
        assert engine_of(plan) == "native" or ndiv.backends.current() != "native"
        by_isa = []
        for isa in native.isas():
            with using(isa):
                runner = NativePlan(plan.raw, [plan.constants.get(i) for i in range(len(plan.slots))])
                slots, out = executable.fill(dense(arrays))
                runner.run(slots)
            by_isa.append(out)
        for isa, out in zip(native.isas(), by_isa, strict=True):
            assert [a.tobytes() for a in out] == [a.tobytes() for a in by_isa[0]], f"{isa} has other bits than {native.isas()[0]}"
        found["native"] = by_isa[0]
    return found


def near(got, wanted, bound, label):
    """Each result within bound of its largest element. Where that is nothing but rounding (a gradient that is 0 in exact
    arithmetic, such as that of the scores of a softmax over one element) the largest of all results is the measure."""
    wide = [np.asarray(w, np.float64) for w in wanted]
    sizes = [float(np.max(np.abs(w[np.isfinite(w)]), initial=0.0)) for w in wide]
    for j, (g, w, size) in enumerate(zip(got, wide, sizes, strict=True)):
        assert g.shape == w.shape, label
        scale = size if size > 1e-5 * max(sizes) else max(sizes)
        finite = np.isfinite(w)
        np.testing.assert_array_equal(np.asarray(g, np.float64)[~finite], w[~finite], err_msg=f"{label}, result {j}")
        worst = float(np.max(np.abs(np.asarray(g, np.float64) - w), where=finite, initial=0.0))
        assert worst <= bound * scale, f"{label}, result {j}: {worst / scale:.2e} of the largest element"


def forward(name, k, dtype):
    prim, inputs, places, attrs = sample(name, k, dtype)
    arrays = [inputs[i] for i in places]
    traced = trace(called(prim, inputs, places, attrs), arrays, name)
    with np.errstate(all="ignore"):
        wanted = prim.run(*inputs, **attrs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    bound = BOUNDS.get(name, (BOUND[F32],))[0] if dtype == F32 else BOUND[F64]
    for engine, got in results(traced.program, traced.streams, arrays, dtype).items():
        near(got, wanted, bound, f"{name} on {engine}")
        for g, w in zip(got, wanted, strict=True):
            assert g.dtype == np.asarray(w).dtype or (g.dtype, np.asarray(w).dtype) == (F32, F64), "float64 may be narrowed"


def backward(name, k, dtype):
    prim, inputs, places, attrs = sample(name, k, dtype)
    arrays = [inputs[i] for i in places]
    op = called(prim, inputs, places, attrs)
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        tensors = [Tensor(a, a.dtype.kind == "f") for a in arrays]
        outs = [(j, o) for j, o in enumerate(op(*tensors)) if o.requires_grad]
        if not outs:
            return
        cotangents = [rng.standard_normal(o.shape).astype(dtype) for _, o in outs]

        def inner(*given):
            """The sum of all results, weighted by cotangents, which are inputs like any other."""
            made, weights = op(*given[:len(arrays)]), given[len(arrays):]
            total = 0.0
            for (j, _), weight in zip(outs, weights, strict=True):
                total = (made[j] * weight).sum() + total
            return total

        inner(*tensors, *cotangents).backward()
    everything = [*arrays, *cotangents]
    traced = trace(inner, everything, name)
    wrt = [v for v, t in zip(traced.program.inputs, tensors, strict=False) if t.requires_grad]
    program, found = gradient(traced.program, traced.program.outputs[0], wrt, (traced.first, traced.second[0]))
    wanted = {v.name: t.grad for v, t in zip(traced.program.inputs, tensors, strict=False) if t.grad is not None}
    assert found == list(wanted)
    bound = BOUNDS.get(name, (0, BOUND[F32]))[1] if dtype == F32 else BOUND[F64]
    program = program.replace(outputs=program.outputs[1:])
    for engine, got in results(program, traced.streams, everything, dtype).items():
        near(got, [g.data for g in wanted.values()], bound, f"gradient of {name} on {engine}")


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_forward(case):
    forward(*case, F32)
    forward(*case, F64)


@pytest.mark.parametrize("case", [c for c in CASES if REGISTRY[c[0]].vjp is not None or REGISTRY[c[0]].decompose is not None], ids=ids)
def test_gradient(case):
    backward(*case, F32)
    backward(*case, F64)


def test_every_exception_is_needed_by_something():
    assert set(BOUNDS) <= set(REGISTRY)
    assert all(max(b[:2]) <= 1e-5 and b[2] for b in BOUNDS.values())


# what reads data beside the tape, unless it is told not to ------------------------------------------------------------

def both(f, *data, bound=1e-6):
    """The executable of f, which was traced on the first of the data; on all of them it gives what f gives op by op."""
    compiled = ndiv.compile(f)
    for args in data:
        got, wanted = (flatten(g(*args))[0] for g in (compiled, lambda *a: f(*map(ndiv.tensor, a))))
        near([g.data for _, g in got], [w.data for _, w in wanted], bound, "compiled")
    assert len(compiled.plans) == 1
    return compiled.plans[0]


RNG = np.random.default_rng(5)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def test_embedding_indices_are_data():
    table = ndiv.nn.Parameter(f32(7, 3))
    plan = both(lambda index: ndiv.tanh(ndiv.embedding(index, table)), (np.array([[0, 6], [3, 3]]),), (np.array([[5, 1], [2, 0]]),))
    assert _picking(plan) == ["take"]  # rows are copied whole


def _picking(plan):
    return [i.op for i in plan.plan.instructions if i.op in ("take", "take_add", "gather", "scatter_add")]


@pytest.mark.parametrize(("whole", "expected"), [(True, ["take", "take_add"]), (False, ["gather", "scatter_add"])])
def test_rows_are_picked_whole_where_the_index_repeats(whole, expected):
    """Also by numbers that follow from other data, and in the gradient; an index of its own for each element is not that."""
    def loss(table, x):
        index = ndiv.topk(x, 2, 1)[1].reshape((-1, 1)).expand((6, 4))
        y = ndiv.gather(table, 0, index if whole else index + np.array([0, 1, 0, 1]))
        return (y * y * np.arange(24.0, dtype=np.float32).reshape(6, 4)).sum()

    plan = both(ndiv.value_and_grad(loss), (f32(6, 4), f32(3, 5)), (f32(6, 4), f32(3, 5)))
    assert _picking(plan) == expected


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_are_data(kind, reverse):
    gates, states = {"rnn": 1, "gru": 3, "lstm": 4}[kind], 1 + (kind == "lstm")
    weights = [f32(gates * 4, 3), f32(gates * 4, 4)]

    def f(x, lengths):
        return getattr(ndiv, kind)(x, *[None] * states, *weights, lengths=lengths, reverse=reverse)

    plan = both(f, (f32(5, 3, 3), np.array([5, 2, 3])), (f32(5, 3, 3), np.array([1, 5, 4])), (f32(5, 3, 3), np.array([5, 5, 5])))
    assert [i.op for i in plan.plan.instructions].count(kind) == 1

    def loss(x, lengths):
        y, *final = f(x, lengths)
        return (y * y).sum() + sum((s * s).sum() for s in final)

    both(ndiv.value_and_grad(loss), (f32(5, 3, 3), np.array([5, 2, 3])), (f32(5, 3, 3), np.array([1, 5, 4])), bound=3e-6)


def test_dropout_draws_anew_at_each_call_and_as_op_by_op():
    f = ndiv.compile(lambda x: ndiv.dropout(ndiv.dropout(x, 0.5), 0.25))
    x = np.ones((40, 30), np.float32)
    for seed in (3, 4):
        ndiv.manual_seed(seed)
        f(x) if not f.plans else None
        ndiv.manual_seed(seed)
        compiled = [f(x).numpy() for _ in range(2)]
        ndiv.manual_seed(seed)
        eager = [ndiv.dropout(ndiv.dropout(ndiv.tensor(x), 0.5), 0.25).numpy() for _ in range(2)]
        for a, b in zip(compiled, eager, strict=True):
            np.testing.assert_array_equal(a, b)
        assert (compiled[0] != compiled[1]).any()


def test_a_key_of_the_function_s_own_stays_what_it_is():
    def f(x):
        with ndiv.random.fork(9):
            return ndiv.dropout(x, 0.5)

    x = np.ones((20, 30), np.float32)
    compiled = ndiv.compile(f)
    for seed in (1, 2):
        ndiv.manual_seed(seed)
        np.testing.assert_array_equal(compiled(x).numpy(), f(ndiv.tensor(x)).numpy())


def test_numbers_that_no_op_draws_are_an_input_drawn_before_each_run():
    def f(x):
        return ndiv.dropout(x, 0.5) + ndiv.random.draw(lambda rng: rng.gamma(2.0, 1.0, (4, 5)).astype(np.float32)) * ndiv.dropout(x, 0.2)

    compiled, x = ndiv.compile(f), f32(4, 5)
    compiled(x)
    ndiv.manual_seed(3)
    got = [compiled(x).numpy() for _ in range(2)]
    ndiv.manual_seed(3)
    wanted = [f(ndiv.tensor(x)).numpy() for _ in range(2)]
    near(got, wanted, 1e-6, "draw")
    assert (got[0] != got[1]).any() and len(compiled.plans) == 1


# states that a plan updates --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("engine", ["native", "numpy"] if native.isas() else ["numpy"])
def test_running_statistics_are_states(momentum, engine):
    def make():
        ndiv.manual_seed(0)
        return ndiv.nn.Sequential(ndiv.nn.Linear(4, 3), ndiv.nn.BatchNorm1d(3, momentum=momentum), ndiv.nn.ReLU(),
                                  ndiv.nn.BatchNorm1d(3))

    with backend(engine):
        eager, module = make(), make()
        compiled = ndiv.compile(module)
        for step in range(6):
            if step in (3, 5):
                eager.train(step == 5), module.train(step == 5)
            x = f32(8, 4)
            near([compiled(x).numpy()], [eager(ndiv.tensor(x)).numpy()], 1e-6, "batch norm")
            for (name, a), (_, b) in zip(eager.named_buffers(), module.named_buffers(), strict=True):
                near([b], [a], 1e-6, name)
        assert int(module.state_dict()["1.num_batches_tracked"]) == 4
        assert {p.engine for p in compiled.plans} == {engine}


def test_a_buffer_that_was_replaced_is_read_anew():
    module = ndiv.nn.BatchNorm1d(2).eval()
    f, x = ndiv.compile(module), f32(3, 2)
    before = f(x).numpy()
    module.load_state_dict({**module.state_dict(), "running_mean": np.ones(2, np.float32)})
    after = f(x).numpy()
    np.testing.assert_array_equal(after, module(ndiv.tensor(x)).numpy())
    assert (after != before).all()


def test_copy_into_a_leaf_is_an_update_of_the_plan():
    count, other = ndiv.tensor(np.zeros(2, np.float32)), ndiv.tensor(np.float32(1.0))

    def f(x):
        count.copy_(count * 0.5 + x)
        seen = count + 0.0
        count.copy_(count + other)  # what is written is what is read from then on
        other.copy_(2.0)
        return seen, count

    compiled = ndiv.compile(f)
    c, o = np.zeros(2, np.float32), 1.0
    for step in range(3):
        x = f32(2)
        seen, now = compiled(x)
        c = (c * np.float32(0.5) + x).astype(np.float32)
        near([seen.numpy()], [c], 1e-6, "seen")
        c, o = c + np.float32(o), 2.0
        near([now.numpy(), count.data, other.data], [c, c, np.float32(o)], 1e-6, "now")
        assert step or len(compiled.plans[0].program.updates) == 2
    assert count.is_leaf and other.is_leaf


@pytest.mark.parametrize("what, match", [("argument", "an argument"), ("parameter", "requires a gradient"), ("array", "arrays")])
def test_writes_that_a_plan_cannot_make_are_refused(what, match):
    p = ndiv.nn.Parameter(np.ones(2, np.float32))
    mean, var = np.zeros(2, np.float32), np.ones(2, np.float32)

    def f(x):
        if what == "array":
            return ndiv.batch_norm(x, mean, var, training=True)
        (x if what == "argument" else p).copy_(x * 2.0)
        return x + p

    with pytest.raises(TraceBreak, match=match):
        ndiv.compile(f)(f32(3, 2))
    np.testing.assert_array_equal(p.data, 1.0)
    assert not mean.any() and (var == 1).all()
