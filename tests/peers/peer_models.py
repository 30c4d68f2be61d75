"""neuralforecast's models beside ndiv's: how to build both with one configuration, and how weights map.

Weights are mapped in the order in which both sides list them, which is the same for these models.
"""

from __future__ import annotations

import numpy as np

H, L, B = 6, 20, 3
FUTR, HIST, STAT = ["f1", "f2"], ["p1"], ["s1", "s2"]
EXOG = {"futr_exog_list": FUTR, "hist_exog_list": HIST, "stat_exog_list": STAT}

CASES = {
    "nlinear": ("NLinear", {}),
    "dlinear": ("DLinear", {"moving_avg_window": 5}),
    "mlp": ("MLP", {"num_layers": 3, "hidden_size": 8}),
    "mlp-exog": ("MLP", {"num_layers": 2, "hidden_size": 8, **EXOG}),
    "nhits": ("NHITS", {"mlp_units": [[8, 8], [8, 8]], "n_pool_kernel_size": [3, 2, 1], "n_freq_downsample": [3, 2, 1],
                        "stack_types": ["identity"] * 3, "n_blocks": [1, 2, 1]}),
    "nhits-exog": ("NHITS", {"mlp_units": [[8, 8]], "n_pool_kernel_size": [4, 2], "n_freq_downsample": [3, 1],
                             "stack_types": ["identity"] * 2, "n_blocks": [1, 1], "pooling_mode": "AvgPool1d",
                             "interpolation_mode": "nearest", "activation": "Tanh", **EXOG}),
    "nhits-cubic": ("NHITS", {"mlp_units": [[8, 8]], "n_pool_kernel_size": [2, 1], "n_freq_downsample": [2, 1],
                              "stack_types": ["identity"] * 2, "n_blocks": [1, 1], "interpolation_mode": "cubic"}),
    "tcn": ("TCN", {"encoder_hidden_size": 6, "decoder_hidden_size": 5, "dilations": [1, 2, 4, 8, 16]}),
    "tcn-exog": ("TCN", {"kernel_size": 3, "dilations": [1, 3], "encoder_hidden_size": 6, "encoder_activation": "Tanh",
                         "decoder_layers": 3, "decoder_hidden_size": 5, "decoder_activation": "GELU", **EXOG}),
    "bitcn": ("BiTCN", {"hidden_size": 4}),
    "bitcn-exog": ("BiTCN", {"hidden_size": 4, **EXOG}),
    "tide": ("TiDE", {"hidden_size": 8, "decoder_output_dim": 3, "temporal_decoder_dim": 4, "layernorm": False,
                      "num_encoder_layers": 2, "num_decoder_layers": 2}),
    "tide-exog": ("TiDE", {"hidden_size": 8, "decoder_output_dim": 3, "temporal_decoder_dim": 4, "layernorm": False,
                           "temporal_width": 2, **EXOG}),
    "deepnpts": ("DeepNPTS", {"hidden_size": 6}),
    "deepnpts-exog": ("DeepNPTS", {"hidden_size": 6, "batch_norm": False, "n_layers": 1, **EXOG}),
    "tide-norm": ("TiDE", {"hidden_size": 8, "decoder_output_dim": 3, "temporal_decoder_dim": 4, **EXOG}),
}


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    """A small batch with every kind of input, and some values missing."""
    draw = np.random.default_rng(seed)
    mask = (draw.uniform(size=(B, L, 1)) > 0.1).astype(np.float32)
    mask[:, -1] = 1
    return {
        "insample_y": (draw.normal(size=(B, L, 1)).astype(np.float32) + 2) * mask,
        "insample_mask": mask,
        "hist_exog": draw.normal(size=(B, L, len(HIST))).astype(np.float32),
        "futr_exog": draw.normal(size=(B, L + H, len(FUTR))).astype(np.float32),
        "stat_exog": draw.normal(size=(B, len(STAT))).astype(np.float32),
    }


def peer_forward(name: str, options: dict, data: dict[str, np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """(weights in order, forecast [B, h, 1]) of neuralforecast's model with random weights."""
    import neuralforecast.models as peers
    import torch

    torch.manual_seed(7)
    model = getattr(peers, name)(h=H, input_size=L, max_steps=1, **options)
    model.eval()
    tensors = {k: torch.tensor(v) for k, v in data.items()}
    for key, kind in (("hist_exog", "hist_exog_list"), ("futr_exog", "futr_exog_list"), ("stat_exog", "stat_exog_list")):
        if not options.get(kind):
            tensors[key] = None
    with torch.no_grad():
        out = model(tensors)
    weights = [p.detach().numpy().copy() for n, p in model.named_parameters() if "loss" not in n]
    return weights, out.numpy().reshape(B, H, -1)


def load_in_order(model, weights: list[np.ndarray]) -> None:
    """Put a peer's weights into an ndiv model, in the order in which both list them."""
    params = list(model.parameters())
    assert [p.shape for p in params] == [w.shape for w in weights]
    for p, w in zip(params, weights, strict=True):
        p.copy_(w)
