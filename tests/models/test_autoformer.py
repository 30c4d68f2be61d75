"""Autoformer: its equations in NumPy, the delays that it follows, missing steps, neuralforecast's figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from decomposed_by_hand import DecomposedByHand
from small import shaken
from transformers_by_hand import EXOG, batch, figures

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError
from ndiv.interop.peers.autoformer import convert
from ndiv.models import get_model
from ndiv.models.transformers.autocorrelation import AutoCorrelation, delays

LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80])}


def make(**options):
    return get_model("Autoformer")(**{"h": 3, "input_size": 9, "hidden_size": 6, "n_head": 2, "conv_hidden_size": 5, "factor": 1,
                                      "MovingAvg_window": 5, **options})


def aggregated(q, k, v, factor):
    """Section 3.2 of the paper for one window: q [L, D], k and v of any length; the mean of V rolled by the best delays."""
    length = len(q)
    k, v = (np.concatenate([part, np.zeros(q.shape)])[:length] for part in (k, v))
    r = np.array([sum(q[t] @ k[t - tau] for t in range(length)) / q.shape[1] for tau in range(length)])
    best = sorted(range(length), key=lambda tau: -r[tau])[:max(int(factor * math.log(length)), 1)]
    shares = np.exp(r[best] - r.max())
    return sum(share * np.roll(v, -tau, axis=0) for share, tau in zip(shares / shares.sum(), best, strict=True))


def correlated(hand, x, memory, at):
    if memory is x:
        q, k, v = np.split(hand.linear(x, f"{at}.query_key_value"), 3, axis=1)
    else:
        q, (k, v) = hand.linear(x, f"{at}.query"), np.split(hand.linear(memory, f"{at}.key_value"), 2, axis=1)
    return hand.linear(aggregated(q, k, v, hand.m.arguments["factor"]), f"{at}.out")


@pytest.mark.parametrize("options", [
    {}, {"encoder_layers": 3, "decoder_layers": 2, "activation": "relu", "input_size": 20, "factor": 2},
    {"n_head": 4, "hidden_size": 7, "MovingAvg_window": 4}, {"input_size": 4, "h": 9, "loss": "MQLoss"},
    {"h": 1, "decoder_input_size_multiplier": 1.0, "MovingAvg_window": 2, **EXOG}], ids=str)
def test_the_equations(options):
    m = shaken(make(**options))
    data = batch(m, exog="stat_exog_list" in options)
    expected, got = DecomposedByHand(m, correlated)(data), m.forward(data).numpy()
    assert got.shape == expected.shape == (3, m.h, m.n_out)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=5e-5)


def test_a_repeating_series_is_followed_at_its_period():
    """Values at the best delay alone: a series of period 4 stays as it is, whatever its phase."""
    t = np.arange(24.0)
    x = np.stack([np.cos(0.5 * np.pi * t + phase) for phase in range(5)])[..., None]
    m = AutoCorrelation(1, 1, 1, False).eval()
    whole = np.fft.rfft(x, axis=1)
    pairs = np.stack([whole.real, whole.imag], -1)
    w = m.weights(m.correlation(pairs, pairs, 24), 24)
    assert delays(1, 24) == 3 and ((w > 0).sum(1) >= 3).all() and (np.flatnonzero(w.sum(0)) % 4 == 0).all()
    np.testing.assert_allclose(w.sum(1), 1)


def test_delays_are_those_of_each_window():
    """A window's output does not depend on its company; in compat it does while training, as in neuralforecast."""
    x = np.random.default_rng(0).normal(size=(6, 15, 4)).astype(np.float32)
    for compat, training in ((False, True), (False, False), (True, False), (True, True)):
        m = AutoCorrelation(4, 2, 1, compat).train(training)
        whole = m(x, x).numpy()
        alone = np.concatenate([m(x[i:i + 1], x[i:i + 1]).numpy() for i in range(6)])
        assert (np.abs(whole - alone).max() < 1e-6) == (not (compat and training))


def test_a_single_peak_is_not_left_to_rounding():
    """Most delays are as good as one another where a series has one value other than 0: all of them count, in any precision."""
    m = shaken(make(input_size=16))
    y = np.zeros((1, 16, 1), np.float32)
    y[:, 9] = 27
    narrow, wide = (m.astype(dtype).forward({"insample_y": y.astype(dtype)}).numpy() for dtype in (np.float32, np.float64))
    np.testing.assert_allclose(narrow, wide, rtol=1e-4, atol=1e-4)
    r = 1e-7 * np.random.default_rng(0).normal(size=(2, 16))
    r[:, 3] += 1
    r[1, 8] += 1e-3
    assert delays(1, 16) == 2
    shares = AutoCorrelation(4, 2, 1, False).weights(r, 16)
    np.testing.assert_allclose(shares[0], np.exp(r[0]) / np.exp(r[0]).sum())
    assert np.flatnonzero(shares[1]).tolist() == [3, 8]


def test_a_missing_step_is_taken_at_the_level_of_the_window():
    """So a window moved up gives the forecast moved up, whatever is missing; and what stands there does not matter."""
    m = shaken(make(input_size=20))
    data = batch(m)
    up = {**data, "insample_y": data["insample_y"] + 5}
    gone = {**data, "insample_y": np.where(data["insample_mask"] > 0, data["insample_y"], 77).astype(np.float32)}
    np.testing.assert_array_equal(m.forward(gone).numpy(), m.forward(data).numpy())
    none = {**data, "insample_mask": np.zeros_like(data["insample_mask"])}
    np.testing.assert_array_equal(m.forward(none).numpy(), m.forward({**none, "insample_y": 0 * data["insample_y"]}).numpy())
    moved = [m.season(np.where(d["insample_mask"] > 0, d["insample_y"], 0))[0] for d in (data, up)]
    assert np.abs(moved[0] - moved[1]).max() > 1  # zeros in their place would move the seasonal part
    for p in (m.encoder_embedding, m.decoder_embedding):  # tokens that do not see the level
        p.values.weight.data = p.values.weight.data - p.values.weight.data.mean(1, keepdims=True)
    np.testing.assert_allclose(m.forward(up).numpy(), m.forward(data).numpy() + 5, rtol=1e-4, atol=1e-4)


def test_memory_grows_as_the_length():
    """Four times the length: a plan's memory grows by that, where a copy for each delay or L^2 would be more."""
    def arena(length):
        m = AutoCorrelation(16, 2, 3, False).eval()
        compiled = ndiv.compile(lambda x: m(x, x))
        compiled(np.zeros((2, length, 16), np.float32))
        return compiled.plans[0].plan.arena

    assert arena(1024) < 4.2 * arena(256)


@pytest.mark.parametrize("case", range(2))
def test_figures_of_neuralforecast(case):
    loss, options, state, data, expected = list(figures("Autoformer"))[case]
    m = get_model("Autoformer")(**options, loss=LOSSES[loss](), variant="compat").eval()
    m.load_state_dict(convert(state, m))
    np.testing.assert_allclose(m.forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != "decoder.norm.layernorm.bias"}, m)


@pytest.mark.parametrize("options", [{"factor": 0}, {"factor": 1.5}, {"MovingAvg_window": 0}, {"MovingAvg_window": 2.5}, {"n_head": 9},
                                     {"activation": "gellu"}], ids=str)
def test_bad_configurations(options):
    with pytest.raises(ConfigError, match=f"Autoformer: .*{next(iter(options))}") as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint and error.value.value == next(iter(options.values()))
