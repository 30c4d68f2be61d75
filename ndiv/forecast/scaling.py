"""Scaling of whole series (``local_scaler_type``): each series in its own units while models train and forecast.

Contract: a series known from fit keeps the statistics of fit; a new one gets statistics of its own history. The target is
scaled, and features in its units with it; other covariates are normalized by the models, window by window. Forecasters that
come from neuralforecast scale by its rules instead, with `ColumnScaler`.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.maps import Differences, TargetMap
from ndiv.data.scalers import SeriesScaler, series_scaler
from ndiv.data.store import SeriesStore

__all__ = ["ColumnScaler", "LocalScaler"]


class LocalScaler:
    """What happens to series before models see them, in this order: a map of the user, a `SeriesScaler` or `Differences` of
    each series by its id, and a scaler of the static covariates over all series.

    name     of ``local_scaler_type``; None: series stay as they are
    static   of ``local_static_scaler_type``; None: static covariates stay as they are
    pair     the user's map
    units    columns of covariates in units of the target, name -> "level" or "spread", which are scaled with it

    >>> store = SeriesStore.from_arrays_list([[0.0, 10.0]], ids=["a"])
    >>> local = LocalScaler("minmax").fit(store)
    >>> local.inverse(np.array([[0.5]]), store).tolist()
    [[5.0]]
    """

    def __init__(self, name: str | None, static: str | None = None, pair: TargetMap | None = None,
                 units: dict[str, str] | None = None) -> None:
        kind, period = series_scaler(name)
        self.differences = Differences(period) if kind == "diff" else None
        self.scaler = SeriesScaler(name) if name is not None and self.differences is None else None
        self.pair, self.units = pair, units or {}
        self.static_scaler = static
        self.static_stats: dict[str, np.ndarray] = {}  # [2] for each static covariate
        self.ids: np.ndarray = np.empty(0, object)

    def fit(self, store: SeriesStore) -> LocalScaler:
        if self.pair is not None:
            store = self.pair.check(store).transform(store)
        if self.scaler is not None:
            self.scaler.fit(store)
        if self.static_scaler is not None:
            for k, name in enumerate(store.stat_names):
                if name not in store.categories:
                    stats = SeriesScaler(self.static_scaler).fit(_as_series(store.stat[:, k])).stats_
                    assert stats is not None
                    self.static_stats[name] = stats[0]
        self.ids = store.ids
        return self

    def _for(self, store: SeriesStore) -> SeriesScaler:
        """The statistics for exactly the series of ``store``, in its order."""
        assert self.scaler is not None
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

    def knowing(self, store: SeriesStore) -> LocalScaler:
        """The scaler that knows a store's series, those that are new by their values there."""
        if self.scaler is None:
            return self
        found = copy.copy(self)
        found.scaler, found.ids = self._for(store if self.pair is None else self.pair.transform(store)), store.ids
        return found

    def transform(self, store: SeriesStore) -> SeriesStore:
        """The store with its target, and covariates in units of it, in units of each series, and its scaled statics."""
        mapped = store if self.pair is None else self.pair.transform(store)
        if self.differences is not None:
            out = self.differences.transform(mapped)
        else:
            out = mapped if self.scaler is None else self._for(mapped).transform(mapped)
        changes: dict[str, Any] = {}
        for role in ("hist", "futr"):
            names = getattr(store, f"{role}_names")
            if any(n in self.units for n in names):
                changes[role] = self._covariates(getattr(store, role), names, store.offsets, mapped)
        if self.static_stats:
            stat = store.stat.copy()
            for k, name in enumerate(store.stat_names):
                if name in self.static_stats:
                    scaler = SeriesScaler.from_arrays({"stats": self.static_stats[name][None]}, {"name": self.static_scaler})
                    stat[:, k] = scaler.transform(_as_series(stat[:, k])).y
            changes["stat"] = stat
        return replace(out, **changes) if changes else out

    def _covariates(self, values: np.ndarray, names: list[str], offsets: np.ndarray, mapped: SeriesStore) -> np.ndarray:
        """Columns [T, X] of series with these offsets, those in units of the target scaled as the target is. Differences have
        no level that a lag could be measured in, so columns keep their units then."""
        out = values.astype(np.float32)
        if self.differences is not None:
            return out
        scaler = None if self.scaler is None else self._for(mapped)
        for k, name in enumerate(names):
            column = values[:, k].astype(np.float64)
            unit = self.units.get(name)
            if unit == "level":
                column = column if self.pair is None else self.pair.moved(column)
                column = column if scaler is None else scaler.moved(column, offsets)
            elif unit == "spread" and self.pair is None and scaler is not None and scaler.name != "boxcox":
                column = scaler.moved(column, offsets) - scaler.moved(np.zeros_like(column), offsets)
            out[:, k] = np.where(np.isfinite(column), column, 0.0)  # zeros that stand for nothing known may have no image
        return out

    def inverse(self, values: np.ndarray, store: SeriesStore) -> np.ndarray:
        """Forecasts [S, ...] of the (unscaled) store's series back in their units."""
        mapped = store if self.pair is None else self.pair.transform(store)
        if self.differences is not None:
            values = self.differences.inverse(values, mapped)
        elif self.scaler is not None:
            values = self._for(mapped).inverse(values)
        return values if self.pair is None else self.pair.back(values)

    def ahead(self, futr: np.ndarray | None, store: SeriesStore) -> np.ndarray | None:
        """Future covariates [S, h, F] as the models take them: those in units of the target scaled, the others as they are."""
        if futr is None or not any(n in self.units for n in store.futr_names):
            return futr
        mapped = store if self.pair is None else self.pair.transform(store)
        ends = np.arange(len(futr) + 1) * futr.shape[1]
        flat = self._covariates(futr.reshape(-1, futr.shape[2]), store.futr_names, ends, mapped)
        return flat.reshape(futr.shape)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, facts) for saving."""
        arrays = {} if self.scaler is None else self.scaler.to_arrays()[0]
        arrays.update((f"static.{k}", stats) for k, stats in enumerate(self.static_stats.values()))
        return arrays, {"static_names": list(self.static_stats)}

    def restore(self, arrays: dict[str, np.ndarray], facts: dict[str, Any], ids: np.ndarray) -> LocalScaler:
        """Take what `to_arrays` gave, and the ids that belong to it."""
        self.ids = ids
        if self.scaler is not None:
            self.scaler = SeriesScaler.from_arrays(arrays, {"name": self.scaler.name})
            if self.scaler.stats_ is None or self.scaler.stats_.shape != (len(ids), 2):
                raise ValueError("the scaler does not have one row of statistics for each id")
        self.static_stats = {name: arrays[f"static.{k}"] for k, name in enumerate(facts["static_names"])}
        if any(stats.shape != (2,) for stats in self.static_stats.values()):
            raise ValueError("the scaler does not have two statistics for each static covariate")
        return self


def _as_series(column: np.ndarray) -> SeriesStore:
    """One value a series as one series."""
    count = len(column)
    ids, mask = np.array(["static covariate"], object), np.ones(count, bool)
    return SeriesStore(ids, np.array([0, count]), np.arange(count), column, mask)


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
        super().__init__(None)
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
