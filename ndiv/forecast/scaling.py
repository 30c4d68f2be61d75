"""Scaling of whole series (``local_scaler_type``): each series in its own units while models train and forecast.

Contract: a series known from fit keeps the statistics of fit; a new one gets statistics of its own history. Only the
target is scaled; covariates are normalized by the models, window by window.
"""

from __future__ import annotations

import numpy as np

from ndiv.data._extras import need
from ndiv.data.scalers import SeriesScaler
from ndiv.data.store import SeriesStore

__all__ = ["LocalScaler"]


class LocalScaler:
    """A `SeriesScaler` that finds its series by id.

    >>> store = SeriesStore.from_arrays_list([[0.0, 10.0]], ids=["a"])
    >>> local = LocalScaler("minmax").fit(store)
    >>> local.inverse(np.array([[0.5]]), store).tolist()
    [[5.0]]
    """

    def __init__(self, name: str) -> None:
        self.scaler = SeriesScaler(name)
        self.ids: np.ndarray = np.empty(0, object)

    def fit(self, store: SeriesStore) -> LocalScaler:
        self.scaler.fit(store)
        self.ids = store.ids
        return self

    def _for(self, store: SeriesStore) -> SeriesScaler:
        """The statistics for exactly the series of ``store``, in its order."""
        known = need("pandas").Index(self.ids).get_indexer(need("pandas").Index(store.ids))
        found = SeriesScaler(self.scaler.name)
        new, old = np.flatnonzero(known < 0), np.flatnonzero(known >= 0)
        assert self.scaler.stats_ is not None
        stats = np.empty((store.n_series, 2))
        stats[old] = self.scaler.stats_[known[old]]
        if new.size:
            stats[new] = SeriesScaler(self.scaler.name).fit(store.select(new)).stats_
        found.stats_ = stats
        return found

    def transform(self, store: SeriesStore) -> SeriesStore:
        """The store with its target in units of each series."""
        return self._for(store).transform(store)

    def inverse(self, values: np.ndarray, store: SeriesStore) -> np.ndarray:
        """Forecasts [S, ...] of the (unscaled) store's series back in their units."""
        return self._for(store).inverse(values)
