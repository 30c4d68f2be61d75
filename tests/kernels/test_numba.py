"""What only the Numba backend does: float64, a loop for every expression, and refusing what its loops may not see."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ndiv
from ndiv import backends
from ndiv.autograd import REGISTRY
from ndiv.backends import kernels, numba
from ndiv.errors import ConfigError, ShapeError

EPS = 2.0**-53
ACT_RANGE = np.concatenate([np.linspace(-40, 40, 4001), [0.0, -0.0, 1e-300, -1e-9, 800.0, -800.0, np.inf, -np.inf, np.nan]])
EXPRESSIONS = [name for name, prim in REGISTRY.items() if prim.expr]


def close(got, want, units, scale=0.0):
    """Both sides are rounded in float64: within ``units`` rounding errors of the value, or of ``scale``."""
    assert got.dtype == want.dtype and got.shape == want.shape
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    error = np.abs(got[finite] - want[finite])
    limit = (np.broadcast_to(units, want.shape) * EPS)[finite] * np.maximum(np.abs(want[finite]), scale) + 1e-300
    worst = np.argmax(error - limit) if error.size else 0
    assert not error.size or error[worst] <= limit[worst], (error[worst] / EPS, want[finite][worst])


@pytest.mark.parametrize("fn", kernels.UNARY)
def test_functions_in_float64(fn):
    x = np.concatenate([ACT_RANGE, np.linspace(-1.2, 1.2, 1001), np.geomspace(1e-12, 700, 500), [709.0, -700.0, -745.0]])
    close(numba.unary(x, fn), kernels.unary(x, fn), 16)


@pytest.mark.parametrize("act", kernels.ACTS)
def test_activations_in_float64(act):
    x = ACT_RANGE[None]
    tail = 4 * np.where(np.isfinite(x), np.maximum(x * x, 1), 1)  # e^(-x^2 / 2) amplifies the rounding of x^2
    (out, saved), (want, want_saved) = numba.bias_act(x, None, act), kernels.bias_act(x, None, act)
    close(out, want, 16 + tail)
    close(saved, want_saved, 16 + tail)
    g = np.full_like(x, 1.5)
    gx, gbias = numba.bias_act_bwd(g, want_saved, act)
    # slopes pass through 0 where their terms, of size up to |x|, cancel
    close(gx, kernels.bias_act_bwd(g, want_saved, act)[0], 16 + tail, scale=0.1)
    np.testing.assert_array_equal(gbias, gx[0])


def test_layer_norm_in_float64():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 9, 33)) + 3
    gamma, beta = rng.normal(size=(2, 33))
    got, want = (k.layer_norm(x, gamma, beta, 1e-5) for k in (numba, kernels))
    for a, b in zip(got, want, strict=True):
        close(a, b, 64, scale=1.0)
    for a, b in zip(*(k.layer_norm_bwd(g, x, gamma, *want[1:]) for k in (numba, kernels)), strict=True):
        close(a, b, 256, scale=10.0)  # sums of 33 products, of size 10


def test_adamw_and_sumsq_in_float64():
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=101) ** 2 for _ in range(4)]
    other = [a.copy() for a in arrays]
    for k, (p, g, m, v) in ((numba, arrays), (kernels, other)):
        k.adamw(p, g, m, v, lr=1e-2, weight_decay=0.1, bias_correction1=0.1, bias_correction2=0.001, grad_scale=0.7)
    for a, b in zip(arrays, other, strict=True):
        close(a, b, 16)
    assert numba.sumsq(arrays[0]) == pytest.approx(kernels.sumsq(arrays[0]), rel=1e-14)


def test_dropout_in_float64():
    x = np.random.default_rng(2).normal(size=(7, 13))
    np.testing.assert_array_equal(numba.dropout(x, 0.3, 5, 6), kernels.dropout(x, 0.3, 5, 6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_expression_has_a_loop(name, dtype):
    """Also of ops that stay NumPy's when the backend is active, because one pass is all they need."""
    prim = REGISTRY[name]
    run = numba.elementwise(name)
    for sample in prim.samples():
        inputs = np.broadcast_arrays(*sample.inputs)
        inputs = [np.array(x, None if x.dtype == np.bool_ else dtype, order="C") for x in inputs]
        got = run(*inputs, **sample.attrs)
        want = prim.ref(*(x if x.dtype == np.bool_ else x.astype(np.float64) for x in inputs), **sample.attrs)
        assert got.dtype == dtype
        error = np.abs(got - np.asarray(want))
        assert np.all(error <= (16 * EPS if dtype == np.float64 else 2.0**-24) * np.abs(want)), sample.tag


