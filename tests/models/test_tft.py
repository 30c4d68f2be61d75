"""TFT: its equations in NumPy, what it knows of the future, what it says of its forecasts, neuralforecast's figures."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import shaken
from transformers_by_hand import EXOG, batch, figures

import ndiv
from ndiv import NeuralForecast, losses
from ndiv.autograd import no_grad
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, NotFittedError, ShapeError
from ndiv.interop.peers.tft import convert
from ndiv.models import get_model
from ndiv.models.transformers.explained import by_name, rank_correlations
from ndiv.program.forward import arrays_of

LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80]), "normal": lambda: losses.DistributionLoss("Normal")}
FIGURES = Path(__file__).parent / "figures" / "tft.npz"
CATEGORIES = {"cat_exog_list": ["p", "g", "s"], "categorical_cardinalities": {"p": 3, "g": 4, "s": 2}, "cat_emb_dim": 3}


def make(**options):
    return get_model("TFT")(**{"h": 3, "input_size": 5, "hidden_size": 6, "n_head": 2, "scaler_type": "identity", **options})


def windows(m, count=3, seed=0):
    """Windows with gaps, and the covariates of a model: numbers, and codes of categories, those of unseen values among them."""
    data, draw = batch(m, count, seed=seed), np.random.default_rng(seed + 1)
    for kind, steps in (("hist", (m.input_size,)), ("futr", (m.input_size + m.h,)), ("stat", ())):
        names = getattr(m, f"{kind}_exog_list")
        if names:
            columns = [draw.integers(0, 5, (count, *steps)) if n in m.cat_exog_list else draw.normal(size=(count, *steps)) for n in names]
            data[f"{kind}_exog"] = np.stack(columns, -1).astype(np.float32)
    return data


# -- the equations -------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACT = {"ELU": lambda x: np.where(x > 0, x, np.expm1(x)), "tanh": np.tanh}


class ByHand:
    """One window, step, variable and head at a time, in float64; embeddings and networks in the order of the paper."""

    def __init__(self, m):
        self.m, self.w, self.act = m, {k: v.astype(np.float64) for k, v in m.state_dict().items()}, ACT[m.arguments["grn_activation"]]

    def linear(self, x, at):
        return self.w[f"{at}.weight"] @ x + self.w.get(f"{at}.bias", 0.0)

    def norm(self, x, weight, bias):
        x = x - x.mean()
        return x / np.sqrt((x**2).mean() + 1e-3) * weight + bias

    def layer_norm(self, x, at):
        return self.norm(x, self.w[f"{at}.weight"], self.w[f"{at}.bias"])

    def glu(self, z):
        values, gates = np.split(z, 2)
        return values * sigmoid(gates)

    def grn(self, a, at, c=None, around=None):
        z = self.linear(a, f"{at}.enter") + (0.0 if c is None else self.linear(c, f"{at}.rest.context"))
        z = self.glu(self.linear(self.linear(self.act(z), f"{at}.rest.inner"), f"{at}.rest.gate"))
        return self.layer_norm(z + (a if around is None else around), f"{at}.rest.norm")

    def one_of(self, a, at, k):
        enter, inner, gate = ((self.w[f"{at}.{name}_weight"][k], self.w[f"{at}.{name}_bias"][k, 0]) for name in ("enter", "inner", "gate"))
        z = self.act(enter[0] @ a + enter[1])
        z = self.glu(gate[0] @ (inner[0] @ z + inner[1]) + gate[1])
        return self.norm(z + a, self.w[f"{at}.norm_weight"][k, 0], self.w[f"{at}.norm_bias"][k, 0])

    def select(self, variables, at, c=None):
        """The mean of the variables' networks by the weights, of embedded variables; and the weights."""
        together = np.concatenate(variables)
        v = np.ones(1)
        if len(variables) > 1:
            z = np.exp(self.grn(together, f"{at}.weighting", c, self.linear(together, f"{at}.weighting.around")))
            v = z / z.sum()
        return sum(v[k] * self.one_of(x, f"{at}.variables", k) for k, x in enumerate(variables)), v

    def embedded(self, columns, at):
        """Each variable's columns, an array each, as vectors [hidden]."""
        vectors, bias, out, k = self.w[f"{at}.vectors"], self.w[f"{at}.bias"], [], 0
        for j, own in enumerate(columns):
            out.append(own @ vectors[k:k + len(own)] + bias[j])
            k += len(own)
        return out

    def columns(self, kind, x):
        """A step's covariates [columns] as an array for each variable, tables looked up."""
        names, codes = getattr(self.m, f"{kind}_exog_list"), self.m.cat_exog_list
        tables = [n for n in codes if n in names]
        found = [np.array([x[names.index(n)]]) for n in names if n not in codes]
        for t, name in enumerate(tables):
            table, code = self.w[f"{kind}_categories.tables.{t}.weight"], int(x[names.index(name)])
            found.append(table[code if 1 <= code < len(table) else 0])
        return found

    def recurrent(self, xs, at, state):
        out = []
        for x in xs:
            for layer in range(self.m.arguments["n_rnn_layers"]):
                names = (f"{at}.{p}_l{layer}" for p in ("weight_ih", "bias_ih", "weight_hh", "bias_hh"))
                w, b, u, d = (self.w[n] for n in names)
                into, over = w @ x + b, u @ state[0][layer] + d
                if len(state) == 2:
                    i, f, g, o = np.split(into + over, 4)
                    state[1][layer] = sigmoid(f) * state[1][layer] + sigmoid(i) * np.tanh(g)
                    state[0][layer] = sigmoid(o) * np.tanh(state[1][layer])
                else:
                    (r, z, n), (rh, zh, nh) = np.split(into, 3), np.split(over, 3)
                    n, z = np.tanh(n + sigmoid(r + rh) * nh), sigmoid(z + zh)
                    state[0][layer] = (1 - z) * n + z * state[0][layer]
                x = state[0][layer]
            out.append(x.copy())
        return out

    def attended(self, theta, t):
        """Of step t, over the steps up to it; and the weights of each head."""
        hidden, heads = len(theta[0]), self.m.arguments["n_head"]
        d, w = hidden // heads, self.w["attention.key_value.weight"]
        values = [w[hidden:] @ x for x in theta[:t + 1]]
        given, weights = np.zeros(d), []
        for k in range(heads):
            own = slice(k * d, (k + 1) * d)
            q = self.w["attention.query.weight"][own] @ theta[t]
            p = np.exp([q @ (w[own] @ x) / np.sqrt(d) for x in theta[:t + 1]])
            weights.append(p / p.sum())
            given += sum(share * value for share, value in zip(weights[-1], values, strict=True)) / heads
        return self.w["attention.out.weight"] @ given, weights

    def window(self, data):
        m, a = self.m, self.m.arguments
        length, h, hidden, layers = m.input_size, m.h, a["hidden_size"], a["n_rnn_layers"]
        y = (data["insample_y"] * data["insample_mask"])[:, 0]
        states = 2 if a["rnn_type"].lower() == "lstm" else 1
        cs = ce = None
        state = np.zeros((states, layers, hidden))
        self.weights = {"past": [], "future": []}
        if m.static:
            s, self.weights["static"] = self.select(self.embedded(self.columns("stat", data["stat_exog"]), "static_embedding"),
                                                    "static_selection")
            made = [self.one_of(s, "contexts", k) for k in range(len(self.w["contexts.enter_weight"]))]
            cs, ce, *rest = made
            each = 1 if a["one_rnn_initial_state"] else layers
            state = np.array([[rest[k * each + (0 if each == 1 else layer)] for layer in range(layers)] for k in range(states)])
        xs = []
        for t in range(length + h):
            known = self.columns("futr", data["futr_exog"][t]) if m.futr_exog_list else [np.array([(t - length) / length])]
            kind, found = ("past", []) if t < length else ("future", [])
            if t < length and m.hist_exog_list:
                found += self.embedded(self.columns("hist", data["hist_exog"][t]), "hist_embedding")
            found += self.embedded(known, "known_embedding")
            if t < length:
                found += self.embedded([y[t:t + 1]] * a["tgt_size"], "target_embedding")
            x, v = self.select(found, f"{kind}_selection", cs)
            xs.append(x)
            self.weights[kind].append(v)
        phi = self.recurrent(xs[:length], "encoder", state)
        phi += self.recurrent(xs[length:], "decoder", state)
        phi = [self.layer_norm(x + self.glu(self.linear(f, "recurrent_gate")), "recurrent_norm") for x, f in zip(xs, phi, strict=True)]
        theta = [self.grn(f, "enrichment", ce) for f in phi]
        out, self.weights["attention"] = [], np.zeros((a["n_head"], length + h, length + h))
        for t in range(length + h):
            given, rows = self.attended(theta, t)
            self.weights["attention"][:, t, :t + 1] = rows
            if t >= length:
                delta = self.layer_norm(theta[t] + self.glu(self.linear(given, "attention_gate")), "attention_norm")
                last = self.layer_norm(phi[t] + self.glu(self.linear(self.grn(delta, "feed_forward"), "output_gate")), "output_norm")
                out.append(self.linear(last, "head"))
        return np.array(out)


