"""Optimizers, schedules, clipping, loss scaling, initial weights and weight normalization beside PyTorch's, in float64."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

import ndiv
from ndiv import nn, optim
from ndiv.nn.utils import parameters_to_vector, remove_weight_norm, weight_norm

torch = pytest.importorskip("torch")  # the folder has its own environment; see README.md

STEPS = 100
SHAPES = [(3, 4), (5,), (2, 3, 2)]
TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}


class Pair:
    """The same parameters, and the same loss of them, on both sides; one of them has no gradient in some steps."""

    def __init__(self, seed=0):
        self.draw = np.random.default_rng(seed)
        start = [self.draw.normal(size=s) for s in SHAPES]
        self.target = [self.draw.normal(size=s) for s in SHAPES]
        self.ours = [nn.Parameter(v.copy()) for v in start]
        self.theirs = [torch.nn.Parameter(torch.tensor(v)) for v in start]

    def backward(self, step):
        """Gradients of a noisy quartic."""
        for k, (p, q, t) in enumerate(zip(self.ours, self.theirs, self.target, strict=True)):
            p.grad = q.grad = None
            noise = self.draw.normal(size=t.shape)
            if k == 1 and step % 7 < 2:
                continue
            d, e = p - t, q - torch.tensor(t)
            (d * d * d * d * 0.25 + p * noise).sum().backward()
            (e * e * e * e * 0.25 + q * torch.tensor(noise)).sum().backward()

    def agree(self, step):
        for p, q in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), **TOLERANCE, err_msg=f"step {step}")


def options(**choices):
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


CASES = [
    *[(name, {"lr": 0.03, "betas": (0.85, 0.97), "eps": 1e-7, **o}) for name in ("Adam", "AdamW")
      for o in options(weight_decay=[0.0, 0.2], amsgrad=[False, True], maximize=[False, True])],
    *[("SGD", {"lr": 0.02, **o}) for o in options(momentum=[0.0, 0.9], dampening=[0.0, 0.4], weight_decay=[0.0, 0.2],
                                                  maximize=[False, True])],
    *[("SGD", {"lr": 0.02, "nesterov": True, "momentum": 0.8, **o})
      for o in options(weight_decay=[0.0, 0.2], maximize=[False, True])],
    *[("RMSprop", {"lr": 0.01, "alpha": 0.95, "eps": 1e-7, **o})
      for o in options(momentum=[0.0, 0.7], centered=[False, True], weight_decay=[0.0, 0.2], maximize=[False, True])],
    *[(name, {}) for name in ("Adam", "AdamW", "SGD", "RMSprop")],
]


def label(value):
    return value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items()) or "defaults"


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=label)
def test_trajectory(name, kwargs):
    pair = Pair()
    kwargs = {**kwargs, "lr": 1e-4} if kwargs.get("maximize") else kwargs  # uphill, a quartic leaves every range
    ours, theirs = optim.OPTIMIZERS[name](pair.ours, **kwargs), getattr(torch.optim, name)(pair.theirs, **kwargs)
    for step in range(STEPS):
        pair.backward(step)
        ours.step()
        theirs.step()
        pair.agree(step)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_defaults_are_pytorchs(name):
    theirs = getattr(torch.optim, name)(Pair().theirs).defaults
    ours = optim.OPTIMIZERS[name](Pair().ours).defaults
    assert {k: theirs[k] for k in ours} == ours


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_groups_with_clipping(name):
    pair = Pair(1)

    def groups(params):
        return [{"params": params[:1], "lr": 0.01}, {"params": params[1:], "weight_decay": 0.3}]

    ours = optim.OPTIMIZERS[name](groups(pair.ours), lr=0.002)
    theirs = getattr(torch.optim, name)(groups(pair.theirs), lr=0.002)
    for step in range(STEPS):
        pair.backward(step)
        torch.nn.utils.clip_grad_norm_(pair.theirs, 0.7)
        ours.step(max_norm=0.7)
        theirs.step()
        pair.agree(step)


# schedules ----------------------------------------------------------------------------------------------------------

def warmup(cosine, warm, total, cycles=0.5):
    """The rule of the libraries that have these two schedules, as a factor for LambdaLR."""
    def factor(step):
        if step < warm:
            return step / warm
        share = (step - warm) / (total - warm)
        return max(0.0, 0.5 * (1 + math.cos(math.pi * 2 * cycles * share)) if cosine else 1 - share) if share < 1 else 0.0
    return factor


SCHEDULES = [
    ("StepLR", {"step_size": 7}), ("StepLR", {"step_size": 30, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [10, 35, 35, 90], "gamma": 0.4}), ("ExponentialLR", {"gamma": 0.95}),
    ("CosineAnnealingLR", {"T_max": 100}), ("CosineAnnealingLR", {"T_max": 13, "eta_min": 0.004}),
    ("CosineAnnealingWarmRestarts", {"T_0": 9}), ("CosineAnnealingWarmRestarts", {"T_0": 6, "T_mult": 3, "eta_min": 0.004}),
    *[("OneCycleLR", {"max_lr": 0.2, "total_steps": 101, **o})
      for o in options(anneal_strategy=["cos", "linear"], three_phase=[False, True], pct_start=[0.3, 0.45],
                       cycle_momentum=[False, True])],
    ("OneCycleLR", {"max_lr": 0.2, "epochs": 21, "steps_per_epoch": 5, "div_factor": 10.0, "final_div_factor": 50.0,
                    "base_momentum": 0.7, "max_momentum": 0.9}),
    ("WarmupLinear", {"warmup_steps": 12, "total_steps": 80}), ("WarmupCosine", {"warmup_steps": 12, "total_steps": 80}),
]


@pytest.mark.parametrize(("name", "kwargs"), SCHEDULES, ids=label)
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_schedule_in_training(name, kwargs, kind):
    """Rates, momenta and the parameters that come of them, with two groups."""
    pair = Pair(2)

    def make(module, params):
        more = {"momentum": 0.8} if kind == "SGD" else {}
        return getattr(module, kind)([{"params": params[:1], "lr": 0.03}, {"params": params[1:]}], lr=0.01, **more)

    ours, theirs = make(optim, pair.ours), make(torch.optim, pair.theirs)
    schedule = optim.SCHEDULERS[name](ours, **kwargs)
    if name.startswith("Warmup"):
        peer = torch.optim.lr_scheduler.LambdaLR(theirs, warmup(name == "WarmupCosine", 12, 80))
    else:
        peer = getattr(torch.optim.lr_scheduler, name)(theirs, **kwargs)
    for step in range(STEPS):
        assert schedule.get_last_lr() == pytest.approx(peer.get_last_lr(), rel=1e-10, abs=1e-15), step
        for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
            for key in {"betas", "momentum"} & set(a):
                assert a[key] == pytest.approx(b[key], rel=1e-10)
        pair.backward(step)
        optim.clip_grad_norm_(pair.ours, 1.0)
        torch.nn.utils.clip_grad_norm_(pair.theirs, 1.0)
        ours.step(), theirs.step()
        schedule.step(), peer.step()
        pair.agree(step)


@pytest.mark.parametrize("kwargs", options(mode=["min", "max"], threshold_mode=["rel", "abs"], cooldown=[0, 3],
                                           min_lr=[0.0, 2e-3], patience=[0, 4], factor=[0.5]), ids=label)
def test_plateau(kwargs):
    pair = Pair()

    def groups(params):
        return [{"params": params[:1], "lr": 0.5}, {"params": params[1:]}]

    ours, theirs = optim.SGD(groups(pair.ours), lr=0.1), torch.optim.SGD(groups(pair.theirs), lr=0.1)
    schedule = optim.ReduceLROnPlateau(ours, **kwargs)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **kwargs)
    draw, level = np.random.default_rng(3), 5.0
    for step in range(STEPS):
        level *= 1 + 0.02 * draw.normal() - 0.01
        metric = math.nan if step == 50 else level
        schedule.step(metric)
        peer.step(metric)
        assert schedule.get_last_lr() == pytest.approx(peer.get_last_lr(), rel=1e-10), step
        assert (schedule.best, schedule.num_bad_epochs) == (peer.best, peer.num_bad_epochs)


@pytest.mark.parametrize("resume", [1, 37, 99])
def test_resumed_trajectory_is_pytorchs(resume):
    """Stopped, saved, loaded into new objects, gone on with: still PyTorch's uninterrupted run."""
    pair = Pair(4)
    ours, theirs = optim.AdamW(pair.ours, lr=0.01, amsgrad=True), torch.optim.AdamW(pair.theirs, lr=0.01, amsgrad=True)
    schedule = optim.OneCycleLR(ours, max_lr=0.05, total_steps=STEPS)
    peer = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=0.05, total_steps=STEPS)
    for step in range(STEPS):
        if step == resume:
            states = ours.state_dict(), schedule.state_dict()
            ours = optim.AdamW(pair.ours, amsgrad=True)
            ours.load_state_dict(states[0])
            schedule = optim.OneCycleLR(ours, max_lr=0.05, total_steps=STEPS, last_epoch=int(states[1]["last_epoch"]) - 1)
        pair.backward(step)
        ours.step(), theirs.step()
        schedule.step()
        peer.step()
        pair.agree(step)


