"""jvp, hessian, and checkpoints."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ShapeError

draw = np.random.default_rng(0)


def f(x, w):
    return ndiv.layer_norm(ndiv.tanh(x @ w)) * ndiv.softmax(x @ w, dim=1)


def test_jvp_is_the_transpose_of_vjp_and_agrees_with_differences():
    x, w = draw.normal(size=(3, 4)), draw.normal(size=(4, 5))
    dx, dw = draw.normal(size=(3, 4)), draw.normal(size=(4, 5))
    y, t = ndiv.jvp(f, (x, w), (dx, dw))
    h = 1e-6
    numeric = (f(x + h * dx, w + h * dw) - f(x - h * dx, w - h * dw)) / (2 * h)
    np.testing.assert_allclose(t.numpy(), numeric, atol=1e-8)
    u = draw.normal(size=(3, 5))
    _, back = ndiv.vjp(f, x, w)
    gx, gw = back(u)
    assert np.sum(u * t.numpy()) == pytest.approx(np.sum(gx.numpy() * dx) + np.sum(gw.numpy() * dw), rel=1e-12)
    assert y.shape == (3, 5)


def test_jvp_of_what_does_not_depend():
    _, t = ndiv.jvp(lambda x: ndiv.tensor(np.ones(2)), (np.ones(3),), (np.ones(3),))
    np.testing.assert_array_equal(t.numpy(), 0)
    with pytest.raises(ShapeError, match="tangent"):
        ndiv.jvp(lambda x: x * 2, (np.ones(3),), (np.ones(2),))


def test_hessian_is_symmetric_and_right():
    a = draw.normal(size=(3, 3))
    x = draw.normal(size=3)
    np.testing.assert_allclose(ndiv.hessian(lambda t: (t * (a @ t)).sum())(x).numpy(), a + a.T, atol=1e-13)
    g = ndiv.hessian(lambda t: (f(t.reshape(1, 3), np.ones((3, 4)) * a[0, 0] + np.eye(3, 4)) ** 2.0).sum())(x).numpy()
    np.testing.assert_allclose(g, g.T, atol=1e-12)
    np.testing.assert_array_equal(ndiv.hessian(lambda t: t.sum())(x).numpy(), 0)


class Net(ndiv.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = ndiv.nn.Linear(6, 6, activation="tanh"), ndiv.nn.Linear(6, 6, activation="silu")
        self.drop = ndiv.nn.Dropout(0.3)

    def block(self, x):
        return self.drop(self.b(self.a(x)))


@pytest.mark.parametrize("order", [1, 2])
def test_a_checkpoint_changes_memory_not_gradients(order):
    ndiv.manual_seed(1)
    net, x = Net().astype(np.float64), draw.normal(size=(4, 6))

    def run(wrap):
        net.zero_grad()
        ndiv.manual_seed(5)
        t = ndiv.tensor(x, requires_grad=True)
        y = t
        for _ in range(3):
            y = wrap(net.block, y)
        loss = (y * y).sum()
        if order == 2:
            pulled = ndiv.autograd.backward.__globals__["pull"]((loss,), (None,), (t,), True)
            loss = (pulled[0][1] * pulled[0][1]).sum()
        loss.backward()
        return [t.grad.numpy(), *[p.grad.numpy() for p in net.parameters()]]

    for a, b in zip(run(lambda g, v: g(v)), run(ndiv.checkpoint), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_is_kept_inside_a_checkpoint():
    net = Net()
    x = ndiv.tensor(np.ones((50, 6), np.float32), requires_grad=True)
    y = ndiv.checkpoint(net.block, x)
    nodes = ndiv.Tape.of(y).nodes
    assert not any(isinstance(v, np.ndarray) for n in nodes for v in n.inputs)
    y.sum().backward()
    assert not any(isinstance(v, np.ndarray) for n in nodes for v in n.inputs)
    assert x.grad is not None


def test_a_checkpoint_whose_function_changes_is_refused():
    times = []

    def g(t):
        times.append(1)
        return t * 2 if len(times) == 1 else t.exp() * 2

    y = ndiv.checkpoint(g, ndiv.tensor([1.0], requires_grad=True))
    with pytest.raises(ShapeError, match="other ops"):
        y.sum().backward()


def test_a_checkpoint_around_another_drops_its_own_values_too():
    net, x = Net().astype(np.float64).eval(), ndiv.tensor(draw.normal(size=(2, 6)), requires_grad=True)

    def mixed(t, inner):
        return net.b(inner(net.a, t).exp()).tanh()

    mixed(x, lambda f, t: f(t)).sum().backward()
    plain, weight = x.grad.numpy().copy(), net.a.weight.grad.numpy().copy()
    x.zero_grad()
    net.zero_grad()
    y = ndiv.checkpoint(lambda t: mixed(t, ndiv.checkpoint), x)
    assert not any(isinstance(v, np.ndarray) for n in ndiv.Tape.of(y) for v in n.inputs)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), plain)
    np.testing.assert_array_equal(net.a.weight.grad.numpy(), weight)


def test_checkpoints_nest():
    net, x = Net().astype(np.float64).eval(), ndiv.tensor(draw.normal(size=(2, 6)), requires_grad=True)
    net.block(net.block(x)).sum().backward()
    plain = x.grad.numpy().copy()
    x.zero_grad()
    ndiv.checkpoint(lambda t: ndiv.checkpoint(net.block, ndiv.checkpoint(net.block, t)), x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), plain)
