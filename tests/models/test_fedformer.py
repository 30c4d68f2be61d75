"""FEDformer: its equations in NumPy for both versions, multiwavelets, chosen modes and their state, growth, figures."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from decomposed_by_hand import DecomposedByHand
from small import same_bits, shaken
from transformers_by_hand import EXOG, batch, figures

import ndiv
from ndiv import losses
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError
from ndiv.interop.peers.fedformer import convert
from ndiv.models import get_model
from ndiv.models.transformers import wavelets
from ndiv.models.transformers.frequency import (
    FourierAttention,
    FourierBlock,
    ModeProduct,
    attended,
    chosen_modes,
    series,
    spectrum,
)

LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80])}


def make(**options):
    return get_model("FEDformer")(**{"h": 3, "input_size": 9, "hidden_size": 6, "n_head": 2, "conv_hidden_size": 5, "modes": 3,
                                     "MovingAvg_window": 5, **options})


def back(bins, modes, length):
    """The series of a transform that has these bins and zeros elsewhere."""
    whole = np.zeros((length // 2 + 1, bins.shape[1]), complex)
    whole[modes] = bins
    return np.fft.irfft(whole, length, axis=0)


def multiplied(z, weight):
    """Bins [M, inputs] by one complex matrix [M, heads, inputs, 2, outputs] a mode and head."""
    weight = weight[:, :, :, 0] + 1j * weight[:, :, :, 1]
    return np.stack([np.concatenate([part @ w for part, w in zip(np.split(row, len(ws)), ws, strict=True)])
                     for row, ws in zip(z, weight, strict=False)])


def attention(q, k, v, heads, modes, modes_memory):
    """FEA-f of sequences [L, features]: equation 4, and the scales that `scaled` states."""
    (length, features), other = q.shape, len(k)
    q, k, v = (np.fft.rfft(part, axis=0)[m] for part, m in ((q, modes), (k, modes_memory), (v, modes_memory)))
    out = []
    for i in range(heads):
        one, two, three = (np.split(part, heads, axis=1)[i] for part in (q / math.sqrt(length), k / math.sqrt(other), v / other))
        score = one @ two.T / math.sqrt(features / heads)
        out.append((np.tanh(score.real) + 1j * np.tanh(score.imag)) @ three / len(k))
    return back(np.concatenate(out, axis=1) * length, modes, length)


def fourier(hand, x, memory, at):
    w, heads = hand.w, hand.heads
    modes, q = hand.m.state_dict()[f"{at}.modes"], hand.linear(x, f"{at}.query")
    if memory is x:
        out = back(multiplied(np.fft.rfft(q, axis=0)[modes], w[f"{at}.product.weight"]), modes, len(x))
    else:
        k, v = hand.linear(memory, f"{at}.key"), hand.linear(memory, f"{at}.value")
        out = attention(q, k, v, heads, modes, hand.m.state_dict()[f"{at}.modes_memory"])
    return hand.linear(out, f"{at}.out")


@lru_cache
def by_integrals(order):
    """H0, H1, G0, G1 from the polynomials themselves, in fractions, and Gram and Schmidt's process written out."""
    phi = [[(-1)**(i + m) * math.comb(i, m) * math.comb(i + m, m) for m in range(i + 1)] for i in range(order)]  # times 1/sqrt(2i+1)

    def integral(f, g, offset):  # of f(x / 2 + offset) g(x) from 0 to 1
        return sum(a * b * math.comb(m, j) * offset**(m - j) * Fraction(1, 2)**j / (j + n + 1)
                   for m, a in enumerate(f) for j in range(m + 1) for n, b in enumerate(g))

    halves = [[[float(integral(f, g, offset)) * math.sqrt((2 * i + 1) * (2 * j + 1) / 2) for j, g in enumerate(phi)]
               for i, f in enumerate(phi)] for offset in (Fraction(0), Fraction(1, 2))]
    rows = list(np.concatenate(halves, axis=1))
    for j in range(order):
        row = np.eye(2 * order)[j]
        for _ in range(2):  # once more for rounding
            for other in rows:
                row = row - (row @ other) * other
        rows.append(row / np.sqrt(row @ row))
    return np.array(rows)


