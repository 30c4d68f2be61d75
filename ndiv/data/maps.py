"""Maps of the target before models see it: `Differences` of a series, and `TargetMap`, a pair of functions of the user.

Contract: ``inverse(transform(y))`` is y, to the rounding of float32; forecasts [S, h, ...] are mapped back column by column.
A rising function maps quantiles to quantiles; sums of quantiles are none, so differences are for point forecasts and sample
paths only (`refuse_quantiles`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, DataError, closest

from .store import SeriesStore

__all__ = ["TARGET_MAPS", "Differences", "TargetMap", "refuse_quantiles"]

# pairs that a file can name
TARGET_MAPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log": (np.log, np.exp), "log1p": (np.log1p, np.expm1), "sqrt": (np.sqrt, np.square), "asinh": (np.arcsinh, np.sinh),
    "cbrt": (np.cbrt, lambda x: x ** 3)}


class Differences:
    """Each value less the one ``period`` steps before; the first ``period`` rows of a series are missing.

    >>> store = SeriesStore.from_arrays_list([[1.0, 3.0, 6.0]])
    >>> Differences(1).transform(store).y.tolist(), Differences(1).inverse(np.array([[1.0, 1.0]]), store).tolist()
    ([0.0, 2.0, 3.0], [[7.0, 8.0]])
    """

    def __init__(self, period: int) -> None:
        self.period = period

    def transform(self, store: SeriesStore) -> SeriesStore:
        """The store with differences; a difference is missing where either value is."""
        rows = np.arange(len(store.y))
        before = rows - self.period
        inside = before >= np.repeat(store.offsets[:-1], store.lengths)
        before = np.where(inside, before, 0)
        mask = store.mask & inside & store.mask[before]
        y = np.where(mask, store.y.astype(np.float64) - store.y[before], 0.0)
        return replace(store, y=y, mask=mask)

    def inverse(self, values: np.ndarray, store: SeriesStore) -> np.ndarray:
        """Values [S, h, ...] summed on from the last values of the store's series; a missing one counts as that a period
        earlier, or else as the last that there is (0 in a series without any)."""
        out = values.astype(np.float64)
        base = self._last(store)
        for step in range(out.shape[1]):
            before = out[:, step - self.period] if step >= self.period else None
            out[:, step] += base[:, step].reshape(-1, *[1] * (out.ndim - 2)) if before is None else before
        return out

    def _last(self, store: SeriesStore) -> np.ndarray:
        """The last ``period`` values of each series, float64 [S, period]."""
        size, rows = self.period, np.arange(len(store.y))
        found = np.zeros((store.n_series, size))
        begin = store.offsets[:-1]
        seen = np.maximum.accumulate(np.where(store.mask, rows, -1)) if len(rows) else rows
        last = seen[np.maximum(store.offsets[1:] - 1, 0)]
        any_ = (last >= begin) & (store.lengths > 0)
        found[any_] = store.y[last[any_], None]
        todo = np.ones(found.shape, bool)
        place = store.offsets[1:, None] - size + np.arange(size)
        while True:  # a period further back each time, for those that are missing
            todo &= place >= begin[:, None]
            if not todo.any():
                return found
            at = np.where(todo, place, 0)
            hit = todo & store.mask[at]
            found[hit] = store.y[at[hit]]
            todo &= ~hit
            place = place - size


class TargetMap:
    """A pair of rising functions of arrays: models are trained on ``forward(y)`` and forecasts are ``inverse`` of theirs.

    ``pair``: two functions, or the name of a pair in `TARGET_MAPS`, which a saved forecaster can name. Raises `ConfigError`
    (E0010) for anything else.

    >>> pair = TargetMap("log1p")
    >>> pair.inverse(pair.forward(np.array([0.0, 9.0]))).round(6).tolist()
    [0.0, 9.0]
    """

    def __init__(self, pair: Any) -> None:
        self.name: str | None = None
        if isinstance(pair, str):
            if pair not in TARGET_MAPS:
                raise ConfigError(f"unknown target_transform {pair!r}", value=pair, hint=closest(pair, TARGET_MAPS))
            self.name, pair = pair, TARGET_MAPS[pair]
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(callable(f) for f in pair):
            raise ConfigError(f"target_transform must be a pair of functions (forward, inverse), got {pair!r}", value=pair,
                              hint=f"Or a name: {', '.join(TARGET_MAPS)}.")
        self.forward, self.inverse = pair
        self.name = self.name or next((n for n, known in TARGET_MAPS.items() if known == tuple(pair)), None)

    def config(self) -> dict[str, Any]:
        """JSON-able: the name of the pair, or where a person finds its functions."""
        found = ", ".join(f"{getattr(f, '__module__', None)}.{getattr(f, '__qualname__', getattr(f, '__name__', f))}"
                          for f in (self.forward, self.inverse))
        return {"name": self.name, "functions": None if self.name else found}

    def check(self, store: SeriesStore) -> TargetMap:
        """This map, or `DataError` (E0011) where it is no rising map of the store's values with that inverse."""
        known = store.y[store.mask].astype(np.float64)
        y = np.unique(np.quantile(known, np.linspace(0, 1, 101), method="nearest")) if known.size else known
        z = self._mapped(self.forward, y, "forward")
        bad = np.flatnonzero(~np.isfinite(z))
        if bad.size:
            raise DataError(f"target_transform: forward({y[bad[0]]:g}) is {z[bad[0]]:g}", value=float(y[bad[0]]),
                            hint="Use a map that takes all values of the target, such as 'log1p' or 'asinh'.")
        if (np.diff(z) <= 0).any():
            k = int(np.flatnonzero(np.diff(z) <= 0)[0])
            raise DataError(f"target_transform must rise: forward gives {z[k]:g} for {y[k]:g} and {z[k + 1]:g} for "
                            f"{y[k + 1]:g}", value=float(y[k]),
                            hint="Intervals need a map that keeps the order, such as -1 / y instead of 1 / y.")
        back = self._mapped(self.inverse, z, "inverse")
        wrong = np.flatnonzero(~(np.abs(back - y) <= 1e-3 * np.maximum(np.abs(y), np.abs(y).max(initial=0) * 1e-2)))
        if wrong.size:
            k = int(wrong[0])
            raise DataError(f"target_transform: inverse(forward({y[k]:g})) is {back[k]:g}", value=float(y[k]),
                            hint="Give a forward function and its own inverse, in this order.")
        return self

    def transform(self, store: SeriesStore) -> SeriesStore:
        """The store with its observed values mapped; `DataError` (E0011) where a value has no image."""
        y = store.y.astype(np.float64)
        z = np.zeros_like(y)
        z[store.mask] = self._mapped(self.forward, y[store.mask], "forward")
        bad = np.flatnonzero(~np.isfinite(z))
        if bad.size:
            owner = store.ids[np.searchsorted(store.offsets, bad[0], side="right") - 1]
            raise DataError(f"target_transform: forward({y[bad[0]]:g}) of series {owner} is {z[bad[0]]:g}",
                            value=float(y[bad[0]]),
                            hint="Use a map that takes all values of the target, such as 'log1p' or 'asinh'.")
        return replace(store, y=z)

    def moved(self, values: np.ndarray) -> np.ndarray:
        """A covariate in units of the target, mapped; what has no image is not finite."""
        return self._mapped(self.forward, values, "forward")

    def back(self, values: np.ndarray) -> np.ndarray:
        """Forecasts in the units of the data."""
        return self._mapped(self.inverse, values.astype(np.float64), "inverse")

    def _mapped(self, function: Callable[..., Any], values: np.ndarray, what: str) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):  # what is not finite is reported by value
                found = np.asarray(function(values), np.float64)
        except Exception as cause:  # whatever the user's function raises
            raise ConfigError(f"target_transform: {what} failed on an array of shape {values.shape}: "
                              f"{type(cause).__name__}: {cause}",
                              value=values.shape, hint="Both functions must work on arrays, element by element.") from cause
        if found.shape != values.shape:
            raise ConfigError(f"target_transform: {what} gives shape {found.shape} for {values.shape}", value=found.shape,
                              hint="Both functions must work on arrays, element by element.")
        return found


def refuse_quantiles(models: Sequence[Any]) -> None:
    """`ConfigError` (E0010) where a model forecasts quantiles of differences, whose sums are no quantiles of the target."""
    for model in models:
        loss = getattr(model, "loss", None)
        if len(getattr(loss, "output_names", ("",))) > 1 or getattr(loss, "q", 0.5) != 0.5:
            raise ConfigError(f"{model!r} forecasts quantiles, and local_scaler_type='diff' sums what is forecast: sums of "
                              "quantiles are no quantiles", value=repr(loss),
                              hint="Use a point loss, and PredictionIntervals for intervals; or another local_scaler_type.")
