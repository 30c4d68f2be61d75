"""One training step and one forecast of each model: batch 32, 96 steps of input, 24 ahead; and peak memory."""

from __future__ import annotations

import numpy as np

import ndiv.models
from ndiv.models import get_model, list_models

H, L, BATCH = 24, 96, 32


def batch(rows: int, columns: int = 1) -> dict[str, np.ndarray]:
    """A training batch of random values."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal((rows, L + H, columns), dtype=np.float32)
    return {"insample_y": y[:, :L], "insample_mask": np.ones_like(y[:, :L]),
            "outsample_y": y[:, L:], "outsample_mask": np.ones_like(y[:, L:])}


class Model:
    """asv shows one row a model."""

    params = list_models()
    param_names = ["model"]

    def setup(self, name: str) -> None:
        multivariate = ndiv.models.capabilities(name)["multivariate"]
        self.model = get_model(name)(h=H, input_size=L, **({"n_series": 7} if multivariate else {}))
        columns = 7 if multivariate else 1
        self.batch, self.one = batch(BATCH, columns), batch(1, columns)
        self.model.train_step(self.batch)

    def time_train_step(self, name: str) -> None:
        self.model.train_step(self.batch)

    def time_forecast_of_one(self, name: str) -> None:
        self.model.forecast(self.one)

    def peakmem_ten_train_steps(self, name: str) -> None:
        for _ in range(10):
            self.model.train_step(self.batch)


class Fit:
    """AirPassengers, end to end: frame in, trained model out."""

    timeout = 120

    def setup(self) -> None:
        from ndiv.utils import AirPassengersDF

        self.df = AirPassengersDF

    def _fit(self) -> None:
        nf = ndiv.NeuralForecast(models=[ndiv.models.NLinear(h=12, input_size=24, max_steps=20)], freq="ME")
        nf.fit(self.df)
        nf.predict()

    def time_fit_and_predict(self) -> None:
        self._fit()

    def peakmem_fit_and_predict(self) -> None:
        self._fit()