# clipping and scaling -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [1.0, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.3, 1e6])
def test_clip_by_norm(kind, max_norm):
    pair = Pair(5)
    pair.backward(2)
    ours, theirs = optim.clip_grad_norm_(pair.ours, max_norm, kind), torch.nn.utils.clip_grad_norm_(pair.theirs, max_norm, kind)
    assert ours == pytest.approx(float(theirs), rel=1e-12)
    for p, q in zip(pair.ours, pair.theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12, atol=1e-300)


def test_clip_by_value():
    pair = Pair(6)
    pair.backward(2)
    optim.clip_grad_value_(pair.ours, 0.4)
    torch.nn.utils.clip_grad_value_(pair.theirs, 0.4)
    for p, q in zip(pair.ours, pair.theirs, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())


def test_grad_scaler():
    """The scale after every step, and the parameters, with overflows here and there."""
    pair = Pair(7)
    ours, theirs = optim.SGD(pair.ours, lr=0.01, momentum=0.9), torch.optim.SGD(pair.theirs, lr=0.01, momentum=0.9)
    kwargs = {"init_scale": 2.0**10, "growth_interval": 4}
    scaler, peer = optim.GradScaler(**kwargs), torch.amp.GradScaler("cpu", **kwargs)
    for step in range(STEPS):
        pair.backward(step)
        for p, q in zip(pair.ours, pair.theirs, strict=True):
            if p.grad is not None:
                g = p.grad.numpy() * scaler.get_scale()
                if step % 17 in (3, 4) and p is pair.ours[0]:
                    g[0, 0] = (np.inf, np.nan)[step % 2]
                p.grad, q.grad = ndiv.tensor(g), torch.tensor(g)
        peer.scale(torch.zeros(()))
        scaler.step(ours), peer.step(theirs)
        scaler.update(), peer.update()
        assert scaler.get_scale() == peer.get_scale()
        pair.agree(step)
    ours_state, theirs_state = scaler.state_dict(), peer.state_dict()
    assert ours_state == theirs_state