@pytest.mark.parametrize("special", [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310])
@pytest.mark.parametrize("name", [n for n in EXPRESSIONS if len(REGISTRY[n].args) == 1])
def test_expressions_at_the_limits(name, special):
    prim = REGISTRY[name]
    x = np.full(9, special)
    with np.errstate(all="ignore"):
        want = np.asarray(prim.ref(x, **prim.attrs), np.float64)
    # subnormal results are whole multiples of 5e-324
    np.testing.assert_allclose(numba.elementwise(name)(x, **prim.attrs), want, rtol=1e-15, atol=5e-324)


A, V, R = np.ones((3, 4), np.float32), np.ones(4, np.float32), np.ones(3, np.float32)
WRONG = {
    "whole numbers": (ShapeError, "x has dtype int64", lambda: numba.sumsq(np.ones(3, np.int64))),
    "byte order": (ShapeError, "x has dtype >f4", lambda: numba.sumsq(np.ones(3, ">f4"))),
    "strided": (ShapeError, "x is not C-contiguous", lambda: numba.sumsq(np.ones(8, np.float32)[::2])),
    "transposed": (ShapeError, "x is not C-contiguous", lambda: numba.bias_act(A.T, None, "relu")),
    "one axis": (ShapeError, "not [rows, cols]", lambda: numba.bias_act(V, None, "relu")),
    "bias length": (ShapeError, "bias has shape [3], not [4]", lambda: numba.bias_act(A, R, "relu")),
    "bias type": (ShapeError, "bias has dtype float64", lambda: numba.bias_act(A, np.ones(4), "relu")),
    "act name": (ConfigError, "Did you mean 'relu'?", lambda: numba.bias_act(A, None, "relo")),
    "out shape": (ShapeError, "out has shape [4], not [3, 4]", lambda: numba.bias_act(A, None, "relu", out=V)),
    "saved shape": (ShapeError, "saved has shape [4]", lambda: numba.bias_act_bwd(A, V, "relu")),
    "function name": (ConfigError, "unknown function 'sin'", lambda: numba.unary(A, "sin")),
    "gamma length": (ShapeError, "gamma has shape [3]", lambda: numba.layer_norm(A, R, None, 1e-5)),
    "mean length": (ShapeError, "mean has shape [4]", lambda: numba.layer_norm_bwd(A, A, None, V, R)),
    "moments": (ShapeError, "m has shape [3]", lambda: numba.adamw(V, V, R, V, lr=1.0)),
    "probability": (ShapeError, "dropout: a number", lambda: numba.dropout(A, 1.5, 0, 0)),
    "read-only": (ShapeError, "out is read-only", lambda: numba.unary(V, "exp", out=np.broadcast_to(R[:1], 4))),
    "input shape": (ShapeError, "input 0 has shape [3]", lambda: numba.elementwise("pow")(R, V)),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrapper_errors(case):
    kind, text, call = WRONG[case]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


@pytest.fixture
def active():
    before = backends.current()
    backends.activate("numba")
    yield
    backends.activate(before)


OTHERS = {"byte order": lambda x: x.astype(">f8"), "strided": lambda x: x[::2], "transposed": lambda x: x.T,
          "float16": lambda x: x.astype(np.float16), "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
          "complex": lambda x: x + 1j}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_other_arrays_go_to_the_reference(active, make):
    x = make(np.random.default_rng(3).normal(size=(4, 6)))
    for name in ("silu", "softplus"):
        np.testing.assert_array_equal(REGISTRY[name].run(x), REGISTRY[name].ref(x))


def test_training_agrees_with_the_reference(active):
    """A small network, its gradients and AdamW: float32 on this backend and on NumPy's."""
    def train():
        ndiv.manual_seed(3)
        net = ndiv.nn.Sequential(ndiv.nn.Linear(5, 8), ndiv.nn.SiLU(), ndiv.nn.LayerNorm(8), ndiv.nn.Dropout(0.2),
                                 ndiv.nn.Linear(8, 1))
        opt = ndiv.optim.AdamW(net.parameters(), lr=1e-2)
        x = np.random.default_rng(4).normal(size=(64, 5)).astype(np.float32)
        for _ in range(20):
            opt.zero_grad()
            ((net(ndiv.tensor(x)) - x[:, :1]) ** 2).mean().backward()
            opt.step()
        return np.concatenate([p.numpy().ravel() for p in net.parameters()])

    mine = train()
    backends.activate("numpy")
    np.testing.assert_allclose(mine, train(), rtol=0, atol=2e-5)


def test_nothing_is_imported_before_it_is_asked_for():
    code = ("import json, sys, numpy as np, ndiv\nfrom ndiv import backends\nbackends.current(); ndiv.info()\n"
            "ndiv.tensor(np.ones(2)).sum()\nprint(json.dumps('numba' in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120,
                          env={"PYTHONPATH": str(Path(ndiv.__file__).parent.parent), "PATH": ""})
    assert json.loads(done.stdout) is False
