"""Derivatives from values alone: accurate where there is one, and honest where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from ndiv.verify.differences import complex_step, directional, richardson

ONE = np.ones(())


@pytest.mark.parametrize(("f", "df", "x"), [
    (np.exp, np.exp, 0.3), (np.tanh, lambda x: 1 - np.tanh(x) ** 2, -1.1), (lambda x: x**4, lambda x: 4 * x**3, 0.0),
    (lambda x: np.exp(200 * x), lambda x: 200 * np.exp(200 * x), 0.05), (np.log, lambda x: 1 / x, 1e-3),
    (np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-2), (lambda x: 1e6 + np.sin(x), np.cos, 0.4)])
def test_smooth_functions_settle_without_a_kink(f, df, x):
    d = directional(lambda v: [f(v)], [np.array(x)], [ONE])
    assert d.kinks == 0
    assert d.value[0] == pytest.approx(df(x), rel=1e-8, abs=d.error[0] + 1e-11)
    assert d.error[0] <= 1e-6 * abs(df(x)) + 1e-11


def test_complex_step_and_richardson_agree():
    x, u = np.array([0.3, -1.0, 2.0]), np.array([1.0, 0.5, -2.0])
    f = lambda v: [np.sin(v) * np.exp(v), np.sum(v * v)]  # noqa: E731
    for a, b in zip(complex_step(f, [x], [u]), richardson(f, [x], [u]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


@pytest.mark.parametrize(("f", "left", "right"), [
    (np.abs, -1, 1), (lambda x: np.maximum(x, 0), 0, 1), (lambda x: np.where(x > 0, 3 * x, np.expm1(x)), 1, 3),
    (lambda x: np.minimum(np.sin(x), 2 * x), 2, 1)])
def test_on_a_kink_both_slopes_are_known(f, left, right):
    d = directional(lambda v: [f(v)], [np.zeros(())], [ONE])
    assert d.kinks == 1
    low, high = sorted((float(d.left[0]), float(d.right[0])))
    assert low == pytest.approx(min(left, right), abs=1e-4)
    assert high == pytest.approx(max(left, right), abs=1e-4)


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 3e-6, 1e-6, 2e-7])
def test_beside_a_kink_the_slope_is_found_or_bounded(distance):
    d = directional(lambda v: [np.maximum(v, 0)], [np.array([distance, -distance])], [np.ones(2)])
    for i, slope in enumerate((1.0, 0.0)):
        if d.kink[0][i]:
            assert d.left[0][i] <= slope <= d.right[0][i]
            assert distance < 3e-6
        else:
            assert d.value[0][i] == pytest.approx(slope, abs=1e-8)


def test_where_the_function_jumps_any_slope_is_allowed():
    d = directional(lambda v: [np.sign(v) + 5 * v], [np.zeros(())], [ONE])
    assert d.kinks == 1
    assert (d.left[0], d.right[0]) == (-np.inf, np.inf)


def test_elements_are_judged_one_by_one():
    x = np.array([-1.0, 0.0, 1e-4, 1.0])
    d = directional(lambda v: [np.abs(v) ** 1.0], [x], [np.ones(4)])
    assert d.kink[0].tolist() == [False, True, False, False]
    np.testing.assert_allclose(d.value[0][[0, 2, 3]], [-1, 1, 1], atol=1e-9)