# initial weights and weight normalization ---------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["linear", "conv1d", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
@pytest.mark.parametrize("param", [None, 0.3])
def test_gains(name, param):
    assert nn.init.calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param), rel=1e-15)


@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_",
                                  "trunc_normal_", "normal_", "uniform_"])
@pytest.mark.parametrize("shape", [(300, 200), (60, 50, 20)])
def test_spread_of_initial_weights(name, shape):
    ndiv.manual_seed(1)
    torch.manual_seed(1)
    p, q = nn.Parameter(np.zeros(shape)), torch.zeros(shape, dtype=torch.float64)
    getattr(nn.init, name)(p)
    getattr(torch.nn.init, name)(q)
    assert p.numpy().std() == pytest.approx(float(q.std()), rel=0.02)
    if "uniform" in name:
        assert p.numpy().max() == pytest.approx(float(q.max()), rel=1e-3)


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_weight_norm(dim):
    """Values, both gradients, names, and the weight after removal, along a training run."""
    draw = np.random.default_rng(8)

    class Ours(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.bias, self.weight = nn.Parameter(np.zeros(1)), nn.Parameter(values)

        def forward(self, x):
            return ((self.weight * x).sum() + self.bias).sum()

    class Theirs(torch.nn.Module):
        def __init__(self, values):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
            self.weight = torch.nn.Parameter(torch.tensor(values))

        def forward(self, x):
            return ((self.weight * x).sum() + self.bias).sum()

    values = draw.normal(size=(4, 3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have its newer form
        theirs = torch.nn.utils.weight_norm(Theirs(values), dim=dim)
    ours = weight_norm(Ours(values), dim=dim)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    a, b = optim.SGD(ours.parameters(), lr=0.01), torch.optim.SGD(theirs.parameters(), lr=0.01)
    for _ in range(20):
        x = draw.normal(size=values.shape)
        a.zero_grad(), b.zero_grad()
        y, z = ours(x), theirs(torch.tensor(x))
        (y * y).backward()
        (z * z).backward()
        a.step(), b.step()
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.numpy().ravel(), q.detach().numpy().ravel(), **TOLERANCE)
    expected = torch.nn.utils.remove_weight_norm(theirs).weight.detach().numpy()
    np.testing.assert_allclose(remove_weight_norm(ours).weight.numpy(), expected, **TOLERANCE)


def test_parameters_to_vector():
    pair = Pair(9)
    np.testing.assert_array_equal(parameters_to_vector(pair.ours).numpy(),
                                  torch.nn.utils.parameters_to_vector(pair.theirs).detach().numpy())
