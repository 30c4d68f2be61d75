"""Embeddings: rows by number, the padding row, and positions."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.embedding import Embedding, LearnedPositionalEncoding, PositionalEncoding, sinusoidal_positions


def test_rows_and_their_gradients():
    m = Embedding(4, 3)
    index = np.array([[0, 3, 3], [1, 3, 0]])
    y = m(index)
    np.testing.assert_array_equal(y.numpy(), m.weight.numpy()[index])
    y.sum().backward()
    np.testing.assert_array_equal(m.weight.grad.numpy()[:, 0], [2, 1, 0, 3])  # as often as each was named
    assert m(ndiv.tensor(index)).shape == m(index.tolist()).shape == (2, 3, 3)


@pytest.mark.parametrize("padding_idx", [1, -3])
@pytest.mark.parametrize("wrap", [np.asarray, ndiv.tensor, list])
def test_the_padding_row_is_not_trained(padding_idx, wrap):
    m = Embedding(4, 2, padding_idx)
    assert not m.weight.numpy()[1].any()
    m.weight.copy_(np.ones((4, 2)))
    y = m(wrap([1, 0, 1, 2]))
    np.testing.assert_array_equal(y.numpy(), np.ones((4, 2)))  # it keeps what it was given
    y.sum().backward()
    np.testing.assert_array_equal(m.weight.grad.numpy()[:, 0], [1, 0, 1, 0])


def test_first_values_are_standard_normal():
    ndiv.manual_seed(0)
    w = Embedding(1000, 50).weight.numpy()
    assert w.dtype == np.float32
    assert abs(w.mean()) < 0.02 and abs(w.std() - 1) < 0.02


@pytest.mark.parametrize("d", [1, 2, 5, 8])
def test_positions_are_sines_and_cosines(d):
    table = sinusoidal_positions(30, d, np.float64)
    for t in range(30):
        for j in range(d):
            angle = t / 10_000 ** (2 * (j // 2) / d)
            assert table[t, j] == pytest.approx(math.cos(angle) if j % 2 else math.sin(angle), abs=1e-13)
    x = np.zeros((2, 30, d), np.float32)
    np.testing.assert_array_equal(PositionalEncoding(d)(ndiv.tensor(x)).numpy()[1], sinusoidal_positions(30, d))


def test_a_shift_is_a_rotation():
    """What the sinusoids are for: position t + k is a fixed linear map of position t (Vaswani et al. 2017)."""
    table = sinusoidal_positions(50, 6, np.float64)
    shift, *_ = np.linalg.lstsq(table[:-7], table[7:], rcond=None)
    np.testing.assert_allclose(table[:-7] @ shift, table[7:], atol=1e-10)
    np.testing.assert_allclose(shift @ shift.T, np.eye(6), atol=1e-8)


@pytest.mark.parametrize("m", [PositionalEncoding(4), LearnedPositionalEncoding(20, 4)], ids=["sinusoidal", "learned"])
def test_start_continues_where_the_series_was_cut(m):
    x = ndiv.tensor(np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32))
    whole = m(x).numpy()
    np.testing.assert_array_equal(m(x[:, 5:], start=5).numpy(), whole[:, 5:])
    assert whole.dtype == np.float32
    assert m(x[0]).shape == (9, 4)
    with pytest.raises(ShapeError, match="d_model is 4"):
        m(x[:, :, :3])


def test_learned_positions_are_trained_where_used():
    m = LearnedPositionalEncoding(5, 2)
    m(ndiv.tensor(np.zeros((3, 4, 2), np.float32))).sum().backward()
    np.testing.assert_array_equal(m.weight.grad.numpy()[:, 0], [3, 3, 3, 3, 0])
    for start in (2, -1):
        with pytest.raises(ShapeError, match="of a table with 5"):
            m(ndiv.tensor(np.zeros((3, 4, 2), np.float32)), start=start)


def test_dropout_comes_after_the_sum():
    m, x = PositionalEncoding(4, 0.5), ndiv.tensor(np.ones((1, 50, 4), np.float32))
    assert (m(x).numpy() == 0).any()
    assert (m.eval()(x).numpy() == 1 + sinusoidal_positions(50, 4)).all()


@pytest.mark.parametrize("make", [
    lambda: Embedding(0, 3), lambda: Embedding(3, 2.5), lambda: Embedding(3, 2, 3), lambda: Embedding(3, 2, -4),
    lambda: PositionalEncoding(0), lambda: LearnedPositionalEncoding(0, 4), lambda: sinusoidal_positions(3, 0)])
def test_bad_configurations(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("index", [np.array([0, 4]), np.array([-1]), np.array([0.5])])
def test_bad_indices(index):
    with pytest.raises(ShapeError):
        Embedding(4, 2, 0)(index)
