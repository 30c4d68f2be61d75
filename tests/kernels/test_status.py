"""Bad arguments of the native kernels: a status from C, a clear error from Python, and never a crash."""

import numpy as np
import pytest

from ndiv.backends import kernels, native
from ndiv.errors import ConfigError, DeviceError, ShapeError

ISAS = native.isas()
A = np.ones((3, 4), np.float32)
V = np.ones(4, np.float32)
R = np.ones(3, np.float32)
NULL, SIZE, VALUE, ISA = -1, -2, -3, -4


def addresses():
    from ndiv.backends import _native

    ffi = _native.ffi
    return _native.lib, ffi.NULL, ffi.new("float[64]"), ffi.new("double *")


def bad_calls(lib, null, a, out):
    """(status, call) for each way in which a kernel's arguments can be wrong."""
    hyper = (1e-3, 0.9, 0.999, 1e-8, 0.0, 1.0, 1.0, 1.0)
    nan = float("nan")
    huge = 2**62
    yield NULL, lambda: lib.nd_sumsq_f32(4, null, out)
    yield NULL, lambda: lib.nd_sumsq_f32(0, a, null)
    yield SIZE, lambda: lib.nd_sumsq_f32(-1, a, out)
    for k in range(4):
        arrays = [null if i == k else a for i in range(4)]
        yield NULL, lambda arrays=arrays: lib.nd_adamw_f32(4, *arrays, *hyper)
    yield SIZE, lambda: lib.nd_adamw_f32(-4, a, a, a, a, *hyper)
    yield VALUE, lambda: lib.nd_adamw_f32(4, a, a, a, a, nan, *hyper[1:])
    yield VALUE, lambda: lib.nd_adamw_f32(4, a, a, a, a, *hyper[:5], 0.0, 1.0, 1.0)
    yield NULL, lambda: lib.nd_bias_act_f32(2, 2, null, null, 0, a, null)
    yield NULL, lambda: lib.nd_bias_act_f32(2, 2, a, null, 0, null, null)
    yield SIZE, lambda: lib.nd_bias_act_f32(-2, 2, a, null, 0, a, null)
    yield SIZE, lambda: lib.nd_bias_act_f32(huge, huge, a, null, 0, a, null)
    for act in (-1, len(kernels.ACTS)):
        yield VALUE, lambda act=act: lib.nd_bias_act_f32(2, 2, a, null, act, a, null)
        yield VALUE, lambda act=act: lib.nd_bias_act_bwd_f32(2, 2, a, a, act, a, null)
    yield NULL, lambda: lib.nd_bias_act_bwd_f32(2, 2, a, null, 1, a, null)
    yield SIZE, lambda: lib.nd_bias_act_bwd_f32(2, -2, a, a, 1, a, null)
    yield NULL, lambda: lib.nd_layer_norm_f32(2, 2, a, null, null, 1e-5, a, null, a)
    yield SIZE, lambda: lib.nd_layer_norm_f32(2, 0, a, null, null, 1e-5, a, a, a)
    yield VALUE, lambda: lib.nd_layer_norm_f32(2, 2, a, null, null, -1.0, a, a, a)
    yield VALUE, lambda: lib.nd_layer_norm_f32(2, 2, a, null, null, nan, a, a, a)
    yield NULL, lambda: lib.nd_layer_norm_bwd_f32(2, 2, a, a, null, a, null, a, null, null)
    yield SIZE, lambda: lib.nd_layer_norm_bwd_f32(2, 0, a, a, null, a, a, a, null, null)
    yield SIZE, lambda: lib.nd_philox_u32(0, 0, 0, -1, null)
    yield NULL, lambda: lib.nd_philox_u32(0, 0, 0, 1, null)
    yield NULL, lambda: lib.nd_dropout_f32(1, null, 0.5, 0, 0, a)
    yield SIZE, lambda: lib.nd_dropout_f32(-1, a, 0.5, 0, 0, a)
    for p in (-0.1, 1.1, nan):
        yield VALUE, lambda p=p: lib.nd_dropout_f32(1, a, p, 0, 0, a)
    yield NULL, lambda: lib.nd_unary_f32(1, 0, null, a)
    yield SIZE, lambda: lib.nd_unary_f32(-1, 0, a, a)
    for fn in (-1, len(kernels.UNARY)):
        yield VALUE, lambda fn=fn: lib.nd_unary_f32(1, fn, a, a)
    yield ISA, lambda: lib.nd_isa_select(b"sse9")


@pytest.mark.parametrize("isa", ISAS)
def test_statuses(isa):
    before = native.isa()
    native.select(isa)
    try:
        for status, call in bad_calls(*addresses()):
            assert call() == status
    finally:
        native.select(before)


WRONG = {
    "float64": (ShapeError, "x has dtype float64", lambda: native.sumsq(np.ones(3))),
    "strided": (ShapeError, "x is not C-contiguous", lambda: native.sumsq(np.ones(8, np.float32)[::2])),
    "transposed": (ShapeError, "x is not C-contiguous", lambda: native.bias_act(A.T, None, "relu")),
    "one axis": (ShapeError, "not [rows, cols]", lambda: native.bias_act(V, None, "relu")),
    "bias length": (ShapeError, "bias has shape [3], not [4]", lambda: native.bias_act(A, R, "relu")),
    "act name": (ConfigError, "Did you mean 'relu'?", lambda: native.bias_act(A, None, "relo")),
    "out shape": (ShapeError, "out has shape [4], not [3, 4]", lambda: native.bias_act(A, None, "relu", out=V)),
    "saved shape": (ShapeError, "saved has shape [4]", lambda: native.bias_act_bwd(A, V, "relu")),
    "function name": (ConfigError, "unknown function 'sin'", lambda: native.unary(A, "sin")),
    "gamma length": (ShapeError, "gamma has shape [3]", lambda: native.layer_norm(A, R, None, 1e-5)),
    "mean length": (ShapeError, "mean has shape [4]", lambda: native.layer_norm_bwd(A, A, None, V, R)),
    "no columns": (ShapeError, "layer_norm: a size", lambda: native.layer_norm(A[:, :0].copy(), None, None, 1e-5)),
    "moments": (ShapeError, "m has shape [3]", lambda: native.adamw(V, V, R, V, lr=1.0)),
    "probability": (ShapeError, "dropout: a number", lambda: native.dropout(A, 1.5, 0, 0)),
    "isa": (DeviceError, "'sse9' is not available", lambda: native.select("sse9")),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrapper_errors(case):
    kind, text, call = WRONG[case]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def test_read_only_arrays():
    frozen = V.copy()
    frozen.flags.writeable = False
    assert native.sumsq(frozen) == 4.0
    with pytest.raises(ShapeError, match="p is read-only"):
        native.adamw(frozen, V, V.copy(), V.copy(), lr=1.0)


def test_select_none_takes_the_best():
    before = native.isa()
    native.select("scalar")
    assert native.isa() == "scalar"
    native.select(None)
    assert native.isa() == native.isas()[-1]
    native.select(before)
