"""iTransformer with neuralforecast's weights: its forecasts and gradients, over every argument of the architecture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from panel_models import FUTR, LOSSES, same

neuralforecast = pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md

from ndiv.interop import from_neuralforecast  # noqa: E402


def configuration(seed):
    draw = np.random.default_rng(seed)
    heads = int(draw.integers(1, 4))
    # layer normalization of one or two numbers leaves gradients that are nothing but rounding
    return {"n_heads": heads, "hidden_size": heads * int(draw.integers(3, 6)), "e_layers": int(draw.integers(1, 4)),
            "d_layers": int(draw.integers(1, 3)), "d_ff": int(draw.integers(1, 12)), "factor": int(draw.integers(1, 4)),
            "dropout": float(draw.uniform(0, 0.5)), "use_norm": bool(draw.random() < 0.7),
            "futr_exog_list": FUTR if seed % 2 else None, "exclude_insample_y": seed % 6 == 5}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", range(12))
def test_forecast_and_gradients(case, loss):
    same("iTransformer", configuration(case), loss, case)


@pytest.mark.parametrize("case", range(6))
def test_while_training(case):
    """Dropout draws other numbers there and here, so it is off."""
    same("iTransformer", {**configuration(case), "dropout": 0.0}, "point", case, train=True)


def test_a_forecaster_is_taken_over_from_memory_and_from_a_folder(tmp_path):
    draw, rows, h = np.random.default_rng(0), 40, 4
    df = pd.DataFrame({"unique_id": np.repeat(["a", "b", "c"], rows), "ds": np.tile(pd.date_range("2020-01-01", periods=rows), 3),
                       "y": draw.normal(size=3 * rows) + np.repeat([1.0, 20.0, 300.0], rows), "f1": draw.normal(size=3 * rows)})
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_checkpointing": False, "max_steps": 2,
             "enable_model_summary": False}
    models = [neuralforecast.models.iTransformer(h, 12, 3, hidden_size=8, n_heads=2, d_ff=6, futr_exog_list=["f1"], **quiet),
              neuralforecast.models.iTransformer(h, 12, 3, hidden_size=4, n_heads=1, d_ff=6, alias="plain", scaler_type="standard", **quiet)]
    nf = neuralforecast.NeuralForecast(models, freq="D", local_scaler_type="standard")
    nf.fit(df)
    ahead = nf.make_future_dataframe().assign(f1=0.5)
    expected = nf.predict(futr_df=ahead)
    nf.save(str(tmp_path / "theirs"), overwrite=True)
    for ours in (from_neuralforecast(nf), from_neuralforecast(tmp_path / "theirs")):
        found = ours.predict(futr_df=ahead)
        for column in ("iTransformer", "plain"):
            a, b = found[column].to_numpy(), expected[column].to_numpy()
            assert np.abs(a - b).max() <= 2e-5 * np.abs(b).max()
