"""The training loop: steps, validation, early stopping, best weights, checkpoints, exact resume.

Contract: everything random in step t follows from (seed, t): the loader's batch, and the numbers of dropout. So a run
that is stopped and resumed from a checkpoint goes on with the same bits as one that was never stopped.

What a model must offer: ``train_step(batch) -> float``, ``validation_loss(batches) -> float``, ``optimizer``,
``state_dict``, ``load_state_dict``. What a loader must offer: ``batch(step)``; for validation ``batches()``.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import random
from ..errors import ConfigError, FileError, NonFiniteError
from .diagnose import first_nonfinite
from .progress import Progress

__all__ = ["TrainState", "Trainer"]

_STREAMS_PER_STEP = 1 << 20  # random ops that one step may hold
_MOST_ROLLBACKS = 8  # a rate 256 times smaller does not help where the data are to blame
_FORMAT = "ndiv-checkpoint-1"


@dataclass
class TrainState:
    """Where a run stands.

    history       one record a validation (or every ``val_check_steps`` without one): step, train_loss (mean since the
                  last record), valid_loss, lr, seconds
    train_losses  the loss of every step
    """

    step: int = 0
    best_loss: float = math.inf
    best_step: int = -1
    bad_checks: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    best_weights: dict[str, np.ndarray] | None = None
    stopped: str = ""
    rollbacks: int = 0  # how often training went back and halved its rate


@dataclass
class _Good:
    """What training goes back to: where it stood at the last check."""

    step: int
    weights: dict[str, np.ndarray]
    optimizer: dict[str, Any] | None
    schedule: Any


class Trainer:
    """Runs ``max_steps`` steps.

    val_check_steps   steps between validations
    patience          validations without a new best after which training stops; negative: never
    restore_best      put the best validated weights back at the end
    schedule          (base_lr, step) -> lr, or None for a constant rate
    checkpoint        path that is rewritten at each validation, so that a run can be resumed
    callbacks         functions (state, model) called after each validation; one that returns True stops the run
    accumulate        batches whose gradients are averaged for one step
    on_nan            where a loss is not finite: "raise", or "rollback" to the last check and go on with half the learning rate
    verbose           see `ndiv.training.progress`

    >>> Trainer(max_steps=10).max_steps
    10
    """

    def __init__(self, max_steps: int, *, val_check_steps: int = 100, patience: int = -1, restore_best: bool = True,
                 schedule: Callable[[float, int], float] | None = None, seed: int = 1, checkpoint: Any = None,
                 callbacks: Sequence[Callable[[TrainState, Any], Any]] = (), verbose: bool | None = None,
                 name: str = "training", accumulate: int = 1, on_nan: str = "raise") -> None:
        if max_steps < 0:
            raise ConfigError(f"max_steps must not be negative, not {max_steps!r}", value=max_steps, hint="1000 is common")
        if val_check_steps < 1:
            raise ConfigError(f"val_check_steps must be at least 1, not {val_check_steps!r}", value=val_check_steps,
                              hint="100 is common")
        if accumulate < 1:
            raise ConfigError(f"accumulate must be at least 1, not {accumulate!r}", value=accumulate, hint="1 is usual")
        if on_nan not in ("raise", "rollback"):
            raise ConfigError(f"on_nan must be 'raise' or 'rollback', not {on_nan!r}", value=on_nan,
                              hint="'raise' is the default")
        self.accumulate, self.on_nan = accumulate, on_nan
        self.max_steps, self.val_check_steps, self.patience = max_steps, val_check_steps, patience
        self.restore_best, self.schedule, self.seed = restore_best, schedule, seed
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.callbacks, self.verbose, self.name = tuple(callbacks), verbose, name

    def fit(self, model: Any, loader: Any, validation: Any = None, resume: Any = None) -> TrainState:
        """Train ``model``; ``resume`` is a checkpoint's path. Returns the final state.

        Raises `NonFiniteError` (E0009) when the loss is no longer finite; the model then holds the best validated
        weights, or those of the last check. With ``on_nan="rollback"`` only after eight rollbacks; each one warns.
        """
        state = TrainState()
        if resume is not None:
            state = self.load(resume, model)
        base_lr = model.base_lr
        bar = Progress(self.name, self.max_steps, self.verbose)
        bar.start(state.step)
        begun = time.perf_counter() - (state.history[-1]["seconds"] if state.history else 0.0)
        good = self._good(model, state)
        usual = float(model.optimizer.lr) * 2.0**state.rollbacks
        pending: list[float] = state.train_losses[int(state.history[-1]["step"]) if state.history else 0:]
        try:
            while state.step < self.max_steps and not state.stopped:
                rate = usual if self.schedule is None else self.schedule(base_lr, state.step)
                if self.schedule is not None or state.rollbacks:
                    model.optimizer.lr = rate * 0.5**state.rollbacks
                first = state.step * self.accumulate
                batches = [loader.batch(first + i) for i in range(self.accumulate)]
                with random.fork(self.seed, state.step * _STREAMS_PER_STEP):
                    loss = model.train_step(batches[0] if len(batches) == 1 else batches)
                if not math.isfinite(loss):
                    self._diverged(model, state, loss, good, batches)
                    pending = []  # a check ends what is pending, and training is back at one
                    continue
                state.step += 1
                state.train_losses.append(loss)
                pending.append(loss)
                bar.update(state.step, loss)
                if state.step % self.val_check_steps == 0 or state.step == self.max_steps:
                    mean = float(np.mean(pending))
                    pending = []
                    self._check(model, state, validation, mean, time.perf_counter() - begun, bar)
                    if state.step < self.max_steps and not state.stopped:
                        del good  # the next takes its memory
                        good = self._good(model, state)
        finally:
            bar.close()
            if state.rollbacks and self.schedule is None:
                model.optimizer.lr = usual
        if validation is not None and self.restore_best and state.best_weights is not None:
            model.load_state_dict(state.best_weights)
        return state

    def _check(self, model: Any, state: TrainState, validation: Any, mean: float, seconds: float, bar: Progress) -> None:
        record = {"step": float(state.step), "train_loss": mean, "lr": float(model.optimizer.lr), "seconds": seconds}
        if validation is not None:
            valid = float(model.validation_loss(validation.batches()))
            record["valid_loss"] = valid
            bar.validated(state.step, mean, valid)
            observe = getattr(self.schedule, "observe", None)
            if observe is not None:  # a schedule that follows the validation loss
                observe(valid)
            if valid < state.best_loss:
                state.best_loss, state.best_step, state.bad_checks = valid, state.step, 0
                state.best_weights = model.state_dict()
            else:
                state.bad_checks += 1
                if 0 <= self.patience <= state.bad_checks:
                    state.stopped = f"no better validation loss in {state.bad_checks} checks"
        state.history.append(record)
        for callback in self.callbacks:
            if callback(state, model):
                state.stopped = state.stopped or "a callback asked for it"
        if self.checkpoint is not None:
            self.save(self.checkpoint, model, state)

    def _good(self, model: Any, state: TrainState) -> _Good:
        """Where training stands, to come back to."""
        if self.on_nan == "raise":  # only weights are put back
            return _Good(state.step, model.state_dict() if state.best_weights is None else state.best_weights, None, None)
        keep = getattr(self.schedule, "state_dict", None)
        return _Good(state.step, model.state_dict(), model.optimizer.state_dict(), None if keep is None else keep())

    def _diverged(self, model: Any, state: TrainState, loss: float, good: _Good, batches: list[Any]) -> None:
        """Find the first op that gave a number that is not finite, put the last good weights back, and say so; or go back."""
        lr = float(model.optimizer.lr)
        source = ""
        for i, batch in enumerate(batches):
            source = source or first_nonfinite(model, batch, (self.seed, state.step * _STREAMS_PER_STEP) if i == 0 else None)
        model.load_state_dict(good.weights)
        what = "gradient" if math.isnan(loss) and source.startswith("the gradient") else "loss"
        told = f"the training {what} is not finite at step {state.step} (learning rate {lr:g})"
        told += f"; first: {source}" if source else ""
        if good.optimizer is not None and state.rollbacks < _MOST_ROLLBACKS:
            model.optimizer.load_state_dict(good.optimizer)
            if good.schedule is not None:
                self.schedule.load_state_dict(good.schedule)  # type: ignore[union-attr]
            state.step, state.rollbacks = good.step, state.rollbacks + 1
            del state.train_losses[good.step:]
            warnings.warn(f"{told}; training goes on from step {good.step} with half the rate", stacklevel=5)
            return
        raise NonFiniteError(told, value=loss,
                             hint="lower learning_rate, set gradient_clip_val=1.0, or choose a scaler_type; the last "
                                  "good weights were put back", step=state.step, lr=lr, source=source)

    def save(self, path: Any, model: Any, state: TrainState) -> None:
        """Write a checkpoint: weights, best weights, optimizer state and history, in one safetensors file."""
        from safetensors.numpy import save_file

        optimizer = model.optimizer.state_dict()
        arrays = {f"model.{k}": v for k, v in model.state_dict().items()}
        arrays.update((f"best.{k}", v) for k, v in (state.best_weights or {}).items())
        arrays.update((f"optimizer.{k}", v) for k, v in optimizer.items() if isinstance(v, np.ndarray))
        arrays["train_losses"] = np.asarray(state.train_losses, dtype=np.float64)
        schedule: Any = self.schedule
        schedule = schedule.state_dict() if hasattr(schedule, "state_dict") else None
        meta = {"format": _FORMAT, "schedule": schedule, "seed": self.seed, "step": state.step, "best_loss": state.best_loss,
                "best_step": state.best_step, "bad_checks": state.bad_checks, "stopped": state.stopped,
                "rollbacks": state.rollbacks, "history": state.history,
                "optimizer": {k: v for k, v in optimizer.items() if not isinstance(v, np.ndarray)}}
        path = Path(path)
        partial = path.with_name(path.name + ".part")
        try:
            save_file(arrays, str(partial), {"ndiv": json.dumps(meta)})
            partial.replace(path)  # a crash leaves the old checkpoint, never half a new one
        except OSError as cause:
            raise FileError(f"could not write the checkpoint {path}: {cause}", value=str(path),
                            hint="check the folder and the free space") from None

    def load(self, path: Any, model: Any) -> TrainState:
        """Put a checkpoint's weights and optimizer state into ``model``; returns where the run stood."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                meta = json.loads((file.metadata() or {}).get("ndiv", "{}"))
                arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (not a dict)
        except (OSError, SafetensorError, ValueError) as cause:
            raise FileError(f"could not read the checkpoint {path}: {cause}", value=str(path),
                            hint="give a file written by Trainer.save") from None
        if meta.get("format") != _FORMAT:
            raise FileError(f"{path} is not an ndiv checkpoint", value=str(path), hint="give a file written by Trainer.save")
        if meta["seed"] != self.seed:
            raise ConfigError(f"the checkpoint was trained with seed {meta['seed']}, not {self.seed}", value=self.seed,
                              hint="resume with the same random_seed, or start anew")

        def part(prefix: str) -> dict[str, np.ndarray]:
            return {k[len(prefix):]: v for k, v in arrays.items() if k.startswith(prefix)}

        schedule: Any = self.schedule
        if meta.get("schedule") is not None and hasattr(schedule, "load_state_dict"):
            schedule.load_state_dict(meta["schedule"])
        model.load_state_dict(part("model."))
        model.optimizer.load_state_dict({**part("optimizer."), **meta["optimizer"]})
        return TrainState(step=meta["step"], best_loss=meta["best_loss"], best_step=meta["best_step"],
                          bad_checks=meta["bad_checks"], history=meta["history"], stopped=meta["stopped"],
                          rollbacks=meta.get("rollbacks", 0),
                          train_losses=arrays["train_losses"].tolist(), best_weights=part("best.") or None)
