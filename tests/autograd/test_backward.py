"""Backward: laws of gradients, higher orders, fixed bits, and misuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ndiv
from ndiv.autograd.backward import unbroadcast
from ndiv.errors import ShapeError

rng = np.random.Generator(np.random.Philox(key=[1, 2]))


@settings(max_examples=60, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4))
def test_unbroadcast_is_the_adjoint_of_broadcasting(shapes):
    a_shape = shapes.input_shapes[0]
    a, v = np.random.default_rng(0).normal(size=a_shape), np.random.default_rng(1).normal(size=shapes.result_shape)
    back = unbroadcast(v, a_shape)
    assert back.shape == a_shape
    np.testing.assert_allclose(np.sum(back * a), np.sum(v * np.broadcast_to(a, shapes.result_shape)), atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_programs_agree_with_differences(seed):
    """A random chain of ops, checked whole."""
    draw = np.random.default_rng(seed)
    x, w = draw.uniform(0.2, 1.5, (3, 4)), draw.normal(size=(4, 4))
    unary = [ndiv.tanh, ndiv.sigmoid, ndiv.softplus, ndiv.exp, ndiv.log1p, lambda t: t * t, lambda t: t / (1 + t * t),
             lambda t: ndiv.softmax(t, dim=1), lambda t: ndiv.layer_norm(t), lambda t: t.reshape(4, 3).T,
             lambda t: ndiv.cat([t[:, 2:], t[:, :2]], dim=1), lambda t: t - t.mean(dim=0, keepdim=True)]
    picks = draw.integers(len(unary), size=5)

    def f(t):
        for k in picks:
            t = unary[k](t) * 0.5
            t = t @ w if t.shape == (3, 4) else t
            t = t * 0.2 if t.shape == (3, 4) else t.reshape(3, 4)
            t = ndiv.sigmoid(t)
        return t.sum()

    assert ndiv.gradcheck(f, x)


def test_a_value_used_twice_adds_its_gradients():
    x = ndiv.tensor([2.0], requires_grad=True)
    y = x * x + x
    y.backward()
    assert float(x.grad) == 5.0


def test_gradients_accumulate_over_calls():
    x = ndiv.tensor([1.0], requires_grad=True)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert float(x.grad) == 5.0


def test_deep_graphs_do_not_recurse():
    x = ndiv.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1e-6
    y.sum().backward()
    assert float(x.grad) == 1.0


def test_same_bits_every_run():
    def run():
        draw = np.random.default_rng(3)
        w = ndiv.tensor(draw.normal(size=(16, 16)).astype(np.float32), requires_grad=True)
        x = ndiv.tensor(draw.normal(size=(8, 16)).astype(np.float32))
        y = x
        for _ in range(4):
            y = (y @ w).tanh() + y
        (y * y).mean().backward()
        return w.grad.numpy().tobytes()

    assert run() == run()


def test_second_and_third_order():
    f = lambda x: (x**4).sum()  # noqa: E731
    d1 = ndiv.grad(f, create_graph=True)
    d2 = ndiv.grad(lambda x: d1(x).sum(), create_graph=True)
    d3 = ndiv.grad(lambda x: d2(x).sum())
    x = np.array([1.5, -0.5])
    np.testing.assert_allclose(d2(x).numpy(), 12 * x**2)
    np.testing.assert_allclose(d3(x).numpy(), 24 * x)


@pytest.mark.parametrize("act", ["tanh", "silu", "softplus", "sigmoid", "selu", "elu", "leaky_relu", "relu"])
def test_second_order_through_fused_ops(act):
    bias = np.array([0.1, 0.2, -0.3])
    g = ndiv.grad(lambda x: (ndiv.bias_act(x, bias, act) * x * x).sum(), create_graph=True)
    weights = np.array([[1.0, 2, 3], [0.5, -1, 2]])
    assert ndiv.gradcheck(lambda x: (g(x) * weights).sum(), np.array([[0.35, -0.25, 0.9], [1.1, -0.4, -2.0]]))


def test_second_order_through_layer_norm_and_pooling():
    w = rng.normal(size=3) + 1
    g = ndiv.grad(lambda x: (ndiv.layer_norm(x, w) * ndiv.layer_norm(x, w) * x).sum(), create_graph=True)
    assert ndiv.gradcheck(lambda x: (g(x) * x).sum(), rng.normal(size=(2, 3)))
    g = ndiv.grad(lambda x: (ndiv.max_pool1d(x, 2) ** 3.0 * ndiv.avg_pool1d(x, 2)).sum(), create_graph=True)
    assert ndiv.gradcheck(lambda x: (g(x) * x).sum(), rng.uniform(0.5, 2, size=(2, 5)))


def test_gradients_of_gradients_reach_other_leaves():
    w = ndiv.tensor([3.0], dtype=np.float64, requires_grad=True)
    d = ndiv.grad(lambda x: (w * x * x).sum(), create_graph=True)(np.array([2.0]))
    d.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [4.0])


def test_a_leaf_written_after_recording_is_refused():
    w = ndiv.tensor([1.0, 2.0], requires_grad=True)
    y = (w * w).sum()
    w.copy_([5.0, 5.0])
    with pytest.raises(ShapeError, match="written in place"):
        y.backward()


def test_misuse_is_explained():
    x = ndiv.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match="needs one element"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match="does not require"):
        ndiv.tensor([1.0]).backward()
    with pytest.raises(ShapeError, match=r"gradient has shape \[3\]"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(ShapeError, match="one number"):
        ndiv.grad(lambda t: t * 2)(np.ones(3))
    with ndiv.no_grad():
        assert not (x * 2).requires_grad


def test_vjp_and_value_and_grad():
    y, back = ndiv.vjp(lambda a, b: a @ b, rng.normal(size=(2, 3)), rng.normal(size=(3, 4)))
    ga, gb = back(np.ones((2, 4)))
    assert y.shape == (2, 4) and ga.shape == (2, 3) and gb.shape == (3, 4)
    value, (ga, gb) = ndiv.value_and_grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(np.array([2.0]), np.array([5.0]))
    assert (float(value), float(ga), float(gb)) == (10.0, 5.0, 2.0)


def test_gradcheck_finds_a_planted_fault():
    from ndiv.autograd import REGISTRY

    exp = REGISTRY["exp"]
    good = exp.vjp
    exp.vjp = (lambda g, y, x: g * y * 1.001,)
    try:
        report = ndiv.gradcheck(lambda x: ndiv.exp(x).sum(), np.array([0.1, 0.2]))
    finally:
        exp.vjp = good
    assert not report and "exp" in str(report)


def test_mixed_types_keep_each_leaf_in_its_own():
    a = ndiv.tensor(np.ones(3, np.float32), requires_grad=True)
    b = ndiv.tensor(np.ones(3, np.float64), requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
