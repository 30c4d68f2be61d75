"""layer_norm, batch_norm and their gradients against NumPy in double; laws; what is refused."""


import numpy as np
import pytest
from plan_op import agree, numbers, refused, run, same, using

from ndiv.backends.call import call_op

EPS = {"eps": 1e-5}
LAYER = [(1, 3), (5, 7), (3, 16), (66, 33), (2, 3, 24), (200, 100), (3000, 40), (8,), (0, 4)]
BATCH = [(5, 7), (70, 3), (130, 40), (3, 4, 5), (70, 3, 20), (2, 3, 4, 5), (40, 3, 1), (9, 2, 1, 33), (64, 20, 96), (5, 0, 3),
         (5, 0)]
EPS_WORD = [int(np.float64(1e-5).view(np.int64))]


def layer_case(shape):
    x, (w, b) = numbers(*shape) * 3 + 1, (numbers(shape[-1], seed=s) for s in (1, 2))
    return x, w, b


@pytest.mark.parametrize("shape", LAYER, ids=str)
def test_layer_norm(shape):
    x, w, b = layer_case(shape)
    _, mean, rstd = agree("layer_norm", [x, w, b], EPS)
    agree("layer_norm_bwd", [numbers(*shape, seed=3), x, w, mean, rstd], EPS)


@pytest.mark.parametrize("shape", BATCH, ids=str)
def test_batch_norm(shape):
    x, (w, b) = numbers(*shape) * 3 + 1, (numbers(shape[1], seed=s) for s in (1, 2))
    _, mean, var = agree("batch_norm", [x, w, b], EPS)
    agree("batch_norm_bwd", [numbers(*shape, seed=3), x, w, mean, var], EPS)


def test_one_column():
    """A single value has no spread: rstd is 1 / sqrt(eps), out the bias, gx 0."""
    x, w, b = numbers(5, 1), numbers(1, seed=1), numbers(1, seed=2)
    out, mean, rstd = run("layer_norm", [x, w, b], EPS)
    np.testing.assert_array_equal(mean, x)
    np.testing.assert_allclose(rstd, 1e-5**-0.5, rtol=1e-6)
    np.testing.assert_array_equal(out, np.broadcast_to(b, (5, 1)))
    gx, gw, gb = run("layer_norm_bwd", [numbers(5, 1, seed=3), x, w, mean, rstd], EPS)
    np.testing.assert_array_equal(gx, 0)
    np.testing.assert_array_equal(gw, 0)
    np.testing.assert_allclose(gb, numbers(5, 1, seed=3).sum(0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 0), (0, 0)])
def test_layer_norm_over_nothing(shape):
    x, w = numbers(*shape), numbers(0)
    out, mean, rstd = run("layer_norm", [x, w, w], EPS)
    assert out.shape == shape and np.isnan(mean).all() and np.isnan(rstd).all()
    run("layer_norm_bwd", [x, x, w, mean, rstd], EPS)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (4, 3, 0)])
def test_batch_norm_over_nothing(shape):
    x, w = numbers(*shape), numbers(3)
    _, mean, var = run("batch_norm", [x, w, w], EPS)
    assert np.isnan(mean).all() and np.isnan(var).all()
    gx, _, gb = run("batch_norm_bwd", [x, x, w, np.zeros(3, np.float32), np.ones(3, np.float32)], EPS)
    np.testing.assert_array_equal(gb, 0)
    assert gx.shape == shape


def test_batch_norm_of_rows_is_that_of_images_with_one_place():
    """Two ways through the kernel, one definition."""
    x, w, b = numbers(150, 37), numbers(37, seed=1), numbers(37, seed=2)
    flat, images = run("batch_norm", [x, w, b], EPS), run("batch_norm", [x[:, :, None], w, b], EPS)
    for a, c in zip(flat, images, strict=True):
        np.testing.assert_array_equal(a.ravel(), c.ravel())


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm"])
def test_in_place(name):
    x, w, b = numbers(70, 37), numbers(37, seed=1), numbers(37, seed=2)
    want = run(name, [x, w, b], EPS)
    stats = want[1:]
    held = x.copy()
    call_op(name, [held, w, b], [held, *(np.empty_like(s) for s in stats)], EPS_WORD)
    np.testing.assert_array_equal(held, want[0])
    g = numbers(70, 37, seed=3)
    want = run(name + "_bwd", [g, x, w, *stats], EPS)
    for which in (0, 1):
        inputs = [g.copy(), x.copy()]
        call_op(name + "_bwd", [*inputs, w, *stats], [inputs[which], np.empty(37, np.float32), np.empty(37, np.float32)],
                EPS_WORD)
        np.testing.assert_array_equal(inputs[which], want[0])


def test_sums_over_many_rows_do_not_depend_on_threads():
    x, w = numbers(5000, 32), numbers(32, seed=1)
    _, mean, rstd = run("layer_norm", [x, w, w], EPS)
    results = []
    for threads in (1, 2, 5):
        with using(None, threads):
            results.append(run("layer_norm_bwd", [x * 2, x, w, mean, rstd], EPS))
    for other in results[1:]:
        assert all(same(a, b) for a, b in zip(other, results[0], strict=True))


def test_refusals():
    x, w = numbers(4, 3), numbers(3)
    one, y = numbers(4, 1), np.empty((4, 3), np.float32)
    good = [x, w, w], [y, one.copy(), one.copy()]
    refused("layer_norm", *good)  # no eps
    refused("layer_norm", *good, [int(np.float64(-1).view(np.int64))])
    refused("layer_norm", *good, [int(np.float64(np.nan).view(np.int64))])
    refused("layer_norm", [x, numbers(4), w], good[1], EPS_WORD)
    refused("layer_norm", [x, w, None], good[1], EPS_WORD)
    refused("layer_norm", [x, w, numbers(6)[::2]], good[1], EPS_WORD)
    refused("layer_norm", [x, w, w.astype(np.float64)], good[1], EPS_WORD)
    refused("layer_norm", good[0], [y, numbers(4), one], EPS_WORD)
    refused("layer_norm", good[0], [y, numbers(3, 1), one], EPS_WORD)
    refused("layer_norm", good[0], [numbers(3, 4).T, one, one], EPS_WORD)
    refused("layer_norm_bwd", [x, x, w, one], [y, w, w], EPS_WORD)
    refused("layer_norm_bwd", [x, numbers(4, 4), w, one, one], [y, w, w], EPS_WORD)
    refused("layer_norm_bwd", [x, x, w, one, one], [y, w, numbers(4)], EPS_WORD)
    refused("batch_norm", [x, w, w], [y, one, w], EPS_WORD)
    refused("batch_norm", [w, w, w], [w, w, w], EPS_WORD)
    refused("batch_norm", [x, w, numbers(4)], [y, w, w], EPS_WORD)
    refused("batch_norm_bwd", [x, numbers(3, 4).T, w, w, w], [y, w, w], EPS_WORD)
    refused("batch_norm_bwd", [x, x, w, w, w], [y, w, one], EPS_WORD)
