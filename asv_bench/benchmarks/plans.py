"""Plans of each model: time to compile, a step, a forecast from the exported file, and the arena beside its bound."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import ndiv
from ndiv.models import get_model, list_models
from ndiv.program.show import View

H, L, BATCH = 24, 96, 32


def batch(rows: int) -> dict[str, np.ndarray]:
    """Random windows with their targets."""
    y = np.random.default_rng(0).standard_normal((rows, L + H, 1), dtype=np.float32)
    return {"insample_y": y[:, :L].copy(), "outsample_y": y[:, L:].copy()}


class Plans:
    """asv shows one row a model."""

    params = list_models()
    param_names = ["model"]

    def setup(self, name: str) -> None:
        self.model = get_model(name)(h=H, input_size=L)
        self.view = View(self.model, batch(BATCH), train=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.ndiv")
            self.model.export(path)
            self.loaded = ndiv.load(path)
        self.window = np.linspace(0, 1, L, dtype=np.float32)

    def time_compile_a_training_step(self, name: str) -> None:
        View(self.model, batch(BATCH), train=True)

    def time_training_step(self, name: str) -> None:
        self.view.executable(self.view.arrays)

    def time_forecast_of_an_exported_model(self, name: str) -> None:
        self.loaded(self.window)

    def track_arena_over_bound(self, name: str) -> float:
        plan = self.view.executable.plan
        return plan.arena / plan.bound
