"""Optimizers and schedules: reference trajectories, clipping, exact state."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv import nn, optim
from ndiv.errors import ConfigError


def problem(seed=0, dtype=np.float64):
    draw = np.random.default_rng(seed)
    params = [nn.Parameter(draw.normal(size=s).astype(dtype)) for s in [(3, 4), (5,), ()]]
    target = [draw.normal(size=p.shape) for p in params]
    return params, lambda: sum(((p - t) * (p - t) * (p - t) * (p - t)).sum() for p, t in zip(params, target, strict=True))


def reference_adamw(p, grads, lr, b1, b2, eps, wd):
    """Algorithm 2 of Loshchilov & Hutter, written as the paper has it."""
    m = v = np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        p = p - lr * wd * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        p = p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return p


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_adamw_follows_the_paper(dtype):
    draw = np.random.default_rng(1)
    start, grads = draw.normal(size=(4, 3)), [draw.normal(size=(4, 3)) for _ in range(50)]
    p = nn.Parameter(start.astype(dtype))
    opt = optim.AdamW([p], lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for g in grads:
        p.grad = ndiv.tensor(g.astype(dtype))
        opt.step()
    expected = reference_adamw(start, grads, 0.02, 0.8, 0.95, 1e-6, 0.1)
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-12 if dtype == np.float64 else 2e-5)


def test_clipping_inside_the_step_equals_clipping_before_it():
    results = []
    for inside in (True, False):
        params, loss = problem()
        opt = optim.Adam(params, lr=0.1)
        for _ in range(5):
            opt.zero_grad()
            loss().backward()
            if not inside:
                optim.clip_grad_norm_(params, 0.5)
            opt.step(max_norm=0.5 if inside else None)
        results.append([p.numpy().copy() for p in params])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_global_norm():
    params, loss = problem()
    loss().backward()
    expected = np.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in params))
    assert optim.global_norm(params) == pytest.approx(expected, rel=1e-12)
    assert optim.clip_grad_norm_(params, 1e9) == pytest.approx(expected)


def test_state_is_restored_exactly():
    def run(steps, opt, loss):
        for _ in range(steps):
            opt.zero_grad()
            loss().backward()
            opt.step()

    params, loss = problem(dtype=np.float32)
    opt = optim.AdamW(params, lr=0.05)
    run(3, opt, loss)
    state, weights = opt.state_dict(), [p.numpy().copy() for p in params]
    run(4, opt, loss)
    final = [p.numpy().tobytes() for p in params]
    other, loss2 = problem(dtype=np.float32)
    for p, w in zip(other, weights, strict=True):
        p.copy_(w)
    resumed = optim.AdamW(other, lr=0.9)
    resumed.load_state_dict(state)
    run(4, resumed, loss2)
    assert [p.numpy().tobytes() for p in other] == final


def test_parameters_without_gradient_stay():
    params, _ = problem()
    before = params[0].numpy().copy()
    optim.AdamW(params).step()
    np.testing.assert_array_equal(params[0].numpy(), before)


@pytest.mark.parametrize("make", [lambda: optim.AdamW([]), lambda: optim.AdamW([nn.Parameter(np.ones(1))], lr=-1.0),
                                  lambda: optim.AdamW([nn.Parameter(np.ones(1))], betas=(1.0, 0.9)),
                                  lambda: optim.scheduler("StepLRR"), lambda: optim.StepLR(0)])
def test_bad_arguments(make):
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.code == "E0010"


def test_schedules():
    assert optim.scheduler("StepLR", step_size=10, gamma=0.1)(1.0, 19) == pytest.approx(0.1)
    assert optim.scheduler(lambda lr, step: lr / (step + 1))(1.0, 3) == 0.25
