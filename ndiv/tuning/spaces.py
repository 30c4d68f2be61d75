"""What a search tries for each model where nobody says otherwise.

Contract: one entry for each model of the registry, with its own arguments only; `default_space` adds what all models share.
Sizes of networks and ranges of rates follow those that neuralforecast's automatic models try, so that searches compare;
ranges of models that it has not are ndiv's own. Two things are not searched: ``random_seed``, since the best of many seeds is
luck, and ``step_size``, since it changes which windows validate and losses would no longer compare.
"""

from __future__ import annotations

from typing import Any

from ndiv.errors import ConfigError, closest

from .ranges import Space, choice, loguniform, quniform, randint, uniform

__all__ = ["SPACES", "default_space"]

_STEPS = choice([500, 1000])
_LONG = choice([500, 1000, 2000])
_RECURRENT: dict[str, Any] = {
    "input_size_multiplier": [3, 4, 16, 64], "encoder_hidden_size": choice([16, 32, 64, 128]),
    "encoder_n_layers": randint(1, 4),
    "decoder_hidden_size": choice([16, 32, 64, 128]), "max_steps": _STEPS, "windows_batch_size": 128, "scaler_type": "robust"}
_ATTENTION: dict[str, Any] = {"hidden_size": choice([64, 128, 256]), "n_head": choice([4, 8]), "max_steps": _LONG}
_POOLS = {"n_pool_kernel_size": choice([[2, 2, 1], [1, 1, 1], [2, 2, 2], [4, 4, 4], [8, 4, 1], [16, 8, 1]]),
          "n_freq_downsample": choice([[168, 24, 1], [24, 12, 1], [180, 60, 1], [60, 8, 1], [40, 20, 1], [1, 1, 1]]),
          "max_steps": quniform(500, 1500, 100)}
_MULTIVARIATE = {"windows_batch_size": 32}

