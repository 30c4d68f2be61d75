"""pandas and polars long frames in, `SeriesStore` out, and forecasts back as the frame that came in.

Contract: a frame that `from_frame` accepts has unique, gap-free, finite, sorted series; one it refuses gets a coded
error that names the first culprits (id, time, row number counted from 0) and the way out. NaN or null in the target
is a missing value and no error. Columns are read in `tables`, values checked in `checks`, rows sorted and repaired in
`assemble`; what lies ahead is in `ahead`, the way back in `output`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.errors import EmptyDataError, FeatureError

from ._extras import need
from .ahead import future_frame_values, future_times
from .assemble import Rows, Source, assemble
from .categories import codes_of, ordered
from .checks import FLOAT_LIMIT, covariate, refuse_values
from .frequency import Frequency
from .output import to_frame
from .rules import DataRules
from .statics import static_table, statics
from .store import SeriesStore
from .tables import Table, categories_in, numbers, read_ids, read_times, with_index
from .weights import check_weights

__all__ = ["fill_gaps", "from_frame", "future_frame_values", "future_times", "read_frame", "store_of", "to_frame"]

ONLY_SERIES = "series_1"  # the id given to a frame that has no id column
AS_THEY_ARE = DataRules()  # nothing is repaired


def from_frame(df: Any, freq: Any = None, *, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
               hist_exog: Sequence[str] = (), futr_exog: Sequence[str] = (), stat_exog: Sequence[str] = (),
               static_df: Any = None, cat_exog: Sequence[str] = (), rules: DataRules = AS_THEY_ARE,
               weight_col: str | None = None) -> SeriesStore:
    """A checked `SeriesStore` from a long frame: one row per series and time.

    Arguments: ``df``, pandas or polars (or a dict of columns), rows in any order; without an id column all rows are one
    series, named "series_1". ``freq``: a pandas alias, a polars duration, a whole number, or None to infer it; it is
    always verified against the data. ``hist_exog``, ``futr_exog``: columns of ``df``; ``stat_exog``: columns of
    ``static_df``, joined by id; ``cat_exog``: those of them that hold categories (text, whole numbers, booleans; missing
    ones too), which become codes, see `SeriesStore`. A column ``available_mask`` (0 or 1) marks target values to ignore.
    ``rules``: what to do with duplicates, gaps and missing covariates; refused unless it says otherwise. ``weight_col``: the
    column that says how much each row counts in training.

    Raises `EmptyDataError` (E0003), `FeatureError` (E0004, a column is missing), `ConfigError` (E0010, unknown freq),
    `DataError` (E0011: duplicates, gaps, a freq that disagrees, null times or ids, text, infinities, NaN covariates,
    ids without statics, weights that are missing, negative or all 0).

    >>> store = from_frame({"ds": ["2020-01-02", "2020-01-01"], "y": [2.0, 1.0]}, freq="D")
    >>> store.y.tolist(), store.ids.tolist()
    ([1.0, 2.0], ['series_1'])
    """
    return read_frame(df, freq, id_col=id_col, time_col=time_col, target_col=target_col, hist_exog=hist_exog,
                      futr_exog=futr_exog, stat_exog=stat_exog, static_df=static_df, cat_exog=cat_exog, rules=rules,
                      weight_col=weight_col)[0]


def read_frame(df: Any, freq: Any = None, *, id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
               hist_exog: Sequence[str] = (), futr_exog: Sequence[str] = (), stat_exog: Sequence[str] = (),
               static_df: Any = None, cat_exog: Sequence[str] = (),
               rules: DataRules = AS_THEY_ARE, weight_col: str | None = None) -> tuple[SeriesStore, np.ndarray]:
    """What `from_frame` gives, and the target as the frame holds it: float64 [T] in the order of the store, NaN where missing.

    The store keeps float32, which is enough to train on but would show 123456789 as 123456792 beside a forecast.
    """
    table = Table(with_index(df, (id_col, time_col)))
    if not len(table.frame):
        raise EmptyDataError("df has no rows", value=0, hint="Check the filter or the file that produced it.")
    for name, role in ((time_col, "time"), (target_col, "target")):
        table.check(name, role)
    _check_listed(cat_exog, (*hist_exog, *futr_exog, *stat_exog))
    ids, codes = ids_of(table, id_col)
    times, origin = read_times(table, time_col)
    step = None if freq is None else Frequency(freq, origin["time_zone"])
    if step:
        step.check(times)
    roles = {name: role for role, names in (("hist_exog", hist_exog), ("futr_exog", futr_exog)) for name in names}
    coded = {name: categories_in(table, name, role) for name, role in roles.items() if name in cat_exog}
    static, coded_static = static_table(static_df, stat_exog, id_col), {}
    if static is not None:
        coded_static = {name: categories_in(static, name, "stat_exog") for name in stat_exog if name in cat_exog}
    lists = [*coded.items(), *coded_static.items()]
    categories = {name: ordered([v for other, (_, values) in lists if other == name for v in values], f"column {name!r}")
                  for name, _ in lists}
    columns = [codes_of(*coded[name], categories[name]) if name in coded
               else covariate(table, name, role, ids, codes, times, nan=True) for name, role in roles.items()]
    named, marks = list(roles.items()), [name in coded for name in roles]
    if weight_col is not None:  # goes with the rows as covariates do
        columns.append(weights(table, weight_col, ids, codes, times))
        named, marks = [*named, (weight_col, "weight")], [*marks, False]
    rows = Rows(ids, codes, times, target(table, target_col, ids, codes, times),
                np.stack(columns, axis=1) if columns else np.zeros((len(codes), 0), np.float32), [name for name, _ in named],
                [role for _, role in named], np.array(marks, bool), np.arange(len(codes)))
    rows, step = assemble(rows, step, rules, Source(id_col, time_col, table.library, origin["time_zone"]))
    origin.update(library=table.library, id_col=id_col, time_col=time_col, target_col=target_col)
    stat = statics(static, stat_exog, ids, id_col, coded_static, categories)
    store = store_of(rows, step, hist_exog, futr_exog, stat_exog, stat, origin, categories)
    return store, rows.y


def store_of(rows: Rows, step: Frequency, hist_exog: Sequence[str], futr_exog: Sequence[str], stat_exog: Sequence[str],
             stat: np.ndarray | None, origin: dict[str, Any], categories: dict[str, list[Any]]) -> SeriesStore:
    """Assembled rows as a store."""
    def block(names: Sequence[str]) -> np.ndarray | None:
        return rows.exog[:, [rows.names.index(n) for n in names]] if names else None

    return SeriesStore(rows.ids, rows.offsets, rows.times, rows.y, ~np.isnan(rows.y), block(hist_exog), block(futr_exog), stat,
                       list(hist_exog), list(futr_exog), list(stat_exog), step.freq, origin, categories,
                       weight=rows.exog[:, rows.roles.index("weight")] if "weight" in rows.roles else None)


def ids_of(table: Table, id_col: str) -> tuple[np.ndarray, np.ndarray]:
    """(distinct ids [S], codes [T]); one series where there is no such column and none that is named alike."""
    if id_col in table.columns:
        codes, ids = read_ids(table, id_col)
        return ids, codes
    if difflib.get_close_matches(id_col.lower(), [c.lower() for c in map(str, table.columns)], 1, 0.75):
        table.need(id_col, "id")
    return np.array([ONLY_SERIES], object), np.zeros(len(table.frame), np.int64)


def target(table: Table, name: str, ids: np.ndarray, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The target as float64 [T], NaN where missing or marked so by ``available_mask``; text and infinities are refused."""
    y = numbers(table, name, "target")
    refuse_values(table, name, "target", np.abs(y) > FLOAT_LIMIT, "infinite or too large values",
                  "Replace them by null, which means missing, or rescale (float32 ends at 3e38).", ids, codes, times)
    if "available_mask" not in table.columns:
        return y
    return np.where(numbers(table, "available_mask", "mask") > 0, y, np.nan)


