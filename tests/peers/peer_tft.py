"""neuralforecast's TFT beside ndiv's: the same configuration, weights and batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from peer_transformers import loss_of

B = 4
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s", "t"]}
TINY = {"h": 2, "input_size": 5, "hidden_size": 4, "n_head": 2}
FIGURES = {  # case: model, options, loss
    "plain": ("TFT", TINY, "point"),
    "covariates": ("TFT", {**TINY, "n_rnn_layers": 2, **EXOG}, "quantiles"),
    "gru": ("TFT", {**TINY, "rnn_type": "gru", "n_rnn_layers": 2, "one_rnn_initial_state": True, "tgt_size": 2, "grn_activation": "ReLU",
                    "stat_exog_list": ["s"], "hist_exog_list": ["p", "q"]}, "normal"),
}


def draw(seed: int) -> dict[str, Any]:
    """A configuration over every argument of the architecture."""
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    heads = pick(1, 2, 4)
    return {"h": pick(1, 3, 9), "input_size": pick(2, 7, 20), "tgt_size": pick(1, 1, 2), "hidden_size": heads * pick(2, 3, 5),
            "n_head": heads, "attn_dropout": pick(0.0, 0.3), "dropout": pick(0.0, 0.2),
            "grn_activation": pick("ELU", "ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "Sigmoid", "GELU"),
            "n_rnn_layers": pick(1, 2, 3), "rnn_type": pick("lstm", "gru"), "one_rnn_initial_state": pick(True, False),
            "futr_exog_list": pick([], ["a"], ["a", "b", "c"]), "hist_exog_list": pick([], ["p"], ["p", "q"]),
            "stat_exog_list": pick([], ["s"], ["s", "t", "u"])}


def batch(options: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Windows, some values missing, with the covariates of the configuration."""
    rng = np.random.default_rng(seed)
    length, h = options["input_size"], options["h"]
    mask = (rng.random((B, length, 1)) > 0.1).astype(np.float32)
    out = {"insample_y": rng.normal(size=mask.shape) * mask, "insample_mask": mask}
    for kind, steps in (("futr", (length + h,)), ("hist", (length,)), ("stat", ())):
        if options.get(f"{kind}_exog_list"):
            out[f"{kind}_exog"] = rng.normal(size=(B, *steps, len(options[f"{kind}_exog_list"])))
    return {k: v.astype(np.float32) for k, v in out.items()}


def peer_of(name: str, options: dict[str, Any], loss: str, seed: int = 7) -> Any:
    """neuralforecast's model with random weights, in eval mode."""
    import neuralforecast.models as peers
    import torch

    torch.manual_seed(seed)
    model = getattr(peers, name)(max_steps=1, loss=loss_of("neuralforecast.losses.pytorch", loss), **options)
    with torch.no_grad():  # these start at 0 and 1, which would hide a mistake
        for key, value in model.state_dict().items():
            if "ln" in key.split(".")[-2] or "embedding_bias" in key:
                value.copy_(torch.rand_like(value) + 0.5)
    return model.eval()


def peer_forward(model: Any, data: dict[str, np.ndarray]) -> Any:
    """Its forecast, a tensor [B, h, outputs]."""
    import torch

    return model({"futr_exog": None, "hist_exog": None, "stat_exog": None, **{k: torch.tensor(v) for k, v in data.items()}})


def ours(options: dict[str, Any], loss: str) -> Any:
    """ndiv's model of the same configuration."""
    from ndiv.models import get_model

    return get_model("TFT")(variant="compat", loss=loss_of("ndiv.losses", loss), **options)


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """The state of a peer's architecture, without losses and the mask of attention."""
    return {k: v.numpy().copy() for k, v in model.state_dict().items() if "loss" not in k and not k.endswith("attention._mask")}


def unused(key: str, options: dict[str, Any]) -> bool:
    """Whether no forecast depends on a weight: contexts of zeros, and the weighting of a single variable."""
    single = {"static_encoder": len(options.get("stat_exog_list") or ()) == 1,
              "temporal_encoder.future": len(options.get("futr_exog_list") or ()) < 2}
    if any(only and key.startswith(part) and ".joint_grn." in key for part, only in single.items()):
        return True
    return key.endswith("lin_c.weight") and (not options.get("stat_exog_list") or key.startswith("static_encoder.vsn"))
