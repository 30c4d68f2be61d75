"""Data: frames, files and arrays in; windows out.

Contract: importing this package imports NumPy and the standard library, nothing else; every name is loaded on first
use, and packages such as pandas or polars only inside the functions that need them.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "store": ["SeriesStore"],
    "events": ["EventWindows", "Events"],
    "disk": ["StoreWriter", "open_store"],
    "windows": ["EpochLoader", "SequentialLoader", "WindowIndex", "WindowLoader", "gather", "stack_series"],
    "augment": ["Jitter", "MagnitudeWarp", "Scaling", "TimeWarp"],
    "scalers": ["SERIES_SCALERS", "WINDOW_SCALERS", "SeriesScaler", "WindowScaler", "window_scaler"],
    "frequency": ["Frequency", "infer_freq"],
    "frames": ["from_frame", "fill_gaps"],
    "rules": ["DataRules"],
    "ahead": ["future_frame_values", "future_times"],
    "output": ["to_frame"],
    "inputs": ["long_frame"],
    "stream": ["stream_table"],
    "validation": ["DataReport", "validate"],
    "readers": ["air_passengers", "read_matrix", "read_table"],
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_WHERE)
