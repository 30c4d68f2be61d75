"""GradScaler: the scale does not show in the update, overflows are skipped, growth and backoff, order of calls, state."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv import nn, optim
from ndiv.errors import ConfigError


def setup(value=1.0, **options):
    p = nn.Parameter(np.array([value, -2.0 * value]))
    return p, optim.SGD([p], lr=0.1, momentum=0.9), optim.GradScaler(**options)


@given(exponent=st.integers(-20, 40), steps=st.integers(1, 4))
def test_the_scale_does_not_show_in_the_update(exponent, steps):
    """Powers of two change no bit."""
    p, opt, scaler = setup(init_scale=2.0**exponent)
    q, plain, _ = setup()
    for _ in range(steps):
        opt.zero_grad(), plain.zero_grad()
        scaler.scale((p * p * p).sum()).backward()
        (q * q * q).sum().backward()
        assert scaler.step(opt)
        scaler.update()
        plain.step()
    assert p.numpy().tobytes() == q.numpy().tobytes()


@given(st.lists(st.sampled_from([0.5, np.nan, np.inf, -np.inf]), min_size=1, max_size=30), st.integers(1, 4))
def test_growth_and_backoff(gradients, interval):
    p, opt, scaler = setup(init_scale=1024.0, growth_interval=interval, growth_factor=4.0, backoff_factor=0.25)
    scale, good, updates = 1024.0, 0, 0
    for g in gradients:
        p.grad = ndiv.tensor(np.array([1.0, g]) * scaler.get_scale())
        stepped = scaler.step(opt)
        assert stepped == bool(np.isfinite(g))
        updates += stepped
        scaler.update()
        good = good + 1 if stepped else 0
        scale = scale * 0.25 if not stepped else scale * 4.0 if good == interval else scale
        good = 0 if good == interval else good
        assert scaler.get_scale() == min(scale, np.finfo(np.float32).max)
        scale = scaler.get_scale()
    assert opt.counts == [updates]
    assert np.isfinite(p.numpy()).all()


def test_the_scale_stays_finite_in_float32():
    p, opt, scaler = setup(init_scale=2.0**127, growth_interval=1)
    p.grad = ndiv.tensor(np.zeros(2))
    scaler.step(opt)
    scaler.update()
    assert scaler.get_scale() == 2.0**127


def test_unscaled_gradients_can_be_clipped():
    p, opt, scaler = setup()
    scaler.scale((p * p).sum()).backward()
    scaler.unscale_(opt)
    np.testing.assert_array_equal(p.grad.numpy(), [2.0, -4.0])
    assert optim.clip_grad_norm_([p], 1.0) == pytest.approx(20**0.5)
    assert scaler.step(opt)
    q, other, second = setup()
    second.scale((q * q).sum()).backward()
    assert second.step(other, max_norm=1.0)
    np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


def test_half_precision_gradients_survive():
    """What would round to 0 in float16 does not, scaled."""
    small = 1e-8
    p, opt, scaler = setup(init_scale=2.0**16)
    assert np.float16(small) == 0
    p.grad = ndiv.tensor(np.full(2, np.float16(small * scaler.get_scale())).astype(np.float64))
    scaler.unscale_(opt)
    np.testing.assert_allclose(p.grad.numpy(), small, rtol=1e-3)


def test_several_losses_and_optimizers():
    (p, opt, scaler), (q, other, _) = setup(), setup()
    a, b = scaler.scale(((p * p).sum(), (q * q).sum()))
    a.backward(), b.backward()
    q.grad = ndiv.tensor(np.array([np.inf, 1.0]))
    assert scaler.step(opt)
    assert not scaler.step(other)
    scaler.update()
    assert scaler.get_scale() == 32768.0  # one overflow is enough
    assert isinstance(scaler.scale([a]), list)


def test_an_overflowing_loss_gives_no_warning_and_a_skipped_step():
    p = nn.Parameter(np.full(2, 1e20, np.float32))
    opt, scaler = optim.AdamW([p]), optim.GradScaler()
    loss = scaler.scale((p * np.float32(1e18)).sum())
    assert np.isinf(loss.numpy())
    p.grad = ndiv.tensor(np.full(2, np.inf, np.float32))
    assert not scaler.step(opt)
    np.testing.assert_array_equal(p.numpy(), np.float32(1e20))


def test_not_enabled_passes_through():
    p, opt, scaler = setup(enabled=False)
    loss = (p * p).sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(opt)
    np.testing.assert_array_equal(p.grad.numpy(), [2.0, -4.0])
    assert scaler.step(opt)
    scaler.update()
    assert scaler.get_scale() == 1.0
    assert scaler.state_dict() == {}
    scaler.load_state_dict({})
    assert not scaler.is_enabled()


@given(st.integers(0, 12))
def test_state_is_restored_exactly(steps):
    def run(n, p, opt, scaler):
        for k in range(n):
            opt.zero_grad()
            scaler.scale((p * p).sum()).backward()
            if k % 5 == 4:
                p.grad = ndiv.tensor(np.array([np.nan, 0.0]))
            scaler.step(opt)
            scaler.update()

    first, second = setup(growth_interval=3), setup(init_scale=2.0, growth_interval=50, growth_factor=3.0)
    run(steps, *first)
    second[2].load_state_dict(json.loads(json.dumps(first[2].state_dict())))
    run(7, *first)
    run(7, *second)
    assert first[2].state_dict() == second[2].state_dict()


def test_setting_the_scale():
    _, _, scaler = setup()
    scaler.update(8.0)
    assert scaler.get_scale() == 8.0


def ready():
    p, opt, scaler = setup()
    p.grad = ndiv.tensor(np.ones(2))
    return opt, scaler


def twice(first, second):
    opt, scaler = ready()
    getattr(scaler, first)(opt)
    getattr(scaler, second)(opt)


@pytest.mark.parametrize(("call", "match"), [
    (lambda: twice("unscale_", "unscale_"), r"after unscale_\(\)"), (lambda: twice("step", "unscale_"), r"after step\(\)"),
    (lambda: twice("step", "step"), "twice"), (lambda: ready()[1].update(), "before any gradients"),
    (lambda: ready()[1].update(-1.0), "new_scale"), (lambda: ready()[1].scale(3.0), "takes Tensors"),
    (lambda: optim.GradScaler(init_scale=0.0), "init_scale"), (lambda: optim.GradScaler(growth_factor=1.0), "growth_factor"),
    (lambda: optim.GradScaler(backoff_factor=1.0), "backoff_factor"),
    (lambda: optim.GradScaler(growth_interval=0), "growth_interval"),
    (lambda: optim.GradScaler().load_state_dict({"scale": 2.0}), "not a state"),
])
def test_bad_calls(call, match):
    with pytest.raises(ConfigError, match=match) as error:
        call()
    assert error.value.code == "E0010"


def test_a_step_after_unscale_and_the_next_round():
    opt, scaler = ready()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    scaler.unscale_(opt)
