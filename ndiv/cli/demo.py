"""``ndiv demo``: two models on the airline passengers of Box and Jenkins, beside the seasonal naive forecast.

Contract: needs NumPy alone (matplotlib for the plot, and says so where it is missing); the seed is fixed. The settings
of both models were chosen on forecasts of years before the last, which the demo forecasts; see `SETTINGS`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

EXAMPLE = "ndiv demo --out passengers.png"

H, SEASON = 12, 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="ndiv_demo.png", metavar="FILE", help="plot to write (default ndiv_demo.png)")
    parser.add_argument("--no-plot", action="store_true", help="write no plot")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps of each model (default: as chosen by validation)")
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
    from ndiv.models import get_model

    from ._io import table

    times, values = air_passengers()
    past, actual = values[:-H], values[-H:]
    store = SeriesStore.from_arrays_list([past], ids=["AirPassengers"])
    print(f"AirPassengers: {len(values)} months; training on the first {len(past)}, forecasting the last {H}")
    forecasts: dict[str, np.ndarray] = {}
    for name, settings in SETTINGS.items():
        options: dict[str, Any] = {**settings, "random_seed": args.seed}
        if args.steps is not None:
            options["max_steps"] = args.steps
        begun = time.perf_counter()
        model = get_model(name)(h=H, **options).fit_store(store)
        forecasts[name] = model.predict_store(store)[0, :, 0]
        print(f"{name}: {options['max_steps']} steps in {time.perf_counter() - begun:.1f} s")
    forecasts["seasonal naive"] = past[-SEASON:][:H]

    months = [str(t)[:7] for t in times[-H:]]
    rows = [[m, f"{a:.0f}", *(f"{f[k]:.1f}" for f in forecasts.values())] for k, (m, a) in enumerate(zip(months, actual,
                                                                                                      strict=True))]
    print("\n" + table(["month", "actual", *forecasts], rows))
    scores = {name: errors(actual, f) for name, f in forecasts.items()}
    rows = [[name, f"{mae:.2f}", f"{rmse:.2f}", f"{mape:.2f}%"] for name, (mae, rmse, mape) in scores.items()]
    print("\n" + table(["error", "MAE", "RMSE", "MAPE"], rows))
    if not args.no_plot:
        _plot(args.out, times, values, forecasts)


def _plot(path: str, times: np.ndarray, values: np.ndarray, forecasts: dict[str, np.ndarray]) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print('\nno plot: matplotlib is not installed (pip install "ndiv[plot]")')
        return
    from ndiv.plot import plot_forecast

    def long(part: slice, **columns: np.ndarray) -> dict[str, Any]:
        return {"unique_id": ["AirPassengers"] * len(times[part]), "month": times[part], **columns}

    past, last = slice(None, -H), slice(-H, None)
    plot_forecast(long(past, y=values[past]), long(last, **forecasts), long(last, y=values[last]), path, time_col="month",
                  y_label="passengers (thousands)", title="AirPassengers: the last twelve months")
    print(f"\nplot written to {path}")
