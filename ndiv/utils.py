"""Sample data and small settings, under the names that neuralforecast's users type.

Contract: importing this module imports NumPy at most; the frames are built on first use and need pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.readers import air_passengers
from ndiv.errors import ConfigError, closest

if TYPE_CHECKING:
    import pandas as pd

    AirPassengersDF: pd.DataFrame
    AirPassengersPanel: pd.DataFrame
    AirPassengersStatic: pd.DataFrame

__all__ = ["AirPassengersDF", "AirPassengersPanel", "AirPassengersStatic", "PredictionIntervals", "generate_series"]

CONFORMAL_METHODS = ("conformal_distribution", "conformal_error")


@dataclass(frozen=True)
class PredictionIntervals:
    """How to calibrate conformal intervals: ``n_windows`` backtest windows, ``step_size`` apart.

    ``method``: "conformal_distribution" (quantiles of forecast plus and minus past errors) or "conformal_error"
    (quantiles of the absolute errors). Raises `ConfigError` (E0010).

    >>> PredictionIntervals(n_windows=3).n_windows
    3
    """

    n_windows: int = 2
    method: str = "conformal_distribution"
    step_size: int = 1

    def __post_init__(self) -> None:
        for name, least in (("n_windows", 2), ("step_size", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}", value=value)
        if self.method not in CONFORMAL_METHODS:
            raise ConfigError(f"unknown method {self.method!r}", value=self.method,
                              hint=closest(self.method, CONFORMAL_METHODS))


def generate_series(n_series: int, freq: str = "D", min_length: int = 50, max_length: int = 500,
                    n_static_features: int = 0, equal_ends: bool = False, engine: str = "pandas", seed: int = 0) -> Any:
    """Seasonal series of random length as a long frame (unique_id, ds, y), made by utilsforecast.

    ``engine``: "pandas" or "polars". The global NumPy generator is not touched.

    >>> sorted(generate_series(2, min_length=5, max_length=9)["unique_id"].unique().tolist())
    [0, 1]
    """
    if engine not in ("pandas", "polars"):
        raise ConfigError(f"unknown engine {engine!r}", value=engine, hint=closest(engine, ["pandas", "polars"]))
    return need("utilsforecast.data").generate_series(
        n_series, freq=freq, min_length=min_length, max_length=max_length, n_static_features=n_static_features,
        equal_ends=equal_ends, engine=engine, seed=seed)


def _single() -> Any:
    times, values = air_passengers()
    frame = {"unique_id": np.ones(len(values)), "ds": times.astype("datetime64[ns]"), "y": values}
    return need("pandas").DataFrame(frame)


def _panel() -> Any:
    """Airline2 is Airline1 plus 300; ``trend`` counts on through both, ``y_[lag12]`` is y where no lag exists."""
    times, values = air_passengers()
    y = np.stack([values, values + 300])
    lag = np.concatenate([y[:, :12], y[:, :-12]], axis=1)
    return need("pandas").DataFrame({
        "unique_id": np.repeat(np.array(["Airline1", "Airline2"], object), len(values)),
        "ds": np.tile(times.astype("datetime64[ns]"), 2), "y": y.reshape(-1), "trend": np.arange(y.size),
        "y_[lag12]": lag.reshape(-1)})


def _static() -> Any:
    return need("pandas").DataFrame({"unique_id": ["Airline1", "Airline2"], "airline1": [0, 1], "airline2": [1, 0]})


_FRAMES = {"AirPassengersDF": _single, "AirPassengersPanel": _panel, "AirPassengersStatic": _static}


def __getattr__(name: str) -> Any:
    if name not in _FRAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _FRAMES[name]()
    globals()[name] = value
    return value
