"""The function that is explained: a model's forecast, of the numbers that its layers read.

Contract: `Explained` scales its windows once and holds their level and scale; from there the forecast in the units of the data
is a function of the scaled target and covariates, and attributions of the scaled numbers are those of the data. So what is
attributed is what the model makes of a window's shape; its level and scale belong to the baseline's forecast. A model that
feeds back what it forecasts is explained with its means (of quantiles the median) fed back, not with draws.

Quantiles of a distribution have no gradient in ops: theirs is the numerical derivative by its parameters (float64, central),
and from there that of the ops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import Tensor, enable_grad, no_grad
from ..autograd.backward import pull
from ..errors import ConfigError, closest
from ..losses.distribution import _Likelihood
from ..nn.series import RevIN
from ..program.forward import arrays_of

__all__ = ["BASELINES", "FEATURES", "Explained"]

Array = np.ndarray
FEATURES = {"insample_y": "target", "hist_exog": "hist", "futr_exog": "futr", "stat_exog": "stat"}  # of a batch: kind
BASELINES = ("mean", "zero", "last")
_STEP = 1e-3  # of a numerical derivative, relative


class Explained:
    """A model's forecast of some windows as a function of their numbers.

    x, base    what is there and what it is compared with, batch key -> scaled array; equal where a value is missing
    steps, channels, outputs   which numbers of the forecast are looked at: positions in the horizon, among the series that a
               multivariate model forecasts (None: all), and among its columns
    outer      (values [W, ..., n, outputs]) -> the same in the units of the data, elementwise; None: they are
    """

    def __init__(self, model: Any, batch: dict[str, Any], steps: Sequence[int], outputs: Sequence[int],
                 channels: Sequence[int] | None, baseline: str, outer: Callable[[Array], Array] | None = None) -> None:
        if baseline not in BASELINES:
            raise ConfigError(f"unknown baseline {baseline!r}", value=baseline, hint=closest(str(baseline), BASELINES))
        self.model, self.steps, self.outputs, self.outer = model, list(steps), list(outputs), outer
        with no_grad():
            scaled, loc, scale = model.scale(batch)
        self.batch: dict[str, Array] = {k: np.asarray(arrays_of(v)) for k, v in scaled.items()}
        self.loc, self.scale = arrays_of(loc), arrays_of(scale)
        self.windows, self.n = len(self.batch["insample_y"]), self.batch["insample_y"].shape[2]
        self.channels = list(range(self.n)) if channels is None else list(channels)
        names = {"insample_y": [""], **{k: getattr(model, f"{v}_exog_list") for k, v in FEATURES.items() if v != "target"}}
        self.keys = [k for k in FEATURES if k in self.batch and names[k]]
        self.x = {k: self.batch[k] for k in self.keys}
        self.base = {k: self._baseline(k, baseline, batch) for k in self.keys}
        # static values of a multivariate model have no axis of windows
        self.one_by_one = (model.MULTIVARIATE and "stat_exog" in self.keys) or getattr(model, "mixes_windows", False)

    # -- baselines -------------------------------------------------------------------------------------------------------

    def lead(self) -> Array:
        """How many steps of each window are before its series begins (all, where nothing is known), [W, n]."""
        mask = self.batch.get("insample_mask")
        if mask is None:
            return np.zeros((self.windows, self.n), np.int64)
        on = mask != 0
        found: Array = np.where(on.any(axis=1), on.argmax(axis=1), on.shape[1])
        return found

    def _baseline(self, key: str, baseline: str, raw: dict[str, Any]) -> Array:
        x, length = self.x[key], self.model.input_size
        if key == "stat_exog":
            return np.zeros_like(x)
        many = self.model.MULTIVARIATE and key != "insample_y"
        past = np.moveaxis(x, 2, 1)[:, :length] if many else x[:, :length]  # time second
        on = self.batch.get("insample_mask")
        on = np.ones(self.batch["insample_y"].shape, bool) if on is None else on != 0
        on = on[:, :, None] if many else on
        on = np.broadcast_to(on, past.shape)
        if baseline == "mean":
            found = np.where(on, past, 0).sum(axis=1, keepdims=True) / np.maximum(on.sum(axis=1, keepdims=True), 1)
        elif baseline == "last":
            found = past[:, -1:] if key != "insample_y" else np.take_along_axis(
                past, length - 1 - on[:, ::-1].argmax(axis=1)[:, None], axis=1)
        else:
            found = self._zero(key, raw)
            found = np.moveaxis(found, 2, 1)[:, :1] if many else found[:, :1]
        found = np.broadcast_to(np.moveaxis(found, 1, 2) if many else found, x.shape).astype(x.dtype)
        tables = self.model.tables(FEATURES[key]) if key != "insample_y" else None
        if tables is not None:  # a category is compared with one that nobody knows
            found = np.where(tables.is_code[:, None, None] if many else tables.is_code, np.zeros((), x.dtype), found)
        if key == "insample_y":
            return np.where(on, found, x)
        before = np.arange(x.shape[2 if many else 1])  # covariates of steps before the series are none
        lead = self.lead()[:, None, None, :] if many else self.lead()[:, None]
        return np.where((before[:, None] if many else before[None, :, None]) < lead, x, found)

    def _zero(self, key: str, raw: dict[str, Any]) -> Array:
        """0 in the units of the data, in those of the windows."""
        given = {k: np.asarray(arrays_of(v)) for k, v in raw.items() if v is not None}
        model, zeros = self.model, np.zeros_like(given[key])
        if key == "insample_y":
            if self.loc is None or getattr(model, "_by_mean", False):
                return zeros
            from ..models.feedback import as_input

            z = model.scaler.transform(zeros, self.loc, self.scale)
            return np.asarray(arrays_of(z if model.variant == "compat" else as_input(model, z)))
        if model.scaler.name == "identity":
            return zeros
        axis = 2 if model.MULTIVARIATE else 1
        past = given[key][:, :, :model.input_size] if model.MULTIVARIATE else given[key][:, :model.input_size]
        on = self.batch.get("insample_mask")
        if on is not None:
            on = np.broadcast_to(on[:, None] if model.MULTIVARIATE else on[..., :1], past.shape)
        return np.asarray(arrays_of(model.normalized(FEATURES[key], zeros, *model.scaler.stats(past, on, axis=axis))))

    # -- values ----------------------------------------------------------------------------------------------------------

    def values(self, features: dict[str, Array], window: Array | slice) -> Array:
        """[R, steps, n, outputs] float64 in the units of the data, of R windows with these features; ``window`` says which of
        the windows they are variations of."""
        with no_grad():
            numbers, loc, scale = self._numbers(features, window)
            found = self._columns(numbers, loc, scale)[:, self.steps][:, :, self.channels][..., self.outputs]
        return found if self.outer is None else self.outer(found)

    def _numbers(self, features: dict[str, Any], window: Array | slice) -> tuple[Any, Any, Any]:
        shared = self.model.MULTIVARIATE
        batch = {k: v if k == "stat_exog" and shared else v[window] for k, v in self.batch.items()}
        loc, scale = (None if v is None else v[window] for v in (self.loc, self.scale))
        for key, v in features.items():
            batch[key] = v.reshape(v.shape[1:]) if key == "stat_exog" and shared and v.ndim == 3 else v
        free = getattr(self.model, "_free", None)  # DeepAR feeds back in the units of the data
        numbers = self.model.forward(batch) if free is None else free(batch, loc, scale)
        return self.model._unaffine(numbers), loc, scale

    def _columns(self, numbers: Any, loc: Any, scale: Any) -> Array:
        """[R, h, n, columns] float64, all columns."""
        loss = self.model.loss
        if loss.is_distribution_output:
            params = self._params(numbers, loc, scale)
            found = loss.distribution(params)
            each = [arrays_of(found.mean)[..., None], found.quantile(loss.quantiles)]
            if loss.return_params:
                each.append(np.stack([arrays_of(p) for p in params], -1).reshape(*each[0].shape[:-1], -1))
            return np.concatenate(each, axis=-1, dtype=np.float64)
        return np.asarray(arrays_of(self._point(numbers, loc, scale)), np.float64)

    def _params(self, numbers: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
        theta = getattr(self.model, "_theta", None)
        loss = self.model.loss
        return tuple(loss._params(numbers, loc, scale) if theta is None else theta(loss, numbers, loc, scale))

    def _point(self, numbers: Any, loc: Any, scale: Any) -> Any:
        """[R, h, n, columns] of a loss whose forecast is made of ops."""
        loss = self.model.loss
        found = loss.columns(numbers) if hasattr(loss, "columns") else loss.domain_map(numbers)
        if found.ndim == 3:
            found = found.reshape((*found.shape, 1))
        elif hasattr(loss, "in_order"):
            found = loss.in_order(found)
        if getattr(self.model, "_by_mean", False):
            return found * scale[..., None]
        return found if loc is None else self.model.scaler.inverse(found, loc[..., None], scale[..., None])

    # -- gradients -------------------------------------------------------------------------------------------------------

    @contextmanager
    def embedded(self) -> Iterator[tuple[dict[str, Array], dict[str, Array], Callable[..., Any]]]:
        """(x, baseline, gradients): the features as layers read them, rows of tables in the place of codes. ``gradients(at,
        window, weight)`` gives for numbers ``at`` of the features, with ``weight`` [R], {key: float64 [steps, n, outputs, W,
        ...]}: the weighted sums of gradients over the variations of each window (as many of each, one after the other)."""
        model, stubs = self.model, {}
        frozen = [p for p in model.parameters() if p.requires_grad]
        norms = [m for m in model.modules() if isinstance(m, RevIN)]
        before = {}
        try:
            x, base = dict(self.x), dict(self.base)
            for key in self.keys:
                tables = model.tables(FEATURES[key]) if key != "insample_y" else None
                if tables is not None:
                    axis = 1 if model.MULTIVARIATE and key != "stat_exog" else -1
                    with no_grad():
                        x[key], base[key] = (np.asarray(arrays_of(tables(v, axis, hide=False))) for v in (x[key], base[key]))
                    name = f"{FEATURES[key]}_categories"
                    before[name], stubs[key] = tables, _Given(tables)
                    model._modules[name] = stubs[key]
            for p in frozen:
                p.requires_grad = False
            for norm in norms:
                norm.differentiates_statistics = True  # else what a window's level does to the forecast would be missing
            yield x, base, lambda at, window, weight: self._gradients(at, window, weight, stubs)
        finally:
            model._modules.update(before)
            for p in frozen:
                p.requires_grad = True
            for norm in norms:
                norm.differentiates_statistics = False
                norm.mean = norm.stdev = None  # which hold on to the gradient's record

    def _gradients(self, at: dict[str, Array], window: Array, weight: Array, stubs: dict[str, Any]) -> dict[str, Array]:
        leaves = {k: Tensor(np.ascontiguousarray(v), True) for k, v in at.items()}
        given: dict[str, Any] = {}
        for key, leaf in leaves.items():
            if key in stubs:  # the codes have the shape that is checked, the rows are what is read
                shared = key == "stat_exog" and self.model.MULTIVARIATE
                stubs[key].value = leaf.reshape(leaf.shape[1:]) if shared else leaf
                given[key] = self.x[key] if shared else self.x[key][window]
            else:
                given[key] = leaf
        with enable_grad():
            numbers, loc, scale = self._numbers(given, window)
            target = self._differentiable(numbers, loc, scale)  # [R, h, n, outputs]
        windows = len(np.unique(window))
        shape = (len(self.steps), len(self.channels), len(self.outputs))
        found = {k: np.zeros((*shape, windows, *v.shape[1:])) for k, v in at.items()}
        slope = self._outer_slope(arrays_of(target))
        for s, step in enumerate(self.steps):
            for n, channel in enumerate(self.channels):
                for o in range(len(self.outputs)):
                    seed = np.zeros(target.shape, target.dtype)
                    seed[:, step, channel, o] = weight * (1.0 if slope is None else slope[:, s, n, o])
                    for (key, _), (_, g) in zip(leaves.items(), pull((target,), (seed,), list(leaves.values()), stop=True),
                                                strict=True):
                        if g is not None:
                            g = np.asarray(arrays_of(g), np.float64)
                            found[key][s, n, o] = g.reshape(windows, -1, *g.shape[1:]).sum(axis=1)
        return found

    def _differentiable(self, numbers: Any, loc: Any, scale: Any) -> Any:
        """[R, h, n, outputs] Tensor with the values and gradients of the outputs that are asked for, before ``outer``."""
        from ..autograd.ops import FUNCTIONS

        if not isinstance(self.model.loss, _Likelihood):
            found = self._point(numbers, loc, scale)
            return found if found.shape[3] == len(self.outputs) else FUNCTIONS["stack"](
                [found[..., k] for k in self.outputs], 3)
        params = self._params(numbers, loc, scale)
        loss: Any = self.model.loss
        each = []
        for k in self.outputs:
            if k == 0:
                mean = loss.distribution(params).mean
                each.append(mean)
            elif k <= len(loss.quantiles):
                each.append(_quantile(loss, params, loss.quantiles[k - 1]))
            else:
                each.append(_parameter(params, k - 1 - len(loss.quantiles)))
        kind = numbers.dtype
        return FUNCTIONS["stack"]([e if e.dtype == kind else e.astype(kind) for e in each], 3)

    def _outer_slope(self, inner: Array) -> Array | None:
        if self.outer is None:
            return None
        v = np.asarray(inner, np.float64)[:, self.steps][:, :, self.channels]
        step = _STEP * (1 + np.abs(v))
        return (self.outer(v + step) - self.outer(v - step)) / (2 * step)


def _quantile(loss: Any, params: tuple[Any, ...], q: float) -> Any:
    """The quantile, with its gradient by the parameters."""
    if loss.distribution(params).discrete:
        raise ConfigError(f"a quantile of {loss!r} goes up in steps, so that its gradient says nothing", value=q,
                          hint="explain the mean (outputs=[0]), or take method='occlusion' or 'shapley'.")
    fixed = [np.asarray(arrays_of(p), np.float64) for p in params]
    value = loss.distribution(tuple(fixed)).quantile(q)
    total: Any = None
    for i, p in enumerate(params):
        for at in _components(fixed[i], value):
            step = _STEP * np.maximum(np.abs(fixed[i]), 1e-3) * at
            up, down = (loss.distribution(tuple(f + sign * step if k == i else f for k, f in enumerate(fixed))).quantile(q)
                        for sign in (1, -1))
            size = step if step.ndim == value.ndim else step.sum(axis=-1)
            slope = (up - down) / (2 * size)
            part = p if p.ndim == value.ndim else (p * at.astype(p.dtype)).sum(axis=-1)
            part = part * slope.astype(p.dtype)
            total = part if total is None else total + part
    return total + (value - np.asarray(arrays_of(total), np.float64)).astype(total.dtype)


def _components(param: Array, value: Array) -> list[Array]:
    """Which numbers of a parameter are moved together: all of [B, h, n], and of mixtures those of one component."""
    if param.ndim == value.ndim:
        return [np.ones(())]
    return list(np.eye(param.shape[-1]))


def _parameter(params: tuple[Any, ...], k: int) -> Any:
    if params[0].ndim == 3:
        return params[k]
    return params[k % len(params)][..., k // len(params)]


class _Given:
    """Stands in for `CategoryTables`: what it would look up is given."""

    def __init__(self, tables: Any) -> None:
        self.tables, self.value = tables, None

    def __call__(self, x: Any, axis: int = -1, hide: bool = True) -> Any:
        return self.value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tables, name)
