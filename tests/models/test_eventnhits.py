"""EventNHITS: NHITS where there are no events, and with events an attention that is checked by hand, by differences, as a plan."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from small import same_steps, shaken, small

import ndiv
from ndiv import NeuralForecast
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, FeatureError, ShapeError
from ndiv.models import get_model
from ndiv.models.base import BaseModel
from ndiv.program.forward import arrays_of
from ndiv.verify.model import verify

H, L, E = 3, 10, 5
LISTS = {"event_list": ["kind", "text", "size"], "event_cat_list": ["kind"], "event_sizes": {"text": 2}}


def make(name="EventNHITS", **options):
    own = LISTS if name == "EventNHITS" else {}
    sizes = {k: v for k, v in small("EventNHITS").items() if name == "EventNHITS" or not k.startswith(("event", "max"))}
    return get_model(name)(**{"h": H, "input_size": L, **sizes, **own, **options})


def known(m, words=("fair", "sale", "talk")):
    """The model as it is after a fit that met these categories."""
    m._categorize({"kind": list(words)})
    return m


def batch(b=8, seed=0, events=E):
    """Windows with up to ``events`` events; the first has none, the second all."""
    draw = np.random.default_rng(seed)
    y, mask = draw.normal(size=(b, L + H, 1)), (draw.random((b, L + H, 1)) < 0.9).astype(np.float32)
    out = {"insample_y": (y * mask)[:, :L], "insample_mask": mask[:, :L], "outsample_y": (y * mask)[:, L:], "outsample_mask": mask[:, L:]}
    on = np.arange(events) < draw.integers(0, events + 1, (b, 1))
    on[0], on[1:2] = False, True
    values = np.concatenate([draw.normal(size=(b, events, 3)), draw.integers(0, 4, (b, events, 1))], axis=2)
    out |= {"event_values": values * on[..., None], "event_times": draw.uniform(1 - L, H, (b, events)) * on, "event_mask": on}
    return {k: np.asarray(v, np.float32) for k, v in out.items()}


def without(data):
    return {k: v for k, v in data.items() if not k.startswith("event")}


# -- NHITS where nothing happens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["MAE", "MQLoss", "Normal"])
@pytest.mark.parametrize("scaler", ["identity", "standard", "revin"])
def test_without_events_it_is_nhits(loss, scaler):
    """With the same weights, to the bit: no events in the batch, none in its windows, or none in the model."""
    options = {"loss": {"Normal": lambda: ndiv.losses.DistributionLoss("Normal"), "MQLoss": lambda: ndiv.losses.MQLoss(level=[80])}.get(
        loss, ndiv.losses.MAE)(), "scaler_type": scaler}
    m, nhits = shaken(known(make(**options))), make("NHITS", **options)
    assert np.abs(m.fusion.out.weight.numpy()).max() > 0.1  # what it would do with events is not nothing
    weights = m.state_dict()
    nhits.load_state_dict({name: weights[name] for name in nhits.state_dict()})
    data = batch()
    none = {k: v * 0 if k.startswith("event") else v for k, v in data.items()}
    plain = shaken(make(**options, event_list=None, event_cat_list=None, event_sizes=None))
    plain.load_state_dict(nhits.state_dict())
    wanted = nhits.forecast(without(data))
    for found in (m.forecast(without(data)), m.forecast(none), plain.forecast(data)):
        np.testing.assert_array_equal(found, wanted)
    with_events = m.forecast(data)
    np.testing.assert_array_equal(with_events[0], wanted[0])  # a window without events among others
    assert np.abs(with_events[1:2] - wanted[1:2]).max() > 1e-3
    with ndiv.no_grad():
        np.testing.assert_array_equal(arrays_of(m.forward(m.scale(none)[0])), arrays_of(nhits.forward(nhits.scale(without(data))[0])))


def test_training_starts_from_nhits_and_stays_it_where_nothing_happens():
    options = {"max_steps": 12, "learning_rate": 1e-2, "dropout_prob_theta": 0.1}
    m, nhits = make(**options), make("NHITS", **options)
    theirs = nhits.state_dict()
    assert all(np.array_equal(m.state_dict()[name], theirs[name]) for name in theirs)
    data = batch()
    np.testing.assert_array_equal(m.forecast(data), nhits.forecast(without(data)))  # out.weight is 0
    y = np.sin(np.arange(80.0) / 3)
    df = pd.DataFrame({"unique_id": "a", "ds": np.arange(80), "y": y})
    nothing = pd.DataFrame({"unique_id": [], "ds": [], "kind": [], "text": [], "size": []})
    found = NeuralForecast([m, nhits], freq=1).fit(df, events_df=nothing, verbose=False).predict()
    np.testing.assert_array_equal(found["EventNHITS"], found["NHITS"])


# -- the equations -------------------------------------------------------------------------------------------------


def by_hand(m, data):
    """The addition to NHITS's forecast, in float64, window by window; encoder layers as in Xiong et al. 2020."""
    f = m.fusion
    w = {name: p.numpy().astype(np.float64) for name, p in f.named_parameters()}
    table = m.event_tables.tables[0].weight.numpy().astype(np.float64)
    y = arrays_of(m.forward(without(data))).astype(np.float64)
    d, heads = f.hidden, f.heads

    def clock(t):
        angle = np.asarray(t)[:, None] * f.pace
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

    def norm(x, k):
        z = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return z * w[f"layers.0.norm{k}.weight"] + w[f"layers.0.norm{k}.bias"]

    def attention(q, k, v):
        out = []
        for i in range(heads):
            part = slice(i * d // heads, (i + 1) * d // heads)
            s = np.exp(q[:, part] @ k[:, part].T / np.sqrt(d / heads))
            out.append(s / s.sum(1, keepdims=True) @ v[:, part])
        return np.concatenate(out, axis=1)

    total = y.copy()
    for b in range(len(y)):
        on = data["event_mask"][b] > 0
        if not on.any():
            continue
        x = data["event_values"][b, on].astype(np.float64)
        x = np.concatenate([x[:, :3], table[x[:, 3].astype(int)]], axis=1)
        e = np.concatenate([x, clock(data["event_times"][b, on])], axis=1) @ w["token.weight"].T + w["token.bias"]
        n = norm(e, 1) @ w["layers.0.self_attn.in_proj_weight"].T + w["layers.0.self_attn.in_proj_bias"]
        e = e + attention(*np.split(n, 3, axis=1)) @ w["layers.0.self_attn.out_proj.weight"].T + w["layers.0.self_attn.out_proj.bias"]
        z = norm(e, 2) @ w["layers.0.linear1.weight"].T + w["layers.0.linear1.bias"]
        from math import erf

        z = z * 0.5 * (1 + np.vectorize(erf)(z / np.sqrt(2)))
        e = e + z @ w["layers.0.linear2.weight"].T + w["layers.0.linear2.bias"]
        q = np.concatenate([y[b], clock(np.arange(1, H + 1))], axis=1) @ w["query.weight"].T + w["query.bias"]
        k, v = np.split(e @ w["key_value.weight"].T, 2, axis=1)
        c = attention(q, np.vstack([w["no_event"], k]), np.vstack([np.zeros(d), v]))
        total[b] += (c @ w["context.weight"].T * (q @ w["gate.weight"].T + w["gate.bias"])) @ w["out.weight"].T
    return total


def test_the_forecast_is_that_of_the_equations():
    m, data = shaken(known(make())), batch()
    np.testing.assert_allclose(arrays_of(m.forward(data)), by_hand(m, data), rtol=2e-5, atol=2e-5)


def test_order_and_room_do_not_matter():
    """Events in another order, and more empty places, are the same events."""
    m, data = shaken(known(make())), batch()
    order = np.random.default_rng(1).permutation(E)
    mixed = {k: v[:, order] if k.startswith("event") else v for k, v in data.items()}
    wide = {k: np.pad(v, [(0, 0), (0, 7), (0, 0)][:v.ndim]) if k.startswith("event") else v for k, v in data.items()}
    wanted = arrays_of(m.forward(data))
    for other in (mixed, wide):
        np.testing.assert_allclose(arrays_of(m.forward(other)), wanted, rtol=1e-5, atol=1e-5)
    junk = {**data, "event_values": np.where(data["event_mask"][..., None] > 0, data["event_values"], 3.0).astype(np.float32),
            "event_times": np.where(data["event_mask"] > 0, data["event_times"], 9.0).astype(np.float32)}
    np.testing.assert_array_equal(arrays_of(m.forward(junk)), wanted)


# -- the engine ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"loss": "MSE", "event_encoder_layers": 2}, {"scaler_type": "revin"}], ids=str)
def test_gradients_are_certified(options):
    m = known(make(**options))
    m.load_state_dict(shaken(known(make(**options))).state_dict())
    certificate = verify(m, batch())
    assert certificate, str(certificate)
    assert certificate.unreached == []


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_compiled_steps_are_those_op_by_op(dropout):
    fast, slow = (known(make(event_dropout=dropout, optimizer="SGD", scaler_type="standard")) for _ in range(2))
    for m in (fast, slow):
        m.load_state_dict(shaken(known(make())).state_dict())
    same_steps(fast, slow, [batch(seed=step) for step in range(3)])


def test_a_window_has_the_same_bits_alone_and_in_company():
    m, data = shaken(known(make(scaler_type="standard"))), batch(9)
    whole = m.forecast(data)
    for i in range(9):
        alone = m.forecast({k: v[i:i + 1] for k, v in data.items()})
        if ndiv.backends.current() == "native":
            np.testing.assert_array_equal(alone[0], whole[i])
        np.testing.assert_allclose(alone[0], whole[i], rtol=2e-5, atol=1e-5)


def test_one_batch_is_learned():
    """Where the future follows from events alone: the windows are all the same."""
    data = batch(16, events=1)
    data["insample_y"][:], data["insample_mask"][:], data["outsample_mask"][:] = 1.0, 1.0, 1.0
    data["event_mask"][1:], data["event_times"][1:] = 1.0, np.linspace(-4, 0, 15)[:, None]
    lag = np.arange(1, H + 1) - data["event_times"]
    data["outsample_y"] = (np.exp(-lag / 3) * data["event_mask"] * np.where(np.arange(16) % 2, 1, -1)[:, None])[..., None].astype(np.float32)
    data["event_values"][:] = 0.0
    data["event_values"][..., 3] = np.arange(16)[:, None] % 2 + 1
    m, nhits = known(make(loss="MSE", learning_rate=1e-2)), make("NHITS", loss="MSE", learning_rate=1e-2)
    start = m.train_step(data)
    for _ in range(600):
        end, blind = m.train_step(data), nhits.train_step(without(data))
    assert end < 0.02 * start
    assert blind > 0.5 * start


# -- from frames ---------------------------------------------------------------------------------------------------


def frames(rows=160, seed=0):
    """Two series; an event lifts the second to fourth row after it by twice its size, a "fault" sinks them."""
    draw = np.random.default_rng(seed)
    df, events = [], []
    for key in ("a", "b"):
        at = np.sort(draw.choice(np.arange(2, rows), rows // 8, replace=False)) - 0.5
        size, kind = draw.uniform(0.5, 1.5, len(at)), draw.choice(["fault", "sale"], len(at))
        lag = np.arange(rows)[:, None] - at
        y = ((lag > 1) & (lag < 4)) @ (size * np.where(kind == "sale", 2, -2)) + 0.05 * draw.normal(size=rows)
        begin = pd.Timestamp("2024-01-01")
        df.append(pd.DataFrame({"unique_id": key, "ds": begin + pd.to_timedelta(np.arange(rows), unit="D"), "y": y}))
        events.append(pd.DataFrame({"unique_id": key, "ds": begin + pd.to_timedelta(at * 24, unit="h"), "size": size, "kind": kind,
                                    "text": [[s, -s] for s in size]}))
    return pd.concat(df, ignore_index=True), pd.concat(events, ignore_index=True)


def test_saved_and_loaded_it_forecasts_the_same(tmp_path):
    df, events = frames()
    nf = NeuralForecast([make(max_steps=5, cat_exog_list=["k"], stat_exog_list=["k"])], freq="D")
    static = pd.DataFrame({"unique_id": ["a", "b"], "k": ["x", "y"]})
    nf.fit(df, static, events_df=events, verbose=False)
    assert nf.models[0].categories == {"k": ["x", "y"], "kind": ["fault", "sale"]}
    wanted = nf.predict()
    nf.save(tmp_path / "saved")
    again = NeuralForecast.load(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.predict(), wanted)
    pd.testing.assert_frame_equal(again.predict(df, static, events_df=events.sample(frac=1.0, random_state=1)), wanted)
    assert BaseModel.from_config(json.loads(json.dumps(nf.models[0].config()))).config() == nf.models[0].config()


@pytest.mark.parametrize("ahead", [False, True])
def test_events_after_the_cutoff_count_only_when_they_are_announced(ahead):
    df, events = frames()
    nf = NeuralForecast([make(max_steps=5, learning_rate=1e-2, events_known_ahead=ahead)], freq="D")
    nf.fit(df, events_df=events, verbose=False)
    cutoff = df["ds"].max()
    late = pd.DataFrame({"unique_id": ["a"], "ds": [cutoff + pd.Timedelta("30h")], "size": [9.0], "kind": ["sale"], "text": [[9.0, 9.0]]})
    same = nf.predict(events_df=pd.concat([events, late])).equals(nf.predict())
    assert same is not ahead


def test_a_backtest_does_not_see_what_comes_after_its_cutoffs():
    """Events after the first cutoff, all taken away, leave the first window's forecasts as they are; those before do not."""
    df, events = frames()
    cutoff = np.sort(df["ds"].unique())[-7]

    def forecasts(some):
        nf = NeuralForecast([make(max_steps=8, learning_rate=1e-2)], freq="D")
        found = nf.cross_validation(df, n_windows=2, step_size=3, events_df=some, verbose=False)
        return found[found["cutoff"] == cutoff]["EventNHITS"].to_numpy()

    whole = forecasts(events)
    assert len(whole) == 2 * H
    np.testing.assert_array_equal(whole, forecasts(events[events["ds"] <= cutoff]))
    assert not np.array_equal(whole, forecasts(events[events["ds"] <= cutoff - pd.Timedelta("9D")]))


def test_it_learns_what_events_do():
    """What an event does begins a day after it: one row ahead it is known, and the series itself does not tell."""
    df, events = frames(400)
    options = {"max_steps": 300, "learning_rate": 5e-3, "windows_batch_size": 128}
    nf = NeuralForecast([make(**options), make("NHITS", **options)], freq="D")
    found = nf.cross_validation(df, n_windows=60, step_size=1, events_df=events, verbose=False)
    first = found[(found["ds"] - found["cutoff"]).dt.days == 1]
    errors = {name: (first[name] - first["y"]).abs().mean() for name in ("EventNHITS", "NHITS")}
    assert errors["EventNHITS"] < 0.75 * errors["NHITS"], errors


def test_parts_add_up():
    m, data = shaken(known(make(scaler_type="standard"))), batch()
    parts = m.decompose(data)
    assert list(parts) == ["level", "identity 1", "identity 2", "identity 3", "events"]
    np.testing.assert_allclose(sum(parts.values()), m.forecast(data), rtol=1e-4, atol=1e-5)
    assert not parts["events"][0].any()
    assert np.abs(parts["events"][1:2]).max() > 1e-3
    assert list(m.decompose(without(data))) == ["level", "identity 1", "identity 2", "identity 3"]


def test_categories_are_those_of_the_training_rows():
    df, events = frames()
    late = events["ds"] > df["ds"].max() - pd.Timedelta("20D")
    events.loc[late, "kind"] = "opening"
    m = make(max_steps=2)
    nf = NeuralForecast([m], freq="D").fit(df, val_size=22, events_df=events, verbose=False)
    assert m.categories == {"kind": ["fault", "sale"]}
    with pytest.warns(UserWarning, match="of 'kind' were not in the training data.*'opening'"):
        assert np.isfinite(nf.predict()["EventNHITS"]).all()  # the row of unseen values stands for it
    renamed = events.assign(kind=events["kind"].map({"fault": "a fault", "sale": "sale", "opening": "opening"}))
    assert not np.array_equal(m.predict_store(nf.dataset), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        swapped = nf.predict(events_df=renamed.assign(kind=renamed["kind"].replace("a fault", "fault")))
        pd.testing.assert_frame_equal(swapped, nf.predict())  # another vocabulary in the frame, the same categories


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, text", [
    ({"event_list": "size"}, "list of column names"), ({"event_list": ["size", "size"]}, "named twice"),
    ({"event_cat_list": ["kid"]}, "'kid' of event_cat_list is not in event_list"), ({"event_sizes": {"txt": 2}}, "'txt' of event_sizes"),
    ({"event_sizes": {"text": 0}}, "must be a positive whole number"), ({"event_sizes": [2]}, "must be a dict"),
    ({"event_sizes": {"kind": 2}}, "categories or vectors"), ({"events_known_ahead": 1}, "True or False"),
    ({"max_events": 0}, "max_events must be"), ({"event_hidden_size": 7}, "even and a multiple"), ({"event_n_head": 3}, "multiple of"),
    ({"event_hidden_size": 0}, "event_hidden_size"), ({"event_n_head": 0}, "event_n_head"), ({"event_dropout": 1.0}, r"\[0, 1\)"),
    ({"event_encoder_layers": -1}, "event_encoder_layers"), ({"variant": "compat"}, "no variant='compat'"),
    ({"pooling_mode": "Max"}, "EventNHITS: unknown pooling_mode"),
])
def test_bad_arguments(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"
    assert error.value.hint


def test_events_that_do_not_fit(tmp_path):
    df, events = frames()
    m = make(max_steps=1)
    with pytest.raises(FeatureError, match="there are none given") as error:
        m.fit(df, freq="D", verbose=False)
    assert "events_df" in error.value.hint
    with pytest.raises(FeatureError, match="no event_list column 'size'"):
        m.fit(df, freq="D", events_df=events.drop(columns="size"), verbose=False)
    nf = NeuralForecast([m], freq="D").fit(df, events_df=events, verbose=False)
    with pytest.raises(FeatureError, match="there are none given"):
        nf.predict(df)
    with pytest.raises(ShapeError, match="event_values, event_times and event_mask"):
        m.forecast({**batch(), "event_times": batch()["event_times"][:, :2]})
    with pytest.raises(ConfigError, match="takes no events"):
        m.export(tmp_path / "m.ndiv")
    other = make(max_steps=1, event_list=["text"], event_cat_list=["text"], event_sizes=None)
    with pytest.raises(ConfigError, match="disagree on what the column 'text'"):
        NeuralForecast([m, other], freq="D").fit(df, events_df=events, verbose=False)
    with pytest.warns(UserWarning, match="no model reads events_df"):
        make("NHITS", max_steps=1).fit(df, freq="D", events_df=events, verbose=False)
    with pytest.raises(FeatureError, match="there are none given"):
        m.fit_store(SeriesStore.from_arrays_list([np.arange(40.0)]), verbose=False)
