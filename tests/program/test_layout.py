"""Layouts: any chain of views is where NumPy says it is, and what is not one needs a copy that is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ndiv
from ndiv.autograd import REGISTRY
from ndiv.autograd.ops.shape import Key
from ndiv.autograd.tape import apply
from ndiv.backends import native
from ndiv.program.executable import Executable
from ndiv.program.ir import Eqn, Value
from ndiv.program.layout import Layout, broadcast, dense, view
from ndiv.program.trace import trace

DIMS = st.lists(st.integers(0, 4), max_size=4)


def elements(layout):
    """The elements of a root 0, 1, 2 ... that a layout shows, one by one."""
    out = np.empty(layout.shape, np.int64)
    for index in np.ndindex(*layout.shape):
        out[index] = layout.offset + sum(i * s for i, s in zip(index, layout.strides, strict=True))
    return out


def factors(data, n):
    """A shape with n elements."""
    shape = []
    while n > 1 and data.draw(st.booleans()):
        d = data.draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0]))
        shape.append(d)
        n //= d
    return (*shape, n) if n != 1 or not shape or data.draw(st.booleans()) else tuple(shape)


def some_view(data, x):
    """(op, attributes) of a random view of an array."""
    kind = data.draw(st.sampled_from(["reshape", "permute", "expand", "getitem", "getitem"]))
    if kind == "reshape":
        return kind, {"shape": factors(data, x.size) if x.size else tuple(data.draw(st.permutations(x.shape)))}
    if kind == "permute":
        return kind, {"dims": tuple(data.draw(st.permutations(range(x.ndim))))}
    if kind == "expand":
        lead = tuple(data.draw(st.lists(st.integers(1, 3), max_size=1)))
        return kind, {"shape": (*lead, *(data.draw(st.integers(0, 3)) if n == 1 else n for n in x.shape))}
    end = st.one_of(st.none(), st.integers(-5, 5))
    slices = st.builds(slice, end, end, st.sampled_from([None, 1, 2, 3, -1, -2]))
    front = data.draw(st.integers(0, x.ndim))
    back = data.draw(st.integers(0, x.ndim - front))
    parts = [data.draw(st.one_of(st.integers(-n, n - 1), slices) if n else slices) for n in x.shape[:front]]
    if back or data.draw(st.booleans()):
        tail = x.shape[x.ndim - back:]
        parts += [Ellipsis, *(data.draw(st.one_of(st.integers(-n, n - 1), slices) if n else slices) for n in tail)]
    if data.draw(st.booleans()):
        parts.insert(data.draw(st.integers(0, len(parts))), None)
    return kind, {"key": Key(tuple(parts))}


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_chain_of_views(data):
    shape = tuple(data.draw(DIMS))
    root = Value("x", shape, np.float32)
    layout, x = dense(root), np.arange(root.size).reshape(shape)
    for _ in range(data.draw(st.integers(1, 5))):
        op, attrs = some_view(data, x)
        after = np.asarray(REGISTRY[op].run(x, **attrs))
        if after.ndim > 6 or after.size > 4000:
            break
        found = view(layout, Eqn(op, [root], attrs, [Value("y", after.shape, np.float32)]))
        shared = np.may_share_memory(after, x) or not after.size or op != "reshape"
        assert (found is not None) == shared, "NumPy copies where we do, and only there"
        if found is None:
            break
        x, layout = after, found
        assert layout.root is root and layout.shape == x.shape
        np.testing.assert_array_equal(elements(layout), x)
        if x.size:  # without elements either answer will do
            assert layout.is_dense == bool((np.diff(x.reshape(-1)) == 1).all())
            assert layout.whole == (layout.is_dense and layout.offset == 0 and x.size == root.size)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_broadcast(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    wide = (*data.draw(st.lists(st.integers(1, 3), max_size=2)), *(data.draw(st.integers(1, 3)) if n == 1 else n for n in shape))
    layout = dense(Value("x", shape, np.float32))
    np.testing.assert_array_equal(elements(broadcast(layout, wide)), np.broadcast_to(elements(layout), wide))


def test_one_element_of_a_view_stays_a_view():
    """NumPy copies a single element out of its array; a layout must not follow it."""
    x = Value("x", (3, 4), np.float32)
    e = Eqn("getitem", [x], {"key": Key((2, -1))}, [Value("y", (), np.float32)])
    assert view(dense(x), e) == Layout(x, 11, (), ())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_plans_of_views(data):
    """Views, then an operation that reads them, then views as results: copies come where they must."""
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int64, np.bool_]))
    x = np.arange(int(np.prod(shape))).reshape(shape)
    chain = []
    for _ in range(data.draw(st.integers(1, 4))):
        op, attrs = some_view(data, x)
        after = np.asarray(REGISTRY[op].run(x, **attrs))
        if after.ndim > 6 or after.size > 2000:
            break
        chain.append((op, attrs))
        x = after

    def f(a):
        for op, attrs in chain:
            a = apply(REGISTRY[op], (a,), attrs)
        return a, (a * 2.0 if dtype is np.float32 else a)

    given_array = (np.arange(int(np.prod(shape))).reshape(shape) % 7).astype(dtype)
    wanted = f(given_array)
    traced = trace(f, (given_array,), "f")
    for engine in ["numpy", *(["native"] if native.isas() and dtype is not np.float64 else [])]:
        for got, w in zip(Executable(traced.program, engine=engine)([given_array]), wanted, strict=True):
            assert got.dtype == w.dtype
            np.testing.assert_array_equal(got, w)


@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed"])
def test_arguments_of_any_layout(order):
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    given_array = {"C": x, "F": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=1)[:, ::2], "reversed": x[::-1][::-1]}[order]
    f = ndiv.compile(lambda a: a.swapaxes(0, 1) @ a)
    np.testing.assert_array_equal(f(given_array).numpy(), f(x.copy()).numpy())
