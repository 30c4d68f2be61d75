"""Every registered op: complete as a record, right on its own samples, and clear when it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from ndiv.autograd import REGISTRY, Tensor, apply, check_bad
from ndiv.autograd import shapes as shape_rules
from ndiv.autograd.check import check_sample
from ndiv.backends import NAMES

CASES = [(name, i) for name, prim in REGISTRY.items() for i in range(len(prim.samples()))]


@pytest.mark.parametrize(("name", "i"), CASES, ids=lambda v: str(v))
def test_value_shape_and_gradient(name, i):
    prim = REGISTRY[name]
    report = check_sample(prim, prim.samples()[i])
    assert report, str(report)


@pytest.mark.parametrize("name", REGISTRY)
def test_bad_cases_are_refused_with_op_rule_and_hint(name):
    assert check_bad(name) == []


@pytest.mark.parametrize("name", REGISTRY)
def test_record_is_complete(name):
    prim = REGISTRY[name]
    tags = {s.tag for s in prim.samples()}
    assert tags & {"contiguous", "broadcast", "batched"}
    assert prim.onnx or prim.decompose or prim.expr or not prim.vjp, "no way to export it"
    assert set(prim.kernels) <= set(NAMES), "names a kernel that no backend has"
    assert prim.bad(), "no bad case"
    for sample in prim.samples():
        shapes = [np.shape(x) for x in sample.inputs]
        flops, moved = prim.costs(sample.attrs, shapes, shape_rules.infer(prim, shapes, sample.attrs), 8)
        assert flops >= 0 and moved >= 0


@pytest.mark.parametrize("name", REGISTRY)
def test_layouts_are_covered(name):
    """Ops whose shape may be anything are sampled contiguous, strided, empty and 0-d (and broadcast where two meet)."""
    prim = REGISTRY[name]
    if prim.rule == "[*A] -> [*A]":
        assert {"contiguous", "strided", "empty", "0-d"} <= {s.tag for s in prim.samples()} | ({"strided"} if name == "cast" else set())


@pytest.mark.parametrize("name", REGISTRY)
def test_float32_stays_float32(name):
    prim = REGISTRY[name]
    for sample in prim.samples():
        args = [x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x for x in sample.inputs]
        if name == "cast":
            continue
        out = apply(prim, [Tensor(a) if isinstance(a, np.ndarray) else a for a in args], sample.attrs)
        for o in out if isinstance(out, tuple) else (out,):
            assert o.dtype in (np.float32, np.bool_, np.int64), f"{name} [{sample.tag}] gave {o.dtype}"


@pytest.mark.parametrize("name", [n for n, p in REGISTRY.items() if p.decompose])
def test_fast_version_agrees_with_its_decomposition(name):
    """What runs (a fused kernel where one is active) against the definition, in float32, to float32 rounding."""
    prim = REGISTRY[name]
    for sample in prim.samples():
        args = [x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x for x in sample.inputs]
        wide = [x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x for x in args]
        fast, slow = prim.run(*args, **sample.attrs), prim.decompose(*wide, **sample.attrs)
        for a, b in zip(fast if prim.n_out > 1 else (fast,), slow if prim.n_out > 1 else (slow,), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_a_wrong_gradient_is_caught():
    """The checker itself: a rule with a wrong sign, a wrong factor, or a missing term does not pass."""
    tanh = REGISTRY["tanh"]
    good = tanh.vjp
    for wrong in (lambda g, y, x: -g * (1 - y * y), lambda g, y, x: g * (1 - y), lambda g, y, x: g):
        tanh.vjp = (wrong,)
        try:
            assert not all(check_sample(tanh, s) for s in tanh.samples())
        finally:
            tanh.vjp = good
    assert all(check_sample(tanh, s) for s in tanh.samples())
