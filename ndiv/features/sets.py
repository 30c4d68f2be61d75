"""`FeatureSet`: the features of a forecaster: which columns there are, who uses them, and their values.

Contract: a model names the columns that it uses in ``futr_exog_list`` and ``hist_exog_list``; one whose list is None gets
those that it can take, before its first training. `FeatureSet.apply` puts a store's columns in, in the order of the models'
lists; `FeatureSet.ahead` gives those of the steps to forecast. No two features, and no feature and column of the data, share
a name.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.data.frequency import Frequency
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, FeatureError

from .base import Column, Feature, Panel, refuse_unknown
from .specs import KINDS, kind, parse

__all__ = ["FeatureSet", "available", "from_config"]


def available(features: Any, freq: Any, h: int) -> dict[str, list[str]]:
    """The columns that features make at a frequency: "futr", known for the next ``h`` steps, and "hist", the others.

    ``features``: as `NeuralForecast` takes them: a feature, a list, text such as "calendar", or "auto".

    >>> available(["calendar:hour", "lags:1,24"], "h", h=12)
    {'futr': ['hour_sin', 'hour_cos', 'y_lag24'], 'hist': ['y_lag1']}
    """
    return FeatureSet(features, freq).names(h)


class FeatureSet:
    """Features by column, for series of one frequency.

    >>> FeatureSet("auto", "D")
    FeatureSet(dayofweek_sin, dayofweek_cos, day_sin, day_cos, month_sin, month_cos)
    """

    def __init__(self, features: Any, freq: Any) -> None:
        if freq is None:
            raise ConfigError("features need to know the frequency, which their columns are named by", value=None,
                              hint="Pass freq, for example 'h', 'D' or 1.")
        self.freq = Frequency(freq)
        self.features = copy.deepcopy(_listed(features))
        self.columns: dict[str, tuple[int, int, Column]] = {}  # name -> feature, its column, what that is
        for k, feature in enumerate(self.features):
            for place, column in enumerate(feature.columns(self.freq)):
                if column.name in self.columns:
                    raise ConfigError(f"two features would make the column {column.name!r}", value=column.name,
                                      hint="Name a part, season, lag or statistic in one of them only.")
                self.columns[column.name] = (k, place, column)

    def __repr__(self) -> str:
        return f"FeatureSet({', '.join(self.columns)})"

    def names(self, h: int) -> dict[str, list[str]]:
        """Columns that are known for the next ``h`` steps, "futr", and those that are not, "hist"."""
        found: dict[str, list[str]] = {"futr": [], "hist": []}
        for name, (_, _, column) in self.columns.items():
            found["futr" if column.known(h) else "hist"].append(name)
        return found

    @property
    def units(self) -> dict[str, str]:
        """Columns in units of the target: name -> "level" or "spread"."""
        return {name: column.unit for name, (_, _, column) in self.columns.items() if column.unit}

    # -- who uses them ---------------------------------------------------------------------------------------------

    def give(self, models: Sequence[Any]) -> None:
        """Fill the lists of untrained models that are None with what the model can take.

        Raises `FeatureError` (E0004) for a column in ``futr_exog_list`` that is not known that far, `ConfigError` (E0010) for
        categories that are named as numbers or the reverse, and where no model takes any column.
        """
        for model in models:
            if hasattr(model, "name_covariates") and not model.fitted:
                self._fill(model)
        for model in models:
            self._check(model)
        if not any(name in self.columns for m in models for name in _used(m)):
            raise ConfigError("no model uses any of the features", value=list(self.columns)[:3],
                              hint="Leave futr_exog_list and hist_exog_list at None to get all that a model takes, or list "
                                   f"some of {', '.join(list(self.columns)[:8])}; 'ndiv models' shows which models take any.")

    def _fill(self, model: Any) -> None:
        told, names = model.arguments, self.names(model.h)
        changes: dict[str, Any] = {}
        if told["futr_exog_list"] is None and model.EXOGENOUS_FUTR:
            changes["futr_exog_list"] = names["futr"]
        if told["hist_exog_list"] is None and model.EXOGENOUS_HIST:
            changes["hist_exog_list"] = names["hist"] if model.EXOGENOUS_FUTR else names["futr"] + names["hist"]
        changes = {key: value for key, value in changes.items() if value}
        coded = [n for value in changes.values() for n in value if self.columns[n][2].categories is not None]
        if coded and told["cat_exog_list"] is None:
            changes["cat_exog_list"] = coded
        if changes:
            model.name_covariates(changes)

    def _check(self, model: Any) -> None:
        for name in _used(model):
            if name not in self.columns:
                continue
            column = self.columns[name][2]
            if name in (model.futr_exog_list or ()) and not column.known(model.h):
                raise refuse_unknown(column, model.h)
            coded = name in (getattr(model, "cat_exog_list", None) or ())
            if coded != (column.categories is not None):
                have = "numbers" if coded else "categories"
                raise ConfigError(f"the feature {name!r} makes {have}, and {model!r} names it "
                                  f"{'in' if coded else 'outside of'} cat_exog_list", value=name,
                                  hint="Calendar(encode='category') makes categories." if coded else "Name it there too.")

    # -- values ----------------------------------------------------------------------------------------------------

    def from_data(self, exog: dict[str, list[str]]) -> dict[str, list[str]]:
        """The covariates by role without those that are made here: what a frame has to hold."""
        return {role: [n for n in names if n not in self.columns] for role, names in exog.items()}

    def refuse_columns(self, columns: Sequence[Any]) -> None:
        """`FeatureError` (E0004) where a frame has a column of a feature's name."""
        twice = [str(c) for c in columns if c in self.columns]
        if twice:
            raise FeatureError(f"df has a column {twice[0]!r}, which a feature makes too", value=twice[0],
                               hint="Drop or rename the column, or leave the feature out.")

    def apply(self, store: SeriesStore, exog: dict[str, list[str]]) -> SeriesStore:
        """The store with the feature columns that ``exog`` names, by role and in its order; the others are there already."""
        wanted = {name for role in ("hist", "futr") for name in exog[role] if name in self.columns}
        if not wanted:
            return store
        panel = Panel.of(store)
        for feature in self.features:
            feature.learn(panel)
        made = self._values(wanted, lambda feature: feature.past(panel, fill=True))
        changes: dict[str, Any] = {}
        for role in ("hist", "futr"):
            have, block = getattr(store, f"{role}_names"), getattr(store, role)
            columns = [made[n] if n in made else block[:, have.index(n)] for n in exog[role]]
            if columns:
                changes[role], changes[f"{role}_names"] = np.stack(columns, axis=1, dtype=np.float32), list(exog[role])
        coded = {n: list(self.columns[n][2].categories or ()) for n in wanted if n in exog["cat"]}
        return replace(store, categories={**store.categories, **coded}, **changes)

    def ahead(self, store: SeriesStore, times: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns at ``times`` [S, h] after the store's series: name -> float32 [S, h].

        Raises `FeatureError` (E0004) for one that is not known that far.
        """
        h = times.shape[1]
        for name in names:
            if not self.columns[name][2].known(h):
                raise refuse_unknown(self.columns[name][2], h)
        panel = Panel.of(store)
        return self._values(set(names), lambda feature: feature.ahead(panel, times, fill=True))

    def shown(self, store: SeriesStore, times: np.ndarray) -> dict[str, np.ndarray]:
        """All columns that are known at ``times``, as a person reads them: categories instead of their codes."""
        found = self.ahead(store, times, self.names(times.shape[1])["futr"])
        for name, values in found.items():
            categories = self.columns[name][2].categories
            if categories is not None:
                found[name] = np.array([np.nan, *categories])[values.astype(np.int64)]
        return found

    def _values(self, names: set[str], compute: Any) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for k, feature in enumerate(self.features):
            own = {name: place for name, (other, place, _) in self.columns.items() if other == k and name in names}
            if own:
                values = compute(feature)
                found.update((name, values[..., place].astype(np.float32)) for name, place in own.items())
        return found

    def config(self) -> list[dict[str, Any]]:
        """JSON-able; `from_config` makes the features again."""
        return [feature.config() for feature in self.features]


def from_config(config: list[dict[str, Any]], freq: Any) -> FeatureSet:
    """The set that `FeatureSet.config` described."""
    features = []
    for options in config:
        name = options["feature"].lower()
        if name not in KINDS:
            raise ConfigError(f"unknown feature {options['feature']!r}", value=options["feature"])
        features.append(kind(name)(**{k: v for k, v in options.items() if k != "feature"}))
    return FeatureSet(features, freq)


def _used(model: Any) -> list[str]:
    return [*(getattr(model, "futr_exog_list", None) or ()), *(getattr(model, "hist_exog_list", None) or ())]


def _listed(features: Any) -> list[Feature]:
    items = list(features) if isinstance(features, (list, tuple)) else [features]
    found: list[Feature] = []
    for item in items:
        if isinstance(item, str):
            item = kind("calendar")() if item == "auto" else parse(item)
        if not isinstance(item, Feature):
            raise ConfigError(f"features must be features of ndiv.features, got {item!r}", value=item,
                              hint="For example Calendar(), Fourier(24), Lags([1, 24]), 'rolling:24:mean', or 'auto'.")
        found.append(item)
    if not found:
        raise ConfigError("there are no features", value=[], hint="Leave features=None, or give at least one.")
    return found
