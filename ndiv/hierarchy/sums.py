"""Which series are sums of which: from columns that group them, or from ids that are paths.

Contract: a summing matrix is a frame with the id of a series, aggregates first, and one column for each bottom series: 1
where it counts. Its last rows are the bottom series themselves, in the order of its columns. Tags name the ids of each level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, FeatureError, closest

__all__ = ["aggregate", "summing"]


def aggregate(df: Any, spec: Sequence[Sequence[str]], *, id_col: str = "unique_id", time_col: str = "ds",
              target_col: str = "y") -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Sum bottom series up: (all series as a long frame, the summing matrix, the ids of each level).

    df     one row a time and combination of grouping columns, with the target; pandas or polars
    spec   the columns that each level keeps apart, from the top to the bottom, whose series `df` holds

    Raises `ConfigError` (E0010) for an empty spec, or a last level that does not name all columns of the others,
    `FeatureError` (E0004) for missing columns, `MissingExtraError` (E0010) without hierarchicalforecast.

    >>> import pandas as pd
    >>> sales = pd.DataFrame({"country": "X", "city": ["p", "q"], "ds": [1, 1], "y": [2.0, 3.0]})
    >>> df, S, tags = aggregate(sales, [["country"], ["country", "city"]])
    >>> df["y"].tolist(), S["unique_id"].tolist(), list(tags)
    ([5.0, 2.0, 3.0], ['X', 'X/p', 'X/q'], ['country', 'country/city'])
    """
    levels = [list(level) for level in spec if not isinstance(level, str)]
    if len(levels) < 2 or len(levels) < len(spec) or not all(levels):
        raise ConfigError("spec must be two or more lists of columns, from the top to the bottom", value=list(spec),
                          hint='For example [["country"], ["country", "city"]].')
    named = list(dict.fromkeys(name for level in levels for name in level))
    columns = list(need("narwhals").from_native(df, eager_only=True).columns)
    for name in [*named, time_col, target_col]:
        if name not in columns:
            raise FeatureError(f"df has no column {name!r}", value=name, hint=closest(name, columns, "Columns"))
    if set(levels[-1]) != set(named):
        raise ConfigError("the last level of spec must name all grouping columns, since its series are the bottom ones",
                          value=levels[-1], hint=f"Put {named} last.")
    utils = need("hierarchicalforecast.utils", "hierarchy")
    found, matrix, tags = utils.aggregate(df, levels, id_col=id_col, time_col=time_col, target_cols=(target_col,))
    return found, matrix, {level: np.array([str(i) for i in ids], dtype=object) for level, ids in tags.items()}


def summing(ids: Iterable[Any], sep: str = "/", *, like: Any = None,
            id_col: str = "unique_id") -> tuple[Any, dict[str, np.ndarray]]:
    """(summing matrix, ids of each level) of ids that are paths: "X" is the sum of "X/a" and "X/b".

    like   a frame whose library the matrix takes; pandas without it

    Raises `ConfigError` (E0010) where no id is the beginning of another.

    >>> S, tags = summing(["X/b", "X", "X/a"])
    >>> S["unique_id"].tolist(), S["X/a"].tolist(), tags["level 2"].tolist()
    (['X', 'X/a', 'X/b'], [1.0, 1.0, 0.0], ['X/a', 'X/b'])
    """
    names = sorted({str(i) for i in ids})
    parents = {sep.join(n.split(sep)[:k]) for n in names for k in range(1, n.count(sep) + 1)}
    upper = sorted((n for n in names if n in parents), key=lambda n: (n.count(sep), n))
    bottom = [n for n in names if n not in parents]
    if not upper:
        raise ConfigError(f"no id is the beginning of another, with {sep!r} between its parts", value=names[:3],
                          hint="Pass the summing matrix S, as ndiv.aggregate returns it.")
    rows = [*upper, *bottom]
    matrix = {id_col: rows, **{b: [float(r == b or b.startswith(r + sep)) for r in rows] for b in bottom}}
    depths = sorted({n.count(sep) for n in rows})
    tags = {f"level {d + 1}": np.array([n for n in rows if n.count(sep) == d], dtype=object) for d in depths}
    polars = like is not None and need("narwhals").from_native(like, eager_only=True).implementation.is_polars()
    return (need("polars", "polars") if polars else need("pandas")).DataFrame(matrix), tags
