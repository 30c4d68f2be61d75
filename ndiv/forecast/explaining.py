"""Explanations as frames: how much of each forecast is owed to each lag of the target and to each covariate.

Contract: what `ndiv.explain` finds, in the units of the data (``local_scaler_type`` included) and in two forms: a tidy frame,
one row for each step of a forecast and each number that the model has read, and the arrays that neuralforecast's explain
returns, laid out as there. The frame ``additivity`` says for each step what the numbers add up to and what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.output import to_frame
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, closest
from ndiv.explain import METHODS, Attributions, attribute
from ndiv.explain.function import FEATURES

from .columns import model_names, output_columns, view
from .future import future_index
from .simulation import inference_windows

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["Explanations", "explain"]

EXPLAINERS = {"IntegratedGradients": "integrated_gradients", "InputXGradient": "input_x_gradient", "Occlusion": "occlusion",
              "ShapleyValueSampling": "shapley"}


@dataclass
class Explanations:
    """What `NeuralForecast.explain` gives; unpacked, (forecasts, explanations), as neuralforecast returns.

    forecasts     frame of id, time and the explained columns
    frame         id, time, output (the forecast's column), step (from 1), kind ("target", "hist", "futr", "stat"), feature,
                  source (the series that the number is of), lag, attribution, and of sampled ones std_error. The last known row
                  has lag 1, the row of the first step forecast lag 0, those after it negative ones; static covariates have none
    additivity    id, time, output, step, forecast (of the explained function), baseline, attributed (the sum), gap (what
                  is left: 0 where they add up)
    explanations  model -> "insample" [B, steps, n, outputs, L, 2] (the target's values, and 0 for its mask), "futr_exog"
                  [..., F, L + h], "hist_exog" [..., X, L], "stat_exog" [..., S], "baseline_predictions" [B, steps, n,
                  outputs]. B is one for each series and n = 1; of a multivariate model B = 1 and n the series, and what has
                  been read of N series is [..., N, L, 2], [..., F, L + h, N], [..., X, L, N], [..., N, S]. None for what a
                  model does not read
    """

    forecasts: Any
    frame: Any
    additivity: Any
    explanations: dict[str, dict[str, Any]]
    method: str
    baseline: str

    def __iter__(self) -> Iterator[Any]:
        return iter((self.forecasts, self.explanations))


@dataclass
class _Rows:
    """Columns of a frame as they grow."""

    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, **columns: Any) -> None:
        shape = np.broadcast_shapes(*(np.shape(v) for v in columns.values()))
        for name, v in columns.items():
            self.parts.setdefault(name, []).append(np.broadcast_to(np.asarray(v), shape).reshape(-1))

    def column(self, name: str) -> np.ndarray:
        return np.concatenate(self.parts[name])


def explain(nf: NeuralForecast, store: SeriesStore, futr: np.ndarray | None, *, method: str, horizons: Any, outputs: Any,
            series: Any, baseline: str, n_steps: int, n_samples: int, seed: int) -> Explanations:
    """See `NeuralForecast.explain`."""
    method = EXPLAINERS.get(method, method)
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", value=method, hint=closest(str(method), [*METHODS, *EXPLAINERS]))
    if getattr(nf.scaler, "differences", None) is not None:
        raise ConfigError("models that forecast differences cannot be explained: a forecast is a sum of steps then",
                          value=nf.local_scaler_type, hint="train with another local_scaler_type.")
    steps = _positions("horizons", horizons, nf.h, "steps of the horizon, from 0")
    chosen = _series(series, store)
    options: dict[str, Any] = {"baseline": baseline, "n_steps": n_steps, "n_samples": n_samples, "seed": seed, "steps": steps}
    rows, sums = _Rows(), _Rows()
    arrays: dict[str, dict[str, Any]] = {}
    shown: dict[str, np.ndarray] = {}
    times = future_index(store, nf.h)
    forecasts = nf.forecast(store, futr, nf.scaler)
    for model, name, names in zip(nf.models, model_names(nf.models), output_columns(nf.models), strict=True):
        wanted = _positions("outputs", [0] if outputs is None else outputs, len(names), f"the columns {', '.join(names)}")
        shown.update((names[k], forecasts[names[k]][chosen]) for k in wanted)
        parts: list[Attributions] = []
        with inference_windows(model):
            for owners, own, batch, channels in _batches(nf, model, store, futr, chosen):
                found = attribute(model, batch, method, outputs=wanted, channels=channels,
                                  outer=_outer(nf, store, owners, model.MULTIVARIATE), **options)
                _tell(rows, sums, model, [names[k] for k in wanted], found, store, times, owners, own, steps,
                      nf.columns.target_col)
                parts.append(found)
            arrays[name] = _as_arrays(model, parts)
    index = store.select(chosen)
    frame = _frame(store, rows, ["output", "step", "kind", "feature", "source", "lag", "attribution",
                                 *(["std_error"] if "std_error" in rows.parts else [])])
    return Explanations(to_frame(index.ids, times[chosen], shown, like=store.origin), frame,
                        _frame(store, sums, ["output", "step", "forecast", "baseline", "attributed", "gap"]), arrays, method,
                        baseline)


def _positions(name: str, given: Any, count: int, what: str) -> list[int]:
    if given is None:
        return list(range(count))
    several = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str)
    found = list(given) if several else [given]
    bad = [k for k in found if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 0 <= k < count]
    if bad or not found:
        raise ConfigError(f"{name} must be numbers from 0 to {count - 1}, got {given!r}", value=given, hint=f"they are {what}.")
    return [int(k) for k in dict.fromkeys(found)]


def _series(given: Any, store: SeriesStore) -> np.ndarray:
    """Positions in the store of series named by id, or else by position."""
    if given is None:
        return np.arange(store.n_series)
    several = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str)
    place = {key: k for k, key in enumerate(store.ids.tolist())}
    found = []
    for key in given if several else [given]:
        at = place.get(key, key if isinstance(key, (int, np.integer)) and 0 <= key < store.n_series else None)
        if at is None or isinstance(key, bool):
            raise ConfigError(f"series: there is no series {key!r}", value=key, hint=closest(str(key), list(place)[:50], "Ids"))
        found.append(int(at))
    if not found:
        raise ConfigError("series is empty", value=given, hint="None explains all.")
    return np.array(list(dict.fromkeys(found)))


def _batches(nf: NeuralForecast, model: Any, store: SeriesStore, futr: np.ndarray | None,
             chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any], list[int] | None]]:
    """(series whose forecasts are explained, series that are read, windows, which of these the first are; None: the same)."""
    scaled = store if nf.scaler is None else nf.scaler.transform(store)
    futr = futr if nf.scaler is None else nf.scaler.ahead(futr, store)
    own = list(model.futr_exog_list or ())
    ahead = None if futr is None or not own else futr[:, :, [store.futr_names.index(k) for k in own]]
    seen = view(scaled, model)
    if model.MULTIVARIATE:
        for series, batch in model.batches_ahead(seen, ahead):
            places = [series.tolist().index(k) for k in chosen.tolist()]
            yield chosen, series, batch, places
        return
    some = seen.select(chosen)
    for series, batch in model.batches_ahead(some, None if ahead is None else ahead[chosen]):
        yield chosen[series], chosen[series], batch, None


def _outer(nf: NeuralForecast, store: SeriesStore, owners: np.ndarray, multivariate: bool) -> Any:
    """(values [R, S, n, O], window) -> the same in the units of the data; ``owners``: the series of each window, or of each of
    the n of a multivariate model."""
    scaler = nf.scaler
    if scaler is None:
        return None

    def inverse(values: np.ndarray, window: int) -> np.ndarray:
        moved = np.moveaxis(values, 2, 0)  # a series first
        some = store.select(owners if multivariate else owners[[window]])
        return np.moveaxis(scaler.inverse(moved.reshape(len(moved), -1), some).reshape(moved.shape), 0, 2)

    return inverse


def _by_source(model: Any, key: str, values: np.ndarray) -> np.ndarray:
    """[S, n, O, features, times, sources] of one window."""
    if key == "stat_exog":
        return values[..., None, None] if not model.MULTIVARIATE else np.moveaxis(values, -1, -2)[..., :, None, :]
    if not model.MULTIVARIATE:
        return np.moveaxis(values, -1, -2)[..., None]
    return values[..., None, :, :] if key == "insample_y" else values


def _tell(rows: _Rows, sums: _Rows, model: Any, names: list[str], found: Attributions, store: SeriesStore, times: np.ndarray,
          owners: np.ndarray, own: np.ndarray, steps: list[int], target: str) -> None:
    """Add what was found of some windows to the two frames."""
    output, step = np.array(names, object), np.array(steps)
    features = {"insample_y": [target], **{k: getattr(model, f"{v}_exog_list") for k, v in FEATURES.items() if v != "target"}}
    for w in range(len(found.forecast)):
        for n in range(found.forecast.shape[2]):
            owner = owners[n if model.MULTIVARIATE else w]
            sources = own if model.MULTIVARIATE else owners[[w]]
            clock = times[owner, steps]
            one = {k: getattr(found, k)[w, :, n].T for k in ("forecast", "baseline", "attributed", "gap")}  # [O, S]
            sums.add(series=owner, time=clock, output=output[:, None], step=step + 1, **one)
            for key, values in found.values.items():
                each = _by_source(model, key, values[w])[:, n].swapaxes(0, 1)  # [O, S, features, times, sources]
                width = each.shape[3]
                lag = np.full(1, np.nan) if key == "stat_exog" else model.input_size - np.arange(width, dtype=np.float64)
                keep = np.ones(each.shape[3:], bool) if key == "stat_exog" else np.arange(width)[:, None] >= found.lead[w]
                f, t, source = np.nonzero(np.broadcast_to(keep, each.shape[2:]))
                more = {}
                if found.errors:
                    more["std_error"] = _by_source(model, key, found.errors[key][w])[:, n].swapaxes(0, 1)[:, :, f, t, source]
                rows.add(series=owner, time=clock[:, None], output=output[:, None, None], step=step[:, None] + 1,
                         kind=np.array(FEATURES[key], object), feature=np.array(features[key], object)[f],
                         source=sources[source], lag=lag[t], attribution=each[:, :, f, t, source], **more)


def _frame(store: SeriesStore, rows: _Rows, order: list[str]) -> Any:
    """A frame of the kind that the series came in."""
    columns: dict[str, Any] = {name: rows.column(name) for name in order}
    if "source" in columns:
        columns["source"] = store.ids[columns["source"]]
    frame = to_frame(store.ids[rows.column("series")], rows.column("time"),
                     {k: v.tolist() if v.dtype.kind == "O" else v for k, v in columns.items()}, like=store.origin)
    if "lag" not in columns:
        return frame
    if store.origin.get("library") == "polars":
        pl = need("polars", extra="polars")
        return frame.with_columns(pl.col("lag").fill_nan(None).cast(pl.Int64))
    return frame.assign(lag=frame["lag"].astype("Int64"))


def _as_arrays(model: Any, parts: list[Attributions]) -> dict[str, Any]:
    """Arrays laid out as neuralforecast's; see `Explanations`."""
    out: dict[str, Any] = {"insample": None, "futr_exog": None, "hist_exog": None, "stat_exog": None}
    for key in parts[0].values:
        values = np.concatenate([p.values[key] for p in parts])
        if key == "insample_y":  # [..., L, N]
            values = values[..., 0] if not model.MULTIVARIATE else np.moveaxis(values, -1, -2)
            out["insample"] = np.stack([values, np.zeros_like(values)], axis=-1)
        else:
            across = key != "stat_exog" and not model.MULTIVARIATE
            out[key] = np.moveaxis(values, -1, -2) if across else values
    return {**out, "baseline_predictions": np.concatenate([p.baseline for p in parts])}
