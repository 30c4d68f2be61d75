"""DeepAR: an LSTM that reads its own past values and gives the distribution of the next one.

Salinas, Flunkert, Gasthaus, Januschowski, "DeepAR: Probabilistic forecasting with autoregressive recurrent networks",
International Journal of Forecasting 36(3), 2020. For a window of L values, a horizon of h and covariates x:
    h_t = LSTM(h_{t-1}, [z_{t-1} / nu, z_{t-l} / nu for l in lags, x_t])              network (section 3, figure 2)
    theta_t = decoder(h_t),   p(z_t | z_1 ... z_{t-1}) = l(z_t | theta_t)              likelihood (equation 1)
    training   maximize sum_t log l(z_t | theta_t), t over window and horizon, all z known       (equation 2)
    forecast   z_t ~ l(. | theta_t) for t after the window, each path fed its own draws          (ancestral sampling)
    nu = 1 + mean of the window;  Gaussian mu nu, sigma nu, sigma = softplus;  negative binomial
    softplus(o) nu, alpha = softplus(o) / sqrt(nu)                                     scale handling (section 3.4)

variant="paper": as above. nu is the mean of absolute values, which is the paper's for the counts that it is written for;
    it applies where scaler_type is "identity", any other scaler takes its place. Mean and quantiles of the forecast are
    those of `trajectory_samples` paths. A missing value enters as the mean of its window and has no likelihood. Student's
    t has loc and scale as the Gaussian; other distributions keep the map of their loss. No width is below 0.001 nu, as
    the likelihood of a constant series has no maximum. With a loss that is no distribution the forecast (of several
    quantiles the one nearest 0.5) is fed back in place of a draw. hist_exog, which the paper does not have, enters one
    step late, and its last known value stands for those of the horizon.
variant="compat": as neuralforecast: the likelihood of the first h_train steps of the horizon alone; nothing is sampled:
    the mean is fed back, and quantiles are those of each step given the means before it; no scale handling; hist_exog
    enters at its own step, and as 0 in the horizon; missing values enter as 0; of several quantiles the mean is fed back
    and stands in all columns. There an input_size of L reads L + 1 values; give one more here to get the same.

The paper draws windows of series with a large nu more often; here the loader draws all alike.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import losses
from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError, ShapeError
from ...losses.distributions import NegativeBinomial, Normal, StudentT
from ...losses.distributions.negative_binomial import count_and_probability
from ...nn import LSTM, Linear, ModuleList
from ...nn import activation as activation_op
from ..arguments import check_count
from ..base import Batch
from .paths import PathModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

_cat, _expand, _where, _softplus = (FUNCTIONS[n] for n in ("cat", "expand", "where", "softplus"))
_FLOOR = 1e-3  # of a width, in units of nu


class DeepAR(PathModel):
    """DeepAR. Without a loss it is Student's t; DistributionLoss("Normal") and ("NegativeBinomial") are the paper's.

    h_train                 steps of the horizon whose likelihood is trained (compat; paper trains window and horizon)
    lstm_n_layers           layers of the LSTM
    lstm_hidden_size        width of its state
    lstm_dropout            dropout between its layers
    decoder_hidden_layers   hidden layers between the LSTM and the linear one
    decoder_hidden_size     their width
    decoder_activation      their activation; None: "ReLU"
    trajectory_samples      paths of a forecast
    lags                    values this many steps back are inputs too, as [24, 168]; each must lie inside the window

    >>> import numpy as np
    >>> m = DeepAR(h=6, input_size=24, lstm_hidden_size=16, trajectory_samples=50)
    >>> batch = {"insample_y": np.ones((3, 24, 1), np.float32)}
    >>> m.output_names, m.forecast(batch).shape, m.simulate(batch, n_paths=7).shape
    (['', '-median', '-lo-90', '-lo-80', '-hi-80', '-hi-90'], (3, 6, 6), (3, 7, 6))
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    RECURRENT = True
    PAPER = "Salinas et al. 2020, DeepAR: Probabilistic forecasting with autoregressive recurrent networks"
    DIFFERENCES = ("paper: likelihood of window and horizon, division by 1 + mean, lags, ancestral sampling; compat: "
                   "likelihood of h_train steps, the mean fed back, quantiles of each step by itself, no scale handling: "
                   "such intervals ignore how uncertainty grows")
    DEFAULTS = {"num_lr_decays": 3}

    def __init__(self, h: int, input_size: int = -1, h_train: int = 1, lstm_n_layers: int = 2, lstm_hidden_size: int = 128,
                 lstm_dropout: float = 0.1, decoder_hidden_layers: int = 0, decoder_hidden_size: int = 0,
                 decoder_activation: str | None = None, trajectory_samples: int = 100, lags: Sequence[int] | None = None,
                 **common: Unpack[CommonArguments]) -> None:
        if self.arguments["loss"] is None:  # a loss of its own for each model
            self.arguments["loss"] = losses.DistributionLoss("StudentT", level=[80, 90])
        super().__init__()
        self._check(h_train, lstm_n_layers, lstm_hidden_size, decoder_hidden_layers, decoder_hidden_size,
                    trajectory_samples)
        self.compat = self.variant == "compat"
        self.lags = self._checked(lags)
        self.start = max(self.lags)  # the first step of the window whose inputs are all known
        self.trajectory_samples = trajectory_samples
        self.h_train = self.h if self.loss.horizon_weight is not None else h_train
        width = len(self.lags) + self.hist_exog_size + self.futr_exog_size + self.stat_exog_size
        self.lstm = LSTM(width, lstm_hidden_size, num_layers=lstm_n_layers, batch_first=True, dropout=lstm_dropout)
        act = activation_op("ReLU" if decoder_activation is None else decoder_activation)
        widths = [lstm_hidden_size, *[decoder_hidden_size] * decoder_hidden_layers]
        self.decoder = ModuleList(Linear(a, b, activation=act) for a, b in pairwise(widths))
        self.decoder.append(Linear(widths[-1], self.n_out))

    def _check(self, h_train: int, layers: int, hidden: int, decoder_layers: int, decoder_hidden: int,
               paths: int) -> None:
        if self.arguments["exclude_insample_y"]:
            raise ConfigError("DeepAR cannot leave out insample_y, which its recursion feeds back", value=True,
                              hint="leave exclude_insample_y=False")
        for name, value, low in (("h_train", h_train, 1), ("lstm_n_layers", layers, 1), ("lstm_hidden_size", hidden, 1),
                                 ("trajectory_samples", paths, 1), ("decoder_hidden_layers", decoder_layers, 0),
                                 ("decoder_hidden_size", decoder_hidden, 1 if decoder_layers else 0)):
            check_count("DeepAR", low, **{name: value})
        if h_train > self.h:
            raise ConfigError(f"DeepAR: h_train={h_train} is more than h={self.h}", value=h_train,
                              hint=f"give at most {self.h}")

    def _checked(self, lags: Sequence[int] | None) -> list[int]:
        """All lags, 1 first."""
        if lags is None:
            lags = []
        whole = not isinstance(lags, (str, int)) and all(isinstance(k, int) and not isinstance(k, bool) for k in lags)
        if not whole or min(lags, default=1) < 1 or len(set(lags)) != len(lags):
            raise ConfigError(f"DeepAR: lags must be different positive whole numbers, not {lags!r}", value=lags,
                              hint="for example lags=[24, 168]")
        if lags and self.compat:
            raise ConfigError("DeepAR: variant='compat' has no lags", value=list(lags), hint="use variant='paper'")
        found = [1, *(k for k in lags if k != 1)]
        if max(found) >= self.input_size:
            raise ConfigError(f"DeepAR: lag {max(found)} reaches beyond the window of {self.input_size}", value=max(found),
                              hint=f"give input_size >= {max(found) + 1}" + (", or smaller lags" if lags else ""))
        return found

    # -- units and parameters --------------------------------------------------------------------------------------

    @property
    def _by_mean(self) -> bool:
        """Whether windows are divided by nu."""
        return not self.compat and self.scaler.name == "identity"

    def scale(self, batch: Batch) -> tuple[Batch, Any, Any]:
        """As in `BaseModel`; in ``paper`` without another scaler loc is 0 and scale nu."""
        if not self._by_mean:
            return super().scale(batch)
        out = {k: v for k, v in batch.items() if v is not None}
        y, mask = out["insample_y"], out.get("insample_mask")
        nu = 1.0 + _window_mean(FUNCTIONS["abs"](y), mask)
        for key in ("insample_y", "outsample_y"):
            if key in out:
                out[key] = out[key] / nu
        return out, nu * 0.0, nu

    def _scaled(self, y: Any, loc: Any, scale: Any) -> Any:
        """y as the network reads it."""
        if loc is None:
            return y
        return self._affine(y / scale if self._by_mean else self.scaler.transform(y, loc, scale))

    def _affine(self, z: Any) -> Any:
        return z * self.revin_weight + self.revin_bias if self.scaler.name == "revin" else z

    def _theta(self, loss: Any, numbers: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
        """The distribution's parameters in the units of the data, from numbers [B, T, n_out]."""
        raw = loss.domain_map(numbers)
        loc = np.zeros((1, 1, 1), numbers.dtype) if loc is None else loc
        scale = np.ones((1, 1, 1), numbers.dtype) if scale is None else scale
        family = loss.family
        if self.compat or family not in (Normal, StudentT, NegativeBinomial):
            return tuple(loss.scale_decouple(raw, loc, scale))
        if family is NegativeBinomial:
            mu = FUNCTIONS["clip"](_softplus(raw[0]) * scale + loc, 1e-8)
            return count_and_probability(mu, (_softplus(raw[1]) + 1e-8) / FUNCTIONS["sqrt"](scale))
        *df, level, width = raw
        return (*(3.0 + _softplus(d) for d in df), level * scale + loc, (_softplus(width) + _FLOOR) * scale)

    # -- the network -----------------------------------------------------------------------------------------------

    def _past(self, batch: Batch) -> tuple[Any, Any, Any]:
        """(z [B, L, 1], what stands for missing values [B, 1, 1], covariates [B, L + h - start, *] or None)."""
        z, mask, hist, futr, stat = self.inputs(batch)
        steps = self.input_size + self.h - self.start
        fill = _window_mean(z, mask)
        if mask is not None and not self.compat:
            z = _where(mask != 0, z, fill)
        parts = []
        if hist is not None:
            b, _, n = hist.shape
            if self.compat:
                parts.append(_cat([hist[:, 1:], self.unknown_hist(b, self.h, hist.dtype)], dim=1))
            else:
                parts.append(_cat([hist[:, self.start - 1:], _expand(hist[:, -1:], (b, self.h - 1, n))], dim=1)
                             if self.h > 1 else hist[:, self.start - 1:])
        if futr is not None:
            parts.append(futr[:, self.start:])
        if stat is not None:
            parts.append(_expand(stat.reshape(stat.shape[0], 1, -1), (stat.shape[0], steps, stat.shape[1])))
        return z, fill, _joined(parts) if parts else None

    def _read(self, z: Any, exog: Any, state: Any = None) -> tuple[Any, Any]:
        """Hidden values [B, T, H] and state from lagged values z [B, T, lags] and covariates [B, T, *]."""
        out, state = self.lstm(z if exog is None else _cat([z, exog], dim=2), state)
        return out, state

    def _decoded(self, hidden: Any) -> Any:
        for layer in self.decoder:
            hidden = layer(hidden)
        return hidden

    def _window(self, z: Any, exog: Any) -> tuple[Any, Any]:
        """(numbers of the first step after the window [B, 1, n_out], state there)."""
        length = self.input_size
        lagged = _joined([z[:, self.start - k:length + 1 - k] for k in self.lags])
        hidden, state = self._read(lagged, None if exog is None else exog[:, :length + 1 - self.start])
        return self._decoded(hidden[:, -1:]), state

    def _forced(self, batch: Batch, ahead: int) -> Any:
        """Numbers of steps start ... L + ahead - 1 given all values before each, [B, L + ahead - start, n_out]; in
        ``compat`` those of the last ahead. batch is scaled and has outsample_y."""
        z, fill, exog = self._past(batch)
        mask = batch.get("outsample_mask")
        if ahead > 1:
            after = self._affine(batch["outsample_y"][:, :ahead - 1])
            if mask is not None and not self.compat:
                after = _where(mask[:, :ahead - 1] != 0, after, fill)
            z = _cat([z, after], dim=1)
        end = self.input_size + ahead
        lagged = _joined([z[:, self.start - k:end - k] for k in self.lags])
        hidden, _ = self._read(lagged, None if exog is None else exog[:, :end - self.start])
        return self._decoded(hidden[:, -ahead:] if self.compat else hidden)

    def forward(self, batch: Batch) -> Any:
        """Numbers of the horizon [B, h, n_out], the mean (or the forecast) of each step fed back to the next."""
        return self._free(batch, None, None)

    def _free(self, batch: Batch, loc: Any, scale: Any) -> Any:
        z, _, exog = self._past(batch)
        length, at = self.input_size, self.input_size - self.start
        numbers, state = self._window(z, exog)
        values = [z[:, t:t + 1] for t in range(length)]
        found = []
        for s in range(self.h):
            if s:
                lagged = _joined([values[length + s - k] for k in self.lags])
                hidden, state = self._read(lagged, None if exog is None else exog[:, at + s:at + s + 1], state)
                numbers = self._decoded(hidden)
            value, numbers = self._fed(numbers, loc, scale)
            values.append(value)
            found.append(numbers)
        return _cat(found, dim=1) if self.h > 1 else found[0]

    def _fed(self, numbers: Any, loc: Any, scale: Any) -> tuple[Any, Any]:
        """(what the next step reads [B, 1, 1], the numbers themselves) where nothing is drawn."""
        loss: Any = self.loss
        if loss.is_distribution_output:
            params = self._theta(loss, self._unaffine(numbers), loc, scale)
            return self._scaled(loss.distribution(params).mean, loc, scale), numbers
        values = loss.domain_map(numbers)
        if self.n_out == 1:
            return (values[0] if isinstance(values, tuple) else values), numbers  # IQLoss in training: with quantiles
        if self.compat:
            mean = values.mean(axis=-1)  # of [B, 1, 1, quantiles]
            return mean, _expand(mean, tuple(numbers.shape))
        middle = int(np.argmin(np.abs(np.asarray(loss.quantiles) - 0.5)))
        return loss.in_order(values)[..., middle], numbers

    # -- training --------------------------------------------------------------------------------------------------

    def compute_loss(self, batch: Batch) -> Any:
        """As in `BaseModel`, over the window and the horizon in ``paper``, over h_train steps in ``compat``."""
        scaled, loc, scale = self.scale(batch)
        if "outsample_y" not in scaled:
            raise ShapeError("DeepAR: the batch has no outsample_y", hint="give outsample_y [B, h, n]")
        mask, window = scaled.get("outsample_mask"), scaled["insample_y"]
        in_data = self.loss.is_distribution_output
        y = (batch if in_data else scaled)["outsample_y"]
        ahead = self.h_train if self.compat else self.h
        y_hat = self._unaffine(self._forced(scaled, ahead))
        if self.compat:
            on = None if mask is None else mask[:, :ahead]
            return self.loss.objective(y[:, :ahead], y_hat, on, window, loc, scale)
        before = batch["insample_y"]
        if not in_data:
            before = self.scaler.transform(before, loc, scale) if self.scaler.name == "revin" else window
        loss: Any = self.loss
        weight = None
        if loss.horizon_weight is not None:  # of the horizon; the window has weight 1
            loss, weight = copy.copy(loss), loss.horizon_weight / loss.horizon_weight.mean()
            loss.horizon_weight = None
        before_mask = scaled.get("insample_mask")
        if mask is not None or before_mask is not None or weight is not None:
            mask = np.ones(y.shape, y.dtype) if mask is None else mask
            before_mask = np.ones(before.shape, before.dtype) if before_mask is None else before_mask
            if "sample_weight" in scaled:
                before_mask = before_mask * scaled["sample_weight"]
            mask = _cat([before_mask[:, self.start:], mask if weight is None else mask * weight[None, :, None]], dim=1)
        y = _cat([before[:, self.start:], y], dim=1)
        if in_data:
            return loss(y, self._theta(loss, y_hat, loc, scale), mask, window)
        return loss.objective(y, y_hat, mask, window, loc, scale)

    def _objective(self, batch: Batch) -> Any:
        """The validation loss: a likelihood is that of the horizon, each step given the values before it."""
        loss: Any = self.valid_loss
        if self.compat or not (loss.is_distribution_output and self.loss.is_distribution_output):
            return super()._objective(batch)
        scaled, loc, scale = self.scale(batch)
        y_hat = self._unaffine(self._forced(scaled, self.h)[:, -self.h:])
        return loss(batch["outsample_y"], self._theta(loss, y_hat, loc, scale), batch.get("outsample_mask"),
                    batch["insample_y"])

    @property
    def unrolled(self) -> bool:
        return True

    @property
    def sampled(self) -> bool:
        """Whether forecasts are made of paths."""
        return bool(self.loss.is_distribution_output) and not self.compat

    # -- forecasts -------------------------------------------------------------------------------------------------

    def _numbers(self, batch: Batch) -> tuple[Any, Any, Any]:
        scaled, loc, scale = self.scale(batch)
        return self._unaffine(self._free(scaled, loc, scale)), loc, scale

    def _columns(self, batch: Batch) -> Any:
        if not self._by_mean:
            return super()._columns(batch)
        y_hat, _, scale = self._numbers(batch)
        return self.loss.forecast(y_hat) * scale[..., None]

    def _some_paths(self, batch: Batch, n: int, seed: int, streams: list[int]) -> np.ndarray:
        z0, exog, h, c, loc, scale, *params = self._planned("_encoded", batch, 0)
        b, length = z0.shape[:2]
        z = np.empty((b, n, length + self.h), z0.dtype)  # as the network reads it
        z[:, :, :length] = z0[:, None, :, 0]
        params = [np.broadcast_to(p, (b, n, *p.shape[2:])) for p in params]
        loc, scale, h, c = (np.repeat(a, n, axis=axis) for a, axis in ((loc, 0), (scale, 0), (h, 1), (c, 1)))
        drawn = np.empty((b, n, self.h), z0.dtype)
        for s in range(self.h):
            drawn[:, :, s] = self.drawn(params, seed, [first + s for first in streams])
            if s + 1 == self.h:
                break
            value = self._scaled(drawn[:, :, s].reshape(-1, 1, 1), loc, scale)
            z[:, :, length + s] = (value if isinstance(value, np.ndarray) else value.data).reshape(b, n)
            x = [z[:, :, length + s + 1 - k, None] for k in self.lags]
            if exog is not None:
                x.append(np.broadcast_to(exog[:, None, s + 1], (b, n, exog.shape[-1])))
            cell = {"x": np.concatenate(x, axis=-1).reshape(b * n, 1, -1), "h": h, "c": c, "loc": loc, "scale": scale}
            h, c, *params = self._planned("_cell", cell, 0)
            params = [p.reshape(b, n, *p.shape[2:]) for p in params]
        return drawn

    def _encoded(self, batch: Batch) -> tuple[Any, ...]:
        """(z, covariates of the horizon, h, c, loc, scale, parameters of the first step) of windows."""
        scaled, loc, scale = self.scale(batch)
        z, _, exog = self._past(scaled)
        numbers, (h, c) = self._window(z, exog)
        if loc is None:
            loc, scale = z[:, :1] * 0.0, z[:, :1] * 0.0 + 1.0
        params = self._theta(self.loss, self._unaffine(numbers), loc, scale)
        return (z, None if exog is None else exog[:, self.input_size - self.start:], h, c, loc, scale, *params)

    def _cell(self, batch: Batch) -> tuple[Any, ...]:
        """(h, c, parameters) one step on, for rows of x [N, 1, *], h and c [layers, N, H], loc and scale [N, 1, 1]."""
        hidden, (h, c) = self.lstm(batch["x"], (batch["h"], batch["c"]))
        numbers = self._unaffine(self._decoded(hidden))
        return (h, c, *self._theta(self.loss, numbers, batch["loc"], batch["scale"]))


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else _cat(parts, dim=2)


def _window_mean(y: Any, mask: Any) -> Any:
    """Mean of the values that are there, [B, 1, n]; 0 where none is."""
    if mask is None:
        return y.mean(axis=1, keepdims=True)
    on = mask.astype(y.dtype)
    total = (_where(on != 0, y, np.zeros((), y.dtype)) * on).sum(axis=1, keepdims=True)
    return total / FUNCTIONS["clip"](on.sum(axis=1, keepdims=True), 1.0)
