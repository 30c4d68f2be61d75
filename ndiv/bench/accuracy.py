"""Trains a model by the protocol of `etth` and scores it once on the test rows.

Contract: `fit` gets a store that ends where the test part begins; validation runs after every epoch, the best weights are
put back. `run` is `fit` and then one pass over the test windows. A model that is not multivariate sees each column as
a series: a batch is ``batch_size`` start positions times the columns. The same seed gives the same bits on one machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.windows import EpochLoader, WindowIndex, stack_series
from ..losses import LOSSES, DistributionLoss, Loss
from ..models import get_model
from ..optim import CosineAnnealingLR, StepLR
from ..training import Trainer
from .etth import Forecast, Panel, score
from .settings import Setting
from .shared import digest

__all__ = ["Fit", "fit", "forecaster", "loaders", "run"]

_VALID_WINDOWS = 32  # start positions in a forward pass without gradients: of 256 BiTCN takes gigabytes


@dataclass
class Fit:
    """A trained model and what its training was like; no test row has been seen."""

    model: Any
    valid_mse: float
    epochs: int
    best_epoch: int
    steps_per_epoch: int
    seconds: float
    history: list[dict[str, float]]


class _Batches:
    """A loader's batches as the model takes them: no masks, since every value is there; stacked when multivariate."""

    def __init__(self, loader: Any, n_series: int, multivariate: bool) -> None:
        self.loader, self.n_series, self.multivariate = loader, n_series, multivariate

    def _prepare(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        plain = {name: batch[name] for name in ("insample_y", "outsample_y")}
        return stack_series(plain, self.n_series) if self.multivariate else plain

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return self._prepare(self.loader.batch(step))

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        return (self._prepare(batch) for batch in self.loader.batches())


def _loss(name: str) -> str | Loss:
    """A loss's name as it is; that of a distribution as its likelihood."""
    return name if name in LOSSES or name == "RPS" else DistributionLoss(name, level=[])


def build(name: str, setting: Setting, n_series: int, h: int, seed: int, variant: str = "paper") -> Any:
    """The untrained model of a setting."""
    cls = get_model(name)
    shape = {"n_series": n_series} if cls.MULTIVARIATE else {}
    return cls(h=h, input_size=setting.input_size, loss=_loss(setting.loss), valid_loss="MSE", random_seed=seed,
               variant=variant, learning_rate=setting.learning_rate, **shape, **setting.model)


def loaders(setting: Setting, data: Panel, h: int, seed: int, multivariate: bool) -> tuple[_Batches, _Batches, int]:
    """Batches to train on, batches to validate on, and how many of the first are an epoch.

    Raises `HorizonError` (E0005) where a part has no window.
    """
    store, protocol, L = data.past(), data.protocol, setting.input_size
    for part in ("train", "valid"):
        protocol.starts(part, L, h)
    train = EpochLoader(WindowIndex(store, L, h, hi=protocol.train), setting.batch_size, seed=seed, aligned=True)
    lo, hi = protocol.rows("valid")
    judged = WindowIndex(store, L, h, setting.valid_every, lo=lo, hi=hi)
    valid = EpochLoader(judged, _VALID_WINDOWS, shuffle=False, aligned=True)
    steps = min(train.steps_per_epoch, setting.steps or train.steps_per_epoch)
    shape = (store.n_series, multivariate)
    return _Batches(train, *shape), _Batches(valid, *shape), steps


def fit(name: str, setting: Setting, data: Panel, h: int, seed: int, *, variant: str = "paper",
        max_epochs: int | None = None, verbose: bool | None = None) -> Fit:
    """Train on the training rows, choose the epoch on the validation rows.

    Raises what the model, the loaders and the trainer raise: `ConfigError` (E0010), `HorizonError` (E0005),
    `NonFiniteError` (E0009).
    """
    store = data.past()
    train, valid, steps = loaders(setting, data, h, seed, get_model(name).MULTIVARIATE)
    model = build(name, setting, store.n_series, h, seed, variant)
    epochs = setting.epochs if max_epochs is None else max_epochs
    falling = CosineAnnealingLR(setting.epochs * steps) if setting.decay is None else StepLR(steps, setting.decay)
    trainer = Trainer(epochs * steps, val_check_steps=steps, patience=setting.patience, seed=seed, name=name,
                      schedule=falling, verbose=verbose)
    begun = time.perf_counter()
    state = trainer.fit(model, train, valid)
    seconds = time.perf_counter() - begun
    model.fitted = True
    return Fit(model, state.best_loss, math.ceil(state.step / steps), math.ceil(state.best_step / steps), steps, seconds,
               state.history)


def forecaster(model: Any) -> Forecast:
    """A model as a function of inputs [W, L, n] that answers [W, h, n]."""
    def forecast(inputs: np.ndarray) -> np.ndarray:
        return np.concatenate([some(inputs[k:k + _VALID_WINDOWS]) for k in range(0, len(inputs), _VALID_WINDOWS)])

    def some(inputs: np.ndarray) -> np.ndarray:
        windows, length, n = inputs.shape
        x = np.asarray(inputs, np.float32)
        if type(model).MULTIVARIATE:
            return model.forecast({"insample_y": np.ascontiguousarray(x)})
        columns = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(windows * n, length, 1)
        found = model.forecast({"insample_y": columns})[..., 0]  # of a distribution the mean
        return found.reshape(windows, n, -1).transpose(0, 2, 1)

    return forecast


def run(name: str, setting: Setting, data: Panel, h: int, seed: int, *, variant: str = "paper",
        max_epochs: int | None = None, verbose: bool | None = None) -> dict[str, Any]:
    """Train, then score on every test window; one JSON-able record."""
    begun = time.perf_counter()
    found = fit(name, setting, data, h, seed, variant=variant, max_epochs=max_epochs, verbose=verbose)
    trained = time.perf_counter()
    test = score(forecaster(found.model), data, "test", setting.input_size, h)
    ended = time.perf_counter()
    return {"model": type(found.model).__name__, "variant": variant, "columns": list(data.names),
            "input_size": setting.input_size, "h": h, "seed": seed, "mse": test.mse, "mae": test.mae,
            "windows": test.windows, "valid_mse": found.valid_mse, "epochs": found.epochs, "best_epoch": found.best_epoch,
            "steps_per_epoch": found.steps_per_epoch, "seconds": ended - begun, "test_seconds": ended - trained,
            "parameters": sum(p.data.size for p in found.model.parameters()), "weights": digest(found.model),
            "setting": setting.record(), "history": found.history}
