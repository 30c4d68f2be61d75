"""Trains one model on all of M4's hourly series and scores its one forecast of each.

Contract: the model sees `Task.store`, the training values, and nothing else; it takes the steps that its setting says,
without early stopping; it forecasts once, at the end of every series. The point forecast is the median where the loss
has one, as the competition's errors are absolute ones. The same seed gives the same bits on one machine.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from ..models.base import BaseModel
from .m4 import Task, intervals, score
from .m4_settings import Setting
from .shared import digest

__all__ = ["build", "run"]


def build(name: str, setting: Setting, h: int, seed: int, max_steps: int | None = None) -> Any:
    """The untrained model of a setting. Raises what its constructor raises: `ConfigError` (E0010)."""
    arguments = dict(setting.arguments) if max_steps is None else {**setting.arguments, "max_steps": max_steps}
    return BaseModel.from_config({"model": name, "h": h, "random_seed": seed, **arguments})


def run(name: str, setting: Setting, task: Task, seed: int, *, max_steps: int | None = None,
        verbose: bool | None = None) -> dict[str, Any]:
    """Train, forecast, score; one JSON-able record. Minutes are those of the processor, so that they do not depend on what
    else it had to do.

    Raises what training raises: `HorizonError` (E0005), `NonFiniteError` (E0009), `ConfigError` (E0010).
    """
    store = task.store()
    model = build(name, setting, task.test.shape[1], seed, max_steps)
    begun = time.process_time()
    model.fit_store(store, verbose=verbose)
    trained = time.process_time()
    columns = model.predict_store(store)  # [S, h, columns]
    ended = time.process_time()
    names = model.output_names
    at = {n: columns[..., k] for k, n in enumerate(names)}
    found = score(task, at["-median"] if "-median" in at else columns[..., 0])
    levels = [float(n.removeprefix("-lo-")) for n in names if n.startswith("-lo-")]
    bounds = {level: (at[f"-lo-{level:g}"], at[f"-hi-{level:g}"]) for level in levels}
    return {"model": name, "seed": seed, **asdict(found), "intervals": [asdict(i) for i in intervals(task, bounds)],
            "steps": len(model.train_trajectories), "train_loss": float(np.mean(model.train_trajectories[-100:])),
            "minutes": (ended - begun) / 60, "forecast_minutes": (ended - trained) / 60,
            "parameters": sum(p.data.size for p in model.parameters()), "weights": digest(model),
            "settings": setting.text(), "setting": setting.record()}
