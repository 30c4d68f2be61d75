"""Columns made of times and of the target: for `NeuralForecast(features=[...])`, or on frames alone.

Contract: classes (`Calendar`, `Fourier`, `Trend`, `Lags`, `Rolling`, `Expanding`, `Holidays`) describe features and are
given to a forecaster, which computes them for the past and, where they are known, for the future; functions of the same
names in lower case add the columns to a frame. No value depends on a target that is later than its own time. Names are
imported when they are used; importing this package imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .cycles import Fourier as Fourier
    from .cycles import Trend as Trend
    from .dates import Calendar as Calendar
    from .days_off import Holidays as Holidays
    from .history import Expanding as Expanding
    from .history import Lags as Lags
    from .history import Rolling as Rolling
    from .on_frames import calendar as calendar
    from .on_frames import expanding as expanding
    from .on_frames import fourier as fourier
    from .on_frames import holidays as holidays
    from .on_frames import lags as lags
    from .on_frames import make as make
    from .on_frames import rolling as rolling
    from .on_frames import trend as trend
    from .sets import FeatureSet as FeatureSet
    from .sets import available as available

_HOME = {"Calendar": "dates", "Fourier": "cycles", "Trend": "cycles", "Lags": "history", "Rolling": "history",
         "Expanding": "history", "Holidays": "days_off", "FeatureSet": "sets", "available": "sets",
         **dict.fromkeys(("calendar", "fourier", "trend", "lags", "rolling", "expanding", "holidays", "make"), "on_frames")}

__all__ = ["Calendar", "Expanding", "FeatureSet", "Fourier", "Holidays", "Lags", "Rolling", "Trend", "available", "calendar",
           "expanding", "fourier", "holidays", "lags", "make", "rolling", "trend"]

__getattr__, __dir__ = lazy(__name__, _HOME)
