"""The hourly series of the M4 competition: reading them, the competition's errors, forecasts without learning.

Contract: one forecast of 48 steps a series, from the end of its training values. sMAPE is in per cent, from 0 to 200. MASE
divides by the mean absolute difference of training values 24 steps apart. The errors of a group of series are plain means
over series; OWA compares these means with those of Naive2. All in float64. `ANCHORS` are known to three digits and check
the harness. Source: Makridakis, Spiliotis, Assimakopoulos, "The M4 Competition", International Journal of Forecasting
36(1), 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import read_table
from ..data.store import SeriesStore
from ..errors import EmptyDataError, FeatureError, FileError, ShapeError

__all__ = ["ANCHORS", "BASELINES", "SEASON", "SERIES", "H", "Interval", "Score", "Task", "baseline_scores", "intervals",
           "is_seasonal", "load", "mase", "naive", "naive2", "score", "seasonal_naive", "smape"]

H, SEASON = 48, 24
SERIES, _LENGTHS = 414, (700, 960)
_FILES = {part: (f"M4-Hourly-{part}.csv.gz", f"M4-Hourly-{part}.csv", f"Hourly-{part}.csv") for part in ("train", "test")}


# -- errors ------------------------------------------------------------------------------------------------------------

def smape(y: Any, forecast: Any) -> np.ndarray:
    """Symmetric mean absolute percentage error of each row, [S, h] -> [S], from 0 to 200; 0 where both are 0.

    >>> smape([[1.0, 2.0]], [[3.0, 2.0]]).tolist()
    [50.0]
    """
    y, forecast = _pair(y, forecast)
    total = np.abs(y) + np.abs(forecast)
    return 200.0 * np.mean(np.abs(y - forecast) / np.where(total > 0, total, 1.0), axis=1)


def mase(y: Any, forecast: Any, train: Sequence[np.ndarray], season: int = SEASON) -> np.ndarray:
    """Mean absolute error of each row over the mean |y[t] - y[t - season]| of its training values, [S].

    >>> mase([[5.0, 5.0]], [[4.0, 3.0]], [np.array([1.0, 2.0, 4.0])], season=1).tolist()
    [1.0]
    """
    y, forecast = _pair(y, forecast)
    if len(train) != len(y):
        raise ShapeError(f"{len(train)} training series for {len(y)} forecasts", value=len(train), hint="give one for each")
    scale = np.array([np.mean(np.abs(np.subtract(t[season:], t[:-season]))) for t in train])
    return np.mean(np.abs(y - forecast), axis=1) / scale


def _pair(y: Any, forecast: Any) -> tuple[np.ndarray, np.ndarray]:
    y, forecast = np.asarray(y, np.float64), np.asarray(forecast, np.float64)
    if y.ndim != 2 or y.shape != forecast.shape:
        raise ShapeError(f"the forecasts have shape {forecast.shape}, the values {y.shape}", value=forecast.shape,
                         hint="both must be [series, steps]")
    return y, forecast


# -- forecasts without learning ----------------------------------------------------------------------------------------

def naive(train: np.ndarray, h: int = H) -> np.ndarray:
    """The last value, h times."""
    return np.full(h, train[-1])


def seasonal_naive(train: np.ndarray, h: int = H, season: int = SEASON) -> np.ndarray:
    """The last season, over and over.

    >>> seasonal_naive(np.array([9.0, 1.0, 2.0]), 3, 2).tolist()
    [1.0, 2.0, 1.0]
    """
    return train[len(train) - season + np.arange(h) % season]


def is_seasonal(train: np.ndarray, season: int = SEASON) -> bool:
    """Whether |r_season| > 1.645 sqrt((1 + 2 sum_{k < season} r_k^2) / n), r the autocorrelations: the competition's test."""
    n = len(train)
    if n < 3 * season:
        return False
    d = train - train.mean()
    total = np.dot(d, d)
    if total == 0:
        return False
    r = np.array([np.dot(d[k:], d[:-k]) for k in range(1, season + 1)]) / total
    return bool(abs(r[-1]) > 1.645 * np.sqrt((1 + 2 * np.dot(r[:-1], r[:-1])) / n))


def naive2(train: np.ndarray, h: int = H, season: int = SEASON) -> np.ndarray:
    """The last value of the deseasonalized series, h times, with the season put back; `naive` where there is no season.

    Classical multiplicative decomposition: a centred moving average of one season, then the mean ratio to it of each phase,
    with mean 1 over the phases.
    """
    if not is_seasonal(train, season):
        return naive(train, h)
    index = _indices(train, season)
    n = len(train)
    return train[-1] / index[(n - 1) % season] * index[(n - season + np.arange(h) % season) % season]


def _indices(train: np.ndarray, season: int) -> np.ndarray:
    """The seasonal index of each phase t % season, [season]."""
    if season % 2:
        weights = np.full(season, 1.0 / season)
    else:  # 2 x season: half a weight at both ends
        weights = np.full(season + 1, 1.0 / season)
        weights[[0, -1]] /= 2
    trend = np.convolve(train, weights, mode="valid")
    first = len(weights) // 2
    ratio = train[first:first + len(trend)] / trend
    phase = np.arange(first, first + len(trend)) % season
    index = np.bincount(phase, ratio, season) / np.bincount(phase, minlength=season)
    found: np.ndarray = index / index.mean()
    return found


BASELINES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"naive": naive, "seasonal naive 24": seasonal_naive,
                                                            "naive2": naive2}
# sMAPE, MASE, OWA on the test values, OWA that of the three digits: for seasonal naive it is 0.62745, unrounded 0.62750
ANCHORS: dict[str, tuple[float, float, float]] = {
    "naive": (43.003, 11.608, 3.593), "seasonal naive 24": (13.912, 1.193, 0.627), "naive2": (18.383, 2.395, 1.0)}
