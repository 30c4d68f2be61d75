"""What models read and what they write: covariates by role, views of a store, names of forecast columns.

Contract: names follow neuralforecast's rules (``NHITS``, the second one ``NHITS1``, an alias as it is, then the
suffixes of the loss); two columns never share a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

__all__ = ["check_clip", "cut", "exog_names", "head", "model_names", "output_columns", "view"]

ROLES = ("hist", "futr", "stat")


def exog_names(models: Sequence[Any]) -> dict[str, list[str]]:
    """The covariates that any of the models lists, by role ("hist", "futr", "stat"), in order of first mention; "cat": those
    of them that hold categories.

    Raises `ConfigError` (E0010) for a column of categories in one model and of numbers in another.
    """
    found = {role: list(dict.fromkeys(name for m in models for name in getattr(m, f"{role}_exog_list") or ()))
             for role in (*ROLES, "cat")}
    for name in found["cat"]:
        for m in models:
            if any(name in getattr(m, f"{role}_exog_list") for role in ROLES) and name not in m.cat_exog_list:
                raise ConfigError(f"{name!r} holds categories for some models and numbers for {m!r}", value=name,
                                  hint="name it in cat_exog_list of all models, or give the column under two names")
    return found


def view(store: SeriesStore, model: Any) -> SeriesStore:
    """The store with the covariates of one model only, in the order in which the model lists them."""
    changes: dict[str, Any] = {}
    for role in ROLES:
        have, want = getattr(store, f"{role}_names"), list(getattr(model, f"{role}_exog_list") or ())
        if have != want:
            changes[f"{role}_names"] = want
            changes[role] = np.ascontiguousarray(getattr(store, role)[:, [have.index(name) for name in want]])
    return replace(store, **changes) if changes else store


def cut(store: SeriesStore, series: np.ndarray, first: np.ndarray, last: np.ndarray) -> SeriesStore:
    """Rows ``first:last`` of the given series, each counted within its series; all [N], and a series may come often.

    >>> store = SeriesStore.from_arrays_list([[1, 2, 3], [4, 5]])
    >>> cut(store, np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([2, 3, 1])).y.tolist()
    [1.0, 2.0, 2.0, 3.0, 4.0]
    """
    lengths = last - first
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.repeat(store.offsets[series] + first - offsets[:-1], lengths) + np.arange(offsets[-1])
    return replace(store, ids=store.ids[series], offsets=offsets, stat=store.stat[series], **store.at(rows))


def head(store: SeriesStore, n: np.ndarray) -> SeriesStore:
    """The first ``n`` [S] rows of each series."""
    return cut(store, np.arange(store.n_series), np.zeros_like(n), n)


def check_clip(clip: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What keeps forecasts within ``clip``, (low, high) with None for no bound, or None for none at all.

    Raises `ConfigError` (E0010) for anything else.

    >>> check_clip((0, None))(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if clip is None:
        return lambda values: values
    pair = tuple(clip) if isinstance(clip, (tuple, list)) else ()
    if len(pair) != 2 or not all(b is None or (isinstance(b, (int, float, np.number)) and b == b) for b in pair):
        raise ConfigError(f"clip must be (low, high) with a number or None for each, got {clip!r}", value=clip,
                          hint="for example clip=(0, None) for forecasts that are not negative")
    low, high = (-np.inf if pair[0] is None else float(pair[0])), (np.inf if pair[1] is None else float(pair[1]))
    if low > high:
        raise ConfigError(f"clip={clip!r}: the lower bound is above the upper one", value=clip, hint="swap them")
    return lambda values: np.clip(values, low, high)


def model_names(models: Sequence[Any]) -> list[str]:
    """What each model's columns begin with: its alias, or its class and how many came before."""
    given = [str(m.alias or type(m).__name__) for m in models]
    taken = {name for m, name in zip(models, given, strict=True) if m.alias}
    names: list[str] = []
    for model, base in zip(models, given, strict=True):
        name, count = base, 0
        while name in names or (not model.alias and name in taken):
            count += 1
            name = f"{base}{count}"
        names.append(name)
    return names


def output_columns(models: Sequence[Any], reserved: Sequence[str] = ()) -> list[list[str]]:
    """Names of the forecast columns of each model; `ConfigError` (E0010) when two names clash.

    ``reserved``: names that the frame needs for itself, such as "unique_id" and "ds".
    """
    names = [[f"{name}{suffix}" for suffix in model.output_names]
             for model, name in zip(models, model_names(models), strict=True)]
    flat = [*reserved, *(column for columns in names for column in columns)]
    twice = sorted({column for column in flat if flat.count(column) > 1})
    if twice:
        raise ConfigError(f"two output columns would be named {twice[0]!r}", value=twice[0],
                          hint="Give each model its own alias.")
    return names
