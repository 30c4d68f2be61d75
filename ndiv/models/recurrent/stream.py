"""Stream: a recurrent model that is fed one value at a time.

Contract: made by `RecurrentModel.stream`; holds the encoder's state for B series, so that a `push` costs one step of the
encoder, however much has come before. After the same values, `forecast` equals that of a model with the same weights whose
window holds them all. Scales are those of the window that the stream began with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd import Tensor, no_grad
from ...errors import ConfigError, FeatureError, ShapeError
from ..base import Batch
from ..feedback import as_input

if TYPE_CHECKING:
    from .base import RecurrentModel

__all__ = ["Stream"]

Array = np.ndarray


class Stream:
    """See `RecurrentModel.stream`. ``pushed``: values that each series has been given since the stream began."""

    def __init__(self, model: RecurrentModel, batch: Batch | None, n_series: int) -> None:
        name = type(model).__name__
        if model.variant != "paper" or model.directions != 1:
            what = "encoder_bidirectional=True" if model.directions != 1 else "variant='compat'"
            raise ConfigError(f"{name}: {what} cannot be fed one value at a time", value=what,
                              hint="variant='paper' with one direction can")
        if batch is None and model.scaler.name != "identity":
            raise ConfigError(f"{name}: a stream of scaler_type={model.scaler.name!r} needs a window whose scale it keeps",
                              value=model.scaler.name, hint="give batch, as to forecast, or scaler_type='identity'")
        if batch is None and model.stat_exog_list:
            raise ConfigError(f"{name}: a stream with static covariates needs a window that has them",
                              value=model.stat_exog_list, hint="give batch, as to forecast")
        self.model, self.pushed = model, 0
        self.state: Any = None
        self.stat: Any = None
        self.waits: tuple[Any, Any, Array] | None = None  # (y, hist, begun): input of a step whose futr is that of the next
        self.units: Batch = {}
        self.covariates: dict[str, tuple[Any, Any]] = {}
        self.begun: Array = np.zeros(n_series, np.int64)  # 1 from a series' first observed value on
        if batch is not None:
            with self._resting():
                self._begin(batch)

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Without gradients and dropout."""
        was = self.model.training
        self.model.eval()
        try:
            with no_grad():
                yield
        finally:
            self.model.train(was)

    def _begin(self, batch: Batch) -> None:
        m = self.model
        scaled, loc, scale = m.scale(batch)
        y, mask, hist, futr, self.stat = m.inputs(scaled)
        size = y.shape[1]
        if loc is not None:
            self.units = {"loc": loc, "scale": scale}
            for kind, given in (("hist", hist), ("futr", futr)):
                if given is not None:
                    past = batch[f"{kind}_exog"][:, :size]
                    on = None if mask is None else np.broadcast_to(mask[..., :1], past.shape)
                    self.covariates[kind] = m.scaler.stats(past, on)
        known = np.ones(y.shape[:2]) if mask is None else np.asarray(mask)[:, :, 0]
        self.begun = np.max(known > 0, axis=1).astype(np.int64)
        y = y if mask is None else y * mask
        first = 0
        if m.recurrent:  # the last value waits for the covariates of the step after it
            first, self.waits = 1, (y[:, -1:], None if hist is None else hist[:, -1:], self.begun)
            y, hist, mask = y[:, :-1], None if hist is None else hist[:, :-1], None if mask is None else mask[:, :-1]
        if y.shape[1]:
            x = m.joined(y, hist, None if futr is None else futr[:, first:size], self.stat)
            x, lengths = m.aligned(x, m.padding(mask))
            self.state = m.encoder(x, None, lengths)[1]

    def _column(self, kind: str, value: Any, steps: int) -> Any:
        """Covariates of ``steps`` steps in their units, [B, steps, width]; None where the model takes none."""
        names = getattr(self.model, f"{kind}_exog_list")
        if not names:
            return None
        shape = (len(self.begun), steps, len(names))
        if value is None or np.size(value) != int(np.prod(shape)):
            raise FeatureError(f"{self.model!r}: {kind} must have shape {list(shape)} for {names}",
                               value=None if value is None else np.shape(value), hint="give one number a name, step and series")
        x = np.asarray(value, np.float32).reshape(shape)
        x = self.model.normalized(kind, x, *self.covariates[kind]) if kind in self.covariates else x
        return self.model.embedded(kind, x)

    def _step(self, y: Any, hist: Any, futr: Any, begun: Array) -> Any:
        """The encoder's state after one more input; series that have not begun keep theirs."""
        return self.model.encoder(self.model.joined(y, hist, futr, self.stat), self.state, begun)[1]

    def push(self, y: Any, hist: Any = None, futr: Any = None) -> None:
        """The next value of each series, y [B] (a number for one), NaN where missing, and the step's hist [B, X], futr [B, F].

        Raises `ShapeError` (E0004) and `FeatureError` for what has another shape.
        """
        m, given = self.model, np.asarray(y, np.float32).reshape(-1)
        if len(given) != len(self.begun):
            raise ShapeError(f"{m!r}: {len(given)} values for {len(self.begun)} series", value=len(given),
                             hint="give one for each series")
        x, f = self._column("hist", hist, 1), self._column("futr", futr, 1)
        there = np.isfinite(given)
        with self._resting():
            z: Any = np.where(there, given, 0).astype(np.float32).reshape(-1, 1, 1)
            if self.units:
                z = m.scaler.transform(z, self.units["loc"], self.units["scale"])
            z = as_input(m, z) * there.reshape(-1, 1, 1).astype(np.float32)
            z = z * 0.0 if m.arguments["exclude_insample_y"] else z
            self.begun = np.maximum(self.begun, there)
            if not m.recurrent:
                self.state = self._step(z, x, f, self.begun)
            else:
                if self.waits is not None:
                    self.state = self._step(*self.waits[:2], f, self.waits[2])
                self.waits = (z, x, self.begun)
        self.pushed += 1

    def forecast(self, futr: Any = None) -> Array:
        """Forecast of the next h steps [B, h, columns] in the units of the data; futr [B, h, F]. The stream stays as it is."""
        m, b = self.model, len(self.begun)
        if self.state is None and self.waits is None:
            raise ConfigError(f"{m!r}: the stream has no values yet", value=0, hint="push some first")
        ahead = self._column("futr", futr, m.h)
        with self._resting():
            if m.recurrent:
                assert self.waits is not None
                y, hist, begun = self.waits
                state = self._step(y, hist, None if ahead is None else ahead[:, :1], begun)
                y_hat = m.rolled(m.last(state).reshape(b, 1, -1), state, ahead, self.stat, self.units)
            else:
                y_hat = m.decoded(m.last(self.state), ahead)
            numbers = m._unaffine(y_hat)
            loc, scale = self.units.get("loc"), self.units.get("scale")
            out: Any = m.loss.forecast(numbers, loc, scale) if m.loss.is_distribution_output else m.loss.forecast(numbers)
            if not m.loss.is_distribution_output and loc is not None and scale is not None:
                out = m.scaler.inverse(out, loc[..., None], scale[..., None])
        found = out.data if isinstance(out, Tensor) else np.asarray(out)
        return found.reshape(b, m.h, -1)
