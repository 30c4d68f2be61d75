"""TSMixer: its equations in NumPy, what paper repairs, neuralforecast's figures, and arguments that are refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError
from ndiv.interop.peers.tsmixer import convert
from ndiv.models import get_model

FIGURES = Path(__file__).parent / "figures"
H, L, N, B = 4, 9, 3, 6


def make(**options):
    return get_model("TSMixer")(**{"h": H, "input_size": L, "n_series": N, "ff_dim": 5, "dropout": 0.0, **options})


def shaken(m, seed=0):
    """The model with weights and statistics that are all different."""
    draw = np.random.default_rng(seed)
    m.load_state_dict({k: (v + 0.3 * draw.uniform(size=v.shape)).astype(v.dtype) for k, v in m.state_dict().items()})
    return m.eval()


def batch(seed=0, gaps=True):
    draw = np.random.default_rng(seed)
    mask = (draw.random((B, L, N)) < (0.8 if gaps else 2.0)).astype(np.float32)
    y = (draw.normal(size=(B, L, N)) * 2 + 3 * np.arange(N)).astype(np.float32)
    return {"insample_y": y * mask, "insample_mask": mask}


def by_hand(m, data):
    """The equations of the file in float64: forecasts [B, h, outputs, N]."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    x = data["insample_y"].astype(np.float64)
    on = data["insample_mask"] > 0
    if m.norm is not None:
        seen = np.where(on, x, np.nan)
        mean, deviation = np.nanmean(seen, axis=1, keepdims=True), np.sqrt(np.nanvar(seen, axis=1, keepdims=True) + 1e-5)
        x = np.where(on, (x - mean) / deviation, 0) * w["norm.affine_weight"] + w["norm.affine_bias"]

    def norm(z, at):
        flat = (z.reshape(B, -1) - w[f"{at}.running_mean"]) / np.sqrt(w[f"{at}.running_var"] + 1e-3)
        return (flat * w[f"{at}.weight"] + w[f"{at}.bias"]).reshape(z.shape)

    def linear(z, at):
        return z @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    for k in range(len(m.mixing)):
        at = f"mixing.{k}"
        turned = x.transpose(0, 2, 1)
        x = x + np.maximum(linear(norm(turned, f"{at}.time.norm"), f"{at}.time.linear"), 0).transpose(0, 2, 1)
        z = np.maximum(linear(norm(x, f"{at}.feature.norm"), f"{at}.feature.wide"), 0)
        x = x + linear(z, f"{at}.feature.back")
    out = linear(x.transpose(0, 2, 1), "out").transpose(0, 2, 1)
    scaled = out.reshape(B, H, -1, N)
    if m.norm is None:
        return scaled, scaled
    out = (out - w["norm.affine_bias"]) / (w["norm.affine_weight"] + 1e-10) * deviation + mean
    return out.reshape(B, H, -1, N), scaled


@pytest.mark.parametrize("revin", [True, False])
@pytest.mark.parametrize("n_block", [1, 3])
def test_the_equations(revin, n_block):
    m, data = shaken(make(revin=revin, n_block=n_block)), batch()
    np.testing.assert_allclose(m.forward(data).numpy(), by_hand(m, data)[0][:, :, 0], rtol=2e-4, atol=2e-4)


