"""Tracing: the program of a function, and every way in which a function can depend on more than its tape shows."""

import numpy as np
import pytest

import ndiv
from ndiv.errors import TraceBreak
from ndiv.program.trace import other_data, trace

F = np.float32
X = np.linspace(-1, 1, 6, dtype=F).reshape(2, 3)


def test_inputs_states_and_constants_are_told_apart():
    w = ndiv.nn.Parameter(np.ones((3, 2), F))
    c = np.full((2, 2), 0.5, F)
    t = trace(lambda batch: {"y": batch["x"] @ w + c}, ({"x": X},), "f", {id(w): "layer.weight"})
    p = t.program
    assert [v.name for v in p.inputs] == ["x0.x"] and [v.name for v in p.states] == ["layer.weight"]
    assert len(p.consts) == 1 and t.tensors == {"layer.weight": w}
    assert [e.op for e in p.eqns] == ["matmul", "add"]


BREAKS = {
    "float": (lambda x: x * float(x.sum()), "reads the value"),
    "bool": (lambda x: x if x.sum() > 0 else -x, "reads the value"),
    "item": (lambda x: x * x.sum().item(), "reads the value"),
    "numpy": (lambda x: x + np.asarray(x.numpy()), "reads the value"),
    "tolist": (lambda x: x * x.tolist()[0][0], "reads the value"),
    "asarray": (lambda x: x + np.asarray(x), "reads the value"),
    "data": (lambda x: x + np.abs(x.data), "constant"),
    "branch on data": (lambda x: x * 2 if x.data[0, 0] < -0.99 else x, "became"),
    "generator": (lambda x: x + ndiv.random.generator().normal(), "NumPy generator"),
    "attribute": (lambda x: x[:, :1 + int(x.data[0, 0] == -1)], "became"),
    "structure": (lambda x: [x] * (1 + int(x.data[0, 0] == -1)), "became|structure"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_depends_on_the_data_beside_the_tape_is_a_trace_break(case):
    f, match = BREAKS[case]
    with pytest.raises(TraceBreak, match=match) as caught:
        trace(f, (X,))
    assert caught.value.code == "E0012" and caught.value.hint


def test_the_line_at_fault_is_named():
    def f(x):
        keep = np.abs(x.data)
        return x * keep  # the line

    with pytest.raises(TraceBreak, match=r"mul, program/test_trace\.py:\d+"):
        trace(f, (X,))


def test_reading_is_free_outside_a_trace_and_after_a_break():
    with pytest.raises(TraceBreak):
        trace(lambda x: x * float(x.sum()), (X,))
    assert float(ndiv.tensor(X).sum()) == pytest.approx(0.0, abs=1e-6)


def test_detached_values_stay_on_the_tape():
    p = trace(lambda x: x * x.detach(), (X,)).program
    assert not p.consts and "mul" in [e.op for e in p.eqns]


def test_random_streams_are_counted_from_the_base():
    t = trace(lambda x: ndiv.dropout(ndiv.dropout(x, 0.5), 0.25), (X,))
    assert t.streams == 2
    assert [e.attrs["stream"] for e in t.program.eqns] == [0, 1] and {e.attrs["key"] for e in t.program.eqns} == {0}


@pytest.mark.parametrize("a", [np.ones((50, 2), F), np.arange(100), np.arange(100) % 2 == 0, np.linspace(0, 1, 100),
                               np.arange(100.0), (np.arange(100) % 2).astype(F)])
def test_other_data_are_of_the_same_kind(a):
    b = other_data(a, 3)
    assert b.shape == a.shape and b.dtype == a.dtype and (b != a).any()
    if (a == np.round(a)).all():
        assert set(np.unique(b)) <= set(np.unique(a)) | {0, 1}
    assert (b >= 0).all()
