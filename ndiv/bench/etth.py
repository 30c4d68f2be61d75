"""The protocol of long-term forecasting on ETTh1: rows, standardization, windows, errors.

Contract: a month is 30 days of 24 hours. Targets lie in [0, 8640) (train), [8640, 11520) (valid), [11520, 14400) (test);
inputs may look back over a border, targets never do. Values are standardized by mean and population deviation of rows
[0, 8640). Errors are float64 sums over every window (stride 1), step and column, divided once. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import read_matrix
from ..data.store import SeriesStore
from ..errors import ConfigError, FileError, HorizonError, closest

__all__ = ["DATASETS", "Panel", "Protocol", "Score", "load", "panel", "score"]

Forecast = Callable[[np.ndarray], np.ndarray]  # inputs float64 [W, L, n] -> forecasts [W, h, n]


@dataclass(frozen=True)
class Protocol:
    """A data set's columns, the files that it comes in, and the first row after each part.

    >>> DATASETS["ETTh1"].rows("valid"), DATASETS["ETTh1"].count("test", 96)
    ((8640, 11520), 2785)
    """

    name: str
    columns: tuple[str, ...]
    files: tuple[str, ...]
    train: int
    valid: int
    test: int

    def rows(self, part: str) -> tuple[int, int]:
        """First and last + 1 row of the targets of "train", "valid" or "test"."""
        ends = {"train": (0, self.train), "valid": (self.train, self.valid), "test": (self.valid, self.test)}
        if part not in ends:
            raise ConfigError(f"unknown part {part!r}", value=part, hint=closest(part, ends))
        return ends[part]

    def starts(self, part: str, input_size: int, h: int) -> tuple[int, int]:
        """First and last + 1 row at which the inputs of a window begin; `HorizonError` (E0005) when there is none."""
        lo, hi = self.rows(part)
        first, end = max(lo - input_size, 0), hi - h - input_size + 1
        if end <= first:
            raise HorizonError(f"{self.name} has no {part} window of {input_size} + {h} rows", value=(input_size, h),
                               hint="lower --input-size or --h")
        return first, end

    def count(self, part: str, h: int, input_size: int = 1) -> int:
        """Number of windows; for valid and test it does not depend on ``input_size``."""
        first, end = self.starts(part, input_size, h)
        return end - first


DATASETS = {
    "ETTh1": Protocol("ETTh1", ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"), ("ETTh1.csv.gz", "ETTh1.csv"),
                      train=8640, valid=11520, test=14400),
}


@dataclass(frozen=True)
class Panel:
    """Standardized columns ``values`` float64 [rows, n] of one data set, up to the end of its test part."""

    protocol: Protocol
    names: tuple[str, ...]
    values: np.ndarray

    def only(self, name: str) -> Panel:
        """The panel with one of its columns."""
        return replace(self, names=(name,), values=self.values[:, [self.names.index(name)]])

    def past(self) -> SeriesStore:
        """The rows before the test part, one series a column: all that training ever gets."""
        return SeriesStore.from_matrix(self.values[:self.protocol.valid], list(self.names))

    def windows(self, part: str, input_size: int, h: int, size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every window once, in order, at most ``size`` at a time: inputs [W, L, n] and targets [W, h, n], read-only."""
        first, end = self.protocol.starts(part, input_size, h)
        view = np.lib.stride_tricks.sliding_window_view(self.values, input_size + h, axis=0)  # [rows, n, L + h]
        for begin in range(first, end, size):
            block = view[begin:min(begin + size, end)].transpose(0, 2, 1)
            yield block[:, :input_size], block[:, input_size:]


@dataclass(frozen=True)
class Score:
    """Mean squared and mean absolute error over windows x steps x columns."""

    mse: float
    mae: float
    windows: int


def score(forecast: Forecast, data: Panel, part: str, input_size: int, h: int, every: int = 1) -> Score:
    """The errors of a forecast on every window of a part (each ``every``-th of a block of 256), each element counted once.

    Raises `ConfigError` (E0010) when the forecast has the wrong shape.
    """
    squared, absolute, count, windows = [], [], 0, 0
    for block in data.windows(part, input_size, h):
        inputs, targets = (values[::every] for values in block)
        guess = forecast(inputs)
        if guess.shape != targets.shape:
            raise ConfigError(f"the forecast has shape {guess.shape}, the targets {targets.shape}", value=guess.shape)
        error = np.asarray(guess, np.float64) - targets
        squared.append(float(np.sum(error * error)))
        absolute.append(float(np.sum(np.abs(error))))
        count += error.size
        windows += len(error)
    return Score(math.fsum(squared) / count, math.fsum(absolute) / count, windows)


def panel(values: Any, protocol: Protocol) -> Panel:
    """Standardize raw ``values`` [rows, columns] and cut them at the end of the test part.

    Only rows of the training part are looked at for the statistics.
    """
    raw = np.asarray(values, np.float64)[:protocol.test]
    known = raw[:protocol.train]
    return Panel(protocol, protocol.columns, (raw - known.mean(axis=0)) / known.std(axis=0))


def load(dataset: str, path: Any) -> Panel:
    """Read a data set from its file, or from the folder that holds it.

    Raises `ConfigError` (E0010) for an unknown data set, `FileError` (E0006) for a file that is missing or is another.
    """
    known = {n.lower(): n for n in DATASETS}
    if str(dataset).lower() not in known:
        raise ConfigError(f"unknown dataset {dataset!r}", value=dataset, hint=closest(dataset, DATASETS))
    protocol = DATASETS[known[dataset.lower()]]
    file = _find(Path(path), protocol)
    _, values, names = read_matrix(file)
    if tuple(names) != protocol.columns:
        raise FileError(f"{file} is not {protocol.name}: its columns are {', '.join(names[:8])}", value=str(file),
                        hint=f"the columns must be {', '.join(protocol.columns)}, in this order")
    if len(values) < protocol.test:
        raise FileError(f"{file} is not {protocol.name}: it has {len(values)} rows", value=str(file),
                        hint=f"{protocol.test} or more are needed")
    if not np.isfinite(values[:protocol.test]).all():
        raise FileError(f"{file} is not {protocol.name}: it has missing values", value=str(file),
                        hint="the published file has none")
    return panel(values, protocol)


def _find(path: Path, protocol: Protocol) -> Path:
    if path.is_dir():
        for name in protocol.files:
            if (path / name).is_file():
                return path / name
        raise FileError(f"{path} holds neither {' nor '.join(protocol.files)}", value=str(path),
                        hint=f"give the folder with {protocol.files[0]}, or the file itself")
    if not path.is_file():
        raise FileError(f"{path} does not exist", value=str(path), hint=f"give the path of {protocol.files[0]}")
    return path
