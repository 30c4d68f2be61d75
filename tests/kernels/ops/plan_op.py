"""Runs one plan operation against its reference, for tests: on every instruction set, on one and on several threads.

    agree("softmax", [x], {})                  # shapes and dtypes by the record, values to its bound, the same bits always
    refused("softmax", [x], [y])               # operands that prepare must not let through
"""

import contextlib

import numpy as np
import pytest

from ndiv.backends import native, threadpool
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops import PLAN_OPS
from ndiv.program.ops.record import encode


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


@contextlib.contextmanager
def using(isa, threads=1):
    """Under that instruction set and number of threads."""
    before = native.isa(), threadpool.threads()
    native.select(isa)
    threadpool.set_threads(threads)
    try:
        yield
    finally:
        native.select(before[0])
        threadpool.set_threads(before[1])


def run(name, inputs, attrs, constant=()):
    """The outputs, as the record describes them."""
    op = PLAN_OPS[name]
    outs = [np.full(shape, 7, dtype) for shape, dtype in op.metas(attrs, *[(x.shape, x.dtype) for x in inputs])]
    call_op(name, inputs, outs, encode(op, attrs), constant)
    return outs


def same(a, b):
    """The same bits; any NaN is a NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    nan = np.isnan(a)
    return np.array_equal(nan, np.isnan(b)) and np.where(nan, 0, a).tobytes() == np.where(nan, 0, b).tobytes()


def agree(name, inputs, attrs, bound=None, threads=(1, 3), terms=False):
    """The outputs, after checks: every instruction set and number of threads gives the same bits, near the reference run
    in double, relative to the largest element (of products and sums of the absolute values, with ``terms``), or equal to
    that in float32 where the record says exact."""
    op = PLAN_OPS[name]
    results = []
    for isa in native.isas():
        for count in threads:
            with using(isa, count):
                results.append(run(name, inputs, attrs))
    for other in results[1:]:
        for i, (a, b) in enumerate(zip(other, results[0], strict=True)):
            assert same(a, b), f"{name} gives other bits of output {i}"
    wide = [x if op.exact or x.dtype != np.float32 else x.astype(np.float64) for x in inputs]
    with np.errstate(all="ignore"):
        want = op.reference(*wide, **attrs)
        sizes = op.reference(*map(np.abs, wide), **attrs) if terms else want
    for got, w, size in zip(results[0], *(r if isinstance(r, tuple) else (r,) for r in (want, sizes)), strict=True):
        assert got.shape == w.shape
        if op.exact:
            np.testing.assert_array_equal(got, w)
        else:
            finite = np.abs(size[np.isfinite(size)])
            scale = finite.max() if finite.size else 1.0
            np.testing.assert_allclose(got, w, rtol=0, atol=(bound or op.bound) * max(scale, 1e-30))
    return results[0]


def on_threads(function):
    """Checks that ``function`` gives the same bits on one thread and on three."""
    results = []
    for count in (1, 3):
        with using(native.isa(), count):
            results.append(function())
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def refused(name, inputs, outputs, attrs=()):
    with pytest.raises(ShapeError):
        call_op(name, inputs, outputs, attrs)
