"""PatchTST: its equations in NumPy, what paper repairs, neuralforecast's figures, and arguments that are refused."""

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
from ndiv.interop.peers.patchtst import convert
from ndiv.models import get_model

H, L, B = 3, 11, 4
SMALL = {"encoder_layers": 3, "n_heads": 2, "hidden_size": 6, "linear_hidden_size": 5, "patch_len": 4, "stride": 2, "dropout": 0.0}


def make(**options):
    return get_model("PatchTST")(**{"h": H, "input_size": L, **SMALL, **options})


def moved(m, seed=0):
    """The model with every weight and statistic moved, in eval mode."""
    draw = np.random.default_rng(seed)
    for module in m.modules():
        if hasattr(module, "running_mean"):
            module.running_mean = draw.normal(0, 0.3, module.running_mean.shape).astype(np.float32)
            module.running_var = draw.uniform(0.5, 1.5, module.running_var.shape).astype(np.float32)
    return shaken(m, seed)


def batch(seed=0, gaps=True):
    draw = np.random.default_rng(seed)
    mask = (draw.random((B, L, 1)) < (0.8 if gaps else 2.0)).astype(np.float32)
    mask[0, -2:] = 1 - gaps
    return {"insample_y": (draw.normal(size=(B, L, 1)) * 2 + 5).astype(np.float32) * mask, "insample_mask": mask}


