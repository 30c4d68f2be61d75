"""The Transformer's autoregressive decoding: cached as uncached, teacher forcing, what is fed back, and what each costs."""

from __future__ import annotations

import warnings
from itertools import cycle

import numpy as np
import pytest
from small import same_bits, shaken
from transformers_by_hand import EXOG, ByHand, batch

import ndiv
from ndiv import losses
from ndiv.autograd import no_grad
from ndiv.data.scalers import WINDOW_SCALERS
from ndiv.errors import ConfigError, ShapeError
from ndiv.models import get_model
from ndiv.program.forward import arrays_of
from ndiv.verify.model import verify

LOSSES = {"point": losses.MAE, "squares": losses.MSE, "quantiles": lambda: losses.MQLoss(level=[80]),
          "two quantiles": lambda: losses.MQLoss(quantiles=[0.1, 0.7]), "normal": lambda: losses.DistributionLoss("Normal"),
          "student": lambda: losses.DistributionLoss("StudentT"), "implicit": losses.IQLoss,
          "mixture": losses.GMM}


def make(loss="point", **options):
    return get_model("Transformer")(**{"h": 5, "input_size": 8, "hidden_size": 6, "n_head": 2, "conv_hidden_size": 5,
                                       "decoding": "autoregressive", "loss": LOSSES[loss](), **options})


def training(m, windows=3, seed=0):
    """A batch with gaps, covariates where the model takes them, and targets."""
    data = batch(m, windows, bool(m.futr_exog_list), seed)
    draw = np.random.default_rng(seed + 1)
    mask = (draw.random((windows, m.h, 1)) < 0.8).astype(np.float32)
    return {**data, "outsample_y": draw.normal(size=mask.shape).astype(np.float32) * mask, "outsample_mask": mask}


def configurations():
    """Each loss once, with the scalers in turn."""
    draw = np.random.default_rng(7)
    for k in range(len(LOSSES)):
        heads = int(draw.integers(1, 4))
        yield k, {
            "h": (1, 8, 9, 2, 17)[k % 5], "input_size": int(draw.integers(2, 20)), "n_head": heads,
            "hidden_size": heads * int(draw.integers(1, 5)) + int(draw.integers(0, heads)),
            "conv_hidden_size": int(draw.integers(1, 9)), "encoder_layers": int(draw.integers(1, 3)),
            "decoder_layers": 1 + k % 3, "decoder_input_size_multiplier": float(draw.uniform(0.05, 1.0)),
            "activation": ("gelu", "relu")[k % 2], "scaler_type": list(WINDOW_SCALERS)[k % len(WINDOW_SCALERS)],
            "loss": list(LOSSES)[k], "exclude_insample_y": k % 7 == 1, **(EXOG if k % 3 else {})}


def off(got, wanted):
    """The largest difference, over the largest element."""
    return np.abs(np.asarray(got, np.float64) - wanted).max() / np.abs(wanted).max()


def near(got, wanted, bound):
    assert np.shape(got) == np.shape(wanted)
    assert off(got, wanted) <= bound, f"{off(got, wanted):.1e}"


@pytest.mark.parametrize(("case", "options"), list(configurations()), ids=str)
def test_cached_decoding_is_uncached_decoding(case, options):
    """To 1e-6, as one function of ops and as the plans of a forecast; in float64 to its rounding.

    Where a recursion makes errors grow from step to step, as random weights may, float32 itself is further off than 1e-6: then
    the two are no further apart than twice what the uncached one is from float64.
    """
    m = shaken(make(**options))
    windows = 1 + case % 3
    data = batch(m, windows, "stat_exog_list" in options, case)
    found = {}
    with no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")  # "runs op by op" is a failure here
        for dtype in (np.float32, np.float64):
            m.astype(dtype)
            mine = {k: v.astype(dtype) for k, v in data.items()}
            scaled = m.scale(mine)[0]
            found[dtype] = [arrays_of(m._unaffine(m.decode(scaled, cached).numpy())) for cached in (False, True)]
            found[dtype].append(m._numbers(mine)[0])
            assert all(x.shape == (windows, m.h, m.n_out) and x.dtype == dtype for x in found[dtype])
    exact, *wide = found[np.float64]
    reference, *narrow = found[np.float32]
    for got in narrow:
        near(got, reference, max(1e-6, 2 * off(reference, exact)))
    for got in wide:
        near(got, exact, 1e-11)


def test_96_steps():
    """The horizon of the speed that asv_bench/compare/decoding.py prints, through rounding that each step hands to the next."""
    m = make(h=96, input_size=24, hidden_size=16).eval()
    data = batch(m, 2)
    with no_grad():
        reference = m.decode(data, cached=False).numpy()
    near(m.forecast(data), reference, 1e-6)


