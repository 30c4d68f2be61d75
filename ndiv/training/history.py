"""The course of training as a frame: one row a check, for learning curves.

Contract: columns step (from 1, of all fits that went on), train_loss (mean since the check before), valid_loss (missing without
validation), lr, seconds; losses are in the units in which they were computed: the training loss of scaled windows, the
validation loss in the units of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data._extras import need

__all__ = ["COLUMNS", "history_frame"]

COLUMNS = ("step", "train_loss", "valid_loss", "lr", "seconds")


def history_frame(records: Sequence[dict[str, Any]], library: str = "pandas", first: Sequence[str] = ()) -> Any:
    """A pandas or polars frame of records as `Trainer` keeps them; ``first``: columns that come before the others.

    >>> history_frame([{"step": 5.0, "train_loss": 0.5, "lr": 0.001, "seconds": 0.1}])[["step", "train_loss"]].values.tolist()
    [[5.0, 0.5]]
    """
    empty = float("nan") if library == "pandas" else None
    columns = {name: [r[name] for r in records] for name in first}
    columns["step"] = [int(r["step"]) for r in records]
    columns.update((name, [r.get(name, empty) for r in records]) for name in COLUMNS[1:])
    if library == "polars":
        pl = need("polars", extra="polars")
        kinds = {name: pl.Int64 if name == "step" else pl.Float64 for name in COLUMNS}
        return pl.DataFrame(columns, schema_overrides=kinds)
    return need("pandas").DataFrame(columns).astype(dict.fromkeys(COLUMNS[1:], "float64"))
