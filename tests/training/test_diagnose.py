"""Diagnostics: where a number stopped being finite, gradients by parameter, batches, accumulation, the rate sweep."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv import nn
from ndiv.data.store import SeriesStore
from ndiv.data.windows import WindowLoader
from ndiv.errors import NonFiniteError
from ndiv.models import MLP, NHITS, NLinear
from ndiv.training import Trainer, diagnose, find_lr, first_nonfinite, overfit_one_batch

H, L = 4, 12
STORE = SeriesStore.from_arrays_list([np.sin(np.arange(80.0) / 4) + 2])


def batch(seed=0):
    y = np.random.default_rng(seed).normal(size=(8, L + H, 1)).astype(np.float32)
    return {"insample_y": y[:, :L], "outsample_y": y[:, L:]}


class Rooted(NLinear):
    """Takes a root of the forecast: negative values give NaN in forward."""

    def forward(self, batch):
        return super().forward(batch).sqrt()  # the guilty line


class Flat(NLinear):
    """A finite loss whose gradient is infinite: the root of zero."""

    def forward(self, batch):
        return ((super().forward(batch) * 0.0).sqrt())  # the guilty line


def guilty(cls):
    import inspect

    lines, start = inspect.getsourcelines(cls)
    return f"{__file__}:{start + next(i for i, text in enumerate(lines) if 'guilty' in text)}"


def test_the_first_op_of_forward_is_named_with_its_line():
    with np.errstate(invalid="ignore"):
        found = first_nonfinite(Rooted(h=H, input_size=L), batch())
    assert found.startswith("sqrt gave nan at") and found.endswith(guilty(Rooted))


def test_the_first_op_of_backward_is_named_with_its_line():
    found = first_nonfinite(Flat(h=H, input_size=L), batch())
    assert found.startswith("the gradient of sqrt gave") and found.endswith(guilty(Flat))


def test_bad_batches_and_weights_are_named():
    data = batch()
    data["outsample_y"][2, 1, 0] = np.inf
    assert first_nonfinite(NLinear(h=H, input_size=L), data) == "the batch: outsample_y holds inf at [2, 1, 0]"
    m = NLinear(h=H, input_size=L)
    m.linear.weight.data[1, 2] = np.nan
    assert first_nonfinite(m, batch()) == "the weights: linear.weight holds nan at [1, 2]"
    assert first_nonfinite(NLinear(h=H, input_size=L), batch()) == ""


@pytest.mark.parametrize("cls", [Rooted, Flat])
def test_training_stops_with_the_op_and_keeps_good_weights(cls):
    m = cls(h=H, input_size=L)
    before = m.state_dict()
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="sqrt") as error:
        Trainer(5, verbose=False).fit(m, WindowLoader(STORE, L, H))
    assert error.value.code == "E0009" and guilty(cls) in str(error.value)
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_gradients_by_parameter():
    good = diagnose(MLP(h=H, input_size=L, hidden_size=8), batch())
    assert good and "mlp.0.weight" in str(good)

    class Idle(NLinear):
        def __init__(self, h, input_size, **common):
            super().__init__(h, input_size, **common)
            self.unused = nn.Linear(2, 2)

    report = diagnose(Idle(h=H, input_size=L), batch())
    assert not report and "unused.weight takes no part in the loss" in report.faults
    wild = MLP(h=H, input_size=L, hidden_size=8)
    wild.out.weight.data *= 1e6
    assert any("exploding" in f for f in diagnose(wild, batch()).faults)
    quiet = MLP(h=H, input_size=L, hidden_size=8)
    quiet.mlp[1].weight.data *= 1e-12
    quiet.out.weight.data *= 1e-3
    assert any("vanishing" in f for f in diagnose(quiet, batch()).faults)


def test_batch_diversity():
    data = batch()
    same = {k: np.repeat(v[:1], 8, axis=0) for k, v in data.items()}
    assert any("distinct windows" in f for f in diagnose(NLinear(h=H, input_size=L), same).faults)
    flat = {k: np.ones_like(v) * np.arange(8, dtype=np.float32)[:, None, None] for k, v in data.items()}
    assert any("constant" in f for f in diagnose(NLinear(h=H, input_size=L), flat).faults)


def test_overfitting_one_batch_leaves_the_model_alone():
    m = NHITS(h=H, input_size=L, mlp_units=[[64, 64]], loss=ndiv.losses.MSE())
    before = {k: v.tobytes() for k, v in m.state_dict().items()}
    done, ratio = overfit_one_batch(m, batch(), steps=400)
    assert done and ratio < 0.01
    assert {k: v.tobytes() for k, v in m.state_dict().items()} == before

    class Broken(NLinear):
        def forward(self, batch):
            return super().forward(batch) * 0.0

    assert not overfit_one_batch(Broken(h=H, input_size=L), batch(), steps=20)[0]


def test_accumulated_gradients_are_those_of_the_whole_batch():
    data = batch()
    halves = [{k: v[:4] for k, v in data.items()}, {k: v[4:] for k, v in data.items()}]
    one, two = (NLinear(h=H, input_size=L).astype(np.float64) for _ in range(2))
    assert one.train_step(data) == pytest.approx(two.train_step(halves), rel=1e-6)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-9)


def test_the_trainer_draws_as_many_batches_as_it_accumulates():
    drawn = []
    loader = WindowLoader(STORE, L, H)
    inner = loader.batch
    loader.batch = lambda step: drawn.append(step) or inner(step)
    m = NLinear(h=H, input_size=L, accumulate_grad_batches=3)
    Trainer(4, accumulate=3, verbose=False).fit(m, loader)
    assert drawn == list(range(12))


def test_the_rate_sweep_suggests_and_restores():
    m = NLinear(h=H, input_size=L)
    before = {k: v.tobytes() for k, v in m.state_dict().items()}
    sweep = find_lr(m, WindowLoader(STORE, L, H))
    assert 1e-6 < sweep.suggestion < 1.0
    assert len(sweep.rates) == len(sweep.losses) > 10
    assert {k: v.tobytes() for k, v in m.state_dict().items()} == before


def test_a_custom_loss_is_any_differentiable_function():
    """Whatever is written in ndiv ops trains."""
    class LogCosh(ndiv.losses.Loss):
        def element(self, error):
            return ndiv.softplus(error * 2.0) - error

    m = NLinear(h=H, input_size=L, loss=LogCosh(), learning_rate=1e-2)
    losses = [m.train_step(batch()) for _ in range(50)]
    assert losses[-1] < losses[0]
