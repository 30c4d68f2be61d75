"""Random configurations of NBEATS and NBEATSx over every argument of the architecture, for both libraries.

Contract: `draw(name, seed)` gives (arguments, loss) with which either library's class can be called; `batch_for` gives a batch
for them; `peer_of` builds neuralforecast's model with random weights.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np

FEWEST = {"polynomial": 0, "legendre": 0, "chebyshev": 0, "changepoint": 1, "piecewise_linear": 1, "linear_hat": 1, "spline": 3}
ACTIVATIONS = ("ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "PReLU", "Sigmoid")
LOSSES = {"MAE": ("MAE", {}), "MQLoss": ("MQLoss", {"level": [80, 95]}),
          "StudentT": ("DistributionLoss", {"distribution": "StudentT", "level": [80]})}
COVARIATES = {"futr_exog_list": ["f1", "f2"], "hist_exog_list": ["p1"], "stat_exog_list": ["s1", "s2"]}
CASES = [(name, seed) for name in ("NBEATS", "NBEATSx") for seed in range(21)]
FIGURES = [*CASES[:7], *(("NBEATSx", seed) for seed in (1, 2, 5))]  # of the everyday suite


def draw(name: str, seed: int) -> tuple[dict[str, Any], str]:
    """Arguments of ``name``, without the loss, and the loss's name. Bases, activations and losses go round with the seed."""
    pick = random.Random(f"{name} {seed}")
    bases, kinds = list(FEWEST), ["identity", "trend", "seasonality"]
    h = 1 if seed == 7 else pick.randint(2, 7)
    options: dict[str, Any] = {"h": h, "input_size": pick.randint(5, 16), "n_harmonics": pick.randint(1, 3),
                               "activation": ACTIVATIONS[seed % 7], "shared_weights": bool(pick.getrandbits(1))}
    if name == "NBEATS":
        basis = bases[seed % 7]
        options |= {"basis": basis, "n_basis": FEWEST[basis] + pick.randint(0, 3)}
    else:
        options |= {"n_polynomials": pick.randint(0, 3), "dropout_prob_theta": pick.choice([0.0, 0.3])}
        options |= {k: v for k, v in COVARIATES.items() if pick.random() < 0.6}
        if "futr_exog_list" in options or "stat_exog_list" in options:
            kinds.append("exogenous")
    if h == 1:
        kinds = [k for k in kinds if k not in ("trend", "seasonality")]
    stacks = pick.choices(kinds, k=pick.randint(1, 4))
    if name == "NBEATS" and seed < 7:
        stacks[0] = "trend"  # every basis at least once
    widths = [pick.randint(2, 5) for _ in range(pick.randint(2, 4))]
    options |= {"stack_types": stacks, "n_blocks": [pick.randint(1, 3) for _ in stacks],
                "mlp_units": [list(pair) for pair in pairwise(widths)]}
    return options, list(LOSSES)[seed % 3]


def batch_for(options: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Three windows with some values missing, and the covariates that the arguments name."""
    rng, b, h, n = np.random.default_rng(seed), 3, options["h"], options["input_size"]
    mask = (rng.uniform(size=(b, n, 1)) > 0.1).astype(np.float32)
    mask[:, -1] = 1
    out = {"insample_y": (rng.normal(size=(b, n, 1)).astype(np.float32) + 2) * mask, "insample_mask": mask}
    for key, length in (("hist", (n,)), ("futr", (n + h,)), ("stat", ())):
        if f"{key}_exog_list" in options:
            out[f"{key}_exog"] = rng.normal(size=(b, *length, len(options[f"{key}_exog_list"]))).astype(np.float32)
    return out


def loss_of(module: Any, loss: str) -> Any:
    """That loss of a library's losses."""
    kind, arguments = LOSSES[loss]
    return getattr(module, kind)(**arguments)


def peer_of(name: str, options: dict[str, Any], loss: str) -> Any:
    """neuralforecast's model with random weights, in evaluation mode."""
    import neuralforecast.losses.pytorch as losses
    import neuralforecast.models as peers
    import torch

    torch.manual_seed(7)
    model = getattr(peers, name)(max_steps=1, loss=loss_of(losses, loss), **options).eval()
    for parameter in model.parameters():
        if parameter.shape == (1,):  # slopes of PReLU all begin at 0.25
            torch.nn.init.uniform_(parameter, 0.1, 0.4)
    return model


def peer_forward(model: Any, data: dict[str, np.ndarray]) -> Any:
    """Its numbers [B, h, outputs] as a torch tensor; all outputs are one where only exogenous stacks made them."""
    import torch

    tensors = {k: torch.tensor(data[k]) if k in data else None
               for k in ("insample_y", "insample_mask", "hist_exog", "futr_exog", "stat_exog")}
    out = model(tensors)
    return out.expand(len(out), model.h, model.loss.outputsize_multiplier)
