"""Arrays out, as the kind of frame that came in.

Contract: `to_frame` restores library, column names, dates and time zones from the ``origin`` of a `SeriesStore`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.errors import ConfigError, closest

from ._extras import need
from .tables import Table

__all__ = ["to_frame"]


def to_frame(ids: np.ndarray, times: np.ndarray, columns: dict[str, np.ndarray], like: Any = "pandas", *,
             id_col: str = "unique_id", time_col: str = "ds") -> Any:
    """A long frame of forecasts, in the library that the input had.

    Arguments: ``ids`` [S], ``times`` [S, h], each column [S, h] (or all flat [N]); ``like``: "pandas", "polars", a
    frame, or the ``origin`` of a `SeriesStore`, which also restores column names, dates and time zones.

    >>> to_frame(np.array(["a"]), np.array([[3, 4]]), {"NHITS": np.array([[0.5, 0.25]])})["ds"].tolist()
    [3, 4]
    """
    origin = like if isinstance(like, dict) else {}
    library = origin.get("library") or (like if isinstance(like, str) else Table(like, "like").library)
    if library not in ("pandas", "polars"):
        raise ConfigError(f"unknown frame library {library!r}", value=library,
                          hint=closest(library, ["pandas", "polars"]))
    id_col, time_col = origin.get("id_col", id_col), origin.get("time_col", time_col)
    clock = np.asarray(times)
    names = np.asarray(ids) if clock.ndim == 1 else np.repeat(np.asarray(ids), clock.shape[1])
    flat = {id_col: names, time_col: clock.reshape(-1), **{k: np.asarray(v).reshape(-1) for k, v in columns.items()}}
    wrong = [k for k, v in flat.items() if len(v) != len(flat[time_col])]
    if wrong:
        raise ConfigError(f"columns {wrong} do not have {len(flat[time_col])} values", value=wrong)
    zone = origin.get("time_zone")
    if library == "polars":
        pl = need("polars", extra="polars")
        flat[id_col] = names.tolist() if names.dtype.kind in "OUT" else names
        frame = pl.DataFrame(flat)
        if origin.get("time_type") == "date":
            frame = frame.with_columns(pl.col(time_col).cast(pl.Date))
        elif origin.get("time_type") == "int" and hasattr(pl, origin.get("time_dtype", "")):
            frame = frame.with_columns(pl.col(time_col).cast(getattr(pl, origin["time_dtype"])))
        elif zone:
            frame = frame.with_columns(pl.col(time_col).dt.replace_time_zone("UTC").dt.convert_time_zone(zone))
        return frame
    pd = need("pandas")
    flat[id_col] = names.tolist() if names.dtype.kind in "OUT" else names
    frame = pd.DataFrame(flat)
    if zone:
        frame[time_col] = frame[time_col].dt.tz_localize("UTC").dt.tz_convert(zone)
    return frame
