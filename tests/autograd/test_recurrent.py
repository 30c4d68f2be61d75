"""Recurrent ops: values against loops in NumPy, sequences of several lengths, direction, state, derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.autograd import REGISTRY
from ndiv.autograd.ops.recurrent import gru, lstm, rnn
from ndiv.errors import ConfigError, ShapeError

GATES = {"rnn": 1, "relu": 1, "gru": 3, "lstm": 4}
KINDS = list(GATES)


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 41])).uniform(-1, 1, shape)


def weights(kind, features=3, hidden=4):
    rows = GATES[kind] * hidden
    return [draw(rows, features, seed=1), draw(rows, hidden, seed=2), draw(rows, seed=3), draw(rows, seed=4)]


def states(kind, batch, hidden=4):
    return [draw(batch, hidden, seed=5 + k) for k in range(1 + (kind == "lstm"))]


def run(kind, x, state, w, **more):
    """(y, final state ...) of the op of that kind."""
    if kind == "lstm":
        return lstm(x, *state, *w, **more)
    if kind == "gru":
        return gru(x, *state, *w, **more)
    return rnn(x, *state, *w, nonlinearity="relu" if kind == "relu" else "tanh", **more)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def naive(kind, x, state, w):
    """One sequence [T, I], one step after another, from the textbook: (y [T, H], final state ...)."""
    w_ih, w_hh, b_ih, b_hh = w
    h, *c = state
    ys = []
    for row in x:
        a, b = w_ih @ row + b_ih, w_hh @ h + b_hh
        if kind == "lstm":
            i, f, g, o = np.split(a + b, 4)
            c = [sigmoid(f) * c[0] + sigmoid(i) * np.tanh(g)]
            h = sigmoid(o) * np.tanh(c[0])
        elif kind == "gru":
            (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
            z = sigmoid(az + bz)
            h = (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h
        else:
            h = np.maximum(a + b, 0) if kind == "relu" else np.tanh(a + b)
        ys.append(h)
    return np.array(ys), h, *c


@pytest.mark.parametrize("kind", KINDS)
@given(steps=st.integers(1, 6), batch=st.integers(0, 3), reverse=st.booleans(), data=st.data())
def test_values_against_single_sequences(kind, steps, batch, reverse, data):
    """Each sequence alone, as long as it is, gives the same outputs and final state; beyond it outputs are 0."""
    lengths = data.draw(st.one_of(st.none(), st.lists(st.integers(0, steps), min_size=batch, max_size=batch)))
    x, state, w = draw(steps, batch, 3), states(kind, batch), weights(kind)
    y, *final = run(kind, x, state, w, lengths=lengths if lengths is None else np.array(lengths, int), reverse=reverse)
    assert y.shape == (steps, batch, 4)
    for b in range(batch):
        n = steps if lengths is None else lengths[b]
        inside = x[:n, b][::-1] if reverse else x[:n, b]
        expected, *last = naive(kind, inside, [s[b] for s in state], w)
        expected = expected.reshape(n, 4)
        np.testing.assert_allclose(y[:n, b], expected[::-1] if reverse else expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(y[n:, b], 0)
        for got, want in zip(final, last, strict=True):
            np.testing.assert_allclose(got[b], want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_may_be_run_in_parts(kind):
    x, state, w = draw(7, 2, 3), states(kind, 2), weights(kind)
    y, *final = run(kind, x, state, w)
    first, *middle = run(kind, x[:3], state, w)
    second, *last = run(kind, x[3:], middle, w)
    np.testing.assert_allclose(np.concatenate([first, second]), y, rtol=1e-12)
    for a, b in zip(last, final, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_is_zero(kind):
    x, w = draw(4, 2, 3), weights(kind)
    zero = [np.zeros((2, 4))] * (1 + (kind == "lstm"))
    for a, b in zip(run(kind, x, [None] * len(zero), [*w[:2], None, None]),
                    run(kind, x, zero, [*w[:2], np.zeros_like(w[2]), np.zeros_like(w[3])]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_element_by_element(kind, reverse):
    """Against differences, with sequences of several lengths, all outputs and all inputs at once."""
    state, w = states(kind, 3), weights(kind)

    def f(x, *rest):
        out = run(kind, x, rest[:len(state)], rest[len(state):], lengths=[2, 4, 0], reverse=reverse)
        return sum((o * draw(*o.shape, seed=20 + k)).sum() for k, o in enumerate(out))

    report = ndiv.gradcheck(f, (draw(4, 3, 3), *state, *w))
    assert report, str(report)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("lengths", [None, [3, 1]])
def test_second_derivatives(kind, lengths):
    state, w = states(kind, 2, 2), weights(kind, 2, 2)

    def f(x, *rest):
        out = run(kind, x, rest[:len(state)], rest[len(state):], lengths=lengths)
        return sum((o * draw(*o.shape, seed=20 + k)).sum() for k, o in enumerate(out))

    def squared(*args):
        gs = ndiv.grad(f, argnums=tuple(range(len(args))), create_graph=True)(*args)
        return sum((g * g).sum() for g in gs)

    report = ndiv.gradcheck(squared, (draw(3, 2, 2), *state, *w))
    assert report, str(report)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_read(kind):
    """Whatever stands beyond a sequence's length, even nan, reaches neither values nor gradients."""
    x, lengths = draw(5, 2, 3), [5, 2]
    results = []
    for filling in (0.0, np.nan):
        padded = x.copy()
        padded[2:, 1] = filling
        leaves = [ndiv.tensor(v, requires_grad=True) for v in (padded, *states(kind, 2), *weights(kind))]
        n = 2 + (kind == "lstm")
        out = run(kind, leaves[0], leaves[1:n], leaves[n:], lengths=lengths)
        sum(o.sum() for o in out).backward()
        results.append([o.numpy() for o in out] + [t.grad.numpy() for t in leaves])
    for a, b in zip(*results, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_final_state_alone_has_a_gradient(kind):
    leaves = [ndiv.tensor(v, requires_grad=True) for v in (draw(4, 2, 3), *states(kind, 2), *weights(kind))]
    n = 2 + (kind == "lstm")
    _, *final = run(kind, leaves[0], leaves[1:n], leaves[n:])
    final[-1].sum().backward()
    assert all(np.abs(t.grad.numpy()).sum() > 0 for t in leaves)
    assert not np.shares_memory(leaves[-1].grad.numpy(), leaves[-2].grad.numpy())  # the biases are stepped apart


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "rnn_bwd", "gru_bwd", "lstm_bwd"])
def test_what_runs_is_the_definition_in_float64(name):
    prim = REGISTRY[name]
    for sample in prim.samples():
        for a, b in zip(prim.run(*sample.inputs, **sample.attrs), prim.decompose(*sample.inputs, **sample.attrs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_and_inputs_are_kept(kind):
    arrays = [v.astype(np.float32) for v in (draw(9, 2, 3), *states(kind, 2), *weights(kind))]
    before = [v.copy() for v in arrays]
    leaves = [ndiv.tensor(v, requires_grad=True) for v in arrays]
    n = 2 + (kind == "lstm")
    out = run(kind, leaves[0], leaves[1:n], leaves[n:], lengths=[9, 4])
    sum(o.sum() for o in out).backward()
    assert all(o.dtype == np.float32 for o in out)
    assert all(t.grad.dtype == np.float32 for t in leaves)
    for leaf, v, old in zip(leaves, arrays, before, strict=True):
        np.testing.assert_array_equal(v, old)
        np.testing.assert_array_equal(leaf.numpy(), old)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_large_values_saturate(kind):
    y, *_ = run(kind, draw(4, 2, 3) * 1e4, states(kind, 2), [v * 100 for v in weights(kind)])
    assert np.abs(y).max() <= 1


def test_refusals():
    x, w = ndiv.tensor(draw(4, 2, 3)), weights("gru")
    with pytest.raises(ShapeError, match="lengths must be 2 whole numbers from 0 to 4"):
        gru(x, None, *w, lengths=[5, 1])
    with pytest.raises(ShapeError, match="lengths must be 2"):
        gru(x, None, *w, lengths=[1.5, 1.0])
    with pytest.raises(ShapeError, match=r"w_ih has shape \[12, 3\] and must be \[12, 5\]"):
        gru(ndiv.tensor(draw(4, 2, 5)), None, *w)
    with pytest.raises(ShapeError, match=r"h0 has shape \[3, 4\] and must be \[2, 4\]"):
        gru(x, draw(3, 4), *w)
    with pytest.raises(ShapeError, match=r"give \[4 H, H\]"):
        lstm(x, None, None, *w)
    with pytest.raises(ShapeError, match="time, batch, features"):
        gru(x[0], None, *w)
    with pytest.raises(ShapeError, match="at least one step"):
        gru(x[:0], None, *w)
    with pytest.raises(ConfigError, match="tanh"):
        rnn(x, None, *weights("rnn"), nonlinearity="tnah")
