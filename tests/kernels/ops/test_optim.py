"""The family optim: kernels against the optimizers themselves over several steps, bit for bit but for adamw's fused order."""

import contextlib
import itertools

import numpy as np
import pytest
from plan_op import on_threads

import ndiv
from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.errors import ShapeError
from ndiv.program.ops import PLAN_OPS
from ndiv.program.ops.optim import ADAM, RMSPROP, SGD
from ndiv.program.ops.record import encode

ISAS = native.isas()
SIZES = [0, 1, 3, 16, 17, 1000, 70_000]
NAN = np.array([1.0, np.nan])


@contextlib.contextmanager
def using(isa):
    before = native.isa()
    native.select(isa)
    try:
        yield
    finally:
        native.select(before)


def numbers(n, seed, scale=1.0):
    return (np.random.default_rng(seed).normal(size=n) * scale).astype(np.float32)


def step(name, arrays, hyper, control, flag):
    """New values of p and the state, from the kernel."""
    outs = [None if a is None else np.full_like(a, 99) for i, a in enumerate(arrays) if i != 1]
    call_op(name, [*arrays, hyper, control], outs, [int(flag)])
    return outs


def reference(name, arrays, hyper, control, flag):
    (attr,) = PLAN_OPS[name].attrs
    return list(PLAN_OPS[name].reference(*arrays, hyper, control, **{attr: flag}))


def hyper(names, **values):
    return np.array([float(values[k]) for k in names])


def cases():
    for decay, sign, l2 in itertools.product((0.0, 0.05), (1.0, -1.0), (False, True)):
        for count in (1, 7):
            h = hyper(ADAM, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=decay, bias_correction1=1 - 0.9**count,
                      bias_correction2=1 - 0.999**count, sign=sign)
            yield "adamw", 4, h, l2, ()
            yield "adamw_amsgrad", 5, h, l2, ()
    for decay, momentum, dampening, first, nesterov in itertools.product((0.0, 0.05), (0.0, 0.9), (0.0, 0.3), (0, 1), (False, True)):
        h = hyper(SGD, lr=0.1, momentum=momentum, dampening=dampening, weight_decay=decay, first=first, sign=1 - 2 * first)
        yield "sgd", 3, h, nesterov, ()
        yield "sgd", 3, h, nesterov, (2,)
    for decay, momentum, centered, sign in itertools.product((0.0, 0.05), (0.0, 0.9), (False, True), (1, -1)):
        h = hyper(RMSPROP, lr=0.01, alpha=0.95, eps=1e-6, weight_decay=decay, momentum=momentum, sign=sign)
        for buffer in (True, False):
            yield "rmsprop", 5, h, centered, (() if centered else (3,)) + (() if buffer else (4,))


@pytest.mark.parametrize("name", ["adamw", "adamw_amsgrad", "sgd", "rmsprop"])
@pytest.mark.parametrize("n", SIZES)
def test_kernels_are_the_references(name, n):
    for which, count, h, flag, absent in cases():
        if which != name or (n > 1000 and h[0] == 0.01 and flag):
            continue
        arrays = [None if k in absent else abs(numbers(n, k)) if k >= 3 else numbers(n, k) for k in range(count)]
        for control in (None, np.array([3.0, 0.25])):
            want = reference(name, arrays, h, control, flag)
            for isa in ISAS:
                with using(isa):
                    got = step(name, arrays, h, control, flag)
                for a, b in zip(got, want, strict=True):
                    assert (a is None) == (b is None)
                    if a is not None and name == "adamw":
                        assert abs(a - b).max(initial=0.0) <= 2e-6 * abs(b).max(initial=0.0)
                    elif a is not None:
                        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_adamw_has_the_bits_of_the_eager_kernel(n, l2):
    """Over five steps with clipping, through the optimizers, on every instruction set."""
    for isa in ISAS:
        with using(isa):
            p = ndiv.nn.Parameter(numbers(n, 0))
            opt = (ndiv.optim.Adam if l2 else ndiv.optim.AdamW)([p], lr=0.01, weight_decay=0.02)
            arrays = [numbers(n, 0), None, np.zeros(n, np.float32), np.zeros(n, np.float32)]
            for count in range(1, 6):
                g = numbers(n, count)
                p.grad = ndiv.Tensor(g)
                norm = ndiv.optim.global_norm([p])
                opt.step(max_norm=0.5)
                control = np.zeros(2)
                call_op("sumsq_scale", [None, g], [control], encode(PLAN_OPS["sumsq_scale"], {"max_norm": 0.5}))
                np.testing.assert_allclose(control[0], norm, rtol=1e-14)
                control[1] = ndiv.optim.clip.clip_scale(norm, 0.5)
                h = hyper(ADAM, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.02, bias_correction1=1 - 0.9**count,
                          bias_correction2=1 - 0.999**count, sign=1)
                arrays[1] = g
                arrays[0], arrays[2], arrays[3] = step("adamw", arrays, h, control, l2)
            for ours, theirs in zip([arrays[0], *arrays[2:]], [p.numpy(), opt.state[0]["m"], opt.state[0]["v"]], strict=True):
                np.testing.assert_array_equal(ours, theirs)