def by_hand(m, data):
    """The equations of the file in float64, with scores that are added up layer by layer: [B, h, outputs], in units and not."""
    a, w = m.arguments, {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    y, on = data["insample_y"][..., 0].astype(np.float64), data["insample_mask"][..., 0] > 0
    mean, deviation = np.zeros((B, 1)), np.ones((B, 1))
    if a["revin"]:
        seen = np.where(on, y, np.nan)
        mean, deviation = np.nanmean(seen, axis=1, keepdims=True), np.sqrt(np.nanvar(seen, axis=1, keepdims=True) + 1e-5)
        if a["revin_subtract_last"]:
            mean = np.array([[row[ok][-1]] for row, ok in zip(y, on, strict=True)])
        y = np.where(on, (y - mean) / deviation, 0)
    if a["revin_affine"]:
        y = y * w["norm.affine_weight"] + w["norm.affine_bias"]
    last = np.array([[row[ok][-1]] for row, ok in zip(y, on, strict=True)])
    y = np.concatenate([y, np.repeat(last, a["stride"], axis=1)], axis=1)
    size = a["patch_len"]
    patches = [y[:, k:k + size] for k in range(0, y.shape[1] - size + 1, a["stride"])]
    assert len(patches) == (L - size) // a["stride"] + 2
    heads, width = a["n_heads"], a["hidden_size"]

    def linear(z, at):
        return z @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    def norm(z, at):
        return (z - w[f"{at}.running_mean"]) / np.sqrt(w[f"{at}.running_var"] + 1e-5) * w[f"{at}.weight"] + w[f"{at}.bias"]

    def parted(z):
        return z.reshape(B, -1, heads, width // heads).transpose(0, 2, 1, 3)

    x, scores = linear(np.stack(patches, axis=1), "embed") + w["positions"], 0.0
    for k in range(a["encoder_layers"]):
        at, first = f"layers.{k}", a["batch_normalization"]
        q, key, v = map(parted, np.split(linear(norm(x, f"{at}.norm1") if first else x, f"{at}.attention.qkv"), 3, axis=-1))
        scores = (scores if a["res_attention"] else 0.0) + q @ key.swapaxes(-1, -2) / math.sqrt(width // heads)
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        z = (p / p.sum(axis=-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = x + linear(z, f"{at}.attention.out")
        x = x if first else norm(x, f"{at}.norm1")
        z = linear(norm(x, f"{at}.norm2") if first else x, f"{at}.wide")
        z = z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
        x = x + linear(z, f"{at}.back")
        x = x if first else norm(x, f"{at}.norm2")
    raw = linear(x.reshape(B, -1), "head").reshape(B, H, -1)
    out = raw
    if a["revin_affine"]:
        out = (out - w["norm.affine_bias"]) / (w["norm.affine_weight"] + 1e-10)
    return out * deviation[..., None] + mean[..., None], raw


@pytest.mark.parametrize("options", [
    {}, {"res_attention": False}, {"batch_normalization": True}, {"revin": False}, {"revin_subtract_last": False, "revin_affine": True},
    {"learn_pos_embed": False}, {"encoder_layers": 1, "n_heads": 1}, {"patch_len": 5, "stride": 5}], ids=str)
def test_the_equations(options):
    m, data = moved(make(**options)), batch()
    np.testing.assert_allclose(m.forward(data).numpy(), by_hand(m, data)[0], rtol=1e-4, atol=1e-4)


def test_positions_that_are_not_trained_are_sines():
    m = make(learn_pos_embed=False)
    np.testing.assert_array_equal(m.positions, ndiv.nn.sinusoidal_positions(5, 6))
    assert "positions" in m.state_dict() and "positions" not in dict(m.named_parameters())
    data = {**batch(gaps=False), "outsample_y": np.zeros((B, H, 1), np.float32)}
    m.train_step(data)
    np.testing.assert_array_equal(m.positions, ndiv.nn.sinusoidal_positions(5, 6))
    assert not np.allclose(make(learn_pos_embed=False, variant="compat").positions, m.positions)


def test_scores_are_carried_from_layer_to_layer():
    data = batch()
    with_, without = moved(make()), moved(make(res_attention=False))
    without.load_state_dict(with_.state_dict())
    assert np.abs(with_.forward(data).numpy() - without.forward(data).numpy()).max() > 1e-3
    with_, without = moved(make(encoder_layers=1)), moved(make(encoder_layers=1, res_attention=False))
    without.load_state_dict(with_.state_dict())
    np.testing.assert_array_equal(with_.forward(data).numpy(), without.forward(data).numpy())


def test_norms_that_come_first_leave_the_residual_alone_in_paper():
    data = batch(gaps=False)
    for first, same in ((False, True), (True, False)):
        paper, compat = (make(batch_normalization=first, variant=v) for v in ("paper", "compat"))
        compat.load_state_dict(moved(paper).state_dict())
        assert np.allclose(paper.forward(data).numpy(), compat.eval().forward(data).numpy(), rtol=1e-5, atol=1e-5) is same


def test_the_scale_of_a_distribution_is_not_put_back_in_units():
    m, data = moved(make(loss=losses.DistributionLoss("Normal"))), batch()
    units, raw = by_hand(m, data)
    got = m.forward(data).numpy()
    np.testing.assert_allclose(got[..., 0], units[..., 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[..., 1], raw[..., 1], rtol=1e-4, atol=1e-4)
    compat = make(loss=losses.DistributionLoss("Normal"), variant="compat")
    compat.load_state_dict(m.state_dict())
    full = batch(gaps=False)
    np.testing.assert_allclose(compat.eval().forward(full).numpy(), by_hand(m, full)[0], rtol=1e-4, atol=1e-4)


def test_missing_values_do_not_count_in_paper():
    data = batch()
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 100}
    paper, compat = moved(make()), moved(make(variant="compat"))
    np.testing.assert_array_equal(paper.forward(data).numpy(), paper.forward(other).numpy())
    assert not np.allclose(compat.forward(data).numpy(), compat.forward(other).numpy())


def test_units_are_carried():
    m, data = make(), batch()
    changed = {**data, "insample_y": (data["insample_y"] * 100 - 7) * data["insample_mask"]}
    np.testing.assert_allclose(m.forecast(changed), m.forecast(data) * 100 - 7, rtol=1e-3)


def test_patches_of_short_windows_and_of_one_step():
    m = make(input_size=3, patch_len=16, stride=8)
    assert m.patch_len == 11 and m.steps.tolist() == [[0, 1, 2] + [3] * 8]
    assert make(input_size=5, patch_len=2, stride=2).steps.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert make(input_size=2, patch_len=1, stride=1).steps.tolist() == [[0], [1], [2]]
    assert m.forecast({"insample_y": np.ones((2, 3, 1), np.float32)}).shape == (2, H, 1)


def test_a_single_patch_is_trained_on_by_the_statistics_seen_before():
    m = make(input_size=3, patch_len=11, stride=8)
    data = {"insample_y": np.random.default_rng(0).normal(size=(B, 3, 1)).astype(np.float32), "outsample_y": np.zeros((B, H, 1), np.float32)}
    m.train_step(data)
    before = m.state_dict()
    assert np.isfinite(m.train_step({k: v[:1] for k, v in data.items()}))
    after = m.state_dict()
    assert all(np.array_equal(before[k], after[k]) for k in before if "running" in k)
    assert not np.array_equal(before["head.weight"], after["head.weight"])


def test_dropout_is_for_training_and_never_zeroes_forecasts_in_paper():
    data = batch(gaps=False)
    ndiv.manual_seed(0)
    for name in ("dropout", "attn_dropout", "head_dropout"):
        for res_attention in (True, False):
            m = make(**{name: 0.5, "res_attention": res_attention})
            np.testing.assert_array_equal(m.forecast(data), m.forecast(data))
            assert not np.array_equal(m.train().forward(data).numpy(), m.forward(data).numpy())
    for variant in ("paper", "compat"):
        m = make(head_dropout=0.5, revin=False, variant=variant)
        assert (m.train().forward(data).numpy() == 0).any() == (variant == "compat")


@pytest.mark.parametrize(("options", "text"), [
    *[({name: 0}, f"{name} must be a positive") for name in ("encoder_layers", "n_heads", "hidden_size", "linear_hidden_size",
                                                            "patch_len", "stride")],
    *[({name: value}, f"{name} must be") for name in ("dropout", "fc_dropout", "head_dropout", "attn_dropout") for value in (1.0, -0.1, "a")],
    ({"patch_len": 2.5}, "patch_len"), ({"hidden_size": 7}, "not a multiple of n_heads"), ({"activation": "gleu"}, "activation"),
    ({"futr_exog_list": ["a"]}, "takes no futr_exog"), ({"exclude_insample_y": True}, "no covariates"),
    ({"n_head": 2}, "n_heads"), ({"patch_length": 2}, "patch_len")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"


def test_the_hint_for_heads_fits():
    with pytest.raises(ConfigError) as error:
        make(hidden_size=10, n_heads=4)
    assert error.value.hint == "n_heads=2 would do, or hidden_size=12"


def _peers():
    spec = importlib.util.spec_from_file_location("peer_patchtst", Path(__file__).parents[1] / "peers" / "peer_patchtst.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_compat_gives_neuralforecasts_numbers(seed):
    """States and forecasts of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    peers = _peers()
    assert list(peers.FIGURES) == [0, 1, 2, 3]
    options = peers.configuration(seed)
    found = peers.read(Path(__file__).parent / "figures", seed)
    m, expected = peers.ours(options, peers.FIGURES[seed]), found.pop("forecast")
    m.load_state_dict(convert(found, m))
    got = m.eval().forward(peers.batch(options)).numpy()
    assert got.shape == expected.shape and np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()


def test_arrays_of_another_model_are_not_converted():
    for name in ("other.weight", "model.backbone.encoder.layers.0.other.weight", "model.head.other"):
        with pytest.raises(KeyError):
            convert({name: np.zeros(3)}, make())
