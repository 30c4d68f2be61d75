"""RevIN and the decompositions: their definitions, their inverses, and windows with gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.series import MixtureDecomposition, RevIN, SeriesDecomposition


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, len(shape)])).normal(3, 2, size=shape)


def trained(*arguments, **options) -> RevIN:
    m = RevIN(*arguments, **options).astype(np.float64)
    for i, p in enumerate(m.parameters()):
        p.copy_(values(*p.shape, seed=10 + i))
    return m


def test_norm_is_mean_0_and_deviation_1():
    z = RevIN(3).astype(np.float64).norm(ndiv.tensor(values(4, 50, 3))).numpy()
    np.testing.assert_allclose(z.mean(1), 0, atol=1e-13)
    np.testing.assert_allclose(z.std(1), 1, rtol=1e-4)


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_denorm_undoes_norm(affine, subtract_last, masked, seed):
    m = trained(3, affine=affine, subtract_last=subtract_last)
    x = values(4, 9, 3, seed=seed)
    mask = np.random.default_rng(seed).uniform(size=(4, 9, 1)) > 0.4 if masked else None
    on = np.ones((4, 9, 3), bool) if mask is None else np.broadcast_to(mask, x.shape)
    back = m.denorm(m.norm(ndiv.tensor(x), mask)).numpy()
    # the eps^2 = 1e-10 beside the weight makes it an inverse up to 1e-10 / weight times the distance from the mean
    np.testing.assert_allclose(back[on], x[on], rtol=0, atol=1e-8)


def test_forecasts_follow_shift_and_scale():
    """What the layer is for: the same forecast, moved and stretched with the window."""
    m = RevIN(2, eps=1e-12).astype(np.float64)
    x = values(3, 20, 2)

    def forecast(x):
        return m(ndiv.tanh(m(ndiv.tensor(x), "norm"))[:, -4:], "denorm").numpy()

    np.testing.assert_allclose(forecast(5 * x - 100), 5 * forecast(x) - 100, rtol=1e-9)


@pytest.mark.parametrize("subtract_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_gaps_do_not_count(subtract_last, channels):
    """Statistics are those of the observed steps alone, whatever stands in the gaps, NaN included."""
    m = RevIN(3, affine=False, subtract_last=subtract_last).astype(np.float64)
    x = values(4, 9, 3)
    mask = np.random.default_rng(1).uniform(size=(4, 9, channels)) > 0.4
    mask[:, 8] = False
    mask[:, 0] = True
    on = np.broadcast_to(mask, x.shape)
    z = m.norm(ndiv.tensor(np.where(on, x, np.nan)), mask).numpy()
    for b in range(4):
        for c in range(3):
            seen = x[b, on[b, :, c], c]
            centre = seen[-1] if subtract_last else seen.mean()
            expected = np.where(on[b, :, c], (x[b, :, c] - centre) / np.sqrt(seen.var() + 1e-5), 0.0)
            np.testing.assert_allclose(z[b, :, c], expected, rtol=1e-10, atol=1e-12)


def test_a_window_without_observations_stays_finite():
    m = RevIN(1)
    x = ndiv.tensor(np.full((2, 4, 1), np.nan, np.float32))
    z = m.norm(x, np.zeros((2, 4, 1), np.float32))
    assert not z.numpy().any()
    assert np.isfinite(m.denorm(z).numpy()).all()


def test_a_constant_window_stays_finite():
    m = RevIN(1)
    z = m.norm(ndiv.tensor(np.full((1, 5, 1), 7.0, np.float32)))
    assert not z.numpy().any()
    np.testing.assert_array_equal(m.denorm(z).numpy(), np.full((1, 5, 1), 7.0))


def test_no_gradient_flows_through_the_statistics():
    m = RevIN(1, affine=False).astype(np.float64)
    x = ndiv.tensor(values(1, 6, 1), requires_grad=True)
    m.norm(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 / np.sqrt(x.numpy().var() + 1e-5) * np.ones((1, 6, 1)), rtol=1e-12)
    assert not m.mean.requires_grad and not m.stdev.requires_grad


def test_state_and_types():
    m = RevIN(2)
    assert list(m.state_dict()) == ["affine_weight", "affine_bias"]
    assert list(RevIN(2, affine=False).state_dict()) == []
    x = values(3, 7, 2).astype(np.float32)
    for mask in (None, np.ones((3, 7, 1)), np.ones((3, 7, 2), bool)):
        assert m.denorm(m.norm(ndiv.tensor(x), mask)).dtype == np.float32


def test_bad_arguments():
    x = ndiv.tensor(np.ones((2, 5, 3)))
    with pytest.raises(ConfigError, match="denorm before norm"):
        RevIN(3).denorm(x)
    for make in (lambda: RevIN(0), lambda: RevIN(3, eps=0.0), lambda: RevIN(3)(x, "undo"), lambda: SeriesDecomposition(0),
                 lambda: MixtureDecomposition([]), lambda: MixtureDecomposition([3, 0])):
        with pytest.raises(ConfigError):
            make()
    for call in (lambda: RevIN(2).norm(x), lambda: RevIN(3).norm(x[0]), lambda: RevIN(3).norm(x, np.ones((2, 5))),
                 lambda: RevIN(3).norm(x, np.ones((2, 5, 2))), lambda: SeriesDecomposition(3)(x[0]),
                 lambda: MixtureDecomposition([3])(x[0])):
        with pytest.raises(ShapeError):
            call()


@pytest.mark.parametrize("kernel", [1, 3, 4, 7, 25])
def test_decomposition_is_a_moving_average(kernel):
    x = values(2, 11, 3)
    seasonal, trend = (t.numpy() for t in SeriesDecomposition(kernel)(ndiv.tensor(x)))
    side = (kernel - 1) // 2
    padded = np.concatenate([x[:, :1]] * side + [x] + [x[:, -1:]] * (kernel - 1 - side), 1)
    expected = np.stack([padded[:, t:t + kernel].mean(1) for t in range(11)], 1)
    np.testing.assert_allclose(trend, expected, rtol=1e-12)
    np.testing.assert_allclose(seasonal + trend, x, rtol=1e-13)


def test_a_line_is_all_trend_inside():
    x = np.arange(20.0)[None, :, None]
    seasonal, _ = SeriesDecomposition(5)(ndiv.tensor(x))
    np.testing.assert_allclose(seasonal.numpy()[0, 2:-2], 0, atol=1e-13)


def test_a_mixture_lies_between_its_parts():
    ndiv.manual_seed(3)
    x = ndiv.tensor(values(2, 15, 3))
    m = MixtureDecomposition([3, 7]).astype(np.float64)
    seasonal, trend = m(x)
    parts = np.stack([SeriesDecomposition(k)(x)[1].numpy() for k in (3, 7)])
    assert (trend.numpy() >= parts.min(0) - 1e-12).all() and (trend.numpy() <= parts.max(0) + 1e-12).all()
    np.testing.assert_allclose((seasonal + trend).numpy(), x.numpy(), rtol=1e-13)
    m.layer.weight.copy_(np.zeros((2, 1)))
    m.layer.bias.copy_(np.zeros(2))
    np.testing.assert_allclose(m(x)[1].numpy(), parts.mean(0), rtol=1e-13)  # equal shares: the plain mean
