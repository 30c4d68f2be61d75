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

__all__ = ["AirPassengersDF", "AirPassengersPanel", "AirPassengersStatic", "PredictionIntervals",
           "augment_calendar_df", "generate_series"]

CONFORMAL_METHODS = ("conformal_distribution", "conformal_error", "cqr")
SCORES = ("per_series", "pooled")


@dataclass(frozen=True)
class PredictionIntervals:
    """How to calibrate conformal intervals: ``n_windows`` windows, ``step_size`` apart, forecast and compared with what came.

    method   "conformal_distribution": quantiles of forecast minus and plus past absolute errors; "conformal_error": forecast
             minus and plus the upper quantile of past absolute errors (both are neuralforecast's, for point losses);
             "cqr": bounds of a quantile or distribution loss, moved by what past values lay beyond them (Romano, Patterson,
             Candes 2019); of a point loss, forecast minus and plus a quantile of absolute errors. Only "cqr" corrects for
             the number of scores
    scores   "per_series": each series by its own scores; "pooled": by those of all series, in units of the mean absolute
             error that each had in its other windows, so that few windows are enough
    by_step  scores of each step of the horizon by themselves; False: of all steps together, which are more, and less alike

    Raises `ConfigError` (E0010).

    >>> PredictionIntervals(n_windows=3).n_windows
    3
    """

    n_windows: int = 2
    method: str = "conformal_distribution"
    step_size: int = 1
    scores: str = "per_series"
    by_step: bool = True

    def __post_init__(self) -> None:
        for name, least in (("n_windows", 2), ("step_size", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}", value=value)
        for name, valid in (("method", CONFORMAL_METHODS), ("scores", SCORES)):
            if getattr(self, name) not in valid:
                value = getattr(self, name)
                raise ConfigError(f"unknown {name} {value!r}", value=value, hint=closest(value, valid))
        if not isinstance(self.by_step, bool):
            raise ConfigError(f"by_step must be True or False, got {self.by_step!r}", value=self.by_step)


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


# column -> part of the date, its first value, and the range that becomes 1
_PARTS = {"minutesecond": ("second", 0, 59), "hourminute": ("minute", 0, 59), "dayhour": ("hour", 0, 23),
          "weekday": ("dayofweek", 0, 6), "monthday": ("day", 1, 30), "yearday": ("dayofyear", 1, 365),
          "month": ("month", 1, 11), "yearweek": ("week", 1, 52)}
_DAY = ["weekday", "monthday", "yearday"]
_COLUMNS = {"Q": ["month"], "M": ["month"], "MS": ["month"], "W": ["monthday", "yearweek"], "D": _DAY, "B": _DAY,
            "H": ["dayhour", *_DAY], "T": ["hourminute", "dayhour", *_DAY],
            "S": ["minutesecond", "hourminute", "dayhour", *_DAY]}
_SPELLINGS = {"h": "H", "min": "T", "s": "S", "ME": "M", "QE": "Q", "QS": "Q"}


def augment_calendar_df(df: Any, freq: str = "H") -> tuple[Any, list[str]]:
    """(the frame with calendar columns in [-0.5, 0.5], their names), as neuralforecast's function of this name gives them.

    ``df``: pandas or polars with a column ``ds``; ``freq``: "Q", "M", "MS", "W", "D", "B", "H", "T", "S" or pandas' newer
    names of them. Columns: month; monthday and yearweek for weeks; weekday, monthday, yearday for days; with dayhour,
    hourminute and minutesecond for shorter steps. `ndiv.features.calendar` has more, and `NeuralForecast(features="auto")`
    needs no columns.

    Raises `ConfigError` (E0010) for another freq, `DataError` (E0011) for times that are no dates.

    >>> augmented, names = augment_calendar_df(AirPassengersDF, "M")
    >>> names, augmented["month"].round(3).tolist()[:2]
    (['month'], [-0.5, -0.409])
    """
    from ndiv.features import Calendar
    from ndiv.features.on_frames import values_of, with_columns

    kind = _SPELLINGS.get(freq, freq)
    if kind not in _COLUMNS:
        raise ConfigError(f"augment_calendar_df knows no columns for freq={freq!r}", value=freq,
                          hint=closest(freq, [*_COLUMNS, *_SPELLINGS]))
    names = _COLUMNS[kind]
    values = values_of(df, Calendar([_PARTS[n][0] for n in names], "number"))
    return with_columns(df, {n: (values[:, k] - _PARTS[n][1]) / _PARTS[n][2] - 0.5 for k, n in enumerate(names)}), names


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
