"""Attention against its definition in loops, and its laws: masks, causality, empty rows, dropout, memory."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.autograd import Tape
from ndiv.autograd.ops.attention import attention_weights, scaled_dot_product_attention
from ndiv.errors import ConfigError, ShapeError


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, len(shape)])).normal(size=shape)


def qkv(*lead: int, lq: int = 5, lk: int = 7, d: int = 4, dv: int = 3, seed: int = 0) -> tuple[np.ndarray, ...]:
    return values(*lead, lq, d, seed=seed), values(*lead, lk, d, seed=seed + 1), values(*lead, lk, dv, seed=seed + 2)


def in_loops(q, k, v, allowed, bias, scale):
    """One query after another, with Python's own exp."""
    out = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        shares = [math.exp(scale * math.fsum(q[i] * k[j]) + bias[i, j]) if allowed[i, j] else 0.0 for j in range(len(k))]
        total = math.fsum(shares)
        for j in range(len(k)):
            out[i] += (shares[j] / total if total else 0.0) * v[j]
    return out


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.integers(0, 2**32))
def test_against_loops(lq, lk, d, causal, seed):
    q, k, v = qkv(lq=lq, lk=lk, d=d, seed=seed)
    allowed, bias = values(lq, lk, seed=seed + 3) > -0.5, values(lq, lk, seed=seed + 4)
    seen = np.tri(lq, lk, dtype=bool) if causal else np.ones((lq, lk), bool)
    nothing = np.zeros((lq, lk))
    root = 1 / math.sqrt(d)
    for mask, may, add in [(None, seen, nothing), (allowed, seen & allowed, nothing), (bias, seen, bias),
                           (np.where(allowed, bias, -np.inf), seen & allowed, bias)]:
        np.testing.assert_allclose(scaled_dot_product_attention(q, k, v, mask, is_causal=causal),
                                   in_loops(q, k, v, may, add, root), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scaled_dot_product_attention(q, k, v, scale=0.3),
                               in_loops(q, k, v, np.ones((lq, lk), bool), nothing, 0.3), rtol=1e-12, atol=1e-12)


@given(st.integers(0, 2**32))
def test_the_order_of_keys_does_not_matter(seed):
    q, k, v = qkv(2, seed=seed)
    order = np.random.default_rng(seed).permutation(7)
    np.testing.assert_allclose(scaled_dot_product_attention(q, k[:, order], v[:, order]),
                               scaled_dot_product_attention(q, k, v), rtol=1e-12, atol=1e-13)


@given(st.integers(0, 2**32))
def test_outputs_lie_between_the_values(seed):
    q, k, v = qkv(seed=seed)
    out = scaled_dot_product_attention(q, k, v)
    assert (out >= v.min(0) - 1e-12).all() and (out <= v.max(0) + 1e-12).all()


def test_causal_outputs_do_not_know_the_future():
    q, k, v = qkv(2, lq=6, lk=6)
    before = scaled_dot_product_attention(q, k, v, is_causal=True)
    k[:, 4:], v[:, 4:] = 9.0, -9.0
    after = scaled_dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    assert not np.allclose(after[:, 4:], before[:, 4:])


@pytest.mark.parametrize("kind", ["booleans", "numbers"])
def test_a_query_that_may_attend_to_nothing_gives_zeros_and_no_gradient(kind):
    allowed = np.ones((5, 7), bool)
    allowed[1] = False
    mask = allowed if kind == "booleans" else np.where(allowed, 0.0, -np.inf)
    q, k, v = (ndiv.tensor(a, requires_grad=True) for a in qkv())
    out = scaled_dot_product_attention(q, k, v, mask)
    assert not out.numpy()[1].any()
    assert out.numpy()[[0, 2, 3, 4]].all()
    out.backward(np.ones(out.shape))
    for t in (q, k, v):
        assert np.isfinite(t.grad.numpy()).all()
    assert not q.grad.numpy()[1].any()
    assert q.grad.numpy()[0].all()
    weights = attention_weights(q, k, mask).numpy()
    np.testing.assert_allclose(weights.sum(-1), [1, 0, 1, 1, 1])


def test_large_scores_do_not_overflow():
    q, k, v = qkv()
    for big in (1e4, 1e8):
        out = scaled_dot_product_attention(q * big, k, v)
        np.testing.assert_array_equal(out, v[np.argmax(q @ k.T, 1)])  # all the weight is on the best match
    low = scaled_dot_product_attention(q, k, v, np.full((5, 7), -1e9))
    np.testing.assert_allclose(low, scaled_dot_product_attention(q, k, v), rtol=1e-5)


@pytest.mark.parametrize("shapes", [((2, 1, 5, 4), (3, 7, 4), (7, 3)), ((5, 4), (7, 4), (2, 3, 7, 3)),
                                    ((3, 5, 4), (7, 4), (2, 1, 7, 3)), ((1, 5, 4), (2, 7, 4), (1, 7, 3))])
