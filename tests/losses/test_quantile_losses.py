"""Quantile losses: names, values, the law that a quantile minimizes them, and the implicit quantile layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError, ShapeError

draw = np.random.default_rng(1)
y = draw.normal(size=(4, 3, 2))
y_hat = draw.normal(size=(4, 3, 2, 3))
mask = (draw.uniform(size=y.shape) > 0.4).astype(float)
Q = [0.1, 0.5, 0.8]


def test_columns_of_levels_and_quantiles():
    assert losses.MQLoss().output_names == ("-median", "-lo-90", "-lo-80", "-hi-80", "-hi-90")
    np.testing.assert_allclose(losses.MQLoss().quantiles, [0.5, 0.05, 0.1, 0.9, 0.95])
    assert losses.MQLoss(level=[90, 80]).output_names == losses.MQLoss().output_names
    assert losses.MQLoss(level=[90.5]).output_names == ("-median", "-lo-90.5", "-hi-90.5")
    assert losses.MQLoss(level=[80, 80]).outputsize == 3
    assert losses.MQLoss(quantiles=[0.9, 0.5, 0.1]).output_names == ("-hi-80.0", "-median", "-lo-80.0")
    assert losses.MQLoss(quantiles=[0.025]).output_names == ("-lo-95.0",)
    assert losses.QuantileLoss(0.1).output_names == ("_ql0.1",)
    assert losses.HuberQLoss(0.1, delta=2.0).output_names == ("_q0.1_d2.0",)


def test_quantiles_and_levels_are_checked():
    for bad in (lambda: losses.QuantileLoss(1.0), lambda: losses.QuantileLoss("0.5"), lambda: losses.MQLoss(quantiles=[0, 0.5])):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            bad()
    with pytest.raises(ConfigError, match="between 0 and 100"):
        losses.MQLoss(level=[100])
    with pytest.raises(ConfigError, match="no quantile"):
        losses.MQLoss(quantiles=[])


def test_several_quantiles_are_the_sum_of_each():
    for weight in (None, [1, 0, 2]):
        for m in (None, mask):
            each = [float(losses.QuantileLoss(q, weight)(y, y_hat[..., i], m)) for i, q in enumerate(Q)]
            assert float(losses.MQLoss(quantiles=Q, horizon_weight=weight)(y, y_hat, m)) == pytest.approx(sum(each))


def test_huber_form_of_several_quantiles():
    e = y[..., None] - y_hat
    size = np.where(e > 0, np.array(Q) * e, (np.array(Q) - 1) * e)
    each = np.where(size <= 0.3, size ** 2 / 2, 0.3 * (size - 0.15)).sum(-1)
    assert float(losses.HuberMQLoss(quantiles=Q, delta=0.3)(y, y_hat)) == pytest.approx(each.mean())


def test_forms_of_y_hat():
    loss = losses.MQLoss(quantiles=Q)
    expected = float(loss(y, y_hat))
    assert float(loss(y, y_hat.reshape(4, 3, 6))) == pytest.approx(expected)
    assert float(loss(y, loss.domain_map(y_hat.reshape(4, 3, 6)))) == pytest.approx(expected)
    same = np.repeat(y_hat[..., :1], 3, -1)
    assert float(loss(y, y_hat[..., 0])) == pytest.approx(float(loss(y, same)))
    with pytest.raises(ShapeError, match="y_hat"):
        loss(y, y_hat[..., :2])
    with pytest.raises(ShapeError, match="y_hat"):
        loss(y, y_hat[:, :2])


@pytest.mark.parametrize("kind", [losses.MQLoss, losses.HuberMQLoss])
def test_quantiles_of_a_forecast_do_not_cross(kind):
    """In whatever order they are asked for; and putting them in order never adds to the loss."""
    for quantiles in (None, [0.9, 0.2, 0.5]):
        loss = kind(quantiles=quantiles)
        raw = np.random.default_rng(1).normal(size=(4, 3, 2 * loss.outputsize))
        found, order = loss.forecast(raw), np.argsort(loss.quantiles)
        assert (np.diff(found[..., order], axis=-1) >= 0).all()
        plain = kind(quantiles=quantiles, non_crossing=False).forecast(raw)
        assert (np.diff(plain[..., order], axis=-1) < 0).any()
        np.testing.assert_array_equal(plain.reshape(4, 3, -1), raw)
        np.testing.assert_array_equal(np.sort(found, -1), np.sort(plain, -1))
        assert float(loss(y[..., :2], found)) <= float(loss(y[..., :2], plain))
    assert losses.from_config(kind(non_crossing=False).config()).non_crossing is False


@pytest.mark.parametrize("loss", [losses.MQLoss(quantiles=Q), losses.HuberMQLoss(quantiles=Q, delta=0.4)], ids=repr)
def test_gradients(loss):
    for m in (None, mask):
        assert ndiv.gradcheck(lambda t, m=m: loss(y, t, m), y_hat)
        assert ndiv.gradcheck(lambda t, m=m: loss.objective(y, t, m), y_hat.reshape(4, 3, 6))


@given(st.floats(0.02, 0.98), st.integers(0, 10_000))
def test_the_quantile_minimizes_the_pinball_loss(q, seed):
    sample = np.random.default_rng(seed).normal(size=(1, 37, 1))
    best = np.quantile(sample, q, method="inverted_cdf")
    loss = losses.QuantileLoss(q)
    least = float(loss(sample, np.full_like(sample, best)))
    for other in (*np.unique(sample)[::6], best + 0.01, best - 0.01):
        assert least <= float(loss(sample, np.full_like(sample, other))) + 1e-12


@given(st.floats(0.02, 0.98), st.floats(0.01, 5))
def test_pinball_by_its_slopes(q, e):
    zero, error = np.zeros((1, 1, 1)), np.full((1, 1, 1), e)
    assert float(losses.QuantileLoss(q)(error, zero)) == pytest.approx(q * e)
    assert float(losses.QuantileLoss(q)(zero, error)) == pytest.approx((1 - q) * e)
    both = float(losses.QuantileLoss(q)(zero, error)) + float(losses.QuantileLoss(1 - q)(zero, error))
    assert both == pytest.approx(e)
    for wide in (1e-7, 1e7):  # its Huber form is a multiple of it, or of the square, at the ends
        form = float(losses.HuberQLoss(q, wide)(error, zero))
        assert form == pytest.approx(q * (e * e / 2 if wide > 1 else wide * e), rel=1e-4)


def test_median_is_half_the_absolute_error():
    assert float(losses.QuantileLoss(0.5)(y, y_hat[..., 0])) == pytest.approx(float(losses.MAE()(y, y_hat[..., 0])) / 2)


# implicit quantiles -------------------------------------------------------------------------------------------------

def test_implicit_layer_against_its_definition():
    ndiv.manual_seed(2)
    loss = losses.IQLoss(cos_embedding_dim=8).astype(np.float64)
    w = {k: v.astype(np.float64) for k, v in loss.state_dict().items()}
    assert list(w) == ["quantile_layer.output_layer.0.weight", "quantile_layer.output_layer.0.bias",
                       "quantile_layer.output_layer.1.weight", "quantile_layer.output_layer.2.weight",
                       "quantile_layer.output_layer.2.bias", "output_layer.0.weight", "output_layer.0.bias",
                       "output_layer.1.weight"]
    a, b, slope, c, d, e, f, last = w.values()
    x = draw.normal(size=(2, 3, 1))
    tau = draw.uniform(size=x.shape)
    hidden = np.cos(np.pi * tau[..., None] * np.arange(8)) @ a.T + b
    hidden = np.where(hidden > 0, hidden, slope * hidden) @ c.T + d
    out = (x[..., None] * (1 + hidden)) @ e.T + f
    np.testing.assert_allclose(loss.at(ndiv.tensor(x), tau).numpy(), np.where(out > 0, out, last * out)[..., 0], rtol=1e-12)


def test_implicit_quantiles_are_drawn_while_training_and_fixed_otherwise():
    loss = losses.IQLoss(cos_embedding_dim=8, concentration0=2.0, concentration1=6.0)
    x = ndiv.tensor(np.ones((50, 20, 2), np.float32))
    ndiv.manual_seed(5)
    mapped, tau = loss.domain_map(x)
    ndiv.manual_seed(5)
    np.testing.assert_array_equal(loss.domain_map(x)[1], tau)
    assert mapped.shape == tau.shape == (50, 20, 2)
    assert tau.mean() == pytest.approx(6 / 8, abs=0.01)
    loss.eval()
    loss.update_quantile([0.9])
    assert loss.output_names == ("_ql0.9",)
    np.testing.assert_allclose(loss.domain_map(x).numpy(), loss.at(x, np.full(x.shape, 0.9, np.float32)).numpy())
    np.testing.assert_allclose(loss.train().forecast(x)[..., 0], loss.eval().domain_map(x).numpy())


def test_implicit_loss_value_and_gradient():
    ndiv.manual_seed(3)
    loss = losses.IQLoss(cos_embedding_dim=4).astype(np.float64)
    tau = draw.uniform(0.1, 0.9, y.shape)
    e = y - y_hat[..., 0]
    expected = (np.where(e > 0, tau, tau - 1) * e * mask).sum() / mask.sum()
    assert float(loss(y, (y_hat[..., 0], tau), mask)) == pytest.approx(expected)
    assert ndiv.gradcheck(lambda t: loss(y, (loss.at(t, tau), tau), mask), y_hat[..., 0])
    value = loss.objective(y, ndiv.tensor(y_hat[..., 0]), mask)
    value.backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in loss.parameters())


def test_implicit_loss_learns_the_quantiles():
    """One input for all targets: after training, the layer alone tells low quantiles from high ones."""
    ndiv.manual_seed(0)
    loss = losses.IQLoss(cos_embedding_dim=16)
    optimizer = ndiv.optim.Adam(loss.parameters(), lr=0.01)
    sample = np.random.default_rng(0).uniform(1, 2, (512, 1, 1)).astype(np.float32)
    one = ndiv.tensor(np.ones((512, 1, 1), np.float32))
    for _ in range(300):
        optimizer.zero_grad()
        loss.objective(sample, one).backward()
        optimizer.step()
    found = []
    for q in (0.1, 0.5, 0.9):
        loss.update_quantile([q])
        found.append(float(loss.forecast(one)[0, 0, 0, 0]))
    np.testing.assert_allclose(found, [1.1, 1.5, 1.9], atol=0.08)
