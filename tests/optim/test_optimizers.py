"""Optimizers: trajectories against loops written from their definitions, parameter groups, clipping inside, exact state."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

import ndiv
from ndiv import nn, optim
from ndiv.errors import ConfigError

STEPS = 40


def problem(seed=0, dtype=np.float64):
    draw = np.random.default_rng(seed)
    params = [ndiv.tensor(np.asarray(draw.normal(size=s), dtype), requires_grad=True) for s in [(3, 4), (5,), ()]]
    target = [draw.normal(size=p.shape) for p in params]
    return params, lambda: sum(((p - t) * (p - t) * (p - t) * (p - t)).sum() for p, t in zip(params, target, strict=True))


def train(steps, opt, loss, max_norm=None):
    for _ in range(steps):
        opt.zero_grad()
        loss().backward()
        opt.step(max_norm=max_norm)


# the definitions, one element at a time -----------------------------------------------------------------------------

def reference_adam(p, grads, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, decoupled=False):
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2; Reddi et al. 2018 (bias-corrected as PyTorch)."""
    b1, b2 = betas
    m = v = top = 0.0
    for t, g in enumerate(grads, 1):
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        top = max(top, v)
        p = p - lr * (m / (1 - b1**t)) / (((top if amsgrad else v) / (1 - b2**t)) ** 0.5 + eps)
    return p


