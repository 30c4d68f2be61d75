"""``ndiv demo``: two models on the airline passengers of Box and Jenkins, beside the seasonal naive forecast.

Contract: needs NumPy alone (matplotlib for the plot, and says so where it is missing); the seed is fixed. The settings
of both models were chosen on forecasts of the years before the last one, which the demo forecasts; see `SETTINGS`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

EXAMPLE = "ndiv demo --out passengers.png"

H, SEASON = 12, 12

# The best of 21 combinations by mean absolute error over forecasts of four windows that end before the last year, with
# three seeds each (examples/choose_settings.py prints them all).
SETTINGS: dict[str, dict[str, Any]] = {
    "NHITS": {"input_size": 24, "scaler_type": "robust", "learning_rate": 3e-3, "max_steps": 100,
              "mlp_units": [[128, 128]] * 3, "windows_batch_size": 64},
    "DLinear": {"input_size": 24, "scaler_type": "standard", "learning_rate": 1e-3, "max_steps": 1000,
                "windows_batch_size": 64},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="ndiv_demo.png", metavar="FILE", help="plot to write (default ndiv_demo.png)")
    parser.add_argument("--no-plot", action="store_true", help="write no plot")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps of each model (default: as chosen on the past)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed (default 1)")


def errors(actual: np.ndarray, forecast: np.ndarray) -> tuple[float, float, float]:
    """(MAE, RMSE, MAPE in percent).

    >>> errors(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    (1.0, 1.4142135623730951, 50.0)
    """
    miss = forecast - actual
    return float(np.abs(miss).mean()), float(np.sqrt((miss ** 2).mean())), float(np.abs(miss / actual).mean() * 100)


def run(args: argparse.Namespace) -> None:
    from ndiv.data import SeriesStore, air_passengers

    from ._io import table

    plot = not args.no_plot and _can_plot(args.out)
    models = _models(args.steps, args.seed)
    times, values = air_passengers()
    past, actual = values[:-H], values[-H:]
    store = SeriesStore.from_arrays_list([past], ids=["AirPassengers"])
    print(f"AirPassengers: {len(values)} months; training on the first {len(past)}, forecasting the last {H}")
    forecasts: dict[str, np.ndarray] = {}
    for name, model in models.items():
        begun = time.perf_counter()
        forecasts[name] = model.fit_store(store).predict_store(store)[0, :, 0]
        print(f"{name}: trained in {time.perf_counter() - begun:.1f} s")
    forecasts["seasonal naive"] = past[-SEASON:][:H]

    months = [str(t)[:7] for t in times[-H:]]
    rows = [[m, f"{a:.0f}", *(f"{f[k]:.1f}" for f in forecasts.values())] for k, (m, a) in enumerate(zip(months, actual,
                                                                                                      strict=True))]
    print("\n" + table(["month", "actual", *forecasts], rows))
    scores = {name: errors(actual, f) for name, f in forecasts.items()}
    rows = [[name, f"{mae:.2f}", f"{rmse:.2f}", f"{mape:.2f}%"] for name, (mae, rmse, mape) in scores.items()]
    print("\n" + table(["error", "MAE", "RMSE", "MAPE"], rows))
    if plot:
        _plot(args.out, times, values, forecasts)
    elif not args.no_plot:
        print('\nno plot: matplotlib is not installed (pip install "ndiv[plot]")')


def _models(steps: int | None, seed: int) -> dict[str, Any]:
    from ndiv.models import get_model

    changes = {} if steps is None else {"max_steps": steps}
    return {name: get_model(name)(**{"h": H, "random_seed": seed, **options, **changes}) for name, options in SETTINGS.items()}


def _can_plot(path: str) -> bool:
    """Whether matplotlib is here; a path that cannot be written is refused now, not after training."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    from ndiv.plot import check_path

    check_path(path)
    return True


def _plot(path: str, times: np.ndarray, values: np.ndarray, forecasts: dict[str, np.ndarray]) -> None:
    from ndiv.plot import plot_forecast

    months = times.astype("datetime64[M]").astype("datetime64[D]")  # their first days, where the axis has its ticks

    def long(part: slice, **columns: np.ndarray) -> dict[str, Any]:
        return {"unique_id": ["AirPassengers"] * len(times[part]), "month": months[part], **columns}

    past, last = slice(None, -H), slice(-H, None)
    plot_forecast(long(past, y=values[past]), long(last, **forecasts), long(last, y=values[last]), path, time_col="month",
                  max_history=4 * H, y_label="passengers (thousands)", title="AirPassengers: the last twelve months")
    print(f"\nplot written to {path}")
