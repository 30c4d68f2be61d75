"""Normalization: batch_norm and layer_norm against their definitions, running statistics, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.autograd import REGISTRY
from ndiv.autograd.ops.norm import batch_norm, layer_norm
from ndiv.errors import ShapeError


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 51])).normal(1, 2, shape)


def naive(x, weight, bias, eps):
    """Channel by channel."""
    y, stats = np.empty_like(x), []
    for c in range(x.shape[1]):
        v = x[:, c]
        stats.append((v.mean(), v.var()))
        y[:, c] = (v - v.mean()) / np.sqrt(v.var() + eps) * weight[c] + bias[c]
    return y, *np.array(stats).T


@given(st.integers(2, 5), st.integers(1, 4), st.lists(st.integers(1, 4), max_size=2), st.floats(0.0, 1.0))
def test_batch_norm_against_channels(batch, channels, more, momentum):
    x, w, b = draw(batch, channels, *more), draw(channels, seed=1), draw(channels, seed=2)
    expected, mean, var = naive(x, w, b, 1e-3)
    old_mean, old_var = draw(channels, seed=3), draw(channels, seed=4) ** 2
    held_mean, held_var = old_mean.copy(), old_var.copy()
    y = batch_norm(x, held_mean, held_var, w, b, training=True, momentum=momentum, eps=1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)
    n = x.size // channels
    np.testing.assert_allclose(held_mean, (1 - momentum) * old_mean + momentum * mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(held_var, (1 - momentum) * old_var + momentum * var * n / (n - 1), rtol=1e-10, atol=1e-12)
    fixed = batch_norm(x, mean, var, w, b, eps=1e-3)  # with the batch's own statistics nothing changes
    np.testing.assert_allclose(fixed, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(batch_norm(x, None, None, w, b, eps=1e-3), expected, rtol=1e-10, atol=1e-11)


def test_batch_norm_is_blind_to_scale_and_shift_of_a_channel():
    x = draw(4, 3, 5)
    scale, shift = np.array([2.0, 0.5, 30.0])[:, None], np.array([5.0, -100.0, 0.0])[:, None]
    a = batch_norm(x, training=True, eps=0.0)
    np.testing.assert_allclose(batch_norm(x * scale + shift, training=True, eps=0.0), a, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(a.mean((0, 2)), 0, atol=1e-14)
    np.testing.assert_allclose(a.var((0, 2)), 1, rtol=1e-12)


def test_its_gradient_is_orthogonal_to_what_it_is_blind_to():
    x = ndiv.tensor(draw(4, 3, 5), requires_grad=True)
    (batch_norm(x, training=True, eps=0.0) * draw(4, 3, 5, seed=1)).sum().backward()
    g, centred = x.grad.numpy(), x.numpy() - x.numpy().mean((0, 2), keepdims=True)
    np.testing.assert_allclose(g.sum((0, 2)), 0, atol=1e-13)
    np.testing.assert_allclose((g * centred).sum((0, 2)), 0, atol=1e-12)


@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_bwd", "layer_norm", "layer_norm_bwd"])
def test_what_runs_is_the_definition_in_float64(name):
    prim = REGISTRY[name]
    for sample in prim.samples():
        for a, b in zip(prim.run(*sample.inputs, **sample.attrs), prim.decompose(*sample.inputs, **sample.attrs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives(training):
    v = draw(3, 2, 2, seed=9)

    def f(x, w, b):
        return (batch_norm(x, np.array([0.5, 1.0]), np.array([2.0, 3.0]), w, b, training=training) ** 2 * v).sum()

    def squared(*args):
        return sum((g * g).sum() for g in ndiv.grad(f, argnums=(0, 1, 2), create_graph=True)(*args))

    report = ndiv.gradcheck(squared, (draw(3, 2, 2), draw(2, seed=1), draw(2, seed=2)))
    assert report, str(report)


def test_float32_stays_and_inputs_are_kept():
    x, w, b = (v.astype(np.float32) for v in (draw(4, 3, 5), draw(3, seed=1), draw(3, seed=2)))
    before = x.copy()
    for training in (True, False):
        leaves = [ndiv.tensor(v, requires_grad=True) for v in (x, w, b)]
        y = batch_norm(leaves[0], np.zeros(3, np.float32), np.ones(3, np.float32), *leaves[1:], training=training)
        (y * y).sum().backward()
        assert {y.dtype, *(t.grad.dtype for t in leaves)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(x, before)


def test_a_large_mean_costs_no_accuracy():
    """Two passes over the data, not a difference of squares."""
    x = (1e4 + draw(64, 2)).astype(np.float32)
    expected, *_ = naive(x.astype(np.float64), np.ones(2), np.zeros(2), 1e-5)
    np.testing.assert_allclose(batch_norm(x, training=True), expected, atol=2e-3)


def test_layer_norm_against_rows():
    x, w, b = draw(3, 4, 6), draw(6, seed=1), draw(6, seed=2)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b
    np.testing.assert_allclose(layer_norm(x, w, b), expected, rtol=1e-12, atol=1e-13)


def test_refusals():
    with pytest.raises(ShapeError, match="one value a channel"):
        batch_norm(ndiv.tensor(draw(1, 3)), training=True)
    with pytest.raises(ShapeError, match=r"weight has shape \[4\] and x 3 channels"):
        batch_norm(ndiv.tensor(draw(2, 3)), weight=draw(4), bias=draw(4), training=True)
    with pytest.raises(ShapeError, match="x has 1 axes"):
        batch_norm(ndiv.tensor(draw(3)), training=True)