OPTIMIZERS = {
    "amsgrad": ("adamw_amsgrad", ndiv.optim.AdamW, {"amsgrad": True, "lr": 0.01, "weight_decay": 0.1}, ADAM, False, ("m", "v", "vmax")),
    "amsgrad l2": ("adamw_amsgrad", ndiv.optim.Adam, {"amsgrad": True, "lr": 0.01, "weight_decay": 0.1}, ADAM, True, ("m", "v", "vmax")),
    "sgd": ("sgd", ndiv.optim.SGD, {"lr": 0.1, "weight_decay": 0.1}, SGD, False, ("momentum",)),
    "momentum": ("sgd", ndiv.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}, SGD, False, ("momentum",)),
    "nesterov": ("sgd", ndiv.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}, SGD, True, ("momentum",)),
    "rmsprop": ("rmsprop", ndiv.optim.RMSprop, {"lr": 0.01, "weight_decay": 0.1}, RMSPROP, False, ("v", "mean", "momentum")),
    "centered": ("rmsprop", ndiv.optim.RMSprop, {"lr": 0.01, "centered": True}, RMSPROP, True, ("v", "mean", "momentum")),
    "rmsprop momentum": ("rmsprop", ndiv.optim.RMSprop, {"lr": 0.01, "momentum": 0.8, "centered": True}, RMSPROP, True, ("v", "mean", "momentum")),
}


@pytest.mark.parametrize("case", OPTIMIZERS, ids=str)
def test_the_optimizers_step_by_step(case):
    """Four steps of an optimizer and of its plan operation, fed with the group's numbers: the same bits."""
    name, cls, options, names, flag, state = OPTIMIZERS[case]
    p = ndiv.nn.Parameter(numbers(100, 0))
    opt = cls([p], **options)
    group = opt.param_groups[0]
    kept = [s for s in state if not (s == "momentum" and not options.get("momentum")) and not (s == "mean" and not flag)]
    arrays = [numbers(100, 0), None, *[np.zeros(100, np.float32) if s in kept else None for s in state]]
    for count in range(1, 5):
        g = numbers(100, count)
        p.grad = ndiv.Tensor(g)
        opt.step()
        values = {k: v for k, v in group.items() if k in names} | {"sign": -1 if group["maximize"] else 1, "first": count == 1}
        if names is ADAM:
            values |= {"beta1": 0.9, "beta2": 0.999, "bias_correction1": 1 - 0.9**count, "bias_correction2": 1 - 0.999**count}
        arrays[1] = g
        new = step(name, arrays, hyper(names, **values), None, flag)
        arrays = [new[0], None, *new[1:]]
    np.testing.assert_array_equal(arrays[0], p.numpy())
    for s, a in zip(state, arrays[2:], strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, opt.state[0][s])


