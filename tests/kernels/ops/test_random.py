"""The family random: dropout draws what kernels.dropout draws, whatever the instruction set."""

import contextlib

import numpy as np
import pytest
from plan_op import on_threads

from ndiv.backends import kernels, native
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops import PLAN_OPS, SELECT
from ndiv.program.ops.record import encode

ISAS = native.isas()
OP = PLAN_OPS["dropout"]


@contextlib.contextmanager
def using(isa):
    before = native.isa()
    native.select(isa)
    try:
        yield
    finally:
        native.select(before)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999999, 1.0])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 9), (64,), (65,), (3, 100, 17), (300, 400)], ids=str)
def test_dropout(isa, p, shape):
    x = np.asarray(np.random.default_rng(0).normal(size=shape), np.float32)
    for key, stream, offset in ((7, 3, 0), (-1, -2, 5), (2**40 + 1, 2**63 - 1, 1), (0, 5, -3)):
        rng = np.array([key, stream])
        out = np.full_like(x, 99)
        with using(isa):
            call_op("dropout", [x, rng], [out], encode(OP, {"p": p, "offset": offset}))
        want = kernels.dropout(x, p, key % 2**64, (stream + offset) % 2**64)
        np.testing.assert_array_equal(out, want)
        np.testing.assert_array_equal(OP.reference(x, rng, p, offset), want)


def test_dropout_in_place():
    x, rng = np.ones((50, 3), np.float32), np.array([1, 2])
    want = OP.reference(x, rng, 0.3, 0)
    call_op("dropout", [x, rng], [x], encode(OP, {"p": 0.3, "offset": 0}))
    np.testing.assert_array_equal(x, want)


def test_threads_change_nothing():
    x, rng = np.random.default_rng(1).normal(size=300_001).astype(np.float32), np.array([3, 4])

    def draw():
        out = np.empty_like(x)
        call_op("dropout", [x, rng], [out], encode(OP, {"p": 0.3, "offset": 9}))
        return [out]

    on_threads(draw)


F, R = np.zeros((3, 4), np.float32), np.zeros(2, np.int64)


def half(p):
    return [int(np.float64(p).view(np.int64)), 0]


@pytest.mark.parametrize("inputs, outputs, attrs", [
    ([F, R], [F], half(-0.1)), ([F, R], [F], half(1.1)), ([F, R], [F], half(np.nan)), ([F, R], [F], half(0.5)[:1]),
    ([F], [F], half(0.5)), ([F, None], [F], half(0.5)), ([None, R], [F], half(0.5)), ([F, R], [None], half(0.5)),
    ([F, R[:1]], [F], half(0.5)), ([F, R.astype(np.int32)], [F], half(0.5)), ([F.T, R], [F.T], half(0.5)),
    ([F, R], [F[:2]], half(0.5)), ([F.astype(float), R], [F], half(0.5)), ([F, np.zeros(4, np.int64)[::2]], [F], half(0.5))])
def test_refusals(inputs, outputs, attrs):
    for isa in ISAS:
        with using(isa), pytest.raises(ShapeError, match="refused its operands"):
            call_op("dropout", inputs, outputs, attrs)


def test_the_rule_asks_for_the_plan_s_counter():
    emitted, keys = [], []

    class Builder:
        def rng(self, key):
            keys.append(key)
            return R

        def emit(self, name, inputs, attrs, outputs):
            emitted.append((name, inputs[1] is R, attrs))

    SELECT["dropout"](Builder(), [F], {"p": 0.25, "key": 11, "stream": 4}, [F])
    assert emitted == [("dropout", True, {"p": 0.25, "offset": 4})] and keys == [11]
    assert SELECT["dropout"](Builder(), [F.astype(int)], {"p": 0.25, "key": 11, "stream": 4}, [F]) is False
