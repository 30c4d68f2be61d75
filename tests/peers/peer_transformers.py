"""neuralforecast's VanillaTransformer, Informer, Autoformer and FEDformer beside ndiv's: the same configuration, weights and batch.

Informer samples keys from PyTorch's generator; here it gets the samples that ndiv takes.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import Any

import numpy as np

B = 4
PEERS = {"Transformer": "VanillaTransformer", "Informer": "Informer", "Autoformer": "Autoformer", "FEDformer": "FEDformer"}
LOSSES = {"point": ("MAE", {}), "quantiles": ("MQLoss", {"level": [80]}), "normal": ("DistributionLoss", {"distribution": "Normal"}),
          "gmm": ("GMM", {"n_components": 2})}
TINY = {"h": 3, "input_size": 8, "hidden_size": 6, "n_head": 2, "conv_hidden_size": 4}
FIGURES = {  # case: model, options, loss
    "transformer": ("Transformer", {**TINY, "encoder_layers": 1}, "point"),
    "transformer-exog": ("Transformer", {**TINY, "decoder_layers": 2, "encoder_layers": 1, "activation": "relu",
                                         "decoder_input_size_multiplier": 0.3, "futr_exog_list": ["a", "b"]}, "quantiles"),
    "informer": ("Informer", {**TINY, "factor": 1}, "point"),
    "informer-exog": ("Informer", {**TINY, "factor": 1, "encoder_layers": 1, "decoder_layers": 2, "futr_exog_list": ["a"]}, "quantiles"),
    "informer-wide": ("Informer", {**TINY, "factor": 4, "distil": False, "encoder_layers": 1}, "normal"),
    "autoformer": ("Autoformer", {**TINY, "input_size": 10, "factor": 1, "MovingAvg_window": 5}, "point"),
    "autoformer-exog": ("Autoformer", {**TINY, "encoder_layers": 1, "decoder_layers": 2, "activation": "relu", "MovingAvg_window": 3,
                                       "decoder_input_size_multiplier": 0.3, "futr_exog_list": ["a", "b"]}, "quantiles"),
    "fedformer": ("FEDformer", {**TINY, "hidden_size": 8, "n_head": 8, "modes": 3, "MovingAvg_window": 3}, "point"),
    "fedformer-exog": ("FEDformer", {**TINY, "hidden_size": 8, "n_head": 8, "decoder_layers": 2, "MovingAvg_window": 5, "activation": "relu",
                                     "mode_select": "low", "futr_exog_list": ["a"]}, "quantiles"),
}


def draw(name: str, seed: int) -> dict[str, Any]:
    """A configuration over every argument of the architecture."""
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    found = {"h": pick(1, 3, 9), "input_size": pick(4, 13, 30), "decoder_input_size_multiplier": pick(0.1, 0.5, 0.7),
             "hidden_size": pick(6, 8, 20), "dropout": pick(0.0, 0.2), "n_head": pick(2, 3, 4), "conv_hidden_size": pick(1, 5, 16),
             "activation": pick("gelu", "relu"), "encoder_layers": pick(1, 2, 3), "decoder_layers": pick(1, 2),
             "futr_exog_list": pick([], ["a"], ["a", "b"])}
    if name == "Informer":
        found |= {"factor": pick(1, 2, 3), "distil": pick(True, False)}
    elif name == "Autoformer":
        found |= {"factor": pick(1, 2), "MovingAvg_window": pick(1, 3, 7, 25)}
    elif name == "FEDformer":
        found |= {"MovingAvg_window": pick(1, 3, 7, 25), "modes": pick(2, 5, 64), "mode_select": pick("random", "low"), "n_head": 8,
                  "hidden_size": pick(8, 16, 20), "decoder_input_size_multiplier": pick(0.5, 0.7)}
        return found
    if seed % 6 == 0:
        found["n_head"] = 1
    return found


def batch(options: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Windows, some values missing, with the covariates of the configuration; one where there is one head, since Informer's
    selections of several windows are mixed up then."""
    rng = np.random.default_rng(seed)
    length, h, rows = options["input_size"], options["h"], 1 if options.get("n_head") == 1 else B
    mask = (rng.random((rows, length, 1)) > 0.1).astype(np.float32)
    out = {"insample_y": rng.normal(size=(rows, length, 1)).astype(np.float32) * mask, "insample_mask": mask}
    if options.get("futr_exog_list"):
        out["futr_exog"] = rng.normal(size=(rows, length + h, len(options["futr_exog_list"]))).astype(np.float32)
    return out


def loss_of(module: str, name: str) -> Any:
    kind, options = LOSSES[name]
    return getattr(importlib.import_module(module), kind)(**options)


