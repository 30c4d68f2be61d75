"""Scaling of whole series (``local_scaler_type``): each series in its own units while models train and forecast.

Contract: a series known from fit keeps the statistics of fit; a new one gets statistics of its own history. Only the
target is scaled; covariates are normalized by the models, window by window. Forecasters that come from neuralforecast scale
by its rules instead, with `ColumnScaler`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.scalers import SeriesScaler
from ndiv.data.store import SeriesStore

__all__ = ["ColumnScaler", "LocalScaler"]


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

    def among(self, store: SeriesStore, parts: SeriesStore, series: np.ndarray) -> LocalScaler:
        """The scaler for parts of the ``store``'s series [N], in the units of whole series."""
        return self

    def transform(self, store: SeriesStore) -> SeriesStore:
        """The store with its target in units of each series."""
        return self._for(store).transform(store)

    def inverse(self, values: np.ndarray, store: SeriesStore) -> np.ndarray:
        """Forecasts [S, ...] of the (unscaled) store's series back in their units."""
        return self._for(store).inverse(values)

    def ahead(self, futr: np.ndarray | None, store: SeriesStore) -> np.ndarray | None:
        """Future covariates [S, h, F] as the models take them: as they are."""
        return futr

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, facts) for saving."""
        return self.scaler.to_arrays()


class ColumnScaler(LocalScaler):
    """neuralforecast's rule: ``name`` scales target and covariates of each series, ``static`` static ones over all series;
    categories stay as they are.

    Statistics are those of the series at hand, whatever fit has seen; only the store given to `keep` uses kept ones. They are
    computed in float32, as neuralforecast computes them. Either name may be None.

    >>> store = SeriesStore.from_arrays_list([[0.0, 10.0]], ids=["a"])
    >>> scaler = ColumnScaler("minmax", None)
    >>> scaler.transform(store).y.tolist(), scaler.inverse(np.array([[0.5]]), store).tolist()
    ([0.0, 1.0], [[5.0]])
    """

    def __init__(self, name: str | None, static: str | None) -> None:
        self.name, self.static = name, static
        self.ids = np.empty(0, object)
        self.kept: dict[str, np.ndarray] = {}  # [S, 2] for each temporal column, "" for the target
        self.kept_static: dict[str, np.ndarray] = {}  # [1, 2] for each static column
        self.fingerprint = ""  # of the store that they belong to

    def keep(self, store: SeriesStore, temporal: dict[str, np.ndarray], static: dict[str, np.ndarray]) -> None:
        """Use these statistics, and no others, for this store."""
        self.ids, self.fingerprint = store.ids, _fingerprint(store)
        self.kept, self.kept_static = temporal, static

    def among(self, store: SeriesStore, parts: SeriesStore, series: np.ndarray) -> ColumnScaler:
        temporal, static = self._statistics(store)
        found = ColumnScaler(self.name, self.static)
        found.keep(parts, {name: values[series] for name, values in temporal.items()}, static)
        return found

    def _columns(self, store: SeriesStore) -> dict[str, np.ndarray]:
        """Temporal columns of a store by name, "" for the target."""
        named = {"": store.y}
        for names, values in ((store.hist_names, store.hist), (store.futr_names, store.futr)):
            named.update((name, values[:, k]) for k, name in enumerate(names) if name not in store.categories)
        return named if self.name is not None else {}

    def _statistics(self, store: SeriesStore) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        temporal: dict[str, np.ndarray] = {}
        static: dict[str, np.ndarray] = {}
        kept = bool(self.fingerprint) and self.fingerprint == _fingerprint(store) and len(self.ids) == store.n_series
        for name, values in self._columns(store).items():
            if kept and name in self.kept:
                temporal[name] = self.kept[name]
                continue
            known = store.mask if name == "" else np.ones(len(values), bool)
            ends = np.concatenate([[0], np.cumsum(known)])[store.offsets]
            temporal[name] = _engine(self.name).fit(_grouped(values[known], ends)).stats_
        for k, name in enumerate(store.stat_names if self.static is not None else ()):
            if name in store.categories:
                continue
            if kept and name in self.kept_static:
                static[name] = self.kept_static[name]
            else:
                static[name] = _engine(self.static).fit(_grouped(store.stat[:, k], [0, store.n_series])).stats_
        return temporal, static

    def transform(self, store: SeriesStore) -> SeriesStore:
        temporal, static = self._statistics(store)
        scaled = {name: _engine(self.name, temporal[name]).transform(_grouped(values, store.offsets))
                  for name, values in self._columns(store).items()}
        changes: dict[str, Any] = {}
        if scaled:
            changes["y"] = scaled[""]
            changes.update((role, np.stack([scaled.get(n, getattr(store, role)[:, k])
                                            for k, n in enumerate(getattr(store, f"{role}_names"))], axis=1))
                           for role in ("hist", "futr") if getattr(store, f"{role}_names"))
        if static:
            group = [0, store.n_series]
            columns = [_engine(self.static, static[name]).transform(_grouped(store.stat[:, k], group))
                       if name in static else store.stat[:, k] for k, name in enumerate(store.stat_names)]
            changes["stat"] = np.stack(columns, axis=1)
        return replace(store, **changes) if changes else store

    def ahead(self, futr: np.ndarray | None, store: SeriesStore) -> np.ndarray | None:
        if futr is None or self.name is None:
            return futr
        temporal, _ = self._statistics(store)
        ends = np.arange(store.n_series + 1) * futr.shape[1]
        parts = [_engine(self.name, temporal[name]).transform(_grouped(futr[:, :, k].reshape(-1), ends)).reshape(futr.shape[:2])
                 if name in temporal else futr[:, :, k] for k, name in enumerate(store.futr_names)]
        return np.stack(parts, axis=2)

    def inverse(self, values: np.ndarray, store: SeriesStore) -> np.ndarray:
        if self.name is None:
            return values
        statistics = self._statistics(store)[0][""]
        width = int(np.prod(values.shape[1:]))
        flat = self.unscaled(values.reshape(-1), np.arange(len(values) + 1) * width, statistics)
        return flat.reshape(values.shape).astype(values.dtype)

    def unscaled(self, values: np.ndarray, offsets: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        """Values of series, one after the other, in their own units; statistics [S, 2]."""
        found: np.ndarray = _engine(self.name, statistics).inverse_transform(_grouped(values, offsets))
        return found

    def unscaled_static(self, values: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        """One static covariate [S] in its own units; statistics [1, 2]."""
        found: np.ndarray = _engine(self.static, statistics).inverse_transform(_grouped(values, [0, len(values)]))
        return found

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {f"temporal.{k}": v for k, v in enumerate(self.kept.values())}
        arrays.update((f"static.{k}", v) for k, v in enumerate(self.kept_static.values()))
        return arrays, {"name": self.name, "static": self.static, "fingerprint": self.fingerprint,
                        "temporal_columns": list(self.kept), "static_columns": list(self.kept_static)}

    @classmethod
    def from_columns(cls, arrays: dict[str, np.ndarray], meta: dict[str, Any], ids: np.ndarray) -> ColumnScaler:
        """What `to_arrays` gave."""
        scaler = cls(meta["name"], meta["static"])
        scaler.ids, scaler.fingerprint = ids, str(meta["fingerprint"])
        scaler.kept = {name: arrays[f"temporal.{k}"] for k, name in enumerate(meta["temporal_columns"])}
        scaler.kept_static = {name: arrays[f"static.{k}"] for k, name in enumerate(meta["static_columns"])}
        if any(v.shape != (len(ids), 2) for v in scaler.kept.values()) or any(v.shape != (1, 2) for v in
                                                                             scaler.kept_static.values()):
            raise ValueError("the scaler does not have one row of statistics for each id")
        return scaler


def _engine(name: str | None, statistics: np.ndarray | None = None) -> Any:
    assert name is not None
    return SeriesScaler(name).engine(None if statistics is None else np.ascontiguousarray(statistics, np.float32))


def _grouped(values: np.ndarray, offsets: Any) -> Any:
    return need("coreforecast.grouped_array").GroupedArray(np.ascontiguousarray(values, np.float32),
                                                           np.asarray(offsets, np.int32))


def _fingerprint(store: SeriesStore) -> str:
    return hashlib.sha256(store.y.tobytes() + store.offsets.tobytes()).hexdigest()
