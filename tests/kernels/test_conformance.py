"""Every kernel on every backend that is here and every instruction set, against its reference run in float64 on the same
float32 inputs; and so every op of the registry that a backend may run in its own way.

Bounds are in units of the float32 rounding error EPS = 2^-24 times the size of the terms that each result is made of.
"""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv import backends
from ndiv.autograd import REGISTRY
from ndiv.backends import kernels, native, numba

EPS = 2.0**-24
TINY = 2.0**-140  # what products of subnormal numbers may lose
BACKENDS = ["numpy", *native.isas(), *["numba"] * numba.available()]
SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 129, 1000, 4099])
ROWS = st.sampled_from([0, 1, 2, 3, 5, 63, 64, 65, 130])
COLS = st.sampled_from([1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 63, 64, 65, 100, 257])
SEEDS = st.integers(0, 2**31)
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-39, -1e-39, 1.1754944e-38, 3.4e38, -3.4e38,
                    1.0, -1.0, 88.7, 88.8, -87.4, -103.9, -104.5, 1e-8, -1e-8, 20.0, -20.0], np.float32)


@contextlib.contextmanager
def using(backend):
    """The module of kernels for a name of BACKENDS."""
    if backend in ("numpy", "numba"):
        yield kernels if backend == "numpy" else numba
        return
    before = native.isa()
    native.select(backend)
    try:
        yield native
    finally:
        native.select(before)


def normal(seed, *shape, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def wide(a):
    return None if a is None else a.astype(np.float64)


def check(got, want, bound, what=""):
    """|got - want| <= bound where want is finite, the same inf or NaN elsewhere."""
    assert got.dtype == np.float32 and got.shape == want.shape
    with np.errstate(over="ignore"):
        rounded = want.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite], err_msg=what)
    error = np.abs(got[finite].astype(np.float64) - want[finite])
    limit = np.broadcast_to(bound, want.shape)[finite]
    worst = int(np.argmax(error - limit)) if error.size else 0
    assert not error.size or error[worst] <= limit[worst], f"{what}: error {error[worst]} over {limit[worst]}"


@pytest.mark.parametrize("backend", BACKENDS)
@given(n=SIZES, seed=SEEDS)
@settings(deadline=None, max_examples=40)
def test_sumsq(backend, n, seed):
    x = normal(seed, n, scale=10.0 ** (seed % 40 - 20))
    with using(backend) as k:
        assert k.sumsq(x) == pytest.approx(math.fsum(float(v) ** 2 for v in x), rel=1e-13)
        assert isinstance(k.sumsq(x), float)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sumsq_special(backend):
    with using(backend) as k:
        assert k.sumsq(np.full(100, 3e38, np.float32)) == pytest.approx(9e78, rel=1e-6)
        assert k.sumsq(np.full(3, 1e-45, np.float32)) > 0
        assert k.sumsq(np.array([1, np.inf], np.float32)) == math.inf
        assert math.isnan(k.sumsq(np.array([1, np.nan, 2], np.float32)))


HYPER = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1, "bias_correction1": 1 - 0.9**3,
         "bias_correction2": 1 - 0.999**3, "grad_scale": 0.7}


@pytest.mark.parametrize("backend", BACKENDS)
@given(n=SIZES, seed=SEEDS)
@settings(deadline=None, max_examples=30)
def test_adamw_step(backend, n, seed):
    p, g, m = (normal(seed + i, n) for i in range(3))
    v = np.abs(normal(seed + 3, n, scale=0.1))
    want = [wide(a) for a in (p, g, m, v)]
    terms_m = np.abs(0.9 * m) + np.abs(0.1 * 0.7 * g)
    p0, g0 = p.copy(), g.copy()
    kernels.adamw(*want, **HYPER)
    with using(backend) as k:
        assert k.adamw(p, g, m, v, **HYPER) is None
    np.testing.assert_array_equal(g, g0)
    check(m, want[2], 6 * EPS * terms_m + TINY, "m")
    check(v, want[3], 6 * EPS * want[3] + TINY, "v")
    gain = 1e-2 / HYPER["bias_correction1"] / (np.sqrt(want[3] / HYPER["bias_correction2"]) + 1e-8)
    check(p, want[0], EPS * (3 * np.abs(p0) + 20 * gain * terms_m) + TINY, "p")


