"""How each model is trained in the accuracy benchmark: settings as data, each with its source.

Contract: `setting` answers for every model of the registry; what was never tuned says so. Sources are the official
script, the paper, or "validation": chosen among `CANDIDATES` by validation loss alone, which
``ndiv bench accuracy --select --models NAME --h H`` prints. No setting was chosen by a test result.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

__all__ = ["CANDIDATES", "Setting", "candidates", "setting"]


@dataclass(frozen=True)
class Setting:
    """One way to train.

    input_size      lookback
    learning_rate   of the first epoch; multiplied by ``decay`` after each, or with decay None along half a cosine wave
                    to 0 at the end of the last of ``epochs``
    batch_size      start positions in a step; each gives one window a column
    epochs          passes over the training windows at most
    patience        epochs without a better validation loss after which training stops
    loss            what training minimizes, or the name of a distribution; validation is always the mean squared error
    steps           steps in an "epoch" at most; 0: as many as a pass over the training windows has. Validation, ``decay``
                    and ``patience`` go by such epochs, and the next one goes on where the last one ended
    valid_every     1: every validation window counts, k: every k-th, for models whose forecast costs minutes
    model           further arguments of the model's constructor
    source          where this comes from
    """

    input_size: int
    learning_rate: float
    source: str
    batch_size: int = 32
    epochs: int = 10
    patience: int = 3
    decay: float | None = 0.5
    loss: str = "MSE"
    steps: int = 0
    valid_every: int = 1
    model: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """One line: the numbers that matter, for the printed table."""
        fall = f"cosine over {self.epochs} epochs" if self.decay is None else f"x{self.decay:g}/epoch"
        parts = [f"lr {self.learning_rate:g} {fall}", f"batch {self.batch_size}", self.loss]
        parts += [f"{self.steps} steps/epoch"] if self.steps else []
        parts += [f"every {self.valid_every}th validation window"] if self.valid_every > 1 else []
        parts += [f"{k}={_short(v)}" for k, v in self.model.items()]
        return ", ".join(parts)

    def record(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return asdict(self)


def _short(value: Any) -> str:
    return str(value).replace(" ", "").replace("'", "")


_LTSF = "official LTSF-Linear script"
_UNTUNED = Setting(336, 1e-3, "untuned: common values, not chosen for this model")
# Chosen at h = 96 by the mean validation loss over seeds 1, 2, 3: 0.6578. Next: L=336, MSE, scaler "identity" with decay
# 0.5 (0.6585), 0.7 (0.6586) and 0.8 (0.6611), L=512 (0.6603), and that with "revin" (0.6607). The other `CANDIDATES` were
# compared with seed 1 alone and lost there. The first three are within the spread over seeds, so this choice says little;
# it was made before its own test error was known, but after that of the second (0.3950). Other horizons take the same
# setting, unselected.
_NHITS = {"n_pool_kernel_size": [16, 8, 1], "n_freq_downsample": [24, 12, 1], "mlp_units": [[256, 256]],
          "dropout_prob_theta": 0.5, "scaler_type": "standard"}
# The next five: mean validation losses over seeds 1, 2, 3 at h = 96; other horizons take the same settings, unselected. No
# test error of these models was known before the choice. All normalize each window (TSMixer by its RevIN), as the protocol
# asks. NBEATS: 0.6653; the narrow network 0.6664, with L=432 0.6675, within the spread over seeds; ten more, nine of them
# with L=336, were compared with seed 1 alone and lost. NBEATSx without covariates is the same network, with the same bits.
# TSMixer: 0.6582; rate 1e-3 with dropout 0.7 0.6630, ff_dim=16 0.6649; the other `CANDIDATES` were compared with seed 1 alone
# and lost. The authors' 6 blocks of width 512 at rate 1e-4 were not tried: they take 16 times as long a step.
# TiDE: 0.6923; batch 32 0.6924, layernorm=False 0.6928; the authors' sizes 0.7431, best after their first epoch, since the
# dense path overfits. Ten more were compared with seed 1 alone and lost. Windows as they are, the last candidate, have
# 0.6830, the lowest; they were left out of the choice, for the protocol, and because with NHITS such windows were known to
# have low validation and high test errors.
# MLPMultivariate: 0.6928; hidden_size=256 0.6951. A short lookback is what helps: with 336 the best of nine has 0.881.
_DECAYED = {"optimizer": "AdamW", "optimizer_kwargs": {"weight_decay": 1.0}}  # times the learning rate, a step
_NBEATS = {"mlp_units": [[256, 256]], "dropout_prob_theta": 0.5, "scaler_type": "standard"}
_TSMIXER = {"n_block": 2, "ff_dim": 64, "dropout": 0.9}
_TIDE = {"hidden_size": 32, "decoder_output_dim": 4, "temporal_decoder_dim": 16, "dropout": 0.8, "scaler_type": "standard",
         **_DECAYED}
_TIDE_OFFICIAL = {"hidden_size": 512, "num_encoder_layers": 2, "num_decoder_layers": 2, "decoder_output_dim": 32,
                  "dropout": 0.5, "scaler_type": "revin", "optimizer": "Adam", "optimizer_kwargs": {}}
_MLPM = {"hidden_size": 1024, "num_layers": 1, "scaler_type": "standard", **_DECAYED}

# Recurrent and convolutional networks cost ten to a hundred times what the models above do, and windows that begin at
# neighbouring rows share all but one of their values: 64 batches are a quarter of all starts, and an epoch here.
# TCN and LSTM were chosen at h = 96 with seed 1 among their `CANDIDATES`, whose validation losses were, in that order,
# 0.6793, 0.7059 and 0.7083, 0.7105, 0.7874, 0.7483. Of TCN a test error of 0.430, with another setting, was known.
# The others were set once, before any of their own test errors was known, and compared with nothing: GRU as LSTM, RNN
# with a lower rate, BiTCN with TCN's rate and loss and fewer channels for less time, DeepAR, DeepNPTS.
_SHORT: dict[str, Any] = {"steps": 64, "epochs": 15, "patience": 4, "decay": 0.8, "loss": "MAE"}
_ENCODER = {"encoder_hidden_size": 32, "encoder_n_layers": 1, "scaler_type": "standard"}
# The paper's network for ETTh1; its RevIN subtracts the mean.
_PATCHTST = {"n_heads": 4, "hidden_size": 16, "linear_hidden_size": 128, "dropout": 0.3, "fc_dropout": 0.3, "patch_len": 16,
             "stride": 8, "revin_subtract_last": False}
# Networks of the published width (512) would train for days: these have a width of 64, so their errors stand beside those of
# neuralforecast's models, trained with the same settings (asv_bench/compare/accuracy.py), and not beside published ones.
_BESIDE = "set once to compare with neuralforecast's model, untuned"
_BRIEF: dict[str, Any] = {"batch_size": 16, "steps": 64, "epochs": 6, "patience": 3, "decay": 0.7, "valid_every": 5}
_WIDTH = {"hidden_size": 64, "conv_hidden_size": 128, "n_head": 4, "scaler_type": "standard"}

# Model -> horizon (0: any other) -> setting.
SETTINGS: dict[str, dict[int, Setting]] = {
    "NLinear": {0: Setting(336, 5e-3, f"{_LTSF}; best rate by validation too")},
    "DLinear": {0: Setting(336, 5e-3, f"{_LTSF}; best rate by validation too"),
                192: Setting(336, 2e-3, f"{_LTSF}, rate by validation"),
                336: Setting(336, 2e-3, f"{_LTSF}, rate by validation")},
    "MLP": {0: Setting(336, 1e-3, "validation at h = 96", model={"hidden_size": 64, "num_layers": 1})},
    "NHITS": {0: Setting(432, 5e-4, "validation at h = 96", loss="MAE", model=_NHITS)},
    "NBEATS": {0: Setting(512, 5e-4, "validation at h = 96", loss="MAE", model=_NBEATS)},
    "NBEATSx": {0: Setting(512, 5e-4, "that of NBEATS", loss="MAE", model=_NBEATS)},
    "TSMixer": {0: Setting(512, 2e-3, "L, dropout: paper; the rest: validation at h = 96", model=_TSMIXER)},
    "TiDE": {0: Setting(720, 2e-3, "L, about 512 windows: official script; the rest: validation at h = 96", batch_size=73,
                        loss="MAE", model=_TIDE)},
    "MLPMultivariate": {0: Setting(48, 1e-3, "validation at h = 96", decay=0.7, loss="MAE", model=_MLPM)},
    "TCN": {0: Setting(336, 4e-3, "validation at h = 96", **_SHORT, model={
        "kernel_size": 4, "dilations": [1, 4, 16, 34], "encoder_hidden_size": 24, "decoder_hidden_size": 32, "dropout": 0.1,
        "scaler_type": "standard"})},
    "LSTM": {0: Setting(336, 5e-3, "validation at h = 96", **_SHORT, model=_ENCODER)},
    "GRU": {0: Setting(336, 5e-3, "LSTM's, untuned", **_SHORT, model=_ENCODER)},
    "RNN": {0: Setting(336, 2e-3, "LSTM's at a lower rate, untuned", **_SHORT, model=_ENCODER)},
    "BiTCN": {0: Setting(336, 4e-3, "untuned", batch_size=16, steps=128, epochs=6, patience=3, decay=0.7, loss="MAE",
                         valid_every=5, model={"hidden_size": 8, "dropout": 0.1, "scaler_type": "standard"})},
    "DeepAR": {0: Setting(336, 5e-3, "untuned", steps=192, epochs=2, patience=2, loss="Normal", valid_every=11, model={
        "lstm_hidden_size": 32, "lstm_n_layers": 1, "lags": [24, 168], "trajectory_samples": 50, "scaler_type": "standard"})},
    "DeepNPTS": {0: Setting(336, 1e-3, "the model's defaults, untuned", steps=64, epochs=5, patience=2)},
    "PatchTST": {0: Setting(336, 1e-4, "official script, but for the patience", batch_size=128, epochs=100, patience=10,
                            decay=0.9, model=_PATCHTST)},
    "iTransformer": {0: Setting(96, 1e-4, "official script", model={
        "hidden_size": 256, "n_heads": 8, "e_layers": 2, "d_ff": 256, "dropout": 0.1})},
    "Transformer": {0: Setting(96, 5e-4, _BESIDE, **_BRIEF, model=_WIDTH)},
    "Informer": {0: Setting(96, 5e-4, _BESIDE, **_BRIEF, model=_WIDTH)},
    "Autoformer": {0: Setting(96, 5e-4, _BESIDE, **_BRIEF, model=_WIDTH)},
    "FEDformer": {0: Setting(96, 5e-4, _BESIDE, **_BRIEF, model={**_WIDTH, "n_head": 8})},
    "TFT": {0: Setting(96, 5e-4, _BESIDE, **_BRIEF, model={"hidden_size": 64, "n_head": 4, "scaler_type": "standard"})},
    "LSTMAttention": {0: Setting(168, 3e-3, "set once", **{**_SHORT, "epochs": 10}, model={
        "lstm_hidden_size": 32, "lstm_n_layers": 1, "n_head": 4, "teacher_forcing_ratio": 0.0, "scaler_type": "standard"})},
    "StemGNN": {0: Setting(48, 1e-3, "set once", epochs=6, decay=0.7, loss="MAE", model={
        "multi_layer": 2, "dropout_rate": 0.3, "scaler_type": "standard"})},
    "TimesNet": {0: Setting(96, 5e-4, _BESIDE, **{**_BRIEF, "batch_size": 4}, model={
        "hidden_size": 64, "conv_hidden_size": 64, "scaler_type": "standard"})},
}

# What --select compares, as changes to the model's setting.
_LINEAR: list[dict[str, Any]] = [{"learning_rate": r} for r in (5e-3, 2e-3, 1e-3, 5e-4)]
_RAW: dict[str, Any] = {"input_size": 336, "loss": "MSE", "model": {"scaler_type": "identity"}}  # windows as they are
_NARROW: dict[str, Any] = {"learning_rate": 1e-3, "model": {"mlp_units": [[64, 64]], "dropout_prob_theta": 0.3, **_DECAYED}}
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "NLinear": _LINEAR,
    "DLinear": _LINEAR,
    "MLP": [
        {},
        {"learning_rate": 2e-4, "model": {"hidden_size": 256, "num_layers": 2}},
        {"learning_rate": 2e-4, "loss": "MAE", "model": {"hidden_size": 256, "num_layers": 2}},
        {"learning_rate": 2e-4, "loss": "MAE", "model": {"hidden_size": 256, "num_layers": 2, "scaler_type": "standard"}},
        {"learning_rate": 2e-4, "model": {"hidden_size": 256, "num_layers": 2, "optimizer": "AdamW",
                                          "optimizer_kwargs": {"weight_decay": 1.0}}},
    ],
    "NHITS": [
        {},
        {"input_size": 336},
        {"input_size": 512},
        {"input_size": 576},
        {"input_size": 672},
        {"input_size": 512, "loss": "MSE"},
        {"input_size": 512, "learning_rate": 2e-4},
        {"input_size": 512, "model": {"scaler_type": "revin"}},
        {"input_size": 512, "model": {"n_pool_kernel_size": [24, 12, 1]}},
        _RAW,
        {**_RAW, "decay": 0.7},
        {**_RAW, "decay": 0.8},
        {**_RAW, "learning_rate": 1e-3},
        {**_RAW, "learning_rate": 1e-3, "loss": "MAE"},
        {**_RAW, "batch_size": 16},
        {**_RAW, "batch_size": 64},
        {**_RAW, "input_size": 432},
        {**_RAW, "input_size": 512},
        {**_RAW, "input_size": 672},
        *({**_RAW, "model": {"scaler_type": "identity", **change}} for change in (
            {"dropout_prob_theta": 0.3}, {"dropout_prob_theta": 0.7}, {"mlp_units": [[128, 128]]}, {"mlp_units": [[512, 512]]},
            {"mlp_units": [[256, 256], [256, 256]]}, {"n_pool_kernel_size": [24, 12, 1]}, {"n_pool_kernel_size": [2, 2, 2]},
            {"n_pool_kernel_size": [2, 2, 2], "mlp_units": [[512, 512]]},
            {"optimizer": "AdamW", "optimizer_kwargs": {"weight_decay": 0.3}})),
    ],
    "NBEATS": [
        {},
        _NARROW,
        {**_NARROW, "input_size": 336},
        {**_NARROW, "input_size": 432},
        {**_NARROW, "learning_rate": 5e-4},
        {**_NARROW, "learning_rate": 2e-3},
        *({**_NARROW, "model": {**_NARROW["model"], **change}} for change in (
            {"dropout_prob_theta": 0.1}, {"mlp_units": [[128, 128]]}, {"optimizer": "Adam", "optimizer_kwargs": {}},
            {"stack_types": ["trend", "seasonality"], "n_blocks": [1, 1], "n_harmonics": 1})),
    ],
    "TSMixer": [
        {},
        {"learning_rate": 1e-3},
        {"learning_rate": 4e-3},
        {"model": {"ff_dim": 16}},
        {"model": {"dropout": 0.7}},
        {"learning_rate": 1e-3, "model": {"dropout": 0.7}},
        {"learning_rate": 1e-3, "model": {"n_block": 4}},
        {"learning_rate": 5e-4, "decay": 0.7, "epochs": 12},
        {"learning_rate": 5e-4, "decay": 0.7, "epochs": 12, "loss": "MAE",
         "model": {"revin": False, "scaler_type": "standard"}},
    ],
    "TiDE": [
        {},
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-3, "model": {"dropout": 0.5, "optimizer_kwargs": {"weight_decay": 0.3}}},
        {"batch_size": 32},
        {"model": {"layernorm": False, "optimizer_kwargs": {"weight_decay": 0.3}}},
        {"learning_rate": 1e-3, "model": {"hidden_size": 64, "dropout": 0.9, "num_encoder_layers": 2, "num_decoder_layers": 2,
                                          "optimizer_kwargs": {"weight_decay": 3.0}}},
        {"learning_rate": 9.85e-4, "decay": None, "epochs": 100, "loss": "MSE", "model": _TIDE_OFFICIAL},
        {"learning_rate": 1e-3, "loss": "MSE", "model": {"scaler_type": "identity", "layernorm": False,
                                                         "optimizer_kwargs": {"weight_decay": 0.3}}},
    ],
    "MLPMultivariate": [
        {},
        *({"model": {"hidden_size": 256}, **change} for change in (
            {}, {"loss": "MSE"}, {"input_size": 24}, {"input_size": 96}, {"input_size": 168}, {"input_size": 336})),
        {"model": {"hidden_size": 64}},
        {"input_size": 96, "model": {"hidden_size": 64}},
        {"input_size": 336, "learning_rate": 5e-4, "decay": 0.5, "model": {"hidden_size": 64}},
    ],
    "TCN": [
        {},
        {"learning_rate": 2e-3, "model": {"kernel_size": 2, "dilations": None, "encoder_hidden_size": 16, "dropout": None}},
    ],
    "LSTM": [
        {},
        {"learning_rate": 3e-3, "loss": "MSE"},
        {"learning_rate": 1e-3, "loss": "MSE"},
        {"learning_rate": 1e-3, "model": {"scaler_type": "revin"}},
    ],
}


def setting(model: str, h: int) -> Setting:
    """The setting of a model at a horizon.

    >>> setting("NLinear", 96).input_size
    336
    """
    table = SETTINGS.get(model, {})
    return table.get(h, table.get(0, _UNTUNED))


def candidates(model: str, h: int) -> list[Setting]:
    """The settings that --select compares; the setting itself where none are listed."""
    base = setting(model, h)
    return [replace(base, **{**change, "model": {**base.model, **change.get("model", {})}})
            for change in CANDIDATES.get(model, [{}])]
