"""The configurations of tests/models/figures/recurrent.npz, and how neuralforecast computes what it holds.

`make_figures.py` writes the file; tests/models/test_recurrent.py reads it, and needs this module's `CASES` and `values` only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

H, L, B = 3, 7, 2
FILE = Path(__file__).resolve().parents[1] / "models" / "figures" / "recurrent.npz"
EXOG = {"futr_exog_list": ["f1", "f2"], "hist_exog_list": ["p"], "stat_exog_list": ["s1", "s2"]}
SMALL = {"encoder_hidden_size": 4, "decoder_hidden_size": 3, "scaler_type": "identity"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    f"{name.lower()}-{mode}": (name, {**SMALL, **options}) for name in ("RNN", "LSTM", "GRU") for mode, options in {
        "direct": {}, "exog": {**EXOG, "decoder_layers": 3, "decoder_activation": "Tanh"},
        "long": {"input_size": H - 1, "encoder_n_layers": 1, "encoder_bias": False}, "recursive": {"recurrent": True},
        "recursive-exog": {"recurrent": True, **EXOG}}.items()}


def values(case: str) -> dict[str, np.ndarray]:
    """Values and covariates over the case's window (one longer in recursive mode) and horizon, float32."""
    options = CASES[case][1]
    draw, steps = np.random.default_rng(3), options.get("input_size", L) + H + options.get("recurrent", False)
    found = {"y": draw.normal(1, 1, (B, steps, 1))}
    if "stat_exog_list" in options:
        found |= {"futr": draw.normal(size=(B, steps, 2)), "hist": draw.normal(size=(B, steps, 1)), "stat": draw.normal(size=(B, 2))}
    return {k: v.astype(np.float32) for k, v in found.items()}


def write() -> None:
    import neuralforecast.models as peers
    import torch

    arrays: dict[str, np.ndarray] = {}
    for case, (name, options) in CASES.items():
        torch.manual_seed(7)
        model = getattr(peers, name)(**{"h": H, "input_size": L, "max_steps": 1, **options}).eval()
        t = {k: torch.tensor(v) for k, v in values(case).items()}
        size = model.input_size
        with torch.no_grad():
            if not model.RECURRENT:
                hist = t["hist"][:, :size] if "hist" in t else None
                out = model({"insample_y": t["y"][:, :size], "hist_exog": hist, "futr_exog": t.get("futr"), "stat_exog": t.get("stat")})
            else:  # covariates are one step later than values there, and hist is 0 after the window
                hist = t.get("hist")
                if hist is not None:
                    hist = torch.cat([hist[:, 1:size], torch.zeros(B, H, 1)], dim=1)
                y = t["y"][:, :-1]
                out = model._validate_step_recurrent_batch(y, torch.ones_like(y), t["futr"][:, 1:] if "futr" in t else None, hist,
                                                           t.get("stat"), 0)
        arrays |= {f"{case}/{k}": v.numpy() for k, v in model.state_dict().items() if "loss" not in k and not k.startswith("scaler.")}
        arrays[f"{case}//forecast"] = out.numpy().reshape(B, H, -1)
    np.savez_compressed(FILE, **arrays)  # type: ignore[arg-type]
