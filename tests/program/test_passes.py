"""Passes: each keeps what a program computes, to the bit, on random programs; and does what it is for on small ones."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ndiv
from ndiv.program.checker import check_program
from ndiv.program.executable import Executable
from ndiv.program.passes import PASSES, run_passes
from ndiv.program.trace import trace

F = np.float32


KINDS = ["add", "mul", "tanh", "relu", "one", "transpose", "reshape", "sum", "matmul", "cat", "softmax", "slice", "where",
         "expand", "square"]


def operation(rng, values):
    """One more value from those that are there."""
    x, y, kind = rng.choice(values), rng.choice(values), rng.choice(KINDS)
    if kind in ("add", "mul", "where"):
        y = y if y.shape == x.shape else y.sum()
        return x + y if kind == "add" else x * y if kind == "mul" else ndiv.where(x > 0.1, x, y)
    if kind == "transpose":
        return x.swapaxes(0, 1)
    if kind == "reshape":
        return x.reshape((-1, 2)) if x.shape[0] * x.shape[1] % 2 == 0 else x.reshape((1, -1))
    if kind == "sum":
        return x.sum(rng.randint(0, 1), True)
    if kind == "matmul":
        return (x.swapaxes(0, 1) @ x).swapaxes(0, 1) if rng.random() < 0.5 else x @ x.swapaxes(0, 1)
    if kind == "cat":
        return ndiv.cat([x, x * 0.5], dim=rng.randint(0, 1))
    if kind == "slice":
        return x[: max(x.shape[0] - 1, 1), ::-1]
    if kind == "expand":
        return ndiv.expand(x[:1], (3, x.shape[1]))
    return {"tanh": lambda: ndiv.tanh(x), "relu": lambda: ndiv.relu(x), "one": lambda: x * 1.0 / 1.0,
            "softmax": lambda: ndiv.softmax(x, 1), "square": lambda: ndiv.exp(-(x * x))}[kind]()


def random_program(seed, length):
    """A random function of one array, traced."""

    def f(x):
        rng = random.Random(seed)  # the same choices in both traces
        values = [x]
        for _ in range(length):
            new = operation(rng, values)
            if new.shape[0] * new.shape[1] <= 200:
                values.append(new)
        return values[-1], values[len(values) // 2], sum((v.sum() for v in values[1:]), x.sum())

    return trace(f, (np.linspace(-1, 1, 12, dtype=F).reshape(3, 4),), "random").program


programs = st.builds(random_program, st.integers(0, 10**6), st.integers(1, 12))


def results(program, x):
    return Selected(program)([x])


class Selected(Executable):
    """An executable of a program to which the passes given were applied already; selection is all that is added."""

    def __init__(self, program):
        super().__init__(program, engine="numpy", passes=("select",))


@settings(max_examples=60, deadline=None)
@given(programs, st.sampled_from(["fold", "cse", "absorb_transposes", "dce"]))
def test_passes_before_selection_keep_the_bits(program, name):
    x = np.linspace(-2, 1, 12, dtype=F).reshape(3, 4)
    before = results(program, x)
    after = results(check_program(PASSES[name](program)), x)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=60, deadline=None)
@given(programs)
def test_all_passes_together_keep_the_numbers_on_both_engines(program):
    x = np.linspace(-2, 1, 12, dtype=F).reshape(3, 4)
    before = results(program, x)
    for engine in ("numpy", None):
        for a, b in zip(before, Executable(program, engine=engine)([x]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * max(1.0, float(np.abs(a).max(initial=0))))


def ops(f, *arrays, only=None):
    p = trace(f, arrays, "f").program
    return [e.op for e in run_passes(p, only).eqns]


X = np.linspace(-1, 1, 6, dtype=F).reshape(2, 3)


def test_dead_code_and_its_constants_go():
    def f(x):
        (x * np.arange(3, dtype=F)).sum()
        return x + 1

    p = trace(f, (X,), "f").program
    extra = p.replace(eqns=p.eqns, outputs=p.outputs)
    assert [e.op for e in PASSES["dce"](extra).eqns] == ["add"]


def test_equal_expressions_are_computed_once():
    assert ops(lambda x: ndiv.exp(x) + ndiv.exp(x), X, only=["cse"]) == ["exp", "add"]


def test_different_random_numbers_are_not_merged():
    assert ops(lambda x: ndiv.dropout(x) + ndiv.dropout(x), X, only=["cse"]) == ["dropout", "dropout", "add"]


@pytest.mark.parametrize("f", [lambda x: x * 1.0, lambda x: x / 1, lambda x: x.reshape((2, 3)), lambda x: x.swapaxes(0, 1).swapaxes(0, 1),
                               lambda x: x[:, :], lambda x: ndiv.expand(x, (2, 3))])
def test_what_changes_nothing_is_folded(f):
    assert ops(f, X, only=["fold", "dce"]) == []


def test_adding_zero_is_not_folded_since_it_changes_the_sign_of_zero():
    assert ops(lambda x: x + 0.0, X, only=["fold"]) == ["add"]


def test_constants_are_computed_when_compiling():
    assert ops(lambda x: x + ndiv.tensor(np.ones(3, F)).exp() * 2.0, X, only=["fold", "dce"]) == ["add"]


def test_elementwise_chains_become_one_instruction():
    assert ops(lambda x: ndiv.tanh(x * 2.0 + 1.0) / (1.0 + ndiv.exp(-x)), X) == ["vm"]
    assert ops(lambda x: (ndiv.tanh(x), ndiv.exp(ndiv.tanh(x))), X) == ["vm"]


def test_a_chain_is_fused_through_a_reshape():
    assert ops(lambda x: ndiv.exp((x * 2.0).reshape((6,))), X) == ["reshape", "vm"]


def test_a_result_that_is_needed_earlier_stays_in_order():
    found = ops(lambda x: (ndiv.exp(x) @ np.ones((3, 2), F)).sum() + ndiv.exp(x), X)
    assert found.count("vm") == 2


def picked(q, k, index):
    return (q @ k.swapaxes(-1, -2))[:, np.arange(len(index))[:, None], index]


def test_of_a_product_only_the_elements_that_are_read_are_computed():
    draw = np.random.default_rng(0)
    q, k, index = (draw.normal(size=(2, n, 8)).astype(F) for n in (5, 40)), None, draw.integers(-40, 40, (5, 6))
    q, k = q
    assert [o for o in ops(lambda q, k: picked(q, k, index), q, k) if o != "permute"] == ["picks"]
    whole = ops(lambda q, k: (lambda s: s[:, np.arange(5)[:, None], index].sum() + s.sum())(q @ k.swapaxes(-1, -2)), q, k)
    assert "gemm" in whole and "picks" not in whole  # somebody else reads the product
    few = ops(lambda q, k: picked(q, k[:, :20], index % 20), q, k)
    assert "gemm" in few and "picks" not in few  # too many of too few
    shuffled = ops(lambda q, k: (q @ k.swapaxes(-1, -2))[:, np.arange(5)[::-1, None], index], q, k)
    assert "picks" not in shuffled
    if ndiv.backends.current() == "native":
        product = np.asarray(ndiv.compile(lambda q, k: q @ k.swapaxes(-1, -2))(q, k))
        got = np.asarray(ndiv.compile(lambda q, k: picked(q, k, index))(q, k))
        np.testing.assert_array_equal(got, product[:, np.arange(5)[:, None], index])


def test_the_gradient_of_what_was_split_is_joined():
    x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(F)

    def three(x, heads):
        parts = [x[..., 4 * i:4 * i + 4] for i in range(3)]
        if heads:
            parts = [p.reshape(2, 5, 2, 2).permute(0, 2, 1, 3) for p in parts]
        return (parts[0] * parts[1] + ndiv.exp(parts[2])).sum()

    for heads in (False, True):
        found = ops(lambda x: ndiv.grad(lambda x: three(x, heads))(x), x)  # noqa: B023
        assert "cat" in found and "put_slice" not in found
        got = ndiv.compile(lambda x: ndiv.grad(lambda x: three(x, heads))(x))(x)  # noqa: B023
        np.testing.assert_allclose(np.asarray(got), np.asarray(ndiv.grad(lambda x: three(x, heads))(x)), rtol=1e-6)  # noqa: B023
    gap = ops(lambda x: ndiv.grad(lambda x: (x[..., :4] * x[..., 8:]).sum())(x), x)
    twice = ops(lambda x: ndiv.grad(lambda x: (x[..., :8] * x[..., 4:]).sum())(x), x)
    assert "put_slice" in gap and "put_slice" in twice


def test_a_linear_layer_is_one_product():
    layer = ndiv.nn.Linear(3, 4, activation="relu")
    assert [o for o in ops(lambda x: layer(x), X) if o not in ("permute", "reshape")] == ["gemm"]


def test_the_gradient_of_a_weight_is_a_product_in_its_own_layout():
    w = ndiv.nn.Parameter(np.ones((4, 3), F))

    def f(x):
        return (x @ w.swapaxes(0, 1)).swapaxes(0, 1)

    found = [e for e in run_passes(trace(f, (X,), "f").program).eqns if e.op == "gemm"]
    assert len(found) == 1 and found[0].outputs[0].shape == (4, 2)


def test_the_factors_of_a_gated_linear_unit_are_multiplied_in_their_gradients():
    rng = np.random.default_rng(0)
    x, w, v, b = (rng.normal(size=s).astype(F) for s in ((9, 4), (6, 4), (6, 4), (6,)))

    def unit(w, v, b):
        z = ndiv.linear(x, w, b) * ndiv.linear(x, v, b, "sigmoid")
        return (z * z).sum()

    def gradients(*args):
        return ndiv.grad(unit, argnums=(0, 1, 2))(*args)

    program = trace(gradients, (w, v, b), "f").program
    factors = [e.inputs[2] is not None for e in run_passes(program).eqns if e.op == "bias_act_bwd"]
    assert factors == [True, True]
    plain = Executable(program, passes=[n for n in PASSES if n != "factors"])([w, v, b])
    for a, e in zip(plain, Executable(program)([w, v, b]), strict=True):
        np.testing.assert_array_equal(a, e)


def test_sums_with_a_product_are_taken_up_by_it():
    rng = np.random.default_rng(0)
    x, y, w, v = (rng.normal(size=s).astype(F) for s in ((2048, 4), (2048, 3), (4, 32), (3, 32)))

    def f(x, y, w, v):
        return x @ w + y @ v

    program = trace(f, (x, y, w, v), "f").program
    assert [e.op for e in run_passes(program).eqns] == ["gemm", "gemm"]
    small = trace(f, (x[:4], y[:4], w, v), "f").program
    assert [e.op for e in run_passes(small).eqns] == ["gemm", "gemm", "vm"]
    twice = trace(lambda *a: (f(*a), a[0] @ a[2]), (x, y, w, v), "f").program  # the other product is taken, which nobody else reads
    assert [e.op for e in run_passes(twice).eqns] == ["gemm", "gemm"]
    biased = trace(lambda x, b, w, y: ndiv.linear(x, w, b) + y, (x, w[0], w.T.copy(), x @ w), "f").program  # would add in another order
    assert "vm" in [e.op for e in run_passes(biased).eqns]
    for a, e in zip(Executable(program, passes=[n for n in PASSES if n != "addends"])([x, y, w, v]), Executable(program)([x, y, w, v]),
                    strict=True):
        np.testing.assert_array_equal(a, e)
