"""Special functions: values against closed forms and the standard library, laws, edges, and derivatives of higher order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.autograd.ops import special
from ndiv.errors import ConfigError

GAMMA, ZETA3 = 0.5772156649015329, 1.2020569031595942
positive = st.floats(1e-6, 1e6)
relative = {"rtol": 4e-15, "atol": 0.0}


def spread(n=4000):
    rng = np.random.Generator(np.random.Philox(key=[8, 8]))
    return np.concatenate([np.exp(rng.uniform(-18, 18, n)), rng.uniform(0.01, 12, n), 1 + rng.normal(size=500) * 1e-3,
                           2 + rng.normal(size=500) * 1e-3])


@pytest.mark.parametrize(("ours", "theirs"), [(special.erf, math.erf), (special.erfc, math.erfc)])
def test_error_functions_against_the_standard_library(ours, theirs):
    x = np.concatenate([np.linspace(-6, 26, 4001), np.exp(np.linspace(-40, 0, 200)), -np.exp(np.linspace(-40, 0, 200))])
    np.testing.assert_allclose(ours(x), [theirs(v) for v in x], **relative)


def test_lgamma_against_the_standard_library():
    x = spread()
    # math.lgamma is itself only accurate to a few parts in 1e15 of max(1, |y|) near its roots
    np.testing.assert_allclose(special.lgamma(x), [math.lgamma(v) for v in x], rtol=4e-15, atol=4e-15)
    negative = -np.linspace(0.05, 30.45, 305)
    np.testing.assert_allclose(special.lgamma(negative), [math.lgamma(v) for v in negative], rtol=1e-13, atol=1e-13)


def test_lgamma_is_relatively_accurate_at_its_roots():
    for e in (1e-3, 1e-6, 1e-9, -1e-5):
        z2, z3 = math.pi ** 2 / 6, ZETA3
        for root, first in ((1.0, -GAMMA), (2.0, 1 - GAMMA)):
            d = (root + e) - root  # the step that was really taken
            more = (z2 - (root == 2), -(z3 - (root == 2)), math.pi ** 4 / 90 - (root == 2))
            series = first * d + more[0] * d ** 2 / 2 + more[1] * d ** 3 / 3 + more[2] * d ** 4 / 4
            assert special.lgamma(np.array(root + e)) == pytest.approx(series, rel=1e-11 if abs(e) > 1e-4 else 4e-15)


def test_known_values_of_the_polygammas():
    x = np.array([1.0, 0.5, 2.0, 10.0])
    harmonic = sum(1 / k for k in range(1, 10))
    np.testing.assert_allclose(special.digamma(x), [-GAMMA, -GAMMA - 2 * math.log(2), 1 - GAMMA, harmonic - GAMMA], **relative)
    z2 = math.pi ** 2 / 6
    np.testing.assert_allclose(special.polygamma(1, x[:3]), [z2, math.pi ** 2 / 2, z2 - 1], **relative)
    np.testing.assert_allclose(special.polygamma(2, x[:2]), [-2 * ZETA3, -14 * ZETA3], **relative)
    np.testing.assert_allclose(special.polygamma(3, x[:1]), [math.pi ** 4 / 15], **relative)
    assert special.polygamma(0, np.array(1.0)) == special.digamma(np.array(1.0))


def test_digamma_at_its_root():
    root = 1.4616321449683622  # the double below the root, which is 9.55e-17 further
    assert special.digamma(np.array(root)) == pytest.approx(-9.549995429965697e-17 * 0.9676722454476212, rel=1e-13)


@given(positive)
def test_recurrences(x):
    a = np.array(x)
    # the absolute parts are the rounding of the two terms on the right
    assert special.lgamma(a + 1) == pytest.approx(special.lgamma(a) + math.log(x), rel=1e-12, abs=1e-14)
    assert special.digamma(a + 1) == pytest.approx(special.digamma(a) + 1 / x, rel=1e-12, abs=1e-14 + 4e-16 / x)
    for n in (1, 2, 5):
        step = (-1) ** n * math.factorial(n) * x ** -(n + 1)
        assert special.polygamma(n, a + 1) == pytest.approx(special.polygamma(n, a) + step, rel=1e-8, abs=1e-12 * abs(step))


@given(st.floats(0.01, 0.99))
def test_reflections(x):
    a = np.array(x)
    assert special.lgamma(a) + special.lgamma(1 - a) == pytest.approx(math.log(math.pi / math.sin(math.pi * x)), rel=1e-13)
    assert special.digamma(1 - a) - special.digamma(a) == pytest.approx(math.pi / math.tan(math.pi * x), abs=1e-12)
    assert special.digamma(-a) == pytest.approx(special.digamma(1 - a) + 1 / x, rel=1e-12, abs=1e-12)
    assert special.polygamma(1, -a) == pytest.approx(special.polygamma(1, 1 - a) + x ** -2, rel=1e-12)


@given(st.floats(0.05, 1e4))
def test_duplication(x):
    a = np.array(x)
    both = special.lgamma(a) + special.lgamma(a + 0.5)
    whole = special.lgamma(2 * a) + (1 - 2 * x) * math.log(2) + 0.5 * math.log(math.pi)
    assert both == pytest.approx(whole, rel=1e-13, abs=1e-13)


@given(st.floats(-30, 30))
def test_error_function_laws(x):
    a = np.array(x)
    assert special.erf(-a) == -special.erf(a)
    assert special.erf(a) + special.erfc(a) == pytest.approx(1, abs=4e-16)


def test_edges():
    inf, nan = np.inf, np.nan
    x = np.array([0.0, -0.0, -1.0, -2.0, inf, -inf, nan])
    before = x.copy()
    np.testing.assert_array_equal(special.lgamma(x), [inf, inf, inf, inf, inf, inf, nan])
    np.testing.assert_array_equal(special.digamma(x), [-inf, inf, nan, nan, inf, nan, nan])
    np.testing.assert_array_equal(special.polygamma(1, x[:5]), [inf, inf, inf, inf, 0])
    np.testing.assert_array_equal(special.polygamma(2, x[2:4]), [nan, nan])
    np.testing.assert_array_equal(special.erf(x), [0, -0.0, math.erf(-1), math.erf(-2), 1, -1, nan])
    np.testing.assert_array_equal(special.erfc(x[4:]), [0, 2, nan])
    np.testing.assert_array_equal(x, before)
    assert special.lgamma(np.array(1e-300)) == pytest.approx(300 * math.log(10))
    assert special.lgamma(np.array(1e300)) == pytest.approx(1e300 * (300 * math.log(10) - 1), rel=1e-14)


@pytest.mark.parametrize("name", ["erf", "erfc", "lgamma", "digamma"])
def test_float32_is_the_rounded_float64(name):
    x = spread(300).astype(np.float32)
    y = getattr(special, name)(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, getattr(special, name)(x.astype(np.float64)).astype(np.float32))


def test_derivatives_of_higher_order():
    x = np.array([0.3, 1.7, 6.0])
    f = special.lgamma
    for n in range(4):
        f = ndiv.grad(lambda t, f=f: f(t).sum(), create_graph=True)
        np.testing.assert_allclose(f(x).numpy(), special.polygamma(n, x), rtol=1e-14)


def test_gelu_against_its_definition():
    x = np.linspace(-9, 9, 201)
    phi = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    # rounding x / sqrt(2) costs x^2 / 2 units in the last place of the left tail, in both
    np.testing.assert_allclose(special.gelu(x), x * phi, rtol=4e-14)
    near = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    np.testing.assert_allclose(special.gelu(x, approximate="tanh"), near, rtol=1e-12, atol=1e-18)
    assert np.abs(special.gelu(x) - near).max() < 1e-3
    for form in ("none", "tanh"):
        assert ndiv.gradcheck(lambda t, form=form: special.gelu(t, form), x[::20])


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="approximate"):
        special.gelu(np.ones(2), "exact")
    for n in (-1, 1.5, 101):
        with pytest.raises(ConfigError, match="whole number"):
            special.polygamma(n, np.ones(2))
