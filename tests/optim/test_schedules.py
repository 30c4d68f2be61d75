"""Schedules: values against their recurrences, both uses (function and driver), state, names, refusals."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndiv import nn, optim
from ndiv.errors import ConfigError

STEPS = 100


def optimizer(*rates, kind="SGD", **options):
    return optim.OPTIMIZERS[kind]([{"params": [nn.Parameter(np.ones(1))], "lr": lr} for lr in rates or (0.1,)], **options)


# the definitions as recurrences: the rate of step t from what came before ---------------------------------------------

def stepwise(change):
    def rates(base):
        lr = base
        for t in range(STEPS):
            if t:
                lr = change(lr, t)
            yield lr
    return rates


def restarts(base, first=7, factor=2, low=0.01):
    t, length = 0, first
    for _ in range(STEPS):
        yield low + (base - low) * (1 + math.cos(math.pi * t / length)) / 2
        t += 1
        if t == length:
            t, length = 0, length * factor


def warmup(base, cosine):
    for t in range(STEPS):
        if t < 10:
            yield base * t / 10
        elif t < 80:
            share = (t - 10) / 70
            yield base * (0.5 * (1 + math.cos(math.pi * share)) if cosine else 1 - share)
        else:
            yield 0.0


def one_cycle(base, linear):
    """Up over the first 30 of 100 steps, down over the others; ends are reached on the last step of a phase."""
    points = [(0, base / 25), (29, base), (99, base / 25 / 1e4)]
    for t in range(STEPS):
        (t0, v0), (t1, v1) = points[:2] if t <= 29 else points[1:]
        share = (t - t0) / (t1 - t0)
        yield v0 + (v1 - v0) * (share if linear else (1 - math.cos(math.pi * share)) / 2)


CASES = {
    "step": (lambda *o: optim.StepLR(*o, step_size=7, gamma=0.6), stepwise(lambda lr, t: lr * (0.6 if t % 7 == 0 else 1))),
    "multistep": (lambda *o: optim.MultiStepLR(*o, milestones=[30, 5, 30, 80]),
                  stepwise(lambda lr, t: lr * 0.1 ** [5, 30, 30, 80].count(t))),
    "exponential": (lambda *o: optim.ExponentialLR(*o, gamma=0.93), stepwise(lambda lr, t: lr * 0.93)),
    "cosine": (lambda *o: optim.CosineAnnealingLR(*o, T_max=30, eta_min=0.01),
               lambda base: (0.01 + (base - 0.01) * (1 + math.cos(math.pi * t / 30)) / 2 for t in range(STEPS))),
    "restarts": (lambda *o: optim.CosineAnnealingWarmRestarts(*o, T_0=7, T_mult=2, eta_min=0.01), restarts),
    "restarts-equal": (lambda *o: optim.CosineAnnealingWarmRestarts(*o, T_0=9, eta_min=0.01), lambda b: restarts(b, 9, 1)),
    "warmup-linear": (lambda *o: optim.WarmupLinear(*o, warmup_steps=10, total_steps=80), lambda b: warmup(b, False)),
    "warmup-cosine": (lambda *o: optim.WarmupCosine(*o, warmup_steps=10, total_steps=80), lambda b: warmup(b, True)),
    "one-cycle": (lambda *o: optim.OneCycleLR(*o, total_steps=100, cycle_momentum=False), lambda b: one_cycle(b, False)),
    "one-cycle-linear": (lambda *o: optim.OneCycleLR(*o, epochs=20, steps_per_epoch=5, anneal_strategy="linear",
                                                     cycle_momentum=False), lambda b: one_cycle(b, True)),
}


@pytest.mark.parametrize("case", CASES)
def test_function_and_driver_follow_the_definition(case):
    make, expected = CASES[case]
    function, opt = make(), optimizer(0.1, 0.02)
    driver = make(opt)
    for t, (a, b) in enumerate(zip(expected(0.1), expected(0.02), strict=True)):
        assert function(0.1, t) == pytest.approx(a, rel=1e-12, abs=1e-15)
        assert driver.get_last_lr() == [function(0.1, t), function(0.02, t)] == [g["lr"] for g in opt.param_groups]
        assert function(0.02, t) == pytest.approx(b, rel=1e-12, abs=1e-15)
        driver.step()


@given(case=st.sampled_from(sorted(CASES)), stop=st.integers(0, 60), more=st.integers(1, 30))
def test_driver_resumes_exactly_at_any_step(case, stop, more):
    make, _ = CASES[case]
    opt = optimizer(0.1, 0.02)
    driver = make(opt)
    for _ in range(stop):
        driver.step()
    states = json.loads(json.dumps([opt.state_dict(), driver.state_dict()], default=np.ndarray.tolist))
    fresh = optimizer(0.5, 0.5)
    fresh.load_state_dict(states[0])
    resumed = make(fresh)
    resumed.load_state_dict(states[1])
    by_last_epoch = optimizer(0.5, 0.5)
    by_last_epoch.load_state_dict(states[0])
    numbers = {name: getattr(driver, name) for name in type(driver).__signature__.parameters}
    again = type(driver)(by_last_epoch, last_epoch=stop - 1, **numbers)
    for _ in range(more):
        assert resumed.get_last_lr() == driver.get_last_lr() == again.get_last_lr()
        driver.step(), resumed.step(), again.step()


def test_a_driver_takes_the_rates_of_the_groups_and_a_second_one_those_of_the_first():
    opt = optimizer(0.4)
    opt.param_groups[0]["lr"] = 0.2  # by hand, before any schedule: it begins here
    first = optim.ExponentialLR(opt, 0.5)
    first.step()
    assert opt.lr == 0.1
    assert optim.StepLR(opt, 10).get_last_lr() == [0.2]


def test_last_epoch_needs_the_first_rates():
    with pytest.raises(ConfigError, match="initial_lr") as error:
        optim.StepLR(optimizer(), 10, last_epoch=3)
    assert error.value.code == "E0010"


def test_restarts_take_fractions_of_an_epoch():
    opt = optimizer(1.0)
    driver = optim.CosineAnnealingWarmRestarts(opt, T_0=2, T_mult=2)
    for epoch, expected in ((0.5, 1 / 4), (1.75, 1.75 / 2), (2.0, 0.0), (3.0, 1 / 4), (6.5, 0.5 / 8)):
        driver.step(epoch)
        assert opt.lr == pytest.approx((1 + math.cos(math.pi * expected)) / 2)


@pytest.mark.parametrize("three", [False, True])
@pytest.mark.parametrize(("kind", "key"), [("AdamW", "betas"), ("SGD", "momentum"), ("RMSprop", "momentum")])
def test_one_cycle_turns_momentum_the_other_way(kind, key, three):
    opt = optimizer(0.1, kind=kind, **({} if key == "betas" else {"momentum": 0.9}))
    driver = optim.OneCycleLR(opt, max_lr=0.5, total_steps=50, pct_start=0.4, three_phase=three)
    rates, moments = [], []
    for _ in range(50):
        group = opt.param_groups[0]
        rates.append(group["lr"])
        moments.append(group[key][0] if key == "betas" else group[key])
        driver.step()
    assert rates[0] == pytest.approx(0.5 / 25)
    assert int(np.argmax(rates)) == int(np.argmin(moments)) == 19
    assert max(rates) == 0.5
    assert rates[-1] == pytest.approx(0.5 / 25 / 1e4)
    assert (max(moments), min(moments)) == (0.95, 0.85)
    assert moments[0] == moments[-1] == 0.95
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[19:]) < 0).all()
    if three:
        assert rates[38] == pytest.approx(0.5 / 25)
        assert moments[38:] == pytest.approx([0.95] * 12)


def test_one_cycle_needs_something_to_cycle_and_ends():
    class Plain(optim.Optimizer):
        def update(self, group, work, scale):
            for p, g, _, _ in work:
                p -= group["lr"] * scale * g

    opt = Plain([nn.Parameter(np.ones(1))], {"lr": 0.1})
    with pytest.raises(ConfigError, match="neither momentum nor betas"):
        optim.OneCycleLR(opt, 0.1, 10)
    driver = optim.OneCycleLR(opt, 0.1, 10, cycle_momentum=False)
    for _ in range(10):
        driver.step()
    with pytest.raises(ConfigError, match="after total_steps"):
        driver.step()


# the plateau --------------------------------------------------------------------------------------------------------

def reference_plateau(metrics, base, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr):
    """The rate after each metric, by the words of its documentation."""
    best, bad, rest, lr, out = None, 0, 0, base, []
    for m in metrics:
        gap = threshold * abs(best) if best is not None and threshold_mode == "rel" else threshold
        if best is None or (m < best - gap if mode == "min" else m > best + gap):
            best, bad = m, 0
        else:
            bad += 1
        if rest:
            rest, bad = rest - 1, 0
        if bad > patience:
            lr = max(lr * factor, min_lr) if lr - max(lr * factor, min_lr) > 1e-8 else lr
            rest, bad = cooldown, 0
        out.append(lr)
    return out


PLATEAU = st.fixed_dictionaries({
    "mode": st.sampled_from(["min", "max"]), "factor": st.sampled_from([0.1, 0.5]), "patience": st.integers(0, 3),
    "threshold": st.sampled_from([0.0, 1e-4, 0.1]), "threshold_mode": st.sampled_from(["rel", "abs"]),
    "cooldown": st.integers(0, 3), "min_lr": st.sampled_from([0.0, 1e-3])})


@given(options=PLATEAU, metrics=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_plateau_follows_the_definition_and_resumes_exactly(options, metrics, cut):
    expected = reference_plateau(metrics, 0.1, **options)
    opt = optimizer(0.1, 0.02)
    driver, function = optim.ReduceLROnPlateau(opt, **options), optim.scheduler("ReduceOnPlateau", **options)
    for k, (metric, lr) in enumerate(zip(metrics, expected, strict=True)):
        if k == cut:
            state = json.loads(json.dumps([driver.state_dict(), function.state_dict()]))
            opt = optimizer(0.1, 0.02)
            driver, function = optim.ReduceLROnPlateau(opt, **options), optim.ReduceLROnPlateau(**options)
            driver.load_state_dict(state[0])
            function.load_state_dict(state[1])
        driver.step(metric)
        function.observe(np.float32(metric) if metric == np.float32(metric) else metric)
        assert opt.lr == pytest.approx(lr, rel=1e-15) == function(0.1, k)
        assert driver.get_last_lr()[1] == function(0.02, k)


@pytest.mark.parametrize("cut", range(12))
def test_plateau_resumes_in_the_middle_of_a_cooldown(cut):
    metrics = [1.0] * 12
    expected = reference_plateau(metrics, 0.1, "min", 0.5, 1, 0.0, "rel", 3, 0.0)
    first = optim.ReduceLROnPlateau(factor=0.5, patience=1, threshold=0.0, cooldown=3)
    for k, metric in enumerate(metrics):
        if k == cut:
            second = optim.ReduceLROnPlateau(factor=0.5, patience=1, threshold=0.0, cooldown=3)
            second.load_state_dict(first.state_dict())
            first = second
        first.observe(metric)
        assert first(0.1, k) == expected[k]


def test_a_nan_is_no_better():
    plateau = optim.ReduceLROnPlateau(patience=0, factor=0.5)
    for metric in (math.nan, 1.0, math.nan):
        plateau.observe(metric)
    assert plateau(1.0) == 0.25


# names, copies, refusals --------------------------------------------------------------------------------------------

ARGUMENTS = {"StepLR": {"step_size": 3}, "MultiStepLR": {"milestones": [3]}, "ExponentialLR": {"gamma": 0.5},
             "CosineAnnealingLR": {"T_max": 4}, "CosineAnnealingWarmRestarts": {"T_0": 4},
             "WarmupLinear": {"warmup_steps": 1, "total_steps": 4}, "WarmupCosine": {"warmup_steps": 1, "total_steps": 4},
             "OneCycleLR": {"total_steps": 9}, "ReduceLROnPlateau": {}}


@pytest.mark.parametrize("name", optim.SCHEDULERS)
def test_names_classes_copies_and_text(name):
    kwargs = ARGUMENTS[name]
    schedules = [optim.scheduler(alias, **kwargs) for alias in (name, name.replace("LR", ""), name.lower(),
                                                                name.replace("LR", "") + "LR", getattr(optim, name))]
    schedules += [copy.deepcopy(schedules[0]), pickle.loads(pickle.dumps(schedules[0])), eval(repr(schedules[0]), vars(optim))]
    assert {type(s) for s in schedules} == {optim.SCHEDULERS[name]}
    assert len({s(0.3, 2) for s in schedules}) == 1
    opt = optimizer(0.3, momentum=0.9)
    assert type(optim.SCHEDULERS[name](optimizer=opt, **kwargs)) is optim.SCHEDULERS[name]


def test_any_callable_is_a_schedule():
    assert optim.scheduler(lambda lr, step: lr / (step + 1))(1.0, 3) == 0.25


@pytest.mark.parametrize(("make", "match", "hint"), [
    (lambda: optim.scheduler("StepLRR"), "unknown lr_scheduler", "Did you mean 'StepLR'"),
    (lambda: optim.scheduler("CosineAnealing", T_max=3), "unknown lr_scheduler", "Did you mean 'CosineAnnealingLR'"),
    (lambda: optim.scheduler(3), "must be a name", "StepLR"),
    (lambda: optim.scheduler(lambda lr, step: lr, gamma=0.5), "no further arguments", "partial"),
    (lambda: optim.scheduler("StepLR", step_sise=3), "unknown argument 'step_sise'", "Did you mean 'step_size'"),
    (lambda: optim.scheduler("StepLR"), "step_size must be given", "StepLR"),
    (lambda: optim.StepLR(0), "step_size", ""),
    (lambda: optim.StepLR(2.5), "step_size", ""),
    (lambda: optim.StepLR(3, gamma=-0.1), "gamma", ""),
    (lambda: optim.MultiStepLR(30), "milestones", ""),
    (lambda: optim.MultiStepLR([1.5]), "milestones", ""),
    (lambda: optim.ExponentialLR(math.nan), "gamma", ""),
    (lambda: optim.CosineAnnealingLR(0), "T_max", ""),
    (lambda: optim.CosineAnnealingWarmRestarts(5, T_mult=0), "T_mult", ""),
    (lambda: optim.WarmupLinear(10, 10), "leaves nothing", "warm-up"),
    (lambda: optim.WarmupCosine(-1, 10), "warmup_steps", ""),
    (lambda: optim.OneCycleLR(0.1), "total_steps must be given", "epochs"),
    (lambda: optim.OneCycleLR([0.1, 0.2], 10), "max_lr", ""),
    (lambda: optim.OneCycleLR(0.1, 10, anneal_strategy="cosine"), "anneal_strategy", "'cos'"),
    (lambda: optim.OneCycleLR(0.1, 10, pct_start=1.5), "pct_start", ""),
    (lambda: optim.ReduceLROnPlateau(mode="minimum"), "mode", "Did you mean 'min'"),
    (lambda: optim.ReduceLROnPlateau(factor=1.0), "factor", ""),
    (lambda: optim.ReduceLROnPlateau(optimizer()).step(), "needs the metric", ""),
    (lambda: optim.StepLR(3).step(), "without an optimizer", "StepLR(optimizer"),
    (lambda: optim.StepLR(3).load_state_dict({"epoch": 3}), "not a state of StepLR", ""),
    (lambda: optim.StepLR(optimizer(), 3).load_state_dict(optim.StepLR(optimizer(0.1, 0.2), 3).state_dict()), "groups", ""),
])
def test_bad_arguments(make, match, hint):
    with pytest.raises(ConfigError, match=match) as error:
        make()
    assert error.value.code == "E0010"
    assert hint in error.value.hint


def test_a_group_added_after_the_schedule_is_named():
    opt = optimizer(0.1)
    driver = optim.StepLR(opt, 3)
    opt.add_param_group({"params": [nn.Parameter(np.ones(1))]})
    with pytest.raises(ConfigError, match="1 base rates for 2 groups"):
        driver.step()
