"""What tests of all models share: `small(name, width)`, a model's architecture at a size for tests, and `sampled`, some of all
combinations (``NDIV_TESTS=all``: all of them)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any


def sampled(*axes: Iterable[Any], every: int = 3) -> list[tuple[Any, ...]]:
    """One of ``every`` combinations of the axes' values, evenly: each value of one axis meets a part of every other's."""
    sizes = [list(enumerate(axis)) for axis in axes]
    whole = os.environ.get("NDIV_TESTS") == "all"
    return [tuple(v for _, v in row) for row in itertools.product(*sizes) if whole or sum(k for k, _ in row) % every == 0]


def small(name: str, width: int = 16) -> dict[str, Any]:
    """Hidden layers ``width`` wide; nothing for models without hidden layers."""
    units = {"mlp_units": [[width, width]]}
    return {
        "MLP": {"hidden_size": width},
        "NHITS": units, "NBEATS": units, "NBEATSx": units,
        "DeepAR": {"lstm_hidden_size": width, "lstm_dropout": 0.0, "trajectory_samples": 20},
        **{n: {"encoder_hidden_size": width, "decoder_hidden_size": width} for n in ("RNN", "LSTM", "GRU")},
        "TCN": {"encoder_hidden_size": width // 2, "decoder_hidden_size": width, **({"dropout": 0.0} if width < 64 else {})},
        "BiTCN": {"hidden_size": max(width // 8, 4), "dropout": 0.0},
        "TiDE": {"hidden_size": width, "decoder_output_dim": 4, "temporal_decoder_dim": width // 2, "dropout": 0.0},
        "DeepNPTS": {"hidden_size": width, "dropout": 0.0},
        "MLPMultivariate": {"hidden_size": width}, "TSMixer": {"ff_dim": width // 2, "dropout": 0.0},
    }.get(name, {})
