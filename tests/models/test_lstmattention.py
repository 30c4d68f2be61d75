"""LSTMAttention: its equations in NumPy, teacher forcing by schedule, the law of its paths, and beams against all paths there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from small import shaken

import ndiv
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.losses import GMM, MAE, DistributionLoss, MQLoss
from ndiv.models import get_model
from ndiv.models.sequence import beam
from ndiv.models.sequence.teacher import SCHEDULES, TeacherForcing

LSTMAttention = get_model("LSTMAttention")
H, L, B = 4, 9, 5
EXOG = {"futr_exog_list": ["f"], "hist_exog_list": ["p", "q"], "stat_exog_list": ["s"]}
ATTENTIONS = ["multihead", "luong", "bahdanau"]


def make(**options):
    return LSTMAttention(**{"h": H, "input_size": L, "lstm_hidden_size": 6, "lstm_n_layers": 1, "n_head": 2, **options})


def batch(b=B, seed=0, exog=False, missing=False, h=H):
    draw = np.random.default_rng(seed)
    y = (draw.normal(size=(b, L + h, 1)).cumsum(1) + 20).astype(np.float32)
    mask = (draw.uniform(size=y.shape) > (0.2 if missing else -1)).astype(np.float32)
    if missing:
        mask[0, :4], mask[1, L - 2:L] = 0, 0
    out = {"insample_y": y[:, :L] * mask[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:] * mask[:, L:],
           "outsample_mask": mask[:, L:]}
    if exog:
        out |= {"futr_exog": draw.normal(size=(b, L + h, 1)), "hist_exog": draw.normal(size=(b, L, 2)),
                "stat_exog": draw.normal(size=(b, 1))}
    return {k: v.astype(np.float32) for k, v in out.items()}


def normal():
    return DistributionLoss("Normal", level=[80])


def excited(m):
    """Weights of a size at which attention looks at few steps and what is fed back matters."""
    for p in shaken(m).parameters():
        p.data = p.data * 2
    return m


# -- the equations -------------------------------------------------------------------------------------------------

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


class ByHand:
    """One window at a time, in float64, from the top of lstmattention.py."""

    def __init__(self, m):
        self.m, self.w = m, {k: v.astype(np.float64) for k, v in m.state_dict().items()}

    def linear(self, name, x):
        return self.w[f"{name}.weight"] @ x + self.w.get(f"{name}.bias", 0.0)

    def cell(self, name, layer, x, h, c):
        z = sum(self.w[f"{name}.{kind}_{layer}"] @ v + self.w[f"{name}.bias_{kind[7:]}_{layer}"]
                for kind, v in (("weight_ih", x), ("weight_hh", h)))
        i, f, g, o = np.split(z, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def encode(self, xs):
        """(memory, [(h, c) of each layer])"""
        n, states, encoder = self.m.encoder.hidden_size, [], self.m.encoder
        for layer in range(encoder.num_layers):
            ways = []
            for suffix in ("", "_reverse")[:1 + encoder.bidirectional]:
                h = c = np.zeros(n)
                out = []
                for x in xs[::-1] if suffix else xs:
                    h, c = self.cell("encoder", f"l{layer}{suffix}", x, h, c)
                    out.append(h)
                ways.append((out[::-1] if suffix else out, h, c))
            xs = [np.concatenate(v) for v in zip(*(w[0] for w in ways), strict=True)]
            h, c = (np.concatenate([w[k] for w in ways]) for k in (1, 2))
            if encoder.bidirectional:
                h, c = np.tanh(self.linear("bridge_state", h)), self.linear("bridge_cell", c)
            states.append((h, c))
        return np.array(xs), states

    def attend(self, s, memory):
        name, n = "decoder.attention", len(s)
        if self.m.arguments["attention"] == "luong":
            return softmax(memory @ self.linear(f"{name}.score", s)) @ memory
        if self.m.arguments["attention"] == "bahdanau":
            rows = [self.linear(f"{name}.score", np.tanh(self.linear(f"{name}.state", s) + self.linear(f"{name}.memory", e)))[0]
                    for e in memory]
            return softmax(np.array(rows)) @ memory
        both, heads = np.array([self.linear(f"{name}.key_value", e) for e in memory]), self.m.arguments["n_head"]
        parts = [np.split(v, heads, axis=-1) for v in (self.linear(f"{name}.query", s), both[:, :n], both[:, n:])]
        found = [softmax(k @ q / np.sqrt(n / heads)) @ v for q, k, v in zip(*parts, strict=True)]
        return self.linear(f"{name}.out", np.concatenate(found))

    def step(self, x, states, memory):
        first = self.m.arguments["attention"] == "bahdanau"
        context = self.attend(states[-1][0], memory) if first else None
        x, new = np.concatenate([x, context]) if first else x, []
        for layer, (h, c) in enumerate(states):
            x, c = self.cell("decoder.lstm", f"l{layer}", x, h, c)
            new.append((x, c))
        context = context if first else self.attend(x, memory)
        return self.linear("decoder.head", np.tanh(self.linear("decoder.combine", np.concatenate([context, x])))), new

    def window(self, d, fed, true=None):
        """[h, outputs] of one window of a scaled batch; ``true``: the values that are read."""
        on = d["insample_mask"][:, 0] > 0
        begin, y = int(on.argmax()), d["insample_y"][:, 0] * on
        stat, futr, hist = (d.get(f"{k}_exog") for k in ("stat", "futr", "hist"))
        rest = [] if stat is None else [stat]
        memory, states = self.encode([np.concatenate([[y[t]], [] if hist is None else hist[t], *rest,
                                                      [] if futr is None else futr[t]]) for t in range(begin, L)])
        z, found = y[on][-1], []
        for k in range(self.m.h):
            out, states = self.step(np.concatenate([[z], *rest, [] if futr is None else futr[L + k]]), states, memory)
            found.append(out)
            z = fed(out) if true is None else true[k]
        return np.array(found)


def by_hand(m, data, fed, true=None):
    hand, found = ByHand(m), []
    for i in range(len(data["insample_y"])):
        one = {k: v[i].astype(np.float64) for k, v in data.items()}
        found.append(hand.window(one, fed, None if true is None else true[i, :, 0]))
    return np.array(found)


@pytest.mark.parametrize("options", [
    {}, {"lstm_n_layers": 2, "n_head": 3, **EXOG}, {"encoder_bidirectional": True, "futr_exog_list": ["f"]},
    {"h": 1, "stat_exog_list": ["s"]}], ids=str)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_equations(attention, options):
    m = excited(make(attention=attention, scaler_type="identity", **options))
    data = batch(3, exog=True, missing=True, h=m.h)
    given = {k: v / 10 if k.endswith("_y") else v for k, v in data.items() if f"{k}_list" in options or not k.endswith("exog")}
    np.testing.assert_allclose(m.forward(given).numpy(), by_hand(m, given, lambda o: o[0]), rtol=1e-5, atol=2e-6)
    true = given["outsample_y"] * given["outsample_mask"]  # of a missing value 0 is read
    np.testing.assert_allclose(m.teacher_forced(given).numpy(), by_hand(m, given, None, true), rtol=1e-5, atol=2e-6)


def test_what_is_fed_back():
    """Of quantiles the median, of a distribution the mean: in the units of the window, whatever the scaler."""
    data = batch(3)
    for loss, fed in ((MQLoss(level=[80]), lambda o: np.sort(o)[1]), (normal(), lambda o: o[0])):
        m = excited(make(loss=loss, scaler_type="standard"))
        scaled = m.scale(data)[0]
        np.testing.assert_allclose(m.forward(scaled).numpy(), by_hand(m, {k: np.asarray(scaled[k]) for k in data}, fed),
                                   rtol=1e-4, atol=2e-5)


# -- teacher forcing -----------------------------------------------------------------------------------------------

def test_schedules():
    assert [TeacherForcing("constant", 0.3).at(i) for i in (0, 9)] == [0.3, 0.3]
    assert TeacherForcing("linear", 0.9, 0.1, 0.2).at(3) == pytest.approx(0.6)
    assert TeacherForcing("exponential", 0.5, 0.9).at(10) == pytest.approx(0.5 * 0.9 ** 10)
    assert TeacherForcing("inverse_sigmoid", 1.0, 20.0).at(60) == pytest.approx(20 / (20 + np.exp(3)))
    assert TeacherForcing("inverse_sigmoid", 1.0, 20.0, 0.1).at(10 ** 9) == 0.1
    for n in (1, 10, 1000, 10 ** 5):  # what they come to where no decay is given
        assert TeacherForcing("linear", 0.8, floor=0.1, steps=n).at(n) == pytest.approx(0.1)
        assert TeacherForcing("exponential", 0.8, steps=n).at(n) == pytest.approx(0.008)
    for n in (10, 1000, 10 ** 5):
        k = TeacherForcing("inverse_sigmoid", steps=n).decay
        assert k * np.log(k) == pytest.approx(n / 2)
        assert TeacherForcing("inverse_sigmoid", steps=n).at(round(n / 2)) == pytest.approx(0.5, abs=0.01)
    for kind in SCHEDULES:
        shares = [TeacherForcing(kind, steps=50).at(i) for i in range(60)]
        assert 0 <= min(shares) <= max(shares) <= 1 and shares == sorted(shares, reverse=True)
    assert TeacherForcing("constant").always and TeacherForcing("linear", floor=1.0).always
    assert not TeacherForcing("linear").always and not TeacherForcing("constant", 0.99).always


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_mixture_reads_true_values_or_its_own(attention):
    """By the equations with the values that were read; the coins of windows and steps are fair and each its own."""
    m, data = excited(make(attention=attention, scaler_type="identity")), batch(300)
    data = {k: v / 10 if k.endswith("_y") else v for k, v in data.items()}
    share = np.full((1, 1, 1), 0.3, np.float32)
    with ndiv.random.fork(3):
        z = np.asarray(m._mixed(data["outsample_y"][:, :-1], share, m._read(data), {}))
    true = z == data["outsample_y"][:, :-1]
    assert abs(true.mean() - 0.3) < 4 * np.sqrt(0.21 / true.size)
    assert abs(np.corrcoef(true[:, 0, 0], true[:, 1, 0])[0, 1]) < 4 / np.sqrt(300)
    few = {k: v[:4] for k, v in data.items()}
    read = by_hand(m, few, None, np.concatenate([z[:4], z[:4, :1]], axis=1))  # numbers after these values
    own = read[:, :-1]
    np.testing.assert_allclose(z[:4], np.where(true[:4], data["outsample_y"][:4, :-1], own), rtol=2e-5, atol=1e-5)
    with ndiv.random.fork(3):
        np.testing.assert_allclose(m.teacher_forced(data, share).numpy()[:4], read, rtol=2e-5, atol=1e-5)
    for ratio, same in ((0.0, m.forward(data)), (1.0, m.teacher_forced(data))):
        found = m.teacher_forced(data, np.full((1, 1, 1), ratio, np.float32))
        np.testing.assert_allclose(found.numpy(), same.numpy(), rtol=1e-5, atol=1e-6)


def test_no_gradient_goes_through_what_is_fed_back():
    m, data = make(scaler_type="identity", teacher_forcing_ratio=0.5, lstm_n_layers=2, lstm_dropout=0.5).eval(), batch()
    with ndiv.random.fork(1):
        m.compute_loss(data).backward()
    found = [p.grad.numpy().copy() for p in m.parameters()]
    with ndiv.random.fork(1):
        z = m._mixed(data["outsample_y"][:, :-1], np.full((1, 1, 1), 0.5, np.float32), m._read(data), {})
    assert not getattr(z, "requires_grad", False)
    m.zero_grad()
    read = m._read(data)
    numbers = m._decode(ndiv.cat([read.last, ndiv.tensor(np.asarray(z))], dim=1), 0, read, read.state)[0]
    m.loss.objective(data["outsample_y"], numbers).backward()
    for got, p in zip(found, m.parameters(), strict=True):
        np.testing.assert_allclose(got, p.grad.numpy(), rtol=1e-5, atol=1e-7)
    assert all(layer.training for layer in m.train().modules())


@pytest.mark.parametrize("kind", SCHEDULES[1:])
def test_the_share_follows_the_updates_in_one_plan(kind):
    """Compiled and op by op, batches alone and several; a schedule is data of the plan, which is made once."""
    options = {"teacher_forcing": kind, "max_steps": 6, "optimizer": "SGD", "lstm_dropout": 0.3, "lstm_n_layers": 2}
    fast, slow = make(**options), make(**options)
    slow.__dict__["_compiled"] = lambda batch: None
    for step in range(4):
        for m in (fast, slow):
            assert m.ratio() == m.forcing.at(step)
        data = batch(seed=step)
        losses = []
        for m in (fast, slow):
            with ndiv.random.fork(7, step << 20):
                losses.append(m.train_step([data, batch(seed=9)] if step == 3 else data))
        assert losses[0] == pytest.approx(losses[1], rel=3e-6)
    for p, q in zip(fast.parameters(), slow.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, atol=3e-6)
    if ndiv.backends.current() == "native":
        assert not fast._step.reason and len(fast._step.cache) == 2  # one for single batches, one that updates after several


def test_training_with_a_schedule_repeats_itself_and_resumes(tmp_path):
    store = SeriesStore.from_arrays_list([np.sin(np.arange(60.0) / 3) + 0.1 * np.cos(np.arange(60.0))])

    def run(seed=1, max_steps=8, **options):
        m = make(teacher_forcing="linear", teacher_forcing_decay=0.125, max_steps=max_steps, val_check_steps=4, random_seed=seed,
                 windows_batch_size=16)
        return m.fit_store(store, verbose=False, **options)

    a, b, path = run(), run(), tmp_path / "checkpoint"
    assert a.train_trajectories == b.train_trajectories != run(2).train_trajectories
    assert (run(max_steps=4, checkpoint=path).ratio(), a.ratio()) == (0.5, 0.0)
    resumed = run(resume=path)
    assert resumed.train_trajectories == a.train_trajectories
    for key, value in a.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[key], value)


# -- paths ---------------------------------------------------------------------------------------------------------

def test_paths_follow_the_distribution():
    """Their first values are those of the first step's distribution; each later one is drawn after the values before it."""
    m = shaken(make(loss=normal(), decoding="sample", trajectory_samples=2000, scaler_type="standard"))
    data = {k: v for k, v in batch(2).items() if k[0] == "i"}
    paths = m.simulate(data)
    scaled, loc, scale = m.scale(data)
    out = m.forward(scaled).numpy()[:, 0]
    mean, width = out[:, 0] * scale[:, 0, 0] + loc[:, 0, 0], (np.log1p(np.exp(out[:, 1])) + 0.2) * scale[:, 0, 0]
    assert (abs(paths[:, :, 0].mean(1) - mean) < 5 * width / np.sqrt(2000)).all()
    np.testing.assert_allclose(paths[:, :, 0].std(1), width, rtol=5 / np.sqrt(4000))
    # the standardized second value is standard normal given the first, and so independent of it
    read = m.scale({**{k: np.repeat(v, 2000, 0) for k, v in data.items()}, "outsample_y": paths.reshape(-1, H, 1)})[0]
    second = m.teacher_forced(read).numpy()[:, 1].reshape(2, 2000, 2)
    z = (paths[:, :, 1] - second[..., 0] * scale[:, 0] - loc[:, 0]) / ((np.log1p(np.exp(second[..., 1])) + 0.2) * scale[:, 0])
    assert (abs(z.mean(1)) < 5 / np.sqrt(2000)).all() and (abs(z.std(1) - 1) < 5 / np.sqrt(4000)).all()
    assert abs(np.corrcoef(z[0], paths[0, :, 0])[0, 1]) < 5 / np.sqrt(2000)
    found = m.forecast(data)[:, :, [2, 1, 3]]  # -lo-80, -median, -hi-80
    np.testing.assert_allclose(found[:, 0, 2] - found[:, 0, 0], 2 * 1.2816 * width, rtol=0.1)
    np.testing.assert_array_equal(m.simulate(data, 7, seed=3), m.simulate(data, 7, seed=3))
    assert not np.array_equal(m.simulate(data, 7, seed=3), m.simulate(data, 7, seed=4))


