"""Values of ops against plain NumPy (or the definition), where a sample's gradient alone would not show a fault."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError

x = np.random.Generator(np.random.Philox(key=[4, 4])).normal(size=(3, 7))


def test_elementwise_against_numpy():
    pairs = [(ndiv.exp, np.exp), (ndiv.tanh, np.tanh), (ndiv.abs, np.abs), (ndiv.sign, np.sign), (ndiv.expm1, np.expm1),
             (ndiv.sin, np.sin), (ndiv.cos, np.cos), (ndiv.neg, np.negative), (ndiv.relu, lambda v: np.maximum(v, 0)),
             (ndiv.sigmoid, lambda v: 1 / (1 + np.exp(-v))), (ndiv.softplus, lambda v: np.log(1 + np.exp(v))),
             (ndiv.silu, lambda v: v / (1 + np.exp(-v))), (ndiv.leaky_relu, lambda v: np.where(v > 0, v, 0.01 * v)),
             (ndiv.elu, lambda v: np.where(v > 0, v, np.exp(v) - 1))]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-13, atol=1e-15)


def test_large_values_do_not_overflow():
    big = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    np.testing.assert_array_equal(ndiv.sigmoid(big), [0, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(ndiv.softplus(big), [0, 0, np.log(2), 800, 1e4])
    assert np.isfinite(ndiv.softmax(big)).all()
    assert ndiv.logsumexp(big, dim=0) == 1e4


def test_pad_modes_against_numpy():
    for ours, theirs in [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]:
        np.testing.assert_array_equal(ndiv.pad(x, (2, 3), mode=ours), np.pad(x, ((0, 0), (2, 3)), mode=theirs))
    with pytest.raises(ConfigError, match="replicate"):
        ndiv.pad(x, (1, 1), mode="replikate")


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 3), (3, 2), (5, 1), (4, 3)])
def test_pooling_against_loops(kernel, stride, ceil_mode):
    n = x.shape[1]
    starts = [s for s in range(0, n, stride) if s + kernel <= n or (ceil_mode and s < n)]
    full = [i for i, s in enumerate(starts) if s + kernel >= n]
    starts = starts[:full[0] + 1] if full else starts  # once a window reaches the end, no other begins
    np.testing.assert_array_equal(ndiv.max_pool1d(x, kernel, stride, ceil_mode),
                                  np.stack([x[:, s:s + kernel].max(1) for s in starts], 1))
    np.testing.assert_allclose(ndiv.avg_pool1d(x, kernel, stride, ceil_mode),
                               np.stack([x[:, s:s + kernel].mean(1) for s in starts], 1), rtol=1e-12)


def test_moving_average_against_its_definition():
    padded = np.pad(x, ((0, 0), (2, 2)), mode="edge")
    expected = np.stack([padded[:, i:i + 5].mean(1) for i in range(x.shape[1])], 1)
    np.testing.assert_allclose(ndiv.moving_average(x, 5), expected, rtol=1e-12)


def test_interpolate_laws():
    for mode in ("nearest", "linear", "cubic"):
        np.testing.assert_allclose(ndiv.interpolate(np.full((2, 4), 3.0), 9, mode), 3.0)  # constants stay
        assert ndiv.interpolate(x, 7, mode) is x
    line = np.arange(5.0)[None]
    np.testing.assert_allclose(ndiv.interpolate(line, 10, "linear")[0, 1:-1], ((np.arange(10) + 0.5) / 2 - 0.5)[1:-1])
    np.testing.assert_array_equal(ndiv.interpolate(line, 10, "nearest")[0], np.repeat(np.arange(5.0), 2))
    with pytest.raises(ConfigError, match="nearest"):
        ndiv.interpolate(x, 3, "nearst")


def test_reductions_against_numpy():
    for dim in (None, 0, 1, -1, (0, 1)):
        np.testing.assert_allclose(ndiv.sum(x, dim), x.sum(dim))
        np.testing.assert_allclose(ndiv.mean(x, dim), x.mean(dim))
        np.testing.assert_array_equal(ndiv.amax(x, dim), x.max(dim))
        np.testing.assert_allclose(ndiv.var(x, dim), x.var(dim, ddof=1))


def test_indexing_against_numpy():
    t = ndiv.tensor(x)
    for key in (0, -1, slice(1, 3), (slice(None), 2), (Ellipsis, None), np.array([2, 0]), x > 0, (np.array([0, 1]), np.array([3, 3]))):
        np.testing.assert_array_equal(t[key].numpy(), x[key])


def test_dropout_keeps_the_mean_and_repeats():
    ndiv.manual_seed(3)
    t = ndiv.tensor(np.ones(20_000, np.float32))
    a = ndiv.dropout(t, 0.3).numpy()
    b = ndiv.dropout(t, 0.3).numpy()
    ndiv.manual_seed(3)
    np.testing.assert_array_equal(ndiv.dropout(t, 0.3).numpy(), a)
    assert not np.array_equal(a, b)
    assert set(np.unique(a)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert abs(a.mean() - 1) < 0.02
    assert ndiv.dropout(t, 0.3, training=False) is t


def test_the_gradient_of_dropout_has_the_same_mask():
    t = ndiv.tensor(np.ones(100, np.float32), requires_grad=True)
    y = ndiv.dropout(t, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), y.numpy())
