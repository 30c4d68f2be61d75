"""neuralforecast's VanillaTransformer and Informer beside ndiv's: the same configuration, weights and batch.

Informer samples keys from PyTorch's generator; here it gets the samples that ndiv takes.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import Any

import numpy as np

B = 4
PEERS = {"Transformer": "VanillaTransformer", "Informer": "Informer"}
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
    if seed % 6 == 0:
        found["n_head"] = 1
    return found


def batch(options: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Windows, some values missing, with the covariates of the configuration; one where there is one head, since Informer's
    selections of several windows are mixed up then."""
    rng = np.random.default_rng(seed)
    length, h, rows = options["input_size"], options["h"], 1 if options["n_head"] == 1 else B
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
    model = getattr(peers, PEERS[name])(max_steps=1, loss=loss_of("neuralforecast.losses.pytorch", loss), **options)
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


def same(name: str, options: dict[str, Any], loss: str, seed: int, train: bool = False) -> None:
    """Forecasts within 2e-5 of the largest element, gradients of a random projection within 1e-4."""
    import torch

    convert = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert
    data, peer, model = batch(options, seed), peer_of(name, options, loss).train(train), ours(name, options, loss).train(train)
    state = arrays_of(peer)
    taken = convert(state, model)
    assert set(taken) == set(model.state_dict())
    assert sum(v.size for v in taken.values()) == sum(v.size for v in state.values())  # each array is used, and once
    model.load_state_dict(taken)
    expected, out = peer_forward(peer, data), model.forward(data)
    wanted = expected.detach().numpy()
    assert out.shape == wanted.shape == (len(data["insample_y"]), options["h"], model.n_out)
    assert np.abs(out.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
    projection = np.random.default_rng(seed).normal(size=wanted.shape).astype(np.float32)
    (expected * torch.tensor(projection)).sum().backward()
    (out * projection).sum().backward()
    gradients = {k: np.zeros_like(v) for k, v in state.items()}
    gradients |= {k: p.grad.numpy() for k, p in peer.named_parameters() if p.grad is not None}
    found = convert(gradients, model)
    largest = max(np.abs(g).max() for g in found.values())
    for key, p in model.named_parameters():
        got = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        # what has no gradient but rounding (a bias before normalization) is measured by the largest of all gradients
        off = np.abs(got - found[key]).max()
        assert off <= 1e-4 * max(np.abs(found[key]).max(), 1e-2 * largest), (key, off)
