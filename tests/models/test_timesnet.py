"""TimesNet: its equations with tables that are made and convolved one by one, places of taps, neuralforecast's figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from small import same_bits, shaken
from transformers_by_hand import ByHand, figures

import ndiv
from ndiv import losses
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError
from ndiv.interop.peers.timesnet import convert
from ndiv.models import get_model
from ndiv.models.spectral.folds import Folds, Inception

LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80])}
B = 3


def make(**options):
    return get_model("TimesNet")(**{"h": 3, "input_size": 10, "hidden_size": 4, "conv_hidden_size": 3, "top_k": 2, "num_kernels": 2,
                                    "scaler_type": "identity", **options})


def batch(m, windows=B, seed=0):
    draw = np.random.default_rng(seed)
    mask = (draw.random((windows, m.input_size, 1)) < 0.8).astype(np.float32)
    mask[:, 0] = 1
    out = {"insample_y": (draw.normal(size=mask.shape) * 2 + 5).astype(np.float32) * mask, "insample_mask": mask}
    if m.futr_exog_list:
        out["futr_exog"] = draw.normal(size=(windows, m.input_size + m.h, len(m.futr_exog_list))).astype(np.float32)
    return out


def table_of(x, p):
    """Steps [T, C] as a table [rows, p, C], the last row filled up."""
    rows = math.ceil(len(x) / p)
    return np.concatenate([x, np.zeros((rows * p - len(x), x.shape[1]))]).reshape(rows, p, -1)


def convolved(table, kernel):
    """A convolution [rows, p, C] -> [rows, p, O] with zeros around the table; kernel [side, C, side, O]."""
    side = len(kernel)
    edge = side // 2
    wide = np.pad(table, ((edge, edge), (edge, edge), (0, 0)))
    out = np.zeros((*table.shape[:2], kernel.shape[-1]))
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[r, c] = np.einsum("ijc,icjo->o", wide[r:r + side, c:c + side], kernel)
    return out


class TimesNetByHand(ByHand):
    def __init__(self, m):
        super().__init__(m, True)

    def inception(self, table, at):
        sides = range(1, 2 * self.m.arguments["num_kernels"], 2)
        biases = self.w[f"{at}.bias"]
        return np.mean([convolved(table, self.w[f"{at}.kernel{k}"]) + b for k, b in zip(sides, biases, strict=True)], axis=0)

    def block(self, x, at):
        steps, k = len(x), self.m.arguments["top_k"]
        amplitude = np.abs(np.fft.fft(x, axis=0)).mean(1)
        top = sorted(range(1, steps // 2 + 1), key=lambda f: -amplitude[f])[:k]
        share = np.exp(amplitude[top] - amplitude[top].max())
        out = np.zeros_like(x)
        for f, s in zip(top, share / share.sum(), strict=True):
            z = self.inception(table_of(x, math.ceil(steps / f)), f"{at}.wide")
            z = z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
            out += s * self.inception(z, f"{at}.back").reshape(-1, x.shape[1])[:steps]
        return out

    def __call__(self, data):
        """(in units, as the projection gives them), [B, h, outputs] each."""
        found = [self.window({k: v[i].astype(np.float64) for k, v in data.items()}) for i in range(len(data["insample_y"]))]
        return tuple(np.array(part) for part in zip(*found, strict=True))

    def window(self, data):
        y, on = data["insample_y"][:, 0], data["insample_mask"][:, 0] > 0
        mean, deviation = y[on].mean(), math.sqrt(y[on].var() + 1e-5)
        z = np.where(on, (y - mean) / deviation, 0)
        x = self.tokens(z, [data["futr_exog"][:len(y)]] if "futr_exog" in data else [], "embedding")
        x = self.linear(x.T, "stretch").T
        for i in range(self.m.arguments["encoder_layers"]):
            x = self.norm(self.block(x, f"blocks.{i}") + x, "norm")
        out = self.linear(x[-self.m.h:], "projection")
        return out * deviation + mean, out


@pytest.mark.parametrize("options", [
    {}, {"num_kernels": 4, "top_k": 6, "encoder_layers": 1}, {"h": 6, "futr_exog_list": ["a", "b"], "hidden_size": 5, "conv_hidden_size": 1},
    {"h": 1, "input_size": 2, "top_k": 1, "num_kernels": 3, "encoder_layers": 3}, {"num_kernels": 1, "h": 10}], ids=str)
def test_the_equations(options):
    m = shaken(make(**options))
    data = batch(m)
    expected, got = TimesNetByHand(m)(data)[0], m.forward(data).numpy()
    assert got.shape == expected.shape == (B, m.h, 1)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("loss", [lambda: losses.MQLoss(level=[80]), lambda: losses.DistributionLoss("Normal")])
def test_levels_alone_are_put_back_in_units(loss):
    m = shaken(make(loss=loss()))
    units, raw = TimesNetByHand(m)(batch(m))
    np.testing.assert_allclose(m.forward(batch(m)).numpy(), np.where(m.loss.level_mask() > 0, units, raw), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("reach", [0, 1, 5])
@pytest.mark.parametrize("steps", [2, 3, 7, 12, 25])
def test_every_period_of_every_length(steps, reach):
    """What the places say, on whole numbers: exactly the convolution of the table."""
    draw = np.random.default_rng(steps)
    periods = np.arange(1, steps + 1)
    folds, kernel = Folds(steps, periods, reach), draw.integers(-9, 10, (2 * reach + 1, 2, 2 * reach + 1, 3)).astype(np.float64)
    layer = Inception(2, 3, reach + 1).astype(np.float64)
    for p in layer.parameters():
        p.data[:] = 0
    getattr(layer, f"kernel{2 * reach + 1}").data = kernel * (reach + 1)
    x = draw.integers(-9, 10, (steps, 2)).astype(np.float64)
    for p in periods:
        which = folds.of[[p - 1]]
        short, table = np.concatenate([x, np.zeros((1, 2))])[None], table_of(x, p)
        whole = np.concatenate([table.reshape(-1, 2), np.full((folds.width - table.size // 2, 2), 99.0), np.zeros((1, 2))])[None]
        expected = np.rint(convolved(table, kernel).reshape(-1, 3))
        for rows, series in ((folds.first, short), (folds.rows, whole)):
            got = layer(ndiv.tensor(series), rows[which], folds.columns[which]).numpy()[0, :len(expected)]
            np.testing.assert_array_equal(np.rint(got), expected)
            np.testing.assert_allclose(got, expected, atol=1e-9)


@pytest.mark.parametrize(("variant", "steps", "expected"), [("paper", 13, [7, 4, 3]), ("compat", 13, [6, 3, 2])])
def test_periods_of_waves(variant, steps, expected):
    m = make(variant=variant, top_k=1)
    folds, t = m.blocks[0].folds, np.arange(steps)
    for f, p in zip((2, 4, 5), expected, strict=True):
        x = np.repeat(np.cos(2 * np.pi * f * t / steps)[None, :, None], 4, 2).astype(np.float32)
        top, amplitude = m.blocks[0].periods(ndiv.tensor(x))
        assert np.asarray(top).tolist() == [[f - 1]]
        assert amplitude.numpy()[0, 0] == pytest.approx(steps / 2, rel=1e-5)
        # p steps on there is the next row: the row of taps after the first step's own
        assert folds.rows[folds.of[f - 1]].reshape(-1, 3)[0, 2] == p


def test_company_matters_in_compat_alone():
    paper, compat = shaken(make()), shaken(make(variant="compat"))
    data = batch(paper, 6)
    for i in range(6):
        same_bits(paper.forecast({k: v[i:i + 1] for k, v in data.items()})[0], paper.forecast(data)[i])
    alone = np.concatenate([compat.forecast({k: v[i:i + 1] for k, v in data.items()}) for i in range(6)])
    assert np.abs(alone - compat.forecast(data)).max() > 1e-3


def test_units_are_carried_and_gaps_do_not_count():
    m = shaken(make())
    data = batch(m)
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 100}
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(other).numpy())
    scaled = {**data, "insample_y": (data["insample_y"] * 100 - 5) * data["insample_mask"]}
    np.testing.assert_allclose(m.forecast(scaled), m.forecast(data) * 100 - 5, rtol=1e-3)
    full = {"insample_y": data["insample_y"]}
    np.testing.assert_allclose(m.forecast(full), m.forecast({**full, "insample_mask": np.ones_like(full["insample_y"])}), rtol=1e-5)


def test_nothing_to_fold_by():
    """A window that is constant, and one without any value, with weights that let nothing through: all amplitudes are 0."""
    m = make(loss=losses.MSE())
    data = {"insample_y": np.array([[[7.0]], [[0.0]]], np.float32).repeat(10, 1), "outsample_y": np.ones((2, 3, 1), np.float32),
            "insample_mask": np.array([[[1.0]], [[0.0]]], np.float32).repeat(10, 1)}
    assert np.isfinite(m.forecast(data)).all() and np.isfinite(m.train_step(data))
    m.stretch.weight.data[:] = 0
    assert np.isfinite(m.forecast(data)).all() and np.isfinite(m.train_step(data))


def test_covariates_of_the_horizon_are_not_used():
    m = shaken(make(futr_exog_list=["a"]))
    data = batch(m)
    later, earlier = ({**data, "futr_exog": data["futr_exog"].copy()} for _ in range(2))
    later["futr_exog"][:, -3:] += 1
    earlier["futr_exog"][:, -4] += 1
    np.testing.assert_array_equal(m.forecast(later), m.forecast(data))
    assert not np.allclose(m.forecast(earlier), m.forecast(data))


def test_gradients_of_inception():
    folds, draw = Folds(7, [3, 7], 1), np.random.default_rng(0)
    layer = Inception(2, 3, 2).astype(np.float64)
    x = np.concatenate([draw.normal(size=(2, 7, 2)), np.zeros((2, 1, 2))], 1)
    assert gradcheck(lambda t: (layer(t, folds.first, folds.columns) ** 2).sum(), x)
    layer(ndiv.tensor(x), folds.first, folds.columns).sum().backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in layer.parameters())


@pytest.mark.parametrize("case", range(2))
def test_figures_of_neuralforecast(case):
    loss, options, state, data, expected = list(figures("TimesNet", Path(__file__).parent / "figures" / "timesnet.npz"))[case]
    m = get_model("TimesNet")(**options, loss=LOSSES[loss](), variant="compat").eval()
    m.load_state_dict(convert(state, m))
    got = m.forward(data).numpy()
    assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != "layer_norm.bias"}, m)


@pytest.mark.parametrize(("options", "text"), [
    *[({name: 0}, f"TimesNet: {name} must be a positive") for name in
      ("hidden_size", "conv_hidden_size", "top_k", "num_kernels", "encoder_layers")],
    ({"dropout": 1.0}, "TimesNet: dropout must be"), ({"top_k": 7}, "top_k 7 is more than the 6 frequencies of 13 steps"),
    ({"hist_exog_list": ["a"]}, "takes no hist_exog")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint
