"""Training windows changed at random: `Jitter`, `Scaling`, `MagnitudeWarp`, `TimeWarp` (Um et al. 2017, Data Augmentation of
Wearable Sensor Data), as the models' argument ``augment``.

Contract: arrays in, the same arrays changed in place; what is missing stays missing. The changes of a step follow from
(seed, step) alone, so training that is resumed sees the same batches; validation and forecasts see none. Inputs and targets of
a window change together, so that one still follows from the other; jitter spares the targets. Covariates stay as they are, but
a warp of time takes them along. NumPy only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ndiv.errors import ConfigError, closest

from .store import SeriesStore

__all__ = ["AUGMENTATIONS", "Augmenter", "Jitter", "MagnitudeWarp", "Scaling", "TimeWarp", "augmentations"]

Batch = dict[str, np.ndarray]
_CHANGED = ("insample_y", "insample_mask", "outsample_y", "outsample_mask", "hist_exog", "futr_exog")
_BLOCK = 1 << 13  # values of windows that are changed at a time: large temporary arrays are new memory, which is slow
_SLOWEST = 0.1  # of the mean speed of warped time, which must not stand still or run backwards


@dataclass(frozen=True)
class Augmentation:
    """Base: ``sigma``, how strong; ``share``, the probability with which a window is changed at all."""

    sigma: float
    share: float = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.sigma, bool) or not isinstance(self.sigma, (int, float)) or not 0 < self.sigma < np.inf:
            raise ConfigError(f"{name}: sigma must be a positive number, got {self.sigma!r}", value=self.sigma)
        if isinstance(self.share, bool) or not isinstance(self.share, (int, float)) or not 0 < self.share <= 1:
            raise ConfigError(f"{name}: share must lie in (0, 1], got {self.share!r}", value=self.share)
        knots = getattr(self, "knots", 1)
        if isinstance(knots, bool) or not isinstance(knots, int) or knots < 1:
            raise ConfigError(f"{name}: knots must be a whole number of at least 1, got {knots!r}", value=knots)

    def config(self) -> dict[str, Any]:
        """JSON-able; `augmentations` makes it again."""
        return {"name": type(self).__name__, **asdict(self)}

    def apply(self, batch: Batch, draw: np.random.Generator, codes: dict[str, list[int]]) -> None:
        """Change a batch in place. ``codes``: columns of categories in "hist_exog" and "futr_exog"."""
        raise NotImplementedError

    def _spared(self, draw: np.random.Generator, windows: int) -> np.ndarray:
        """The windows [B, 1, 1] that stay as they are."""
        return (draw.random(windows) >= self.share)[:, None, None]


@dataclass(frozen=True)
class Jitter(Augmentation):
    """Normal noise on each input; ``sigma`` in standard deviations of the window's inputs.

    >>> batch = {"insample_y": np.array([[[1.0], [3.0]]], "f4"), "insample_mask": np.array([[[1.0], [0.0]]], "f4")}
    >>> Jitter(0.5).apply(batch, np.random.default_rng(0), {})
    >>> batch["insample_y"][0, 1].tolist()
    [3.0]
    """

    sigma: float = 0.05

    def apply(self, batch: Batch, draw: np.random.Generator, codes: dict[str, list[int]]) -> None:
        y, mask = batch["insample_y"], batch["insample_mask"]
        count = np.maximum(mask.sum(axis=1, keepdims=True), 1)
        centred = (y - (y * mask).sum(axis=1, keepdims=True) / count) * mask
        spread = np.sqrt((centred * centred).sum(axis=1, keepdims=True) / count) * self.sigma
        noise = draw.standard_normal(y.shape, np.float32)
        y += np.where(self._spared(draw, len(y)), 0, noise * spread * mask).astype(y.dtype)


@dataclass(frozen=True)
class Scaling(Augmentation):
    """Each window of each series times one number, normal around 1.

    >>> batch = {"insample_y": np.ones((1, 2, 1), "f4"), "outsample_y": np.ones((1, 1, 1), "f4")}
    >>> Scaling(0.5).apply(batch, np.random.default_rng(0), {})
    >>> bool((batch["insample_y"] == batch["outsample_y"]).all())
    True
    """

    sigma: float = 0.1

    def apply(self, batch: Batch, draw: np.random.Generator, codes: dict[str, list[int]]) -> None:
        y = batch["insample_y"]
        factor = 1 + self.sigma * draw.standard_normal((len(y), 1, y.shape[2]), np.float32)
        factor[self._spared(draw, len(y))[:, 0, 0]] = 1
        for name in ("insample_y", "outsample_y"):
            batch[name] *= factor


@dataclass(frozen=True)
class MagnitudeWarp(Augmentation):
    """Each window of each series times a smooth curve: a natural cubic spline through ``knots`` + 2 values around 1, evenly
    spaced from its first input to its last target.

    >>> batch = {"insample_y": np.ones((1, 80, 1), "f4"), "outsample_y": np.ones((1, 40, 1), "f4")}
    >>> MagnitudeWarp(0.2).apply(batch, np.random.default_rng(0), {})
    >>> curve = np.concatenate([batch["insample_y"], batch["outsample_y"]], axis=1)[0, :, 0]
    >>> bool(np.abs(np.diff(curve)).max() < 0.05 < np.ptp(curve))
    True
    """

    sigma: float = 0.2
    share: float = 1.0
    knots: int = 4

    def apply(self, batch: Batch, draw: np.random.Generator, codes: dict[str, list[int]]) -> None:
        y, ahead = batch["insample_y"], batch["outsample_y"]
        curve = _curves(draw, len(y), y.shape[1] + ahead.shape[1], y.shape[2], self.knots, self.sigma)
        curve[self._spared(draw, len(y))[:, 0, 0]] = 1
        y *= curve[:, :y.shape[1]]
        ahead *= curve[:, y.shape[1]:]


@dataclass(frozen=True)
class TimeWarp(Augmentation):
    """Time runs at a smoothly changing speed, a spline as of `MagnitudeWarp`; values are read between steps by straight lines,
    categories at the nearest step. The last input stays where it is, so that no input sees a target.

    >>> y = np.arange(12, dtype="f4").reshape(1, 12, 1)
    >>> batch = {"insample_y": y[:, :8].copy(), "outsample_y": y[:, 8:].copy(), "insample_mask": np.ones((1, 8, 1), "f4"),
    ...          "outsample_mask": np.ones((1, 4, 1), "f4")}
    >>> TimeWarp(0.3).apply(batch, np.random.default_rng(0), {})
    >>> batch["insample_y"][0, [0, 7], 0].tolist(), float(batch["outsample_y"][0, -1, 0])
    ([0.0, 7.0], 11.0)
    """

    sigma: float = 0.2
    share: float = 1.0
    knots: int = 4

    def apply(self, batch: Batch, draw: np.random.Generator, codes: dict[str, list[int]]) -> None:
        y, ahead = batch["insample_y"], batch["outsample_y"]
        windows, length, h = len(y), y.shape[1], ahead.shape[1]
        speed = np.maximum(_curves(draw, windows, length + h, 1, self.knots, self.sigma)[..., 0], _SLOWEST)
        speed[self._spared(draw, windows)[:, 0, 0]] = 1
        clock = _clock(speed, length)
        for name, first, steps in (("y", 0, length + h), ("hist_exog", 0, length), ("futr_exog", 0, length + h)):
            if name == "y":
                values, mask = (np.concatenate([batch[f"{p}sample_{k}"] for p in ("in", "out")], axis=1) for k in ("y", "mask"))
                warped, known = _read(values, clock), _read(mask, clock) > 1 - 1e-4  # where all that it was read from is known
                warped *= known
                y[:], ahead[:] = warped[:, :length], warped[:, length:]
                batch["insample_mask"][:], batch["outsample_mask"][:] = known[:, :length], known[:, length:]
            elif name in batch:
                _warp_covariates(batch[name], clock[:, first:first + steps], codes.get(name, []), y.shape[2])


def _clock(speed: np.ndarray, length: int) -> np.ndarray:
    """Where each step [B, L + h] is read: rising from 0, at L - 1 for the last input and at L + h - 1 for the last target."""
    spent = np.cumsum(speed[:, 1:], axis=1)  # time from the first step to each later one
    total = speed.shape[1]
    clock = np.zeros(speed.shape)
    if length > 1:
        clock[:, 1:length] = spent[:, :length - 1] * ((length - 1) / spent[:, length - 2:length - 1])
    before = spent[:, length - 2:length - 1] if length > 1 else 0.0
    rest = spent[:, length - 1:] - before
    clock[:, length:] = length - 1 + rest * ((total - length) / rest[:, -1:])
    return clock


def _read(values: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """Values [B, T, n] at places [B, t] between the steps."""
    low = np.clip(np.floor(clock + 1e-9).astype(np.int64), 0, values.shape[1] - 1)
    high = np.minimum(low + 1, values.shape[1] - 1)
    weight = np.clip(clock - low, 0, 1)[..., None].astype(np.float32)
    rows = np.arange(len(values))[:, None]
    found: np.ndarray = values[rows, low] * (1 - weight) + np.where(weight > 0, values[rows, high], 0) * weight
    return found


def _warp_covariates(values: np.ndarray, clock: np.ndarray, codes: list[int], series: int) -> None:
    """Covariates [B, T, X], or [B, X, T, n] of a panel, in place."""
    panel = values.ndim == 4
    flat = values.transpose(0, 2, 1, 3).reshape(len(values), values.shape[2], -1) if panel else values
    near = np.take_along_axis(flat, np.rint(clock).astype(np.int64)[..., None], axis=1)
    out = _read(flat, clock)
    if codes:
        at = [c * series + k for c in codes for k in range(series)] if panel else codes
        out[..., at] = near[..., at]
    if panel:
        out = out.reshape(len(values), values.shape[2], values.shape[1], -1).transpose(0, 2, 1, 3)
    values[:] = out


def _curves(draw: np.random.Generator, windows: int, steps: int, series: int, knots: int, sigma: float) -> np.ndarray:
    """Smooth curves around 1, float32 [B, steps, n]."""
    heights = draw.standard_normal((windows, knots + 2, series), np.float32)
    return (1 + sigma * np.einsum("tk,bkn->btn", _spline(knots + 2, steps), heights, optimize=True)).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _spline(knots: int, steps: int) -> np.ndarray:
    """The natural cubic spline through evenly spaced knots, as a matrix [steps, knots] that their heights are multiplied by:
    second derivatives at the knots solve the usual three-diagonal system (de Boor 1978, chapter IV)."""
    second = np.zeros((knots, knots))
    if knots > 2:
        inner = np.arange(1, knots - 1)
        left = np.eye(knots - 2) * 4 + np.eye(knots - 2, k=1) + np.eye(knots - 2, k=-1)
        right = np.zeros((knots - 2, knots))
        right[inner - 1, inner - 1], right[inner - 1, inner], right[inner - 1, inner + 1] = 6, -12, 6
        second[1:-1] = np.linalg.solve(left, right)
    at = np.linspace(0, knots - 1, steps)
    low = np.minimum(at.astype(np.int64), knots - 2)
    b = (at - low)[:, None]
    a = 1 - b
    one = np.eye(knots)
    matrix = a * one[low] + b * one[low + 1] + ((a ** 3 - a) * second[low] + (b ** 3 - b) * second[low + 1]) / 6
    matrix = matrix.astype(np.float32)
    matrix.flags.writeable = False  # it is shared by all that ask for it
    return matrix


AUGMENTATIONS: dict[str, type[Augmentation]] = {c.__name__: c for c in (Jitter, Scaling, MagnitudeWarp, TimeWarp)}


def augmentations(given: Any) -> list[Augmentation]:
    """What the argument ``augment`` of a model holds: objects, names ("Jitter") or what `config` gave, one or a list.

    Raises `ConfigError` (E0010) for anything else.

    >>> augmentations(["Jitter", {"name": "Scaling", "sigma": 0.2}])
    [Jitter(sigma=0.05, share=1.0), Scaling(sigma=0.2, share=1.0)]
    """
    found: list[Augmentation] = []
    for item in given if isinstance(given, (list, tuple)) else ([] if given is None else [given]):
        options = dict(item) if isinstance(item, dict) else {"name": item}
        name = options.pop("name", None)
        if isinstance(item, Augmentation):
            found.append(item)
        elif isinstance(name, str) and name in AUGMENTATIONS:
            try:
                found.append(AUGMENTATIONS[name](**options))
            except TypeError as cause:
                raise ConfigError(f"augment: {name} does not take {options}", value=item, hint=str(cause)) from None
        else:
            raise ConfigError(f"augment: unknown augmentation {item!r}", value=item, hint=closest(str(name), AUGMENTATIONS))
    return found


class Augmenter:
    """Augmentations, one after the other, of the batches of a store's windows.

    >>> Augmenter(["Jitter"], SeriesStore.from_arrays_list([range(9)])).codes
    {'hist_exog': [], 'futr_exog': []}
    """

    def __init__(self, given: Any, store: SeriesStore) -> None:
        self.steps: Sequence[Augmentation] = augmentations(given)
        self.codes = {f"{role}_exog": [k for k, name in enumerate(getattr(store, f"{role}_names")) if name in store.categories]
                      for role in ("hist", "futr")}
        if store.extras and any(isinstance(step, TimeWarp) for step in self.steps):
            raise ConfigError("TimeWarp cannot take events along with the time", value="TimeWarp",
                              hint="Use another augmentation for models that read events.")

    def __call__(self, batch: Batch, draw: np.random.Generator) -> Batch:
        windows, length, series = batch["insample_y"].shape
        size = max(_BLOCK // ((length + batch["outsample_y"].shape[1]) * series), 1)
        for begin in range(0, windows, size):
            part = {name: batch[name][begin:begin + size] for name in _CHANGED if name in batch}
            for step in self.steps:
                step.apply(part, draw, self.codes)
        return batch
