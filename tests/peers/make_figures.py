"""Writes tests/models/figures/*: weights, inputs and forecasts of neuralforecast's models.

Run it where neuralforecast 3.3.0 is installed: ``python tests/peers/make_figures.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbeats_cases
import numpy as np
import panel_models
import peer_deepar
import peer_language
import peer_patchtst
import peer_tft
import peer_timellm
import peer_timesnet
import peer_transformers
import recurrent_cases
from peer_models import CASES, batch, peer_forward
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parents[1] / "models" / "figures"


def nbeats() -> None:
    """nbeats.npz: for each case a description (arguments, names and shapes), weights, batch and forecast in one array."""
    arrays = {}
    for name, seed in nbeats_cases.FIGURES:
        options, loss = nbeats_cases.draw(name, seed)
        model, data = nbeats_cases.peer_of(name, options, loss), nbeats_cases.batch_for(options)
        found = {k: v.numpy() for k, v in model.state_dict().items() if k.startswith("blocks.") and ".basis." not in k}
        found |= data | {"forecast": nbeats_cases.peer_forward(model, data).detach().numpy()}
        shapes = [(k, v.shape) for k, v in found.items()]
        arrays[f"{name} {seed}: facts"] = np.array(json.dumps({"model": name, "loss": loss, "options": options, "shapes": shapes}))
        arrays[f"{name} {seed}: numbers"] = np.concatenate([v.ravel() for v in found.values()])
    np.savez_compressed(FOLDER / "nbeats.npz", **arrays)


def deepar() -> None:
    """figures/deepar.npz: of each case of peer_deepar, the state by neuralforecast's names, forecast, numbers and loss."""
    arrays = {}
    for case, (options, loss, scaler) in peer_deepar.CASES.items():
        found = peer_deepar.peer(options, loss, scaler, peer_deepar.used(options, peer_deepar.batch()))
        arrays |= {f"{case}/state/{n}": v for n, v in found["state"].items()}
        arrays |= {f"{case}/{k}": np.asarray(found[k]) for k in ("forecast", "forced", "loss")}
        print("deepar", case, found["forecast"].shape)
    np.savez_compressed(FOLDER / "deepar.npz", **arrays)


def write_panels() -> None:
    """The multivariate models: states by neuralforecast's names, and forecasts, one .npz a case."""
    for case, (name, options, loss) in panel_models.FIGURES.items():
        state, forecast, _, _ = panel_models.peer(name, options, loss, panel_models.batch(**panel_models.sizes(options)))
        np.savez_compressed(FOLDER / f"{case}.npz", forecast=forecast, **{f"state.{k}": v for k, v in state.items()})
        print(case, forecast.shape, len(state))


def write_described(peer: Any, cases: dict[str, Any], path: Path) -> None:
    """For each case: a description (arguments, names and shapes), state, batch and forecast in one array."""
    arrays = {}
    for case, (name, options, loss) in cases.items():
        model, data = peer.peer_of(name, options, loss), peer.batch(options, 0)
        found = {f"state.{k}": np.stack([v.real, v.imag], -1) if np.iscomplexobj(v) else v
                 for k, v in peer.arrays_of(model).items()} | data
        found["forecast"] = peer.peer_forward(model, data).detach().numpy()
        shapes = [(k, v.shape) for k, v in found.items()]
        arrays[f"{case}: facts"] = np.array(json.dumps({"model": name, "loss": loss, "options": options, "shapes": shapes}))
        arrays[f"{case}: numbers"] = np.concatenate([v.ravel() for v in found.values()]).astype(np.float32)
        print(case, found["forecast"].shape, len(found))
    np.savez_compressed(path, **arrays)


def write_language() -> None:
    """tests/language/figures.npz: for each case its configuration, weights, embeddings, mask, cotangent and what they give."""
    arrays = {}
    for kind, seed in peer_language.FIGURES:
        model = peer_language.reference(kind, peer_language.draw(kind, seed), seed)
        x, mask, g = peer_language.batch(model.config.hidden_size, 10, seed, 2)
        hidden, gradient = peer_language.outputs(model, x, mask, g)
        found = {f"weight.{k}": v.numpy() for k, v in model.state_dict().items()}
        found |= {"x": x, "mask": mask, "g": g, "hidden": hidden, "gradient": gradient}
        facts = {"config": model.config.to_dict(), "shapes": [(k, v.shape) for k, v in found.items()]}
        arrays[f"{kind} {seed}: facts"] = np.array(json.dumps(facts))
        arrays[f"{kind} {seed}: numbers"] = np.concatenate([v.ravel() for v in found.values()]).astype(np.float32)
        print(kind, seed, hidden.shape, len(found))
    np.savez_compressed(FOLDER.parents[1] / "language" / "figures.npz", **arrays)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write_language()
    deepar()
    write_panels()
    peer_patchtst.write(FOLDER)
    peer_timellm.write(FOLDER)
    write_described(peer_transformers, peer_transformers.FIGURES, FOLDER / "transformers.npz")
    write_described(peer_transformers, peer_timesnet.FIGURES, FOLDER / "timesnet.npz")
    write_described(peer_tft, peer_tft.FIGURES, FOLDER / "tft.npz")
    for case, (name, options) in CASES.items():
        data = batch()
        weights, forecast = peer_forward(name, options, data)
        arrays = {f"weight.{i:03d}": w for i, w in enumerate(weights)}
        arrays["forecast"] = np.ascontiguousarray(forecast)
        save_file(arrays, str(FOLDER / f"{case}.safetensors"))
        print(case, forecast.shape, len(weights))
    nbeats()
    recurrent_cases.write()
