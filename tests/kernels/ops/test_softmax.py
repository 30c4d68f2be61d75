"""softmax, log_softmax and their gradients against NumPy in double; laws; what is refused."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_op import agree, numbers, refused, run

from ndiv.backends.call import call_op

OPS = ("softmax", "log_softmax")
SHAPES = [(1, 1), (5, 1), (3, 2), (7, 8), (40, 5), (33, 15), (2, 16), (3, 17), (2, 3, 24), (4, 100), (3, 720), (600, 96), (9,)]
EMPTY = [(0, 4), (3, 0), (2, 0, 3)]


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_values(name, shape):
    agree(name, [numbers(*shape) * 5], {})


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
def test_gradients(shape):
    g, x = numbers(*shape, seed=1), numbers(*shape)
    agree("softmax_bwd", [g, run("softmax", [x], {})[0]], {})
    agree("log_softmax_bwd", [g, run("log_softmax", [x], {})[0]], {})


@pytest.mark.parametrize("n", [3, 8, 20, 50])
@pytest.mark.parametrize("name", OPS)
def test_special_values(name, n):
    """Rows with infinities and NaNs follow the formula, and leave the other rows alone."""
    x = numbers(8, n)
    x[0, 1] = np.inf
    x[1, 2] = -np.inf
    x[2] = -np.inf
    x[3, 0] = np.nan
    x[4] = 1e30
    x[5, 0], x[5, 1:] = 88.0, -88.0
    x[6] = 0.0
    y = agree(name, [x], {}, bound=1e-6)[0]
    assert np.isfinite(y[6:]).all()
    if name == "softmax":
        assert y[1, 2] == 0 and np.isnan(y[2]).all() and np.isnan(y[3]).all()
        np.testing.assert_array_equal(y[6], np.float32(1) / np.float32(n))


@pytest.mark.parametrize("name", OPS)
def test_in_place(name):
    x = numbers(20, 37)
    want = run(name, [x], {})[0]
    call_op(name, [x], [x])
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("name", [f"{name}_bwd" for name in OPS])
@pytest.mark.parametrize("which", [0, 1])
def test_gradient_in_place(name, which):
    inputs = [numbers(20, 37, seed=1), -np.abs(numbers(20, 37))]
    want = run(name, inputs, {})[0]
    call_op(name, inputs, [inputs[which]])
    np.testing.assert_array_equal(inputs[which], want)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), n=st.integers(1, 70), shift=st.floats(-50, 50, width=32), seed=st.integers(0, 99))
def test_rows_sum_to_one_and_a_shift_changes_little(rows, n, shift, seed):
    x = numbers(rows, n, seed=seed)
    y = run("softmax", [x], {})[0]
    np.testing.assert_allclose(y.sum(1, dtype=np.float64), 1.0, rtol=2e-6)
    moved = run("softmax", [x + np.float32(shift)], {})[0]
    np.testing.assert_allclose(moved, y, rtol=3e-5, atol=0)  # x + shift is rounded to 2^-19 before exp


def test_a_row_does_not_depend_on_the_others():
    x = numbers(50, 9)
    whole = run("softmax", [x], {})[0]
    for i in (0, 17, 49):
        np.testing.assert_array_equal(run("softmax", [x[i:i + 1]], {})[0][0], whole[i])


@pytest.mark.parametrize("name", OPS)
def test_refusals(name):
    x, y = numbers(3, 4), numbers(3, 4)
    refused(name, [x], [])
    refused(name, [x, x], [y])
    refused(name, [None], [y])
    refused(name, [x], [None])
    refused(name, [x], [y], [1])
    refused(name, [x], [numbers(4, 3)])
    refused(name, [x], [numbers(12)])
    refused(name, [x.astype(np.float64)], [y])
    refused(name, [x], [y.astype(np.float64)])
    refused(name, [numbers(4, 3).T], [y])
    refused(name, [np.zeros((), np.float32)], [np.zeros((), np.float32)])
    refused(name + "_bwd", [x], [y])
    refused(name + "_bwd", [x, numbers(4, 3)], [y])
