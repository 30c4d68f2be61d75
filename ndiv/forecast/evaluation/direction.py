"""Whether a forecast changes in the direction in which the series changes.

Contract: the change from one step to the next is compared by its sign (up, none, down). The first step's change is that from
the last known value before the forecast, which only a history can tell; without one it does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndiv.data._extras import need

if TYPE_CHECKING:
    from .one import Call

__all__ = ["directional_accuracy"]


def directional_accuracy(frame: Any, columns: list[str], call: Call) -> Any:
    """1 where the signs agree, 0 where they do not, null where a value is missing: the frame, which is sorted and has its
    column "step", with the forecasts replaced by that."""
    nw = need("narwhals")
    keys = [call.id_col, *([call.cutoff_col] if call.cutoff_col in frame.columns else [])]
    frame = frame.with_columns(nw.col(call.target_col).cast(nw.Float64).alias("_y"))
    frame = frame.with_columns(nw.col("_y").shift(1).over(*keys).alias("_before"),
                               *(nw.col(c).shift(1).over(*keys).alias(f"_{k}") for k, c in enumerate(columns)))
    if call.history is not None:
        last = _last_known(frame, keys, call)
        first = nw.col("step") == 1
        frame = frame.join(last, on=keys, how="left").with_columns(
            nw.when(first).then(nw.col("_last")).otherwise(nw.col(name)).alias(name)
            for name in ["_before", *(f"_{k}" for k in range(len(columns)))])
    change = _sign(nw.col("_y") - nw.col("_before"))
    return frame.with_columns((change == _sign(nw.col(c) - nw.col(f"_{k}"))).cast(nw.Float64).alias(c)
                              for k, c in enumerate(columns)).with_columns(
        nw.when(~(nw.col("_y") - nw.col("_before")).is_null() & ~nw.col(f"_{k}").is_null()).then(nw.col(c)).alias(c)
        for k, c in enumerate(columns))


def _sign(change: Any) -> Any:
    return (change > 0).cast(need("narwhals").Int8) - (change < 0).cast(need("narwhals").Int8)


def _last_known(frame: Any, keys: list[str], call: Call) -> Any:
    """keys and ``_last``: the last value of the history up to the cutoff, or before the first row where there is none."""
    nw = need("narwhals")
    begins = frame.group_by(*keys).agg(nw.col(call.time_col).min().alias("_begin"))
    y = nw.col(call.target_col).cast(nw.Float64)
    past = call.history.select(call.id_col, nw.col(call.time_col).alias("_when"), y.alias("_last"))
    past = past.filter(~(nw.col("_last").is_null() | nw.col("_last").is_nan()))
    reach = nw.col("_when") < nw.col("_begin")
    if call.cutoff_col in keys:
        reach = reach & (nw.col("_when") <= nw.col(call.cutoff_col))
    joined = begins.join(past, on=call.id_col, how="inner").filter(reach)
    return joined.sort(*keys, "_when").unique(subset=keys, keep="last", maintain_order=True).select(*keys, "_last")