def reference_sgd(p, grads, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    b = None
    for g in grads:
        g = g + weight_decay * p
        b = g if b is None else momentum * b + (1 - dampening) * g
        p = p - lr * (g + momentum * b if nesterov else b if momentum else g)
    return p


def reference_rmsprop(p, grads, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    v = mean = b = 0.0
    for g in grads:
        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        mean = alpha * mean + (1 - alpha) * g
        b = momentum * b + g / ((v - mean**2 if centered else v) ** 0.5 + eps)
        p = p - lr * b
    return p


def combinations(**options):
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


CASES = [
    *[("AdamW", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, **more})
      for more in combinations(weight_decay=[0.0, 0.1], amsgrad=[False, True])],
    *[("Adam", {"lr": 0.02, **more}) for more in combinations(weight_decay=[0.0, 0.1], amsgrad=[False, True])],
    *[("SGD", {"lr": 0.05, **more})
      for more in combinations(momentum=[0.0, 0.9], dampening=[0.0, 0.3], weight_decay=[0.0, 0.1])],
    *[("SGD", {"lr": 0.05, "nesterov": True, "momentum": 0.8, **more}) for more in combinations(weight_decay=[0.0, 0.1])],
    *[("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, **more})
      for more in combinations(momentum=[0.0, 0.7], centered=[False, True], weight_decay=[0.0, 0.1])],
]
REFERENCES = {"AdamW": lambda *a, **k: reference_adam(*a, decoupled=True, **k), "Adam": reference_adam, "SGD": reference_sgd,
              "RMSprop": reference_rmsprop}


def label(value):
    if isinstance(value, str):
        return value
    return "-".join(f"{k}={v}" for k, v in value.items() if k not in ("lr", "betas", "eps"))


@pytest.mark.parametrize(("name", "options"), CASES, ids=label)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("maximize", [False, True])
def test_follows_its_definition(name, options, dtype, maximize):
    draw = np.random.default_rng(1)
    start, grads = draw.normal(size=(4, 3)), draw.normal(size=(STEPS, 4, 3))
    p = nn.Parameter(start.astype(dtype))
    opt = optim.OPTIMIZERS[name]([p], maximize=maximize, **options)
    for g in grads:
        p.grad = ndiv.tensor((-g if maximize else g).astype(dtype))
        opt.step()
    expected = np.array([[REFERENCES[name](start[i, j], grads[:, i, j], **options) for j in range(3)] for i in range(4)])
    assert p.dtype == dtype
    # float32: a hundred roundings of 6e-8 on values near 1, more where a centered variance cancels
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-11 if dtype == np.float64 else 5e-5,
                               atol=1e-12 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("max_norm", [None, 0.5])
@pytest.mark.parametrize(("name", "options"), CASES, ids=label)
def test_gradients_are_read_only_and_need_no_layout(name, options, max_norm):
    """A gradient is not written to, and one with strides counts as its copy does, to the last bit."""
    wide = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    results = []
    for g in (wide.T[:, ::2], np.ascontiguousarray(wide.T[:, ::2])):
        p, before = nn.Parameter(np.ones((4, 3), np.float32)), g.copy()
        g.flags.writeable = False
        opt = optim.OPTIMIZERS[name]([p], **options)
        for _ in range(3):
            p.grad = ndiv.Tensor(g)
            opt.step(max_norm=max_norm)
        np.testing.assert_array_equal(g, before)
        results.append(p.numpy().tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_clipping_inside_the_step_equals_clipping_before_it(name):
    results = []
    for inside in (True, False):
        params, loss = problem()
        opt = optim.OPTIMIZERS[name](params, lr=0.01)
        for _ in range(5):
            opt.zero_grad()
            loss().backward()
            norm = optim.global_norm(params)
            if not inside:
                optim.clip_grad_norm_(params, 0.5)
            opt.step(max_norm=0.5 if inside else None)
            if inside:
                assert optim.global_norm(params) == norm  # the gradients themselves stay
        results.append([p.numpy().copy() for p in params])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_parameters_without_gradient_stay_and_their_first_update_is_a_first_one(name):
    """Bias corrections and momentum begin when a parameter's gradients do."""
    late, alone = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    early = nn.Parameter(np.ones(3))
    both, single = (optim.OPTIMIZERS[name](ps) for ps in ([early, late], [alone]))
    g = ndiv.tensor(np.array([0.3, -0.2]))
    for step in range(6):
        early.grad = ndiv.tensor(np.ones(3))
        if step >= 3:
            late.grad = alone.grad = g
            single.step()
        both.step()
        if step < 3:
            np.testing.assert_array_equal(late.numpy(), 1.0)
    np.testing.assert_array_equal(late.numpy(), alone.numpy())


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_writing_is_noticed_by_backward(name):
    p = nn.Parameter(np.ones(2))
    y = (p * p).sum()
    y.backward()
    optim.OPTIMIZERS[name]([p]).step()
    with pytest.raises(ndiv.NdivError, match="written in place"):
        y.backward()


# parameter groups ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_groups_train_as_optimizers_of_their_own(name):
    kind = optim.OPTIMIZERS[name]
    (a, b, c), loss = problem()
    grouped = kind([{"params": [a]}, {"params": [b, c], "lr": 0.003, "weight_decay": 0.2}], lr=0.01)
    (a2, b2, c2), loss2 = problem()
    one, two = kind([a2], lr=0.01), kind([b2, c2], lr=0.003, weight_decay=0.2)
    for _ in range(10):
        grouped.zero_grad(), one.zero_grad(), two.zero_grad()
        loss().backward(), loss2().backward()
        grouped.step(), one.step(), two.step()
    for p, q in zip((a, b, c), (a2, b2, c2), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_groups_keep_their_proportions_under_a_schedule_even_through_zero():
    params, _ = problem()
    opt = optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1)
    schedule = optim.WarmupLinear(warmup_steps=2, total_steps=6)
    for step in range(8):
        opt.lr = schedule(0.1, step)
        assert opt.lr == schedule(0.1, step)
        assert opt.param_groups[1]["lr"] == pytest.approx(3 * opt.lr, rel=1e-15, abs=0)
    opt.lr = 0.1
    assert [g["lr"] for g in opt.param_groups] == [0.1, pytest.approx(0.3, rel=1e-15)]


def test_a_group_may_come_later_and_be_a_single_tensor():
    params, loss = problem()
    opt = optim.AdamW(params[:2])
    train(2, opt, loss)
    opt.add_param_group({"params": params[2], "lr": 0.5, "name": "late"})
    before = params[2].numpy().copy()
    train(1, opt, loss)
    assert opt.counts == [3, 3, 1]
    assert before != params[2].numpy()
    assert "group 1: 1 parameters, lr=0.5" in repr(opt)


def test_a_first_group_with_rate_zero_gives_no_proportion():
    params, _ = problem()
    opt = optim.SGD([{"params": params[:1], "lr": 0.0}, {"params": params[1:]}], lr=0.1)
    with pytest.raises(ConfigError, match="proportion"):
        opt.lr = 0.2
    assert [g["lr"] for g in opt.param_groups] == [0.0, 0.1]


def test_zero_grad_can_leave_zeros():
    params, loss = problem()
    opt = optim.SGD(params)
    loss().backward()
    opt.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in params)
    opt.zero_grad()
    assert all(p.grad is None for p in params)


# state --------------------------------------------------------------------------------------------------------------

RICH = {"AdamW": {"amsgrad": True}, "Adam": {"weight_decay": 0.1}, "SGD": {"momentum": 0.9, "nesterov": True},
        "RMSprop": {"momentum": 0.9, "centered": True}}


def through_files(state):
    """As a checkpoint stores it: arrays in one file, numbers as JSON. The arrays come back in another order."""
    arrays = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
    numbers = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
    back = load(save(arrays))
    return {**{k: back[k] for k in sorted(back, reverse=True)}, **json.loads(json.dumps(numbers))}


@given(name=st.sampled_from(sorted(RICH)), before=st.integers(0, 8), after=st.integers(1, 5),
       dtype=st.sampled_from([np.float32, np.float64]), factor=st.floats(0.01, 1.0))
def test_state_is_restored_exactly_at_any_step(name, before, after, dtype, factor):
    def make(seed, lr):
        params, loss = problem(seed, dtype)
        return params, loss, optim.OPTIMIZERS[name]([{"params": params[:1], "lr": lr}, {"params": params[1:]}], lr=3 * lr,
                                                    **RICH[name])

    params, loss, opt = make(0, 0.01)
    train(before, opt, loss, max_norm=1.0)
    opt.lr = 0.01 * factor
    state, weights = through_files(opt.state_dict()), [p.numpy().copy() for p in params]
    train(after, opt, loss, max_norm=1.0)
    other, loss2, resumed = make(0, 0.7)
    for p, w in zip(other, weights, strict=True):
        p.copy_(w)
    resumed.load_state_dict(state)
    train(after, resumed, loss2, max_norm=1.0)
    assert [p.numpy().tobytes() for p in other] == [p.numpy().tobytes() for p in params]
    resumed.lr = opt.lr = 0.02
    assert [g["lr"] for g in resumed.param_groups] == [g["lr"] for g in opt.param_groups]


def test_a_saved_state_is_a_copy():
    params, loss = problem()
    opt = optim.AdamW(params)
    train(1, opt, loss)
    state = opt.state_dict()
    kept = {k: np.copy(v) for k, v in state.items()}
    train(1, opt, loss)
    opt.load_state_dict(state)
    train(1, opt, loss)
    for key, value in state.items():
        np.testing.assert_array_equal(value, kept[key])


def test_a_state_that_does_not_fit_changes_nothing():
    params, loss = problem()
    opt = optim.AdamW(params)
    train(2, opt, loss)
    good = opt.state_dict()
    wrong = [{**good, "m.1": np.zeros(6)}, {**good, "velocity.0": np.zeros((3, 4))}, {**good, "m.7": np.zeros(5)},
             {k: v for k, v in good.items() if k != "group.0.eps"}, {**good, "counts": np.zeros(2, np.int64)},
             {**good, "group.1.lr": 0.1}, optim.SGD(params, momentum=0.9).state_dict(), {}]
    for state in wrong:
        with pytest.raises(ConfigError, match="not a state of AdamW") as error:
            opt.load_state_dict(state)
        assert error.value.code == "E0010"
    for key, value in opt.state_dict().items():
        np.testing.assert_array_equal(value, good[key])


# refusals -----------------------------------------------------------------------------------------------------------

def one():
    return nn.Parameter(np.ones(1))


@pytest.mark.parametrize(("make", "match"), [
    (lambda: optim.AdamW([]), "no parameters"),
    (lambda: optim.AdamW([one()], lr=-1.0), "lr must be at least 0"),
    (lambda: optim.AdamW([one()], lr=float("nan")), "lr must be"),
    (lambda: optim.AdamW([one()], betas=(1.0, 0.9)), "betas"),
    (lambda: optim.Adam([one()], betas=(0.9,)), "Adam: betas"),
    (lambda: optim.AdamW([one()], eps=-1e-8), "eps"),
    (lambda: optim.SGD([one()], momentum=-0.1), "momentum"),
    (lambda: optim.SGD([one()], nesterov=True), "nesterov"),
    (lambda: optim.SGD([one()], momentum=0.9, dampening=0.1, nesterov=True), "nesterov"),
    (lambda: optim.RMSprop([one()], alpha=1.0), "alpha"),
    (lambda: optim.RMSprop([one()], weight_decay="much"), "weight_decay"),
    (lambda: optim.SGD([{"params": [one()], "wieght_decay": 0.1}]), "unknown hyper-parameter 'wieght_decay'"),
    (lambda: optim.SGD([{"params": [one()], "lr": -0.1}]), "lr"),
    (lambda: optim.SGD([{"lr": 0.1}]), "'params'"),
    (lambda: optim.SGD([{"params": [one()]}, one()]), "parameter group"),
    (lambda: optim.SGD([p := one(), p]), "given twice"),
    (lambda: optim.SGD([{"params": [p := one()]}, {"params": [p]}]), "given twice"),
    (lambda: optim.SGD([np.ones(2)]), "leaf Tensors"),
    (lambda: optim.SGD([one() * 2]), "leaf Tensors"),
    (lambda: optim.SGD([one()]).step(max_norm=-1.0), "max_norm"),
])
def test_bad_arguments(make, match):
    with pytest.raises(ConfigError, match=match) as error:
        make()
    assert error.value.code == "E0010"
    assert error.value.hint


def test_a_misspelt_hyper_parameter_is_answered_with_the_right_one():
    with pytest.raises(TypeError, match="Did you mean 'weight_decay'"):
        optim.SGD([{"params": [one()], "wieght_decay": 0.1}])
