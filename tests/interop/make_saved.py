"""Writes tests/interop/saved and saved_categories, folders as neuralforecast saves them, and forecasts.json, what it forecasts.

Run it where neuralforecast 3.3.0 is installed: ``python tests/interop/make_saved.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import neuralforecast
import torch
from neuralforecast import models as peers
from neuralforecast.losses.pytorch import HuberLoss, IQLoss, MQLoss
from saved_frames import H, L, future, future_categories, history, static, static_categories, with_categories

FOLDER = Path(__file__).resolve().parent
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_checkpointing": False,
         "enable_model_summary": False, "max_steps": 2, "learning_rate": 0.1}

if __name__ == "__main__":
    every = {"futr_exog_list": ["ahead"], "hist_exog_list": ["past"], "stat_exog_list": ["size"]}
    nf = neuralforecast.NeuralForecast([
        peers.NLinear(H, L, loss=MQLoss(level=[80]), scaler_type="revin", **QUIET),
        peers.DLinear(H, L, moving_avg_window=3, loss=HuberLoss(delta=2.0), scaler_type="robust", alias="steady", **QUIET),
        peers.MLP(H, L, hidden_size=3, loss=IQLoss(cos_embedding_dim=4), optimizer=torch.optim.AdamW,
                  optimizer_kwargs={"weight_decay": 0.1}, scaler_type="standard", **every, **QUIET),
        peers.NHITS(H, L, mlp_units=[[3, 3]], stack_types=["identity"], n_blocks=[1], n_pool_kernel_size=[2],
                    n_freq_downsample=[2], scaler_type="minmax", futr_exog_list=["ahead"], **QUIET)],
        freq="ME", local_scaler_type="robust", local_static_scaler_type="minmax")
    nf.fit(history(), static_df=static())
    nf.save(str(FOLDER / "saved"), overwrite=True)
    found = {"stored": nf.predict(futr_df=future()),
             "frame": nf.predict(history(11), static_df=static(), futr_df=future(11))}
    categories = {"cat_exog_list": ["day", "region", "kind", "open"], "hist_exog_list": ["past", "day", "open"],
                  "futr_exog_list": ["kind", "ahead"], "stat_exog_list": ["region", "size"],
                  "categorical_cardinalities": {"kind": 3, "day": 5, "region": 2, "open": 2}}
    nf = neuralforecast.NeuralForecast([
        peers.MLP(H, L, hidden_size=3, scaler_type="standard", cat_emb_dim="sqrt", **categories, **QUIET),
        peers.MLPMultivariate(H, L, n_series=2, hidden_size=3, cat_emb_dim=1, **categories, **QUIET)],
        freq="ME", local_scaler_type="standard", local_static_scaler_type="minmax")
    nf.fit(with_categories(), static_df=static_categories())
    nf.save(str(FOLDER / "saved_categories"), overwrite=True)
    found["categories"] = nf.predict(futr_df=future_categories())
    text = {name: {c: frame[c].tolist() for c in frame.columns[2:]} for name, frame in found.items()}
    (FOLDER / "forecasts.json").write_text(json.dumps(text, indent=1) + "\n")
    print({f.name: f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()})
