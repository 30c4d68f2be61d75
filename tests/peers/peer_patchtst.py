"""neuralforecast's PatchTST beside ndiv's: random configurations, and both models with the same weights."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np

B = 5
LOSSES = {"point": ("MAE", {}), "quantiles": ("MQLoss", {"level": [80]}), "normal": ("DistributionLoss", {"distribution": "Normal"}),
          "student": ("DistributionLoss", {"distribution": "StudentT"})}
FIGURES = {0: "point", 1: "quantiles", 2: "normal", 3: "point"}  # seed of a configuration: its loss


def configuration(seed: int) -> dict[str, Any]:
    """Arguments that between seeds take every value; hidden_size is a multiple of n_heads."""
    draw = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[draw.integers(len(values))]

    heads = pick(1, 2, 3)
    carried = seed % 3 != 2  # without, neuralforecast also drops probabilities of attention in forecasts
    return {"h": pick(1, 3, 5), "input_size": pick(5, 12, 23), "encoder_layers": pick(1, 2, 3), "n_heads": heads,
            "hidden_size": heads * pick(1, 2, 4), "linear_hidden_size": pick(3, 8), "dropout": pick(0.0, 0.3),
            "fc_dropout": pick(0.0, 0.2), "head_dropout": pick(0.0, 0.2), "attn_dropout": pick(0.0, 0.3) if carried else 0.0,
            "patch_len": pick(2, 4, 16), "stride": pick(1, 3, 8),
            "revin": pick(True, True, False), "revin_affine": pick(True, False), "revin_subtract_last": pick(True, False),
            "activation": pick("gelu", "relu"), "res_attention": carried, "batch_normalization": seed % 2 == 1,
            "learn_pos_embed": pick(True, True, False)}


def batch(options: dict[str, Any]) -> dict[str, np.ndarray]:
    """Windows with some values missing."""
    draw = np.random.default_rng(options["input_size"])
    mask = draw.uniform(size=(B, options["input_size"], 1)) > 0.15
    y = (draw.normal(size=mask.shape) * 2 + 3) * mask
    return {"insample_y": y.astype(np.float32), "insample_mask": mask.astype(np.float32)}


def _loss(module: str, name: str) -> Any:
    kind, options = LOSSES[name]
    return getattr(importlib.import_module(module), kind)(**options)


def peer(options: dict[str, Any], loss: str, seed: int = 7) -> Any:
    """neuralforecast's model, every weight and statistic at random. The statistics are such as training leaves behind."""
    import torch
    from neuralforecast.models import PatchTST

    torch.manual_seed(seed)
    model = PatchTST(**options, max_steps=1, loss=_loss("neuralforecast.losses.pytorch", loss))
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if ("norm_" in key or "affine" in key) and value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    return model.eval()


def ours(options: dict[str, Any], loss: str) -> Any:
    """ndiv's model of the same configuration."""
    from ndiv.models import get_model

    return get_model("PatchTST")(**options, variant="compat", loss=_loss("ndiv.losses", loss))


def write(folder: Any) -> None:
    """patchtst.npz: for each entry of `FIGURES` names and shapes of neuralforecast's state, and its numbers and forecast in one."""
    import torch

    arrays = {}
    for seed, loss in FIGURES.items():
        options = configuration(seed)
        model = peer(options, loss)
        found = {k: v.numpy() for k, v in model.state_dict().items()}
        with torch.no_grad():
            found["forecast"] = model({k: torch.tensor(v) for k, v in batch(options).items()}).numpy()
        arrays[f"{seed}: shapes"] = np.array(json.dumps([(k, v.shape) for k, v in found.items()]))
        arrays[f"{seed}: numbers"] = np.concatenate([v.ravel() for v in found.values()]).astype(np.float32)
        print("patchtst", seed, found["forecast"].shape)
    np.savez_compressed(folder / "patchtst.npz", **arrays)


def read(folder: Any, seed: int) -> dict[str, np.ndarray]:
    """What `write` wrote for an entry of `FIGURES`: the state by neuralforecast's names, and "forecast"."""
    with np.load(folder / "patchtst.npz") as file:
        shapes, numbers = json.loads(str(file[f"{seed}: shapes"])), file[f"{seed}: numbers"]
    ends = np.cumsum([int(np.prod(shape)) for _, shape in shapes])
    parts = np.split(numbers, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes, parts, strict=True)}