def weights(table: Table, name: str, ids: np.ndarray, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A column of weights as float32 [T]; infinite and negative ones are refused, and all of them being 0."""
    values = covariate(table, name, "weight", ids, codes, times)
    refuse_values(table, name, "weight", values < 0, "negative values", "A weight is at least 0; 0 leaves a row out.", ids,
                  codes, times)
    check_weights(values, f"{table.what} column {name!r} (weight)")
    return values


def _check_listed(cat_exog: Sequence[str], others: Sequence[str]) -> None:
    for name in cat_exog:
        if name not in others:
            raise FeatureError(f"cat_exog names {name!r}, which is in none of hist_exog, futr_exog and stat_exog", value=name,
                               hint="name it in one of them too")


def fill_gaps(df: Any, freq: Any, *, start: Any = "per_serie", end: Any = "per_serie", id_col: str = "unique_id",
              time_col: str = "ds") -> Any:
    """The frame with a row for each missing time; its other columns are null there, which means missing in the target.

    ``start`` and ``end``: "per_serie", "global" or a time, as in utilsforecast, which does the work.

    >>> import pandas as pd
    >>> holes = pd.DataFrame({"unique_id": 1, "ds": [1, 2, 4], "y": [1.0, 2.0, 4.0]})
    >>> fill_gaps(holes, 1)["ds"].tolist()
    [1, 2, 3, 4]
    """
    table = Table(df)
    table.need(id_col, "id"), table.need(time_col, "time")
    alias = Frequency(freq).alias(table.library)
    return need("utilsforecast.preprocessing").fill_gaps(df, freq=alias, start=start, end=end, id_col=id_col,
                                                         time_col=time_col)