SEASONAL = 413  # series that `is_seasonal` finds among the 414


# -- the task ----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Task:
    """Series to forecast: ``ids``, ``train`` (float64 arrays), and the ``test`` values [S, h] that follow them."""

    ids: tuple[str, ...]
    train: tuple[np.ndarray, ...]
    test: np.ndarray

    def held_out(self) -> Task:
        """The task of forecasting the last h training values from those before: for choosing settings. It has no test value."""
        h = self.test.shape[1]
        return Task(self.ids, tuple(t[:-h] for t in self.train), np.stack([t[-h:] for t in self.train]))

    def store(self) -> SeriesStore:
        """The training values: all that a model gets."""
        return SeriesStore.from_arrays_list(self.train, self.ids)

    @cached_property
    def reference(self) -> tuple[float, float]:
        """Mean sMAPE and MASE of Naive2."""
        guess = np.stack([naive2(t, self.test.shape[1]) for t in self.train])
        return float(smape(self.test, guess).mean()), float(mase(self.test, guess, self.train).mean())


@dataclass(frozen=True)
class Score:
    """Means over series; OWA is relative to Naive2."""

    smape: float
    mase: float
    owa: float


def score(task: Task, forecast: np.ndarray) -> Score:
    """The competition's errors of forecasts [S, h]. Raises `ShapeError` (E0002) when they have another shape."""
    s, m = float(smape(task.test, forecast).mean()), float(mase(task.test, forecast, task.train).mean())
    return Score(s, m, (s / task.reference[0] + m / task.reference[1]) / 2)


@dataclass(frozen=True)
class Interval:
    """A central interval of ``level`` per cent, over all series and steps: per cent of values inside, mean width in units of
    MASE's scale, and the competition's score of intervals (MSIS, smaller is better; Gneiting and Raftery 2007)."""

    level: float
    coverage: float
    width: float
    msis: float


def intervals(task: Task, bounds: dict[float, tuple[np.ndarray, np.ndarray]]) -> list[Interval]:
    """Score intervals: level in per cent -> (lower, upper), each [S, h]. A value on a bound is inside.

    MSIS is the width plus 2 / alpha times the distance of a value that lies outside, alpha = 1 - level / 100, scaled as MASE.
    """
    found = []
    for level, (low, high) in sorted(bounds.items()):
        inside = (task.test >= low) & (task.test <= high)
        width = mase(high, low, task.train)  # the distance of the bounds, scaled
        outside = mase(task.test, np.clip(task.test, low, high), task.train)
        found.append(Interval(level, 100 * float(inside.mean()), float(width.mean()),
                              float((width + 2 / (1 - level / 100) * outside).mean())))
    return found


def baseline_scores(task: Task) -> list[dict[str, Any]]:
    """One record a baseline: its errors, the known ones, whether they agree to the last digit."""
    records = []
    for name, forecast in BASELINES.items():
        found = score(task, np.stack([forecast(t) for t in task.train]))
        s, m = round(found.smape, 3), round(found.mase, 3)
        owa = round((s / ANCHORS["naive2"][0] + m / ANCHORS["naive2"][1]) / 2, 3)
        records.append({"baseline": name, "smape": found.smape, "mase": found.mase, "owa": found.owa,
                        "known": list(ANCHORS[name]), "agrees": (s, m, owa) == ANCHORS[name]})
    return records


# -- reading -----------------------------------------------------------------------------------------------------------

def load(folder: Any) -> Task:
    """Read both files of the competition, plain or gzipped, from the folder that holds them.

    Raises `FileError` (E0006) for files that are missing or hold something else, `MissingExtraError` (E0010) without pandas.
    """
    folder = Path(folder)
    files = {part: _find(folder, names) for part, names in _FILES.items()}
    ids, train = _rows(files["train"])
    test_ids, test = _rows(files["test"])
    if len(ids) != SERIES:
        raise _not_hourly(files["train"], f"it has {len(ids)} series, not {SERIES}")
    odd = next((i for i, t in zip(ids, train, strict=True) if len(t) not in _LENGTHS), None)
    if odd is not None:
        raise _not_hourly(files["train"], f"series {odd} has neither {_LENGTHS[0]} nor {_LENGTHS[1]} values")
    if test_ids != ids:
        raise _not_hourly(files["test"], "its series are not those of the training file")
    odd = next((i for i, t in zip(test_ids, test, strict=True) if len(t) != H), None)
    if odd is not None:
        raise _not_hourly(files["test"], f"series {odd} has not {H} values")
    return Task(ids, train, np.stack(test))


def _find(folder: Path, names: Sequence[str]) -> Path:
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder", value=str(folder), hint=f"give the folder that holds {names[0]}")
    found = next((folder / n for n in names if (folder / n).is_file()), None)
    if found is None:
        raise FileError(f"{folder} holds none of {', '.join(names)}", value=str(folder),
                        hint="the files are those of the M4 data set, train and test")
    return found


def _rows(file: Path) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    try:
        frame = read_table(file, layout="rows")
    except (EmptyDataError, FeatureError) as error:
        raise _not_hourly(file, error.message) from None
    ids, values = frame["unique_id"].to_numpy(), frame["y"].to_numpy(np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise _not_hourly(file, "it has missing values" if len(values) else "it has no values")
    begins = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    return tuple(str(ids[b]) for b in begins), tuple(np.split(values, begins[1:]))


def _not_hourly(file: Path, why: str) -> FileError:
    return FileError(f"{file} is not a file of M4's hourly series: {why}", value=str(file),
                     hint="one series a row, its id first, as in the M4 data set")
