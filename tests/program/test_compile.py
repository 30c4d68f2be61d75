"""ndiv.compile: the same numbers as the function, for every structure of arguments; gradients inside; guards; training on."""

import threading

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError, NdivError, ShapeError, TraceBreak
from ndiv.program import compiled

F = np.float32
X = np.linspace(-1, 1, 12, dtype=F).reshape(3, 4)


def test_structures_of_arguments_and_results():
    fast = ndiv.compile(lambda d, k: {"a": [d["x"] * k, d["y"][0] + 1], "b": (d["x"].sum(), 7)})
    out = fast({"x": X, "y": (X + 1,)}, 3.0)
    np.testing.assert_allclose(out["a"][0].numpy(), X * 3)
    np.testing.assert_allclose(out["a"][1].numpy(), X + 2)
    assert out["b"][1] == 7 and float(out["b"][0]) == pytest.approx(X.sum(), abs=1e-6)


def test_a_plan_for_each_shape_and_each_number():
    fast = ndiv.compile(lambda x, k: x * k)
    for x, k in ((X, 2.0), (X[:2], 2.0), (X, 3.0), (X, 2.0)):
        np.testing.assert_allclose(fast(x, k).numpy(), x * F(k))
    assert fast.made == 3 and len(fast.plans) == 3


def test_the_cache_forgets_the_oldest():
    fast = ndiv.compile(lambda x: x + 1)
    for n in range(1, compiled.CACHE + 4):
        fast(np.ones(n, F))
    assert len(fast.plans) == compiled.CACHE


def test_too_many_shapes_leave_it_uncompiled_and_say_so(monkeypatch):
    monkeypatch.setattr(compiled, "PATIENCE", 3)
    fast = ndiv.compile(lambda x: x + 1)
    with pytest.warns(UserWarning, match="stays uncompiled"):
        for n in range(1, 6):
            np.testing.assert_allclose(fast(np.ones(n, F)), np.full(n, 2.0))


@pytest.mark.parametrize("transform", [ndiv.grad, ndiv.value_and_grad, lambda f: ndiv.value_and_grad(f, (0, 1))])
def test_gradients_inside_a_compiled_function(transform):
    def f(x, w):
        return ndiv.tanh(x @ w).sum()

    w = np.linspace(0, 1, 8, dtype=F).reshape(4, 2)
    expected, got = transform(f)(X, w), ndiv.compile(transform(f))(X, w)
    for a, b in zip(flat(expected), flat(got), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def flat(t):
    return [v for part in t for v in flat(part)] if isinstance(t, tuple) else [t]


def test_parameters_are_read_at_each_call():
    layer = ndiv.nn.Linear(4, 2)
    fast = ndiv.compile(layer)
    before = fast(X).numpy()
    layer.weight.copy_(layer.weight.numpy() * 2)
    np.testing.assert_allclose(fast(X).numpy(), layer(X).numpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(fast(X).numpy() - before).max() > 0.01
    layer.weight.data = np.zeros((2, 4), F)  # another array, not the same one written
    np.testing.assert_allclose(fast(X).numpy(), np.tile(layer.bias.numpy(), (3, 1)), rtol=1e-5, atol=1e-6)


def test_a_parameter_of_another_shape_is_refused():
    layer = ndiv.nn.Linear(4, 2)
    fast = ndiv.compile(layer)
    fast(X)
    layer.weight.data = np.zeros((3, 4), F)
    with pytest.raises(ShapeError, match="state weight"):
        fast(X)


def test_training_and_evaluation_are_different_plans():
    net = ndiv.nn.Sequential(ndiv.nn.Linear(4, 4), ndiv.nn.Dropout(0.5))
    fast = ndiv.compile(net)
    ndiv.manual_seed(3)
    train = fast(X).numpy()
    ndiv.manual_seed(3)
    np.testing.assert_allclose(train, net(X).numpy(), rtol=1e-5, atol=1e-6)
    assert (fast(X).numpy() != fast(X).numpy()).any(), "each call draws new numbers"
    net.eval()
    np.testing.assert_allclose(fast(X).numpy(), net(X).numpy(), rtol=1e-5, atol=1e-6)


def test_float64_stays_float64():
    x = np.linspace(0, 1, 5)
    out = ndiv.compile(lambda x: ndiv.exp(x).sum())(x)
    assert out.dtype == np.float64 and float(out) == pytest.approx(np.exp(x).sum(), rel=1e-14)


def test_whole_numbers_and_truth_as_arguments():
    fast = ndiv.compile(lambda x, i, m: ndiv.gather(x, 1, i) * m.astype(x.dtype))
    i, m = np.array([[0], [3], [1]]), np.array([[True], [False], [True]])
    np.testing.assert_allclose(fast(X, i, m).numpy(), np.take_along_axis(X, i, 1) * m)
    np.testing.assert_allclose(fast(X, 3 - i, ~m).numpy(), np.take_along_axis(X, 3 - i, 1) * ~m)


def test_an_index_that_is_out_of_range_only_in_a_later_call():
    fast = ndiv.compile(lambda x, i: ndiv.gather(x, 1, i))
    fast(X, np.array([[0], [3], [1]]))
    with pytest.raises(NdivError):
        fast(X, np.array([[0], [9], [1]]))
    np.testing.assert_allclose(fast(X, np.array([[0], [3], [1]])).numpy()[:, 0], [X[0, 0], X[1, 3], X[2, 1]])


def test_what_cannot_be_traced_is_a_trace_break_with_the_line():
    with pytest.raises(TraceBreak, match="reads the value"):
        ndiv.compile(lambda x: x if float(x.sum()) > 0 else -x)(X)
    with pytest.raises(ConfigError, match="compile takes a function"):
        ndiv.compile(3)


def test_threads_may_share_a_compiled_function():
    fast = ndiv.compile(lambda x: ndiv.softmax(x @ x.swapaxes(0, 1), 1))
    inputs = [np.random.default_rng(k).normal(size=(40, 30)).astype(F) for k in range(4)]
    expected = [fast(x).numpy() for x in inputs]
    failed = []

    def work(k):
        for _ in range(50):
            if not np.array_equal(fast(inputs[k]).numpy(), expected[k]):
                failed.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


def test_empty_arrays():
    assert ndiv.compile(lambda x: ndiv.exp(x) @ np.ones((4, 2), F))(np.zeros((0, 4), F)).shape == (0, 2)
