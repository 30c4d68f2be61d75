"""neuralforecast's multivariate models beside ndiv's: the same configuration, weights and batch, forecasts and gradients."""

from __future__ import annotations

import importlib

import numpy as np

H, L, N, B = 4, 9, 3, 5
HIST, FUTR, STAT = ["p1", "p2"], ["f1"], ["s1", "s2"]
EXOG = {"hist_exog_list": HIST, "futr_exog_list": FUTR, "stat_exog_list": STAT}
LOSSES = {"point": ("MAE", {}), "quantiles": ("MQLoss", {"level": [80]}), "normal": ("DistributionLoss", {"distribution": "Normal"}),
          "student": ("DistributionLoss", {"distribution": "StudentT"}), "gmm": ("GMM", {"n_components": 2})}
FIGURES = {  # case: model, options, loss
    "mlpmultivariate": ("MLPMultivariate", {"hidden_size": 5, **EXOG}, "quantiles"),
    "tsmixer": ("TSMixer", {"n_block": 2, "ff_dim": 4, "dropout": 0.3}, "point"),
    "tsmixer-quantiles": ("TSMixer", {"n_block": 1, "ff_dim": 3, "revin": True}, "quantiles"),
    "itransformer": ("iTransformer", {"hidden_size": 6, "n_heads": 2, "d_ff": 5, "futr_exog_list": FUTR}, "quantiles"),
    "itransformer-plain": ("iTransformer", {"hidden_size": 4, "n_heads": 1, "e_layers": 1, "d_ff": 3, "use_norm": False}, "normal"),
    "stemgnn": ("StemGNN", {"input_size": 3, "multi_layer": 1}, "quantiles"),
    "stemgnn-wide": ("StemGNN", {"input_size": 2, "multi_layer": 2, "leaky_rate": 0.5}, "point"),
}


def sizes(options: dict) -> dict[str, int]:
    """h, input_size and n_series: those above unless the configuration has its own."""
    return {"h": H, "input_size": L, "n_series": N, **{k: v for k, v in options.items() if k in ("h", "input_size", "n_series")}}


def batch(seed: int = 0, h: int = H, input_size: int = L, n_series: int = N) -> dict[str, np.ndarray]:
    """Windows of several series with every kind of covariate, and some values missing."""
    draw, shape = np.random.default_rng(seed), (B, input_size, n_series)
    mask = (draw.uniform(size=shape) > 0.15).astype(np.float32)
    numbers = {"insample_y": (draw.normal(size=shape) * 2 + np.arange(n_series)) * mask,
               "hist_exog": draw.normal(size=(B, len(HIST), input_size, n_series)),
               "futr_exog": draw.normal(size=(B, len(FUTR), input_size + h, n_series)),
               "stat_exog": draw.normal(size=(n_series, len(STAT)))}
    return {"insample_mask": mask, **{k: v.astype(np.float32) for k, v in numbers.items()}}


def loss_of(module, name: str):
    kind, options = LOSSES[name]
    return getattr(importlib.import_module(module), kind)(**options)


def peer(name: str, options: dict, loss: str, data: dict[str, np.ndarray], train: bool = False, seed: int = 7):
    """(state by neuralforecast's names, forecast, projection, gradients by name) of its model with random weights."""
    import neuralforecast.models as peers
    import torch

    torch.manual_seed(seed)
    model = getattr(peers, name)(max_steps=1, loss=loss_of("neuralforecast.losses.pytorch", loss), **{**options, **sizes(options)})
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if "norm" in key and value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    state = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
    model.train(train)
    tensors = {k: torch.tensor(v) for k, v in data.items()}
    if options.get("exclude_insample_y"):  # there the pipeline does it, before the model's forward
        tensors["insample_y"] = tensors["insample_y"] * 0
    for key in ("hist_exog", "futr_exog", "stat_exog"):
        if not options.get(f"{key}_list"):
            tensors[key] = None
    out = model(tensors)
    projection = np.random.default_rng(seed).normal(size=tuple(out.shape)).astype(np.float32)
    (out * torch.tensor(projection)).sum().backward()
    gradients = {k: p.grad.numpy().copy() for k, p in model.named_parameters() if p.grad is not None}
    return state, out.detach().numpy(), projection, gradients


def ours(name: str, options: dict, loss: str):
    """ndiv's model of the same configuration."""
    from ndiv.models import get_model

    return get_model(name)(variant="compat", loss=loss_of("ndiv.losses", loss), **{**options, **sizes(options)})


def same(name: str, options: dict, loss: str, seed: int, train: bool = False) -> None:
    """Forecasts within 2e-5 of the largest element, gradients of a random projection within 1e-4."""
    convert = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert
    size = sizes(options)
    data = batch(seed, **size)
    state, expected, projection, gradients = peer(name, options, loss, data, train, seed)
    model = ours(name, options, loss)
    taken = convert(state, model)
    model.load_state_dict(taken)
    assert set(taken) == set(model.state_dict())
    out = model.train(train).forward(data)
    assert out.shape == expected.shape == (B, size["h"], size["n_series"] * model.n_out)
    assert np.abs(out.numpy() - expected).max() <= 2e-5 * np.abs(expected).max()
    (out * projection).sum().backward()
    wanted = convert(gradients, model)
    largest = max(np.abs(g).max() for g in wanted.values())
    for key, p in model.named_parameters():
        # a bias before batch normalization has no gradient but rounding: the largest of all gradients bounds it
        off = np.abs(p.grad.numpy() - wanted.pop(key)).max()
        assert off <= 1e-4 * max(np.abs(p.grad.numpy()).max(), 1e-2 * largest), (key, off)
    assert not wanted
