"""The trainer: exact resume, early stopping, divergence, callbacks, silence."""

from __future__ import annotations

import numpy as np
import pytest

from ndiv.data.store import SeriesStore
from ndiv.data.windows import SequentialLoader, WindowLoader
from ndiv.errors import ConfigError, FileError, NonFiniteError
from ndiv.models import NHITS, NLinear
from ndiv.training import Trainer

H, L = 4, 12
STORE = SeriesStore.from_arrays_list([np.sin(np.arange(80.0) / 4) + 2, np.cos(np.arange(70.0) / 5)])


def loaders(seed=1):
    ranges = STORE.split(8)
    train = WindowLoader(STORE, L, H, windows_batch_size=16, batch_size=2, seed=seed, hi=ranges["train"][1])
    return train, SequentialLoader(STORE, L, H, lo=ranges["val"][0], hi=ranges["val"][1])


def model(**options):
    return NHITS(h=H, input_size=L, mlp_units=[[16, 16]], dropout_prob_theta=0.2, scaler_type="standard", **options)


def bits(m):
    return {k: v.tobytes() for k, v in m.state_dict().items()}


@pytest.mark.parametrize("stop", [5, 10, 15])
def test_a_resumed_run_has_the_bits_of_one_never_stopped(tmp_path, stop):
    """With dropout, Adam's moments, a schedule and early stopping in play."""
    options = dict(val_check_steps=5, schedule=lambda lr, s: lr * 0.9**s, seed=3, verbose=False)
    whole = model()
    full = Trainer(20, **options).fit(whole, *loaders())
    first = model()
    Trainer(stop, checkpoint=tmp_path / "c.safetensors", restore_best=False, **options).fit(first, *loaders())
    second = model(random_seed=99)  # other weights at first: all must come from the file
    state = Trainer(20, **options).fit(second, *loaders(), resume=tmp_path / "c.safetensors")
    assert bits(second) == bits(whole)
    assert state.train_losses == full.train_losses
    assert [(r["step"], r["train_loss"], r["valid_loss"]) for r in state.history] == [
        (r["step"], r["train_loss"], r["valid_loss"]) for r in full.history]


def test_fit_store_resumes_from_a_checkpoint(tmp_path):
    options = dict(val_check_steps=5, learning_rate=1e-2)
    whole = model(max_steps=20, **options).fit_store(STORE, val_size=8, verbose=False)
    model(max_steps=10, restore_best=False, **options).fit_store(STORE, val_size=8, verbose=False, checkpoint=tmp_path / "c")
    # num_lr_decays follows max_steps, so the schedule of the longer run is the one that counts from the start
    part = model(max_steps=20, **options)
    part.fit_store(STORE, val_size=8, verbose=False, resume=tmp_path / "c")
    assert len(part.train_trajectories) == 20 and len(whole.train_trajectories) == 20


def test_early_stopping_stops_and_restores():
    m = model(learning_rate=0.5)
    state = Trainer(500, val_check_steps=1, patience=3, verbose=False).fit(m, *loaders())
    assert state.step < 500 and "no better" in state.stopped
    valid = [r["valid_loss"] for r in state.history]
    assert state.best_loss == min(valid) and state.best_step == int(np.argmin(valid)) + 1
    assert m.validation_loss(loaders()[1].batches()) == pytest.approx(min(valid), rel=1e-6)


def test_without_restore_the_last_weights_stay():
    m = model(learning_rate=0.5)
    state = Trainer(30, val_check_steps=1, restore_best=False, verbose=False).fit(m, *loaders())
    assert m.validation_loss(loaders()[1].batches()) == pytest.approx(state.history[-1]["valid_loss"], rel=1e-6)


def test_divergence_is_named_and_rolled_back():
    m = NLinear(h=H, input_size=L, learning_rate=1e-3)
    train, valid = loaders()
    good = train.batch

    def broken(step):
        batch = good(step)
        if step == 7:
            batch["outsample_y"][0] = np.inf
        return batch

    train.batch = broken
    with pytest.raises(NonFiniteError, match="step 7") as error:
        Trainer(20, val_check_steps=5, verbose=False).fit(m, train, valid)
    assert error.value.code == "E0009" and error.value.context["step"] == 7
    assert all(np.isfinite(v).all() for v in m.state_dict().values())


