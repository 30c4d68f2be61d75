"""Pooling against NumPy, bit for bit: every size of window, ties, NaNs, padding; what is refused."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_op import agree, numbers, refused, run

from ndiv.autograd import REGISTRY, Tensor
from ndiv.autograd.ops.pool import max_pool1d

SIZES = [1, 2, 3, 4, 8, 16, 25]


def rounded(*shape, seed=0):
    """Numbers with many ties."""
    return np.round(numbers(*shape, seed=seed), 0)


@pytest.mark.parametrize("stride", SIZES)
@pytest.mark.parametrize("kernel", SIZES)
def test_windows_of_the_last_axis(kernel, stride):
    for n in (1, 7, 31, 96, 200):
        x = rounded(6, n)
        for ceil_mode in (False, True):
            if n < kernel and not ceil_mode:
                continue
            attrs = {"kernel": kernel, "stride": stride, "ceil_mode": ceil_mode}
            (y,) = agree("max_pool1d", [x], attrs, threads=(1,))
            agree("max_pool1d_bwd", [numbers(*y.shape), x], attrs, threads=(1,))
        if n >= kernel:
            attrs = {"kernel": kernel, "stride": stride}
            (y,) = agree("avg_pool1d", [numbers(6, n)], attrs, threads=(1,))
            agree("avg_unpool1d", [numbers(*y.shape)], {**attrs, "size": n}, threads=(1,))


@pytest.mark.parametrize("kernel", [2, 3, 8])
def test_large_on_threads(kernel):
    x = rounded(700, 96)
    attrs = {"kernel": kernel, "stride": kernel, "ceil_mode": True}
    (y,) = agree("max_pool1d", [x], attrs)
    agree("max_pool1d_bwd", [numbers(*y.shape), x], attrs)
    agree("avg_pool1d", [numbers(700, 96)], {"kernel": kernel, "stride": 1})
    agree("avg_unpool1d", [numbers(700, 97 - kernel)], {"kernel": kernel, "stride": 1, "size": 96})


@pytest.mark.parametrize("kernel", [2, 3, 4, 16])
def test_special_values(kernel):
    """A NaN is the largest, and its place the first NaN; -0 and 0 are equal; infinities are numbers."""
    x = np.random.default_rng(kernel).choice(np.float32([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0]), (40, 96))
    attrs = {"kernel": kernel, "stride": kernel, "ceil_mode": True}
    (y,) = agree("max_pool1d", [x], attrs)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(REGISTRY["max_pool1d"].run(x, **attrs)))
    agree("max_pool1d_bwd", [numbers(*y.shape), x], attrs)


@pytest.mark.parametrize("n", [96, 97])
@pytest.mark.parametrize("kernel", [2, 3, 8])
def test_the_gradient_is_the_engines(kernel, n):
    x = Tensor(rounded(32, n), requires_grad=True)
    y = max_pool1d(x, kernel, ceil_mode=True)
    g = numbers(*y.shape)
    (y * g).sum().backward()
    attrs = {"kernel": kernel, "stride": kernel, "ceil_mode": True}
    np.testing.assert_array_equal(run("max_pool1d_bwd", [g, x.data], attrs)[0], x.grad)


def samples(name):
    return [(np.ascontiguousarray(s.inputs[0], np.float32), s.attrs) for s in REGISTRY[name].samples()]


@pytest.mark.parametrize(("name", "i"), [(n, i) for n in ("max_pool", "avg_pool") for i in range(len(samples(n)))])
def test_windows_with_padding(name, i):
    x, attrs = samples(name)[i]
    agree(name, [x], attrs)
    agree(name, [np.round(x * 2)], attrs)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_window(data):
    axes = data.draw(st.integers(1, 2))
    size = tuple(data.draw(st.integers(1, 12 if axes == 2 else 50)) for _ in range(axes))
    kernel = tuple(data.draw(st.integers(1, 5)) for _ in range(axes))
    stride = tuple(data.draw(st.integers(1, 4)) for _ in range(axes))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    dilation = tuple(data.draw(st.integers(1, 3)) for _ in range(axes))
    ceil_mode = data.draw(st.booleans())
    x = rounded(2, 3, *size, seed=data.draw(st.integers(0, 9)))
    if data.draw(st.booleans()):
        x.flat[:: 5] = np.nan
    common = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    for name, more in (("max_pool", {"dilation": dilation}), ("avg_pool", {"count_include_pad": data.draw(st.booleans())})):
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, more.get("dilation", (1,) * axes), strict=True)]
        if all(r <= n + 2 * p for r, n, p in zip(reach, size, padding, strict=True)):
            agree(name, [x], {**common, **more}, threads=(1,))


def test_refusals():
    x, y = numbers(3, 8), np.empty((3, 4), np.float32)
    for attrs in ([], [2], [2, 2], [0, 2, 0], [2, 0, 0], [2, -1, 0], [9, 9, 0], [2, 1, 0], [1 << 40, 2, 1], [2, 1 << 40, 1]):
        refused("max_pool1d", [x], [y], attrs)
    refused("max_pool1d", [x], [numbers(4, 4)], [2, 2, 0])
    refused("max_pool1d", [numbers(8, 3).T], [y], [2, 2, 0])
    refused("max_pool1d", [x.astype(np.float64)], [y], [2, 2, 0])
    refused("max_pool1d", [np.empty((3, 0), np.float32)], [y], [2, 2, 1])
    refused("max_pool1d_bwd", [y, x], [numbers(3, 7)], [2, 2, 0])
    refused("max_pool1d_bwd", [numbers(3, 5), x], [numbers(3, 8)], [2, 2, 0])
    refused("avg_pool1d", [x], [y], [2, 2, 0])
    refused("avg_unpool1d", [y], [x], [2, 2, 9])
    good = [1, 2, 1, 2, 1, 0, 1, 1, 0]
    index = np.empty((3, 4), np.int64)
    for i in range(9):
        for value in (-1, 7, 1 << 60) if i != 8 else ():
            refused("max_pool", [x], [y, index], [*good[:i], value, *good[i + 1:]])
    refused("max_pool", [x], [y, y], good)
    refused("max_pool", [x], [y, index], good[:-1])
    refused("max_pool", [x], [y, index], [])
    refused("max_pool", [x], [numbers(2, 4), index], good)
    refused("avg_pool", [x], [y], [1, 2, 1, 2, 1, 2, 0, 0])
    refused("avg_pool", [x], [numbers(4)], [1, 2, 1, 2, 1, 0, 0, 0])
