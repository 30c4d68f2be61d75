"""Python between ops: what `host` gives op by op, in plans, in training steps, in files; and what it may not be made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndiv
from ndiv.autograd import no_grad
from ndiv.autograd.host import host
from ndiv.errors import TraceBreak
from ndiv.models.base import BaseModel
from ndiv.program.file import read
from ndiv.program.forward import arrays_of

F = np.float32
ENGINES = ["numpy", "native"] if ndiv.info()["backend"] == "native" else ["numpy"]


def digits(x):
    """A text about each row, and its length: nothing that an op could do."""
    texts = [f"{row.sum():.1f}" for row in x]
    return np.array([[float(t)] for t in texts], F), np.array([len(t) for t in texts])


def f(x):
    rounded, length = host(digits, x * 2.0 + 0.25)
    return x * rounded + length.reshape(-1, 1)


def test_a_plan_calls_python_before_each_run():
    fast, rng = ndiv.compile(f), np.random.default_rng(0)
    for _ in range(4):
        x = rng.normal(0, 30, (3, 2)).astype(F)
        np.testing.assert_allclose(fast(x).numpy(), f(x), rtol=1e-6)
    assert len(fast.plans) == 1


def test_what_python_made_goes_into_python_again():
    def g(x):
        once, _ = host(digits, x)
        again, _ = host(digits, once + x)
        return again - once

    fast, rng = ndiv.compile(g), np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(0, 30, (3, 2)).astype(F)
        np.testing.assert_allclose(fast(x).numpy(), g(x), rtol=1e-6)


def test_no_gradient_passes():
    x = ndiv.tensor(np.array([[1.0, 2.0]], F), requires_grad=True)
    f(x).sum().backward()
    rounded, _ = digits(x.data * 2 + F(0.25))
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(rounded, (1, 2)))
    grad = ndiv.compile(ndiv.value_and_grad(lambda v: f(v).sum()))
    np.testing.assert_allclose(np.asarray(grad(x.data)[1]), x.grad.numpy())


@pytest.mark.parametrize("source", ["dropout", "draw"])
def test_random_numbers_may_not_come_before(source):
    def g(x):
        x = ndiv.dropout(x) if source == "dropout" else x + ndiv.random.draw(lambda rng: rng.normal(size=(3, 2)).astype(F))
        return host(digits, x)[0]

    assert g(np.ones((3, 2), F)).shape == (3, 1)
    with pytest.raises(TraceBreak, match="depends on random numbers") as error:
        ndiv.compile(g)(np.ones((3, 2), F))
    assert error.value.code == "E0012"


class Told(BaseModel):
    """A linear map of the window and of a text about it, and what does not depend on the window in inference."""

    def __init__(self, h: int, input_size: int = -1, own: bool = False, **common: Any) -> None:
        super().__init__()
        self.own, self.calls = own, 0
        self.out = ndiv.nn.Linear(self.input_size + 1, self.h)
        self.bias = ndiv.nn.Parameter(np.ones(self.h, F))
        self.dropout = ndiv.nn.Dropout(0.2)

    def squared(self):
        self.calls += 1
        return (self.bias.data ** 2,)

    def forward(self, batch: Any) -> Any:
        y = self.inputs(batch)[0].reshape(-1, self.input_size)
        told = y[:, :1] if self.own else host(digits, y)[0]
        bias = self.bias * self.bias if ndiv.autograd.is_grad_enabled() else host(self.squared)[0]
        return self.dropout(self.out(ndiv.cat([y, told], dim=1)) + bias).reshape(-1, self.h, 1)


BATCH = {"insample_y": np.random.default_rng(0).normal(5, 2, (6, 8, 1)).astype(F), "outsample_y": np.ones((6, 3, 1), F)}


def test_training_and_forecasts_are_those_of_op_by_op():
    fast, slow = Told(h=3, input_size=8, scaler_type="standard"), Told(h=3, input_size=8, scaler_type="standard")
    slow.__dict__["_compiled"] = lambda batch: None
    for s in range(4):
        losses = []
        for m in (fast, slow):
            ndiv.manual_seed(s)
            losses.append(m.train_step(BATCH if s < 2 else [BATCH, BATCH]))
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    if ENGINES[-1] == "native":
        assert not fast._step.reason
        assert len(fast._step.cache) == 2
    with no_grad():
        wanted = arrays_of(slow.eval()._columns(BATCH))[..., 0]
    np.testing.assert_allclose(fast.forecast(BATCH), wanted, rtol=1e-5)
    if ENGINES[-1] == "native":
        assert not fast._plans.reasons


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_file_holds_what_follows_from_weights_and_no_python(engine, tmp_path):
    with pytest.raises(TraceBreak, match="calls Python on its input, and a model file holds none") as error:
        Told(h=3, input_size=8).export(tmp_path / "m.ndiv")
    assert error.value.value == "digits"
    assert not (tmp_path / "m.ndiv").exists()
    m = Told(h=3, input_size=8, own=True)
    m.export(tmp_path / "m.ndiv")
    y = BATCH["insample_y"][:1]
    np.testing.assert_allclose(read(tmp_path / "m.ndiv", engine)(y), m.forecast({"insample_y": y})[..., 0], rtol=1e-5)
