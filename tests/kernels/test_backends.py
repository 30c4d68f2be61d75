"""Choosing a backend: by name, by what is installed, and what is said when it is not."""

import sys

import numpy as np
import pytest

import ndiv
from ndiv import backends
from ndiv.autograd import REGISTRY
from ndiv.backends import native, numba
from ndiv.errors import ConfigError, DeviceError

AVAILABLE = ["numpy", *["native"] * native.available(), *["numba"] * numba.available()]


@pytest.fixture(autouse=True)
def restored():
    before = backends.current()
    yield
    backends.activate(before)


@pytest.mark.parametrize("name", AVAILABLE)
def test_activate(name):
    assert backends.activate(name) == name == backends.current() == ndiv.info()["backend"]
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    for op in ("silu", "softplus", "elu"):
        prim = REGISTRY[op]
        np.testing.assert_allclose(prim.run(x, **prim.attrs), prim.ref(x, **prim.attrs), rtol=1e-6)


def test_the_references_come_back():
    before = {name: prim.fast or prim.ref for name, prim in REGISTRY.items()}
    for name in [*AVAILABLE, "numpy"]:
        backends.activate(name)
    assert [name for name, prim in REGISTRY.items() if prim.run is not before[name]] == []


@pytest.mark.parametrize("name", AVAILABLE)
def test_numba_is_never_the_default(name):
    backends.activate(name)
    assert backends.activate() == ("native" if native.available() and native.isa() != "scalar" else "numpy")


def test_unknown_backend():
    with pytest.raises(ConfigError, match="unknown backend 'nump'"):
        backends.activate("nump")


def test_a_folder_named_numba_is_not_numba(monkeypatch, tmp_path):
    """Python finds a namespace package in it."""
    (tmp_path / "numba").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert not numba.available() and numba.version() is None


@pytest.mark.parametrize("module", [native, numba], ids=["native", "numba"])
def test_a_backend_that_is_missing(monkeypatch, module):
    name = module.__name__.rpartition(".")[2]
    monkeypatch.setattr(module, "available", lambda: False)
    if module is numba:
        numba._jit.cache_clear()
    with pytest.raises(DeviceError, match=f"the {name} backend is not available") as caught:
        backends.activate(name)
    assert caught.value.code == "E0007"
    assert "install" in str(caught.value)
    assert ndiv.info()[name].startswith("not available")


def test_kernels_keep_to_the_types_of_the_backend():
    for name in AVAILABLE:
        backends.activate(name)
        for dtype in (np.float16, np.float32, np.float64, np.dtype(">f4")):
            assert backends.kernel("sumsq")(np.arange(5, dtype=dtype)) == 30.0
            assert backends.kernel("sumsq")(np.arange(9, dtype=dtype)[::2]) == 120.0
