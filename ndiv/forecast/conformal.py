"""Conformal intervals: how wide a forecast's interval must be follows from how far off earlier forecasts were.

Contract: a `Calibration` holds what values were above their forecasts in the calibration windows, y - forecast, for each model,
series, window and step (of a model with quantiles: above each of some quantiles); `Calibration.bounds` turns it into quantiles
around a new forecast. Missing values have no score. With exchangeable windows:

conformal_distribution  quantile q of all forecast - |e| and forecast + |e|  (linear interpolation, as neuralforecast)
conformal_error         forecast -+ the quantile max(q, 1 - q) of |e|  (the same; wider than asked for, as it is one-sided)
cqr                     level 1 - a: [lo - Q, hi + Q], Q the k-th smallest of max(lo - y, y - hi) over n scores,
                        k = ceil((n + 1)(1 - a)): the quantile ceil((n + 1)(1 - a)) / n. Then the interval covers at least
                        1 - a, and at most 1 - a + 1 / (n + 1) (Romano, Patterson, Candes, Conformalized Quantile Regression,
                        2019, theorem 1). k > n is refused: n is too small for the level. A point forecast is lo = hi. A
                        quantile that was asked for by itself is moved by its own one-sided scores in the same way.

Scores may be pooled over series where they are measured alike: series differ in scale, so a score of window w is divided by
the series' mean absolute error in its other windows, and multiplied by that in all windows where it is used. Scaled so, windows
of all series are taken for exchangeable; coverage then holds on average over series and not for each. Per series it holds for
each, with as many scores as windows.

Beyond the horizon of the calibration errors are taken to add up block by block, independently: the score of step j in block b
is sqrt(score_j^2 + (b - 1) score_h^2), h the last step of a block. Where the model draws its uncertainty itself (cqr of
quantiles) the blocks' moves are repeated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, DataError
from ndiv.utils import PredictionIntervals

from .asked import Asked
from .quantiles import interpolate

__all__ = ["Calibration", "conformal_quantile"]


def conformal_quantile(scores: np.ndarray, level: float) -> np.ndarray:
    """The k-th smallest of n scores [..., n], k = ceil((n + 1) level); NaN is no score. NaN where k > n.

    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9)  # the 18th of 19
    array(18.)
    """
    ordered = np.sort(scores, axis=-1)  # NaN last
    n = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    k = np.ceil(np.round((n + 1) * level, 9)).astype(np.int64)
    found = np.take_along_axis(ordered, np.clip(k, 1, ordered.shape[-1]) - 1, axis=-1)
    return np.asarray(np.where(k <= n, found, np.nan)[..., 0])


@dataclass
class Calibration:
    """The scores of some models on some series.

    ``ids`` [S]; ``errors``: model's name -> y - forecast, float32 [S, W, steps, Q]; ``quantiles``: model's name -> the Q
    quantiles that were forecast, () for a point forecast (Q = 1).
    """

    settings: PredictionIntervals
    ids: np.ndarray
    errors: dict[str, np.ndarray]
    quantiles: dict[str, tuple[float, ...]]

    def bounds(self, name: str, store: SeriesStore, base: np.ndarray, asked: Asked) -> np.ndarray:
        """Conformal quantiles [S, steps, Q] for the series of a store; they never cross.

        base   the point forecast [S, steps, 1], or the model's quantiles ``self.quantiles[name]`` [S, steps, K]

        Raises `DataError` (E0011) for series that were not calibrated, `ConfigError` (E0010) for a level that needs more
        scores than there are.
        """
        errors, scale = self._chosen(name, store)  # [G, n, steps', K], [S, 1]
        k = self.quantiles[name]
        if k:
            moved = self._moved(errors, scale, interpolate(k, base, asked.quantiles), k, asked)
        else:
            moved = base + self._around(errors, asked, base.shape[1]) * scale[..., None]
        if np.isnan(moved).any():
            self._refuse(moved, errors, asked)
        return np.sort(moved, axis=-1)

    # -- scores ----------------------------------------------------------------------------------------------------------

    def _chosen(self, name: str, store: SeriesStore) -> tuple[np.ndarray, np.ndarray]:
        """(scores, a row for each series or one for all, [S or 1, n, steps, K]; what they are multiplied by, [S, 1])."""
        if name not in self.errors:
            raise ConfigError(f"{name} was not calibrated", value=name,
                              hint="Call calibrate(df, PredictionIntervals(...)) again.")
        place = need("pandas").Index(self.ids).get_indexer(need("pandas").Index(store.ids))
        new = np.flatnonzero(place < 0)
        if new.size:
            some = ", ".join(str(v) for v in store.ids[new[:3]])
            raise DataError(f"{new.size} series were not calibrated, the first: {some}", value=store.ids[new[:3]].tolist(),
                            hint="Call calibrate(df, PredictionIntervals(...)) with a history of these series.")
        errors = self.errors[name].astype(np.float64)
        scale = np.ones((store.n_series, 1))
        if self.settings.scores == "per_series":
            found = errors[place]
        else:
            size, others = self._sizes(name, errors)
            with np.errstate(divide="ignore", invalid="ignore"):
                scaled = errors / others[:, :, None, None]
            scaled[~np.isfinite(scaled)] = np.nan  # a series that was forecast without error tells nothing of others
            found, scale = scaled.reshape(1, -1, *scaled.shape[2:]), size[place, None]
        if not self.settings.by_step:
            found = found.reshape(found.shape[0], -1, 1, found.shape[3])
        return found, scale

    def _sizes(self, name: str, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean absolute error of each series, [S], and in the windows other than each, [S, W]."""
        k = self.quantiles[name]
        middle = int(np.argmin(np.abs(np.asarray(k) - 0.5))) if k else 0
        sizes = np.abs(errors[..., middle])
        known = np.isfinite(sizes)
        total, count = np.where(known, sizes, 0.0).sum(axis=2), known.sum(axis=2)  # [S, W]
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = (total.sum(axis=1, keepdims=True) - total) / (count.sum(axis=1, keepdims=True) - count)
            return total.sum(axis=1) / count.sum(axis=1), rest

    # -- point forecasts ---------------------------------------------------------------------------------------------------

    def _around(self, errors: np.ndarray, asked: Asked, steps: int) -> np.ndarray:
        """What is added to a point forecast: [G, steps, Q]."""
        sizes = np.abs(errors[..., 0]).transpose(0, 2, 1)  # [G, steps', n]
        own = steps if self.settings.by_step else 1
        sizes = np.stack([_grown(sizes, t) for t in range(own)], axis=1)
        if not self.settings.by_step:
            blocks = np.sqrt(1 + np.arange(steps) // next(iter(self.errors.values())).shape[2])
            sizes = sizes * blocks[:, None]
        found = []
        for q in asked.quantiles:
            side = np.sign(q - 0.5)
            if self.settings.method == "cqr":
                found.append(side * conformal_quantile(sizes, abs(2 * q - 1)) if side else np.zeros(sizes.shape[:2]))
            elif self.settings.method == "conformal_error":
                found.append(side * _quantile(sizes, max(q, 1 - q)))
            else:
                found.append(_quantile(np.concatenate([-sizes, sizes], axis=-1), q))
        return np.stack(found, axis=-1)

    # -- quantiles ---------------------------------------------------------------------------------------------------------

    def _moved(self, errors: np.ndarray, scale: np.ndarray, base: np.ndarray, known: tuple[float, ...],
               asked: Asked) -> np.ndarray:
        # y - quantile: the same interpolation of the quantiles as in the forecast, with its sign turned
        above = -interpolate(known, -errors, asked.quantiles).transpose(0, 2, 3, 1)  # [G, steps', Q, n]
        last = len(asked.quantiles) - 1
        moves = []
        for k, q in enumerate(asked.quantiles):
            lower = q < 0.5
            if asked.central:
                score = np.maximum(-above[:, :, min(k, last - k)], above[:, :, max(k, last - k)])
                level = abs(2 * q - 1)
            else:
                score, level = (-above[:, :, k], 1 - q) if lower else (above[:, :, k], q)
            moves.append((-1 if lower else 1) * conformal_quantile(score, level))
        move = np.stack(moves, axis=-1)  # [G, steps', Q]
        move = move[:, np.arange(base.shape[1]) % move.shape[1]]
        return base + move * scale[..., None]

    def _refuse(self, moved: np.ndarray, errors: np.ndarray, asked: Asked) -> None:
        scores = int(np.isfinite(errors[..., 0]).sum(axis=1).min())
        if self.settings.method != "cqr" or not scores:
            raise ConfigError("a series has no calibration score at some step: all of its values there were missing", value=0,
                              hint="Calibrate with more windows, or with scores='pooled' or by_step=False.")
        central = asked.central or not any(self.quantiles.values())
        levels = [abs(2 * q - 1) if central else max(q, 1 - q) for q in asked.quantiles]
        wanted = int(np.ceil(np.round(max(levels) / (1 - max(levels)), 9)))
        bad = asked.suffixes[int(np.isnan(moved).any(axis=(0, 1)).argmax())]
        raise ConfigError(f"{bad} needs {wanted} scores and a series has {scores} at some step", value=scores,
                          hint="Calibrate with more windows, with scores='pooled' (all series together) or by_step=False "
                               "(all steps together).")

    # -- saving ------------------------------------------------------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, JSON-able facts without the ids)."""
        arrays = {f"errors.{k}": v for k, v in enumerate(self.errors.values())}
        return arrays, {"settings": asdict(self.settings), "models": list(self.errors),
                        "quantiles": [list(self.quantiles[name]) for name in self.errors]}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], meta: dict[str, Any], ids: np.ndarray) -> Calibration:
        """What `to_arrays` gave; `ValueError` where the parts do not fit."""
        quantiles = {name: tuple(float(q) for q in qs) for name, qs in zip(meta["models"], meta["quantiles"], strict=True)}
        errors = {name: arrays[f"errors.{k}"] for k, name in enumerate(meta["models"])}
        for name, values in errors.items():
            if values.ndim != 4 or values.shape[0] != len(ids) or values.shape[3] != max(len(quantiles[name]), 1):
                raise ValueError(f"the scores of {name} have shape {values.shape}")
        return cls(PredictionIntervals(**meta["settings"]), ids, errors, quantiles)


def _grown(sizes: np.ndarray, step: int) -> np.ndarray:
    """The scores of a step [G, n] from those of the calibrated ones [G, steps', n]; see the top of the file."""
    block, j = divmod(step, sizes.shape[1])
    found: np.ndarray = sizes[:, j] if not block else np.sqrt(sizes[:, j] ** 2 + block * sizes[:, -1] ** 2)
    return found


def _quantile(scores: np.ndarray, q: float) -> np.ndarray:
    """Along the last axis, without NaN."""
    if not np.isnan(scores).any():
        return np.asarray(np.quantile(scores, q, axis=-1))
    with np.errstate(all="ignore"):
        empty = np.isnan(scores).all(axis=-1)
        found = np.nanquantile(np.where(empty[..., None], 0.0, scores), q, axis=-1)
    return np.where(empty, np.nan, found)
