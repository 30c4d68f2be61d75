"""RNN, LSTM and GRU: their equations in NumPy, what padding and feeding back must do, and what is refused."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from small import sampled

import ndiv
from ndiv import losses
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, FeatureError, ShapeError
from ndiv.models import get_model
from ndiv.verify.model import verify

NAMES = ["RNN", "LSTM", "GRU"]
H, L, B = 3, 9, 4
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s"]}


def make(name, **options):
    return get_model(name)(**{"h": H, "input_size": L, "encoder_hidden_size": 5, "decoder_hidden_size": 4, "scaler_type": "identity",
                              **options})


def batch(length=L, h=H, exog=True, seed=0, b=B):
    draw = np.random.default_rng(seed)
    t = draw.uniform(0, 20, (b, 1)) + np.arange(length + h)
    y = (np.sin(t) + 0.1 * draw.normal(size=t.shape))[..., None]
    out = {"insample_y": y[:, :length], "insample_mask": np.ones((b, length, 1)), "outsample_y": y[:, length:],
           "outsample_mask": np.ones((b, h, 1))}
    if exog:
        out |= {"futr_exog": draw.normal(size=(b, length + h, 2)), "hist_exog": draw.normal(size=(b, length, 1)),
                "stat_exog": draw.normal(size=(b, 1))}
    return {k: v.astype(np.float32) for k, v in out.items()}


def moved(model, like):
    """The weights of another model, whose sizes do not depend on the window."""
    model.load_state_dict(like.state_dict())
    return model


# the equations ----------------------------------------------------------------------------------------------------------

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(name, x, state, w, relu=False):
    """One step of a layer in float64, as its paper has it. state (s, c)"""
    s, c = state
    zx, zs = w["weight_ih"] @ x + w["bias_ih"], w["weight_hh"] @ s + w["bias_hh"]
    if name == "RNN":
        return (np.maximum(zx + zs, 0) if relu else np.tanh(zx + zs)), c
    if name == "LSTM":
        i, f, g, o = np.split(zx + zs, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (xr, xz, xn), (sr, sz, sn) = np.split(zx, 3), np.split(zs, 3)
    r, z = sigmoid(xr + sr), sigmoid(xz + sz)
    return (1 - z) * np.tanh(xn + r * sn) + z * s, c


def states(m, name, xs, layers, suffixes, relu=False):
    """Outputs of the last layer over the inputs xs [T, I], forward in time, and those backward where there are two directions."""
    state = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    hidden = m.arguments["encoder_hidden_size"]
    for layer in range(layers):
        outs = []
        for suffix in suffixes:
            w = {k: state[f"encoder.{k}_l{layer}{suffix}"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            at, found = (np.zeros(hidden), np.zeros(hidden)), []
            for x in xs[::-1] if suffix else xs:
                at = step(name, x, at, w, relu)
                found.append(at[0])
            outs.append(np.array(found[::-1] if suffix else found))
        xs = np.concatenate(outs, axis=1)
    return outs


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_direct_forecast_is_the_papers(name, bidirectional):
    """MLP([final states, futr of the horizon]) of the window from its first observed value on."""
    more = {"encoder_activation": "relu"} if name == "RNN" else {}
    m = make(name, encoder_bidirectional=bidirectional, decoder_layers=3, decoder_activation="Tanh", **EXOG, **more).eval()
    data = batch()
    data["insample_mask"][1, :4] = 0
    data["insample_mask"][2, 5] = 0  # missing inside: 0, and the state goes on
    data["insample_mask"][3] = 0  # nothing observed: the state at the start
    got = m.forward(data).numpy()
    weights = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    for i in range(B):
        on = data["insample_mask"][i, :, 0]
        begin = int(np.argmax(on)) if on.any() else L
        xs = np.column_stack([data["insample_y"][i, :, 0] * on, data["hist_exog"][i], np.full(L, data["stat_exog"][i, 0]),
                              data["futr_exog"][i, :L]]).astype(np.float64)[begin:]
        if len(xs):
            outs = states(m, name, xs, 2, ["", "_reverse"][:1 + bidirectional], relu=bool(more))
            z = np.concatenate([outs[0][-1], *(o[0] for o in outs[1:])])
        else:
            z = np.zeros(5 * (1 + bidirectional))
        z = np.concatenate([z, data["futr_exog"][i, L:].ravel()])
        for k in range(3):
            z = weights[f"decoder.{k}.weight"] @ z + weights[f"decoder.{k}.bias"]
            z = np.tanh(z) if k < 2 else z
        np.testing.assert_allclose(got[i, :, 0], z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_recursive_forecast_is_the_papers(name):
    """linear(s_t) of [y_t, hist_t, stat, futr_{t+1}], each forecast being the next y."""
    m, data = make(name, recurrent=True, **EXOG).eval(), batch()
    data["insample_mask"][1, :4] = 0
    got = m.forward(data).numpy()
    weights = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    for i in range(B):
        y = list(data["insample_y"][i, :, 0] * data["insample_mask"][i, :, 0])
        hist = [*data["hist_exog"][i, :, 0], *[0.0] * H]
        for k in range(H):
            xs = np.array([[y[t], hist[t], data["stat_exog"][i, 0], *data["futr_exog"][i, t + 1]] for t in range(L + k)])
            s = states(m, name, xs[4 if i == 1 else 0:], 2, [""])[0][-1]
            y.append(float(weights["head.weight"][0] @ s + weights["head.bias"][0]))
        np.testing.assert_allclose(got[i, :, 0], y[L:], rtol=1e-5, atol=1e-6)


# laws -------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"encoder_bidirectional": True}, {"recurrent": True}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_move_the_state(name, options):
    """A window padded at its start gives the forecast of a model with a shorter window, whatever the padding holds."""
    short, pad = make(name, **options, **EXOG).eval(), 5
    long = moved(make(name, input_size=L + pad, **options, **EXOG), short).eval()
    data = batch()
    draw = np.random.default_rng(1)
    padded = {k: np.concatenate([draw.normal(size=(B, pad, v.shape[2])).astype(np.float32), v], axis=1)
              if k in ("insample_y", "insample_mask", "hist_exog", "futr_exog") else v for k, v in data.items()}
    padded["insample_mask"][:, :pad] = 0
    np.testing.assert_allclose(long.forward(padded).numpy(), short.forward(data).numpy(), rtol=1e-6, atol=1e-7)
    if "recurrent" in options:
        np.testing.assert_allclose(long.teacher_forced(padded).numpy(), short.teacher_forced(data).numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_value_moves_every_step(name):
    """In compat the first steps of the horizon see states of before it; that is what paper repairs."""
    for variant, first in (("paper", 0), ("compat", H - 1)):
        m, data = make(name, variant=variant).eval(), batch(exog=False)
        other = {**data, "insample_y": data["insample_y"].copy()}
        other["insample_y"][:, -1] += 1
        differs = np.abs(m.forward(other).numpy() - m.forward(data).numpy()).max(axis=(0, 2)) > 0
        assert differs.tolist() == [k >= first for k in range(H)]


@pytest.mark.parametrize("loss", ["MAE", "MQLoss", "StudentT"])
@pytest.mark.parametrize("name", NAMES)
def test_a_recursive_forecast_is_one_step_forecasts_in_turn(name, loss):
    """Of longer and longer windows, to each of which the forecast of the one before has been added."""
    made = {"MAE": losses.MAE, "MQLoss": lambda: losses.MQLoss(level=[80]), "StudentT": lambda: losses.DistributionLoss("StudentT")}[loss]
    m, data = make(name, recurrent=True, loss=made(), **EXOG).eval(), batch()
    got, y = m.forward(data).numpy(), data["insample_y"]
    for k in range(H):
        one = moved(make(name, h=1, input_size=L + k, recurrent=True, loss=made(), **EXOG), m).eval()
        grown = {"insample_y": y, "futr_exog": data["futr_exog"][:, :L + k + 1], "stat_exog": data["stat_exog"],
                 "hist_exog": np.concatenate([data["hist_exog"], np.zeros((B, k, 1), np.float32)], axis=1)}
        out = one.forward(grown).numpy()
        np.testing.assert_allclose(out[:, 0], got[:, k], rtol=1e-5, atol=1e-6)
        columns = one.forecast(grown)
        names = one.output_names
        at = names.index("-median") if loss == "MQLoss" else 0
        y = np.concatenate([y, columns[:, :, at:at + 1].astype(np.float32)], axis=1)


@pytest.mark.parametrize("h_train", [1, 2, H, H + 2])
@pytest.mark.parametrize("name", NAMES)
def test_teacher_forcing_is_one_step_forecasts_from_the_truth(name, h_train):
    m, data = make(name, recurrent=True, h_train=h_train, **EXOG).eval(), batch()
    got = m.teacher_forced(data).numpy()
    y = np.concatenate([data["insample_y"], data["outsample_y"]], axis=1)
    hist = np.concatenate([data["hist_exog"], np.zeros((B, H, 1), np.float32)], axis=1)
    begin = L - max(h_train - H, 0)
    assert got.shape == (B, h_train, 1)
    for k in range(h_train):
        one = moved(make(name, h=1, input_size=begin + k, recurrent=True, **EXOG), m).eval()
        out = one.forward({"insample_y": y[:, :begin + k], "futr_exog": data["futr_exog"][:, :begin + k + 1],
                           "hist_exog": hist[:, :begin + k], "stat_exog": data["stat_exog"]}).numpy()
        np.testing.assert_allclose(got[:, k], out[:, 0], rtol=1e-5, atol=1e-6)
    wanted = np.mean(np.abs(got - y[:, begin:begin + h_train]))
    assert float(m.compute_loss(data).data) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("variant, loss, scaler", sampled(["paper", "compat"], ["MAE", "MQLoss", "Normal", "GMM"], [
    "identity", "standard", "robust", "minmax", "minmax1", "invariant", "revin"]))
def test_recursive_mode_in_every_unit(variant, loss, scaler):
    """Training and forecasts are finite, plans are as op by op, and data in other units has forecasts in other units."""
    made = {"MAE": losses.MAE, "MQLoss": lambda: losses.MQLoss(level=[80]), "Normal": lambda: losses.DistributionLoss("Normal"),
            "GMM": lambda: losses.GMM(2)}[loss]
    m = make("GRU", recurrent=True, variant=variant, h_train=2, loss=made(), scaler_type=scaler)
    data = batch(m.input_size, exog=False)
    data["insample_mask"][0, :3] = 0
    data["insample_y"][0, :3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "runs op by op" is a failure here
        assert all(np.isfinite(m.train_step(data)) for _ in range(2))
        outs = [m.forecast(data) for _ in range(5)]
        assert np.isfinite(m.validation_loss([data]))
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], rtol=1e-5, atol=1e-5)
    if scaler not in ("identity", "invariant"):
        other = {**data, "insample_y": (data["insample_y"] * 50 + 1000) * data["insample_mask"]}
        np.testing.assert_allclose(m.forecast(other), outs[0] * 50 + 1000, rtol=1e-3)


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("name", NAMES)
def test_recursive_mode_overfits_and_is_the_same_in_company(name, variant):
    m = make(name, recurrent=True, variant=variant, h_train=H, encoder_hidden_size=24, learning_rate=1e-2, loss="MSE",
             scaler_type="standard")
    data = batch(m.input_size, exog=False, b=6)
    start = m.train_step(data)
    for _ in range(700):
        end = m.train_step(data)
    # 18 values; the state of neuralforecast's LSTM is one number wide, which is not enough to tell six windows apart
    assert end < (0.01 if (name, variant) != ("LSTM", "compat") else 0.1) * start
    whole = m.forecast(data)
    for i in range(6):
        np.testing.assert_allclose(m.forecast({k: v[i:i + 1] for k, v in data.items()})[0], whole[i], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bidirectional_models_learn(name):
    m = make(name, encoder_bidirectional=True, encoder_hidden_size=16, decoder_hidden_size=16, learning_rate=1e-2, loss="MSE",
             scaler_type="standard")
    data = batch(exog=False)
    start = m.train_step(data)
    for _ in range(400):
        end = m.train_step(data)
    assert end < 0.01 * start


@pytest.mark.parametrize("input_size", [2, L])
@pytest.mark.parametrize("name", NAMES)
def test_compat_in_both_directions(name, input_size):
    """Not in neuralforecast: each of the last h states (or of those mapped to h) is one of each direction."""
    m, data = make(name, variant="compat", encoder_bidirectional=True, input_size=input_size), batch(input_size, exog=False)
    assert m.forward(data).shape == (B, H, 1) and m.decoder[0].in_features == 10
    assert m.train_step(data) > m.train_step(data)


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_the_window_of_a_recursive_forecast(variant):
    """inference_input_size: the last so many values (one more in compat) and no others."""
    y = np.sin(np.arange(60.0) / 3)
    m = make("GRU", recurrent=True, inference_input_size=5, variant=variant, max_steps=3, scaler_type="standard")
    m.fit_store(SeriesStore.from_arrays_list([y]), verbose=False)
    out, size = m.predict_store(SeriesStore.from_arrays_list([y])), 5 + (variant == "compat")
    assert m.input_size == L + (variant == "compat")
    changed = y.copy()
    changed[:-size] += 1
    np.testing.assert_array_equal(m.predict_store(SeriesStore.from_arrays_list([changed])), out)
    changed[-size] += 1
    assert not np.allclose(m.predict_store(SeriesStore.from_arrays_list([changed])), out)


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("name", NAMES)
def test_the_target_can_be_left_out_of_recursion(name, variant):
    m = make(name, recurrent=True, exclude_insample_y=True, h_train=2, variant=variant, **EXOG)
    data = batch(m.input_size)
    other = {**data, "insample_y": data["insample_y"] * 3 + 1}
    np.testing.assert_array_equal(m.teacher_forced(data).numpy(), m.teacher_forced(other).numpy())
    np.testing.assert_array_equal(m.forecast(data), m.forecast(other))


def test_weights_of_the_horizon_make_training_as_long():
    m = make("RNN", recurrent=True, loss=losses.MSE(horizon_weight=[1, 2, 3]))
    assert m.h_train == H
    assert np.isfinite(m.train_step(batch(exog=False)))


def test_without_masks_and_without_targets():
    data = {k: v for k, v in batch(exog=False).items() if not k.endswith("mask")}
    for h_train in (1, H + 2):
        assert np.isfinite(make("GRU", recurrent=True, h_train=h_train).train_step(data))
    with pytest.raises(ShapeError, match="outsample_y"):
        make("GRU", recurrent=True).train_step({"insample_y": data["insample_y"]})


# what is refused --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("options", "text"), [
    ({"encoder_n_layers": 0}, "encoder_n_layers must be"), ({"encoder_hidden_size": 0}, "encoder_hidden_size must be"),
    ({"encoder_hidden_size": 2.5}, "encoder_hidden_size must be"), ({"encoder_bias": 1}, "encoder_bias must be True or False"),
    ({"encoder_dropout": 1.0}, "encoder_dropout"), ({"decoder_hidden_size": 0}, "decoder_hidden_size"),
    ({"decoder_layers": 0}, "decoder_layers"), ({"decoder_activation": "ReLu6"}, "ReLU"), ({"h_train": 0}, "h_train must be"),
    ({"recurrent": True, "h_train": L + H}, f"h_train={L + H} steps"), ({"recurrent": "yes"}, "recurrent must be"),
    ({"recurrent": True, "encoder_bidirectional": True}, "recurrent=False"), ({"inference_input_size": 2.5}, "inference_input_size"),
])
def test_bad_configurations(name, options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(name, **options)
    assert error.value.code == "E0010"
    assert name in str(error.value)


def test_activation_of_the_encoder():
    with pytest.raises(ConfigError, match="Did you mean 'tanh'"):
        make("RNN", encoder_activation="tanhh")
    assert make("RNN", encoder_activation="relu").encoder.nonlinearity == "relu"
    assert make("RNN", encoder_activation="relu", variant="compat").encoder.nonlinearity == "tanh"  # as in neuralforecast
    with pytest.warns(UserWarning, match="encoder_activation has no effect"):
        make("GRU", encoder_activation="tanh")
    with pytest.warns(UserWarning, match="context_size has no effect"):
        make("LSTM", context_size=10)


# figures of neuralforecast ----------------------------------------------------------------------------------------------

def cases():
    path = Path(__file__).parents[1] / "peers" / "recurrent_cases.py"
    spec = importlib.util.spec_from_file_location("recurrent_cases", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIGURES = cases()


@pytest.mark.parametrize("case", FIGURES.CASES)
def test_compat_gives_neuralforecasts_numbers(case):
    name, options = FIGURES.CASES[case]
    with np.load(FIGURES.FILE) as arrays:
        state = {k.removeprefix(f"{case}/"): arrays[k] for k in arrays.files if k.startswith(f"{case}/")}
    wanted = state.pop("/forecast")
    m = get_model(name)(**{"h": FIGURES.H, "input_size": FIGURES.L, "variant": "compat", **options}).eval()
    m.load_state_dict(importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert(state, m))
    data, size = FIGURES.values(case), m.input_size
    found = {"insample_y": data["y"][:, :size], "futr_exog": data.get("futr"), "stat_exog": data.get("stat"),
             "hist_exog": data["hist"][:, :size] if "hist" in data else None}
    got = m.forward({k: v for k, v in found.items() if v is not None}).numpy()
    assert np.abs(got - wanted).max() <= 2e-5 * np.abs(wanted).max()


def test_ndiv_runs_recursion_on_frames():
    df = ndiv.utils.AirPassengersDF
    models = [get_model(n)(h=6, input_size=12, recurrent=True, encoder_hidden_size=8, max_steps=5) for n in NAMES]
    out = ndiv.NeuralForecast(models, freq="ME").fit(df, verbose=False).predict()
    assert list(out.columns) == ["unique_id", "ds", *NAMES] and len(out) == 6
    assert np.isfinite(out[NAMES].to_numpy()).all()


# one value at a time ----------------------------------------------------------------------------------------------------

def pieces(data, begin, steps):
    """(y, hist, futr) of each of ``steps`` steps from ``begin`` on, and futr of the horizon after them."""
    y = np.concatenate([data["insample_y"], data["outsample_y"]], axis=1)
    mask = np.concatenate([data["insample_mask"], data["outsample_mask"]], axis=1)
    y = np.where(mask > 0, y, np.nan)
    each = [(y[:, t, 0], data["hist_exog"][:, t], data["futr_exog"][:, t]) for t in range(begin, begin + steps)]
    return each, data["futr_exog"][:, begin + steps:begin + steps + H]


@pytest.mark.parametrize("loss", ["MAE", "MQLoss", "StudentT"])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_forecasts_as_the_whole_window(name, recurrent, loss):
    """From its start, with and without a first window, with gaps and a late start."""
    made = {"MAE": losses.MAE, "MQLoss": lambda: losses.MQLoss(level=[80]), "StudentT": lambda: losses.DistributionLoss("StudentT")}[loss]
    options = {"loss": made(), "recurrent": recurrent, "futr_exog_list": ["f", "g"], "hist_exog_list": ["p"]}
    m = make(name, **options)
    data = batch(L + 6)
    data["insample_mask"][1, :2] = 0
    data["insample_mask"][1, 4] = 0
    data["insample_mask"][2, :L + 1] = 0
    data["insample_y"] *= data["insample_mask"]
    del data["stat_exog"]
    window = {k: v[:, :L] if k != "futr_exog" else v[:, :L + H] for k, v in data.items() if not k.startswith("outsample")}
    fresh, started = m.stream(n_series=B), m.stream(window)
    for values in pieces(data, 0, L)[0]:
        fresh.push(*values)
    for more in range(6):
        each, ahead = pieces(data, L, more)
        if more:
            fresh.push(*each[-1])
            started.push(*each[-1])
        length = L + more
        whole = moved(make(name, input_size=length, **options), m).forecast(
            {k: v[:, :length] if k != "futr_exog" else v[:, :length + H] for k, v in data.items() if not k.startswith("outsample")})
        for stream in (fresh, started):
            for _ in range(2):  # a forecast leaves the stream as it is
                np.testing.assert_allclose(stream.forecast(ahead), whole, rtol=2e-5, atol=1e-5)
    assert fresh.pushed == L + 5 and started.pushed == 5 and m.training


@pytest.mark.parametrize("scaler", ["standard", "minmax1", "invariant", "revin"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_stream_keeps_the_scale_of_its_window(scaler, recurrent):
    """It equals a model without a scaler on values, covariates and forecasts in these units."""
    m = make("LSTM", scaler_type=scaler, recurrent=recurrent, **EXOG)
    plain = make("LSTM", input_size=L + 2, recurrent=recurrent, **EXOG)
    plain.load_state_dict({k: v for k, v in m.state_dict().items() if not k.startswith("revin")})
    data = batch(L + 2)
    window = {k: v[:, :L] if k in ("insample_y", "insample_mask", "hist_exog") else v[:, :L + H] if k == "futr_exog" else v
              for k, v in data.items() if not k.startswith("outsample")}
    units = {k: m.scaler.stats(window[k][:, :L]) for k in ("insample_y", "hist_exog", "futr_exog")}
    stream = m.stream(window)
    np.testing.assert_allclose(stream.forecast(window["futr_exog"][:, L:]), m.forecast(window), rtol=1e-5, atol=1e-5)
    each, ahead = pieces(data, L, 2)
    for values in each:
        stream.push(*values)
    other = {k: m.scaler.transform(v, *units[k]) if k in units else v for k, v in data.items() if not k.startswith("outsample")}
    wanted = m.scaler.inverse(plain.forecast(other), *units["insample_y"])
    np.testing.assert_allclose(stream.forecast(ahead), wanted, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_a_stream():
    for options, text in (({"variant": "compat"}, "compat"), ({"encoder_bidirectional": True}, "bidirectional"),
                          ({"scaler_type": "robust"}, "needs a window"), ({"stat_exog_list": ["s"]}, "static")):
        with pytest.raises(ConfigError, match=text):
            make("GRU", **options).stream()
    stream = make("GRU", hist_exog_list=["p"]).stream(n_series=2)
    with pytest.raises(ConfigError, match="no values yet"):
        stream.forecast()
    with pytest.raises(ShapeError, match="1 values for 2 series"):
        stream.push(1.0)
    with pytest.raises(FeatureError, match="hist must have shape"):
        stream.push([1.0, 2.0])


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("name", NAMES)
def test_recursion_is_certified_and_exported(name, variant, tmp_path):
    m = make(name, recurrent=True, variant=variant, h_train=2, scaler_type="standard")
    data = batch(m.input_size, exog=False)
    data["insample_mask"][0, :3] = 0
    data["insample_y"][0, :3] = 0
    certificate = verify(m, data)
    assert certificate, str(certificate)
    if ndiv.backends.current() == "native":
        m.export(tmp_path / "m.ndiv")
        y = data["insample_y"][1:2]
        np.testing.assert_allclose(ndiv.load(tmp_path / "m.ndiv")(y), m.forecast({"insample_y": y})[..., 0], rtol=1e-5, atol=1e-6)
