"""Records without what was computed: the same programs, the same shapes and types, and next to no memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import EACH_MODEL, small

import ndiv
from ndiv.autograd.primitive import REGISTRY, get
from ndiv.autograd.tape import trace as record_all
from ndiv.autograd.thin import SMALL, Thin, repeated
from ndiv.errors import TraceBreak
from ndiv.models import get_model
from ndiv.program import grad
from ndiv.program.trace import trace

F = np.float32


class Full(Thin):
    """The reference: every result as it is computed."""

    def run(self, prim, arrays, attrs):
        return prim.run(*arrays, **attrs)


def test_what_is_repeated_takes_the_memory_of_one_element():
    a = repeated(2.5, (1000, 1000), np.dtype(F))
    assert a.shape == (1000, 1000) and a.dtype == F and a.strides == (0, 0) and a[3, 4] == 2.5 and not a.flags.writeable
    assert repeated(2.5, (2,), np.dtype(bool)).all() and not repeated(0.625, (2,), np.dtype(bool)).any()


def test_an_op_is_computed_once_for_each_kind_of_inputs():
    calls = []
    prim, thin = get("exp"), Thin({}, 7.0)
    big, run = np.linspace(0, 1, 2 * SMALL, dtype=F), prim.run
    try:
        prim.run = lambda *a, **k: (calls.append(1), run(*a, **k))[1]
        first, second, other = thin.run(prim, [big], {}), thin.run(prim, [big], {}), thin.run(prim, [big[:-1]], {})
        whole = thin.run(prim, [big[:SMALL]], {}), thin.run(prim, [big[:SMALL]], {})
    finally:
        prim.run = run
    assert first[0] == first[-1] == 1 and second[0] == 7 and other.shape == (2 * SMALL - 1,) and len(calls) == 4
    for a in whole:  # what is small is always computed
        np.testing.assert_array_equal(a, np.exp(big[:SMALL]))


def test_whole_numbers_are_always_computed():
    a, thin = np.arange(2 * SMALL, dtype=F), Thin({}, 7.0)
    for _ in range(2):
        np.testing.assert_array_equal(thin.run(get("argmax"), [a.reshape(2, -1)], {"dim": 1}), [SMALL - 1, SMALL - 1])


@given(number=st.sampled_from([1, 1.0, True, 2, 2.0]), other=st.sampled_from([1, 1.0, True, 2, 2.0]))
def test_numbers_of_another_type_are_another_op(number, other):
    """A sum of truths and 1 is a whole number, and of truths and 1.0 a real one."""
    thin, truths = Thin({}, 7.0), np.ones(2 * SMALL, bool)
    for n in (number, other):
        assert thin.run(get("mul"), [truths, n], {}).dtype == get("mul").run(truths, n).dtype


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_thin_results_have_the_shapes_and_types_of_full_ones(name):
    prim = REGISTRY[name]
    for sample in prim.samples():
        thin, full = Thin({}, 0.625), prim.run(*sample.inputs, **sample.attrs)
        for _ in range(2):
            got = thin.run(prim, sample.inputs, sample.attrs)
            for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in (got, full)], strict=True):
                assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype


def test_values_are_kept_where_they_are_asked_for():
    w = ndiv.nn.Parameter(np.ones((30, 20), F))
    x = ndiv.tensor(np.ones((10, 30), F))
    with record_all():
        full = (x @ w).exp()
    with record_all(values=False):
        lean = (x @ w).exp()
    assert full.node.parents[0].out.shape == (10, 20) and lean.node.parents[0].out is None
    assert isinstance(lean.node.inputs[0], tuple) and lean.node.out is not None  # exp's gradient reads its result
    lean.sum().backward()
    np.testing.assert_allclose(w.grad.data, np.full((30, 20), 10 * np.exp(30), F), rtol=1e-5)


@pytest.mark.parametrize(("name", "variant"), EACH_MODEL)
def test_gradients_have_the_program_that_full_values_give(name, variant, monkeypatch):
    model, rng, found = get_model(name)(h=4, input_size=12, variant=variant, **small(name)), np.random.default_rng(0), []
    y, there = rng.standard_normal((32, 16, 1)).astype(F), np.ones((32, 16, 1), F)
    batch = {"insample_y": y[:, :12], "insample_mask": there[:, :12], "outsample_y": y[:, 12:], "outsample_mask": there[:, 12:]}
    for kind in (Thin, Full):
        monkeypatch.setattr(grad, "Thin", kind)
        with ndiv.random.fork(1, 0):
            traced = trace(model.compute_loss, (batch,), name, {id(p): n for n, p in model.named_parameters()})
        wrt = [v for v in traced.program.states if v.name in dict(model.named_parameters())]
        program, names = grad.gradient(traced.program, traced.program.outputs[0], wrt, (traced.first, traced.second[0]))
        found.append((program.text(lines=True), names))
    assert found[0] == found[1]


def test_a_gradient_rule_that_reads_values_is_found(monkeypatch):
    monkeypatch.setattr(get("exp"), "vjp", (lambda g, y, x: g * float(np.asarray(y.data).flat[0]),))
    p = trace(lambda x: (x * 0.1).exp().sum(), (np.linspace(0, 1, 2 * SMALL, dtype=F),), "f").program
    with pytest.raises(TraceBreak, match="depends on the data"):
        grad.gradient(p, p.outputs[0], p.inputs)
