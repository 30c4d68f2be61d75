"""The search itself: one model trained with many settings, judged by its validation loss, on Optuna.

Contract: trial k follows from (data, space, seed, the trials before it) alone, so a search that is interrupted and resumed
from its storage tries what an uninterrupted one would have tried; several jobs or a time budget give that up. A trial that
cannot be trained (its loss is not finite, its settings do not go together, its window is longer than the series, memory is
short) is recorded with the reason, and the search goes on.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, HorizonError, NonFiniteError, OutOfMemoryError, ShapeError, closest

from .progress import SearchProgress
from .ranges import Space
from .storage import open_study

__all__ = ["Options", "Search"]

_SURVIVED = (NonFiniteError, ConfigError, HorizonError, ShapeError, OutOfMemoryError, MemoryError)
SAMPLERS = ("random", "tpe")
PRUNERS = ("hyperband", "median")
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Options:
    """How a search goes.

    num_samples   trials altogether, those in the storage included
    time_budget   seconds after which no trial begins and a running one stops at its next validation; None: no limit
    sampler       "tpe", "random", or a sampler of Optuna
    pruner        "median", "hyperband", a pruner of Optuna, or None: every trial is trained to its end
    storage       path of an SQLite file, or a URL or storage of Optuna, that keeps the trials; None: memory
    study_name    name in the storage; None: the model's
    seed          of the sampler
    n_jobs        trials at the same time, in threads
    callbacks     functions (study, trial) called after each trial, as Optuna's
    """

    num_samples: int = 10
    time_budget: float | None = None
    sampler: Any = None
    pruner: Any = "median"
    storage: Any = None
    study_name: str | None = None
    seed: int = 1
    n_jobs: int = 1
    callbacks: Sequence[Callable[[Any, Any], Any]] = field(default=())

    def __post_init__(self) -> None:
        for name, least in (("num_samples", 1), ("n_jobs", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}", value=value)
        if self.time_budget is not None and not self.time_budget > 0:
            raise ConfigError(f"time_budget must be a positive number of seconds, got {self.time_budget!r}",
                              value=self.time_budget)
        for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
            value = getattr(self, name)
            if isinstance(value, str) and value not in known:
                raise ConfigError(f"unknown {name} {value!r}", value=value, hint=closest(value, known))


class Search:
    """Trains a model of class ``cls`` with settings that ``config`` (a `Space` or a function of an Optuna trial) draws.

    fixed       arguments that every trial takes, such as h and loss
    keep_best   judge a trial by the best weights that its validations saw, as ``restore_best`` keeps them; False: by its
                last ones, which is what a training of the same length without validation ends with
    """

    def __init__(self, cls: Any, config: Callable[[Any], dict[str, Any]], fixed: dict[str, Any], options: Options, *,
                 keep_best: bool = False) -> None:
        self.cls, self.config, self.fixed, self.options, self.keep_best = cls, config, fixed, options, keep_best
        self._lock = threading.Lock()

    def run(self, store: SeriesStore, val_size: int, test_size: int = 0, *, verbose: bool | None = None,
            **training: Any) -> Any:
        """The Optuna study after the search; ``training`` goes to the model's ``fit_store``.

        Raises `ConfigError` (E0010) when no trial could be trained, with the first reason, and for a storage that holds
        another search; `FileError` (E0006) for a storage that cannot be opened; `MissingExtraError` without Optuna.
        """
        optuna = need("optuna", "tune")
        if isinstance(self.config, Space):
            self.config = self.config.no_longer_than(int((store.lengths - val_size - test_size).min()) - 1)
        with _quiet(optuna):
            study = open_study(optuna, self, store, val_size)
            bar = SearchProgress(f"{self.fixed.get('alias') or self.cls.__name__} search", self.options, verbose)
            begun = time.monotonic()
            deadline = math.inf if self.options.time_budget is None else begun + self.options.time_budget
            try:
                bar.update(study, ended(study))
                jobs = self.options.n_jobs
                if jobs == 1:
                    self._work(study, store, val_size, test_size, deadline, bar, training)
                else:
                    with ThreadPoolExecutor(jobs) as pool:
                        work = [pool.submit(self._work, study, store, val_size, test_size, deadline, bar, training)
                                for _ in range(jobs)]
                        for one in work:
                            one.result()
            finally:
                bar.close()
            best_trial(study)  # refuses a search without a result
        return study

    # -- one trial -------------------------------------------------------------------------------------------------

    def _work(self, study: Any, store: SeriesStore, val_size: int, test_size: int, deadline: float, bar: SearchProgress,
              training: dict[str, Any]) -> None:
        """Trials one after the other until there are enough or time is up."""
        states = need("optuna", "tune").trial.TrialState
        while time.monotonic() < deadline:
            with self._lock:
                taken = ended(study) + sum(t.state == states.RUNNING for t in study.get_trials(deepcopy=False))
                if taken >= self.options.num_samples:
                    return
                study.sampler = self._sampler(taken)
                trial = study.ask()
            begun = time.monotonic()
            try:
                state, value, reason = self._trial(trial, store, val_size, test_size, deadline, training)
            except BaseException:
                with self._lock:
                    trial.set_user_attr("reason", INTERRUPTED)
                    study.tell(trial, state=states.FAIL)
                raise
            with self._lock:
                trial.set_user_attr("reason", reason)
                trial.set_user_attr("seconds", time.monotonic() - begun)
                study.tell(trial, value, state=getattr(states, state))
                bar.update(study, ended(study))
                for callback in self.options.callbacks:
                    callback(study, study.get_trials(deepcopy=False)[trial.number])

    def _trial(self, trial: Any, store: SeriesStore, val_size: int, test_size: int, deadline: float,
               training: dict[str, Any]) -> tuple[str, float | None, str]:
        """(state, loss or None, why it ended early)."""
        from ndiv.forecast.columns import view

        verdict: list[str] = []

        def watch(state: Any, _model: Any) -> bool:
            loss = state.history[-1]["valid_loss"]
            if math.isfinite(loss):
                trial.report(loss, state.step)
            if state.step < model.arguments["max_steps"]:
                if time.monotonic() >= deadline:
                    verdict.append("the time was up")
                elif trial.should_prune():
                    verdict.append("others were better at this step")
            return bool(verdict)

        try:
            settings = self.config(trial)
            twin = next((t for t in trial.study.get_trials(deepcopy=False)
                         if t.state.name == "COMPLETE" and t.params == trial.params), None)
            if twin is not None:  # training is deterministic
                trial.set_user_attr("steps", twin.user_attrs.get("steps", 0))
                return "COMPLETE", twin.value, f"the settings of trial {twin.number}"
            model = self.cls(**{**settings, **self.fixed})
            model.fit_store(view(store, model), val_size, test_size, verbose=False, callbacks=(watch,), **training)
        except _SURVIVED as error:
            return "FAIL", None, getattr(error, "message", None) or str(error) or type(error).__name__
        losses = [record["valid_loss"] for record in model.history]
        trial.set_user_attr("steps", int(model.history[-1]["step"]) if losses else 0)
        loss = (min(losses) if self.keep_best else losses[-1]) if losses else math.nan
        if not math.isfinite(loss):
            return "FAIL", None, f"the validation loss is {loss}" if losses else "max_steps=0 validates nothing"
        # Optuna takes the last report of a pruned trial for its value.
        return ("PRUNED", None, verdict[0]) if verdict else ("COMPLETE", loss, "")

    def _sampler(self, count: int) -> Any:
        """The sampler of the trial after ``count`` others: fresh ones do not depend on where a search was interrupted."""
        given, samplers = self.options.sampler, need("optuna", "tune").samplers
        if given is not None and not isinstance(given, str):
            return given
        seed = int(np.random.SeedSequence([self.options.seed, count]).generate_state(1)[0])
        if given == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, constant_liar=self.options.n_jobs > 1)

    def pruner(self) -> Any:
        """The pruner of Optuna that the options ask for."""
        given, pruners = self.options.pruner, need("optuna", "tune").pruners
        if given is None:
            return pruners.NopPruner()
        if given == "median":
            return pruners.MedianPruner()
        return pruners.HyperbandPruner() if given == "hyperband" else given

    def again(self, trial: Any) -> dict[str, Any]:
        """The settings of a trial that is over, by its recorded values."""
        fixed = need("optuna", "tune").trial.FixedTrial(trial.params)
        return self.config(fixed)


def ended(study: Any) -> int:
    """Trials that came to an end of their own: those that were interrupted are tried again."""
    return sum(t.state.is_finished() and t.user_attrs.get("reason") != INTERRUPTED for t in study.get_trials(deepcopy=False))


def best_trial(study: Any) -> Any:
    """The trial of the lowest loss: of those trained to their end, else of those that stopped early."""
    trials = study.get_trials(deepcopy=False)
    for name in ("COMPLETE", "PRUNED"):
        found = [t for t in trials if t.state.name == name and t.value is not None and math.isfinite(t.value)]
        if found:
            return min(found, key=lambda t: (t.value, t.number))
    reasons = [t.user_attrs.get("reason", "") for t in trials if t.user_attrs.get("reason", INTERRUPTED) != INTERRUPTED]
    if not reasons:
        raise ConfigError("the search ended before a trial did", value=0, hint="Give it more time.")
    raise ConfigError(f"none of {len(reasons)} trials could be trained; the first: {reasons[0]}", value=len(reasons),
                      hint="Change the ranges of config, or the data.")


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without the line that Optuna writes for each trial; its setting is put back."""
    was = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(was)
