"""DeepNPTS: a forecast is a draw from the window's own values, with probabilities that a network gives.

Rangapuram, Gasthaus, Stella, Flunkert, Salinas, Wang, Januschowski, "Deep Non-Parametric Time Series Forecaster",
arXiv:2312.14657, 2023. For the values z_1..z_L of a window, its covariates x, and a step k of the horizon:
    q_k = softmax(network(z, x))            sampling probabilities of the values (section 3.2)
    P(z_L+k = z_t) = q_k(t)                 the forecast: a distribution over values that were observed
No forecast leaves the range of the window, and there are no parameters of a distribution that could be wrong.

variant="paper": the distribution itself. It is trained by its ranked probability score (`ndiv.losses.RPS`, the loss where none
    is given), forecasts are its mean and its quantiles (``loss=RPS(level=[80, 90])``), and `sample` draws from it. The score
    as printed is linear in the probabilities and rewards certainty; the default is the proper one, proper=False the printed
    one. Missing values have probability 0. All steps come from one window, each with probabilities of its own; the paper has
    those of one step, which it repeats on drawn values.
variant="compat": as neuralforecast: the expected value, trained by a point loss; missing values count as zeros.

With other losses both variants give the expected value for each number that is a location (a quantile, a mean), with
probabilities of its own; what else a loss asks for (a scale, degrees of freedom) comes from the network itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import random
from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...losses import RPS
from ...nn import BatchNorm1d, Dropout, Linear, Module, ModuleList
from ..arguments import check_count
from ..base import BaseModel, Batch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

NEVER = -1e4  # logit of a value that is missing: its probability is 0 to the last bit


class DenseLayer(Module):
    """Linear, ReLU, batch normalization, dropout: [B, n_in] -> [B, n_out]."""

    def __init__(self, n_in: int, n_out: int, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        self.linear = Linear(n_in, n_out, activation="relu")
        self.norm = BatchNorm1d(n_out) if batch_norm else None
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = self.linear(x)
        return self.dropout(x if self.norm is None else self.norm(x))


class DeepNPTS(BaseModel):
    """DeepNPTS.

    hidden_size   width of the layers
    batch_norm    batch normalization after each layer
    dropout       dropout after each layer
    n_layers      number of layers before the one that gives the logits

    >>> import numpy as np
    >>> from ndiv.losses import RPS
    >>> m = DeepNPTS(h=24, input_size=96, loss=RPS(level=[80]))
    >>> m.forecast({"insample_y": np.ones((32, 96, 1), np.float32)}).shape, m.output_names
    ((32, 24, 4), ['', '-median', '-lo-80', '-hi-80'])
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    PAPER = "Rangapuram et al. 2023, Deep Non-Parametric Time Series Forecaster"
    DIFFERENCES = ("paper: a distribution over the window's values, trained by the ranked probability score, with "
                   "quantiles and samples, missing values at probability 0; compat: the expected value under a point "
                   "loss, missing values count as 0")
    DEFAULTS = {"num_lr_decays": 3, "scaler_type": "standard"}

    def __init__(self, h: int, input_size: int = -1, hidden_size: int = 32, batch_norm: bool = True, dropout: float = 0.1,
                 n_layers: int = 2, **common: Unpack[CommonArguments]) -> None:
        self._choose_loss()
        super().__init__()
        check_count("DeepNPTS", hidden_size=hidden_size, n_layers=n_layers)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ConfigError(f"DeepNPTS: dropout must be in [0, 1), not {dropout!r}", value=dropout,
                              hint="0.1 is the default")
        if not isinstance(batch_norm, bool):
            raise ConfigError(f"DeepNPTS: batch_norm must be True or False, not {batch_norm!r}", value=batch_norm,
                              hint="True is the default")
        ranked = isinstance(self.loss, RPS)
        self.located = [True] if ranked else [bool(v) for v in self.loss.level_mask()]
        n_hist, n_futr, length = self.hist_exog_size, self.futr_exog_size, self.input_size
        size = length * (1 + n_hist + n_futr) + self.stat_exog_size + self.h * n_futr
        self.layers = ModuleList(DenseLayer(hidden_size if i else size, hidden_size, batch_norm, dropout)
                                 for i in range(n_layers))
        weighted = sum(self.located)
        self.out = Linear(hidden_size, self.h * (length * weighted + len(self.located) - weighted))

    def _choose_loss(self) -> None:
        """RPS where no loss is given, for as many values as the window has."""
        a = self.arguments
        if a["exclude_insample_y"]:
            raise ConfigError("DeepNPTS: forecasts are values of the series, so that it cannot be left out", value=True,
                              hint="leave exclude_insample_y=False")
        if a["loss"] is None and a["variant"] == "paper":
            a["loss"] = RPS()
        for key in ("loss", "valid_loss"):
            if a[key] is RPS or a[key] == "RPS":
                a[key] = RPS()
            if not isinstance(a[key], RPS):
                continue
            if a["variant"] != "paper" or not isinstance(a["loss"], RPS):
                raise ConfigError(f"DeepNPTS: {key}=RPS needs variant='paper' and loss=RPS", value=a["variant"],
                                  hint="the point form is trained and validated by point losses, such as MAE")
            a[key] = a[key].of_window(a["input_size"])

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        b, length = y.shape[:2]
        if self.variant == "compat":
            mask = None
        if mask is not None:
            y = y * mask
        logits, rest = self._logits(y, hist, futr, stat)
        if mask is not None:
            logits = FUNCTIONS["where"](mask != 0, logits, np.asarray(NEVER, logits.dtype))
        if isinstance(self.loss, RPS):
            return self._distribution(y, mask, logits)
        values = FUNCTIONS["matmul"](y.reshape(b, 1, length), FUNCTIONS["softmax"](logits, 1)).reshape(b, self.h, -1)
        if rest is None:
            return values
        parts, taken = [], {True: 0, False: 0}
        for located in self.located:
            source, i = values if located else rest, taken[located]
            parts.append(source[..., i:i + 1])
            taken[located] += 1
        return FUNCTIONS["cat"](parts, dim=2)

    def _logits(self, y: Any, hist: Any, futr: Any, stat: Any) -> tuple[Any, Any]:
        """Logits of the values [B, L, h * locations], and the numbers that are no locations [B, h, *], or None."""
        cat, b, length = FUNCTIONS["cat"], y.shape[0], self.input_size
        steps = [y, *([] if futr is None else [futr[:, :length]]), *([] if hist is None else [hist])]
        parts = [(y if len(steps) == 1 else cat(steps, dim=2)).reshape(b, -1)]
        if stat is not None:
            parts.append(stat)
        if futr is not None:
            parts.append(futr[:, length:].reshape(b, -1))
        x = parts[0] if len(parts) == 1 else cat(parts, dim=1)
        for layer in self.layers:
            x = layer(x)
        x = self.out(x)
        size = self.h * length * sum(self.located)
        if x.shape[1] == size:
            return x.reshape(b, length, -1), None
        return x[:, :size].reshape(b, length, -1), x[:, size:].reshape(b, self.h, -1)

    def _distribution(self, y: Any, mask: Any, logits: Any) -> Any:
        """[B, h, 2 * L]: the values in ascending order, in the units of the scaler, and their logits."""
        where, b = FUNCTIONS["where"], y.shape[0]
        values = super()._unaffine(y).reshape(b, -1)  # [B, L]
        if mask is not None:  # a missing value takes the place of the largest one, where it adds nothing to any interval
            on = mask.reshape(b, -1) != 0
            low = np.asarray(np.finfo(np.float32).min, values.dtype)
            top = FUNCTIONS["amax"](where(on, values, low), 1, True)
            values = where(on, values, where(top > low, top, low * 0))
        values, order = FUNCTIONS["sort"](values, 1)
        values = FUNCTIONS["expand"](values.reshape(b, 1, -1), (b, self.h, self.input_size))
        order = FUNCTIONS["expand"](order.reshape(b, 1, -1), (b, self.h, self.input_size))
        return FUNCTIONS["cat"]([values, FUNCTIONS["gather"](logits.permute(0, 2, 1), 2, order)], dim=2)

    def _unaffine(self, y_hat: Any) -> Any:
        """Values of a distribution are there already, and logits have no units."""
        return y_hat if isinstance(self.loss, RPS) else super()._unaffine(y_hat)

    def _objective(self, batch: Batch) -> Any:
        """The validation loss; that of a distribution is its score in the units of the data."""
        if not isinstance(self.valid_loss, RPS):
            return super()._objective(batch)
        values, probabilities = self.valid_loss.domain_map(self._numbers(batch)[0])
        _, loc, scale = self.scale(batch)
        if loc is not None:
            values = self.scaler.inverse(values, loc, scale)
        return self.valid_loss(batch["outsample_y"], (values, probabilities), batch.get("outsample_mask"))

    def sample(self, batch: Batch, n: int = 100) -> np.ndarray:
        """Draws from the forecast distribution of each step, in the units of the data: float32 [B, h, n].

        Each draw is one of the window's values (to rounding, where they are scaled). Steps are drawn independently. Raises
        `ConfigError` (E0010) where the model gives no distribution.

        >>> import numpy as np
        >>> m = DeepNPTS(h=2, input_size=3)
        >>> draws = m.sample({"insample_y": np.array([[[1.0], [5.0], [7.0]]], np.float32)}, 50)
        >>> draws.shape, sorted({int(v) for v in np.round(draws).ravel()})
        ((1, 2, 50), [1, 5, 7])
        """
        if not isinstance(self.loss, RPS):
            raise ConfigError(f"DeepNPTS: with loss={self.loss!r} there is no distribution to draw from", value=self.loss,
                              hint="make the model with loss=RPS()")
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ConfigError(f"DeepNPTS: n must be a positive whole number, not {n!r}", value=n, hint="give n >= 1")
        was = self.training
        self.eval()
        try:
            numbers, loc, scale = self._planned("_numbers", batch, 3)
        finally:
            self.train(was)
        values, probabilities = (np.asarray(getattr(v, "data", v)) for v in self.loss.domain_map(np.asarray(numbers)))
        if loc is not None:
            values = self.scaler.inverse(values, loc, scale)
        reached = np.cumsum(probabilities, axis=-1)
        drawn = random.generator().uniform(size=(*values.shape[:2], n)) * reached[..., -1:]
        index = np.stack([np.searchsorted(f, u, side="right") for f, u in zip(
            reached.reshape(-1, values.shape[-1]), drawn.reshape(-1, n), strict=True)]).reshape(drawn.shape)
        out: np.ndarray = np.take_along_axis(np.asarray(values), np.minimum(index, values.shape[-1] - 1), axis=-1)
        return out
