"""Initial weights: ranges, variances, orthogonality, truncation, repeatability; in place and as arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv import nn
from ndiv.errors import ConfigError
from ndiv.nn import init

SHAPE = (60, 30, 7)  # out, in, kernel: fan in 210, fan out 420
FANS = {"fan_in": 210, "fan_out": 420}
COUNT = math.prod(SHAPE)


def weight(shape=SHAPE, dtype=np.float64):
    return nn.Parameter(np.full(shape, np.nan, dtype))


def spread_of(values, std, uniform):
    """Mean 0 and the standard deviation, within five standard errors; the bound of a uniform is kept and nearly reached."""
    values = np.asarray(values, np.float64)
    assert abs(values.mean()) < 5 * std / math.sqrt(COUNT)
    # relative variance of a sample variance: (kurtosis - 1) / n, with kurtosis 9/5 for the uniform and 3 for the normal
    error = std * math.sqrt((0.8 if uniform else 2.0) / COUNT) / 2
    assert abs(values.std() - std) < 5 * error
    if uniform:
        bound = math.sqrt(3.0) * std
        assert 0.999 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


GAINS = {"linear": 1.0, "conv1d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_xavier(kind, gain):
    ndiv.manual_seed(3)
    std = gain * math.sqrt(2 / (210 + 420))
    spread_of(getattr(init, f"xavier_{kind}")(SHAPE, gain), std, kind == "uniform")
    p = weight()
    assert getattr(init, f"xavier_{kind}_")(p, gain) is p
    spread_of(p.numpy(), std, kind == "uniform")


@pytest.mark.parametrize("nonlinearity", [*GAINS, "leaky_relu"])
@pytest.mark.parametrize("mode", FANS)
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_kaiming(kind, mode, nonlinearity):
    ndiv.manual_seed(4)
    gain = GAINS.get(nonlinearity, math.sqrt(2 / (1 + 0.3**2)))
    p = weight()
    getattr(init, f"kaiming_{kind}_")(p, a=0.3, mode=mode, nonlinearity=nonlinearity)
    spread_of(p.numpy(), gain / math.sqrt(FANS[mode]), kind == "uniform")
    spread_of(getattr(init, f"kaiming_{kind}")(SHAPE, 0.3, mode, nonlinearity), gain / math.sqrt(FANS[mode]), kind == "uniform")


def test_plain_ones():
    ndiv.manual_seed(5)
    for values in (init.uniform_(weight(), -0.5, 1.5).numpy(), init.uniform(SHAPE, -0.5, 1.5)):
        spread_of(values - 0.5, 2 / math.sqrt(12), True)
    for values in (init.normal_(weight(), 3.0, 0.2).numpy(), init.normal(SHAPE, 0.2, 3.0)):
        spread_of(values - 3.0, 0.2, False)
    assert (init.zeros_(weight()).numpy() == 0).all()
    assert (init.ones_(weight()).numpy() == 1).all()
    assert (init.constant_(weight(), 0.3).numpy() == 0.3).all()
    assert (init.zeros(SHAPE) == 0).all()
    assert (init.ones(SHAPE) == 1).all()
    spread_of(init.fan_in_uniform(SHAPE, 210), 1 / math.sqrt(3 * 210), True)
    assert init.fan_in_uniform((3,), 0).tolist() == [0, 0, 0]


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.floats(0.1, 3.0))
def test_orthogonal(shape, gain):
    w = init.orthogonal(shape, gain, np.float64).reshape(shape[0], -1)
    rows, cols = w.shape
    gram = w @ w.T if rows <= cols else w.T @ w
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(rows, cols)), atol=1e-12)
    p = init.orthogonal_(weight(shape), gain)
    np.testing.assert_allclose(np.linalg.svd(p.numpy().reshape(rows, cols), compute_uv=False), gain, rtol=1e-12)


def test_orthogonal_is_uniform():
    """Over rotations and reflections alike: every entry has mean 0 and variance 1/n, and both determinants occur."""
    ndiv.manual_seed(6)
    draws = np.array([init.orthogonal((3, 3), dtype=np.float64) for _ in range(2000)])
    assert np.abs(draws.mean(0)).max() < 5 * math.sqrt(1 / 3 / 2000)
    np.testing.assert_allclose((draws**2).mean(0), 1 / 3, atol=5 * math.sqrt(4 / 45 / 2000))
    assert 0.44 < (np.linalg.det(draws) > 0).mean() < 0.56


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0.0, 1.0, -2.0, 2.0), (0.5, 0.1, 0.3, 0.6), (0.0, 1.0, 0.1, 0.2),
                                                     (0.0, 1.0, 4.0, 100.0), (0.0, 1.0, -9.0, -8.0), (1.0, 2.0, -50.0, 60.0),
                                                     (0.0, 1.0, 8.0, 8.001), (0.0, 1.0, 0.0, 50.0),
                                                     (0.0, 1.0, -0.5, 1.9)])
def test_truncated_normal(mean, std, a, b):
    """The values' own distribution function is uniform: Kolmogorov-Smirnov at 1e-6, far out in the tails too."""
    ndiv.manual_seed(7)
    values = np.sort(init.trunc_normal((20_000,), std, mean, a, b, np.float64))
    assert values[0] >= a
    assert values[-1] <= b
    sign = 1.0 if a >= mean else -1.0  # from the side where the tail keeps its digits

    def tail(x):
        return math.erfc(sign * (x - mean) / std / math.sqrt(2))

    u = np.array([(tail(x) - tail(a)) / (tail(b) - tail(a)) for x in values[::20]])
    k = np.arange(0, 20_000, 20) / 20_000
    assert np.abs(u - k).max() < 2.7 / math.sqrt(20_000)
    p = init.trunc_normal_(weight((50,)), mean, std, a, b)
    assert p.numpy().min() >= a
    assert p.numpy().max() <= b


