"""Informer: its equations in NumPy, the sample of keys, what attention and distilling give, neuralforecast's figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small import shaken
from transformers_by_hand import EXOG, ByHand, batch, figures, full

import ndiv
from ndiv import losses
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError
from ndiv.interop.peers.informer import convert
from ndiv.models import get_model
from ndiv.models.transformers.informer import Distilling, ProbSparseAttention, sampled_keys, sparse_size

LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80]), "normal": lambda: losses.DistributionLoss("Normal")}


def make(**options):
    return get_model("Informer")(**{"h": 3, "input_size": 9, "hidden_size": 6, "n_head": 2, "conv_hidden_size": 5, "factor": 1,
                                    **options})


def sparse(factor):
    """Algorithm 1 for one head: by_hand's rows of queries."""
    def attend(causal):
        def rows(q, k, v):
            count = min(max(factor * math.ceil(math.log(len(q))), 1), len(q))
            seen = min(max(factor * math.ceil(math.log(len(k))), 1), len(k))
            sample = sampled_keys(len(q), len(k), seen, False)
            measure = [(k[sample] @ row).max() - (k[sample] @ row).mean() for row in q]
            active = set(sorted(range(len(q)), key=lambda i: -measure[i])[:count])
            every = full(causal)(q, k, v)
            return np.array([every[i] if i in active else v[:i + 1 if causal else len(v)].mean(0) for i in range(len(q))])

        return rows

    return attend


class InformerByHand(ByHand):
    def between(self, x, i):
        if i >= len(self.m.between):
            return x
        w, b = self.w[f"between.{i}.conv.weight"], self.w[f"between.{i}.conv.bias"]
        length = len(x)
        z = np.array([sum(w[:, :, j] @ x[(t + j - 1) % length] for j in range(3)) + b for t in range(length)])
        z = np.where(z > 0, z, np.expm1(z))
        return np.array([z[max(t - 1, 0):t + 2].max(0) for t in range(0, length, 2)])


@pytest.mark.parametrize("options", [
    {}, {"encoder_layers": 3, "decoder_layers": 2, "activation": "relu", "input_size": 20}, {"distil": False, "n_head": 3},
    {"factor": 2, "input_size": 16, "h": 9, "loss": "MQLoss", **EXOG}, {"h": 1, "decoder_input_size_multiplier": 1.0}], ids=str)
def test_the_equations(options):
    m = shaken(make(**options))
    data = batch(m, exog="stat_exog_list" in options)
    expected, got = InformerByHand(m, True, sparse(m.arguments["factor"]))(data), m.forward(data).numpy()
    assert got.shape == expected.shape == (3, m.h, m.n_out)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


def test_the_sample_of_keys_is_always_the_same():
    """It is part of every saved model: these are its values. Different keys for all queries, or any for each query."""
    np.testing.assert_array_equal(sampled_keys(9, 12, 3, False), [2, 4, 6])
    np.testing.assert_array_equal(sampled_keys(2, 12, 3, True), [[7, 0, 7], [4, 7, 6]])
    for keys in (1, 2, 96, 720):
        found = sampled_keys(7, keys, sparse_size(3, keys), False)
        assert len(set(found.tolist())) == len(found) == sparse_size(3, keys)
        assert found.min() >= 0 and found.max() < keys
    many = sampled_keys(500, 96, 15, True)
    assert many.shape == (500, 15) and np.abs(np.bincount(many.ravel(), minlength=96) - 78).max() < 45  # 5 deviations of 78
    assert [sparse_size(3, n) for n in (1, 2, 3, 8, 96, 4096)] == [1, 2, 3, 8, 15, 27]


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_a_forecast_depends_on_no_generator_and_no_company(variant):
    m = shaken(make(variant=variant, factor=1))
    data = batch(m, 5)
    ndiv.manual_seed(1)
    whole = m.forecast(data)
    ndiv.manual_seed(2)
    np.testing.assert_array_equal(m.forecast(data), whole)
    turned = m.forecast({k: v[::-1].copy() for k, v in data.items()})
    np.testing.assert_array_equal(turned[::-1], whole)
    state = ndiv.random.get_state()
    m.train().forward(data)
    assert ndiv.random.get_state()[0] == state[0]  # dropout alone draws


