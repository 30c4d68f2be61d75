"""Models trained and asked on plain arrays of windows, X and y, for users who cut their own.

Contract: `fit_arrays` trains on exactly the windows that it is given, by the same steps as `fit_store`; the batch of a step
follows from the seed and the step. Several targets at once are the channels of a multivariate model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.weights import check_weights
from ..errors import ConfigError, DataError, EmptyDataError, NotFittedError, ShapeError
from ..training.tuning import tuned

if TYPE_CHECKING:
    from .base import BaseModel

__all__ = ["ArrayLoader", "fit_arrays", "predict_arrays"]

Batch = dict[str, np.ndarray]


class ArrayLoader:
    """Batches of windows that are at hand: ``size`` of them a step, drawn without replacement, or all where there are fewer.

    >>> loader = ArrayLoader({"insample_y": np.zeros((5, 3, 1), np.float32)}, size=2, seed=1, fixed=())
    >>> loader.batch(0)["insample_y"].shape, len(list(loader.batches()))
    ((2, 3, 1), 3)
    """

    def __init__(self, windows: Batch, size: int, seed: int, fixed: tuple[str, ...]) -> None:
        self.windows, self.size, self.seed, self.fixed = windows, size, seed, fixed  # fixed: arrays without windows
        self.count = len(windows["insample_y"])
        self.steps_per_epoch = -(-self.count // size)

    def _taken(self, rows: Any) -> Batch:
        return {k: v if k in self.fixed else v[rows] for k, v in self.windows.items()}

    def batch(self, step: int) -> Batch:
        """The batch of one step; equal arguments give equal arrays."""
        if self.count <= self.size:
            return self.windows
        generator = np.random.Generator(np.random.Philox(key=np.array([self.seed, step], np.uint64)))
        return self._taken(np.sort(generator.choice(self.count, self.size, replace=False, shuffle=False)))

    def batches(self) -> Iterator[Batch]:
        """All windows once, in order."""
        for begin in range(0, self.count, self.size):
            yield self._taken(slice(begin, begin + self.size))


def fit_arrays(model: BaseModel, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None, sample_weight: Any = None,
               verbose: bool | None = None, on_nan: str = "raise", max_steps: int | None = None,
               learning_rate: float | None = None, freeze: Any = None, reset_optimizer: bool = False, **exog: Any) -> BaseModel:
    """Train on windows; see `BaseModel.fit_arrays`."""
    if model.cat_exog_list:
        raise ConfigError(f"{model!r} has cat_exog_list, and arrays say nothing of categories", value=model.cat_exog_list,
                          hint="fit on a frame, or encode the categories yourself")
    inputs = _values(X, model.input_size, "X")
    if model.MULTIVARIATE and (model._sized or model.arguments["n_series"] is None) and model.n_series != inputs.shape[2]:
        model._size(inputs.shape[2])
    a = model.arguments
    loader = _loader(model, inputs, y, sample_weight, exog, a["windows_batch_size"])
    judge = None
    if validation is not None:
        judge = _loader(model, _values(validation[0], model.input_size, "X"), validation[1], None, {},
                        a["inference_windows_batch_size"])
    elif a["early_stop_patience_steps"] >= 0:
        raise ConfigError(f"{model!r}: early stopping needs a validation set", value=None, hint="give validation=(X, y)")
    model.before_training(loader)  # type: ignore[arg-type]
    with tuned(model, max_steps=max_steps, learning_rate=learning_rate, freeze=freeze, reset_optimizer=reset_optimizer):
        model._run(loader, judge, verbose=verbose, on_nan=on_nan)
    model.series_ids = None
    return model


def predict_arrays(model: BaseModel, X: Any, **exog: Any) -> np.ndarray:
    """Forecasts of windows; see `BaseModel.predict_arrays`."""
    if not model.fitted:
        raise NotFittedError(f"{type(model).__name__} has not been trained", hint="call fit_arrays first")
    inputs = _values(X, model.input_size, "X")
    loader = ArrayLoader(_windows(model, inputs, exog), model.arguments["inference_windows_batch_size"], 0, _fixed(model))
    found = np.concatenate([model.forecast(batch) for batch in loader.batches()])
    return found[:, :, 0] if np.ndim(X) == 2 and found.shape[2] == 1 else found


def _loader(model: BaseModel, inputs: np.ndarray, y: Any, weight: Any, exog: dict[str, Any], size: int) -> ArrayLoader:
    windows, targets = _windows(model, inputs, exog), _values(y, model.h, "y")
    if len(targets) != len(inputs) or targets.shape[2] != inputs.shape[2]:
        raise ShapeError(f"X has shape {list(inputs.shape)} and y {list(targets.shape)}", value=targets.shape,
                         hint="give as many windows and channels in both")
    known = ~np.isnan(targets)
    windows["outsample_y"], windows["outsample_mask"] = np.where(known, targets, np.float32(0)), known.astype(np.float32)
    if weight is not None:
        values = np.asarray(weight, np.float32)
        if values.shape != (len(inputs),) or not (values >= 0).all() or not np.isfinite(values).all():
            raise DataError(f"sample_weight must hold {len(inputs)} numbers of at least 0, one for each window",
                            value=values.shape, hint="0 leaves a window out")
        check_weights(values, "sample_weight")
        windows["sample_weight"] = np.repeat(values[:, None, None], inputs.shape[2], axis=2)
    return ArrayLoader(windows, size, model.random_seed, _fixed(model))


def _windows(model: BaseModel, inputs: np.ndarray, exog: dict[str, Any]) -> Batch:
    known = ~np.isnan(inputs)
    found = {"insample_y": np.where(known, inputs, np.float32(0)), "insample_mask": known.astype(np.float32)}
    for name, value in exog.items():
        if name not in ("hist_exog", "futr_exog", "stat_exog"):
            raise ConfigError(f"unknown array {name!r}", value=name, hint="hist_exog, futr_exog and stat_exog are covariates")
        if value is not None:
            found[name] = np.ascontiguousarray(value, dtype=np.float32)
    model.inputs({k: v if k in _fixed(model) else v[:1] for k, v in found.items()})  # refuses shapes that do not fit
    return found


def _fixed(model: BaseModel) -> tuple[str, ...]:
    return ("stat_exog",) if model.MULTIVARIATE else ()


def _values(values: Any, steps: int, what: str) -> np.ndarray:
    """X or y as float32 [N, steps, n], NaN where missing."""
    found = np.asarray(values, np.float32)
    found = found[:, :, None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1] != steps:
        raise ShapeError(f"{what} has shape {list(np.shape(values))}", value=np.shape(values),
                         hint=f"it must be [N, {steps}] or [N, {steps}, n]")
    if not len(found):
        raise EmptyDataError(f"{what} has no windows", value=0)
    if np.isinf(found).any():
        raise DataError(f"{what} holds infinite values", value=what, hint="replace them by NaN, which means missing")
    return found