FILLS = ["uniform_", "normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_",
         "trunc_normal_"]


@pytest.mark.parametrize("name", FILLS)
def test_repeatable_and_typed(name):
    results = []
    for _ in range(2):
        ndiv.manual_seed(9)
        first = getattr(init, name)(weight((4, 5), np.float32)).numpy().copy()
        second = getattr(init, name)(weight((4, 5), np.float32)).numpy().copy()
        assert first.dtype == np.float32
        assert not np.array_equal(first, second)
        results.append(first.tobytes() + second.tobytes())
    assert results[0] == results[1]
    assert getattr(init, name[:-1])((4, 5)).dtype == np.float32
    assert getattr(init, name[:-1])((0, 5)).shape == (0, 5)


def test_filling_is_noticed_by_backward():
    p = nn.Parameter(np.ones(3))
    y = (p * p).sum()
    init.zeros_(p)
    with pytest.raises(ndiv.NdivError, match="written in place"):
        y.backward()


@pytest.mark.parametrize(("call", "hint"), [
    (lambda: init.xavier_normal((3,)), "two axes"), (lambda: init.kaiming_uniform_(weight((3,))), "two axes"),
    (lambda: init.orthogonal(()), "two axes"), (lambda: init.kaiming_normal(SHAPE, mode="fan-in"), "Did you mean 'fan_in'"),
    (lambda: init.kaiming_normal(SHAPE, nonlinearity="leakyrelu"), "Did you mean 'leaky_relu'"),
    (lambda: init.calculate_gain("reluu"), "Did you mean 'relu'"), (lambda: init.trunc_normal((3,), std=0.0), "common"),
    (lambda: init.trunc_normal((3,), a=2.0, b=-2.0), "common"),
])
def test_bad_arguments(call, hint):
    with pytest.raises(ConfigError) as error:
        call()
    assert error.value.code == "E0010"
    assert hint in error.value.hint