@pytest.mark.parametrize(("decoding", "width"), [("sample", 6), ("sample", 1), ("beam", 5), ("beam", 1)])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_window_has_the_same_forecast_alone_and_in_any_batch(attention, decoding, width, monkeypatch):
    m = shaken(make(loss=normal(), attention=attention, decoding=decoding, trajectory_samples=width, beam_width=width,
                    lstm_hidden_size=32, **EXOG))
    data = batch(7, exog=True, missing=True)
    whole = m.forecast(data)
    assert whole.shape == (7, H, 4) and np.isfinite(whole).all()
    monkeypatch.setattr("ndiv.models.probabilistic.paths._ROWS", 13)  # two windows at once
    for some in (slice(3, 4), slice(2, 7)):
        part = m.forecast({k: v[some] for k, v in data.items()})
        if ndiv.backends.current() == "native":
            np.testing.assert_array_equal(part, whole[some])
        else:  # NumPy's products of another size may round otherwise
            np.testing.assert_allclose(part, whole[some], rtol=1e-5)


# -- beams ---------------------------------------------------------------------------------------------------------

def log_likelihood(m, data, paths):
    """[B, W], by teacher forcing: the other way through the network."""
    b, width, h = paths.shape
    rows = {k: np.repeat(v, width, axis=0) for k, v in data.items()} | {"outsample_y": paths.reshape(-1, h, 1)}
    scaled, loc, scale = m.scale(rows)
    numbers = m._unaffine(m.teacher_forced(scaled))
    loc, scale = (np.zeros((1, 1, 1)), np.ones((1, 1, 1))) if loc is None else (loc, scale)
    params = m.loss.scale_decouple(m.loss.domain_map(numbers), loc, scale)
    return m.loss.distribution(params).log_prob(rows["outsample_y"]).numpy().sum((1, 2)).reshape(b, width)


