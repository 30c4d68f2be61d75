"""Series that are short for the models at hand: refused, padded or dropped, and counted.

Contract: `long_enough` decides which series a fit keeps and warns of those with few windows; `padded` gives one model series on
which it can train; `ahead_of` does the same for a history to forecast from, where models pad and mask by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.data.frequency import Frequency
from ndiv.data.rules import DataRules
from ndiv.data.store import SeriesStore
from ndiv.data.windows import WindowIndex
from ndiv.errors import HorizonError

from .telling import tell

__all__ = ["ahead_of", "long_enough", "long_enough_with", "padded"]


def long_enough(store: SeriesStore, models: Sequence[Any], held: int, rules: DataRules) -> SeriesStore:
    """The series to fit on; ``held``: rows at the end of each that are not trained on.

    Warns of series that are dropped, and of those with no whole window. `HorizonError` (E0005) where none is left; what is
    too short and not dropped is left to the models, which refuse it.
    """
    return long_enough_with(None, store, models, held, rules)[0]


def long_enough_with(target: np.ndarray | None, store: SeriesStore, models: Sequence[Any], held: int,
                     rules: DataRules) -> tuple[SeriesStore, np.ndarray | None]:
    """`long_enough` for a store and the float64 target [T] beside it."""
    if rules.short_series == "drop":
        need = max(_needed(m) for m in models) + held
        short = store.lengths < need
        if short.all():
            raise HorizonError(f"every series is shorter than {need} rows, so short_series='drop' leaves none: "
                               f"{_named(store, short)}", value=need, hint="lower input_size, val_size or the test windows")
        if short.any():
            tell(f"{int(short.sum())} of {store.n_series} series have fewer than {need} rows and are dropped: "
                 f"{_named(store, short)}")
            target = None if target is None else target[np.repeat(~short, store.lengths)]
            store = store.select(~short)
    _tell_few(store, models, held, rules)
    return store, target


def _needed(model: Any) -> int:
    """Training rows without which a model refuses a series."""
    return 2 if model.arguments["start_padding_enabled"] else int(model.input_size) + 1


def _tell_few(store: SeriesStore, models: Sequence[Any], held: int, rules: DataRules) -> None:
    """Warn, once for the longest of the models, of series without a window whose steps all lie in the training rows."""
    model = max(models, key=lambda m: m.input_size)
    whole, rows = model.input_size + model.h, store.lengths - held
    few = rows < whole
    if rules.short_series == "raise" and not model.arguments["start_padding_enabled"]:
        few &= rows >= _needed(model)  # shorter ones are refused
    if model.MULTIVARIATE or not few.any():
        return
    some = store.select(few)
    padding = rules.short_series == "pad" or model.arguments["start_padding_enabled"]
    counts = WindowIndex(some, model.input_size, model.h, start_padding=padding, hi=np.maximum(some.lengths - held, 0),
                         partial_horizon=True).counts
    labels = [f"{i} ({max(n, 0)} rows, {c} windows)"
              for i, n, c in zip(some.ids[:3], some.lengths[:3] - held, counts[:3], strict=True)]
    more = f" and {some.n_series - 3} more" if some.n_series > 3 else ""
    tell(f"{some.n_series} of {store.n_series} series have fewer than input_size + h = {whole} training rows, so "
         f"their windows lack inputs or targets: {', '.join(labels)}{more}")


def padded(store: SeriesStore, model: Any, held: int, rules: DataRules) -> SeriesStore:
    """The store, and where ``short_series`` says "pad", masked rows before each series that the model would refuse."""
    need = _needed(model) + held
    lack = np.maximum(need - store.lengths, 0)
    if rules.short_series != "pad" or model.MULTIVARIATE or not lack.any():  # multivariate models pad by themselves
        return store
    step = Frequency(store.freq, store.origin.get("time_zone"))
    offsets = np.concatenate([[0], np.cumsum(store.lengths + lack)])
    old = np.repeat(offsets[:-1] + lack - store.offsets[:-1], store.lengths) + np.arange(len(store.y))  # where rows go

    def spread(values: np.ndarray) -> np.ndarray:
        found = np.zeros((offsets[-1], *values.shape[1:]), values.dtype)
        found[old] = values
        return found

    times, now = spread(store.times), store.times[store.offsets[:-1]]
    for k in range(1, int(lack.max()) + 1):
        some = lack >= k
        now = step.shift(now, -1)
        times[(offsets[:-1] + lack - k)[some]] = now[some]
    return replace(store, offsets=offsets, times=times, y=spread(store.y), mask=spread(store.mask), hist=spread(store.hist),
                   futr=spread(store.futr), weight=None if store.weight is None else spread(store.weight))


def ahead_of(store: SeriesStore, models: Sequence[Any], rules: DataRules) -> SeriesStore:
    """A history to forecast from: series shorter than the inputs are dropped where the rules say so, else padded with masked
    steps by the models, of which one warning tells unless the rules ask for it."""
    size = max(m.input_size for m in models)
    short = store.lengths < size
    if not short.any() or rules.short_series == "pad":
        return store
    if rules.short_series == "drop" and not short.all():
        tell(f"{int(short.sum())} of {store.n_series} series are shorter than input_size={size} and are dropped: "
             f"{_named(store, short)}")
        return store.select(~short)
    if rules.short_series == "drop":
        raise HorizonError(f"every series is shorter than input_size={size}, so short_series='drop' leaves none: "
                           f"{_named(store, short)}", value=size, hint="pass longer histories, or short_series='pad' to fit")
    tell(f"{int(short.sum())} of {store.n_series} series are shorter than input_size={size} and are padded on the "
         f"left with masked steps: {_named(store, short)}")
    return store


def _named(store: SeriesStore, which: np.ndarray) -> str:
    found = np.flatnonzero(which)
    labels = [f"{store.ids[s]} ({store.lengths[s]} rows)" for s in found[:3]]
    return ", ".join(labels) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