def qkv(length, heads=2, d=3):
    draw = np.random.default_rng(0)
    return [draw.normal(size=(4, heads, length, d)) for _ in range(3)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("compat", [False, True])
def test_few_queries_attend(causal, compat):
    """factor ln L of them get what full attention gives; the others the mean of the values, in compat their sum where masked."""
    q, k, v = qkv(30)
    out = ProbSparseAttention(6, 2, 1, compat, causal=causal).attend(q, k, v)
    exact = ndiv.scaled_dot_product_attention(q, k, v, is_causal=causal)
    steps = np.arange(1, 31)[:, None] if causal and not compat else 1.0
    idle = np.cumsum(v, 2) / steps if causal else np.broadcast_to(v.mean(2, keepdims=True), v.shape)
    attends, idles = (np.isclose(out, wanted).all(-1) for wanted in (exact, idle))
    first = np.zeros((4, 2, 30), bool)
    first[..., 0] = causal  # its only value, either way
    assert (attends ^ idles | first).all()
    assert (np.abs(attends.sum(-1) - 4) <= causal).all()
    whole = ProbSparseAttention(6, 2, 9, compat, causal=causal).attend(q, k, v)
    np.testing.assert_allclose(whole, exact, atol=1e-12)


def test_memory_grows_as_the_length_and_its_logarithm():
    """Four times the length: a plan's memory grows by that and the ratio of the logarithms, where L^2 would be 16 times."""
    def arena(length):
        m = ProbSparseAttention(16, 2, 3, False, causal=True).eval()
        compiled = ndiv.compile(lambda x: m(x, x))
        compiled(np.zeros((2, length, 16), np.float32))
        return compiled.plans[0].plan.arena

    assert arena(1024) < 4.2 * math.log(1024) / math.log(256) * arena(256)


def test_queries_that_stand_out_are_chosen():
    q, k, _ = qkv(30)
    q[:, :, [4, 11, 17, 29]] *= 20
    measure = ProbSparseAttention(6, 2, 1, False).measure(q, k)
    assert (np.sort(np.argsort(-measure, -1)[..., :4], -1) == [4, 11, 17, 29]).all()
    # compat: what is not sampled counts as 0 in the mean
    sample = sampled_keys(30, 30, 4, True)
    scores = np.einsum("bhid,bhijd->bhij", q, k[:, :, sample])
    np.testing.assert_allclose(ProbSparseAttention(6, 2, 1, True).measure(q, k), scores.max(-1) - scores.sum(-1) / 30, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_distilling_halves(length):
    x = ndiv.tensor(np.random.default_rng(0).normal(size=(2, length, 5)).astype(np.float32))
    assert Distilling(5, False)(x).shape == (2, (length + 1) // 2, 5)
    if length > 1:
        assert Distilling(5, True)(x).shape == (2, (length + 1) // 2 + 1, 5)


@pytest.mark.parametrize("compat", [False, True])
def test_gradients_of_distilling(compat):
    m = Distilling(3, compat).astype(np.float64).eval()
    assert gradcheck(lambda t: (m(t) ** 2).sum(), np.random.default_rng(0).normal(size=(2, 6, 3)))


@pytest.mark.parametrize("case", range(3))
def test_figures_of_neuralforecast(case):
    loss, options, state, data, expected = list(figures("Informer"))[case]
    m = make(**options, loss=LOSSES[loss](), variant="compat").eval()
    m.load_state_dict(convert(state, m))
    np.testing.assert_allclose(m.forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != "decoder.norm.bias"}, m)


@pytest.mark.parametrize(("options", "text"), [({"factor": 0}, "Informer: factor must be"), ({"factor": 1.5}, "factor"),
                                               ({"distil": "yes"}, "Informer: distil must be True or False, not 'yes'")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint and error.value.value == next(iter(options.values()))
