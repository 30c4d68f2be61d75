"""MLPMultivariate: its equation in NumPy, neuralforecast's figures, and arguments that are refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ndiv import losses
from ndiv.errors import ConfigError
from ndiv.interop.peers.mlpmultivariate import convert
from ndiv.models import get_model

FIGURES = Path(__file__).parent / "figures"
H, L, N, B = 4, 9, 3, 6


def make(**options):
    return get_model("MLPMultivariate")(**{"h": H, "input_size": L, "n_series": N, "hidden_size": 7, **options})


def batch(seed=0):
    draw = np.random.default_rng(seed)
    shapes = {"insample_y": (B, L, N), "hist_exog": (B, 2, L, N), "futr_exog": (B, 1, L + H, N), "stat_exog": (N, 2)}
    return {k: draw.normal(size=s).astype(np.float32) for k, s in shapes.items()}


@pytest.mark.parametrize("kinds", [(), ("hist",), ("futr",), ("stat",), ("hist", "futr", "stat")], ids="-".join)
@pytest.mark.parametrize("loss", [losses.MAE, lambda: losses.MQLoss(level=[80]), lambda: losses.DistributionLoss("StudentT")])
def test_the_equation(kinds, loss):
    names = {"hist": ["p", "q"], "futr": ["f"], "stat": ["s", "t"]}
    m = make(num_layers=3, loss=loss(), **{f"{k}_exog_list": names[k] for k in kinds})
    data = batch()
    x = [data["insample_y"].reshape(B, -1), *(data[f"{k}_exog"].reshape(B, -1) for k in ("hist", "futr") if k in kinds)]
    if "stat" in kinds:
        x.append(np.tile(data["stat_exog"].reshape(1, -1), (B, 1)))
    z, w = np.concatenate(x, axis=1), m.state_dict()
    for k in range(3):
        z = np.maximum(z @ w[f"mlp.{k}.weight"].T + w[f"mlp.{k}.bias"], 0)
    z = z @ w["out.weight"].T + w["out.bias"]
    np.testing.assert_allclose(m.forward(data).numpy(), z.reshape(B, H, N * m.n_out), rtol=1e-4, atol=1e-5)


def test_both_variants_are_one():
    data = batch()
    np.testing.assert_array_equal(make().forward(data).numpy(), make(variant="compat").forward(data).numpy())


@pytest.mark.parametrize(("options", "text"), [
    ({"num_layers": 0}, "num_layers must be a positive"), ({"hidden_size": 0}, "hidden_size must be a positive"),
    ({"hidden_size": 8.0}, "hidden_size"), ({"num_layers": True}, "num_layers"), ({"n_series": -3}, "n_series must be"),
    ({"num_layer": 2}, "num_layers")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"


def test_compat_gives_neuralforecasts_numbers():
    """States and forecasts of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    spec = importlib.util.spec_from_file_location("panel_models", Path(__file__).parents[1] / "peers" / "panel_models.py")
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    arrays = dict(np.load(FIGURES / "mlpmultivariate.npz"))
    expected = arrays.pop("forecast")
    m = peers.ours(*peers.FIGURES["mlpmultivariate"])
    m.load_state_dict(convert({k.removeprefix("state."): v for k, v in arrays.items()}, m))
    got = m.eval().forward(peers.batch()).numpy()
    assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()


def test_arrays_of_another_model_are_not_converted():
    with pytest.raises(KeyError):
        convert({"mlp.7.weight": np.zeros(3)}, make())
