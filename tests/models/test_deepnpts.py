"""DeepNPTS and the ranked probability score: the equations in NumPy, draws, missing values, learning, what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from small import shaken

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError, ShapeError
from ndiv.losses import RPS
from ndiv.models import get_model

H, L, B = 3, 8, 5
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s", "t", "u"]}


def make(**options):
    return get_model("DeepNPTS")(**{"h": H, "input_size": L, "hidden_size": 6, "dropout": 0.0, **options})


def batch(seed=0, exog=False, missing=False):
    draw = np.random.default_rng(seed)
    y = draw.normal(2, 1, (B, L + H, 1))
    mask = np.ones((B, L + H, 1))
    if missing:
        mask[:, 2:4] = 0
    out = {"insample_y": y[:, :L] * mask[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}
    if exog:
        out |= {"futr_exog": draw.normal(size=(B, L + H, 2)), "hist_exog": draw.normal(size=(B, L, 1)),
                "stat_exog": draw.normal(size=(B, 3))}
    return {k: v.astype(np.float32) for k, v in out.items()}


def probabilities(m, data, i):
    """[L, h] of series i by the equations, in float64, for a model in eval mode whose running statistics are 0 and 1."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    steps = [data["insample_y"][i]] + ([data["futr_exog"][i, :L], data["hist_exog"][i]] if "futr_exog" in data else [])
    x = np.concatenate(steps, axis=1).astype(np.float64).ravel()
    if "futr_exog" in data:
        x = np.concatenate([x, data["stat_exog"][i], data["futr_exog"][i, L:].ravel()])
    for k in range(len(m.layers)):
        x = np.maximum(w[f"layers.{k}.linear.weight"] @ x + w[f"layers.{k}.linear.bias"], 0)
        if m.layers[k].norm is not None:
            x = x / np.sqrt(1 + 1e-5) * w[f"layers.{k}.norm.weight"] + w[f"layers.{k}.norm.bias"]
    z = np.exp((w["out.weight"] @ x + w["out.bias"]).reshape(L, H))
    if m.variant == "paper" and "insample_mask" in data:
        z = z * data["insample_mask"][i]
    return z / z.sum(axis=0)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("exog", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_the_equations(variant, batch_norm, exog, missing):
    options = {"variant": variant, "batch_norm": batch_norm, "n_layers": 3, "scaler_type": "identity", **(EXOG if exog else {})}
    data = batch(exog=exog, missing=missing)
    m = shaken(make(loss="MAE", **options))
    q = [probabilities(m, data, i) for i in range(B)]
    wanted = np.stack([(q[i] * data["insample_y"][i]).sum(axis=0) for i in range(B)])[..., None]
    np.testing.assert_allclose(m.forward(data).numpy(), wanted, rtol=1e-4, atol=1e-5)
    if variant == "paper":
        levels = (0.05, 0.3, 0.5, 0.9)
        ranked = make(loss=RPS(quantiles=levels), **options)
        ranked.load_state_dict(m.state_dict())
        found = ranked.forecast(data)
        np.testing.assert_allclose(found[..., :1], wanted, rtol=1e-4, atol=1e-5)
        for i in range(B):
            z = data["insample_y"][i, :, 0]
            order = np.argsort(z)
            for k in range(H):
                reached = np.cumsum(q[i][order, k])
                for j, level in enumerate(levels):
                    assert abs(reached - level).min() > 1e-5
                    assert found[i, k, 1 + j] == z[order][np.searchsorted(reached, level)]


def grid_score(values, weights, y):
    """The integral of (F - [y <= x])^2 on a fine grid."""
    x = np.linspace(-6, 6, 240001)
    f = (weights * (values <= x[:, None])).sum(axis=1)
    each = (f - (y <= x)) ** 2
    return ((each[1:] + each[:-1]) / 2 * np.diff(x)).sum()


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_score_is_the_integral(n):
    draw = np.random.default_rng(n)
    for y in (-4.0, 0.3, 4.5):
        values = np.sort(np.round(draw.normal(size=n), 1))  # some are equal
        logits = draw.normal(size=n)
        weights = np.exp(logits) / np.exp(logits).sum()
        numbers = np.concatenate([values, logits])[None, None]
        found = float(RPS(points=n).objective(np.full((1, 1, 1), y), numbers))
        assert found == pytest.approx(grid_score(values, weights, y), abs=2e-4)
        distinct = sorted(set(values))
        levels = [weights[values <= v].sum() for v in distinct]
        pinballs = [f * (y - v) if y >= v else (1 - f) * (v - y) for v, f in zip(distinct, levels, strict=True)]
        printed = float(RPS(points=n, proper=False).objective(np.full((1, 1, 1), y), numbers))
        assert printed == pytest.approx(np.mean(pinballs), abs=1e-9)


@pytest.mark.parametrize(("proper", "wanted"), [(True, [0.5, 0.0, 0.5]), (False, [0.0, 1.0, 0.0])])
def test_what_minimizes_the_score(proper, wanted):
    """y is 1 or 3: the proper score finds that out, the printed one is certain of 2.3, which never comes."""
    loss, y, f = RPS(points=3, proper=proper), np.array([1.0, 3.0]).reshape(2, 1, 1), ndiv.autograd.ops.FUNCTIONS
    logits = ndiv.tensor(np.zeros((1, 1, 3)), requires_grad=True)
    values = np.broadcast_to(np.array([1.0, 2.3, 3.0]), (2, 1, 3))
    for _ in range(3000):
        logits.grad = None
        loss.objective(y, f["cat"]([values, f["expand"](logits, (2, 1, 3))], dim=2)).backward()
        logits.data = logits.data - np.asarray(getattr(logits.grad, "data", logits.grad))
    found = np.exp(logits.data.ravel()) / np.exp(logits.data).sum()
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_mask_and_horizon_weights():
    draw = np.random.default_rng(0)
    numbers, y = np.concatenate([np.sort(draw.normal(size=(2, 3, 4))), draw.normal(size=(2, 3, 4))], axis=2), draw.normal(size=(2, 3, 1))
    each = np.array([[float(RPS(points=4).objective(y[i:i + 1, k:k + 1], numbers[i:i + 1, k:k + 1])) for k in range(3)] for i in range(2)])
    mask = np.array([[1, 1, 0], [1, 0, 0]])[..., None].astype(float)
    holed = np.where(mask > 0, y, np.nan)
    assert float(RPS(points=4).objective(holed, numbers, mask)) == pytest.approx(each[mask[..., 0] > 0].mean())
    weighted = RPS(points=4, horizon_weight=[1, 2, 3]).objective(y, numbers)
    assert float(weighted) == pytest.approx((each * [1, 2, 3]).sum() / 12)


@pytest.mark.parametrize("scaler", ["identity", "standard", "revin"])
def test_draws_are_observed_values_with_their_probabilities(scaler):
    m, data = shaken(make(scaler_type=scaler)), batch(missing=True)
    ndiv.manual_seed(0)
    draws = m.sample(data, 4000)
    assert draws.shape == (B, H, 4000)
    for i in range(B):
        seen = data["insample_y"][i, data["insample_mask"][i] > 0]
        assert np.abs(draws[i].ravel()[:, None] - seen).min(axis=1).max() < 1e-4
    np.testing.assert_allclose(draws.mean(axis=2), m.forecast(data)[..., 0], atol=0.1)
    if scaler == "identity":
        q = probabilities(m, data, 0)
        shares = [[(draws[0, k] == z).mean() for k in range(H)] for z in data["insample_y"][0, :, 0]]
        np.testing.assert_allclose(np.array(shares)[data["insample_mask"][0, :, 0] > 0], q[data["insample_mask"][0, :, 0] > 0], atol=0.04)
    ndiv.manual_seed(0)
    np.testing.assert_array_equal(m.sample(data, 4000), draws)


def test_missing_values_are_masked_and_a_window_may_be_empty():
    m, data = shaken(make(scaler_type="identity", loss=RPS(level=[80]))), batch(missing=True)
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 7}
    np.testing.assert_array_equal(m.forecast(data), m.forecast(other))
    empty = {**data, "insample_y": data["insample_y"] * 0, "insample_mask": data["insample_mask"] * 0}
    np.testing.assert_array_equal(m.forecast(empty), 0)
    assert np.isfinite(m.train_step(empty))
    # the printed score counts values, and so must not count those
    printed = make(loss=RPS(proper=False), scaler_type="identity")
    values, q = (v.numpy() for v in printed.loss.domain_map(printed.eval().forward(data)))
    wanted = []
    for i, k in np.ndindex(B, H):
        y, seen = data["outsample_y"][i, k, 0], np.sort(data["insample_y"][i, data["insample_mask"][i] > 0])
        reached = [q[i, k, values[i, k] <= v].sum() for v in seen]
        wanted.append(np.mean([f * (y - v) if y >= v else (1 - f) * (v - y) for v, f in zip(seen, reached, strict=True)]))
    assert printed.validation_loss([data]) == pytest.approx(np.mean(wanted), rel=1e-5)


@pytest.mark.parametrize("proper", [True, False])
def test_one_batch_is_learned(proper):
    """Where what comes is in the window, the score has no floor: to less than 1 % of the start, as a plan.

    Without batch normalization: with it a softmax saturates on a neighbouring value in one of the 15 steps, at 4.5 %.
    """
    m, data = make(loss=RPS(level=[80], proper=proper), learning_rate=1e-2, hidden_size=16, batch_norm=False), batch()
    data["outsample_y"] = data["insample_y"][:, 2:2 + H]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start = m.train_step(data)
        for _ in range(1000):
            end = m.train_step(data)
    assert 0 <= end < 0.01 * start
    if proper:  # the printed score cannot tell a value from the next larger one
        np.testing.assert_allclose(m.forecast(data)[..., 1], data["outsample_y"][..., 0], atol=1e-4)


@pytest.mark.parametrize("scaler", ["identity", "robust", "revin"])
def test_compiled_steps_are_those_op_by_op(scaler):
    fast, slow = (make(scaler_type=scaler, optimizer="SGD", learning_rate=0.1, loss=RPS(level=[80])) for _ in range(2))
    slow.__dict__["_compiled"] = lambda batch: None
    for _ in range(3):
        data = batch(missing=True)
        assert fast.train_step(data) == pytest.approx(slow.train_step(data), rel=2e-6)
    for p, q in zip(fast.parameters(), slow.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-5, atol=1e-6)


def test_validation_is_in_the_units_of_the_data():
    m, data = shaken(make(scaler_type="standard")), batch()
    more = {**data, **{k: data[k] * 10 + 3 for k in ("insample_y", "outsample_y")}}
    assert m.validation_loss([more]) == pytest.approx(10 * m.validation_loss([data]), rel=1e-4)
    same = make(scaler_type="standard", valid_loss="MAE", loss=RPS(level=[80]))
    same.load_state_dict(m.state_dict())
    wanted = np.abs(same.forecast(data)[..., 1] - data["outsample_y"][..., 0]).mean()
    assert same.validation_loss([data]) == pytest.approx(wanted, rel=1e-5)


def test_a_series_alone_and_in_company():
    m, data = shaken(make(loss=RPS(level=[80, 90]), **EXOG)), batch(exog=True, missing=True)
    whole = m.forecast(data)
    assert (whole[..., 2:-1] <= whole[..., 3:]).all()
    for i in range(B):
        np.testing.assert_allclose(m.forecast({k: v[i:i + 1] for k, v in data.items()})[0], whole[i], rtol=2e-5, atol=1e-6)


def test_numbers_that_are_no_locations_are_free():
    """A scale is not a value of the window: it moves with the network's own output."""
    m = make(loss=losses.DistributionLoss("StudentT"), scaler_type="identity")
    assert m.located.count(True) == 1 and len(m.located) == 3 and m.out.out_features == H * (L + 2)
    out, y = shaken(m).forward(batch()).numpy(), batch()["insample_y"]
    at = m.located.index(True)
    assert (out[..., at] >= y.min(axis=1)).all() and (out[..., at] <= y.max(axis=1)).all()
    rest = np.delete(out, at, axis=2)
    assert not np.allclose(rest[..., 0], rest[..., 1])
    m.out.bias.data = m.out.bias.data + np.where(np.arange(H * (L + 2)) >= H * L, 100, 0).astype(np.float32)
    moved = m.forward(batch()).numpy()
    np.testing.assert_allclose(np.delete(moved, at, axis=2), rest + 100, rtol=1e-4)
    np.testing.assert_array_equal(moved[..., at], out[..., at])


def test_every_location_has_probabilities_of_its_own():
    for loss, numbers in ((losses.MQLoss(level=[80]), [0, 1, 2]), (losses.GMM(n_components=2), [0, 1])):
        out = shaken(make(loss=loss, scaler_type="identity")).forward(batch()).numpy()
        assert out.shape == (B, H, loss.outputsize)
        found = [out[..., i] for i in numbers]
        assert all(np.abs(a - b).max() > 0.05 for i, a in enumerate(found) for b in found[:i])


def test_configuration_and_export(tmp_path):
    m = make(loss=RPS(level=[80], horizon_weight=[1, 2, 3]), scaler_type="robust")
    again = type(m).from_config(m.config())
    assert again.config() == m.config() and again.output_names == ["", "-median", "-lo-80", "-hi-80"]
    assert make().config()["loss"] == RPS(points=L).config() and type(make(variant="compat").loss) is losses.MAE
    assert type(make(loss="RPS").loss) is type(make(loss=RPS).loss) is RPS
    m.export(tmp_path / "m.ndiv", batch_size=B)
    data = batch()
    found = ndiv.load(tmp_path / "m.ndiv")(data["insample_y"])
    np.testing.assert_allclose(found, m.forecast({"insample_y": data["insample_y"]}), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("options", "text"), [
    *(({name: bad}, f"DeepNPTS: {name} must be") for name in ("hidden_size", "n_layers") for bad in (0, -1, 2.0, True)),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"), ({"dropout": "no"}, "dropout"),
    ({"batch_norm": 1}, "batch_norm must be True or False, not 1"), ({"variant": "compat", "loss": RPS()}, "needs variant='paper'"),
    ({"loss": "MAE", "valid_loss": RPS()}, "valid_loss=RPS needs"), ({"exclude_insample_y": True, **EXOG}, "cannot be left out"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint


def test_misuse():
    with pytest.raises(ConfigError, match="this model does not give") as error:
        get_model("NLinear")(h=H, input_size=L, loss=RPS())
    assert "DeepNPTS" in error.value.hint
    with pytest.raises(ConfigError, match="no distribution to draw from"):
        make(loss="MAE").sample(batch())
    with pytest.raises(ConfigError, match="n must be"):
        make().sample(batch(), 0)
    with pytest.raises(ShapeError, match="numbers a step"):
        RPS(points=3).objective(np.zeros((1, 1, 1)), np.zeros((1, 1, 4)))
    with pytest.raises(ShapeError, match="y has shape"):
        RPS(points=2).objective(np.zeros((1, 2, 1)), np.zeros((1, 1, 4)))