def test_no_token_is_computed_twice():
    """Each token enters a decoder layer once and the encoder's output once; uncached, all that came before enter again."""
    m = make(h=6, decoder_layers=2).eval()
    data, counts = batch(m), {}
    for name in ("attention.query_key_value", "cross.key_value", "feed_forward.wide"):
        for layer in m.decoder:
            part = layer
            for step in name.split("."):
                part = getattr(part, step)
            part.register_forward_hook(lambda _, args, out, name=name: counts.update({name: counts[name] + args[0].shape[1]}))
    found = []
    for cached in (True, False):
        counts.update(dict.fromkeys(("attention.query_key_value", "cross.key_value", "feed_forward.wide"), 0))
        m.decode(data, cached)
        found.append(dict(counts))
    tokens, seen = m.label + m.h, m.input_size
    # of the last layer only keys and values of the window's end are needed
    assert found[0] == {"attention.query_key_value": 2 * tokens, "cross.key_value": 2 * seen, "feed_forward.wide": 2 * tokens - m.label}
    again = sum(range(m.label + 1, tokens + 1))
    assert found[1] == {"attention.query_key_value": 2 * again, "cross.key_value": 2 * 6 * seen, "feed_forward.wide": again + 6}


def test_a_forecast_makes_two_plans():
    """One for the window and one for some steps, which runs again and again, for any forecast of that many windows."""
    m = make(h=17)
    for seed in range(3):
        m.forecast(batch(m, 2, seed=seed))
    if ndiv.backends.current() == "native":
        assert {name: len(c.plans) for (name, _), c in m._plans.functions.items()} == {"_begun": 1, "_next": 1}
    assert m._plans.reasons == {}


class ForcedByHand(ByHand):
    def start(self, y, data):
        true = (data["outsample_y"] * data["outsample_mask"])[:, 0]
        return np.concatenate([[0.0], y, true[:-1]])[-(self.m.label + self.m.h):]


@pytest.mark.parametrize("options", [{}, {"decoder_input_size_multiplier": 1.0, "decoder_layers": 2, **EXOG}, {"h": 1},
                                     {"loss": "quantiles", "decoder_input_size_multiplier": 0.1}], ids=str)
def test_the_equations_of_teacher_forcing(options):
    """The decoder's values are one step late: the window's end, then the targets, of which the last enters nowhere."""
    m = shaken(make(**options))
    data = training(m)
    data["insample_y"] *= data["insample_mask"]
    np.testing.assert_allclose(m.teacher_forced(data).numpy(), ForcedByHand(m, wrap=False)(data), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("loss", "scaler"), list(zip(LOSSES, cycle(["identity", "robust", "revin"]), strict=False)))
def test_what_is_fed_back(loss, scaler):
    """Point, median (of other quantiles the mean) or mean: with them as targets, teacher forcing gives the forecast's numbers."""
    m = shaken(make(loss, scaler_type=scaler))
    data = {k: v for k, v in training(m).items() if not k.startswith("outsample")}
    columns = m.forecast(data)
    if m.loss.is_distribution_output:
        value = columns[..., :1]  # the mean stands before the quantiles
    elif loss == "two quantiles":
        value = columns.mean(-1, keepdims=True)
    else:
        value = columns[..., m.output_names.index("-median") if "-median" in m.output_names else 0][..., None]
    with no_grad():
        scaled = m.scale({**data, "outsample_y": value})[0]
        forced = m._unaffine(m.teacher_forced(scaled))
    near(arrays_of(forced), m._numbers(data)[0], 2e-5)  # to the units of the data and back


def test_a_step_sees_only_the_targets_before_it():
    m = shaken(make(decoder_layers=2, **EXOG))
    data = training(m)
    data["outsample_mask"][:] = 1
    before = m.teacher_forced(data).numpy()
    for k in range(m.h):
        later = {**data, "outsample_y": data["outsample_y"].copy(), "futr_exog": data["futr_exog"].copy()}
        later["outsample_y"][:, k] += 1
        changed = (m.teacher_forced(later).numpy() != before).any(axis=(0, 2)).tolist()
        assert changed == [step > k for step in range(m.h)]
        later["outsample_y"][:, k] -= 1
        later["futr_exog"][:, m.input_size + k] += 1
        changed = (m.teacher_forced(later).numpy() != before).any(axis=(0, 2)).tolist()
        assert changed == [step >= k for step in range(m.h)]


