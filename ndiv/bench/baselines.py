"""Forecasts without learning, and their known errors on ETTh1: what checks the harness before any model is trained.

Contract: a baseline takes inputs [W, L, n] and h and returns [W, h, n]. `ANCHORS` holds (MSE, MAE) over all test windows
to four digits, by (columns, baseline, h).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .etth import Panel, score

__all__ = ["ANCHORS", "BASELINES", "baseline_scores", "repeat_last", "seasonal_naive"]


def repeat_last(inputs: np.ndarray, h: int) -> np.ndarray:
    """The last value, h times.

    >>> repeat_last(np.array([[[1.0], [2.0]]]), 3)[0, :, 0].tolist()
    [2.0, 2.0, 2.0]
    """
    return np.repeat(inputs[:, -1:], h, axis=1)


def seasonal_naive(inputs: np.ndarray, h: int, season: int = 24) -> np.ndarray:
    """The last season, over and over.

    >>> seasonal_naive(np.arange(4.0).reshape(1, 4, 1), 3, season=2)[0, :, 0].tolist()
    [2.0, 3.0, 2.0]
    """
    return inputs[:, inputs.shape[1] - season + np.arange(h) % season]


BASELINES: dict[str, tuple[Any, int]] = {"repeat last": (repeat_last, 1), "seasonal naive 24": (seasonal_naive, 24)}


def _table(columns: str, name: str, *pairs: tuple[float, float]) -> dict[tuple[str, str, int], tuple[float, float]]:
    return {(columns, name, h): pair for h, pair in zip((96, 192, 336, 720), pairs, strict=True)}


ANCHORS: dict[tuple[str, str, int], tuple[float, float]] = {
    **_table("all", "repeat last", (1.2944, 0.7132), (1.3249, 0.7331), (1.3299, 0.7460), (1.3351, 0.7550)),
    **_table("all", "seasonal naive 24", (0.5122, 0.4333), (0.5808, 0.4692), (0.6499, 0.5008), (0.6554, 0.5141)),
    **_table("OT", "repeat last", (0.0693, 0.2033), (0.0920, 0.2357), (0.1133, 0.2652), (0.1292, 0.2834)),
    **_table("OT", "seasonal naive 24", (0.0715, 0.2105), (0.0916, 0.2368), (0.1108, 0.2634), (0.1252, 0.2796)),
}


def baseline_scores(data: Panel, h: int) -> list[dict[str, Any]]:
    """One record a baseline: its errors on every test window, and the known ones where there are some."""
    columns = "OT" if data.names == ("OT",) else "all"
    records = []
    for name, (forecast, input_size) in BASELINES.items():
        found = score(partial(forecast, h=h), data, "test", input_size, h)
        known = ANCHORS.get((columns, name, h))
        records.append({"baseline": name, "columns": columns, "h": h, "mse": found.mse, "mae": found.mae,
                        "windows": found.windows, "known": None if known is None else list(known),
                        "agrees": None if known is None else (round(found.mse, 4), round(found.mae, 4)) == known})
    return records
