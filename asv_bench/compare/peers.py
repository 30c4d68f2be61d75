"""The models that the comparisons run: neuralforecast's own module in bare PyTorch, and ndiv's model with the same weights.

`peer(name, length)` is neuralforecast's module with its default arguments, without window scaling, h = 24, seven series where
the model is multivariate. `ours(module)` is ndiv's model with its arguments and weights (``variant="compat"``), `alone(name,
length, variant)` one with weights of its own. `loss` and `forecast` are what the peer's trainer computes of a batch, without
the trainer: the mean absolute error or, of DeepAR, the likelihood of one step; the forecast of the horizon, DeepAR's step by
step, the mean fed back. `apart` says how far both are from ndiv's.

Needs torch and neuralforecast (see tests/peers), which are imported where they are used: `alone` and `data` run without.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["H", "MODELS", "alone", "apart", "data", "forecast", "loss", "ours", "peer"]

H, SERIES = 24, 7
MODELS = ["MLP", "DLinear", "NLinear", "NHITS", "MLPMultivariate", "RNN", "LSTM", "GRU", "NBEATS", "NBEATSx", "TiDE", "TCN",
          "BiTCN", "DeepAR", "DeepNPTS", "TSMixer", "PatchTST", "iTransformer", "Transformer", "Informer", "TFT",
          "Autoformer", "FEDformer", "TimesNet", "StemGNN"]
MULTIVARIATE = {"MLPMultivariate", "TSMixer", "iTransformer", "StemGNN"}
PEERS = {"Transformer": "VanillaTransformer"}  # where names differ
LLM: str | None = None  # the folder of TimeLLM's language model, which --llm names


def options(name: str) -> dict[str, Any]:
    """What both sides are told beside the length of the window."""
    found = {"h": H, "scaler_type": "identity", "learning_rate": 1e-3, **({"n_series": SERIES} if name in MULTIVARIATE else {})}
    if name == "TimeLLM":
        if LLM is None:
            raise SystemExit("TimeLLM needs --llm FOLDER, a language model in the form of transformers")
        config = json.loads((Path(LLM) / "config.json").read_text(encoding="utf-8"))
        found |= {"llm": LLM, "d_llm": config.get("hidden_size") or config["n_embd"]}
    return found


def data(name: str, length: int, rows: int) -> dict[str, np.ndarray]:
    """A batch of windows, each a random walk."""
    n = SERIES if name in MULTIVARIATE else 1
    walk = np.random.default_rng(0).standard_normal((rows, length + H, n)).cumsum(axis=1) / 8
    return {"insample_y": walk[:, :length].astype(np.float32), "outsample_y": walk[:, length:].astype(np.float32)}


def alone(name: str, length: int, variant: str) -> Any:
    """ndiv's model with weights of its own; it trains with AdamW."""
    from ndiv.models import get_model

    return get_model(name)(input_size=length, variant=variant, optimizer="AdamW", **options(name))


def ours(module: Any) -> Any:
    """ndiv's model with the arguments and weights of that module; it trains with AdamW."""
    from ndiv.interop import from_neuralforecast

    return from_neuralforecast(module, optimizer="AdamW")


def peer(name: str, length: int, threads: int, flush: bool = True) -> Any:
    """neuralforecast's module, in a PyTorch with that many threads, which flushes subnormals to zero (its best) or not (as it
    comes). A DeepAR that is told ``input_size=length - 1`` reads ``length`` values."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(flush)  # before there are workers: they inherit it
    import neuralforecast.models as peers

    torch.manual_seed(0)
    return getattr(peers, PEERS.get(name, name))(input_size=length - (name == "DeepAR"), max_steps=1, **options(name))


def numbers(module: Any, y: Any, mask: Any) -> Any:
    """What the module gives for windows y [B, L, n]. The mask is 1 everywhere: some modules multiply by it."""
    return module({"insample_y": y, "insample_mask": mask, "hist_exog": None, "futr_exog": None, "stat_exog": None})


def distribution(module: Any, found: Any) -> Any:
    """The parameters that the numbers of a distribution's module mean, for windows that are not scaled."""
    unit = found.new_ones(len(found), 1, 1)
    return module.loss.scale_decouple(output=module.loss.domain_map(found), loc=unit * 0, scale=unit)


def loss(module: Any, y: Any, mask: Any, target: Any) -> Any:
    """The training loss of a batch of tensors."""
    if module.loss.is_distribution_output:
        module.h = module.h_train
        return module.loss(y=target[:, :module.h], distr_args=distribution(module, numbers(module, y, mask)))
    return (numbers(module, y, mask) - target).abs().mean()


def forecast(module: Any, y: Any, mask: Any) -> Any:
    """The forecast of windows y [B, L, n]: [B, h, n], of a distribution its parameters [B, h, parameters]."""
    import torch

    if not module.loss.is_distribution_output:
        return numbers(module, y, mask)
    module.rnn_state, module.maintain_state, module.h = None, True, 1
    found = []
    for _ in range(H):
        params = distribution(module, numbers(module, y, None))
        y = params[1]  # the mean of Student's t
        found.append(torch.cat(params, dim=-1))
    module.maintain_state = False
    return torch.cat(found, dim=1)


@contextmanager
def samples_of_ndiv() -> Iterator[None]:
    """Inside, torch.randint(keys, (queries, count)) gives the keys that ndiv's Informer samples."""
    import torch

    from ndiv.models.transformers.informer import sampled_keys

    before = torch.randint
    torch.randint = lambda keys, size: torch.tensor(sampled_keys(size[0], keys, size[1], True))
    try:
        yield
    finally:
        torch.randint = before


@contextmanager
def prompts_of_ndiv(module: Any, model: Any, batch: dict[str, np.ndarray]) -> Iterator[None]:
    """Inside, neuralforecast's TimeLLM reads the prompts that ndiv writes of the batch: its own differ in the last digits of
    the numbers, which are words of a text. For other models nothing changes."""
    inner = getattr(module, "llm_tokenizer", None)
    if inner is not None:
        texts = model.texts(batch)
        module.llm_tokenizer = lambda own, **options: inner(texts, **options)
    try:
        yield
    finally:
        if inner is not None:
            module.llm_tokenizer = inner


def apart(module: Any, model: Any, batch: dict[str, np.ndarray]) -> tuple[float, float]:
    """How far forecasts and losses of the two are apart, without dropout: the largest difference in units of the largest
    value."""
    import torch

    y, target = (torch.tensor(v) for v in batch.values())
    mask = torch.ones_like(y)
    module.eval()
    model.eval()
    with torch.inference_mode(), samples_of_ndiv(), prompts_of_ndiv(module, model, batch):
        expected, value = forecast(module, y, mask).numpy(), float(loss(module, y, mask, target))
    found = model.forecast({"insample_y": batch["insample_y"]})
    if model.loss.is_distribution_output:  # the mean: the first of ndiv's columns, the second of the peer's parameters
        found, expected = found[..., :1], expected[..., 1:2]
    mine = float(model.compute_loss(batch).data)
    module.train()
    model.train()
    return float(np.abs(found - expected).max() / np.abs(expected).max()), abs(mine - value) / abs(value)
