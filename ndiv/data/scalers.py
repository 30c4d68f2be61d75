"""Scalers: of each window (in the model, statistics of its own input) and of each series (before windows are cut).

Contract: masked steps never count, results hold no NaN, a constant window or series has scale 1. Names and rules are
neuralforecast's ``scaler_type`` and ``local_scaler_type``. Window scalers are written in ndiv ops: they take arrays, and
tensors where a step is traced. Series scalers are coreforecast's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ndiv.autograd import Tensor
from ndiv.autograd.ops import FUNCTIONS
from ndiv.autograd.tape import stopped
from ndiv.errors import ConfigError, DataError, NotFittedError, ShapeError, closest

from ._extras import need
from .store import SeriesStore

_f = SimpleNamespace(**FUNCTIONS)

__all__ = ["SERIES_SCALERS", "WINDOW_SCALERS", "SeriesScaler", "WindowScaler", "series_scaler", "window_scaler"]

# The median absolute deviation of a standard normal variable.
_MAD_OF_NORMAL = 0.6744897501960817

WINDOW_SCALERS = ("identity", "standard", "robust", "minmax", "minmax1", "invariant", "revin")
SERIES_SCALERS = ("standard", "robust", "robust-iqr", "minmax", "boxcox", "log1p")
_ABOVE = {"boxcox": 0.0, "log1p": -1.0}  # what every value of the target must exceed


def _mean(x: Any, on: Any, axis: int) -> Any:
    count = _f.maximum(on.astype(x.dtype).sum(axis=axis, keepdims=True), 1.0)
    return _f.where(on, x, 0.0).astype(x.dtype).sum(axis=axis, keepdims=True) / count


def _standard(x: Any, on: Any, axis: int) -> tuple[Any, Any]:
    """Mean and standard deviation, of the differences to the largest value: those of a constant window are exactly 0 in
    float32 plans too, where its mean alone may be off by a rounding, and a scale of 0 is what becomes 1."""
    largest = _f.where(_some(x, on, axis), _f.amax(_f.where(on, x, -np.inf).astype(x.dtype), axis, True), 0.0).astype(x.dtype)
    below = x - largest
    mean = _mean(below, on, axis)
    centred = below - mean
    return largest + mean, _f.sqrt(_mean(centred * centred, on, axis))


def _some(x: Any, on: Any, axis: int) -> Any:
    return on.astype(x.dtype).sum(axis=axis, keepdims=True) > 0


def _median(x: Any, on: Any, axis: int) -> Any:
    """The lower median of the steps that are on, 0 where none is: of an even number the smaller middle one."""
    ordered, _ = _f.sort(_f.where(on, x, np.inf).astype(x.dtype), axis)
    count = on.astype(x.dtype).sum(axis=axis, keepdims=True)
    rank = np.arange(x.shape[axis], dtype=x.dtype).reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])
    past = count - (2.0 * rank + 1.0)  # 0 or 1 at the lower middle one
    return _f.where(past >= 0, _f.where(past <= 1, ordered, 0.0), 0.0).astype(x.dtype).sum(axis=axis, keepdims=True)


def _robust(x: Any, on: Any, axis: int) -> tuple[Any, Any]:
    middle = _median(x, on, axis)
    spread = _median(_f.abs(x - middle), on, axis)
    # More than half of the steps equal: the standard deviation takes over, scaled as a normal variable would have it.
    return middle, _f.where(spread > 0, spread, _standard(x, on, axis)[1] * _MAD_OF_NORMAL)


def _minmax(x: Any, on: Any, axis: int) -> tuple[Any, Any]:
    some = _some(x, on, axis)
    low = _f.where(some, _f.amin(_f.where(on, x, np.inf), axis, True), 0.0)
    high = _f.where(some, _f.amax(_f.where(on, x, -np.inf), axis, True), 0.0)
    return low, high - low


_STATISTICS = {"standard": _standard, "revin": _standard, "robust": _robust, "invariant": _robust, "minmax": _minmax,
               "minmax1": _minmax}


def _asinh(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return np.arcsinh(x)
    a = _f.abs(x)  # log(a + sqrt(a a + 1)), accurate near 0
    return _f.sign(x) * _f.log1p(a + a * a / (1.0 + _f.sqrt(a * a + 1.0)))


def _sinh(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return np.sinh(x)
    e = _f.expm1(_f.abs(x))
    return _f.sign(x) * 0.5 * (e + e / (e + 1.0))


@dataclass(frozen=True)
class WindowScaler:
    r"""One temporal scaler, made by `window_scaler`.

    ``standard`` and ``revin``: mean, standard deviation (:math:`1/n`). ``robust``: median, median absolute deviation.
    ``minmax``, ``minmax1``: minimum, range, onto [0, 1] and [-1, 1]. ``invariant``: arcsinh of ``robust``. A scale of
    zero becomes 1, then ``eps`` is added. ``revin`` has the statistics only; its affine part belongs to the model.
    """

    name: str
    eps: float = 1e-6

    def stats(self, x: Any, mask: Any = None, axis: int = 1) -> tuple[Any, Any]:
        """(loc, scale) of ``x`` over ``axis``, which keeps length 1; type of ``x``, computed in float64 (in float32 plans, in
        float32). Arrays give arrays, tensors give tensors without gradient.

        ``mask`` has the shape of ``x`` or broadcasts to it, non-zero where a value counts; with none, loc is 0 and
        scale 1 + eps. Values under a zero mask may be anything, NaN included.
        """
        x = stopped(x) if isinstance(x, Tensor) else np.asarray(x)
        kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        if self.name == "identity":
            shape = tuple(1 if k == axis % x.ndim else n for k, n in enumerate(x.shape))
            return np.zeros(shape, kind), np.ones(shape, kind)
        on = np.ones(x.shape, bool) if mask is None else _f.expand(stopped(mask) > 0, tuple(x.shape))
        loc, scale = _STATISTICS[self.name](_f.where(on, x, 0.0).astype(np.float64), on, axis)
        scale = _f.where(scale == 0, 1.0, scale) + self.eps
        return loc.astype(kind), scale.astype(kind)

    def transform(self, x: Any, loc: Any, scale: Any) -> Any:
        """``x`` in units of the window."""
        if self.name == "identity":
            return x
        z = (x - loc) / scale
        if self.name == "minmax1":
            return z * 2.0 - 1.0
        return _asinh(z) if self.name == "invariant" else z

    def inverse(self, z: Any, loc: Any, scale: Any) -> Any:
        """``z`` back in the units of the data."""
        if self.name == "identity":
            return z
        if self.name == "minmax1":
            z = (z + 1.0) * 0.5
        elif self.name == "invariant":
            z = _sinh(z)
        return z * scale + loc


def window_scaler(name: str | None, eps: float = 1e-6) -> WindowScaler:
    """The temporal scaler of that name (None is "identity"); `ConfigError` (E0010) lists the valid ones.

    >>> s = window_scaler("minmax")
    >>> loc, scale = s.stats(np.array([[2.0, 4.0, 6.0]]))
    >>> s.transform(np.array([[2.0, 4.0, 6.0]]), loc, scale).round(3).tolist()
    [[0.0, 0.5, 1.0]]
    """
    name = "identity" if name is None else name
    if name not in WINDOW_SCALERS:
        raise ConfigError(f"unknown scaler_type {name!r}", value=name, hint=closest(name, WINDOW_SCALERS))
    return WindowScaler(name, eps)


def series_scaler(name: str | None, extra: Sequence[str] = ("diff",)) -> tuple[str | None, int]:
    """(name, period) of a ``local_scaler_type``: "diff-12" is ("diff", 12), the others have period 0.

    Raises `ConfigError` (E0010) for an unknown name; ``extra``: names beside `SERIES_SCALERS`.

    >>> series_scaler("diff"), series_scaler("diff-12"), series_scaler("minmax")
    (('diff', 1), ('diff', 12), ('minmax', 0))
    """
    if name is None or name in SERIES_SCALERS:
        return name, 0
    base, dash, period = name.partition("-") if isinstance(name, str) else (name, "", "")
    if base in extra and (not dash or (period.isdigit() and int(period) > 0)):
        return base, int(period or 1)
    raise ConfigError(f"unknown local_scaler_type {name!r}", value=name,
                      hint=closest(name, [*SERIES_SCALERS, *extra, *(f"{n}-12" for n in extra)]))


class SeriesScaler:
    """Each series in its own units, before windows are cut: neuralforecast's ``local_scaler_type``.

    "standard", "robust" (median, MAD), "robust-iqr", "minmax", "boxcox" (log-likelihood, lambda from 0), "log1p" (which has no
    statistics). Missing values do not count; a constant series has scale 1, one without values is left as it is.

    Raises `ConfigError` (E0010) for an unknown name, `DataError` (E0011) when "boxcox" meets a value of 0 or less or "log1p"
    one of -1 or less, `NotFittedError` (E0001).

    >>> store = SeriesStore.from_arrays_list([[1.0, 3.0], [10.0, 30.0]])
    >>> scaler = SeriesScaler("minmax").fit(store)
    >>> scaler.transform(store).y.tolist(), scaler.inverse(np.array([[0.5], [0.5]])).tolist()
    ([0.0, 1.0, 0.0, 1.0], [[2.0], [20.0]])
    """

    def __init__(self, name: str) -> None:
        if name not in SERIES_SCALERS:
            raise ConfigError(f"unknown local_scaler_type {name!r}", value=name, hint=closest(name, SERIES_SCALERS))
        self.name = name
        self.stats_: np.ndarray | None = None  # [S, 2]: (loc, scale), or (lambda, 0) of Box-Cox

    def engine(self, stats: np.ndarray | None = None) -> Any:
        """coreforecast's scaler of that name, with these statistics."""
        scalers = need("coreforecast.scalers")
        if self.name == "standard":
            engine = scalers.LocalStandardScaler()
        elif self.name == "minmax":
            engine = scalers.LocalMinMaxScaler()
        elif self.name == "boxcox":
            engine = scalers.LocalBoxCoxScaler(method="loglik", lower=0.0)
        else:
            engine = scalers.LocalRobustScaler(scale="iqr" if self.name == "robust-iqr" else "mad")
        if stats is not None:
            engine.stats_ = stats
        return engine

    def fit(self, store: SeriesStore) -> SeriesScaler:
        """Statistics of every series, from its observed values."""
        ends = np.concatenate([[0], np.cumsum(store.mask)])[store.offsets]
        some = np.flatnonzero(np.diff(ends))
        values = store.y[store.mask].astype(np.float64)
        if self.name in _ABOVE and (values <= _ABOVE[self.name]).any():
            bad = np.flatnonzero(store.mask)[values <= _ABOVE[self.name]]
            owners = np.unique(np.searchsorted(store.offsets, bad, side="right") - 1)
            names = [str(i) for i in store.ids[owners[:3]]]
            what = "positive values" if self.name == "boxcox" else "values above -1"
            raise DataError(f"{self.name} needs {what}; {len(owners)} series have others: {', '.join(names)}",
                            value=names, hint="Add a constant to y, or use another local_scaler_type.")
        if self.name == "log1p":
            self.stats_ = np.zeros((store.n_series, 2))
            return self
        stats = np.tile([1.0, 0.0] if self.name == "boxcox" else [0.0, 1.0], (store.n_series, 1))
        if some.size:
            group = need("coreforecast.grouped_array").GroupedArray
            stats[some] = self.engine().fit(group(values, np.append(ends[some], ends[-1]).astype(np.int32))).stats_
        if self.name != "boxcox":
            stats[:, 1] = np.where(stats[:, 1] == 0, 1.0, stats[:, 1])
        self.stats_ = stats
        return self

    def _run(self, direction: str, values: np.ndarray, offsets: np.ndarray, series: np.ndarray | None) -> np.ndarray:
        if self.stats_ is None:
            raise NotFittedError("the series scaler is not fitted", hint="Call fit(store) first.")
        stats = self.stats_ if series is None else self.stats_[series]
        if len(stats) != len(offsets) - 1:
            raise ShapeError(f"{len(offsets) - 1} series for {len(stats)} fitted ones", value=len(offsets) - 1,
                             hint="Pass series_idx, the positions of these series at fit.")
        if self.name == "log1p":
            return np.log1p(values, dtype=np.float64) if direction == "transform" else np.expm1(values, dtype=np.float64)
        group = need("coreforecast.grouped_array").GroupedArray
        grouped = group(np.ascontiguousarray(values, np.float64), offsets.astype(np.int32))
        return getattr(self.engine(stats), direction)(grouped)

    def transform(self, store: SeriesStore, series_idx: np.ndarray | None = None) -> SeriesStore:
        """The store with scaled ``y``; its series are those of `fit`, or ``series_idx`` [S] among them."""
        y = self._run("transform", store.y, store.offsets, series_idx)
        return replace(store, y=y)

    def inverse(self, values: np.ndarray, series_idx: np.ndarray | None = None) -> np.ndarray:
        """Forecasts [S, ...] back in the units of each series; same shape and type."""
        values = np.asarray(values)
        width = int(np.prod(values.shape[1:]))
        flat = self._run("inverse_transform", values.reshape(-1), np.arange(len(values) + 1) * width, series_idx)
        return flat.reshape(values.shape).astype(values.dtype, copy=False)

    def moved(self, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """A covariate [T] in units of the series that it belongs to, series by series, as `transform` maps the target."""
        with np.errstate(all="ignore"):
            return self._run("transform", values, offsets, None)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """({"stats": [S, 2]}, {"name": ...}) for saving; `from_arrays` reads it."""
        if self.stats_ is None:
            raise NotFittedError("the series scaler is not fitted", hint="Call fit(store) first.")
        return {"stats": self.stats_}, {"name": self.name}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> SeriesScaler:
        scaler = cls(meta["name"])
        scaler.stats_ = np.asarray(arrays["stats"], np.float64)
        return scaler