def test_callbacks_see_the_state_and_can_stop():
    seen = []

    def stop_at_ten(state, m):
        seen.append(state.step)
        return state.step >= 10

    state = Trainer(100, val_check_steps=5, callbacks=[stop_at_ten], verbose=False).fit(model(), *loaders())
    assert seen == [5, 10] and state.stopped == "a callback asked for it"


def test_silent_when_not_a_terminal(capfd):
    Trainer(5, val_check_steps=1).fit(model(), *loaders())
    out, err = capfd.readouterr()
    assert out == err == ""


def test_verbose_prints_validations(capfd):
    Trainer(4, val_check_steps=2, verbose=True, name="NHITS").fit(model(), *loaders())
    assert [line.split(" loss")[0] for line in capfd.readouterr().err.splitlines()] == ["NHITS step 2/4", "NHITS step 4/4"]


def test_the_bar_on_a_terminal(monkeypatch):
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    Trainer(3, val_check_steps=1, name="NHITS").fit(model(), *loaders())
    assert "NHITS [========================] 3/3" in screen.getvalue() and "valid" in screen.getvalue()


def test_bad_checkpoints_are_refused(tmp_path):
    trainer = Trainer(5, seed=1, verbose=False)
    (tmp_path / "text").write_text("not a checkpoint")
    from safetensors.numpy import save_file

    save_file({"a": np.ones(1)}, str(tmp_path / "foreign"))
    for name, text in (("absent", "could not read"), ("text", "could not read"), ("foreign", "not an ndiv checkpoint")):
        with pytest.raises(FileError, match=text) as error:
            trainer.fit(model(), *loaders(), resume=tmp_path / name)
        assert error.value.code == "E0006"
    m = model()
    Trainer(2, seed=1, verbose=False, val_check_steps=1, checkpoint=tmp_path / "c").fit(m, *loaders())
    with pytest.raises(ConfigError, match="seed 1"):
        Trainer(5, seed=2, verbose=False).fit(model(), *loaders(), resume=tmp_path / "c")


def test_bad_arguments():
    for options in ({"max_steps": -1}, {"max_steps": 5, "val_check_steps": 0}):
        with pytest.raises(ConfigError):
            Trainer(**options)


def test_reduce_on_plateau_follows_the_validation_loss_and_resumes(tmp_path):
    from ndiv.optim import ReduceLROnPlateau

    def options():
        return dict(val_check_steps=2, seed=3, verbose=False, schedule=ReduceLROnPlateau(patience=0, factor=0.5))

    whole = model(learning_rate=0.3)
    full = Trainer(40, **options()).fit(whole, *loaders())
    rates = [r["lr"] for r in full.history]
    assert rates[-1] < rates[0]
    first = model(learning_rate=0.3)
    Trainer(20, checkpoint=tmp_path / "c", restore_best=False, **options()).fit(first, *loaders())
    second = model(learning_rate=0.3)
    state = Trainer(40, **options()).fit(second, *loaders(), resume=tmp_path / "c")
    assert [r["lr"] for r in state.history] == rates and bits(second) == bits(whole)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_optimizers_by_name(name):
    m = NLinear(h=H, input_size=L, optimizer=name, learning_rate=1e-2)
    losses = Trainer(30, verbose=False).fit(m, loaders()[0]).train_losses
    assert losses[-1] < losses[0] and type(m.optimizer).__name__ == name


@pytest.mark.parametrize("name", ["WarmupCosine", "WarmupLinear", "OneCycle", "CosineAnnealing", "Exponential"])
def test_schedules_by_name(name):
    kwargs = {"WarmupCosine": {"warmup_steps": 3}, "WarmupLinear": {"warmup_steps": 3}, "OneCycle": {"max_lr": 0.1},
              "CosineAnnealing": {"T_max": 10}, "Exponential": {"gamma": 0.9}}[name]
    m = NLinear(h=H, input_size=L, lr_scheduler=name, lr_scheduler_kwargs=kwargs, max_steps=10, val_check_steps=1)
    m.fit_store(STORE, verbose=False)
    assert len({r["lr"] for r in m.history}) > 3
