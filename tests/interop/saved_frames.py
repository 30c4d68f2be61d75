"""The frames behind the saved folders `saved` and `saved_categories`: what neuralforecast was trained on, and what it was asked
to forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd

H, L, ROWS = 3, 6, 16


def history(rows: int = ROWS) -> pd.DataFrame:
    """Two series with one covariate that is known ahead and one that is not."""
    step = np.arange(rows)
    parts = [pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-31", periods=rows, freq="ME"),
                           "y": 10.0 * k + step + np.cos(step * k), "ahead": np.sin(step / 2) + k, "past": step % 4 * k})
             for k, name in ((1, "a"), (2, "b"))]
    return pd.concat(parts, ignore_index=True)


def static() -> pd.DataFrame:
    return pd.DataFrame({"unique_id": ["a", "b"], "size": [3.0, 7.0]})


def future(rows: int = ROWS) -> pd.DataFrame:
    """The ``H`` rows after those of `history`."""
    return history(rows + H).groupby("unique_id").tail(H)[["unique_id", "ds", "ahead"]].reset_index(drop=True)


def with_categories(rows: int = ROWS) -> pd.DataFrame:
    """`history` with columns of categories."""
    step = np.arange(2 * rows) % rows
    return history(rows).assign(kind=np.array(["sale", "none", "fair"], object)[step * 2 % 3], day=step % 4, open=step % 5 > 0)


def static_categories() -> pd.DataFrame:
    return static().assign(region=["x", "y"])


def future_categories() -> pd.DataFrame:
    """The ``H`` rows after those of `with_categories`, with a category that training has not seen."""
    ahead = with_categories(ROWS + H).groupby("unique_id").tail(H)[["unique_id", "ds", "ahead", "kind"]].reset_index(drop=True)
    ahead.loc[[1, 5], "kind"] = "new"
    return ahead
