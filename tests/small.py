"""What tests of all models share: `small(name, width)`, a model's architecture at a size for tests; `every_loss`; `shaken`, a
model whose weights have moved; `same_bits`, of forecasts; `same_steps`, of training; `IN_VARIANTS`, every (model, variant) that
there is; `EACH_MODEL`, each model in one of them; and `sampled`, some of all combinations (``NDIV_TESTS=all``: all of them)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

import ndiv.language
from ndiv import losses
from ndiv.models import get_model, list_models

IN_VARIANTS = [(name, variant) for name in list_models() for variant in get_model(name).VARIANTS]
WHOLE = os.environ.get("NDIV_TESTS") == "all"
# each model in one of its variants, in turn
EACH_MODEL = IN_VARIANTS if WHOLE else [(name, get_model(name).VARIANTS[k % len(get_model(name).VARIANTS)])
                                        for k, name in enumerate(list_models())]


def sampled(*axes: Iterable[Any], every: int = 3) -> list[tuple[Any, ...]]:
    """One of ``every`` combinations of the axes' values, evenly, and at least one with each value of each axis: each value of one
    axis meets a part of every other's."""
    values = [list(axis) for axis in axes]
    rows = list(itertools.product(*(range(len(v)) for v in values)))
    if not WHOLE:
        taken = {row for row in rows if sum(row) % every == 0}
        for place, axis in enumerate(values):
            lacking = set(range(len(axis))) - {row[place] for row in taken}
            taken |= {tuple(k if j == place else k % len(v) for j, v in enumerate(values)) for k in lacking if rows}
        rows = sorted(taken)
    return [tuple(axis[k] for axis, k in zip(values, row, strict=True)) for row in rows]


DISTRIBUTIONS = ("Normal", "StudentT", "Poisson", "NegativeBinomial", "Gamma", "LogNormal", "Laplace", "Weibull", "Tweedie", "Beta",
                 "Bernoulli")
UNSCALED = {"MAPE", "SMAPE", "Beta", "Bernoulli"}  # which need targets in their own units


def every_loss(**options: Any) -> dict[str, Callable[[], Any]]:
    """A maker of each kind of loss by name; ``options`` are those of the distributions."""
    needs = {"MASE": lambda: losses.MASE(seasonality=2), "QuantileLoss": lambda: losses.QuantileLoss(0.8),
             "HuberQLoss": lambda: losses.HuberQLoss(0.8)}
    return {**{name: needs.get(name, cls) for name, cls in losses.LOSSES.items() if name != "DistributionLoss"},
            "MQLoss-levels": lambda: losses.MQLoss(level=[80, 95]), "MSE-weighted": lambda: losses.MSE(horizon_weight=[1.0, 2.0, 0.5]),
            **{d: (lambda d=d: losses.DistributionLoss(d, level=[80], **options)) for d in DISTRIBUTIONS},
            "function": lambda: lambda y_hat, y: ndiv.softplus((y_hat - y) * 2.0) - (y_hat - y)}


def shaken(model: Any, seed: int = 1) -> Any:
    """The model in eval mode with every weight moved, also those that start at 0 and 1."""
    draw = np.random.default_rng(seed)
    for p in model.parameters():
        p.data = p.data + draw.normal(0, 0.3, p.shape).astype(np.float32)
    return model.eval()


@lru_cache(maxsize=1)
def tiny() -> Any:
    """A language model of one layer with random weights, whose tokens are bytes."""
    return ndiv.language.Backbone.from_config("gpt2", width=8, num_layers=1, inner=8, vocabulary_size=128)


# for tests that take models as they come: what makes one of default size cheap
LIGHT: dict[str, dict[str, Any]] = {"TimeLLM": {"num_tokens": 16, "d_ff": 16, "n_heads": 2}}


def same_bits(got: Any, wanted: Any) -> None:
    """What plans promise of a window in different batches. Op by op, without the native kernels, sums of BLAS depend on the
    batch: there it is the same to rounding."""
    if ndiv.backends.current() == "native":
        np.testing.assert_array_equal(got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


def same_steps(fast: Any, slow: Any, batches: list[Any]) -> None:
    """Training steps of a compiled model and, op by op, of another with the same weights."""
    slow.__dict__["_compiled"] = lambda data: None
    for step, data in enumerate(batches):
        values = []
        for m in (fast, slow):
            ndiv.manual_seed(step)
            values.append(m.train_step(data))
        assert abs(values[0] - values[1]) <= 2e-6 * abs(values[1])
    assert ndiv.backends.current() != "native" or not fast._step.reason
    for (n, p), (_, q) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=1e-6, err_msg=n)


def small(name: str, width: int = 16) -> dict[str, Any]:
    """Hidden layers ``width`` wide; nothing for models without hidden layers."""
    if name == "TimeLLM":
        return {"llm": tiny(), "d_ff": 8, "d_model": 4, "n_heads": 2, "num_tokens": 6, "patch_len": 4, "stride": 2, "top_k": 2,
                "prompt_tokens": 8, "dropout": 0.0}
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
        "PatchTST": {"hidden_size": width, "linear_hidden_size": width, "n_heads": 2, "encoder_layers": 2, "patch_len": 4, "stride": 2,
                     "dropout": 0.0},
        "iTransformer": {"hidden_size": width, "n_heads": 2, "e_layers": 1, "d_ff": width, "dropout": 0.0},
        "MLPMultivariate": {"hidden_size": width}, "TSMixer": {"ff_dim": width // 2, "dropout": 0.0},
        "Transformer": {"hidden_size": width // 2, "conv_hidden_size": width, "n_head": 2, "encoder_layers": 1, "dropout": 0.0},
        "EventNHITS": {**units, "event_hidden_size": width // 2, "event_n_head": 2, "event_dropout": 0.0, "max_events": 5},
        "MultiSeries": {"hidden_size": width},
        "Informer": {"hidden_size": width // 2, "conv_hidden_size": width // 2, "n_head": 2, "dropout": 0.0},
        "TFT": {"hidden_size": width // 2, "n_head": 2, "dropout": 0.0},
        "Autoformer": {"hidden_size": width // 2, "conv_hidden_size": width // 2, "n_head": 2, "encoder_layers": 1, "MovingAvg_window": 5,
                       "dropout": 0.0},
        "FEDformer": {"hidden_size": width // 2, "conv_hidden_size": width // 2, "n_head": 2, "encoder_layers": 1, "MovingAvg_window": 5,
                      "dropout": 0.0},
        "TimesNet": {"hidden_size": width // 2, "conv_hidden_size": width // 2, "top_k": 2, "num_kernels": 2, "encoder_layers": 1,
                     "dropout": 0.0},
        "StemGNN": {"multi_layer": 1, "dropout_rate": 0.0},
        "LSTMAttention": {"lstm_hidden_size": width, "lstm_n_layers": 1, "n_head": 2},
    }.get(name, {})