def test_several_numbers_stay_with_their_series():
    """MQLoss reads series by series, a distribution parameter by parameter; its scale is not put back in units."""
    data = batch()
    m = shaken(make(loss=losses.MQLoss(level=[80])))
    got = m.forward(data).numpy().reshape(B, H, N, 3)
    np.testing.assert_allclose(got, by_hand(m, data)[0].transpose(0, 1, 3, 2), rtol=2e-4, atol=2e-4)
    m = shaken(make(loss=losses.DistributionLoss("Normal")))
    got = m.forward(data).numpy().reshape(B, H, 2, N)
    units, scaled = by_hand(m, data)
    np.testing.assert_allclose(got[:, :, 0], units[:, :, 0], rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(got[:, :, 1], scaled[:, :, 1], rtol=2e-4, atol=2e-4)
    compat = make(loss=losses.DistributionLoss("Normal"), variant="compat")
    compat.load_state_dict(m.state_dict())
    full = {"insample_y": batch(gaps=False)["insample_y"]}
    np.testing.assert_allclose(compat.eval().forward(full).numpy()[..., :N], m.forward(full).numpy()[..., :N], rtol=1e-5, atol=1e-5)
    assert not np.allclose(compat.forward(full).numpy()[..., N:], m.forward(full).numpy()[..., N:])


def test_compat_gives_quantiles_output_by_output():
    paper, data = shaken(make(loss=losses.MQLoss(level=[80]))), {"insample_y": batch(gaps=False)["insample_y"]}
    compat = make(loss=losses.MQLoss(level=[80]), variant="compat")
    compat.load_state_dict(paper.state_dict())
    a, b = paper.forward(data).numpy().reshape(B, H, N, 3), compat.eval().forward(data).numpy().reshape(B, H, 3, N)
    np.testing.assert_allclose(a.transpose(0, 1, 3, 2), b, rtol=1e-5, atol=1e-5)
    points = [make(variant=v) for v in ("paper", "compat")]
    points[1].load_state_dict(shaken(points[0]).state_dict())
    np.testing.assert_allclose(points[0].forward(data).numpy(), points[1].eval().forward(data).numpy(), rtol=1e-5, atol=1e-5)


def test_missing_values_do_not_count_in_paper():
    data = batch()
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 100}
    paper, compat = shaken(make()), shaken(make(variant="compat"))
    np.testing.assert_array_equal(paper.forward(data).numpy(), paper.forward(other).numpy())
    assert not np.allclose(compat.forward(data).numpy(), compat.forward(other).numpy())


def test_units_of_each_series_are_carried():
    m, data = make(), batch()
    factor, shift = np.array([100, 1, 10], np.float32), np.array([-5, 1000, 0], np.float32)
    changed = {**data, "insample_y": (data["insample_y"] * factor + shift) * data["insample_mask"]}
    np.testing.assert_allclose(m.forecast(changed), m.forecast(data) * factor + shift, rtol=1e-3)


def test_a_batch_of_one_window_is_trained_on_by_the_statistics_seen_before():
    m = make()
    data = {**batch(gaps=False), "outsample_y": np.zeros((B, H, N), np.float32)}
    m.train_step(data)
    before = m.state_dict()
    assert np.isfinite(m.train_step({k: v[:1] for k, v in data.items()}))
    after = m.state_dict()
    assert all(np.array_equal(before[k], after[k]) for k in before if "running" in k)
    assert not np.array_equal(before["out.weight"], after["out.weight"])


def test_dropout_is_for_training():
    m = make(dropout=0.5)
    data = {**batch(gaps=False), "outsample_y": np.zeros((B, H, N), np.float32)}
    np.testing.assert_array_equal(m.forecast(data), m.forecast(data))
    m.train()
    ndiv.manual_seed(0)
    assert not np.array_equal(m.forward(data).numpy(), m.forward(data).numpy())


@pytest.mark.parametrize(("options", "text"), [
    ({"n_block": 0}, "n_block must be a positive"), ({"ff_dim": 0}, "ff_dim must be a positive"), ({"ff_dim": 2.5}, "ff_dim"),
    ({"dropout": 1.0}, "dropout must be"), ({"dropout": -0.1}, "dropout must be"), ({"n_series": 0}, "n_series must be"),
    ({"hist_exog_list": ["a"]}, "takes no hist_exog"), ({"futr_exog_list": ["a"]}, "MLPMultivariate"),
    ({"exclude_insample_y": True}, "no covariates"), ({"n_blocks": 2}, "n_block")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"


@pytest.mark.parametrize("case", ["tsmixer", "tsmixer-quantiles"])
def test_compat_gives_neuralforecasts_numbers(case):
    """States and forecasts of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    spec = importlib.util.spec_from_file_location("panel_models", Path(__file__).parents[1] / "peers" / "panel_models.py")
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    arrays = dict(np.load(FIGURES / f"{case}.npz"))
    expected = arrays.pop("forecast")
    m = peers.ours(*peers.FIGURES[case])
    m.load_state_dict(convert({k.removeprefix("state."): v for k, v in arrays.items()}, m))
    got = m.eval().forward(peers.batch()).numpy()
    assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["other.weight", "mixing_layers.0.other_mixer.temporal_lin.weight"])
def test_arrays_of_another_model_are_not_converted(name):
    with pytest.raises((KeyError, ValueError)):
        convert({name: np.zeros(3)}, make())
