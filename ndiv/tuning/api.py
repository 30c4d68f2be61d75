"""`tune`: find settings for a model on a frame, in one call.

Contract: what comes back holds a `NeuralForecast` that is ready to predict, one row a trial, and the best settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndiv.errors import ConfigError

__all__ = ["Tuned", "tune"]


@dataclass
class Tuned:
    """What `tune` found.

    forecaster    `ndiv.NeuralForecast` with the best settings, trained on all of the data
    results       frame of one row a trial: trial, state, loss, steps, seconds, reason, settings
    best_config   the settings of the lowest validation loss
    best_loss     that loss
    study         of Optuna, for its plots and its analysis
    """

    forecaster: Any
    results: Any
    best_config: dict[str, Any]
    best_loss: float
    study: Any

    def predict(self, *args: Any, **options: Any) -> Any:
        """`NeuralForecast.predict` of the forecaster."""
        return self.forecaster.predict(*args, **options)


def tune(model: Any, df: Any, h: int | None = None, config: Any = None, *, n_trials: int = 20,
         time_budget: float | None = None, val_size: int = 0, static_df: Any = None, freq: Any = None, loss: Any = None,
         valid_loss: Any = None, sampler: Any = None, pruner: Any = "median", storage: Any = None,
         study_name: str | None = None, seed: int = 1, n_jobs: int = 1, refit_with_val: bool = False,
         local_scaler_type: str | None = None, alias: str | None = None, callbacks: Any = None, verbose: bool | None = None,
         **columns: Any) -> Tuned:
    """Search the settings of a model on a frame, and train it with the best ones.

    model        name of a model ("NHITS"), its class, or an automatic model (``AutoNHITS(h=24, ...)``), whose own arguments
                 then hold instead of those here
    df           long frame (pandas, polars) or path, as of `NeuralForecast.fit`; ``static_df``, ``freq`` and ``columns``
                 (id_col, time_col, target_col, events_df) too
    h            steps to forecast
    config       ranges and fixed arguments, or a function of an Optuna trial; None: the defaults of the model (`AutoModel`)
    n_trials     trials altogether: a search that is resumed counts those in its storage
    time_budget  seconds after which no trial begins, and a running one stops at its next validation
    val_size     rows at the end of each series that judge the trials; 0: ``h``
    pruner       "median" stops a trial whose validation loss is above the median of the others' at the same step;
                 "hyperband"; None: every trial runs to its end
    storage      path of an SQLite file that keeps the trials: the same call goes on where it was interrupted, with the
                 trials that an uninterrupted one would have made. One process at a time
    seed         the same seed, the same trials; not with ``time_budget``, nor with ``n_jobs`` above 1 (threads)
    refit_with_val   see `AutoModel`

    Raises what `NeuralForecast.fit` raises, and `ConfigError` (E0010) when no trial could be trained or the storage holds
    another search, `FileError` (E0006) for a storage that cannot be opened, `MissingExtraError` (E0010) without Optuna.

    >>> from ndiv.utils import AirPassengersDF
    >>> found = tune("NLinear", AirPassengersDF, h=12, config={"input_size": [12, 24], "max_steps": 5}, n_trials=2)
    >>> found.results["state"].tolist(), sorted(found.best_config)
    (['complete', 'complete'], ['input_size', 'max_steps'])
    """
    from ndiv.forecast import NeuralForecast

    auto = _automatic(model)
    if isinstance(auto, type):
        if h is None:
            raise ConfigError("tune needs the horizon h", value=None, hint='For example tune("NHITS", df, h=24).')
        auto = auto(h=h, loss=loss, valid_loss=valid_loss, config=config, num_samples=n_trials, time_budget=time_budget,
                    sampler=sampler, pruner=pruner, storage=storage, study_name=study_name, seed=seed, n_jobs=n_jobs,
                    refit_with_val=refit_with_val, alias=alias, callbacks=callbacks)
    forecaster = NeuralForecast([auto], freq, local_scaler_type)
    forecaster.fit(df, static_df, val_size, verbose=verbose, **columns)
    return Tuned(forecaster, auto.results, auto.best_config, auto.best_loss, auto.study)


def _automatic(model: Any) -> Any:
    """The automatic model, or its class, that is meant."""
    import ndiv.auto
    from ndiv.auto.base import AutoModel
    from ndiv.models import get_model

    if isinstance(model, AutoModel) or (isinstance(model, type) and issubclass(model, AutoModel)):
        return model
    name = getattr(model, "__name__", model) if isinstance(model, type) else model
    if not isinstance(name, str):
        raise ConfigError(f"tune makes the models itself, and {model!r} is one already", value=repr(model),
                          hint="Pass a name or a class, such as tune(\"NHITS\", df, h=24).")
    return getattr(ndiv.auto, f"Auto{get_model(name.removeprefix('Auto')).__name__}")