GIVEN = [-2.0, -0.5, 0.1, 1.0, 2.5]


@pytest.mark.parametrize("loss", [normal, lambda: GMM(n_components=2), lambda: DistributionLoss("NegativeBinomial")])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_beams_are_the_likeliest_of_all_paths(attention, loss):
    """Over two steps a beam as wide as the codebook keeps every first value, so that it finds the best of all pairs."""
    m = shaken(make(h=2, loss=loss(), attention=attention, increments=GIVEN, decoding="beam", scaler_type="standard"))
    data = {k: v for k, v in batch(2, missing=True, h=2).items() if k[0] == "i"}
    paths, scores = m.beams(data, len(GIVEN))
    np.testing.assert_allclose(scores, log_likelihood(m, data, paths), rtol=2e-4, atol=2e-4)
    y, on = data["insample_y"][..., 0], data["insample_mask"][..., 0] > 0
    for i in range(2):
        pairs = on[i, 1:] & on[i, :-1]
        sigma, last = np.sqrt(np.mean(np.diff(y[i])[pairs] ** 2)), y[i][on[i]][-1]
        whole = np.rint if m.loss.distribution(tuple(np.ones((1, 1, 2), "f4") for _ in range(2))).discrete else np.asarray
        every = {(one := float(whole(last + sigma * a)), float(whole(one + sigma * b))) for a, b in itertools.product(GIVEN, GIVEN)}
        every = np.array(sorted(every), np.float32)[None]
        one = {k: v[i:i + 1] for k, v in data.items()}
        likelihood = log_likelihood(m, one, every)[0]
        best = np.argsort(-likelihood)[:len(GIVEN)]
        np.testing.assert_allclose(scores[i], likelihood[best], rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(paths[i, 0], every[0][best[0]], rtol=1e-5)
    forecast = m.forecast(data)  # by a beam of 5
    np.testing.assert_array_equal(forecast[..., 0], paths[:, 0])
    np.testing.assert_array_equal(m.forecast(data), forecast)


@pytest.mark.parametrize("options", [{}, {"exclude_insample_y": True}, {"encoder_bidirectional": True}], ids=str)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_scores_are_log_likelihoods(attention, options):
    """Over many steps, on which beams part and end: each carries its own states and values."""
    m = excited(make(h=7, loss=normal(), attention=attention, increments=6, scaler_type="standard", lstm_n_layers=2, **EXOG,
                     **options))
    data = {k: v for k, v in batch(3, exog=True, missing=True, h=7).items() if k[0] != "o"}
    paths, scores = m.beams(data, 5)
    assert (np.diff(scores) < 0).all() and len(np.unique(paths.reshape(-1, 7), axis=0)) == 15
    np.testing.assert_allclose(scores, log_likelihood(m, data, paths), rtol=1e-4, atol=1e-4)


def test_one_beam_takes_the_likeliest_value_each_time():
    m = shaken(make(loss=normal(), increments=GIVEN, scaler_type="identity"))
    data = {k: v for k, v in batch(3).items() if k[0] == "i"}
    paths = m.beams(data, 1)[0]
    sigma, last = np.sqrt((np.diff(data["insample_y"][..., 0]) ** 2).mean(1)), data["insample_y"][:, -1, 0]
    for i in range(3):
        done, one = [], {k: v[i:i + 1] for k, v in data.items()}
        for _ in range(H):
            options = np.float32((done[-1] if done else last[i]) + sigma[i] * np.array(GIVEN))
            tries = np.array([[*done, v, *[v] * (H - len(done) - 1)] for v in options], np.float32)[None]
            scaled = m.scale({**{k: np.repeat(v, 5, 0) for k, v in one.items()}, "outsample_y": tries[0, :, :, None]})[0]
            params = m.loss.scale_decouple(m.loss.domain_map(m.teacher_forced(scaled)))
            each = m.loss.distribution(params).log_prob(tries[0][..., None]).numpy()[:, len(done), 0]
            done.append(options[each.argmax()])
        np.testing.assert_allclose(paths[i, 0], done, rtol=1e-5)


@pytest.mark.parametrize("family", ["Gamma", "Poisson", "Bernoulli", "Beta", "StudentT", "Tweedie"])
def test_beams_stay_in_the_support(family):
    loss = DistributionLoss(family, level=[80])
    m = shaken(make(loss=loss, decoding="beam", increments=8, scaler_type="identity"))
    y = np.abs(np.random.default_rng(1).normal(size=(3, L, 1))).astype(np.float32)
    y = (y > 0.5).astype(np.float32) if family == "Bernoulli" else np.clip(y, 0.05, 0.95) if family == "Beta" else np.rint(y * 3)
    paths, scores = m.beams({"insample_y": y})
    low, high, outside = loss.family.SUPPORT
    there = paths[np.isfinite(scores)]
    assert np.isnan(paths[np.isinf(scores)]).all() and len(there)
    assert (there > low).all() and (there < high).all() if outside else (there >= low).all() and (there <= high).all()
    assert (there == np.rint(there)).all() or not loss.family.discrete
    assert len(np.unique(there[:, 0])) > 1 or family == "Beta"
    assert np.isfinite(m.forecast({"insample_y": y})).all()


def test_the_codebook():
    """Quantiles of the increments of training windows in units of each window's; else normal ones, or as given."""
    fresh = make(loss=normal(), increments=4)
    np.testing.assert_allclose(fresh.codebook, [-1.1503, -0.3186, 0.3186, 1.1503], atol=1e-4)
    y = np.cumsum(np.random.default_rng(0).exponential(size=80)) * 100
    m = make(loss=normal(), increments=4, max_steps=1).fit_store(SeriesStore.from_arrays_list([y]), verbose=False)
    rises = np.diff(np.lib.stride_tricks.sliding_window_view(y, L + H), axis=1)
    wanted = np.quantile(rises / np.sqrt((rises[:, :L - 1] ** 2).mean(1, keepdims=True)), [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(m.codebook, wanted, rtol=0.1)  # windows are drawn
    assert type(m).from_config(m.config()).load_state_dict(m.state_dict()) is None
    np.testing.assert_array_equal(m.reset().codebook, fresh.codebook)
    told = make(loss=normal(), increments=GIVEN[::-1], max_steps=1)
    np.testing.assert_array_equal(told.fit_store(SeriesStore.from_arrays_list([y]), verbose=False).codebook, np.float32(GIVEN))
    data = batch(missing=True)
    data["outsample_mask"][:], data["insample_mask"][0] = 0, 0
    assert beam.spread(data["insample_y"], data["insample_mask"])[0] == 1
    assert len(beam.standardized(data)) == int((data["insample_mask"][:, 1:] * data["insample_mask"][:, :-1]).sum())
    np.testing.assert_array_equal(beam.quantiles([np.zeros(0)], 4), beam.normal_codebook(4))


def test_paths_that_there_are_not_enough_of():
    m = make(h=1, loss=DistributionLoss("Bernoulli"), increments=6, decoding="beam", scaler_type="identity")
    y = np.tile(np.float32([0, 1, 0]), 3).reshape(1, L, 1)
    paths, scores = m.beams({"insample_y": y})
    assert sorted(paths[0, :2, 0]) == [0, 1] and np.isnan(paths[0, 2:]).all() and np.isinf(scores[0, 2:]).all()


# -- special cases -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"teacher_forcing_ratio": 0.5}, {"decoding": "sample"}, {"decoding": "beam"}], ids=str)
def test_what_is_missing_does_not_matter(options):
    m, data = make(loss=normal(), scaler_type="identity", trajectory_samples=5, **options), batch(missing=True)
    data["insample_mask"][2] = 0  # a window without any value
    results = []
    for value in (0, np.nan, 1e4):
        other = {**data, **{f"{k}_y": np.where(data[f"{k}_mask"] > 0, data[f"{k}_y"], np.float32(value))
                            for k in ("insample", "outsample")}}
        with ndiv.random.fork(1):
            results.append((m.forecast(other), m.compute_loss(other).numpy(), m.validation_loss([other])))
    for found in results:
        assert all(np.isfinite(v).all() for v in found)
        for got, wanted in zip(found, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("both", [False, True])
def test_padding_moves_nothing(attention, both):
    """A window that begins three steps late is the window without them."""
    short, longer = (shaken(make(attention=attention, encoder_bidirectional=both, input_size=n)) for n in (L, L + 3))
    data = {k: v for k, v in batch().items() if k[0] == "i"}
    padded = {k: np.concatenate([np.zeros((B, 3, 1), np.float32), v], axis=1) for k, v in data.items()}
    np.testing.assert_allclose(longer.forecast(padded), short.forecast(data), rtol=1e-5)


def test_small_windows_and_horizons():
    for options in ({"h": 1, "input_size": 1}, {"h": 1, "input_size": 3, "teacher_forcing_ratio": 0.0}, {"h": 2, "input_size": 1}):
        for decoding in ("greedy", "sample", "beam"):
            m = make(loss=normal(), decoding=decoding, trajectory_samples=1, beam_width=1, **options)
            data = {"insample_y": np.ones((1, m.input_size, 1), "f4"), "outsample_y": np.ones((1, m.h, 1), "f4")}
            assert np.isfinite(m.train_step(data)) and np.isfinite(m.forecast(data)).all()


@pytest.mark.parametrize(("options", "text"), [
    ({"lstm_n_layers": 0}, "lstm_n_layers"), ({"lstm_hidden_size": 0}, "lstm_hidden_size"), ({"lstm_dropout": 1.0}, "lstm_dropout"),
    ({"lstm_hidden_size": 7}, "multiple of n_head=2"), ({"n_head": 0}, "n_head"), ({"attention": "bahdanu"}, "bahdanu"),
    ({"encoder_bidirectional": 1}, "encoder_bidirectional"), ({"teacher_forcing": "linaer"}, "linaer"),
    ({"teacher_forcing_ratio": 1.5}, "teacher_forcing_ratio"), ({"teacher_forcing_floor": -0.1}, "teacher_forcing_floor"),
    ({"teacher_forcing": "linear", "teacher_forcing_ratio": 0.4, "teacher_forcing_floor": 0.5}, r"\[0, 0.4\]"),
    ({"teacher_forcing_decay": 0.5}, "has no teacher_forcing_decay"),
    ({"teacher_forcing": "exponential", "teacher_forcing_decay": 2.0}, "teacher_forcing_decay"),
    ({"teacher_forcing": "inverse_sigmoid", "teacher_forcing_decay": 0.5}, "teacher_forcing_decay"),
    ({"decoding": "beams"}, "beams"), ({"decoding": "sample", "loss": MAE()}, "needs a distribution"),
    ({"decoding": "beam", "loss": MQLoss(level=[80])}, "needs a distribution"), ({"trajectory_samples": 0}, "trajectory_samples"),
    ({"decoding": "beam", "beam_width": 0}, "beam_width"), ({"decoding": "beam", "beam_width": 33}, "more than the 32"),
    ({"increments": 1}, "increments"), ({"increments": [1.0, 1.0]}, "increments"), ({"increments": [0.0, np.inf]}, "increments"),
    ({"increments": True}, "increments"), ({"variant": "compat"}, "no variant='compat'"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**{"loss": normal(), **options})
    assert error.value.code == "E0010"
    assert error.value.hint


def test_paths_and_beams_need_a_distribution():
    for call in (lambda m: m.simulate(batch()), lambda m: m.beams(batch())):
        with pytest.raises(ConfigError, match="is no distribution"):
            call(make())
    for width in (0, 33, 2.0, True):
        with pytest.raises(ConfigError, match="beam_width"):
            make(loss=normal()).beams(batch(), width)
