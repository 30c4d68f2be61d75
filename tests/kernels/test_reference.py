"""The references of ``ndiv.backends.kernels`` against the C library, published vectors and numeric derivatives."""

import math

import numpy as np
import pytest

from ndiv.backends import kernels


def test_philox_known_answers():
    # philox4x32 with 10 rounds, from the known-answer file of Random123 (counter words, key words, result words)
    ones = 0xFFFFFFFFFFFFFFFF
    assert kernels.philox_u32(0, 0, 0, 4).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert kernels.philox_u32(ones, ones, ones, 4).tolist() == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = kernels.philox_u32(0x299F31D0A4093822, 0x0370734413198A2E, 0x85A308D3243F6A88, 4)
    assert pi.tolist() == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_philox_matches_numpy_generator_in_structure():
    # consecutive blocks are consecutive counters, also across the 32-bit carry
    whole = kernels.philox_u32(5, 9, 2**32 - 2, 20)
    parts = [kernels.philox_u32(5, 9, 2**32 - 2 + b, 4) for b in range(5)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("dtype, bound", [(np.float64, 4e-15), (np.float32, 1e-6)])
def test_erf_and_normal_distribution(dtype, bound):
    x = np.concatenate([np.linspace(-13, 13, 4001), [0.0, 1e-30, -1e-8, 40.0, -40.0]]).astype(dtype)
    erf = np.array([math.erf(v) for v in x.tolist()])
    np.testing.assert_allclose(kernels.unary(x, "erf"), erf, rtol=bound, atol=1e-300)
    cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    got = kernels.bias_act(x[None], None, "gelu")[0][0]
    assert got.dtype == dtype
    slack = bound * (1 + x.astype(float) ** 2)  # exp(-x^2 / 2) amplifies the rounding of x^2
    assert np.all(np.abs(got - x * cdf) <= slack * np.abs(x * cdf) + np.finfo(dtype).tiny)


@pytest.mark.parametrize("act", kernels.ACTS)
def test_activation_gradient_is_the_derivative(act):
    z = np.linspace(-6, 6, 241)[None] + 0.0123  # no kink on the grid
    h = 1e-6
    out, saved = kernels.bias_act(z, None, act)
    slope = (kernels.bias_act(z + h, None, act)[0] - kernels.bias_act(z - h, None, act)[0]) / (2 * h)
    gx, gbias = kernels.bias_act_bwd(np.full_like(z, 2.0), saved, act)
    np.testing.assert_allclose(gx, 2 * slope, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(gbias, gx.sum(0))
    assert (saved is out) == (kernels.ACT_SAVES[act] == "out")


@pytest.mark.parametrize("act", kernels.ACTS)
def test_activation_limits(act):
    z = np.array([[-np.inf, np.inf, np.nan]])
    left = {"identity": -np.inf, "leaky_relu": -np.inf, "elu": -1.0, "tanh": -1.0, "selu": -1.7580993408473766}
    right = {"tanh": 1.0, "sigmoid": 1.0}
    out = kernels.bias_act(z, None, act)[0][0]
    np.testing.assert_allclose(out, [left.get(act, 0.0), right.get(act, np.inf), np.nan], rtol=1e-15)


def test_layer_norm_gradient_is_the_derivative():
    rng = np.random.default_rng(3)
    x, g, gamma, beta = (rng.normal(size=s) for s in ((4, 7), (4, 7), 7, 7))

    def loss(x, gamma, beta):
        return float((kernels.layer_norm(x, gamma, beta, 1e-5)[0] * g).sum())

    def numeric(index, array):
        grad = np.empty_like(array)
        for at in np.ndindex(array.shape):
            args = [x.copy(), gamma.copy(), beta.copy()]
            args[index][at] += 1e-6
            up = loss(*args)
            args[index][at] -= 2e-6
            grad[at] = (up - loss(*args)) / 2e-6
        return grad

    _, mean, rstd = kernels.layer_norm(x, gamma, beta, 1e-5)
    for index, (got, array) in enumerate(zip(kernels.layer_norm_bwd(g, x, gamma, mean, rstd), (x, gamma, beta),
                                             strict=True)):
        np.testing.assert_allclose(got, numeric(index, array), rtol=1e-6, atol=1e-8)


def test_adamw_first_step_by_hand():
    # the first step of Adam moves by lr against the sign of g, after the decay
    p, g, m, v = np.array([2.0]), np.array([0.3]), np.zeros(1), np.zeros(1)
    kernels.adamw(p, g, m, v, lr=0.1, beta1=0.9, beta2=0.99, eps=0.0, weight_decay=0.5,
                  bias_correction1=1 - 0.9, bias_correction2=1 - 0.99)
    np.testing.assert_allclose(p, 2.0 * (1 - 0.05) - 0.1)
    np.testing.assert_allclose([m[0], v[0]], [0.03, 0.01 * 0.09])


def test_dropout_keeps_the_mean_and_repeats():
    x = np.ones((1000, 100))
    y = kernels.dropout(x, 0.25, 42, 1)
    assert abs(y.mean() - 1) < 0.01
    np.testing.assert_array_equal(y, kernels.dropout(x, 0.25, 42, 1))
    assert np.any(y != kernels.dropout(x, 0.25, 42, 2))
    np.testing.assert_array_equal(kernels.dropout(x, 0.0, 42, 1), x)
    np.testing.assert_array_equal(kernels.dropout(x, 1.0, 42, 1), 0 * x)