@pytest.mark.parametrize("backend", BACKENDS)
def test_adamw_trajectory(backend):
    """500 steps on an ill-conditioned quadratic stay within 1e-5 of the float64 path."""
    def run(k, dtype):
        scale = np.logspace(-2, 2, 37).astype(dtype)
        p, m, v = np.ones(37, dtype), np.zeros(37, dtype), np.zeros(37, dtype)
        path = []
        for step in range(1, 501):
            k.adamw(p, (scale * (p - 0.5)).astype(dtype), m, v, lr=1e-2, weight_decay=1e-2,
                    bias_correction1=1 - 0.9**step, bias_correction2=1 - 0.999**step)
            path.append(p.copy())
        return np.array(path)

    with using(backend) as k:
        got = run(k, np.float32)
    np.testing.assert_allclose(got, run(kernels, np.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_adamw_small_decay_is_not_lost(backend):
    """lr * weight_decay = 1e-6 is below the spacing of floats near 1, and still shrinks on average as it should."""
    p = np.random.default_rng(0).uniform(1, 2, 20000).astype(np.float32)
    start, zero = p.copy(), np.zeros_like(p)
    with using(backend) as k:
        for _ in range(100):
            k.adamw(p, zero, zero.copy(), zero.copy(), lr=1e-4, weight_decay=1e-2, eps=1e-8)
    assert np.log(p.astype(float) / start).mean() == pytest.approx(-1e-4, rel=0.02)


def act_bound(z, out, act):
    """Relative error, and for the products z F(z) an absolute part: their negative tail amplifies the rounding of F."""
    tail = 2 * EPS * np.abs(np.where(np.isfinite(z), z, 0)) if act in ("silu", "gelu", "gelu_tanh") else 0.0
    return 6 * EPS * np.abs(out) + tail + TINY


@pytest.mark.parametrize("act", kernels.ACTS)
@pytest.mark.parametrize("backend", BACKENDS)
@given(rows=ROWS, cols=COLS, seed=SEEDS, with_bias=st.booleans())
@settings(deadline=None, max_examples=12)
def test_bias_act(backend, act, rows, cols, seed, with_bias):
    x, g = normal(seed, rows, cols, scale=3), normal(seed + 2, rows, cols)
    bias = normal(seed + 1, cols) if with_bias else None
    z = x if bias is None else x + bias
    want = kernels.bias_act(wide(z), None, act)[0]
    with using(backend) as k:
        out, saved = k.bias_act(x, bias, act)
        gx, gbias = k.bias_act_bwd(g, saved, act)
        assert k.bias_act_bwd(g, saved, act, need_bias=False)[1] is None
        into = np.empty_like(x)
        assert k.bias_act(x, bias, act, out=into)[0] is into
    np.testing.assert_array_equal(into, out)
    check(out, want, act_bound(z, want, act), "out")
    assert saved is out or (kernels.ACT_SAVES[act] == "pre" and np.array_equal(saved, z))
    want_gx, _ = kernels.bias_act_bwd(wide(g), wide(saved), act)
    check(gx, want_gx, 8 * EPS * np.abs(wide(g)) * (1.8 if act == "selu" else 1.2), "gx")
    check(gbias, wide(gx).sum(0), EPS * (rows + 1) * np.abs(wide(gx)).sum(0) + TINY, "gbias")


@pytest.mark.parametrize("act", kernels.ACTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_bias_act_special(backend, act):
    x = np.tile(SPECIAL, 3)[None]
    want, _ = kernels.bias_act(wide(x), None, act)
    with using(backend) as k:
        out, saved = k.bias_act(x, None, act)
        gx, _ = k.bias_act_bwd(np.ones_like(x), saved, act)
    check(out, want, act_bound(x, want, act), "out")
    check(gx, kernels.bias_act_bwd(np.ones(x.shape), wide(saved), act)[0], 16 * EPS, "gx")


@pytest.mark.parametrize("backend", BACKENDS)
@given(rows=ROWS, cols=COLS, seed=SEEDS, gamma=st.booleans(), beta=st.booleans())
@settings(deadline=None, max_examples=40)
def test_layer_norm(backend, rows, cols, seed, gamma, beta):
    x = normal(seed, rows, cols) + np.float32(seed % 7)
    w = normal(seed + 1, cols) if gamma else None
    b = normal(seed + 2, cols) if beta else None
    with using(backend) as k:
        out, mean, rstd = k.layer_norm(x, w, b, 1e-5)
    want, want_mean, want_rstd = kernels.layer_norm(wide(x), wide(w), wide(b), 1e-5)
    size = np.abs(x).max(1, initial=0)
    check(mean, want_mean, 4 * EPS * size, "mean")
    cond = 1 + size * want_rstd  # how far the offset exceeds the spread
    check(rstd, want_rstd, 16 * EPS * want_rstd * cond, "rstd")
    terms = (np.abs(want - (0 if b is None else b)) + (1 if w is None else np.abs(w))) * cond[:, None]
    check(out, want, 16 * EPS * (terms + (0 if b is None else np.abs(b))), "out")


@pytest.mark.parametrize("backend", BACKENDS)
@given(rows=ROWS, cols=COLS, seed=SEEDS, gamma=st.booleans())
@settings(deadline=None, max_examples=40)
def test_layer_norm_bwd(backend, rows, cols, seed, gamma):
    x, g = normal(seed, rows, cols) + np.float32(seed % 7), normal(seed + 1, rows, cols)
    w = normal(seed + 2, cols) if gamma else None
    mean, rstd = (a.astype(np.float32) for a in kernels.layer_norm(wide(x), None, None, 1e-5)[1:])
    with using(backend) as k:
        gx, gw, gb = k.layer_norm_bwd(g, x, w, mean, rstd)
    want = kernels.layer_norm_bwd(wide(g), wide(x), wide(w), wide(mean), wide(rstd))
    n = np.abs((wide(x) - mean[:, None]) * rstd[:, None])
    noise = 1 + n + np.abs(wide(x) * rstd[:, None])  # n and the rounding of x - mean
    h = np.abs(g if w is None else g * w).max(1, initial=0)[:, None]
    check(gx, want[0], 24 * EPS * rstd[:, None] * h * noise.max(1, initial=1)[:, None] ** 2, "gx")
    if gamma:
        check(gw, want[1], EPS * (rows + 8) * (np.abs(g) * noise).sum(0), "ggamma")
        check(gb, want[2], EPS * (rows + 1) * np.abs(g).sum(0), "gbeta")
    else:
        assert gw is None and gb is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_norm_of_a_large_offset(backend):
    x = normal(0, 3, 1000) + np.float32(1e4)
    with using(backend) as k:
        out = k.layer_norm(x, None, None, 1e-5)[0]
    check(out, kernels.layer_norm(wide(x), None, None, 1e-5)[0], 2e-3, "out")


@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_norm_special(backend):
    x = np.ones((3, 20), np.float32)
    x[0, 3], x[1, 19] = np.nan, np.inf
    with using(backend) as k:
        out, _, rstd = k.layer_norm(x, None, None, 1e-5)
    assert np.isnan(out[:2]).all() and np.array_equal(out[2], np.zeros(20, np.float32))
    assert rstd[2] == pytest.approx(1 / math.sqrt(1e-5))


@pytest.mark.parametrize("backend", BACKENDS)
@given(key=st.integers(0, 2**64 - 1), stream=st.integers(0, 2**64 - 1), block=st.integers(0, 2**64 - 1), n=SIZES)
@settings(deadline=None, max_examples=60)
def test_philox(backend, key, stream, block, n):
    with using(backend) as k:
        got = k.philox_u32(key, stream, block, n)
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, kernels.philox_u32(key, stream, block, n))


@pytest.mark.parametrize("block", [2**32 - 1, 2**32 - 7, 2**64 - 1, 2**64 - 9])
@pytest.mark.parametrize("backend", BACKENDS)
def test_philox_carries(backend, block):
    with using(backend) as k:
        got = k.philox_u32(1, 2, block, 256)
    one_by_one = [kernels.philox_u32(1, 2, (block + i) % 2**64, 4) for i in range(64)]
    np.testing.assert_array_equal(got, np.concatenate(one_by_one))


@pytest.mark.parametrize("backend", BACKENDS)
@given(n=SIZES, p=st.floats(0, 1), key=st.integers(0, 2**64 - 1), stream=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=60)
def test_dropout(backend, n, p, key, stream):
    x = normal(n, n)
    with using(backend) as k:
        got = k.dropout(x, p, key, stream)
    np.testing.assert_array_equal(got, kernels.dropout(x, p, key, stream))


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_special(backend):
    x = np.tile(SPECIAL, 10)
    with using(backend) as k:
        got = k.dropout(x.reshape(5, -1), 0.5, 3, 4)
    np.testing.assert_array_equal(got, kernels.dropout(x, 0.5, 3, 4).reshape(5, -1))


@pytest.mark.parametrize("fn", kernels.UNARY)
@pytest.mark.parametrize("backend", BACKENDS)
@given(n=SIZES, offset=st.integers(0, 3))
@settings(deadline=None, max_examples=20)
def test_unary_tails_and_alignment(backend, fn, n, offset):
    """Nothing is written outside the array, at any alignment, and in place is the same."""
    x = normal(n, n)
    room = np.full(n + 40, 7, np.float32)
    with using(backend) as k:
        want = k.unary(x, fn)
        inside = room[offset:offset + n]
        assert k.unary(x, fn, out=inside) is inside
        np.testing.assert_array_equal(inside, want)
        inside[...] = x
        k.unary(inside, fn, out=inside)
    np.testing.assert_array_equal(inside, want)
    assert (room[:offset] == 7).all() and (room[offset + n:] == 7).all()


# ops of the registry --------------------------------------------------------------------------------------------------

LAYERS = [f"{layer}{part}" for layer in ("rnn", "gru", "lstm") for part in ("", "_bwd")]
OPS = [name for name, prim in REGISTRY.items() if prim.expr or prim.kernels or name in LAYERS]


@contextlib.contextmanager
def active(backend):
    """What primitives run is that backend's."""
    before = backends.current()
    with using(backend):
        backends.activate(backend if backend in backends.BACKENDS else "native")
        try:
            yield
        finally:
            backends.activate(before)


def narrow(x):
    """An input of a sample, in float32 and of the same layout."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        return x
    base = x if x.base is None or x.flags.c_contiguous else x.base
    small = base.astype(np.float32)
    return small if base is x else np.lib.stride_tricks.as_strided(small, x.shape, [s // 2 for s in x.strides])


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ops(backend, name):
    """Sums of a few products over a few steps, so in units of the largest value."""
    prim = REGISTRY[name]
    for sample in prim.samples():
        inputs = [narrow(x) for x in sample.inputs]
        want = prim.ref(*(wide(x) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x for x in inputs), **sample.attrs)
        with active(backend):
            got = prim.run(*inputs, **sample.attrs)
        for a, b in zip(*(v if prim.n_out > 1 else (v,) for v in (got, want)), strict=True):
            b = np.asarray(b)
            factor = 8 if prim.expr else 32
            size = np.abs(b) if prim.expr else max(np.max(np.abs(b), initial=0), 1.0)
            check(np.asarray(a), b, factor * EPS * size + TINY, f"{name} {sample.tag}")