SPACES: dict[str, dict[str, Any]] = {
    "MLP": {"hidden_size": choice([256, 512, 1024]), "num_layers": randint(2, 6), "max_steps": _STEPS},
    "DLinear": {"moving_avg_window": choice([11, 25, 51]), "max_steps": quniform(500, 1500, 100)},
    "NLinear": {"max_steps": quniform(500, 1500, 100)},
    "NBEATS": {"max_steps": _STEPS},
    "NBEATSx": {"max_steps": _STEPS},
    "NHITS": _POOLS,
    "EventNHITS": {**_POOLS, "event_hidden_size": choice([32, 64]), "event_dropout": uniform(0.0, 0.3)},
    "TiDE": {"hidden_size": choice([256, 512, 1024]), "decoder_output_dim": choice([8, 16, 32]),
             "temporal_decoder_dim": choice([32, 64, 128]), "num_encoder_layers": choice([1, 2, 3]),
             "num_decoder_layers": choice([1, 2, 3]), "temporal_width": choice([4, 8, 16]),
             "dropout": choice([0.0, 0.1, 0.2, 0.3, 0.5]), "layernorm": choice([True, False]),
             "learning_rate": loguniform(1e-5, 1e-2), "max_steps": quniform(500, 1500, 100)},
    "RNN": _RECURRENT,
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "LSTMAttention": {"input_size_multiplier": [2, 3, 4], "lstm_hidden_size": choice([32, 64, 128]),
                      "lstm_n_layers": randint(1, 4), "lstm_dropout": uniform(0.0, 0.5),
                      "attention": choice(["multihead", "luong"]), "n_head": choice([2, 4]),
                      "teacher_forcing_ratio": choice([0.5, 1.0]), "max_steps": _STEPS, "windows_batch_size": 128,
                      "scaler_type": choice(["robust", "standard"])},
    "TCN": {"input_size_multiplier": [3, 4, 16, 64], "encoder_hidden_size": choice([16, 32, 64, 128]),
            "context_size": choice([5, 10, 50]), "decoder_hidden_size": choice([32, 64]), "max_steps": _STEPS,
            "windows_batch_size": 128, "scaler_type": "robust"},
    "BiTCN": {"hidden_size": choice([16, 32]), "dropout": uniform(0.0, 0.99), "max_steps": _LONG},
    "DeepAR": {"lstm_hidden_size": choice([32, 64, 128, 256]), "lstm_n_layers": randint(1, 4),
               "lstm_dropout": uniform(0.0, 0.5), "scaler_type": choice(["robust", "minmax1"]), "max_steps": _LONG},
    "DeepNPTS": {"hidden_size": choice([16, 32, 64]), "dropout": uniform(0.0, 0.99), "n_layers": choice([1, 2, 4]),
                 "max_steps": quniform(500, 1500, 100)},
    "TFT": _ATTENTION,
    "Transformer": _ATTENTION,
    "Informer": _ATTENTION,
    "Autoformer": _ATTENTION,
    "FEDformer": {"hidden_size": choice([64, 128, 256]), "max_steps": _LONG},
    "PatchTST": {"input_size_multiplier": [1, 2, 3], "hidden_size": choice([16, 128, 256]), "n_heads": choice([4, 16]),
                 "patch_len": choice([16, 24]), "revin": choice([False, True]), "max_steps": choice([500, 1000, 5000])},
    "iTransformer": {**_MULTIVARIATE, "hidden_size": choice([64, 128, 256]), "n_heads": choice([4, 8]), "max_steps": _LONG},
    "TimesNet": {"hidden_size": choice([32, 64, 128]), "conv_hidden_size": choice([32, 64, 128]),
                 "scaler_type": choice(["robust", "standard"]), "windows_batch_size": choice([32, 64, 128, 256]),
                 "max_steps": _LONG},
    "StemGNN": {**_MULTIVARIATE, "input_size_multiplier": [1, 2, 3, 4], "multi_layer": choice([3, 5, 7]), "max_steps": _LONG},
    "TSMixer": {**_MULTIVARIATE, "input_size_multiplier": [1, 2, 3, 4], "n_block": choice([1, 2, 4, 6, 8]),
                "ff_dim": choice([32, 64, 128]), "dropout": uniform(0.0, 0.99), "learning_rate": loguniform(1e-4, 1e-2),
                "max_steps": _LONG},
    "MLPMultivariate": {**_MULTIVARIATE, "hidden_size": choice([256, 512, 1024]), "num_layers": randint(2, 6),
                        "max_steps": _STEPS},
    "MultiSeries": {"hidden_size": choice([64, 128, 256]), "num_layers": randint(1, 4), "dropout": uniform(0.0, 0.5),
                    "scaler_type": choice(["robust", "standard"]), "max_steps": _STEPS},
    "TimeLLM": {"input_size_multiplier": [2, 3, 4], "d_model": choice([16, 32]), "d_ff": choice([32, 64, 128]),
                "top_k": choice([3, 5]), "dropout": uniform(0.0, 0.3), "learning_rate": loguniform(1e-5, 1e-3),
                "max_steps": choice([100, 300]), "windows_batch_size": choice([16, 32])},
}

_SHARED: dict[str, Any] = {
    "input_size_multiplier": [1, 2, 3, 4, 5], "learning_rate": loguniform(1e-4, 1e-1),
    "scaler_type": choice(["identity", "robust", "standard"]), "windows_batch_size": choice([128, 256, 512, 1024])}


def default_space(name: str) -> Space:
    """What a search for a model tries; ``input_size_multiplier`` is in horizons. Raises `ConfigError` (E0010) for a name
    that is no model.

    >>> default_space("DLinear")["moving_avg_window"].values
    (11, 25, 51)
    """
    if name not in SPACES:
        raise ConfigError(f"unknown model {name!r}", value=name, hint=closest(name, SPACES))
    return Space({**_SHARED, **SPACES[name]})
