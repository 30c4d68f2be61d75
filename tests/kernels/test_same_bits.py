"""The published promise: the same bits on every instruction set as on "scalar". NaNs count as equal."""

import numpy as np
import pytest

from ndiv.backends import kernels, native

OTHERS = [isa for isa in native.isas() if isa != "scalar"]
SHAPES = [(1, 1), (3, 5), (2, 16), (65, 17), (130, 33), (4, 257), (7, 64)]


def run_all(rows, cols):
    """Every kernel on one shape; a flat list of named arrays."""
    rng = np.random.default_rng(rows * 1000 + cols)
    size = 10.0 ** rng.integers(-3, 2, (rows, 1))
    x, g = ((rng.normal(size=(rows, cols)) * size).astype(np.float32) for _ in range(2))
    if rows * cols > 20:
        x.flat[[3, 7, 11, 17]] = np.inf, np.nan, 1e-40, -np.inf
    clean = np.nan_to_num(x, posinf=1, neginf=-1)
    w, b = (rng.normal(size=cols).astype(np.float32) for _ in range(2))
    yield "sumsq", np.array([native.sumsq(clean), native.sumsq(x)])
    for fn in kernels.UNARY:
        yield fn, native.unary(x, fn)
    for act in kernels.ACTS:
        for bias in (None, b):
            out, saved = native.bias_act(x, bias, act)
            yield f"{act} out", out
            yield f"{act} saved", saved
            gx, gbias = native.bias_act_bwd(g, saved, act)
            yield f"{act} gx", gx
            yield f"{act} gbias", gbias
    for name, gamma, beta in (("plain", None, None), ("gamma", w, None), ("both", w, b)):
        out, mean, rstd = native.layer_norm(clean, gamma, beta, 1e-5)
        backward = native.layer_norm_bwd(g, clean, gamma, mean, rstd)
        for part, a in zip(("out", "mean", "rstd", "gx", "ggamma", "gbeta"), (out, mean, rstd, *backward), strict=True):
            if a is not None:
                yield f"layer_norm {name} {part}", a
    p, m, v = clean.copy(), g * np.float32(0.1), g * g
    for step in range(1, 4):
        native.adamw(p, g, m, v, lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01,
                     bias_correction1=1 - 0.9**step, bias_correction2=1 - 0.999**step, grad_scale=0.3)
    yield "adamw", np.stack([p, m, v])
    yield "philox", native.philox_u32(7, 2**40 + 1, 2**32 - 3, rows * cols)
    yield "dropout", native.dropout(x, 0.3, 11, 5)


def bits(a):
    a = np.where(a != a, a.dtype.type(1.5), a)  # one pattern for every NaN
    return a.view(np.uint64 if a.dtype.itemsize == 8 else np.uint32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("isa", OTHERS)
def test_same_bits(isa, shape):
    before = native.isa()
    try:
        native.select("scalar")
        want = list(run_all(*shape))
        native.select(isa)
        got = list(run_all(*shape))
    finally:
        native.select(before)
    for (name, a), (_, b) in zip(got, want, strict=True):
        np.testing.assert_array_equal(bits(a), bits(b), err_msg=name)


@pytest.mark.parametrize("fn", kernels.UNARY)
@pytest.mark.parametrize("isa", OTHERS)
def test_same_bits_of_functions_over_all_exponents(isa, fn):
    x = np.random.default_rng(0).integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    before = native.isa()
    try:
        native.select("scalar")
        want = native.unary(x, fn)
        native.select(isa)
        got = native.unary(x, fn)
    finally:
        native.select(before)
    np.testing.assert_array_equal(bits(got), bits(want))
