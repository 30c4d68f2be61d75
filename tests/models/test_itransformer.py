"""iTransformer: its equations in NumPy, what paper repairs, neuralforecast's figures, and arguments that are refused."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from small import shaken

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError
from ndiv.interop.peers.itransformer import convert
from ndiv.models import get_model

FIGURES = Path(__file__).parent / "figures"
H, L, N, B = 4, 9, 3, 5
FUTR = ["f", "g"]


def make(**options):
    return get_model("iTransformer")(**{"h": H, "input_size": L, "n_series": N, "hidden_size": 6, "n_heads": 2, "d_ff": 7,
                                        "dropout": 0.0, **options})


def batch(seed=0, gaps=True):
    draw = np.random.default_rng(seed)
    mask = (draw.random((B, L, N)) < (0.8 if gaps else 2.0)).astype(np.float32)
    y = (draw.normal(size=(B, L, N)) * 2 + 3 * np.arange(N)).astype(np.float32)
    return {"insample_y": y * mask, "insample_mask": mask, "futr_exog": draw.normal(size=(B, 2, L + H, N)).astype(np.float32)}


def by_hand(m, data):
    """The equations of the file in float64: numbers [B, h, outputs, N], in units and as the projection gives them."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    y, on = data["insample_y"].astype(np.float64), data["insample_mask"] > 0
    mean, deviation = np.zeros((B, 1, N)), np.ones((B, 1, N))
    if m.norm is not None:
        seen = np.where(on, y, np.nan)
        mean, deviation = np.nanmean(seen, axis=1, keepdims=True), np.sqrt(np.nanvar(seen, axis=1, keepdims=True) + 1e-5)
        y = np.where(on, (y - mean) / deviation, 0)
    width, heads = m.embed.out_features, m.layers[0].self_attn.num_heads

    def linear(z, at):
        return z @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    def norm(z, at):
        z = z - z.mean(axis=-1, keepdims=True)
        return z / np.sqrt((z ** 2).mean(axis=-1, keepdims=True) + 1e-5) * w[f"{at}.weight"] + w[f"{at}.bias"]

    tokens = [linear(y[:, :, n], "embed") for n in range(N)]
    if m.futr_exog_list:
        tokens += [linear(data["futr_exog"][:, f, :, n].astype(np.float64), "futr_embed") for n in range(N) for f in range(len(FUTR))]
    x = np.stack(tokens, axis=1)
    for k in range(len(m.layers)):
        at = f"layers.{k}"
        q, key, v = np.split(x @ w[f"{at}.self_attn.in_proj_weight"].T + w[f"{at}.self_attn.in_proj_bias"], 3, axis=-1)
        parts = []
        for head in np.split(np.arange(width), heads):
            s = np.exp(q[..., head] @ key[..., head].swapaxes(-1, -2) / math.sqrt(len(head)))
            parts.append(s / s.sum(axis=-1, keepdims=True) @ v[..., head])
        x = norm(x + linear(np.concatenate(parts, axis=-1), f"{at}.self_attn.out_proj"), f"{at}.norm1")
        z = linear(x, f"{at}.linear1")
        z = z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
        x = norm(x + linear(z, f"{at}.linear2"), f"{at}.norm2")
    raw = linear(norm(x, "last_norm"), "out")[:, :N].reshape(B, N, H, -1).transpose(0, 2, 3, 1)
    return raw * deviation[:, :, None] + mean[:, :, None], raw


@pytest.mark.parametrize("options", [{}, {"use_norm": False}, {"futr_exog_list": FUTR}, {"e_layers": 1, "n_heads": 3}], ids=str)
def test_the_equations(options):
    m, data = shaken(make(**options)), batch()
    np.testing.assert_allclose(m.forward(data).numpy(), by_hand(m, data)[0][:, :, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", [lambda: losses.MQLoss(level=[80]), lambda: losses.DistributionLoss("Normal"),
                                  lambda: losses.GMM(n_components=2)])
def test_several_numbers_stay_with_their_series(loss):
    """A loss reads them series by series or parameter by parameter; those that are no level are not put back in units."""
    m, data = shaken(make(loss=loss())), batch()
    units, raw = by_hand(m, data)
    level = m.loss.level_mask() > 0
    expected = np.where(level[:, None], units, raw)
    each = expected if m.loss.is_by_parameter else expected.transpose(0, 1, 3, 2)
    np.testing.assert_allclose(m.forward(data).numpy(), each.reshape(B, H, -1), rtol=1e-4, atol=1e-4)
    compat, full = make(loss=loss(), variant="compat"), batch(gaps=False)
    compat.load_state_dict(m.state_dict())
    np.testing.assert_allclose(compat.eval().forward(full).numpy(), by_hand(m, full)[0].reshape(B, H, -1), rtol=1e-4, atol=1e-4)


def test_point_forecasts_of_full_windows_are_the_same_in_both_variants():
    data = batch(gaps=False)
    paper, compat = (make(variant=v, futr_exog_list=FUTR) for v in ("paper", "compat"))
    compat.load_state_dict(shaken(paper).state_dict())
    np.testing.assert_allclose(paper.forward(data).numpy(), compat.eval().forward(data).numpy(), rtol=1e-5, atol=1e-5)


def test_series_in_another_order_have_forecasts_in_that_order():
    m, data, order = shaken(make(futr_exog_list=FUTR)), batch(), [2, 0, 1]
    turned = {k: v[..., order] for k, v in data.items()}
    np.testing.assert_allclose(m.forward(turned).numpy(), m.forward(data).numpy()[..., order], rtol=1e-5, atol=1e-5)


def test_weights_serve_any_number_of_series():
    m, one = shaken(make()), make(n_series=1)
    one.load_state_dict(m.state_dict())
    assert one.forecast({"insample_y": batch()["insample_y"][..., :1]}).shape == (B, H, 1)


def test_a_covariate_of_one_series_reaches_all():
    m, data = shaken(make(futr_exog_list=FUTR)), batch()
    other = {**data, "futr_exog": data["futr_exog"].copy()}
    other["futr_exog"][:, 1, -1, 2] += 3  # one step of the future
    assert (np.abs(m.forecast(data) - m.forecast(other)).max(axis=(0, 1)) > 1e-4).all()


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


def test_dropout_is_for_training():
    m, data = make(dropout=0.5), batch(gaps=False)
    ndiv.manual_seed(0)
    np.testing.assert_array_equal(m.forecast(data), m.forecast(data))
    assert not np.array_equal(m.train().forward(data).numpy(), m.forward(data).numpy())


@pytest.mark.parametrize(("options", "text"), [
    *[({name: 0}, f"{name} must be a positive") for name in ("hidden_size", "n_heads", "e_layers", "d_layers", "d_ff", "factor")],
    ({"hidden_size": 7}, "not a multiple of n_heads"), ({"dropout": 1.0}, "dropout must be"), ({"dropout": -0.1}, "dropout must be"),
    ({"n_series": 0}, "n_series must be"), ({"hist_exog_list": ["a"]}, "takes no hist_exog"), ({"e_layer": 2}, "e_layers"),
    ({"exclude_insample_y": True}, "leaves no input")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"


@pytest.mark.parametrize("case", ["itransformer", "itransformer-plain"])
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


@pytest.mark.parametrize("name", ["other.weight", "encoder.attn_layers.0.other.weight"])
def test_arrays_of_another_model_are_not_converted(name):
    with pytest.raises(KeyError):
        convert({name: np.zeros(3)}, make())
