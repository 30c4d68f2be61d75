"""LSTMAttention: an LSTM reads the window, another writes the horizon and attends to what the first has read.

Sutskever, Vinyals, Le, "Sequence to Sequence Learning with Neural Networks", NeurIPS 2014 (encoder, decoder, beam
search); Luong, Pham, Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015;
Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015; heads by
Vaswani et al., "Attention Is All You Need", NeurIPS 2017. For a window of L values, a horizon of h, covariates hist,
stat and futr:
    e_t = LSTM(e_{t-1}, [y_t, hist_t, stat, futr_t]),  t = 1 ... L                            encoder
    s_0 = e_L; of both directions s_0 = tanh(W_s [e_L, e_1] + b_s), its cell W_m [..] + b_m, in each layer
    s_k = LSTM(s_{k-1}, [z_{k-1}, stat, futr_{L+k}]),  k = 1 ... h,  z_0 = y_L                decoder
    c_k = a(s_k; e_1 ... e_L)                                                                 attention
    o_k = W_o tanh(W_c [c_k, s_k] + b_c) + b_o                                   the loss's numbers of step L + k
attention="multihead"  a = W_p [softmax(q_i k_i' / sqrt(d)) v_i]_i, q = W_q s_k and k_t, v_t = W_kv e_t in n_head parts
attention="luong"      a = sum_t softmax_t(s_k' W_a e_t) e_t     ("general", without feeding s~_k to the next step)
attention="bahdanau"   a = sum_t softmax_t(v' tanh(W_a s_{k-1} + U_a e_t)) e_t, which the LSTM of step k reads too
The first two attend after the LSTM, so that with known z_k all h steps are one pass of it; the third goes step by step.
The linear maps of attention have biases where `attention` says so.

Training. z_k is y_{L+k} where teacher forcing says so (`teacher`; each value of each window by a coin of its own), and
where not what the model forecasts greedily itself, without dropout; no gradient goes through that (Bengio et al. 2015).
Of a missing y_{L+k} 0 is read.

Forecast. z_k is what ``decoding`` says:
    greedy  the point forecast itself, of quantiles the median (their mean, where it is none of them), of a distribution
            the mean; the quantiles of a distribution are those given these means, and do not grow as errors add up
    sample  a draw from the distribution; the forecast has mean and quantiles of trajectory_samples paths, as DeepAR's
    beam    the last value and an increment of a codebook; the forecast is the path of the highest joint likelihood that
            a beam of beam_width finds (`beam` defines codebook, candidates and score), its quantiles are those of each
            step given that path
A window that is padded at its start begins at its first observed value; missing values are 0 to the networks (after
scaling), and z_0 is the last value that is there.

neuralforecast has no such model, so there is no variant="compat".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import random
from ...autograd import Tensor
from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError, ShapeError, closest
from ...nn import LSTM, Linear
from ..arguments import check_count
from ..base import Batch, last_observed
from ..feedback import as_input, fed_back
from ..probabilistic.paths import resting
from . import beam
from .attention import ATTENTIONS
from .decoder import AttentionDecoder
from .decoding import DecodingModel, Reading
from .teacher import TeacherForcing

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]
_DECODINGS = ("greedy", "sample", "beam")
_FORCED = "teacher_forcing"  # the share of true values, in a batch of a training step
_BATCHES = 8  # whose increments make the codebook


class LSTMAttention(DecodingModel):
    """LSTM encoder and decoder with attention.

    lstm_n_layers          layers of encoder and of decoder
    lstm_hidden_size       width of their states
    lstm_dropout           dropout between their layers
    attention              "multihead", "luong" or "bahdanau"
    n_head                 parts of multi-head attention; lstm_hidden_size is a multiple of it
    encoder_bidirectional  the encoder reads the window in both directions
    teacher_forcing        "constant", "linear", "exponential" or "inverse_sigmoid": how the share of true values falls
    teacher_forcing_ratio  this share at the start of training
    teacher_forcing_decay  how fast it falls (see `teacher`)
    teacher_forcing_floor  the least that it falls to
    decoding               "greedy", or of a distribution "sample" or "beam"
    trajectory_samples     paths of a sampled forecast
    beam_width             paths that beam search keeps
    increments             how many increments the codebook has, which `fit` finds, or the codebook: a list, in units of
                           the root mean square increment of a window

    >>> import numpy as np
    >>> m = LSTMAttention(h=6, input_size=24, lstm_hidden_size=16)
    >>> m.forward({"insample_y": np.zeros((3, 24, 1), np.float32)}).shape
    (3, 6, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    RECURRENT = True
    VARIANTS = ("paper",)
    PAPER = "Sutskever et al. 2014; Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation"
    DIFFERENCES = "neuralforecast has no such model, so there is no compat"
    DEFAULTS = {"windows_batch_size": 128, "scaler_type": "robust"}

    def __init__(self, h: int, input_size: int = -1, lstm_n_layers: int = 2, lstm_hidden_size: int = 128,
                 lstm_dropout: float = 0.0, attention: str = "multihead", n_head: int = 4, encoder_bidirectional: bool = False,
                 teacher_forcing: str = "constant", teacher_forcing_ratio: float = 1.0,
                 teacher_forcing_decay: float | None = None, teacher_forcing_floor: float = 0.0, decoding: str = "greedy",
                 trajectory_samples: int = 100, beam_width: int = 5, increments: int | Sequence[float] = 32,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("LSTMAttention", lstm_n_layers=lstm_n_layers, lstm_hidden_size=lstm_hidden_size, n_head=n_head,
                    trajectory_samples=trajectory_samples)
        self._check(lstm_dropout, attention, n_head, lstm_hidden_size, encoder_bidirectional, decoding)
        self.forcing = TeacherForcing(teacher_forcing, teacher_forcing_ratio, teacher_forcing_decay, teacher_forcing_floor,
                                      self.arguments["max_steps"])
        self.decoding, self.trajectory_samples, self.beam_width = decoding, trajectory_samples, beam_width
        told = beam.checked(increments)
        self.finds_codebook = isinstance(told, int)
        self.register_buffer("codebook", beam.normal_codebook(told) if isinstance(told, int) else told)
        if decoding == "beam":
            self._searchable(beam_width)
        known = self.stat_exog_size + self.futr_exog_size
        memory = lstm_hidden_size * (2 if encoder_bidirectional else 1)
        self.encoder = LSTM(1 + self.hist_exog_size + known, lstm_hidden_size, num_layers=lstm_n_layers, batch_first=True,
                            dropout=lstm_dropout, bidirectional=encoder_bidirectional)
        if encoder_bidirectional:
            self.bridge_state = Linear(memory, lstm_hidden_size, activation="tanh")
            self.bridge_cell = Linear(memory, lstm_hidden_size)
        self.decoder = AttentionDecoder(1 + known, lstm_hidden_size, lstm_n_layers, lstm_dropout,
                                        ATTENTIONS[attention](lstm_hidden_size, memory, n_head), self.n_out)

    def _check(self, dropout: float, attention: str, n_head: int, hidden: int, both: Any, decoding: str) -> None:
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"LSTMAttention: lstm_dropout must be in [0, 1), not {dropout!r}", value=dropout,
                              hint="it acts between layers; 0.1 is common")
        for name, value, known in (("attention", attention, ATTENTIONS), ("decoding", decoding, _DECODINGS)):
            if value not in known:
                raise ConfigError(f"LSTMAttention: unknown {name} {value!r}", value=value, hint=closest(str(value), known))
        if attention == "multihead" and hidden % n_head:
            raise ConfigError(f"LSTMAttention: lstm_hidden_size={hidden} is not a multiple of n_head={n_head}", value=hidden,
                              hint=f"give {(hidden // n_head + 1) * n_head}, or another n_head")
        if not isinstance(both, bool):
            raise ConfigError(f"LSTMAttention: encoder_bidirectional must be True or False, not {both!r}", value=both,
                              hint=f"encoder_bidirectional={bool(both)}")
        if decoding != "greedy" and not self.loss.is_distribution_output:
            raise ConfigError(f"LSTMAttention: decoding={decoding!r} needs a distribution, and the loss is {self.loss!r}",
                              value=decoding, hint="give loss=DistributionLoss('StudentT'), or decoding='greedy'")

    # -- the network -------------------------------------------------------------------------------------------------

    def scale(self, batch: Batch) -> tuple[Batch, Any, Any]:
        """As in the base; the batch also holds loc and scale, in which a distribution's mean is fed back."""
        out, loc, scale = super().scale(batch)
        return (out if loc is None else {**out, "loc": loc, "scale": scale}), loc, scale

    def _read(self, batch: Batch) -> Reading:
        y, mask, hist, futr, stat = self.inputs(batch)
        if mask is not None:
            y = y * mask
        length = self.input_size
        first = self.padding(mask)
        x = self.joined(y, hist, None if futr is None else futr[:, :length], stat)
        x, lengths = self.aligned(x, first)
        memory, state = self.encoder(x, None, lengths)  # [B, L, E], ([layers, B, H], the same)
        if self.encoder.bidirectional:
            h, c = (self._both_ways(v) for v in state)
            state = self.bridge_state(h), self.bridge_cell(c)
        last = last_observed(y, mask)
        ahead = self._ahead(None if futr is None else futr[:, length:], stat)
        allowed = None if lengths is None else lengths.reshape(-1, 1) > np.arange(length)[None]
        return Reading(self.decoder.attention.prepared(memory), allowed, state, last, ahead)

    def _both_ways(self, state: Any) -> Any:
        """[layers * 2, B, H] -> [layers, B, 2 H]"""
        each = state.reshape(-1, 2, *state.shape[1:])
        return _cat([each[:, 0], each[:, 1]], dim=2)

    def _ahead(self, futr: Any, stat: Any) -> Any:
        """Known covariates of the horizon [B, h, *]; None without."""
        if stat is None:
            return futr
        b, n = stat.shape
        known = FUNCTIONS["expand"](stat.reshape(b, 1, n), (b, self.h, n))
        return known if futr is None else _cat([known, futr], dim=2)

    def _decode(self, z: Any, k: int, read: Reading, state: Any) -> tuple[Any, Any]:
        """(numbers [B, T, outputs], state) of the steps from k on that read z [B, T, 1]."""
        ahead = None if read.ahead is None else read.ahead[:, k:k + z.shape[1]]
        return self.decoder(z if ahead is None else _cat([z, ahead], dim=2), state, read.prepared, read.allowed)

    @property
    def unrolled(self) -> bool:
        return True

    def forward(self, batch: Batch) -> Any:
        """Numbers of the horizon [B, h, outputs], by greedy decoding."""
        read = self._read(batch)
        numbers, state = self._decode(read.last, 0, read, read.state)
        found = [numbers]
        for k in range(1, self.h):
            numbers, state = self._decode(fed_back(self, numbers, batch), k, read, state)
            found.append(numbers)
        return found[0] if self.h == 1 else _cat(found, dim=1)

    # -- training ----------------------------------------------------------------------------------------------------

    def teacher_forced(self, batch: Batch, ratio: Any = None) -> Any:
        """Numbers [B, h, outputs] of a scaled batch with its targets, each step reading the true value before it; with a ratio
        [1, 1, 1], that with this probability, and else what the model forecast itself."""
        read, z = self._read(batch), None
        if self.h > 1:
            true, mask = as_input(self, batch["outsample_y"][:, :-1]), batch.get("outsample_mask")
            if mask is not None:
                true = _where(mask[:, :-1] != 0, true, np.zeros((), true.dtype))
            true = true * 0.0 if self.arguments["exclude_insample_y"] else true
            z = true if ratio is None else self._mixed(true, ratio, read, batch)
        return self._decode(read.last if z is None else _cat([read.last, z], dim=1), 0, read, read.state)[0]

    def _mixed(self, true: Any, ratio: Any, read: Reading, units: Batch) -> Any:
        """[B, h - 1, 1]: of each value the true one, or the forecast after those before it, as a coin has it."""
        shape = tuple(true.shape)
        coins = random.draw(lambda rng: rng.random(shape, dtype=np.float32)) < ratio
        found: list[Any] = []
        with resting(self):
            z, state = read.last, read.state
            for k in range(self.h - 1):
                numbers, state = self._decode(z, k, read, state)
                z = _where(coins[:, k:k + 1], true[:, k:k + 1], fed_back(self, numbers, units))
                found.append(z)
            return found[0] if len(found) == 1 else _cat(found, dim=1)

    def ratio(self) -> float:
        """The share of true values that the decoder reads at the next training step, by the optimizer's count of updates:
        it goes on in `partial_fit` and from a checkpoint, and begins anew with a new optimizer."""
        return self.forcing.at(0 if self._optimizer is None else max(self._optimizer.counts))

    def train_step(self, batch: Batch | list[Batch]) -> float:
        """As in the base, by the share of true values that the schedule has for this update."""
        if not self.forcing.always:
            share = np.full((1, 1, 1), self.ratio(), np.float32)
            batch = [{**b, _FORCED: share} for b in batch] if isinstance(batch, list) else {**batch, _FORCED: share}
        return super().train_step(batch)

    def compute_loss(self, batch: Batch) -> Tensor:
        """As in the base, of forecasts after true values (`train_step` says of how many)."""
        scaled, loc, scale = self.scale(batch)
        if "outsample_y" not in scaled:
            raise ShapeError("LSTMAttention: the batch has no outsample_y", hint="give outsample_y [B, h, n]")
        ratio = scaled.get(_FORCED)
        if ratio is None and not self.forcing.always:
            ratio = np.full((1, 1, 1), self.ratio(), np.float32)
        y_hat = self._unaffine(self.teacher_forced(scaled, ratio))
        y = (batch if self.loss.is_distribution_output else scaled)["outsample_y"]
        loss: Tensor = self.loss.objective(y, y_hat, scaled.get("outsample_mask"), scaled["insample_y"], loc, scale)
        return loss

    def _objective(self, batch: Batch) -> Any:
        """The validation loss: a likelihood is that of the horizon, each step given the true values before it."""
        if not (self.valid_loss.is_distribution_output and self.loss.is_distribution_output):
            return super()._objective(batch)
        scaled, loc, scale = self.scale(batch)
        y_hat = self._unaffine(self.teacher_forced(scaled))
        return self.valid_loss.objective(batch["outsample_y"], y_hat, batch.get("outsample_mask"), batch["insample_y"], loc,
                                         scale)

    def before_training(self, loader: Any) -> None:
        """The codebook of increments, where it is not given: from the batches of the first steps."""
        if self.finds_codebook and self.loss.is_distribution_output:
            found = [beam.standardized(loader.batch(step)) for step in range(_BATCHES)]
            self.codebook = beam.quantiles(found, len(self.codebook))