@pytest.mark.parametrize(("loss", "scaler"), [("point", "revin"), ("quantiles", "standard"), ("student", "identity")])
def test_training(loss, scaler):
    """One compiled step that learns, a tape that is certified, validation and weights that come back from a file's arguments."""
    m = make(loss, scaler_type=scaler, learning_rate=0.01, dropout=0.0)
    data = training(m, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "trains op by op" is a failure here
        found = [m.train_step(data) for _ in range(80)]
    assert np.mean(found[-5:]) < 0.8 * np.mean(found[:3])
    assert np.isfinite(m.validation_loss([data]))
    certificate = verify(m, data)
    assert certificate, str(certificate)
    again = type(m).from_config(m.config())
    again.load_state_dict(m.state_dict())
    assert again.decoding == "autoregressive"
    np.testing.assert_array_equal(again.forecast(data), m.forecast(data))
    with pytest.raises(ShapeError, match="no outsample_y"):
        m.compute_loss({k: v for k, v in data.items() if not k.startswith("outsample")})


def test_one_batch_is_learnt_by_heart():
    m = make(learning_rate=0.005, dropout=0.0, hidden_size=16, conv_hidden_size=16, loss="squares")
    data = training(m, 4)
    found = [m.train_step(data) for _ in range(400)]
    assert min(found) < 0.01 * found[0]


@pytest.mark.parametrize("scaler", ["identity", "robust", "revin"])
def test_missing_values_do_not_matter(scaler):
    m = shaken(make(scaler_type=scaler))
    data = training(m)

    def results(value):
        other = dict(data)
        for key in ("insample", "outsample"):
            other[f"{key}_y"] = np.where(data[f"{key}_mask"] != 0, data[f"{key}_y"], np.float32(value))
        return m.forecast(other), m.compute_loss(other).numpy(), m.validation_loss([other])

    plain = results(0.0)
    assert all(np.isfinite(v).all() for v in plain)
    for value in (1e3, np.nan):
        for found, wanted in zip(results(value), plain, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_windows_alone_and_in_company(monkeypatch):
    """Windows that are decoded side by side do not mix: the same bits in any batch, alone to rounding; also in parts."""
    m = shaken(make(h=9, **EXOG))
    data = batch(m, 11, exog=True)
    whole = m.forecast(data)
    same_bits(m.forecast({k: v[:5] for k, v in data.items()}), whole[:5])
    near(m.forecast({k: v[3:4] for k, v in data.items()}), whole[3:4], 2e-6)
    monkeypatch.setattr("ndiv.models.transformers.autoregressive._KEPT", 1)  # two windows at once
    same_bits(m.forecast(data), whole)


def test_without_the_native_backend(monkeypatch):
    m = shaken(make(h=9, **EXOG))
    data = batch(m, 3, exog=True)
    planned = m.forecast(data)
    monkeypatch.setattr(ndiv.backends, "current", lambda: "numpy")
    near(m.forecast(data), planned, 1e-6)


def test_export(tmp_path):
    m = shaken(make(h=4, scaler_type="standard"))
    m.export(tmp_path / "m.ndiv")
    y = np.random.default_rng(0).normal(10, 3, size=(1, 8, 1)).astype(np.float32)
    near(ndiv.load(tmp_path / "m.ndiv")(y[0, :, 0]), m.forecast({"insample_y": y})[0, :, 0], 1e-6)


def test_it_learns_a_series_that_feeds_on_itself():
    """Of a walk on a circle the next value follows from the two before it; a forecast fed with its own values stays on it."""
    t = np.arange(400)
    y = np.sin(2 * np.pi * t / 12).astype(np.float32)
    starts = np.random.default_rng(0).integers(0, 360, 64)
    windows = np.stack([y[s:s + 24] for s in starts])[..., None]
    m = make(h=12, input_size=12, hidden_size=16, conv_hidden_size=16, learning_rate=0.005, dropout=0.0, loss="point")
    data = {"insample_y": windows[:, :12], "outsample_y": windows[:, 12:]}
    for _ in range(300):
        m.train_step(data)
    held = np.stack([y[s:s + 24] for s in range(12)])[..., None]
    error = np.abs(m.forecast({"insample_y": held[:, :12]}) - held[:, 12:]).mean()
    assert error < 0.15  # 0.64 is the mean of what is forecast by 0


@pytest.mark.parametrize(("options", "text", "value"), [
    ({"decoding": "autoregresive"}, "unknown decoding 'autoregresive'", "autoregresive"), ({"decoding": None}, "unknown decoding", None),
    ({"variant": "compat"}, "variant='compat' decodes in one shot", "autoregressive")])
def test_bad_configurations(options, text, value):
    with pytest.raises(ConfigError, match=f"Transformer: {text}") as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint and error.value.value == value
    assert make(decoding="one_shot", variant="compat").decoding == "one_shot"


def test_the_default_is_one_shot():
    a, b = (shaken(get_model("Transformer")(h=3, input_size=6, hidden_size=6, n_head=2, **o)) for o in ({}, {"decoding": "one_shot"}))
    data = batch(a)
    np.testing.assert_array_equal(a.forecast(data), b.forecast(data))
    c = shaken(get_model("Transformer")(h=3, input_size=6, hidden_size=6, n_head=2, decoding="autoregressive"))
    assert [n for n, _ in c.named_parameters()] == [n for n, _ in a.named_parameters()]
    assert not np.allclose(c.forecast(data), a.forecast(data))
