"""What a forecast is made of, as frames: the parts of models that are sums, and TFT's weights.

Contract: `decompose` gives rows whose values, summed over the parts, are the forecast of that series, time and column, in the
units of the data; with ``local_scaler_type`` too. `importances` and `attention` give the weights of one window for each series.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.output import to_frame
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError

from .columns import output_columns, view
from .future import future_index

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["attention", "decompose", "importances"]


def decompose(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None, by: str) -> Any:
    """Frame of id, time, output (the forecast's column), part, value; rows by output, series, time, part."""
    columns: dict[str, dict[str, np.ndarray]] = {}  # output -> part -> [S, h]
    for model, names, scaled, ahead in _able(nf, store, futr, "totals", "is a sum of parts that could be told apart"):
        totals: dict[str, list[np.ndarray]] = {}
        order = []
        for series, batch in model.batches_ahead(scaled, ahead):
            order.append(series)
            for part, value in model.totals(batch, by).items():
                totals.setdefault(part, []).append(value.astype(np.float64))
        back = np.argsort(np.concatenate(order))
        before: Any = 0.0
        for part, found in totals.items():
            total = np.concatenate(found)[back]  # [S, h, columns]
            total = total if nf.scaler is None else nf.scaler.inverse(total, store)
            for k, name in enumerate(names):
                columns.setdefault(name, {})[part] = (total - before)[:, :, k]
            before = total
    times = future_index(store, nf.h)
    rows: dict[str, list[np.ndarray]] = {key: [] for key in ("id", "time", "output", "part", "value")}
    for name, parts in columns.items():
        count = len(parts)
        rows["value"].append(np.stack(list(parts.values()), axis=-1).reshape(-1))
        rows["part"].append(np.tile(np.array(list(parts), object), times.size))
        rows["output"].append(np.full(times.size * count, name, object))
        rows["id"].append(np.repeat(store.ids, nf.h * count))
        rows["time"].append(np.repeat(times.reshape(-1), count))
    flat = {key: np.concatenate(parts) for key, parts in rows.items()}
    return to_frame(flat["id"], flat["time"], {"output": flat["output"].tolist(), "part": flat["part"].tolist(),
                                               "value": flat["value"]}, like=store.origin)


def importances(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None) -> Any:
    """Frame of id, model, kind ("past", "future", "static"), step, feature, weight: step 0 is the last of the window, 1 the
    first of the forecast; that of static features is missing (null)."""
    rows: list[tuple[Any, ...]] = []
    for model, names, scaled, ahead in _able(nf, store, futr, "feature_importances", "weighs its variables, as TFT does"):
        for series, batch in model.batches_ahead(scaled, ahead):
            for kind, found in model.feature_importances(batch, average=False).items():
                for feature, weights in found.items():  # [B, steps], or [B]
                    rows += [(series, names[0], kind, feature, weights)]
    ids, named, kinds, features, values = [], [], [], [], []
    steps: list[int | None] = []
    for series, name, kind, feature, weights in rows:
        width = weights.shape[1] if weights.ndim == 2 else 1
        first = {"past": 1 - width, "future": 1}.get(kind)
        ids.append(np.repeat(store.ids[series], width))
        count = len(series) * width
        named += [name] * count
        kinds += [kind] * count
        features += [feature] * count
        steps += ([None] * width if first is None else list(range(first, first + width))) * len(series)
        values.append(weights.reshape(-1))
    return _table(store, np.concatenate(ids), {"model": named, "kind": kinds, "step": steps, "feature": features,
                                               "weight": np.concatenate(values)})


def attention(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None) -> Any:
    """Frame of id, model, step, attends_to, weight, the mean over heads: steps are counted as by `importances`."""
    ids, named, steps, keys, values = [], [], [], [], []
    for model, names, scaled, ahead in _able(nf, store, futr, "attention_weights", "shows where it attends, as TFT does"):
        for series, batch in model.batches_ahead(scaled, ahead):
            weights = model.attention_weights(batch, average=False).mean(1)[:, -model.h:]  # [B, h, L + h]
            clock = np.arange(1 - model.input_size, model.h + 1)
            b, h, width = weights.shape
            ids.append(np.repeat(store.ids[series], h * width))
            named += [names[0]] * weights.size
            steps.append(np.tile(np.repeat(np.arange(1, h + 1), width), b))
            keys.append(np.tile(clock, b * h))
            values.append(weights.reshape(-1))
    return _table(store, np.concatenate(ids), {"model": named, "step": np.concatenate(steps),
                                               "attends_to": np.concatenate(keys), "weight": np.concatenate(values)})


def _able(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None, method: str, what: str) -> list[tuple[Any, ...]]:
    """(model, its columns, the scaled series, the future covariates) of the models that have the method; warns of the others,
    `ConfigError` (E0010) where none has."""
    able = [hasattr(m, method) for m in nf.models]
    others = ", ".join(repr(m) for m, can in zip(nf.models, able, strict=True) if not can)
    if not any(able):
        raise ConfigError(f"none of these models {what}: {others}", value=others,
                          hint="NBEATS, NBEATSx, NHITS, DLinear, Autoformer and FEDformer are sums of parts; TFT has weights.")
    if others:
        warnings.warn(f"left out, as none of them {what}: {others}", stacklevel=4)
    scaled = store if nf.scaler is None else nf.scaler.transform(store)
    ahead = futr if nf.scaler is None else nf.scaler.ahead(futr, store)
    found = []
    for model, names, can in zip(nf.models, output_columns(nf.models), able, strict=True):
        own = list(model.futr_exog_list or ())
        if can:
            known = None if ahead is None or not own else ahead[:, :, [store.futr_names.index(n) for n in own]]
            found.append((model, names, view(scaled, model), known))
    return found


def _table(store: SeriesStore, ids: np.ndarray, columns: dict[str, Any]) -> Any:
    """A frame without times, of the kind that the series came in; None is null."""
    from ndiv.data._extras import need

    given = {store.origin.get("id_col", "unique_id"): ids.tolist() if ids.dtype.kind in "OUT" else ids, **columns}
    if store.origin.get("library") == "polars":
        return need("polars", extra="polars").DataFrame(given)
    pd = need("pandas")
    frame = pd.DataFrame(given)
    for name, values in columns.items():
        if isinstance(values, list) and (None in values):
            frame[name] = pd.array(values, dtype="Int64")
    return frame
