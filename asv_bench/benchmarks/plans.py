"""Plans of each model: time to compile, a training step, the arena beside its bound; steps of several batches, forecasts and
validation, beside the same op by op."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import ndiv
from ndiv.data.store import SeriesStore
from ndiv.models import base, get_model, list_models
from ndiv.program.forward import arrays_of
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


class Forward:
    """What is computed without gradients: of one window, a batch, and a thousand."""

    params = (list_models(), (1024, BATCH, 1), (True, False))
    param_names = ["model", "windows", "planned"]

    def setup(self, name: str, rows: int, planned: bool) -> None:
        self.model = m = get_model(name)(h=H, input_size=L, scaler_type="standard")
        m.fitted = True
        if not planned:
            m.__dict__["_planned"] = self.op_by_op
        self.batch = batch(rows)
        series = np.random.default_rng(0).standard_normal((rows, L + H), dtype=np.float32)
        self.store = SeriesStore.from_arrays_list(list(series))
        if m.MULTIVARIATE:  # many windows of the one series that it is built for
            self.store.ids[:] = 0
            m.series_ids = self.store.ids[:1]
        m.validation_loss([self.batch])
        for _ in range(base._RUNS_BEFORE_PLAN + 1):
            m.forecast(self.batch)
            m.predict_store(self.store)

    def op_by_op(self, name: str, batch: dict[str, np.ndarray], after: int) -> object:
        with ndiv.no_grad():
            return arrays_of(getattr(self.model, name)(batch))

    def time_forecast(self, name: str, rows: int, planned: bool) -> None:
        self.model.forecast(self.batch)

    def time_predict(self, name: str, rows: int, planned: bool) -> None:
        self.model.predict_store(self.store)

    def time_validation(self, name: str, rows: int, planned: bool) -> None:
        self.model.validation_loss([self.batch])


class Several:
    """A training step of several batches."""

    params = (list_models(), (True, False))
    param_names = ["model", "planned"]

    def setup(self, name: str, planned: bool) -> None:
        self.model = m = get_model(name)(h=H, input_size=L, scaler_type="standard", optimizer="AdamW", gradient_clip_val=1.0)
        if not planned:
            m.__dict__["_compiled"] = lambda batches: None
        self.batches = [batch(BATCH) for _ in range(4)]
        m.train_step(self.batches)

    def time_step_of_four_batches(self, name: str, planned: bool) -> None:
        self.model.train_step(self.batches)
