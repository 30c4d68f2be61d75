"""ULP errors of the vector functions over every exponent, against float64; the bounds are the published ones.

The float64 values (NumPy's, and the C library's erf) are themselves good to about 1e-8 float32 ULP.
"""

import contextlib
import math

import numpy as np
import pytest

from ndiv.backends import native, numba

BACKENDS = [*native.isas(), *["numba"] * numba.available()]
# function -> (largest error in ULP, float64 truth)
BOUNDS = {"exp": 1.0, "expm1": 1.5, "log1p": 1.5, "tanh": 2.5, "sigmoid": 2.5, "erf": 1.5}


@contextlib.contextmanager
def using(backend):
    """The module of kernels for a name of BACKENDS."""
    if backend == "numba":
        yield numba
        return
    before = native.isa()
    native.select(backend)
    try:
        yield native
    finally:
        native.select(before)


def truth(fn, x):
    if fn == "erf":
        return np.fromiter(map(math.erf, x.tolist()), np.float64, x.size)
    with np.errstate(all="ignore"):
        if fn == "sigmoid":
            z = np.exp(-np.abs(x))
            return np.where(x < 0, z, 1) / (1 + z)
        return getattr(np, fn)(x)


def every_exponent(per_exponent, seed):
    """Random significands, and the two ends, for each of the 256 exponents and both signs."""
    significand = np.random.default_rng(seed).integers(0, 1 << 23, (256, per_exponent), dtype=np.uint32)
    significand[:, :2] = 0, (1 << 23) - 1
    bits = (np.arange(256, dtype=np.uint32)[:, None] << 23 | significand).ravel()
    return np.concatenate([bits, bits | np.uint32(1 << 31)]).view(np.float32)


def samples():
    middle = np.random.default_rng(1).uniform(-1, 1, 60000) * np.repeat([1.0, 10.0, 105.0], 20000)
    x = np.concatenate([every_exponent(200, 0), middle.astype(np.float32)])
    x[np.isnan(x)] = np.nan  # signalling NaNs would warn in NumPy's conversions
    return x


def ulp(got, want):
    """|got - want| in units in the last place of want, 2^-149 for a subnormal; 0 for a same inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.maximum(np.abs(want), 2.0**-126)
        unit = np.exp2(np.floor(np.log2(np.minimum(size, 2.0**127))) - 23)
        error = np.abs(got.astype(np.float64) - want) / unit
        return np.where(np.isfinite(got), error, np.where(got == want.astype(np.float32), 0, np.inf))


@pytest.mark.parametrize("fn", BOUNDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ulp(backend, fn):
    x = samples()
    with using(backend) as k:
        got = k.unary(x, fn)
    want = truth(fn, x.astype(np.float64))
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan)
    error = ulp(got[~nan], want[~nan])
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[fn], f"{fn}({x[~nan][worst]!r}) is off by {error[worst]:.3f} ULP"


@pytest.mark.parametrize("backend", BACKENDS)
def test_special_values(backend):
    inf, nan, tiny = np.inf, np.nan, 1e-45
    table = {
        "exp": [(inf, inf), (-inf, 0), (nan, nan), (0, 1), (tiny, 1), (88.73, inf), (-104, 0)],
        "expm1": [(inf, inf), (-inf, -1), (nan, nan), (0, 0), (-0.0, -0.0), (tiny, tiny), (-30, -1)],
        "log1p": [(inf, inf), (-inf, nan), (nan, nan), (0, 0), (-0.0, -0.0), (tiny, tiny), (-1, -inf), (-1.5, nan)],
        "tanh": [(inf, 1), (-inf, -1), (nan, nan), (0, 0), (-0.0, -0.0), (tiny, tiny), (30, 1)],
        "sigmoid": [(inf, 1), (-inf, 0), (nan, nan), (0, 0.5), (tiny, 0.5), (30, 1)],
        "erf": [(inf, 1), (-inf, -1), (nan, nan), (0, 0), (-0.0, -0.0), (tiny, tiny), (5, 1)],
    }
    with using(backend) as k:
        for fn, pairs in table.items():
            x, want = np.array(pairs, np.float32).T
            got = k.unary(np.ascontiguousarray(x), fn)
            np.testing.assert_array_equal(got, want, err_msg=fn)
            finite = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(want[finite]), err_msg=fn)
