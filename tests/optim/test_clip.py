"""Clipping by norm and by value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv import nn, optim
from ndiv.errors import ConfigError, NonFiniteError

FINITE = st.floats(-1e3, 1e3, width=32)


def with_grads(*grads, dtype=np.float64):
    out = []
    for g in grads:
        values = np.asarray(g, dtype)
        p = nn.Parameter(np.zeros(values.shape, dtype))
        p.grad = ndiv.tensor(values)
        out.append(p)
    return [*out, nn.Parameter(np.zeros(2, dtype))]  # the last has no gradient


@given(st.lists(FINITE, min_size=1, max_size=6), st.lists(FINITE, min_size=1, max_size=6), st.floats(0.01, 100.0),
       st.sampled_from([1.0, 2.0, 3.0, math.inf]))
def test_the_norm_after_clipping_is_at_most_max_norm_and_directions_stay(a, b, max_norm, kind):
    params = with_grads(a, b)
    before = np.concatenate([a, b])
    expected = float(np.linalg.norm(before, kind))
    assert optim.clip_grad_norm_(params, max_norm, kind) == pytest.approx(expected, rel=1e-12)
    after = np.concatenate([p.grad.numpy() for p in params[:2]])
    factor = min(1.0, max_norm / (expected + 1e-6))
    np.testing.assert_allclose(after, before * factor, rtol=1e-12)
    assert np.linalg.norm(after, kind) <= max_norm * (1 + 1e-12)
    assert params[2].grad is None


@given(st.lists(FINITE, min_size=1, max_size=8), st.floats(0.0, 100.0))
def test_clipping_by_value(g, bound):
    (p, _) = with_grads(g)
    optim.clip_grad_value_([p], bound)
    np.testing.assert_array_equal(p.grad.numpy(), [min(max(x, -bound), bound) for x in g])


def test_shared_gradient_arrays_are_not_written():
    g = np.full(3, 5.0)
    p, q = nn.Parameter(np.zeros(3)), nn.Parameter(np.zeros(3))
    p.grad = q.grad = ndiv.Tensor(g)
    optim.clip_grad_norm_(p, 1.0)
    optim.clip_grad_value_(p, 0.1)
    np.testing.assert_array_equal(q.grad.numpy(), 5.0)


def test_types_stay_and_one_tensor_will_do():
    p = with_grads([3.0, 4.0], dtype=np.float32)[0]
    assert optim.clip_grad_norm_(p, 1.0) == 5.0
    assert p.grad.dtype == np.float32
    optim.clip_grad_value_(p, 0.5)
    assert p.grad.dtype == np.float32
    scalar = with_grads(7.0, dtype=np.float32)[0]
    optim.clip_grad_norm_(scalar, 1.0)
    assert scalar.grad.dtype == np.float32
    assert scalar.grad.shape == ()


def test_nothing_to_clip():
    assert optim.clip_grad_norm_([nn.Parameter(np.ones(2))], 1.0) == 0.0
    assert optim.global_norm(with_grads(np.ones((0, 3))), math.inf) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_norms_that_are_not_finite(bad):
    params = with_grads([1.0, bad])
    with pytest.raises(NonFiniteError) as error:
        optim.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert error.value.code == "E0009"
    np.testing.assert_array_equal(params[0].grad.numpy(), [1.0, bad])
    for kind in (1, 2, math.inf):
        assert not math.isfinite(optim.global_norm(params, kind))
    optim.clip_grad_norm_(params, 1.0)
    assert np.isnan(params[0].grad.numpy()[1])


def test_a_nan_stays_when_clipped_by_value():
    p = with_grads([np.nan, -9.0])[0]
    optim.clip_grad_value_(p, 1.0)
    np.testing.assert_array_equal(p.grad.numpy(), [np.nan, -1.0])


@pytest.mark.parametrize("call", [lambda p: optim.clip_grad_norm_(p, -1.0), lambda p: optim.clip_grad_norm_(p, 1.0, 0),
                                  lambda p: optim.clip_grad_value_(p, -0.5), lambda p: optim.clip_grad_norm_(p, math.nan)])
def test_bad_arguments(call):
    with pytest.raises(ConfigError) as error:
        call(with_grads([1.0]))
    assert error.value.code == "E0010"
