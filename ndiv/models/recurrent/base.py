"""What RNN, LSTM and GRU share: inputs, direct and recursive forecasts, the mask, teacher forcing.

Contract: a subclass's constructor calls ``super().__init__()`` and `build` with a function (input size, layer options) ->
encoder; an encoder is a layer of `ndiv.nn` with batch_first, forward(x [B, T, I], hx, lengths) -> (y [B, T, D H], states).
The state s_t = cell(x_t, s_{t-1}) runs over x_t = [y_t, hist_t, stat, futr_t]; then

recurrent=False  direct: all h steps from the window at once (Wen, Torkkola, Narayanaswamy, Madeka, "A Multi-Horizon
    Quantile Recurrent Forecaster", NIPS time series workshop 2017, with one network for both of its decoders)
    paper:  y_{L+1..L+h} = MLP([s_L, futr_{L+1..L+h}])
    compat: y_{L+k} = MLP([s_{L-h+k}, futr_{L+k}]), k = 1 ... h: each step of the horizon sees another state, and the first
            one does not see the last h - 1 values; where h > L the states are mapped to h by a Linear over time
recurrent=True   recursive: y_{t+1} = linear(s_t), with x_t = [y_t, hist_t, stat, futr_{t+1}]. Training feeds the true
    values (teacher forcing: Williams, Zipser, Neural Computation 1989) and takes the loss of h_train steps; a forecast feeds
    itself back: a point as it is, of quantiles the median, of a distribution the mean. hist is 0 after the window.
    compat: the window has input_size + 1 values, hist is hist_{t+1} (0 at the end), of quantiles the mean is fed back

Both: a window that is padded at its start (insample_mask 0) begins at its first observed value in ``paper``, so padding does
not move the state, and missing values inside are 0; ``compat`` runs over everything, as neuralforecast does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ...autograd import Tensor
from ...autograd.ops import FUNCTIONS
from ...data.store import SeriesStore
from ...errors import ConfigError, ShapeError, closest
from ...nn import ACTIVATION_NAMES, Linear, Module, ModuleList
from ...nn import activation as activation_op
from ...program.forward import arrays_of
from ..arguments import check_count
from ..base import Batch
from ..feedback import as_input, fed_back
from ..probabilistic.paths import PathModel
from .steps import StepwiseModel
from .stream import Stream

_cat, _expand, _gather = FUNCTIONS["cat"], FUNCTIONS["expand"], FUNCTIONS["gather"]


class RecurrentModel(PathModel, StepwiseModel):
    """Base of the models that are a recurrent encoder and a decoder; see the top of this file."""

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    RECURRENT = True
    DEFAULTS = {"windows_batch_size": 128, "scaler_type": "robust"}
    USED: tuple[str, ...] = ()  # of the arguments that neuralforecast has deprecated in this family, those with an effect

    def build(self, encoder: Callable[..., Any], head: bool = True) -> None:
        """The layers. ``head=False``: in recursive mode the encoder's outputs are the model's numbers already."""
        a = self.arguments
        self._check(a)
        self.recurrent: bool = a["recurrent"]
        self.inference_size: int = self.input_size
        if self.recurrent:
            longer = 1 if self.variant == "compat" else 0  # neuralforecast's windows have one value more than they are told
            asked = a["inference_input_size"]
            self.inference_size = (self.input_size if asked is None or asked < 1 else asked) + longer
            self.input_size += longer
        # with weights for each step of the horizon, training has its steps
        self.h_train: int = a["h_train"] if self.loss.horizon_weight is None else self.h
        if self.recurrent and self.h_train >= self.input_size + self.h:
            raise ConfigError(f"{self._kind}: h_train={self.h_train} steps are not in a window of {self.input_size} + {self.h}",
                              value=self.h_train, hint=f"give h_train <= {self.input_size + self.h - 1}")
        self.directions = 2 if a["encoder_bidirectional"] else 1
        futr, width, n_out = self.futr_exog_size, self.directions * a["encoder_hidden_size"], self.n_out
        size = 1 + self.hist_exog_size + self.stat_exog_size + futr
        options = {"num_layers": a["encoder_n_layers"], "bias": a["encoder_bias"], "dropout": a["encoder_dropout"],
                   "batch_first": True}
        if not self.recurrent:
            options["bidirectional"] = a["encoder_bidirectional"]
        self.encoder: Module = encoder(size, a["encoder_hidden_size"], **options)
        if self.recurrent:
            self.head = Linear(width, n_out) if head else None
            return
        act = activation_op(a["decoder_activation"] or "ReLU")
        ends = (width + futr, n_out) if self.variant == "compat" else (width + self.h * futr, self.h * n_out)
        widths = [ends[0], *[a["decoder_hidden_size"]] * (a["decoder_layers"] - 1), ends[1]]
        acts = [act] * (len(widths) - 2) + ["identity"]
        self.decoder = ModuleList(Linear(i, o, activation=f) for (i, o), f in zip(pairwise(widths), acts, strict=True))
        if self.variant == "compat" and self.h > self.input_size:
            self.upsample = Linear(self.input_size, self.h)

    @property
    def _kind(self) -> str:
        return type(self).__name__

    def _check(self, a: dict[str, Any]) -> None:
        counts = ("encoder_n_layers", "encoder_hidden_size", "decoder_hidden_size", "decoder_layers", "h_train")
        check_count(self._kind, **{key: a[key] for key in counts})
        for key in ("encoder_bias", "recurrent", "encoder_bidirectional"):
            if not isinstance(a[key], bool):
                raise ConfigError(f"{self._kind}: {key} must be True or False, not {a[key]!r}", value=a[key],
                                  hint=f"{key}={bool(a[key])}")
        if not 0.0 <= a["encoder_dropout"] < 1.0:
            raise ConfigError(f"{self._kind}: encoder_dropout must be in [0, 1), not {a['encoder_dropout']!r}",
                              value=a["encoder_dropout"], hint="it acts between layers; 0.1 is common")
        size = a["inference_input_size"]
        if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
            raise ConfigError(f"{self._kind}: inference_input_size must be a whole number, not {size!r}", value=size,
                              hint="None takes input_size")
        if a["encoder_bidirectional"] and a["recurrent"]:
            raise ConfigError(f"{self._kind}: encoder_bidirectional=True cannot be recursive, as the future is not there yet",
                              value=True, hint="give recurrent=False")
        act = a["decoder_activation"]
        if act is not None and str(act).lower() not in {n.lower() for n in ACTIVATION_NAMES}:
            raise ConfigError(f"{self._kind}: unknown decoder_activation {act!r}", value=act,
                              hint=closest(str(act), ACTIVATION_NAMES))
        for key in ("context_size", "encoder_activation"):
            if a.get(key) is not None and key not in self.USED:
                warnings.warn(f"{self._kind}: {key} has no effect (neuralforecast has deprecated it)", stacklevel=5)

    # -- inputs ----------------------------------------------------------------------------------------------------

    @property
    def unrolled(self) -> bool:
        return bool(self.recurrent)

    # -- forecasts -------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        if mask is not None and self.variant == "paper":
            y = y * mask
        return (self._recursive if self.recurrent else self._direct)(batch, y, mask, hist, futr, stat)

    def _direct(self, batch: Batch, y: Any, mask: Any, hist: Any, futr: Any, stat: Any) -> Any:
        length = y.shape[1]
        past, ahead = (None, None) if futr is None else (futr[:, :length], futr[:, length:])
        x = self.joined(y, hist, past, stat)
        if self.variant == "paper":
            x, lengths = self.aligned(x, self.padding(mask))
            return self.decoded(self.last(self.encoder(x, None, lengths)[1]), ahead)
        z, _ = self.encoder(x)  # [B, L, D H]
        if self.h > length:
            z = self.upsample(z.permute(0, 2, 1)).permute(0, 2, 1)
        else:
            z = z[:, -self.h:]
        return self._mlp(z if ahead is None else _cat([z, ahead], dim=2))  # [B, h, outputs]

    def decoded(self, z: Any, ahead: Any) -> Any:
        """[B, h, outputs] from the last state [B, D H] and the horizon's covariates [B, h, F]."""
        b = z.shape[0]
        z = self._mlp(z if ahead is None else _cat([z, ahead.reshape(b, -1)], dim=1))
        return z.reshape(b, self.h, self.n_out)

    def _mlp(self, z: Any) -> Any:
        for layer in self.decoder:
            z = layer(z)
        return z

    def last(self, state: Any) -> Any:
        """[B, D H] of the last layer, from the encoder's final states."""
        h = state[0] if isinstance(state, tuple) else state  # [layers * D, B, H]
        return h[-1] if self.directions == 1 else _cat([h[-2], h[-1]], dim=1)

    def _recursive(self, batch: Batch, y: Any, mask: Any, hist: Any, futr: Any, stat: Any) -> Any:
        z, state = self._encoded(y, mask, hist, futr, stat)
        return self.rolled(z, state, None if futr is None else futr[:, y.shape[1]:], stat, batch)

    def _encoded(self, y: Any, mask: Any, hist: Any, futr: Any, stat: Any) -> tuple[Any, Any]:
        """The encoder's output [B, 1, D H] and states after the window, in recursive mode."""
        b, length = y.shape[:2]
        x = self.joined(y, self._hist(hist, length), None if futr is None else futr[:, 1:length + 1], stat)
        x, lengths = self.aligned(x, self.padding(mask))
        z, state = self.encoder(x, None, lengths)
        return (z[:, -1:] if lengths is None else self.last(state).reshape(b, 1, -1)), state

    def rolled(self, z: Any, state: Any, ahead: Any, stat: Any, units: Batch) -> Any:
        """[B, h, outputs], from the encoder's output [B, 1, H] and states after the window, and the horizon's covariates."""
        unknown = self.unknown_hist(z.shape[0], 1, z.dtype) if self.hist_exog_list else None
        outs = [self._out(z)]
        for k in range(1, self.h):
            at = None if ahead is None else ahead[:, k:k + 1]
            z, state = self.encoder(self.joined(fed_back(self, outs[-1], units), unknown, at, stat), state)
            outs.append(self._out(z))
        return outs[0] if self.h == 1 else _cat(outs, dim=1)

    def _out(self, z: Any) -> Any:
        return z if self.head is None else self.head(z)

    @property
    def draws_paths(self) -> bool:
        return self.recurrent and super().draws_paths

    def _some_paths(self, batch: Batch, n: int, seed: int, streams: list[int]) -> np.ndarray:
        """[B, n, h], each value drawn from the distribution given those before it, and fed back (`PathModel`)."""
        scaled, loc, scale = self.scale(batch)
        y, mask, hist, futr, stat = self.inputs(scaled)
        if mask is not None and self.variant == "paper":
            y = y * mask
        z, state = self._encoded(y, mask, hist, futr, stat)

        def many(v: Any, axis: int = 0) -> Any:
            return None if v is None else np.repeat(arrays_of(v), n, axis=axis)

        windows, ahead = len(z), many(None if futr is None else futr[:, y.shape[1]:])
        loc, scale, z, stat = map(many, (loc, scale, z, stat))
        state = tuple(many(v, 1) for v in state) if isinstance(state, tuple) else many(state, 1)
        unknown = self.unknown_hist(windows * n, 1, z.dtype) if self.hist_exog_list else None
        found = np.empty((windows, n, self.h), z.dtype)
        for s in range(self.h):
            found[:, :, s] = self.drawn_from(self._out(z), loc, scale, seed, [first + s for first in streams])
            if s + 1 < self.h:
                value = self.entered(found[:, :, s].reshape(-1, 1, 1), loc, scale)
                at = None if ahead is None else ahead[:, s + 1:s + 2]
                z, state = self.encoder(self.joined(value, unknown, at, stat), state)
        return found

    def _hist(self, hist: Any, steps: int) -> Any:
        """hist [B, L, X] as the inputs of the first ``steps`` steps have it, 0 where it is not known."""
        if hist is None:
            return None
        if self.variant == "compat":
            hist = hist[:, 1:]
        b, known = hist.shape[:2]
        return hist if known == steps else _cat([hist, self.unknown_hist(b, steps - known, hist.dtype)], dim=1)

    # -- recursive mode: scaling, training, windows ------------------------------------------------------------------

    def scale(self, batch: Batch) -> tuple[Batch, Any, Any]:
        """As in the base; the batch also holds loc and scale, in which a distribution's mean is fed back."""
        out, loc, scale = super().scale(batch)
        return (out if loc is None or not self.recurrent else {**out, "loc": loc, "scale": scale}), loc, scale

    def teacher_forced(self, batch: Batch) -> Any:
        """[B, h_train, outputs] of a scaled batch with its targets: each step is forecast from the true values before it.

        With h_train <= h these are the first steps after the window, else h and those before them.
        """
        y, mask, hist, futr, stat = self.inputs(batch)
        first = self.padding(mask)
        if mask is not None and self.variant == "paper":
            y = y * mask
        ahead = min(self.h_train, self.h)
        if ahead > 1:
            true = as_input(self, batch["outsample_y"][:, :ahead - 1])
            y = _cat([y, true * 0.0 if self.arguments["exclude_insample_y"] else true], dim=1)
        b, steps = y.shape[:2]
        x = self.joined(y, self._hist(hist, steps), None if futr is None else futr[:, 1:steps + 1], stat)
        x, lengths = self.aligned(x, first)
        z, _ = self.encoder(x, None, lengths)
        if first is None:
            return self._out(z[:, -self.h_train:])
        # where the last h_train steps have come to lie; steps before a window's begin have no weight in the loss
        steps_from = np.arange(steps - self.h_train, steps)[None] - first.reshape(b, 1)
        at = FUNCTIONS["maximum"](steps_from, np.zeros((1, 1), np.int64))
        return self._out(_gather(z, 1, _expand(at.reshape(b, -1, 1), (b, self.h_train, z.shape[2]))))

    def compute_loss(self, batch: Batch) -> Tensor:
        if not self.recurrent:
            return super().compute_loss(batch)
        scaled, loc, scale = self.scale(batch)
        if "outsample_y" not in scaled:
            raise ShapeError(f"{self._kind}: the batch has no outsample_y", hint="give outsample_y [B, h, n]")
        y_hat = self._unaffine(self.teacher_forced(scaled))
        y = self._targets(batch if self.loss.is_distribution_output else scaled, "y")
        mask = self._targets(scaled, "mask")
        loss: Tensor = self.loss.objective(y, y_hat, mask, scaled["insample_y"], loc, scale)
        return loss

    def _targets(self, batch: Batch, kind: str) -> Any:
        """What the outputs of `teacher_forced` are compared with, [B, h_train, 1]."""
        past, ahead = batch.get(f"insample_{kind}"), batch.get(f"outsample_{kind}")
        before = self.h_train - self.h
        if before <= 0:
            return None if ahead is None else ahead[:, :self.h_train]
        if past is None and ahead is None:
            return None
        shape = (len(batch["insample_y"]), 1, 1)
        past = np.ones((shape[0], before, 1), np.float32) if past is None else past[:, -before:]
        if kind == "mask" and "sample_weight" in batch:
            past = past * batch["sample_weight"]
        ahead = np.ones((shape[0], self.h, 1), np.float32) if ahead is None else ahead
        return _cat([past, ahead], dim=1)

    def stream(self, batch: Batch | None = None, n_series: int = 1) -> Stream:
        """The model fed one value at a time, each in the time of one step (`ndiv.models.recurrent.stream`).

        batch, as to `forecast`: the window to begin with, whose scale is kept. Without one (scaler_type="identity" only)
        nothing is known of ``n_series`` series. For variant="paper" and one direction; else `ConfigError` (E0010).

        >>> import ndiv, numpy as np
        >>> m = ndiv.models.GRU(h=2, input_size=3, scaler_type="identity", encoder_hidden_size=8)
        >>> s = m.stream()
        >>> for y in (1.0, 2.0, 4.0):
        ...     s.push(y)
        >>> y = np.array([[[1.0], [2.0], [4.0]]], np.float32)
        >>> bool(np.allclose(s.forecast(), m.forecast({"insample_y": y}), rtol=1e-5))
        True
        """
        return Stream(self, batch, n_series)

    def predict_store(self, store: SeriesStore, futr: np.ndarray | None = None) -> np.ndarray:
        """As in the base, from windows of inference_input_size in recursive mode."""
        size, self.input_size = self.input_size, self.inference_size
        try:
            return super().predict_store(store, futr)
        finally:
            self.input_size = size