@contextmanager
def samples_of_ndiv() -> Any:
    """Inside, torch.randint(keys, (queries, count)) gives the keys that ndiv's Informer samples."""
    import torch

    from ndiv.models.transformers.informer import sampled_keys

    before = torch.randint
    torch.randint = lambda keys, size: torch.tensor(sampled_keys(size[0], keys, size[1], True))
    try:
        yield
    finally:
        torch.randint = before


def peer_of(name: str, options: dict[str, Any], loss: str, seed: int = 7) -> Any:
    """neuralforecast's model with random weights, in eval mode."""
    import neuralforecast.models as peers
    import torch

    torch.manual_seed(seed)
    model = getattr(peers, PEERS.get(name, name))(max_steps=1, loss=loss_of("neuralforecast.losses.pytorch", loss), **options)
    with torch.no_grad():  # normalizations start at 0 and 1, which would hide a mistake
        for key, value in model.state_dict().items():
            if "norm" in key and value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    return model.eval()


def peer_forward(model: Any, data: dict[str, np.ndarray]) -> Any:
    """Its forecast, a tensor [B, h, outputs]."""
    import torch

    with samples_of_ndiv():
        return model({"futr_exog": None, **{k: torch.tensor(v) for k, v in data.items()}})


def ours(name: str, options: dict[str, Any], loss: str) -> Any:
    """ndiv's model of the same configuration."""
    from ndiv.models import get_model

    return get_model(name)(variant="compat", loss=loss_of("ndiv.losses", loss), **options)


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """The state of a peer's architecture, without positions and losses."""
    return {k: v.numpy().copy() for k, v in model.state_dict().items() if "loss" not in k and not k.endswith("position_embedding.pe")}


def numbers(array: np.ndarray) -> int:
    """How many real numbers there are."""
    return array.size * (2 if np.iscomplexobj(array) else 1)


def buffers_of(name: str, taken: dict[str, np.ndarray], weights: dict[str, Any]) -> int:
    """Numbers of the buffers that neuralforecast saves as well: all but FEDformer's modes."""
    return 0 if name == "FEDformer" else sum(v.size for k, v in taken.items() if k not in weights)


def is_unused(name: str, key: str) -> bool:
    """Whether neuralforecast's FEDformer has a weight of no effect, or one that another layer's name holds too."""
    if name != "FEDformer":
        return False
    later = "weights1" in key and "layers.0." not in key
    return later or "value_projection" in key or ("key_projection" in key and "cross" not in key)


@contextmanager
def wide(peer: Any, model: Any) -> Any:
    """Inside, neuralforecast's FEDformer and ndiv's are in float64. Its scores have poles, near which float32 leaves the gradients of
    both a few 1e-3 off those in float64. It names the type of its complex numbers, which is exchanged as well."""
    import torch

    model.astype(np.float64)
    for p in peer.parameters():
        p.data = p.data.to(torch.complex128 if p.is_complex() else torch.float64)
    peer.zero_grad()
    before = torch.cfloat
    torch.cfloat = torch.complex128
    try:
        yield
    finally:
        torch.cfloat = before


def same(name: str, options: dict[str, Any], loss: str, seed: int, train: bool = False) -> None:
    """Forecasts within 2e-5 of the largest element, gradients of a random projection within 1e-4."""
    import torch

    convert = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert
    data, peer, model = batch(options, seed), peer_of(name, options, loss).train(train), ours(name, options, loss).train(train)
    state = arrays_of(peer)
    taken = convert(state, model)
    assert set(taken) == set(model.state_dict())
    weights = dict(model.named_parameters())
    used = sum(numbers(v) for k, v in state.items() if not is_unused(name, k))
    assert sum(taken[k].size for k in weights) + buffers_of(name, taken, weights) == used  # each array is used, and once
    model.load_state_dict(taken)
    expected, out = peer_forward(peer, data), model.forward(data)
    wanted = expected.detach().numpy()
    assert out.shape == wanted.shape == (len(data["insample_y"]), options["h"], model.n_out)
    assert np.abs(out.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
    projection = np.random.default_rng(seed).normal(size=wanted.shape).astype(np.float32)
    if name == "FEDformer":
        data, projection = {k: v.astype(np.float64) for k, v in data.items()}, projection.astype(np.float64)
        with wide(peer, model):
            expected, out = peer_forward(peer, data), model.forward(data)
    (expected * torch.tensor(projection)).sum().backward()
    (out * projection).sum().backward()
    gradients = {k: np.zeros_like(v) for k, v in state.items()}
    gradients |= {k: p.grad.numpy() for k, p in peer.named_parameters() if p.grad is not None}
    found = convert(gradients, model)
    largest = max(np.abs(found[key]).max() for key in weights)
    for key, p in weights.items():
        got = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        # what has no gradient but rounding (a bias before normalization) is measured by the largest of all gradients
        off = np.abs(got - found[key]).max()
        assert off <= 1e-4 * max(np.abs(found[key]).max(), 1e-2 * largest), (key, off)
