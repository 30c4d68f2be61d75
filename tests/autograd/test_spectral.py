"""Fourier transforms against their definition and NumPy's, and the laws that tie them together."""

from __future__ import annotations

import cmath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.autograd.ops.spectral import complex_abs, complex_conj, complex_mul, irfft, rfft
from ndiv.errors import ShapeError

LENGTHS = [1, 2, 3, 4, 5, 8, 9, 15, 16, 30]


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, len(shape)])).normal(size=shape)


def as_complex(pairs) -> np.ndarray:
    pairs = np.asarray(pairs)
    return pairs[..., 0] + 1j * pairs[..., 1]


def as_pairs(z: np.ndarray) -> np.ndarray:
    return np.stack([z.real, z.imag], -1)


@pytest.mark.parametrize("n", LENGTHS)
def test_rfft_is_its_sum(n):
    x = values(n)
    expected = [sum(x[t] * cmath.exp(-2j * cmath.pi * k * t / n) for t in range(n)) for k in range(n // 2 + 1)]
    np.testing.assert_allclose(as_complex(rfft(x)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", LENGTHS)
def test_irfft_is_the_sum_over_all_bins(n):
    half = values(n // 2 + 1, 2)
    z = as_complex(half)
    z[0] = z[0].real  # what a real series can have
    if n % 2 == 0:
        z[-1] = z[-1].real
    full = [z[k] if k <= n // 2 else z[n - k].conjugate() for k in range(n)]
    expected = [sum(full[k] * cmath.exp(2j * cmath.pi * k * t / n) for k in range(n)) / n for t in range(n)]
    assert np.abs(np.imag(expected)).max() < 1e-12
    np.testing.assert_allclose(irfft(half, n=n), np.real(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("n", [None, 1, 4, 5, 9])
def test_every_axis_and_length_against_numpy(dim, n):
    x = values(3, 5, 6)
    np.testing.assert_allclose(as_complex(rfft(x, n, dim)), np.fft.rfft(x, n, dim), rtol=1e-12, atol=1e-12)
    z = as_complex(values(3, 5, 6, 2))
    np.testing.assert_allclose(irfft(as_pairs(z), n, dim), np.fft.irfft(z, n, dim), rtol=1e-12, atol=1e-12)


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_round_trip(n, seed):
    x = values(2, n, seed=seed)
    np.testing.assert_allclose(irfft(rfft(x), n=n), x, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_parseval(n, seed):
    """The energy in the series is that in all bins, of which the inner ones stand for two."""
    x = values(n, seed=seed)
    weights = np.full(n // 2 + 1, 2.0)
    weights[0] = 1.0
    if n % 2 == 0:
        weights[-1] = 1.0
    np.testing.assert_allclose(np.sum(weights * complex_abs(rfft(x)) ** 2) / n, np.sum(x * x), rtol=1e-12)


@given(st.integers(2, 30), st.integers(0, 2**32))
def test_products_of_bins_are_circular_correlations(n, seed):
    """What autocorrelation by FFT rests on (Wiener and Khinchin)."""
    x, y = values(n, seed=seed), values(n, seed=seed + 1)
    direct = [np.sum(np.roll(x, -lag) * y) for lag in range(n)]
    np.testing.assert_allclose(irfft(complex_mul(rfft(x), complex_conj(rfft(y))), n=n), direct, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n", [6, 7])
def test_the_transforms_are_each_others_adjoint(n):
    """<F x, Y> = <x, F' Y>, with both gradients taken by the engine."""
    x, spectrum = ndiv.tensor(values(4, n), requires_grad=True), values(4, n // 2 + 1, 2, seed=1)
    y = rfft(x)
    y.backward(spectrum)
    np.testing.assert_allclose(np.sum(y.numpy() * spectrum), np.sum(x.numpy() * x.grad.numpy()), rtol=1e-12)
    s, series = ndiv.tensor(spectrum, requires_grad=True), values(4, n, seed=2)
    y = irfft(s, n=n)
    y.backward(series)
    np.testing.assert_allclose(np.sum(y.numpy() * series), np.sum(spectrum * s.grad.numpy()), rtol=1e-12)
    assert not s.grad.numpy()[:, 0, 1].any()  # the imaginary part of bin 0 is not read


def test_a_long_series_keeps_its_digits():
    n = 10_007  # a prime
    t = np.arange(n)
    bins = complex_abs(rfft(np.cos(2 * np.pi * 1234 * t / n)))
    assert np.argmax(bins) == 1234
    np.testing.assert_allclose(bins[1234], n / 2, rtol=1e-11)
    assert np.delete(bins, 1234).max() < 1e-8


def test_types():
    x = values(3, 8).astype(np.float32)
    assert rfft(x).dtype == irfft(rfft(x)).dtype == np.float32
    assert rfft(np.arange(4)).dtype == np.float64  # whole numbers are not cut back to whole numbers
    t = ndiv.tensor(x, requires_grad=True)
    (complex_abs(rfft(t)) ** 2).sum().backward()
    assert t.grad.dtype == np.float32


def test_complex_arithmetic_against_numpy():
    a, b = values(3, 1, 2), values(4, 2, seed=1)
    np.testing.assert_allclose(as_complex(complex_mul(a, b)), as_complex(a) * as_complex(b), rtol=1e-14)
    np.testing.assert_array_equal(as_complex(complex_conj(a)), as_complex(a).conj())
    np.testing.assert_allclose(complex_abs(a), np.abs(as_complex(a)), rtol=1e-15)
    np.testing.assert_allclose(complex_abs(np.array([3e200, 4e200])), 5e200)  # no overflow on the way


def test_the_gradient_of_the_absolute_value_is_zero_at_zero():
    a = ndiv.tensor(np.array([[0.0, 0.0], [3.0, 4.0]]), requires_grad=True)
    complex_abs(a).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), [[0, 0], [0.6, 0.8]])


@pytest.mark.parametrize("call", [
    lambda x: rfft(x, dim=2), lambda x: rfft(x, n=0), lambda x: irfft(x), lambda x: irfft(x[..., :2], n=-1),
    lambda x: irfft(x[..., :2], dim=1), lambda x: rfft(x[0, 0]), lambda x: rfft(x, n=0), lambda x: complex_abs(x),
    lambda x: complex_mul(x, x), lambda x: complex_conj(x)])
def test_bad_arguments(call):
    with pytest.raises(ShapeError) as error:
        call(ndiv.tensor(np.ones((2, 3))))
    assert error.value.code == "E0002"
    assert error.value.hint


def test_one_bin_alone_needs_a_length():
    with pytest.raises(ShapeError, match="n is 0"):
        irfft(ndiv.tensor(np.ones((1, 2))))
    assert irfft(np.ones((1, 2)), n=3).tolist() == [1 / 3] * 3
