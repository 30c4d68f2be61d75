"""rfft and irfft against NumPy's in double: any length, any layout; their laws; what is refused."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_op import agree, numbers, refused, run

LENGTHS = [*range(1, 34), 48, 49, 96, 97, 100, 121, 143, 168, 192, 250, 336, 360, 500, 512, 720, 721, 1009, 2000]


@pytest.mark.parametrize("n", LENGTHS)
def test_lengths(n):
    for rows in (1, 5, 33):
        agree("rfft", [numbers(rows, n)], {"n": n, "dim": 1}, threads=(1,))
        agree("irfft", [numbers(rows, n // 2 + 1, 2)], {"n": n, "dim": 1}, threads=(1,))


@pytest.mark.parametrize("n", [8, 9, 96])
@pytest.mark.parametrize("have", [1, 5, 8, 9, 40, 96, 120])
def test_cut_and_filled(n, have):
    agree("rfft", [numbers(18, have)], {"n": n, "dim": 1})
    agree("irfft", [numbers(18, have, 2)], {"n": n, "dim": 1})


@pytest.mark.parametrize("inner", [1, 3, 16, 20, 37])
@pytest.mark.parametrize("n", [12, 15])
def test_axes(n, inner):
    """dim first, in the middle and last; dense, transposed, reversed, repeated."""
    bins = n // 2 + 1
    agree("rfft", [numbers(n, inner)], {"n": n, "dim": 0})
    agree("rfft", [numbers(4, n, inner)], {"n": n, "dim": 1})
    agree("rfft", [numbers(4, n, inner).transpose(0, 2, 1)], {"n": n, "dim": 2})
    agree("rfft", [numbers(n, inner, 4).transpose(2, 0, 1)[:, ::-1]], {"n": n, "dim": 1})
    agree("rfft", [np.broadcast_to(numbers(1, n, 1), (3, n, inner))], {"n": n, "dim": 1})
    agree("irfft", [numbers(bins, inner, 2)], {"n": n, "dim": 0})
    agree("irfft", [numbers(4, bins, inner, 2)], {"n": n, "dim": 1})
    agree("irfft", [numbers(4, bins, inner, 2).transpose(0, 2, 1, 3)], {"n": n, "dim": 2})
    agree("irfft", [numbers(2, inner, bins, 4).transpose(3, 2, 1, 0)], {"n": n, "dim": 1})


def test_many_rows_on_threads():
    agree("rfft", [numbers(700, 96)], {"n": 96, "dim": 1})
    agree("irfft", [numbers(10, 49, 64, 2)], {"n": 96, "dim": 1})


@pytest.mark.parametrize("shape", [(0, 4), (2, 4, 0), (0, 4, 3)])
def test_empty(shape):
    assert run("rfft", [numbers(*shape)], {"n": 4, "dim": 1})[0].size == 0
    assert run("irfft", [numbers(*shape, 2)], {"n": 6, "dim": 1})[0].size == 0


def test_nothing_to_transform_is_zeros():
    np.testing.assert_array_equal(run("rfft", [numbers(3, 0)], {"n": 4, "dim": 1})[0], np.zeros((3, 3, 2)))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 200), rows=st.integers(1, 20), seed=st.integers(0, 99))
def test_laws(n, rows, seed):
    """irfft undoes rfft; Parseval; a shifted series has the same absolute values; imaginary parts of real bins are 0."""
    x = numbers(rows, n, seed=seed)
    (z,) = run("rfft", [x], {"n": n, "dim": 1})
    np.testing.assert_allclose(run("irfft", [z], {"n": n, "dim": 1})[0], x, rtol=0, atol=3e-6 * np.abs(x).max())
    assert not z[:, 0, 1].any() and (n % 2 or not z[:, -1, 1].any())
    power = (z.astype(np.float64)**2).sum(-1)
    weight = np.full(n // 2 + 1, 2.0)
    weight[0] = 1
    weight[-1] = 2 - (n % 2 == 0) if n > 1 else 1
    np.testing.assert_allclose((power * weight).sum(1) / n, (x.astype(np.float64)**2).sum(1), rtol=3e-6)
    shifted = (run("rfft", [np.roll(x, 3, 1)], {"n": n, "dim": 1})[0].astype(np.float64)**2).sum(-1)
    np.testing.assert_allclose(shifted, power, rtol=0, atol=3e-6 * power.max())


def test_a_series_does_not_depend_on_its_neighbours():
    x = numbers(40, 96)
    x[3] = np.nan
    x[17] = np.inf
    whole = run("rfft", [x], {"n": 96, "dim": 1})[0]
    for i in (0, 2, 4, 16, 18, 39):
        np.testing.assert_array_equal(whole[i], run("rfft", [x[i:i + 1]], {"n": 96, "dim": 1})[0][0])


def test_accuracy_grows_slowly():
    """Relative to the root mean square of the spectrum, as a good transform in float32: some 1e-7."""
    for n in (96, 336, 720, 2000):
        x = numbers(64, n)
        want = np.fft.rfft(x.astype(np.float64))
        z = run("rfft", [x], {"n": n, "dim": 1})[0]
        error = np.sqrt(np.mean(np.abs(z[..., 0] + 1j * z[..., 1] - want)**2) / np.mean(np.abs(want)**2))
        assert error < 2.5e-7


def test_refusals():
    x, z = numbers(3, 8), np.empty((3, 5, 2), np.float32)
    for attrs in ([], [8], [8, 2], [8, -1], [0, 1], [-4, 1], [1 << 50, 1], [10, 1], [8, 1, 0]):
        refused("rfft", [x], [z], attrs)
        refused("irfft", [z], [x], attrs)
    refused("rfft", [x], [numbers(3, 5)], [8, 1])
    refused("rfft", [x], [numbers(2, 5, 2)], [8, 1])
    refused("rfft", [x], [numbers(3, 5, 3)], [8, 1])
    refused("rfft", [x], [numbers(2, 5, 3).T], [8, 1])
    refused("rfft", [x.astype(np.float64)], [z], [8, 1])
    refused("rfft", [np.zeros((), np.float32)], [np.zeros((2,), np.float32)], [1, 0])
    refused("irfft", [np.empty((3, 0, 2), np.float32)], [x], [8, 1])
    refused("irfft", [numbers(3, 5, 1)], [x], [8, 1])
    refused("irfft", [None], [x], [8, 1])
