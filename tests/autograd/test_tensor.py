"""Tensor: construction, conversion, operators, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ShapeError


def test_types():
    assert ndiv.tensor([1.0, 2.0]).dtype == np.float32
    assert ndiv.tensor(np.ones(2)).dtype == np.float64
    assert ndiv.tensor(np.ones(2, np.float32)).dtype == np.float32
    assert ndiv.tensor([1, 2]).dtype.kind == "i"
    assert ndiv.tensor(3.0).shape == ()


def test_a_tensor_owns_its_values():
    x = np.ones(3)
    t = ndiv.tensor(x)
    x[0] = 5
    assert t.numpy()[0] == 1


def test_values_in_a_graph_are_read_only():
    w = ndiv.tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    for t in (w, y):
        with pytest.raises(ValueError, match="read-only"):
            t.numpy()[0] = 3
    with pytest.raises(ShapeError, match="not written element by element"):
        w[0] = 1.0
    free = ndiv.tensor([1.0])
    free.numpy()[0] = 2.0
    assert float(free) == 2.0


@pytest.mark.parametrize("bad", ["text", [[1.0], [1.0, 2.0]], [None], {"a": 1}])
def test_what_is_not_numbers_is_refused(bad):
    with pytest.raises(ShapeError) as error:
        ndiv.tensor(bad)
    assert error.value.code == "E0002"


def test_integers_have_no_gradient():
    with pytest.raises(ShapeError, match="floating-point"):
        ndiv.tensor([1, 2], requires_grad=True)


def test_operators_take_arrays_and_numbers_on_either_side():
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    t = ndiv.tensor(a)
    for left, right, expected in [(t, 2, a * 2), (2, t, 2 * a), (a, t, a * a), (t, a, a * a)]:
        out = left * right
        assert isinstance(out, ndiv.Tensor)
        np.testing.assert_array_equal(out.numpy(), expected)
    np.testing.assert_array_equal((1 - t).numpy(), 1 - a)
    np.testing.assert_array_equal((1 / t).numpy(), 1 / a)
    np.testing.assert_array_equal((a @ t).numpy(), a @ a)
    np.testing.assert_array_equal((2.0 ** t).numpy(), 2.0 ** a)
    np.testing.assert_array_equal((-t).numpy(), -a)
    np.testing.assert_array_equal((t > 2).numpy(), a > 2)
    np.testing.assert_array_equal(t.T.numpy(), a.T)
    np.testing.assert_array_equal(t[:, 0].numpy(), a[:, 0])


def test_arrays_in_give_arrays_out():
    assert isinstance(ndiv.tanh(np.ones(2)), np.ndarray)
    assert isinstance(ndiv.softmax(np.ones((2, 3))), np.ndarray)


def test_numpy_names_are_accepted_for_axes():
    x = ndiv.tensor(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(ndiv.sum(x, axis=0, keepdims=True).numpy(), ndiv.sum(x, dim=0, keepdim=True).numpy())


def test_numbers_of_one_element():
    assert float(ndiv.tensor([2.5])) == 2.5
    assert bool(ndiv.tensor(1.0))
    with pytest.raises(ShapeError, match="one element"):
        ndiv.tensor([1.0, 2.0]).item()


def test_repr_says_what_it_is():
    assert "requires_grad=True" in repr(ndiv.tensor([1.0], requires_grad=True))
    assert "op=mul" in repr(ndiv.tensor([1.0], requires_grad=True) * 2)


def test_shape_errors_name_everything():
    a, b = ndiv.tensor(np.ones((3, 4))), ndiv.tensor(np.ones((5, 2)))
    with pytest.raises(ShapeError) as error:
        a @ b
    text = str(error.value)
    for part in ("E0002", "matmul", "a: float64[3, 4]", "b: float64[5, 2]", "k is 4 in a and 5 in b", "Rule:", "Hint:"):
        assert part in text
    assert error.value.context["op"] == "matmul"
    with pytest.raises(ShapeError, match="transpose"):
        ndiv.tensor(np.ones((3, 4))) @ ndiv.tensor(np.ones((2, 4)))