class Wavelet:
    """One window's FEB-w and FEA-w: steps, orders and channels one by one."""

    def __init__(self, hand, at):
        self.hand, self.w, self.at, self.k = hand, hand.w, at, wavelets.ORDER
        self.filters = by_integrals(self.k)

    def coefficients(self, x, name, levels):
        s = self.hand.linear(x, f"{self.at}.{name}")
        while len(s) % 2**levels:
            s = np.concatenate([s, s[len(s) - len(x):len(s) - len(x) + 1]])
        return s.reshape(len(s), self.k, -1)

    def down(self, s):
        rows = [np.einsum("ij,jc->ic", self.filters, np.concatenate([s[2 * t], s[2 * t + 1]])) for t in range(len(s) // 2)]
        return np.array([r[:self.k] for r in rows]), np.array([r[self.k:] for r in rows])

    def up(self, s, d):
        both = [np.einsum("ij,ic->jc", self.filters, np.concatenate([a, b])) for a, b in zip(s, d, strict=True)]
        return np.array([part for pair in both for part in (pair[:self.k], pair[self.k:])])

    def product(self, parts, weight):
        """FEB-f of the lowest modes: channels of a head, with all orders of all parts, to all orders of those channels."""
        n, heads = len(parts[0]), weight.shape[1]
        bins = [np.fft.rfft(part, axis=0)[:len(weight)] for part in parts]  # [M, k, channels]
        out = np.zeros((len(bins[0]), *parts[0].shape[1:]), complex)
        for i in range(heads):
            each = slice(i * out.shape[2] // heads, (i + 1) * out.shape[2] // heads)
            z = np.concatenate([b[:, :, each].reshape(len(b), -1) for b in bins], axis=1)
            out[:, :, each] = multiplied(z, weight[:len(z), i:i + 1]).reshape(out[:, :, each].shape)
        return back(out.reshape(len(out), -1), np.arange(len(out)), n).reshape(n, *out.shape[1:])

    def block(self, x):
        levels, found = wavelets.levels_of(len(x)), []
        s = self.coefficients(x, "query", levels)
        for _ in range(levels):
            s, d = self.down(s)
            found.append((self.product([d], self.w[f"{self.at}.coarse.weight"]),
                          self.product([s, d], self.w[f"{self.at}.fine.weight"])))
        s = np.einsum("ij,njc->nic", self.w[f"{self.at}.matrix"], s) + self.w[f"{self.at}.bias"]
        for u_s, u_d in reversed(found):
            s = self.up(s + u_s, u_d)
        return self.hand.linear(s[:len(x)].reshape(len(x), -1), f"{self.at}.out")

    def attended(self, q, k, v):
        modes = [np.arange(min(self.hand.m.arguments["modes"], len(part) // 2 + 1)) for part in (q, k)]
        return np.stack([attention(q[:, j], k[:, j], v[:, j], 1, *modes) for j in range(self.k)], axis=1)

    def attention(self, x, memory):
        levels, found = wavelets.levels_of(len(x), len(memory)), []
        s = [self.coefficients(part, name, levels) for part, name in ((x, "query"), (memory, "key"), (memory, "value"))]
        for _ in range(levels):
            s, d = zip(*(self.down(part) for part in s), strict=True)
            found.append((self.attended(*d), self.attended(*d) + self.attended(*s)))
        s = self.attended(*s)
        for u_s, u_d in reversed(found):
            s = self.up(s + u_s, u_d)
        return self.hand.linear(s[:len(x)].reshape(len(x), -1), f"{self.at}.out")


def wavelet(hand, x, memory, at):
    one = Wavelet(hand, at)
    return one.block(x) if memory is x else one.attention(x, memory)


@pytest.mark.parametrize(("version", "blocks"), [("Fourier", fourier), ("Wavelets", wavelet)])
@pytest.mark.parametrize("options", [
    {}, {"encoder_layers": 1, "decoder_layers": 2, "activation": "relu", "input_size": 21, "modes": 64, "n_head": 3},
    {"mode_select": "low", "hidden_size": 8, "n_head": 4, "decoder_input_size_multiplier": 1.0, "loss": "MQLoss"},
    {"h": 9, "input_size": 3, "encoder_layers": 1, **EXOG}, {"input_size": 1, "h": 1, "n_head": 1}], ids=str)
def test_the_equations(version, blocks, options):
    m = shaken(make(version=version, **options))
    data = batch(m, exog="stat_exog_list" in options)
    expected, got = DecomposedByHand(m, blocks)(data), m.forward(data).numpy()
    assert got.shape == expected.shape == (3, m.h, m.n_out)
    np.testing.assert_allclose(got, expected, rtol=5e-4, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("order", [1, 2, 4, 8])
def test_filters(order):
    """They are orthogonal, those of the polynomials, and what is a polynomial has no details."""
    f = wavelets.filters(order)
    np.testing.assert_allclose(f @ f.T, np.eye(2 * order), atol=1e-12)
    np.testing.assert_allclose(f, by_integrals(order), atol=1e-11)
    x, w = np.polynomial.legendre.leggauss(2 * order)
    fine = [np.polyval(np.arange(1.0, order + 1), (x / 2 + 0.5 + t) / 4) for t in range(4)]  # on quarters of [0, 1]
    phi = np.polynomial.legendre.legvander(x, order - 1) * np.sqrt(2 * np.arange(order) + 1)
    s = np.stack([(values * w / 2) @ phi for values in fine])[None, :, :]  # [1, 4, order], one channel
    both = wavelets.halved(s, order)
    np.testing.assert_allclose(both[..., order:], 0, atol=1e-12)
    np.testing.assert_allclose(wavelets.doubled(both[..., :order], both[..., order:], order), s, atol=1e-12)


def test_chosen_modes():
    assert chosen_modes(20, 4, False).tolist() == [0, 1, 2, 3] and chosen_modes(1, 4, True).tolist() == [0]
    assert chosen_modes(11, 9, True).tolist() == [0, 1, 2, 3, 4]  # all that there are
    drawn = [chosen_modes(1000, 64, True) for _ in range(2)]
    assert all((np.diff(d) > 0).all() and len(d) == 64 and d[-1] < 500 for d in drawn) and (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize("length", [1, 2, 7, 12, 4001])
def test_spectrum_and_series(length):
    """NumPy's transforms, to the precision of float32 where steps and modes are many."""
    x = np.random.default_rng(0).normal(size=(2, length, 3))
    modes = np.unique(np.r_[0, length // 2, np.random.default_rng(1).integers(0, length // 2 + 1, 5)])
    whole = np.fft.rfft(x, axis=1)[:, modes]
    for dtype, bound in ((np.float64, 1e-11), (np.float32, 3e-6)):
        z = np.asarray(spectrum(ndiv.tensor(x.astype(dtype)), modes))
        assert z.dtype == dtype
        np.testing.assert_allclose(z[:, 0] + 1j * z[:, 1], whole, atol=bound * np.abs(whole).max())
        kept = np.zeros((2, length // 2 + 1, 3), complex)
        kept[:, modes] = whole
        wanted = np.fft.irfft(kept, length, axis=1)
        np.testing.assert_allclose(np.asarray(series(ndiv.tensor(z), modes, length)), wanted, atol=bound * np.abs(wanted).max())


@pytest.mark.parametrize("split", [False, True])
def test_scores_and_their_gradients(split):
    q, k = (np.random.default_rng(i).normal(size=(2, 2, n, 4)) for i, n in ((0, 3), (1, 5)))
    one, two = q[:, 0] + 1j * q[:, 1], k[:, 0] + 1j * k[:, 1]
    heads = [one[..., part] @ two[..., part].swapaxes(1, 2) for part in (slice(0, 2), slice(2, 4))]
    scores = [np.tanh(s.real) + 1j * np.tanh(s.imag) if split else np.tanh(s) for s in heads]
    wanted = np.concatenate([s @ two[..., part] for s, part in zip(scores, (slice(0, 2), slice(2, 4)), strict=True)], axis=2)
    got = np.asarray(attended(ndiv.tensor(q), ndiv.tensor(k), ndiv.tensor(k), 2, split))
    np.testing.assert_allclose(got[:, 0] + 1j * got[:, 1], wanted, atol=1e-12)
    assert gradcheck(lambda a: (attended(a, a * a[:, :, :1], a, 2, split) ** 2).sum(), q)


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_modes_are_saved_with_the_weights(variant, tmp_path):
    """Loaded into a model that chose others they are taken over, also by plans that were made before."""
    m, other = (shaken(make(variant=variant, input_size=40, modes=4, random_seed=seed, n_head=2)) for seed in (1, 2))
    data = batch(m)
    kept = {k: v for k, v in m.state_dict().items() if "modes" in k}
    assert len(kept) == 5 and any((other.state_dict()[k] != v).any() for k, v in kept.items())  # two layers, three, the memory's
    assert np.abs(other.forecast(data) - m.forecast(data)).max() > 1e-3
    other.load_state_dict(m.state_dict())
    np.testing.assert_array_equal(other.forecast(data), m.forecast(data))
    again = make(variant=variant, input_size=40, modes=4, random_seed=1)
    for key, value in kept.items():
        np.testing.assert_array_equal(again.state_dict()[key], value)


def test_wavelets_are_trained_and_planned():
    """What the tests of all models ask of version="Fourier": a batch is learnt, by plans as op by op, and windows do not meet."""
    m = make(version="Wavelets", hidden_size=8, encoder_layers=1, dropout=0.0, optimizer="Adam", learning_rate=0.02, loss="MSE")
    data = batch(m) | {"outsample_y": np.random.default_rng(3).normal(size=(3, 3, 1)).astype(np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = [m.train_step(data) for _ in range(150)]
        whole = m.forecast(data)
        alone = [m.forecast({k: v[i:i + 1] for k, v in data.items()})[0] for i in range(3)]
    assert seen[-1] < 0.01 * seen[0]
    same_bits(np.stack(alone), whole)
    np.testing.assert_allclose(whole, m.eval().forward(data).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["block", "attention", "wavelet block", "wavelet attention"])
def test_memory_grows_as_the_length(kind):
    """Four times the length: a plan's memory grows by less than that and the ratio of logarithms; L^2 would be 16 times."""
    def arena(length):
        modes = chosen_modes(length, 16, True)
        m = {"block": lambda: FourierBlock(16, 2, modes, ModeProduct(16, 2, 16, 16), False),
             "attention": lambda: FourierAttention(16, 2, modes, modes, None),
             "wavelet block": lambda: wavelets.WaveletBlock(16, 2, 16, length),
             "wavelet attention": lambda: wavelets.WaveletAttention(16, 2, 16)}[kind]().eval()
        compiled = ndiv.compile(lambda x, memory: m(x, memory))
        compiled(*np.zeros((2, 2, length, 16), np.float32))
        return compiled.plans[0].plan.arena

    assert arena(1024) < 4.2 * math.log(1024) / math.log(256) * arena(256)


@pytest.mark.parametrize("case", range(2))
def test_figures_of_neuralforecast(case):
    loss, options, state, data, expected = list(figures("FEDformer"))[case]
    m = get_model("FEDformer")(**options, loss=LOSSES[loss](), variant="compat").eval()
    m.load_state_dict(convert(state, m))
    np.testing.assert_allclose(m.forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if "weights1" not in k}, m)


@pytest.mark.parametrize(("options", "text"), [
    ({"modes": 0}, "modes must be"), ({"version": "Wavelet"}, "unknown version 'Wavelet'"), ({"version": None}, "version"),
    ({"mode_select": "lowest"}, "unknown mode_select 'lowest'"), ({"MovingAvg_window": 0}, "MovingAvg_window"),
    ({"version": "Wavelets", "variant": "compat"}, "neuralforecast has no version"),
    ({"decoder_input_size_multiplier": 0.1, "input_size": 30, "variant": "compat"}, "compat's decoder has 6 steps and takes modes of 18")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=f"FEDformer: .*{text}") as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint
