"""Convolution and pooling: values against loops over the definition, the laws that tie the family together, refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv.autograd import REGISTRY, apply
from ndiv.autograd.ops.conv import (
    avg_pool,
    avg_pool2d,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    max_pool,
    max_pool2d,
)
from ndiv.autograd.ops.pool import avg_pool1d, max_pool1d
from ndiv.errors import ConfigError, ShapeError


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 31])).normal(size=shape)


def naive(x, w, stride, padding, dilation, groups):
    """The definition, one number at a time; tuples for each axis."""
    (b, c), size, (out, _), kernel = x.shape[:2], x.shape[2:], w.shape[:2], w.shape[2:]
    places = [(n + 2 * p - d * (k - 1) - 1) // s + 1
              for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)]
    y = np.zeros((b, out, *places))
    for i, o in itertools.product(range(b), range(out)):
        first = o // (out // groups) * (c // groups)
        for at in np.ndindex(*places):
            for j, k in itertools.product(range(c // groups), np.ndindex(*kernel)):
                where = tuple(a * s + q * d - p for a, s, q, d, p in zip(at, stride, k, dilation, padding, strict=True))
                if all(0 <= v < n for v, n in zip(where, size, strict=True)):
                    y[(i, o, *at)] += w[(o, j, *k)] * x[(i, first + j, *where)]
    return y


@st.composite
def settings(draw_one, axes):
    """(size, kernel, stride, padding, dilation, groups, batch) of a convolution that has at least one window."""
    ints = lambda low, high: tuple(draw_one(st.integers(low, high)) for _ in range(axes))  # noqa: E731
    kernel, stride, padding, dilation = ints(1, 3), ints(1, 3), ints(0, 2), ints(1, 2)
    size = tuple(max(1, d * (k - 1) + 1 - 2 * p) + draw_one(st.integers(0, 4))
                 for k, p, d in zip(kernel, padding, dilation, strict=True))
    return size, kernel, stride, padding, dilation, draw_one(st.sampled_from([1, 2])), draw_one(st.integers(1, 2))


@given(settings(1), st.booleans())
def test_conv1d_against_loops(setting, depthwise):
    size, kernel, stride, padding, dilation, groups, batch = setting
    c = groups if depthwise else 2 * groups
    x, w, b = draw(batch, c, *size), draw(2 * groups, c // groups, *kernel, seed=1), draw(2 * groups, seed=2)
    expected = naive(x, w, stride, padding, dilation, groups) + b[:, None]
    np.testing.assert_allclose(conv1d(x, w, b, stride[0], padding[0], dilation[0], groups), expected, rtol=1e-12, atol=1e-12)


@given(settings(2))
def test_conv2d_against_loops(setting):
    size, kernel, stride, padding, dilation, groups, batch = setting
    x, w = draw(batch, 2 * groups, *size), draw(groups, 2, *kernel, seed=1)
    np.testing.assert_allclose(conv2d(x, w, None, stride, padding, dilation, groups),
                               naive(x, w, stride, padding, dilation, groups), rtol=1e-12, atol=1e-12)


@given(settings(2), st.booleans())
def test_the_three_primitives_are_one_form(setting, depthwise):
    """<conv(x, w), g> = <x, conv_grad_input(g, w)> = <w, conv_grad_weight(x, g)>, for random x, w and g."""
    size, kernel, stride, padding, dilation, groups, batch = setting
    attrs = {"stride": stride, "padding": tuple((p, p + 1) for p in padding), "dilation": dilation, "groups": groups}
    c = groups if depthwise else 2 * groups
    x, w = draw(batch, c, *size), draw(3 * groups, c // groups, *kernel, seed=1)
    y = apply(REGISTRY["conv"], (x, w), attrs)
    g = draw(*y.shape, seed=2)
    gx = apply(REGISTRY["conv_grad_input"], (g, w), {**attrs, "size": size})
    gw = apply(REGISTRY["conv_grad_weight"], (x, g), {**attrs, "kernel": kernel})
    np.testing.assert_allclose([np.vdot(gx, x), np.vdot(gw, w)], np.vdot(y, g), rtol=1e-11, atol=1e-11)


def test_conv_laws():
    x, w = draw(2, 3, 20), draw(4, 3, 5, seed=1)
    shifted = conv1d(np.roll(x, 3, axis=2), w)
    np.testing.assert_allclose(shifted[..., 3:], conv1d(x, w)[..., :-3], rtol=1e-12)  # a shift in time stays one
    unit = np.eye(3)[:, :, None]
    np.testing.assert_array_equal(conv1d(x, unit), x)
    np.testing.assert_allclose(conv2d(x[:, :, None], w[:, :, None])[:, :, 0], conv1d(x, w), rtol=1e-12)
    np.testing.assert_allclose(conv1d(x[0], w), conv1d(x, w)[0], rtol=1e-12)  # without a batch


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 3])
def test_same_padding_keeps_the_length(kernel, dilation):
    x, w = draw(2, 3, 9), draw(4, 3, kernel, seed=1)
    y = conv1d(x, w, padding="same", dilation=dilation)
    spare = dilation * (kernel - 1)
    padded = np.pad(x, ((0, 0), (0, 0), (spare // 2, spare - spare // 2)))
    np.testing.assert_allclose(y, naive(padded, w, (1,), (0,), (dilation,), 1), rtol=1e-12, atol=1e-12)
    assert y.shape == (2, 4, 9)
    assert conv1d(x, w, padding="valid", dilation=1).shape == (2, 4, 10 - kernel)


@pytest.mark.parametrize(("stride", "padding", "extra", "groups", "dilation"), [
    (1, 0, 0, 1, 1), (2, 1, 1, 2, 1), (3, 2, 2, 1, 2)])
def test_transposed_convolution_against_its_definition(stride, padding, extra, groups, dilation):
    """Each input value lays down a scaled copy of the kernel; overlaps add up."""
    x, w = draw(2, 4, 5), draw(4, 3, 3, seed=1)
    n = (5 - 1) * stride + dilation * 2 + 1
    full = np.zeros((2, 3 * groups, n + extra))
    for c, p, k in itertools.product(range(4), range(5), range(3)):
        first = c // (4 // groups) * 3
        full[:, first:first + 3, p * stride + k * dilation] += x[:, c, p, None] * w[c, :, k]
    expected = full[:, :, padding:n + extra - padding]
    y = conv_transpose1d(x, w, None, stride, padding, extra, groups, dilation)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    y2 = conv_transpose2d(x[:, :, None], w[:, :, None], None, (1, stride), (0, padding), (0, extra), groups, (1, dilation))
    np.testing.assert_allclose(y2[:, :, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 3])
def test_second_derivatives(groups):
    x, w = draw(2, 3, 7), draw(6, 3 // groups, 3, seed=1)

    def gradient(x, w):
        gx, gw = ndiv.grad(lambda a, b: (conv1d(a, b, stride=2, padding=1, groups=groups) ** 3).sum(), argnums=(0, 1),
                           create_graph=True)(x, w)
        return (gx**2).sum() + (gw**2).sum()

    report = ndiv.gradcheck(gradient, (x, w))
    assert report, str(report)


def test_float32_and_inputs_are_kept():
    x, w, b = (v.astype(np.float32) for v in (draw(2, 4, 9), draw(4, 2, 3, seed=1), draw(4, seed=2)))
    before = [v.copy() for v in (x, w, b)]
    leaves = [ndiv.tensor(v, requires_grad=True) for v in (x, w, b)]
    y = avg_pool(max_pool(conv1d(*leaves, padding=1, groups=2), 2, padding=1), 2)
    y.sum().backward()
    assert y.dtype == np.float32
    assert all(t.grad.dtype == np.float32 for t in leaves)
    for v, old in zip((x, w, b), before, strict=True):
        np.testing.assert_array_equal(v, old)


@given(settings(2), st.booleans(), st.booleans())
def test_pooling_against_loops(setting, ceil_mode, counted):
    """Windows as in `naive`; in ceil mode also the last that begins before the end, cut off there."""
    size, kernel, stride, padding, _, _, batch = setting
    padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    size = tuple(max(n, k) for n, k in zip(size, kernel, strict=True))
    x = draw(batch, 2, *size)
    starts = [[a for a in range(-p, n + p, s) if a + k <= n + p or (ceil_mode and a < n)]
              for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]
    for axis, (n, k, p) in enumerate(zip(size, kernel, padding, strict=True)):
        ends = [i for i, a in enumerate(starts[axis]) if a + k >= n + p]
        starts[axis] = starts[axis][:ends[0] + 1] if ends else starts[axis]  # none begins after one has met the end
    largest, average = np.zeros((2, batch, 2, *map(len, starts)))
    for (i, row), (j, column) in itertools.product(enumerate(starts[0]), enumerate(starts[1])):
        window = x[:, :, max(row, 0):min(row + kernel[0], size[0]), max(column, 0):min(column + kernel[1], size[1])]
        largest[:, :, i, j] = window.max((2, 3))
        cells = [min(a + k, n + p) - a for a, k, n, p in zip((row, column), kernel, size, padding, strict=True)]
        average[:, :, i, j] = window.sum((2, 3)) / (cells[0] * cells[1] if counted else window[0, 0].size)
    values, index = max_pool2d(x, kernel, stride, padding, 1, ceil_mode, return_indices=True)
    np.testing.assert_array_equal(values, largest)
    picked = np.take_along_axis(x.reshape(batch, 2, -1), index.reshape(batch, 2, -1), 2)
    np.testing.assert_array_equal(picked.reshape(values.shape), values)
    np.testing.assert_allclose(avg_pool2d(x, kernel, stride, padding, ceil_mode, counted), average, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (5, 1), (4, 3)])
def test_pooling_over_one_axis_agrees_with_the_plain_forms(kernel, stride, ceil_mode):
    x = draw(2, 3, 11)
    np.testing.assert_array_equal(max_pool(x, kernel, stride, ceil_mode=ceil_mode), max_pool1d(x, kernel, stride, ceil_mode))
    np.testing.assert_allclose(avg_pool(x, kernel, stride, ceil_mode=ceil_mode), avg_pool1d(x, kernel, stride, ceil_mode),
                               rtol=1e-12)


def test_max_pooling_of_special_values():
    x = np.array([[-np.inf, -np.inf, 1.0, np.nan, 2.0, -np.inf]])
    values, index = max_pool(x, 2, return_indices=True)
    np.testing.assert_array_equal(values, [[-np.inf, np.nan, 2.0]])  # nan wins, as in PyTorch
    np.testing.assert_array_equal(index, [[0, 3, 4]])
    assert max_pool(np.full((1, 3), -np.inf), 3, 1, 1, return_indices=True)[1].min() >= 0  # padding never wins


@pytest.mark.parametrize(("call", "words"), [
    (lambda: conv1d(ndiv.tensor(draw(2, 3, 5)), draw(4, 2, 3)), "x has 3 channels"),
    (lambda: conv1d(ndiv.tensor(draw(2, 3, 5)), draw(4, 3, 9)), "kernel reaches over 9"),
    (lambda: conv1d(ndiv.tensor(draw(2, 3, 5, 5)), draw(4, 3, 3)), "the input has 4 axes"),
    (lambda: conv2d(ndiv.tensor(draw(2, 3, 5, 5)), draw(4, 3, 3)), "the weight has 3 axes"),
    (lambda: conv1d(ndiv.tensor(draw(2, 3, 5)), draw(4, 3, 2), dilation=5), "kernel reaches over 6"),
    (lambda: max_pool2d(ndiv.tensor(draw(2, 3, 5)), 2, padding=2), "at most half"),
])
def test_shapes_that_do_not_fit(call, words):
    with pytest.raises(ShapeError, match=words):
        call()


@pytest.mark.parametrize("call", [
    lambda x, w: conv1d(x, w, padding="sane"), lambda x, w: conv1d(x, w, padding="same", stride=2),
    lambda x, w: conv1d(x, w, stride=(1, 2)), lambda x, w: conv_transpose1d(x, w, output_padding=1)])
def test_arguments_that_make_no_sense(call):
    with pytest.raises(ConfigError):
        call(draw(2, 3, 9), draw(3, 3, 3))
