"""Temporal Fusion Transformer: variables chosen at every step, a recurrent encoder and decoder, attention to be looked at.

Lim, Arik, Loeff, Pfister, "Temporal Fusion Transformers for interpretable multi-horizon time series forecasting", International
Journal of Forecasting 37(4), 2021. For steps t = 1 ... L of the window and L+1 ... L+h of the horizon:
    s = select(static);  c_s, c_e, c_h, c_c = GRN(s) each                       static contexts (section 4.3)
    x_t = select(variables of step t, c_s)                                      of the window, of the horizon (section 4.2)
    phi_t = LSTM(x_t), from (c_h, c_c), a second one from L+1 on                (section 4.5.1)
    phi_t <- LayerNorm(x_t + GLU(phi_t))                                        (equation 17)
    theta_t = GRN(phi_t, c_e)                                                   static enrichment (equation 18)
    delta_t = LayerNorm(theta_t + GLU(attention(theta)_t))                      t > L, over steps up to t (equations 19, 20)
    y_t = W LayerNorm(phi_t + GLU(GRN(delta_t))) + b                            (equations 21 to 23)
The variables of a step are the target and historic covariates (in the window), and covariates known in the future. Blocks are
in blocks_tft.py. Quantiles, as in the paper, come with ``loss=MQLoss(...)``.

variant="paper": as above. A category is one variable, whose embedding is a row of its table times a matrix. Where nothing is
    known of the future the step's place in the window is, from -1 at its start and 0 at the first forecast. Missing values
    are 0.
variant="compat": as neuralforecast (whose TFT takes no categories): where nothing is known of the future the window's last
    value stands for it at every step; no dropout in the networks that weight variables; the static contexts' networks have
    the activation ELU whatever is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...data.store import SeriesStore
from ...errors import ConfigError, NotFittedError, closest
from ...nn import GRU, LSTM, Dropout, LayerNorm, Linear
from ...nn import activation as activation_op
from ..arguments import check_count
from ..base import BaseModel, Batch
from .blocks_patch import check_heads, check_rates
from .blocks_tft import EPS, GRN, Embeddings, Gate, GRNs, InterpretableAttention, VariableSelection
from .explained import by_name, explained, rank_correlations

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

RNNS = {"lstm": LSTM, "gru": GRU}
ACTIVATIONS = ("ELU", "ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "Sigmoid", "GELU")
_CHUNK = 1 << 24  # numbers of weights and embeddings that are looked at together, at most


class TFT(BaseModel):
    """Temporal Fusion Transformer.

    tgt_size                how many embeddings the target has, each a variable
    hidden_size             features of a step; a multiple of n_head
    n_head                  attention heads, hidden_size // n_head features each
    attn_dropout            on the probabilities of attention; each of these rates is at least 0 and less than 1
    grn_activation          "ELU" as in the paper, or "ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "Sigmoid", "GELU"
    n_rnn_layers            layers of the recurrent encoder and decoder
    rnn_type                "lstm" or "gru"
    one_rnn_initial_state   all recurrent layers begin with the same static contexts
    dropout                 in gated residual networks, and on what attention gives

    `feature_importances`, `attention_weights` and `feature_importance_correlations` tell what a forecast was made of.

    >>> import numpy as np
    >>> m = TFT(h=24, input_size=96, hidden_size=32)
    >>> m.forward({"insample_y": np.zeros((8, 96, 1), np.float32)}).shape
    (8, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    DEFAULTS = {"scaler_type": "robust"}
    PAPER = "Lim et al. 2021, Temporal Fusion Transformers for interpretable multi-horizon time series forecasting"
    DIFFERENCES = ("paper: where no covariate is known ahead, the place of each step is; there is dropout in the networks that "
                   "weight variables; missing values are 0. compat repeats the window's last value as if it were known ahead")

    def __init__(self, h: int, input_size: int = -1, tgt_size: int = 1, hidden_size: int = 128, n_head: int = 4,
                 attn_dropout: float = 0.0, grn_activation: str = "ELU", n_rnn_layers: int = 1, rnn_type: str = "lstm",
                 one_rnn_initial_state: bool = False, dropout: float = 0.1, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        self._check()
        act, kind, compat = activation_op(grn_activation), rnn_type.lower(), self.variant == "compat"
        self.tgt_size, self.layers, self.kind = tgt_size, n_rnn_layers, kind
        self._last: tuple[SeriesStore, np.ndarray | None] | None = None  # what was forecast last
        self.known = self._variables("futr") or [("repeated_target" if compat else "relative_step", 1)]
        targets = [(f"observed_target_{k + 1}" if tgt_size > 1 else "observed_target", 1) for k in range(tgt_size)]
        self.past, self.static = [*self._variables("hist"), *self.known, *targets], self._variables("stat")
        own = {"relative_step", "repeated_target", "mean_attention", *(name for name, _ in targets)}
        taken = [name for name in (*self.hist_exog_list, *self.futr_exog_list) if name in own]
        if taken:
            raise ConfigError(f"TFT: {taken[0]!r} is what TFT itself calls an input", value=taken[0], hint="rename the column")
        has_static = bool(self.static)

        def selection(variables: list[tuple[str, int]], context: bool) -> VariableSelection:
            return VariableSelection([n for _, n in variables], hidden_size, act, dropout, 0.0 if compat else dropout, context)

        parts = [self._variables("hist"), self.known, targets, self.static]
        self.hist_embedding, self.known_embedding, self.target_embedding, self.static_embedding = (
            Embeddings([n for _, n in part], hidden_size) if part else None for part in parts)
        if has_static:
            self.states = 1 if one_rnn_initial_state else n_rnn_layers
            contexts = 2 + self.states * (2 if kind == "lstm" else 1)
            self.static_selection = selection(self.static, False)
            self.contexts = GRNs(contexts, hidden_size, "elu" if compat else act, dropout)
        self.past_selection, self.future_selection = selection(self.past, has_static), selection(self.known, has_static)
        self.encoder = RNNS[kind](hidden_size, hidden_size, n_rnn_layers)
        self.decoder = RNNS[kind](hidden_size, hidden_size, n_rnn_layers)
        self.recurrent_gate, self.recurrent_norm = Gate(hidden_size, hidden_size), LayerNorm(hidden_size, EPS)
        self.enrichment = GRN(hidden_size, act, dropout, has_static)
        self.attention = InterpretableAttention(hidden_size, n_head, self.h, attn_dropout)
        self.dropout = Dropout(dropout)
        self.attention_gate, self.attention_norm = Gate(hidden_size, hidden_size), LayerNorm(hidden_size, EPS)
        self.feed_forward = GRN(hidden_size, act, dropout)
        self.output_gate, self.output_norm = Gate(hidden_size, hidden_size), LayerNorm(hidden_size, EPS)
        self.head = Linear(hidden_size, self.n_out)

    def _check(self) -> None:
        a = self.arguments
        check_count("TFT", **{key: a[key] for key in ("tgt_size", "hidden_size", "n_head", "n_rnn_layers")})
        check_heads("TFT", a["hidden_size"], a["n_head"])
        check_rates("TFT", attn_dropout=a["attn_dropout"], dropout=a["dropout"])
        for key, known in (("grn_activation", ACTIVATIONS), ("rnn_type", tuple(RNNS))):
            if str(a[key]).lower() not in [name.lower() for name in known]:
                raise ConfigError(f"TFT: unknown {key} {a[key]!r}", value=a[key], hint=closest(str(a[key]), known))
        if not isinstance(a["one_rnn_initial_state"], bool):
            raise ConfigError(f"TFT: one_rnn_initial_state must be True or False, not {a['one_rnn_initial_state']!r}",
                              value=a["one_rnn_initial_state"], hint="False gives each recurrent layer a start of its own")

    def _variables(self, kind: str) -> list[tuple[str, int]]:
        """Name and number of columns of each covariate of a kind, in the order in which `inputs` has them."""
        names, tables = getattr(self, f"{kind}_exog_list"), self.tables(kind)
        if tables is None:
            return [(name, 1) for name in names]
        numbers = [(name, 1) for name, is_code in zip(names, tables.is_code, strict=True) if not is_code]
        return numbers + [(names[k], t.embedding_dim) for k, t in zip(tables.places, tables.tables, strict=True)]

    # -- forecasts -------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Any:
        temporal, enriched, _ = self.encoded(batch)
        own, x = enriched[-self.h:], self.dropout(self.attention(enriched))  # [h, B, hidden]
        x = self.feed_forward(self.attention_norm(self.attention_gate(x) + own))
        x = self.output_norm(self.output_gate(x) + temporal[-self.h:])
        return FUNCTIONS["transpose"](self.head(x), 0, 1)  # [B, h, outputs]

    def encoded(self, batch: Batch) -> tuple[Any, Any, dict[str, Any]]:
        """Steps before and after static enrichment, [L + h, B, hidden], and the weights of the variables "past" [L, B, P],
        "future" [h, B, F] and, where there are any, "static" [B, S]."""
        cat, turned = FUNCTIONS["cat"], FUNCTIONS["transpose"]
        y, mask, hist, futr, stat = self.inputs(batch)
        if mask is not None and self.variant == "paper":
            y = y * mask
        length, sizes = self.input_size, (y.shape[0],)
        weights, selecting, enriching, state = {}, None, None, None
        if stat is not None:
            chosen, weights["static"] = self.static_selection([stat], [self.static_embedding], sizes)  # [B, hidden]
            contexts = self.contexts(chosen.reshape(1, *chosen.shape))  # [contexts, B, hidden]
            selecting, enriching, state = contexts[0], contexts[1], self._state(contexts[2:])
        before, ahead = self._stand_in(y) if futr is None else (turned(futr[:, :length], 0, 1), turned(futr[:, length:], 0, 1))
        parts = [*([] if hist is None else [turned(hist, 0, 1)]), before, *[turned(y, 0, 1)] * self.tgt_size]
        known = [e for e in (self.hist_embedding, self.known_embedding, self.target_embedding) if e is not None]
        past, weights["past"] = self.past_selection(parts, known, (length, *sizes), selecting)  # [L, B, hidden]
        ahead, weights["future"] = self.future_selection([ahead], [self.known_embedding], (self.h, *sizes), selecting)
        encoded, state = self.encoder(past, state)
        decoded, _ = self.decoder(ahead, state)
        x = cat([past, ahead], dim=0) + self.recurrent_gate(cat([encoded, decoded], dim=0))
        temporal = self.recurrent_norm(x)
        return temporal, self.enrichment(temporal, enriching), weights

    def _stand_in(self, y: Any) -> tuple[Any, Any]:
        """Where nothing is known of the future, for the window and the horizon: what is the same at every step [1, B, 1], or in
        every window [L, 1, 1] and [h, 1, 1]."""
        if self.variant == "compat":
            last = FUNCTIONS["transpose"](y[:, -1:], 0, 1)
            return last, last
        steps = (np.arange(-self.input_size, self.h) / self.input_size).astype(y.dtype).reshape(-1, 1, 1)
        return steps[:self.input_size], steps[self.input_size:]

    def _state(self, contexts: Any) -> Any:
        """What the recurrent layers begin with: h, and c of an LSTM, [layers, B, hidden] each."""
        parts = [contexts[k:k + self.states] for k in range(0, len(contexts), self.states)]
        if self.states < self.layers:
            parts = [FUNCTIONS["expand"](part, (self.layers, *part.shape[1:])) for part in parts]
        return tuple(parts) if self.kind == "lstm" else parts[0]

    def predict_store(self, store: SeriesStore, futr: np.ndarray | None = None) -> np.ndarray:
        found = super().predict_store(store, futr)
        self._last = (store, futr)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_last": None}

    def reset(self) -> BaseModel:
        self._last = None
        return super().reset()

    # -- what a forecast was made of -------------------------------------------------------------------------------

    def feature_importances(self, batch: Batch | None = None, average: bool = True) -> dict[str, dict[str, Any]]:
        """The weights of the variables: {"past": {name: [L]}, "future": {name: [h]}, "static": {name: number}}.

        batch     windows in the units of the data, as to `forecast`; None: those of the last `predict`, one for each series,
                  by the weights that the model has now
        average   over the windows; else arrays have an axis of windows in front, [B, L], [B, h] and [B]

        At each step the weights of all variables add up to 1, and so do those of static ones; a covariate that is named in two
        lists has the sum of its two. Past variables are the historic covariates, those known in the future, and
        "observed_target"; "relative_step" ("repeated_target" in compat) is what the model takes where no covariate is known in
        the future. "static" is empty without static covariates. ``pandas.DataFrame(found["past"])`` is a table of steps and
        variables. Steps before a short series begins, which are padded, count as well. See section 7.1 of the paper.

        Raises `NotFittedError` (E0001) without a batch where nothing has been forecast since the model was made or loaded, and
        what `forecast` raises.

        >>> import numpy as np
        >>> from ndiv import NeuralForecast
        >>> from ndiv.utils import AirPassengersDF
        >>> model = TFT(h=3, input_size=6, hidden_size=8, max_steps=2)
        >>> nf = NeuralForecast([model], freq="ME").fit(AirPassengersDF)
        >>> columns = nf.predict().columns
        >>> found = model.feature_importances()
        >>> {kind: list(names) for kind, names in found.items()}
        {'past': ['relative_step', 'observed_target'], 'future': ['relative_step'], 'static': []}
        >>> bool(np.allclose(sum(found["past"].values()), 1.0)), found["past"]["observed_target"].shape
        (True, (6,))
        """
        kinds = {"past": self.past, "future": self.known, "static": self.static}
        found = explained(self, self._windows(batch), self._weights, average)
        return {kind: by_name([name for name, _ in variables], found.get(kind)) for kind, variables in kinds.items()}

    def attention_weights(self, batch: Batch | None = None, average: bool = True) -> np.ndarray:
        """To which steps each step attends, [L + h, L + h]: the mean over heads and windows; rows add up to 1.

        The last h rows are those of the forecast. A step attends to itself and those before it. batch, average and errors are
        those of `feature_importances`; without average [B, heads, L + h, L + h].

        >>> import numpy as np
        >>> model = TFT(h=2, input_size=3, hidden_size=8)
        >>> weights = model.attention_weights({"insample_y": np.ones((4, 3, 1), np.float32)})
        >>> weights.shape, bool(np.allclose(weights.sum(1), 1.0)), float(weights[2, 3])
        ((5, 5), True, 0.0)
        """
        found: np.ndarray = explained(self, self._windows(batch), self._attention, average)["attention"]
        return found.mean(0) if average else found

    def feature_importance_correlations(self, batch: Batch | None = None) -> dict[str, dict[str, float]]:
        """Spearman's rank correlations over the steps of the window, of the past variables' importances with each other and
        with "mean_attention", how much the steps of the forecast attend to each step.

        {name: {name: number}}, NaN for what is the same at every step. batch and errors are those of `feature_importances`.

        >>> import numpy as np
        >>> model = TFT(h=2, input_size=5, hidden_size=8)
        >>> found = model.feature_importance_correlations({"insample_y": np.eye(5, dtype=np.float32)[..., None]})
        >>> list(found), round(found["relative_step"]["observed_target"], 6)
        (['relative_step', 'observed_target', 'mean_attention'], -1.0)
        """
        attention = self.attention_weights(batch)[self.input_size:, :self.input_size].mean(0)
        return rank_correlations({**self.feature_importances(batch)["past"], "mean_attention": attention})

    def _weights(self, batch: Batch) -> dict[str, Any]:
        """Of a scaled batch, windows first: [B, L, P], [B, h, F], [B, S]."""
        found = self.encoded(batch)[2]
        return {kind: v if kind == "static" else FUNCTIONS["transpose"](v, 0, 1) for kind, v in found.items()}

    def _attention(self, batch: Batch) -> dict[str, Any]:
        return {"attention": self.attention.weights(self.encoded(batch)[1])}  # [B, heads, L + h, L + h]

    def _windows(self, batch: Batch | None) -> Iterator[Batch]:
        """The windows to look at, as many at a time as memory is good for."""
        if batch is None and (self._last is None or not self.fitted):
            raise NotFittedError("TFT has made no forecast that could be looked at", hint="call predict first, or give a batch")
        steps, a = self.input_size + self.h, self.arguments
        each = steps * (a["n_head"] * steps + sum(n for _, n in self.past) * a["hidden_size"])
        some = max(_CHUNK // each, 1)
        batches = [batch] if self._last is None or batch is not None else (b for _, b in self.batches_ahead(*self._last))
        for whole in batches:
            assert whole is not None
            for begin in range(0, len(whole["insample_y"]), some):
                yield {k: v if v is None else v[begin:begin + some] for k, v in whole.items()}
