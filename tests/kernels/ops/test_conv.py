"""Convolution and its two gradients against NumPy in double, over one and two axes; the laws that bind the three."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_op import agree, numbers, refused, run

BOUND = 2e-6  # of the sum of absolute values: some roundings of 2^-24, each of a part of the sum

SHAPES = [  # batch, channels, output channels, groups, size, kernel
    (2, 3, 4, 1, (7,), (3,)), (2, 4, 6, 2, (9,), (2,)), (2, 3, 6, 3, (6,), (1,)), (5, 8, 16, 1, (40,), (3,)),
    (1, 16, 19, 1, (96,), (5,)), (2, 1, 1, 1, (20,), (4,)), (3, 6, 6, 6, (33,), (3,)), (40, 7, 20, 1, (24,), (3,)),
    (2, 2, 3, 1, (5, 4), (2, 3)), (1, 4, 4, 2, (5, 5), (3, 1)), (2, 8, 9, 1, (12, 7), (3, 3)), (1, 2, 2, 1, (6, 20), (5, 5)),
    (2, 4, 8, 1, (4, 24), (11, 11)), (3, 5, 17, 1, (1, 50), (1, 3)), (9, 3, 11, 1, (10, 2), (3, 3)),
]
SETTINGS = [(1, 1, 0, 0), (1, 1, 1, 2), (2, 1, 1, 1), (1, 2, 4, 0), (3, 2, 3, 5), (5, 1, 0, 2), (1, 1, 5, 5), (4, 3, 0, 0)]


def setting(axes, stride=1, dilation=1, before=0, after=0, groups=1):
    return {"stride": (stride,) * axes, "padding": (before, after) * axes, "dilation": (dilation,) * axes, "groups": groups}


def three(x, w, attrs, **how):
    """conv, and both gradients of it with respect to a cotangent of its shape."""
    how = {"terms": True, "bound": BOUND, **how}
    (y,) = agree("conv", [x, w], attrs, **how)
    g = numbers(*y.shape, seed=9)
    (gx,) = agree("conv_grad_input", [g, w], {**attrs, "size": x.shape[2:]}, **how)
    (gw,) = agree("conv_grad_weight", [x, g], {**attrs, "kernel": w.shape[2:]}, **how)
    return g, y, gx, gw


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_every_setting(case):
    b, c, o, groups, size, kernel = case
    x, w = numbers(b, c, *size), numbers(o, c // groups, *kernel, seed=1)
    for stride, dilation, before, after in SETTINGS:
        if all(n + before + after >= dilation * (k - 1) + 1 for n, k in zip(size, kernel, strict=True)):
            three(x, w, setting(len(size), stride, dilation, before, after, groups), threads=(1,))


@pytest.mark.parametrize(("x", "w"), [((32, 16, 96), (20, 16, 3)), ((1, 32, 500), (40, 32, 3)), ((4, 8, 12, 24), (16, 8, 5, 5)),
                                      ((2, 200, 50), (200, 200, 3))], ids=str)
def test_on_threads(x, w):
    axes = len(x) - 2
    three(numbers(*x), numbers(*w, seed=1), setting(axes, 1, 1, 2, 2))


def test_axes_with_settings_of_their_own():
    x, w = numbers(2, 3, 9, 11), numbers(4, 3, 3, 2, seed=1)
    three(x, w, {"stride": (2, 3), "padding": (1, 0, 2, 3), "dilation": (2, 1), "groups": 1})
    three(x, w, {"stride": (1, 2), "padding": (0, 4, 0, 1), "dilation": (1, 4), "groups": 1})


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0), (1, 0, 2)])
def test_inputs_of_any_strides(order):
    """Transposed, reversed, repeated (stride 0): the same bits as a dense copy gives."""
    inverse = np.argsort(order)
    x = numbers(*[(3, 5, 20)[i] for i in order]).transpose(inverse)[:, :, ::-1]
    w = numbers(*[(4, 5, 3)[i] for i in order], seed=1).transpose(inverse)
    attrs = setting(1, 1, 2, 4, 0)
    (y,) = run("conv", [x, w], attrs)
    np.testing.assert_array_equal(y, run("conv", [x.copy(), w.copy()], attrs)[0])
    g = np.broadcast_to(numbers(1, 4, 1), y.shape)
    for name, inputs, more in (("conv_grad_input", (g, w), {"size": (20,)}), ("conv_grad_weight", (x, g), {"kernel": (3,)})):
        np.testing.assert_array_equal(run(name, inputs, {**attrs, **more})[0],
                                      run(name, [a.copy() for a in inputs], {**attrs, **more})[0])


@pytest.mark.parametrize("stride", [1, 2])
def test_constant_weights_change_nothing(stride):
    x, w = numbers(2, 6, 30), numbers(14, 3, 3, seed=1)
    attrs = setting(1, stride, 1, 1, 1, 2)
    (y,) = run("conv", [x, w], attrs)
    np.testing.assert_array_equal(run("conv", [x, w], attrs, constant=(1,))[0], y)
    more = {**attrs, "size": (30,)}
    (gx,) = run("conv_grad_input", [y, w], more)
    np.testing.assert_array_equal(run("conv_grad_input", [y, w], more, constant=(1,))[0], gx)


@pytest.mark.parametrize(("x", "w"), [((0, 3, 5), (2, 3, 2)), ((2, 0, 5), (3, 0, 2)), ((2, 3, 5), (0, 3, 2)),
                                      ((2, 0, 5), (0, 0, 2)), ((0, 3, 5, 5), (2, 3, 2, 2))], ids=str)
def test_empty(x, w):
    axes = len(x) - 2
    attrs, x, w = setting(axes), numbers(*x), numbers(*w)
    (y,) = run("conv", [x, w], attrs)
    (gx,) = run("conv_grad_input", [y, w], {**attrs, "size": x.shape[2:]})
    (gw,) = run("conv_grad_weight", [x, y], {**attrs, "kernel": w.shape[2:]})
    assert not y.any() and not gx.any() and not gw.any() and gx.shape == x.shape and gw.shape == w.shape


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_one_trilinear_form(data):
    """<g, conv(x, w)> = <conv_grad_input(g, w), x> = <conv_grad_weight(x, g), w>, to the rounding of its terms."""
    axes = data.draw(st.integers(1, 2))
    draw = lambda low, high: tuple(data.draw(st.integers(low, high)) for _ in range(axes))  # noqa: E731
    size, kernel, stride, dilation = draw(1, 20), draw(1, 4), draw(1, 5), draw(1, 3)
    padding = tuple(itertools.chain(*zip(draw(0, 6), draw(0, 6), strict=True)))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(n + padding[2 * i] + padding[2 * i + 1] < reach[i] for i, n in enumerate(size)):
        return
    b, c, o, groups = (data.draw(st.integers(1, 3)) for _ in range(4))
    x, w = numbers(b, c * groups, *size), numbers(o * groups, c, *kernel, seed=1)
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    g, y, gx, gw = three(x, w, attrs, threads=(1,))
    forms = [np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in ((g, y), (gx, x), (gw, w))]
    size_of_terms = np.abs(g).sum() * np.abs(w).max() * np.abs(x).max() * w[0].size
    np.testing.assert_allclose(forms, forms[0], rtol=0, atol=1e-6 * size_of_terms)


def test_refusals():
    x, w, y = numbers(2, 4, 9), numbers(6, 2, 3), np.empty((2, 6, 4), np.float32)
    good = [1, 2, 2, 1, 0, 1, 1, 2]  # stride 2, padding 1 and 0, dilation 1, groups 2
    run("conv", [x, w], {"stride": (2,), "padding": (1, 0), "dilation": (1,), "groups": 2})
    for i in range(len(good)):
        for value in (-1, 0, 3, 5, 1 << 40, -(1 << 62)):
            if value != good[i] and (i, value) != (3, 0):  # which gives as many places
                refused("conv", [x, w], [y], [*good[:i], value, *good[i + 1:]])
    for n in range(len(good)):
        refused("conv", [x, w], [y], good[:n])
    refused("conv", [x, w], [y], [*good, 9])
    refused("conv", [x], [y], good)
    refused("conv", [x, None], [y], good)
    refused("conv", [x, w.astype(np.float64)], [y], good)
    refused("conv", [x, w], [numbers(2, 4, 6).transpose(0, 2, 1)], good)
    refused("conv", [x, w], [numbers(2, 6, 5)], good)
    refused("conv", [numbers(2, 4, 9, 1), w], [y], good)
    refused("conv_grad_input", [y, w], [numbers(2, 4, 9)], good)
    refused("conv_grad_input", [y, w], [numbers(2, 4, 9)], [*good, 1, 8])
    refused("conv_grad_input", [y, w], [numbers(2, 4, 8)], [*good, 1, 9])
    refused("conv_grad_weight", [x, y], [numbers(6, 2, 3)], [*good, 1, 2])
    refused("conv_grad_weight", [x, y], [numbers(6, 2, 0)], [*good, 1, 0])
    huge = np.lib.stride_tricks.as_strided(x, (2, 1 << 20, 1 << 20), (0, 0, 0))  # what it would take overflows nothing
    refused("conv", [huge, w], [y], good)
