"""gradcheck: names the input, the element and the op; tells a kink from a wrong gradient; goes to the second order."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import ndiv
from ndiv.autograd import REGISTRY
from ndiv.autograd.check import check_node, check_sample, gradcheck, gradgradcheck
from ndiv.autograd.primitive import Sample

A, B = np.random.default_rng(0).normal(size=(3, 4)), np.random.default_rng(1).normal(size=(4, 2))


@contextmanager
def planted(op, *rules):
    good = REGISTRY[op].vjp
    REGISTRY[op].vjp = rules
    try:
        yield
    finally:
        REGISTRY[op].vjp = good


def net(x, w):
    return (x @ w).tanh().sum()


def test_right_gradients_of_both_orders():
    assert gradcheck(net, (A, B)).worst < 1e-10
    assert gradgradcheck(net, (A, B)).worst < 1e-10
    assert gradcheck(lambda x: ndiv.tensor(np.ones(3)) * x, np.ones(3))
    assert gradgradcheck(lambda x: (x * 3).sum(), A)  # whose second derivative is zero


def test_a_wrong_rule_is_named_with_its_line():
    with planted("tanh", lambda g, y, x: g * (1 - y)):
        report = gradcheck(net, (A, B))
    assert not report
    assert (report.op, report.where[0]) == ("tanh", 1)
    assert report.line.startswith(__file__)
    assert "input 1, element [" in str(report)
    assert "op at fault is tanh" in str(report)


def test_a_rule_that_is_wrong_in_the_second_order_only():
    with planted("tanh", lambda g, y, x: g * (1 - (y.detach() if hasattr(y, "detach") else y) * y)):
        assert gradcheck(net, (A, B))
        report = gradgradcheck(net, (A, B))
    assert not report
    assert report.op == "tanh"
    assert "gradient of the gradient" in str(report)


def test_a_value_that_leaves_the_tape():
    report = gradcheck(lambda x: (x.detach() * x).sum(), np.array([3.0, 1.0]))
    assert not report
    assert report.op == ""
    assert "left the tape" in str(report)


@pytest.mark.parametrize("f", [lambda x: x.relu().sum(), lambda x: ndiv.leaky_relu(x).sum(), lambda x: x.abs().sum(),
                               lambda x: ndiv.maximum(x, 0.0).sum(), lambda x: ndiv.clip(x, 0.0, 1.0).sum()])
def test_at_a_kink_a_slope_between_the_two_is_right(f):
    report = gradcheck(f, np.array([0.0, 0.7, -0.4, 1e-4]))
    assert report
    assert len(report.kinks) == 1
    assert report.kinks[0].startswith("input 0[0]: slopes ")


def test_at_a_kink_a_slope_outside_is_wrong():
    with planted("relu", lambda g, y, x: g * ((y > 0) + 1.5 * (y == 0) * (ndiv.tensor(y).numpy() == 0))):
        report = gradcheck(lambda x: x.relu().sum(), np.array([0.0, 0.7]))
    assert not report
    assert "at this kink" in str(report)


def test_ties_of_a_maximum():
    report = gradcheck(lambda x: x.amax(), np.array([1.0, 1.0, -1.0]))
    assert report
    assert len(report.kinks) == 2


def test_dropout_draws_the_same_numbers_each_time():
    assert gradcheck(lambda x: ndiv.dropout(x * x, 0.5), np.linspace(1, 2, 6))


def test_functions_that_cannot_be_checked_say_why():
    assert "different results" in str(gradcheck(lambda x: x * float(np.random.default_rng().normal()), A))
    assert "does not depend" in str(gradcheck(lambda x: 3.0, A))


def test_samples_on_kinks_are_bounded_not_skipped():
    relu = REGISTRY["relu"]
    sample = Sample((np.array([0.0, 1.0, -1.0]),), {}, "kink")
    assert check_sample(relu, sample).kinks == 1
    with planted("relu", lambda g, y, x: g * (1.5 * (y == 0) + (y > 0))):
        report = check_sample(relu, sample)
    assert not report
    assert "at a kink of output [0]" in str(report)


def test_second_order_of_one_recorded_op():
    with ndiv.trace():
        y = ndiv.tensor(A, requires_grad=True).tanh()
    assert check_node(y.node)
    assert check_node(y.node, order=2)
    with planted("tanh", lambda g, y, x: g * (1 - (y.detach() if hasattr(y, "detach") else y) * y)):
        assert check_node(y.node)
        assert not check_node(y.node, order=2)


def test_what_runs_must_agree_with_its_reference():
    prim = REGISTRY["exp"]
    before = prim.run
    prim.run = lambda x: np.exp(x) * (1 + 1e-9)
    try:
        report = check_sample(prim, prim.samples()[0])
    finally:
        prim.run = before
    assert "differs from the reference" in str(report)
