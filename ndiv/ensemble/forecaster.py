"""`Ensemble`: a forecaster of several models that answers with one forecast.

Contract: fit trains the models twice, first without the windows that weights are learned on, then on everything. What was
saved gives the same forecasts to the bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ndiv.data._extras import need
from ndiv.errors import ConfigError, FileError, NotFittedError

from .combination import Combination, combine, learn
from .combination import _known as check

__all__ = ["Ensemble"]

_FILE, _FORMAT = "ensemble.json", "ndiv-ensemble-1"


class Ensemble:
    """A `NeuralForecast` of several models whose forecasts are combined.

    forecaster   with at least two models
    method, by, strength, alias   as of `learn`
    n_windows    windows at the end of the data on which weights are learned; ``step_size`` steps apart (None: ``h``)

    After fit: ``weights``, a frame; ``validation``, the forecasts that they come from; ``combination``. Raises `ConfigError`
    (E0010) for a single model, or a method that is not there.

    >>> from ndiv import NeuralForecast
    >>> from ndiv.models import DLinear, NLinear
    >>> from ndiv.utils import AirPassengersDF
    >>> models = [kind(h=12, input_size=24, max_steps=5) for kind in (NLinear, DLinear)]
    >>> Ensemble(NeuralForecast(models, "ME"), "mean").fit(AirPassengersDF).predict().columns.tolist()
    ['unique_id', 'ds', 'Ensemble']
    """

    def __init__(self, forecaster: Any, method: str = "weighted", *, by: str | None = None, n_windows: int = 3,
                 step_size: int | None = None, strength: float | None = None, alias: str = "Ensemble") -> None:
        check(method, by, strength)
        if len(forecaster.models) < 2:
            raise ConfigError(f"an ensemble needs at least two models, and the forecaster has {len(forecaster.models)}",
                              value=len(forecaster.models))
        if method == "stacked" and strength is None and n_windows < 2:
            raise ConfigError("the strength of stacking is chosen by leaving windows out, so one window is not enough",
                              value=n_windows, hint="Give n_windows=2 or more, or strength.")
        self.forecaster, self.method, self.by, self.alias = forecaster, method, by, alias
        self.n_windows, self.step_size, self.strength = n_windows, step_size, strength
        self.combination: Combination | None = None
        self.validation: Any = None

    def __repr__(self) -> str:
        return f"Ensemble({self.forecaster!r}, method={self.method!r})"

    def fit(self, df: Any, static_df: Any = None, val_size: int = 0, **options: Any) -> Ensemble:
        """Learn the weights on the last ``n_windows`` windows, forecast by models that were trained before them; then train
        the models on all of ``df``. The arguments are those of `NeuralForecast.fit`, and so is what it raises."""
        names: dict[str, Any] = {k: v for k, v in options.items() if k in ("id_col", "time_col", "target_col")}
        if self.method in ("mean", "median"):
            self.forecaster.fit(df, static_df, val_size, use_init_models=True, **options)
            self.combination = None  # found from the first forecast's columns
            return self
        if self.method == "weighted":
            need("scipy.optimize", "ensemble")  # missed now, and not after the training
        steps = self.forecaster.h if self.step_size is None else self.step_size
        cv = self.forecaster.cross_validation(df, static_df, self.n_windows, steps, val_size, **options)
        found = learn(cv, self.method, by=self.by, strength=self.strength, alias=self.alias, **names)
        self.forecaster.fit(df, static_df, val_size, use_init_models=True, **options)
        self.combination, self.validation = found, cv
        return self

    def predict(self, *args: Any, members: bool = False, **options: Any) -> Any:
        """The combined forecast, with the intervals and quantiles that all members have; ``members=True``: beside theirs. The
        other arguments are those of `NeuralForecast.predict`, and so is what it raises."""
        if self.combination is None and self.method not in ("mean", "median"):
            raise NotFittedError("the ensemble has no weights yet", hint="Call fit(df) first, or Ensemble.load(path).")
        frame = self.forecaster.predict(*args, **options)
        names = self._names()
        rule = self.combination or learn(frame, self.method, alias=self.alias, **names)
        joined = rule(frame, **names)
        if members:
            return joined
        kept = [names["id_col"], names["time_col"], *(c for c in joined.columns if c not in frame.columns)]
        return joined[kept]

    def cross_validation(self, *args: Any, **options: Any) -> Any:
        """`NeuralForecast.cross_validation` with the ensemble as one more model, whose weights in each window come from those
        before it (`combine`). Models are trained anew, so call fit afterwards."""
        frame = self.forecaster.cross_validation(*args, **options)
        return combine(frame, self.method, by=self.by, strength=self.strength, alias=self.alias, **self._names())

    @property
    def weights(self) -> Any:
        """The weights as a pandas frame; `NotFittedError` (E0001) where there are none."""
        if self.combination is None:
            raise NotFittedError(f"there are no weights: the method is {self.method!r}" if self.method in ("mean", "median")
                                 else "the ensemble has no weights yet", hint="Call fit(df) with a method that learns some.")
        return self.combination.table

    def save(self, path: Any, overwrite: bool = False, **options: Any) -> None:
        """Write a folder that `load` reads: the forecaster's own (`NeuralForecast.save`), and the weights. Raises what that
        raises."""
        if self.combination is None and self.method not in ("mean", "median"):
            raise NotFittedError("the ensemble has no weights yet", hint="Call fit(df) first.")
        self.forecaster.save(path, overwrite=overwrite, **options)
        record = {"format": _FORMAT, "method": self.method, "by": self.by, "alias": self.alias, "n_windows": self.n_windows,
                  "step_size": self.step_size, "strength": self.strength,
                  "combination": None if self.combination is None else self.combination.record()}
        try:
            (Path(path) / _FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
        except (OSError, TypeError) as error:
            raise FileError(f"{Path(path) / _FILE} could not be written: {error}", value=str(path)) from None

    @staticmethod
    def load(path: Any, llm: Any = None) -> Ensemble:
        """What `save` wrote; `FileError` (E0006) for anything else."""
        from ndiv.forecast import NeuralForecast

        file = Path(path) / _FILE
        forecaster = NeuralForecast.load(path, llm)
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            if record["format"] != _FORMAT:
                raise ValueError(f"format {record['format']!r}")
            ensemble = Ensemble(forecaster, record["method"], by=record["by"], n_windows=record["n_windows"],
                                step_size=record["step_size"], strength=record["strength"], alias=record["alias"])
            if record["combination"] is not None:
                ensemble.combination = Combination.from_record(record["combination"])
        except FileNotFoundError:
            raise FileError(f"{path} holds models and no ensemble", value=str(path),
                            hint="Load it with NeuralForecast.load.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(f"{file} is damaged: {error}", value=str(file), hint="Save the ensemble again.") from None
        return ensemble

    def _names(self) -> dict[str, Any]:
        columns = self.forecaster.columns
        return {"id_col": columns.id_col, "time_col": columns.time_col, "target_col": columns.target_col}