def test_leading_axes_broadcast(shapes):
    arrays = [values(*s, seed=i) for i, s in enumerate(shapes)]
    lead = np.broadcast_shapes(*(s[:-2] for s in shapes))
    full = [np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in arrays]
    tensors = [ndiv.tensor(a, requires_grad=True) for a in arrays]
    wide = [ndiv.tensor(a, requires_grad=True) for a in full]
    out, expected = scaled_dot_product_attention(*tensors), scaled_dot_product_attention(*wide)
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-13, atol=1e-14)
    g = values(*out.shape, seed=9)
    out.backward(g)
    expected.backward(g)
    for t, w in zip(tensors, wide, strict=True):
        extra = w.grad.ndim - t.ndim
        axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(t.shape[:-2]) if n == 1)
        np.testing.assert_allclose(t.grad.numpy(), w.grad.numpy().sum(axes).reshape(t.shape), rtol=1e-11, atol=1e-13)


def test_dropout_keeps_the_mean_repeats_and_is_the_same_in_backward():
    q, k, v = np.zeros((400, 64, 1)), np.zeros((50, 1)), np.ones((50, 1))
    t = ndiv.tensor(v, requires_grad=True)
    ndiv.manual_seed(4)
    out = scaled_dot_product_attention(q, k, t, dropout_p=0.3)
    ndiv.manual_seed(4)
    np.testing.assert_array_equal(scaled_dot_product_attention(q, k, v, dropout_p=0.3), out.numpy())
    assert abs(out.numpy().mean() - 1) < 2e-3
    assert out.numpy().std() > 0.01
    out.sum().backward()
    np.testing.assert_allclose(t.grad.numpy().sum(), out.numpy().sum())  # linear in v: the same mask both ways
    assert not scaled_dot_product_attention(q, k, v, dropout_p=1.0).any()


def test_the_tape_keeps_no_matrix_of_scores():
    lengths = {"lq": 300, "lk": 300}
    q, k, v = (ndiv.tensor(a, requires_grad=True) for a in qkv(2, **lengths))
    tracemalloc.start()
    out = scaled_dot_product_attention(q, k, v, is_causal=True)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [n.prim.name for n in Tape.of(out)] == ["scaled_dot_product_attention"]
    assert kept < 2 * 300 * 300 * 8 / 4


def test_the_gradient_of_a_learned_bias():
    q, k, v = qkv(2, 3)
    bias = ndiv.tensor(values(3, 1, 7, seed=8), requires_grad=True)
    report = ndiv.gradcheck(lambda b: (scaled_dot_product_attention(q, k, v, b) * values(2, 3, 5, 3)).sum(), bias)
    assert report, str(report)


def test_second_derivatives():
    q, k, v = qkv(lq=2, lk=3, d=2)

    def loss(x):
        return (scaled_dot_product_attention(x, k, v, is_causal=True) ** 2).sum()

    h = np.asarray(ndiv.hessian(loss)(q)).reshape(4, 4)
    np.testing.assert_allclose(h, h.T, rtol=1e-12, atol=1e-14)
    step = 1e-5
    for i in range(4):
        e = np.zeros(4)
        e[i] = step
        up, down = (np.asarray(ndiv.grad(loss)(q + s * e.reshape(q.shape))) for s in (1, -1))
        np.testing.assert_allclose(h[i], ((up - down) / (2 * step)).ravel(), rtol=1e-6, atol=1e-8)


def test_derivatives_of_the_gradient_by_the_values_alone():
    """d/dq of dL/dv: the output itself takes no part in it, only the probabilities do."""
    q, k, v = (ndiv.tensor(a, requires_grad=True) for a in qkv())
    g, u = values(5, 3, seed=5), values(7, 3, seed=6)

    def by_values(x):
        first = ndiv.grad(lambda w: (scaled_dot_product_attention(x, k, w) * g).sum(), create_graph=True)
        return (first(v) * u).sum()

    report = ndiv.gradcheck(by_values, q)
    assert report, str(report)


def test_types():
    q, k, v = (a.astype(np.float32) for a in qkv(2))
    assert scaled_dot_product_attention(q, k, v, np.zeros((5, 7))).dtype == np.float32
    t = ndiv.tensor(q, requires_grad=True)
    scaled_dot_product_attention(t, k, v, np.ones((5, 7), bool)).sum().backward()
    assert t.grad.dtype == np.float32


@pytest.mark.parametrize(("arguments", "error", "match"), [
    ({"query": np.ones((5, 3))}, ShapeError, "d is 3 in query and 4 in key"),
    ({"value": np.ones((6, 3))}, ShapeError, "Lk is 7 in key and 6 in value"),
    ({"attn_mask": np.ones((7, 5))}, ShapeError, "do not broadcast"),
    ({"attn_mask": np.ones((5, 7), int)}, ShapeError, "True: may attend"),
    ({"dropout_p": 1.5}, ConfigError, r"\[0, 1\]"), ({"dropout_p": -0.1}, ConfigError, r"\[0, 1\]")])
def test_bad_arguments(arguments, error, match):
    q, k, v = qkv()
    given = {"query": ndiv.tensor(q), "key": k, "value": v, **arguments}
    given["query"] = ndiv.tensor(given["query"])
    with pytest.raises(error, match=match):
        scaled_dot_product_attention(**given)
