"""What is computed under no_grad or detached gets no gradient in compiled steps either."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.models.base import BaseModel
from ndiv.nn.series import RevIN
from ndiv.program.grad import gradient
from ndiv.program.trace import trace
from ndiv.program.train import TrainStep

H, L = 3, 6
RNG = np.random.default_rng(0)
BATCH = {"insample_y": RNG.normal(size=(5, L, 1)).astype(np.float32), "outsample_y": np.ones((5, H, 1), np.float32)}


class Stopping(BaseModel):
    """A linear map whose output is used with and without a gradient."""

    def __init__(self, h, input_size=-1, how="detach", **common):
        super().__init__()
        self.how, self.linear = how, ndiv.nn.Linear(self.input_size, self.h)
        self.revin = RevIN(1)

    def forward(self, batch):
        z = self.linear(self.inputs(batch)[0].reshape(-1, self.input_size))
        if self.how == "detach":
            z = z * z.detach()
        elif self.how == "no_grad":
            with ndiv.no_grad():
                mean = z.mean(1, True)
            z = (z - mean) * mean
        else:
            z = self.revin.norm(z.reshape(-1, self.h, 1)).reshape(-1, self.h)
        return z.reshape(-1, self.h, 1)


@pytest.mark.parametrize("how", ["detach", "no_grad", "revin"])
def test_a_compiled_step_stops_where_op_by_op_does(how):
    models = [Stopping(H, L, how=how, optimizer="SGD", learning_rate=0.1, loss="MSE") for _ in range(2)]
    if ndiv.backends.current() != "native":
        models[0].__dict__["_compiled"] = TrainStep(models[0])
    models[1].__dict__["_compiled"] = lambda batch: None
    for _ in range(3):
        a, b = (m.train_step(BATCH) for m in models)
        assert a == pytest.approx(b, rel=1e-6)
    fast, slow = (m.linear.weight.data for m in models)
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-7)


def test_the_gradient_of_a_program_stops_too():
    w = ndiv.tensor(np.arange(1.0, 4.0, dtype=np.float32), requires_grad=True)
    traced = trace(lambda x: (w * x * w.detach()).sum(), (np.ones(3, np.float32),), "f", {id(w): "w"})
    program, names = gradient(traced.program, traced.program.outputs[0], traced.program.states)
    assert names == ["w"]
    assert sum(e.op == "mul" for e in program.eqns) == sum(e.op == "mul" for e in traced.program.eqns) + 2  # not 3: one factor is a constant
