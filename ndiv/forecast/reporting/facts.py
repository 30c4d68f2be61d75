"""What a report says of data and models, as rows of text.

Contract: pure functions of a `SeriesStore` or of models; nothing is drawn and nothing is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.data.store import SeriesStore

__all__ = ["data_facts", "data_warnings", "model_rows", "number", "series_rows"]

SHOWN = 12  # series that get a row of their own


def number(value: Any) -> str:
    """Four significant digits; nothing for what is not there."""
    return "" if value is None or not np.isfinite(value) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _clock(value: Any) -> str:
    text = str(value)
    return text.split(".")[0].replace("T00:00:00", "").replace("T", " ")


def data_facts(store: SeriesStore) -> list[list[str]]:
    """(fact, value) of all series together."""
    lengths, missing = store.lengths, int((~store.mask).sum())
    y = store.y[store.mask]
    rows = [["series", f"{store.n_series:,}"], ["rows", f"{len(store.y):,}"], ["frequency", str(store.freq)],
            ["from", _clock(store.times.min())], ["to", _clock(store.times.max())],
            ["length of a series", f"{lengths.min():,} to {lengths.max():,}, median {np.median(lengths):,.0f}"],
            ["missing values", f"{missing:,} ({missing / len(store.y):.2%})"]]
    if len(y):
        rows += [["target", f"{number(float(y.min()))} to {number(float(y.max()))}, mean {number(float(y.mean()))}"],
                 ["zeros", f"{float((y == 0).mean()):.2%}"], ["below zero", f"{float((y < 0).mean()):.2%}"]]
    for role, text in (("hist", "covariates of the past"), ("futr", "covariates known ahead"), ("stat", "static covariates")):
        names = getattr(store, f"{role}_names")
        if names:
            rows.append([text, ", ".join(names)])
    return rows


def series_rows(store: SeriesStore) -> list[list[str]]:
    """id, rows, from, to, mean, standard deviation, missing of the first `SHOWN` series."""
    rows = []
    for s in range(min(store.n_series, SHOWN)):
        own = slice(int(store.offsets[s]), int(store.offsets[s + 1]))
        y = store.y[own][store.mask[own]].astype(np.float64)
        mean, spread = (y.mean(), y.std()) if len(y) else (None, None)
        rows.append([str(store.ids[s]), f"{own.stop - own.start:,}", _clock(store.times[own][0]), _clock(store.times[own][-1]),
                     number(mean), number(spread), f"{int((~store.mask[own]).sum()):,}"])
    return rows


def data_warnings(store: SeriesStore, models: list[Any]) -> list[str]:
    """What a reader should know of the data before trusting the rest."""
    found = []
    share = float((~store.mask).mean())
    if share > 0.05:
        found.append(f"{share:.0%} of the values are missing.")
    starts, ends = store.offsets[:-1], store.offsets[1:]
    even = [str(store.ids[s]) for s in range(min(store.n_series, 10000))
            if len(y := store.y[starts[s]:ends[s]][store.mask[starts[s]:ends[s]]]) and np.ptp(y) == 0]
    if even:
        found.append(f"{len(even)} series have one value only: {', '.join(even[:3])}{' ...' if len(even) > 3 else ''}.")
    if models:
        need = max(m.input_size + m.h for m in models)
        short = int((store.lengths < need).sum())
        if short:
            found.append(f"{short} of {store.n_series} series are shorter than one window of input and forecast "
                         f"({need} steps).")
    return found


def model_rows(models: list[Any], names: list[str], seconds: dict[str, float]) -> list[list[str]]:
    """name, class, weights, input, loss, scaler, steps, learning rate, seconds of each model."""
    rows = []
    for model, name in zip(models, names, strict=True):
        a = model.arguments
        weights = sum(int(np.prod(p.shape)) for p in model.parameters())
        spent = next((t for column, t in seconds.items() if column.startswith(name)), None)
        rows.append([name, type(model).__name__, f"{weights:,}", str(model.input_size), type(model.loss).__name__,
                     str(a["scaler_type"]), f"{a['max_steps']:,}", f"{a['learning_rate']:g}", number(spent)])
    return rows
