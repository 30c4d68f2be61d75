"""Stream: a TCN that is fed one value at a time.

Contract: each convolution keeps the inputs that it will meet again, (K - 1) d of them, in a ring; a value costs one
product for each kernel place and layer, and no memory. A stream is for weights that stay as they are: make another after
training. `TCN.stream` says what a forecast equals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd import no_grad
from ...autograd.ops.linear import ACTIVATIONS
from ...errors import ConfigError, FeatureError, ShapeError

if TYPE_CHECKING:
    from .tcn import TCN

__all__ = ["Stream"]

_NDIV_INTERNAL = True


class _Ring:
    """One convolution with the inputs it still needs: x [B, in] -> [B, out]."""

    def __init__(self, conv: Any, batch: int) -> None:
        self.weight = np.ascontiguousarray(np.asarray(_array(conv.weight)).transpose(2, 1, 0))  # [K, in, out]
        self.bias = _array(conv.bias)
        self.dilation = conv.dilation[0]
        size = self.dilation * (len(self.weight) - 1) + 1
        self.kept = np.zeros((size, batch, self.weight.shape[1]), self.weight.dtype)
        self.now = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        size = len(self.kept)
        self.kept[self.now] = x
        y = np.zeros((x.shape[0], self.weight.shape[2]), self.weight.dtype) + self.bias
        for k, w in enumerate(self.weight[::-1]):  # from the present backwards
            y += self.kept[(self.now - k * self.dilation) % size] @ w
        self.now = (self.now + 1) % size
        return y


class Stream:
    """What `TCN.stream` returns: `push` a value, ask for a `forecast`."""

    def __init__(self, model: TCN, batch: dict[str, Any]) -> None:
        if model.variant == "compat":
            raise ConfigError("TCN: variant='compat' cannot be streamed", value="compat", hint="use variant='paper'")
        if model.receptive_field > model.input_size:
            raise ConfigError(f"TCN: a stream needs a receptive field within the window, and it is {model.receptive_field} "
                              f"steps of {model.input_size}", value=model.dilations,
                              hint="leave dilations out, or use smaller ones")
        self._model = model
        was = model.training
        model.eval()  # training hides categories now and then
        try:
            with no_grad():
                scaled, self._loc, self._scale = model.scale(batch)
                y, mask, hist, futr, stat = model.inputs(scaled)
        finally:
            model.train(was)
        stat = None if stat is None else _array(stat)
        self._series, self._stat, self._dtype = len(y), stat, model.context.weight.dtype
        self._exog = {k: self._statistics(k, batch) for k in ("hist_exog", "futr_exog")}
        self._rings = [(_Ring(b.conv1, len(y)), _Ring(b.conv2, len(y)), b.residual) for b in model.blocks]
        self._state = np.zeros((len(y), 0), self._dtype)
        y = _array(y if mask is None else y * mask)
        for t in range(model.input_size):
            self._advance(y[:, t], *(None if v is None else _array(v)[:, t] for v in (hist, futr)))

    def _statistics(self, key: str, batch: dict[str, Any]) -> Any:
        """(loc, scale) of a covariate in the first windows, as `BaseModel.scale` works them out."""
        m = self._model
        if m.scaler.name == "identity" or not getattr(m, f"{key}_list"):
            return None
        past, mask = batch[key][:, :m.input_size], batch.get("insample_mask")
        on = None if mask is None else np.broadcast_to(mask[..., :1], past.shape)
        return [_array(v) for v in m.scaler.stats(past, on, axis=1)]

    def push(self, y: Any, observed: Any = None, hist_exog: Any = None, futr_exog: Any = None) -> None:
        """The next value of each series, [B], in the units of the data; ``observed`` [B] is 0 where it is missing.

        hist_exog [B, X] and futr_exog [B, F] are the covariates of the same step. Raises `ShapeError` or `FeatureError`.
        """
        m = self._model
        value = np.asarray(y, self._dtype)
        if value.size != self._series:
            raise ShapeError(f"push: y has shape {list(value.shape)} and the stream {self._series} series",
                             value=value.shape, hint=f"give one value a series, [{self._series}]")
        value = value.reshape(-1, 1, 1)
        missing = ~np.isfinite(value) if observed is None else np.asarray(observed).reshape(-1, 1, 1) == 0
        value = np.where(missing, 0, value)
        with no_grad():
            if self._loc is not None:
                value = m.scaler.transform(value, self._loc, self._scale)
            if m.scaler.name == "revin":
                value = value * m.revin_weight + m.revin_bias
        value = np.where(missing, 0, _array(value)) * (0.0 if m.arguments["exclude_insample_y"] else 1.0)
        self._advance(value[:, 0], self._covariates("hist_exog", hist_exog, 1), self._covariates("futr_exog", futr_exog, 1))

    def forecast(self, futr_exog: Any = None) -> np.ndarray:
        """The forecast from here, [B, h, columns], in the units of the data; futr_exog [B, h, F] of its steps."""
        m = self._model
        ahead = self._covariates("futr_exog", futr_exog, m.h)
        with no_grad():
            numbers = m._unaffine(m.decode(m.contexts(self._state), None if ahead is None else ahead.reshape(
                self._series, m.h, -1)))
            if m.loss.is_distribution_output:
                out = m.loss.forecast(_array(numbers), self._loc, self._scale)
            else:
                out = m.loss.forecast(numbers)
                if self._loc is not None:
                    out = m.scaler.inverse(out, self._loc[..., None], self._scale[..., None])
        return np.asarray(_array(out)).reshape(self._series, m.h, -1)

    def _covariates(self, key: str, value: Any, steps: int) -> Any:
        """Covariates of some steps in the model's units, [B, steps * columns]."""
        names = getattr(self._model, f"{key}_list")
        if not names:
            return None
        shape = (self._series, steps, len(names))
        if value is None or np.size(value) != np.prod(shape):
            raise FeatureError(f"{key} must hold {list(shape if steps > 1 else (shape[0], shape[2]))} numbers for {names}",
                               value=None if value is None else np.shape(value), hint="give one column a name")
        value = np.asarray(value, self._dtype).reshape(shape)
        if self._exog[key] is not None:
            value = self._model.normalized(key[:4], value, *self._exog[key])
        return _array(self._model.embedded(key[:4], value)).reshape(self._series, -1)

    def _advance(self, y: np.ndarray, hist: Any, futr: Any) -> None:
        """One step through all blocks: [B, 1], [B, X], [B, F] in the model's units."""
        act = ACTIVATIONS[self._model.act]
        x = np.concatenate([v for v in (y, hist, self._stat, futr) if v is not None], 1).astype(self._dtype)
        for first, second, residual in self._rings:
            z = act(second(act(first(x))))
            if residual is not None:
                x = x @ _array(residual.weight)[:, :, 0].T + _array(residual.bias)
            x = act(x + z)
        self._state = x


def _array(value: Any) -> Any:
    return getattr(value, "data", value) if not isinstance(value, np.ndarray) else value