@pytest.mark.parametrize("name", ["adamw", "adamw_amsgrad", "sgd", "rmsprop"])
def test_in_place_exchanged_and_left_alone(name):
    """Outputs may take the memory of any input; a scale that is NaN changes nothing, whatever the other numbers."""
    count, names = {"adamw": (4, ADAM), "adamw_amsgrad": (5, ADAM), "sgd": (3, SGD), "rmsprop": (5, RMSPROP)}[name]
    h = np.full(len(names), 0.5)
    for isa in ISAS:
        for n in (5, 40, 3000):
            for control in (None, NAN):
                before = [abs(numbers(n, k)) for k in range(count)]
                with using(isa):
                    want = step(name, before, h, control, name == "rmsprop")
                for turn in range(count - 1):
                    arrays = [a.copy() for a in before]
                    changed = [arrays[0], *arrays[2:]]
                    outs = changed[turn:] + changed[:turn]
                    with using(isa):
                        call_op(name, [*arrays, h, control], outs, [int(name == "rmsprop")])
                    for a, b in zip(outs, want, strict=True):
                        np.testing.assert_array_equal(a, b)
    with using(ISAS[-1]):
        outs = step(name, before, np.full(len(names), np.nan), NAN, name == "rmsprop")
    for a, b in zip(outs, [before[0], *before[2:]], strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_change_nothing():
    arrays = [abs(numbers(200_001, k)) for k in range(5)]
    h = np.full(8, 0.5)
    on_threads(lambda: [a for name, n, count in (("adamw", 4, 8), ("adamw_amsgrad", 5, 8), ("sgd", 3, 6), ("rmsprop", 5, 6))
                        for a in step(name, arrays[:n], h[:count], None, True)])


def test_infinite_gradients_pass_without_harm():
    """Nothing but inf and NaN comes of them."""
    arrays = [numbers(20, k) for k in range(3)]
    arrays[1][3] = np.inf
    out = step("sgd", arrays, hyper(SGD, lr=0.1, momentum=0.9, dampening=0, weight_decay=0.1, first=0, sign=1), None, False)
    assert out[0][3] == -np.inf and np.isfinite(np.delete(out[0], 3)).all()


@pytest.mark.parametrize("name, names, k", [("adamw", ADAM, 5), ("adamw", ADAM, 6), ("adamw", ADAM, 7), ("adamw", ADAM, 4),
                                            ("adamw_amsgrad", ADAM, 0), ("sgd", SGD, 0), ("sgd", SGD, 5), ("rmsprop", RMSPROP, 4)])
def test_numbers_out_of_range_are_refused_when_run(name, names, k):
    count = {"adamw": 4, "adamw_amsgrad": 5, "sgd": 3, "rmsprop": 5}[name]
    arrays = [numbers(5, 0)] * count
    if name == "rmsprop":
        arrays[3] = None
    h = np.full(len(names), 0.5)
    h[k] = np.nan
    with pytest.raises(ShapeError, match="status -3"):
        step(name, arrays, h, None, False)
    if k in (5, 6) and name == "adamw":
        h[k] = 0.0
        with pytest.raises(ShapeError, match="status -3"):
            step(name, arrays, h, None, False)


F, H, C = np.zeros(6, np.float32), np.full(8, 0.5), np.ones(2)
REFUSED = {
    "few": ("adamw", [F, F, F, H, C], [F, F, F], [0]),
    "outputs": ("adamw", [F, F, F, F, H, C], [F, F], [0]),
    "null": ("adamw", [F, F, None, F, H, C], [F, F, F], [0]),
    "null p": ("adamw", [None, F, F, F, H, C], [F, F, F], [0]),
    "null g": ("adamw", [F, None, F, F, H, C], [F, F, F], [0]),
    "null out": ("adamw", [F, F, F, F, H, C], [F, None, F], [0]),
    "no hyper": ("adamw", [F, F, F, F, None, C], [F, F, F], [0]),
    "hyper": ("adamw", [F, F, F, F, H[:7], C], [F, F, F], [0]),
    "hyper dtype": ("adamw", [F, F, F, F, H.astype(np.float32), C], [F, F, F], [0]),
    "control": ("adamw", [F, F, F, F, H, H], [F, F, F], [0]),
    "size": ("adamw", [F, F[:5], F, F, H, C], [F, F, F], [0]),
    "out size": ("adamw", [F, F, F, F, H, C], [F, F, F[:5]], [0]),
    "dtype": ("adamw", [F, F, F.astype(float), F, H, C], [F, F, F], [0]),
    "strided": ("adamw", [F, np.zeros(12, np.float32)[::2], F, F, H, C], [F, F, F], [0]),
    "flag": ("adamw", [F, F, F, F, H, C], [F, F, F], [2]),
    "no flag": ("adamw", [F, F, F, F, H, C], [F, F, F], []),
    "amsgrad": ("adamw_amsgrad", [F, F, F, F, None, H, C], [F, F, F, None], [0]),
    "sgd one side": ("sgd", [F, F, None, H[:6], C], [F, F], [0]),
    "sgd other side": ("sgd", [F, F, F, H[:6], C], [F, None], [0]),
    "rmsprop mean": ("rmsprop", [F, F, F, None, F, H[:6], C], [F, F, None, F], [1]),
    "rmsprop no mean": ("rmsprop", [F, F, F, F, F, H[:6], C], [F, F, F, F], [0]),
    "rmsprop v": ("rmsprop", [F, F, None, None, F, H[:6], C], [F, None, None, F], [0]),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refusals(case):
    name, inputs, outputs, attrs = REFUSED[case]
    for isa in ISAS:
        with using(isa), pytest.raises(ShapeError, match="refused its operands"):
            call_op(name, inputs, outputs, attrs)
    op = PLAN_OPS[name]
    if case not in ("outputs", "null out", "out size", "strided", "flag", "no flag", "sgd one side", "sgd other side"):
        with pytest.raises(ValueError):
            op.metas(dict.fromkeys(op.attrs, bool(attrs[0])), *[None if a is None else (a.shape, a.dtype) for a in inputs])
