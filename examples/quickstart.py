"""Two models, two series, two years ahead: fit, forecast, backtest, evaluate, plot, save, load."""

import tempfile
from pathlib import Path

from ndiv import NeuralForecast, evaluate
from ndiv.models import NHITS, DLinear
from ndiv.plot import plot_forecast
from ndiv.utils import AirPassengersPanel

series = AirPassengersPanel[["unique_id", "ds", "y"]]  # polars frames and paths of CSV or Parquet files do as well
last = series.groupby("unique_id").tail(24)
history = series.drop(index=last.index)

common = {"h": 24, "input_size": 48, "scaler_type": "robust", "windows_batch_size": 64}
models = [NHITS(**common, max_steps=200, mlp_units=[[128, 128]] * 3), DLinear(**common, max_steps=500, learning_rate=1e-3)]

nf = NeuralForecast(models, freq="ME")
nf.fit(history)
forecasts = nf.predict()
print(forecasts.head())

beside = last.merge(forecasts, on=["unique_id", "ds"])
print(evaluate(beside, metrics=["mae", "rmse", "mase"], train_df=history, seasonality=12))

folder = Path(tempfile.mkdtemp())
plot_forecast(history, forecasts, last, folder / "forecasts.png", y_label="passengers (thousands)")
nf.save(folder / "model")
assert NeuralForecast.load(folder / "model").predict().equals(forecasts)
print(f"plot and models are in {folder}")

windows = nf.cross_validation(history, n_windows=2, step_size=12)
print(evaluate(windows, metrics="mae", agg_fn="mean"))
