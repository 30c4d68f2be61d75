"""Writes tests/models/figures/*: weights, inputs and forecasts of neuralforecast's models.

Run it where neuralforecast 3.3.0 is installed: ``python tests/peers/make_figures.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import nbeats_cases
import numpy as np
import panel_models
import peer_deepar
import peer_patchtst
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
        state, forecast, _, _ = panel_models.peer(name, options, loss, panel_models.batch())
        np.savez_compressed(FOLDER / f"{case}.npz", forecast=forecast, **{f"state.{k}": v for k, v in state.items()})
        print(case, forecast.shape, len(state))


def write_transformers() -> None:
    """transformers.npz: for each case a description (arguments, names and shapes), state, batch and forecast in one array."""
    arrays = {}
    for case, (name, options, loss) in peer_transformers.FIGURES.items():
        model, data = peer_transformers.peer_of(name, options, loss), peer_transformers.batch(options, 0)
        found = {f"state.{k}": v for k, v in peer_transformers.arrays_of(model).items()} | data
        found["forecast"] = peer_transformers.peer_forward(model, data).detach().numpy()
        shapes = [(k, v.shape) for k, v in found.items()]
        arrays[f"{case}: facts"] = np.array(json.dumps({"model": name, "loss": loss, "options": options, "shapes": shapes}))
        arrays[f"{case}: numbers"] = np.concatenate([v.ravel() for v in found.values()]).astype(np.float32)
        print(case, found["forecast"].shape, len(found))
    np.savez_compressed(FOLDER / "transformers.npz", **arrays)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    deepar()
    write_panels()
    peer_patchtst.write(FOLDER)
    write_transformers()
    for case, (name, options) in CASES.items():
        data = batch()
        weights, forecast = peer_forward(name, options, data)
        arrays = {f"weight.{i:03d}": w for i, w in enumerate(weights)}
        arrays["forecast"] = np.ascontiguousarray(forecast)
        save_file(arrays, str(FOLDER / f"{case}.safetensors"))
        print(case, forecast.shape, len(weights))
    nbeats()
    recurrent_cases.write()
