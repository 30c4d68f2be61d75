"""Which series a multivariate model is for: their number, their ids, and that they end together.

Contract: channel k of the model is the series with the k-th id of its training; `panels` finds them in any store, or says
which are missing or unknown.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.store import SeriesStore
from ..errors import ConfigError, DataError

if TYPE_CHECKING:
    from .base import BaseModel

__all__ = ["check_n_series", "one_clock", "ordered_as", "panels"]

_NAMED = 5  # ids that a message lists


def check_n_series(name: str, n_series: Any) -> None:
    """Refuse an ``n_series`` that is neither None nor a positive whole number: `ConfigError` (E0010)."""
    if n_series is not None and (isinstance(n_series, bool) or not isinstance(n_series, int) or n_series < 1):
        raise ConfigError(f"{name}: n_series must be a positive whole number or None, not {n_series!r}", value=n_series,
                          hint="None takes the number of series that fit is given")


def panels(model: BaseModel, store: SeriesStore) -> np.ndarray:
    """The series of each panel [W, N] as positions in the store, in the order of the model's channels.

    An id that the store holds W times stands for W windows; the j-th of each id make the j-th panel. A model without ids
    (trained on bare windows, or not yet) takes the series in their order. Raises `ConfigError` (E0010) when their number is
    another than the model's, `DataError` (E0011) for ids that it does not know, or that are missing.
    """
    name, n = type(model).__name__, model.n_series
    if model.series_ids is None:
        if store.n_series != n:
            raise ConfigError(f"{name} is made for n_series={n}, and there are {store.n_series}: {_listed(store.ids.tolist())}",
                              value=store.n_series, hint=f"make it with n_series={store.n_series}, or leave n_series out")
        return np.arange(n)[None]
    known = model.series_ids.tolist()
    channel = {key: k for k, key in enumerate(known)}
    ids = store.ids.tolist()
    unknown = list(dict.fromkeys(key for key in ids if key not in channel))
    if unknown:
        raise DataError(f"{name} was not trained on {len(unknown)} of these series: {_listed(unknown)}", value=unknown[:_NAMED],
                        hint="a multivariate model forecasts the series of its fit; leave the others out, or fit again")
    found = np.array([channel[key] for key in ids], np.int64)
    counts = np.bincount(found, minlength=n)
    lacking = [known[k] for k in np.flatnonzero(counts < counts.max())]
    if lacking:
        raise DataError(f"{name} was trained on {n} series, and {len(lacking)} of them are missing: {_listed(lacking)}",
                        value=lacking[:_NAMED], hint="a multivariate model needs all series of its fit at once")
    return np.argsort(found, kind="stable").reshape(n, -1).T


def ordered_as(model: BaseModel, store: SeriesStore, other: SeriesStore) -> SeriesStore:
    """The store with its series in the order of another one's; `DataError` (E0011) where they are other series."""
    place = {key: k for k, key in enumerate(store.ids.tolist())}
    wanted = other.ids.tolist()
    strange = [key for key in wanted if key not in place] or [key for key in place if key not in set(wanted)]
    if strange:
        raise DataError(f"{type(model).__name__}: training and validation have different series: {_listed(strange)}",
                        value=strange[:_NAMED], hint="a multivariate model validates on the series that it is trained on")
    return store.select(np.array([place[key] for key in wanted]))


def one_clock(model: BaseModel, store: SeriesStore) -> None:
    """Warn where series end at different times: they are aligned on their last rows."""
    ends = store.last_times
    other = np.flatnonzero(ends != ends.max())
    if other.size:
        named = _listed(store.ids[other].tolist())
        warnings.warn(f"{type(model).__name__}: {other.size} series end before the others ({named}); they are "
                      "aligned on their last rows, so that steps of different times stand side by side", stacklevel=4)


def _listed(ids: list[Any]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(map(str, ids[:_NAMED])) + (f" and {more} more" if more > 0 else "")
