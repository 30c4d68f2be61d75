"""What `NeuralForecast.fit` does with its data: frames to stores, the scaler, and each model's training.

Contract: everything that can be refused is refused before a model trains. Statistics and weights see training rows only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore
from ndiv.data.weights import check_weights, with_decay
from ndiv.errors import ConfigError
from ndiv.training.history import history_frame
from ndiv.training.tuning import frozen_names

from .columns import exog_names, head, model_names, output_columns, view
from .events import with_events
from .reading import ColumnNames, check_rule, read_store
from .scaling import LocalScaler
from .short import long_enough, padded

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["history", "stores", "train"]


def stores(nf: NeuralForecast, df: Any, static_df: Any, events_df: Any, sample_weight: Any, val_df: Any,
           columns: ColumnNames, val_size: int, rules: DataRules) -> tuple[SeriesStore, SeriesStore | None]:
    """(the series to train on, those to validate on or None)."""
    rule = check_rule(sample_weight)
    if df is None:
        store = nf._stored()
        if sample_weight is not None:
            if not rule:
                raise ConfigError(f"sample_weight={sample_weight!r} is a column, and there is no df", value=sample_weight,
                                  hint="Pass df with that column, or a rule such as 'exponential:0.99'.")
            store = with_decay(store, sample_weight)
    else:
        output_columns(nf.models, (columns.id_col, columns.time_col))
        store = read_store(df, nf.freq, columns, exog_names(nf.models), static_df, tell_unused=True, rules=rules,
                           features=nf.features, weight=sample_weight)
    store = long_enough(store, nf.models, val_size, rules)
    store = with_events(store, events_df, nf.models, columns)
    if val_df is None:
        return store, None
    judged = read_store(val_df, store.freq, columns, exog_names(nf.models), static_df, rules=rules, features=nf.features,
                        weight=None)
    return store, with_events(judged, events_df, nf.models, columns)


def train(nf: NeuralForecast, store: SeriesStore, val_size: int, rules: DataRules, *, validation: SeriesStore | None = None,
          fresh: bool = False, freeze: Any = None, **options: Any) -> LocalScaler | None:
    """Train the models on a store, and return the scaler of its series; ``options`` are those of a model's ``fit_store``."""
    frozen_names(nf.models, freeze)
    known = store
    scaled_by = nf.local_scaler_type, nf.local_static_scaler_type, nf.target_transform
    if val_size and (store.weight is not None or scaled_by != (None, None, None)):
        # Statistics may not see the validation rows, as nothing else that training uses may.
        known = head(store, store.split(val_size)["train"][1])
    if known.weight is not None:
        check_weights(known.weight, "the weight of the training rows")
    scaler = None
    if scaled_by != (None, None, None):
        scaler = LocalScaler(*scaled_by, None if nf.features is None else nf.features.units).fit(known)
    scaled = store if scaler is None else scaler.transform(store)
    if validation is not None and scaler is not None:
        validation = scaler.transform(validation)
    for model in nf.models:
        if fresh:
            model.reset()
        model.fit_store(view(padded(scaled, model, val_size, rules), model), val_size, 0, freeze=freeze,
                        validation=None if validation is None else view(validation, model), **options)
    return scaler


def history(nf: NeuralForecast) -> Any:
    """The course of training of all models, one row a check; see `NeuralForecast.history_`."""
    named = zip(model_names(nf.models), nf.models, strict=True)
    records = [{"model": name, **record} for name, m in named for record in m.history]
    origin = {} if nf.dataset is None else nf.dataset.origin
    return history_frame(records, origin.get("library", "pandas"), first=("model",))
