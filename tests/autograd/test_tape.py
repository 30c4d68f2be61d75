"""The tape: order, table, source lines, lifetime, recording modes."""

from __future__ import annotations

import gc
import weakref

import numpy as np

import ndiv
from ndiv.autograd.tape import trace


def test_order_and_table():
    x = ndiv.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    w = ndiv.tensor(np.ones((3, 4), np.float32), requires_grad=True)
    tape = ndiv.Tape.of((x @ w).tanh().sum())
    assert [n.prim.name for n in tape] == ["matmul", "tanh", "sum"]
    text = str(tape)
    assert "flops" in text and "[2, 4]" in text and "48" in text  # 2 * 2 * 4 * 3 flops
    assert __file__.split("/")[-1] in text


def test_lines_point_at_the_caller_through_layers_and_composites():
    layer = ndiv.nn.Linear(3, 4, activation="relu")
    y = layer(ndiv.tensor(np.ones((2, 3), np.float32))).mean()  # this line
    lines = {n.line.rpartition(":")[0] for n in ndiv.Tape.of(y)}
    assert lines == {__file__}


def test_graphs_live_as_long_as_their_outputs():
    x = ndiv.tensor(np.ones(3), requires_grad=True)
    y = (x * 2).exp()
    node = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert node() is None  # reference counting alone frees it: there are no cycles
    finally:
        gc.enable()


def test_only_what_backward_needs_is_saved():
    x = ndiv.tensor(np.ones((4, 5)), requires_grad=True)
    add, tanh = (x + 1.0).node, x.tanh().node
    assert add.inputs[0] == (4, 5) and add.out is None
    assert tanh.inputs[0] == (4, 5) and tanh.out.shape == (4, 5)


def test_tracing_keeps_every_value_even_without_gradients():
    x = ndiv.tensor(np.ones(3))
    with trace():
        y = (x * 2).exp()
    tape = ndiv.Tape.of(y)
    assert [n.prim.name for n in tape] == ["mul", "exp"]
    np.testing.assert_array_equal(tape.nodes[0].inputs[0], np.ones(3))
    assert (x * 2).node is None


def test_no_grad_as_decorator_and_nested():
    x = ndiv.tensor([1.0], requires_grad=True)

    @ndiv.no_grad()
    def f():
        with ndiv.enable_grad():
            inner = x * 2
        return inner.requires_grad, (x * 2).requires_grad

    assert f() == (True, False)
    assert ndiv.is_grad_enabled()
