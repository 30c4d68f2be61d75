"""One door for data: frames and paths in, a checked `SeriesStore` out.

Contract: every check of the data happens here (in `ndiv.data.from_frame`); nothing behind it looks at a frame again.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.chunks import is_long, too_large
from ndiv.data.frames import AS_THEY_ARE, read_frame
from ndiv.data.inputs import long_frame
from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore
from ndiv.data.stream import stream_table
from ndiv.data.weights import WEIGHT_COLUMN, is_decay, with_decay
from ndiv.errors import ConfigError, FeatureError, closest

from .telling import tell

if TYPE_CHECKING:
    from ndiv.features import FeatureSet

__all__ = ["ColumnNames", "as_frame", "check_rule", "read_store", "read_with_target"]

UNREAD: Any = False  # weights that nobody asks for: what is only forecast from needs none


@dataclass(frozen=True)
class ColumnNames:
    """How the frame names its ids, times and target."""

    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"


def as_frame(df: Any, names: ColumnNames) -> Any:
    """``df`` as a pandas or polars frame: paths are read, lazy frames collected, arrays get ids and times."""
    return None if df is None else long_frame(df, **vars(names))


def read_store(df: Any, freq: Any, names: ColumnNames, exog: dict[str, list[str]], static_df: Any = None, *,
               tell_unused: bool = False, rules: DataRules = AS_THEY_ARE, features: FeatureSet | None = None,
               weight: Any = UNREAD) -> SeriesStore:
    """The checked store of a frame or path, with the covariates ``exog`` by role, some of which ``features`` may make.

    ``tell_unused``: warn once about columns that nothing reads. ``weight``: the column of weights or a rule that makes them
    (`ndiv.data.weights`), None for the column "sample_weight" where there is one. Raises what `ndiv.data.from_frame` and
    `ndiv.data.read_table` raise.
    """
    return read_with_target(df, freq, names, exog, static_df, tell_unused=tell_unused, rules=rules, features=features,
                            weight=weight)[0]


def read_with_target(df: Any, freq: Any, names: ColumnNames, exog: dict[str, list[str]], static_df: Any = None, *,
                     tell_unused: bool = False, rules: DataRules = AS_THEY_ARE,
                     features: FeatureSet | None = None, weight: Any = UNREAD) -> tuple[SeriesStore, np.ndarray | None]:
    """`read_store`, and the target as the frame holds it: float64 [T], NaN where missing; None where only the store's own
    float32 is at hand.

    A store is taken as it is. A table that memory cannot hold is streamed into a folder that lives as long as its store.
    """
    asked, target = exog, None
    rule = check_rule(weight)
    exog = asked if features is None else features.from_data(asked)
    if isinstance(df, SeriesStore):
        store = _given(df, exog)
        _refuse_column(weight, rule, "a store, which holds its weights itself")
    elif isinstance(df, (str, os.PathLike)) and too_large(df) and is_long(df, **vars(names)):
        store = _streamed(df, freq, names, exog, static_df, rules)
        _refuse_column(weight, rule, "a table that is streamed from disk")
    else:
        frame = as_frame(df, names)
        column = weight if weight and not rule else None
        if weight is None and WEIGHT_COLUMN in list(getattr(frame, "columns", frame)):
            column = WEIGHT_COLUMN
        if features is not None:
            features.refuse_columns(list(getattr(frame, "columns", frame)))
        store, target = read_frame(frame, freq, **vars(names), hist_exog=exog["hist"], futr_exog=exog["futr"],
                                   stat_exog=exog["stat"], static_df=static_df, cat_exog=exog["cat"], rules=rules,
                                   weight_col=column)
        if tell_unused:
            _tell_unused(frame, {*vars(names).values(), "available_mask", column, *exog["hist"], *exog["futr"]})
    store = with_decay(store, weight) if rule else store
    return store if features is None else features.apply(store, asked), target


def check_rule(weight: Any) -> bool:
    """Whether ``sample_weight`` is a rule; `ConfigError` (E0010) for what is neither a rule nor a name."""
    if weight is not None and weight is not UNREAD and not (isinstance(weight, str) and weight):
        raise ConfigError(f"sample_weight must be the name of a column, 'linear' or 'exponential:0.99', got {weight!r}",
                          value=weight, hint="Put the weights into a column of df, one for each row.")
    return is_decay(weight)


def _refuse_column(weight: Any, rule: bool, what: str) -> None:
    if weight and not rule:
        raise ConfigError(f"sample_weight={weight!r} names a column of {what}", value=weight,
                          hint="Pass a frame with that column, or a rule such as 'exponential:0.99'.")


def _tell_unused(frame: Any, known: set[str | None]) -> None:
    unused = [str(c) for c in getattr(frame, "columns", frame) if c not in known]
    if unused:
        tell(f"columns that no model uses: {', '.join(unused)}; name them in futr_exog_list or hist_exog_list of a model to "
             "use them")


def _given(store: SeriesStore, exog: dict[str, list[str]]) -> SeriesStore:
    """A store that has the covariates that models list."""
    for role in ("hist", "futr", "stat"):
        for name in exog[role]:
            if name not in getattr(store, f"{role}_names"):
                raise FeatureError(f"the store has no {role}_exog column {name!r}", value=name,
                                   hint=closest(name, getattr(store, f"{role}_names"), "Columns"))
    return store


def _streamed(path: Any, freq: Any, names: ColumnNames, exog: dict[str, list[str]], static_df: Any,
              rules: DataRules) -> SeriesStore:
    """A table on disk, mapped; the files of the folder go with the process at the latest."""
    folder = tempfile.mkdtemp(prefix="ndiv-series-")
    try:
        return stream_table(path, folder, freq, **vars(names), hist_exog=exog["hist"], futr_exog=exog["futr"],
                            stat_exog=exog["stat"], static_df=static_df, cat_exog=exog["cat"], rules=rules)
    finally:
        if os.name == "posix":
            shutil.rmtree(folder, ignore_errors=True)  # mapped files stay until nothing maps them
        else:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
