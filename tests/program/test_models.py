"""Whole models as plans: the same bits on any instruction set and number of threads, equal to op by op, without the GIL."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from small import WHOLE, sampled, small

import ndiv
from ndiv import losses
from ndiv.autograd.ops import FUNCTIONS
from ndiv.backends import native, threadpool
from ndiv.models import get_model, list_models
from ndiv.models.base import BaseModel
from ndiv.program.show import View

H, L, B = 12, 64, 32
DROPOUT: dict[str, dict[str, Any]] = {"NHITS": {"dropout_prob_theta": 0.1}, "LSTM": {"encoder_dropout": 0.1}}
LOSSES = {"MAE": losses.MAE, "MQLoss": lambda: losses.MQLoss(level=[80, 95]),
          "StudentT": lambda: losses.DistributionLoss("StudentT", level=[80])}
RNG = np.random.default_rng(0)
Y = np.cumsum(RNG.standard_normal((B, L + H, 1)), axis=1).astype(np.float32)
BATCH = {"insample_y": Y[:, :L], "insample_mask": np.ones((B, L, 1), np.float32), "outsample_y": Y[:, L:],
         "outsample_mask": np.ones((B, H, 1), np.float32)}


class Mixed(BaseModel):
    """Convolution, batch normalization, pooling, a recurrent layer, attention, a Fourier transform: one model."""

    RECURRENT = True

    def __init__(self, h: int, input_size: int = -1, **common: Any) -> None:
        super().__init__()
        self.conv = ndiv.nn.Conv1d(1, 32, 5, padding=2)
        self.norm = ndiv.nn.BatchNorm1d(32)
        self.rnn = ndiv.nn.GRU(32, 48, batch_first=True)
        self.attend = ndiv.nn.MultiheadAttention(48, 4, dropout=0.1, batch_first=True)
        self.ln = ndiv.nn.LayerNorm(48)
        self.out = ndiv.nn.Linear(48 + L + 2, self.h * self.n_out)

    def forward(self, batch: Any) -> Any:
        f = FUNCTIONS
        y = self.inputs(batch)[0]
        z = f["max_pool1d"](f["gelu"](self.norm(self.conv(f["transpose"](y, 1, 2)))), 2)
        z, _ = self.rnn(f["transpose"](z, 1, 2))
        z = self.ln(z + self.attend(z, z, z)[0])
        spectrum = f["rfft"](y[:, :, 0]).reshape(y.shape[0], -1) * (1.0 / L)
        return self.out(f["cat"]([z[:, -1], spectrum], dim=1)).reshape(-1, self.h, self.n_out)


KINDS = [*list_models(), "Mixed"]


def build(name, loss="MAE", optimizer="Adam"):
    cls = Mixed if name == "Mixed" else get_model(name)
    return cls(h=H, input_size=L, loss=LOSSES[loss](), scaler_type="standard", learning_rate=1e-3, optimizer=optimizer,
               gradient_clip_val=1.0, **small(name, 128 if name in ("MLP", "NHITS") else 32), **DROPOUT.get(name, {}))


@contextmanager
def machine(isa, threads):
    """This instruction set and number of threads; what was there before comes back."""
    before = native.isa(), threadpool.threads()
    native.select(isa)
    threadpool.set_threads(threads)
    try:
        yield
    finally:
        native.select(before[0])
        threadpool.set_threads(before[1])


def steps(name, loss):
    """Everything that three steps and a forecast after them leave behind, as bytes by name."""
    m = build(name, loss)
    found = {}
    for s in range(3):
        ndiv.manual_seed(s)
        found[f"loss {s}"] = np.float64(m.train_step(BATCH)).tobytes()
    assert not m._step.reason and all(s.executable.engine == "native" for s in m._step.cache.values())
    found.update((n, a.tobytes()) for n, a in m.state_dict().items())
    m.eval()
    found["forward"] = ndiv.compile(m.forward)(BATCH).numpy().tobytes()
    return found


MACHINES = [(isa, threads) for isa in native.isas() for threads in (1, 2)]


def compared(name):
    """The widest instruction set on two threads, and what it is held against: all others, or one of them, by turns of models."""
    *others, widest = MACHINES
    singles = [m for m in others if m[1] == 1]
    return [widest, *(others if WHOLE else [singles[KINDS.index(name) % len(singles)]])]


@pytest.mark.parametrize("name, loss", sampled(KINDS if MACHINES else [], ["MAE", "StudentT"], every=2))
def test_same_bits_everywhere(name, loss):
    runs = {}
    for isa, threads in compared(name):
        with machine(isa, threads):
            runs[isa, threads] = steps(name, loss)
    (first, wanted), *rest = runs.items()
    for where, found in rest:
        assert [k for k in wanted if found[k] != wanted[k]] == [], f"{where} differs from {first}"


@pytest.mark.parametrize("name, loss", sampled(KINDS, LOSSES))
def test_forward_is_that_of_the_function(name, loss):
    m = build(name, loss).eval()
    compiled = ndiv.compile(m.forward)
    compiled(BATCH)
    for data in (BATCH, {k: v[::-1].copy() for k, v in BATCH.items()}):
        got, wanted = compiled(data).numpy(), m.forward(data).numpy()
        assert np.abs(got - wanted).max() <= 1e-6 * np.abs(wanted).max()
    assert len(compiled.plans) == 1


@pytest.mark.parametrize("name, loss", sampled(KINDS, LOSSES, every=2))
def test_a_step_is_that_of_op_by_op(name, loss):
    """At the sizes of practice, where sums are long; small ones of every kind are in test_train.py."""
    fast, slow = build(name, loss, "SGD"), build(name, loss, "SGD")
    slow.__dict__["_compiled"] = lambda batch: None
    before = {n: p.data.copy() for n, p in slow.named_parameters()}
    for s in range(3):
        values = []
        for m in (fast, slow):
            ndiv.manual_seed(s)
            values.append(m.train_step(BATCH))
        assert abs(values[0] - values[1]) <= 1e-6 * abs(values[1])
    # a bias that starts at 0 holds nothing but its steps, sums whose terms may cancel: the largest step of all is its measure
    largest = max(np.abs(q.data - before[n]).max() for n, q in slow.named_parameters())
    for (n, p), (_, q) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        size = np.abs(q.data).max() if before[n].any() else max(np.abs(q.data).max(), largest)
        assert np.abs(p.data - q.data).max() <= 1e-6 * size, n


def test_python_runs_on_while_a_plan_runs():
    """Threads are never made to give way here, so that a counter moves during a run only where the run let go of the lock."""
    view = View(build("MLP"), BATCH, train=True)
    executable = view.executable
    slots, _ = executable.fill(view.arrays)
    executable.runner.run(slots)
    count, stop, ready = [0], threading.Event(), threading.Event()

    def counting():
        ready.set()
        while not stop.is_set():
            count[0] += 1
            time.sleep(0)  # gives way by itself

    thread, interval, moved = threading.Thread(target=counting), sys.getswitchinterval(), []
    sys.setswitchinterval(1000.0)
    try:
        thread.start()
        ready.wait()
        for _ in range(200):
            before = count[0]
            executable.runner.run(slots)
            moved.append(count[0] - before)
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert sum(n > 0 for n in moved) > 5, f"the counter stood still: {moved}"


def test_one_forecast_from_many_threads():
    m = build("Mixed").eval()
    compiled = ndiv.compile(m.forward)
    data = [{k: np.roll(v, s, axis=0) for k, v in BATCH.items()} for s in range(4)]
    wanted = [compiled(d).numpy() for d in data]
    failures = []

    def work(k):
        for i in range(10):
            j = (k + i) % len(data)
            if compiled(data[j]).numpy().tobytes() != wanted[j].tobytes():
                failures.append((k, i))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []
