"""NBEATSx: the exogenous stack beside independent NumPy, what it can say, NBEATS as a special case, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError
from ndiv.models import NBEATS, NBEATSx
from ndiv.verify.model import verify

H, L, B = 6, 9, 4
UNITS = [[7, 7]]
EXOG = {"futr_exog_list": ["f1", "f2"], "hist_exog_list": ["p"], "stat_exog_list": ["s"]}
EXOGENOUS = {"stack_types": ["exogenous"], "n_blocks": [2]}


def batch(seed=0):
    rng = np.random.default_rng(seed)
    out = {"insample_y": rng.normal(size=(B, L, 1)), "insample_mask": np.ones((B, L, 1)), "hist_exog": rng.normal(size=(B, L, 1)),
           "futr_exog": rng.normal(size=(B, L + H, 2)), "stat_exog": rng.normal(size=(B, 1)), "outsample_y": rng.normal(size=(B, H, 1))}
    return {k: v.astype(np.float32) for k, v in out.items()}


def make(**options):
    return NBEATSx(**{"h": H, "input_size": L, "mlp_units": UNITS, **options})


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_without_covariates_it_is_nbeats(variant):
    x, plain = make(variant=variant), NBEATS(h=H, input_size=L, mlp_units=UNITS, variant=variant, random_seed=9)
    plain.load_state_dict(x.state_dict())
    np.testing.assert_array_equal(x.forward(batch()).numpy(), plain.forward(batch()).numpy())


@pytest.mark.parametrize("loss", [ndiv.losses.MAE(), ndiv.losses.MQLoss(level=[80])], ids=["MAE", "MQLoss"])
def test_the_exogenous_stack_is_the_papers_equations(loss):
    m, data = make(**EXOGENOUS, **EXOG, loss=loss), batch()
    state = {k: v.astype(float) for k, v in m.state_dict().items()}
    flat = [data[k].astype(float).reshape(B, -1) for k in ("hist_exog", "futr_exog", "stat_exog")]
    always = np.repeat(data["stat_exog"][:, None], L + H, 1)
    back = np.concatenate([data["futr_exog"][:, :L], data["hist_exog"], always[:, :L]], 2)
    ahead = np.concatenate([data["futr_exog"][:, L:], always[:, L:]], 2)
    x, total = data["insample_y"][..., 0].astype(float), 0.0
    for k in range(2):
        z = np.concatenate([x, *flat], 1)
        for j in range(2):
            z = np.maximum(z @ state[f"blocks.{k}.layers.{j}.weight"].T + state[f"blocks.{k}.layers.{j}.bias"], 0)
        theta = z @ state[f"blocks.{k}.theta.weight"].T + state[f"blocks.{k}.theta.bias"]
        x = x - np.einsum("bp,btp->bt", theta[:, :4], back)
        total = total + np.einsum("bqo,btq->bto", theta[:, 4:].reshape(B, 3, -1), ahead)
    np.testing.assert_allclose(m.forward(data).numpy(), total, rtol=1e-4, atol=1e-5)


def test_its_forecast_is_a_weighted_sum_of_known_covariates():
    m, data = make(stack_types=["trend", "exogenous"], n_blocks=[1, 2], **EXOG, scaler_type="standard"), batch()
    found = m.decompose(data)["exogenous"][..., 0]
    scaled = m.scale(data)[0]
    for b in range(B):
        known = np.concatenate([scaled["futr_exog"][b, L:], np.ones((H, 1))], 1)  # a static covariate is a constant
        left = found[b] - known @ np.linalg.lstsq(known, found[b], rcond=None)[0]
        assert np.abs(left).max() < 1e-5 * np.abs(found[b]).max()


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("given", [["futr"], ["stat"], ["futr", "stat"], ["futr", "hist"], ["stat", "hist"], ["futr", "hist", "stat"]])
@pytest.mark.parametrize("loss", [ndiv.losses.MAE, ndiv.losses.MQLoss], ids=["MAE", "MQLoss"])
def test_every_set_of_covariates(loss, given, variant):
    names = {f"{kind}_exog_list": EXOG[f"{kind}_exog_list"] for kind in given}
    m, data = make(**EXOGENOUS, **names, variant=variant, loss=loss(**({"level": [80]} if loss is ndiv.losses.MQLoss else {}))), batch()
    assert m.forward(data).shape == (B, H, m.n_out)
    assert np.isfinite(m.train_step(data))
    spread = np.ptp(m.forward(data).numpy(), axis=2).max()
    assert (spread > 0) == (variant == "paper" and m.n_out > 1)  # own weights for each output, or one forecast for all


def test_a_series_that_its_covariates_explain_is_learned_by_them():
    """y is a weighted sum of two covariates, with weights that the windows share: the stack finds it to 1 % of the start."""
    rng = np.random.default_rng(0)
    futr = rng.normal(size=(64, L + H, 2)).astype(np.float32)
    y = (futr @ [[1.5], [-0.5]]).astype(np.float32)
    data = {"insample_y": y[:, :L], "outsample_y": y[:, L:], "futr_exog": futr}
    m = make(**EXOGENOUS, futr_exog_list=["f1", "f2"], learning_rate=1e-2, loss=ndiv.losses.MSE())
    start = m.train_step(data)
    for _ in range(500):
        end = m.train_step(data)
    assert end < 0.01 * start


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("loss", ["MAE", "MQLoss"])
def test_gradients_and_plans_of_the_exogenous_stack(loss, variant):
    options = {**EXOGENOUS, **EXOG, "variant": variant, "loss": loss, "scaler_type": "standard", "optimizer": "SGD"}
    certificate = verify(make(**options), batch())
    assert certificate and certificate.unreached == [], str(certificate)
    planned, plain = make(**options), make(**options)
    plain.__dict__["_compiled"] = lambda data: None  # op by op
    for seed in range(3):
        a, b = planned.train_step(batch(seed)), plain.train_step(batch(seed))
        assert a == pytest.approx(b, rel=1e-5)
    for p, q in zip(planned.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-4, atol=1e-6)
    results = [planned.forecast(batch()) for _ in range(6)]  # the later ones by a plan
    for found in results[1:]:
        np.testing.assert_allclose(found, results[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("options", "text"), [
    (EXOGENOUS, "futr_exog_list or stat_exog_list"), ({**EXOGENOUS, "hist_exog_list": ["p"]}, "known in the future"),
    ({"stack_types": ["exogenus"] * 3, **EXOG}, "Did you mean 'exogenous'"), ({"h": 1}, "h of at least 2"),
    ({"n_polynomials": -1}, "n_polynomials must be"), ({"n_polynomials": None}, "n_polynomials must be"), ({"n_harmonics": 0}, "n_harm"),
    ({"n_blocks": [1]}, "n_blocks has 1 entries"), ({"mlp_units": [[3]]}, "mlp_units"), ({"activation": "Relo"}, "ReLU"),
    ({"dropout_prob_theta": -0.1}, "dropout_prob_theta"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=f"NBEATSx.*{text}") as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint


def test_one_step_ahead():
    m = make(h=1, stack_types=["identity", "exogenous"], n_blocks=[1, 1], futr_exog_list=["f1", "f2"])
    assert m.forward({**batch(), "futr_exog": batch()["futr_exog"][:, :L + 1]}).shape == (B, 1, 1)