@pytest.mark.parametrize("options", [
    {}, {"h": 1, "n_head": 3, "grn_activation": "tanh"}, {"rnn_type": "GRU", "n_rnn_layers": 2, "tgt_size": 2, "futr_exog_list": ["f"]},
    {"loss": "MQLoss", "n_rnn_layers": 2, **EXOG}, {"rnn_type": "gru", "n_rnn_layers": 2, "one_rnn_initial_state": True, "stat_exog_list": ["s"]},
    {"n_rnn_layers": 3, "one_rnn_initial_state": True, **EXOG, **CATEGORIES}], ids=str)
def test_the_equations(options):
    """Forecasts, weights of variables and attention."""
    m = shaken(make(**options))
    data, hand, expected, weights = windows(m), ByHand(m), [], []
    for i in range(3):
        expected.append(hand.window({k: v[i].astype(np.float64) for k, v in data.items()}))
        weights.append(hand.weights)
    got = m.forward(data).numpy()
    assert got.shape == (3, m.h, m.n_out)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)
    found = m.feature_importances(data, average=False)
    for kind in ("past", "future", "static")[:3 if m.static else 2]:
        np.testing.assert_allclose(np.stack(list(found[kind].values()), -1), np.array([w[kind] for w in weights]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(m.attention_weights(data, average=False), [w["attention"] for w in weights], rtol=1e-3, atol=1e-5)


def test_a_step_does_not_see_those_after_it():
    """What is known of the steps after one changes nothing in its forecast."""
    m = shaken(make(**EXOG))
    data = windows(m)
    before = m.forward(data).numpy()
    for k in range(m.h):
        later = {**data, "futr_exog": data["futr_exog"].copy()}
        later["futr_exog"][:, m.input_size + k] += 1
        changed = (m.forward(later).numpy() != before).any(axis=(0, 2))
        assert changed.tolist() == [step >= k for step in range(m.h)]


def test_missing_values_do_not_matter():
    """In paper; neuralforecast reads what stands for them."""
    for variant in ("paper", "compat"):
        m = shaken(make(variant=variant))
        data = windows(m)
        other = {**data, "insample_y": np.where(data["insample_mask"] > 0, data["insample_y"], 7.0).astype(np.float32)}
        assert (data["insample_mask"] == 0).any()
        assert (m.forward(data).numpy() == m.forward(other).numpy()).all() == (variant == "paper")


def test_where_nothing_is_known_of_the_future():
    """The place of a step stands for it, in compat the last value of the window."""
    m, data = make(), {"insample_y": np.arange(10, dtype=np.float32).reshape(2, 5, 1)}
    places = np.array([-1, -0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4], np.float32)
    np.testing.assert_array_equal(np.concatenate(m._stand_in(data["insample_y"])), places[:, None, None])  # in every window
    for last in make(variant="compat")._stand_in(data["insample_y"]):  # at every step
        np.testing.assert_array_equal(last, [[[4], [9]]])
    told = make(futr_exog_list=["place"])
    told.load_state_dict(m.state_dict())
    futr = np.tile(places[:, None], (2, 1, 1))
    np.testing.assert_array_equal(m.eval().forward(data).numpy(), told.eval().forward({**data, "futr_exog": futr}).numpy())


def test_dropout_reaches_the_weighting_in_paper():
    rates = {variant: make(variant=variant, dropout=0.4, **EXOG).past_selection.weighting.rest.dropout.p for variant in ("paper", "compat")}
    assert rates == {"paper": 0.4, "compat": 0.0}


# -- what a forecast was made of -----------------------------------------------------------------------------------


def alone(selection, k):
    """Let only variable k through."""
    norm = selection.weighting.rest.norm
    norm.weight.data[:] = 0
    norm.bias.data[:] = np.where(np.arange(selection.count) == k, 50.0, -50.0)


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("options", [{}, {"hist_exog_list": ["p"], "stat_exog_list": ["s", "t"]}, EXOG], ids=["none", "hist", "all"])
def test_names_are_those_of_the_variables(options, variant):
    """A model that is told to look at one variable depends on what has that name, and on nothing else, in its window."""
    data = windows(make(**options))
    data["insample_mask"][:] = 1
    inputs = {"p": ("hist_exog", 0), "f": ("futr_exog", 0), "g": ("futr_exog", 1), "observed_target": ("insample_y", 0)}
    names = list(make(variant=variant, **options).feature_importances(data)["past"])
    assert set(names) - set(inputs) == (set() if "futr_exog_list" in options else
                                        {"relative_step" if variant == "paper" else "repeated_target"})
    for k, name in enumerate(names):
        m = shaken(make(variant=variant, **options))
        alone(m.past_selection, k)
        shown = m.feature_importances(data)["past"]
        assert [n for n in shown if (shown[n] > 0.999).all()] == [name]
        before = m.forward(data).numpy()
        for other, (key, column) in inputs.items():
            if key in data:
                moved = {**data, key: data[key].copy()}
                moved[key][:, 1, column] += 1  # a step of the window, and not its last
                assert (m.forward(moved).numpy() != before).any() == (other == name), (name, other)


def test_static_and_future_names():
    data = windows(make(**EXOG))
    for kind, key, names in (("static", "stat_exog", "st"), ("future", "futr_exog", "fg")):
        for k, name in enumerate(names):
            m = shaken(make(**EXOG))
            alone(getattr(m, f"{kind}_selection"), k)
            alone(m.past_selection, 3)
            found = m.feature_importances(data)[kind]
            assert list(found) == list(names) and np.min(found[name]) > 0.999
            before = m.forward(data).numpy()
            for column, other in enumerate(names):
                moved = {**data, key: data[key].copy()}
                moved[key][..., -1:, column] += 1  # of the horizon's last step, or of the last window
                assert (m.forward(moved).numpy() != before).any() == (other == name)


def test_weights_and_the_forecast_are_of_one_attention():
    """What the primitive gives is the mean of the values by the weights that are shown."""
    m = shaken(make(h=4, input_size=7))
    with no_grad():
        theta = m.encoded(windows(m))[1]
        given = arrays_of(m.attention(theta))  # [h, B, hidden]
        weights = arrays_of(m.attention.weights(theta))
    assert weights.shape == (3, 2, 11, 11) and (np.triu(weights, 1) == 0).all()
    values = arrays_of(theta) @ m.attention.key_value.weight.numpy()[6:].T  # [T, B, d]
    by_mean = np.einsum("bts,sbd->tbd", weights.mean(1), values)[7:]
    np.testing.assert_allclose(given, by_mean @ m.attention.out.weight.numpy().T, rtol=1e-4, atol=1e-6)


def store_of(m, series=5, rows=14, seed=0):
    """Series with the covariates of a model, and their future."""
    draw, n = np.random.default_rng(seed), series * rows
    sizes = [len(getattr(m, f"{kind}_exog_list")) for kind in ("hist", "futr", "stat")]
    store = SeriesStore(np.arange(series), np.arange(series + 1) * rows, np.tile(np.arange(rows), series),
                        draw.normal(size=n).astype(np.float32) + 3, np.ones(n, bool), draw.normal(size=(n, sizes[0])),
                        draw.normal(size=(n, sizes[1])), draw.normal(size=(series, sizes[2])), m.hist_exog_list, m.futr_exog_list,
                        m.stat_exog_list)
    return store, draw.normal(size=(series, m.h, sizes[1])).astype(np.float32)


def test_of_the_last_forecast():
    """Without a batch: of all windows of the last predict, however they were divided, also where plans ran it."""
    m = make(scaler_type="standard", inference_windows_batch_size=2, max_steps=1, **EXOG)
    store, futr = store_of(m)
    for look in (m.feature_importances, m.attention_weights, m.feature_importance_correlations):
        with pytest.raises(NotFittedError, match="no forecast") as error:
            look()
        assert error.value.code == "E0001" and "predict" in error.value.hint
    m.fit_store(store, verbose=False)
    shaken(m)
    m.predict_store(store, futr)
    parts = [b for _, b in m.batches_ahead(store, futr)]
    assert [len(b["insample_y"]) for b in parts] == [2, 2, 1]
    whole = {k: np.concatenate([b[k] for b in parts]) for k in parts[0]}
    found, expected = m.feature_importances(), m.feature_importances(whole)
    assert found.keys() == expected.keys() == {"past", "future", "static"}
    assert {k: list(v) for k, v in found.items()} == {"past": ["p", "f", "g", "observed_target"], "future": ["f", "g"], "static": ["s", "t"]}
    each = m.feature_importances(whole, average=False)
    for kind, names in found.items():
        assert np.allclose(sum(names.values()), 1.0)
        for name, values in names.items():
            np.testing.assert_allclose(values, expected[kind][name], rtol=1e-5)
            np.testing.assert_allclose(values, each[kind][name].mean(0), rtol=1e-5)
    np.testing.assert_allclose(m.attention_weights(), m.attention_weights(whole, average=False).mean((0, 1)), rtol=1e-4, atol=1e-7)
    assert m.feature_importance_correlations()["p"]["mean_attention"] == m.feature_importance_correlations(whole)["p"]["mean_attention"]
    other, later = store_of(m, 3, 14, 1)
    m.predict_store(other, later)
    assert not np.allclose(m.feature_importances()["past"]["p"], found["past"]["p"])
    for gone in (pickle.loads(pickle.dumps(m)), copy.deepcopy(m), m.reset()):
        with pytest.raises(NotFittedError):
            gone.feature_importances()


def test_looking_changes_nothing():
    """Neither the mode, nor gradients, nor what training draws."""
    m = make(dropout=0.5)
    data, state = windows(m), ndiv.random.get_state()[0]
    m.train()
    first, second = m.attention_weights(data), m.attention_weights(data)
    np.testing.assert_array_equal(first, second)
    assert m.training and ndiv.random.get_state()[0] == state and all(p.grad is None for p in m.parameters())
    with pytest.raises(ShapeError):
        m.feature_importances({"insample_y": np.zeros((2, 4, 1), np.float32)})


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_categories_are_variables(variant):
    """One each, as wide as its table is. From a frame, with unseen values."""
    rows, ids = 30, ["a", "b"]
    df = pd.DataFrame({"unique_id": np.repeat(ids, rows), "ds": np.tile(np.arange(rows), 2), "y": np.sin(np.arange(2.0 * rows)),
                       "kind": np.tile(["sale", "none", "fair"], 2 * rows // 3), "price": np.arange(2.0 * rows) % 7})
    static = pd.DataFrame({"unique_id": ids, "region": ["n", "s"]})
    m = make(variant=variant, hist_exog_list=["price"], futr_exog_list=["kind"], stat_exog_list=["region"],
             cat_exog_list=["kind", "region"], max_steps=2)
    nf = NeuralForecast([m], freq=1).fit(df, static_df=static, verbose=False)
    futr = pd.DataFrame({"unique_id": np.repeat(ids, 3), "ds": np.tile(rows + np.arange(3), 2), "kind": ["sale", "none", "new"] * 2})
    with pytest.warns(UserWarning, match="unseen|not seen|new"):
        nf.predict(futr_df=futr)
    assert m.past_selection.own.shape == (3, 1, 2 + m.futr_categories.size) and m.futr_categories.size > 1
    found = m.feature_importances()
    assert {k: list(v) for k, v in found.items()} == {"past": ["price", "kind", "observed_target"], "future": ["kind"], "static": ["region"]}
    assert np.allclose(sum(found["past"].values()), 1) and np.allclose(found["future"]["kind"], 1) and found["static"]["region"] == pytest.approx(1)


def test_collecting():
    assert by_name(["price", "day"], np.array([[0.25, 0.75], [1.0, 0.0]]))["day"].tolist() == [0.75, 0.0]
    assert by_name(["price", "day", "price"], np.array([0.25, 0.25, 0.5])) == {"price": 0.75, "day": 0.25}
    assert by_name(["price"], None) == {}
    found = rank_correlations({"a": np.array([1.0, 2.0, 2.0, 3.0]), "b": np.array([1.0, 3.0, 2.0, 4.0]), "c": np.ones(4)})
    assert found["a"]["b"] == pytest.approx(4.5 / np.sqrt(22.5)) and found["b"]["b"] == pytest.approx(1) and np.isnan(found["a"]["c"])


# -- neuralforecast, and what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", range(3))
def test_figures_of_neuralforecast(case):
    loss, options, state, data, expected = list(figures("TFT", FIGURES))[case]
    m = get_model("TFT")(**options, loss=LOSSES[loss](), variant="compat").eval()
    m.load_state_dict(convert(state, m))
    np.testing.assert_allclose(m.forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != "temporal_encoder.input_gate_ln.bias"}, m)


@pytest.mark.parametrize(("options", "text"), [
    ({"hidden_size": 0}, "hidden_size"), ({"n_head": 4}, "not a multiple of n_head"), ({"tgt_size": 0}, "tgt_size"), ({"n_rnn_layers": 1.5}, "n_rnn_layers"),
    ({"dropout": 1.0}, "TFT: dropout"), ({"attn_dropout": -0.1}, "attn_dropout"), ({"rnn_type": "lstn"}, "unknown rnn_type 'lstn'"),
    ({"rnn_type": 3}, "rnn_type"), ({"grn_activation": "GLU"}, "unknown grn_activation 'GLU'"), ({"grn_activation": None}, "grn_activation"),
    ({"hist_exog_list": ["observed_target"]}, "'observed_target' is what TFT itself"),
    ({"one_rnn_initial_state": 1}, "one_rnn_initial_state must be True or False, not 1")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint
